"""Customer value analysis: what each group of customers brought, costs, is worth, and will bring.

Customers are grouped in several ways, and each way parts all of them: `rfm` (named segments), `kmeans` (those who
behave alike), `decile` (tenths by value, 01 worth most), `cohort` (month of the first purchase), and by attributes.

What single customers will buy cannot be added up to what a group will buy, but for its mean: chance evens out, the
doubt of parameters does not. So intervals of a group come from draws of its total (`kernels.predictive`), to which
each customer adds; parts of a group may lie anywhere.

References
----------
Kumar, V., Reinartz, W. (2018). Customer Relationship Management, 3rd ed., ch. 5-6: value of customers and segments.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial, reduce
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from scipy import sparse

from crm_spark.core.contracts import Field, Table
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.predictive import Customers, Uncertain, intervals_of_groups, sums_of_groups
from crm_spark.value.clv import SHARES, _told, _uncertain
from crm_spark.value.models import BUYING

UNKNOWN = "(unknown)"
DECILES = 10
GROUPINGS = ("rfm", "kmeans", "decile", "cohort")
AT_ONCE = 4_096  # customers whose draws fit into the cache


def _bands(name: str, meaning: str, unit: str) -> list[Field]:
    return [
        Field(
            f"{name}_{share}",
            "double",
            f"{meaning} together: with {int(share[1:])} % it is this or less",
            unit=unit,
            nullable=True,
        )
        for share in SHARES
    ]


GROUPS = Table(
    "value_groups",
    "What each group of customers brought, costs, is worth and will bring, as of a day.",
    owns="as_of",
    key=["as_of", "grouping", "group"],
    columns=[
        Field("as_of", "date", "the day the numbers speak for"),
        Field("grouping", "string", "by what customers are grouped: rfm, kmeans, decile, cohort, or an attribute"),
        Field("group", "string", f"the group; {UNKNOWN} for who is in none"),
        Field("customers", "bigint", "who bought until then", unit="customer"),
        Field("revenue", "double", "what their days with an order brought so far", unit="money"),
        Field("margin", "double", "what of it stayed after all costs", unit="money", nullable=True),
        Field("cost_to_serve", "double", "what contacts and service cost so far", unit="money", nullable=True),
        Field("value", "double", "what they are expected to bring, discounted", unit="money", nullable=True),
        Field("valued", "bigint", "customers of whom a value is known", unit="customer"),
        Field("share_of_customers", "double", "0 to 1"),
        Field("share_of_revenue", "double", "of all customers' revenue", nullable=True),
        Field("share_of_margin", "double", "of all customers' margin", nullable=True),
        Field("share_of_value", "double", "of all customers' value", nullable=True),
        Field("value_mean", "double", "of one of them", unit="money", nullable=True),
        Field("value_deviation", "double", "standard deviation among them", unit="money", nullable=True),
        Field("horizon", "int", "days after `as_of` that are looked at", unit="day"),
        Field("expected_purchases", "double", "days with an order in the horizon", unit="day", nullable=True),
        *_bands("purchases", "days with an order in the horizon", "day"),
        Field("expected_revenue", "double", "what they bring, before discount and cost", unit="money", nullable=True),
        *_bands("revenue", "what they bring", "money"),
        Field("reason", "string", "why something is not told", nullable=True),
    ],
)

HISTORY = ("frequency", "recency", "age", "monetary")
NO_MARGINS = "customer_margins tells none of this day"
NOTHING = ": all customers together have none"
SUMS = "grouping string, `group` string, what string, sums array<double>, reason string"


def gather(
    clv: DataFrame,
    rfm_scores: DataFrame,
    customer_segments: DataFrame,
    customer_features: DataFrame,
    customer_margins: DataFrame,
    as_of: date,
    attributes: Sequence[str] = (),
) -> DataFrame:
    """Bring together of each customer what groups are made by, and what is summed up.

    Parameters
    ----------
    clv : DataFrame of CLV
        Its customers are those who are told of.
    rfm_scores, customer_segments, customer_features, customer_margins : DataFrame
        Of each, rows of other days are ignored; it may have none.
    attributes : sequence of str
        Columns of CUSTOMER_FEATURES.

    Returns
    -------
    DataFrame
        A row for each customer: columns of CLV, `margin` and `cost_to_serve` [money], and a column for each grouping
        but `decile`. One shuffle of each table by customer.
    """

    def of_day(rows: DataFrame, *columns: Column | str) -> DataFrame:
        return rows.where(F.col("as_of") == F.lit(as_of)).select("customer_id", *columns)

    cohort = F.date_format(F.date_sub(F.lit(as_of), F.col("age")), "yyyy-MM").alias("cohort")
    told = [*HISTORY, "revenue", "horizon", "value", "expected_purchases", "expected_spend", "expected_revenue"]
    cost = F.col("contact_cost") + F.col("service_cost")
    beside = [
        of_day(rfm_scores, F.col("segment").alias("rfm")),
        of_day(customer_segments, F.col("segment").alias("kmeans")),
        of_day(customer_features, *attributes),
        of_day(
            customer_margins,
            F.col("margin").cast("double").alias("margin"),
            cost.cast("double").alias("cost_to_serve"),
            F.when(F.col("margin").isNull(), F.col("reason")).alias("no_margin"),
        ),
    ]
    customers = of_day(clv, *told, F.col("reason").alias("no_value"), cohort)
    joined = reduce(lambda rows, more: rows.join(more, "customer_id", "left"), beside, customers)
    return joined.withColumns({name: F.coalesce(name, F.lit(UNKNOWN)) for name in ("rfm", "kmeans", *attributes)})


def tenth(customers: DataFrame, ranked: DataFrame) -> DataFrame:
    """Add the decile of the value: 01 for the tenth that is worth most, of equal value by key.

    Parameters
    ----------
    customers : DataFrame
        As `gather` gives it.
    ranked : DataFrame
        As `ranks.rank` gives it for the measure `value`: where a tenth ends is one row that is joined back.
    """
    tenths = [F.floor((F.col("rank") - back) * DECILES / F.col("among")) for back in (0, 1)]
    starts = ranked.where((F.col("measure") == "value") & (F.col("rank") > 0) & (tenths[0] > tenths[1]))
    cuts = starts.agg(F.collect_list(F.struct("amount", "customer_id", tenths[0].alias("tenth"))).alias("cuts"))

    def is_reached(cut: Column) -> Column:
        is_equal = (F.col("value") == cut["amount"]) & (F.col("customer_id") >= cut["customer_id"])
        return (F.col("value") < cut["amount"]) | is_equal

    reached = F.transform(F.filter("cuts", is_reached), lambda cut: cut["tenth"])
    decile = F.format_string("%02d", F.coalesce(F.array_max(reached), F.lit(0)) + 1)
    known = F.when(F.col("value").isNotNull(), decile).otherwise(F.lit(UNKNOWN))
    return customers.crossJoin(F.broadcast(cuts)).withColumn("decile", known).drop("cuts")


def describe(customers: DataFrame, totals: DataFrame, as_of: date, groupings: Sequence[str]) -> DataFrame:
    """Sum up every group of every grouping.

    Parameters
    ----------
    customers : DataFrame
        As `tenth` gives it.
    totals : DataFrame
        As `total` gives it.
    groupings : sequence of str
        Columns of `customers`.

    Returns
    -------
    DataFrame of GROUPS
        One pass, one shuffle of sums for each group.
    """
    sums = (
        listed(customers, groupings)
        .groupBy("grouping", "group")
        .agg(
            F.count("*").alias("customers"),
            *[F.sum(name).alias(name) for name in ("revenue", "margin", "cost_to_serve", "value")],
            F.count("value").alias("valued"),
            F.avg("value").alias("value_mean"),
            F.stddev_pop("value").alias("value_deviation"),
            F.max("horizon").alias("horizon"),
            *[F.sum(name).alias(name) for name in ("expected_purchases", "expected_revenue")],
            F.min("no_value").alias("no_value"),
            F.min("no_margin").alias("no_margin"),
        )
    )
    shares = {f"share_of_{name}": _share(name) for name in ("customers", "revenue", "margin", "value")}
    why = F.concat_ws(
        "; ",
        F.when(F.col("value").isNull(), F.concat(F.lit("no value: "), "no_value")),
        F.when(F.col("margin").isNull(), F.concat(F.lit("no margin: "), F.coalesce("no_margin", F.lit(NO_MARGINS)))),
        *[
            F.when(F.col(name).isNotNull() & F.col(f"share_of_{name}").isNull(), F.lit(f"no share of {name}{NOTHING}"))
            for name in ("revenue", "margin", "value")
        ],
        F.when(F.col("value").isNotNull(), F.col("no_total")),
    )
    told = sums.withColumns(shares).join(F.broadcast(totals), ["grouping", "group"], "left")
    return told.withColumns({"as_of": F.lit(as_of), "reason": F.nullif(why, F.lit(""))}).select(*GROUPS.names)


def listed(customers: DataFrame, groupings: Sequence[str]) -> DataFrame:
    """A row for each customer and grouping, with `grouping` and `group`."""
    groups = F.array(*[F.struct(F.lit(name).alias("grouping"), F.col(name).alias("group")) for name in groupings])
    return customers.select("*", F.explode(groups).alias("of")).select("*", "of.*")


def _share(name: str) -> Column:
    """A group's part of the sum of its grouping, which has few groups; null where that is not above 0."""
    all_ = F.sum(name).over(Window.partitionBy("grouping"))
    return F.when(all_ > 0, F.col(name) / all_)


