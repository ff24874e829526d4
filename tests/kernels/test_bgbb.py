from decimal import Decimal
from math import comb
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_spark.kernels import bgbb
from crm_spark.kernels.likelihood import limits
from tests.kernels.derivatives import assert_belong_together
from tests.kernels.exact import decimals, exactly, rising

PUBLISHED = np.array([1.204, 0.750, 0.657, 2.783])
HISTORY = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12)).map(
    lambda told: (x := min(told[0], told[2]), min(max(told[1], x), told[2]) if x else 0, max(told[2], 1))
)
EXTREME = [
    ((1.204, 0.750, 0.657, 2.783), (2, 4, 6)),
    ((1e-4, 1e-4, 1e-4, 1e-4), (3, 40, 400)),
    ((1e4, 1e4, 1e4, 1e4), (3, 40, 400)),
    ((1e4, 1e-4, 1e-4, 1e4), (1, 1, 400)),
    ((1e-4, 1e4, 1e4, 1e-4), (150, 380, 400)),
    ((0.5, 6.0, 0.6, 20.0), (5000, 5400, 5500)),
    ((300.0, 0.01, 0.3, 1e4), (0, 0, 700)),
]


def _histories(x, t_x, T, customers=None) -> SimpleNamespace:
    columns = [np.asarray(column, float) for column in (x, t_x, T)]
    counts = np.ones(columns[0].size) if customers is None else np.asarray(customers, float)
    return SimpleNamespace(x=columns[0], t_x=columns[1], T=columns[2], customers=counts)


def _columns(histories: list[tuple[int, int, int]]) -> list[np.ndarray]:
    return [np.array(column, float) for column in zip(*histories, strict=True)]


