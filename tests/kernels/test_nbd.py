from functools import partial

import mpmath
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.discrete.discrete_model import NegativeBinomial

from crm_spark.kernels import bgnbd, nbd
from crm_spark.kernels.histories import histories
from tests.kernels.buying import EXTREME, assert_exact, columns

AT = np.array([0.6, 8.0])


def _history(cdnow: pd.DataFrame) -> list[np.ndarray]:
    return [cdnow[name].to_numpy(float) for name in ("frequency", "recency", "T")]


def test_the_fit_of_cdnow_is_that_of_statsmodels(cdnow: pd.DataFrame) -> None:
    """Its regression on a constant, with the time as exposure: exp(constant) = r / alpha, its alpha = 1 / r."""
    x, t_x, T = _history(cdnow)
    found = nbd.fit(histories(x, t_x, T))
    theirs = NegativeBinomial(x, np.ones_like(x), exposure=T).fit(disp=0, gtol=1e-9, maxiter=500)
    r, rate = 1 / theirs.params[1], np.exp(theirs.params[0])
    assert found.parameters == pytest.approx([r, r / rate], rel=1e-5)
    # What the times of purchases say of the customer's own rate is the same in both.
    apart = theirs.llf - found.log_likelihood
    assert apart == pytest.approx((x * np.log(T) - _log_factorials(x)).sum(), rel=1e-9)
    # By the delta method.
    errors = theirs.bse[1] / theirs.params[1] ** 2
    assert found.standard_errors[0] == pytest.approx(errors, rel=1e-4)


def _log_factorials(x: np.ndarray) -> np.ndarray:
    return np.array([np.log(np.arange(1, count + 1)).sum() for count in x])


@pytest.mark.parametrize(("four", "history"), EXTREME)
def test_derivatives_are_exact_at_extremes(four: list[float], history: tuple[float, float, float]) -> None:
    found = nbd.derivatives(np.array(four[:2]), histories(*columns([history])))
    assert_exact(found, partial(_terms, history=history), four[:2])


def _terms(*at: mpmath.mpf, history: tuple[float, float, float]) -> list[mpmath.mpf]:
    (r, alpha), (x, _, T) = at, history
    return [mpmath.loggamma(r + x), -mpmath.loggamma(r), r * mpmath.log(alpha), -(r + x) * mpmath.log(alpha + T)]


def test_shares_are_those_of_the_negative_binomial_distribution_and_its_mean_is_expected() -> None:
    T = np.array([0.0, 3.0, 52.0])
    shares = nbd.purchase_shares(AT, T, 6)
    for row, until in zip(shares, T, strict=True):
        exact = stats.nbinom(AT[0], AT[1] / (AT[1] + until))
        assert row == pytest.approx([*exact.pmf(range(6)), exact.sf(5)], abs=1e-12)
    assert nbd.expected_by(AT, T) == pytest.approx([stats.nbinom(AT[0], AT[1] / (AT[1] + until)).mean() for until in T])


def test_expectations_and_draws_are_those_of_customers_who_live_by_it() -> None:
    random = np.random.default_rng(3)
    rate = random.gamma(AT[0], 1 / AT[1], 60_000)
    x, later, T = random.poisson(rate * 39.0), random.poisson(rate * 26.0), np.full(rate.size, 39.0)
    drawn = nbd.draw(AT, x, x * 0.0, T, 26.0, random)
    own = nbd.draw(np.repeat(AT[:, None], x.size, axis=1), x, x * 0.0, T, 26.0, random)
    expected = nbd.expected_purchases(AT, x, x * 0.0, T, 26.0)
    for chosen in (x == 0, x == 1, x > 4):
        for counts in (drawn[chosen], own[chosen], later[chosen]):
            assert counts.mean() == pytest.approx(expected[chosen].mean(), abs=4 * counts.std() / counts.size**0.5)
    assert nbd.expected_if_alive(AT, x, T, np.array([26.0]))[:, 0] == pytest.approx(expected)
    assert (nbd.probability_alive(AT, x, x * 0.0, T) == 1).all()


def test_it_is_what_other_models_come_to_where_nobody_leaves() -> None:
    history = np.array([[0.0, 3, 40], [0, 20, 50], [39, 39, 52]])
    nobody = np.array([*AT, 1e-9, 1e9])
    assert nbd.expected_purchases(AT, *history, 30.0) == pytest.approx(
        bgnbd.expected_purchases(nobody, *history, 30.0), rel=1e-6
    )
    discounted = nbd.expected_purchases(AT, *history, np.inf, discount=0.01)
    assert discounted == pytest.approx((AT[0] + history[0]) / (AT[1] + history[2]) / 0.01)
    among = histories(*history)
    assert nbd.log_likelihood(AT, among) == pytest.approx(bgnbd.log_likelihood(nobody, among), rel=1e-6)


def test_customers_who_do_not_differ_are_told_and_any_parameters_give_numbers() -> None:
    alike = nbd.fit(histories(*columns([(2.0, 10.0, 20.0)] * 50)))
    assert alike.reason == "the likelihood has no maximum: r and alpha grow without end"
    assert nbd.fit(histories(*columns([(0.0, 0.0, 20.0)] * 50))).reason == "no customer bought again"
    history = columns([(0.0, 0.0, 700.0), (5000.0, 729.0, 730.0)])
    for at in 10 ** np.random.default_rng(8).uniform(-4, 4, (100, 2)):
        value, gradient, hessian = nbd.derivatives(at, histories(*history))
        assert np.isfinite([value, *gradient, *hessian.ravel(), *nbd.expected_purchases(at, *history, 365.0)]).all()
