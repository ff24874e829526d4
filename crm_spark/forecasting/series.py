"""What customers did, period by period: purchases, spend, visits and ratings, of each customer or of any group.

A series begins with the first whole period since its key was there, which is since anything at all is known of it, and
ends with the last that is over by `as_of`: periods of which a part alone is known are left out. Between them silence
is 0: nothing was bought, nobody came. Where nothing was rated there is no rating: it is missing. A key has a series of
a measure once there is anything to measure.

An order counts once for each key, on the day of its first sale line there; a visit likewise. Spend counts on the day
of the line, and returns take nothing off. A week begins on Monday.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial, reduce
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.features.snapshot import held

Period = Literal["day", "week", "month"]
Measure = Literal["purchases", "spend", "visits", "ratings"]

MEASURES: tuple[Measure, ...] = ("purchases", "spend", "visits", "ratings")
MEANS = ("ratings",)  # of which a period without any is missing, not 0
SEASONS: Mapping[Period, int] = {"day": 7, "week": 52, "month": 12}  # periods of a cycle
OF_CUSTOMER, OF_PRODUCT = ("region", "country"), ("category", "subcategory", "brand")
GROUPS = ("all", "customer", "segment", *OF_CUSTOMER, "channel", "product", *OF_PRODUCT)
AND, ALL = "+", "all"
AMOUNT = "decimal(28,8)"
FACTS = ("customer_id", "product_id", "channel", "measure", "once", "day", "amount")

AT_ONCE = 200_000  # values that a kernel is handed at once
OF_SERIES = ("grouping", "key", "measure")

KEYS = [
    Field("as_of", "date", "the day until which is known"),
    Field("grouping", "string", "whose series it is: customer, segment, channel+category, …, all"),
    Field(
        "key", "string", "which of them; of several their values, with + between (a + of a value: \\+)", personal=True
    ),
    Field("measure", "string", "purchases, spend, visits or ratings"),
]

SERIES = Table(
    "behaviour_series",
    "What customers did, period by period, until a day: a row for each series.",
    owns="as_of",
    key=["as_of", "grouping", "key", "measure"],
    columns=[
        *KEYS,
        Field("period", "string", "day, week (from Monday on) or month"),
        Field("first", "date", "the first day of the first whole period", nullable=True),
        Field("values", "array<double>", "of each period; null is missing"),
        Field("averages", "array<double>", "the moving average at each period", nullable=True),
        Field("trend", "array<double>", "by STL, of groups for which it is asked", nullable=True),
        Field("season", "array<double>", "what the season adds, by STL", nullable=True),
        Field("reason", "string", "why there is no trend where it is asked for", nullable=True),
    ],
)


def facts(order_lines: DataFrame, events: DataFrame, feedback: DataFrame, measures: Sequence[str]) -> DataFrame:
    """Give what can be measured, one row for each sale line, event and rating: columns FACTS.

    Parameters
    ----------
    order_lines, events, feedback : DataFrame
        Of the contracts of those names.
    measures : sequence of str
        Of MEASURES.

    Returns
    -------
    DataFrame
        `once` names the order or visit that counts once; it is null where amounts are summed up. One pass for each
        measure.
    """
    sales = order_lines.where(F.col("kind") == "sale").withColumn("day", F.col("ordered_on"))
    visit = F.coalesce("session_id", F.col("occurred_on").cast("string"))
    # What is infinite, or so large that no sum would be exact, is no rating.
    rated = feedback.where(F.col("rating").try_cast(AMOUNT).isNotNull()).withColumns(
        {"day": F.col("given_on"), "channel": F.lit(None).cast("string")}
    )
    none, one = F.lit(None).cast("struct<who string, what string>"), F.lit(1)
    told = {
        "purchases": (sales, _once("customer_id", F.col("order_id")), one),
        "spend": (sales, none, F.col("amount")),
        "visits": (events.withColumn("day", F.col("occurred_on")), _once("customer_id", visit), one),
        "ratings": (rated, none, F.col("rating")),
    }
    return reduce(
        DataFrame.unionByName,
        [
            rows.withColumns(
                {"measure": F.lit(name), "once": once, "amount": amount.cast(AMOUNT)}  # sums of these are exact
            ).select(*FACTS)
            for name, (rows, once, amount) in told.items()
            if name in measures
        ],
    )


def _once(who: str, what: Column) -> Column:
    return F.struct(F.col(who).alias("who"), what.alias("what"))


def gather(
    known: DataFrame,
    groupings: Sequence[str],
    period: Period,
    as_of: date,
    most: int = 156,
) -> DataFrame:
    """Gather series.

    Parameters
    ----------
    known : DataFrame
        As `facts` gives it, with a column for each group that is asked for (see `tell_groups`).
    groupings : sequence of str
        Of GROUPS, or several of them with + between. A fact without a value in one of them is left out there.
    period : str
    as_of : date
        What is dated later is ignored.
    most : int, default 156
        Periods of a series at most, the last ones.

    Returns
    -------
    DataFrame
        `grouping`, `key`, `measure`, `first`, `values`: one row for each series. Three shuffles: by order or visit, by
        period, by series; none of them hangs on how much one key did.
    """
    keys = [F.struct(F.lit(one).alias("grouping"), _key(one).alias("key")) for one in groupings]
    of_keys = known.where(F.col("day") <= F.lit(as_of)).select(
        "measure", "once", "day", "amount", F.explode(F.array(*keys)).alias("of")
    )
    each = of_keys.where(F.col("of.key").isNotNull()).select(
        "of.grouping", "of.key", "measure", "once", "day", "amount"
    )
    # What counts once does so on its first day; amounts are summed up by day.
    on = F.when(F.col("once").isNull(), F.col("day"))
    counted = each.groupBy("grouping", "key", "measure", "once", on.alias("on")).agg(
        F.min("day").alias("day"),
        F.when(F.col("once").isNull(), F.sum("amount")).otherwise(F.lit(1)).cast(AMOUNT).alias("amount"),
        F.count("*").alias("rows"),
    )
    mean = F.sum("amount").cast("double") / F.sum("rows")
    by_period = counted.groupBy("grouping", "key", "measure", _number(F.col("day"), period).alias("number")).agg(
        F.min("day").alias("day"),
        F.when(F.col("measure").isin(*MEANS), mean).otherwise(F.sum("amount").cast("double")).alias("value"),
    )
    place = F.array_position(F.array(*[F.lit(name) for name in MEASURES]), F.col("measure")).cast("int")
    whole = by_period.groupBy("grouping", "key").agg(
        (_number(F.date_sub(F.min("day"), 1), period) + 1).alias("began"),
        F.collect_list(F.struct(place.alias("measure"), "number", "value")).alias("told"),
    )
    last = number(as_of + timedelta(days=1), period) - 1
    laid = "grouping string, key string, measure string, number int, values array<double>"
    filled = whole.mapInArrow(partial(_filled, last=last, most=most), laid)
    first = F.when(F.size("values") > 0, _first_day(period))
    return filled.select("grouping", "key", "measure", first.alias("first"), "values")


def tell_groups(
    known: DataFrame,
    groupings: Sequence[str],
    segments: DataFrame,
    customer_history: DataFrame,
    product_history: DataFrame,
    as_of: date,
) -> DataFrame:
    """Add to facts the columns of the groups that are asked for.

    Parameters
    ----------
    known : DataFrame
        As `facts` gives it.
    segments : DataFrame
        `customer_id`, `segment`, one row for each customer at most.
    customer_history, product_history : DataFrame
        Of the contracts of those names.

    Returns
    -------
    DataFrame
        A join by customer where an attribute of theirs is asked for; products are broadcast.
    """
    asked = {name for one in groupings for name in one.split(AND)}
    if "segment" in asked:
        known = known.join(segments, "customer_id", "left")
    if of_customer := [name for name in OF_CUSTOMER if name in asked]:
        known = known.join(held(customer_history, "customer_id", of_customer, as_of), "customer_id", "left")
    if of_product := [name for name in OF_PRODUCT if name in asked]:
        known = known.join(F.broadcast(held(product_history, "product_id", of_product, as_of)), "product_id", "left")
    return known


def check(groupings: Sequence[str]) -> list[str]:
    """Give groupings, if each is of GROUPS or of several with + between.

    Raises
    ------
    ValueError
        It names those that are not.
    """
    strangers = [one for one in groupings if not set(one.split(AND)) <= set(GROUPS) or (AND in one and ALL in one)]
    if strangers:
        raise ValueError(
            f"{', '.join(map(repr, strangers))}: a grouping is one of {', '.join(GROUPS)}, or several with +"
        )
    return list(groupings)


def number(day: date, period: Period) -> int:
    """Number the period that a day is in: the next has one more."""
    if period == "month":
        return day.year * 12 + day.month - 1
    since = (day - date(1969, 12, 29)).days  # a Monday
    return since if period == "day" else since // 7


def day_after(periods: Column) -> Column:
    """Give the first day of the period that comes so many after the one of `first`; `period` says what one is."""
    days = F.when(F.col("period") == "week", periods * 7).otherwise(periods)
    return F.when(F.col("period") == "month", F.add_months("first", periods)).otherwise(F.date_add("first", days))


def _number(day: Column, period: Period) -> Column:
    if period == "month":
        return F.year(day) * 12 + F.month(day) - 1
    since = F.date_diff(day, F.lit(date(1969, 12, 29)))
    return since if period == "day" else F.floor(since / 7).cast("int")


def _first_day(period: Period) -> Column:
    if period == "month":
        return F.make_date(F.floor(F.col("number") / 12).cast("int"), F.col("number") % 12 + 1, F.lit(1))
    return F.date_add(F.lit(date(1969, 12, 29)), F.col("number") * (1 if period == "day" else 7))


def _key(grouping: str) -> Column:
    """The value by which rows go to a series; null where one of several is not known."""
    if grouping == ALL:
        return F.lit(ALL)
    columns = {"customer": "customer_id", "product": "product_id"}
    names = [columns.get(name, name) for name in grouping.split(AND)]
    is_known = reduce(Column.__and__, [F.col(name).isNotNull() for name in names])
    # A + that is part of a value would make two keys one.
    values = [F.regexp_replace(name, r"[+\\]", r"\\$0") for name in names] if len(names) > 1 else names
    return F.when(is_known, F.concat_ws(AND, *values))


# -- lifted: Arrow in, Arrow out


def alike(batches: Iterator[pa.RecordBatch], column: str, most: int = AT_ONCE) -> Iterator[tuple[pa.RecordBatch, Any]]:
    """Give series by a column in which few differ, so many values at once, and what stands in the column."""
    for some in _portions(batches, most):
        for value in some.column(column).unique():
            yield some.filter(pc.equal(some.column(column), value)), value.as_py()


def _portions(batches: Iterator[pa.RecordBatch], most: int) -> Iterator[pa.RecordBatch]:
    """Put series together, across the batches in which they come, until they have so many values."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        ends = np.cumsum(pc.fill_null(pc.list_value_length(batch.column("values")), 0).to_numpy())
        begin = 0
        while begin < batch.num_rows:
            before = int(ends[begin - 1]) if begin else 0
            end = max(int(np.searchsorted(ends, most - count + before, side="right")), begin + (not held))
            if end > begin:
                held.append(batch.slice(begin, end - begin))
                count += int(ends[end - 1]) - before
            if end < batch.num_rows:
                yield pa.concat_batches(held)
                held, count = [], 0
            begin = end
    if held:
        yield pa.concat_batches(held)


