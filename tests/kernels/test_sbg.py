from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_spark.kernels import sbg
from crm_spark.kernels.likelihood import limits
from tests.kernels.derivatives import assert_belong_together
from tests.kernels.exact import decimals, exactly

# Table 1 of Fader and Hardie (2007): of 1,000 customers, who is still there after each of the first seven years.
HIGH_END = [1000, 869, 743, 653, 593, 551, 517, 491]
REGULAR = [1000, 631, 468, 382, 326, 289, 262, 241]
COUNTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=12)


def _among(*cohorts: list[int]) -> sbg.Lifetimes:
    """Customers of cohorts: for each how many there were at first, after one renewal and so on."""
    renewal, is_there, customers = [], [], []
    for cohort in cohorts:
        gone = -np.diff(cohort)
        renewal += [*range(1, gone.size + 1), gone.size]
        is_there += [False] * gone.size + [True]
        customers += [*gone, cohort[-1]]
    return sbg.lifetimes(np.array(renewal), np.array(is_there), np.array(customers, float))


@pytest.mark.parametrize(
    ("cohort", "parameters", "log_likelihood"),
    [(HIGH_END, [0.668, 3.806], -1611.16), (REGULAR, [0.704, 1.182], None)],
    ids=["high end", "regular"],
)
def test_the_fit_of_the_papers_customers_is_the_published_one(
    cohort: list[int], parameters: list[float], log_likelihood: float | None
) -> None:
    found = sbg.fit(_among(cohort))
    assert found.parameters.round(3) == pytest.approx(parameters)
    if log_likelihood:
        assert found.log_likelihood == pytest.approx(log_likelihood, abs=0.005)
    assert np.abs(sbg.survival(found.parameters, 7) - np.array(cohort) / 1000).max() < 0.02


def test_cohorts_of_different_ages_are_fitted_together() -> None:
    # Fader and Hardie (2007), Fitting the sBG Model to Multi-Cohort Data, brucehardie.com/notes/017.
    cohort = [10_000, 8_000, 6_480, 5_307, 4_391]
    found = sbg.fit(_among(*[cohort[:ages] for ages in (5, 4, 3, 2)]))
    assert found.parameters.round(2) == pytest.approx([3.80, 15.19])


def test_customers_are_counted_by_age() -> None:
    renewal, is_there = np.array([1, 2, 2, 0, 1, 3]), np.array([False, False, True, True, True, False])
    among = sbg.lifetimes(renewal, is_there, np.array([1.0, 1, 2, 9, 1, 5]))
    assert among.left.tolist() == [1, 1, 5]
    assert among.renewed.tolist() == [1 + 2 + 1 + 5, 2 + 5, 0]


@exactly
def _plain(parameters: list[float], among: sbg.Lifetimes) -> tuple[list[Decimal], list[Decimal]]:
    """Log-likelihood, gradient and Hessian, customer by customer, and the sums of their absolute terms."""
    alpha, beta = decimals(parameters)
    terms: list[list[Decimal]] = [[] for _ in range(6)]
    for age, (left, renewed) in enumerate(zip(decimals(among.left), decimals(among.renewed), strict=True)):
        both = alpha + beta + age
        for many, own, is_left in ((left, alpha, True), (renewed, beta + age, False)):
            terms[0] += [many * own.ln(), -many * both.ln()]
            terms[1] += [many / own * is_left, -many / both]
            terms[2] += [many / own * (not is_left), -many / both]
            terms[3] += [-many / own**2 * is_left, many / both**2]
            terms[4] += [many / both**2]
            terms[5] += [-many / own**2 * (not is_left), many / both**2]
    return [sum(column, Decimal(0)) for column in terms], [sum(map(abs, column), Decimal(0)) for column in terms]


