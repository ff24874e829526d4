"""Let Java write down Spark's classes as it has them in memory, so that the next sessions start in half the time.

Called by scripts/setup. A session does a little of what every command does; when it ends, Java writes the
archive of the classes that this took (`-XX:ArchiveClassesAtExit`).
"""

import tempfile
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from crm_spark.core import runs
from crm_spark.core.lake import Lake
from crm_spark.core.session import ARCHIVE, JAVA_OPTIONS, jar_folder, session


def main() -> None:
    """Write the archive beside the JARs."""
    target = jar_folder() / ARCHIVE
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / ARCHIVE
        quick = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
        started = session({JAVA_OPTIONS: f'{quick} -XX:ArchiveClassesAtExit="{made}"'})
        work(started, folder)
        java = started.sparkContext._gateway.proc  # type: ignore[union-attr]
        started.stop()
        java.stdin.close()  # this ends a Java that PySpark has started
        java.wait()
        made.replace(target)


def work(spark: SparkSession, folder: str) -> None:
    """Make a table, add to it, merge into it and read it, and a raw file too."""
    runs.record(Lake(spark, f"{folder}/lake"), "run", "job", "started", "")
    lake = Lake(spark, f"{folder}/lake")
    raw = f"{folder}/raw"
    lake.current(runs.RUNS).write.json(raw)
    more = spark.read.schema(runs.RUNS.nullable_ddl).json(raw).withColumn("status", F.lit("done"))
    lake.merge(runs.RUNS, more.mapInArrow(lambda batches: batches, runs.RUNS.nullable_ddl), "run")
    runs.last_done(lake, "job")
    lake.current(runs.RUNS).groupBy("job").agg(F.countDistinct("run_id"), F.sum("seconds")).toArrow()


if __name__ == "__main__":
    main()
