"""What is refused before anything is written: tables of another shape, another folder, currency or zone."""

import dataclasses
from datetime import UTC, datetime

import pytest

from crm_spark.core.contracts import Field
from crm_spark.core.errors import ConfigError, ContractError
from crm_spark.core.job import fingerprint
from crm_spark.core.runs import RUNS
from crm_spark.ingest import files, load, run
from crm_spark.ingest.accounts import ACCOUNTS
from crm_spark.ingest.books import Books, Terms, differences
from crm_spark.ingest.files import Found, Inspected
from crm_spark.ingest.mapping import Source
from crm_spark.ingest.plan import BatchFile
from crm_spark.ingest.tables import CUSTOMERS, ORDER_LINES
from tests.ingest.conftest import BUYERS, Raw

KEPT = {"source": "till", "root": "/raw", "currency": "EUR", "zone": "UTC"}


def test_a_lake_has_one_currency_one_zone_and_a_source_one_folder() -> None:
    other = Terms("/elsewhere", "GBP", "Europe/London")
    assert differences([KEPT], "till", Terms("/raw", "EUR", "UTC"), is_moved=False) == []
    currency, zone, root = differences([KEPT], "till", other, is_moved=False)
    end = "or load into a new lake"
    assert currency == f"the lake was loaded with currency EUR, the configuration says GBP; set `currency: EUR`, {end}"
    assert zone == f"the lake was loaded with zone UTC, the configuration says Europe/London; set `zone: UTC`, {end}"
    assert root.startswith("till was loaded from /raw, not from /elsewhere, and its files are known by their paths")
    assert root.endswith("say `--from /raw`, or add `--moved` where that folder itself has moved")
    assert len(differences([KEPT], "web", other, is_moved=False)) == 2, "each source has its own folder"
    assert len(differences([KEPT], "till", other, is_moved=True)) == 2
    old = {"source": "till", "root": None, "currency": None, "zone": None}
    assert differences([old], "till", other, is_moved=False) == [], "a lake of old does not say"


@pytest.mark.parametrize(
    ("given", "same"),
    [("/raw/", "/raw"), ("/raw/../raw", "/raw"), ("file:///raw", "/raw"), ("s3a://bucket/raw/", "s3://bucket/raw")],
)
def test_a_folder_is_known_however_it_is_written(given: str, same: str) -> None:
    assert files.normal(given) == files.normal(same)


def test_what_differs_is_refused_at_once_and_nothing_is_written(raw: Raw) -> None:
    raw.feeds = {"orders": BUYERS}
    raw.orders("1.csv", "1,1,c1,p1,1,2.00,2025-01-01 10:00:00")
    for table in (CUSTOMERS, ORDER_LINES):
        raw.lake.prepare(dataclasses.replace(table, columns=[*table.columns, Field("stranger", "int", "-")]))
    raw.lake._ready.clear()
    with pytest.raises(ContractError, match=r"(?s)customers on disk.*stranger.*order_lines on disk.*stranger"):
        raw.load()
    assert raw.lake.version(ACCOUNTS) is None


def test_another_currency_or_folder_is_refused_and_a_moved_folder_is_taken(raw: Raw) -> None:
    now = datetime.now(UTC)
    books = Books(raw.lake, "till", "before", Terms("/gone", "EUR", "UTC"))
    file = BatchFile("orders", Inspected(Found("orders/1.csv", 1, now), "feed", (), 1, None))
    books.write([file.row("loaded")])
    raw.place = raw.place.model_copy(update={"currency": "GBP"})
    with pytest.raises(ConfigError, match=r"(?s)currency EUR, the configuration says GBP.*till was loaded from /gone"):
        raw.load()
    raw.place = raw.place.model_copy(update={"currency": "EUR"})
    assert raw.load(moved=True).files == {}
    assert raw.rows(ACCOUNTS, "path", "root") == [("orders/1.csv", str(raw.folder))]


def test_a_run_that_begins_to_write_says_so_in_the_run_log_once(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*told: object) -> None:
        for _ in range(2):
            told[-1]()
        raise ConfigError("no more")

    monkeypatch.setattr(run, "ingest", dies)
    source = Source(source="till", zone="UTC", feeds=raw.feeds)
    with pytest.raises(ConfigError):
        run.run(raw.lake, raw.place, source, str(raw.folder))
    logged = raw.rows(RUNS, "status", "reason", "fingerprint")
    assert [row[:2] for row in logged] == [("failed", "no more"), ("started", "source till")]
    assert logged[0][2] == logged[1][2]
    assert logged[0][2] == fingerprint(load, source.model_dump_json()), "of code and mapping"
