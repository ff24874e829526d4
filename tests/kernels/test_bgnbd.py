from functools import partial
from math import lgamma, log
from pathlib import Path

import mpmath
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy.optimize import approx_fprime

from crm_spark.kernels import bgnbd
from crm_spark.kernels import histories as gathered
from crm_spark.kernels.histories import histories
from tests.kernels.buying import EXTREME, HISTORY, assert_exact, columns
from tests.kernels.derivatives import assert_belong_together

PUBLISHED = np.array([0.243, 4.414, 0.793, 2.426])


def test_the_fit_of_cdnow_is_the_published_one(exact_weeks: tuple[np.ndarray, ...]) -> None:
    found = bgnbd.fit(histories(*exact_weeks))
    assert found.parameters == pytest.approx([0.2425945, 4.4136019, 0.7929199, 2.4258881], rel=2e-5)
    assert found.log_likelihood == pytest.approx(-9582.429, abs=5e-4)
    expected = bgnbd.expected_purchases(found.parameters, *exact_weeks, 39)
    assert expected.sum() == pytest.approx(1653.41, abs=0.01)


def test_each_customer_of_cdnow_is_predicted_as_published(cdnow: pd.DataFrame, cdnow_sample: Path) -> None:
    reference = pd.read_csv(cdnow_sample / "reference_predictions.csv").set_index("ID").loc[cdnow["ID"]]
    history = [cdnow[name].to_numpy(float) for name in ("frequency", "recency", "T")]
    expected = bgnbd.expected_purchases(PUBLISHED, *history, 39)
    assert np.abs(expected - reference["bgnbd_expected_39w"].to_numpy()).max() < 1e-6
    assert expected.sum() == pytest.approx(1653.95, abs=0.005)
    alive = bgnbd.probability_alive(PUBLISHED, *history)
    assert np.abs(alive - reference["bgnbd_p_alive"].to_numpy()).max() < 1e-6


def test_standard_errors_are_those_of_the_likelihood_as_the_paper_writes_it(cdnow: pd.DataFrame) -> None:
    history = [cdnow[name].to_numpy(float) for name in ("frequency", "recency", "T")]
    found = bgnbd.fit(histories(*history))

    def gradient(at: np.ndarray) -> np.ndarray:
        return approx_fprime(at, lambda parameters: _paper(parameters, *history), 1e-4 * at)

    hessian = np.array([approx_fprime(found.parameters, lambda at, i=i: gradient(at)[i], 1e-3) for i in range(4)])
    errors = np.sqrt(np.diag(np.linalg.inv(-(hessian + hessian.T) / 2)))
    assert found.standard_errors == pytest.approx(errors, rel=0.02)


def _paper(parameters: np.ndarray, x: np.ndarray, t_x: np.ndarray, T: np.ndarray) -> float:
    """Equation (7), term by term."""
    r, alpha, a, b = parameters
    first = special.beta(a, b + x) / special.beta(a, b) * special.gamma(r + x) / special.gamma(r)
    alive = first * alpha**r / (alpha + T) ** (r + x)
    later = np.maximum(x, 1)
    gone = special.beta(a + 1, b + later - 1) / special.beta(a, b) * special.gamma(r + x) / special.gamma(r)
    return float(np.log(alive + np.where(x > 0, gone * alpha**r / (alpha + t_x) ** (r + x), 0)).sum())


@settings(deadline=None, max_examples=40)
@given(st.lists(HISTORY, min_size=1, max_size=8), st.tuples(*[st.floats(0.2, 5)] * 4))
def test_value_gradient_and_hessian_belong_together(told: list[tuple[float, float, float]], at: tuple) -> None:
    among = histories(*columns(told))
    assert bgnbd.log_likelihood(np.array(at), among) == pytest.approx(
        sum(_plain(at, *history) for history in told), rel=1e-9, abs=1e-9
    )
    assert_belong_together(partial(bgnbd.derivatives, among=among), np.array(at))


def _plain(at: tuple, x: float, t_x: float, T: float) -> float:
    """One customer's log-likelihood, in logarithms of gamma functions."""
    r, alpha, a, b = at
    first = lgamma(r + x) - lgamma(r) + r * log(alpha) + lgamma(a + b) + lgamma(b + x) - lgamma(b) - lgamma(a + b + x)
    alive = -(r + x) * log(alpha + T)
    gone = log(a / (b + x - 1)) - (r + x) * log(alpha + t_x) if x else -np.inf
    return first + float(np.logaddexp(alive, gone))


@pytest.mark.parametrize(("at", "history"), EXTREME)
def test_derivatives_are_exact_at_extremes(at: list[float], history: tuple[float, float, float]) -> None:
    found = bgnbd.derivatives(np.array(at), histories(*columns([history])))
    assert_exact(found, partial(_terms, history=history), at)


