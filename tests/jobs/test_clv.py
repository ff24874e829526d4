"""The job on a lake: it owns one day, and what it is told reaches the models."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.ingest.tables import CUSTOMER_HISTORY
from crm_spark.value.clv import CLV
from crm_spark.value.margins import MARGINS
from crm_spark.value.models import HOLDOUT, PARAMETERS, SCORES
from jobs.clv import clv
from tests.value.test_clv import drawn

FIRST, AS_OF = date(1997, 7, 31), date(1997, 9, 30)
HASHES = ("source", "file_hash", "run_id")
OWN = ("c001", "c003")  # customers whose own margin is known


def fill(lake: Lake) -> None:
    rows = [(who, day, 1, Decimal(str(sales)), Decimal(0), 1, None, None) for who, day, _, sales in drawn(400)]
    at = "timestamp '1997-01-01'"
    days = lake.spark.createDataFrame(rows, CUSTOMER_DAYS.nullable_ddl)
    lake.prepare(CUSTOMER_DAYS)
    lake.overwrite(CUSTOMER_DAYS, days.selectExpr(*CUSTOMER_DAYS.names[:-2], f"{at} first_at", f"{at} last_at"), "fill")


def fill_margins(lake: Lake) -> None:
    """Of two days; on the one that is asked about, a tenth of the money stays."""
    blank = {"decimal(18,4)": Decimal(0), "bigint": 0}
    empty = {field.name: None if field.nullable else blank.get(field.type) for field in MARGINS.columns}
    told = [
        empty | {"customer_id": who, "as_of": day, "margin_share": share}
        for who in OWN
        for day, share in ((FIRST, 0.9), (AS_OF, 0.1))
    ]
    lake.prepare(MARGINS)
    rows = [tuple(row.values()) for row in told]
    lake.append(MARGINS, lake.spark.createDataFrame(rows, MARGINS.nullable_ddl), "fill")


def tables(lake: Lake) -> list[list[tuple]]:
    return [
        sorted((tuple(row) for row in lake.current(table).collect()), key=str)
        for table in (CLV, PARAMETERS, SCORES, HOLDOUT)
    ]


@pytest.mark.slow  # tests/test_shop.py runs every job twice
def test_run_twice_the_rows_are_the_same_and_other_days_stay(lake: Lake, place: Place) -> None:
    fill(lake)
    runner.run(clv, lake, place, FIRST)
    before = tables(lake)
    runner.run(clv, lake, place, AS_OF)
    once = tables(lake)
    assert runner.run(clv, lake, place, AS_OF).rows["clv_parameters"] == 17
    for ours, theirs in zip(once, tables(lake), strict=True):
        assert [row[:2] for row in ours] == [row[:2] for row in theirs]
        for one, other in zip(ours, theirs, strict=True):
            numbers = [(a, b) for a, b in zip(one, other, strict=True) if isinstance(a, float)]
            assert all(a == pytest.approx(b, rel=1e-9) for a, b in numbers)
    for first, both in zip(before, once, strict=True):
        assert first == [row for row in both if FIRST in row]
        assert len(first) < len(both)


@pytest.mark.slow
def test_settings_reach_the_models(lake: Lake, place: Place) -> None:
    fill(lake)
    fill_margins(lake)
    settings = {"horizon": 30, "unit_days": 1, "discount": 0, "margin": 0.5, "held_out": 0, "models": ["bg_nbd"]}
    for net, own in ((True, 0.5), (False, 0.1)):
        told = settings | {"net": net}
        runner.run(clv, lake, place.model_copy(update={"jobs": {"clv": told}}), AS_OF)
        rows = lake.current(CLV).where("value IS NOT NULL").collect()
        assert {row["horizon"] for row in rows} == {30}
        for row in rows:
            margin = own if row["customer_id"] in OWN else 0.5
            assert row["value"] == pytest.approx(row["expected_purchases"] * row["expected_spend"] * margin)
        assert sum(row["expected_margin"] is not None for row in rows) == (0 if net else 2)
    assert lake.current(PARAMETERS).select("unit_days").distinct().collect() == [(1,)]


@pytest.mark.slow
def test_covariates_reach_the_models_and_who_has_not_bought_yet_has_a_row(lake: Lake, place: Place) -> None:
    fill(lake)
    at, who = datetime(1996, 1, 1, tzinfo=UTC), sorted({row[0] for row in drawn(400)})
    said = [
        {
            "customer_id": name,
            "known_at": at,
            "known_on": date(1996, 1, 1),
            "row_hash": name,
            "country": "DE" if n % 3 else "AT",
        }
        for n, name in enumerate([*who, "prospect"])
    ]
    rows = [
        tuple(
            row.get(name, "" if name in HASHES else at if name == "loaded_at" else None)
            for name in CUSTOMER_HISTORY.names
        )
        for row in said
    ]
    lake.prepare(CUSTOMER_HISTORY)
    lake.append(CUSTOMER_HISTORY, lake.spark.createDataFrame(rows, CUSTOMER_HISTORY.nullable_ddl), "fill", ("fill", 1))
    settings = {"models": ["bg_nbd"], "held_out": 0, "horizon": 30, "covariates": ["country"]}
    runner.run(clv, lake, place.model_copy(update={"jobs": {"clv": settings}}), AS_OF)
    learned = {row["parameter"] for row in lake.current(PARAMETERS).collect()}
    assert {"alpha:country=AT", "a:country=AT", "b:country=AT"} < learned
    told = {row["customer_id"]: row for row in lake.current(CLV).collect()}
    assert set(told) == {*who, "prospect"}
    assert {row["covariates"] for row in told.values()} == {"country=AT", "country=DE"}
    assert (told["prospect"]["frequency"], told["prospect"]["covariates"]) == (
        None,
        "country=AT" if len(who) % 3 == 0 else "country=DE",
    )
    assert told["prospect"]["value"] > 0


def test_settings_that_cannot_be_are_refused(lake: Lake, place: Place) -> None:
    settings = {"horizon": 0, "margin": 2, "discout": 0.1, "models": ["bg_nbd", "bg_nbd"]}
    with pytest.raises(ConfigError) as told:
        runner.run(clv, lake, place.model_copy(update={"jobs": {"clv": settings}}), AS_OF)
    for name in ("horizon", "margin", "discout", "models: each may be named once"):
        assert name in str(told.value)
    chances = {"chance_days": 7, "held_out": 90}
    with pytest.raises(ConfigError, match="held_out must be a multiple of chance_days, got 90 and 7"):
        runner.run(clv, lake, place.model_copy(update={"jobs": {"clv": chances}}), AS_OF)
    with pytest.raises(ConfigError, match="bg_bb stands alone"):
        runner.run(clv, lake, place.model_copy(update={"jobs": {"clv": {"models": ["nbd", "bg_bb"]}}}), AS_OF)
    for models, said in (
        ([], "models must have 1 or more, got 0"),
        (["nbd"], "covariates need one of the models bg_nbd, mbg_nbd, pareto_nbd"),
        (["bgnbd"], "must be 'bg_nbd', 'mbg_nbd', 'pareto_nbd', 'nbd' or 'bg_bb'"),
    ):
        told = {"models": models, "covariates": ["channel"]}
        with pytest.raises(ConfigError, match=said):
            runner.run(clv, lake, place.model_copy(update={"jobs": {"clv": told}}), AS_OF)
