"""C4.5, release 8, as J48 of Weka has it, and ID3: decision trees by entropy.

The gain of a split is the entropy of the class less its mean over the branches, times the share of rows whose value is
known; the gain ratio is that by the entropy of the branches, the unknown as one branch more. C4.5 takes, of the splits
of at least average gain, that of the highest ratio; ID3 that of the highest gain. Grown trees are collapsed where
leaves make no more errors in training, then pruned by an upper limit of their errors: a node becomes a leaf, or is
replaced by its largest branch, where that promises no more errors.

What is learned comes from tables of counts alone, so rows may be anywhere: see `Counts`.

References
----------
Quinlan, J. R. (1986). Induction of Decision Trees. Machine Learning 1(1), 81-106.
Quinlan, J. R. (1993). C4.5: Programs for Machine Learning. Morgan Kaufmann.
Quinlan, J. R. (1996). Improved Use of Continuous Attributes in C4.5. J. Artificial Intelligence Research 4, 77-90.
Witten, I. H., Frank, E., Hall, M. A. (2011). Data Mining, third edition. Morgan Kaufmann. Weka 3.9.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from math import nan, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.trees import ROUNDING, Node, Part, Path, at, branch_of, parts, split, walk

CLOSER = 1e-5  # numbers that differ by less are not parted
AS_GOOD = 1e-3  # gain below the average, and errors in training, that still count as no worse
NO_WORSE = 0.1  # errors by which a pruned tree may be worse
EXACT = 1e-12  # of a share
BRANCHES = 2  # that must have enough rows
SMALL = 8  # nodes of fewer rows than one in so many are sorted anew
MANY_LEVELS = 0.3  # share of the rows, of which a nominal attribute with as many levels says little


@dataclass(frozen=True)
class Split:
    """How an attribute would part the rows of a node.

    Parameters
    ----------
    gain, ratio : float
        Bits, and bits for each bit of the branches' own entropy.
    counts : (branches, classes) array
        Of the rows whose value is known.
    threshold : float
        Midway between two values; NaN where the attribute is nominal.
    """

    gain: float
    ratio: float
    counts: Floats
    threshold: float = nan


@dataclass(frozen=True)
class Known:
    """Rows of one node whose value of one attribute is known.

    Parameters
    ----------
    values, of_class : (m,) arrays
    weights : (m,) array, optional
        None where each is 1.
    rows : (m,) array, optional
        How many rows each stands for, whatever their weights; None where each is one.
    is_sorted : bool
        Whether values rise.
    """

    values: Floats
    of_class: NDArray[np.int64]
    weights: Floats | None = None
    rows: Floats | None = None
    is_sorted: bool = False


class Counts(Protocol):
    """Rows to learn from, wherever they are.

    Attributes
    ----------
    levels : (k,) array of int
        How many levels each attribute has; 0 of a numeric one.
    rows : int
    """

    levels: NDArray[np.int64]
    rows: int

    def whole(self) -> Floats:
        """Weight of each class, (classes,)."""

    def splits(self, root: Node, paths: Sequence[Path], least: float) -> list[list[Split | None]]:
        """Give for each node the best split by each attribute, None where there is none."""

    def at_most(self, attributes: Sequence[int], limits: Floats) -> Floats:
        """Give for each the largest value of the attribute, in all rows, that is not above the limit."""

    def cells(self, root: Node, given: Sequence[tuple[Path, Node]]) -> list[list[Floats]]:
        """Count the rows at the end of a path as they go down another tree, by that tree's shares.

        Returns
        -------
        list of lists of (branches + 1, classes) arrays
            For each tree and each of its nodes, in the order of `walk`: weights of the rows in each branch, and, last,
            of those whose value is missing.
        """


def grow(counts: Counts, by_ratio: bool = True, least: float = 2.0, deepest: int | None = None) -> Node:
    """Grow a tree level by level, as far as it goes.

    Parameters
    ----------
    counts : Counts
    by_ratio : bool, default True
        Whether C4.5 or ID3 chooses.
    least : float, default 2
        Weight of rows that two branches of a split must have.
    deepest : int, optional
        Splits from the root to a leaf; without it there is no limit.

    Returns
    -------
    Node
        The root. One pass over the rows for each level, one more for thresholds where there are any.
    """
    root = Node(counts.whole()[None])
    level: list[Path] = [()]
    while level and (deepest is None or len(level[0]) < deepest):
        open_ = [path for path in level if _may_split(at(root, path), 2 * least)]
        chosen: list[tuple[Path, int, Split]] = []
        for path, splits in zip(open_, counts.splits(root, open_, least) if open_ else [], strict=True):
            best = _best_ratio(splits, counts.levels, counts.rows) if by_ratio else _best_gain(splits)
            if best is not None:
                chosen.append((path, *best))
        _settle(root, chosen, counts)
        level = [(*path, branch) for path, _, found in chosen for branch in range(len(found.counts))]
    return root


def _may_split(node: Node, least: float) -> bool:
    of_class = node.of_class
    return bool(of_class.sum() > least - ROUNDING and of_class.sum() - of_class.max() > ROUNDING)


def _best_ratio(splits: Sequence[Split | None], levels: NDArray[np.int64], rows: int) -> tuple[int, Split] | None:
    is_telling = levels + ROUNDING < MANY_LEVELS * rows
    gains = [
        found.gain
        for found, level, telling in zip(splits, levels, is_telling, strict=True)
        if found is not None and (level == 0 or telling or not ((levels == 0) | is_telling).any())
    ]
    if not gains:
        return None
    enough, highest = sum(gains) / len(gains) - AS_GOOD, 0.0
    best: tuple[int, Split] | None = None
    for attribute, found in enumerate(splits):
        if found is not None and found.gain >= enough and found.ratio > highest + ROUNDING:
            best, highest = (attribute, found), found.ratio
    return best


def _best_gain(splits: Sequence[Split | None]) -> tuple[int, Split] | None:
    best: tuple[int, Split] | None = None
    highest = 0.0
    for attribute, found in enumerate(splits):
        if found is not None and found.gain > highest + ROUNDING:
            best, highest = (attribute, found), found.gain
    return best


def _settle(root: Node, chosen: Sequence[tuple[Path, int, Split]], counts: Counts) -> None:
    """Make nodes of leaves; a threshold becomes the value of some row."""
    is_numeric = [not np.isnan(found.threshold) for _, _, found in chosen]
    numeric = [one for one, is_number in zip(chosen, is_numeric, strict=True) if is_number]
    limits = np.array([one.threshold for _, _, one in numeric])
    values = iter(counts.at_most([attribute for _, attribute, _ in numeric], limits).tolist() if numeric else ())
    for (path, attribute, found), is_number in zip(chosen, is_numeric, strict=True):
        node = at(root, path)
        unknown = np.maximum(node.of_class - found.counts.sum(axis=0), 0.0)
        node.attribute, node.counts = attribute, with_unknown(found.counts, unknown)
        node.threshold = next(values) if is_number else nan
        node.sons = [Node(of_branch[None]) for of_branch in node.counts]


def shares(counts: Floats) -> Floats:
    """Give the share of each branch; where there are no rows, equal ones."""
    of_branch = counts.sum(axis=1)
    total = of_branch.sum()
    return np.asarray(of_branch / total if total > ROUNDING else np.full(of_branch.size, 1 / of_branch.size))


def with_unknown(known: Floats, unknown: Floats) -> Floats:
    """Add rows whose value is missing to every branch, by its share."""
    return known + np.outer(shares(known), unknown)


# -- how good a split is


def nominal(known: Known, levels: int, classes: int, total: float, least: float) -> Split | None:
    """Judge a branch for each level; none where fewer than two have enough rows.

    Parameters
    ----------
    total : float
        Weight of all rows of the node, those with a missing value too.
    least : float
        Weight that two branches must have.
    """
    code = known.values.astype(np.int64) * classes + known.of_class
    counts = np.bincount(code, known.weights, levels * classes).reshape(levels, classes).astype(np.float64)
    if (counts.sum(axis=1) >= least - ROUNDING).sum() < BRANCHES:
        return None
    gain = _gain(_bits(counts.sum(axis=1)).sum() - _bits(counts).sum(), counts.sum(axis=0), total)
    return Split(gain, _ratio(gain, counts, total), counts)


def numeric(known: Known, classes: int, total: float, least: float) -> Split | None:
    """Judge the best of all thresholds; its gain is less by what it takes to tell which it is."""
    if not known.is_sorted:
        order = np.argsort(known.values)
        weights, counted = (None if one is None else one[order] for one in (known.weights, known.rows))
        known = Known(known.values[order], known.of_class[order], weights, counted)
    of_class = np.bincount(known.of_class, known.weights, classes).astype(np.float64)
    weight = of_class.sum()
    enough = min(25.0, max(least, 0.1 * weight / classes))
    rows = known.values.size if known.rows is None else int(known.rows.sum())
    if rows < 2 * enough - ROUNDING:
        return None
    cuts = np.flatnonzero(known.values[:-1] + CLOSER < known.values[1:])
    below = cuts + 1.0 if known.weights is None else np.cumsum(known.weights)[cuts]
    is_open = (below >= enough - ROUNDING) & (weight - below >= enough - ROUNDING)
    cuts, below = cuts[is_open], below[is_open]
    if not cuts.size:
        return None
    of_cuts = [
        np.cumsum(is_one if known.weights is None else is_one * known.weights)[cuts].astype(np.float64)
        for one in range(classes)
        for is_one in [known.of_class == one]
    ]
    bits = _bits if known.weights is not None else _whole_bits(int(weight))
    mixed = bits(below) + bits(weight - below)
    for low, all_ in zip(of_cuts, of_class, strict=True):
        mixed -= bits(low) + bits(np.maximum(all_ - low, 0.0))
    best = _first_best(-mixed / total)
    gain = _gain(mixed[best], of_class, total) - np.log2(cuts.size) / total
    if gain <= ROUNDING:
        return None
    low_value, high_value = known.values[cuts[best]], known.values[cuts[best] + 1]
    middle = (low_value + high_value) / 2
    low = np.array([column[best] for column in of_cuts])
    counts = np.stack([low, np.maximum(of_class - low, 0.0)])
    return Split(gain, _ratio(gain, counts, total), counts, float(low_value if middle == high_value else middle))


def _first_best(gains: Floats) -> int:
    """The last place whose gain is above that of all places chosen before by more than rounding."""
    near = np.flatnonzero(gains > gains.max() - 2 * ROUNDING)
    best, highest = int(near[0]), float(gains[: near[0]].max(initial=-np.inf))
    for place in near:
        if gains[place] > highest + ROUNDING:
            best, highest = int(place), float(gains[place])
    return best


def _gain(mixed: float, of_class: Floats, total: float) -> float:
    """What the entropy of the classes is above that within branches, `mixed` in all; the unknown gain none."""
    gained = float(_bits(of_class.sum()) - _bits(of_class).sum() - mixed)
    return 0.0 if abs(gained * of_class.sum() / total) < ROUNDING else gained / total


def _ratio(gain: float, counts: Floats, total: float) -> float:
    of_branch = counts.sum(axis=1)
    info = float(_bits(np.array(total)) - _bits(of_branch).sum() - _bits(np.array(total - of_branch.sum())))
    return 0.0 if info < ROUNDING else gain * total / info


def _bits(weight: Floats) -> Floats:
    return np.where(weight < ROUNDING, 0.0, weight * np.log2(np.maximum(weight, ROUNDING)))


@lru_cache(maxsize=2)
def _table(most: int) -> Floats:
    return _bits(np.arange(most, dtype=np.float64))


def _whole_bits(most: int) -> Callable[[Floats], Floats]:
    """The same of whole numbers, looked up: nodes of a tree ask for few of them again and again."""
    table = _table(1 << int(most + 1).bit_length())
    return lambda weight: table[weight.astype(np.int64)]


# -- pruning


def collapse(root: Node) -> None:
    """Make leaves of nodes whose leaves make no fewer errors in training."""
    if not root.sons:
        return
    if _in_training(root) >= root.wrong - AS_GOOD:
        root.become_leaf()
    for son in root.sons:
        collapse(son)


def _in_training(node: Node) -> float:
    return sum(_in_training(son) for son in node.sons) if node.sons else node.wrong


def prune(root: Node, counts: Counts, confidence: float = 0.25) -> None:
    """Replace nodes by a leaf, or by their largest branch, where that promises no more errors.

    Parameters
    ----------
    root : Node
        Changed in place.
    counts : Counts
        Those that it was grown from: one pass for each level.
    confidence : float, default 0.25
        Of the upper limit of errors, up to 0.5: the lower, the more is pruned.
    """
    _prune(root, [()], counts, confidence)


def _prune(root: Node, tops: Sequence[Path], counts: Counts, confidence: float) -> None:
    """Prune below and at the tops, the deepest nodes first."""
    inner = sorted({path for top in tops for path, node in walk(at(root, top), top) if node.sons}, key=len)
    for _, level in groupby(reversed(inner), key=len):
        paths = [path for path in level if at(root, path).sons]
        nodes = [at(root, path) for path in paths]
        # The last of equally large ones.
        largest = [
            node.sons[int(np.flatnonzero(bags >= bags.max() - ROUNDING)[-1])]
            for node in nodes
            for bags in [node.counts.sum(axis=1)]
        ]
        raised: list[Path] = []
        for path, node, branch in zip(
            paths, nodes, recounted(counts, root, list(zip(paths, largest, strict=True))), strict=True
        ):
            as_leaf = _promised(node.of_class, confidence)
            as_branch, as_is = _promised_below(branch, confidence), _promised_below(node, confidence)
            if as_leaf <= min(as_is, as_branch) + NO_WORSE + ROUNDING:
                node.become_leaf()
            elif as_branch <= as_is + NO_WORSE + ROUNDING:
                node.counts, node.attribute = branch.counts, branch.attribute
                node.threshold, node.sons = branch.threshold, branch.sons
                raised.append(path)
        if raised:
            _prune(root, raised, counts, confidence)


def recounted(counts: Counts, root: Node, given: Sequence[tuple[Path, Node]]) -> list[Node]:
    """Give copies of trees with the counts that they have when the rows at the end of a path come in.

    By which shares rows with a missing value go down is known when the others are counted: it takes a pass for each
    level below such a node, and a single one where no value is missing.
    """
    copies = [deepcopy(tree) for _, tree in given]
    is_settled = False
    while not is_settled:
        found = counts.cells(root, [(path, copy) for (path, _), copy in zip(given, copies, strict=True)])
        is_settled = True
        for copy, of_copy in zip(copies, found, strict=True):
            for (_, node), cells in zip(walk(copy), of_copy, strict=True):
                before, node.counts = shares(node.counts), with_unknown(cells[:-1], cells[-1])
                is_shared = cells[-1].sum() > ROUNDING
                is_settled &= not (is_shared and np.abs(shares(node.counts) - before).max() > EXACT)
    return copies


def _promised_below(node: Node, confidence: float) -> float:
    if not node.sons:
        return _promised(node.of_class, confidence)
    return sum(_promised_below(son, confidence) for son in node.sons)


def _promised(of_class: Floats, confidence: float) -> float:
    """Errors of a leaf, at most: those in training and what the binomial's upper limit adds."""
    total = float(of_class.sum())
    if total < ROUNDING:
        return 0.0
    wrong = total - float(of_class.max())
    return wrong + added_errors(total, wrong, confidence)


