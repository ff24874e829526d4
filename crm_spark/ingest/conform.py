"""Typed records to conformed rows: look-ups, expressions, zones, money, rules; for each record one outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from crm_spark.core.contracts import Field, Table
from crm_spark.ingest.mapping import Feed, Rule, Severity, Source, Target
from crm_spark.ingest.tables import CONFORMED, HISTORIES, ORIGIN_NAMES
from crm_spark.ingest.typed import FAULTS

RATE = "_rate"
NOW = "_now"
RETURN_WITHOUT_SALE = "return_without_sale"
SEPARATOR = "\x1f"  # stands between the parts of a key before they are hashed


@dataclass(frozen=True)
class Context:
    """What is the same for every record of one feed."""

    source: Source
    feed_name: str
    zone: str
    currency: str
    now: datetime
    shipped: Mapping[str, list[Rule]]

    @property
    def feed(self) -> Feed:
        """The feed."""
        return self.source.feeds[self.feed_name]

    @property
    def is_foreign(self) -> bool:
        """Whether amounts may be in another currency than the lake's."""
        return self.feed.currency is not None or self.source.currency not in (None, self.currency)

    @property
    def can_wait(self) -> bool:
        """Whether records may wait for a partner: in a look-up, or the sale of what they return."""
        return self.of_returns == "quarantine" or bool(self.source.uses(self.feed_name))

    @property
    def of_returns(self) -> Severity:
        """The severity of a return without its sale, which no expression over one record can tell."""
        return next((rule.severity for rule in self.rules() if rule.name == RETURN_WITHOUT_SALE), "off")

    def rules(self) -> list[Rule]:
        """The feed's own rules and the shipped ones of its tables, with the feed's severities."""
        shipped = [rule for table in self.feed.tables for rule in self.shipped.get(table, [])]
        chosen = [
            rule.model_copy(update={"severity": self.feed.severities.get(rule.name, rule.severity)}) for rule in shipped
        ]
        return [rule for rule in [*chosen, *self.feed.rules] if rule.severity != "off"]


def conform(parsed: DataFrame, context: Context, lookups: Mapping[str, DataFrame]) -> DataFrame:
    """Give every record its outcome and, for each table of the feed, its row.

    Parameters
    ----------
    parsed : DataFrame
        Records with `it` (typed columns), `_faults`, `refusal` and their place.
    lookups : mapping
        For each feed that is looked up, its rows, one for each key.

    Returns
    -------
    DataFrame
        The records' places, `reason` (null where it is not refused), `waits`, `warnings` and `fails`
        (names of broken rules, or null), `duplicate`, and a struct for each table, null where it makes no row there.
        Lazy; a join for each look-up, no other shuffle.
    """
    place = [name for name in parsed.columns if name not in ("it", FAULTS)]
    typed = parsed.select(*[F.col(name).alias(f"_{name}") for name in place], FAULTS, "it.*").withColumn(
        NOW, F.lit(context.now)
    )
    found = typed
    for alias, look in context.feed.lookups.items():
        found = _looked_up(found, alias, look.by, lookups[look.feed])
    rated = _rated(found, context, lookups)
    rows = rated.withColumns({name: _row(rated, context, name, target) for name, target in context.feed.tables.items()})
    return _judged(rows, context, place)


def _looked_up(records: DataFrame, alias: str, on: Mapping[str, str], partners: DataFrame) -> DataFrame:
    """Add the partner's columns as a struct; a key that finds nothing gives null, never another row."""
    keys = partners.select(F.struct("*").alias(alias), *[F.col(name).alias(f"_key_{alias}_{name}") for name in on])
    wanted = records.withColumns({f"_on_{alias}_{name}": F.expr(expression) for name, expression in on.items()})
    same = [F.col(f"_on_{alias}_{name}") == F.col(f"_key_{alias}_{name}") for name in on]
    joined = wanted.join(keys, same, "left")
    return joined.drop(*[f"_on_{alias}_{name}" for name in on], *[f"_key_{alias}_{name}" for name in on])