def _filled(batches: Iterator[pa.RecordBatch], last: int, most: int) -> Iterator[pa.RecordBatch]:
    """Lay what is known of periods out in whole series, with silence between."""
    for batch in batches:
        told = batch.column("told")
        flat = told.flatten()
        measure, at = (flat.field(name).to_numpy(zero_copy_only=False) for name in ("measure", "number"))
        value = flat.field("value").to_numpy(zero_copy_only=False)
        of = np.repeat(np.arange(len(told)), np.diff(told.offsets.to_numpy()))
        pairs, series = np.unique(of * len(MEASURES) + measure - 1, return_inverse=True)
        rows, measures = np.divmod(pairs, len(MEASURES))
        start = np.maximum(batch.column("began").to_numpy(), last - most + 1)[rows]
        offsets = np.append(0, np.cumsum(np.maximum(last - start + 1, 0)))
        silence = np.where([name in MEANS for name in MEASURES], np.nan, 0.0)
        dense = np.repeat(silence[measures], np.diff(offsets))
        is_in = (at >= start[series]) & (at <= last)
        dense[offsets[series[is_in]] + at[is_in] - start[series[is_in]]] = value[is_in]
        values = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(dense, from_pandas=True))
        taken = pa.array(rows)
        columns = [batch.column("grouping").take(taken), batch.column("key").take(taken)]
        columns += [pa.array(MEASURES).take(pa.array(measures)), pa.array(start, pa.int32()), values]
        yield pa.RecordBatch.from_arrays(columns, ["grouping", "key", "measure", "number", "values"])
