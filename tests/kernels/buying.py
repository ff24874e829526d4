"""What the tests of buying models ask of each: customers to ask about, the processes themselves, 40 digits."""

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement

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
    ([0.6, 10.0, 0.6, 10.0], (2.0, 30.43, 38.86)),
    ([0.6, 10.0, 0.6, 10.0 + 1e-9], (2.0, 30.43, 38.86)),
]


def columns(histories: list[tuple[float, float, float]]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(column) for column in zip(*histories, strict=True)) if histories else (np.empty(0),) * 3


def assert_exact(found: tuple[float, np.ndarray, np.ndarray], terms: Sequence[Callable], at: list[float]) -> None:
    """Value, gradient and Hessian are those of a sum of terms, by differences of 40 digits.

    They may be off by 1e-8 of 1 and the sizes of the terms.
    """
    value, gradient, hessian = found
    assert (hessian == hessian.T).all()
    once = np.eye(len(at), dtype=int)
    pairs = list(combinations_with_replacement(range(len(at)), 2))
    ours = [value, *gradient, *[hessian[pair] for pair in pairs]]
    orders = [0 * once[0], *once, *[once[i] + once[j] for i, j in pairs]]
    with mpmath.workdps(40):
        point = [mpf(one) for one in at]
        for i, order in zip(ours, orders, strict=True):
            exact = [mpmath.diff(term, point, tuple(map(int, order))) for term in terms]
            assert abs(i - sum(exact)) <= 1e-8 * (1 + sum(map(abs, exact))), order


def lived(model: str, parameters: np.ndarray, n: int, T: float, horizon: float, seed: int) -> tuple[np.ndarray, ...]:
    """Let customers buy and leave as the model says: x, t_x, T and their purchases in the horizon after T."""
    random = np.random.default_rng(seed)
    r, alpha, second, third = parameters
    rate = random.gamma(r, 1 / alpha, n)
    leaves, ends = np.zeros(n), np.full(n, np.inf)
    if model == "pareto_nbd":
        ends = random.exponential(1 / random.gamma(second, 1 / third, n))
    else:
        leaves = random.beta(second, third, n)
    is_there = random.random(n) > leaves if model == "mbgnbd" else np.ones(n, bool)
    x, t_x, later, now = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    while is_there.any():
        now = np.where(is_there, now + random.exponential(1 / rate), now)
        is_there &= now <= np.minimum(T + horizon, ends)
        is_seen = is_there & (now <= T)
        x, t_x, later = x + is_seen, np.where(is_seen, now, t_x), later + (is_there & (now > T))
        is_there &= random.random(n) > leaves
    return x, t_x, np.full(n, T), later
