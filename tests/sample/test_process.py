"""The process against its theory: closed forms of the papers, evaluated by SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import hyp2f1

from crm_spark.sample import process
from crm_spark.sample.process import Buying, Purchases, Spending
from crm_spark.sample.streams import stream

CUSTOMERS, DAYS = 50_000, 200
BUYING = Buying(r=1.2, alpha=16.0, a=0.9, b=4.0)


@pytest.fixture(scope="module")
def purchases() -> Purchases:
    return process.buy(stream(7, "buying"), np.zeros(CUSTOMERS), DAYS, BUYING)


def assert_near(sample: np.ndarray, expected: float) -> None:
    error = sample.std() / np.sqrt(len(sample))
    assert abs(sample.mean() - expected) < 4 * error, f"{sample.mean()} is not near {expected} (± {error})"


def test_rates_have_the_mean_of_their_gamma(purchases: Purchases) -> None:
    assert_near(purchases.rate, BUYING.r / BUYING.alpha)
    assert_near((purchases.rate - BUYING.r / BUYING.alpha) ** 2, BUYING.r / BUYING.alpha**2)


def test_leaving_has_the_mean_of_its_beta(purchases: Purchases) -> None:
    assert_near(purchases.leaving, BUYING.a / (BUYING.a + BUYING.b))


def test_the_share_still_active_is_that_of_the_theory(purchases: Purchases) -> None:
    theory = hyp2f1(BUYING.r, BUYING.a, BUYING.a + BUYING.b, -DAYS / BUYING.alpha)
    assert_near(np.isinf(purchases.active_until).astype(float), theory)


def test_repeat_purchases_are_as_many_as_the_paper_expects(purchases: Purchases) -> None:
    r, alpha, a, b = BUYING.r, BUYING.alpha, BUYING.a, BUYING.b
    shape = hyp2f1(r, b, a + b - 1, DAYS / (alpha + DAYS))
    theory = (a + b - 1) / (a - 1) * (1 - (alpha / (alpha + DAYS)) ** r * shape)
    assert_near(np.bincount(purchases.customer) - 1, theory)


def test_in_bg_nbd_nobody_leaves_after_the_first_purchase(purchases: Purchases) -> None:
    once = np.bincount(purchases.customer) == 1
    assert np.isinf(purchases.active_until[once]).all()


def test_where_the_first_may_be_last_a_share_leaves_at_once() -> None:
    purchases = process.buy(stream(8, "buying"), np.zeros(CUSTOMERS), DAYS, BUYING, first_may_be_last=True)
    assert_near((purchases.active_until == 0).astype(float), BUYING.a / (BUYING.a + BUYING.b))


def test_orders_are_worth_what_gamma_gamma_says() -> None:
    spending = Spending(p=6.0, q=4.0, gamma=25.0)
    customer = np.repeat(np.arange(CUSTOMERS), 2)
    draws = stream(9, "spending")
    means = process.worth(draws, spending, CUSTOMERS)
    worth = process.spend(draws, means[customer], spending.p)
    assert_near(means, 6.0 * 25.0 / 3.0)
    assert_near(worth[::2], 6.0 * 25.0 / 3.0)
    assert_near((worth / means[customer] - 1)[::2] ** 2, 1 / 6.0)


@given(
    seed=st.integers(0, 2**32),
    first=st.lists(st.floats(0, 49.99), min_size=1, max_size=20),
    r=st.floats(0.05, 5),
    a=st.floats(0.05, 5),
)
def test_every_customer_buys_first_then_rising_until_leaving_or_the_end(
    seed: int, first: list[float], r: float, a: float
) -> None:
    begins = np.array(first)
    purchases = process.buy(stream(seed, "buying"), begins, 50.0, Buying(r=r, alpha=10.0, a=a, b=2.0))
    for customer, begin in enumerate(begins):
        times = purchases.at[purchases.customer == customer]
        assert times[0] == begin
        assert (np.diff(times) >= 0).all()
        assert times[-1] < 50
        left = purchases.active_until[customer]
        assert np.isinf(left) or left == times[-1]


def test_customers_may_have_parameters_of_their_own() -> None:
    slow = np.repeat([16.0, 160.0], CUSTOMERS // 2)
    purchases = process.buy(stream(7, "buying"), np.zeros(CUSTOMERS), DAYS, Buying(1.2, slow, 0.9, 4.0))
    assert_near(purchases.rate[: CUSTOMERS // 2], 1.2 / 16)
    assert_near(purchases.rate[CUSTOMERS // 2 :], 1.2 / 160)


def test_a_feed_draws_the_same_whatever_the_others_do() -> None:
    assert stream(1, "orders", 1).random() != stream(1, "orders", 2).random()
    assert stream(1, "orders").random() == stream(1, "orders").random()
    assert stream(1, "orders").random() != stream(1, "events").random()
    assert stream(1, "orders").random() != stream(2, "orders").random()
