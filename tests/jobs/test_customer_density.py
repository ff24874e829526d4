"""The job on a lake: it owns one day, what it is told reaches the model, and odd customers lie apart."""

from typing import Any

import pytest
from pyspark.sql import functions as F

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from crm_spark.segments.density import APART, DENSITY, GROUPS, MODEL
from jobs.customer_density import customer_density
from tests.jobs.test_customer_segments import AS_OF, FIRST, fill
from tests.segments.test_kmeans import drawn


def tables(lake: Lake) -> list[list[str]]:
    return [sorted(str(tuple(row)) for row in lake.current(table).collect()) for table in (DENSITY, GROUPS, MODEL)]


def told(place: Place, **settings: Any) -> Place:
    return place.model_copy(update={"jobs": {"customer_density": settings}})


@pytest.mark.slow  # tests/test_shop.py runs every job twice
def test_run_twice_the_rows_are_the_same_and_who_spends_a_thousand_times_as_much_lies_apart(
    lake: Lake, place: Place
) -> None:
    fill(lake)
    few = told(place, features=["recency_days", "basket_value"])
    runner.run(customer_density, lake, few, FIRST)
    before = tables(lake)
    runner.run(customer_density, lake, few, AS_OF)
    once = tables(lake)
    runner.run(customer_density, lake, few, AS_OF)
    assert tables(lake) == once
    for first, both in zip(before, once, strict=True):
        assert set(first) < set(both)
    found = lake.current(DENSITY).where(F.col("as_of") == F.lit(AS_OF)).collect()
    kinds = {row["customer_id"]: row["kind"] for row in found}
    odd = [who for n, (who, *_) in enumerate(drawn()) if n % 97 == 0]
    assert len(kinds) == 240
    assert {kinds[who] for who in odd} == {"noise"}
    assert list(kinds.values()).count("noise") < 60
    groups = lake.current(GROUPS).where(F.col("as_of") == F.lit(AS_OF)).collect()
    assert sum(row["customers"] for row in groups) == 240
    assert sum(row["spend_share"] for row in groups) == pytest.approx(1)
    assert {row["group_name"] for row in groups if row["group_id"] == 0} == {APART}
    assert {row["group_id"] for row in groups if row["core_customers"]} == {row["group_id"] for row in found} - {None}
    model = {row["parameter"]: row for row in lake.current(MODEL).where("feature = 'all' AND number = 0").collect()}
    assert model["min_samples"]["value"] == 4
    assert model["eps"]["reason"] == "the knee of the curve"


def test_settings_that_cannot_be_are_refused(lake: Lake, place: Place) -> None:
    settings = {"eps": 0, "min_samples": 0, "tail": 0.5, "features": ["gender"], "seeds": 3}
    with pytest.raises(ConfigError) as refused:
        runner.run(customer_density, lake, told(place, **settings), AS_OF)
    for part in ("eps must be", "min_samples must be", "tail must be", "'gender' is no number", "seeds"):
        assert part in str(refused.value)
