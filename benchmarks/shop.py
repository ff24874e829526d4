"""sample_1m: a shop of a million customers and two years against plain Spark that writes the same lines.

Some 120 million lines, which no memory here holds: the peer reads them from Parquet.
"""

import shutil
from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.measure import Figure, compare
from crm_spark.sample import shop
from crm_spark.sample.feeds import FEEDS
from crm_spark.sample.setting import Setting

PEER = "plain Spark: reads the same lines from Parquet, writes them to the same files"


def sample_1m(spark: SparkSession, folder: Path, share: float) -> Figure:
    """All feeds that customers fill, and the truth beside them; the peer writes the feeds alone."""
    setting = Setting(int(1_000_000 * share), 730, 1, date(2025, 1, 1))
    made, plain, held = folder / "shop", str(folder / "plain"), folder / "held"

    def ours() -> int:
        shutil.rmtree(made, ignore_errors=True)
        files = shop.write(str(made), setting, spark)["accounts"]["files"].values()
        return sum(file["records"] for file in files if file["feed"] in FEEDS and file["feed"] != "feedback")

    def theirs() -> int:
        if not held.exists():  # in the run that does not count
            _lines(spark, made).write.parquet(str(held))
        lines = spark.read.parquet(str(held))
        by_file = lines.repartition("feed", "period").sortWithinPartitions("feed", "period")
        by_file.write.mode("overwrite").partitionBy("feed", "period").option("compression", "gzip").text(plain)
        return lines.count()

    return compare("sample_1m", setting.customers, PEER, 3.0, ours, theirs, runs=1)


def _lines(spark: SparkSession, made: Path) -> DataFrame:
    """Give every line with its feed and the day or month of its file; headers and texts over lines left out."""
    names = [name for name in FEEDS if name != "feedback"]
    read = spark.read.text([str(made / name) for name in names])
    path = F.split(F.input_file_name(), "/")
    header = F.concat_ws("|", *[F.lit(",".join(feed.columns)) for feed in FEEDS.values() if feed.columns])
    placed = read.select(
        F.element_at(path, -2).alias("feed"), F.split(F.element_at(path, -1), r"\.")[0].alias("period"), "value"
    )
    return placed.where(F.instr(header, F.col("value")) == 0)
