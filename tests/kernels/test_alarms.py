"""Windows found and false alarms against hand-counted cases, and against flags that are joined one threshold at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_spark.kernels import alarms

NONE = np.empty((0, 2))


def counted(scores: np.ndarray, hours: np.ndarray, windows: np.ndarray, threshold: float) -> tuple[int, int]:
    """Windows found and false alarms at one threshold, by a plain walk along the flags."""
    skipped = min(int(0.15 * len(scores)), 750)
    order = sorted(range(len(scores)), key=lambda at: hours[at])[skipped:]
    flagged = [hours[at] for at in order if scores[at] >= threshold]
    found = sum(any(first <= hour <= last for hour in flagged) for first, last in windows)
    outside = [hour for hour in flagged if not any(first <= hour <= last for first, last in windows)]
    ends = [None, *outside]
    return found, sum(end is None or hour - end >= 6 for end, hour in zip(ends, outside, strict=False))


def raised(judged: alarms.Judged, threshold: float) -> int:
    return int(((judged.low < threshold) & (threshold <= judged.high)).sum())


def test_flags_under_six_hours_apart_are_one_false_alarm_and_six_hours_are_two() -> None:
    hours = np.array([0.0, 5.9, 11.8, 17.8])
    judged = alarms.judge(np.ones(4), hours, NONE)
    assert raised(judged, 1.0) == 2


def test_a_flag_between_two_joins_them_at_a_lower_threshold() -> None:
    judged = alarms.judge(np.array([3.0, 1.0, 3.0]), np.array([0.0, 5.0, 10.0]), NONE)
    assert [raised(judged, threshold) for threshold in (3.5, 3.0, 1.0)] == [0, 2, 1]


def test_the_first_points_do_not_count_neither_as_alarms_nor_as_found() -> None:
    scores = np.zeros(20)
    scores[[0, 2]] = 9.0  # 15 % of 20 are 3
    judged = alarms.judge(scores, np.arange(20.0) * 10, np.array([[15.0, 25.0], [25.0, 30.0]]))
    assert (judged.peaks.tolist(), raised(judged, 9.0)) == ([-np.inf, 0.0], 0)
    long = np.zeros(10_000)
    long[[749, 750]] = 9.0  # 750 at most
    assert raised(alarms.judge(long, np.arange(10_000.0), NONE), 9.0) == 1


def test_a_point_at_either_end_of_a_window_finds_it_and_is_no_false_alarm() -> None:
    judged = alarms.judge(np.array([1.0, 5, 1, 4, 1]), np.arange(5.0) * 10, np.array([[10.0, 30.0]]))
    assert (judged.peaks.tolist(), raised(judged, 4.0)) == ([5.0], 0)


def test_what_has_no_score_is_never_flagged() -> None:
    judged = alarms.judge(np.array([np.nan, np.nan]), np.array([0.0, 1.0]), np.array([[1.0, 2.0]]))
    assert (judged.peaks.tolist(), judged.high.size) == ([-np.inf], 0)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_threshold_is_judged_as_by_a_walk_along_its_flags(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 40))
    scores = np.array(data.draw(st.lists(st.integers(0, 6), min_size=n, max_size=n)), dtype=float)
    hours = np.array(data.draw(st.lists(st.integers(0, 60), min_size=n, max_size=n)), dtype=float)
    first = data.draw(st.integers(0, 60))
    windows = np.array([[first, first + data.draw(st.integers(0, 20))]], dtype=float)
    judged = alarms.judge(scores, hours, windows)
    for threshold in range(7):
        found, false = counted(scores, hours, windows, threshold)
        assert (int((judged.peaks >= threshold).sum()), raised(judged, threshold)) == (found, false)


def test_recall_ends_where_the_budget_is_first_exceeded_though_lower_thresholds_join_the_alarms() -> None:
    # False alarms at 9 (one), at 7 (two, then three); all flags from 1 on are a single one. Windows at 8, 6.
    hours = np.arange(0.0, 70.0, 5.0)
    scores = np.array([1.0, 1, 1, 9, 1, 8, 7, 1, 7, 1, 6, 1, 1, 1])
    windows = np.array([[25.0, 25.0], [50.0, 50.0]])
    judged = [alarms.judge(scores, hours, windows)]
    assert [alarms.limit(judged, budget) for budget in (0, 1, 2, 3)] == [9.0, 7.0, 7.0, -np.inf]
    assert [alarms.recall(judged, budget) for budget in (0, 1, 3)] == [0.0, 0.5, 1.0]


def test_one_threshold_holds_in_all_series_and_the_budget_is_their_mean() -> None:
    hours = np.arange(4.0) * 10
    loud = alarms.judge(np.array([0.0, 9, 8, 7]), hours, NONE)
    quiet = alarms.judge(np.array([0.0, 1, 6, 2]), hours, np.array([[20.0, 20.0]]))
    assert alarms.limit([loud, quiet], 1.0) == 7.0  # three of two series
    assert alarms.recall([loud, quiet], 1.0) == 0.0
    assert alarms.recall([loud, quiet], 1.5) == 1.0
    assert alarms.recall([loud, quiet], 1.0, np.array([1, 2])) == 1.0  # as if the quiet one were there twice
    assert np.isnan(alarms.recall([loud], 1.0))


def test_a_detector_that_finds_all_differs_by_what_the_other_misses_and_from_itself_by_nothing() -> None:
    hours, random = np.arange(20.0) * 10, np.random.default_rng(1)
    windows = np.array([[100.0, 110.0]])
    noise = [random.random(20) for _ in range(30)]
    finds = [np.where((hours >= 100) & (hours <= 110), 2.0, one) for one in noise]
    misses = [np.where((hours >= 100) & (hours <= 110), 2.0 * (at % 2), one) for at, one in enumerate(noise)]
    ours, theirs = ([alarms.judge(one, hours, windows) for one in each] for each in (finds, misses))
    found = alarms.compare(ours, theirs, 0.5)
    assert found.mean == pytest.approx(0.5)
    # The share of 30 series, each missed or not: a binomial one.
    spread = 1.96 * np.sqrt(0.25 / 30)
    assert (found.low, found.high) == pytest.approx((0.5 - spread, 0.5 + spread), abs=0.04)
    assert found.share_above == 1.0
    assert alarms.compare(ours, ours, 0.5) == alarms.Difference(0.0, 0.0, 0.0, 0.0)
