"""Contributions of features to what a forest says: the published example, all coalitions by plain loops, the axioms."""

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_spark.kernels import forest, forest_shapley
from tests.kernels import trees

FEVER, COUGH = 0, 1


def explained(text: str, points: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, float]:
    """Contributions, and the mean over the background of what the forest says."""
    grown = forest.read(text, points.shape[1])
    patterns = forest_shapley.patterns(grown)
    table, mean = forest_shapley.contributions(grown, patterns.counts(background))
    return patterns.sums(points, table), mean


def says(grown: list[trees.Tree], customer: np.ndarray | list[float]) -> float:
    return sum(trees.says(tree, customer) for tree in grown) / len(grown)


def random_shop(seed: int, features: int = 8, depth: int = 6, grown: int = 3) -> tuple[list[trees.Tree], np.ndarray]:
    random = np.random.default_rng(seed)
    forest_ = [trees.grown(random, features, depth) for _ in range(grown)]
    # Numbers of one digit: many lie on a threshold.
    return forest_, np.round(random.normal(size=(12, features)), 1)


@pytest.mark.parametrize(("bonus", "mean", "fever", "cough"), [(0.0, 20.0, 30.0, 30.0), (10.0, 25.0, 30.0, 35.0)])
def test_fever_and_cough_contribute_as_published(bonus: float, mean: float, fever: float, cough: float) -> None:
    """Lundberg, Erion, Lee (2018), Consistent Individualized Feature Attribution for Tree Ensembles, figure 1."""
    tree = (COUGH, 0.5, 0.0, (FEVER, 0.5, bonus, 80.0 + bonus))
    everybody = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    found, base = explained(trees.text([tree]), everybody, everybody)
    assert base == pytest.approx(mean)
    assert base + found.sum(axis=1) == pytest.approx([0, bonus, 0, 80 + bonus])
    assert found[-1] == pytest.approx([fever, cough])


@pytest.mark.parametrize("seed", range(2))
def test_contributions_are_those_of_all_coalitions_of_eight_features(seed: int) -> None:
    grown, customers = random_shop(seed)
    found, _ = explained(trees.text(grown), customers, customers)

    for row, customer in enumerate(customers[:3]):
        v = {
            coalition: sum(
                says(grown, [customer[j] if j in coalition else other[j] for j in range(8)]) for other in customers
            )
            / 12
            for size in range(9)
            for coalition in combinations(range(8), size)
        }
        expected = [
            sum(
                factorial(len(s)) * factorial(7 - len(s)) / factorial(8) * (v[tuple(sorted((*s, j)))] - worth)
                for s, worth in v.items()
                if j not in s
            )
            for j in range(8)
        ]
        assert found[row] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(0, 6))
def test_contributions_add_up_and_what_no_tree_asks_for_has_none(seed: int, features: int, depth: int) -> None:
    grown, customers = random_shop(seed, features, depth)
    found, mean = explained(trees.text(grown), customers, customers)
    told = np.array([says(grown, customer) for customer in customers])
    assert mean + found.sum(axis=1) == pytest.approx(told, rel=1e-9)
    assert mean == pytest.approx(told.mean(), rel=1e-9)
    assert found.sum(axis=0) == pytest.approx(np.zeros(features), abs=1e-9), "the mean customer is the background's"
    asked = {feature for leaf in forest.read(trees.text(grown), features).leaves for feature in leaf.within}
    assert all(not found[:, feature].any() for feature in set(range(features)) - asked)


def test_a_background_in_parts_is_the_sum_of_its_parts_and_a_weight_is_as_many_customers() -> None:
    grown, customers = random_shop(3)
    read = forest.read(trees.text(grown), 8)
    patterns = forest_shapley.patterns(read)
    parts = [patterns.counts(part) for part in (customers[:5], customers[5:])]
    assert list(sum(parts)) == list(patterns.counts(customers))
    doubled = forest_shapley.contributions(read, parts[0] + 2 * parts[1])[0]
    again = np.concatenate([customers, customers[5:]])
    assert doubled == pytest.approx(forest_shapley.contributions(read, patterns.counts(again))[0])


def test_more_customers_than_fit_at_once_are_told_the_same() -> None:
    grown, customers = random_shop(4)
    many = np.repeat(customers, 400, axis=0)
    few, all_ = (explained(trees.text(grown), points, customers)[0] for points in (customers, many))
    assert (all_ == np.repeat(few, 400, axis=0)).all()


def test_trees_that_are_too_deep_and_texts_of_other_models_are_refused() -> None:
    deep: trees.Tree = 1.0
    for feature in range(9):
        deep = (feature, 0.0, deep, 2.0)
    with pytest.raises(ValueError, match="at most 8 features"):
        forest_shapley.patterns(forest.read(trees.text([deep]), 9))
    for text in ("", "KMeansModel: uid=1", trees.text([1.0]).replace("Predict: 1.0", "If (feature 0 in {1.0})")):
        with pytest.raises(ValueError, match="no forest of numeric features"):
            forest.read(text, 3)
