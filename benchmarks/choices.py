"""c45_500k: C4.5 on Spark against MLlib's decision tree of the same depth."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.ml.classification import DecisionTreeClassifier
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.measure import Figure, compare
from crm_spark.models import c45, trees
from crm_spark.models.trees import Attribute

WIDTH, DEPTH, LEAST = 20, 8, 100
NAMES = [f"x{number}" for number in range(WIDTH)]


def c45_500k(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Learn a tree from rows in Parquet, numbers alone; both must be right of as many rows, to a hundredth."""
    size, path = int(500_000 * share), str(folder / "rows")
    made = spark.range(0, size, 50_000, 10).mapInArrow(partial(_made, size=size), _types())
    made.write.parquet(path)
    rows = spark.read.parquet(path)
    attributes = [Attribute(name) for name in NAMES]

    def ours() -> float:
        tree = c45.fit(rows, "told", attributes, least=LEAST, deepest=DEPTH).localCheckpoint()
        return _right(trees.predict(rows, tree, attributes, ["told"]), "decision", "told")

    def theirs() -> float:
        points = VectorAssembler(inputCols=NAMES, outputCol="features").transform(
            rows.withColumn("label", (F.col("told") == "yes").cast("double"))
        )
        model = DecisionTreeClassifier(maxDepth=DEPTH, minInstancesPerNode=LEAST).fit(points)
        return _right(model.transform(points), "prediction", "label")

    peer = "MLlib: DecisionTree of the same depth, and what it says of all rows"
    return compare("c45_500k", size, peer, 2.0, ours, theirs, agree=lambda one, other: one > other - 0.01)


def _right(told: DataFrame, decision: str, truth: str) -> float:
    return float(told.agg(F.avg((F.col(decision) == F.col(truth)).cast("double"))).collect()[0][0])


def _types() -> str:
    return ", ".join(["told string", *[f"{name} double" for name in NAMES]])


def _made(batches: Iterator[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for first in batch.column(0).to_pylist():
            random = np.random.default_rng(first)
            x = random.normal(size=(min(50_000, size - first), WIDTH))
            odds = 1.5 * x[:, 0] + np.sin(2 * x[:, 1]) + x[:, 2] * x[:, 3] + 0.5 * x[:, 4]
            told = np.where(random.random(len(x)) < 1 / (1 + np.exp(-odds)), "yes", "no")
            yield pa.RecordBatch.from_arrays([pa.array(told), *[pa.array(column) for column in x.T]], ["told", *NAMES])
