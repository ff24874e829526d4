"""rfm_20m and days_20m: the first answers against the plainest Spark that computes the same from the same table."""

import shutil
from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.measure import Figure, compare
from crm_spark.core.config import Place
from crm_spark.core.lake import Lake
from crm_spark.core.pipeline import discover
from crm_spark.core.runner import run
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.ingest.tables import ORDER_LINES
from crm_spark.segments import rfm

AS_OF = date(2025, 12, 31)


def rfm_20m(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Scores of 1 million customers from 20 million customer-days."""
    rows = int(20_000_000 * share)
    lake = Lake(spark, str(folder / "lake"))
    lake.prepare(CUSTOMER_DAYS)
    lake.overwrite(CUSTOMER_DAYS, _customer_days(spark, rows), "bench")
    job = discover().jobs["rfm_scores"]

    def ours() -> list[int]:
        run(job, lake, Place(lake=lake.location), AS_OF)
        return _sums(lake.current(rfm.SCORES))

    def theirs() -> list[int]:
        plain = _plain_scores(lake.current(CUSTOMER_DAYS))
        plain.write.format("delta").mode("overwrite").save(str(folder / "plain"))
        return _sums(spark.read.format("delta").load(str(folder / "plain")))

    return compare("rfm_20m", rows, "plain Spark: aggregate, percentile, join", 1.2, ours, theirs)


def days_20m(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Customer-days of 20 million new order lines."""
    rows = int(20_000_000 * share)
    lake = Lake(spark, str(folder / "lake"))
    lake.prepare(ORDER_LINES)
    lake.overwrite(ORDER_LINES, order_lines(spark, rows), "bench")
    job = discover().jobs["customer_days"]

    def ours() -> list[int]:
        shutil.rmtree(folder / "lake" / "runs", ignore_errors=True)  # without a run log, everything is new
        run(job, Lake(spark, lake.location), Place(lake=lake.location), AS_OF)
        return _totals(lake.current(CUSTOMER_DAYS))

    def theirs() -> list[int]:
        plain = _plain_days(lake.current(ORDER_LINES))
        plain.write.format("delta").mode("overwrite").save(str(folder / "days"))
        return _totals(spark.read.format("delta").load(str(folder / "days")))

    return compare("days_20m", rows, "plain Spark: aggregates by order and by day, joined", 1.3, ours, theirs)


def _customer_days(spark: SparkSession, rows: int) -> DataFrame:
    """Twenty days with an order for each customer, spread over the year."""
    number = F.xxhash64("id")
    return spark.range(rows).select(
        (F.col("id") % max(rows // 20, 1)).cast("string").alias("customer_id"),
        F.date_add(F.lit(date(2025, 1, 1)), F.floor(F.col("id") / max(rows // 20, 1)).cast("int") * 18).alias("day"),
        F.lit(1).alias("orders"),
        (F.pmod(number, F.lit(50_000)) / 100).cast("decimal(18,4)").alias("sales"),
        F.lit(0).cast("decimal(18,4)").alias("returns"),
        F.lit(2).alias("lines"),
        F.timestamp_seconds(F.lit(0)).alias("first_at"),
        F.timestamp_seconds(F.lit(0)).alias("last_at"),
    )


def order_lines(spark: SparkSession, rows: int) -> DataFrame:
    """Three lines an order, rising order numbers, a year of days."""
    order = F.floor(F.col("id") / 3)
    day = F.date_add(F.lit(date(2025, 1, 1)), F.floor(F.col("id") * 364 / rows).cast("int"))
    known = {
        "line_id": F.md5(F.col("id").cast("string")),
        "order_id": F.lpad(order.cast("string"), 10, "0"),
        "customer_id": F.pmod(F.xxhash64(order), F.lit(max(rows // 20, 1))).cast("string"),
        "product_id": F.pmod(F.xxhash64("id"), F.lit(5_000)).cast("string"),
        "kind": F.lit("sale"),
        "ordered_at": day.cast("timestamp"),
        "ordered_on": day,
        "quantity": F.lit(1),
        "amount": F.pmod(F.xxhash64("id"), F.lit(9_999)) / 100,
        "source": F.lit("bench"),
        "file_hash": F.lit("0"),
        "row_hash": F.lit("0"),
        "run_id": F.lit("bench"),
        "loaded_at": F.timestamp_seconds(F.lit(0)),
    }
    return spark.range(rows).select(
        *[known.get(column.name, F.lit(None)).cast(column.type).alias(column.name) for column in ORDER_LINES.columns]
    )


def _plain_scores(days: DataFrame) -> DataFrame:
    """What one would write by hand."""
    measures = (
        days.where(F.col("day") <= F.lit(AS_OF))
        .groupBy("customer_id")
        .agg(
            F.date_diff(F.lit(AS_OF), F.max("day")).alias("recency"),
            F.sum("orders").alias("frequency"),
            F.sum("sales").alias("monetary"),
        )
    )
    at = F.array(*[F.lit(share) for share in (0.2, 0.4, 0.6, 0.8)])
    cuts = measures.agg(
        F.percentile(-F.col("recency"), at).alias("r"),
        F.percentile("frequency", at).alias("f"),
        F.percentile(F.col("monetary").cast("double"), at).alias("m"),
    )
    values = {
        "recency_score": ("r", -F.col("recency")),
        "frequency_score": ("f", F.col("frequency")),
        "monetary_score": ("m", F.col("monetary")),
    }
    scored = measures.crossJoin(F.broadcast(cuts))
    for name, (cut, value) in values.items():
        below = [F.when(F.col(cut)[i] < value.cast("double"), 1).otherwise(0) for i in range(4)]
        scored = scored.withColumn(name, (below[0] + below[1] + below[2] + below[3] + 1).cast("int"))
    return scored.drop("r", "f", "m").withColumn("as_of", F.lit(AS_OF))


def _plain_days(lines: DataFrame) -> DataFrame:
    """What one would write by hand: orders first, for the day on which they began."""
    began = lines.groupBy("customer_id", "order_id").agg(
        F.min("ordered_on").alias("day"), F.bool_or(F.col("kind") == "sale").alias("sold")
    )
    orders = began.where("sold").groupBy("customer_id", "day").agg(F.count("*").cast("int").alias("orders"))
    days = lines.groupBy("customer_id", F.col("ordered_on").alias("day")).agg(
        F.sum(F.when(F.col("kind") == "sale", F.col("amount")).otherwise(0)).alias("sales"),
        F.sum(F.when(F.col("kind") == "return", -F.col("amount")).otherwise(0)).alias("returns"),
        F.count("*").cast("int").alias("lines"),
        F.min("ordered_at").alias("first_at"),
        F.max("ordered_at").alias("last_at"),
    )
    return days.join(orders, ["customer_id", "day"], "left").fillna(0, ["orders"])


def _sums(scores: DataFrame) -> list[int]:
    names = ["recency_score", "frequency_score", "monetary_score"]
    return list(scores.agg(F.count("*"), *[F.sum(name) for name in names]).collect()[0])


def _totals(days: DataFrame) -> list[int]:
    return list(days.agg(F.count("*"), F.sum("orders"), F.sum("sales"), F.sum("lines")).collect()[0])
