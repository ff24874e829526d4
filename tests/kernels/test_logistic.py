"""Logistic regression: its models are scikit-learn's, learned from all rows but those of a fold."""

from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from crm_spark.kernels import logistic
from crm_spark.kernels.likelihood import Flags, Floats

FOLDS = 3


def rows(count: int = 400, slope: float = 1.0) -> tuple[Floats, Flags, Floats]:
    """Scaled columns, what is chosen, and folds."""
    random = np.random.default_rng(5)
    raw = np.column_stack([random.normal(30, 9, count), random.integers(0, 2, count), random.exponential(1e4, count)])
    chance = 1 / (1 + np.exp(-slope * ((raw[:, 0] - 30) / 9 + raw[:, 1] - 1)))
    mean, spread = logistic.scale(count, raw.sum(axis=0), (raw**2).sum(axis=0))
    return (raw - mean) / spread, random.random(count) < chance, random.integers(0, FOLDS, count)


@pytest.mark.parametrize(("slope", "penalty"), [(1.0, 0.01), (40.0, 1e-6), (0.0, 1.0)])
def test_each_model_is_that_of_scikit_learn_without_its_fold(slope: float, penalty: float) -> None:
    points, is_true, fold = rows(slope=slope)
    learned = np.array([(fold != one).sum() for one in range(FOLDS)])
    found = logistic.search(partial(logistic.sums, points, is_true, fold), learned, points.shape[1], penalty)
    for one in range(FOLDS):
        kept = fold != one
        peer = LogisticRegression(C=1 / (penalty * kept.sum()), tol=1e-10, max_iter=10_000)
        peer.fit(points[kept], is_true[kept])
        assert found[one] == pytest.approx([*peer.intercept_, *peer.coef_[0]], rel=1e-3, abs=1e-4)


def test_sums_of_parts_add_up_to_those_of_all() -> None:
    points, is_true, fold = rows(60)
    models = np.random.default_rng(1).normal(size=(FOLDS, 4))
    whole = logistic.sums(points, is_true, fold, models)
    parts = [logistic.sums(points[at], is_true[at], fold[at], models) for at in (slice(0, 7), slice(7, 60))]
    assert sum(part.hessian for part in parts) == pytest.approx(whole.hessian)
    assert sum(part.gradient for part in parts) == pytest.approx(whole.gradient)
    assert sum(part.loss for part in parts) == pytest.approx(whole.loss)


def test_columns_that_tell_all_or_nothing_and_one_choice_of_all_end_in_numbers() -> None:
    is_true = np.arange(60) % 2 == 0
    mean, spread = logistic.scale(60, np.array([30.0, 180.0]), np.array([30.0, 540.0]))
    assert (mean.tolist(), spread.tolist()) == ([0.5, 3.0], [0.5, 1.0])
    points = (np.column_stack([is_true, np.full(60, 3.0)]) - mean) / spread
    fold = np.arange(60) % FOLDS
    learned = np.full(FOLDS, 40)
    apart = logistic.search(partial(logistic.sums, points, is_true, fold), learned, 2, 0.01)
    assert np.isfinite(apart).all()
    assert (apart[:, 1] > 1).all()
    assert apart[:, 2].tolist() == [0.0] * FOLDS
    alike = logistic.search(partial(logistic.sums, points, np.ones(60, bool), fold), learned, 2, 0.01)
    assert (alike[:, 0] > 15).all()
    assert np.isfinite(alike).all()
