"""The exact likelihood of ARMA processes, of many series side by side.

With phi(B) y = theta(B) e write y = theta(B) x, where phi(B) x = e is autoregressive. What lies before a series is
then r = max(p, q) values of x, whose inverse covariance is known in closed form (Gohberg and Semencul). Given them
the shocks e follow by one recursion; they are linear in them, and so a sum of squares in r unknowns remains, whose
minimum and determinant give the likelihood: what the Kalman filter gives, for O(T (p + q) + r³) operations a series.

Matrices of lags are triangular and of Toeplitz form: Theta and Phi, T by T, and M, the first r columns of the inverse
of Theta, whose columns are one another's shifts. The shocks are Theta^-1 Phi y - M C x, C being r by r.

A series ends in the last row, zeros stand before it. With zeros before it the recursion gives zeros there, so that
series of different lengths lie side by side, and none depends on how long another one is.

References
----------
Box, G. E. P., Jenkins, G. M. (1976). Time Series Analysis, Forecasting and Control. Holden-Day. A7.4.
Galbraith, R. F., Galbraith, J. I. (1974). On the Inverses of Some Patterned Matrices Arising in the Theory of
Stationary Time Series. Journal of Applied Probability 11(1), 63-71.
Ljung, G. M., Box, G. E. P. (1979). The Likelihood Function of Stationary Autoregressive-Moving Average Models.
Biometrika 66(2), 265-270.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels import elimination
from crm_spark.kernels.arithmetic import add_up
from crm_spark.kernels.elimination import Entry, Lower, plus, times
from crm_spark.kernels.likelihood import Floats

DENSE = 7  # unknowns from which LAPACK is quicker than entry after entry
FEW = 3  # rows for each lag of theta, up to which it is quicker to add up products than to divide once more
AT_HAND = 262_144  # numbers
WIDE = 3  # a gap between lags

Rows = list[dict[int, Floats]]  # of a matrix, without what is zero by structure
Polynomial = dict[int, Floats]  # coefficients (s, n) of powers of B above 0, whose own is 1; the others are 0


@dataclass(frozen=True)
class Columns:
    """Series, and regressors beside them.

    Parameters
    ----------
    values : (T, c, n) array
        Zero in rows before a series begins.
    begin : (n,) array of int
        The row in which it begins.
    """

    values: Floats
    begin: NDArray[np.int64]


@dataclass(frozen=True)
class Whitened:
    """Columns as uncorrelated shocks.

    Parameters
    ----------
    products : (c, c, s, n) array
        Of columns with one another, under the inverse covariance of a process with shocks of variance 1.
    log_determinant : (s, n) array
        Of that covariance.
    before : (r, c, s, n) array
        What the expected values before the series take from the first r rows of phi(B) y, if asked for: see `shocks`.
    """

    products: Floats
    log_determinant: Floats
    before: Floats


def multiply(one: Polynomial, other: Polynomial) -> Polynomial:
    """Multiply two polynomials."""
    product = dict(one)
    for j, b in other.items():
        product[j] = product[j] + b if j in product else b
        for i, a in one.items():
            product[i + j] = product[i + j] + a * b if i + j in product else a * b
    return product


def whiten(
    columns: Columns, phi: Polynomial, theta: Polynomial, shape: tuple[int, int], is_before: bool = False
) -> Whitened:
    """Take the inner products of columns under s candidate processes.

    Parameters
    ----------
    columns : Columns
    phi, theta : Polynomial
        Stationary and invertible.
    shape : (int, int)
        s and n.
    is_before : bool, default False
        Whether what lies before the series is asked for too.
    """
    T, c, n = columns.values.shape
    r = max([0, *phi, *theta])
    e = np.zeros((r + T + r, 1 + c, *shape))
    _filter(e, columns, phi, theta, r)
    tail = e[T : r + T, 0][::-1].copy()
    products = _products(e, r)
    if r == 0:
        return Whitened(products, np.zeros(shape), np.zeros((0, c, *shape)))

    # M' of an impulse and of each column, (r, 1 + c, s, n): its columns are what the impulse has become, shifted.
    if r <= FEW * len(theta):
        begun = np.stack([_inner(e[r : r + T - lag, :1], e[r + lag : r + T]) for lag in range(r)])
    else:
        _divide(e[::-1], theta, r)
        first = r + columns.begin + np.arange(r)[:, None]
        begun = np.moveaxis(e[first, :, :, np.arange(n)], 1, -1)
    C = _before(phi, theta, r)
    solve = _solve_dense if r >= DENSE else _solve
    log_determinant, taken, x = solve(phi, C, begun, tail)
    before = np.zeros((r, c, *shape))
    if is_before:
        for t, row in enumerate(C):
            for s, entry in row.items():
                before[t] += entry * x[s]
    return Whitened(products - taken, log_determinant, before)


def _solve(phi: Polynomial, C: Rows, begun: Floats, tail: Floats) -> tuple[Floats, Floats, Floats]:
    """Minimise over what lies before the series.

    Returns
    -------
    (log_determinant, taken, x)
        Of the covariance, (s, n); what the minimum takes from the products, (c, c, s, n); where it is, (r, c, s, n).
    """
    r, shape = len(begun), begun.shape[2:]
    gram: Lower = [[] for _ in range(r)]  # M' M
    for j in range(r):
        for k in range(j + 1):
            gram[j].append(begun[j, 0] if k == 0 else gram[j - 1][k - 1] - tail[j - 1] * tail[k - 1])
    inverse, inner = _inverse(phi, r, shape), _sandwich(C, gram)
    lower, pivots = elimination.factor(
        [[plus(*both) for both in zip(*rows, strict=True)] for rows in zip(inverse, inner, strict=True)]
    )
    log_determinant = elimination.log_determinant(pivots)
    if phi:
        log_determinant = log_determinant - elimination.log_determinant(elimination.factor(inverse)[1])
    right: list[Entry] = [None] * r  # C' M' of each column
    for t, row in enumerate(C):
        for s, entry in row.items():
            right[s] = plus(right[s], entry * begun[t, 1:])
    half, none = elimination.forward(lower, right), np.zeros(begun[0, 1:].shape)
    scaled = [None if z is None else z / pivot for z, pivot in zip(half, pivots, strict=True)]
    taken = np.zeros((len(none), *none.shape))
    for z, share in zip(half, scaled, strict=True):
        if z is not None and share is not None:
            taken += z[:, None] * share[None]
    x = [none if entry is None else entry for entry in elimination.backward(lower, scaled)]
    return np.broadcast_to(log_determinant, shape), taken, np.stack(x)


def _solve_dense(phi: Polynomial, C: Rows, begun: Floats, tail: Floats) -> tuple[Floats, Floats, Floats]:
    """The same by LAPACK, one matrix after the other, which is quicker where r is large: see `_solve`."""
    r, shape = len(begun), begun.shape[2:]
    f, dense, gram, inverse = np.zeros((r + 1, *shape)), *np.zeros((3, r, r, *shape))
    f[0] = 1.0
    for lag, coefficient in phi.items():
        f[lag] = coefficient
    for t, row in enumerate(C):
        for s, entry in row.items():
            dense[t, s] = entry
    gram[0] = gram[:, 0] = begun[:, 0]
    inverse[0] = f[:r] - f[r] * f[:0:-1]
    inverse[:, 0] = inverse[0]
    for a in range(1, r):
        gram[a, 1:] = gram[a - 1, :-1] - tail[a - 1] * tail[:-1]
        inverse[a, 1:] = inverse[a - 1, :-1] + f[a] * f[1:r] - f[r - a] * f[r - 1 : 0 : -1]
    C_, G, A = (np.ascontiguousarray(np.moveaxis(each, (0, 1), (-2, -1))) for each in (dense, gram, inverse))
    b = np.ascontiguousarray(np.moveaxis(begun[:, 1:], (0, 1), (-2, -1)))
    across = np.ascontiguousarray(np.swapaxes(C_, -1, -2))
    K, right = A + across @ (G @ C_), across @ b
    x = np.linalg.solve(K, right)
    log_determinant = np.linalg.slogdet(K)[1] - (np.linalg.slogdet(A)[1] if phi else 0.0)
    taken = np.moveaxis(np.swapaxes(right, -1, -2) @ x, (-2, -1), (0, 1))
    return log_determinant, taken, np.moveaxis(x, (-2, -1), (0, 1))


def shocks(columns: Columns, phi: Polynomial, theta: Polynomial, before: Floats) -> Floats:
    """Give the expected shocks of columns, given the whole of each.

    Parameters
    ----------
    before : (r, c, s, n) array
        Of `whiten`.

    Returns
    -------
    (T, c, s, n) array
        Zero before a series begins.
    """
    T, c, _ = columns.values.shape
    r = len(before)
    e = np.zeros((r + T + r, 1 + c, *before.shape[2:]))
    for t, values in enumerate(before):
        at = r + columns.begin + t
        inside = np.flatnonzero(at < r + T)
        e[at[inside], 1:, :, inside] -= np.moveaxis(values[:, :, inside], -1, 0)
    _filter(e, columns, phi, theta, r)
    return np.asarray(e[r : r + T, 1:])


def _filter(e: Floats, columns: Columns, phi: Polynomial, theta: Polynomial, r: int) -> None:
    """Add to e Theta^-1 Phi of the columns, zeros before them; in its first column, Theta^-1 of an impulse."""
    T, _, n = columns.values.shape
    e[r + columns.begin, 0, :, np.arange(n)] = 1.0
    inside, values = e[r : r + T, 1:], columns.values[:, :, None]
    inside += values
    for lag, coefficient in phi.items():
        if lag < T:
            inside[lag:] += coefficient * values[:-lag]
    _divide(e, theta, r)


def _divide(e: Floats, theta: Polynomial, r: int) -> None:
    """Put Theta^-1 e in the place of e, whose first and last r rows do not count.

    Lags beyond a wide gap, as those of a season are, are taken for as many rows at once.
    """
    if not theta:
        return
    lags, end = sorted(theta), len(e) - r
    gaps = np.diff([0, *lags])
    block = lags[int(np.argmax(gaps))] if gaps.max() >= WIDE else end
    near = [(lag, theta[lag]) for lag in lags if lag < block]
    far = [(lag, theta[lag]) for lag in lags if lag >= block]
    # Lags without a gap are taken together: a call costs as much as the arithmetic of a hundred series.
    is_run = [lag for lag, _ in near] == list(range(1, len(near) + 1)) and len(near) > 1
    together = np.stack([coefficient for _, coefficient in reversed(near)])[:, None] if is_run else np.empty(0)
    rows, step, steps = list(e), np.empty(e.shape[1:]), np.empty((len(near), *e.shape[1:]))
    for begin in range(r, end, block):
        some = e[begin : min(begin + block, end)]
        for lag, coefficient in far:
            some -= coefficient * e[begin - lag : begin - lag + len(some)]
        for t in range(begin, begin + len(some)) if near else ():
            if is_run:
                np.multiply(together, e[t - len(near) : t], out=steps)
                np.add.reduce(steps, axis=0, out=step)
                np.subtract(rows[t], step, out=rows[t])
            else:
                for lag, coefficient in near:
                    np.multiply(coefficient, rows[t - lag], out=step)
                    np.subtract(rows[t], step, out=rows[t])


def _products(e: Floats, r: int) -> Floats:
    """Take the products of the columns of e but the first."""
    inside = e[r : len(e) - r, 1:]
    c = inside.shape[1]
    products = np.empty((c, c, *e.shape[2:]))
    for a in range(c):
        for b in range(a + 1):
            products[a, b] = products[b, a] = _inner(inside[:, a], inside[:, b])
    return products


def _inner(one: Floats, other: Floats) -> Floats:
    """Add up the products of rows, one after the other, so many at a time as the processor keeps at hand."""
    shape = other.shape[1:]
    most = max(1, AT_HAND // max(1, math.prod(shape)))
    sums = np.zeros((1 + min(most, len(other)), *shape))
    for begin in range(0, len(other), most):
        part = slice(begin, begin + most)
        some = sums[: 1 + len(other[part])]
        np.multiply(one[part], other[part], out=some[1:])
        sums[0] = add_up(some)
    return np.asarray(sums[0])


def _before(phi: Polynomial, theta: Polynomial, r: int) -> Rows:
    """The rows of C, without what is zero by structure."""
    rows: Rows = [{} for _ in range(r)]
    one = np.ones(1)
    for i, a in ((0, one), *phi.items()):
        for j, b in ((0, one), *theta.items()):
            product = a if j == 0 else b if i == 0 else a * b
            for t in range(min(i, j), max(i, j)):  # the lags that lie on either side of the beginning
                s = i + j - t - 1
                if s < r:
                    term = product if i < j else -product
                    rows[t][s] = rows[t][s] + term if s in rows[t] else term
    return rows


def _inverse(phi: Polynomial, r: int, shape: tuple[int, int]) -> Lower:
    """The inverse covariance of r values of an autoregressive process."""
    ones = np.ones(shape)
    inverse: Lower = []
    for a in range(r):
        row: list[Entry] = []
        for b in range(a + 1):
            entry = inverse[a - 1][b - 1] if b else None
            entry = plus(entry, phi.get(a) if b == 0 and a else (ones if a == 0 else times(phi.get(a), phi.get(b))))
            entry = plus(entry, times(phi.get(r - a), phi.get(r - b)), -1)
            row.append(entry)
        inverse.append(row)
    return inverse


def _sandwich(C: Rows, gram: Lower) -> Lower:
    """C' M' M C."""
    r = len(C)
    right: Rows = [{} for _ in range(r)]
    for t in range(r):
        for k, row in enumerate(C):
            inner = gram[max(t, k)][min(t, k)]
            assert inner is not None  # noqa: S101 - no product is zero by structure
            for s, entry in row.items():
                right[t][s] = right[t][s] + inner * entry if s in right[t] else inner * entry
    inside: Lower = [[None] * (a + 1) for a in range(r)]
    for row, products in zip(C, right, strict=True):
        for a, entry in row.items():
            for b, product in products.items():
                if b <= a:
                    inside[a][b] = plus(inside[a][b], entry * product)
    return inside
