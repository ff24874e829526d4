"""A run that died at any of its steps is run again, and all ends as if nothing had happened."""

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.core import lease, runner, runs
from crm_spark.core.config import Place
from crm_spark.core.contracts import Field, Table
from crm_spark.core.errors import CrmError, JobFailed
from crm_spark.core.events import heard
from crm_spark.core.job import Job, Update, job
from crm_spark.core.lake import Lake
from crm_spark.core.together import together
from tests.failpoints import Steps, dying_at

VISITS = Table(
    "visits",
    "Who came when.",
    owns="keys",
    loaded=True,
    key=["visit_id"],
    changes=True,
    columns=[Field("visit_id", "int", "the visit"), Field("guest", "string", "who")],
)
GUESTS = Table(
    "guests",
    "How often each guest came.",
    owns="keys",
    key=["guest"],
    columns=[Field("guest", "string", "who"), Field("visits", "bigint", "how often", unit="visit")],
)
DAYS_GUESTS = Table(
    "days_guests",
    "How often each guest had come, as of a day.",
    owns="as_of",
    key=["guest", "as_of"],
    columns=[
        Field("guest", "string", "who"),
        Field("as_of", "date", "the day"),
        Field("visits", "bigint", "how often", unit="visit"),
    ],
)
TOTALS = Table(
    "totals",
    "How many guests there are.",
    owns="table",
    key=["guests"],
    columns=[Field("guests", "bigint", "how many", unit="guest")],
)
AS_OF = date(2025, 1, 31)
WRITTEN = [GUESTS, DAYS_GUESTS, TOTALS]


@job(reads=[VISITS], writes=[GUESTS], follows=VISITS)
def guests(visits: DataFrame, changed: DataFrame | None) -> DataFrame | Update:
    counted = visits.groupBy("guest").agg(F.count("*").alias("visits"))
    if changed is None:
        return counted
    keys = changed.select("guest").distinct()
    return Update(keys, counted.join(keys, "guest"))


@job(reads=[GUESTS], writes=[DAYS_GUESTS, TOTALS])
def days_guests(guests: DataFrame) -> tuple[DataFrame, DataFrame]:
    return (
        guests.select("guest", F.lit(AS_OF).alias("as_of"), "visits"),
        guests.agg(F.count("*").alias("guests")),
    )


JOBS = [guests, days_guests]
Ran = Callable[[Lake], None]


def visit(lake: Lake, *visits: tuple[int, str]) -> None:
    lake.prepare(VISITS)
    lake.merge(VISITS, lake.spark.createDataFrame(visits, VISITS.nullable_ddl).coalesce(1), "load")


def run(lake: Lake, *jobs: Job) -> None:
    for each in jobs:
        runner.run(each, lake, Place(lake=lake.location), AS_OF)


def rows(lake: Lake) -> dict[str, list[tuple[Any, ...]]]:
    return {table.name: sorted(tuple(row) for row in lake.current(table).collect()) for table in WRITTEN}


