"""kmeans_1m against MLlib, dbscan_* against scikit-learn in memory, whose time is without reading."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.clustering import KMeans
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.cluster import DBSCAN

from benchmarks.measure import Figure, compare
from crm_spark.kernels.likelihood import Floats
from crm_spark.segments import dbscan, lloyd

MIN_SAMPLES = 10


def kmeans_1m(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Eight centres of points in eight dimensions; ours must lie no further from the points."""
    path, points = _points(folder, int(1_000_000 * share), 8, 1.0, 5)

    def ours() -> float:
        customers = spark.read.parquet(path)
        # MLlib tells neither silhouette nor stability here.
        return float(lloyd.search(customers, [8], 10, len(points), 8, is_judged=False)[0].within or 0)

    def theirs() -> float:
        vectors = spark.read.parquet(path).select(array_to_vector(F.col("point")).alias("features")).persist()
        within = float(KMeans(k=8, seed=1).fit(vectors).summary.trainingCost)
        vectors.unpersist()
        return within

    def no_further(ours: float, theirs: float) -> bool:
        return ours <= theirs * (1 + 1e-6)

    return compare("kmeans_1m", len(points), "MLlib: KMeans", 0.25, ours, theirs, agree=no_further)


def dbscan_1m(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Groups in a plane, some 20 points near each."""
    return _dbscan(spark, folder, "dbscan_1m", int(1_000_000 * share), 2, 0.1 / np.sqrt(share))


def dbscan_100k_8d(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Groups in eight dimensions, some 20 points near each."""
    return _dbscan(spark, folder, "dbscan_100k_8d", int(100_000 * share), 8, 1.6)


def dbscan_10m(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Ten million points of a plane, held against a tenth of them: what grows is to be the time alone."""
    path, points = _points(folder, int(10_000_000 * share), 2, 2.0, 50)
    few, some = _points(folder, len(points) // 10, 2, 2.0, 50, "few")
    eps = 0.032 / np.sqrt(share)

    def noise(path: str, eps: float) -> float:
        return _counted(dbscan.cluster(spark.read.parquet(path), eps, MIN_SAMPLES, 2))[2]

    return compare(
        "dbscan_10m",
        len(points),
        f"ours, {len(some)} of them",
        20.0,
        lambda: noise(path, eps) / len(points),
        lambda: noise(few, eps * np.sqrt(10)) / len(some),
        runs=1,
        agree=lambda one, other: abs(one - other) < 0.05,
    )


def _dbscan(spark: SparkSession, folder: Path, name: str, n: int, d: int, eps: float) -> Figure:
    path, points = _points(folder, n, d, 2.0 if d == 2 else 1.0, 50 if d == 2 else 20)

    def ours() -> tuple[int, int, int]:
        return _counted(dbscan.cluster(spark.read.parquet(path), eps, MIN_SAMPLES, d))

    def theirs() -> tuple[int, int, int]:
        found = DBSCAN(eps=eps, min_samples=MIN_SAMPLES).fit(points)
        return int(found.labels_.max()) + 1, found.core_sample_indices_.size, int((found.labels_ < 0).sum())

    return compare(name, n, "scikit-learn: DBSCAN in memory", 1.0, ours, theirs)


def _counted(found: DataFrame) -> tuple[int, int, int]:
    """Clusters, core points, noise."""
    kind = F.col("kind")
    counts = found.agg(F.max("cluster"), F.count_if(kind == "core"), F.count_if(kind == "noise")).collect()[0]
    return int(counts[0] or 0), int(counts[1]), int(counts[2])


def _points(folder: Path, n: int, d: int, spread: float, groups: int, name: str = "points") -> tuple[str, Floats]:
    """Write points of groups as customers, and give them."""
    random = np.random.default_rng(1)
    centres = random.uniform(0, 100 if d == 2 else 10, (groups, d))
    points = centres[random.integers(groups, size=n)] + random.normal(size=(n, d)) * spread
    lists = pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32) * d, points.ravel())
    keys = pa.array([f"{at:09}" for at in range(n)])
    path = str(folder / name)
    pq.write_table(pa.table({"customer_id": keys, "point": lists}), path, row_group_size=100_000)
    return path, points
