"""`crm doctor`: each fault with its remedy."""

import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from crm_spark.cli import lakeside, machine
from crm_spark.cli.catalog import Known
from crm_spark.cli.desk import Desk, Given
from crm_spark.core import runs
from crm_spark.ingest.accounts import ACCOUNTS


def told(crm):
    """What was found, by what was looked at."""
    return {finding["what"]: finding for finding in crm.json("doctor")["findings"]}


def test_a_sound_lake_has_no_problems(fresh):
    ended = fresh.at("doctor")
    assert ended.exit_code == 0, ended.output
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert {line[0] for line in lines[1:]} == {"ok"}
    assert ["ok", "table", "toy_orders", "version", "1", "keeps", "its", "contract", "-"] in lines


def test_a_lake_that_is_not_there_is_a_warning_and_not_made(nowhere, files):
    found = told(nowhere)
    assert (found["lake"]["state"], found["lake"]["remedy"]) == ("warning", "`crm ingest` makes it")
    assert files() == []


def test_a_table_of_another_shape_is_a_problem_that_ends_with_3(fresh, orders):
    fresh.lake.spark.sql(f"ALTER TABLE {fresh.lake.name(orders)} ADD COLUMNS (stranger int)")
    ended = fresh.at("doctor")
    assert ended.exit_code == 3
    assert "stranger: not promised" in ended.stdout


def test_broken_values_are_looked_at_only_where_that_is_asked_for(crm, toys, day_counts):
    crm.lake.spark.sql(f"INSERT INTO {crm.lake.name(day_counts)} SELECT * FROM {crm.lake.name(day_counts)}")
    desk = Desk(toys, Given(lake=crm.lake.location))
    assert lakeside.table(desk, Known(day_counts, "toy_days"), values=False).state == "ok"
    found = lakeside.table(desk, Known(day_counts, "toy_days"), values=True)
    assert (found.state, found.said) == ("problem", "several rows have one day: 2 rows")
    assert found.remedy == "`crm rebuild toy_days --as-of DATE`"


@pytest.mark.parametrize("damaged", ["log", "rows"])
def test_a_table_whose_files_are_damaged_is_named_with_its_remedy_and_the_rest_is_looked_at(
    crm, toys, day_counts, damaged
):
    folder = Path(crm.lake.location, day_counts.name)
    for file in folder.glob("*.parquet") if damaged == "rows" else (folder / "_delta_log").glob("*.*"):
        file.write_bytes(file.read_bytes()[:7])
    crm.lake.spark.catalog.clearCache()
    desk = Desk(toys, Given(lake=crm.lake.location))
    found = lakeside.table(desk, Known(day_counts, "toy_days"), values=True)
    assert (found.state, found.code) == ("problem", 4)
    assert found.said.startswith("cannot be read, a file of it is damaged or missing: ")
    assert found.remedy == "take its folder away, then run `crm rebuild toy_days --as-of DATE`"
    if damaged == "rows":
        ended = crm.at("run", "toy_scores", "--as-of", "2026-01-02")
        assert ended.exit_code == 4
        assert "a file of the lake is damaged or missing: `crm doctor --values` names the table" in ended.stderr


def test_a_run_that_began_and_never_ended_is_told(empty, toys):
    runs.record(empty.lake, "f00", "toy_days", "started", "-", as_of=date(2026, 1, 2))
    runs.record(empty.lake, "f01", "toy_scores", "done", "-", as_of=date(2026, 1, 2))
    (found,) = lakeside.unfinished_runs(Desk(toys, Given(lake=empty.lake.location)))
    assert found.state == "warning"
    assert "toy_days began at" in found.said
    assert "`crm run toy_days --as-of 2026-01-02`" in found.remedy


def test_files_whose_loading_began_and_never_ended_are_told_and_those_that_wait_to_be_loaded_anew(empty, toys):
    empty.lake.prepare(ACCOUNTS)
    known = {"source": "shop", "feed": "orders", "bytes": 1, "batch": 1}
    counts = dict.fromkeys(("records", "loaded", "quarantined", "duplicates"), 0)
    now = datetime.now(UTC)
    row = known | counts | {"warnings": {}, "run_id": "f00", "modified_at": now, "at": now}
    left = [row | {"path": "a.csv", "status": "started"}, row | {"path": "b.csv", "status": "stale"}]
    values = [tuple(row.get(name) for name in ACCOUNTS.names) for row in left]
    rows = empty.lake.spark.createDataFrame(values, ACCOUNTS.nullable_ddl)
    empty.lake.append(ACCOUNTS, rows, "f00", ("test", 1))

    stale, found = lakeside.unfinished_batches(Desk(toys, Given(lake=empty.lake.location)))
    assert found.said == "loading 1 files of shop began and did not end"
    assert "finishes them first" in found.remedy
    assert stale.said == "1 files of shop are loaded with older values of a look-up"


