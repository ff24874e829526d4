"""Ranking by scores: areas are scikit-learn's, gains those of a plain walk down the list."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from crm_spark.kernels import ranking

ROWS = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40)


@given(ROWS)
def test_the_area_is_that_of_scikit_learn_also_where_scores_are_equal(rows: list[tuple[int, bool]]) -> None:
    scores, is_true = np.array([float(score) for score, _ in rows]), np.array([hit for _, hit in rows])
    if is_true.all() or not is_true.any():
        assert np.isnan(ranking.area(scores, is_true))
    else:
        assert ranking.area(scores, is_true) == pytest.approx(roc_auc_score(is_true, scores), abs=1e-12)


def test_gains_are_counted_down_the_list() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    is_true = np.array([True, False, True, True, False, False, False, False, False, True])
    counted = [sum(is_true[:first]) / 4 for first in (2, 4, 6, 8, 10)]
    turned = np.random.default_rng(1).permutation(10)
    assert ranking.gains(scores[turned], is_true[turned], 5).tolist() == pytest.approx(counted)
    # Of equal scores none comes first: each part has its share.
    assert ranking.gains(np.ones(10), is_true, 5).tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert np.isnan(ranking.gains(scores, np.zeros(10, dtype=bool))).all()
