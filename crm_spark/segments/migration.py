"""Who went from segment to segment since the last run. Numbers of segments are for good (`former`), so a way is a way.

What moves are worth in lifetime value tells `value_migration`.
"""

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.segments.changes import GONE, NEW

NO_DAY = "no day before has segments: all are new"

MIGRATION = Table(
    "segment_migration",
    "How many customers went from which segment of alike customers to which since the last run, as of a day.",
    owns="as_of",
    key=["as_of", "from_id", "to_id"],
    columns=[
        Field("as_of", "date", "the day that is now"),
        Field("since", "date", "the day of the last run before it", nullable=True),
        Field("from_id", "int", "the segment then; 0 who was in none"),
        Field("to_id", "int", "the segment now; 0 who is in none"),
        Field("from_segment", "string", f"what it was called then; {NEW} who was in none"),
        Field("to_segment", "string", f"what it is called now; {GONE} who is in none"),
        Field("customers", "bigint", "who went this way, or stayed", unit="customer"),
        Field("spend", "decimal(28,4)", "what they had spent by now; none of who is gone", unit="money", nullable=True),
        Field("reason", "string", "why something is missing", nullable=True),
    ],
)


def migrate(
    customers: DataFrame, segments: DataFrame, former_segments: DataFrame, as_of: date, since: date | None
) -> DataFrame:
    """Count each way from segment to segment.

    Parameters
    ----------
    customers : DataFrame of CUSTOMER_FEATURES
        Of the day.
    segments : DataFrame of SEGMENTS
        Of the day.
    former_segments : DataFrame of SEGMENTS
        Of other days than `since` nothing is read.
    since : date, optional
        The day of the last run; without it all are new.

    Returns
    -------
    DataFrame of MIGRATION
        Two joins by customer, one shuffle of counts.
    """
    then = former_segments.where((F.col("as_of") == F.lit(since)) & F.col("segment_id").isNotNull())
    now = segments.where((F.col("as_of") == F.lit(as_of)) & F.col("segment_id").isNotNull())
    was = then.select("customer_id", F.col("segment_id").alias("from_id"), F.col("segment").alias("from_segment"))
    is_ = now.select("customer_id", F.col("segment_id").alias("to_id"), F.col("segment").alias("to_segment"))
    spent = is_.join(customers.select("customer_id", "spend"), "customer_id")
    ways = was.join(spent, "customer_id", "full").groupBy(
        F.coalesce("from_id", F.lit(0)).alias("from_id"),
        F.coalesce("to_id", F.lit(0)).alias("to_id"),
        F.coalesce("from_segment", F.lit(NEW)).alias("from_segment"),
        F.coalesce("to_segment", F.lit(GONE)).alias("to_segment"),
    )
    counted = ways.agg(F.count("*").alias("customers"), F.sum("spend").cast("decimal(28,4)").alias("spend"))
    told = {
        "as_of": F.lit(as_of),
        "since": F.lit(since).cast("date"),
        "reason": F.lit(NO_DAY if since is None else None).cast("string"),
    }
    return counted.withColumns(told).select(*MIGRATION.names)
