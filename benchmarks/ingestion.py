"""ingest_online_retail and ingest_5m: warm ingestion against plain Spark that reads and writes the same."""

import shutil
import uuid
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.measure import Figure, compare
from crm_spark.core.config import Place
from crm_spark.core.lake import Lake
from crm_spark.ingest import mapping
from crm_spark.ingest.load import ingest
from crm_spark.ingest.tables import CUSTOMERS, ORDER_LINES, PRODUCTS

DATA = Path(__file__).parents[2] / "shared" / "data" / "online_retail" / "by-day"
SCHEMA = (
    "InvoiceNo string, StockCode string, Description string, Quantity int, InvoiceDate timestamp, "
    "UnitPrice decimal(18,4), CustomerID string, Country string"
)
PEER = "plain Spark: reads the same files, writes the same three tables to Delta"


def ingest_online_retail(spark: SparkSession, folder: Path, share: float) -> Figure:
    """541,909 rows of 305 files."""
    return _against_plain(spark, folder, DATA, "ingest_online_retail", 541_909, 3.0)


def ingest_5m(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Five million rows of 50 files, made of the same columns; a file holds what was sold in its week."""
    rows = int(5_000_000 * share)
    made = folder / "raw"
    _sales(spark, rows, 50).write.option("header", True).option("compression", "gzip").csv(str(made))
    return _against_plain(spark, folder, made, "ingest_5m", rows, 2.0)


def _against_plain(spark: SparkSession, folder: Path, raw: Path, name: str, rows: int, goal: float) -> Figure:
    source = mapping.read(Path(__file__).parents[1] / "conf" / "sources" / "online_retail.yaml")

    def ours() -> tuple[int, ...]:
        location = str(folder / "lake")
        shutil.rmtree(location, ignore_errors=True)
        lake = Lake(spark, location)
        ingest(
            lake, Place(lake=location, zone="Europe/London", currency="GBP"), source, str(raw), uuid.uuid4().hex[:12]
        )
        return tuple(lake.current(table).count() for table in (ORDER_LINES, CUSTOMERS, PRODUCTS))

    def theirs() -> tuple[int, ...]:
        lines = spark.read.csv(str(raw), header=True, schema=SCHEMA, timestampFormat="yyyy-MM-dd HH:mm:ss")
        tables = {"lines": _lines(lines), "customers": _newest(lines, "CustomerID", "Country"),
                  "products": _newest(lines, "StockCode", "Description")}  # fmt: skip
        for table, written in tables.items():
            written.write.format("delta").mode("overwrite").save(str(folder / "plain" / table))
        return tuple(spark.read.format("delta").load(str(folder / "plain" / table)).count() for table in tables)

    return compare(name, rows, PEER, goal, ours, theirs)


def _lines(lines: DataFrame) -> DataFrame:
    amount = (F.col("Quantity") * F.col("UnitPrice")).cast("decimal(18,4)")
    return lines.withColumns({"amount": amount, "ordered_on": F.to_date("InvoiceDate")})


def _newest(lines: DataFrame, key: str, attribute: str) -> DataFrame:
    rows = lines.where(F.col(key).isNotNull())
    return rows.groupBy(key).agg(
        F.max_by(attribute, F.when(F.col(attribute).isNotNull(), F.col("InvoiceDate"))).alias(attribute)
    )


def _sales(spark: SparkSession, rows: int, files: int) -> DataFrame:
    order = F.floor(F.col("id") / 20)
    seconds = F.lit(1_291_000_000) + F.floor(F.col("id") * 31_000_000 / rows)
    return spark.range(0, rows, 1, files).select(
        order.cast("string").alias("InvoiceNo"),
        F.pmod(F.xxhash64("id"), F.lit(4_000)).cast("string").alias("StockCode"),
        F.concat(F.lit("PRODUCT NO "), F.pmod(F.xxhash64("id"), F.lit(4_000)).cast("string")).alias("Description"),
        (F.pmod(F.xxhash64("id"), F.lit(12)) + 1).cast("int").alias("Quantity"),
        F.date_format(F.timestamp_seconds(seconds), "yyyy-MM-dd HH:mm:ss").alias("InvoiceDate"),
        (F.pmod(F.xxhash64("id"), F.lit(9_000)) / 100 + 1).cast("decimal(18,2)").alias("UnitPrice"),
        F.concat(F.pmod(F.xxhash64(order), F.lit(40_000)).cast("string"), F.lit(".0")).alias("CustomerID"),
        F.lit("United Kingdom").alias("Country"),
    )
