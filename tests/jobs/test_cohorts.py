"""The job on a lake: it owns one day, and what it is told reaches the cohorts."""

from datetime import timedelta

import pytest

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.lake import Lake
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.value.cohorts import COHORTS, follow
from crm_spark.value.margins import MARGINS
from jobs.cohorts import cohorts
from tests.jobs.test_value_bridge import AS_OF, fill

FIRST = AS_OF - timedelta(days=30)


@pytest.mark.slow
def test_a_run_owns_one_day_and_settings_reach_the_cohorts(lake: Lake, place: Place) -> None:
    fill(lake)
    runs = []
    for day in (FIRST, AS_OF):
        runner.run(cohorts, lake, place.model_copy(update={"jobs": {"cohorts": {"net": True}}}), day)
        runs.append({tuple(row) for row in lake.current(COHORTS).collect()})
    assert runs[0] < runs[1]
    net = follow(lake.current(CUSTOMER_DAYS), lake.current(MARGINS), AS_OF, net=True)
    assert runs[1] - runs[0] == {tuple(row) for row in net.collect()}
