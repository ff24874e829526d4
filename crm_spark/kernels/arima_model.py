"""The likelihood of an ARIMA model, of many series side by side.

(1 - B)^d (1 - B^m)^D y has a mean, and about it phi(B) Phi(B^m) w = theta(B) Theta(B^m) e, all signs as in R. Missing
values are regressors of their own, which is what leaving them out of the likelihood amounts to; so are values to come,
and the inverse of their products is the covariance of a forecast. Regression and variance of the shocks are
concentrated out: what is left to be searched for is how the process remembers.

References
----------
Box, G. E. P., Jenkins, G. M. (1976). Time Series Analysis, Forecasting and Control. Holden-Day.
Gomez, V., Maravall, A., Pena, D. (1999). Missing Observations in ARIMA Models: Skipping Approach versus Additive
Outlier Approach. Journal of Econometrics 88(2), 341-363.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crm_spark.kernels import arma, arma_start, elimination, newton
from crm_spark.kernels.arithmetic import add_up
from crm_spark.kernels.likelihood import Flags, Floats
from crm_spark.kernels.series import Ints, Series

BLOCK = 1_000_000  # numbers of shocks at a time, which the processor's cache holds
CONSTANT = 1e-11  # deviation from a line, in units of the values, that is none
SINGULAR = 1e-9  # what is left of a regressor that depends on others
OPPOSED = ((0.6, -0.8), (-0.6, 0.8), (0.9, -0.97), (-0.9, 0.97))  # first terms ar and ma to start from, too
SIGNS = (-1, 1, -1, 1)  # of ar, ma, sar and sma in their polynomials


@dataclass(frozen=True)
class Order:
    """Which model it is.

    Parameters
    ----------
    p, d, q : int
        Autoregressive terms, differences, moving-average terms.
    P, D, Q : int
        The same at the lag of a season.
    m : int
        Periods of a season; 1 where there is none.
    is_constant : bool
        Whether there is a mean, or after one difference a drift for each period.
    """

    p: int = 0
    d: int = 0
    q: int = 0
    P: int = 0
    D: int = 0
    Q: int = 0
    m: int = 1
    is_constant: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no model."""
        if min(self.p, self.d, self.q, self.P, self.D, self.Q) < 0 or self.m < 1:
            raise ValueError(f"orders must be 0 or more and the season 1 or more, got {self}")
        if self.m == 1 and (self.P or self.D or self.Q):
            raise ValueError(f"a season needs 2 periods or more, got {self}")
        if self.is_constant and self.d + self.D > 1:
            raise ValueError(f"a constant needs at most one difference, got {self}")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the coefficients, in their order."""
        kinds = (("ar", self.p), ("ma", self.q), ("sar", self.P), ("sma", self.Q))
        constant = ("mean",) if self.d + self.D == 0 else ("drift",)
        terms = tuple(f"{kind}{i}" for kind, count in kinds for i in range(1, count + 1))
        return terms + constant * self.is_constant

    @property
    def terms(self) -> int:
        """How many coefficients there are besides a constant."""
        return self.p + self.q + self.P + self.Q

    @property
    def lost(self) -> int:
        """How many values the differences take."""
        return self.d + self.D * self.m

    @property
    def unit(self) -> float:
        """What a drift of 1 adds to a difference."""
        return float(self.m) if self.D else 1.0

    def to_coefficients(self, free: Floats) -> Floats:
        """Turn what may be any numbers (k, ...) into coefficients of a stationary and invertible process."""
        parts = zip(self._split(np.tanh(free)), SIGNS, strict=True)
        return np.concatenate([-sign * arma_start.to_coefficients(part) for part, sign in parts])

    def to_free(self, coefficients: Floats, farthest: float = arma_start.FARTHEST) -> Floats:
        """Turn coefficients (k, n) back; what is not stationary or not invertible is drawn inside."""
        parts = zip(self._split(coefficients), SIGNS, strict=True)
        return np.concatenate([np.arctanh(arma_start.to_partial(-sign * part, farthest)) for part, sign in parts])

    def polynomials(self, coefficients: Floats) -> tuple[arma.Polynomial, arma.Polynomial]:
        """Multiply the polynomials of seasons by the others: phi and theta."""
        steps = (1, 1, self.m, self.m)
        ar, ma, sar, sma = (
            {step * i: sign * term for i, term in enumerate(part, start=1)}
            for part, step, sign in zip(self._split(coefficients), steps, SIGNS, strict=True)
        )
        return arma.multiply(ar, sar), arma.multiply(ma, sma)

    def _split(self, of_terms: Floats) -> list[Floats]:
        return np.split(of_terms, np.cumsum([self.p, self.q, self.P]))


@dataclass(frozen=True)
class Told:
    """What the likelihood says at some parameters: see `arima.Fits`."""

    coefficients: Floats
    standard_errors: Floats
    sigma2: Floats
    log_likelihood: Floats
    observations: Ints


@dataclass(frozen=True)
class _Profile:
    """The likelihood of (s, n) candidates, with the best regression for each.

    Parameters
    ----------
    value : (s, n) array
        Negative logarithm, but for constants.
    squares : (s, n) array
    count : (s, n) array of int
    slopes, weights : (g, s, n) arrays
        Coefficients of regressors, and the diagonal of the inverse of their products.
    """

    value: Floats
    squares: Floats
    count: Ints
    slopes: Floats
    weights: Floats


@dataclass(frozen=True)
class Model:
    """Series and what they are regressed on, after differences, in units of their own.

    Parameters
    ----------
    order : Order
    design : arma.Columns
        Missing values, the constant, regressors, the series.
    dummies : int
        How many columns are missing values.
    center, scale : (n,) arrays
        Taken from the differences, and what they were divided by then.
    fill : (T, n) array
        What stands for missing values, in the unit of the series.
    is_told : (n,) array of bool
        Whether differences differ at all.
    """

    order: Order
    design: arma.Columns
    dummies: int
    center: Floats
    scale: Floats
    fill: Floats
    is_told: Flags

    @staticmethod
    def of(series: Series, order: Order) -> "Model":
        """Take differences, and units."""
        w = difference(series.values, order)
        T, n = w.shape
        is_there = np.arange(T)[:, None] >= series.begin
        known = is_there & ~series.is_missing[order.lost :]
        center = add_up(np.where(known, w, 0.0)) / np.maximum(known.sum(axis=0), 1) * order.is_constant
        w = np.where(is_there, w - center, 0.0)
        scale = np.sqrt(add_up(w * w) / np.maximum(T - series.begin, 1))
        is_told = scale > CONSTANT * np.abs(series.values).max(axis=0, initial=0.0)
        scale = np.where(is_told, scale, 1.0)

        counts = series.is_missing.sum(axis=0)
        dummies, x = int(counts.max(initial=0)), series.regressors.shape[1]
        columns = np.zeros((T, dummies + order.is_constant + x + 1, n))
        if dummies:
            of, at = np.nonzero(series.is_missing.T)
            # The last ones are the same for all: of series with fewer, the first columns are zero.
            number = np.arange(at.size) - np.repeat(np.cumsum(counts) - counts, counts) + (dummies - counts)[of]
            one = np.zeros((len(series), dummies, n))
            one[at, number, of] = 1.0
            columns[:, :dummies] = difference(one, order)
        if order.is_constant:
            columns[:, dummies] = order.unit
        if x:
            columns[:, -1 - x : -1] = difference(series.regressors, order)
        columns[:, -1] = w / scale
        columns = np.where(is_there[:, None], columns, 0.0)
        return Model(order, arma.Columns(columns, series.begin), dummies, center, scale, series.values, is_told)

    def of_rows(self, rows: Ints) -> "Model":
        """Keep some of the series."""
        values = np.ascontiguousarray(self.design.values[:, :, rows])
        columns = arma.Columns(values, self.design.begin[rows])
        center, scale, fill = self.center[rows], self.scale[rows], self.fill[:, rows]
        return Model(self.order, columns, self.dummies, center, scale, fill, self.is_told[rows])

    def start(self, start: Floats | None) -> Floats:
        """Give the best of some parameters (k, n) from which to search: guesses, and those of a former run (k, n)."""
        order, w, begin = self.order, self.design.values[:, -1], self.design.begin
        if order.terms == 0:
            return np.zeros((0, w.shape[1]))
        seasons = [[order.m * i for i in range(1, count + 1)] for count in (order.P, order.Q)]
        ar, ma = [*range(1, order.p + 1), *seasons[0]], [*range(1, order.q + 1), *seasons[1]]
        guess = arma_start.guess(w, begin, ar, ma)
        p, P, q, Q = np.split(guess, np.cumsum([order.p, order.P, order.q]))
        candidates = [np.concatenate([p, q, P, Q]), np.zeros_like(guess)]
        if order.p and order.q:
            # Where both terms nearly cancel there are several maxima: the one beside zero need not be the highest.
            for ar1, ma1 in OPPOSED:
                opposed = np.zeros_like(guess)
                opposed[0], opposed[order.p] = ar1, ma1
                candidates.append(opposed)
        if start is not None:
            candidates.append(np.where(np.isfinite(start), start, 0.0))
        points = np.stack([order.to_free(each) for each in candidates], axis=1)
        every = np.arange(w.shape[1])
        best = np.argmin(self.value(points, every), axis=0)
        return np.asarray(points[:, best, every])

    def value(self, at: Floats, rows: Ints) -> Floats:
        """Give the negative logarithm of the concentrated likelihood, but for constants, (s, m) at (k, s, m)."""
        return np.concatenate([self._profile(*part).value for part in self._parts(at, rows)], axis=1)

    def target(self, aicc: Floats) -> Floats:
        """What `value` must come below for an AICc (n,); anything where values are missing."""
        observations = len(self.design.values) - self.design.begin
        regressors = self.design.values.shape[1] - 1 - self.dummies
        least = penalty(self.order.terms + regressors, observations) + observations * self._constants()
        return np.where(self.dummies > 0, np.inf, (aicc - least) / 2)

    def _constants(self) -> Floats:
        """What each observation adds to twice the negative log-likelihood, whatever the parameters."""
        return np.asarray(np.log(2 * np.pi) + 1 + 2 * np.log(self.scale))

    def _parts(self, at: Floats, rows: Ints) -> Iterator[tuple[Floats, arma.Columns]]:
        T, c, _ = self.design.values.shape
        most = max(1, BLOCK // (T * (c + 1) * at.shape[1]))
        for begin in range(0, rows.size, most):
            some = rows[begin : begin + most]
            columns = arma.Columns(self.design.values[:, :, some], self.design.begin[some])
            yield at[:, :, begin : begin + most], columns

    def _profile(self, at: Floats, columns: arma.Columns) -> _Profile:
        """Eliminate one column after the other; what is left of the last are the squares."""
        _, s, n = at.shape
        white = arma.whiten(columns, *self.order.polynomials(self.order.to_coefficients(at)), (s, n))
        products, log_determinant = white.products, white.log_determinant
        count = np.broadcast_to(len(columns.values) - columns.begin, (s, n))
        last = len(products) - 1
        whole = products[np.arange(last), np.arange(last)].copy()
        lower: elimination.Lower = []
        inverse = []
        for i in range(last):
            pivot = products[i, i]
            is_own = pivot > SINGULAR * whole[i]
            by = np.where(is_own, products[i] / pivot, 0.0)
            for j in range(i + 1, last + 1):
                products[j, i + 1 :] -= by[j] * products[i, i + 1 :]
            if i < self.dummies:
                log_determinant = log_determinant + np.log(np.where(is_own, pivot, 1.0))
                count = count - is_own
            else:
                lower.append(list(by[i + 1 :]))
                inverse.append(np.where(is_own, 1 / pivot, np.nan))
        squares = np.where(products[last, last] > 0, products[last, last], np.nan)
        value = (count * np.log(squares / count) + log_determinant) / 2
        slopes, weights = _regression(lower, inverse, (s, n))
        return _Profile(np.where(np.isnan(value), np.inf, value), squares, count, slopes, weights)

    def tell(self, at: Floats, is_rough: bool = False) -> Told:
        """Say what was found at (k, n) parameters, maybe without standard errors."""
        order, step = self.order, newton.STEP
        k, n = at.shape
        first, second = np.triu_indices(k, 1)
        eye = np.eye(k)
        pairs = [a * eye[first] + b * eye[second] for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        ways = np.concatenate([np.zeros((1, k)), eye, -eye, *pairs])[: 1 if is_rough else None]
        points = at[:, None] + ways.T[:, :, None] * step
        parts = [self._profile(*part) for part in self._parts(points, np.arange(n))]
        f, squares, count, slopes, weights = (
            np.concatenate([getattr(part, name) for part in parts], axis=-1)
            for name in ("value", "squares", "count", "slopes", "weights")
        )
        all_of, sigma2 = np.concatenate([order.to_coefficients(points), slopes]), squares[0] / count[0]
        variances = np.full(all_of[:, 0].shape, np.nan)
        if not is_rough:
            up, down, mixed = f[1 : k + 1], f[k + 1 : 2 * k + 1], f[2 * k + 1 :].reshape(4, -1, n)
            hessian = np.empty((k, k, n))
            hessian[np.arange(k), np.arange(k)] = (up - 2 * f[0] + down) / step**2
            crossed = (mixed[0] - mixed[1] - mixed[2] + mixed[3]) / (4 * step**2)
            hessian[first, second] = hessian[second, first] = crossed
            variances = _spread(hessian, (all_of[:, 1 : k + 1] - all_of[:, k + 1 : 2 * k + 1]) / (2 * step))
            variances[k:] = (variances[k:] + sigma2 * weights[:, 0]) * self.scale**2
        coefficients = all_of[:, 0]
        coefficients[k:] *= self.scale
        if order.is_constant:
            coefficients[k] += self.center / order.unit
        return Told(
            coefficients=coefficients.T,
            standard_errors=np.sqrt(variances).T,
            sigma2=sigma2 * self.scale**2,
            log_likelihood=-f[0] - count[0] * self._constants() / 2,
            observations=count[0].astype(np.int64),
        )

    def expect(self, coefficients: Floats, horizon: int) -> tuple[Floats, Floats]:
        """Give expectation and variance, for shocks of variance 1, of the last rows (h, n), which are missing."""
        columns, (phi, theta) = self._without_regression(coefficients)
        white = arma.whiten(columns, phi, theta, (1, coefficients.shape[1]))
        missing, lower, pivots = self._missing(white.products[:, :, 0])
        last = [row[self.dummies - horizon :] for row in lower[-horizon:]]
        variance = elimination.inverse_diagonal(last, pivots[-horizon:])
        return self.fill[-horizon:] + self.scale * missing[-horizon:], variance

    def shocks(self, coefficients: Floats) -> Floats:
        """Give the expected shocks (T, n), given all values and the coefficients (k, n)."""
        columns, (phi, theta) = self._without_regression(coefficients)
        white = arma.whiten(columns, phi, theta, (1, coefficients.shape[1]), is_before=True)
        e = arma.shocks(columns, phi, theta, white.before)[:, :, 0]
        total = e[:, -1].copy()
        for i, x in enumerate(self._missing(white.products[:, :, 0])[0]):
            total += e[:, i] * x
        return self.scale * total

    def _missing(self, products: Floats) -> tuple[Floats, elimination.Lower, list[Floats]]:
        """The expected missing values (dummies, n), and the factors of their precision."""
        dummies = self.dummies
        # Of a series with fewer missing values than others some columns are zero.
        diagonal = products[np.arange(dummies), np.arange(dummies)]
        diagonal = np.where(diagonal == 0, 1.0, diagonal)
        lower, pivots = elimination.factor([[*products[i, :i], diagonal[i]] for i in range(dummies)])
        solved = elimination.solve(lower, pivots, list(-products[-1, :-1]))
        missing = np.array([x for x in solved if x is not None]).reshape(dummies, products.shape[-1])
        return missing, lower, pivots

    def _without_regression(self, coefficients: Floats) -> tuple[arma.Columns, tuple[arma.Polynomial, arma.Polynomial]]:
        """Missing values, and the series less what the constant and regressors say; the polynomials."""
        values, k = self.design.values, self.order.terms
        left = values[:, -1].copy()
        slopes = coefficients[k:] / self.scale
        if self.order.is_constant:
            slopes[0] -= self.center / self.order.unit / self.scale
        for i, slope in enumerate(slopes):
            left -= slope * values[:, self.dummies + i]
        columns = np.concatenate([values[:, : self.dummies], left[:, None]], axis=1)
        return arma.Columns(columns, self.design.begin), self.order.polynomials(coefficients[:k, None])


def _regression(lower: elimination.Lower, inverse: list[Floats], shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Coefficients, and the diagonal of the inverse of products, from what the columns were eliminated by."""
    g = len(lower)
    if g == 0:
        return np.zeros((0, *shape)), np.zeros((0, *shape))
    # Row i has what columns after i were eliminated by; the last of them is the series.
    left = [[lower[j][i - j - 1] for j in range(i)] for i in range(g)]
    slopes = elimination.backward(left, [row[-1] for row in lower])
    weights = elimination.inverse_diagonal(left, [1 / each for each in inverse])
    return np.stack([each for each in slopes if each is not None]), weights


def _spread(hessian: Floats, jacobian: Floats) -> Floats:
    """The variances (rows, n) of what depends on parameters by a Jacobian (rows, k, n)."""
    k, n = hessian.shape[1:]
    if k == 0:
        return np.zeros((len(jacobian), n))
    lower, pivots = elimination.factor([[hessian[i, j] for j in range(i + 1)] for i in range(k)])
    is_bent = np.min(pivots, axis=0) > 0
    variances = np.reshape([elimination.squares(lower, pivots, list(row)) for row in jacobian], (len(jacobian), n))
    return np.where(is_bent, variances, np.nan)


def penalty(coefficients: int, observations: Ints) -> Floats:
    """What AICc adds to twice the negative log-likelihood, for coefficients and the variance of the shocks."""
    count = coefficients + 1
    return 2 * count * observations / np.maximum(observations - count - 1, 1)


def difference(values: Floats, order: Order) -> Floats:
    """Take differences of rows."""
    for _ in range(order.d):
        values = values[1:] - values[:-1]
    for _ in range(order.D):
        values = values[order.m :] - values[: -order.m]
    return values
