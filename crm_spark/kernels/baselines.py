"""Plain forecasts, which any other must beat, and those for series that are mostly zero.

Many series at once, time along the first axis, each ending in the last row; NaN is missing, and stands before a series.
Means come with the standard deviation of what will be off.

References
----------
Croston, J. D. (1972). Forecasting and Stock Control for Intermittent Demands. Operational Research Quarterly 23(3).
Syntetos, A. A., Boylan, J. E. (2005). The Accuracy of Intermittent Demand Estimates. International Journal of
Forecasting 21(2), 303-314.
Teunter, R. H., Syntetos, A. A., Babai, M. Z. (2011). Intermittent Demand: Linking Forecasting to Inventory
Obsolescence. European Journal of Operational Research 214(3), 606-615.
"""

from collections.abc import Callable, Mapping

import numpy as np

from crm_spark.kernels.arithmetic import add_up, ratio
from crm_spark.kernels.likelihood import Floats

ALPHA = 0.1  # by which share a new value moves what was expected, of series that are mostly zero

Told = tuple[Floats, Floats]  # mean and standard deviation, (horizon, n) each


def mean(values: Floats, horizon: int, season: int) -> Told:
    """Expect the mean of all known values."""
    known = _count(values)
    level = ratio(_summed(values), known)
    off = np.sqrt(
        ratio(_summed((values - level) ** 2), np.where(known > 1, known - 1, 0)) * (1 + 1 / np.maximum(known, 1))
    )
    return _flat(level, horizon), _flat(off, horizon)


def naive(values: Floats, horizon: int, season: int) -> Told:
    """Expect the last known value."""
    level = np.full(values.shape[1], np.nan)
    for row in values:
        level = np.where(np.isnan(row), level, row)
    ahead = np.arange(1.0, horizon + 1)[:, None]
    return _flat(level, horizon), _rms(_apart(values, 1)) * np.sqrt(ahead)


def seasonal_naive(values: Floats, horizon: int, season: int) -> Told:
    """Expect the last known value of the same season; NaN where there is none."""
    last = np.full((season, values.shape[1]), np.nan)
    for at, row in enumerate(values):
        place = (at - len(values)) % season
        last[place] = np.where(np.isnan(row), last[place], row)
    ahead = np.arange(horizon)
    off = _rms(_apart(values, season)) * np.sqrt(ahead // season + 1.0)[:, None]
    return last[ahead % season], off


def croston(values: Floats, horizon: int, season: int) -> Told:
    """Expect the mean size of what is not zero, by the mean time between."""
    return _intermittent(values, horizon, 1.0)


def sba(values: Floats, horizon: int, season: int) -> Told:
    """Expect what Croston's method does, less its bias (Syntetos and Boylan)."""
    return _intermittent(values, horizon, 1 - ALPHA / 2)


def tsb(values: Floats, horizon: int, season: int, alpha: float = ALPHA, beta: float = ALPHA) -> Told:
    """Expect the mean size by how likely there is any, which falls while there is none (Teunter, Syntetos, Babai).

    `alpha` is for sizes, `beta` for the probability.
    """
    size, chance, squares, seen = (np.full(values.shape[1], start) for start in (np.nan, np.nan, 0.0, 0.0))
    for row in values:
        known, some = ~np.isnan(row), row > 0
        is_told = known & ~np.isnan(size * chance)
        squares, seen = squares + np.where(is_told, row - size * chance, 0.0) ** 2, seen + is_told
        size = np.where(some, np.where(np.isnan(size), row, size + alpha * (row - size)), size)
        told = np.where(np.isnan(chance), some, chance + beta * (some - chance))
        chance = np.where(known, told, chance)
    level = np.where(np.isnan(size), np.where(np.isnan(chance), np.nan, 0.0), size * chance)
    return _flat(level, horizon), _flat(np.sqrt(ratio(squares, seen)), horizon)


def _intermittent(values: Floats, horizon: int, bias: float) -> Told:
    size, gap, squares, seen = (np.full(values.shape[1], start) for start in (np.nan, np.nan, 0.0, 0.0))
    since = np.ones(values.shape[1])
    for row in values:
        known, some = ~np.isnan(row), row > 0
        is_told = known & ~np.isnan(size)
        squares, seen = squares + np.where(is_told, row - bias * size / gap, 0.0) ** 2, seen + is_told
        is_first = some & np.isnan(size)
        size = np.where(is_first, row, np.where(some, size + ALPHA * (row - size), size))
        gap = np.where(is_first, since, np.where(some, gap + ALPHA * (since - gap), gap))
        since = np.where(some, 1.0, since + known)
    level = np.where(np.isnan(size), np.where(_count(values) > 0, 0.0, np.nan), bias * size / gap)
    return _flat(level, horizon), _flat(np.sqrt(ratio(squares, seen)), horizon)


METHODS: Mapping[str, Callable[[Floats, int, int], Told]] = {
    "mean": mean,
    "naive": naive,
    "seasonal_naive": seasonal_naive,
    "croston": croston,
    "sba": sba,
    "tsb": tsb,
}


def scale(values: Floats, season: int) -> tuple[Floats, Floats]:
    """Give what errors are measured by: mean absolute and mean squared error of the seasonal naive forecast, (n,).

    Where there is no cycle yet, of the naive one. 0 where nothing moves.
    """
    found = []
    for power in (1, 2):
        one, cycle = (_mean_of(np.abs(_apart(values, lag)) ** power) for lag in (1, season))
        found.append(np.where(np.isnan(cycle), one, cycle))
    return found[0], found[1]


def _apart(values: Floats, lag: int) -> Floats:
    return values[lag:] - values[:-lag] if len(values) > lag else np.full((1, values.shape[1]), np.nan)


def _summed(rows: Floats) -> Floats:
    """Sum up what is known."""
    return add_up(np.where(np.isnan(rows), 0.0, rows))


def _count(rows: Floats) -> Floats:
    return np.asarray((~np.isnan(rows)).sum(axis=0), dtype=np.float64)


def _mean_of(rows: Floats) -> Floats:
    return ratio(_summed(rows), _count(rows))


def _rms(rows: Floats) -> Floats:
    return np.sqrt(_mean_of(rows * rows))


def _flat(level: Floats, horizon: int) -> Floats:
    return np.repeat(level[None], horizon, axis=0)
