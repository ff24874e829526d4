"""A job file as a program: it ends as the command line does."""

import pytest
from pydantic import Field as Setting

from crm_spark.core import entry, runner
from crm_spark.core.config import Settings
from crm_spark.core.contracts import Field, Table
from crm_spark.core.job import job
from crm_spark.core.log import log

DONE = Table("entry_done", "What was done.", owns="table", key=["day"], columns=[Field("day", "date", "when")])
TOLD = Table(
    "entry_told", "What is told.", owns="as_of", key=["as_of"], columns=[Field("as_of", "date", "the day"), DONE["day"]]
)


class Config(Settings):
    least: int = Setting(1, description="Anything.")


@job(reads=[DONE], writes=[TOLD])
def entry_told(entry_done, config: Config):
    return entry_done.where(entry_done.day <= config.as_of).selectExpr("day AS as_of", "day")


@pytest.fixture
def run(lake, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    yield lambda *told: entry.main(entry_told, [*told, "--lake", lake.location])
    log.handlers = []


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (["--as-of", "soon"], "--as-of must be a day like 2026-01-31, got 'soon'"),
        (["--as-of", "2026-01-31", "--set", "least"], "--set takes NAME=VALUE:\n  got 'least'"),
        (["--as-of", "2026-01-31", "--set", "least=["], "--set least: the value is no YAML; quote it"),
        (["--as-of", "2026-01-31"], "has none of the tables that entry_told reads: entry_done"),
    ],
)
def test_a_wrong_usage_is_one_sentence_and_exit_code_2(run, capsys, told, sentence):
    assert run(*told) == 2
    assert sentence in capsys.readouterr().err


def test_what_nobody_foresaw_is_one_sentence_and_a_trace_where_it_is_asked_for(run, capsys, monkeypatch):
    monkeypatch.setattr(entry, "_need_tables", lambda *_: {}["a customer's value"])
    assert run("--as-of", "2026-01-31") == 4
    assert capsys.readouterr().err == "unexpected KeyError; the same command with --debug shows where\n"
    assert run("--as-of", "2026-01-31", "--debug") == 4
    assert "Traceback" in capsys.readouterr().err


def test_a_day_before_any_data_is_done_with_a_warning(run, capsys, monkeypatch):
    monkeypatch.setattr(entry, "_need_tables", lambda *_: None)
    nothing = runner.Result("feed", "entry_told", "done", "played", rows={"entry_told": 0})
    monkeypatch.setattr(runner, "run", lambda *_: nothing)
    assert run("--as-of", "1999-12-31") == 0
    assert "warning: no data on or before 1999-12-31: no rows for that day in entry_told" in capsys.readouterr().err
