"""The power that makes values look most like normal ones: the transformation of Box and Cox.

y becomes (y**lambda - 1) / lambda, and log y where lambda is 0. The lambda is that of the greatest likelihood of a
linear model with these regressors and normal errors, its coefficients and variance being the best ones for each lambda
(the profile likelihood). Limits are where that falls by half a quantile of chi-squared, found as roots. Values are
divided by their geometric mean, so that nothing overflows and the likelihood is that of the squares alone.

Many samples at once, one in each column; NaN is missing.

References
----------
Box, G. E. P., Cox, D. R. (1964). An Analysis of Transformations. J. R. Stat. Soc. B 26(2), 211-252.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from crm_spark.kernels.arithmetic import add_up, ratio
from crm_spark.kernels.likelihood import Floats

Rest = Callable[[Floats], Floats]  # what regressors leave over of (k, n) values; NaN stays

WIDEST = 16.0  # what lies beyond is no lambda that anyone would use
LARGEST = 300.0  # power of e that a transformed value may have: its square is a number too
GRID = 33
GOLDEN = (np.sqrt(5) - 1) / 2
STEPS = 40  # of a search: the golden section halves its doubt in 1.44 of them
TINY = 1e-8  # a lambda nearer to 0 is 0


class Found(NamedTuple):
    """What was found, (n,) arrays: NaN where all values are alike, or none is left.

    Parameters
    ----------
    power : array
        The lambda.
    low, high : array
        Its limits; infinite where the likelihood does not fall so far within reach.
    log_likelihood : array
        At the lambda, with all its constants.
    """

    power: Floats
    low: Floats
    high: Floats
    log_likelihood: Floats


def transform(values: Floats, power: Floats) -> Floats:
    """Transform (k, n) values above 0 by (n,) powers."""
    logs = np.log(values)
    is_log = np.abs(power) < TINY
    with np.errstate(over="ignore"):
        return np.where(is_log, logs, np.expm1(np.where(is_log, 0.0, power) * logs) / np.where(is_log, 1.0, power))


def shift(values: Floats) -> Floats:
    """Say what to add to (k, n) values so that all are above 0: nothing where they are.

    Else the least comes to half of the least step that leads up from it: of counts from 0 on to 0.5.
    """
    least = _least(values)
    step = _least(np.where(values > least, values - least, np.nan))
    return np.where(least > 0, 0.0, np.where(np.isnan(step), 1.0, step / 2) - least)


def _least(values: Floats) -> Floats:
    found = np.where(np.isnan(values), np.inf, values).min(axis=0, initial=np.inf)
    return np.where(np.isfinite(found), found, np.nan)


def regressed(regressors: Floats) -> Rest:
    """Give what is left over of values when (k, x) regressors are taken out, of which some may follow from others.

    Nothing may be missing in the values.
    """
    left, singular, _ = np.linalg.svd(regressors, full_matrices=False)
    rank = int((singular > singular.max(initial=0.0) * max(regressors.shape) * np.finfo(np.float64).eps).sum())
    basis = left[:, :rank]
    return lambda values: values - basis @ (basis.T @ values)


def centred(values: Floats) -> Floats:
    """Give what is left over when the mean is taken out."""
    known = ~np.isnan(values)
    return values - ratio(add_up(np.where(known, values, 0.0)), add_up(known.astype(np.float64)))


def fit(values: Floats, rest: Rest = centred, share: float = 0.95) -> Found:
    """Find the powers of samples, with limits.

    Parameters
    ----------
    values : (k, n) array
        Above 0; NaN is missing.
    rest : callable
        Takes regressors out of transformed values: `regressed` of some, or the mean.
    share : float, default 0.95
        Of the samples whose limits hold the true lambda.
    """
    profile = _Profile(values, rest)
    power, best = profile.highest()
    fall = best - special.chdtri(1, 1 - share) / 2
    low, high = (profile.root(power, side, fall) for side in (-profile.reach, profile.reach))
    return Found(power, low, high, best)


class _Profile:
    """The profile likelihood of samples."""

    def __init__(self, values: Floats, rest: Rest) -> None:
        known = ~np.isnan(values)
        self.size = add_up(known.astype(np.float64))
        logs = np.log(values)
        self.mean = ratio(add_up(np.where(known, logs, 0.0)), self.size)
        self.logs, self.rest = logs - self.mean, rest
        farthest = np.where(known, np.abs(self.logs), 0.0).max(axis=0, initial=0.0)
        self.reach = np.minimum(WIDEST, LARGEST / np.maximum(farthest, TINY))

    def at(self, power: Floats) -> Floats:
        """The log-likelihood; NaN where nothing is left over that varies."""
        is_log = np.abs(power) < TINY
        with np.errstate(over="ignore", invalid="ignore"):
            raised = np.expm1(np.where(is_log, 0.0, power) * self.logs) / np.where(is_log, 1.0, power)
            left = self.rest(np.where(is_log, self.logs, raised))
            squares = add_up(np.where(np.isnan(left), 0.0, left * left))
            spread = ratio(squares, self.size)
        spread = np.where((spread > 0) & np.isfinite(spread), spread, np.nan)
        return np.asarray(-self.size / 2 * (np.log(2 * np.pi * spread) + 1) - self.size * self.mean)

    def highest(self) -> tuple[Floats, Floats]:
        """The power of the greatest likelihood, and that: the best of a grid, then golden sections beside it."""
        grid = np.sort(np.append(np.linspace(-1, 1, GRID) ** 3, 0.0))[:, None] * self.reach
        heights = np.array([self.at(power) for power in grid])
        best = np.where(np.isnan(heights), -np.inf, heights).argmax(axis=0)
        at = np.arange(grid.shape[1])
        low, high = grid[np.maximum(best - 1, 0), at], grid[np.minimum(best + 1, len(grid) - 1), at]
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        of_left, of_right = self.at(left), self.at(right)
        for _ in range(STEPS):
            goes_left = of_left > of_right
            low, high = np.where(goes_left, low, left), np.where(goes_left, right, high)
            kept, of_kept = np.where(goes_left, left, right), np.where(goes_left, of_left, of_right)
            new = np.where(goes_left, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
            of_new = self.at(new)
            left, of_left = np.where(goes_left, new, kept), np.where(goes_left, of_new, of_kept)
            right, of_right = np.where(goes_left, kept, new), np.where(goes_left, of_kept, of_new)
        power = (low + high) / 2
        height = self.at(power)
        return np.where(np.isnan(height), np.nan, power), height

    def root(self, inside: Floats, outside: Floats, fall: Floats) -> Floats:
        """Where the likelihood comes down to `fall`, between a power above it and the end of what is in reach."""
        end = outside
        is_never = ~(self.at(outside) < fall)
        for _ in range(2 * STEPS):
            middle = (inside + outside) / 2
            is_above = self.at(middle) > fall
            inside, outside = np.where(is_above, middle, inside), np.where(is_above, outside, middle)
        found = (inside + outside) / 2
        return np.where(np.isnan(fall), np.nan, np.where(is_never, np.sign(end) * np.inf, found))
