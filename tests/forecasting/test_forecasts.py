"""Models and forecasts as tables: equal to the kernel's, reused without a fit, and reasons where there is none."""

from datetime import date

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from statsmodels.tsa.arima.model import ARIMA

from crm_spark.forecasting import autocorrelation, forecasts, smoothing
from crm_spark.forecasting.series import SERIES
from tests.forecasting import test_reconciliation, test_series

AS_OF, FIRST = date(2026, 3, 2), date(2024, 1, 1)
RANDOM = np.random.default_rng(8)
LONG = (RANDOM.normal(size=60).cumsum() * 2 + 90).tolist()
CASES: dict[str, list[float | None]] = {
    "walk": LONG,
    "gap": [*LONG[:20], None, *LONG[21:]],
    "rare": (RANDOM.poisson(1, size=50) * (RANDOM.random(50) < 0.4) * 1.0).tolist(),
    "noise": RANDOM.normal(30, 2, size=50).tolist(),
    "flat": [5.0] * 20,
    "short": [1.0, 2.0, 4.0],
    "empty": [],
    "missing": [None] * 12,
    "huge": [*LONG[:30], 1e308],
}


def frame(spark: SparkSession, period: str = "month", last: int = 0) -> DataFrame:
    rows = [
        (AS_OF, "case", name, "spend", period, FIRST, [*values, *[4.0] * last], None, None, None, None)
        for name, values in CASES.items()
    ]
    return spark.createDataFrame(rows, SERIES.nullable_ddl)


def answers(spark: SparkSession) -> dict[str, DataFrame]:
    """What Spark Connect is asked too."""
    series = test_series.gathered(spark).localCheckpoint()
    models = forecasts.learn(frame(spark), 6, 2, AS_OF).localCheckpoint()
    return {
        "behaviour_series": smoothing.smooth(series, "centred", 4, least=0.5),
        "autocorrelations": autocorrelation.correlate(series, 12),
        "behaviour_models": models,
        "behaviour_forecasts": forecasts.predict(frame(spark), models, 6, AS_OF),
        "reconciled": test_reconciliation.reconciled(spark),
    }


def test_each_series_has_a_model_or_a_reason_and_a_forecast_that_statsmodels_confirms(spark: SparkSession) -> None:
    series = frame(spark)
    models = forecasts.learn(series, 6, 2, AS_OF).localCheckpoint()
    told = {row["key"]: row for row in models.collect()}
    assert told.keys() == CASES.keys()
    assert {name: row["route"] for name, row in told.items()} == {
        "walk": "arima", "gap": "arima", "rare": "mostly zero", "noise": "arima", "flat": "constant",
        "short": "too short", "empty": "none", "missing": "none", "huge": "none",
    }  # fmt: skip
    assert told["huge"]["reason"] == "a value is infinite or beyond 1e150"
    assert told["short"]["reason"] == "fewer than 10 values"
    assert (told["walk"]["judged_ahead"], told["walk"]["season"], told["short"]["season"]) == (6, 12, 1)
    for row in told.values():
        assert all(value is None or np.isfinite(value) for value in row if isinstance(value, float))
    rows = forecasts.predict(series, models, 6, AS_OF).orderBy("key", "ahead").collect()
    found = {name: [row for row in rows if row["key"] == name] for name in CASES}
    assert {name: len(of) for name, of in found.items() if len(of) != 6} == {"empty": 0, "missing": 0, "huge": 0}
    assert [row["day"] for row in found["short"]][:2] == [date(2024, 4, 1), date(2024, 5, 1)]
    assert all(row["low_95"] >= 0 for row in rows if row["low_95"] is not None), "nobody spends less than nothing"
    arima = [name for name, row in told.items() if row["method"] == "arima"]
    assert arima
    for name in arima:
        assert_is_statsmodels(CASES[name], told[name], found[name])


def assert_is_statsmodels(values: list[float | None], model: object, found: list[object]) -> None:
    """A fit of the same orders by statsmodels is no better, and foretells the same."""
    p, d, q, P, D, Q, m, constant = model["orders"]  # type: ignore[index]
    trend = None if not constant else "c" if d + D == 0 else "t"
    known = ARIMA(
        np.array(values, dtype=float), order=(p, d, q), seasonal_order=(P, D, Q, m if P + D + Q else 0), trend=trend
    )
    fit = known.fit(method_kwargs={"maxiter": 200})
    if d + D == 0:  # else statsmodels starts otherwise
        assert model["log_likelihood"] >= fit.llf - 1e-3  # type: ignore[index]
    told = [row["expected"] for row in found]  # type: ignore[index]
    off = fit.get_forecast(6).se_mean
    assert np.abs(np.array(told) - fit.forecast(6)).max() < 0.25 * off.max()


def test_young_models_are_used_again_on_new_values_without_a_fit(spark: SparkSession) -> None:
    learned = forecasts.learn(frame(spark), 6, 2, AS_OF).localCheckpoint()
    later = date(2026, 3, 9)
    grown = frame(spark, last=1)
    kept = forecasts.keep(learned, grown.where("key <> 'rare'"), later, days=8).localCheckpoint()
    assert {row["key"] for row in kept.collect()} == {"walk", "gap", "noise", "flat", "short"}
    assert {(row["as_of"], row["learned_on"]) for row in kept.collect()} == {(later, AS_OF)}
    assert forecasts.keep(learned, grown, later, days=7).isEmpty()
    again = {row["key"]: row["expected"] for row in forecasts.predict(grown, kept, 1, later).collect()}
    assert again["flat"] == 4.0, "the newest value, by the method that was learned before"


def test_the_rows_are_the_same_however_they_lie(spark: SparkSession) -> None:
    told = []
    for partitions in (1, 2, 7):
        series = frame(spark).repartition(partitions, "key")
        models = forecasts.learn(series, 4, 2, AS_OF).localCheckpoint()
        rows = forecasts.predict(series.repartition(partitions), models, 4, AS_OF).collect()
        told.append((sorted(map(str, models.collect())), sorted(map(str, rows))))
    assert told[0] == told[1] == told[2]
