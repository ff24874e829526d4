"""Who moved from group to group since the last time, and what that is worth."""

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.value.groups import UNKNOWN
from crm_spark.value.histories import bought

NEW, GONE = "(new)", "(gone)"
NO_DAY = "no day before has values: all are new"
NO_VALUE = "of none of them there is a value on that day"
GROUPINGS = ("rfm", "kmeans")

MIGRATION = Table(
    "value_migration",
    "How many customers went from which group to which since the last time, and what they are worth, as of a day.",
    owns="as_of",
    key=["as_of", "grouping", "from_group", "to_group"],
    columns=[
        Field("as_of", "date", "the day that is now"),
        Field("since", "date", "the last day before it that has values", nullable=True),
        Field("grouping", "string", "by what customers are grouped: rfm or kmeans"),
        Field("from_group", "string", f"the group then; {NEW} who was no customer, {UNKNOWN} who was in none"),
        Field("to_group", "string", f"the group now; {GONE} who is no customer any more"),
        Field("customers", "bigint", "who went this way", unit="customer"),
        Field("value_before", "double", "what they were worth then; 0 of new ones", unit="money", nullable=True),
        Field("value_after", "double", "what they are worth now; 0 of those gone", unit="money", nullable=True),
        Field("revenue_between", "double", "by how much their revenue grew since then", unit="money"),
        Field("reason", "string", "why something is missing", nullable=True),
    ],
)


def migrate(
    customers: DataFrame,
    clv: DataFrame,
    clv_parameters: DataFrame,
    rfm_scores: DataFrame,
    customer_segments: DataFrame,
    as_of: date,
) -> DataFrame:
    """Sum up each way from group to group.

    Parameters
    ----------
    customers : DataFrame
        As `groups.gather` gives it.
    clv : DataFrame of CLV
    clv_parameters : DataFrame of PARAMETERS
        Tells the days of `clv`: the former one is the last before `as_of`.
    rfm_scores, customer_segments : DataFrame
        Of the day before it may have no rows.

    Returns
    -------
    DataFrame of MIGRATION
        Where no day before has values, all are new. One shuffle by customer of each table's rows of that day.
    """
    # As a subquery the day chooses the files that are opened. A join would do so in some plans only.
    since = clv_parameters.where(F.col("as_of") < F.lit(as_of)).agg(F.max("as_of")).scalar()

    def of_then(rows: DataFrame, *columns: Column | str) -> DataFrame:
        return rows.where(F.col("as_of") == since).select("customer_id", *columns)

    then = (
        of_then(
            bought(clv),
            F.col("as_of").alias("since"),
            F.col("value").alias("value_before"),
            F.col("revenue").alias("revenue_before"),
        )
        .join(of_then(rfm_scores, F.col("segment").alias("rfm_before")), "customer_id", "left")
        .join(of_then(customer_segments, F.col("segment").alias("kmeans_before")), "customer_id", "left")
        .withColumn("was", F.lit(True))
    )
    now = customers.select("customer_id", "value", "revenue", *GROUPINGS).withColumn("is", F.lit(True))
    ways = F.array(*[_way(name) for name in GROUPINGS])
    moved = now.join(then, "customer_id", "full").select("*", F.explode(ways).alias("way")).select("*", "way.*")
    sums = moved.groupBy("grouping", "from_group", "to_group").agg(
        F.count("*").alias("customers"),
        F.max("since").alias("since"),
        F.sum(F.when(F.col("was"), F.col("value_before")).otherwise(0.0)).alias("value_before"),
        F.sum(F.when(F.col("is"), F.col("value")).otherwise(0.0)).alias("value_after"),
        F.sum(F.coalesce("revenue", F.lit(0.0)) - F.coalesce("revenue_before", F.lit(0.0))).alias("revenue_between"),
    )
    is_missing = F.col("value_before").isNull() | F.col("value_after").isNull()
    told = sums.withColumns(
        {
            "as_of": F.lit(as_of),
            "since": F.max("since").over(Window.partitionBy(F.lit(0))),  # there are few ways
        }
    )
    why = F.when(F.col("since").isNull(), F.lit(NO_DAY)).when(is_missing, F.lit(NO_VALUE))
    return told.withColumn("reason", why).select(*MIGRATION.names)


def _way(name: str) -> Column:
    was = F.when(F.col("was"), F.coalesce(f"{name}_before", F.lit(UNKNOWN))).otherwise(F.lit(NEW))
    is_ = F.when(F.col("is"), F.col(name)).otherwise(F.lit(GONE))
    return F.struct(F.lit(name).alias("grouping"), was.alias("from_group"), is_.alias("to_group"))