@pytest.mark.parametrize("parameters", [(0.668, 3.806), (1e-4, 1e-4), (1e4, 1e4), (1e-4, 1e4), (1e4, 1e-4), (7, 0.3)])
def test_the_log_likelihood_and_its_derivatives_are_exact(parameters: tuple[float, float]) -> None:
    random = np.random.default_rng(8)
    ages = 5000 if parameters == (1e-4, 1e4) else 400
    for among in (_among(HIGH_END), sbg.Lifetimes(random.random(ages) * 9, random.random(ages) * 99)):
        value, gradient, hessian = sbg._derive(np.array(parameters), among)
        told = [value, *gradient, hessian[0, 0], hessian[0, 1], hessian[1, 1]]
        for ours, exact, size in zip(told, *_plain(parameters, among), strict=True):
            assert abs(Decimal(float(ours)) - exact) <= Decimal("1e-12") * (1 + size)
        assert hessian[0, 1] == hessian[1, 0]


@settings(deadline=None, max_examples=40)
@given(COUNTS, st.tuples(st.floats(0.2, 5), st.floats(0.2, 5)))
def test_value_gradient_and_hessian_belong_together(counts: list[tuple[int, int]], at: tuple[float, float]) -> None:
    among = sbg.Lifetimes(*np.array(counts, float).T)
    assert_belong_together(lambda parameters: sbg._derive(parameters, among), np.array(at))


@exactly
def _renewals(alpha: float, beta: float, k: int, horizon: int, discount: float) -> float:
    a, b, fade = Decimal(alpha), Decimal(beta), 1 / (1 + Decimal(discount))
    there, total = Decimal(1), Decimal(0)
    for s in range(horizon):
        there *= (b + k + s) / (a + b + k + s)
        total += there
        there *= fade
    return float(total)


@pytest.mark.parametrize(
    ("alpha", "beta", "k", "horizon", "discount"),
    [(0.668, 3.806, 3, 12, 0.1), (1e-4, 1e-4, 0, 400, 0.0), (1e4, 1e-4, 5000, 30, 0.01), (1.0, 1e4, 0, 900, 0.001)],
)
def test_expected_renewals_are_those_of_a_plain_sum(
    alpha: float, beta: float, k: int, horizon: int, discount: float
) -> None:
    found = sbg.expected_renewals(np.array([alpha, beta]), np.array([k]), horizon, discount)
    assert found == pytest.approx([_renewals(alpha, beta, k, horizon, discount)], rel=1e-12)


@pytest.mark.parametrize("alpha", [1e-4, 0.668, 1.0, 2.0, 37.5, 1e4])
@pytest.mark.parametrize("beta", [1e-4, 3.806, 1e4])
@pytest.mark.parametrize(("discount", "enough"), [(0.05, 1000), (3.0, 60)])
def test_the_infinite_sum_is_the_limit_of_the_finite_ones(
    alpha: float, beta: float, discount: float, enough: int
) -> None:
    found = sbg.expected_renewals(np.array([alpha, beta]), np.array([2]), np.inf, discount)
    assert found == pytest.approx([_renewals(alpha, beta, 2, enough, discount)], rel=1e-12)


def test_no_parameters_lead_out_of_the_range_of_floats() -> None:
    random = np.random.default_rng(6)
    k = np.array([0, 1, 50, 5000])
    for parameters in 10 ** random.uniform(-4, 4, (500, 2)):
        told = [
            *sbg.expected_renewals(parameters, k, 20, 0.1),
            *sbg.expected_renewals(parameters, k, np.inf, 0.1),
            *sbg.survival(parameters, 50),
            sbg.log_likelihood(parameters, _among(HIGH_END)),
        ]
        assert np.isfinite(told).all()


def test_what_is_not_discounted_is_finite_where_customers_leave_soon_enough() -> None:
    k = np.array([0, 5])
    assert sbg.expected_renewals(np.array([3.0, 4.0]), k, np.inf).tolist() == [4 / 2, 9 / 2]
    assert sbg.expected_renewals(np.array([1.0, 4.0]), k, np.inf).tolist() == [np.inf, np.inf]
    far = sbg.expected_renewals(np.array([3.0, 4.0]), k, 20_000)
    assert far == pytest.approx([2, 4.5], rel=1e-4)


