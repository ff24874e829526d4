"""survive_cost: the daily run against a script that must not die; skew, series_skew: against customers alike."""

import inspect
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.answers import AS_OF, order_lines
from benchmarks.measure import Figure, compare, worker_mb
from crm_spark.core import config
from crm_spark.core.config import Place
from crm_spark.core.contracts import Table
from crm_spark.core.job import Job
from crm_spark.core.lake import Lake
from crm_spark.core.pipeline import discover
from crm_spark.core.runner import run
from crm_spark.ingest.tables import EVENTS, ORDER_LINES

LINES = 20  # of a customer
MOST_MB = 1_000  # that a Python worker may hold


def survive_cost(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Every job for 100,000 customers on the day after: some lines are new, tables are there, each turn a day later."""
    customers, jobs = int(100_000 * share), list(discover().jobs.values())
    lines = order_lines(spark, customers * LINES)
    held, plain = (_loaded(folder / name, ORDER_LINES, lines) for name in ("held", "plain"))
    ours_is, theirs_is = count(1), count(1)

    def ours() -> dict[str, int]:
        as_of = _load(held, customers, next(ours_is))
        _run(spark, Path(held.location), jobs, as_of)
        return _rows(spark, Path(held.location), jobs)

    def theirs() -> dict[str, int]:
        as_of, place = _load(plain, customers, next(theirs_is)), Path(plain.location)
        for job in jobs:
            _write(place, job, job(**_arguments(spark, place, job, as_of)), as_of)
        return _rows(spark, place, jobs)

    return compare("survive_cost", customers, "plain script: the same functions, the same tables", 1.15, ours, theirs)


def _loaded(place: Path, table: Table, rows: DataFrame) -> Lake:
    lake = Lake(rows.sparkSession, str(place))
    lake.prepare(table)
    lake.overwrite(table, rows, "bench")
    return lake


def _load(lake: Lake, customers: int, turn: int) -> date:
    """Add the lines of a day, and give that day."""
    as_of = AS_OF + timedelta(days=turn)
    told = {name: F.concat(F.lit(f"{as_of} "), name) for name in ("line_id", "order_id")}
    told |= {"ordered_on": F.lit(as_of), "ordered_at": F.lit(as_of).cast("timestamp")}
    lines = order_lines(lake.spark, customers * LINES // 365).withColumns(told)
    lake.append(ORDER_LINES, lines, "bench", ("bench", turn))
    return as_of


def skew(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Every job, one customer with a million lines among 100,000 with ten each; the peer's customers are alike."""
    customers, jobs = int(100_000 * share), list(discover().jobs.values())
    lines = order_lines(spark, customers * LINES)
    return _skewed("skew", customers, folder, ORDER_LINES, lines, jobs, "order_id")


def series_skew(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Series of visits, one customer with a million events among 100,000 with ten each; the peer's are alike."""
    customers, jobs = int(100_000 * share), [discover().jobs["behaviour_series"]]
    lines = order_lines(spark, customers * LINES)
    told = {"event_id": "line_id", "session_id": "order_id", "occurred_at": "ordered_at", "occurred_on": "ordered_on"}
    known = {new: F.col(old) for new, old in told.items()} | {"kind": F.lit("view")}
    blank = {one.name: F.lit(None).cast(one.type) for one in EVENTS.columns if one.name not in {*lines.columns, *known}}
    events = lines.withColumns({**known, **blank}).select(*EVENTS.names)
    return _skewed("series_skew", customers, folder, EVENTS, events, jobs, "session_id")


def _skewed(
    name: str, customers: int, folder: Path, table: Table, rows: DataFrame, jobs: Sequence[Job], by: str
) -> Figure:
    """Run jobs where every second order or visit is of one customer, and where all have as many."""
    is_giants = F.pmod(F.xxhash64(by), F.lit(2)) == 0
    giant = F.when(is_giants, F.lit("giant")).otherwise(F.col("customer_id"))
    skewed = _lakes(folder / "skewed", table, rows.withColumn("customer_id", giant))
    balanced = _lakes(folder / "balanced", table, rows)
    ours, theirs = (partial(_run_next, rows.sparkSession, lakes, jobs) for lakes in (skewed, balanced))
    figure = compare(name, customers, "the same jobs, customers alike", 3.0, ours, theirs)
    if worker_mb() >= MOST_MB:
        raise ValueError(f"{name}: a worker held {worker_mb()} MB, at most {MOST_MB} are allowed")
    return figure


def _lakes(folder: Path, table: Table, rows: DataFrame) -> Iterator[Path]:
    """Load a table once, and give lakes that hold it alone: a new one each time, as Delta remembers the old."""
    loaded = Path(_loaded(folder / "loaded", table, rows).location)
    for turn in count():
        place = folder / f"lake_{turn}"
        place.mkdir()
        (place / table.name).symlink_to(loaded / table.name)
        yield place


def _run_next(spark: SparkSession, lakes: Iterator[Path], jobs: Sequence[Job]) -> None:
    _run(spark, next(lakes), jobs, AS_OF)


def _run(spark: SparkSession, place: Path, jobs: Sequence[Job], as_of: date) -> None:
    for job in jobs:
        run(job, Lake(spark, str(place)), Place(lake=str(place)), as_of)


def _arguments(spark: SparkSession, place: Path, job: Job, as_of: date) -> dict[str, Any]:
    """Read what a job's function asks for."""
    named: dict[str, Any] = {table.name: _read(spark, place / table.name, table.nullable_ddl) for table in job.reads}
    named |= {"changed": None, "config": config.of_job(job.config, job.name, Place(lake=str(place)), as_of)}
    return {name: named[name] for name in inspect.signature(job.function).parameters}


def _read(spark: SparkSession, table: Path, ddl: str) -> DataFrame:
    return spark.read.format("delta").load(str(table)) if table.exists() else spark.createDataFrame([], ddl)


def _write(place: Path, job: Job, made: DataFrame | Sequence[DataFrame], as_of: date) -> None:
    for table, rows in zip(job.writes, [made] if isinstance(made, DataFrame) else made, strict=True):
        writer = rows.write.format("delta").mode("overwrite").partitionBy(*table.partition_by)
        if table.owns == "as_of" and (place / table.name).exists():
            writer = writer.option("replaceWhere", f"as_of = '{as_of}'")
        writer.save(str(place / table.name))


def _rows(spark: SparkSession, place: Path, jobs: Sequence[Job]) -> dict[str, int]:
    """Count the rows of all tables in one pass each."""
    tables = [table for job in jobs for table in job.writes]
    counted = [_read(spark, place / table.name, table.nullable_ddl).agg(F.count("*")) for table in tables]
    return {table.name: rows.collect()[0][0] for table, rows in zip(tables, counted, strict=True)}