def _terms(*at: mpmath.mpf, history: tuple[float, float, float]) -> list[mpmath.mpf]:
    """One customer's log-likelihood, equation (7)."""
    (r, alpha, a, b), (x, t_x, T) = at, history
    gammas = [(1, a + b), (-1, a + b + x), (1, b + x), (-1, b), (1, r + x), (-1, r)]
    both = (alpha + T) ** -(r + x) + (a / (b + x - 1) * (alpha + t_x) ** -(r + x) if x else 0)
    return [sign * mpmath.loggamma(of) for sign, of in gammas] + [r * mpmath.log(alpha), mpmath.log(both)]


@settings(deadline=None, max_examples=40)
@given(st.lists(HISTORY, min_size=1, max_size=8), st.floats(1, 200))
def test_expectations_are_those_of_the_hypergeometric_formula(told: list, horizon: float) -> None:
    r, alpha, a, b = 0.7, 9.0, 0.6, 3.0
    x, t_x, T = columns(told)
    z = horizon / (alpha + T + horizon)
    series = special.hyp2f1(r + x, b + x, a + b + x - 1, z)
    fraction = (a + b + x - 1) / (a - 1) * (1 - ((alpha + T) / (alpha + T + horizon)) ** (r + x) * series)
    odds = np.where(x > 0, a / np.where(x > 0, b + x - 1, 1) * ((alpha + T) / (alpha + t_x)) ** (r + x), 0)
    found = bgnbd.expected_purchases(np.array([r, alpha, a, b]), x, t_x, T, horizon)
    assert found == pytest.approx(fraction / (1 + odds), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("at", "history"), EXTREME)
def test_expectations_are_exact_at_extremes(at: list[float], history: tuple[float, float, float]) -> None:
    (r, alpha, a, b), (x, t_x, T), horizon = at, history, 52.0
    with mpmath.workdps(40):
        # Equation (10).
        last, until = mpmath.mpf(a) + b + x - 1, mpmath.mpf(alpha) + T
        series = mpmath.hyp2f1(r + x, b + x, last, horizon / (until + horizon))
        exact = last / (mpmath.mpf(a) - 1) * (1 - (until / (until + horizon)) ** (r + x) * series)
        odds = a / (b + x - 1) * mpmath.power((mpmath.mpf(alpha) + T) / (mpmath.mpf(alpha) + t_x), r + x) if x else 0
        exact = float(exact / (1 + odds))
    assert bgnbd.expected_purchases(np.array(at), *columns([history]), horizon) == pytest.approx(exact, rel=1e-8)


def test_discounted_expectations_are_those_of_the_rate_of_purchases() -> None:
    r, alpha, a, b = 0.7, 9.0, 0.6, 3.0
    for x, t_x, T in [(0.0, 0.0, 39.0), (3.0, 20.0, 39.0), (60.0, 39.0, 40.0)]:
        (alive,) = bgnbd.probability_alive(np.array([r, alpha, a, b]), *columns([(x, t_x, T)]))

        def bought(until: float, x: float = x, T: float = T) -> mpmath.mpf:
            return (r + x) / (alpha + T) * mpmath.hyp2f1(r + x + 1, a, a + b + x, -until / (alpha + T))

        for horizon, points in ((52.0, [0, 10, 52]), (np.inf, [0, 10, 100, 1000, 10_000])):
            exact = mpmath.quad(lambda until, bought=bought: mpmath.exp(-0.005 * until) * bought(until), points)
            found = bgnbd.expected_purchases(
                np.array([r, alpha, a, b]), *columns([(x, t_x, T)]), horizon, discount=0.005
            )
            assert found == pytest.approx(float(alive * exact), rel=1e-7)


def test_expectations_stand_where_the_formula_has_a_pole_and_for_those_who_buy_daily() -> None:
    near = [bgnbd.expected_purchases(np.array([0.7, 9, a, 3]), *np.array([[2.0], [30], [60]]), 90.0)[0] for a in
            (1 - 1e-7, 1, 1 + 1e-7)]  # fmt: skip
    assert near[1] == pytest.approx((near[0] + near[2]) / 2, rel=1e-7)
    daily = bgnbd.expected_purchases(np.array([5, 5, 0.01, 3000]), *np.array([[1825.0], [1825], [1825]]), 10.0)[0]
    assert daily == pytest.approx(10 * 1830 / 1830, rel=0.01)


def test_a_fit_begun_on_few_histories_ends_where_one_on_all_does(
    cdnow: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    among = histories(*[cdnow[name].to_numpy(float) for name in ("frequency", "recency", "T")])
    whole = bgnbd.fit(among)
    monkeypatch.setattr(gathered, "FEW", 100)
    assert bgnbd.fit(among).parameters == pytest.approx(whole.parameters, rel=1e-9)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ([], "no customer bought again"),
        ([(0.0, 0.0, 30.0)], "no customer bought again"),
        ([(2.0, 10.0, 20.0)], "no maximum"),
        ([(2.0, 10.0, 20.0)] * 50, "no maximum"),
        ([(300.0, 350.0, 365.0)] * 3 + [(0.0, 0.0, 365.0)] * 5, "no maximum"),
    ],
)
def test_what_cannot_be_estimated_has_a_reason(told: list, reason: str) -> None:
    found = bgnbd.fit(histories(*columns(told)))
    assert reason in (found.reason or "")
    assert np.isnan(found.parameters).all()
