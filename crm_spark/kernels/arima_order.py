"""Which ARIMA model fits a series: the stepwise search of Hyndman and Khandakar, for many series at once.

How often to take differences is told by tests: a seasonal difference where the season is strong, others until the
KPSS test finds the level stationary. Then the corrected criterion of Akaike is followed from model to neighbour. Each
series goes its own way; in each round the series that ask for the same model are fitted together.

References
----------
Hyndman, R. J., Khandakar, Y. (2008). Automatic Time Series Forecasting: The forecast Package for R. Journal of
Statistical Software 27(3).
Kwiatkowski, D., Phillips, P. C. B., Schmidt, P., Shin, Y. (1992). Testing the Null Hypothesis of Stationarity against
the Alternative of a Unit Root. Journal of Econometrics 54(1-3), 159-178.
Wang, X., Smith, K. A., Hyndman, R. J. (2006). Characteristic-Based Clustering for Time Series Data. Data Mining and
Knowledge Discovery 13(3), 335-364.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from statsmodels.tsa.seasonal import STL

from crm_spark.kernels import arima, arma_start
from crm_spark.kernels.arima import Fits
from crm_spark.kernels.arima_model import Order
from crm_spark.kernels.arithmetic import add_up
from crm_spark.kernels.likelihood import Flags, Floats
from crm_spark.kernels.series import Ints, align, refuse

STRONG = 0.64  # a season that is taken out by a difference
STATIONARY = 0.463  # what the KPSS statistic of a level exceeds once in 20 times
CLEAR = 1.01  # a root that is nearer to the unit circle is not trusted
LEAST = 5  # values
MODELS = 94  # tried for one series, at most
ROUGH_STEPS = 12  # after which a model is given up: few series would hold up all others
# Neighbours in the order in which they are tried: what is added to P and Q, then to p and q.
STEPS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


@dataclass(frozen=True)
class Most:
    """The highest orders that are tried."""

    d: int = 2
    D: int = 1
    p: int = 5
    q: int = 5
    P: int = 2
    Q: int = 2


@dataclass(frozen=True)
class Choices:
    """The model of each series, and its fit.

    Parameters
    ----------
    orders : (n,) array of Order or None
    fits : Fits
        Of coefficients, the first `len(order.names)` of a row are those of its order.
    """

    orders: NDArray[np.object_]
    fits: Fits


Known = tuple[NDArray[np.object_], Floats]  # orders (n,), None where there is none, and coefficients (n, k)


def choose(values: Floats, offsets: Ints, m: int = 1, most: Most = Most(), former: Known | None = None) -> Choices:
    """Find a model for each of many series.

    Parameters
    ----------
    values : (m,) array
        One series after the other, evenly spaced; NaN is missing.
    offsets : (n + 1,) array of int
        Where each begins, and the end of the last.
    m : int, default 1
        Periods of a season.
    most : Most
    former : arrays, optional
        Orders (n,) and coefficients (n, k) of a former search, where there are any. The search goes on from there if
        differences are taken as often as then: a model that still is the best of its neighbours is found by trying
        these.

    Returns
    -------
    Choices
        What is chosen for a series does not depend on the others.

    Raises
    ------
    ValueError
        The offsets do not divide the values into series.
    """
    reasons = refuse(values, offsets, LEAST)
    told = [i for i, reason in enumerate(reasons) if reason is None]
    d, D = differences(values, offsets, np.array(told, dtype=np.int64), m, most)
    parts = [values[offsets[i] : offsets[i + 1]] for i in told]
    walks = [_Walk(part, m, most, int(one), int(other)) for part, one, other in zip(parts, d, D, strict=True)]
    if former is not None:
        for i, walk in zip(told, walks, strict=True):
            walk.go_on(former[0][i], former[1][i])
    asked = {i: order for i, walk in enumerate(walks) if (order := walk.ask()) is not None}
    while asked:
        for order, which in by_order(list(asked.values()), list(asked)):
            series = np.concatenate([parts[i] for i in which])
            ends = np.cumsum([0, *(parts[i].size for i in which)])
            start = np.stack([walks[i].start(order) for i in which])
            beaten = np.array([walks[i].aicc for i in which])
            fits = arima.fit(series, ends, order, start=start, limit=ROUGH_STEPS, is_rough=True, below=beaten)
            usable = fits.is_fitted & is_clear(fits.coefficients, order)
            for row, i in enumerate(which):
                walks[i].answer(order, fits, row, bool(usable[row]))
        asked = {i: order for i in asked if (order := walks[i].ask()) is not None}
    return _fitted(values, offsets, reasons, dict(zip(told, walks, strict=True)))


def by_order(orders: Sequence[Order], of: Sequence[int]) -> Iterator[tuple[Order, list[int]]]:
    """Gather numbers by their order."""
    found: dict[Order, list[int]] = {}
    for order, i in zip(orders, of, strict=True):
        found.setdefault(order, []).append(i)
    yield from found.items()


def is_clear(coefficients: Floats, order: Order) -> Flags:
    """Whether all roots of processes (n, k) are clear of the unit circle."""
    clear = np.ones(len(coefficients), dtype=bool)
    blocks = np.split(coefficients[:, : order.terms].T, np.cumsum([order.p, order.q, order.P]))
    for block, step, sign in zip(blocks, (1, 1, order.m, order.m), (1, -1, 1, -1), strict=True):
        stretch = CLEAR ** (step * np.arange(1, len(block) + 1))[:, None]
        edge = 1 - 1e-9
        clear &= (np.abs(arma_start.to_partial(sign * block * stretch, edge)) < edge).all(axis=0)
    return clear


def differences(values: Floats, offsets: Ints, which: Ints, m: int, most: Most) -> tuple[Ints, Ints]:
    """Say how often to take differences, and seasonal ones, of each of some series.

    Parameters
    ----------
    which : (k,) array of int
        Series with values that are not all equal.

    Returns
    -------
    (d, D)
        (k,) arrays of int.
    """
    d, D = np.zeros((2, which.size), dtype=np.int64)
    nothing = np.zeros((values.size, 0)), np.zeros((offsets.size - 1, 0, 0))
    with np.errstate(all="ignore"):
        place = {int(i): at for at, i in enumerate(which)}
        for group in arima.groups(values, offsets, which):
            series = align(values, offsets, group, *nothing)
            at = np.array([place[int(i)] for i in group])
            x, missing, begin = series.values, series.is_missing, series.begin.copy()
            if m > 1 and most.D:
                size = len(x) - begin
                long = np.flatnonzero(size > 2 * m)
                D[at[long]] = [season_strength(x[begin[i] :, i], m) > STRONG for i in long]
                is_taken = D[at] == 1
                moved = np.zeros_like(x)
                moved[m:] = x[m:] - x[:-m]
                x = np.where(is_taken, moved, x)
                begin = begin + m * is_taken
            for _ in range(most.d):
                is_taken = ~_is_stationary(x, begin, missing)
                d[at] += is_taken
                moved = np.zeros_like(x)
                moved[1:] = x[1:] - x[:-1]
                x = np.where(is_taken, moved, x)
                begin = begin + is_taken
    return d, D


def season_strength(series: Floats, m: int) -> float:
    """Give the share of the variance that the season takes of what the trend leaves."""
    parts = STL(series, period=m, seasonal=11, seasonal_deg=0).fit()
    rest = float(np.var(parts.resid + parts.seasonal))
    return 1 - float(np.var(parts.resid)) / rest if rest > 0 else 0.0


def _is_stationary(x: Floats, begin: Ints, missing: Flags) -> Flags:
    """Whether the KPSS test does not refuse a level. A series that does not vary is stationary."""
    T = len(x)
    is_there = np.arange(T)[:, None] >= begin
    n = T - begin - (missing & is_there).sum(axis=0)
    e = np.where(is_there, x - add_up(np.where(is_there, x, 0.0)) / np.maximum(T - begin, 1), 0.0)
    size = np.maximum(T - begin, 1)
    lags = np.floor(3 * np.sqrt(np.maximum(n, 0)) / 13).astype(np.int64)
    variance = add_up(e * e)
    scale = variance.copy()
    for lag in range(1, int(lags.max(initial=0)) + 1):
        weight = np.where(lag <= lags, 2 * (1 - lag / (lags + 1)), 0.0)
        variance = variance + weight * add_up(e[lag:] * e[:-lag])
    walk = np.cumsum(e, axis=0)
    statistic = add_up(np.where(is_there, walk * walk, 0.0)) / size / variance
    is_flat = scale <= 1e-20 * add_up(np.where(is_there, x * x, 0.0))
    return np.asarray(is_flat | ~(statistic > STATIONARY))


class _Walk:
    """The way of one series from model to model."""

    def __init__(self, series: Floats, m: int, most: Most, d: int, D: int) -> None:
        size = int((~np.isnan(series)).sum())
        seasonal = size // 3 // m if m > 1 else 0
        shortest = min(size // 3, m - 1) if m > 1 else size // 3
        self.most = replace(
            most,
            p=min(most.p, shortest),
            q=min(most.q, shortest),
            P=min(most.P, seasonal),
            Q=min(most.Q, seasonal),
        )
        self.plain = Order(d=d, D=D, m=m)
        self.may_constant = d + D <= 1
        self.best: Order | None = None
        self.known: dict[str, float] = {}  # coefficients of the best, or of a former search
        self.aicc = np.inf
        self.tried: set[Order] = set()
        self.is_line = False  # but for a season: nothing is left to learn from
        self.former: Order | None = None
        self.first = _first(self.plain, self.most, size < 10, self.may_constant)

    def go_on(self, former: Order | None, coefficients: Floats) -> None:
        """Begin with the model of a former search, if it is one that this search could end in."""
        top = self.most
        if former is None or (former.d, former.D, former.m) != (self.plain.d, self.plain.D, self.plain.m):
            return
        if former.p <= top.p and former.q <= top.q and former.P <= top.P and former.Q <= top.Q:
            self.former = former
            self.known = dict(zip(former.names, coefficients.tolist(), strict=False))

    def ask(self) -> Order | None:
        """The next model to try, if there is one."""
        if len(self.tried) < MODELS and not self.is_line:
            if self.former is not None and self.former not in self.tried:
                return self.former
            # Who begins with a former model has no need of others to begin with, unless it fits no longer.
            for order in self.first if self.former is None or self.best is None else ():
                if order not in self.tried:
                    return order
            for order in () if self.best is None else _neighbours(self.best, self.most, self.may_constant):
                if order not in self.tried:
                    return order
        return None

    def start(self, order: Order) -> Floats:
        """What is known of the coefficients of a model from the best one; zero where nothing is."""
        return np.array([self.known.get(name, 0.0) for name in order.names])

    def answer(self, order: Order, fits: Fits, row: int, is_usable: bool) -> None:
        """Go on from a model if it is better than the best."""
        self.tried.add(order)
        self.is_line = self.is_line or (order.is_constant and fits.reason[row] == arima.EVEN)
        if is_usable and fits.aicc[row] < self.aicc:
            self.best, self.aicc = order, float(fits.aicc[row])
            self.known = dict(zip(order.names, fits.coefficients[row].tolist(), strict=True))


# Of few kinds of series there are many: each kind is asked for once.
@cache
def _first(plain: Order, top: Most, is_few: bool, may_constant: bool) -> tuple[Order, ...]:
    """The models that a search begins with."""
    two, one = (1 if is_few else 2), (0 if is_few else 1)
    level = replace(plain, is_constant=may_constant)
    first = [
        replace(level, p=min(two, top.p), q=min(two, top.q), P=min(one, top.P), Q=min(one, top.Q)),
        level,
        replace(level, p=min(1, top.p), P=min(1, top.P)),
        replace(level, q=min(1, top.q), Q=min(1, top.Q)),
        plain,
    ]
    return tuple(dict.fromkeys(first))


@cache
def _neighbours(best: Order, top: Most, may_constant: bool) -> tuple[Order, ...]:
    """The models that differ from one by a step."""
    near = [
        replace(best, P=best.P + P, Q=best.Q + Q)
        for P, Q in STEPS
        if 0 <= best.P + P <= top.P and 0 <= best.Q + Q <= top.Q
    ]
    near += [
        replace(best, p=best.p + p, q=best.q + q)
        for p, q in STEPS
        if 0 <= best.p + p <= top.p and 0 <= best.q + q <= top.q
    ]
    return (*near, replace(best, is_constant=not best.is_constant)) if may_constant else tuple(near)


def _fitted(values: Floats, offsets: Ints, reasons: NDArray[np.object_], walks: dict[int, _Walk]) -> Choices:
    """Fit the chosen models to the last digit."""
    orders = np.full(reasons.size, None, dtype=object)
    for i, walk in walks.items():
        orders[i] = None if walk.is_line else walk.best
        if orders[i] is None:
            reasons[i] = arima.EVEN if walk.is_line else "no model fits"
    chosen = [i for i in walks if orders[i] is not None]
    width = max([len(orders[i].names) for i in chosen], default=0)
    fits = arima.nothing(reasons.size, width, reasons)
    for order, which in by_order([orders[i] for i in chosen], chosen):
        series = np.concatenate([values[offsets[i] : offsets[i + 1]] for i in which])
        ends = np.cumsum([0, *(offsets[i + 1] - offsets[i] for i in which)])
        found = arima.fit(series, ends, order, start=np.stack([walks[i].start(order) for i in which]))
        for name in Fits.__dataclass_fields__:
            to, of = getattr(fits, name), getattr(found, name)
            if of.ndim > 1:
                to[which, : of.shape[1]] = of
            else:
                to[which] = of
    return Choices(orders, fits)
