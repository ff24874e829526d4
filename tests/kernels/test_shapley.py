"""Shapley values: published games, and the definition over all orders."""

from itertools import permutations
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crm_spark.kernels import shapley

PARTS = arrays(np.float64, (6, 5), elements=st.floats(0, 50))


def test_the_airport_game_is_paid_as_published() -> None:
    """Littlechild & Owen (1973): who needs a longer runway shares each stretch with all who need it too."""
    costs = [1.0, 4.0, 10.0]
    v = np.array(
        [
            max([cost for cost, is_in in zip(costs, who, strict=True) if is_in], default=0.0)
            for who in shapley.members(3)
        ]
    )
    assert v @ shapley.operator(3) == pytest.approx([1 / 3, 1 / 3 + 3 / 2, 1 / 3 + 3 / 2 + 6])


def test_the_glove_game_is_paid_as_published() -> None:
    """Shapley & Shubik (1969): one right glove, two left ones; a pair is worth 1."""
    v = np.array([float(right and (one or other)) for right, one, other in shapley.members(3)])
    assert v @ shapley.operator(3) == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_a_change_is_attributed_as_the_mean_of_all_orders_of_changing_the_parts() -> None:
    """Dietzenbacher & Los (1998): the mean of all n! decompositions."""
    random = np.random.default_rng(1)
    before, now = random.gamma(2, size=(2, 7, 5))
    for row, (one, other) in enumerate(zip(before, now, strict=True)):
        expected, orders = np.zeros(5), list(permutations(range(5)))
        for order in orders:
            at = list(one)
            for part in order:
                was = prod(at)
                at[part] = other[part]
                expected[part] += (prod(at) - was) / len(orders)
        assert shapley.between(before, now)[row] == pytest.approx(expected, rel=1e-9)


def test_a_product_is_attributed_against_a_population_as_by_going_through_everybody() -> None:
    """Each customer of the population takes the place of what is not known, in all orders."""
    parts = np.random.default_rng(2).gamma(2, size=(5, 4))
    found = shapley.against_population(parts, shapley.products(parts).mean(axis=0))
    for row, customer in enumerate(parts):
        expected, orders = np.zeros(4), list(permutations(range(4)))
        for order in orders:
            for other in parts:
                at = list(other)
                for part in order:
                    was = prod(at)
                    at[part] = customer[part]
                    expected[part] += (prod(at) - was) / len(orders) / len(parts)
        assert found[row] == pytest.approx(expected, rel=1e-9)


@given(PARTS, PARTS)
def test_contributions_add_up_and_a_part_that_is_as_it_was_has_none(before: np.ndarray, now: np.ndarray) -> None:
    now[:, 2] = before[:, 2]
    changes = shapley.between(before, now)
    most = np.maximum(before, now).prod(axis=1) + 1
    assert (np.abs(changes.sum(axis=1) - now.prod(axis=1) + before.prod(axis=1)) <= 1e-12 * most).all()
    assert (np.abs(changes[:, 2]) <= 1e-12 * most).all()
    means = shapley.products(now).mean(axis=0)
    against = shapley.against_population(now, means)
    most = now.max(axis=0).prod() + 1
    assert np.abs(means[-1] + against.sum(axis=1) - now.prod(axis=1)).max() <= 1e-12 * most
    assert np.abs(against.mean(axis=0)).max() <= 1e-12 * most, "the mean customer is the population's"


def test_what_one_part_has_less_of_for_all_and_another_more_changes_no_contribution() -> None:
    parts = np.random.default_rng(4).gamma(2, size=(9, 5))
    parts[:, 4] = 1.0  # all have the same margin
    other = parts * [1, 1, 4, 1, 0.25]
    found = [shapley.against_population(rows, shapley.products(rows).mean(axis=0)) for rows in (parts, other)]
    assert found[0] == pytest.approx(found[1], rel=1e-9, abs=1e-12)
    assert found[0][:, 4] == pytest.approx(np.zeros(9), abs=1e-12 * parts.prod(axis=1).max())
