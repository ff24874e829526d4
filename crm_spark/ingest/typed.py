"""Raw text to typed columns: what is declared and nothing inferred; what does not fit is named, never shown."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.ingest.mapping import Feed
from crm_spark.ingest.records import NAMES

CORRUPT = "_corrupt"
FAULTS = "_faults"
DAY = r"\d{4}-\d{1,2}-\d{1,2}"
CLOCK = r"\d{1,2}(:\d{1,2}(:\d{1,2}(\.\d+)?)?)?"
ZONE = r"([+-]\d[\d:]*|[A-Za-z][\w/+:-]*)"  # Z, +02, +02:00, UTC, GMT+2, Europe/Berlin
IS_DAY = rf"^\s*{DAY}\s*$"
IS_LOCAL = rf"^\s*{DAY}([ T]{CLOCK})?\s*$"
IS_INSTANT = rf"^\s*{DAY}[ T]{CLOCK}\s*{ZONE}\s*$"


def parse(found: DataFrame, feed: Feed, header: tuple[str, ...]) -> DataFrame:
    """Give the typed columns of records.

    Parameters
    ----------
    found : DataFrame of `records.columns`
        Records of files with this header.

    Returns
    -------
    DataFrame
        RECORDS, a struct `it` of the declared, typed columns and `_faults`: phrases that name what is wrong,
        columns and types but no values; null where nothing is.
    """
    said, is_whole = _of_csv(feed, header) if feed.format == "csv" else _of_json(feed)
    cells = {name: typed(text, feed.columns[name]) for name, text in said.items()}
    wrong = [
        F.when(said[name].isNotNull() & cell.isNull(), F.lit(f"{name} is not {meant(feed.columns[name])}"))
        for name, cell in cells.items()
        if feed.columns[name] != "string"
    ]
    parsed = found if feed.format == "csv" else found.withColumn("_it", _json(feed))
    return parsed.select(
        *NAMES,
        F.struct(*[cell.alias(name) for name, cell in cells.items()]).alias("it"),
        phrases([F.when(~is_whole, F.lit(_misshapen(feed))), _strangers(feed), *wrong]).alias(FAULTS),
    )


def _of_csv(feed: Feed, header: tuple[str, ...]) -> tuple[dict[str, Column], Column]:
    """The text of each declared column, and whether the record has the fields of its header."""
    place = {name: at for at, name in enumerate(header)}
    said = {name: F.col(f"field_{place[name]}") if name in place else F.lit(None) for name in feed.columns}
    return said, F.col("is_whole")


def _of_json(feed: Feed) -> tuple[dict[str, Column], Column]:
    """The same of an object, which may lack any; its text is blank where a CSV would have nothing."""
    values = {name: F.col("_it").getField(name) for name in feed.columns}
    said = {name: F.when(F.length(value.cast("string")) > 0, value) for name, value in values.items()}
    return said, F.col("_it").getField(CORRUPT).isNull()


def phrases(found: Sequence[Column]) -> Column:
    """Join those phrases that are there; null where none is, which is nearly always, and then nothing is joined."""
    if not found:
        return F.lit(None).cast("string")
    return F.when(F.coalesce(*found).isNotNull(), F.concat_ws("; ", *found))


def typed(text: Column, declared: str) -> Column:
    """Read text as a declared type; null where it is none. NaN and infinity are no numbers."""
    name, _, pattern = declared.partition(" ")
    if name == "string":
        return text
    if pattern and name in ("date", "timestamp", "instant"):
        return F.try_to_timestamp(text, F.lit(pattern)).cast(sql_type(declared))
    readers = {"double": finite, "date": day, "timestamp": local, "instant": instant}
    if name in readers:
        return readers[name](text)
    # At an exponent far below zero Java's decimals fail, and Spark with them.
    is_sound = ~(text.contains("e-") | text.contains("E-")) | text.rlike(r"[eE]-\d{1,3}\s*$")
    return F.when(is_sound, text.try_cast(declared)) if name.startswith("decimal") else text.try_cast(declared)


def finite(number: Column) -> Column:
    """Read a finite number; null where it is none."""
    number = number.try_cast("double")
    return F.when(~F.isnan(number) & (F.abs(number) < F.lit(float("inf"))), number)


def day(text: Column) -> Column:
    """Read a day. Spark itself would take a year alone, and heed nothing that follows the day."""
    return F.when(text.rlike(IS_DAY), text.try_cast("date"))


def local(text: Column) -> Column:
    """Read a time on a wall clock; one that bears an offset is none. Spark itself would drop the offset."""
    return F.when(text.rlike(IS_LOCAL), text.try_cast("timestamp_ntz"))


def instant(text: Column) -> Column:
    """Read a time that bears its offset; one without is none. Spark itself would take the session's zone."""
    return F.when(text.rlike(IS_INSTANT), text.try_cast("timestamp"))


def sql_type(declared: str) -> str:
    """The Spark SQL type that a declared raw type becomes."""
    name = declared.split(" ", maxsplit=1)[0]
    return {"date": "date", "timestamp": "timestamp_ntz", "instant": "timestamp"}.get(name, declared.replace(" ", ""))


def _json(feed: Feed) -> Column:
    """Decimals are read as what they are: as text, Spark would give 1.2E22 for a number of 23 digits."""
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
    types = {name: raw if raw.startswith("decimal") else "string" for name, raw in feed.columns.items()}
    return F.from_json(
        "raw",
        ", ".join(f"{_quoted(name)} {type_}" for name, type_ in {**types, CORRUPT: "string"}.items()),
        options,
    )


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def meant(declared: str) -> str:
    """Say what was promised in plain words."""
    words = {
        "int": "a whole number",
        "bigint": "a whole number",
        "double": "a finite number",
        "boolean": "true or false",
        "date": "a day",
        "timestamp": "a time",
        "instant": "a time with its offset",
    }
    return words.get(declared.split(" ", maxsplit=1)[0], f"a {declared}")


def _misshapen(feed: Feed) -> str:
    return (
        "another number of fields than the header" if feed.format == "csv" else "no JSON object of the declared types"
    )


def _strangers(feed: Feed) -> Column:
    """JSON has no header to hold against the declared columns: each record is."""
    if feed.format == "csv" or feed.extra == "ignore":
        return F.lit(None).cast("string")
    strange = F.array_except(F.json_object_keys("raw"), F.array(*[F.lit(name) for name in feed.columns]))
    return F.when(F.size(strange) > 0, F.lit("columns that are not declared"))
