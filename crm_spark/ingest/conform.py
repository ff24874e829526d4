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
from crm_spark.ingest.tables import CONFORMED, HISTORIES, ORIGIN_NAMES, cell_names
from crm_spark.ingest.typed import FAULTS, IS_DAY, day, finite, instant, local, meant, phrases, sql_type

RATE = "_rate"
NOW = "_now"
RETURN_WITHOUT_SALE = "return_without_sale"
LARGEST = 10**11  # so that a thousand such amounts, added up, are still a decimal(18,4)
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
        Records with `it` (typed columns), `_faults`, `refusal`, `read_at` and their place.
    lookups : mapping
        For each feed that is looked up, its rows, one for each key.

    Returns
    -------
    DataFrame
        The records' places, `reason` (null where it is not refused), `waits`, `warnings` and `fails`
        (names of broken rules, or null), `duplicate`; for each table `has_<table>`, whether the record makes a
        row there, and `<table>_<column>` for each column that the feed tells. So a pass that needs few columns
        reads few. Lazy; a join for each look-up, no other shuffle.
    """
    place = [name for name in parsed.columns if name not in ("it", FAULTS, "read_at")]
    typed = parsed.select(
        *[F.col(name).alias(f"_{name}") for name in place], FAULTS, "it.*", F.col("read_at").alias(NOW)
    )
    found = typed
    for alias, look in context.feed.lookups.items():
        found = _looked_up(found, alias, look.by, context.source.feeds[look.feed], lookups[look.feed])
    rated = _rated(found, context, lookups)
    cells = {name: _cells(rated, context, name, target) for name, target in context.feed.tables.items()}
    rows = rated.withColumns({name: _row(context.feed.tables[name], name, told) for name, told in cells.items()})
    misfits = [
        fault for name, target in context.feed.tables.items() for fault in _misfits(rated, context, name, target)
    ]
    judged = _judged(rows, context, place, misfits)
    told = {name: [column for column in cells[name] if column != id_of_record(context.feed, name)] for name in cells}
    return _spread(judged, told)


def _spread(judged: DataFrame, told: Mapping[str, Sequence[str]]) -> DataFrame:
    """Give every column of a table's row a column of its own."""
    others = [name for name in judged.columns if name not in told]
    there = [F.col(table).isNotNull().alias(f"has_{table}") for table in told]
    cells = [F.col(table).getField(name).alias(f"{table}_{name}") for table, names in told.items() for name in names]
    return judged.select(*others, *there, *cells)


def id_of_record(feed: Feed, name: str) -> str | None:
    """The column of a table that is the record's own `row_id`, where its rows have no natural key."""
    key, target = CONFORMED[name].key[0], feed.tables[name]
    return None if name in HISTORIES or target.key or key in target.columns else key


def _looked_up(records: DataFrame, alias: str, on: Mapping[str, str], looked: Feed, partners: DataFrame) -> DataFrame:
    """Add the partner's columns as a struct; a key that finds nothing gives null, never another row.

    What is sought gets the key's type: Spark would compare a number with the number that a text reads as.
    """
    keys = partners.select(F.struct("*").alias(alias), *[F.col(name).alias(f"_key_{alias}_{name}") for name in on])
    wanted = records.withColumns(
        {f"_on_{alias}_{name}": F.expr(text).try_cast(sql_type(looked.columns[name])) for name, text in on.items()}
    )
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
    by = {rates.currency: "_currency", rates.day: "_rate_day"}
    found = _looked_up(dated, "_rates", by, context.source.feeds[rates.feed], lookups[rates.feed])
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


def _cells(records: DataFrame, context: Context, name: str, target: Target) -> dict[str, Column]:
    """The columns of a table's row that its records tell."""
    table = HISTORIES.get(name, CONFORMED[name])
    cells = _Cells(records, context, table, target).cells()
    if target.version:
        cells["row_version"] = ordinal(F.expr(target.version), _types(records, {"version": target.version})["version"])
    return {column: cells[column].cast(table[column].type) for column in cell_names(name) if column in cells}


