"""The job on a lake: it owns one day, and a configuration that it refuses writes nothing."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.segments import rfm
from jobs.rfm_scores import rfm_scores

FIRST, AS_OF = date(2025, 1, 31), date(2025, 2, 28)


def fill(lake: Lake) -> None:
    """Customer number n orders n times, each time n days later and for n pieces of money; half goes back."""
    at = datetime(2025, 1, 1)
    rows = [
        (f"c{n}", date(2025, 1, 1) + timedelta(days=n * visit), 1, Decimal(n), Decimal(n) / 2, 1, at, at)
        for n in range(1, 8)
        for visit in range(n)
    ]
    lake.prepare(CUSTOMER_DAYS)
    lake.overwrite(CUSTOMER_DAYS, lake.spark.createDataFrame(rows, CUSTOMER_DAYS.nullable_ddl), "fill")


def told(place: Place, **settings: Any) -> Place:
    return place.model_copy(update={"jobs": {"rfm_scores": settings}})


def tables(lake: Lake) -> list[list[tuple]]:
    return [sorted(tuple(row) for row in lake.current(table).collect()) for table in (rfm.SCORES, rfm.CUTS)]


@pytest.mark.slow  # tests/test_shop.py runs every job twice
def test_run_twice_the_rows_are_the_same_and_other_days_stay(lake: Lake, place: Place) -> None:
    fill(lake)
    runner.run(rfm_scores, lake, place, FIRST)
    before = tables(lake)
    runner.run(rfm_scores, lake, place, AS_OF)
    once = tables(lake)
    assert runner.run(rfm_scores, lake, place, AS_OF).rows == {"rfm_scores": 7, "rfm_cuts": 12}
    assert tables(lake) == once
    for first, both in zip(before, once, strict=True):
        assert first == [row for row in both if FIRST in row]
        assert len(first) < len(both)


def test_settings_change_money_scores_and_names(lake: Lake, place: Place, tmp_path: Path) -> None:
    fill(lake)
    names = tmp_path / "names.yaml"
    names.write_text("[{name: Regulars, when: f = 1}, {name: Guests, when: 'f < 1'}]")
    settings = {"bins": 2, "net": True, "cuts": {"frequency": [5]}, "segments": str(names)}
    runner.run(rfm_scores, lake, told(place, **settings), AS_OF)

    found = {row["customer_id"]: row for row in lake.current(rfm.SCORES).collect()}
    assert found["c6"]["monetary"] == Decimal(18)
    assert {name: row["segment"] for name, row in found.items() if row["frequency_score"] == 2} == {
        "c6": "Regulars",
        "c7": "Regulars",
    }
    cuts = {row["measure"]: row["cut"] for row in lake.current(rfm.CUTS).collect()}
    assert cuts["frequency"] == 5
    assert cuts["monetary"] == 8  # the median of n² / 2


@pytest.mark.parametrize(("rules", "mistake"), [(None, "there is no rule file"), ("A: r = 1", "must be a list of")])
def test_a_rule_file_that_cannot_be_is_refused_before_there_is_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rules: str | None, mistake: str
) -> None:
    monkeypatch.setattr(SparkSession, "getActiveSession", lambda: None)
    if rules is not None:
        (tmp_path / "rules.yaml").write_text(rules)
    with pytest.raises(ConfigError, match=mistake):
        rfm_scores.config(as_of=AS_OF, segments=tmp_path / "rules.yaml")


def test_before_any_order_there_is_no_row_and_no_error(lake: Lake, place: Place) -> None:
    fill(lake)
    assert runner.run(rfm_scores, lake, place, date(2020, 1, 1)).rows == {"rfm_scores": 0, "rfm_cuts": 0}


@pytest.mark.parametrize(
    ("settings", "mistakes"),
    [
        ({"bins": 1, "net": "perhaps", "cut": {}}, ["bins", "net", "'cut'; did you mean 'cuts'?"]),
        ({"cuts": {"money": [1, 2, 3, 4]}}, ["no measure is called 'money'"]),
        ({"cuts": {"recency": [30, 7, 90, 365]}}, ["cut points of recency must ascend"]),
        ({"cuts": {"recency": [7, 30, 90, float("inf")]}}, ["cut points of recency must ascend"]),
        ({"cuts": {"recency": [7, 30]}}, ["5 bins need 4 cut points of recency, got 2"]),
        ({"segments": "nowhere.yaml"}, ["there is no rule file nowhere.yaml"]),
        ("- {name: A, when: x > 1}\n- {name: B, when: count(r) > 1}", ["A: 'x > 1'", "B: 'count(r) > 1'"]),
        ("- {name: A, if: r = 1}", ["must be a list of {name: text, when: text}"]),
        ("Champions: r = 1", ["must be a list of {name: text, when: text}"]),
    ],
)
def test_a_wrong_configuration_is_refused_with_all_its_mistakes_and_nothing_is_written(
    lake: Lake, place: Place, tmp_path: Path, settings: dict[str, Any] | str, mistakes: list[str]
) -> None:
    if isinstance(settings, str):
        (tmp_path / "rules.yaml").write_text(settings)
        settings = {"segments": str(tmp_path / "rules.yaml")}
    with pytest.raises(ConfigError) as error:
        runner.run(rfm_scores, lake, told(place, **settings), AS_OF)
    assert [mistake for mistake in mistakes if mistake not in str(error.value)] == []
    assert not Path(lake.location).exists()
