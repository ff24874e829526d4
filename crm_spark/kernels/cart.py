"""Trees that split levels in two sets, as MLlib learns them, read from the text that MLlib gives of its own.

On Spark Connect there is no other way to the nodes. The text tells splits and what a leaf decides, with all digits of
the thresholds; the counts of the nodes are those of the rows that are sent down (`kernels.c45.recounted`).

References
----------
Breiman, L., Friedman, J. H., Olshen, R. A., Stone, C. J. (1984). Classification and Regression Trees. Wadsworth.
"""

import re
from collections.abc import Iterator, Sequence
from math import nan

import numpy as np

from crm_spark.kernels.trees import Node

LINE = re.compile(
    r"(?P<side>If|Else) \(feature (?P<feature>\d+) "
    r"(?:(?:<=|>) (?P<at>\S+)|(?:not )?in \{(?P<levels>[\d.,]*)\})\)|Predict: (?P<decision>\S+)"
)


def read(text: str, levels: Sequence[int], classes: int) -> Node:
    """Read a tree from `toDebugString` of MLlib's DecisionTreeClassificationModel.

    Parameters
    ----------
    levels : sequence of int
        How many levels each feature has; 0 of a number.
    classes : int

    Returns
    -------
    Node
        The root. Nothing is counted yet.

    Raises
    ------
    ValueError
        The text is none of such a tree.
    """
    lines = [line.strip() for line in text.split("\n")[1:] if line.strip()]
    found = [match for line in lines if (match := LINE.fullmatch(line))]
    if not lines or len(found) < len(lines):
        raise ValueError("the text tells no tree")
    return _node(iter(found), levels, classes)


def _node(lines: Iterator[re.Match[str]], levels: Sequence[int], classes: int) -> Node:
    """Give the node whose line is the next one, and all below it."""
    line = next(lines)
    if line["decision"]:
        return Node(np.zeros((1, classes)))
    feature = int(line["feature"])
    threshold = nan if line["at"] is None else float(line["at"])
    first = {int(float(level)) for level in (line["levels"] or "").split(",") if level}
    branches = tuple(int(level not in first) for level in range(levels[feature])) if line["at"] is None else ()
    below = _node(lines, levels, classes)
    next(lines)  # the same split, told of those who go the other way
    return Node(np.zeros((2, classes)), feature, threshold, [below, _node(lines, levels, classes)], branches)
