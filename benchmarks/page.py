"""report_10m: the page over the scores of 10 million customers, against the plain aggregates that it shows."""

import re
from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from benchmarks.measure import Figure, compare
from crm_spark.cli.report import assemble
from crm_spark.core.config import Place
from crm_spark.core.lake import Lake
from crm_spark.core.pipeline import discover
from crm_spark.segments import rfm

BEFORE, NOW = date(2025, 12, 24), date(2025, 12, 31)
NAMES = ["Best", "Good", "Fair", "Late", "Lost"]


def report_10m(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Two days of scores, of which each has every customer."""
    customers = int(10_000_000 * share)
    lake = Lake(spark, str(folder / "lake"))
    for table, made in ((rfm.SCORES, _scores), (rfm.CUTS, _cuts)):
        lake.prepare(table)
        for number, day in enumerate((BEFORE, NOW)):
            lake.append(table, made(spark, customers, day), "bench", ("bench", number + 1))
    place, pipeline = Place(lake=lake.location), discover()

    def ours() -> list[str]:
        page = assemble(lake, pipeline, place, "Customers")
        return re.findall(r"Of ([\d,]+) customers", page)[:1]

    def theirs() -> list[str]:
        found = [rows.collect() for rows in _plain(lake.current(rfm.SCORES))]
        return [f"{sum(cell['customers'] for cell in found[2]):,}"]

    return compare("report_10m", customers, "plain Spark: the aggregates that it shows", 2.0, ours, theirs)


def _plain(scores: DataFrame) -> list[DataFrame]:
    """What one would write by hand, the days known."""
    now, before = (scores.where(F.col("as_of") == F.lit(day)) for day in (NOW, BEFORE))
    sums = [F.count("*").alias("customers"), F.sum("frequency"), F.sum("monetary")]
    moved = now.join(before.select("customer_id", F.col("segment").alias("was")), "customer_id", "full")
    in_order = Window.orderBy(F.desc("cents"))
    cents = F.rint(F.col("monetary") * 100).cast("bigint").alias("cents")
    amounts = now.groupBy(cents).agg(F.count("*").alias("n"))
    curve = amounts.select(
        "*", F.sum("n").over(in_order).alias("upto"), F.sum(F.col("n") * F.col("cents")).over(in_order)
    )
    return [
        scores.groupBy("as_of", "segment").agg(*sums, F.count_if(F.col("recency") < 30)),
        moved.groupBy("was", "segment").count(),
        now.groupBy("recency_score", "frequency_score").agg(*sums),
        now.groupBy("segment").agg(*sums),
        curve.where(F.pmod("upto", F.lit(1_000)) == 0).limit(100),
        now.orderBy(F.desc("monetary"), "customer_id").limit(20),
        now.agg(F.sum("monetary")),
    ]


def _scores(spark: SparkSession, customers: int, day: date) -> DataFrame:
    """Scores that look like those of a shop: a few who bring much, and a tenth that changes from day to day."""
    number, moved = F.xxhash64("id"), F.xxhash64("id", F.lit(day.isoformat()))
    level = F.when(F.pmod(moved, F.lit(10)) == 0, F.pmod(moved, F.lit(5))).otherwise(F.pmod(number, F.lit(5)))
    score = (level + 1).cast("int")
    known = {
        "customer_id": F.lpad(F.col("id").cast("string"), 8, "0"),
        "as_of": F.lit(day),
        "recency": F.pmod(moved, F.lit(400)),
        "frequency": F.pmod(number, F.lit(30)) + 1,
        "monetary": F.rint(F.lit(1_000.0) / (F.pmod(number, F.lit(99_991)) + 1) * 1_000) / 100 + 5,
        "segment": F.element_at(F.array(*[F.lit(name) for name in NAMES]), score),
    }
    columns = [known.get(column.name, score).cast(column.type).alias(column.name) for column in rfm.SCORES.columns]
    return spark.range(customers).select(*columns)


def _cuts(spark: SparkSession, customers: int, day: date) -> DataFrame:
    rows = [(day, name, score, float(6 - score)) for name in rfm.MEASURES for score in range(2, 6)]
    return spark.createDataFrame(rows, rfm.CUTS.nullable_ddl)
