"""What the tests of buying models ask of each: customers to ask about, 60 digits."""

from collections.abc import Callable
from itertools import combinations

import mpmath
import numpy as np
from hypothesis import strategies as st
from mpmath import mpf

HISTORY = st.tuples(st.integers(0, 30), st.floats(0.1, 1), st.floats(1, 400)).map(
    lambda told: (float(told[0]), told[1] * told[2] if told[0] else 0.0, told[2])
)
EXTREME = [
    # parameters, history
    ([1e-4, 1e-4, 1e-4, 1e-4], (3.0, 2.0, 5.0)),
    ([1e4, 1e4, 1e4, 1e4], (3.0, 2.0, 5.0)),
    ([1e-4, 1e4, 1e4, 1e-4], (5000.0, 700.0, 730.0)),
    ([1e4, 1e-4, 1e-4, 1e4], (5000.0, 700.0, 730.0)),
    ([0.5, 1e-4, 0.6, 1e4], (0.0, 0.0, 39.0)),
    ([0.5, 1e4, 0.6, 1e-4], (0.0, 0.0, 39.0)),
    ([0.44, 0.0323, 0.058, 0.0332], (0.0, 0.0, 10.0)),
    ([0.6, 10.0, 0.6, 10.0], (2.0, 30.43, 38.86)),
    ([0.6, 10.0, 0.6, 10.0 + 1e-9], (2.0, 30.43, 38.86)),
]


def columns(histories: list[tuple[float, float, float]]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(column) for column in zip(*histories, strict=True)) if histories else (np.empty(0),) * 3


def assert_exact(found: tuple[float, np.ndarray, np.ndarray], terms: Callable, at: list[float]) -> None:
    """Value, gradient and Hessian are those of a sum of terms, by differences of 60 digits.

    They may be off by 1e-8 of 1 and the sizes of the terms.
    """
    value, gradient, hessian = found
    assert (hessian == hessian.T).all()
    with mpmath.workdps(60):
        steps = [mpf(10) ** -15 * mpf(one) for one in at]

        def near(i: int, up: int, j: int = 0, right: int = 0) -> np.ndarray:
            moved = [up * (k == i) + right * (k == j) for k in range(len(at))]
            return np.array(terms(*[mpf(one) + way * step for one, way, step in zip(at, moved, steps, strict=True)]))

        here = near(0, 0)
        exact = [(value, here)]
        for i, step in enumerate(steps):
            up, down = near(i, 1), near(i, -1)
            exact += [(gradient[i], (up - down) / (2 * step)), (hessian[i, i], (up + down - 2 * here) / step**2)]
        for i, j in combinations(range(len(at)), 2):
            around = near(i, 1, j, 1) + near(i, -1, j, -1) - near(i, 1, j, -1) - near(i, -1, j, 1)
            exact.append((hessian[i, j], around / (4 * steps[i] * steps[j])))
        off = [float(abs(ours - sum(parts)) / (1 + sum(abs(parts)))) for ours, parts in exact]
    assert max(off) <= 1e-8, off