def test_drawn_renewals_are_spread_as_the_model_says() -> None:
    parameters, k, n = np.array([0.7, 2.0]), 3, 200_000
    drawn = sbg.draw(parameters, np.full(n, k), 8, np.random.default_rng(5))
    there = sbg.survival(parameters, k + 8)[k:] / sbg.survival(parameters, k)[-1]
    shares = np.append(-np.diff(there), there[-1])
    seen = np.bincount(drawn, minlength=9) / n
    assert (np.abs(seen - shares) < 4.5 * np.sqrt(shares * (1 - shares) / n)).all()
    extreme = sbg.draw(np.array([[1e-4, 1e4], [1e4, 1e-4]]), np.zeros(2), 8, np.random.default_rng(5))
    assert extreme.tolist() == [8, 0]


@pytest.mark.parametrize("parameters", [(0.668, 3.806), (0.7, 0.2), (9.0, 4.0), (1e-3, 1e3), (1e4, 1e-4)])
def test_quantiles_are_those_of_counted_shares(parameters: tuple[float, float]) -> None:
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    k = np.array([0, 3, 3, 40])
    found = sbg.quantiles(np.array(parameters)[:, None], k, levels)
    for row, made in zip(found, k, strict=True):
        there = sbg.survival(np.array(parameters), 6000)
        left = 1 - there[made + 1 :] / there[made]  # by the first, second, … renewal to come
        for quantile, level in zip(row, levels, strict=True):
            reached = np.flatnonzero(left >= level - 1e-12)
            assert quantile == (reached[0] if reached.size else quantile)
            assert reached.size or quantile > 5900
    assert (found <= sbg.MOST).all()


def test_quantiles_over_uncertain_parameters_are_those_of_their_mixture() -> None:
    both, random, n = np.array([[0.5, 3.0], [2.0, 3.0]]), np.random.default_rng(3), 200_000
    drawn = sbg.draw(both[:, random.integers(0, 2, n)], np.full(n, 2), 50, random)
    for level, quantile in zip(
        (0.25, 0.5, 0.75), sbg.quantiles(both, np.array([2]), (0.25, 0.5, 0.75))[0], strict=True
    ):
        assert (drawn < quantile).mean() < level + 0.005
        assert (drawn <= quantile).mean() > level - 0.005


@pytest.mark.parametrize("discount", [0.0, 0.05])
def test_moments_are_those_of_counted_shares(discount: float) -> None:
    both, k = np.array([[0.7, 4.0], [2.0, 0.5]]), np.array([0, 5])
    worth = np.append(0.0, np.cumsum((1 + discount) ** -np.arange(3000.0)))
    for horizon in (0, 1, 7, *([np.inf] if discount else [])):
        means, variances = sbg.moments(both, k, horizon, discount)
        for row, parameters in enumerate(both.T):
            for column, made in enumerate(k):
                there = sbg.survival(parameters, made + 3000)[made:]
                shares = -np.diff(there / there[0], append=0.0)
                brought = worth[np.minimum(np.arange(shares.size), horizon).astype(int)]
                mean = shares @ brought
                assert means[row, column] == pytest.approx(mean, rel=1e-9, abs=1e-12)
                assert variances[row, column] == pytest.approx(shares @ (brought - mean) ** 2, rel=1e-7, abs=1e-9)


def test_renewals_of_a_group_are_summed_by_age() -> None:
    # By hand: half leave at each renewal; 8 who never renewed have two to come, 4 who renewed once have one.
    there = 0.5 ** np.arange(5)
    assert sbg.by_age(there, np.array([0, 1]), np.array([2, 1]), np.array([8.0, 4.0])).tolist() == [4, 2 + 2, 0, 0]
    parameters, k, due = np.array([0.7, 2.0]), np.array([0, 2, 5]), np.array([4, 0, 3])
    whole = sbg.by_age(sbg.survival(parameters, 8), k, due, np.ones(3))
    each = [sbg.expected_renewals(parameters, k[i : i + 1], due[i])[0] for i in range(3)]
    assert whole.sum() == pytest.approx(sum(each), rel=1e-12)
    assert sbg.by_age(np.array([1.0, 0, 0]), np.array([1]), np.array([1]), np.ones(1)).tolist() == [0, 0]


