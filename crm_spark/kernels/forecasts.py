"""Which forecast suits a series, judged on its own past, and what it says.

A series goes one of these ways: too short (its mean), constant (its value), mostly zero (Croston's method and its kin),
else ARIMA. Where it is long enough the methods of its way, and the plain ones, foretell its last periods from those
before, from several origins on; the one with the least error is taken. So ARIMA stands only where it beats the plain
ones. What was off then, against what was told to be off, also widens the intervals.

References
----------
Hyndman, R. J., Koehler, A. B. (2006). Another Look at Measures of Forecast Accuracy. International Journal of
Forecasting 22(4), 679-688: MASE.
Syntetos, A. A., Boylan, J. E., Croston, J. D. (2005). On the Categorization of Demand Patterns. Journal of the
Operational Research Society 56(5), 495-503: what is mostly zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from crm_spark.kernels import arima, autocorrelation, baselines
from crm_spark.kernels.arima_order import by_order, choose
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.series import LARGEST, Ints, ended, refuse

LEAST = 10  # known values that a model takes
RARE = 1.32  # mean periods from one value above zero to the next, from which on a series is mostly zero
LEVELS = (0.025, 0.1, 0.9, 0.975)  # of 95 % and 80 % intervals
LAGS = 10  # of residuals that are tested
DOUBT = 12  # periods foretold that what a method says of its own errors is worth
ROUTES = ("none", "too short", "constant", "mostly zero", "arima")
METHODS = ("arima", *baselines.METHODS)
OF_ROUTE = {
    "too short": ("mean",),
    "constant": ("naive",),
    "mostly zero": ("sba", "croston", "tsb", "mean", "naive"),
    "arima": ("arima", "mean", "naive", "seasonal_naive"),
}  # of equals the first is taken


@dataclass(frozen=True)
class Learned:
    """What was learned of each series.

    Parameters
    ----------
    route, method : (n,) arrays of str
        Of ROUTES and METHODS; the method is empty where nothing can be told.
    orders : (n,) array of Order or None
    fits : arima.Fits
        Of the whole series, where the method is ARIMA.
    ahead : (n,) array of int
        Periods that were foretold from each origin to judge by; 0 where it is too short for it.
    mase, smape : (n, methods) arrays
        Mean absolute error by that of the seasonal naive forecast in training; symmetric mean absolute percentage
        error, 0 to 2. NaN of methods that were not tried.
    coverage : (n, 2) array
        Which share of what came lay within the 80 % and 95 % intervals of the method that was taken, before widening.
    spread : (n,) array
        By which its standard deviations are multiplied; 1 or more.
    reason : (n,) array of str or None
    """

    route: NDArray[np.str_]
    method: NDArray[np.object_]
    orders: NDArray[np.object_]
    fits: arima.Fits
    ahead: Ints
    mase: Floats
    smape: Floats
    coverage: Floats
    spread: Floats
    reason: NDArray[np.object_]


@dataclass(frozen=True)
class Models:
    """What forecasts need of what was learned: see `Learned`; `coefficients` (n, k) and `sigma2` (n,) of ARIMA."""

    method: NDArray[np.object_]
    orders: NDArray[np.object_]
    coefficients: Floats
    sigma2: Floats
    spread: Floats


def learn(values: Floats, offsets: Ints, season: int, horizon: int, origins: int = 3) -> Learned:
    """Find for each series the method that foretells it best.

    Parameters
    ----------
    values : (m,) array
        One series after the other, evenly spaced; NaN is missing.
    offsets : (n + 1,) array of int
        Where each begins, and the end of the last.
    season : int
        Periods of a cycle; 1 where there is none. Series shorter than two cycles have none.
    horizon : int
        Periods that are foretold from each origin, at most.
    origins : int, default 3
        From how many; each lies so many periods before the next. A short series is judged on fewer periods ahead, so
        that LEAST are left to learn from.

    Returns
    -------
    Learned
        What is learned of one series does not depend on the others.
    """
    route, reason = _routed(values, offsets)
    n = route.size
    lengths = np.diff(offsets)
    own = np.where(lengths >= 2 * season, season, 1)
    # A short series is judged on a shorter horizon, so that enough is left to learn from.
    ahead = np.clip((lengths - LEAST) // origins, 0, horizon)
    ahead = np.where(np.isin(route, ("mostly zero", "arima")), ahead, 0)
    method = np.array([OF_ROUTE[way][0] if way in OF_ROUTE else "" for way in route], dtype=object)
    orders = np.full(n, None, dtype=object)
    judged = _Judged.of(n)
    for cycle, judged_on in {(int(one), int(other)) for one, other in zip(own, ahead, strict=True)}:
        here = np.flatnonzero((own == cycle) & (ahead == judged_on))
        which = here[route[here] == "arima"]
        until = np.diff(offsets)[which] - origins * judged_on
        orders[which] = choose(*_cut(values, offsets, which, until), cycle).orders
        for origin in range(origins if judged_on else 0, 0, -1):
            _judge(judged, values, offsets, here, (route, orders), cycle, judged_on, origin)
    mase, smape, rmsse = judged.errors()
    for i in np.flatnonzero(ahead):
        tried = [METHODS.index(name) for name in OF_ROUTE[route[i]]]
        score = (rmsse if route[i] == "mostly zero" else mase)[i, tried]
        if np.isfinite(score).any():
            method[i] = METHODS[tried[int(np.nanargmin(score))]]
    # Whose model cannot be found is told by its mean.
    no_model = np.array([of is None for of in orders]) & (method == "arima")
    method[no_model] = "mean"
    fits = _fitted(values, offsets, method, orders)
    at_edge = (method == "arima") & ~np.isfinite(fits.sigma2)
    method[at_edge] = "mean"
    coverage, spread = judged.intervals(np.array([METHODS.index(name) if name else 0 for name in method]))
    reason = np.where(reason == None, np.where(no_model | at_edge, "no ARIMA model fits", fits.reason), reason)  # noqa: E711
    return Learned(route, method, orders, fits, ahead, mase, smape, coverage, spread, reason)


def expect(values: Floats, offsets: Ints, models: Models, season: int, horizon: int) -> tuple[Floats, Floats]:
    """Foretell each series by its method, without fitting anything.

    Parameters
    ----------
    values, offsets, season, horizon
        See `learn`.
    models : Models

    Returns
    -------
    mean : (n, horizon) array
    quantiles : (n, horizon, 4) array
        At LEVELS. NaN both where nothing can be told.
    """
    mean, off = np.full((2, models.method.size, horizon), np.nan)
    own = np.where(np.diff(offsets) >= 2 * season, season, 1)
    for cycle in np.unique(own):
        which = np.flatnonzero(own == cycle)
        for name in set(models.method[which]) - {""}:
            some = which[models.method[which] == name]
            fitted = models.orders[some], models.coefficients[some], models.sigma2[some]
            mean[some], off[some] = _told(name, *_cut(values, offsets, some), fitted, int(cycle), horizon)
    off = off * models.spread[:, None]
    return mean, mean[..., None] + off[..., None] * special.ndtri(LEVELS)


def residual_p(values: Floats, offsets: Ints, models: Models) -> Floats:
    """Give the p of the Ljung-Box test of ARIMA's residuals, (n,): small where a model leaves something untold.

    A fifth of the periods are tested, ten lags at most, and more than the model has terms; NaN of other methods.
    """
    found = np.full(models.method.size, np.nan)
    told = [int(i) for i in np.flatnonzero(models.method == "arima")]
    for order, which in by_order([models.orders[i] for i in told], told):
        some, k = np.array(which), len(order.names)
        cut = _cut(values, offsets, some)
        fitted = models.coefficients[some, :k], models.sigma2[some]
        left = ended(arima.residuals(*cut, order, fitted), cut[1])
        periods = (~np.isnan(left)).sum(axis=0).astype(np.float64)
        tested = np.maximum(np.minimum(periods // 5, LAGS), order.terms + 1)
        correlations = autocorrelation.acf(left, max(LAGS, order.terms + 1))
        found[some] = autocorrelation.ljung_box(correlations, periods, tested, order.terms)[1]
    return found


def _routed(values: Floats, offsets: Ints) -> tuple[NDArray[np.str_], NDArray[np.object_]]:
    """The way of each series, and why there is no model for it."""
    reasons = refuse(values, offsets, LEAST)
    of = np.repeat(np.arange(reasons.size), np.diff(offsets))
    known = np.bincount(of[~np.isnan(values)], minlength=reasons.size)
    above = np.bincount(of[values > 0], minlength=reasons.size)
    below = np.bincount(of[values < 0], minlength=reasons.size)
    route = np.where((above * RARE <= known) & (below == 0), "mostly zero", "arima")
    is_far = np.bincount(of[np.abs(values) > LARGEST], minlength=reasons.size) > 0
    for name, here in (
        ("too short", known < LEAST),
        ("constant", np.array([reason == "all values are equal" for reason in reasons])),
        ("none", is_far | (known == 0)),
    ):
        route = np.where(here, name, route)
    return route, reasons


def _cut(values: Floats, offsets: Ints, which: Ints, ends: Ints | None = None) -> tuple[Floats, Ints]:
    """Some series, until some of their values."""
    lengths = np.diff(offsets)[which] if ends is None else ends
    bounds = np.append(0, np.cumsum(lengths))
    at = np.arange(bounds[-1]) - np.repeat(bounds[:-1] - offsets[which], lengths)
    return values[at], bounds


def _told(
    name: str,
    values: Floats,
    offsets: Ints,
    fitted: tuple[NDArray[np.object_], Floats, Floats],
    season: int,
    horizon: int,
) -> tuple[Floats, Floats]:
    """Mean and standard deviation, (n, horizon), by one method."""
    if name != "arima":
        with np.errstate(all="ignore"):
            mean, off = baselines.METHODS[name](ended(values, offsets), horizon, season)
        return mean.T, off.T
    orders, coefficients, sigma2 = fitted
    mean, off = np.full((2, sigma2.size, horizon), np.nan)
    told = [i for i in range(sigma2.size) if orders[i] is not None]
    for order, which in by_order([orders[i] for i in told], told):
        some = np.array(which)
        parameters = coefficients[some, : len(order.names)], sigma2[some]
        found = arima.forecast(*_cut(values, offsets, some), order, parameters, horizon)
        mean[some], off[some] = found.mean, np.sqrt(found.variance)
    return mean, off


def _fitted(values: Floats, offsets: Ints, method: NDArray[np.object_], orders: NDArray[np.object_]) -> arima.Fits:
    """Fit the chosen models to whole series."""
    told = np.flatnonzero(method == "arima")
    width = max((len(orders[i].names) for i in told), default=0)
    fits = arima.nothing(method.size, width, np.full(method.size, None, dtype=object))
    for order, which in by_order([orders[i] for i in told], [int(i) for i in told]):
        some, k = np.array(which), len(order.names)
        found = arima.fit(*_cut(values, offsets, some), order)
        for name in ("coefficients", "standard_errors"):
            getattr(fits, name)[some, :k] = getattr(found, name)
        for name in ("sigma2", "log_likelihood", "aicc", "observations", "is_fitted", "reason"):
            getattr(fits, name)[some] = getattr(found, name)
    return fits


@dataclass
class _Judged:
    """Sums of errors over origins, (n, methods): of what was foretold, against what came."""

    absolute: Floats
    squared: Floats
    symmetric: Floats
    standardised: Floats
    within: Floats
    told: Floats

    @staticmethod
    def of(n: int) -> "_Judged":
        """Nothing yet."""
        one = (n, len(METHODS))
        absolute, squared, symmetric, standardised, told = np.zeros((5, *one))
        return _Judged(absolute, squared, symmetric, standardised, np.zeros((*one, 2)), told)

    def add(self, which: Ints, at: int, came: Floats, mean: Floats, off: Floats, by: tuple[Floats, Floats]) -> None:
        """Hold forecasts (k, h) of a method against what came; `by` has what errors are measured by, (k,) each."""
        is_known = ~np.isnan(came)
        error = np.where(is_known, came - mean, 0.0)
        size = np.abs(came) + np.abs(mean)
        z = np.abs(np.divide(error, off, out=np.zeros_like(error), where=off > 0))
        self.absolute[which, at] += _row_sum(np.abs(error)) / by[0]
        self.squared[which, at] += _row_sum(error**2) / by[1]
        self.symmetric[which, at] += _row_sum(np.where(is_known & (size > 0), 2 * np.abs(error) / size, 0.0))
        self.standardised[which, at] += _row_sum(z * z)
        for place, level in enumerate(LEVELS[:1:-1]):
            self.within[which, at, 1 - place] += _row_sum((is_known & (z <= special.ndtri(level))).astype(np.float64))
        self.told[which, at] += is_known.sum(axis=1)

    def errors(self) -> tuple[Floats, Floats, Floats]:
        """Give MASE, sMAPE and RMSSE of each method."""
        with np.errstate(all="ignore"):
            told = np.where(self.told > 0, self.told, np.nan)
            return tuple(
                np.where(np.isfinite(of), of, np.nan)
                for of in (self.absolute / told, self.symmetric / told, np.sqrt(self.squared / told))
            )  # type: ignore[return-value]

    def intervals(self, method: Ints) -> tuple[Floats, Floats]:
        """Give coverage (n, 2) of the method that is taken, and by what its intervals are widened (n,)."""
        at = np.arange(method.size), method
        told = self.told[at]
        shares = np.divide(self.within[at], told[:, None], out=np.full((told.size, 2), np.nan), where=told[:, None] > 0)
        widened = np.sqrt((DOUBT + self.standardised[at]) / (DOUBT + told))
        return shares, np.where(np.isfinite(widened), np.maximum(widened, 1.0), 1.0)


def _judge(  # noqa: PLR0913, PLR0917 - what is foretold, and how
    judged: _Judged,
    values: Floats,
    offsets: Ints,
    which: Ints,
    ways: tuple[NDArray[np.str_], NDArray[np.object_]],
    season: int,
    horizon: int,
    origin: int,
) -> None:
    """Foretell a horizon from an origin, by every method of the way of each series."""
    route, orders = ways
    ends = np.diff(offsets)[which] - origin * horizon
    training, bounds = _cut(values, offsets, which, ends)
    came = values[(offsets[which] + ends)[:, None] + np.arange(horizon)]
    with np.errstate(all="ignore"):
        by = baselines.scale(ended(training, bounds), season)
    has_model = np.array([orders[i] is not None for i in which], dtype=bool)
    fits = _fitted(training, bounds, np.where(has_model, "arima", ""), orders[which])
    for at, name in enumerate(METHODS):
        is_tried = np.array([name in OF_ROUTE[way] for way in route[which]], dtype=bool)
        is_tried &= has_model if name == "arima" else True
        some = np.flatnonzero(is_tried)
        if some.size:
            fitted = orders[which][some], fits.coefficients[some], fits.sigma2[some]
            mean, off = _told(name, *_cut(training, bounds, some), fitted, season, horizon)
            scales = by[0][some], by[1][some]
            with np.errstate(all="ignore"):
                judged.add(which[some], at, came[some], mean, off, scales)


def _row_sum(rows: Floats) -> Floats:
    """Sum along rows, from the first to the last."""
    total = np.zeros(len(rows))
    for column in rows.T:
        total += column
    return total
