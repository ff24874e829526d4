"""Concentration against plain computations: all pairs of customers, sums one by one, customers drawn anew."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_spark.kernels import concentration
from crm_spark.kernels.concentration import PERCENT, Sums

KEYS = np.random.default_rng(9).integers(-(2**63), 2**63, 100_000)


def cells(amounts: np.ndarray, parts: int = 1) -> Sums:
    """Sums of customers who lie in several parts."""
    x = np.sort(np.asarray(amounts, dtype=np.float64))[::-1]
    rank = np.arange(x.size)
    some = [concentration.sums(rank[at], x[at], KEYS[at], x.size) for at in np.array_split(rank, parts) if at.size]
    fields = Sums.__dataclass_fields__
    return concentration.together(Sums(*[np.concatenate([getattr(part, name) for part in some]) for name in fields]))


def plain_share(amounts: np.ndarray, percent: float) -> float:
    """Sum the first customers' amounts one by one, the last of them in part."""
    ordered, upto = sorted(amounts, reverse=True), percent * len(amounts) / 100
    return sum(x * min(max(upto - place, 0), 1) for place, x in enumerate(ordered)) / sum(amounts)


def plain_gini(amounts: np.ndarray) -> float:
    """Half the mean difference of all pairs, over the mean."""
    x = np.asarray(amounts, dtype=np.float64)
    return float(np.mean([np.abs(x - one).mean() for one in x]) / 2 / x.mean())


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60).filter(any), st.integers(1, 4))
def test_shares_and_the_coefficient_are_those_of_plain_sums(amounts: list[int], parts: int) -> None:
    points, gini = concentration.shares(cells(np.array(amounts), parts))
    assert [point.value for point in points] == pytest.approx([plain_share(amounts, percent) for percent in PERCENT])
    assert gini.value == pytest.approx(plain_gini(amounts), abs=1e-12)


def test_of_many_customers_they_are_exact_too_though_cells_hold_several() -> None:
    amounts = np.random.default_rng(1).lognormal(0, 1.5, 6_007)
    sums = cells(amounts, parts=7)
    assert sums.cell.size < 1_100
    points, gini = concentration.shares(sums)
    assert [point.value for point in points] == pytest.approx([plain_share(amounts, percent) for percent in PERCENT])
    assert gini.value == pytest.approx(plain_gini(amounts), rel=1e-12)


@pytest.mark.parametrize("customers", [300, 6_000])
def test_intervals_are_those_of_customers_drawn_anew(customers: int) -> None:
    amounts = np.random.default_rng(2).lognormal(0, 1, customers)
    random = np.random.default_rng(3)
    drawn = []
    for _ in range(1000):
        x = np.sort(random.choice(amounts, customers))[::-1]
        upto = np.cumsum(x) / x.sum()
        gini = (customers - 1) / customers - 2 * (np.arange(customers) @ x) / (customers * x.sum())
        drawn.append([upto[customers // 100 - 1], upto[customers // 10 - 1], upto[customers // 2 - 1], gini])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    points, gini = concentration.shares(cells(amounts, parts=3))
    found = [points[PERCENT.index(percent)] for percent in (1, 10, 50)] + [gini]
    width = high - low
    assert [one.low for one in found] == pytest.approx(low, abs=0.2 * width.max())
    assert (np.abs([one.low for one in found] - low) < 0.2 * width).all()
    assert (np.abs([one.high for one in found] - high) < 0.2 * width).all()


def test_each_customer_counts_once_on_average_and_each_replicate_differs() -> None:
    weights = np.hstack([concentration._weights(KEYS, number) for number in range(3)])
    assert weights.mean(axis=0) == pytest.approx(np.ones(12), abs=0.02)
    assert weights.var(axis=0) == pytest.approx(np.ones(12), abs=0.03)
    assert np.abs(np.corrcoef(weights.T) - np.eye(12)).max() < 0.02


def test_what_has_no_share_is_refused_and_one_customer_has_no_interval() -> None:
    for amounts in ([0, 0], [3, -4]):
        with pytest.raises(ValueError, match="all customers together have none"):
            concentration.shares(cells(np.array(amounts)))
    points, gini = concentration.shares(cells(np.array([5.0])))
    assert (points[-1].value, gini.value) == (1.0, 0.0)
    assert np.isnan([points[-1].low, gini.high]).all()
