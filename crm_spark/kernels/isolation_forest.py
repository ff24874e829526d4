"""Isolation forest: what few random cuts part from the rest is unlike it.

Each tree takes a few points and cuts them at random, by an attribute of which they differ, between its least and its
largest value, until each is alone or the tree is as high as one of so many points is on average. The score of a point
is 2 to the power of minus its mean way down, in units of the mean way in a random search tree: 0.5 is common, and
towards 1 it is the less so. All trees grow at once, level by level.

References
----------
Liu, F. T., Ting, K. M., Zhou, Z.-H. (2008). Isolation Forest. ICDM, 413-422.
Liu, F. T., Ting, K. M., Zhou, Z.-H. (2012). Isolation-Based Anomaly Detection. ACM TKDD 6(1), 3.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels.likelihood import Floats

TREES, POINTS = 100, 256  # those of the paper
LEAF = -1


@dataclass(frozen=True)
class Forest:
    """Trees as arrays (trees, nodes): below node k are 2k + 1, of values up to the cut, and 2k + 2.

    Parameters
    ----------
    attribute : (trees, nodes) array of int
        By which a node is cut; -1 of a leaf.
    cut : (trees, nodes) array
    way : (trees, nodes) array
        How far down a leaf is, with the mean way that its points would still have to go.
    points : int
        Points of a tree.
    """

    attribute: NDArray[np.int64]
    cut: Floats
    way: Floats
    points: int


def mean_way(points: Floats) -> Floats:
    """Give c(n) of the paper: the mean way of a search that fails in a random binary search tree of n points."""
    n = np.asarray(points, dtype=np.float64)
    harmonic = np.log(np.maximum(n - 1, 1)) + np.euler_gamma
    return np.where(n > 2, 2 * harmonic - 2 * (n - 1) / np.maximum(n, 1), np.where(n == 2, 1.0, 0.0))


def fit(points: Floats, seed: int, trees: int = TREES, most: int = POINTS) -> Forest:
    """Grow a forest.

    Parameters
    ----------
    points : (n, d) array
        Finite; two at least.
    seed : int
    trees : int, default 100
    most : int, default 256
        Points of a tree, drawn without replacement.

    Returns
    -------
    Forest

    Raises
    ------
    ValueError
        There are fewer than two points, or a value is not finite.
    """
    if len(points) < 2 or not np.isfinite(points).all():
        raise ValueError(f"an isolation forest needs 2 or more points, all of them finite, got {len(points)}")
    random = np.random.default_rng(seed)
    size = min(most, len(points))
    drawn = np.concatenate([points[random.choice(len(points), size, replace=False)] for _ in range(trees)])
    height = int(np.ceil(np.log2(size)))
    nodes = 2 ** (height + 1) - 1
    attribute, cut = np.full(trees * nodes, LEAF), np.full(trees * nodes, np.nan)
    at = np.repeat(np.arange(trees) * nodes, size)  # the node of each point, of all trees
    counts = np.zeros(trees * nodes)
    for _ in range(height):
        here, of = np.unique(at, return_inverse=True)
        low, high = (np.full((here.size, points.shape[1]), limit) for limit in (np.inf, -np.inf))
        np.minimum.at(low, of, drawn)
        np.maximum.at(high, of, drawn)
        chosen = np.where(high > low, random.random(low.shape), -1.0).argmax(axis=1)
        least, largest = (np.take_along_axis(each, chosen[:, None], axis=1)[:, 0] for each in (low, high))
        is_cut = largest > least
        where = least + random.random(here.size) * (largest - least)
        # Rounding may end at the largest value, which would leave nothing on the other side.
        where = np.where(where < largest, where, least)
        attribute[here[is_cut]], cut[here[is_cut]] = chosen[is_cut], where[is_cut]
        counts[here] = np.bincount(of)
        goes_on = is_cut[of]
        drawn, at, of = drawn[goes_on], at[goes_on], of[goes_on]
        tree, node = np.divmod(at, nodes)
        is_right = drawn[np.arange(at.size), chosen[of]] > where[of]
        at = tree * nodes + 2 * node + 1 + is_right
    np.add.at(counts, at, 1.0)
    depth = np.log2(np.arange(nodes) + 1).astype(np.int64)
    way = np.tile(depth, trees) + mean_way(counts)
    return Forest(attribute.reshape(trees, nodes), cut.reshape(trees, nodes), way.reshape(trees, nodes), size)


def score(forest: Forest, points: Floats) -> Floats:
    """Say how unlike the points of learning each point is.

    Parameters
    ----------
    points : (n, d) array

    Returns
    -------
    (n,) array
        Above 0 and below 1; NaN where a value is not finite.
    """
    is_known = np.isfinite(points).all(axis=1)
    known = points[is_known]
    rows, total = np.arange(len(known)), np.zeros(len(known))
    height = int(np.log2(forest.attribute.shape[1] + 1)) - 1
    for attribute, cut, way in zip(forest.attribute, forest.cut, forest.way, strict=True):
        at = np.zeros(len(known), dtype=np.int64)
        for _ in range(height):
            by = attribute[at]
            below = 2 * at + 1 + (known[rows, by] > cut[at])
            at = np.where(by == LEAF, at, below)
        total += way[at]
    found = np.full(len(points), np.nan)
    found[is_known] = 2 ** -(total / len(forest.attribute) / mean_way(np.array(float(forest.points))))
    return found