def _row(target: Target, name: str, cells: Mapping[str, Column]) -> Column:
    """One struct of the table's columns without those of origin; null where the record makes no row."""
    table = HISTORIES.get(name, CONFORMED[name])
    none = {column: F.lit(None).cast(table[column].type) for column in cell_names(name)}
    struct = F.struct(*[cell.alias(column) for column, cell in (none | dict(cells)).items()])
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
        if column.type == "double":
            return finite(value)
        cast = value.try_cast(column.type)
        return (cast * F.col(RATE)).cast(column.type) if self._is_converted(column) else cast

    def _is_converted(self, column: Field) -> bool:
        return not self.without_money and _is_converted(self.context, column)

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
            cells.setdefault("amount", self._amount())
            cells.setdefault("kind", F.when(cells.get("quantity", F.lit(1)) < 0, "return").otherwise("sale"))
        if "known_at" in self.table.names:
            # What is said and cannot be read stays null: that is a fault.
            said = self.target.columns.get("known_at")
            known = cells["known_at"] if said else self._main_instant()
            is_unsaid = F.expr(said).isNull() if said else F.lit(True)
            cells["known_at"] = F.coalesce(known, F.when(is_unsaid, F.timestamp_seconds(F.lit(0))))
        return cells

    def _amount(self) -> Column:
        """Quantity × unit price − discount as the record has them, then turned into the lake's currency at once."""
        own = {
            name: F.expr(self.target.columns.get(name, "NULL")).try_cast(self.table[name].type)
            for name in ("quantity", "unit_price", "discount")
        }
        whole = own["quantity"] * own["unit_price"] - F.coalesce(own["discount"], F.lit(0))
        return (_times(whole, F.col(RATE)) if self._is_converted(self.table["amount"]) else whole).cast("decimal(18,4)")

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
        """A natural key is hashed with its source, unless it is the id; without one, the id is that of the record."""
        name = self.table.key[0]
        if name in self.target.columns:
            return cells
        if self.target.key:
            parts = [cells[part].cast("string") for part in self.target.key]
            whole = F.concat_ws(SEPARATOR, F.lit(self.context.source.source), *parts)
            return {**cells, name: F.substring(F.sha2(whole, 256), 1, 32)}
        return {**cells, name: F.col("_row_id")}


def _times(amount: Column, rate: Column) -> Column:
    """An exact product. Spark rounds one of so many digits, so whole units and the rest are multiplied apart."""
    units = amount.cast("decimal(19,0)")
    return (units * rate).cast("decimal(24,8)") + (amount - units).cast("decimal(9,8)") * rate


def _types(records: DataFrame, expressions: Mapping[str, str]) -> dict[str, str]:
    """What Spark makes of each expression."""
    schema: StructType = records.select(*[F.expr(text).alias(name) for name, text in expressions.items()]).schema
    return {column.name: column.dataType.simpleString() for column in schema.fields}


def _instant(value: Column, found: str, zone: str) -> Column:
    """An instant; a time without offset is the clock of `zone`. The session's zone is UTC while this runs."""
    if found == "timestamp":
        return value
    clock = local(value) if found == "string" else value.cast("timestamp_ntz")
    # Of a literal zone these functions read the name once, `convert_timezone` for each row.
    on_clock = F.to_utc_timestamp(clock.cast("timestamp"), zone)
    return F.coalesce(on_clock, instant(value)) if found == "string" else on_clock


def _business_day(value: Column, found: str, source_zone: str, zone: str) -> Column:
    """The date on the business clock."""
    if found == "timestamp":
        return F.from_utc_timestamp(value, zone).cast("date")
    if found == "timestamp_ntz":
        is_same = source_zone == zone
        return (
            value.cast("date")
            if is_same
            else F.from_utc_timestamp(_instant(value, found, source_zone), zone).cast("date")
        )
    if found == "string":
        timed = F.when(~value.rlike(IS_DAY), _instant(value, found, source_zone))
        return F.coalesce(day(value), _business_day(timed, "timestamp", source_zone, zone))
    return value.cast("date")


def ordinal(version: Column, found: str) -> Column:
    """What orders versions, as a number: microseconds of a time, days of a day, or the number itself."""
    if found in ("timestamp", "timestamp_ntz"):
        return F.unix_micros(version.cast("timestamp")).cast("decimal(38,9)")
    if found == "date":
        return F.unix_date(version).cast("decimal(38,9)")
    return version.cast("string").try_cast("decimal(38,9)")


def _judged(rows: DataFrame, context: Context, place: list[str], misfits: Sequence[Column]) -> DataFrame:
    """Give each record its outcome: the first kind of fault that it has, with all faults of that kind."""
    feed, rules = context.feed, context.rules()
    waiting, misread = phrases(_partners_lacking(context)), phrases([F.col(FAULTS), *misfits])
    kinds = [
        F.col("_refusal"),
        misread,
        waiting,
        phrases(_missing(context)),
        _broken(rules, "quarantine"),
    ]
    is_readable = F.col("_refusal").isNull() & misread.isNull()
    duplicate = (F.col("_copy") > 1) & F.lit(feed.duplicates == "drop")
    return rows.select(
        *[F.col(f"_{name}").alias(name) for name in place],
        duplicate.alias("duplicate"),
        F.when(~duplicate, F.coalesce(*kinds)).alias("reason"),
        (is_readable & waiting.isNotNull()).alias("waits"),
        phrases([_broken(rules, "warn"), *_left_out(feed)]).alias("warnings"),
        _broken(rules, "fail").alias("fails"),
        *[_row_or_none(feed, name) for name in feed.tables],
        *([F.struct(*[F.col(f"`{name}`") for name in feed.columns]).alias("fields")] if feed.key else []),
    )


