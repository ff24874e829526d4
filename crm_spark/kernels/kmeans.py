"""k-means: the k centres to which squared distances add up to least, by Lloyd's iterations from k-means++ starts.

An iteration gives every point to the nearest centre, of equally near ones the first, and moves each centre to the mean
of its points. Nearest are those of least |c|^2 - 2 x c, so that blocks of points go through one matrix product; what
comes back of a block are sums. A centre that nobody is nearest to goes where the point is that lies furthest from its
own.

A start is greedy k-means++: the next centre is, of 2 + ln k points drawn with chances like their squared distance to
the centres so far, the one that leaves the least sum. Where many groups are sought a start hardly ever meets all of
them. So the best one is searched on: a point, drawn alike, takes the place of the centre that is missed least, as long
as that lowers the sum.

References
----------
Lloyd, S. P. (1982). Least Squares Quantization in PCM. IEEE Transactions on Information Theory 28(2).
Arthur, D., Vassilvitskii, S. (2007). k-means++: The Advantages of Careful Seeding. SODA.
Lattanzi, S., Sohler, C. (2019). A Better k-means++ Algorithm via Local Search. ICML.
Rousseeuw, P. J. (1987). Silhouettes. J. Comput. Appl. Math. 20.
Hubert, L., Arabie, P. (1985). Comparing Partitions. Journal of Classification 2.
Dolnicar, S., Leisch, F. (2010). Evaluation of Structure and Reproducibility of Cluster Solutions Using the Bootstrap.
Marketing Letters 21.
"""

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels.likelihood import Floats

BLOCK = 4_096  # points whose distances stay in the processor's cache
MOST = 300  # iterations, where some tens are enough
NEARLY = 1e-3  # share by which an iteration must lower the sum while starts are only held against each other
FEW = 10_000  # points on which starts are compared; of more, every n-th one
DRAWS, LOWER = 2, 1e-9  # swaps that are tried for each centre; by which share a sum must fall to be lower
RESAMPLES, RESAMPLED, RESTARTS = 10, 2_000, 3  # how often, of how many points, begun how often

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sums:
    """What is added up of points, by the centre that is nearest; of several blocks it is added up in turn.

    Parameters
    ----------
    sizes : (k,) array
        Points.
    sums : (k, d) array
        Their coordinates.
    squares : (k,) array
        Their squared distances to the origin.
    within : float
        Their squared distances to the centres.
    """

    sizes: Floats
    sums: Floats
    squares: Floats
    within: float

    def __add__(self, other: "Sums") -> "Sums":
        """Add up what two blocks have."""
        sizes, sums_, squares = self.sizes + other.sizes, self.sums + other.sums, self.squares + other.squares
        return Sums(sizes, sums_, squares, self.within + other.within)


@dataclass(frozen=True)
class Fit:
    """What a search found.

    Parameters
    ----------
    centres : (k, d) array
        In ascending order; fewer than asked for where points differ in fewer ways.
    sums : Sums
        Of all points, by these centres.
    """

    centres: Floats
    sums: Sums


