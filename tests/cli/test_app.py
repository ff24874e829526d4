"""The command line as a whole: usage, errors, exit codes, speed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crm_spark.cli import desk

AS_OF = ["--as-of", "2026-01-02"]


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (["run"], "--as-of is missing: say which day, like --as-of 2026-01-31"),
        (["plan"], "--as-of is missing: say which day, like --as-of 2026-01-31"),
        (["run", "--as-of", "soon"], "--as-of must be a day like 2026-01-31, got 'soon'"),
        (
            ["run", "toy_day", *AS_OF],
            "no job is called 'toy_day'; did you mean 'toy_days'?; `crm list` shows all jobs",
        ),
        (["run", *AS_OF, "--set", "bins=3"], "--set takes JOB.NAME=VALUE"),
        (
            ["run", *AS_OF, "--set", "toy_score.x=3"],
            "no job is called 'toy_score'; did you mean 'toy_scores'?",
        ),
        (["backfill", "--from", "2026-01-02"], "--to is missing"),
        (
            ["backfill", "--from", "2026-01-02", "--to", "2026-01-01"],
            "--from 2026-01-02 is after --to 2026-01-01",
        ),
        (["tables", "toy_dais"], "no table is called 'toy_dais'; did you mean 'toy_days'?"),
        (["history", "toy_dais"], "no table is called 'toy_dais'; did you mean 'toy_days'?"),
        (["report", "--out", "nowhere/page.html"], "there is no folder nowhere"),
        (["list", "--config", "nowhere.yaml"], "there is no configuration file nowhere.yaml"),
        (["list", "--nope"], "no such option: --nope"),
    ],
)
def test_a_wrong_usage_is_one_sentence_and_exit_code_2(empty, files, told, sentence):
    before = files()
    ended = empty.at(*told)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert sentence in ended.stderr
    assert files() == before
    machine = empty.at(*told, "--json")
    assert json.loads(machine.stdout)["code"] == machine.exit_code == 2
    assert sentence in json.loads(machine.stdout)["error"]


@pytest.mark.parametrize(
    "told",
    [
        ["run", *AS_OF],
        ["backfill", "--from", "2026-01-02", "--to", "2026-01-02"],
        ["rebuild", "toy_days", *AS_OF],
        ["history"],
        ["report"],
        ["clean"],
    ],
)
def test_a_command_that_needs_a_lake_does_not_make_one(nowhere, files, told):
    ended = nowhere.at(*told)
    assert ended.exit_code == 2
    assert f"the lake {nowhere.lake.location} is not there yet: `crm ingest` makes it" in ended.stderr
    assert files() == []


def test_an_unknown_command_is_answered_with_a_near_one(nowhere):
    ended = nowhere("lst")
    assert ended.exit_code == 2
    assert "no such command 'lst'; did you mean 'list'?" in ended.stderr


def test_without_a_command_the_help_is_shown(nowhere):
    ended = nowhere()
    assert ended.exit_code == 0
    assert "5 the lake is busy" in " ".join(ended.stdout.split())


def test_commands_of_one_call_run_in_order_up_to_the_first_that_fails(fresh):
    at = ["--lake", fresh.lake.location]
    fails = ["--set", "toy_scores.breaks=true"]
    ended = fresh(
        "run", *AS_OF, *at, "--json", "then", "run", *AS_OF, *at, *fails, "then", "history", *at, "then", "list"
    )
    assert ended.exit_code == 4
    answer = json.loads(ended.stdout.splitlines()[0])
    assert {run["job"]: run["status"] for run in answer["runs"]} == {"toy_days": "done", "toy_scores": "done"}
    assert ended.stderr.endswith("--debug shows where\ncrm: not run: history, list\n")
    assert "customer's value" not in ended.stderr


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (["rum"], "crm: no such command 'rum'; did you mean 'run'?\n"),
        (["run", "--nope"], "crm: no such option: --nope\n"),
        ([], "crm: `then` stands between two commands\n"),
    ],
)
def test_of_several_commands_none_runs_where_one_is_misspelt(fresh, files, told, sentence):
    before = files()
    ended = fresh("run", *AS_OF, "--lake", fresh.lake.location, "then", *told)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (2, "", sentence)
    assert files() == before


def test_help_may_be_asked_of_the_last_of_several_commands(nowhere):
    ended = nowhere("list", "then", "run", "--help")
    assert ended.exit_code == 0
    assert "toy_days" in ended.stdout
    assert "run [OPTIONS] [[JOB]...]" in " ".join(ended.stdout.split())


def test_what_nobody_foresaw_is_one_sentence_without_its_text(nowhere, monkeypatch):
    def surprise(_: str) -> Path:
        raise KeyError("a customer's value")

    monkeypatch.setattr(desk, "local", surprise)
    ended = nowhere.at("tables")
    assert ended.exit_code == 4
    assert ended.stderr == "crm: unexpected KeyError; the same command with --debug shows where\n"


def test_an_interrupted_command_ends_as_a_shell_says_it(nowhere, monkeypatch):
    def interrupt(_: str) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(desk, "local", interrupt)
    assert nowhere.at("tables").exit_code == 130


def test_values_of_settings_are_read_as_yaml():
    told = desk.settings(["a.bins=3", "a.names=[x, y]", "b.since=2026-01-01", "a.text=a=b"])
    assert told["a"] == {"bins": 3, "names": ["x", "y"], "text": "a=b"}
    assert str(told["b"]["since"]) == "2026-01-01"


@pytest.mark.parametrize(
    ("location", "folder"),
    [("./lake", "lake"), ("file:///a/lake", "/a/lake"), ("s3a://bucket/crm", None), ("main.crm", None)],
)
def test_only_a_folder_can_be_looked_for_without_a_session(location, folder):
    assert desk.local(location) == (Path(folder) if folder else None)


def test_help_is_quick_and_listing_needs_no_java(tmp_path):
    crm = [sys.executable, "-m", "crm_spark.cli"]
    before = os.times()
    helped = subprocess.run([*crm, "--help"], capture_output=True, text=True, check=True)
    after = os.times()
    seconds = after.children_user - before.children_user + after.children_system - before.children_system
    assert "Usage: crm" in helped.stdout
    assert seconds < 1.5, f"crm --help took {seconds:.1f} s"

    without_java = {**os.environ, "JAVA_HOME": str(tmp_path), "PATH": str(tmp_path)}
    listed = subprocess.run(
        [*crm, "list", "--json"], check=False, capture_output=True, text=True, env=without_java, cwd=tmp_path
    )
    assert (listed.returncode, listed.stderr) == (0, "")
    assert json.loads(listed.stdout)["jobs"][0]["name"] == "ingest"