@pytest.fixture(scope="module")
def yesterday(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a lake on which all ran yesterday, with visits of today, once; tests take copies."""
    lake = Lake(spark, str(tmp_path_factory.mktemp("survival") / "lake"))
    visit(lake, (1, "ann"), (2, "bob"), (3, "bob"))
    run(lake, *JOBS)
    visit(lake, (4, "ann"), (5, "eve"))
    return Path(lake.location)


@pytest.fixture
def fresh(yesterday: Path, lake: Lake) -> Lake:
    """Give a copy of yesterday's lake."""
    shutil.copytree(yesterday, lake.location)
    return lake


TODAY = {
    "guests": [("ann", 2), ("bob", 2), ("eve", 1)],
    "days_guests": [("ann", AS_OF, 2), ("bob", AS_OF, 2), ("eve", AS_OF, 1)],
    "totals": [(3,)],
}


@pytest.mark.slow  # tests/test_kills.py kills real drivers
def test_a_run_that_died_at_any_step_is_run_again_and_ends_the_same(
    fresh: Lake, yesterday: Path, spark: SparkSession, tmp_path: Path
) -> None:
    other = Lake(spark, str(shutil.copytree(yesterday, tmp_path / "undisturbed")))
    for each in JOBS:
        steps = Steps()
        with heard(steps):
            run(other, each)
        tables = [table.name for table in each.writes]
        expected = [("writing", name, 1) for name in tables] + [("written", name, 1) for name in tables]
        expected += [(what, "runs", time) for what in ("writing", "written") for time in (1, 2)]
        assert sorted(steps.seen) == sorted([("started", "", 1), *expected, ("done", "", 1)])
        for step in steps.seen:
            with dying_at(step) as hit:
                run(fresh, each)
            assert hit(), step
        run(fresh, each)

    assert rows(other) == rows(fresh) == TODAY
    died = {row["run_id"] for row in runs.dead(fresh)}
    log = fresh.current(runs.RUNS).groupBy("run_id").agg(F.collect_set("status").alias("told")).collect()
    assert died == {row["run_id"] for row in log if row["told"] == ["started"]}
    assert died


@pytest.mark.slow
def test_data_whose_commit_failed_are_in_no_version_and_go_with_the_next_clean(fresh: Lake) -> None:
    newest = fresh.version(DAYS_GUESTS)
    assert newest is not None
    obstacle = Path(fresh.location, DAYS_GUESTS.name, "_delta_log", f"{newest + 1:020}.json")

    @job(reads=[GUESTS], writes=[DAYS_GUESTS, TOTALS])
    def obstructed(guests: DataFrame) -> tuple[DataFrame, DataFrame]:
        def obstruct(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            obstacle.mkdir(exist_ok=True)  # the next version's place in the log is taken while its data are made
            yield from batches

        days, totals = days_guests(guests)
        return days.mapInArrow(obstruct, days.schema), totals

    run(fresh, guests)
    with pytest.raises(CrmError, match="obstructed failed"):
        run(fresh, obstructed)
    obstacle.rmdir()

    before = rows(fresh)
    assert before["days_guests"] == [("ann", AS_OF, 1), ("bob", AS_OF, 2)]
    assert fresh.orphans(DAYS_GUESTS)
    run(fresh, days_guests)
    fresh.remove_orphans(DAYS_GUESTS)
    assert fresh.orphans(DAYS_GUESTS) == []
    assert rows(fresh) == TODAY
    version = fresh.read(DAYS_GUESTS, newest).collect()
    assert len(version) == 2, "what older versions need is kept"


@pytest.mark.slow
def test_upkeep_that_died_is_done_again(fresh: Lake) -> None:
    run(fresh, *JOBS)
    steps = [(what, GUESTS.name, 1) for what in ("compacting", "compacted", "sweeping", "vacuuming", "vacuumed")]
    stray = Path(fresh.location, GUESTS.name, "part-stray.parquet")
    shutil.copy(next(Path(fresh.location, GUESTS.name).glob("*.parquet")), stray)
    for step in steps:
        with dying_at(step) as hit:
            fresh.compact(GUESTS)
            fresh.remove_orphans(GUESTS)
            fresh.vacuum(GUESTS, 168)
        assert hit(), step
        assert rows(fresh) == TODAY
    assert not stray.exists()


def test_what_another_driver_may_be_about_to_commit_is_let_be(spark: SparkSession, fresh: Lake) -> None:
    stray = Path(fresh.location, GUESTS.name, "part-stray.parquet")
    shutil.copy(next(Path(fresh.location, GUESTS.name).glob("*.parquet")), stray)
    with dying_at(("started", "", 1)):
        run(fresh, guests)

    shared = Lake(spark, fresh.location)  # has not claimed it, as in a store where many may write
    assert (shared.orphans(GUESTS), runs.dead(shared)) == ([], [])
    with fresh.turn():
        assert len(fresh.orphans(GUESTS)) == 1
        assert fresh.dead_after.total_seconds() == 0
    lease.release(Path(fresh.location), spark)


def test_runs_that_one_driver_starts_side_by_side_end_as_if_one_came_after_the_other(
    fresh: Lake, spark: SparkSession
) -> None:
    together([partial(run, Lake(spark, fresh.location), *JOBS) for _ in range(2)])
    assert rows(fresh) == TODAY
    told = fresh.current(runs.RUNS).where("job = 'guests' AND status <> 'started'").orderBy("at").collect()
    assert [row["status"] for row in told] == ["done", "done", "skipped"]


@pytest.fixture
def write_at_most(spark: SparkSession) -> Iterator[Callable[[int], None]]:
    """Let Java write files of a few bytes only, as on a disk that is full."""
    java = spark.sparkContext._gateway.proc.pid
    before = resource.prlimit(java, resource.RLIMIT_FSIZE)
    yield lambda size: resource.prlimit(java, resource.RLIMIT_FSIZE, (size, before[1])) and None
    resource.prlimit(java, resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of two megabytes, where that is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False, capture_output=True
    )
    yield folder
    if mounted.returncode == 0:
        subprocess.run(["umount", folder], check=True)


def test_where_the_lakes_disk_is_full_the_run_says_so_and_what_was_there_stays(
    small_disk: Path, yesterday: Path, spark: SparkSession, write_at_most: Callable[[int], None]
) -> None:
    lake = Lake(spark, str(shutil.copytree(yesterday, small_disk / "lake")))
    before, ballast = rows(lake), small_disk / "ballast"
    if small_disk.is_mount():
        with suppress(OSError), ballast.open("wb") as file:  # to its last byte
            while True:
                file.write(bytes(1_000))
                file.flush()
    else:
        write_at_most(500)
    with pytest.raises(JobFailed, match="a disk is full; make room under the lake or Spark's scratch folder, and run"):
        run(lake, guests)
    assert rows(lake) == before

    ballast.unlink(missing_ok=True)
    write_at_most(resource.RLIM_INFINITY)
    run(lake, *JOBS)
    assert rows(lake) == TODAY
    lease.release(small_disk / "lake", spark)


def test_where_sparks_scratch_disk_is_full_the_run_says_so_too(
    fresh: Lake, spark: SparkSession, write_at_most: Callable[[int], None]
) -> None:
    many = spark.range(200_000).select(F.xxhash64("id").alias("number"))
    guests_of_many = many.repartition(2).agg(F.count_distinct("number").alias("guests"))
    before = rows(fresh)
    write_at_most(200_000)
    with pytest.raises(JobFailed, match="totals is as it was: a disk is full"):
        fresh.overwrite(TOTALS, guests_of_many, "many")
    assert rows(fresh) == before

    write_at_most(resource.RLIM_INFINITY)
    fresh.overwrite(TOTALS, guests_of_many, "many")
    assert rows(fresh)["totals"] == [(200_000,)]


def test_the_run_log_tells_how_a_run_ended_once(fresh: Lake) -> None:
    run(fresh, guests)
    log = fresh.current(runs.RUNS).where("job = 'guests'").orderBy("at").collect()
    assert [row["status"] for row in log] == ["started", "done", "started", "done"]
