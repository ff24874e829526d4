"""The value bridge: why revenue, and margin, of the last days differ from those of as many days before.

Whole amounts are those of customers who were won (first purchase), came back (bought earlier, not in the days before)
and were lost (bought in the days before, not in the last ones). Money of who bought in neither, as for what was brought
back later, goes with the lost, among whom they do not count. Who bought in both periods brings, in each group,

    revenue = orders of all x the group's part of them x revenue of an order
    margin  = the same x share of the revenue that stays

and the difference is parted among these factors: frequency, mix, basket, margin share (that of each period's last day,
where `customer_margins` told one then). Each gets the mean of what it
moves over all orders in which the factors can change one after the other (the Shapley value). So nothing is left over,
and no order of factors is preferred. Parts of groups add up, too.

References
----------
Dietzenbacher, E., Los, B. (1998). Structural Decomposition Techniques: Sense and Sensitivity. Economic Systems Research
10(4), 307-324.
Shorrocks, A. F. (2013). Decomposition procedures for distributional analysis. J. Economic Inequality 11, 99-126.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import reduce
from itertools import combinations
from math import factorial

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.value.groups import UNKNOWN, of_day
from crm_spark.value.margins import no_share, shares

WHOLE = ("won", "returned", "lost")
FACTORS = ("frequency", "mix", "basket", "margin_share")
PARTS = ("before", *WHOLE, *FACTORS, "now")

BRIDGE = Table(
    "value_bridge",
    "Why revenue and margin of the last days differ from those of as many days before, as of a day.",
    owns="as_of",
    key=["as_of", "measure", "group", "part"],
    columns=[
        Field("as_of", "date", "the last day of the last days"),
        Field("since", "date", "the last day of the days before"),
        Field("period", "int", "days of each", unit="day"),
        Field("measure", "string", "revenue or margin"),
        Field("group", "string", f"the customers' group; {UNKNOWN} for who is in none"),
        Field(
            "part",
            "string",
            f"{', '.join(PARTS)}: what lies between adds up to now less before; lost: with the money of who bought in "
            "neither period; margin_share: more or less of the money stays",
        ),
        Field("position", "int", "place of the part, from 0"),
        Field("amount", "double", "what it was, or what the part moved", unit="money", nullable=True),
        Field("customers", "bigint", "who bought, of whom it is", unit="customer"),
        Field("reason", "string", "why there is no amount", nullable=True),
    ],
)


def compare(
    customer_days: DataFrame,
    customer_features: DataFrame,
    customer_margins: DataFrame,
    as_of: date,
    period: int = 90,
    attribute: str = "channel",
    net: bool = False,
) -> DataFrame:
    """Part the difference between two periods.

    Parameters
    ----------
    customer_days : DataFrame of CUSTOMER_DAYS
        Days after `as_of` are ignored.
    customer_features : DataFrame of CUSTOMER_FEATURES
        Other days than `as_of` are ignored; it may have none.
    customer_margins : DataFrame of MARGINS
        Only `as_of` and the last of the days before are looked at. Whose share was not told then had the one of now.
    period : int, default 90
        Days of each period; where there are not twice as many since the first purchase, half of those there are.
    attribute : str, default "channel"
        Column of CUSTOMER_FEATURES: the groups, as they are as of the day. Whoever changes group changes it in both
        periods.
    net : bool, default False
        Whether returns are taken off the money. No margin is told then, as its share is of money before returns.

    Returns
    -------
    DataFrame of BRIDGE
        A row for each measure, group and part. Two passes over `customer_days`, one shuffle of each table by customer.
    """
    if period < 1:
        raise ValueError(f"period must be 1 or more, got {period}")
    sums = summed(customer_days, as_of, period, net)
    groups = of_day(customer_features, as_of, F.col(attribute).alias("group"))
    stays = shares(customer_margins, as_of, net)
    stayed = shares(customer_margins, as_of - timedelta(period), net)
    customers = (
        sums.join(groups, "customer_id", "left")
        .join(stays, "customer_id", "left")
        .join(stayed.withColumnRenamed("margin_share", "share_then"), "customer_id", "left")
    )
    # Where the periods are cut short, the days before end on another day.
    then = F.coalesce(F.when(F.col("period") == period, F.col("share_then")), "margin_share")
    return parted(by_group(customers.withColumn("share_before", then)), as_of, net)


def summed(customer_days: DataFrame, as_of: date, period: int, net: bool) -> DataFrame:
    """One row per customer of either period: what they are to the shop, orders and money in both."""
    days = customer_days.where(F.col("day") <= F.lit(as_of))
    first = days.where(F.col("orders") > 0).agg(F.min("day").alias("first"))
    half = F.floor((F.date_diff(F.lit(as_of), "first") + 1) / 2)
    span = first.where(F.col("first").isNotNull()).select(
        F.greatest(F.lit(1), F.least(F.lit(period), half)).cast("int").alias("period")
    )
    money = F.col("sales") - F.col("returns") if net else F.col("sales")
    ago = F.date_diff(F.lit(as_of), "day")
    is_now, is_before = ago < F.col("period"), (ago >= F.col("period")) & (ago < 2 * F.col("period"))
    customers = (
        days.crossJoin(F.broadcast(span))
        .groupBy("customer_id", "period")
        .agg(
            *[
                F.sum(F.when(then, F.col("orders")).otherwise(0)).alias(f"orders_{name}")
                for name, then in _then(is_now, is_before)
            ],
            *[F.sum(F.when(then, money)).alias(f"money_{name}") for name, then in _then(is_now, is_before)],
            F.bool_or((F.col("orders") > 0) & ~is_now).alias("is_old"),
        )
    )
    has_orders = [F.col(f"orders_{name}") > 0 for name in ("now", "before")]
    kind = (
        F.when(has_orders[0] & has_orders[1], "kept")
        .when(has_orders[0], F.when(F.col("is_old"), "returned").otherwise("won"))
        .otherwise("lost")
    )
    is_there = F.coalesce("money_now", "money_before").isNotNull()
    zero = F.lit(0.0)
    return customers.where(is_there).withColumns(
        {
            "kind": kind,
            **{f"money_{name}": F.coalesce(F.col(f"money_{name}").cast("double"), zero) for name in ("now", "before")},
        }
    )


def by_group(customers: DataFrame) -> DataFrame:
    """One row per group: orders of those who were kept, and for each kind of customers how many, money and margin."""
    kinds = (*WHOLE, "kept")
    # With the lost goes money of who bought in neither period.
    bought = (F.col("orders_now") > 0) | (F.col("orders_before") > 0)
    told = []
    for kind in kinds:
        is_kind = F.col("kind") == kind
        told.append(F.count_if(is_kind & bought).alias(f"customers_{kind}"))
        for name, share in (("before", "share_before"), ("now", "margin_share")):
            money = F.col(f"money_{name}")
            told.append(F.sum(F.when(is_kind, money).otherwise(0.0)).alias(f"revenue_{kind}_{name}"))
            margin = F.when(is_kind, money * F.coalesce(share, F.lit(0.0))).otherwise(0.0)
            told.append(F.sum(margin).alias(f"margin_{kind}_{name}"))
    kept = [
        F.sum(F.when(F.col("kind") == "kept", F.col(f"orders_{name}")).otherwise(0))
        .cast("double")
        .alias(f"kept_{name}")
        for name in ("before", "now")
    ]
    group = F.coalesce("group", F.lit(UNKNOWN)).alias("group")
    return customers.groupBy(group).agg(
        *told, *kept, F.max("period").alias("period"), F.count("margin_share").alias("shares")
    )


def parted(groups: DataFrame, as_of: date, net: bool) -> DataFrame:
    """A row for each measure, group and part."""
    all_ = Window.partitionBy(F.lit(0))  # groups are few
    totals = {f"all_{name}": F.sum(f"kept_{name}").over(all_) for name in ("before", "now")}
    groups = groups.withColumns({**totals, "has_shares": F.sum("shares").over(all_) > 0})
    rows = [*_parts("revenue", FACTORS[:3]), *_parts("margin", FACTORS)]
    told = groups.select("group", "period", "has_shares", F.explode(F.array(*rows)).alias("of"))
    is_known = (F.col("of.measure") == "revenue") | F.col("has_shares")
    return told.select(
        F.lit(as_of).alias("as_of"),
        F.date_sub(F.lit(as_of), F.col("period")).alias("since"),
        "period",
        "of.measure",
        "group",
        "of.part",
        "of.position",
        F.when(is_known, F.col("of.amount")).alias("amount"),
        "of.customers",
        F.when(~is_known, F.lit(no_share(net))).alias("reason"),
    )


def _parts(measure: str, factors: Sequence[str]) -> list[Column]:
    """The rows of a group for one measure, as structs."""
    sums = {
        name: _total([F.col(f"{measure}_{kind}_{name}") for kind in (*WHOLE, "kept")]) for name in ("before", "now")
    }
    orders = [(F.col(f"all_{name}"), F.col(f"kept_{name}")) for name in ("before", "now")]
    revenue = [F.col(f"revenue_kept_{name}") for name in ("before", "now")]
    margin = [F.col(f"margin_kept_{name}") for name in ("before", "now")]
    ways = {
        "frequency": [all_ for all_, _ in orders],
        "mix": [_ratio(own, all_) for all_, own in orders],
        "basket": [_ratio(money, own) for money, (_, own) in zip(revenue, orders, strict=True)],
        "margin_share": [_ratio(stays, money) for stays, money in zip(margin, revenue, strict=True)],
    }
    moved = shapley([(ways[name][0], ways[name][1]) for name in factors])
    amounts = {
        "before": sums["before"],
        **{kind: F.col(f"{measure}_{kind}_now") - F.col(f"{measure}_{kind}_before") for kind in WHOLE},
        **dict(zip(factors, moved, strict=True)),
        "now": sums["now"],
    }
    counts = {kind: F.col(f"customers_{kind}") for kind in (*WHOLE, "kept")}
    of = {
        "before": counts["lost"] + counts["kept"],
        "now": counts["won"] + counts["returned"] + counts["kept"],
        **{kind: counts[kind] for kind in WHOLE},
    }
    return [
        F.struct(
            F.lit(measure).alias("measure"),
            F.lit(part).alias("part"),
            F.lit(PARTS.index(part)).alias("position"),
            amount.alias("amount"),
            of.get(part, counts["kept"]).alias("customers"),
        )
        for part, amount in amounts.items()
    ]


def shapley(factors: Sequence[tuple[Column, Column]]) -> list[Column]:
    """Part the difference of two products among their factors.

    Parameters
    ----------
    factors : sequence of (before, now)

    Returns
    -------
    list of Column
        For each factor what it moves, on average over all orders in which the factors can change; 2^(n - 1) terms.
    """
    n = len(factors)
    moved = []
    for k, (before, now) in enumerate(factors):
        others = [at for at in range(n) if at != k]
        terms = []
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for changed in combinations(others, size):
                fixed = [factors[at][1 if at in changed else 0] for at in others]
                terms.append(reduce(lambda product, one: product * one, fixed, (now - before) * F.lit(weight)))
        moved.append(_total(terms))
    return moved


def _then(is_now: Column, is_before: Column) -> list[tuple[str, Column]]:
    return [("now", is_now), ("before", is_before)]


def _total(terms: Sequence[Column]) -> Column:
    return reduce(lambda total, term: total + term, terms)


def _ratio(part: Column, whole: Column) -> Column:
    return F.coalesce(F.try_divide(part, whole), F.lit(0.0))
