"""Rows as the vectors that MLlib learns from.

MLlib knows no missing values: a missing number counts as the mean of those known in learning; a missing level, or one
that was never seen there, as the commonest. Trees see levels as such and part them in sets; a linear model sees for
each level but the first whether it is there. Rows lie by a hash of themselves, and sorted, before anything is learned:
what MLlib draws by partition is then the same wherever they came from.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.models.trees import Attribute, codes

LEAST_PARTITIONS, A_PARTITION = 1, 100_000  # rows


def fills(rows: DataFrame, attributes: Sequence[Attribute]) -> list[float]:
    """Give what a missing value of each attribute counts as: one pass, one row to the driver."""
    known = rows.select(codes(attributes).alias("values")).select(
        *[F.nanvl(F.col("values")[at], F.lit(None)).alias(f"v{at}") for at in range(len(attributes))]
    )
    told = known.agg(
        *[
            (F.avg(f"v{at}") if one.is_number else F.mode(f"v{at}", deterministic=True)).alias(f"v{at}")
            for at, one in enumerate(attributes)
        ]
    )
    # Sums of doubles differ in their last digits by where rows lie.
    return [float(f"{value or 0.0:.9g}") for value in told.collect()[0]]


def point(attributes: Sequence[Attribute], filled: Sequence[float]) -> Column:
    """One array of doubles: numbers, and the places of levels; nothing is missing."""
    given = F.array(*[F.lit(value) for value in filled])
    return F.zip_with(codes(attributes), given, F.nanvl)


def laid_out(points: DataFrame, by: Sequence[str], rows: int) -> DataFrame:
    """Lay rows by a hash of some columns into partitions whose number depends on that of all rows alone, and sort."""
    partitions = max(LEAST_PARTITIONS, rows // A_PARTITION)
    return points.repartition(partitions, *by).sortWithinPartitions(*by).localCheckpoint()


def label(of_class: Column, classes: Sequence[str]) -> Column:
    """The place of a class as MLlib's `label`, which says how many there are."""
    told = {"ml_attr": {"type": "nominal", "name": "label", "vals": list(classes)}}
    return of_class.cast("double").alias("label", metadata=told)


def for_trees(vector: Column, attributes: Sequence[Attribute]) -> Column:
    """A vector of a point as MLlib's `features`, which says which of its places are levels, and how many each has."""
    numeric = [{"idx": at, "name": one.name} for at, one in enumerate(attributes) if one.is_number]
    nominal = [
        {"idx": at, "name": one.name, "vals": list(one.levels)}
        for at, one in enumerate(attributes)
        if one.levels is not None
    ]
    # MLlib takes an empty list for one of numbers.
    kinds = {kind: told for kind, told in (("numeric", numeric), ("nominal", nominal)) if told}
    told = {"ml_attr": {"attrs": kinds, "num_attrs": len(attributes)}}
    return vector.alias("features", metadata=told)


def spelled_out(points: Column, attributes: Sequence[Attribute]) -> Column:
    """A point for linear models: numbers, and 0 or 1 for each level but the first."""
    places = [
        points[at] if place is None else (points[at] == place).cast("double")
        for at, one in enumerate(attributes)
        for place in ([None] if one.levels is None else range(1, len(one.levels)))
    ]
    return F.array(*places)
