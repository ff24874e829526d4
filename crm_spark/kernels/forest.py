"""A forest of regression trees as boxes: each leaf is a value, and the interval of each feature that leads to it.

A forest says of a customer the mean of what its trees say. It is read from the text that MLlib gives of its models,
in which numbers stand with all their digits: on Spark Connect there is no other way to the trees, and none is needed.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

LINE = re.compile(
    r"Tree \d+ \(weight (?P<weight>\S+)\):|(?P<side>If|Else) \(feature (?P<feature>\d+) (?:<=|>) (?P<at>\S+)\)"
    r"|Predict: (?P<value>\S+)"
)
Interval = tuple[float, float]


@dataclass(frozen=True)
class Leaf:
    """A leaf: what it adds to the forest's mean where each feature is above the low and not above the high end."""

    value: float
    within: dict[int, Interval]


@dataclass(frozen=True)
class Forest:
    """The leaves of all trees. A customer is in one leaf of each tree; their values add up to what the forest says."""

    leaves: Sequence[Leaf]
    features: int


def read(text: str, features: int) -> Forest:
    """Read a forest from `toDebugString` of MLlib's RandomForestRegressionModel.

    Conditions of one feature on the way to a leaf become one interval.

    Raises
    ------
    ValueError
        The text is none of trees with numeric features.
    """
    lines = [line.strip() for line in text.split("\n")[1:] if line.strip()]
    found = [match for line in lines if (match := LINE.fullmatch(line))]
    if not lines or len(found) < len(lines):
        raise ValueError("the text tells no forest of numeric features")
    total = sum(float(line["weight"]) for line in found if line["weight"])
    left = iter(found)
    weighted = [(float(line["weight"]) / total, leaf) for line in left for leaf in _leaves(left, {})]
    return Forest([Leaf(leaf.value * weight, leaf.within) for weight, leaf in weighted], features)


def _leaves(lines: Iterator[re.Match[str]], within: dict[int, Interval]) -> Iterator[Leaf]:
    """Give the leaves below a node, whose line is the next one."""
    line = next(lines)
    if line["value"]:
        yield Leaf(float(line["value"]), dict(sorted(within.items())))
        return
    feature, at = int(line["feature"]), float(line["at"])
    low, high = within.get(feature, (-inf, inf))
    yield from _leaves(lines, {**within, feature: (low, min(high, at))})
    next(lines)  # Else
    yield from _leaves(lines, {**within, feature: (max(low, at), high)})
