"""Raw text to typed columns: what is declared and nothing inferred; what does not fit is named, never shown."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.ingest.mapping import Feed

CORRUPT = "_corrupt"
FAULTS = "_faults"
DAY = r"\d{4}-\d{1,2}-\d{1,2}"
CLOCK = r"\d{1,2}(:\d{1,2}(:\d{1,2}(\.\d+)?)?)?"
ZONE = r"([+-]\d[\d:]*|[A-Za-z][\w/+:-]*)"  # Z, +02, +02:00, UTC, GMT+2, Europe/Berlin
IS_DAY = rf"^\s*{DAY}\s*$"
IS_LOCAL = rf"^\s*{DAY}([ T]{CLOCK})?\s*$"
IS_INSTANT = rf"^\s*{DAY}[ T]{CLOCK}\s*{ZONE}\s*$"


def parse(records: DataFrame, feed: Feed, header: tuple[str, ...]) -> DataFrame:
    """Parse the raw text of records.

    Parameters
    ----------
    records : DataFrame
        With `raw`, one record each, all of files with this header.

    Returns
    -------
    DataFrame
        The same with one struct `it` of the declared, typed columns and `_faults`: phrases that name what
        is wrong, columns and types but no values; null where nothing is.
    """
    # A column that nobody declared may be called like one that is, but for case: Spark would take both for one.
    named = [name if name in feed.columns else f"_ignored_{at}" for at, name in enumerate(header)]
    fields = named if feed.format == "csv" else list(feed.columns)
    parsed = records.withColumn("_it", _csv(feed, fields) if feed.format == "csv" else _json(feed))
    said = {
        name: _blank_is_null(F.col("_it").getField(name)) if name in fields else F.lit(None) for name in feed.columns
    }
    cells = {name: typed(text, feed.columns[name]) for name, text in said.items()}
    wrong = [
        F.when(said[name].isNotNull() & cell.isNull(), F.lit(f"{name} is not {meant(feed.columns[name])}"))
        for name, cell in cells.items()
        if feed.columns[name] != "string"
    ]
    shape = F.when(F.col("_it").getField(CORRUPT).isNotNull(), F.lit(_misshapen(feed)))
    return parsed.select(
        *records.columns,
        F.struct(*[cell.alias(name) for name, cell in cells.items()]).alias("it"),
        phrases([shape, _strangers(feed), *wrong]).alias(FAULTS),
    )


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
    return readers[name](text) if name in readers else text.try_cast(declared)


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


def _csv(feed: Feed, fields: list[str]) -> Column:
    options = {
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": CORRUPT,
        "sep": feed.delimiter,
        "quote": feed.quote,
        "escape": feed.escape,
        "multiLine": "true",
        "maxCharsPerColumn": "-1",
        "maxColumns": str(max(20_480, len(fields) + 1)),
    }
    return F.from_csv("raw", _strings([*fields, CORRUPT]), options)


def _json(feed: Feed) -> Column:
    """Decimals are read as what they are: as text, Spark would give 1.2E22 for a number of 23 digits."""
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
    types = {name: raw if raw.startswith("decimal") else "string" for name, raw in feed.columns.items()}
    return F.from_json(
        "raw",
        ", ".join(f"{_quoted(name)} {type_}" for name, type_ in {**types, CORRUPT: "string"}.items()),
        options,
    )


def _strings(names: list[str]) -> str:
    return ", ".join(f"{_quoted(name)} string" for name in names)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _blank_is_null(said: Column) -> Column:
    return F.when(F.length(said.cast("string")) > 0, said)


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
