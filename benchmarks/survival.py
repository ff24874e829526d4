"""survive_cost: what it costs that a run can die anywhere: the daily run against a script without any of it."""

import inspect
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.answers import AS_OF, order_lines
from benchmarks.measure import Figure, compare
from crm_spark.core import config
from crm_spark.core.config import Place
from crm_spark.core.job import Job
from crm_spark.core.lake import Lake
from crm_spark.core.pipeline import discover
from crm_spark.core.runner import run
from crm_spark.ingest.tables import ORDER_LINES

LINES = 20  # of a customer


def survive_cost(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Every job for 100,000 customers, each time on a lake that holds order lines alone."""
    customers, turn, jobs = int(100_000 * share), count(), list(discover().jobs.values())
    loaded = Lake(spark, str(folder / "loaded"))
    loaded.prepare(ORDER_LINES)
    loaded.overwrite(ORDER_LINES, order_lines(spark, customers * LINES), "bench")

    def fresh() -> Path:
        """Give a new place: Delta remembers what it read of an old one."""
        place = folder / f"lake_{next(turn)}"
        place.mkdir()
        (place / ORDER_LINES.name).symlink_to(folder / "loaded" / ORDER_LINES.name)
        return place

    def ours() -> dict[str, int]:
        place = fresh()
        for job in jobs:
            run(job, Lake(spark, str(place)), Place(lake=str(place)), AS_OF)
        return _rows(spark, place, jobs)

    def theirs() -> dict[str, int]:
        place = fresh()
        for job in jobs:
            _write(place, job, job(**_arguments(spark, place, job)))
        return _rows(spark, place, jobs)

    return compare("survive_cost", customers, "plain script: the same functions, the same tables", 1.15, ours, theirs)


def _arguments(spark: SparkSession, place: Path, job: Job) -> dict[str, Any]:
    """Read what a job's function asks for."""
    named: dict[str, Any] = {table.name: _read(spark, place / table.name, table.nullable_ddl) for table in job.reads}
    named |= {"changed": None, "config": config.of_job(job.config, job.name, Place(lake=str(place)), AS_OF)}
    return {name: named[name] for name in inspect.signature(job.function).parameters}


def _read(spark: SparkSession, table: Path, ddl: str) -> DataFrame:
    return spark.read.format("delta").load(str(table)) if table.exists() else spark.createDataFrame([], ddl)


def _write(place: Path, job: Job, made: DataFrame | Sequence[DataFrame]) -> None:
    for table, rows in zip(job.writes, [made] if isinstance(made, DataFrame) else made, strict=True):
        rows.write.format("delta").partitionBy(*table.partition_by).save(str(place / table.name))


def _rows(spark: SparkSession, place: Path, jobs: Sequence[Job]) -> dict[str, int]:
    """Count the rows of all tables in one pass each."""
    tables = [table for job in jobs for table in job.writes]
    counted = [_read(spark, place / table.name, table.nullable_ddl).agg(F.count("*")) for table in tables]
    return {table.name: rows.collect()[0][0] for table, rows in zip(tables, counted, strict=True)}