# -- what groups will bring


def total(customers: DataFrame, parameters: DataFrame, groupings: Sequence[str]) -> DataFrame:
    """Give quantiles of what each group will buy and bring in the horizon, by chance and by doubts of the models.

    Parameters
    ----------
    customers : DataFrame
        As `tenth` gives it.
    parameters : DataFrame of PARAMETERS
        Of the same day.
    groupings : sequence of str
        Columns of `customers`.

    Returns
    -------
    DataFrame
        `grouping`, `group`, `purchases_p05` … `revenue_p95`, `no_total`, the reason for what is missing. One shuffle by
        frequency and age; each worker adds up its customers, then sums of a few hundred numbers for each group meet.
    """
    columns = ["key", *HISTORY, "horizon", "is_valued", *groupings]
    known = customers.withColumns({"key": F.xxhash64("customer_id"), "is_valued": F.col("value").isNotNull()})
    # Futures are drawn once for each frequency and age, so those of one kind go to one worker, one after the other.
    alike = known.select(*columns).repartition("frequency", "age").sortWithinPartitions("age", "frequency", "key")
    told = F.broadcast(_told(parameters))
    is_first = F.monotonically_increasing_id().bitwiseAND((1 << 33) - 1) == 0
    asked = alike.crossJoin(told).select(*columns, F.when(is_first, F.to_json("told")).alias("told"))
    sums = asked.mapInArrow(partial(_sums, groupings=list(groupings)), SUMS)
    bands = ", ".join(f"{name}_{share} double" for name in ("purchases", "revenue") for share in SHARES)
    return sums.groupBy("grouping", "group").applyInArrow(
        _quantiles, f"grouping string, `group` string, {bands}, no_total string"
    )


