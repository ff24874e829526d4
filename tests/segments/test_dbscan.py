"""DBSCAN on Spark: scikit-learn's clusters whatever the boxes and partitions, and the curve that tells how far is near."""

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors

from crm_spark.core.errors import JobFailed
from crm_spark.segments import dbscan

DDL = "customer_id string, point array<double>"


def frame(spark: SparkSession, points: np.ndarray) -> DataFrame:
    return spark.createDataFrame([(f"c{at:05}", point) for at, point in enumerate(points.tolist())], DDL)


def drawn(d: int, n: int = 400, seed: int = 1) -> np.ndarray:
    """Four groups that overlap, some customers twice, in an order that tells nothing."""
    random = np.random.default_rng(seed)
    points = random.normal(size=(4, d))[random.integers(4, size=n)] * 2 + random.normal(size=(n, d)) * 0.6
    points[: n // 20] = points[n // 2 : n // 2 + n // 20]
    return random.permutation(points)


def known(points: np.ndarray, eps: float, min_samples: int) -> list[tuple[int | None, str]]:
    found = DBSCAN(eps=eps, min_samples=min_samples).fit(points)
    core = set(found.core_sample_indices_)
    return [
        (None, "noise") if label < 0 else (label + 1, "core" if at in core else "border")
        for at, label in enumerate(found.labels_.tolist())
    ]


def answer(points: DataFrame, eps: float, min_samples: int, width: int) -> list[tuple[int | None, str]]:
    found = dbscan.cluster(points, eps, min_samples, width).orderBy("customer_id").collect()
    return [(row["cluster"], row["kind"]) for row in found]


@pytest.mark.parametrize(("d", "eps", "min_samples", "on"), [(2, 0.25, 6, (1, 2, 7)), (5, 1.0, 5, (2,))])
def test_the_clusters_are_those_of_scikit_learn_in_one_box_and_in_many_on_any_partitions(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, d: int, eps: float, min_samples: int, on: tuple[int, ...]
) -> None:
    points = drawn(d)
    expected = known(points, eps, min_samples)
    assert len({cluster for cluster, _ in expected}) > 3
    assert {kind for _, kind in expected} == {"core", "border", "noise"}
    rows = frame(spark, points).localCheckpoint()
    assert answer(rows, eps, min_samples, d) == expected
    monkeypatch.setattr(dbscan, "A_BOX", 60)
    for partitions in on:
        assert answer(rows.repartition(partitions), eps, min_samples, d) == expected, f"{partitions} partitions"


def test_nobody_and_one_customer_have_an_answer(spark: SparkSession) -> None:
    points = frame(spark, np.array([[1.0, 2.0, 3.0, 4.0]]))
    assert answer(points, 1.0, 1, 4) == [(1, "core")]
    assert answer(points, 1.0, 2, 4) == [(None, "noise")]
    assert answer(points.limit(0), 1.0, 2, 4) == []
    assert dbscan.curve(points.limit(0), 2, 4).collect() == []
    assert dbscan.curve(points, 2, 4).collect() == [], "nobody is second"


def test_what_would_never_end_is_refused_with_its_reason(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = frame(spark, drawn(4)).localCheckpoint()
    for eps, min_samples in ((0.0, 5), (-1.0, 5), (float("inf"), 5), (float("nan"), 5), (1.0, 0)):
        with pytest.raises(ValueError, match="eps must be above 0, min_samples 1 or more"):
            dbscan.cluster(rows, eps, min_samples, 4)
    monkeypatch.setattr(dbscan, "MOST", 10_000)
    with pytest.raises(JobFailed, match="eps 9 has 400 customers near each of 400 on average"):
        dbscan.cluster(rows, 9.0, 5, 4)
    monkeypatch.setattr(dbscan, "LARGEST", 100)
    with pytest.raises(JobFailed, match="about 400 customers lie in one place"):
        dbscan.cluster(rows, 0.1, 5, 4)


def test_the_curve_is_that_of_all_distances_and_its_knee_parts_who_lies_apart(spark: SparkSession) -> None:
    random = np.random.default_rng(2)
    points = np.vstack([random.normal(size=(380, 2)) * 0.1, random.uniform(size=(20, 2)) * 40 + 5])
    told = dbscan.curve(frame(spark, points).repartition(3), 4, 2).orderBy("percent").collect()
    distances = np.sort(NearestNeighbors(n_neighbors=4).fit(points).kneighbors(points)[0][:, 3])
    expected = np.quantile(distances, np.arange(101) / 100, method="higher")
    assert [row["distance"] for row in told] == pytest.approx(expected)
    eps = next(row["distance"] for row in told if row["is_knee"])
    assert sum(label < 0 for label in DBSCAN(eps=eps, min_samples=4).fit(points).labels_) == pytest.approx(20, abs=8)