def added_errors(total: float, wrong: float, confidence: float) -> float:
    """Give what the upper confidence limit of a leaf's errors is above those in training.

    Parameters
    ----------
    total, wrong : float
        Weight of the leaf's rows, and of those that are not of its class.
    confidence : float
        Chance of as few errors, were the limit true.
    """
    if wrong < 1:
        none = total * (1 - confidence ** (1 / total))
        return float(none if wrong <= 0 else none + wrong * (added_errors(total, 1.0, confidence) - none))
    if wrong + 0.5 >= total:
        return max(total - wrong, 0.0)
    z = float(special.ndtri(1 - confidence))
    share = (wrong + 0.5) / total
    limit = share + z * z / (2 * total) + z * sqrt(share / total - share**2 / total + (z / (2 * total)) ** 2)
    return limit / (1 + z * z / total) * total - wrong


# -- rows in memory


class Rows:
    """Rows in the memory of one process.

    Parameters
    ----------
    rows : (n, k) array
        See `trees`.
    of_class : (n,) array of int
        Class of each row, from 0.
    levels : (k,) array of int
        How many levels each attribute has; 0 of a numeric one.
    classes : int
    weights : (n,) array, optional
        How many rows each stands for.
    """

    def __init__(
        self,
        rows: Floats,
        of_class: NDArray[np.int64],
        levels: NDArray[np.int64],
        classes: int,
        weights: Floats | None = None,
    ) -> None:
        self.values, self.of_class, self.levels, self.classes = np.asfortranarray(rows), of_class, levels, classes
        self.weights = np.ones(len(rows)) if weights is None else weights
        self.rows = len(rows)
        self.seen: dict[Path, Part] = {}
        self.orders: dict[int, NDArray[np.intp]] = {}

    def whole(self) -> Floats:
        """Weight of each class, (classes,)."""
        return np.bincount(self.of_class, self.weights, self.classes).astype(np.float64)

    def splits(self, root: Node, paths: Sequence[Path], least: float) -> list[list[Split | None]]:
        """Give for each node the best split by each attribute, None where there is none."""
        found: dict[Path, list[Split | None]] = {}
        for path, part in self._parts(root, set(paths)).items():
            total, is_whole = float(part[1].sum()), bool((part[1] == 1).all())
            of_node: list[Split | None] = []
            for attribute, count in enumerate(self.levels.tolist()):
                known = self.known(attribute, part, is_whole)
                if count:
                    of_node.append(nominal(known, count, self.classes, total, least))
                else:
                    of_node.append(numeric(known, self.classes, total, least))
            found[path] = of_node
        return [found[path] for path in paths]

    def _parts(self, root: Node, paths: set[Path]) -> dict[Path, Part]:
        """The rows of each node: they are among those of the node above, which was looked at for the level before."""
        begun: dict[Path, set[Path]] = {}
        for path in paths:
            begun.setdefault(path[:-1] if path[:-1] in self.seen else (), set()).add(path)
        whole: Part = np.arange(self.rows), self.weights
        self.seen = {
            path: part
            for begin, ends in begun.items()
            for path, part in parts(root, self.values, self.seen[begin] if begin else whole, ends, begin)
        }
        return self.seen

    def known(self, attribute: int, part: Part, is_whole: bool) -> Known:
        """Give the rows of a node whose value of an attribute is known."""
        places, weights = part
        column = self.values[:, attribute]
        is_sorted = not self.levels[attribute] and places.size > self.rows / SMALL
        if is_sorted:
            # To look through all rows in their order is quicker than to sort many.
            here = np.zeros(self.rows, dtype=np.bool_)
            here[places] = True
            of_row = np.empty(0) if is_whole else np.zeros(self.rows)
            if not is_whole:
                of_row[places] = weights
            order = self._order(attribute)
            places = order[here[order]]
            return Known(column[places], self.of_class[places], None if is_whole else of_row[places], is_sorted=True)
        values = column[places]
        is_known = ~np.isnan(values)
        if is_known.all():
            return Known(values, self.of_class[places], None if is_whole else weights)
        return Known(values[is_known], self.of_class[places[is_known]], None if is_whole else weights[is_known])

    def _order(self, attribute: int) -> NDArray[np.intp]:
        """The places of rows whose value is known, as it rises."""
        if attribute not in self.orders:
            column = self.values[:, attribute]
            self.orders[attribute] = np.argsort(column)[: column.size - int(np.isnan(column).sum())]
        return self.orders[attribute]

    def at_most(self, attributes: Sequence[int], limits: Floats) -> Floats:
        """Give for each the largest value of the attribute, in all rows, that is not above the limit."""
        columns = [self.values[:, attribute] for attribute in attributes]
        at_most = [column[column < limit + ROUNDING] for column, limit in zip(columns, limits, strict=True)]
        return np.array([column.max(initial=-np.inf) for column in at_most])

    def cells(self, root: Node, given: Sequence[tuple[Path, Node]]) -> list[list[Floats]]:
        """Count the rows at the end of a path as they go down another tree, by that tree's shares."""
        at_root: Part = np.arange(self.rows), self.weights
        found = dict(parts(root, self.values, at_root, {path for path, _ in given}))
        nothing: Part = np.arange(0), np.empty(0)
        return [self._cells(tree, found.get(path, nothing)) for path, tree in given]

    def _cells(self, node: Node, part: Part) -> list[Floats]:
        """Of a node and all below it, in the order of `walk`."""
        places, weights = part
        of_class = self.of_class[places]
        branch = branch_of(node, self.values[places, node.attribute]) if node.sons else np.zeros(places.size, int)
        code = np.where(branch < 0, len(node.counts), branch) * self.classes + of_class
        shape = (len(node.counts) + 1, self.classes)
        cells = [np.bincount(code, weights, shape[0] * shape[1]).reshape(shape).astype(np.float64)]
        if node.sons:
            for son, of_son in zip(node.sons, split(node, self.values, part), strict=True):
                cells += self._cells(son, of_son)
        return cells
