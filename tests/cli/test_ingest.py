"""`crm ingest`: what is answered for several sources, of which one fails."""

import json
from types import SimpleNamespace

import pytest

from crm_spark.core.errors import ConfigError, QualityError
from crm_spark.core.runner import Result
from crm_spark.ingest import run
from crm_spark.ingest.load import Told


@pytest.fixture
def loaded(monkeypatch):
    """Sources are played: `bad` fails, all others load."""

    def play(_, __, source, *___):
        if source.source == "bad":
            raise QualityError("records break a rule")
        return Result("f00", "ingest", "done"), Told({"loaded": 1}, {"records": 3})

    monkeypatch.setattr(run, "read", lambda _, name: SimpleNamespace(source=name))
    monkeypatch.setattr(run, "run", play)


def test_what_was_loaded_before_a_source_failed_is_answered_all_the_same(nowhere, loaded):
    ended = nowhere.at("ingest", "good", "bad", "late", "--json")
    told = json.loads(ended.stdout)
    assert ended.exit_code == told["code"] == QualityError.exit_code
    assert [(one["source"], one["records"]) for one in told["runs"]] == [("good", {"records": 3})]
    assert (told["failed"], told["error"], told["not_run"]) == ("bad", "records break a rule", ["late"])

    spoken = nowhere.at("ingest", "good", "bad", "late")
    assert "good" in spoken.stdout
    assert "bad: records break a rule\nnot loaded: late" in spoken.stderr


def test_a_file_is_replaced_in_one_source(nowhere, loaded):
    ended = nowhere.at("ingest", "good", "late", "--replace", "orders/1.csv")
    assert ended.exit_code == 2
    assert "--replace names a file of one source, got 2 sources" in ended.stderr


@pytest.mark.parametrize("address", ["s3a://A:hunter2@bucket/raw", "https://a.example/raw?sig=hunter2"])
def test_an_address_with_a_secret_is_refused_before_anything_keeps_it(address):
    with pytest.raises(ConfigError, match="till: the address of its raw files holds a secret") as told:
        run.run(None, None, SimpleNamespace(source="till", folder=None), address)
    assert "hunter2" not in str(told.value)
