"""Where the search for the parameters of an ARMA process begins, and how they are kept stationary and invertible.

A polynomial is told by its partial autocorrelations, which are free in (-1, 1), and these by their inverse hyperbolic
tangents, which are free.

References
----------
Hannan, E. J., Rissanen, J. (1982). Recursive Estimation of Mixed Autoregressive-Moving Average Order. Biometrika
69(1), 81-94.
Monahan, J. F. (1984). A Note on Enforcing Stationarity in Autoregressive-Moving Average Models. Biometrika 71(2),
403-404.
"""

from collections.abc import Sequence

import numpy as np

from crm_spark.kernels import elimination
from crm_spark.kernels.arithmetic import add_up
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.series import Ints

FARTHEST = 0.95  # a partial autocorrelation at which a search begins


def to_coefficients(partial: Floats) -> Floats:
    """Turn partial autocorrelations (k, ...) into the coefficients of an autoregression."""
    phi = np.empty_like(partial)
    for k, last in enumerate(partial):
        phi[:k] -= last * phi[:k][::-1].copy()
        phi[k] = last
    return phi


def to_partial(phi: Floats, farthest: float = FARTHEST) -> Floats:
    """Turn coefficients (k, ...) into partial autocorrelations, none of them beyond the farthest."""
    rest, partial = phi.copy(), np.empty_like(phi)
    for k in reversed(range(len(phi))):
        last = np.clip(rest[k], -farthest, farthest)
        partial[k] = last
        rest = (rest[:k] + last * rest[:k][::-1]) / (1 - last**2)
    return partial


def guess(w: Floats, begin: Ints, ar: Sequence[int], ma: Sequence[int]) -> Floats:
    """Regress series on their own lags and those of the shocks of a long autoregression.

    Parameters
    ----------
    w : (T, n) array
        With mean 0; zero before a series begins.
    begin : (n,) array of int
    ar, ma : sequences of int
        Lags.

    Returns
    -------
    (k, n) array
        Coefficients of the lags; zero where the regression tells none.
    """
    size = len(w) - begin
    depth = np.minimum(np.maximum(10 * np.log10(np.maximum(size, 1)), max([0, *ar, *ma]) + 1), size / 3).astype(int)
    shocks = _long(w, depth) if ma else w
    lagged = [_lag(w, lag) for lag in ar] + [_lag(shocks, lag) for lag in ma]
    rows: elimination.Lower = [[add_up(lagged[i] * lagged[j]) for j in range(i + 1)] for i in range(len(lagged))]
    right: list[elimination.Entry] = [add_up(each * w) for each in lagged]
    power = add_up(w * w)
    for i, row in enumerate(rows):
        row[i] = elimination.plus(row[i], 1e-6 * power + 1e-300)
    lower, pivots = elimination.factor(rows)
    found = [entry for entry in elimination.solve(lower, pivots, right) if entry is not None]
    is_told = (np.min(pivots, axis=0) > 0) & np.isfinite(found).all(axis=0)
    return np.where(is_told, found, 0.0)


def _long(w: Floats, depth: Ints) -> Floats:
    """The shocks of long autoregressions, by the Levinson-Durbin recursion."""
    most = int(depth.max(initial=0))
    r = [add_up(w * _lag(w, lag)) for lag in range(most + 1)]
    phi, left = np.zeros((most, w.shape[1])), r[0] + 1e-300
    for k in range(most):
        rest = r[k + 1].copy()
        for j in range(k):
            rest -= phi[j] * r[k - j]
        last = np.where(k < depth, rest / left, 0.0)
        phi[:k] -= last * phi[:k][::-1].copy()
        phi[k] = last
        left = left * (1 - last**2)
    shocks = w.copy()
    for lag, coefficient in enumerate(phi, start=1):
        shocks -= coefficient * _lag(w, lag)
    return shocks


def _lag(w: Floats, lag: int) -> Floats:
    moved = np.zeros_like(w)
    if lag < len(w):
        moved[lag:] = w[: len(w) - lag]
    return moved
