"""Drivers that are killed by force, Python or Java, in the middle of each kind of step: the next run ends right."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from pyspark.sql import SparkSession

from crm_spark.core import lease
from crm_spark.core.lake import Lake
from crm_spark.core.runs import RUNS, dead
from crm_spark.ingest.accounts import ACCOUNTS, QUARANTINE
from crm_spark.ingest.tables import ORDER_LINES
from tests.core import test_survival as toys
from tests.ingest.conftest import HEADER
from tests.ingest.till import load

ROOT = Path(__file__).parents[1]
FIRST, SECOND = "1,1,c1,p1,1,2.00,2025-01-01 10:00:00\n", "2,1,c2,p1,1,3.00,2025-01-02 10:00:00\n"
PATIENCE = 300  # seconds for a step to be reached, on a machine that is busy
LONGEST = 15  # seconds that the work takes, or less
BAD = "3,1,c3,p1,x,1.00,2025-01-03 10:00:00\n"
UPKEEP = {"compact": Lake.compact, "vacuum": Lake.remove_orphans}
pytestmark = pytest.mark.first


@pytest.fixture(scope="module")
def yesterday(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a lake and raw files as they were this morning, once; tests take copies."""
    folder = tmp_path_factory.mktemp("kills")
    lake = Lake(spark, str(folder / "lake"))
    toys.visit(lake, (1, "ann"), (2, "bob"), (3, "bob"))
    toys.run(lake, *toys.JOBS)
    toys.visit(lake, (4, "ann"), (5, "eve"))
    file = folder / "raw" / "orders" / "1.csv"
    file.parent.mkdir(parents=True)
    file.write_text(HEADER + FIRST)
    load(lake, folder / "raw")
    file.with_name("2.csv").write_text(HEADER + SECOND + BAD)
    stray = folder / "lake" / "visits" / "part-stray.parquet"
    shutil.copy(next((folder / "lake" / "visits").glob("*.parquet")), stray)
    lease.release(folder / "lake", spark)
    return folder


@pytest.fixture
def morning(yesterday: Path, spark: SparkSession, tmp_path: Path) -> Iterator[Path]:
    """Give a copy of that lake."""
    yield Path(shutil.copytree(yesterday / "lake", tmp_path / "lake"))
    lease.release(tmp_path / "lake", spark)


def kill(lake: Path, raw: Path, work: str, step: str, table: str, whom: str) -> str:
    """Let a driver of its own do some work, and kill it; wait until none of it is left. Gives its last step."""
    command = [sys.executable, "-m", "tests.victim", str(lake), str(raw), work, step, table, whom]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    victim = subprocess.Popen(
        command, cwd=lake.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert victim.stdout is not None
    java = int(victim.stdout.readline() or 0)
    try:
        out, error = victim.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        victim.kill()
        raise
    assert "survived" not in out, f"{work} went by {step} of {table}"
    assert step == "after" or victim.returncode == (-9 if whom == "python" else 1), error
    waited = until_taken(lake)
    assert not is_alive(java), "the lake is free no sooner than Java is gone"
    assert waited > 0.05 or whom == "java"
    return out.splitlines()[-1] if out else "nothing yet"


def until_taken(lake: Path) -> float:
    """Take a lake, which waits until it is free; gives for how many seconds."""
    since = time.monotonic()
    lease.take(lake)
    return time.monotonic() - since


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("work", "step", "table", "whom"),
    [
        ("guests", "writing", "guests", "python"),
        ("guests", "written", "guests", "java"),
        ("days_guests", "writing", "totals", "python"),
        ("stuck", "writing on", "days_guests", "java"),
        ("merging", "writing on", "guests", "python"),
        ("compact", "compacting on", "visits", "java"),
        ("vacuum", "sweeping on", "visits", "python"),
    ],
)
def test_after_a_kill_the_next_run_ends_as_if_nothing_had_happened(
    morning: Path, yesterday: Path, spark: SparkSession, work: str, step: str, table: str, whom: str
) -> None:
    before = toys.rows(Lake(spark, str(morning)))
    kill(morning, yesterday / "raw", work, step, table, whom)
    lake = Lake(spark, str(morning))
    if work in UPKEEP:
        UPKEEP[work](lake, toys.VISITS)
        assert toys.rows(lake) == before
        assert work == "compact" or lake.orphans(toys.VISITS) == []
    else:
        toys.run(lake, *toys.JOBS)
        assert toys.rows(lake) == toys.TODAY
    assert sorted(row["visit_id"] for row in lake.current(toys.VISITS).collect()) == [1, 2, 3, 4, 5]
    assert [row["job"] for row in dead(lake)] == ([work] if work in {"guests", "days_guests"} else [])


