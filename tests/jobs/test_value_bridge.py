"""The job on a lake: it owns one day, and its settings reach the parts."""

from datetime import timedelta

import pytest
from pyspark.sql import functions as F

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.value.bridge import BRIDGE
from jobs.value_bridge import value_bridge
from tests.value.test_bridge import AS_OF, bought, frame

FIRST = AS_OF - timedelta(days=30)


def fill(lake: Lake) -> None:
    at = "timestamp '2026-01-01'"
    days = frame(lake.spark, CUSTOMER_DAYS, bought())
    lake.prepare(CUSTOMER_DAYS)
    lake.overwrite(CUSTOMER_DAYS, days.selectExpr(*CUSTOMER_DAYS.names[:-2], f"{at} first_at", f"{at} last_at"), "fill")


@pytest.mark.slow
def test_a_run_owns_one_day_and_settings_reach_the_parts(lake: Lake, place: Place) -> None:
    fill(lake)
    told = place.model_copy(update={"jobs": {"value_bridge": {"period": 30, "net": True}}})
    runs = []
    for day in (FIRST, AS_OF):
        runner.run(value_bridge, lake, told, day)
        runs.append({tuple(row) for row in lake.current(BRIDGE).collect()})
    assert runs[0] < runs[1]
    money = lake.current(CUSTOMER_DAYS).where(F.col("day") > F.lit(AS_OF - timedelta(days=30)))
    now = lake.current(BRIDGE).where("part = 'now'").where(F.col("as_of") == F.lit(AS_OF))
    assert now.agg(F.sum("amount")).first()[0] == pytest.approx(
        float(money.agg(F.sum(F.col("sales") - F.col("returns"))).first()[0])
    )


def test_settings_that_cannot_be_are_refused(lake: Lake, place: Place) -> None:
    settings = {"period": 0, "attribute": "gender"}
    with pytest.raises(ConfigError, match=r"(?s)period.*attribute"):
        runner.run(value_bridge, lake, place.model_copy(update={"jobs": {"value_bridge": settings}}), AS_OF)
