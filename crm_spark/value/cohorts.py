"""Cohorts: customers by the month of their first purchase, and how many of them buy in each month after it.

`retention` is the share of a cohort that buys in a month, `repeat_share` of those who bought on a second day until its
end, `revenue` what all of the cohort brought until then. Of a month that is not over, the last one, all of it grows
still.

References
----------
Fader, P. S., Hardie, B. G. S. (2009). Probability Models for Customer-Base Analysis. Journal of Interactive Marketing
23(1), 61-69: cohorts, and why retention rises with their age.
"""

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.value.margins import no_share, shares

COHORTS = Table(
    "cohorts",
    "How many customers of each month of the first purchase buy in the months after it, as of a day.",
    owns="as_of",
    key=["as_of", "cohort", "months_since"],
    columns=[
        Field("as_of", "date", "the last day that counts"),
        Field("cohort", "string", "month of the first purchase, as 2026-01"),
        Field("months_since", "int", "months after it; 0 is the month itself", unit="month"),
        Field("is_over", "boolean", "whether this month is over"),
        Field("customers", "bigint", "of the cohort", unit="customer"),
        Field("active", "bigint", "who bought in this month", unit="customer"),
        Field("retention", "double", "share of the cohort who did, 0 to 1"),
        Field("repeated", "bigint", "who bought on a second day until its end", unit="customer"),
        Field("repeat_share", "double", "share of the cohort who did, 0 to 1"),
        Field("revenue", "double", "what the cohort brought until its end", unit="money"),
        Field("revenue_mean", "double", "of one of its customers", unit="money"),
        Field(
            "expected_margin",
            "double",
            "what of it is expected to stay, by each one's `margin_share`",
            unit="money",
            nullable=True,
        ),
        Field("reason", "string", "why there is no margin", nullable=True),
    ],
)

SUMS = ("active", "repeated", "revenue", "expected_margin")


def follow(customer_days: DataFrame, customer_margins: DataFrame, as_of: date, net: bool = False) -> DataFrame:
    """Follow each cohort month by month.

    Parameters
    ----------
    customer_days : DataFrame of CUSTOMER_DAYS
        Days after `as_of` are ignored.
    customer_margins : DataFrame of MARGINS
        Other days than `as_of` are ignored; it may have none.
    net : bool, default False
        Whether returns are taken off the money. No margin is told then, as its share is of money before returns.

    Returns
    -------
    DataFrame of COHORTS
        One pass over each table, one shuffle of each by customer.
    """
    counts = counted(by_month(customer_days, as_of, net), shares(customer_margins, as_of, net))
    return cumulated(counts, as_of, net)


def by_month(customer_days: DataFrame, as_of: date, net: bool) -> DataFrame:
    """One row per customer and month with activity: days with an order, money, the first month, days so far."""
    money = F.col("sales") - F.col("returns") if net else F.col("sales")
    months = (
        customer_days.where(F.col("day") <= F.lit(as_of))
        # One shuffle by customer serves the months here and what goes on over them.
        .repartition("customer_id")
        .groupBy("customer_id", _month(F.col("day")).alias("month"))
        .agg(F.count_if(F.col("orders") > 0).alias("days"), F.sum(money).cast("double").alias("revenue"))
    )
    customer = Window.partitionBy("customer_id")
    so_far = customer.orderBy("month").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    first = F.min(F.when(F.col("days") > 0, F.col("month"))).over(customer)
    return months.withColumns({"first": first, "until": F.sum("days").over(so_far)})


def counted(months: DataFrame, margins: DataFrame) -> DataFrame:
    """One row per cohort and month with activity. What was brought back before a first purchase is left out."""
    is_repeated = (F.col("until") > 1) & (F.col("until") - F.col("days") < 2)
    bought = months.where(F.col("month") >= F.col("first")).join(margins, "customer_id", "left")
    return bought.groupBy("first", (F.col("month") - F.col("first")).alias("months_since")).agg(
        F.count_if(F.col("days") > 0).alias("active"),
        F.count_if(is_repeated).alias("repeated"),
        F.sum("revenue").alias("revenue"),
        F.sum(F.col("revenue") * F.col("margin_share")).alias("expected_margin"),
    )


def cumulated(counts: DataFrame, as_of: date, net: bool) -> DataFrame:
    """All months of each cohort, those in which nobody bought too, with what came until their end."""
    last = as_of.year * 12 + as_of.month - 1
    is_last_over = (as_of + timedelta(days=1)).day == 1
    cohorts = counts.groupBy("first").agg(F.collect_list(F.struct("months_since", *SUMS)).alias("of"))
    at = F.explode(F.sequence(F.lit(0), F.lit(last) - F.col("first"))).alias("months_since")
    dense = cohorts.select("first", at, "of")
    here = F.get(F.filter("of", lambda one: one["months_since"] == F.col("months_since")), F.lit(0))
    told = dense.select("first", "months_since", *[here[name].alias(name) for name in SUMS])
    cohort = Window.partitionBy("first")
    so_far = cohort.orderBy("months_since").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    # Whoever is of a cohort bought in its first month.
    customers = F.max(F.when(F.col("months_since") == 0, F.col("active"))).over(cohort)
    summed = told.withColumns(
        {
            "customers": customers,
            "active": F.coalesce("active", F.lit(0).cast("bigint")),
            **{name: F.sum(name).over(so_far) for name in SUMS[1:]},
        }
    )
    year, month = F.floor(F.col("first") / 12), F.col("first") % 12 + 1
    return summed.select(
        F.lit(as_of).alias("as_of"),
        F.format_string("%04d-%02d", year, month).alias("cohort"),
        "months_since",
        (F.lit(is_last_over) | (F.col("first") + F.col("months_since") < last)).alias("is_over"),
        "customers",
        "active",
        (F.col("active") / F.col("customers")).alias("retention"),
        "repeated",
        (F.col("repeated") / F.col("customers")).alias("repeat_share"),
        "revenue",
        (F.col("revenue") / F.col("customers")).alias("revenue_mean"),
        "expected_margin",
        F.when(F.col("expected_margin").isNull(), F.lit(no_share(net))).alias("reason"),
    )


def _month(day: Column) -> Column:
    """Number months, so that the next one is one more."""
    return F.year(day) * 12 + F.month(day) - 1
