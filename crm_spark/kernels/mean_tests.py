"""Do means differ by more than chance: Student's t-tests, Welch's, and the analysis of variance.

Tests take samples as moments: numbers of values, means and variances, which add up wherever the values lie. Many tests
are made at once, an element for each.

References
----------
Student (1908). The Probable Error of a Mean. Biometrika 6(1), 1-25.
Welch, B. L. (1947). The Generalization of "Student's" Problem when Several Different Population Variances are
Involved. Biometrika 34(1-2), 28-35.
Fisher, R. A. (1925). Statistical Methods for Research Workers. Oliver and Boyd.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from crm_spark.kernels.arithmetic import add_up, ratio
from crm_spark.kernels.likelihood import Floats

FLAT = 1e-28  # of the square of the mean: a variance below it is rounding


class Sample(NamedTuple):
    """What a test needs to know of samples: (n,) arrays.

    Parameters
    ----------
    size : array
        Known values.
    mean : array
        NaN of none.
    variance : array
        Of the population, by `size - 1`; NaN of fewer than two values.
    """

    size: Floats
    mean: Floats
    variance: Floats


class Found(NamedTuple):
    """What a test found: (n,) arrays.

    Parameters
    ----------
    statistic : array
        t, or F; NaN where the test cannot be made, as nothing varies.
    df : array
        Degrees of freedom, of F those within groups.
    p : array
        That chance alone brings a statistic so far from 0 to either side; of F so great a one.
    """

    statistic: Floats
    df: Floats
    p: Floats


def describe(values: Floats) -> Sample:
    """Give the moments of samples, one in each column of (k, n) values; NaN is missing."""
    known = ~np.isnan(values)
    size = add_up(known.astype(np.float64)) if len(values) else np.zeros(values.shape[1:])
    with np.errstate(over="ignore", invalid="ignore"):
        mean = ratio(add_up(np.where(known, values, 0.0)), size)
        apart = np.where(known, values - mean, 0.0)
        squares = add_up(apart * apart)
        variance = ratio(squares, np.where(size > 1, size - 1, 0.0))
        return Sample(size, mean, np.where(variance > FLAT * mean * mean, variance, 0.0 * variance))


def one_sample(of: Sample, mean: Floats | float = 0.0) -> Found:
    """Test whether a mean differs from a number."""
    return _student(of.mean - mean, ratio(of.variance, of.size), of.size - 1)


def paired(one: Floats, other: Floats) -> Found:
    """Test whether values differ from those that they are paired with, row by row of (k, n) arrays, on average."""
    return one_sample(describe(one - other))


def pooled(one: Sample, other: Sample) -> Found:
    """Test whether two means differ, where both samples vary alike (Student); of one of them a value is enough."""
    df = one.size + other.size - 2
    squares = _squares(one) + _squares(other)
    inverse = ratio(np.ones_like(one.size), one.size) + ratio(np.ones_like(other.size), other.size)
    return _student(one.mean - other.mean, ratio(squares, df) * inverse, df)


def welch(one: Sample, other: Sample) -> Found:
    """Test whether two means differ, where samples may vary differently (Welch, Satterthwaite)."""
    errors = ratio(one.variance, one.size), ratio(other.variance, other.size)
    share = ratio(errors[0], errors[0] + errors[1])
    inverse = ratio(share**2, one.size - 1) + ratio((1 - share) ** 2, other.size - 1)
    return _student(one.mean - other.mean, errors[0] + errors[1], ratio(np.ones_like(inverse), inverse))


def anova(groups: Sample) -> Found:
    """Test whether the means of several groups differ (one way).

    Parameters
    ----------
    groups : Sample of (k, n) arrays
        A row for each group; those without values do not count.
    """
    has_any = groups.size > 0
    size = add_up(groups.size)
    mean = ratio(add_up(np.where(has_any, groups.size * groups.mean, 0.0)), size)
    between = add_up(np.where(has_any, groups.size * (groups.mean - mean) ** 2, 0.0))
    within = add_up(_squares(groups))
    df_between = add_up(has_any.astype(np.float64)) - 1
    df = size - df_between - 1
    statistic = ratio(ratio(between, np.where(df_between > 0, df_between, 0.0)), ratio(within, np.maximum(df, 0.0)))
    return Found(statistic, df, special.fdtrc(df_between, df, statistic))


def two_sided(t: Floats, df: Floats) -> Floats:
    """Give how likely chance brings a t so far from 0, to either side."""
    return np.asarray(2 * special.stdtr(df, -np.abs(t)))


def _squares(of: Sample) -> Floats:
    """Squares around the mean; a single value has none."""
    return np.where(of.size > 1, of.variance * (of.size - 1), 0.0)


def _student(off: Floats, squared_error: Floats, df: Floats) -> Found:
    possible = np.where((df > 0) & (squared_error > 0), squared_error, 0.0)
    t = ratio(off, np.sqrt(possible))
    df = np.where(np.isnan(t), np.nan, df)
    return Found(t, df, two_sided(t, df))