def _rated(records: DataFrame, context: Context, lookups: Mapping[str, DataFrame]) -> DataFrame:
    """Add the rate that turns the record's money into the lake's currency; null where none is known."""
    own = context.feed.currency or (f"'{context.source.currency}'" if context.source.currency else None)
    if own is None:
        return records.withColumns({RATE: F.lit(1).cast("decimal(18,8)"), "_currency": F.lit(context.currency)})
    named = records.withColumn("_currency", F.expr(own))
    is_own = F.col("_currency") == F.lit(context.currency)
    one = F.when(is_own, F.lit(1).cast("decimal(18,8)"))
    rates = context.source.rates
    if rates is None or context.feed_name == rates.feed:
        return named.withColumn(RATE, one)
    dated = named.withColumn("_rate_day", _day(named, context))
    found = _looked_up(dated, "_rates", {rates.currency: "_currency", rates.day: "_rate_day"}, lookups[rates.feed])
    return found.withColumn(RATE, F.coalesce(one, F.col("_rates").getField(rates.rate).cast("decimal(18,8)"))).drop(
        "_rates", "_rate_day"
    )


def _day(records: DataFrame, context: Context) -> Column:
    """The business day that a record's main row bears; null where it bears none."""
    main = context.feed.main
    if main is None or main in HISTORIES:
        return F.lit(None).cast("date")
    table = CONFORMED[main]
    cells = _Cells(records, context, table, context.feed.tables[table.name], without_money=True).cells()
    days = [cells[name] for name in table.names if name.endswith("_on") and name in cells]
    return days[0] if days else F.lit(None).cast("date")


def _row(records: DataFrame, context: Context, name: str, target: Target) -> Column:
    """One struct of the table's columns without those of origin; null where the record makes no row."""
    table = HISTORIES.get(name, CONFORMED[name])
    cells = _Cells(records, context, table, target).cells()
    version = F.lit(None).cast("decimal(38,9)")
    if target.version:
        version = ordinal(F.expr(target.version), _types(records, {"version": target.version})["version"])
    wanted = [column for column in table.columns if column.name not in ORIGIN_NAMES]
    struct = F.struct(
        *[cells.get(column.name, F.lit(None)).cast(column.type).alias(column.name) for column in wanted],
        version.alias("row_version"),
    )
    is_wanted = F.expr(target.where) if target.where else F.lit(True)
    if name in HISTORIES:
        is_wanted = is_wanted & cells[table.key[0]].isNotNull()
    return F.when(is_wanted, struct)


