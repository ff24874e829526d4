"""How many anomalies a detector finds, and how many false alarms it raises for that.

A detector gives each point of a series a score. Whoever flags all scores from a threshold on finds an anomaly, which is
a window of time, where a point within it is flagged; flagged points outside of windows are false alarms, of which those
less than some hours apart are one. Each false alarm begins with a point before which no other was flagged in these
hours: so it is one for thresholds between the highest score in the hours before, and its own. Counted so, all
thresholds are judged at once.

A low threshold joins all flags to one alarm. So thresholds are gone through from the highest down, and the budget of
false alarms ends where it is first exceeded.

References
----------
Lavin, A., Ahmad, S. (2015). Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark. ICMLA.
Efron, B., Tibshirani, R. (1993). An Introduction to the Bootstrap. Chapman & Hall.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels.likelihood import Floats

JOINED = 6.0  # hours
SHARE, POINTS = 0.15, 750  # first ones that do not count


@dataclass(frozen=True)
class Judged:
    """A series judged at every threshold.

    Parameters
    ----------
    peaks : (w,) array
        The highest score in each window: it is found by thresholds up to that.
    low, high : (k,) arrays
        Each false alarm is raised by thresholds above `low` and up to `high`.
    """

    peaks: Floats
    low: Floats
    high: Floats


def judge(scores: Floats, hours: Floats, windows: Floats, joined: float = JOINED) -> Judged:
    """Judge the scores of a series.

    Parameters
    ----------
    scores : (n,) array
        The higher, the less usual; NaN is not flagged by any threshold.
    hours : (n,) array
        When the points are, in any order.
    windows : (w, 2) array
        Hours of the first and the last point of each anomaly.
    joined : float, default 6
        False alarms less than so many hours apart are one.

    Returns
    -------
    Judged
        The first 15 % of points, 750 at most, do not count.
    """
    order = np.argsort(hours, kind="stable")
    skipped = min(int(SHARE * scores.size), POINTS)
    scores, hours = (np.asarray(each, dtype=np.float64)[order][skipped:] for each in (scores, hours))
    scores = np.where(np.isnan(scores), -np.inf, scores)
    is_in = (hours >= windows[:, :1]) & (hours <= windows[:, 1:])
    peaks = np.where(is_in, scores, -np.inf).max(axis=1, initial=-np.inf)
    is_out = ~is_in.any(axis=0)
    before = _highest_before(scores[is_out], hours[is_out], joined)
    is_alarm = scores[is_out] > before
    return Judged(peaks, before[is_alarm], scores[is_out][is_alarm])


def _highest_before(scores: Floats, hours: Floats, within: float) -> Floats:
    """The highest score of the points before each, less than so many hours ago: of spans of 1, 2, 4, ... points two."""
    here = np.arange(scores.size)
    first = np.searchsorted(hours, hours - within, side="right")
    size = here - first
    highest, spans, span = np.full(scores.size, -np.inf), scores, 1
    while span <= size.max(initial=0):
        is_covered = (size >= span) & (size < 2 * span)
        highest[is_covered] = np.maximum(spans[first[is_covered]], spans[here[is_covered] - span])
        spans = np.maximum(spans[:-span], spans[span:])
        span *= 2
    return highest


def limit(judged: Sequence[Judged], budget: float, times: NDArray[np.int64] | None = None) -> float:
    """Give the score that is to be exceeded, the same in all series, so that there are no more false alarms.

    Parameters
    ----------
    judged : sequence of Judged
    budget : float
        False alarms of a series, on average.
    times : (s,) array of int, optional
        How often each series counts.

    Returns
    -------
    float
        The highest threshold with more false alarms than that; below it none is looked at. Minus infinity if there is
        none.
    """
    times = np.ones(len(judged), dtype=np.int64) if times is None else times
    return _limit(*_changes(judged), times, budget)


def _changes(judged: Sequence[Judged]) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Changes of the number of false alarms from the highest threshold down: where, by how much, in which series."""
    at = np.concatenate([each for one in judged for each in (one.high, one.low)])
    by = np.concatenate([np.full(one.high.size, sign) for one in judged for sign in (1, -1)])
    of = np.repeat(np.arange(len(judged)), [2 * one.high.size for one in judged])
    order = np.argsort(-at, kind="stable")
    return at[order], by[order], of[order]


def _limit(at: Floats, by: NDArray[np.int64], of: NDArray[np.int64], times: NDArray[np.int64], budget: float) -> float:
    alarms = np.cumsum(by * times[of])
    is_last = np.append(at[1:] != at[:-1], True)  # of equal scores all are flagged, or none
    beyond = is_last & (alarms > budget * times.sum())
    return float(at[beyond.argmax()]) if beyond.any() else -np.inf


def recall(judged: Sequence[Judged], budget: float, times: NDArray[np.int64] | None = None) -> float:
    """Give the share of windows that are found at no more than so many false alarms a series.

    Parameters are those of `limit`. NaN where there is no window.
    """
    times = np.ones(len(judged), dtype=np.int64) if times is None else times
    return _recall(judged, limit(judged, budget, times), times)


def _recall(judged: Sequence[Judged], beyond: float, times: NDArray[np.int64]) -> float:
    found = np.array([(one.peaks > beyond).sum() for one in judged])
    windows = np.array([one.peaks.size for one in judged])
    return float(found @ times / (windows @ times)) if windows @ times else np.nan


@dataclass(frozen=True)
class Difference:
    """How much more one detector finds than another, with what chance of series leaves open."""

    mean: float
    low: float
    high: float
    share_above: float


def compare(
    ours: Sequence[Judged], theirs: Sequence[Judged], budget: float, draws: int = 2000, seed: int = 1
) -> Difference:
    """Compare the recall of two detectors on the same series, by a paired bootstrap over series.

    Parameters
    ----------
    ours, theirs : sequence of Judged
        Of the same series, in the same order.
    budget : float
        False alarms of a series, on average: in each draw both keep to it by thresholds of their own.
    draws : int, default 2000
        Of as many series as there are, with replacement.
    seed : int

    Returns
    -------
    Difference
        Of recall: as it is, the limits of 95 % of the draws, and the share of draws in which ours finds more.
    """
    random = np.random.default_rng(seed)
    changes = [_changes(one) for one in (ours, theirs)]
    drawn = np.empty(draws)
    for draw in range(draws):
        times = np.bincount(random.integers(0, len(ours), len(ours)), minlength=len(ours))
        limits = [_limit(*one, times, budget) for one in changes]
        drawn[draw] = _recall(ours, limits[0], times) - _recall(theirs, limits[1], times)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    mean = recall(ours, budget) - recall(theirs, budget)
    return Difference(mean, float(low), float(high), float((drawn > 0).mean()))
