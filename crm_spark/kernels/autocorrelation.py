"""How a series resembles itself some periods later: autocorrelation, partial autocorrelation, and whether it is chance.

Many series at once, time along the first axis. What is missing is NaN: pairs with it are left out, as R's `acf` does.
All sums go from period to period, so a series gets the same bits whoever lies beside it, and however long they are.

References
----------
Box, G. E. P., Jenkins, G. M., Reinsel, G. C. (2008). Time Series Analysis, 4th ed. Wiley, chapters 2 and 3.
Ljung, G. M., Box, G. E. P. (1978). On a Measure of Lack of Fit in Time Series Models. Biometrika 65(2), 297-303.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import special

from crm_spark.kernels.arithmetic import add_up, ratio
from crm_spark.kernels.likelihood import Floats

FLAT = 1e-28  # of the squares' sum: what varies less is rounding


def acf(values: Floats, lags: int) -> Floats:
    """Give the autocorrelations of lags 1 to `lags`.

    Parameters
    ----------
    values : (periods, n) array
        A series in each column; NaN where missing, and after its end where it is shorter.
    lags : int

    Returns
    -------
    (lags, n) array
        The biased estimator: the covariance of lag k is divided by the pairs and k, which is the length where nothing
        is missing. NaN where all known values are alike, where there is no pair, and of what is not finite.
    """
    known = ~np.isnan(values)
    with np.errstate(over="ignore", invalid="ignore"):
        filled = np.where(known, values, 0.0)
        apart = np.where(known, values - ratio(add_up(filled), add_up(known.astype(np.float64))), 0.0)
        squares = add_up(apart * apart)
        varies = squares > FLAT * add_up(filled * filled)
        variance = ratio(np.where(varies, squares, 0.0), add_up(known.astype(np.float64)))
        found = np.full((lags, values.shape[1]), np.nan)
        for lag in range(1, min(lags, len(values) - 1) + 1):
            pairs = add_up((known[lag:] & known[:-lag]).astype(np.float64))
            covariance = ratio(add_up(apart[lag:] * apart[:-lag]), np.where(pairs > 0, pairs + lag, 0.0))
            found[lag - 1] = ratio(covariance, variance)
    return np.where(np.isfinite(found), found, np.nan)


def pacf(correlations: Floats) -> Floats:
    """Give the partial autocorrelations that belong to autocorrelations, by Durbin and Levinson; (lags, n) both."""
    partial = np.full_like(correlations, np.nan)
    weights = np.zeros_like(correlations)
    for k, now in enumerate(correlations):
        before = weights[:k]
        left = 1 - add_up(before * correlations[:k])
        partial[k] = ratio(now - add_up(before * correlations[:k][::-1]), left)
        weights[:k] = before - partial[k] * before[::-1]
        weights[k] = partial[k]
    return partial


def ljung_box(correlations: Floats, periods: Floats, tested: Floats, estimated: int = 0) -> tuple[Floats, Floats]:
    """Test whether the autocorrelations of the first lags are all chance.

    Parameters
    ----------
    correlations : (lags, n) array
    periods : (n,) array
        Known values of each series.
    tested : (n,) array
        How many lags count.
    estimated : int, default 0
        Parameters of the model whose residuals these are.

    Returns
    -------
    statistic, p : (n,) arrays
        Chi-squared of `tested - estimated` degrees, one at least; NaN where a correlation that counts is, and where the
        series has no more values than lags.
    """
    lag = np.arange(1.0, len(correlations) + 1)[:, None]
    left = np.where(periods > lag, periods - lag, np.nan)
    statistic = periods * (periods + 2) * add_up(np.where(lag <= tested, correlations**2 / left, 0.0))
    statistic = np.where(tested > 0, statistic, np.nan)
    return statistic, special.chdtrc(np.maximum(tested - estimated, 1), statistic)


def bands(correlations: Floats, periods: Floats, share: float = 0.95) -> tuple[Floats, Floats]:
    """Say within what correlations lie by chance.

    Parameters
    ----------
    correlations : (lags, n) array
    periods : (n,) array
        Known values of each series.
    share : float, default 0.95
        How many of them do.

    Returns
    -------
    of_acf : (lags, n) array
        By Bartlett's formula: as if the series were a moving average of the lags before.
    of_pacf : (n,) array
        Of white noise, where all lags have the same.
    """
    z = special.ndtri((1 + share) / 2)
    of_noise = z / np.sqrt(np.maximum(periods, 1.0))
    squares = np.cumsum(np.concatenate([np.zeros((1, correlations.shape[1])), correlations[:-1] ** 2]), axis=0)
    return np.asarray(of_noise * np.sqrt(1 + 2 * squares), dtype=np.float64), of_noise


def rhythm(correlations: Floats, beyond: Floats) -> NDArray[np.int64]:
    """Say after how many periods each series comes again: the lag of the highest peak beyond a band, else 0.

    Parameters
    ----------
    correlations : (lags, n) array
        A peak lies above the lags before and after it: the first and the last are none.
    beyond : (n,) array
    """
    before, here, after = correlations[:-2], correlations[1:-1], correlations[2:]
    is_peak = (here > before) & (here >= after) & (here > beyond)
    height = np.concatenate([np.zeros((2, correlations.shape[1])), np.where(is_peak, here, 0.0)])
    at = height.argmax(axis=0)
    return np.where(at > 0, at, 0)