def _simulate(parameters: np.ndarray, T: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Whether each customer buys at each opportunity, coin by coin."""
    alpha, beta, gamma, delta = parameters
    buys, leaves = random.beta(alpha, beta, T.size), random.beta(gamma, delta, T.size)
    is_there, bought = np.ones(T.size, bool), []
    for _ in range(int(T.max())):
        is_there = is_there & (random.random(T.size) >= leaves)
        bought.append(is_there & (random.random(T.size) < buys))
    return np.column_stack(bought) & (np.arange(int(T.max())) < T[:, None])


def _summary(bought: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return bought.sum(axis=1), (bought * np.arange(1, bought.shape[1] + 1)).max(axis=1)


@pytest.fixture(scope="module")
def donations() -> SimpleNamespace:
    path = Path(__file__).parents[3] / "shared/data/donations_bgbb/donations.csv"
    if not path.is_file():
        pytest.skip("the published data are not beside the checkout")
    return _histories(*pd.read_csv(path)[["frequency", "recency", "periods", "weights"]].to_numpy(float).T)


def test_the_fit_of_donations_is_the_published_one(donations: SimpleNamespace) -> None:
    found = bgbb.fit(donations)
    assert found.parameters.round(3) == pytest.approx(PUBLISHED)
    assert found.log_likelihood == pytest.approx(-33_225.58, abs=0.005)


def test_who_still_donates_is_as_in_the_papers_table() -> None:
    # Table 6: no donation; two, the last in 1999; one each year, up to 2001. Alive in 2002, the next opportunity.
    x, t_x, T = _columns([(0, 0, 6), (2, 4, 6), (6, 6, 6)])
    assert bgbb.probability_alive(PUBLISHED, x, t_x, T, ahead=1).round(2).tolist() == [0.11, 0.59, 0.93]
    assert bgbb.probability_alive(PUBLISHED, x, t_x, T)[2] == 1


def test_donations_to_come_are_those_of_the_authors_spreadsheet_and_of_their_package(
    donations: SimpleNamespace,
) -> None:
    parameters, history = bgbb.fit(donations).parameters, (donations.x, donations.t_x, donations.T)
    # brucehardie.com/notes/010: sum of "Conditional Expectations (II)"; nobody's donations in "In-Sample Fit".
    expected = bgbb.expected_purchases(parameters, *history, 5) @ donations.customers
    assert expected == pytest.approx(12_884.2, abs=0.05)
    shares = bgbb.purchase_shares(parameters, np.array([6.0]), 7)[0]
    assert 11_104 * shares[0] == pytest.approx(3454.9, abs=0.05)
    # Package BTYD for R, its walkthrough: two customers over ten years.
    two = bgbb.expected_purchases(parameters, *_columns([(0, 0, 6), (4, 5, 6)]), 10)
    assert two == pytest.approx([0.1302169, 3.627858], abs=2e-4)


@exactly
def _plain(parameters: tuple[float, ...], x: int, t_x: int, T: int) -> dict:
    """One customer by a plain sum over when they left: likelihood and its logarithm's derivatives."""
    alpha, beta, gamma, delta = decimals(parameters)

    def sums(at: Decimal, power: int) -> list[Decimal]:
        told = [Decimal(0)]
        for step in range(T + 1):
            told.append(told[-1] + 1 / (at + step) ** power)
        return told

    def products(at: Decimal) -> list[Decimal]:
        told = [Decimal(1)]
        for step in range(T + 1):
            told.append(told[-1] * (at + step))
        return told

    bases = (alpha, beta, alpha + beta, delta, gamma + delta)
    (a0, b0, e0, d0, g0), (a1, b1, e1, d1, g1), (a2, b2, e2, d2, g2) = (
        [table(at) for at in bases] for table in (products, lambda at: sums(at, 1), lambda at: sums(at, 2))
    )
    terms = []
    for j in [*range(t_x, T), T]:
        k, stays, left = j - x, j == T, j + (j < T)
        size = a0[x] * b0[k] / e0[j] * d0[j] / g0[left] * (1 if stays else gamma)
        own = 0 if stays else 1 / gamma
        gradient = [a1[x] - e1[j], b1[k] - e1[j], own - g1[left], d1[j] - g1[left]]
        bent = {(0, 0): e2[j] - a2[x], (0, 1): e2[j], (1, 1): e2[j] - b2[k], (2, 2): g2[left] - own**2,
                (2, 3): g2[left], (3, 3): g2[left] - d2[j]}  # fmt: skip
        terms.append((size, gradient, bent))
    total = sum(size for size, _, _ in terms)
    mean = [sum(size * gradient[i] for size, gradient, _ in terms) / total for i in range(4)]
    hessian = [
        [sum(s * (bent.get((min(i, j), max(i, j)), 0) + (g[i] - mean[i]) * (g[j] - mean[j])) for s, g, bent in terms)
         / total for j in range(4)] for i in range(4)
    ]  # fmt: skip
    return {
        "log": [total.ln(), *mean, *[one for row in hessian for one in row]],
        "size": [
            sum(abs(table[T].ln()) for table in (a0, b0, e0, d0, g0)),
            *[a1[x] + e1[T], b1[T] + e1[T], g1[T] + 1 / gamma, d1[T] + g1[T]],
            *[a2[x] + b2[T] + e2[T] + g2[T] + d2[T] + 1 / gamma**2 + sum(one**2 for one in mean)] * 16,
        ],
        "alive": terms[-1][0] / total,
    }


@pytest.mark.parametrize(("parameters", "history"), EXTREME)
def test_the_log_likelihood_and_its_derivatives_are_those_of_a_plain_sum(
    parameters: tuple[float, ...], history: tuple[int, int, int]
) -> None:
    value, gradient, hessian = bgbb._Likelihood(*_columns([history]), np.ones(1)).derive(np.array(parameters))
    exact = _plain(parameters, *history)
    for ours, theirs, size in zip([value, *gradient, *hessian.ravel()], exact["log"], exact["size"], strict=True):
        assert abs(Decimal(float(ours)) - theirs) <= Decimal("1e-11") * (1 + size)


@exactly
def _expected(parameters: tuple[float, ...], x: int, t_x: int, T: int, horizon: int, discount: float) -> float:
    alpha, beta, gamma, delta = decimals(parameters)
    there, total, fade = Decimal(1), Decimal(0), 1 / (1 + Decimal(discount))
    for s in range(horizon):
        there *= fade * (delta + T + s) / (gamma + delta + T + s)
        total += there
    return float(_plain(parameters, x, t_x, T)["alive"] * (alpha + x) / (alpha + beta + T) * total)


@pytest.mark.parametrize(("parameters", "history"), EXTREME)
def test_predictions_are_those_of_a_plain_sum(parameters: tuple[float, ...], history: tuple[int, int, int]) -> None:
    at, columns = np.array(parameters), _columns([history])
    assert bgbb.probability_alive(at, *columns)[0] == pytest.approx(
        float(_plain(parameters, *history)["alive"]), rel=1e-9
    )
    for horizon, discount, enough in ((10, 0.0, 10), (52, 0.01, 52), (np.inf, 0.1, 500)):
        found = bgbb.expected_purchases(at, *columns, horizon, discount)[0]
        assert found == pytest.approx(_expected(parameters, *history, enough, discount), rel=1e-9)


@exactly
def _shares(parameters: list[Decimal], T: int) -> list[float]:
    """Of a new customer: over the opportunities until they left, by binomial coefficients."""
    alpha, beta, gamma, delta = (Decimal(at) for at in parameters)
    shares = [Decimal(0)] * (T + 1)
    for there in range(T + 1):
        lives = (
            rising(delta, there) / rising(gamma + delta, there) * (gamma / (gamma + delta + there) if there < T else 1)
        )
        for x in range(there + 1):
            buys = rising(alpha, x) * rising(beta, there - x) / rising(alpha + beta, there)
            shares[x] += comb(there, x) * buys * lives
    return [float(share) for share in shares]


def test_shares_of_new_customers_are_those_of_the_formula_and_add_up_to_the_mean() -> None:
    shares = bgbb.purchase_shares(PUBLISHED, np.array([7.0, 0, 3]), 9)
    assert shares[0, :8] == pytest.approx(_shares(list(PUBLISHED), 7), rel=1e-12)
    assert shares[1].tolist() == [1] + [0] * 9
    assert shares @ np.arange(10) == pytest.approx(bgbb.expected_by(PUBLISHED, np.array([7, 0, 3])), rel=1e-12)
    few = bgbb.purchase_shares(PUBLISHED, np.array([7.0]), 2)[0]
    assert few == pytest.approx([*shares[0, :2], shares[0, 2:].sum()], rel=1e-12)


def test_shares_of_known_customers_are_those_of_a_new_one_with_their_posterior() -> None:
    alpha, beta, gamma, delta = PUBLISHED
    found = bgbb.future_shares(PUBLISHED, *_columns([(2, 4, 6), (6, 6, 6), (2, 5, 6)]), 5, 6)
    for row, (x, t_x, T) in zip(found, [(2, 4, 6), (6, 6, 6), (2, 5, 6)], strict=True):
        alive = float(_plain(tuple(PUBLISHED), x, t_x, T)["alive"])
        future = np.array([*_shares([alpha + x, beta + T - x, gamma, delta + T], 5), 0])
        assert row == pytest.approx(alive * future + [1 - alive, 0, 0, 0, 0, 0, 0], rel=1e-11, abs=1e-14)


def test_customers_made_coin_by_coin_go_on_as_the_model_says() -> None:
    bought = _simulate(PUBLISHED, np.full(400_000, 10), np.random.default_rng(3))
    x, t_x = _summary(bought[:, :6])
    future = bought[:, 6:].sum(axis=1)
    for history in ((0, 0), (1, 3), (2, 4), (4, 5), (6, 6)):
        ones = future[(x == history[0]) & (t_x == history[1])]
        shares = bgbb.future_shares(PUBLISHED, *_columns([(*history, 6)]), 4, 4)[0]
        seen = np.bincount(ones, minlength=5) / ones.size
        assert (np.abs(seen - shares) < 4.5 * np.sqrt(shares * (1 - shares) / ones.size)).all()


@pytest.mark.parametrize("are_apart", [False, True], ids=["one parameter", "a parameter for each"])
def test_draws_are_spread_as_the_exact_shares(are_apart: bool) -> None:
    n, random = 100_000, np.random.default_rng(9)
    histories = _columns([(0, 0, 6), (2, 4, 6), (6, 6, 6)])
    parameters = np.tile(PUBLISHED[:, None], 3 * n) if are_apart else PUBLISHED
    drawn = bgbb.draw(parameters, *[np.repeat(column, n) for column in histories], 5, random).reshape(3, n)
    for row, shares in zip(drawn, bgbb.future_shares(PUBLISHED, *histories, 5, 5), strict=True):
        seen = np.bincount(row, minlength=6) / n
        assert (np.abs(seen - shares) < 4.5 * np.sqrt(shares * (1 - shares) / n)).all()


def test_each_customer_may_have_parameters_of_their_own() -> None:
    x, t_x, T = _columns([(2, 4, 9), (0, 0, 6), (3, 3, 8)])
    each = np.array([PUBLISHED, 2 * PUBLISHED, 0.3 * PUBLISHED])
    together = bgbb.probability_alive(each.T, x, t_x, T)
    alone = [bgbb.probability_alive(at, x[i : i + 1], t_x[i : i + 1], T[i : i + 1])[0] for i, at in enumerate(each)]
    assert together.tolist() == alone


@settings(deadline=None, max_examples=40)
@given(st.lists(HISTORY, min_size=1, max_size=8), st.tuples(*[st.floats(0.2, 5)] * 4))
def test_value_gradient_and_hessian_belong_together(histories: list, at: tuple[float, ...]) -> None:
    likelihood = bgbb._Likelihood(*_columns(histories), np.ones(len(histories)))
    exact = sum(_plain(at, *history)["log"][0] for history in histories)
    assert likelihood.derive(np.array(at))[0] == pytest.approx(float(exact), rel=1e-12, abs=1e-12)
    assert_belong_together(likelihood.derive, np.array(at))


def test_intervals_of_parameters_hold_the_truth_as_often_as_they_say() -> None:
    truth, random, held = np.array([1.2, 1.5, 0.8, 4.0]), np.random.default_rng(21), np.zeros(4)
    for _ in range(50):
        T = random.integers(6, 14, 4000)
        x, t_x = _summary(_simulate(truth, T, random))
        (x, t_x, T), customers = np.unique(np.array([x, t_x, T]), axis=1, return_counts=True)
        among = _histories(x, t_x, T, customers)
        low, high = limits(bgbb.likelihood(among), bgbb.fit(among)).T
        held += (low < truth) & (truth < high)
    assert (held >= 43).all()  # of 50 at 95 %: fewer have a probability of 1.2 %
    assert held.sum() < 200


@pytest.mark.parametrize(
    ("histories", "reason"),
    [
        ([], "no customer bought again"),
        ([(0, 0, 5)], "no customer bought again"),
        ([(1, 1, 1), (0, 0, 1)], "do not tell alpha, beta, gamma and delta"),
        ([(3, 5, 6)] * 9, "alpha and beta grow without end, gamma falls to 0"),
        ([(6, 6, 6)] * 9 + [(0, 0, 6)] * 5, "beta, gamma and delta fall to 0"),
    ],
)
def test_what_cannot_be_estimated_has_a_reason(histories: list, reason: str) -> None:
    found = bgbb.fit(_histories(*_columns(histories) if histories else [[]] * 3))
    assert reason in (found.reason or "")
    assert np.isnan(found.parameters).all()


def test_who_all_buy_last_or_all_buy_alike_are_a_reason_that_names_the_parameter() -> None:
    last = bgbb.fit(_histories(range(1, 9), [8] * 8, [8] * 8, [90, 120, 140, 140, 120, 90, 60, 30]))
    assert last.reason == "the likelihood has no maximum: delta grows without end"
    lives = np.floor(np.outer(np.log(np.linspace(0.01, 0.99, 99)), 1 / np.log([0.97, 0.8, 0.4]))).ravel()
    t_x = np.minimum(2 * (lives // 2) + 1, 9)  # each buys at every other opportunity until they leave
    alike = bgbb.fit(_histories((t_x + 1) / 2, t_x, np.full(t_x.size, 10)))
    assert (alike.reason or "").startswith("the likelihood has no maximum: alpha, beta")
    assert (alike.reason or "").endswith("grow without end")


@settings(deadline=None, max_examples=60)
@given(st.lists(HISTORY, min_size=1, max_size=40), st.integers(0, 60))
def test_any_customers_end_in_numbers_or_a_reason(histories: list, horizon: int) -> None:
    columns = _columns(histories)
    found = bgbb.fit(_histories(*columns))
    assert found.reason or np.isfinite([*found.parameters, *found.standard_errors, found.log_likelihood]).all()
    parameters = PUBLISHED if found.reason else found.parameters
    expected = bgbb.expected_purchases(parameters, *columns, horizon, discount=0.01)
    assert (np.isfinite(expected) & (expected >= 0) & (expected <= horizon)).all()
    assert ((shares := bgbb.future_shares(parameters, *columns, 4, 4)) >= 0).all()
    assert shares.sum(axis=1) == pytest.approx(1, rel=1e-9)


def test_no_parameters_lead_out_of_the_range_of_floats() -> None:
    random = np.random.default_rng(6)
    columns = _columns([(0, 0, 900), (1, 1, 60), (900, 900, 900), (3, 80, 900)])
    likelihood = bgbb._Likelihood(*_columns([(0, 0, 60), (1, 1, 60), (60, 60, 60), (3, 5, 60)]), np.ones(4))
    for parameters in 10 ** random.uniform(-4, 4, (300, 4)):
        value, gradient, hessian = likelihood.derive(parameters)
        assert np.isfinite([value, *gradient, *hessian.ravel()]).all()
    for parameters in 10 ** random.uniform(-4, 4, (10, 4)):
        assert np.isfinite(bgbb.expected_purchases(parameters, *columns, np.inf, 0.05)).all()
        assert (bgbb.draw(parameters, *columns, 20, random) <= 20).all()


def test_a_fit_begun_on_few_histories_ends_where_one_on_all_does(
    donations: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bgbb.fit(donations)
    monkeypatch.setattr(bgbb, "FEW", 8)
    assert bgbb.fit(donations).parameters == pytest.approx(whole.parameters, rel=1e-9)
    assert bgbb.fit(donations, start=whole.parameters).parameters == pytest.approx(whole.parameters, rel=1e-9)


def test_weights_stand_for_customers(donations: SimpleNamespace) -> None:
    found = bgbb.fit(donations)
    each = [
        np.repeat(column, donations.customers.astype(int) // 40) for column in (donations.x, donations.t_x, donations.T)
    ]
    few = bgbb.fit(_histories(*each))
    weighted = bgbb.fit(_histories(donations.x, donations.t_x, donations.T, donations.customers // 40))
    assert few.parameters == pytest.approx(weighted.parameters, rel=1e-9)
    assert bgbb.log_likelihood(found.parameters, donations) == pytest.approx(found.log_likelihood)


def test_an_answer_does_not_depend_on_who_else_is_asked_about() -> None:
    random = np.random.default_rng(4)
    T = random.integers(1, 60, 3000)
    t_x = random.integers(0, T + 1)
    x = np.where(t_x > 0, random.integers(1, np.maximum(t_x, 1) + 1), 0)
    few = random.permutation(3000)[:70]
    for ask in (
        lambda *history: bgbb.probability_alive(PUBLISHED, *history),
        lambda *history: bgbb.expected_purchases(PUBLISHED, *history, 90, 0.001),
        lambda *history: bgbb.expected_purchases(PUBLISHED, *history, np.inf, 0.05),
        lambda *history: bgbb.future_shares(PUBLISHED, *history, 6, 4),
    ):
        assert (ask(x[few], t_x[few], T[few]) == ask(x, t_x, T)[few]).all()


@pytest.mark.parametrize("history", [(3, 2, 6), (1, 7, 6), (0, 2, 6), (1, 0, 6), (-1, 0, 6)])
def test_what_is_no_history_is_refused(history: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="histories must have 0 <= x <= t_x <= T"):
        bgbb.probability_alive(PUBLISHED, *_columns([history]))
