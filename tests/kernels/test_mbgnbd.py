from functools import partial

import mpmath
import numpy as np
import pandas as pd
import pytest

from crm_spark.kernels import bgnbd, mbgnbd
from crm_spark.kernels.histories import histories
from tests.kernels.buying import EXTREME, assert_exact, columns

FITTED = np.array([0.5248, 6.1830, 0.8914, 1.6140])


def test_the_fit_of_cdnow_is_that_of_lifetimes(cdnow: pd.DataFrame) -> None:
    found = mbgnbd.fit(histories(*[cdnow[name].to_numpy(float) for name in ("frequency", "recency", "T")]))
    assert found.parameters == pytest.approx(FITTED, abs=6e-5)


@pytest.mark.parametrize(("at", "history"), EXTREME)
def test_derivatives_are_exact_at_extremes(at: list[float], history: tuple[float, float, float]) -> None:
    found = mbgnbd.derivatives(np.array(at), histories(*columns([history])))
    assert_exact(found, partial(_terms, history=history), at)


def _terms(*at: mpmath.mpf, history: tuple[float, float, float]) -> list[mpmath.mpf]:
    """One customer's log-likelihood, as Batislam and others write it."""
    (r, alpha, a, b), (x, t_x, T) = at, history
    gammas = [(1, a + b), (-1, a + b + x + 1), (1, b + x + 1), (-1, b), (1, r + x), (-1, r)]
    both = (alpha + T) ** -(r + x) + a / (b + x) * (alpha + t_x) ** -(r + x)
    return [sign * mpmath.loggamma(of) for sign, of in gammas] + [r * mpmath.log(alpha), mpmath.log(both)]


def test_expectations_are_those_of_the_hypergeometric_formula() -> None:
    r, alpha, a, b = FITTED
    x, t_x, T, horizon = *np.array([[0.0, 3, 12], [0, 20, 36], [30, 39, 39]]), 52.0
    for one in range(3):
        shape, k, z = r + x[one], x[one] + 1, horizon / (alpha + T[one] + horizon)
        # Equation (10) of BG/NBD with one chance to leave more.
        power = ((alpha + T[one]) / (alpha + T[one] + horizon)) ** shape
        series = float(mpmath.hyp2f1(shape, b + k, a + b + k - 1, z))
        odds = a / (b + x[one]) * ((alpha + T[one]) / (alpha + t_x[one])) ** shape
        exact = (a + b + k - 1) / (a - 1) * (1 - power * series) / (1 + odds)
        found = mbgnbd.expected_purchases(FITTED, x[[one]], t_x[[one]], T[[one]], horizon)
        assert found == pytest.approx(exact, rel=1e-9)


def test_a_new_customer_may_have_left_already() -> None:
    none = np.zeros(1)
    assert mbgnbd.probability_alive(FITTED, none, none, none) == pytest.approx(1.6140 / (0.8914 + 1.6140))
    assert bgnbd.probability_alive(FITTED, none, none, none) == 1
