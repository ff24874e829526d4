from math import lgamma, log
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy.optimize import approx_fprime

from crm_spark.kernels import bgnbd
from tests.kernels.derivatives import assert_belong_together

PUBLISHED = np.array([0.243, 4.414, 0.793, 2.426])
HISTORY = st.tuples(st.integers(0, 30), st.floats(0.1, 1), st.floats(1, 400)).map(
    lambda told: (float(told[0]), told[1] * told[2] if told[0] else 0.0, told[2])
)


def _columns(histories: list[tuple[float, float, float]]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(column) for column in zip(*histories, strict=True))


@pytest.fixture(scope="module")
def cdnow(cdnow_sample: Path) -> pd.DataFrame:
    return pd.read_csv(cdnow_sample / "cdnow_customers_summary.csv")


@pytest.fixture(scope="module")
def exact_weeks(cdnow_sample: Path) -> tuple[np.ndarray, ...]:
    """The summary from the raw file, in exact weeks: one purchase for a customer and day."""
    names = ["master", "customer", "day", "discs", "dollars"]
    raw = pd.read_csv(cdnow_sample / "CDNOW_sample.txt", sep=r"\s+", header=None, names=names)
    days = pd.to_datetime(raw["day"], format="%Y%m%d")
    end = pd.Timestamp("1997-09-30")
    bought = days[days <= end].groupby(raw["customer"]).agg(["nunique", "min", "max"])
    weeks = [(late - bought["min"]).dt.days.to_numpy() / 7 for late in (bought["max"], pd.Series(end, bought.index))]
    return bought["nunique"].to_numpy(float) - 1, *weeks


def test_the_fit_of_cdnow_is_the_published_one(exact_weeks: tuple[np.ndarray, ...]) -> None:
    found = bgnbd.fit(bgnbd.histories(*exact_weeks))
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
    found = bgnbd.fit(bgnbd.histories(*history))

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
def test_value_gradient_and_hessian_belong_together(histories: list[tuple[float, float, float]], at: tuple) -> None:
    likelihood = bgnbd._Likelihood(bgnbd.histories(*_columns(histories)))
    assert likelihood.derive(np.array(at))[0] == pytest.approx(
        sum(_plain(at, *history) for history in histories), rel=1e-9, abs=1e-9
    )
    assert_belong_together(likelihood.derive, np.array(at))


def _plain(at: tuple, x: float, t_x: float, T: float) -> float:
    """One customer's log-likelihood, in logarithms of gamma functions."""
    r, alpha, a, b = at
    first = lgamma(r + x) - lgamma(r) + r * log(alpha) + lgamma(a + b) + lgamma(b + x) - lgamma(b) - lgamma(a + b + x)
    alive = -(r + x) * log(alpha + T)
    gone = log(a / (b + x - 1)) - (r + x) * log(alpha + t_x) if x else -np.inf
    return first + float(np.logaddexp(alive, gone))


@settings(deadline=None, max_examples=40)
@given(st.lists(HISTORY, min_size=1, max_size=8), st.floats(1, 200))
def test_expectations_are_those_of_the_hypergeometric_formula(histories: list, horizon: float) -> None:
    r, alpha, a, b = 0.7, 9.0, 0.6, 3.0
    x, t_x, T = _columns(histories)
    z = horizon / (alpha + T + horizon)
    series = special.hyp2f1(r + x, b + x, a + b + x - 1, z)
    fraction = (a + b + x - 1) / (a - 1) * (1 - ((alpha + T) / (alpha + T + horizon)) ** (r + x) * series)
    odds = np.where(x > 0, a / np.where(x > 0, b + x - 1, 1) * ((alpha + T) / (alpha + t_x)) ** (r + x), 0)
    found = bgnbd.expected_purchases(np.array([r, alpha, a, b]), x, t_x, T, horizon)
    assert found == pytest.approx(fraction / (1 + odds), rel=1e-6, abs=1e-9)


def test_expectations_stand_where_the_formula_has_a_pole_and_for_those_who_buy_daily() -> None:
    near = [bgnbd.expected_purchases(np.array([0.7, 9, a, 3]), *np.array([[2.0], [30], [60]]), 90.0)[0] for a in
            (1 - 1e-7, 1, 1 + 1e-7)]  # fmt: skip
    assert near[1] == pytest.approx((near[0] + near[2]) / 2, rel=1e-7)
    daily = bgnbd.expected_purchases(np.array([5, 5, 0.01, 3000]), *np.array([[1825.0], [1825], [1825]]), 10.0)[0]
    assert daily == pytest.approx(10 * 1830 / 1830, rel=0.01)


@settings(deadline=None, max_examples=40)
@given(st.lists(HISTORY, min_size=1, max_size=8), st.floats(1, 3650))
def test_who_is_alive_is_a_probability_and_discounting_takes_away(histories: list, horizon: float) -> None:
    x, t_x, T = _columns(histories)
    alive = bgnbd.probability_alive(PUBLISHED, x, t_x, T)
    assert ((alive >= 0) & (alive <= 1)).all()
    assert (alive[x == 0] == 1).all()
    plain = bgnbd.expected_purchases(PUBLISHED, x, t_x, T, horizon)
    less = bgnbd.expected_purchases(PUBLISHED, x, t_x, T, horizon, discount=0.0003)
    assert (less <= plain * (1 + 1e-12)).all()
    assert (less >= plain * np.exp(-0.0003 * horizon) * (1 - 1e-12)).all()