def test_after_a_kill_between_quarantine_and_accounts_each_record_is_there_once(
    morning: Path, yesterday: Path, spark: SparkSession
) -> None:
    kill(morning, yesterday / "raw", "ingest", "written", QUARANTINE.name, "java")
    lake = Lake(spark, str(morning))
    started = lake.current(ACCOUNTS).where("status = 'started'").select("path").collect()
    assert [row["path"] for row in started] == ["orders/2.csv"]
    load(lake, yesterday / "raw")

    assert sorted(row["order_id"] for row in lake.current(ORDER_LINES).collect()) == ["1", "2"]
    assert [row["position"] for row in lake.current(QUARANTINE).collect()] == [3]
    told = lake.current(ACCOUNTS).select("path", "status", "records", "loaded", "quarantined").orderBy("path").collect()
    assert [tuple(row) for row in told] == [("orders/1.csv", "loaded", 1, 1, 0), ("orders/2.csv", "loaded", 2, 1, 1)]
    assert lake.current(RUNS).where("job = 'ingest' AND status = 'done'").count() == 2


@pytest.mark.slow
def test_after_kills_at_random_moments_nothing_is_lost_and_nothing_doubled(
    morning: Path, yesterday: Path, spark: SparkSession, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """One lake through all of them: each round a file and a visit more. `--kills N` says how many."""
    random, deaths, kills = Random(1), Counter[str](), pytestconfig.getoption("--kills")
    raw, lake, visits = (
        yesterday / "raw",
        Lake(spark, str(morning)),
        [(4, "ann"), (5, "eve"), (1, "ann"), (2, "bob"), (3, "bob")],
    )
    load(lake, raw)
    for number in range(10, 10 + kills):
        (raw / "orders" / f"{number}.csv").write_text(HEADER + SECOND.replace("2,1", f"{number},1") + BAD)
        visits.append((number, f"guest {number % 7}"))
        toys.visit(lake, visits[-1])
        lease.release(morning, spark)
        whom = random.choice(["python", "java"])
        deaths[f"{whom}: {kill(morning, raw, 'everything', 'after', f'{random.uniform(0, LONGEST):.2f}', whom)}"] += 1

        lake = Lake(spark, str(morning))
        load(lake, raw)
        toys.run(lake, *toys.JOBS)
        counted = Counter(guest for _, guest in visits)
        assert toys.rows(lake) == {
            "guests": sorted(counted.items()),
            "days_guests": sorted((guest, toys.AS_OF, times) for guest, times in counted.items()),
            "totals": [(len(counted),)],
        }
        orders = sorted(int(row["order_id"]) for row in lake.current(ORDER_LINES).collect())
        assert orders == [1, 2, *range(10, number + 1)]
        assert lake.current(QUARANTINE).count() == number - 8
        assert {row["status"] for row in lake.current(ACCOUNTS).select("status").collect()} == {"loaded"}
    with capsys.disabled():
        print(f"\n{kills} kills, after each of them every row was there once; the last that each victim told:")
        for step, times in sorted(deaths.items()):
            print(f"{times:4} {step}")
