"""Isolation forest against scikit-learn's, and against the constants of the paper."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.ensemble import IsolationForest

from crm_spark.kernels import isolation_forest


def points(n: int = 600) -> np.ndarray:
    """A round cloud, and at its end twelve points that lie apart."""
    random = np.random.default_rng(3)
    return np.concatenate([random.normal(size=(n - 12, 3)), random.uniform(-9, 9, size=(12, 3))])


def test_the_mean_way_is_that_of_the_paper() -> None:
    # c(n) by its sums of harmonic numbers, exactly; the paper takes ln for them, which is off by a little.
    exact = [2 * sum(1 / k for k in range(1, n)) - 2 * (n - 1) / n for n in (256, 1000)]
    assert isolation_forest.mean_way(np.array([0.0, 1.0, 2.0])).tolist() == [0.0, 0.0, 1.0]
    assert isolation_forest.mean_way(np.array([256.0, 1000.0])) == pytest.approx(exact, rel=5e-4)
    assert isolation_forest.mean_way(np.array(256.0)) == pytest.approx(10.244770920, abs=1e-8)  # scikit-learn's tests


def test_scores_are_those_of_scikit_learn_but_for_chance() -> None:
    told, n = points(), 8
    ours = [isolation_forest.score(isolation_forest.fit(told, seed), told) for seed in range(n)]
    theirs = [
        -IsolationForest(n_estimators=100, max_samples=256, random_state=seed).fit(told).score_samples(told)
        for seed in range(n)
    ]
    mine, other = np.mean(ours, axis=0), np.mean(theirs, axis=0)
    # Of eight forests each: their means differ by less than four standard errors almost everywhere.
    error = np.sqrt((np.var(ours, axis=0, ddof=1) + np.var(theirs, axis=0, ddof=1)) / n)
    assert (np.abs(mine - other) < 4 * error).mean() > 0.98
    of_mine, of_other = (np.mean(each, axis=1) for each in (ours, theirs))
    error_of_mean = np.sqrt((of_mine.var(ddof=1) + of_other.var(ddof=1)) / n)
    assert mine.mean() == pytest.approx(other.mean(), abs=4 * error_of_mean)
    assert spearmanr(mine, other).statistic > 0.98
    assert set(np.argsort(mine)[-10:]) <= set(range(588, 600))


def test_each_tree_is_one_that_the_paper_grows() -> None:
    told = points(300)
    forest = isolation_forest.fit(told, 1, trees=7, most=64)
    assert forest.attribute.shape == (7, 2**7 - 1)
    for attribute, cut, way in zip(forest.attribute, forest.cut, forest.way, strict=True):
        leaves = np.flatnonzero(attribute == isolation_forest.LEAF)
        assert np.isnan(cut[leaves]).all()
        assert (np.bincount(leaves, minlength=127)[63:] == 1).all()  # none is cut below the height
        assert way[0] == pytest.approx(isolation_forest.mean_way(np.array(64.0)))


def test_the_same_seed_gives_the_same_forest_and_another_gives_another() -> None:
    one, same, other = (isolation_forest.score(isolation_forest.fit(points(), seed), points()) for seed in (1, 1, 2))
    assert one.tolist() == same.tolist()
    assert one.tolist() != other.tolist()


def test_points_that_are_all_alike_are_all_as_common() -> None:
    forest = isolation_forest.fit(np.ones((50, 2)), 1)
    assert isolation_forest.score(forest, np.array([[1.0, 1.0], [5.0, 1.0]])) == pytest.approx([0.5, 0.5])


def test_what_is_not_finite_has_no_score_and_teaches_nothing() -> None:
    forest = isolation_forest.fit(points(), 1)
    asked = np.array([[0.0, np.nan, 0.0], [0.0, 0.0, 0.0], [np.inf, 0.0, 0.0]])
    assert np.isnan(isolation_forest.score(forest, asked)).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="2 or more points, all of them finite, got 3"):
        isolation_forest.fit(asked, 1)
    with pytest.raises(ValueError, match="got 1"):
        isolation_forest.fit(asked[1:2], 1)
