"""`crm clean`: few files, and only the versions that a reader still needs."""

import json
import os
import re
import shutil
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from crm_spark.cli import clean
from crm_spark.core import runs
from crm_spark.core.lake import Lake
from tests.failpoints import dying_at


def test_small_files_are_gathered_and_no_row_is_lost(fresh, orders):
    fresh.add(("4", "bob", date(2026, 1, 4), None))
    ended = fresh.at("clean", "--json")
    assert ended.exit_code == 0, ended.output
    told = {table["table"]: table for table in json.loads(ended.stdout)["tables"]}
    assert (told["toy_orders"]["files_before"], told["toy_orders"]["files"]) == (2, 1)
    assert (told["toy_orders"]["keep_hours"], told["toy_orders"]["because"]) == (168, "keep_days")
    assert len(fresh.rows(orders)) == 4


@pytest.mark.slow
def test_what_a_dead_run_left_is_told_and_then_removed(crm, day_counts):
    crm.add(("4", "bob", date(2026, 1, 4), None))
    with dying_at(("written", "runs", 1)) as hit:
        crm.at("run", "toy_days", "--as-of", "2026-01-05")
    assert hit()
    folder = Path(crm.lake.location, day_counts.name)
    stray = folder / "part-stray.parquet"
    shutil.copy(next(folder.glob("*.parquet")), stray)
    rows = crm.rows(day_counts)

    told = crm.json("clean", "--dry-run")
    assert stray.exists()
    assert [(run["job"], run["as_of"]) for run in told["died"]] == [("toy_days", "2026-01-05")]
    assert {table["table"]: table["orphans"] for table in told["tables"]}["toy_days"] == 1

    ended = crm.at("clean")
    assert f"run {told['died'][0]['run_id']} of toy_days died" in ended.stdout
    assert not stray.exists()
    assert crm.rows(day_counts) == rows
    again = crm.json("clean", "--dry-run")
    assert (again["died"], sum(table["orphans"] for table in again["tables"])) == ([], 0)
    assert crm.json("history", "--last", "1")["runs"][0]["status"] == "died"


def test_a_dry_run_changes_nothing(fresh, files):
    before = files()
    ended = fresh.at("clean", "--dry-run")
    assert ended.exit_code == 0
    assert "nothing was changed (--dry-run)" in ended.stdout
    assert files() == before


def test_versions_that_a_job_has_yet_to_read_stay_however_old():
    now = datetime.now(UTC)
    month, week = now - timedelta(days=30), now - timedelta(days=6)
    assert clean.hours(7, {}, now) == (168, "keep_days")
    assert clean.hours(7, {"quick": week}, now) == (168, "keep_days")
    assert clean.hours(7, {"quick": week, "slow": month}, now) == (721, "slow has yet to read changes")


def test_a_job_waits_since_the_first_version_that_it_has_not_read():
    now = datetime.now(UTC)
    history = [{"version": version, "timestamp": now - timedelta(days=9 - version)} for version in (4, 3, 2)]
    assert clean.waiting_since(history, 2) == now - timedelta(days=6)
    assert clean.waiting_since(history, 4) is None


def test_a_job_may_wait_for_more_versions_than_a_history_shows(monkeypatch, toys, orders):
    now, asked = datetime.now(UTC), []

    def history(_, most):
        asked.append(most)
        return [
            {"version": at, "timestamp": now - timedelta(hours=5_000 - at)} for at in range(5_000, 5_000 - most, -1)
        ]

    lake = SimpleNamespace(version=lambda _: 5_000, history=history)
    monkeypatch.setattr(runs, "last_done", lambda *_: {"versions_read": {"toy_orders": 2}})
    assert clean.waiting(SimpleNamespace(lake=lake, pipeline=toys), orders) == {
        "toy_days": now - timedelta(hours=4_997)
    }
    assert asked == [4_998]


def test_an_old_version_stays_readable_for_as_long_as_was_asked_and_no_longer(spark, orders, tmp_path):
    written = Lake(spark, str(tmp_path / "written"))
    written.prepare(orders)
    rows = spark.createDataFrame([("1", "ann", date(2026, 1, 1), None)], orders.nullable_ddl).coalesce(1)
    written.overwrite(orders, rows, "first")
    written.overwrite(orders, rows, "second")

    def left(days: int, keep_hours: int) -> int:
        folder = aged(tmp_path / "written", tmp_path / f"aged_{days}", days)
        Lake(spark, str(folder)).vacuum(orders, keep_hours)
        return len(list((folder / orders.name).glob("*.parquet")))

    assert left(days=3, keep_hours=24) == 1
    assert left(days=20, keep_hours=720) == 2


def aged(written: Path, lake: Path, days: int) -> Path:
    """Copy a lake, as if all in it had been done some days ago; a copy, as Delta keeps what it has read."""
    shutil.copytree(written, lake)
    then = time.time() - days * 86_400
    for file in lake.rglob("*.json"):
        told = re.sub(r'"deletionTimestamp":\d+', f'"deletionTimestamp":{then * 1000:.0f}', file.read_text())
        file.with_name(f".{file.name}.crc").unlink()
        file.write_text(told)
    for file in lake.rglob("*.parquet"):
        os.utime(file, (then, then))
    return lake
