from functools import partial
from pathlib import Path

import mpmath
import numpy as np
import pandas as pd
import pytest

from crm_spark.kernels import pareto_nbd
from crm_spark.kernels.histories import histories
from crm_spark.kernels.likelihood import limits
from tests.kernels.buying import EXTREME, assert_exact, columns

PUBLISHED = np.array([0.553, 10.578, 0.606, 11.669])


def test_the_fit_of_cdnow_is_the_published_one(exact_weeks: tuple[np.ndarray, ...]) -> None:
    found = pareto_nbd.fit(histories(*exact_weeks))
    assert found.parameters.round(3) == pytest.approx(PUBLISHED)
    assert found.log_likelihood == pytest.approx(-9594.976, abs=5e-4)
    assert found.standard_errors == pytest.approx([0.0476264, 0.8427222, 0.1872594, 6.2105448], rel=1e-3)


def test_each_customer_of_cdnow_is_predicted_as_published(cdnow: pd.DataFrame, cdnow_sample: Path) -> None:
    reference = pd.read_csv(cdnow_sample / "reference_predictions.csv").set_index("ID").loc[cdnow["ID"]]
    history = [cdnow[name].to_numpy(float) for name in ("frequency", "recency", "T")]
    expected = pareto_nbd.expected_purchases(PUBLISHED, *history, 39)
    assert np.abs(expected - reference["pnbd_expected_39w"].to_numpy()).max() < 1e-6
    assert expected.sum() == pytest.approx(1665.70, abs=0.005)
    alive = pareto_nbd.probability_alive(PUBLISHED, *history)
    assert np.abs(alive - reference["pnbd_p_alive"].to_numpy()).max() < 1e-6


@pytest.mark.parametrize(("at", "history"), EXTREME)
def test_derivatives_are_exact_at_extremes(at: list[float], history: tuple[float, float, float]) -> None:
    found = pareto_nbd.derivatives(np.array(at), histories(*columns([history])))
    assert_exact(found, partial(_terms, history=history), at)


def test_the_gradient_alone_is_that_beside_the_hessian_and_gives_the_same_limits(
    exact_weeks: tuple[np.ndarray, ...],
) -> None:
    among = histories(*exact_weeks)
    value, gradient = pareto_nbd.rise(among)(PUBLISHED)
    of_both = pareto_nbd.derivatives(PUBLISHED, among)
    assert value == of_both[0]
    assert (gradient == of_both[1]).all()
    found = pareto_nbd.fit(among)
    assert (limits(pareto_nbd.rise(among), found) == limits(pareto_nbd.likelihood(among), found)).all()


def _terms(*at: mpmath.mpf, history: tuple[float, float, float]) -> list[mpmath.mpf]:
    """One customer's log-likelihood as Fader and Hardie (2005) write it, with a difference of series."""
    (r, alpha, s, beta), (x, t_x, T) = at, history
    power = r + s + x
    gone = [_series(power, s + 1, (alpha - beta) / (alpha + t)) / (alpha + t) ** power for t in (t_x, T)]
    both = (alpha + T) ** -(r + x) * (beta + T) ** -s + s / power * (gone[0] - gone[1])
    scales = r * mpmath.log(alpha), s * mpmath.log(beta)
    return [mpmath.loggamma(r + x), -mpmath.loggamma(r), *scales, mpmath.log(both)]


def _series(a: mpmath.mpf, b: mpmath.mpf, z: mpmath.mpf) -> mpmath.mpf:
    """2F1(a, b; a + 1; z), where it is above 0 after Pfaff's transformation, which mpmath sums sooner."""
    if z <= 0:
        return mpmath.hyp2f1(a, b, a + 1, z)
    return (1 - z) ** -b * mpmath.hyp2f1(1, b, a + 1, z / (z - 1))


