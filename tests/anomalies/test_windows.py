"""Tests of windows by themselves, as tables: what SciPy makes of the same values, and reasons where there is nothing."""

import numpy as np
import pytest
from pyspark.sql import SparkSession
from scipy import stats

from crm_spark.anomalies import windows
from crm_spark.kernels.standings import Asked
from tests.anomalies.test_standings import CASES, USUAL, frame

RISEN = [*USUAL[:-4], *(value + 9 for value in USUAL[-4:])]


def test_the_last_window_is_tested_against_the_past_of_each_series(spark: SparkSession) -> None:
    series = frame(spark, CASES | {"risen": RISEN, "ten": USUAL[:10]})
    found = {row["key"]: row for row in windows.compare(series, Asked(1, 40, 12, test="pooled")).collect()}
    known = stats.ttest_ind(RISEN[-12:], RISEN[-52:-12])
    assert (found["risen"]["t"], found["risen"]["df"]) == pytest.approx((known.statistic, 50))
    assert found["risen"]["p"] == pytest.approx(known.pvalue)
    assert found["ten"]["reason"] == "the window is longer than the series"
    assert found["huge"]["reason"] == "a value is infinite or beyond 1e150"
    assert {name for name, row in found.items() if row["p"] is None} == {
        name for name, row in found.items() if row["reason"]
    }


def test_groups_of_series_are_held_against_each_other(spark: SparkSession) -> None:
    random = np.random.default_rng(3)
    cases = {f"{group}{at}": random.normal(mean, 2, 12).tolist() for group, mean in (("a", 5), ("b", 6), ("c", 5))
             for at in range(4)}  # fmt: skip
    told = [("case", name, name[0]) for name in (*cases, "huge")]
    groups = spark.createDataFrame(told, "grouping string, key string, `group` string")
    row = windows.differ(frame(spark, cases | {"huge": CASES["huge"]}), groups, 5).first()
    of_group = [np.concatenate([of[-5:] for name, of in cases.items() if name[0] == group]) for group in "abc"]
    known = stats.f_oneway(*of_group)
    assert row is not None
    assert (row["F"], row["p"]) == pytest.approx((known.statistic, known.pvalue), rel=1e-9)
    assert (row["df_between"], row["df_within"]) == (2, 57)


def test_each_series_has_its_power_with_limits(spark: SparkSession) -> None:
    values = np.random.default_rng(5).lognormal(3, 1, 80)
    counts = [0.0, 3.0, 1.0, 7.0, 2.0, 0.0, 4.0, 15.0, 1.0, 2.0]
    rows = windows.powers(frame(spark, CASES | {"spend": values.tolist(), "counts": counts})).collect()
    found = {row["key"]: row for row in rows}
    _, power, limits = stats.boxcox(values, alpha=0.05)
    told = [found["spend"][name] for name in ("added", "power", "low", "high")]
    assert told == pytest.approx([0.0, power, *limits], abs=1e-5)
    assert found["counts"]["added"] == 0.5
    assert found["counts"]["power"] == pytest.approx(stats.boxcox(np.array(counts) + 0.5)[1], abs=1e-5)
    assert (found["flat"]["power"], found["flat"]["reason"]) == (None, "all values are equal")
