"""A model of the value of the horizon on features: a random forest, and what of it each feature contributes.

MLlib's forest is learned from some of the customers, on a fixed layout; a fifth of them, by a hash of the key, is held
out to tell how much of the differences between customers it explains (R2). A missing feature counts as less than any
number, so that trees can tell it apart. Contributions are against all customers who have a value: the background
(`kernels.forest_shapley`). The mean of what the forest says of them is moved to their mean value.

References
----------
Breiman, L. (2001). Random Forests. Machine Learning 45, 5-32.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.ml.functions import array_to_vector
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.kernels import forest_shapley, shapley
from crm_spark.kernels.forest import Forest, read
from crm_spark.kernels.forest_shapley import Patterns
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.lists import matrix
from crm_spark.models import forests

MISSING = -1e12
TREES, DEPTH, SEED = 20, 5, 1
LEAST, A_LEAF = 50, 10  # customers, to learn from and in a leaf
HELD_OUT = 5  # one customer in so many
LAYOUT = 2  # partitions: whatever comes of two is added up alike in any order
FINENESS = 1_000_000
PARTS = 5
ROUNDING = 1e-12  # of a sum of squares
MOMENTS = ("size", "known", "x", "y", "xx", "yy", "xy")  # sums over customers; x is the feature, y its contribution

MODEL = Table(
    "driver_model",
    "How far features tell value of the horizon, and how much each counts, as of a day.",
    owns="as_of",
    key=["as_of", "feature"],
    columns=[
        Field("as_of", "date", "the day the values speak for"),
        Field("feature", "string", "the feature, of customer_features"),
        Field("importance", "double", "mean size of its contribution to a value", unit="money", nullable=True),
        Field("correlation", "double", "of its contribution with it: above 0 where more goes with more", nullable=True),
        Field("r2", "double", "share of the differences between held-out customers that is explained", nullable=True),
        Field("customers", "bigint", "who have a value: the background", unit="customer"),
        Field("learned_from", "bigint", "customers that the model was learned from", unit="customer"),
        Field("held_out", "bigint", "customers that it was judged by", unit="customer"),
        Field("average", "double", "mean value of all customers who have one", unit="money", nullable=True),
        Field("reason", "string", "why features tell nothing", nullable=True),
    ],
)


@dataclass(frozen=True)
class Learned:
    """What was learned of the customers of a day. Without `patterns` features tell nothing, for the `reason`.

    Parameters
    ----------
    features : tuple of str
    customers : int
        Who have a value.
    share : float
        Of the customers not held out, those that were learned from.
    average : float
        The mean value of all customers who have one.
    means : (32,) array
        The mean over them of the product of each coalition of parts.
    table : (patterns, features) array
        What each pattern contributes.
    """

    features: tuple[str, ...]
    customers: int
    share: float
    average: float
    means: Floats
    patterns: Patterns | None
    table: Floats
    reason: str | None = None


def number(feature: str) -> Column:
    """The feature as a double; null for what is no number."""
    value = F.col(feature).cast("double")
    return F.when(F.abs(value) < F.lit(float("inf")), value)


def point(columns: Sequence[str]) -> Column:
    """Where a customer lies: an array of features, without a null."""
    return F.array(*[F.coalesce(F.col(column), F.lit(MISSING)) for column in columns])


def learn(customers: DataFrame, features: Sequence[str], most: int = 100_000) -> Learned:
    """Learn what the value of customers goes along with.

    MLlib learns at once: unlike the rest of this domain this runs Spark jobs before it returns.

    Parameters
    ----------
    customers : DataFrame
        As `drivers.gather` gives it. Read three times: best persisted.
    features : sequence of str
        Those of `point`, in order.
    most : int, default 100_000
        Customers to learn from, about; of more they are chosen by a hash of the key.

    Returns
    -------
    Learned
        Three passes: one counts, one takes the sample, which is laid out by a hash of the key in two partitions, and
        one sums up patterns and products of all. The driver sees a number for each pattern, some ten thousand
        whatever the number of customers.
    """
    scored = customers.where(F.col("value").isNotNull())
    counts = [F.count("*"), F.count_if("has_features"), F.count_if(~is_held_out())]
    size, known, left = scored.agg(*counts).collect()[0]
    reason, forest, share = None, None, min(1.0, most / max(left, 1))
    if size < LEAST:
        reason = f"fewer than {LEAST} customers have a value"
    elif not known:
        reason = "customer_features tells nothing of that day"
    else:
        forest = _grow(scored.where(is_learned_from(share)), len(features))
    patterns = forest_shapley.patterns(forest) if forest else None
    means, counted = _sums(scored, patterns)
    table, _ = forest_shapley.contributions(forest, counted) if forest else (np.zeros((0, len(features))), 0.0)
    return Learned(tuple(features), size, share, float(means[-1]), means, patterns, table, reason)


def is_held_out() -> Column:
    """Whether a customer is held out to judge the model."""
    return F.pmod(F.xxhash64("customer_id"), F.lit(HELD_OUT)) == 0


def is_learned_from(share: float) -> Column:
    """Whether a customer is of the sample."""
    place = F.pmod(F.xxhash64(F.lit("sample"), "customer_id"), F.lit(FINENESS))
    return ~is_held_out() & (place < int(share * FINENESS))


def _grow(sample: DataFrame, features: int) -> Forest:
    rows = sample.select("customer_id", "value", array_to_vector(F.col("point")).alias("point"))
    fixed = rows.repartition(LAYOUT, "customer_id").sortWithinPartitions("customer_id")
    learner = forests.Regressor(
        featuresCol="point",
        labelCol="value",
        numTrees=TREES,
        maxDepth=DEPTH,
        minInstancesPerNode=A_LEAF,
        featureSubsetStrategy="all",
        seed=SEED,
    )
    return read(learner.fit(fixed.localCheckpoint()).toDebugString, features)


def _sums(scored: DataFrame, patterns: Patterns | None) -> tuple[Floats, Floats]:
    """Give the means of products of parts, and the customers who show each pattern."""
    rows = scored.select("parts", "point").mapInArrow(partial(_summed, patterns=patterns), "at int, sum double")
    products, size = 1 << PARTS, patterns.size if patterns else 0
    sums = np.zeros(products + size)
    for at, sum_ in rows.groupBy("at").agg(F.sum("sum")).collect():
        sums[at] = sum_
    return sums[:products] / max(sums[0], 1.0), sums[products:]


def described(explained: DataFrame, learned: Learned, as_of: date) -> DataFrame:
    """Tell how far features tell value, and how much each counts.

    Parameters
    ----------
    explained : DataFrame
        As `drivers.explain` gives it.

    Returns
    -------
    DataFrame of MODEL
        One pass.
    """
    value, says = F.col("value"), F.col("from_features")
    is_learned = F.lit(learned.patterns is not None)
    apart = F.when(is_held_out(), value)
    scored = explained.where(value.isNotNull())
    whole = scored.agg(
        F.count("*").alias("customers"),
        F.count_if(is_learned & is_learned_from(learned.share)).alias("learned_from"),
        F.count_if(is_learned & is_held_out()).alias("held_out"),
        F.avg("value").alias("average"),
        (1 - F.try_divide(F.avg((apart - says) ** 2), F.var_pop(apart))).alias("r2"),
    )
    sums = scored.select("point", "by_feature").mapInArrow(
        partial(_moments, features=learned.features),
        ", ".join(["feature string", *[f"{name} double" for name in MOMENTS]]),
    )
    of_features = sums.groupBy("feature").agg(*[F.sum(name).alias(name) for name in MOMENTS])
    names = scored.sparkSession.createDataFrame([(feature,) for feature in learned.features], "feature string")
    return (
        names.join(of_features, "feature", "left")
        .crossJoin(whole)
        .select(
            F.lit(as_of).alias("as_of"),
            "feature",
            F.try_divide("size", "customers").alias("importance"),
            _correlation().alias("correlation"),
            "r2",
            *["customers", "learned_from", "held_out", "average"],
            F.lit(learned.reason).cast("string").alias("reason"),
        )
    )


def _correlation() -> Column:
    """The correlation of features and contributions, of their sums; null where one of them is always the same."""
    n, x, y, xx, yy, xy = (F.col(name) for name in ("known", "x", "y", "xx", "yy", "xy"))
    correlation = F.try_divide(n * xy - x * y, _spread(n, x, xx) * _spread(n, y, yy))
    return F.when(correlation.isNotNull(), F.greatest(F.lit(-1.0), F.least(F.lit(1.0), correlation)))


def _spread(n: Column, x: Column, xx: Column) -> Column:
    """The standard deviation times n; null of a constant, whose sums leave a rounding."""
    left = n * xx - x * x
    return F.when(left > ROUNDING * n * xx, F.sqrt(left))


# -- lifted: Arrow in, Arrow out


def _summed(batches: Iterator[pa.RecordBatch], patterns: Patterns | None) -> Iterator[pa.RecordBatch]:
    """Sum up products of parts, then customers by pattern; what is 0 is left out."""
    sums = np.zeros((1 << PARTS) + (patterns.size if patterns else 0))
    for batch in batches:
        sums[: 1 << PARTS] += shapley.products(matrix(batch.column("parts"), PARTS)).sum(axis=0)
        if patterns:
            sums[1 << PARTS :] += patterns.counts(matrix(batch.column("point"), len(patterns.thresholds)))
    at = np.flatnonzero(sums)
    yield pa.RecordBatch.from_pydict({"at": at.astype(np.int32), "sum": sums[at]})


def _moments(batches: Iterator[pa.RecordBatch], features: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """Sum up, for each feature, the size of contributions, and what their correlation with it is made of."""
    sums = np.zeros((len(MOMENTS), len(features)))
    is_told = False
    for batch in batches:
        points, by = (matrix(batch.column(name), len(features)) for name in ("point", "by_feature"))
        is_told |= bool(np.isfinite(by).any())
        known = points > MISSING
        x, y = np.where(known, points, 0.0), np.where(known, by, 0.0)
        columns = (np.abs(by), known, x, y, x * x, y * y, x * y)
        sums += np.array([column.sum(axis=0) for column in columns])
    if is_told:
        yield pa.RecordBatch.from_pydict({"feature": list(features), **dict(zip(MOMENTS, sums, strict=True))})
