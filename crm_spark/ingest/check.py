"""Hold a mapping against names, types and what Spark can make of it, before any data is read: all mistakes at once."""

import re
from collections.abc import Mapping

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.core.contracts import Table
from crm_spark.core.errors import ConfigError, near
from crm_spark.ingest import declared
from crm_spark.ingest.mapping import Feed, Rule, Source, Target
from crm_spark.ingest.mistakes import ground, mistakes
from crm_spark.ingest.tables import CONFORMED, HISTORIES, ORIGIN_NAMES
from crm_spark.ingest.typed import sql_type

DEFAULTED = {"order_lines": {"amount", "kind"}}
TIMES = r"date|timestamp|timestamp_ntz"
NUMBERS = r"tinyint|smallint|int|bigint|float|double|decimal.*"
ORDER = "a time, a day or a number"
FITS = {
    "timestamp": rf"{TIMES}|string|void",
    "timestamp_ntz": rf"{TIMES}|string|void",
    "date": rf"{TIMES}|string|void",
    "boolean": "boolean|void",
    "string": ".*",
    ORDER: rf"{TIMES}|{NUMBERS}",
}
FITS_NUMBERS = rf"{NUMBERS}|string|boolean|void"
QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`""")
COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
OF_A_DAY = re.compile(r"\b(?:date|timestamp(?:_ltz|_ntz)?)\s*'\s*(?:now|today|tomorrow|yesterday)\b", re.IGNORECASE)
OF_OTHER_ROWS = re.compile(r"\(\s*(?:select|with|values)\b", re.IGNORECASE)
OF_THE_MOMENT = re.compile(
    r"(?<![.\w])(?:system\s*\.\s*)?(?:builtin\s*\.\s*)?"
    r"(?:(?:now|curdate|localtimestamp|unix_timestamp|user|session_user|current_\w+)\s*\(\s*\)"
    r"|(?:current_date|current_timestamp|current_time|current_user|session_user|user)\b(?!\s*\())",
    re.IGNORECASE,
)


def check(spark: SparkSession, source: Source, shipped: dict[str, list[Rule]]) -> None:
    """Refuse a mapping whose names, types, expressions or rules cannot be.

    Raises
    ------
    ConfigError
        Naming every mistake. No row is read for it.
    """
    wrong = mistakes(source)
    for name, feed in source.feeds.items():
        # On shaky ground every expression would be told to be wrong.
        wrong += [] if ground(source, name, feed) else _feed(spark, source, name, feed, shipped)
    if wrong:
        raise ConfigError.listing(f"the mapping of {source.source}", wrong)


def _feed(spark: SparkSession, source: Source, name: str, feed: Feed, shipped: dict[str, list[Rule]]) -> list[str]:
    raw = _empty(spark, feed)
    wrong = []
    for alias, look in feed.lookups.items():
        looked = source.feeds[look.feed]
        wrong += [
            f"{name}.{alias}.by.{key}: {fault}"
            for key, text in look.by.items()
            if key in looked.columns
            for fault in _said(raw, text, _type(looked.columns[key]))
        ]
        raw = raw.crossJoin(_empty(spark, looked).select(F.struct("*").alias(alias)))
    if feed.currency:
        wrong += [f"{name}.currency: {fault}" for fault in _said(raw, feed.currency, "string")]
    known_tables = [table for table in feed.tables if table in CONFORMED]
    for table in known_tables:
        target = feed.tables[table]
        wrong += [f"{name}.{table}.{fault}" for fault in _target(raw, table, target)]
    rows = raw.select("*", F.current_timestamp().alias("_now"), *[_struct(table) for table in known_tables])
    wrong += [
        f"{name}: rule {rule.name}: {fault}" for rule in feed.rules for fault in _said(rows, rule.check, "boolean")
    ]
    known = {rule.name for rule in _shipped(feed, shipped)}
    strange = [rule for rule in feed.severities if rule not in known]
    return wrong + [f"{name}.severities: no shipped rule is called '{rule}'{near(rule, known)}" for rule in strange]


def _shipped(feed: Feed, shipped: dict[str, list[Rule]]) -> list[Rule]:
    return [rule for table in feed.tables for rule in shipped.get(table, [])]


def _target(raw: DataFrame, name: str, target: Target) -> list[str]:
    table = HISTORIES.get(name, CONFORMED[name])
    wrong = []
    columns = {column: text for column, text in target.columns.items() if column in table.names}
    for column, text in columns.items() if not _stands(raw, table, columns) else []:
        wrong += [f"{column}: {fault}" for fault in _said(raw, text, table[column].type)]
    if target.where is not None:
        wrong += [f"where: {fault}" for fault in _said(raw, target.where, "boolean")]
    if target.version is not None:
        wrong += [f"version: {fault}" for fault in _said(raw, target.version, ORDER)]
    lacking = [
        column for column in _required(table) if column not in target.columns and not _follows(table, target, column)
    ]
    silent = "promised in every row, but the mapping says nothing of it: give it an expression, a constant will do"
    return wrong + [f"{column}: {silent}" for column in lacking]


def _stands(raw: DataFrame, table: Table, columns: Mapping[str, str]) -> bool:
    """Whether all expressions stand at once: they nearly always do, and one question is quicker than many."""
    try:
        found = raw.select(*[F.expr(text).alias(name) for name, text in columns.items()]).schema
        _refuse_beyond_record(raw, *columns.values())
    except (ParseException, AnalysisException):
        return False
    if any(_of_the_moment(raw, text) or OF_OTHER_ROWS.search(_bare(text)) for text in columns.values()):
        return False
    return all(_fits(column.dataType.simpleString(), table[column.name].type) for column in found.fields)


def _refuse_beyond_record(raw: DataFrame, *texts: str) -> None:
    """Let Spark refuse what one record alone does not decide: where it joins, it takes nothing else.

    Raises
    ------
    AnalysisException
        An expression gathers rows, makes rows, or gives another value the next time.
    """
    other = raw.sparkSession.createDataFrame([], "`_other` int")
    conditions = [F.expr(text).isNotNull() for text in texts]
    raw.join(other, conditions).schema  # noqa: B018 - on Connect a plan is looked at only then


def _required(table: Table) -> list[str]:
    """Columns that a mapping must say: promised in every row, and not made by the ingestion itself."""
    made = {*ORIGIN_NAMES, "known_at", *DEFAULTED.get(table.name, set())}
    if table.key[0].removesuffix("_id") not in ("customer", "product", "campaign"):
        made.add(table.key[0])
    return [column.name for column in table.columns if not column.nullable and column.name not in made]


def _follows(table: Table, target: Target, column: str) -> bool:
    """Whether a day follows from its instant, or an instant from its day."""
    stem = re.sub(r"_(at|on)$", "", column)
    return stem != column and (f"{stem}_at" in target.columns or f"{stem}_on" in target.columns)


def _said(raw: DataFrame, text: str, wanted: str) -> list[str]:
    """What is said against one expression; nothing where it stands."""
    try:
        found = raw.select(F.expr(text).alias("it")).schema.fields[0].dataType.simpleString()
    except ParseException:
        return [f"'{text}' is no SQL expression"]
    except AnalysisException as error:
        return [_told(error, raw, text)]
    try:
        _refuse_beyond_record(raw, text)
    except AnalysisException:
        return [f"'{text}' does not follow from its record alone: it gathers or makes rows, or is random"]
    if OF_OTHER_ROWS.search(_bare(text)):
        return [f"'{text}' does not follow from its record alone: it asks other rows; name a look-up for them"]
    moment = _of_the_moment(raw, text)
    if moment:
        return [f"'{text}' does not follow from its record alone: {moment} is another value the next time"]
    return [] if _fits(found, wanted) else [f"'{text}' is {found}, which cannot become {wanted}"]


def _bare(text: str) -> str:
    """An expression without its comments and what stands in quotes."""
    return COMMENT.sub(" ", QUOTED.sub("''", text))


def _of_the_moment(raw: DataFrame, text: str) -> str | None:
    """The first call for clock, user or place: to Spark these are constants of a query."""
    columns = {name.lower() for name in raw.columns}
    named = [found[0] for found in OF_THE_MOMENT.finditer(_bare(text))]
    named += [found[0] for found in OF_A_DAY.finditer(text)]
    return next((name for name in named if name.lower() not in columns), None)


def _fits(found: str, wanted: str) -> bool:
    return re.fullmatch(FITS.get(wanted, FITS_NUMBERS), found) is not None


def _told(error: AnalysisException, raw: DataFrame, text: str) -> str:
    unknown = re.search(r"UNRESOLVED_COLUMN.*?name `(.+?)` cannot", str(error), re.DOTALL)
    if unknown:
        name = unknown[1].replace("`.`", ".")
        return f"'{text}' names no raw column '{name}'{near(name, raw.columns)}"
    routine = re.search(r"UNRESOLVED_ROUTINE.*?routine `(.+?)`", str(error), re.DOTALL)
    if routine:
        return f"'{text}' calls no function of Spark: '{routine[1].split('`.`')[-1]}'"
    return f"'{text}' cannot be: {str(error).splitlines()[0]}"


def _empty(spark: SparkSession, feed: Feed) -> DataFrame:
    """No rows, of the feed's typed columns."""
    named = ", ".join("`" + name.replace("`", "``") + "` " + _type(raw) for name, raw in feed.columns.items())
    return spark.createDataFrame([], named)


def _type(raw: str) -> str:
    """What a column is read as; one that cannot be fits anywhere, so that it is told once."""
    return "void" if declared.fault(raw) else sql_type(raw)


def _struct(name: str) -> Column:
    table = HISTORIES.get(name, CONFORMED[name])
    return F.struct(*[F.lit(None).cast(column.type).alias(column.name) for column in table.columns]).alias(name)