def fit(points: Floats, k: int, starts: int = 10, seed: int = 1, lower: float = 0.0) -> Fit:
    """Find the centres of the best of several starts.

    Parameters
    ----------
    points : (n, d) array
        One or more, finite. Their order matters to chance.
    k : int
    starts : int, default 10
        Of more than 10,000 points they are compared on so many of them, and the best one goes on with all.
    seed : int, default 1
    lower : float, default 0
        Iterations over more than 10,000 points end when one lowers the sum by a smaller share; 0: when no point changes
        its centre any more.

    Returns
    -------
    Fit
        `starts` times some passes over at most 10,000 points, the best some tens more, and as many over all.
    """
    random = np.random.default_rng(seed)
    few = points[:: -(-len(points) // FEW)]
    found = [_lloyd(few, start(few, k, random), NEARLY) for _ in range(starts)]
    best = _searched_on(few, min(found, key=lambda one: one.sums.within), random)
    few_centres = _lloyd(few, best.centres)
    return few_centres if len(few) == len(points) else _lloyd(points, few_centres.centres, lower)


def start(points: Floats, k: int, random: np.random.Generator) -> Floats:
    """Choose k of the points by greedy k-means++, or fewer where they differ in fewer ways."""
    chosen = [int(random.integers(len(points)))]
    left = _squared(points, points[chosen])[0]
    trials = 2 + int(log(k))
    while len(chosen) < k and left.any():
        upto = np.cumsum(left)
        # Never one without a chance: the place of a draw is where the sum rises.
        drawn = np.searchsorted(upto, random.random(trials) * upto[-1], side="right")
        drawn = np.minimum(drawn, np.flatnonzero(left)[-1])
        after = np.minimum(left, _squared(points, points[drawn]))
        best = int(after.sum(axis=1).argmin())
        chosen.append(int(drawn[best]))
        left = after[best]
    return points[chosen]


def nearest(points: Floats, centres: Floats) -> Ints:
    """The place of the centre that is nearest to each point."""
    half = (centres**2).sum(axis=1) / 2
    of = np.empty(len(points), dtype=np.int64)
    for at in range(0, len(points), BLOCK):
        of[at : at + BLOCK] = (half - points[at : at + BLOCK] @ centres.T).argmin(axis=1)
    return of


def add_up(points: Floats, centres: Floats) -> Sums:
    """Add up points by their nearest centre: one pass."""
    return _given(points, centres)[1]


def moved(centres: Floats, sums: Sums) -> Floats:
    """Give the mean of each centre's points; without any it stays where it is."""
    return np.where(sums.sizes[:, None] > 0, sums.sums / np.maximum(sums.sizes, 1)[:, None], centres)


def silhouettes(points: Floats, centres: Floats, sums: Sums) -> float:
    """Add up the silhouettes of some points.

    That of a point is (b - a) / max(a, b): a is its mean squared distance to the others of its centre, b the least mean
    squared distance to those of another one; 0 where it is alone. Means follow from sums, without a look at pairs.

    Parameters
    ----------
    points : (n, d) array
    centres : (k, d) array
        Two or more.
    sums : Sums
        Of all points, not these alone.
    """
    is_met = sums.sizes > 0
    sizes = np.maximum(sums.sizes, 1)
    means, squares = sums.sums / sizes[:, None], sums.squares / sizes
    total = 0.0
    for at in range(0, len(points), BLOCK):
        x = points[at : at + BLOCK]
        of, row = nearest(x, centres), np.arange(len(x))
        apart = np.maximum((x**2).sum(axis=1)[:, None] - 2 * x @ means.T + squares, 0.0)
        others = np.maximum(sizes[of] - 1, 1)
        a = apart[row, of] * sizes[of] / others
        apart[row, of] = np.inf
        b = np.where(is_met, apart, np.inf).min(axis=1)
        is_told = (sizes[of] > 1) & np.isfinite(b) & (np.maximum(a, b) > 0)
        total += float(((b - a)[is_told] / np.maximum(a, b)[is_told]).sum())
    return total


def stability(points: Floats, centres: Floats, seed: int = 1) -> float:
    """Tell how alike groups are when they are sought again in points drawn anew.

    Ten times as many points are drawn with replacement, centres are sought among these, and all points are given to
    them. The mean adjusted Rand index of that and the groups themselves is 1 where all are the same, 0 by chance.

    Parameters
    ----------
    points : (n, d) array
        Of more than 2,000 every n-th one is taken.
    centres : (k, d) array
        Two or more.
    """
    random = np.random.default_rng(seed)
    few = points[:: -(-len(points) // RESAMPLED)]
    own = nearest(few, centres)
    found = []
    for _ in range(RESAMPLES):
        drawn = few[random.integers(len(few), size=len(few))]
        again = fit(drawn, len(centres), RESTARTS, int(random.integers(1 << 31)))
        found.append(adjusted_rand(own, nearest(few, again.centres)))
    return float(np.mean(found))


def adjusted_rand(one: Ints, other: Ints) -> float:
    """Tell how alike two partitions of the same points are: 1 the same, 0 as alike as by chance.

    Parameters
    ----------
    one, other : (n,) arrays of int
        For each point its group, from 0.
    """
    counts = np.zeros((int(one.max()) + 1, int(other.max()) + 1))
    np.add.at(counts, (one, other), 1.0)
    return agreement(counts)


def agreement(counts: Floats) -> float:
    """Give the adjusted Rand index of two partitions.

    Parameters
    ----------
    counts : (m, n) array
        Points by their group of one and of the other.
    """
    both, rows, columns, all_ = (
        float((sizes * (sizes - 1)).sum() / 2)
        for sizes in (counts, counts.sum(axis=1), counts.sum(axis=0), np.array([counts.sum()]))
    )
    expected, most = (rows * columns / all_ if all_ else 0.0), (rows + columns) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def _lloyd(points: Floats, centres: Floats, lower: float = 0.0) -> Fit:
    """Iterate until no point changes its centre, or the sum falls by a smaller share."""
    of, sums = _given(points, centres)
    for _ in range(MOST):
        before, within = of, sums.within
        centres = moved(centres, sums)
        empty = np.flatnonzero(sums.sizes == 0)
        if empty.size:
            far = ((points - centres[of]) ** 2).sum(axis=1)
            centres[empty] = points[np.argsort(-far, kind="stable")[: empty.size]]
        of, sums = _given(points, centres)
        if (before == of).all() or (not empty.size and sums.within > within * (1 - lower)):
            break
    order = np.lexsort(centres.T[::-1])
    return Fit(centres[order], add_up(points, centres[order]))


def _searched_on(points: Floats, found: Fit, random: np.random.Generator) -> Fit:
    """Swap centres for points as long as that lowers the sum of squares."""
    while True:
        swapped = _swapped(points, found, random)
        if swapped is None:
            return found
        further = _lloyd(points, swapped, NEARLY)
        if further.sums.within >= found.sums.within * (1 - LOWER):
            return found
        found = further


def _swapped(points: Floats, found: Fit, random: np.random.Generator) -> Floats | None:
    """Centres of which one was swapped for a point so that the sum falls; None where none of many draws does so."""
    of, k = nearest(points, found.centres), len(found.centres)
    if k == 1:
        return None
    row = np.arange(len(points))
    lengths = (points**2).sum(axis=1)[:, None] + (found.centres**2).sum(axis=1)
    apart = np.maximum(lengths - 2 * points @ found.centres.T, 0.0)
    first = apart[row, of]
    apart[row, of] = np.inf
    second = apart.min(axis=1)
    upto, sum_ = np.cumsum(first), float(first.sum())
    if sum_ == 0:
        return None
    for draw in random.random(DRAWS * k) * upto[-1]:
        at = min(int(np.searchsorted(upto, draw, side="right")), len(points) - 1)
        own = ((points - points[at]) ** 2).sum(axis=1)
        kept = np.minimum(first, own)
        # What is added where a centre goes: its points take the new one, or their second.
        added = np.bincount(of, weights=np.minimum(second, own) - kept, minlength=k)
        least = int(added.argmin())
        if kept.sum() + added[least] < sum_ * (1 - LOWER):
            centres = found.centres.copy()
            centres[least] = points[at]
            return centres
    return None


def _given(points: Floats, centres: Floats) -> tuple[Ints, Sums]:
    """Give each point to the nearest centre, and add them up."""
    k, d = centres.shape
    half = (centres**2).sum(axis=1) / 2
    all_of = np.empty(len(points), dtype=np.int64)
    sizes, sums, squares, within = np.zeros(k), np.zeros((k, d)), np.zeros(k), 0.0
    for at in range(0, len(points), BLOCK):
        x = points[at : at + BLOCK]
        of = (half - x @ centres.T).argmin(axis=1)
        # A product with ones where a point is of a centre is quicker than to add point by point.
        is_of = np.zeros((len(x), k))
        is_of[np.arange(len(x)), of] = 1.0
        apart = x - centres[of]
        all_of[at : at + BLOCK] = of
        sizes += is_of.sum(axis=0)
        sums += is_of.T @ x
        squares += np.einsum("ij,ij->i", x, x) @ is_of
        within += float(np.einsum("ij,ij->", apart, apart))
    return all_of, Sums(sizes, sums, squares, within)


def _squared(points: Floats, among: Floats) -> Floats:
    """The squared distance of each of few points to all, (few, n), exactly 0 to an equal one."""
    return np.array([((points - one) ** 2).sum(axis=1) for one in among])
