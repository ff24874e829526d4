"""Decision trees whose rows may be in several leaves: a missing value goes down every branch, in part.

Rows are (n, k) arrays of numbers: of a numeric attribute its values, of a nominal one the places of levels, from 0;
NaN is missing. A nominal split has a branch for each level, or for each set of levels; a numeric one two: at most the
threshold, and above.

References
----------
Quinlan, J. R. (1993). C4.5: Programs for Machine Learning. Morgan Kaufmann. Chapter 3.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels.likelihood import Floats

Path = tuple[int, ...]  # the branch taken at each node from the root on
ROUNDING = 1e-6  # weights that differ by less are equal


@dataclass
class Node:
    """A node with all that is below it.

    Parameters
    ----------
    counts : (branches, classes) array
        Weight of each class in each branch, rows with a missing value in part in each; of a leaf one row.
    attribute : int
        By which it splits; of a leaf -1.
    threshold : float
        Up to which a number goes into the first branch; of a nominal attribute NaN.
    sons : list of Node
        One for each branch; a leaf has none.
    branches : tuple of int
        Of a nominal attribute the branch of each level; without it each level has its own.
    """

    counts: Floats
    attribute: int = -1
    threshold: float = nan
    sons: list[Node] = field(default_factory=list)
    branches: tuple[int, ...] = ()

    @property
    def of_class(self) -> Floats:
        """Weight of each class, (classes,)."""
        return np.asarray(self.counts.sum(axis=0), dtype=np.float64)

    @property
    def wrong(self) -> float:
        """Weight of what is not of the commonest class."""
        of_class = self.of_class
        return float(of_class.sum() - of_class.max())

    def become_leaf(self) -> None:
        """Cut off what is below."""
        self.counts = self.of_class[None]
        self.attribute, self.threshold, self.sons, self.branches = -1, nan, [], ()


def at(root: Node, path: Path) -> Node:
    """Give the node at the end of a path."""
    for branch in path:
        root = root.sons[branch]
    return root


def walk(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Give every node with its path, from the top down."""
    yield path, node
    for branch, son in enumerate(node.sons):
        yield from walk(son, (*path, branch))


def leaves(node: Node) -> int:
    """Count the leaves, empty ones too."""
    return sum(not one.sons for _, one in walk(node))


def size(node: Node) -> int:
    """Count all nodes."""
    return sum(1 for _ in walk(node))


def branch_of(node: Node, values: Floats) -> NDArray[np.integer]:
    """Tell into which branch each value goes; -1 where it is missing, or of no level."""
    if np.isnan(node.threshold):
        is_level = (values >= 0) & (values < (len(node.branches) or len(node.counts)))
        places = np.where(is_level, np.nan_to_num(values), -1).astype(np.int64)
        return np.append(node.branches, -1)[places].astype(np.int64) if node.branches else places
    above = (values >= node.threshold + ROUNDING).view(np.int8)
    is_missing = np.isnan(values)
    return np.where(is_missing, np.int8(-1), above) if is_missing.any() else above


Part = tuple[NDArray[np.int64], Floats]  # places of rows, and what of each is there


def split(node: Node, rows: Floats, part: Part) -> list[Part]:
    """Part rows among the branches of a node; of a missing value each gets the branch's share."""
    places, weights = part
    branch = branch_of(node, rows[places, node.attribute])
    missing = branch < 0
    if not missing.any():
        return [(places[here], weights[here]) for number in range(len(node.sons)) for here in [branch == number]]
    in_branch = node.counts.sum(axis=1)
    found = []
    for number, share in enumerate(in_branch / max(in_branch.sum(), ROUNDING)):
        here = (branch == number) | (missing & (share > ROUNDING))
        found.append((places[here], np.where(missing[here], weights[here] * share, weights[here])))
    return found


def parts(root: Node, rows: Floats, at_root: Part, paths: set[Path], begun: Path = ()) -> Iterator[tuple[Path, Part]]:
    """Give the rows that come to the end of each path, of those that are at the end of another, where they begin."""
    below = {path[:length] for path in paths for length in range(len(path) + 1)}
    waiting = [(begun, at(root, begun), at_root)]
    while waiting:
        path, node, part = waiting.pop()
        if path in paths:
            yield path, part
        if not any((*path, branch) in below for branch in range(len(node.sons))):
            continue
        for branch, (son, of_son) in enumerate(zip(node.sons, split(node, rows, part), strict=True)):
            if (*path, branch) in below:
                waiting.append(((*path, branch), son, of_son))


def probabilities(root: Node, rows: Floats) -> Floats:
    """Give the probability of each class for each row.

    A row with a missing value is in every branch that is not empty, by the branch's share. Where a branch is empty,
    the node above it speaks.

    Returns
    -------
    (n, classes) array
    """
    told = np.zeros((len(rows), root.counts.shape[1]))
    waiting: list[tuple[Node, Part]] = [(root, (np.arange(len(rows)), np.ones(len(rows))))]
    while waiting:
        node, part = waiting.pop()
        places, weights = part
        if not node.sons:
            told[places] += np.outer(weights, node.of_class / node.counts.sum())
            continue
        branch = branch_of(node, rows[places, node.attribute])
        for number, (son, (to, share)) in enumerate(zip(node.sons, split(node, rows, part), strict=True)):
            if son.counts.sum() > ROUNDING:
                waiting.append((son, (to, share)))
            else:
                lost = branch == number
                told[places[lost]] += np.outer(weights[lost], node.of_class / node.counts.sum())
    return told


def decide(probability: Floats) -> NDArray[np.int64]:
    """Give the likeliest class of each row, the first of those that are equal."""
    return np.asarray(np.argmax(probability > probability.max(axis=1, keepdims=True) - ROUNDING, axis=1))


def write(node: Node) -> str:
    """Write a tree as text, from which `read` makes it again."""
    return json.dumps(_told(node))


def read(text: str) -> Node:
    """Read a tree that `write` wrote."""
    return _made(json.loads(text))


def _told(node: Node) -> dict[str, Any]:
    threshold = None if np.isnan(node.threshold) else node.threshold
    sons = [_told(son) for son in node.sons]
    split = {"attribute": node.attribute, "threshold": threshold, "branches": node.branches}
    return {"counts": node.counts.tolist(), **split, "sons": sons}


def _made(told: dict[str, Any]) -> Node:
    threshold = nan if told["threshold"] is None else told["threshold"]
    sons = [_made(son) for son in told["sons"]]
    return Node(np.array(told["counts"]), told["attribute"], threshold, sons, tuple(told["branches"]))
