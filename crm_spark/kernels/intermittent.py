"""Forecasts of series that are mostly zero, and those that every other must beat, of many series at once.

Croston's method smooths the size of what is demanded and the time between demands apart; Syntetos and Boylan take off
its bias; Teunter, Syntetos and Babai smooth the probability of a demand instead, in every period, so that what is no
longer demanded fades. All forecast one number for every period to come.

References
----------
Croston, J. D. (1972). Forecasting and Stock Control for Intermittent Demands. Operational Research Quarterly 23(3).
Syntetos, A. A., Boylan, J. E. (2005). The Accuracy of Intermittent Demand Estimates. International Journal of
Forecasting 21(2), 303-314.
Teunter, R. H., Syntetos, A. A., Babai, M. Z. (2011). Intermittent Demand: Linking Forecasting to Inventory
Obsolescence. European Journal of Operational Research 214(3), 606-615.
"""

import numpy as np

from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.series import Ints, ended

SMOOTHING = 0.1


def naive(values: Floats, offsets: Ints, horizon: int, m: int = 1) -> Floats:
    """Repeat the last season of each series, or its last value.

    Parameters
    ----------
    values : (k,) array
        One series after the other, evenly spaced; NaN is missing.
    offsets : (n + 1,) array of int
        Where each begins, and the end of the last.
    horizon : int
        Periods after the end of each series, 1 or more.
    m : int, default 1
        Periods of a season.

    Returns
    -------
    (n, h) array
        The last value that is known m, 2 m, ... periods before; NaN where there is none.

    Raises
    ------
    ValueError
        The horizon or the season is below 1, or the offsets do not divide the values into series.
    """
    if horizon < 1 or m < 1:
        raise ValueError(f"horizon and season must be 1 or more, got {horizon} and {m}")
    aligned = ended(values, offsets)
    T = len(aligned)
    last = np.full((m, aligned.shape[1]), np.nan)
    for place in range(m):
        for at in range((T - m + place) % m, T, m):  # rows that lie whole seasons before
            last[place] = np.where(np.isnan(aligned[at]), last[place], aligned[at])
    return last[np.arange(horizon) % m].T


def croston(values: Floats, offsets: Ints, smoothing: float = SMOOTHING, is_unbiased: bool = False) -> Floats:
    """Forecast demand by its size over the time between demands.

    Parameters
    ----------
    values, offsets
        See `naive`; 0 or more. A missing period counts as time in which nothing is known to have been demanded.
    smoothing : float, default 0.1
        Weight of the newest size and interval, above 0 and at most 1.
    is_unbiased : bool, default False
        Whether to take off the bias, as Syntetos and Boylan do.

    Returns
    -------
    (n,) array
        Demand to expect in each period to come; 0 where there was none, NaN where no period is known.

    Raises
    ------
    ValueError
        The smoothing is out of its range, or the offsets do not divide the values into series.
    """
    _check(smoothing)
    aligned = ended(values, offsets)
    size, interval, since = np.zeros((3, aligned.shape[1]))
    is_begun = np.zeros(aligned.shape[1], dtype=bool)
    begin = len(aligned) - np.diff(offsets)
    for t, row in enumerate(aligned):
        since = np.where(t >= begin, since + 1, 0.0)
        is_demand = row > 0
        weight = np.where(is_begun, smoothing, 1.0)
        size = np.where(is_demand, size + weight * (row - size), size)
        interval = np.where(is_demand, interval + weight * (since - interval), interval)
        since = np.where(is_demand, 0.0, since)
        is_begun = is_begun | is_demand
    factor = 1 - smoothing / 2 if is_unbiased else 1.0
    told = np.where(is_begun, factor * size / np.where(is_begun, interval, 1.0), 0.0)
    return np.where(np.isnan(aligned).all(axis=0), np.nan, told)


def tsb(values: Floats, offsets: Ints, smoothing: float = SMOOTHING, chance_smoothing: float = SMOOTHING) -> Floats:
    """Forecast demand by its size times the probability of a demand, which fades while there is none.

    Parameters
    ----------
    values, offsets
        See `naive`; 0 or more. In a missing period nothing is learned.
    smoothing, chance_smoothing : float, default 0.1
        Weights of the newest size and of the newest period, above 0 and at most 1.

    Returns
    -------
    (n,) array
        See `croston`.

    Raises
    ------
    ValueError
        A smoothing is out of its range, or the offsets do not divide the values into series.
    """
    _check(smoothing)
    _check(chance_smoothing)
    aligned = ended(values, offsets)
    size, chance = np.zeros((2, aligned.shape[1]))
    is_begun, is_sold = np.zeros((2, aligned.shape[1]), dtype=bool)
    for row in aligned:
        is_known, is_demand = ~np.isnan(row), row > 0
        weight = np.where(is_begun, chance_smoothing, 1.0)
        chance = np.where(is_known, chance + weight * (is_demand - chance), chance)
        weight = np.where(is_sold, smoothing, 1.0)
        size = np.where(is_demand, size + weight * (row - size), size)
        is_begun, is_sold = is_begun | is_known, is_sold | is_demand
    return np.where(is_begun, chance * size, np.nan)


def _check(smoothing: float) -> None:
    if not 0 < smoothing <= 1:
        raise ValueError(f"smoothing must be above 0 and at most 1, got {smoothing}")
