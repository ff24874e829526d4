"""Exact quantiles of large columns, in memory that does not grow with their rows.

Values are counted twice: by coarse bucket, which tells the few buckets that hold a wanted rank, then one
by one within these. Between two ranks the quantile is interpolated linearly: type 7 of the paper, the
definition that NumPy and R use by default.

References
----------
Hyndman, R. J. and Fan, Y. (1996). Sample Quantiles in Statistical Packages. The American Statistician 50(4).
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

FINENESS = 256  # buckets for each factor of e: one holds the values within 0.4 %


def quantiles(rows: DataFrame, names: Sequence[str], at: Sequence[float], by: Sequence[str] = ()) -> DataFrame:
    """Give the quantiles of some numeric columns.

    Parameters
    ----------
    rows : DataFrame
        Read twice: best persisted. A value that is null does not count.
    names : sequence of str
        The columns.
    at : sequence of float
        Shares of the rows, from 0 to 1.
    by : sequence of str, optional
        Columns that part the rows into a few groups, each with its own quantiles; never null.

    Returns
    -------
    DataFrame
        One row, or one for each group: for each column an array of doubles as long as `at`; null where it has no
        value. Two passes over `rows`, whose shuffles carry buckets, and then the values of a few buckets.
    """
    values = rows.select(*by, *[F.col(name).cast("double").alias(name) for name in names]).unpivot(
        list(by), list(names), "of", "value"
    )
    groups = [*by, "of"]
    bucketed = values.where(F.col("value").isNotNull()).withColumn("bucket", bucket(F.col("value")))
    held = holding(bucketed.groupBy(*groups, "bucket").agg(F.count("*").alias("rows")), at, groups)
    counted = bucketed.join(F.broadcast(held), [*groups, "bucket"]).groupBy(
        *groups, "bucket", "value", "below", "total"
    )
    ranked = cumulated(counted.agg(F.count("*").alias("rows")), [*groups, "bucket"], "value")
    found = ranked.groupBy(*groups).agg(F.array(*[_between(share) for share in at]).alias("quantiles"))
    return found.groupBy(*by).agg(
        *[F.first(F.when(F.col("of") == name, F.col("quantiles")), ignorenulls=True).alias(name) for name in names]
    )


def bucket(value: Column) -> Column:
    """Number the bucket of a value; a larger value never has a smaller number."""
    return F.signum(value) * F.rint(F.log1p(F.abs(value)) * FINENESS)


def holding(buckets: DataFrame, at: Sequence[float], groups: Sequence[str]) -> DataFrame:
    """Keep the buckets that hold a wanted rank, with the rows below each and in total."""
    total = F.sum("rows").over(Window.partitionBy(*groups)).alias("total")
    ranked = cumulated(buckets.select("*", total).withColumn("below", F.lit(0)), groups, "bucket")
    first = F.col("upto") - F.col("rows")
    wanted = [rank for share in at for rank in _ranks(share)]
    is_held = F.array_max(F.array(*[(first <= rank) & (rank < F.col("upto")) for rank in wanted]))
    return ranked.where(is_held).select(*groups, "bucket", "total", first.alias("below"))


def cumulated(counts: DataFrame, within: Sequence[str], order: str) -> DataFrame:
    """Add `upto`: `below` and the rows up to and with this value."""
    so_far = Window.partitionBy(*within).orderBy(order).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    return counts.withColumn("upto", F.col("below") + F.sum("rows").over(so_far))


def _position(share: float) -> Column:
    return F.lit(share) * (F.col("total") - 1)


def _ranks(share: float) -> tuple[Column, Column]:
    """The ranks, from 0, on both sides of a position."""
    return F.floor(_position(share)), F.ceil(_position(share))


def _between(share: float) -> Column:
    """Interpolate between the values of both ranks."""
    position, (left, right) = _position(share), _ranks(share)
    low, high = (F.min(F.when(F.col("upto") > rank, F.col("value"))) for rank in (left, right))
    weights = F.first(right - position), F.first(position - left)
    return F.when(low == high, low).otherwise(weights[0] * low + weights[1] * high)
