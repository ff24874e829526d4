"""The job on a lake: it owns one day, and what it is told reaches the model."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import functions as F

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from crm_spark.features.snapshot import CUSTOMER_FEATURES
from crm_spark.segments.drift import DRIFT
from crm_spark.segments.kmeans import MODEL, SEGMENTS
from crm_spark.segments.migration import MIGRATION
from crm_spark.segments.profiles import PROFILES
from jobs.customer_segments import customer_segments
from tests.segments.test_kmeans import drawn

FIRST, AS_OF = date(2025, 12, 31), date(2026, 1, 31)


def fill(lake: Lake) -> None:
    """Two days: on the first, fewer are customers. Columns that no segment asks for are 0, or empty."""
    rows = []
    for day, customers in ((FIRST, drawn()[:60]), (AS_OF, drawn())):
        for who, recency, days, basket, spend in customers:
            known: dict[str, Any] = {
                "customer_id": who,
                "as_of": day,
                "recency_days": recency,
                "purchase_days": days,
                "basket_value": Decimal(str(basket)),
                "spend": Decimal(str(spend)),
            }
            blank = {"decimal(18,4)": Decimal(0), "double": 0.0, "int": 0, "bigint": 0}
            rows.append(
                tuple(
                    known.get(column.name, None if column.nullable else blank.get(column.type))
                    for column in CUSTOMER_FEATURES.columns
                )
            )
    made = lake.spark.createDataFrame(rows, CUSTOMER_FEATURES.nullable_ddl)
    lake.prepare(CUSTOMER_FEATURES)
    for number, day in enumerate((FIRST, AS_OF)):
        lake.append(CUSTOMER_FEATURES, made.where(made["as_of"] == day), "fill", ("fill", number + 1))


def tables(lake: Lake) -> list[list[str]]:
    made = (SEGMENTS, PROFILES, MODEL, MIGRATION, DRIFT)
    return [sorted(str(tuple(row)) for row in lake.current(table).collect()) for table in made]


def told(place: Place, **settings: Any) -> Place:
    return place.model_copy(update={"jobs": {"customer_segments": settings}})


@pytest.mark.slow  # tests/test_shop.py runs every job twice
def test_run_twice_the_rows_are_the_same_and_other_days_stay(lake: Lake, place: Place) -> None:
    fill(lake)
    few = told(place, k=3, starts=1, features=["recency_days", "spend"])
    runner.run(customer_segments, lake, few, FIRST)
    before = tables(lake)
    runner.run(customer_segments, lake, few, AS_OF)
    once = tables(lake)
    again = runner.run(customer_segments, lake, few, AS_OF)
    ways = lake.current(MIGRATION).where(F.col("as_of") == F.lit(AS_OF)).collect()
    assert again.rows == {
        "customer_segments": 240,
        "segment_profiles": 3,
        "segment_model": 2 * 6 + 3 * 2 + 3 + 1,
        "segment_migration": len(ways),
        "segment_drift": 4 * 2 + 1,
    }
    assert sum(row["customers"] for row in ways if row["from_id"]) == 60
    assert tables(lake) == once
    for first, both in zip(before, once, strict=True):
        assert set(first) < set(both)
    kept = runner.run(customer_segments, lake, told(place, features=["recency_days", "spend"], refit_days=60), AS_OF)
    assert kept.rows["segment_model"] == again.rows["segment_model"] - 1, "nothing was learned that could agree"
    assert {row["learned_on"] for row in lake.current(SEGMENTS).collect()} == {FIRST}
    sentences = [row["sentence"] for row in lake.current(PROFILES).where("segment_id = 1").collect()]
    assert all("last purchase" in sentence and "spent" in sentence for sentence in sentences)


def test_settings_that_cannot_be_are_refused(lake: Lake, place: Place) -> None:
    settings = {"k": 1, "tail": 0.5, "features": ["recency_day", "gender"], "seeds": 3}
    with pytest.raises(ConfigError) as refused:
        runner.run(customer_segments, lake, told(place, **settings), AS_OF)
    for part in ("k must be", "tail must be", "did you mean 'recency_days'?", "'gender' is no number", "seeds"):
        assert part in str(refused.value)
    with pytest.raises(ConfigError, match="k_from must be at most k_to, got 5 and 4"):
        runner.run(customer_segments, lake, told(place, k_from=5, k_to=4), AS_OF)
    with pytest.raises(ConfigError, match="choose_by stability needs engine lloyd"):
        runner.run(customer_segments, lake, told(place, engine="mllib", choose_by="stability"), AS_OF)
    with pytest.raises(ConfigError, match="each may be named once"):
        runner.run(customer_segments, lake, told(place, features=["spend", "spend"]), AS_OF)
