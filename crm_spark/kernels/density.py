"""DBSCAN: groups of points that lie close together, and points that lie in none of them.

A point is a core point where `min_samples` points, itself among them, lie within `eps` of it. Core points within `eps`
of each other are of one cluster. A point that is none but lies within `eps` of one is a border point of the cluster
whose first core point comes first, of those it touches; all others are noise.

Points lie in boxes of space: each is owned by one box, and a box knows of all points within `eps` of those it owns. So
it tells exactly which of its own are core points. Clusters reach beyond a box where a point of another touches them.

Within a box all near pairs are looked at, which a tree finds. Where these are too many, points are put into cells of
which no two points are further apart than `eps`. Where a cell has `min_samples` points all are core points of one
cluster, and are never looked at in pairs: so many of them may lie in one place. Two such cells are of one cluster where
a pair across them is near.

References
----------
Ester, M. et al. (1996). A Density-Based Algorithm for Discovering Clusters. KDD.
Gunawan, A. (2013). A Faster Algorithm for DBSCAN. Technische Universiteit Eindhoven: cells.
Sander, J. et al. (1998). Density-Based Clustering in Spatial Databases. Data Mining and Knowledge Discovery 2.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from crm_spark.kernels.likelihood import Flags, Floats

Ints = NDArray[np.int64]

FEW_DIMENSIONS = 3  # in which a tree that is built at once is as good as a balanced one
PAIRS = 20_000_000  # that are held at once
PROBED = 200  # points by which pairs are estimated
FEW = 4  # points of a cell by which most near cells are told
LARGE = 200_000  # pairs across two cells from which on a tree is quicker


@dataclass(frozen=True)
class Local:
    """What a box knows.

    Parameters
    ----------
    cluster : (n,) array of int
        The box's own cluster of each point that it knows for a core point, -1 of others. Clusters are numbered by
        their first point.
    touching, touched : (t,) arrays of int
        A point that the box does not know for a core point, and a cluster that it touches; each pair once.
    """

    cluster: Ints
    touching: Ints
    touched: Ints


def scan(points: Floats, is_owned: Flags, eps: float, min_samples: int) -> Local:
    """Find the clusters of a box.

    Parameters
    ----------
    points : (n, d) array
        Those that the box owns, and all others within `eps` of them; finite.
    is_owned : (n,) array of bool
        Of equal points all or none.
    eps : float
    min_samples : int
    """
    cell, is_dense, are_few = np.arange(len(points)), np.zeros(len(points), dtype=bool), _are_few(points, eps)
    if not are_few:
        cell, is_dense = _cells(points, eps, min_samples)
    dense, sparse_ = np.flatnonzero(is_dense), np.flatnonzero(~is_dense)
    are_few = are_few or _are_few(points[sparse_], eps)
    among = _among(points[sparse_], is_owned[sparse_], eps) if are_few else _Again(points[sparse_], eps)
    across = list(_across(points[sparse_], points[dense], eps))
    counts = np.ones(sparse_.size, dtype=np.int64)
    for one, other in among:
        counts += np.bincount(one, minlength=counts.size) + np.bincount(other, minlength=counts.size)
    for one, _ in across:
        counts += np.bincount(one, minlength=counts.size)
    is_core = is_dense.copy()
    is_core[sparse_] = (counts >= min_samples) & is_owned[sparse_]
    # A cell whose points are all core is one node, its first point's.
    node = np.arange(len(points))
    node[dense] = _first_of(cell)[cell[dense]]
    edges, touches = [_near_cells(points, cell, dense, eps)], []
    for one, other in _met(sparse_, dense, node, among, across):
        both, first, second = is_core[one] & is_core[other], is_core[one], is_core[other]
        edges.append((one[both], other[both]))
        if sum(part.size for part, _ in edges) > PAIRS:
            edges = [_fewest(len(points), _joined(edges))]
        for of, by, is_met in ((one, other, second & ~first), (other, one, first & ~second)):
            touches.append(_distinct(of[is_met], by[is_met]))
    cluster = _numbered(_components(len(points), _joined(edges))[node], is_core)
    touching, by = _joined(touches)
    return Local(cluster, *_distinct(touching, cluster[by]))


def dbscan(points: Floats, eps: float, min_samples: int) -> tuple[Ints, Flags]:
    """Find the clusters of all points in one box.

    Parameters
    ----------
    points : (n, d) array
    eps : float
    min_samples : int

    Returns
    -------
    (n,) array of int
        The cluster of each point, numbered by their first core point; -1 of noise.
    (n,) array of bool
        Whether it is a core point.
    """
    found = scan(points, np.ones(len(points), dtype=bool), eps, min_samples)
    labels, first = found.cluster.copy(), np.full(len(points), np.iinfo(np.int64).max)
    np.minimum.at(first, found.touching, found.touched)
    labels[found.touching] = first[found.touching]
    return labels, found.cluster >= 0


def neighbour_distances(points: Floats, asked: Floats, k: int) -> Floats:
    """Give the distances of each asked point to its k nearest points, itself among them if it is one: (asked, k).

    Where there are fewer points, the rest is infinite.
    """
    found = _tree(points).query(asked, k=np.arange(1, k + 1))[0] if len(points) else np.full((len(asked), k), np.inf)
    return np.asarray(found, dtype=np.float64)


def near(points: Floats, eps: float) -> float:
    """Give how many points lie within eps of a point on average, by that of 200 of them."""
    probed = points[:: max(1, len(points) // PROBED)]
    counts = _tree(points).query_ball_point(probed, eps, return_length=True) if len(points) else np.zeros(1)
    return float(np.mean(counts))


# -- cells


def _cells(points: Floats, eps: float, min_samples: int) -> tuple[Ints, Flags]:
    """The cell of each point, and whether it is of one with enough points, none further apart than eps."""
    n, d = points.shape
    if not n:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    grid = np.floor((points - points.min(axis=0)) / (eps / np.sqrt(d) * (1 - 1e-6)))
    order = np.lexsort(grid.T)
    ordered = grid[order]
    starts = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    cell = np.empty(n, dtype=np.int64)
    cell[order] = np.cumsum(np.bincount(starts, minlength=n)) - 1
    placed = points[order]
    # Far out, rounding puts points into cells where they are not: what counts is how far apart they are.
    widths = np.maximum.reduceat(placed, starts) - np.minimum.reduceat(placed, starts)
    sizes = np.diff(np.append(starts, n))
    is_dense = (sizes >= min_samples) & ((widths**2).sum(axis=1) <= eps**2)
    return cell, is_dense[cell]


def _first_of(cell: Ints) -> Ints:
    """The first point of each cell."""
    return np.unique(cell, return_index=True)[1] if cell.size else cell


def _near_cells(points: Floats, cell: Ints, dense: Ints, eps: float) -> tuple[Ints, Ints]:
    """Pairs of dense cells, by their first points, that are of one cluster: enough of them to join all that are."""
    none = np.zeros(0, dtype=np.int64)
    if not dense.size:
        return none, none
    order = dense[np.lexsort((dense, cell[dense]))]
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    ends = np.append(starts[1:], order.size)
    placed = points[order]
    low, high = np.minimum.reduceat(placed, starts), np.maximum.reduceat(placed, starts)
    # Both middles lie within eps / 2 of all of their points.
    one, other = _tree((low + high) / 2).query_pairs(2 * eps, output_type="ndarray").T.astype(np.int64)
    gaps = np.maximum(np.maximum(low[one] - high[other], low[other] - high[one]), 0)
    gap = (gaps**2).sum(axis=1)
    nearest_first = np.argsort(gap, kind="stable")
    nearest_first = nearest_first[gap[nearest_first] <= eps**2]
    one, other = one[nearest_first], other[nearest_first]
    is_near = _few_near(placed, starts, ends, one, other, eps)
    joined = [(one[is_near], other[is_near])]
    of = _components(starts.size, joined[0])
    is_left = ~is_near & (of[one] != of[other])
    for some in np.array_split(np.flatnonzero(is_left), 4):
        # What was joined meanwhile need not be looked at.
        of = _components(starts.size, _joined(joined))
        at = some[of[one[some]] != of[other[some]]]
        met = at[_any_near(placed, starts, ends, one[at], other[at], eps)]
        joined.append((one[met], other[met]))
    first, second = _joined(joined)
    return order[starts[first]], order[starts[second]]


def _few_near(placed: Floats, starts: Ints, ends: Ints, one: Ints, other: Ints, eps: float) -> Flags:
    """Whether some of few points of both cells are near."""
    found = np.zeros(one.size, dtype=bool)
    for first in range(FEW):
        for second in range(FEW):
            a, b = (np.minimum(starts[of] + at, ends[of] - 1) for of, at in ((one, first), (other, second)))
            found |= ((placed[a] - placed[b]) ** 2).sum(axis=1) <= eps**2
    return found


def _any_near(placed: Floats, starts: Ints, ends: Ints, one: Ints, other: Ints, eps: float) -> Flags:
    """Whether some points of both cells are near, all pairs looked at."""
    sizes, others = ends[one] - starts[one], ends[other] - starts[other]
    found = np.zeros(one.size, dtype=bool)
    is_large = sizes * others > LARGE
    for at in np.flatnonzero(is_large):
        a, b = (placed[starts[of[at]] : ends[of[at]]] for of in (one, other))
        found[at] = bool((_tree(a).query(b, distance_upper_bound=eps * (1 + 1e-9))[0] <= eps).any())
    small = np.flatnonzero(~is_large)
    pairs = np.cumsum(sizes[small] * others[small])
    block = pairs // PAIRS
    for some in np.split(small, np.flatnonzero(np.diff(block)) + 1):
        count = sizes[some] * others[some]
        of = np.repeat(np.arange(some.size), count)
        place = np.arange(of.size) - np.repeat(np.cumsum(count) - count, count)
        width = others[some][of]
        a, b = starts[one[some]][of] + place // width, starts[other[some]][of] + place % width
        is_met = ((placed[a] - placed[b]) ** 2).sum(axis=1) <= eps**2
        found[some] = np.bincount(of[is_met], minlength=some.size) > 0
    return found


# -- pairs


def _tree(points: Floats) -> KDTree:
    is_few = points.shape[1] <= FEW_DIMENSIONS
    return KDTree(points, balanced_tree=not is_few, compact_nodes=not is_few)


def _are_few(points: Floats, eps: float) -> bool:
    """Whether all near pairs can be held at once, as those of some points tell."""
    return near(points, eps) * len(points) / 2 <= PAIRS


def _among(points: Floats, is_owned: Flags, eps: float) -> list[tuple[Ints, Ints]]:
    """Near pairs of which the box owns one at least: of others it need not know."""
    own, others = np.flatnonzero(is_owned), np.flatnonzero(~is_owned)
    one, other = _tree(points[own]).query_pairs(eps, output_type="ndarray").T if own.size else (own, own)
    across = _across(points[own], points[others], eps)
    return [(own[one], own[other]), *[(own[one], others[other]) for one, other in across]]


@dataclass(frozen=True)
class _Again:
    """Pairs that are too many to be held: they are sought anew each time they are gone through, some at once."""

    points: Floats
    eps: float

    def __iter__(self) -> Iterator[tuple[Ints, Ints]]:
        tree = _tree(self.points)
        for one, other in _blocks(self.points, tree, self.eps):
            is_first = one < other
            yield one[is_first], other[is_first]


def _across(points: Floats, others: Floats, eps: float) -> Iterator[tuple[Ints, Ints]]:
    """Near pairs of which one is of each."""
    if len(points) and len(others):
        yield from _blocks(points, _tree(others), eps)


def _blocks(points: Floats, tree: KDTree, eps: float) -> Iterator[tuple[Ints, Ints]]:
    probed = points[:: max(1, len(points) // PROBED)]
    counts = np.asarray(tree.query_ball_point(probed, eps, return_length=True))
    step = max(1, PAIRS * len(probed) // (8 * max(int(counts.sum()), 1)))
    for at in range(0, len(points), step):
        found = _tree(points[at : at + step]).sparse_distance_matrix(tree, eps, output_type="ndarray")
        yield found["i"].astype(np.int64) + at, found["j"].astype(np.int64)


def _met(
    sparse_: Ints, dense: Ints, node: Ints, among: Iterable[tuple[Ints, Ints]], across: Iterable[tuple[Ints, Ints]]
) -> Iterator[tuple[Ints, Ints]]:
    """Near pairs of nodes."""
    for one, other in among:
        yield sparse_[one], sparse_[other]
    for one, other in across:
        yield sparse_[one], node[dense[other]]


def _distinct(one: Ints, other: Ints) -> tuple[Ints, Ints]:
    """Each pair once."""
    order = np.lexsort((other, one))
    one, other = one[order], other[order]
    is_new = np.append(True, (np.diff(one) != 0) | (np.diff(other) != 0))[: one.size]
    return one[is_new], other[is_new]


def _joined(pairs: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    none = np.zeros(0, dtype=np.int64)
    one, other = (np.concatenate([none, *side]) for side in zip(*pairs, strict=True)) if pairs else (none, none)
    return one, other


def _components(n: int, edges: tuple[Ints, Ints]) -> Ints:
    ones = np.ones(edges[0].size, dtype=np.int8)
    found = connected_components(sparse.coo_array((ones, edges), shape=(n, n)), directed=False)[1]
    return np.asarray(found, dtype=np.int64)


def _fewest(n: int, edges: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    """Edges that join the same: from each node to the first one of its component."""
    _, first, of = np.unique(_components(n, edges), return_index=True, return_inverse=True)
    joined = np.flatnonzero(first[of] != np.arange(n))
    return joined, first[of][joined]


def _numbered(component: Ints, is_core: Flags) -> Ints:
    """Number the components of core points by their first one; -1 of others."""
    cluster = np.full(component.size, -1)
    known, first, of = np.unique(component[is_core], return_index=True, return_inverse=True)
    place = np.empty(known.size, dtype=np.int64)
    place[np.argsort(first)] = np.arange(known.size)
    cluster[is_core] = place[of]
    return cluster
