"""How often a method is wrong, told by what it said where nothing was to be found.

A p is right where a p of 0.01 or less comes once in a hundred times. How often it really came among former periods is
counted at steps of p, and takes its place: that of the step above it, as counts come in lumps. Beyond what was seen
often enough the tail goes on as its last decade does (Hill's estimator of a tail that falls by a power), never
faster than p itself. Counts are whole numbers: they add up exactly, wherever series lie.

References
----------
Hill, B. M. (1975). A Simple General Approach to Inference about the Tail of a Distribution. Annals of Statistics 3(5),
1163-1174.
Efron, B. (2004). Large-Scale Simultaneous Hypothesis Testing: The Choice of a Null Hypothesis. JASA 99(465), 96-104.
"""

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels.likelihood import Floats

Ints = NDArray[np.int64]

A_DECADE = 8  # steps of it
STEPS = 6 * A_DECADE  # until 1e-6
ENOUGH = 10  # that must have come to tell how often
AS_IF = 10.0  # periods that are as if seen elsewhere
LEAST = 1e-300


def count(p: Floats, kind: Floats | None = None, kinds: int = 1) -> Ints:
    """Count how many p lie at each step, by kind: (kinds, STEPS + 1), or (STEPS + 1,) of one; NaN does not count."""
    is_told = ~np.isnan(p)
    step = _step(p[is_told]).astype(np.int64)
    if kind is None:
        return np.bincount(step, minlength=STEPS + 1)
    both = kind[is_told].astype(np.int64) * (STEPS + 1) + step
    return np.bincount(both, minlength=kinds * (STEPS + 1)).reshape(kinds, STEPS + 1)


def curve(counts: Ints, elsewhere: Floats | None = None) -> Floats:
    """Give the decimal logarithm of how often a p of each step or less comes.

    Parameters
    ----------
    counts : (..., STEPS + 1) array
        As `count` gives them, added up.
    elsewhere : (..., STEPS + 1) array, optional
        The curve of more periods than these, which counts the more, the fewer these are; without it, p is taken to be
        right.
    """
    reached = np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1].astype(np.float64)
    step = np.arange(STEPS + 1)
    nominal = -step / A_DECADE
    given = nominal if elsewhere is None else elsewhere
    seen = np.log10((reached + AS_IF * 10.0**given) / (reached[..., :1] + AS_IF))
    last = np.maximum((reached >= ENOUGH).sum(axis=-1, keepdims=True) - 1, 0)
    before = np.maximum(last - A_DECADE, 0)
    height, fall = (np.take_along_axis(seen, at, axis=-1) for at in (last, before))
    slope = np.where(last > before, (height - fall) / np.maximum(last - before, 1), -1 / A_DECADE)
    beyond = height + np.maximum(slope, -1 / A_DECADE) * (step - last)
    if elsewhere is not None:
        beyond = np.maximum(beyond, seen)
    return np.maximum.accumulate(np.maximum(np.where(step <= last, seen, beyond), nominal)[..., ::-1], axis=-1)[
        ..., ::-1
    ]


def calibrate(p: Floats, curves: Floats) -> Floats:
    """Give how often a p or less comes.

    Parameters
    ----------
    p : (n,) array
        NaN stays.
    curves : (n, STEPS + 1) array
        The curve of each.
    """
    step = _step(p)
    at = np.nan_to_num(step).astype(np.int64)
    last = curves[:, -1]
    # Values whose tail falls by a power have a p whose logarithm counts by its own logarithm.
    beyond = np.log(np.maximum(-A_DECADE * np.log10(np.maximum(p, LEAST)) / STEPS, 1.0))
    told = curves[np.arange(p.size), at] + beyond * STEPS * (last - curves[:, -2])
    return np.where(np.isnan(p), np.nan, 10 ** np.maximum(told, np.log10(LEAST)))


def _step(p: Floats) -> Floats:
    return np.clip(np.floor(-A_DECADE * np.log10(np.maximum(p, LEAST)) + 1e-9), 0, STEPS)