def test_a_day_without_orders_is_told_with_its_remedy(toys, kept):
    days = [date(2026, 1, 5) + timedelta(days=number) for number in range(70) if number != 64]
    desk = Desk(toys, Given())
    desk.lake = kept(order_lines=[{"source": "shop", "ordered_on": day} for day in days for _ in range(6)])
    (found,) = lakeside.odd_days(desk)
    assert (found.state, found.what) == ("warning", "days")
    assert found.said == "order lines of shop on Tuesday, 2026-03-10: 0 where 6 are usual"
    assert found.remedy.startswith("ask who sends it for what is missing")


def test_settings_that_only_spark_can_read_are_read_with_a_session_where_the_machine_is_sound(empty, toys):
    for is_sound in (False, True):
        desk = Desk(toys, Given(lake=empty.lake.location))
        assert machine.configuration(desk, with_spark=is_sound).state == "ok"
        assert ("lake" in vars(desk)) == is_sound


def test_a_wrong_configuration_is_a_problem_and_the_lake_is_left_alone(nowhere, tmp_path):
    file = tmp_path / "place.yaml"
    file.write_text("zone: Mars/Base\njobs: {toy_scores: {least: -1}}\n")
    ended = nowhere.at("doctor", "--config", str(file))
    assert ended.exit_code == 2
    assert "'Mars/Base' is no time zone" in ended.stdout
    assert "mend what stands above first" in ended.stdout


@pytest.mark.parametrize(
    ("printed", "state", "said"),
    [
        ('openjdk version "17.0.15" 2025-04-15', "ok", "17.0.15"),
        ('java version "1.8.0_402"', "problem", "version 8; Spark needs 17 or 21"),
        ('openjdk version "25" 2025-09-16', "problem", "version 25; Spark needs 17 or 21"),
        ("something else", "problem", "version unknown; Spark needs 17 or 21"),
    ],
)
def test_only_a_java_that_spark_runs_on_will_do(monkeypatch, printed, state, said):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="", stderr=printed))
    found = machine.java()
    assert (found.state, found.said) == (state, said)


def test_a_missing_java_is_told_with_its_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    found = machine.java()
    assert found.said == f"'{tmp_path}/bin/java' does not run"
    assert found.remedy == "install Java 17 or 21 and set JAVA_HOME to it"


def test_a_package_of_another_version_is_told(monkeypatch):
    monkeypatch.setattr("importlib.metadata.requires", lambda _: ["pyspark==1.0", "numpy>=1", "nope>2; extra == 'x'"])
    assert machine.packages().said.startswith("pyspark==1.0 (found 4.")


class Told:
    """Stands in for a session where only its settings matter."""

    def __init__(self, settings):
        self.conf = settings


@pytest.mark.parametrize(
    ("settings", "state", "said"),
    [
        ({"spark.master": "local[2]"}, "ok", "Spark runs in one process of this machine"),
        (machine.securing(), "ok", "processes authenticate"),
        (machine.securing() | {"spark.authenticate": "false"}, "warning", "spark.authenticate is false"),
        (
            {n: v for n, v in machine.securing().items() if n != "spark.io.encryption.enabled"},
            "warning",
            "spark.io.encryption.enabled is not set",
        ),
        (
            {n: v for n, v in machine.securing().items() if "network" not in n} | {"spark.ssl.rpc.enabled": "true"},
            "ok",
            "processes authenticate",
        ),
    ],
)
def test_what_does_not_secure_spark_is_told_where_it_is_not_local(settings, state, said):
    found = machine.security(Told({"spark.master": "spark://master:7077", **settings}))
    assert (found.state, found.said[: len(said)]) == (state, said)
    assert "\n" not in found.said


def test_a_session_of_spark_tells_its_settings_as_they_are(spark):
    assert machine.security(spark).state == "ok"
    assert spark.conf.get("spark.driver.host", "") == "127.0.0.1"
    assert spark.conf.get("spark.authenticate", "") == ""
