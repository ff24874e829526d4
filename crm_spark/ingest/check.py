"""Hold a mapping against what Spark can make of it, before any data is read: all mistakes at once."""

import re

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.core.contracts import Table
from crm_spark.core.errors import ConfigError, near
from crm_spark.ingest.mapping import Feed, Rule, Source, Target
from crm_spark.ingest.tables import CONFORMED, HISTORIES, ORIGIN_NAMES
from crm_spark.ingest.typed import sql_type

DEFAULTED = {"order_lines": {"amount", "kind"}}
FITS = {
    "timestamp": ("timestamp", "timestamp_ntz", "date", "string"),
    "date": ("timestamp", "timestamp_ntz", "date", "string"),
    "boolean": ("boolean",),
    "string": None,
}
NUMBERS = re.compile(r"(tinyint|smallint|int|bigint|float|double|decimal.*|string|boolean|void)")


def check(spark: SparkSession, source: Source, shipped: dict[str, list[Rule]]) -> None:
    """Refuse a mapping whose expressions, rules or types cannot be.

    Raises
    ------
    ConfigError
        Naming every mistake. No row is read for it.
    """
    wrong = [fault for name, feed in source.feeds.items() for fault in _feed(spark, source, name, feed, shipped)]
    if wrong:
        raise ConfigError.listing(f"the mapping of {source.source}", wrong)


def _feed(spark: SparkSession, source: Source, name: str, feed: Feed, shipped: dict[str, list[Rule]]) -> list[str]:
    raw = _empty(spark, feed)
    wrong = []
    for alias, look in feed.lookups.items():
        wrong += [f"{name}.{alias}.by.{key}: {fault}" for key, text in look.by.items() for fault in _said(raw, text)]
        raw = raw.crossJoin(_empty(spark, source.feeds[look.feed]).select(F.struct("*").alias(alias)))
    if feed.currency:
        wrong += [f"{name}.currency: {fault}" for fault in _said(raw, feed.currency)]
    for table, target in feed.tables.items():
        wrong += [f"{name}.{table}.{fault}" for fault in _target(raw, table, target)]
    rows = raw.select("*", F.current_timestamp().alias("_now"), *[_struct(table) for table in feed.tables])
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
    for column, text in target.columns.items() if not _stands(raw, table, target) else []:
        wrong += [f"{column}: {fault}" for fault in _said(raw, text, table[column].type)]
    if target.where is not None:
        wrong += [f"where: {fault}" for fault in _said(raw, target.where, "boolean")]
    if target.version is not None:
        wrong += [f"version: {fault}" for fault in _said(raw, target.version)]
    lacking = [
        column for column in _required(table) if column not in target.columns and not _follows(table, target, column)
    ]
    return wrong + [f"{column}: promised in every row, but the mapping says nothing of it" for column in lacking]


def _stands(raw: DataFrame, table: Table, target: Target) -> bool:
    """Whether all expressions stand at once: they nearly always do, and one question is quicker than many."""
    try:
        found = raw.select(*[F.expr(text).alias(name) for name, text in target.columns.items()]).schema
    except (ParseException, AnalysisException):
        return False
    return all(_fits(column.dataType.simpleString(), table[column.name].type) for column in found.fields)


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


def _said(raw: DataFrame, text: str, wanted: str | None = None) -> list[str]:
    """What Spark says against one expression; nothing where it stands."""
    try:
        found = raw.select(F.expr(text).alias("it")).schema.fields[0].dataType.simpleString()
    except ParseException:
        return [f"'{text}' is no SQL expression"]
    except AnalysisException as error:
        return [_told(error, raw, text)]
    if wanted is None or _fits(found, wanted):
        return []
    return [f"'{text}' is {found}, which cannot become {wanted}"]


def _fits(found: str, wanted: str) -> bool:
    allowed = FITS.get(wanted, ())
    if allowed is None or found == "void":
        return True
    return found in allowed if allowed else NUMBERS.fullmatch(found) is not None


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
    named = ", ".join("`" + name.replace("`", "``") + "` " + sql_type(raw) for name, raw in feed.columns.items())
    return spark.createDataFrame([], named)


def _struct(name: str) -> Column:
    table = HISTORIES.get(name, CONFORMED[name])
    return F.struct(*[F.lit(None).cast(column.type).alias(column.name) for column in table.columns]).alias(name)
