"""`crm run`: which jobs, in which order, how it ends and how that is told."""

import json
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from crm_spark.core.errors import ContractError, JobFailed, LakeBusy


def test_a_run_does_all_jobs_in_order_and_says_what_each_wrote(crm, answer, scores):
    told = [(run["job"], run["status"], run["rows"]) for run in answer["runs"]]
    assert told == [("toy_days", "done", {"toy_days": 2}), ("toy_scores", "done", {"toy_scores": 1})]
    assert (answer["not_run"], answer["warnings"]) == ([], [])
    assert crm.rows(scores) == [(date(2026, 1, 2), 2)]


def test_the_page_is_written_once_all_jobs_are_done(crm, played, tmp_path, monkeypatch):
    page = tmp_path / "page.html"
    monkeypatch.setattr("crm_spark.cli.report.assemble", lambda lake, pipeline, *_: f"{pipeline.order}")
    told = crm.json("run", "--as-of", "2026-01-02", "--report", str(page))
    assert told["report"] == {"file": str(page), "bytes": len("['toy_days', 'toy_scores']")}
    span = ["--from", "2026-01-01", "--to", "2026-01-02"]
    assert "page.html is written (26 B)" in crm.at("backfill", *span, "--report", str(page)).stdout

    page.unlink()
    played.errors["toy_scores"] = JobFailed("it failed")
    assert crm.at("run", "--as-of", "2026-01-02", "--report", str(page)).exit_code == 4
    assert not page.exists()
    called = len(played.called)
    assert crm.at("run", "--as-of", "2026-01-02", "--report", str(tmp_path / "no" / "page.html")).exit_code == 2
    assert len(played.called) == called


def test_a_page_that_fails_takes_nothing_from_what_is_told_of_the_jobs(crm, tmp_path, monkeypatch):
    monkeypatch.setattr("crm_spark.cli.report.assemble", lambda *_: 1 // 0)
    ended = crm.at("run", "--as-of", "2026-01-02", "--report", str(tmp_path / "page.html"), "--json")
    assert ended.exit_code == 4
    told = json.loads(ended.stdout)
    assert [run["job"] for run in told["runs"]] == ["toy_days", "toy_scores"]
    said = "the page is not written: unexpected ZeroDivisionError; --debug shows where"
    assert (told["failed"], told["error"]) == ("report", said)


def test_a_lake_that_another_driver_holds_is_busy(nowhere, loaded):
    shutil.copytree(loaded, nowhere.lake.location)
    hold = (
        "import sys, pathlib; from crm_spark.core import lease; lease.take(pathlib.Path(sys.argv[1])); print(input())"
    )
    command = [sys.executable, "-c", hold, nowhere.lake.location]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lock = Path(nowhere.lake.location, "_lease")
    while f"process {other.pid} " not in lock.read_text():
        time.sleep(0.05)

    ended = nowhere.at("run", "--as-of", "2026-01-02")
    assert ended.exit_code == 5
    assert f"is held by process {other.pid} on" in ended.stderr
    assert nowhere.at("history").exit_code == 0, "to look takes no lease"
    other.communicate("done\n")


def test_a_second_run_skips_a_job_for_which_nothing_is_new(crm):
    run = crm.json("run", "toy_days", "--as-of", "2026-01-02")["runs"][0]
    assert (run["status"], run["reason"]) == ("skipped", "nothing new in toy_orders")


def test_a_table_that_a_later_job_would_be_refused_for_stops_the_first_from_writing(crm, scores, day_counts):
    crm.add(("4", "bob", date(2026, 1, 4), None))
    crm.lake.spark.sql(f"ALTER TABLE {crm.lake.name(scores)} ADD COLUMNS (stranger int)")
    before = crm.lake.version(day_counts)
    ended = crm.at("run", "--as-of", "2026-01-02")
    assert ended.exit_code == 3
    assert "stranger: not promised" in ended.stderr
    assert crm.lake.version(day_counts) == before


def test_a_failed_job_is_told_by_its_kind_alone_and_found_in_the_history(crm):
    ended = crm.at("run", "toy_scores", "--as-of", "2026-01-02", "--set", "toy_scores.breaks=true", "--json")
    told = json.loads(ended.stdout)
    assert ended.exit_code == told["code"] == 4
    assert (told["failed"], told["error"]) == ("toy_scores", "toy_scores failed: RuntimeError")
    assert "a customer's value" not in ended.output
    newest = crm.json("history", "--last", "1")["runs"][0]
    assert (newest["run_id"], newest["status"]) == (told["run_id"], "failed")


def test_a_person_gets_a_line_for_each_job_and_log_lines_apart(empty, played):
    ended = empty.at("run", "--as-of", "2026-01-03")
    assert ended.exit_code == 0
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert lines[0] == ["day", "job", "status", "rows", "time", "because"]
    assert lines[2] == ["2026-01-03", "toy_scores", "done", "1", "0.0", "s", "played"]
    assert "info: toy_days started" in ended.stderr
    assert "info: toy_scores done: played" in ended.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [(JobFailed("it failed"), 4), (LakeBusy("it waits"), 5)],
)
def test_the_first_failure_stops_the_run_with_its_exit_code_and_names_what_was_not_run(empty, played, error, code):
    played.errors["toy_days"] = error
    ended = empty.at("run", "--as-of", "2026-01-02")
    assert ended.exit_code == code
    assert f"crm: {error}; run " in ended.stderr
    assert "not run: toy_scores" in ended.stderr
    assert "Traceback" not in ended.output
    assert played.called == [("toy_days", "2026-01-02")]


