import numpy as np
import pytest
from scipy import stats

from benchmarks.customers import ALL_PUBLISHED, lived
from crm_spark.kernels import bgbb, bgnbd, gamma_gamma, nbd, pareto_nbd, predictive
from crm_spark.kernels.predictive import LEVELS, Customers, Uncertain

SPENDING = np.array([6.0, 4.0, 15.0])
DONATIONS = np.array([1.204, 0.750, 0.657, 2.783])


class Nbd:
    """Customers buy at rate lambda ~ Gamma(r, alpha) and never leave."""

    def draw(self, parameters, x, t_x, T, horizon, random):
        r, alpha = parameters
        return random.poisson(random.standard_gamma(r + x) * horizon / (alpha + T))

    def expected_purchases(self, parameters, x, t_x, T, horizon):
        r, alpha = parameters
        return (r + x) / (alpha + T) * horizon


class Steady:
    """Everyone buys at one known rate; the share t_x / T of those who bought again is there still."""

    def draw(self, parameters, x, t_x, T, horizon, random):
        is_there = (x == 0) | (random.random(x.size) < t_x / T)
        return np.where(is_there, random.poisson(parameters[0] * horizon, x.size), 0)

    def expected_purchases(self, parameters, x, t_x, T, horizon):
        return np.where(x > 0, t_x / T, 1.0) * parameters[0] * horizon


def _uncertain(parameters: np.ndarray, relative: float) -> Uncertain:
    """Known up to a share of each, with the correlation that r and alpha have as a rule."""
    k = len(parameters)
    correlated = np.full((k, k), 0.6) + 0.4 * np.eye(k)
    return Uncertain(np.asarray(parameters), correlated * np.outer(parameters, parameters) * relative**2)


def _customers(histories: list[tuple[float, float, float, float]]) -> Customers:
    x, t_x, T, mean = (np.array(column, float) for column in zip(*histories, strict=True))
    return Customers(x, t_x, T, np.where(np.isnan(mean), 0, x), mean)


