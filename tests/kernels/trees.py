"""Random trees, in the text that MLlib gives of its own, and what they say by walking down."""

from collections.abc import Sequence

import numpy as np

Tree = float | tuple  # a value, or (feature, threshold, tree below or at it, tree above it)


def grown(random: np.random.Generator, features: int, depth: int) -> Tree:
    if depth == 0 or random.random() < 0.15:
        return round(float(random.normal(50, 30)), 3)
    at = round(float(random.normal()), 1)
    return (
        int(random.integers(features)), at, grown(random, features, depth - 1), grown(random, features, depth - 1)
    )  # fmt: skip


def says(tree: Tree, customer: Sequence[float]) -> float:
    while isinstance(tree, tuple):
        feature, at, below, above = tree
        tree = below if customer[feature] <= at else above
    return tree


def text(trees: Sequence[Tree]) -> str:
    told = "".join(f"  Tree {number} (weight 1.0):\n{_lines(tree, 4)}" for number, tree in enumerate(trees))
    return f"RandomForestRegressionModel: uid=rfr, numTrees={len(trees)}, numFeatures=8\n{told}"


def _lines(tree: Tree, indent: int) -> str:
    if not isinstance(tree, tuple):
        return f"{' ' * indent}Predict: {tree!r}\n"
    feature, at, below, above = tree
    first, second = (
        f"{' ' * indent}{side} (feature {feature} {sign} {at!r})\n" for side, sign in (("If", "<="), ("Else", ">"))
    )
    return f"{first}{_lines(below, indent + 1)}{second}{_lines(above, indent + 1)}"