@pytest.mark.parametrize(("alpha", "beta"), [(10.0, 12.0), (12.0, 10.0), (10.0, 10.0), (1e-3, 5e3), (5e3, 1e-3)])
def test_who_is_alive_is_told_alike_on_both_sides_of_equal_scales(alpha: float, beta: float) -> None:
    """P(alive) by the integral over the time of leaving, as the model is defined."""
    r, s = 0.6, 0.7
    for x, t_x, T in [(0.0, 0.0, 39.0), (2.0, 30.43, 38.86), (120.0, 38.0, 39.0), (5000.0, 38.99, 39.0)]:
        with mpmath.workdps(30):
            alive = mpmath.mpf(alpha + T) ** -(r + x) * mpmath.mpf(beta + T) ** -s
            points = np.unique(t_x + (T - t_x) * np.append(0, np.logspace(-6, 0, 8)))
            gone = mpmath.quad(
                lambda y, x=x: s * (alpha + y) ** -(r + x) * (beta + y) ** -(s + 1), [mpmath.mpf(p) for p in points]
            )
            exact = float(alive / (alive + gone))
        found = pareto_nbd.probability_alive(np.array([r, alpha, s, beta]), *columns([(x, t_x, T)]))
        assert found == pytest.approx(exact, rel=1e-9)


def test_what_is_left_forever_is_what_the_confluent_function_tells() -> None:
    r, alpha, s, beta = PUBLISHED
    discount = np.log(1.15) / 52
    for history in [(2.0, 30.43, 38.86), (0.0, 0.0, 38.86), (20.0, 38.0, 40.0)]:
        one = columns([history])
        x, _, T = history
        alive = pareto_nbd.probability_alive(PUBLISHED, *one)
        confluent = float(mpmath.hyperu(s, s, discount * (beta + T)))
        residual = alive * (r + x) / (alpha + T) * discount ** (s - 1) * (beta + T) ** s * confluent
        found = pareto_nbd.expected_purchases(PUBLISHED, *one, np.inf, discount=discount)
        assert found == pytest.approx(residual, rel=1e-9)


def test_expectations_are_smooth_where_the_formula_has_a_pole() -> None:
    history = columns([(2.0, 30.0, 60.0)])
    near = [pareto_nbd.expected_purchases(np.array([0.7, 9, s, 8]), *history, 90.0)[0] for s in (1 - 1e-7, 1, 1 + 1e-7)]
    assert near[1] == pytest.approx((near[0] + near[2]) / 2, rel=1e-9)
    below, above = (pareto_nbd.expected_purchases(np.array([0.7, 9, s, 8]), *history, 90.0)[0] for s in (0.9, 1.1))
    assert above < near[1] < below


def test_who_just_bought_is_alive() -> None:
    bought = columns([(0.0, 0.0, 0.0), (3.0, 20.0, 20.0)])
    assert pareto_nbd.probability_alive(PUBLISHED, *bought) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    "at", [PUBLISHED, [0.5, 1e-3, 0.6, 1e3], [0.5, 1e3, 0.6, 1e-3], [1e3, 1e3, 1e3, 1e3], [2.0, 5.0, 1e3, 1e-2]]
)
def test_shares_of_purchases_are_those_of_the_process(at: list[float]) -> None:
    """The NBD while a customer stays, integrated over the time of leaving at 30 digits."""
    r, alpha, s, beta = at
    found = pareto_nbd.purchase_shares(np.array(at), np.array([39.0, 20.0, 39.0]), 12)
    assert (found[0] == found[2]).all()
    with mpmath.workdps(30):
        for x in (0, 1, 11):
            count = mpmath.binomial(r + x - 1, x)

            def nbd(y, x=x, count=count):
                return count * (alpha / (alpha + y)) ** r * (y / (alpha + y)) ** x

            def leaves(y, nbd=nbd):
                return nbd(y) * s / beta * (1 + y / beta) ** -(s + 1)

            points = [mpmath.mpf(0), *[mpmath.mpf(39) * mpmath.mpf(10) ** (-k / 2) for k in range(18, -1, -1)]]
            exact = mpmath.quad(leaves, points) + nbd(mpmath.mpf(39)) * (1 + mpmath.mpf(39) / beta) ** -s
            assert found[0, x] == pytest.approx(float(exact), abs=1e-10)
