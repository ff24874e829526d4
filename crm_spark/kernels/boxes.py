"""Boxes of space that hold about equally many points, split where few lie near the wall.

A box is split in two by a wall across one dimension, the fullest one first. Of walls near the middle of each dimension
that one is taken which has the fewest points within a margin: these have to be known on both sides.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels.likelihood import Flags, Floats

Ints = NDArray[np.int64]

WALLS = np.linspace(0.3, 0.7, 9)  # shares of a box's points at which a wall may stand


@dataclass(frozen=True)
class Boxes:
    """Walls as a tree, and boxes as its leaves.

    Parameters
    ----------
    dimension : (m,) array of int
        That of the wall of each node; -1 of a box.
    at : (m,) array
        Where it stands. A point on it is on the left.
    left, right : (m,) arrays of int
        The nodes on both sides; of a box its number is on the left.
    """

    dimension: Ints
    at: Floats
    left: Ints
    right: Ints

    @property
    def size(self) -> int:
        """How many boxes there are."""
        return int((self.dimension < 0).sum())


@dataclass(frozen=True)
class Placed:
    """Which points a box knows.

    Parameters
    ----------
    row, box : (m,) arrays of int
        A point, and a box that knows it.
    is_owned : (m,) array of bool
        Whether the box owns it: one does of each point.
    is_shared : (m,) array of bool
        Whether others know it too.
    """

    row: Ints
    box: Ints
    is_owned: Flags
    is_shared: Flags


def split(sample: Floats, wanted: int, margin: float) -> Boxes:
    """Find boxes for points of which a sample is at hand.

    Parameters
    ----------
    sample : (n, d) array
        One or more.
    wanted : int
        How many boxes; there are fewer where points cannot be told apart.
    margin : float
    """
    nodes: list[tuple[int, float, int, int]] = [(-1, 0.0, 0, 0)]
    leaves: dict[int, Floats] = {0: sample}
    while len(leaves) < wanted:
        fullest = max(leaves, key=lambda node: (len(leaves[node]), -node))
        inside = leaves.pop(fullest)
        wall = _wall(inside, margin)
        if wall is None:
            leaves[fullest] = inside
            break
        is_left = inside[:, wall[0]] <= wall[1]
        nodes[fullest] = (*wall, len(nodes), len(nodes) + 1)
        leaves[len(nodes)], leaves[len(nodes) + 1] = inside[is_left], inside[~is_left]
        nodes += [(-1, 0.0, 0, 0)] * 2
    for number, node in enumerate(sorted(leaves)):
        nodes[node] = (-1, 0.0, number, number)
    dimension, at, left, right = (np.array(of) for of in zip(*nodes, strict=True))
    return Boxes(dimension, at.astype(np.float64), left, right)


def place(points: Floats, boxes: Boxes, margin: float) -> Placed:
    """Say of points which boxes know them: that which owns them, and those whose walls are within the margin.

    Parameters
    ----------
    points : (n, d) array
    boxes : Boxes
    margin : float
    """
    found = list(_place(points, boxes, margin, 0, np.arange(len(points)), np.ones(len(points), dtype=bool)))
    row, box, is_owned = (np.concatenate(of) for of in zip(*found, strict=True))
    return Placed(row, box, is_owned, np.bincount(row, minlength=len(points))[row] > 1)


def _wall(inside: Floats, margin: float) -> tuple[int, float] | None:
    """The wall that has the fewest points within the margin, of those between two points."""
    best: tuple[int, int, float] | None = None
    for dimension, values in enumerate(inside.T):
        for at in np.quantile(values, WALLS, method="lower"):
            if at < values.max():
                near = int((np.abs(values - at) <= margin).sum())
                best = min(best or (near, dimension, float(at)), (near, dimension, float(at)))
    return None if best is None else best[1:]


def _place(
    points: Floats, boxes: Boxes, margin: float, node: int, rows: Ints, is_owned: Flags
) -> Iterator[tuple[Ints, Ints, Flags]]:
    dimension, at = boxes.dimension[node], boxes.at[node]
    if dimension < 0:
        yield rows, np.full(rows.size, boxes.left[node], dtype=np.int64), is_owned
        return
    above = points[rows, dimension] - at
    for side, is_here, is_near in (
        (boxes.left[node], above <= 0, above <= margin),
        (boxes.right[node], above > 0, above >= -margin),
    ):
        yield from _place(points, boxes, margin, int(side), rows[is_near], (is_owned & is_here)[is_near])
