"""Customer value analysis: what each group of customers brought, costs, is worth, and will bring.

Customers are grouped in several ways, and each way parts all of them: `rfm` (named segments), `kmeans` (those who
behave alike), `decile` (tenths by value, 01 worth most), `cohort` (month of the first purchase), and by attributes.

What a group as a whole will bring is told by `totals`.

References
----------
Kumar, V., Reinartz, W. (2018). Customer Relationship Management, 3rd ed., ch. 5-6: value of customers and segments.
"""

from collections.abc import Sequence
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.value.bands import banded
from crm_spark.value.histories import bought

UNKNOWN = "(unknown)"
DECILES = 10
GROUPINGS = ("rfm", "kmeans", "decile", "cohort")


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
        Field(
            "value", "double", "what stays of what they are expected to bring, discounted", unit="money", nullable=True
        ),
        Field("valued", "bigint", "customers of whom a value is known", unit="customer"),
        Field("share_of_customers", "double", "0 to 1"),
        Field("share_of_revenue", "double", "of all customers' revenue", nullable=True),
        Field("share_of_margin", "double", "of all customers' margin", nullable=True),
        Field("share_of_value", "double", "of all customers' value", nullable=True),
        Field("value_mean", "double", "of one of them", unit="money", nullable=True),
        Field("value_deviation", "double", "standard deviation among them", unit="money", nullable=True),
        Field("horizon", "int", "days after `as_of` that are looked at", unit="day"),
        Field("expected_purchases", "double", "days with an order in the horizon", unit="day", nullable=True),
        *banded("purchases", "double", "days with an order in the horizon together", "day"),
        Field("expected_revenue", "double", "what they bring, before discount and cost", unit="money", nullable=True),
        *banded("revenue", "double", "what they bring together", "money"),
        Field("reason", "string", "why something is not told", nullable=True),
    ],
)

HISTORY = ("frequency", "recency", "age", "monetary")
NO_MARGINS = "customer_margins tells none of this day"
NOTHING = ": all customers together have none"


def of_day(rows: DataFrame, as_of: date, *columns: Column | str) -> DataFrame:
    """What is known of each customer as of a day."""
    return rows.where(F.col("as_of") == F.lit(as_of)).select("customer_id", *columns)


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
        Its customers who bought are those who are told of.
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
    told = [*HISTORY, "covariates", "revenue", "horizon", "value", "expected_purchases", "expected_revenue"]
    cost = F.col("contact_cost") + F.col("service_cost")
    beside = [
        of_day(rfm_scores, as_of, F.col("segment").alias("rfm")),
        of_day(customer_segments, as_of, F.col("segment").alias("kmeans")),
        of_day(customer_features, as_of, "tenure_days", *attributes),
        of_day(
            customer_margins,
            as_of,
            F.col("margin").cast("double").alias("margin"),
            cost.cast("double").alias("cost_to_serve"),
            F.when(F.col("margin").isNull(), F.col("reason")).alias("no_margin"),
        ),
    ]
    customers = of_day(bought(clv), as_of, *told, F.col("reason").alias("no_value"))
    joined = reduce(lambda rows, more: rows.join(more, "customer_id", "left"), beside, customers)
    # With chances of several days `age` is from the end of the first one, which may lie in the next month.
    first = F.date_sub(F.lit(as_of), F.coalesce("tenure_days", "age"))
    known = {name: F.coalesce(name, F.lit(UNKNOWN)) for name in ("rfm", "kmeans", *attributes)}
    return joined.withColumns({"cohort": F.date_format(first, "yyyy-MM"), **known}).drop("tenure_days")


def add_deciles(customers: DataFrame, ranked: DataFrame) -> DataFrame:
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
        As `add_deciles` gives it.
    totals : DataFrame
        As `totals.draw` gives it.
    groupings : sequence of str
        Columns of `customers`.

    Returns
    -------
    DataFrame of GROUPS
        Two passes, the second over customers of whom something is not told. One shuffle of sums for each group, one of
        reasons.
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
    beside = [F.broadcast(of) for of in (reasons(customers, groupings), totals)]
    told = reduce(lambda rows, of: rows.join(of, ["grouping", "group"], "left"), beside, sums.withColumns(shares))
    return told.withColumns({"as_of": F.lit(as_of), "reason": F.nullif(why, F.lit(""))}).select(*GROUPS.names)


def reasons(customers: DataFrame, groupings: Sequence[str]) -> DataFrame:
    """A row for each group of whose customers something is not told: `no_value` and `no_margin`, one reason of each."""
    names = ["no_value", "no_margin"]
    untold = customers.where(F.coalesce(*names).isNotNull()).select(*groupings, *names)
    # The least of texts is found by sorting, so each reason is to be there once before: they are few. Of a plain
    # `distinct` Spark makes nothing here, as the least is the same without.
    each = listed(untold, groupings).groupBy("grouping", "group", *names).count().where("count > 0")
    return each.groupBy("grouping", "group").agg(*[F.min(name).alias(name) for name in names])


def listed(customers: DataFrame, groupings: Sequence[str]) -> DataFrame:
    """A row for each customer and grouping, with `grouping` and `group`."""
    groups = F.array(*[F.struct(F.lit(name).alias("grouping"), F.col(name).alias("group")) for name in groupings])
    return customers.select("*", F.explode(groups).alias("of")).select("*", "of.*")


def _share(name: str) -> Column:
    """A group's part of the sum of its grouping, which has few groups; null where that is not above 0."""
    all_ = F.sum(name).over(Window.partitionBy("grouping"))
    return F.when(all_ > 0, F.col(name) / all_)
