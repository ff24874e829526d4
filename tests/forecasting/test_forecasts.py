"""Models and forecasts as tables: equal to the kernel's, reused without a fit, and reasons where there is none."""

from datetime import date

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
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


def test_short_series_of_customers_borrow_from_their_segment_and_no_others(spark: SparkSession) -> None:
    wave, random = [100.0], np.random.default_rng(6)
    for shock in random.normal(0, 3, 59).tolist():
        wave.append(100 - 0.9 * (wave[-1] - 100) + shock)
    cases: list[tuple[str, str, list[float | None]]] = [
        ("segment", "loyal", wave),
        ("segment", "flat", [5.0] * 30),
        ("customer", "a", [43.0, 47.0, 43.0, None, 43.5, 46.0]),
        ("customer", "b", [3.0, 7.0, 4.0]),
        ("customer", "bad", [3.0, float("inf")]),
        ("customer", "stranger", [3.0, 7.0, 4.0]),
        ("customer", "long", wave[:12]),
        ("product", "p", [3.0, 7.0, 4.0]),
    ]
    rows = [
        (AS_OF, grouping, key, "spend", "week", FIRST, values, None, None, None, None)
        for grouping, key, values in cases
    ]
    series = spark.createDataFrame(rows, SERIES.nullable_ddl)
    segments = spark.createDataFrame(
        [("a", "loyal"), ("b", "flat"), ("bad", "loyal"), ("long", "loyal")], "customer_id string, segment string"
    )
    is_short = forecasts.is_short()
    models = forecasts.learn(series.where(~is_short), 6, 2, AS_OF).localCheckpoint()
    borrowed = forecasts.borrow(series.where(is_short), series, models, segments, 6, 2, AS_OF).localCheckpoint()
    of = {row["key"]: row for row in models.unionByName(borrowed).collect()}
    assert of.keys() == {key for _, key, _ in cases}
    assert {key: row["route"] for key, row in of.items() if row["route"] not in {"arima", "constant"}} == {
        "a": "borrowed", "b": "too short", "bad": "none", "stranger": "too short", "p": "too short"
    }  # fmt: skip
    loyal, a = of["loyal"], of["a"]
    assert loyal["method"] == "arima"
    assert (a["method"], a["model"], a["orders"]) == ("arima", loyal["model"], loyal["orders"])
    assert a["reason"] == "fewer than 10 values: terms of segment loyal"
    assert a["coefficients"][:-1] == loyal["coefficients"][:-1]
    assert 43 < a["coefficients"][-1] < 47, "the mean is its own"
    told = forecasts.predict(series, borrowed, 2, AS_OF).where("key = 'a'").collect()
    assert all(row["low_95"] < row["low_80"] < row["expected"] < row["high_80"] for row in told)


def test_models_are_searched_from_those_of_the_newest_day_before(spark: SparkSession) -> None:
    series = frame(spark).where("key IN ('walk', 'noise', 'rare')")
    first = forecasts.learn(series, 6, 2, date(2026, 3, 1)).localCheckpoint()
    # What has the day itself does not count: a second run gives the same rows.
    today = first.withColumns({"as_of": F.lit(AS_OF), "orders": F.lit(None).cast("array<int>")})
    told = [forecasts.learn(series, 6, 2, AS_OF, former=of) for of in (first, first.unionByName(today))]
    cold = forecasts.learn(series, 6, 2, AS_OF)
    one, other, without = (sorted(rows.collect(), key=lambda row: row["key"]) for rows in (*told, cold))
    assert one == other
    for warm, known in zip(one, without, strict=True):
        assert (warm["method"], warm["orders"]) == (known["method"], known["orders"])
        assert warm["coefficients"] == pytest.approx(known["coefficients"], abs=1e-5)
        assert warm["mase"] == pytest.approx(known["mase"], rel=1e-4)


def test_what_never_lay_below_nothing_is_not_foretold_below_it_and_what_did_is(spark: SparkSession) -> None:
    falling = [float(max(0, 60 - 2 * at)) + 0.5 * (at % 3) for at in range(40)]
    balance = [value - 160.0 for value in LONG]
    rows = [
        (AS_OF, "case", name, measure, "month", FIRST, values, None, None, None, None)
        for name, measure, values in (("falling", "spend", falling), ("balance", "spend", balance),
                                      ("same", "ratings", balance))
    ]  # fmt: skip
    series = spark.createDataFrame(rows, SERIES.nullable_ddl)
    models = forecasts.learn(series, 4, 2, AS_OF)
    told = forecasts.predict(series, models, 4, AS_OF).localCheckpoint()
    assert told.where("key = 'falling'").agg(F.min("low_95")).collect()[0][0] == 0
    numbers = ["ahead", "expected", "low_95", "high_95"]
    balanced, same = (told.where(F.col("key") == name).select(*numbers).collect() for name in ("balance", "same"))
    assert balanced == same
    assert balanced[0]["high_95"] < 0