def _sums(batches: Iterator[pa.RecordBatch], groupings: list[str]) -> Iterator[pa.RecordBatch]:
    """Add up what a worker's customers draw, for each group."""
    learned: dict[str, Any] | None = None
    sums: dict[tuple[str, str, str], Floats] = {}
    reason = None
    for batch in batches:
        if not batch.num_rows:
            continue
        learned = learned or json.loads(batch.column("told")[0].as_py())
        for at in range(0, batch.num_rows, AT_ONCE):
            drawn, reason = _drawn(pa.Table.from_batches([batch.slice(at, AT_ONCE)]), learned, groupings)
            for of, numbers in drawn.items():
                sums[of] = sums[of] + numbers if of in sums else numbers
    names, values = list(sums), list(sums.values())
    columns = [pa.array([name[at] for name in names], pa.string()) for at in range(3)]
    told = pa.array([reason] * len(names), pa.string())
    yield pa.RecordBatch.from_arrays(
        [*columns, pa.array(values, pa.list_(pa.float64())), told], ["grouping", "group", "what", "sums", "reason"]
    )


def _drawn(
    customers: pa.Table, learned: Mapping[str, Any], groupings: Sequence[str]
) -> tuple[dict[tuple[str, str, str], Floats], str | None]:
    """Sums of the draws of each group, and why there are none of money."""
    buying, money = (_uncertain(learned, kind) for kind in ("buying", "money"))
    if buying is None:
        return {}, None
    x, t_x, T, mean = (
        np.asarray(customers.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64) for name in HISTORY
    )
    unit, horizon = learned["unit_days"], customers.column("horizon")[0].as_py()
    is_valued = customers.column("is_valued").to_numpy()
    these = Customers(x, t_x / unit, T / unit, np.where((x == 0) | (mean > 0), x, 0.0), np.where(mean > 0, mean, 1.0))
    key = (customers.column("key").to_numpy() & 0xFFFFFFFF).astype(np.uint32)
    each = np.arange(x.size)
    model = BUYING[learned["model"]]
    reason = None
    if money is not None and min(money.parameters[1], *money.around()[1]) <= 1:
        money, reason = None, "no interval of the revenue: the mean worth of a purchase is known too badly"
    # Without a model of money the purchases are told all the same.
    spending = money or Uncertain(np.array([1.0, 2.0, 1.0]), np.zeros((3, 3)))
    purchases, brought = sums_of_groups(model, buying, spending, these, horizon / unit, key, each)
    of: dict[tuple[str, str, str], Floats] = {}
    for grouping in groupings:
        coded = customers.column(grouping).combine_chunks().dictionary_encode()
        codes, names = coded.indices.to_numpy(), coded.dictionary.to_pylist()
        added = _adding(codes, np.ones(x.size), len(names)) @ purchases
        of |= {(grouping, name, "purchases"): row for name, row in zip(names, added, strict=True)}
        if money is not None:
            added = _adding(codes, is_valued.astype(np.float64), len(names)) @ brought
            of |= {(grouping, name, "revenue"): row for name, row in zip(names, added, strict=True)}
    return of, reason


def _adding(codes: NDArray[np.int32], weights: Floats, groups: int) -> sparse.csr_array:
    """A matrix that adds up the rows of each group."""
    return sparse.csr_array((weights, (codes, np.arange(codes.size))), shape=(groups, codes.size))


def _quantiles(key: tuple[pa.Scalar, ...], parts: pa.Table) -> pa.Table:
    """Quantiles of one group's totals, from the sums of its parts."""
    rows = parts.to_pylist()
    told: list[float | None] = []
    for what in ("purchases", "revenue"):
        sums = [row["sums"] for row in rows if row["what"] == what]
        told += list(intervals_of_groups(np.sum(sums, axis=0)[None])[0]) if sums else [None] * len(SHARES)
    reason = max((row["reason"] for row in rows if row["reason"]), default=None)
    names = [f"{name}_{share}" for name in ("purchases", "revenue") for share in SHARES]
    columns = [pa.array([of.as_py()], pa.string()) for of in key]
    columns += [pa.array([number], pa.float64()) for number in told]
    return pa.Table.from_arrays([*columns, pa.array([reason], pa.string())], ["grouping", "group", *names, "no_total"])
