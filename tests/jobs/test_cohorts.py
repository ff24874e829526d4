"""The job on a lake: it owns one day, and what it is told reaches the cohorts."""

from datetime import timedelta

import pytest

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.lake import Lake
from crm_spark.value.cohorts import COHORTS
from jobs.cohorts import cohorts
from tests.jobs.test_value_bridge import AS_OF, fill

FIRST = AS_OF - timedelta(days=30)


def test_run_twice_the_rows_are_the_same_and_other_days_stay(lake: Lake, place: Place) -> None:
    fill(lake)
    runs = []
    for day, net in ((FIRST, False), (AS_OF, False), (AS_OF, False), (AS_OF, True)):
        runner.run(cohorts, lake, place.model_copy(update={"jobs": {"cohorts": {"net": net}}}), day)
        rows = lake.current(COHORTS).drop("margin", "reason").collect()
        runs.append({(row["as_of"], row["cohort"], row["months_since"]): row for row in rows})
    first, once, again, net_of = runs
    assert first.keys() < once.keys() == again.keys()
    assert all(once[key] == row for key, row in first.items())
    for key, row in once.items():
        assert row["revenue"] == pytest.approx(again[key]["revenue"], rel=1e-9)
        assert row["repeated"] == again[key]["repeated"]
    last = max(once)
    assert net_of[last]["revenue"] <= once[last]["revenue"]
    assert sum(row["revenue"] for row in net_of.values()) < sum(row["revenue"] for row in once.values())
