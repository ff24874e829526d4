from math import lgamma, log
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_spark.kernels import gamma_gamma
from tests.kernels.derivatives import assert_belong_together

PUBLISHED = np.array([6.25, 3.74, 15.44])
SPENT = st.tuples(st.integers(1, 40), st.floats(0.01, 1000))


@pytest.fixture(scope="module")
def cdnow(cdnow_sample: Path) -> pd.DataFrame:
    return pd.read_csv(cdnow_sample / "cdnow_customers_summary_with_transactions.csv")


def test_the_fit_of_cdnow_is_the_published_one(cdnow: pd.DataFrame) -> None:
    again = cdnow[cdnow["x"] > 0]
    found = gamma_gamma.fit(again["x"].to_numpy(float), again["zbar"].to_numpy(float))
    assert found.parameters.round(2) == pytest.approx([6.25, 3.74, 15.45])  # the paper's spreadsheet stops at 15.44
    assert np.abs(found.parameters - PUBLISHED).max() < 0.01
    assert found.log_likelihood == pytest.approx(-4055.92, abs=0.005)


def test_each_customer_of_cdnow_is_predicted_as_published(cdnow: pd.DataFrame, cdnow_sample: Path) -> None:
    reference = pd.read_csv(cdnow_sample / "reference_predictions.csv").set_index("ID").loc[cdnow["ID"]]
    found = gamma_gamma.expected_mean(PUBLISHED, cdnow["x"].to_numpy(float), cdnow["zbar"].to_numpy(float))
    assert np.abs(found - reference["gg_expected_spend"].to_numpy()).max() < 1e-6


@settings(deadline=None, max_examples=40)
@given(st.lists(SPENT, min_size=1, max_size=8), st.tuples(*[st.floats(0.3, 8)] * 3))
def test_value_gradient_and_hessian_belong_together(spent: list[tuple[int, float]], at: tuple) -> None:
    x, mean = (np.array(column, float) for column in zip(*spent, strict=True))
    likelihood = gamma_gamma._Likelihood(x, mean)
    assert likelihood.derive(np.array(at))[0] == pytest.approx(
        sum(_plain(at, *one) for one in spent), rel=1e-9, abs=1e-9
    )
    assert_belong_together(likelihood.derive, np.array(at))


def _plain(at: tuple, x: int, mean: float) -> float:
    """Equation (1a), one customer."""
    p, q, v = at
    gammas = lgamma(p * x + q) - lgamma(p * x) - lgamma(q)
    return gammas + q * log(v) + (p * x - 1) * log(mean) + p * x * log(x) - (p * x + q) * log(x * mean + v)


def test_planted_parameters_are_found_and_the_currency_does_not_matter() -> None:
    random = np.random.default_rng(7)
    x = random.integers(1, 12, 20_000).astype(float)
    mean = random.gamma(4.0 * x, 1 / (x * random.gamma(3.0, 1 / 20.0, x.size)))
    found, in_cents = gamma_gamma.fit(x, mean), gamma_gamma.fit(x, 100 * mean)
    assert (np.abs(found.parameters - [4, 3, 20]) < 3 * found.standard_errors).all()
    assert in_cents.parameters == pytest.approx(found.parameters * [1, 1, 100], rel=1e-9)
    assert in_cents.standard_errors == pytest.approx(found.standard_errors * [1, 1, 100], rel=1e-9)


def test_an_infinite_mean_is_not_told() -> None:
    told = gamma_gamma.expected_mean(np.array([2.0, 0.9, 10.0]), np.array([0.0, 1.0]), np.array([np.nan, 30.0]))
    assert np.isnan(told[0])
    assert told[1] == pytest.approx(2 * (10 + 30) / (2 + 0.9 - 1))


@pytest.mark.parametrize("spent", [[], [(1, 5.0)], [(1, 5.0)] * 50, [(1, 5.0), (2, 5.0), (3, 5.0)]])
def test_what_cannot_be_estimated_has_a_reason(spent: list[tuple[int, float]]) -> None:
    x, mean = (np.array([one[i] for one in spent], float) for i in range(2))
    found = gamma_gamma.fit(x, mean)
    assert found.reason is not None
    assert np.isnan(found.parameters).all()


def test_the_order_of_customers_changes_not_a_digit() -> None:
    random = np.random.default_rng(3)
    x = random.integers(1, 9, 5000).astype(float)
    mean = np.round(random.gamma(3.0, 10.0, 5000), 2) + 0.01
    order = random.permutation(5000)
    one, other = gamma_gamma.fit(x, mean), gamma_gamma.fit(x[order], mean[order])
    assert (one.parameters == other.parameters).all()
    assert (one.standard_errors == other.standard_errors).all()


@settings(deadline=None, max_examples=60)
@given(st.lists(SPENT, min_size=1, max_size=40))
def test_any_customers_end_in_numbers_or_a_reason(spent: list[tuple[int, float]]) -> None:
    x, mean = (np.array(column, float) for column in zip(*spent, strict=True))
    found = gamma_gamma.fit(x, mean)
    assert found.reason or np.isfinite([*found.parameters, *found.standard_errors, found.log_likelihood]).all()
