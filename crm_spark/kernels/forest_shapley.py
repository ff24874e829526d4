"""What each feature contributes to what a forest says of a customer: exact interventional Shapley values.

Of a coalition S the features are the customer's own, all others are those of a customer of the background; v(S) is the
mean of what the forest says, over the background. The forest is a sum of leaves, and so are contributions. For a leaf
with d features on its way a customer is no more than a pattern: a number of d bits that tell which of its intervals
the customer is in. So the background is, for each leaf, how many of its customers show each of the 2**d patterns;
`v(S) = value * [S in the pattern] * share of the background whose pattern holds all others`. From it a table has the
contributions for each pattern, and to explain a customer is to look up one pattern for each leaf.

Nothing is approximated, and the whole background costs one pass, whatever its size.

References
----------
Lundberg, S. M. et al. (2020). From local explanations to global understanding with explainable AI for trees. Nature
Machine Intelligence 2, 56-67: interventional feature perturbation.
Zern, A., Broelemann, K., Kasneci, G. (2023). Interventional SHAP Values and Interaction Values for Piecewise Linear
Regression Trees. AAAI 37(9): trees by the leaves' patterns.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from crm_spark.kernels.forest import Forest
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.shapley import members, operator

MOST = 8  # features on the way to a leaf: a pattern is a byte
AT_ONCE = 2_000  # customers: their patterns of a few hundred leaves fit into a processor's cache
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Patterns:
    """How customers become patterns: places of all patterns of all leaves, one leaf after the other.

    Parameters
    ----------
    thresholds : list of sorted arrays
        Of each feature, at which the forest asks.
    bits : list of (intervals of the feature, leaves) arrays of uint8
        Of each feature: what being between two thresholds adds to the pattern of each leaf.
    starts : (leaves + 1,) array of int
        Where the patterns of each leaf begin.
    """

    thresholds: list[Floats]
    bits: list[NDArray[np.uint8]]
    starts: Ints

    @property
    def size(self) -> int:
        """Count the patterns of all leaves."""
        return int(self.starts[-1])

    def places(self, points: Floats) -> Ints:
        """Find the pattern that each customer shows to each leaf, (n, leaves), of features (n, features)."""
        codes = np.zeros((len(points), self.starts.size - 1), dtype=np.uint8)
        for column, thresholds, bits in zip(points.T, self.thresholds, self.bits, strict=True):
            if thresholds.size:
                codes += bits[np.searchsorted(thresholds, column)]
        return self.starts[:-1] + codes

    def counts(self, points: Floats) -> Ints:
        """Count the customers that show each pattern, (size,)."""
        found = np.zeros(self.size, dtype=np.int64)
        for start in range(0, len(points), AT_ONCE):
            found += np.bincount(self.places(points[start : start + AT_ONCE]).ravel(), minlength=self.size)
        return found

    def sums(self, points: Floats, table: Floats) -> Floats:
        """Add up, for each customer, the rows of a (size, k) table at the patterns that they show, (n, k)."""
        found = np.empty((len(points), table.shape[1]))
        for start in range(0, len(points), AT_ONCE):
            places = self.places(points[start : start + AT_ONCE])
            ends = np.arange(len(places) + 1) * places.shape[1]
            shown = sparse.csr_array((np.ones(places.size), places.ravel(), ends), shape=(len(places), self.size))
            found[start : start + AT_ONCE] = shown @ table
        return found


def patterns(forest: Forest) -> Patterns:
    """Say how customers become patterns.

    Raises
    ------
    ValueError
        More than eight features are on the way to a leaf.
    """
    if max(len(leaf.within) for leaf in forest.leaves) > MOST:
        raise ValueError(f"at most {MOST} features may be on the way to a leaf: give the trees less depth")
    ends: list[set[float]] = [set() for _ in range(forest.features)]
    for leaf in forest.leaves:
        for feature, interval in leaf.within.items():
            ends[feature] |= {end for end in interval if np.isfinite(end)}
    thresholds = [np.array(sorted(of)) for of in ends]
    bits = [np.zeros((of.size + 1, len(forest.leaves)), dtype=np.uint8) for of in thresholds]
    for at, leaf in enumerate(forest.leaves):
        for bit, (feature, (low, high)) in enumerate(leaf.within.items()):
            lows, highs = np.append(-np.inf, thresholds[feature]), np.append(thresholds[feature], np.inf)
            bits[feature][(lows >= low) & (highs <= high), at] = 1 << bit
    return Patterns(thresholds, bits, np.cumsum([0, *(1 << len(leaf.within) for leaf in forest.leaves)]))


def contributions(forest: Forest, counts: Ints | Floats) -> tuple[Floats, float]:
    """Tell what each pattern contributes.

    Parameters
    ----------
    counts : (size,) array
        Customers of the background that show each pattern, by `Patterns.counts`; weights will do.

    Returns
    -------
    table : (size, features) array
        Of each pattern the contribution of each feature.
    mean : float
        Of what the forest says of the background. With the contributions of a customer it adds up to what the forest
        says of them.
    """
    table = np.zeros((len(counts), forest.features))
    mean, start = 0.0, 0
    for leaf in forest.leaves:
        features, full = list(leaf.within), (1 << len(leaf.within)) - 1
        rows = slice(start, start + full + 1)
        start += full + 1
        shares = counts[rows] / max(counts[rows].sum(), 1)
        inside = members(len(features))
        holds = (inside[:, None] | ~inside[None]).all(axis=2)  # [pattern, coalition]: the pattern holds the coalition
        others = (shares @ holds)[::-1]  # by coalition: the share whose pattern holds all features that are not in it
        table[rows, features] = leaf.value * (holds * others) @ operator(len(features))
        mean += leaf.value * shares[full]
    return table, mean
