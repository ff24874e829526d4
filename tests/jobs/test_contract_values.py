"""The job on a lake: it owns one day, and what it is told reaches the values."""

from datetime import timedelta

import pytest
from pyspark.sql import functions as F

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from crm_spark.ingest.tables import CONTRACTS
from crm_spark.value.contract_retention import PARAMETERS, RETENTION
from crm_spark.value.contract_values import VALUES
from jobs.contract_values import contract_values
from tests.jobs.test_customer_features import add
from tests.value.test_contract_values import AS_OF, drawn, runs

BEFORE = AS_OF - timedelta(days=7)


def told(place: Place, **settings: object) -> Place:
    return place.model_copy(update={"jobs": {"contract_values": settings}})


@pytest.mark.slow
def test_a_run_owns_one_day_and_settings_reach_the_values(lake: Lake, place: Place) -> None:
    contracts = drawn(300)
    add(lake, CONTRACTS, *contracts)
    asked = told(place, horizon=90, by_plan=True, held_out=0, discount=0.3, margin=0.4)
    kept = []
    for day in (BEFORE, AS_OF):
        runner.run(contract_values, lake, asked, day)
        kept.append([{str(row) for row in lake.current(table).collect()} for table in (VALUES, PARAMETERS, RETENTION)])
    assert all(before < after for before, after in zip(*kept, strict=True))
    values = lake.current(VALUES).where(F.col("as_of") == F.lit(AS_OF)).collect()
    assert len(values) == sum(runs(one, AS_OF) for one in contracts)
    assert {row["horizon"] for row in values} == {90}
    assert {row["plan"] for row in lake.current(PARAMETERS).collect()} == {"club", "box", "(unknown)"}
    assert {row["expected_constant"] for row in lake.current(RETENTION).collect()} == {None}
    worth = [row for row in values if row["lifetime_value"] is not None]
    assert worth
    for row in worth:
        assert row["lifetime_value"] == pytest.approx(9.9 * 0.4 * row["discounted_renewals"])


def test_settings_that_cannot_be_are_refused(lake: Lake, place: Place) -> None:
    with pytest.raises(ConfigError, match=r"(?s)horizon.*held_out.*discount.*margin"):
        runner.run(contract_values, lake, told(place, horizon=0, held_out=-1, discount=-1, margin=0), AS_OF)