@dataclass(frozen=True)
class _Cells:
    """The columns of one conformed row, by name: what the mapping says, then what follows from it."""

    records: DataFrame
    context: Context
    table: Table
    target: Target
    without_money: bool = False

    def cells(self) -> dict[str, Column]:
        types = _types(self.records, self.target.columns)
        named = {
            name: self._cell(self.table[name], expression, types[name])
            for name, expression in self.target.columns.items()
        }
        return self._with_ids(self._with_defaults(self._with_days(named)))

    def _cell(self, column: Field, expression: str, found: str) -> Column:
        value = F.expr(expression)
        if column.type == "timestamp":
            return _instant(value, found, self.context.source.zone)
        if column.type == "date":
            return _business_day(value, found, self.context.source.zone, self.context.zone)
        cast = value.try_cast(column.type)
        if column.unit == "money" and self.context.is_foreign and not self.without_money:
            return (cast * F.col(RATE)).cast(column.type)
        return cast

    def _with_days(self, cells: dict[str, Column]) -> dict[str, Column]:
        """An instant gives its business day; a day alone gives the instant at which it begins."""
        zone = self.context.zone
        for column in self.table.names:
            stem = column.removesuffix("_at")
            if column in (stem, "known_at") or f"{stem}_on" not in self.table.names:
                continue
            if column in cells and f"{stem}_on" not in cells:
                cells[f"{stem}_on"] = _business_day(cells[column], "timestamp", zone, zone)
            elif f"{stem}_on" in cells and column not in cells:
                cells[column] = _instant(cells[f"{stem}_on"], "date", zone)
        return cells

    def _with_defaults(self, cells: dict[str, Column]) -> dict[str, Column]:
        if self.table.name == "order_lines":
            whole = cells.get("quantity", F.lit(None)) * cells.get("unit_price", F.lit(None))
            cells.setdefault(
                "amount",
                (whole - F.coalesce(cells.get("discount", F.lit(None)), F.lit(0))).cast("decimal(18,4)"),
            )
            cells.setdefault("kind", F.when(cells.get("quantity", F.lit(1)) < 0, "return").otherwise("sale"))
        if "known_at" in self.table.names:
            known = self.target.columns.get("known_at")
            cells["known_at"] = F.coalesce(
                cells["known_at"] if known else self._main_instant(), F.timestamp_seconds(F.lit(0))
            )
        return cells

    def _main_instant(self) -> Column:
        """When the record's main row happened: that is when what it says of a customer or product held."""
        main = self.context.feed.main
        if main is None or main in HISTORIES or self.table is CONFORMED[main]:
            return F.lit(None).cast("timestamp")
        cells = _Cells(
            self.records, self.context, CONFORMED[main], self.context.feed.tables[main], without_money=True
        ).cells()
        instants = [cells[name] for name in CONFORMED[main].names if name.endswith("_at") and name in cells]
        return instants[0] if instants else F.lit(None).cast("timestamp")

    def _with_ids(self, cells: dict[str, Column]) -> dict[str, Column]:
        """A natural key is hashed with its source; without one, the row's id is that of its record."""
        name = self.table.key[0]
        if self.target.key:
            parts = [
                F.lit(self.context.source.source),
                *[F.coalesce(cells[part].cast("string"), F.lit("")) for part in self.target.key],
            ]
            cells[name] = F.substring(F.sha2(F.concat_ws(SEPARATOR, *parts), 256), 1, 32)
        elif name not in self.target.columns:
            cells[name] = F.col("_row_id")
        return cells


def _types(records: DataFrame, expressions: Mapping[str, str]) -> dict[str, str]:
    """What Spark makes of each expression."""
    schema: StructType = records.select(*[F.expr(text).alias(name) for name, text in expressions.items()]).schema
    return {column.name: column.dataType.simpleString() for column in schema.fields}


def _instant(value: Column, found: str, zone: str) -> Column:
    """An instant; a time without offset is the clock of `zone`. The session's zone is UTC while this runs."""
    if found == "timestamp":
        return value
    clock = value.cast("timestamp_ntz") if found == "date" else value.try_cast("timestamp_ntz")
    return F.convert_timezone(F.lit(zone), F.lit("UTC"), clock).cast("timestamp")


def _business_day(value: Column, found: str, source_zone: str, zone: str) -> Column:
    """The date on the business clock."""
    if found == "timestamp":
        return F.convert_timezone(F.lit("UTC"), F.lit(zone), value.cast("timestamp_ntz")).cast("date")
    if found == "timestamp_ntz":
        return F.convert_timezone(F.lit(source_zone), F.lit(zone), value).cast("date")
    return value.try_cast("date")


def ordinal(version: Column, found: str) -> Column:
    """What orders versions, as a number: microseconds of a time, days of a day, or the number itself."""
    if found in ("timestamp", "timestamp_ntz"):
        return F.unix_micros(version.cast("timestamp")).cast("decimal(38,9)")
    if found == "date":
        return F.unix_date(version).cast("decimal(38,9)")
    return version.cast("string").try_cast("decimal(38,9)")