def test_a_discounted_purchase_counts_by_its_day() -> None:
    history = np.array([[3.0], [40], [60]])
    days = np.arange(0, 366)
    until = [bgnbd.expected_purchases(PUBLISHED, *history, float(day))[0] if day else 0.0 for day in days]
    by_day = np.diff(until) * np.exp(-0.0005 * (days[1:] - 0.5))
    found = bgnbd.expected_purchases(PUBLISHED, *history, 365.0, discount=0.0005)[0]
    assert found == pytest.approx(by_day.sum(), rel=1e-6)


def test_weights_stand_for_customers_and_the_unit_of_time_does_not_matter(cdnow: pd.DataFrame) -> None:
    x, t_x, T = (cdnow[name].to_numpy(float)[:500] for name in ("frequency", "recency", "T"))
    once = bgnbd.fit(bgnbd.histories(x, t_x, T, customers=np.full(500, 3.0)))
    thrice = bgnbd.fit(bgnbd.histories(*[np.tile(column, 3) for column in (x, t_x, T)]))
    in_days = bgnbd.fit(bgnbd.histories(x, 7 * t_x, 7 * T))
    assert once.parameters == pytest.approx(thrice.parameters, rel=1e-9)
    assert once.standard_errors * np.sqrt(3) == pytest.approx(in_days.standard_errors / [1, 7, 1, 1], rel=1e-6)
    assert in_days.parameters == pytest.approx(once.parameters * [1, 7, 1, 1], rel=1e-6)


def test_a_fit_begun_on_few_histories_ends_where_one_on_all_does(
    cdnow: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    among = bgnbd.histories(*[cdnow[name].to_numpy(float) for name in ("frequency", "recency", "T")])
    whole = bgnbd.fit(among)
    monkeypatch.setattr(bgnbd, "FEW", 200)
    assert bgnbd.fit(among).parameters == pytest.approx(whole.parameters, rel=1e-9)


@pytest.mark.parametrize(
    ("histories", "reason"),
    [
        ([], "no customer bought again"),
        ([(0.0, 0.0, 30.0)], "no customer bought again"),
        ([(2.0, 10.0, 20.0)], "no maximum"),
        ([(2.0, 10.0, 20.0)] * 50, "no maximum"),
        ([(300.0, 350.0, 365.0)] * 3 + [(0.0, 0.0, 365.0)] * 5, "no maximum"),
    ],
)
def test_what_cannot_be_estimated_has_a_reason(histories: list, reason: str) -> None:
    columns = _columns(histories) if histories else (np.empty(0),) * 3
    found = bgnbd.fit(bgnbd.histories(*columns))
    assert reason in (found.reason or "")
    assert np.isnan(found.parameters).all()


def test_shares_are_those_of_simulated_customers_and_sum_up_to_their_mean() -> None:
    random, n = np.random.default_rng(11), 200_000
    r, alpha, a, b = 1.2, 20.0, 0.8, 3.0
    rate, leaves = random.gamma(r, 1 / alpha, n), random.beta(a, b, n)
    bought, now, is_there = np.zeros(n, int), np.zeros(n), np.ones(n, bool)
    while is_there.any():
        now = np.where(is_there, now + random.exponential(1 / rate), now)
        is_there &= now <= 60.0
        bought += is_there
        is_there &= random.random(n) > leaves
    (shares,) = bgnbd.purchase_shares(np.array([r, alpha, a, b]), np.array([60.0]), 6)
    seen = np.bincount(np.minimum(bought, 6), minlength=7) / n
    assert shares == pytest.approx(seen, abs=4 * np.sqrt(0.25 / n))
    assert shares.sum() == pytest.approx(1)


def test_an_answer_does_not_depend_on_who_else_is_asked_about() -> None:
    random = np.random.default_rng(4)
    x = random.integers(0, 30, 3000).astype(float)
    t_x = random.random(3000) * 300 * (x > 0)
    T = t_x + random.random(3000) * 100
    asked = bgnbd.expected_purchases(PUBLISHED, x, t_x, T, 90.0, discount=0.001)
    few = random.permutation(3000)[:70]
    assert (bgnbd.expected_purchases(PUBLISHED, x[few], t_x[few], T[few], 90.0, discount=0.001) == asked[few]).all()


@settings(deadline=None, max_examples=60)
@given(st.lists(HISTORY, min_size=1, max_size=40), st.floats(1, 3650))
def test_any_customers_end_in_numbers_or_a_reason(histories: list, horizon: float) -> None:
    columns = _columns(histories)
    found = bgnbd.fit(bgnbd.histories(*columns))
    assert found.reason or np.isfinite([*found.parameters, *found.standard_errors, found.log_likelihood]).all()
    parameters = PUBLISHED if found.reason else found.parameters
    expected = bgnbd.expected_purchases(parameters, *columns, horizon, discount=0.0003)
    assert (np.isfinite(expected) & (expected >= 0)).all()
