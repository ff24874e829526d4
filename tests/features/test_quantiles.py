"""Quantiles against NumPy's, many columns of random values as one Spark job."""

import numpy as np
import pytest
from pyspark.sql import SparkSession

from crm_spark.features.quantiles import quantiles

SHARES = [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.8, 0.99, 1.0]


def test_quantiles_are_those_that_numpy_gives(spark: SparkSession) -> None:
    random = np.random.default_rng(11)
    size = 301
    columns = {
        "spread": random.lognormal(3, 4, size),
        "signed": random.normal(0, 1e-3, size),
        "tied": random.integers(-2, 3, size).astype(float),
        "near": 1e6 + random.random(size),
        "alike": np.full(size, 7.5),
    }
    rows = spark.createDataFrame(
        list(zip(*[values.tolist() for values in columns.values()], strict=True)), list(columns)
    )
    found = quantiles(rows, list(columns), SHARES).collect()[0]
    for name, values in columns.items():
        assert found[name] == pytest.approx(np.quantile(values, SHARES), rel=1e-12), name
    assert found["alike"] == [7.5] * len(SHARES), "between equal values nothing is rounded"


def test_missing_values_do_not_count_and_without_values_there_is_no_quantile(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1.0, None), (None, None), (3.0, None)], "some double, none double")
    assert tuple(quantiles(rows, ["some", "none"], [0.5]).collect()[0]) == ([2.0], None)


def test_each_group_has_its_own_quantiles(spark: SparkSession) -> None:
    random = np.random.default_rng(12)
    group, value = random.integers(0, 3, 200), random.lognormal(3, 2, 200)
    rows = spark.createDataFrame(list(zip(group.tolist(), value.tolist(), strict=True)), "segment int, value double")
    found = quantiles(rows, ["value"], SHARES, by=["segment"]).collect()
    assert sorted(row["segment"] for row in found) == [0, 1, 2]
    for row in found:
        assert row["value"] == pytest.approx(np.quantile(value[group == row["segment"]], SHARES), rel=1e-12)