def _judged(rows: DataFrame, context: Context, place: list[str]) -> DataFrame:
    """Give each record its outcome: the first kind of fault that it has, with all faults of that kind."""
    feed, rules = context.feed, context.rules()
    waiting = _phrases(_partners_lacking(context))
    kinds = [
        F.col("_refusal"),
        _or_null(FAULTS),
        waiting,
        _phrases(_missing(context)),
        _broken(rules, "quarantine"),
    ]
    is_readable = F.col("_refusal").isNull() & (F.col(FAULTS) == "")
    duplicate = (F.col("_copy") > 1) & F.lit(feed.duplicates == "drop")
    return rows.select(
        *[F.col(f"_{name}").alias(name) for name in place],
        duplicate.alias("duplicate"),
        F.when(~duplicate, F.coalesce(*kinds)).alias("reason"),
        (is_readable & waiting.isNotNull()).alias("waits"),
        _phrases([_broken(rules, "warn"), *[_left_out(name) for name in _others(feed)]]).alias("warnings"),
        _broken(rules, "fail").alias("fails"),
        *[_row_or_none(feed, name) for name in feed.tables],
        *([F.struct(*[F.col(f"`{name}`") for name in feed.columns]).alias("fields")] if feed.key else []),
    )


def _others(feed: Feed) -> list[str]:
    """Fact tables beside the main one: a row that lacks something is left out there, and counted as a warning."""
    return [name for name in feed.tables if name != feed.main and name not in HISTORIES]


def _left_out(name: str) -> Column:
    return F.when(F.col(name).isNotNull() & ~_is_whole(name), F.lit(f"{name}_left_out"))


def _row_or_none(feed: Feed, name: str) -> Column:
    return F.when(_is_whole(name), F.col(name)).alias(name) if name in _others(feed) else F.col(name)


def _is_whole(name: str) -> Column:
    there = [F.col(name).getField(column).isNotNull() for column in _required(CONFORMED[name])]
    return reduce(lambda both, one: both & one, there)


def _required(table: Table) -> list[str]:
    return [column.name for column in table.columns if not column.nullable and column.name not in ORIGIN_NAMES]


def _phrases(found: Sequence[Column]) -> Column:
    """Join those phrases that are there; null where none is. Plain text: an array would be slow to filter."""
    return F.nullif(F.concat_ws("; ", *found), F.lit("")) if found else F.lit(None).cast("string")


def _or_null(name: str) -> Column:
    return F.nullif(F.col(name), F.lit(""))


def _partners_lacking(context: Context) -> list[Column]:
    """A phrase for each look-up that found nothing, and for a rate that is not known."""
    feed = context.feed
    lacking = [
        F.when(F.col(alias).isNull(), F.lit(f"no partner in {look.feed} yet")) for alias, look in feed.lookups.items()
    ]
    if _has_money(context) and context.is_foreign:
        lacking.append(F.when(F.col(RATE).isNull(), F.lit("no rate for its currency and day yet")))
    return lacking


def _missing(context: Context) -> list[Column]:
    """A phrase for each promised column that the main row lacks, or the look-up's key."""
    feed = context.feed
    keys = [F.when(F.col(f"`{name}`").isNull(), F.lit(f"{name} is missing")) for name in feed.key]
    if feed.main is None:
        return keys
    table = HISTORIES.get(feed.main, CONFORMED[feed.main])
    row = F.col(feed.main)
    lacking = [
        F.when(row.isNotNull() & row.getField(name).isNull(), F.lit(f"{name} is missing")) for name in _required(table)
    ]
    if feed.main in HISTORIES:
        lacking.append(F.when(row.isNull(), F.lit(f"{table.key[0]} is missing")))
    return keys + lacking


def _has_money(context: Context) -> bool:
    """Whether the feed brings amounts at all: a record without any needs no rate."""
    return any(
        HISTORIES.get(table, CONFORMED[table])[name].unit == "money"
        for table, target in context.feed.tables.items()
        for name in target.columns
    )


def _broken(rules: list[Rule], severity: str) -> Column:
    """Names of the rules of a severity that a record breaks."""
    return _phrases([F.when(~F.expr(rule.check), F.lit(rule.name)) for rule in rules if rule.severity == severity])