def test_intervals_of_parameters_hold_the_truth_as_often_as_they_say() -> None:
    truth, random, held = np.array([0.9, 3.0]), np.random.default_rng(12), np.zeros(2)
    for _ in range(50):
        age = random.integers(1, 12, 4000)
        stays = sbg.draw(truth, np.zeros(age.size), 12, random)
        is_there = stays >= age
        among = sbg.lifetimes(np.where(is_there, age, stays + 1), is_there)
        low, high = limits(sbg.likelihood(among), sbg.fit(among)).T
        held += (low < truth) & (truth < high)
    assert (held >= 43).all()  # of 50 at 95 %: fewer have a probability of 1.2 %
    assert held.sum() < 100


@pytest.mark.parametrize(
    ("left", "renewed", "reason"),
    [
        ([], [], "no customer has come to a renewal"),
        ([0, 0], [9, 9], "nobody has left, so alpha falls to 0"),
        ([9], [0], "nobody renewed, so beta falls to 0"),
        ([100, 0, 0], [900, 900, 900], "alpha and beta fall to 0"),
        ([100, 90, 81], [900, 810, 729], "alpha and beta grow without end"),
        ([100, 100, 100], [900, 800, 700], "alpha and beta grow without end"),
        ([3], [7], "do not tell alpha and beta"),
    ],
)
def test_what_cannot_be_estimated_has_a_reason(left: list[int], renewed: list[int], reason: str) -> None:
    found = sbg.fit(sbg.Lifetimes(np.array(left, float), np.array(renewed, float)))
    assert reason in (found.reason or "")
    assert np.isnan(found.parameters).all()


@settings(deadline=None, max_examples=60)
@example([(0, 0), (1, 1)])
@given(COUNTS)
def test_any_customers_end_in_a_maximum_or_a_reason(counts: list[tuple[int, int]]) -> None:
    # Of who renewed some left at the next renewal, or are there no longer: other cohorts are younger.
    left, renewed = np.array(counts, float).T
    among = sbg.Lifetimes(left, renewed)
    found = sbg.fit(among)
    if found.reason:
        return
    assert np.isfinite([*found.parameters, *found.standard_errors]).all()
    around = found.parameters * np.exp(np.random.default_rng(1).normal(0, 1, (50, 2)))
    assert max(sbg.log_likelihood(at, among) for at in around) <= found.log_likelihood + 1e-9


def test_another_start_and_weights_change_no_answer() -> None:
    found = sbg.fit(_among(HIGH_END))
    again = sbg.fit(_among(HIGH_END), start=found.parameters)
    thrice = sbg.fit(_among(HIGH_END, HIGH_END, HIGH_END))
    assert again.parameters == pytest.approx(found.parameters, rel=1e-9)
    assert thrice.parameters == pytest.approx(found.parameters, rel=1e-9)
    assert thrice.standard_errors * np.sqrt(3) == pytest.approx(found.standard_errors, rel=1e-6)


def test_an_answer_does_not_depend_on_who_else_is_asked_about() -> None:
    k = np.random.default_rng(2).integers(0, 40, 300)
    parameters = np.array([0.668, 3.806])
    for horizon, discount in ((12, 0.05), (np.inf, 0.05)):
        together = sbg.expected_renewals(parameters, k, horizon, discount)
        alone = [sbg.expected_renewals(parameters, k[i : i + 1], horizon, discount)[0] for i in range(0, 300, 17)]
        assert together[::17].tolist() == alone
