"""Averages, decomposition and correlations as tables: against pandas and statsmodels, and what cannot be told."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from statsmodels.tsa.seasonal import STL
from statsmodels.tsa.stattools import acf

from crm_spark.forecasting import autocorrelation, smoothing

SERIES = "grouping string, key string, measure string, first date, values array<double>"
RANDOM = np.random.default_rng(3)
LONG = (np.sin(np.arange(48) * np.pi / 6) * 5 + np.arange(48) * 0.1 + RANDOM.normal(size=48)).tolist()
SHORT = RANDOM.normal(size=9).tolist()
CASES: dict[str, list[float | None]] = {
    "long": LONG,
    "short": SHORT,
    "gap": [None, *LONG[1:]],
    "flat": [2.0] * 30,
    "empty": [],
    "one": [1.0],
    "huge": [*LONG[:-1], 1e308],
}
APART = [float(at * at % 17) if at % 3 == 0 else None for at in range(40)]


def frame(spark: SparkSession) -> DataFrame:
    rows = [("case", name, "spend", date(2026, 1, 5), values) for name, values in CASES.items()]
    return spark.createDataFrame(rows, SERIES).repartition(1)


def test_each_series_gets_its_moving_average(spark: SparkSession) -> None:
    found = {row["key"]: row["averages"] for row in smoothing.smooth(frame(spark), "trailing", 4).collect()}
    assert found.keys() == CASES.keys()
    for name, values in CASES.items():
        known = pd.Series(values, dtype=float).rolling(4).mean().tolist()
        ours = np.array(found[name], dtype=float)
        if name != "huge":
            np.testing.assert_allclose(ours, known, rtol=1e-9, err_msg=name)
    assert found["short"][:3] == [None] * 3


def test_trend_and_season_are_those_of_statsmodels_or_there_is_a_reason(spark: SparkSession) -> None:
    found = {row["key"]: row for row in smoothing.decompose(frame(spark), 12).collect()}
    known = STL(np.array(LONG), period=12, robust=True).fit()
    assert found["long"]["trend"] == pytest.approx(known.trend.tolist(), rel=1e-12)
    assert found["long"]["season"] == pytest.approx(known.seasonal.tolist(), rel=1e-12)
    assert found["long"]["reason"] is None
    assert found["short"]["reason"] == "9 periods are fewer than 2 cycles of 12"
    assert found["gap"]["reason"] == "some periods are missing"
    assert found["gap"]["trend"] is None
    assert found["flat"]["trend"] == pytest.approx([2.0] * 30)


def test_correlations_are_those_of_statsmodels_or_there_is_a_reason(spark: SparkSession) -> None:
    found = {row["key"]: row for row in autocorrelation.correlate(frame(spark), 13).collect()}
    known = acf(np.array(LONG), nlags=13, fft=False)
    assert found["long"]["acf"] == pytest.approx(known[1:].tolist(), rel=1e-9)
    assert found["long"]["rhythm"] == 12
    assert found["long"]["p"] < 1e-6
    assert found["short"]["acf"][8:] == [None] * 5
    assert (found["long"]["tested"], found["short"]["tested"]) == (9, 1)
    reasons = {name: row["reason"] for name, row in found.items()}
    assert {name for name, reason in reasons.items() if reason is None} == {"long", "short", "gap"}
    assert reasons["flat"] == "all values are alike or too large"
    apart = spark.createDataFrame([("case", "apart", "spend", date(2026, 1, 5), APART)], SERIES)
    (row,) = autocorrelation.correlate(apart, 6).collect()
    assert [value is None for value in row["acf"]] == [True, True, False] * 2
    assert row["reason"] == "no two periods in a row have a value"
    assert reasons["empty"] == reasons["one"] == "fewer than 3 periods have a value"
    assert all(np.isfinite(value) for row in found.values() for value in row["acf"] if value is not None)
