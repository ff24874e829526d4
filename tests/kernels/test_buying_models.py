"""What holds of every model of buying."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy.stats import chi2

from benchmarks.customers import PUBLISHED, lived
from crm_spark.kernels import bgnbd, pareto_nbd
from crm_spark.kernels.histories import histories
from crm_spark.kernels.likelihood import limits
from tests.kernels.buying import HISTORY, columns

CASES = [pytest.param(model, np.array(at), id=model.__name__.rpartition(".")[2]) for model, at in PUBLISHED.items()]
of_each_model = pytest.mark.parametrize(("model", "at"), CASES)


@of_each_model
def test_draws_and_expectations_are_those_of_customers_who_live_by_the_model(model, at) -> None:
    """What customers of the process buy later is spread as draws from their histories are."""
    T = np.full(40_000, 39.0)
    x, t_x, later = lived(model, at, T, 26.0, seed=3)
    drawn = model.draw(at, x, t_x, T, 26.0, np.random.default_rng(5))
    bins = [np.bincount(np.minimum(counts, 8).astype(int), minlength=9) for counts in (drawn, later)]
    assert ((bins[0] - bins[1]) ** 2 / (bins[0] + bins[1])).sum() < chi2.ppf(0.9999, 9)
    for chosen in (x == 0, x == 1, (x > 1) & (t_x < 20), (x > 1) & (t_x >= 20)):
        expected = model.expected_purchases(at, x, t_x, T, 26.0)[chosen]
        for counts in (drawn[chosen], later[chosen]):
            assert counts.mean() == pytest.approx(expected.mean(), abs=4 * counts.std() / np.sqrt(counts.size))
        assert (drawn[chosen] > 0).mean() <= model.probability_alive(at, x, t_x, T)[chosen].mean() + 0.01


@of_each_model
def test_shares_and_expectations_of_new_customers_are_those_who_live_by_the_model(model, at) -> None:
    n = 40_000
    x, _, later = lived(model, at, np.full(n, 30.0), 60.0, seed=11)
    (shares,) = model.purchase_shares(at, np.array([30.0]), 6)
    assert shares == pytest.approx(np.bincount(np.minimum(x, 6).astype(int), minlength=7) / n, abs=2 / np.sqrt(n))
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    none, first, both = model.expected_by(at, np.array([0.0, 30.0, 90.0]))
    assert none == 0
    assert first == pytest.approx(x.mean(), abs=4 * x.std() / np.sqrt(n))
    assert both == pytest.approx((x + later).mean(), abs=4 * (x + later).std() / np.sqrt(n))
    (many,) = model.purchase_shares(at, np.array([30.0]), 400)
    assert many @ np.arange(401) == pytest.approx(first, rel=1e-6)


@of_each_model
def test_expectations_are_those_of_who_is_alive_times_the_probability_to_be(model, at) -> None:
    x, t_x, T = np.array([0.0, 2.0, 7.0]), np.array([0.0, 20.0, 38.0]), np.array([39.0, 39.0, 52.0])
    alive, times = model.probability_alive(at, x, t_x, T), np.array([4.0, 26.0, 52.0])
    together = alive[:, None] * model.expected_if_alive(at, x, T, times)
    for column, time in enumerate(times):
        assert together[:, column] == pytest.approx(model.expected_purchases(at, x, t_x, T, time), rel=1e-9)


@of_each_model
def test_each_row_may_have_parameters_of_its_own(model, at) -> None:
    x, t_x, T = np.array([0.0, 2.0, 7.0, 3.0]), np.array([0.0, 20.0, 38.0, 52.0]), np.array([39.0, 39.0, 52.0, 52.0])
    own = np.stack([at, 2 * at, at[::-1], at], axis=1)
    alive = model.probability_alive(own, x, t_x, T)
    for row in range(4):
        one = slice(row, row + 1)
        assert alive[row] == pytest.approx(model.probability_alive(own[:, row], x[one], t_x[one], T[one])[0], rel=1e-9)
    assert model.draw(own, x, t_x, T, 26.0, np.random.default_rng(1)).shape == (4,)


@of_each_model
def test_planted_parameters_are_found(model, at) -> None:
    T = np.random.default_rng(1).integers(100, 400, 20_000) / 7
    x, t_x, _ = lived(model, at, T, 0.0, seed=2)
    found = model.fit(histories(x, t_x, T))
    assert (np.abs(found.parameters - at) < 4 * found.standard_errors).all()
    assert found.standard_errors == pytest.approx(np.sqrt(np.diag(found.covariance)))


@of_each_model
def test_intervals_cover_what_was_planted(model, at) -> None:
    """Of 50 cohorts, 95 % intervals of each parameter hold it in 42 or more: fewer come once in 1,300 times."""
    held, T = np.zeros(4), np.full(2000 if model is pareto_nbd else 5000, 60.0)
    for seed in range(50):
        x, t_x, _ = lived(model, at, T, 0.0, seed=100 + seed)
        among = histories(x, np.round(t_x * 2) / 2, T)
        found = model.fit(among, start=at)
        assert found.reason is None
        low, high = limits(model.likelihood(among), found).T
        held += (low < at) & (at < high)
    assert (held >= 42).all(), held


@of_each_model
def test_at_its_limits_the_profile_likelihood_of_a_parameter_has_fallen_as_chi_square_wants(model, at) -> None:
    """The others are searched for there by SciPy; by standard errors alone by 1.5 to 2.4."""
    T = np.full(3000, 60.0)
    x, t_x, _ = lived(model, at, T, 0.0, seed=7)
    among = histories(x, np.round(t_x * 2) / 2, T)
    found, derive = model.fit(among), model.likelihood(among)
    ends = np.log(limits(derive, found))

    def fallen(i: int, end: float) -> float:
        others = np.arange(4) != i

        def fall(some: np.ndarray) -> tuple[float, np.ndarray]:
            every = np.exp(np.insert(some, i, end))
            value, gradient, _ = derive(every)
            return found.log_likelihood - value, -(gradient * every)[others]

        return optimize.minimize(fall, np.log(found.parameters)[others], jac=True, method="BFGS").fun

    for i in range(4):
        assert [fallen(i, end) for end in ends[i]] == pytest.approx([chi2.ppf(0.95, 1) / 2] * 2, rel=0.06), i


@of_each_model
def test_a_former_run_does_not_change_where_a_search_ends(model, at, cdnow: pd.DataFrame) -> None:
    among = histories(*[cdnow[name].to_numpy(float) for name in ("frequency", "recency", "T")])
    found = model.fit(among)
    for start in ([5.0, 0.5, 3.0, 9.0], [1e-9, 1e9, 1e9, 1e-9]):
        assert model.fit(among, start=np.array(start)).parameters == pytest.approx(found.parameters, rel=1e-6)
    with pytest.raises(ValueError, match="start must be 4 positive numbers"):
        model.fit(among, start=np.array([1.0, 0.0, 1.0, 1.0]))


@of_each_model
def test_weights_stand_for_customers_and_the_unit_of_time_does_not_matter(model, at, cdnow: pd.DataFrame) -> None:
    x, t_x, T = (cdnow[name].to_numpy(float)[:600] for name in ("frequency", "recency", "T"))
    once = model.fit(histories(x, t_x, T, customers=np.full(600, 3.0)))
    thrice = model.fit(histories(*[np.tile(column, 3) for column in (x, t_x, T)]))
    in_days = model.fit(histories(x, 7 * t_x, 7 * T))
    days = in_days.parameters / once.parameters
    assert days == pytest.approx([1, 7, 1, 7 if model.NAMES[3] == "beta" else 1], rel=1e-6)
    assert once.parameters == pytest.approx(thrice.parameters, rel=1e-9)
    assert once.standard_errors * np.sqrt(3) == pytest.approx(in_days.standard_errors / days, rel=1e-6)


@of_each_model
def test_an_answer_does_not_depend_on_who_else_is_asked_about(model, at) -> None:
    random = np.random.default_rng(4)
    x = random.integers(0, 30, 3000).astype(float)
    t_x = random.random(3000) * 300 * (x > 0)
    T = t_x + random.random(3000) * 100
    few = random.permutation(3000)[:70]
    asked = [(x, t_x, T), (x[few], t_x[few], T[few])]
    for discount in (0.0, 0.001):
        all_of, some = (model.expected_purchases(at, *history, 90.0, discount=discount) for history in asked)
        assert (some == all_of[few]).all()
    all_of, some = (model.probability_alive(at, *history) for history in asked)
    assert (some == all_of[few]).all()


@of_each_model
def test_a_discounted_purchase_counts_by_its_day(model, at) -> None:
    history = np.array([[3.0], [40], [60]])
    days = np.arange(0, 366)
    until = [model.expected_purchases(at, *history, float(day))[0] for day in days]
    by_day = np.diff(until) * np.exp(-0.0005 * (days[1:] - 0.5))
    found = model.expected_purchases(at, *history, 365.0, discount=0.0005)[0]
    assert found == pytest.approx(by_day.sum(), rel=1e-6)
    far = model.expected_purchases(at, *history, 20_000.0, discount=0.01)
    assert model.expected_purchases(at, *history, np.inf, discount=0.01) == pytest.approx(far, rel=1e-7)
    with pytest.raises(ValueError, match="an infinite horizon needs a discount"):
        model.expected_purchases(at, *history, np.inf)


@of_each_model
@settings(deadline=None, max_examples=12)
@given(told=st.lists(HISTORY, min_size=1, max_size=8), horizon=st.floats(1, 3650))
def test_who_is_alive_is_a_probability_and_discounting_takes_away(model, at, told, horizon) -> None:
    x, t_x, T = columns(told)
    alive = model.probability_alive(at, x, t_x, T)
    assert ((alive >= 0) & (alive <= 1)).all()
    plain = model.expected_purchases(at, x, t_x, T, horizon)
    less = model.expected_purchases(at, x, t_x, T, horizon, discount=0.0003)
    assert (less <= plain * (1 + 1e-12)).all()
    assert (less >= plain * np.exp(-0.0003 * horizon) * (1 - 1e-12)).all()


@of_each_model
@settings(deadline=None, max_examples=12)
@given(told=st.lists(HISTORY, min_size=1, max_size=40), horizon=st.floats(1, 3650))
def test_any_customers_end_in_numbers_or_a_reason(model, at, told, horizon) -> None:
    history = columns(told)
    found = model.fit(histories(*history))
    assert found.reason or np.isfinite([*found.parameters, *found.standard_errors, found.log_likelihood]).all()
    parameters = at if found.reason else found.parameters
    expected = model.expected_purchases(parameters, *history, horizon, discount=0.0003)
    assert (np.isfinite(expected) & (expected >= 0)).all()


@of_each_model
def test_any_parameters_give_numbers(model, at) -> None:
    random = np.random.default_rng(8)
    x = np.array([0.0, 1, 40, 5000])
    history = x, np.array([0.0, 1e-3, 200, 729]), np.array([700.0, 700, 200, 730])
    among = histories(*history)
    for parameters in 10 ** random.uniform(-4, 4, (150, 4)):
        value, gradient, hessian = model.derivatives(parameters, among)
        assert np.isfinite([value, *gradient, *hessian.ravel()]).all()
        alive = model.probability_alive(parameters, *history)
        assert ((alive >= 0) & (alive <= 1)).all()
        expected = model.expected_purchases(parameters, *history, 365.0)
        assert (np.isfinite(expected) & (expected >= 0)).all()
        shares = model.purchase_shares(parameters, history[2], 5)
        assert shares.sum(axis=1) == pytest.approx(1, abs=1e-9)
        assert (model.draw(parameters, *history, 365.0, random) >= 0).all()


@of_each_model
def test_what_runs_to_a_boundary_is_named(model, at) -> None:
    """Who bought again, alike in all, at one time; and customers of different rates of whom nobody ever leaves."""
    alike = model.fit(histories(*columns([(2.0, 10.0, 20.0)] * 50)))
    assert re.search("no maximum: r(,| and) alpha.* grow without end", alike.reason)
    T = np.full(2000, 100.0)
    x, t_x, _ = lived(bgnbd, np.array([1.0, 10.0, 1e-6, 1e6]), T, 0.0, seed=1)
    loyal = model.fit(histories(x, t_x, T))
    assert re.search(f"no maximum: ({'|'.join(model.NAMES[2:])}) ", loyal.reason)
    assert "alpha" not in loyal.reason
    assert np.isnan([*loyal.parameters, *loyal.covariance.ravel()]).all()


@of_each_model
@pytest.mark.parametrize("told", [[], [(0.0, 0.0, 30.0)] * 9])
def test_without_a_second_purchase_nothing_is_told(model, at, told) -> None:
    found = model.fit(histories(*columns(told)))
    assert found.reason == "no customer bought again"
    assert np.isnan([*found.parameters, *found.covariance.ravel()]).all()
