"""Small symmetric systems, one for each of many series, solved side by side.

A matrix is a list of rows below and on the diagonal, and each entry a vector over the series, or None where it is zero
by structure. What is done to one series does not depend on which others are there: no entry of a vector meets
another, and there is no library whose blocks would depend on how many there are.
"""

from collections.abc import Sequence

import numpy as np

from crm_spark.kernels.likelihood import Floats

Entry = Floats | None
Lower = list[list[Entry]]

FACTORS = 8  # multiplied before their logarithm is taken


def plus(one: Entry, other: Entry, sign: float = 1.0) -> Entry:
    """Add two entries, the other one with a sign."""
    if other is None:
        return one
    if one is None:
        return other if sign > 0 else -other
    return one + other if sign > 0 else one - other


def times(one: Entry, other: Entry) -> Entry:
    """Multiply two entries."""
    return None if one is None or other is None else one * other


def factor(matrix: Lower) -> tuple[Lower, list[Floats]]:
    """Write a symmetric matrix as L D L', with ones on the diagonal of L.

    Returns
    -------
    (lower, pivots)
        Rows of L left of the diagonal, and D. The matrix is positive definite where all pivots are positive.
    """
    lower: Lower = []
    pivots: list[Floats] = []
    for i, row in enumerate(matrix):
        scaled: list[Entry] = []  # L D
        for j in range(i):
            entry = row[j]
            for k in range(j):
                entry = plus(entry, times(scaled[k], lower[j][k]), -1)
            scaled.append(entry)
        left = [None if entry is None else entry / pivot for entry, pivot in zip(scaled, pivots, strict=True)]
        pivot = row[i]
        for entry, multiplier in zip(scaled, left, strict=True):
            pivot = plus(pivot, times(entry, multiplier), -1)
        assert pivot is not None  # noqa: S101 - a diagonal is never zero by structure
        lower.append(left)
        pivots.append(pivot)
    return lower, pivots


def forward(lower: Lower, right: Sequence[Entry]) -> list[Entry]:
    """Solve L x = right."""
    x: list[Entry] = []
    for row, entry in zip(lower, right, strict=True):
        for multiplier, known in zip(row, x, strict=True):
            entry = plus(entry, times(multiplier, known), -1)  # noqa: PLW2901 - it is what is left of it
        x.append(entry)
    return x


def backward(lower: Lower, right: Sequence[Entry]) -> list[Entry]:
    """Solve L' x = right."""
    x = list(right)
    for i in reversed(range(len(x))):
        for j in range(i):
            x[j] = plus(x[j], times(lower[i][j], x[i]), -1)
    return x


def solve(lower: Lower, pivots: Sequence[Floats], right: Sequence[Entry]) -> list[Entry]:
    """Solve L D L' x = right."""
    half = forward(lower, right)
    return backward(
        lower, [None if entry is None else entry / pivot for entry, pivot in zip(half, pivots, strict=True)]
    )


def squares(lower: Lower, pivots: Sequence[Floats], right: Sequence[Entry]) -> Floats:
    """Give right' (L D L')^-1 right."""
    total = np.zeros(np.shape(pivots[0]))
    for z, pivot in zip(forward(lower, right), pivots, strict=True):
        if z is not None:
            total += z * z / pivot
    return total


def inverse_diagonal(lower: Lower, pivots: Sequence[Floats]) -> Floats:
    """Give the diagonal of the inverse of L D L', a row each."""
    one = np.ones(np.shape(pivots[0]))
    units = ([one if i == at else None for i in range(len(pivots))] for at in range(len(pivots)))
    return np.stack([squares(lower, pivots, unit) for unit in units])


def log_determinant(pivots: Sequence[Floats]) -> Floats | float:
    """Add up the logarithms of pivots."""
    total: Floats | float = 0.0
    for at in range(0, len(pivots), FACTORS):
        product = pivots[at]
        for pivot in pivots[at + 1 : at + FACTORS]:
            product = product * pivot
        total = total + np.log(product)
    return total