def _histories(customers: Customers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return customers.x, customers.t_x, customers.T


def _simulate(model, buying: Uncertain, spending: Uncertain, customers: Customers, horizon: float, worlds: int):
    """Purchases and money of each customer in many worlds, each with parameters of its own, by no short cut."""
    random = np.random.default_rng(99)
    theta, (p, q, v) = (
        np.exp(
            random.multivariate_normal(
                np.log(of.parameters), of.covariance / np.outer(of.parameters, of.parameters), worlds
            ).T
        )
        for of in (buying, spending)
    )
    columns = []
    for x, t_x, T, paid, spent in zip(*_histories(customers), customers.paid, customers.spent, strict=True):
        n = model.draw(theta, *[np.full(worlds, number) for number in (x, t_x, T)], horizon, random)
        columns.append((n, random.gamma(p * n) / (random.gamma(p * paid + q) / (v + spent))))
    purchases, money = zip(*columns, strict=True)
    return np.column_stack(purchases), np.column_stack(money)


CASES = {
    "NBD": (Nbd(), np.array([0.6, 30.0]), 200.0,
            [(0, 0, 90, np.nan), (3, 50, 90, 12.0), (14, 80, 100, 40.0), (40, 10, 300, 5.0), (2, 2, 9, np.nan)]),
    "BG/BB": (bgbb, DONATIONS, 10,
              [(0, 0, 6, np.nan), (2, 4, 6, 20.0), (4, 5, 6, 3.0), (6, 6, 6, 80.0), (6, 9, 12, 10.0)]),
    "steady": (Steady(), np.array([0.4]), 10,
               [(0, 0, 9, np.nan), (2, 8, 9, 20.0), (5, 5, 9, 3.0), (1, 1, 9, 10.0), (3, 9, 9, 4.0)]),
}  # fmt: skip
MANY_CHANCES = [(129, 129, 129, 20.0), (131, 131, 131, 3.0), (90, 133, 133, 3.0), (60, 199, 200, 9.0)]
WITH_MANY = {**CASES, "BG/BB, many chances": (bgbb, DONATIONS, 10, MANY_CHANCES)}


@pytest.mark.parametrize("relative", [0.0, 0.15], ids=["known", "uncertain"])
@pytest.mark.parametrize("case", WITH_MANY)
def test_quantiles_are_those_of_a_large_simulation(case: str, relative: float) -> None:
    model, parameters, horizon, histories = WITH_MANY[case]
    buying, spending, customers = (
        _uncertain(parameters, relative),
        _uncertain(SPENDING, relative),
        _customers(histories),
    )
    purchases, money = predictive.intervals(model, buying, spending, customers, horizon)
    n, worth = _simulate(model, buying, spending, customers, horizon, 100_000)
    # Of 512 futures a quantile's share has a standard error of sqrt(level (1 - level) / 512); four of them, and 0.005.
    for i, level in enumerate(LEVELS):
        slack = 4 * np.sqrt(level * (1 - level) / predictive.POOL) + 0.005
        assert ((n <= purchases[:, i]).mean(axis=0) >= level - slack).all()
        assert ((n < purchases[:, i]).mean(axis=0) <= level + slack).all()
        assert ((worth <= money[:, i]).mean(axis=0) >= level - slack).all()
        assert ((worth < money[:, i]).mean(axis=0) <= level + slack).all()


def test_quantiles_of_who_may_have_left_are_those_of_the_mixture() -> None:
    customers = _customers([(4, t_x, 10, 5.0) for t_x in (1, 3, 5, 7, 9, 10)])
    purchases, money = predictive.intervals(
        Steady(), _uncertain([3.0], 0.0), _uncertain(SPENDING, 0.0), customers, 10.0
    )
    for row, there in zip(purchases, customers.t_x / 10, strict=True):
        exact = [stats.poisson.ppf(1 - (1 - level) / there, 30) if 1 - level < there else 0 for level in LEVELS]
        assert row == pytest.approx(exact, abs=3)
        assert (row == 0).tolist() == [one == 0 for one in exact]
    assert ((money == 0) == (purchases == 0)).all()


def test_doubts_of_parameters_widen_the_interval_of_a_customer() -> None:
    buying, customers = Uncertain(np.array([0.4]), np.array([[0.4**2]])), _customers([(0, 0, 9, np.nan)])
    purchases, _ = predictive.intervals(Steady(), buying, _uncertain(SPENDING, 0.0), customers, 10)
    rates = 4 * np.exp(stats.norm.ppf((np.arange(2000) + 0.5) / 2000))
    at_most = stats.poisson.cdf(np.arange(60)[:, None], rates).mean(axis=1)
    exact = np.searchsorted(at_most, LEVELS)
    assert exact.tolist() == [0, 2, 8, 22]
    assert (np.abs(purchases[0] - exact) <= [0, 0, 1, 3]).all()


def _calibrated(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """How often fresh customers fall below each upper level, at or below each lower one."""
    n, opportunities, horizon = 20_000, 8, 6
    buys, leaves = random.beta(1.2, 1.5, n), random.beta(0.8, 4.0, n)
    there = (1 - leaves[:, None]) ** np.arange(1, opportunities + horizon + 1) > random.random((n, 1))
    bought = there & (random.random(there.shape) < buys[:, None])
    seen, future = bought[:, :opportunities], bought[:, opportunities:].sum(axis=1)
    x, t_x = seen.sum(axis=1).astype(float), (seen * np.arange(1.0, opportunities + 1)).max(axis=1)
    T = np.full(n, float(opportunities))
    likelihood = bgbb._Likelihood(x, t_x, T, np.ones(n))
    at = np.array([1.2, 1.5, 0.8, 4.0])
    buying = Uncertain(at, np.linalg.inv(-likelihood.derive(at)[2]))
    nu = random.gamma(SPENDING[1], 1 / SPENDING[2], n)
    mean = random.gamma(SPENDING[0] * np.maximum(x, 1)) / nu / np.maximum(x, 1)
    worth = random.gamma(SPENDING[0] * future) / nu
    purchases, money = predictive.intervals(
        bgbb, buying, _uncertain(SPENDING, 0.01), Customers(x, t_x, T, x, mean), horizon
    )
    return (
        np.stack([(future[:, None] <= purchases).mean(axis=0), (future[:, None] < purchases).mean(axis=0)]),
        np.stack([(worth[:, None] <= money).mean(axis=0), (worth[:, None] < money).mean(axis=0)]),
    )


def test_what_customers_really_do_falls_into_their_intervals_as_often_as_said() -> None:
    for at_most, below in _calibrated(np.random.default_rng(17)):
        assert (at_most >= np.array(LEVELS) - 0.012).all()
        assert (below <= np.array(LEVELS) + 0.012).all()


@pytest.mark.parametrize("model", [bgnbd, pareto_nbd, nbd], ids=["BG/NBD", "Pareto/NBD", "NBD"])
def test_so_do_customers_who_came_at_any_time(model) -> None:
    """Pools of one x share what does not depend on T: what is uneven in it is so for all of them."""
    random, at, n = np.random.default_rng(1), np.array(ALL_PUBLISHED[model]), 40_000
    T = np.round(random.uniform(10, 100, n) * 7) / 7
    x, t_x, future = lived(model, at, T, 26.0, 3)
    nu = random.gamma(SPENDING[1], 1 / SPENDING[2], n)
    mean = random.gamma(SPENDING[0] * np.maximum(x, 1)) / nu / np.maximum(x, 1)
    worth = random.gamma(SPENDING[0] * future) / nu
    customers = Customers(x, t_x, T, x, mean)
    found = predictive.intervals(model, _uncertain(at, 0.001), _uncertain(SPENDING, 0.001), customers, 26.0)
    for really, quantiles in zip((future, worth), found, strict=True):
        assert ((really[:, None] <= quantiles).mean(axis=0) >= np.array(LEVELS) - 0.005).all()
        assert ((really[:, None] < quantiles).mean(axis=0) <= np.array(LEVELS) + 0.005).all()


@pytest.mark.parametrize("relative", [0.0, 0.2], ids=["known", "uncertain"])
@pytest.mark.parametrize("case", CASES)
def test_totals_are_spread_as_those_of_a_large_simulation(case: str, relative: float) -> None:
    model, parameters, horizon, histories = CASES[case]
    customers = _customers(histories * 60)
    buying, spending = _uncertain(parameters, relative), _uncertain(SPENDING, relative / 4)
    group = np.repeat([0, 1, 2], [200, 70, 30])
    key = np.random.default_rng(5).integers(2**32, size=300, dtype=np.uint32)
    sums = predictive.sums_of_groups(model, buying, spending, customers, horizon, key, group)
    for of, each in zip(sums, _simulate(model, buying, spending, customers, horizon, 1500), strict=True):
        found = predictive.intervals_of_groups(of)
        totals = np.stack([each[:, group == one].sum(axis=1) for one in range(3)])
        for row, total in zip(found, totals, strict=True):
            reached = np.array([(total <= value).mean() for value in row])
            # 200 draws of a total: a share has a standard error of 0.015 at 0.05, of 0.03 at 0.25.
            assert (np.abs(reached - LEVELS) < [0.06, 0.13, 0.13, 0.06]).all()


@pytest.mark.parametrize("case", CASES)
def test_a_large_groups_total_lies_around_its_expectation(case: str) -> None:
    # Each history is a group: its pool's mean is wrong by up to 10 %, which must not be seen.
    model, parameters, horizon, histories = CASES[case]
    customers, n = _customers(histories * 3000), 3000 * len(histories)
    buying, spending = _uncertain(parameters, 0.0), _uncertain(SPENDING, 0.0)
    key = np.random.default_rng(5).integers(2**32, size=n, dtype=np.uint32)
    sums = predictive.sums_of_groups(model, buying, spending, customers, horizon, key, np.arange(n) % len(histories))
    expected = 3000 * model.expected_purchases(parameters, *_histories(_customers(histories)), horizon)
    price = gamma_gamma.expected_mean(SPENDING, customers.paid, customers.mean)[: len(histories)]
    for of, mean in zip(sums, (expected, expected * price), strict=True):
        found = predictive.intervals_of_groups(of)
        assert ((found[:, 0] < mean) & (mean < found[:, 3])).all()
        assert found[:, 1:3].mean(axis=1) == pytest.approx(mean, rel=0.02)


def test_a_total_falls_into_the_interval_of_its_draws_as_often_as_said() -> None:
    # Of 60,000 groups shares have standard errors of 0.0009 at 0.05, of 0.0018 at 0.25, of 0.0012 at 0.9.
    random, groups = np.random.default_rng(3), 60_000
    draws, really = 100 + random.standard_normal((groups, predictive.DRAWS)), 100 + random.standard_normal(groups)
    found = predictive.intervals_of_groups(np.concatenate([draws, np.full((groups, 4), 100.0)], axis=1))
    reached = (really[:, None] <= found).mean(axis=0)
    assert (np.abs(reached - LEVELS) < [0.003, 0.006, 0.006, 0.003]).all()
    assert ((found[:, 0] <= really) & (really <= found[:, 3])).mean() == pytest.approx(0.9, abs=0.004)


def test_doubts_of_parameters_do_not_average_out_in_a_group() -> None:
    customers, group = _customers([(3, 50, 90, 12.0)] * 400), np.zeros(400, dtype=np.int64)

    def told(relative: float) -> np.ndarray:
        """The mean of eight intervals, each with draws of its own: of 200 draws one interval is off by a tenth."""
        keys = np.random.default_rng(0).integers(2**32, size=(8, 400), dtype=np.uint32)
        buying, spending = _uncertain([0.6, 30.0], relative), _uncertain(SPENDING, 0.0)
        sums = [predictive.sums_of_groups(Nbd(), buying, spending, customers, 50.0, key, group)[0] for key in keys]
        return predictive.intervals_of_groups(np.concatenate(sums)).mean(axis=0)

    wide, narrow = told(0.3), told(0.0)
    mean = 400 * 3.6 / 120 * 50
    noise = np.sqrt(400 * (3.6 / 120 * 50 + 3.6 * (50 / 120) ** 2))
    assert narrow[3] - narrow[0] == pytest.approx(2 * 1.645 * noise, rel=0.08)
    single = predictive.intervals(
        Nbd(), _uncertain([0.6, 30.0], 0.0), _uncertain(SPENDING, 0.0), _customers([(3, 50, 90, 12.0)]), 50.0
    )[0][0]
    assert narrow[3] < 0.6 * 400 * single[3]  # a total's interval is not the sum of intervals
    assert narrow[0] < mean < narrow[3]
    assert wide[3] - wide[0] > 1.5 * (narrow[3] - narrow[0])


def test_doubts_of_what_purchases_are_worth_stay_in_a_groups_money() -> None:
    customers = _customers([(0, 0, 90, np.nan)] * 20_000)
    spending = Uncertain(SPENDING, np.diag([(0.2 * SPENDING[0]) ** 2, 0, 0]))  # money goes with p
    key, group = np.random.default_rng(3).integers(2**32, size=20_000, dtype=np.uint32), np.zeros(20_000, np.int64)
    sums = predictive.sums_of_groups(Steady(), _uncertain([0.4], 0.0), spending, customers, 10, key, group)
    purchases, money = (predictive.intervals_of_groups(one)[0] for one in sums)
    assert np.log(money[3] / money[0]) == pytest.approx(2 * 1.645 * 0.2, rel=0.1)
    assert np.log(purchases[3] / purchases[0]) < 0.05


def _many(n: int) -> Customers:
    random = np.random.default_rng(4)
    T = random.integers(1, 30, n).astype(float)
    t_x = np.floor((T + 1) * random.random(n))
    x = np.where(t_x > 0, np.ceil(t_x * random.random(n)), 0.0)
    return Customers(x, t_x, T, x, np.round(random.gamma(3, 10, n), 2) + 0.01)


def test_an_answer_does_not_depend_on_who_else_is_asked_about() -> None:
    customers, few = _many(800), np.random.default_rng(1).permutation(800)[:60]
    buying, spending = _uncertain(DONATIONS, 0.05), _uncertain(SPENDING, 0.05)
    together = predictive.intervals(bgbb, buying, spending, customers, 6)
    alone = predictive.intervals(bgbb, buying, spending, customers.at(few), 6)
    for all_of_them, some in zip(together, alone, strict=True):
        assert (all_of_them[few] == some).all()


def test_what_the_model_expects_may_be_told() -> None:
    customers, spending = _customers([(4, t_x, 10, 5.0) for t_x in (1, 3, 5, 7, 9, 10)]), _uncertain(SPENDING, 0.0)
    model, buying = Steady(), _uncertain([3.0], 0.0)
    expected = model.expected_purchases(buying.parameters, customers.x, customers.t_x, customers.T, 10)
    asked = predictive.intervals(model, buying, spending, customers, 10)
    for told, of in zip(predictive.intervals(model, buying, spending, customers, 10, expected), asked, strict=True):
        assert (told == of).all()
    purchases, _ = predictive.intervals(model, buying, spending, customers, 10, expected / 1000)
    assert not purchases.any()


def test_sums_of_a_groups_parts_add_up_to_those_of_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    customers, random = _many(300), np.random.default_rng(2)
    key, group = random.integers(2**32, size=300, dtype=np.uint32), random.integers(0, 3, 300)
    buying, spending = _uncertain(DONATIONS, 0.05), _uncertain(SPENDING, 0.05)

    def sums(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert group[rows].max() == 2
        return predictive.sums_of_groups(bgbb, buying, spending, customers.at(rows), 6, key[rows], group[rows])

    order = random.permutation(300)
    whole = sums(np.arange(300))
    monkeypatch.setattr(predictive, "CHUNK", 50)
    monkeypatch.setattr(predictive, "POOLS", 7)
    parts = [sums(order[:100]), sums(order[100:130]), sums(order[130:])]
    for i in range(2):
        assert sum(part[i] for part in parts) == pytest.approx(whole[i], rel=1e-9)


def test_customers_of_one_history_have_draws_of_their_own_and_one_customer_has_them_again() -> None:
    customers = _customers([(3, 50, 90, 12.0)] * 3)
    known, spending = _uncertain([0.6, 30.0], 0.0), _uncertain(SPENDING, 0.0)
    purchases, _ = predictive.sums_of_groups(
        Nbd(), known, spending, customers, 50.0, np.array([1, 2, 1], np.uint32), np.array([0, 1, 2])
    )
    first, other, again = purchases[:, : predictive.DRAWS]
    assert (first == again).all()
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.25


def test_nobody_buys_in_no_time() -> None:
    customers = _many(20)
    buying, spending = _uncertain(DONATIONS, 0.05), _uncertain(SPENDING, 0.05)
    purchases, money = predictive.intervals(bgbb, buying, spending, customers, 0)
    assert not purchases.any()
    assert not money.any()
    key, group = np.arange(20, dtype=np.uint32), np.zeros(20, dtype=np.int64)
    for sums in predictive.sums_of_groups(bgbb, buying, spending, customers, 0, key, group):
        assert predictive.intervals_of_groups(sums).tolist() == [[0, 0, 0, 0]]


def test_of_nobody_nothing_is_said() -> None:
    nobody = Customers(*[np.empty(0)] * 5)
    buying, spending = _uncertain(DONATIONS, 0.05), _uncertain(SPENDING, 0.05)
    purchases, money = predictive.intervals(bgbb, buying, spending, nobody, 6)
    assert purchases.shape == money.shape == (0, 4)


def test_money_without_a_mean_cannot_be_summed_up() -> None:
    customers, spending = _many(5), _uncertain(np.array([6.0, 1.02, 15.0]), 0.05)
    key, group = np.arange(5, dtype=np.uint32), np.zeros(5, dtype=np.int64)
    with pytest.raises(ValueError, match="money has no mean to sum up"):
        predictive.sums_of_groups(bgbb, _uncertain(DONATIONS, 0.0), spending, customers, 6, key, group)
