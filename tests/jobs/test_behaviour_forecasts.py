"""What the job can be told, and what it refuses before any work."""

from datetime import date

import numpy as np
import pytest
from pyspark.sql import SparkSession

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from crm_spark.forecasting.forecasts import MODELS
from crm_spark.forecasting.series import SERIES
from jobs.behaviour_forecasts import Config, behaviour_forecasts
from tests.jobs.test_customer_segments import AS_OF


def test_settings_that_cannot_be_are_refused(lake: Lake, place: Place) -> None:
    settings = {
        "horizon": 0,
        "origins": 0,
        "season": 0,
        "refit_days": 0,
        "borrow": "much",
        "reconciled": "ols",
        "orders": 3,
    }
    told = place.model_copy(update={"jobs": {"behaviour_forecasts": settings}})
    with pytest.raises(ConfigError) as refused:
        runner.run(behaviour_forecasts, lake, told, AS_OF)
    for name in settings:
        assert name in str(refused.value)


def test_a_run_borrows_where_it_is_told_to_and_a_second_one_gives_the_same_rows(spark: SparkSession) -> None:
    wave, random = [100.0], np.random.default_rng(6)
    for shock in random.normal(0, 3, 59).tolist():
        wave.append(100 - 0.9 * (wave[-1] - 100) + shock)
    told = {("segment", "loyal"): wave, ("customer", "a"): [43.0, 47.0, 43.0, 46.5, 43.5, 46.0]}
    rows = [(AS_OF, *who, "spend", "week", date(2025, 1, 6), values, *[None] * 4) for who, values in told.items()]
    series = spark.createDataFrame(rows, SERIES.nullable_ddl)
    scores = spark.createDataFrame([("a", AS_OF, "loyal")], "customer_id string, as_of date, segment string")
    nothing = spark.createDataFrame([], MODELS.nullable_ddl)
    config = Config(as_of=AS_OF, borrow=True, horizon=2, reconciled=None)
    forecasts, models = behaviour_forecasts(series, nothing, scores, config)
    route = {row["key"]: row["route"] for row in models.collect()}
    assert route == {"loyal": "arima", "a": "borrowed"}
    assert {(row["key"], row["method"]) for row in forecasts.collect()} == {("loyal", "arima"), ("a", "arima")}
    again = behaviour_forecasts(series, models, scores, config)
    for one, other in zip((forecasts, models), again, strict=True):
        assert sorted(map(str, one.collect())) == sorted(map(str, other.collect()))
    apart = behaviour_forecasts(series, models, scores, config.model_copy(update={"borrow": False}))[1]
    assert {row["key"]: row["route"] for row in apart.collect()} == {"loyal": "arima", "a": "too short"}
