"""The page of a lake."""

import re
import time
from datetime import date, datetime
from types import SimpleNamespace

import pytest

from crm_spark.cli import report
from crm_spark.cli.report import assemble
from crm_spark.core.contracts import Field, Table
from crm_spark.core.job import job
from crm_spark.core.lake import Lake
from crm_spark.core.pipeline import Pipeline
from crm_spark.core.runs import record
from crm_spark.core.sections import Bars, Chapter, Section
from crm_spark.ingest.tables import ORDER_LINES

TOTALS = Table("totals", "Totals.", owns="table", key=["kind"], columns=[Field("kind", "string", "the kind")])


def kinds(totals):
    rows = totals.groupBy("kind").count()
    return Section(
        "Kinds", Chapter.CUSTOMERS, rows, lambda rows: f"There are {len(rows)} kinds.", Bars("kind", "count")
    )


@job(reads=[ORDER_LINES], writes=[TOTALS], sections=[kinds])
def totals(order_lines):
    return order_lines.select("kind").distinct()


def text(page):
    """What a reader sees: the page without scripts and mark-up."""
    bare = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", "", bare).split())


def test_the_page_of_an_empty_lake_names_what_is_missing_and_what_makes_it(lake, place):
    told = text(assemble(lake, Pipeline([totals]), place, "Shop"))
    assert "Revenue over time order_lines is not there yet: run crm ingest." in told
    assert "Kinds totals is not there yet: run crm run totals." in told
    assert "as of: no run yet" in told


def test_sections_stand_in_the_order_of_the_pipeline_with_the_numbers_of_their_tables(lake, place, spark):
    lake.prepare(TOTALS)
    lake.overwrite(TOTALS, spark.createDataFrame([("sale",), ("return",)], "kind string"), "run")
    record(lake, "run", "totals", "done", "", as_of=date(2026, 1, 31))
    told = text(assemble(lake, Pipeline([totals]), place, "Shop"))
    titles = ["Missing days", "Kinds", "Revenue over time", "What was loaded, by source", "Why records were refused"]
    places = [told.index(title) for title in titles]
    assert places == sorted(places)
    assert "There are 2 kinds." in told
    assert "as of: 2026-01-31" in told
    record(lake, "later", "totals", "done", "", as_of=date(2025, 12, 31))
    assert "as of: 2026-01-31" in text(assemble(lake, Pipeline([totals]), place, "Shop")), "after a backfill too"
    assert f"lake: {lake.location}" in told


@pytest.fixture
def in_tokyo(monkeypatch):
    """Put the machine's clock nine hours before UTC's."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_last_run_is_told_in_utc_wherever_the_machine_is(place, monkeypatch, in_tokyo):
    collected = datetime(2026, 1, 31, 8, 30)  # as Spark hands it over: local, without a zone
    monkeypatch.setattr(report, "_last_run", lambda _: {"as_of": date(2026, 1, 30), "at": collected})
    assert report._facts(SimpleNamespace(location="lake"), place)["last run"] == "2026-01-30 23:30 UTC"


def test_a_lake_that_is_not_there_is_not_made_by_the_page(lake: Lake, place, tmp_path):
    assemble(lake, Pipeline([totals]), place, "Shop")
    assert list(tmp_path.iterdir()) == []
