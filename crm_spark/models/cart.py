"""CART by MLlib: a tree that splits in two, by a threshold or by a set of levels, until rows are alike or few.

Its table is that of all trees (`trees.NODES`). In learning a missing value is filled in (`vectors`); in the table, as
in any, a row goes down each branch in part where its value is missing.

References
----------
Breiman, L., Friedman, J. H., Olshen, R. A., Stone, C. J. (1984). Classification and Regression Trees. Wadsworth.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
from pyspark.ml.classification import DecisionTreeClassifier
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.kernels import c45 as counting
from crm_spark.kernels import cart
from crm_spark.models import c45, vectors
from crm_spark.models.trees import Attribute, nodes

DEEPEST = 30  # that MLlib grows
BINS = 32  # of a number: thresholds to judge, and one more


def fit(  # noqa: PLR0913, PLR0917 - what is asked, and CART's own settings
    rows: DataFrame,
    target: str,
    attributes: Sequence[Attribute],
    least: float = 2.0,
    deepest: int | None = None,
    classes: Sequence[str] | None = None,
    bins: int = BINS,
    seen: c45.Examined | None = None,
) -> DataFrame:
    """Learn a decision tree.

    MLlib learns at once: unlike most of this domain this runs Spark jobs before it returns.

    Parameters
    ----------
    rows : DataFrame
        Read three times, and once more for each level of the tree, from a checkpoint.
    target : str
        The column of what is to be told apart, as text; of every row.
    attributes : sequence of Attribute
        Levels are parted in two sets. What is of no level is as missing.
    least : float, default 2
        Rows that each branch of a split must have.
    deepest : int, optional
        Splits from the root to a leaf, 30 at most.
    classes : sequence of str, optional
        What the target may be. Without it those there are, by name.
    bins : int, default 32
        Of a number, by so many quantiles; no attribute has more levels.
    seen : c45.Examined, optional
        By whoever has examined these rows, and asks for attributes that tell something.

    Returns
    -------
    DataFrame of `trees.NODES`
        A row for each node.

    Raises
    ------
    ValueError
        Nothing can be learned, or a setting cannot be: all that is wrong at once.
    """
    c45.check(least, deepest)
    if bins < 2:
        raise ValueError(f"bins must be 2 or more, got {bins}")
    seen = seen or c45.accepted(c45.examine(rows, target, attributes), target, attributes, classes=classes)
    names = list(classes or seen.classes)
    place = F.array_position(F.array(*[F.lit(one) for one in names]), F.col(target)) - 1
    filled = vectors.point(attributes, vectors.fills(rows, attributes))
    points = rows.select(filled.alias("values"), place.alias("class"))
    laid = vectors.laid_out(points, ["values", "class"], seen.rows)
    model = DecisionTreeClassifier(
        maxDepth=min(deepest or DEEPEST, DEEPEST),
        minInstancesPerNode=ceil(least),
        maxBins=max(bins, *[len(one.levels or ()) for one in attributes]),
        seed=1,
    ).fit(
        laid.select(
            vectors.label(F.col("class"), names), vectors.for_trees(array_to_vector(F.col("values")), attributes)
        )
    )
    levels = np.array([len(one.levels or ()) for one in attributes])
    bare = cart.read(model.toDebugString, levels.tolist(), len(names))
    (root,) = counting.recounted(c45.Spread(laid, levels, len(names), seen.rows), bare, [((), bare)])
    return nodes(rows.sparkSession, root, attributes, names)