def _others(feed: Feed) -> list[str]:
    """Fact tables beside the main one: a row that lacks something is left out there, and counted as a warning."""
    return [name for name in feed.tables if name != feed.main and name not in HISTORIES]


def _left_out(feed: Feed) -> list[Column]:
    """A phrase for each row that is left out, and one for a record that `where` leaves without any row."""
    rows = [
        F.when(F.col(name).isNotNull() & ~_is_whole(feed, name), F.lit(f"{name}_left_out")) for name in _others(feed)
    ]
    if feed.key or not all(target.where or name in HISTORIES for name, target in feed.tables.items()):
        return rows
    has_none = reduce(lambda both, one: both & one, [F.col(name).isNull() for name in feed.tables])
    return [*rows, F.when(has_none, F.lit("left_out"))]


def _row_or_none(feed: Feed, name: str) -> Column:
    return F.when(_is_whole(feed, name), F.col(name)).alias(name) if name in _others(feed) else F.col(name)


def _is_whole(feed: Feed, name: str) -> Column:
    there = [F.col(name).getField(column).isNotNull() for column in _required(feed, name)]
    return reduce(lambda both, one: both & one, there)


def _required(feed: Feed, name: str) -> list[str]:
    """Columns without which there is no row: those promised, and all of its natural key."""
    promised = [column.name for column in HISTORIES.get(name, CONFORMED[name]).columns if not column.nullable]
    return [column for column in dict.fromkeys([*promised, *feed.tables[name].key]) if column not in ORIGIN_NAMES]


def _misfits(records: DataFrame, context: Context, name: str, target: Target) -> list[Column]:
    """A phrase for each cell that is null though what makes it is there, and for each that is too large to add up."""
    return [*_unmade(records, context, name, target), *_too_large(name, target)]


def _too_large(name: str, target: Target) -> list[Column]:
    """A phrase for each amount and number of pieces from LARGEST on: it is a mistake, and would fail every sum.

    `unit_price` is never added up: what follows from it, `amount`, is.
    """
    table, row = HISTORIES.get(name, CONFORMED[name]), F.col(name)
    told = {*target.columns, *(["amount"] if name == "order_lines" else [])}
    return [
        F.when(F.abs(row.getField(column.name)) >= LARGEST, F.lit(f"{column.name} is {LARGEST:,} or more"))
        for column in table.columns
        if column.name in told and column.unit in ("money", "piece") and column.name != "unit_price"
    ]


def _unmade(records: DataFrame, context: Context, name: str, target: Target) -> list[Column]:
    """A phrase for each cell that is null though what makes it is there; that is asked only of a null."""
    table, row = HISTORIES.get(name, CONFORMED[name]), F.col(name)
    types = _types(records, target.columns)
    said = {
        column: F.expr(text).isNotNull()
        for column, text in target.columns.items()
        if _may_misfit(types[column], table[column].type) or _is_converted(context, table[column])
    }
    if name == "order_lines":
        said.setdefault("amount", row.getField("quantity").isNotNull() & row.getField("unit_price").isNotNull())
    return [
        F.when(
            row.isNotNull() & row.getField(column).isNull() & is_said & _is_rated(context, table[column]),
            F.lit(f"{column} is not {meant(table[column].type)}"),
        )
        for column, is_said in said.items()
    ]


def _is_converted(context: Context, column: Field) -> bool:
    return column.unit == "money" and context.is_foreign


def _is_rated(context: Context, column: Field) -> Column:
    """Without a rate an amount waits for one."""
    return F.col(RATE).isNotNull() if _is_converted(context, column) else F.lit(True)


def _may_misfit(found: str, wanted: str) -> bool:
    """Whether a value can be none of the wanted type: text, a number too large, or one that is not finite."""
    if wanted in ("timestamp", "date"):
        return found == "string"
    return wanted == "double" or (wanted != "string" and found not in (wanted, "int"))


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
    row = F.col(feed.main)
    lacking = [
        F.when(row.isNotNull() & row.getField(name).isNull(), F.lit(f"{name} is missing"))
        for name in _required(feed, feed.main)
    ]
    if feed.main in HISTORIES:
        is_wanted = F.expr(feed.tables[feed.main].where or "true")
        lacking.append(F.when(row.isNull() & is_wanted, F.lit(f"{CONFORMED[feed.main].key[0]} is missing")))
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
    return phrases([F.when(~F.expr(rule.check), F.lit(rule.name)) for rule in rules if rule.severity == severity])
