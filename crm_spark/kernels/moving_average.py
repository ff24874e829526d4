"""Moving averages: what a series is like when chance is averaged out.

Many series at once, time along the first axis; NaN is missing. An average stands where enough of its window is known:
the weights of what is missing, and of what would lie before the first or after the last period, are taken out, and the
rest is scaled up to 1.

References
----------
Hyndman, R. J., Athanasopoulos, G. (2021). Forecasting: Principles and Practice, 3rd ed., section 3.3. OTexts.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from crm_spark.kernels.likelihood import Floats

Kind = Literal["trailing", "centred", "weighted", "exponential", "seasonal"]


def average(values: Floats, kind: Kind, window: int, season: int = 1, least: float = 1.0) -> Floats:
    """Average each series over a window that moves along.

    Parameters
    ----------
    values : (periods, n) array
    kind : str
        `trailing`: a period and those before it. `centred`: as many before as after; of an even window the two at its
        ends count half. `weighted`: as trailing, the latest with weight `window`, each before it with one less.
        `exponential`: each value with weight alpha = 2 / (window + 1) against the average before it; the first known
        value begins, and where one is missing the average stays as it is. `seasonal`: the same season of a cycle and
        of those before it.
    window : int
        Periods; of seasonal: cycles.
    season : int, default 1
        Periods of a cycle.
    least : float, default 1
        Share of the window's weight that must be known. Exponential needs one value.

    Returns
    -------
    (periods, n) array
        NaN where too little is known, and of what is not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if kind == "exponential":
            found = _exponential(values, 2 / (window + 1))
        else:
            found = _filtered(values, *_window(kind, window, season), least)
    return np.where(np.isfinite(found), found, np.nan)


def _window(kind: Kind, window: int, season: int) -> tuple[Sequence[int], Floats]:
    """How many periods ago what counts lies, negative ones ahead, and its weights."""
    if kind == "weighted":
        return range(window), np.arange(window, 0.0, -1.0)
    if kind == "seasonal":
        return range(0, window * season, season), np.ones(window)
    if kind == "trailing":
        return range(window), np.ones(window)
    half = window // 2
    weights = np.ones(2 * half + 1)
    if window % 2 == 0:
        weights[[0, -1]] = 0.5
    return range(-half, half + 1), weights


def _filtered(values: Floats, ago: Sequence[int], weights: Floats, least: float) -> Floats:
    """The weighted mean of a window."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    total, weight = np.zeros(values.shape), np.zeros(values.shape)
    for back, by in zip(ago, weights, strict=True):
        to = slice(max(back, 0), max(len(values) + min(back, 0), 0))
        of = slice(max(-back, 0), max(len(values) - max(back, 0), 0))
        total[to] += by * filled[of]
        weight[to] += by * known[of]
    enough = weight >= least * weights.sum() * (1 - 1e-12)
    found = np.full(values.shape, np.nan)
    np.divide(total, weight, out=found, where=enough & (weight > 0))
    return found


def _exponential(values: Floats, alpha: float) -> Floats:
    found = np.full(values.shape, np.nan)
    level = np.full(values.shape[1], np.nan)
    for at, now in enumerate(values):
        level = np.where(np.isnan(now), level, np.where(np.isnan(level), now, level + alpha * (now - level)))
        found[at] = level
    return found