def test_a_job_that_is_refused_before_it_starts_has_no_run_to_look_for(empty, played):
    played.errors["toy_scores"] = ContractError("it broke")
    ended = empty.at("run", "--as-of", "2026-01-02")
    assert ended.exit_code == 3
    assert ended.stderr.endswith("crm: it broke\n")


def test_a_traceback_is_shown_where_it_is_asked_for(empty, played, monkeypatch):
    monkeypatch.setenv("CRM_SPARK_LOG_LEVEL", "ERROR")
    played.errors["toy_days"] = JobFailed("it failed")
    assert "RuntimeError: a customer's value" in empty.at("run", "--as-of", "2026-01-02", "--debug").stderr


def test_wrong_settings_are_all_told_before_anything_runs(empty, played):
    wrong = ["--set", "toy_scores.least=-1", "--set", "toy_scores.brakes=true", "--set", "toy_days.x=1"]
    ended = empty.at("run", "--as-of", "2026-01-02", *wrong)
    assert ended.exit_code == 2
    assert "least" in ended.stderr
    assert "unknown key 'brakes'; did you mean 'breaks'?" in ended.stderr
    assert "unknown key 'x'" in ended.stderr
    assert played.called == []


def test_a_day_before_any_data_is_done_with_a_warning(crm):
    ended = crm.at("run", "toy_scores", "--as-of", "1999-12-31")
    assert ended.exit_code == 0
    assert "warning: no data on or before 1999-12-31: no rows for that day in toy_scores" in ended.stderr


def test_a_day_with_data_and_no_answers_is_told_apart(crm, played):
    played.rows, played.versions = 0, {"toy_days": 1}
    ended = crm.json("run", "toy_scores", "--as-of", "2026-01-02")
    assert ended["warnings"] == ["2026-01-02: no rows for that day in toy_scores"]


def test_the_command_line_goes_before_the_configuration_file(empty, played, tmp_path):
    file = tmp_path / "place.yaml"
    file.write_text("jobs:\n  toy_scores:\n    least: -1\n")
    told = ["run", "toy_scores", "--as-of", "2026-01-02", "--config", str(file)]
    assert empty.at(*told).exit_code == 2
    assert empty.at(*told, "--set", "toy_scores.least=2").exit_code == 0


def test_a_configuration_that_speaks_of_no_job_is_refused(empty, played, tmp_path):
    file = tmp_path / "place.yaml"
    file.write_text("jobs:\n  toy_score:\n    least: 2\n")
    ended = empty.at("run", "--as-of", "2026-01-02", "--config", str(file))
    assert ended.exit_code == 2
    assert "no job is called 'toy_score'; did you mean 'toy_scores'?" in ended.stderr
    assert played.called == []
