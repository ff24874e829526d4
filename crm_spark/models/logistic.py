"""Logistic regression over the workers: a model for each fold, learned from all other rows, all of them side by side.

MLlib's would be some twenty-five small Spark jobs for each fold; this is some eight for all of them.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from crm_spark.kernels import logistic
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.lists import matrix
from crm_spark.kernels.logistic import Sums


def fit(rows: DataFrame, width: int, folds: int, penalty: float) -> Floats:
    """Learn a model for each fold from all other rows.

    The search goes from pass to pass: this runs Spark jobs before it returns.

    Parameters
    ----------
    rows : DataFrame
        `fold`, `class` (0 or 1) and `line`, an array of doubles: best persisted.
    width : int
        Of `line`.
    folds : int
        They are numbered from 0.
    penalty : float
        Half of it times the sum of squared slopes, of columns with standard deviation 1, is added to the mean loss.

    Returns
    -------
    (folds, width + 1) array
        The log-odds of class 1 are the first number, and each other times its column. Some eight passes; to the driver
        go folds * width^2 numbers of each partition.
    """
    size = width + 1
    told = _summed(rows, partial(_moments, width=width, folds=folds), folds + 2 * width)
    known, first, second = np.split(told, [folds, folds + width])
    mean, spread = logistic.scale(float(known.sum()), first, second)

    def ask(models: Floats) -> Sums:
        told = _summed(rows, partial(_sums, mean=mean, spread=spread, models=models), folds * (1 + size + size**2))
        loss, gradient, hessian = np.split(told, [folds, folds * (1 + size)])
        return Sums(loss, gradient.reshape(folds, size), hessian.reshape(folds, size, size))

    found = logistic.search(ask, known.sum() - known, width, penalty)
    slopes = found[:, 1:] / spread
    return np.column_stack([found[:, 0] - slopes @ mean, slopes])


def _summed(rows: DataFrame, tell: Callable[[pa.RecordBatch], Floats], size: int) -> Floats:
    """Sum up numbers that are told of parts of the rows: each partition sends its own sums to the driver."""

    def of_part(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        total = sum((tell(batch) for batch in batches if batch.num_rows), start=np.zeros(size))
        yield pa.RecordBatch.from_pydict({"sums": [total.tobytes()]})

    told = rows.select("fold", "class", "line").mapInArrow(of_part, "sums binary").collect()
    return np.sum([np.frombuffer(row["sums"]) for row in told], axis=0) if told else np.zeros(size)


# -- lifted: Arrow in, numbers out


def _moments(rows: pa.RecordBatch, width: int, folds: int) -> Floats:
    """Rows of each fold, then sums and sums of squares of each column."""
    points = matrix(rows.column("line"), width)
    counts = np.bincount(rows.column("fold").to_numpy(), minlength=folds)
    return np.concatenate([counts, points.sum(axis=0), (points**2).sum(axis=0)])


def _sums(rows: pa.RecordBatch, mean: Floats, spread: Floats, models: Floats) -> Floats:
    points = (matrix(rows.column("line"), mean.size) - mean) / spread
    told = logistic.sums(points, rows.column("class").to_numpy() == 1, rows.column("fold").to_numpy(), models)
    return np.concatenate([told.loss, told.gradient.ravel(), told.hessian.ravel()])
