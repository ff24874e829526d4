"""Isolation forest over periods of series: what is unlike most of its grouping, though nobody has said what is odd.

A forest of each grouping is learned from some 25,600 of its periods, one of each bucket of a hash, as many as its trees
take together; so no worker holds more, however many there are.

References
----------
Liu, F. T., Ting, K. M., Zhou, Z.-H. (2012). Isolation-Based Anomaly Detection. ACM TKDD 6(1), 3.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field
from crm_spark.kernels import isolation_forest
from crm_spark.kernels.isolation_forest import POINTS, TREES, Forest
from crm_spark.kernels.lists import matrix
from crm_spark.kernels.surprise import FEATURES
from crm_spark.models.trees import hand_out

SEED = 1
BUCKETS = TREES * POINTS
LEAST = 50  # periods
FOREST = [
    Field("grouping", "string", "whose series it has learned from"),
    Field("points", "int", "periods that each tree was grown from"),
    Field("attributes", "array<int>", "of each tree its nodes, one after the other: the feature that cuts it, or -1"),
    Field("cuts", "array<double>", "up to which value it leads to the first node below"),
    Field("ways", "array<double>", "how far down a leaf is, with the mean way that its periods would still have to go"),
]
DDL = ", ".join(f"{field.name} {field.type}" for field in FOREST)


def fit(points: DataFrame) -> DataFrame:
    """Learn a forest of each grouping.

    Parameters
    ----------
    points : DataFrame
        As `points.tell` gives it.

    Returns
    -------
    DataFrame of FOREST
        A row for each grouping of 50 periods or more. One shuffle of at most 25,600 periods of each grouping and
        partition.
    """
    place = F.xxhash64("key", "measure", "day")
    sampled = points.groupBy("grouping", F.pmod(place, F.lit(BUCKETS)).alias("bucket")).agg(
        F.min_by("features", F.struct(F.xxhash64("day", "key", "measure"), "key", "measure", "day")).alias("features")
    )
    return sampled.groupBy("grouping").applyInArrow(_grown, DDL)


def predict(points: DataFrame, forests: DataFrame) -> DataFrame:
    """Say how unlike the others of its grouping each period is.

    Parameters
    ----------
    points : DataFrame
        `grouping`, `features` and what else is to be kept of them.
    forests : DataFrame of FOREST

    Returns
    -------
    DataFrame
        The points with `score`: 0.5 is common, towards 1 it is the less so; null where its grouping has no forest. One
        pass, to which the forests are broadcast.
    """
    told = forests.agg(F.to_json(F.collect_list(F.struct(*[field.name for field in FOREST]))).alias("forests"))
    asked = hand_out(points, told, "forests")
    return asked.mapInArrow(_scored, points.withColumn("score", F.lit(None).cast("double")).schema)


# -- lifted: Arrow in, Arrow out


def _grown(told: pa.Table) -> pa.Table:
    order = np.argsort(told.column("bucket").to_numpy())
    points = matrix(told.column("features").combine_chunks(), len(FEATURES))[order]
    forests = [isolation_forest.fit(points, SEED)] if len(points) >= LEAST else []
    return pa.table(
        {
            "grouping": told.column("grouping").slice(0, len(forests)),
            "points": pa.array([one.points for one in forests], pa.int32()),
            "attributes": pa.array([one.attribute.ravel() for one in forests], pa.list_(pa.int32())),
            "cuts": pa.array([np.nan_to_num(one.cut).ravel() for one in forests], pa.list_(pa.float64())),
            "ways": pa.array([one.way.ravel() for one in forests], pa.list_(pa.float64())),
        }
    )


def _scored(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    forests: dict[str, Forest] = {}
    for batch in batches:
        told = batch.column("forests")[0].as_py() if batch.num_rows else None
        if told is not None:
            forests = {row["grouping"]: _rebuilt(row) for row in json.loads(told)}
        points = matrix(batch.column("features"), len(FEATURES))
        of, scores = np.array(batch.column("grouping").to_pylist(), dtype=object), np.full(batch.num_rows, np.nan)
        for grouping, forest in forests.items():
            scores[of == grouping] = isolation_forest.score(forest, points[of == grouping])
        yield batch.drop_columns(["forests"]).append_column("score", pa.array(scores, from_pandas=True))


def _rebuilt(row: dict[str, Any]) -> Forest:
    attributes = np.array(row["attributes"], dtype=np.int64).reshape(TREES, -1)
    cuts, ways = (np.array(row[name], dtype=np.float64).reshape(TREES, -1) for name in ("cuts", "ways"))
    return Forest(attributes, cuts, ways, row["points"])
