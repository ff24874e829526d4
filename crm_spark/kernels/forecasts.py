"""Which forecast suits a series, judged on its own past, and what it says.

A series goes one of these ways: too short (its mean), constant (its value), mostly zero (Croston's method and its kin),
else ARIMA. One that is too short may borrow the ARIMA model of another, as of its segment. Where it is long enough the
methods of its way, and the plain ones, foretell its last periods from those before, from several origins on; the one
with the least error is taken. So ARIMA stands only where it beats the plain ones. Where there is a cycle it is also
combined: half of the forecast is ARIMA's, half the seasonal naive one, both on the scale of the model; that is taken
unless another method erred by a tenth less. What was off then, against what was told to be off, also widens the
intervals.

References
----------
Bates, J. M., Granger, C. W. J. (1969). The Combination of Forecasts. Operational Research Quarterly 20(4), 451-468.
Hyndman, R. J., Koehler, A. B. (2006). Another Look at Measures of Forecast Accuracy. International Journal of
Forecasting 22(4), 679-688: MASE.
Syntetos, A. A., Boylan, J. E., Croston, J. D. (2005). On the Categorization of Demand Patterns. Journal of the
Operational Research Society 56(5), 495-503: what is mostly zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from crm_spark.kernels import arima, autocorrelation, baselines
from crm_spark.kernels.arima_order import Most, by_order, choose
from crm_spark.kernels.arithmetic import ratio
from crm_spark.kernels.baselines import Told
from crm_spark.kernels.likelihood import Flags, Floats
from crm_spark.kernels.series import LARGEST, Ints, ended, refuse

LEAST = 10  # known values that a model takes
RARE = 1.32  # mean periods from one value above zero to the next, from which on a series is mostly zero
LEVELS = (0.025, 0.1, 0.9, 0.975)  # of 95 % and 80 % intervals
LAGS = 10  # of residuals that are tested
WIDEST = Most().p + Most().q + Most().P + Most().Q + 1  # coefficients of a model, at most
HANDICAP = 0.1  # by which share another method must err less than a combination
APART = 2.0  # the largest value by the smallest, from which on logarithms are tried
DOUBT = 12  # periods foretold that what a method says of its own errors is worth
ROUTES = ("none", "too short", "borrowed", "constant", "mostly zero", "arima")
LOG = "arima_log"
ARIMAS = ("arima", LOG)  # of the values, and of log(1 + value)
MODEL_OF = {"arima": "arima", LOG: LOG, "combined": "arima", "combined_log": LOG}  # which of them a method takes
METHODS = (*MODEL_OF, *baselines.METHODS)
OF_ROUTE = {
    "too short": ("mean",),
    "borrowed": ("arima", "mean"),
    "constant": ("naive",),
    "mostly zero": ("sba", "croston", "tsb", "mean", "naive"),
    "arima": (*MODEL_OF, "mean", "naive", "seasonal_naive"),
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


@dataclass(frozen=True)
class Lent:
    """What series that are too short for models of their own may borrow.

    Parameters
    ----------
    models : Models
        Of the series that lends to each; only those of ARIMA are of use.
    level : (n,) array
        The mean of the last values of that series, by which its drift is a rate.
    """

    models: Models
    level: Floats


def learn(
    values: Floats,
    offsets: Ints,
    season: int,
    horizon: int,
    origins: int = 3,
    former: Models | None = None,
    lent: Lent | None = None,
) -> Learned:
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
    former : Models, optional
        Of a former run, from whose orders and coefficients ARIMA models are searched; the method is empty where there
        is none.
    lent : Lent, optional
        A series that is too short is told by the terms of the model that it borrows, on its own level: a logarithm is a
        line nearby, so that its terms are those of the values too. The mean and the variance of the shocks are its own,
        the drift is in proportion. It is judged where two values more than the model takes are left to.

    Returns
    -------
    Learned
        What is learned of one series does not depend on the others.
    """
    route, reason = _routed(values, offsets)
    loan = None if lent is None else _Loan.of(lent, values, offsets, route)
    if loan is not None:
        route[loan.is_lent] = "borrowed"
    found = {name: _Found.of(route.size, former, name) for name in ARIMAS}
    ahead = _ahead(offsets, route, loan, horizon, origins)
    judged = _backtest(values, offsets, season, origins, route, ahead, found, loan)
    mase, smape, rmsse = judged.errors()
    method = _best(route, ahead, mase, rmsse)
    orders, fits = _refitted(values, offsets, route, method, found, loan)
    # Whose model cannot be found is told by its mean.
    at_edge = has_model(method) & ~np.isfinite(fits.sigma2)
    method[at_edge] = "mean"
    coverage, spread = judged.intervals(np.array([METHODS.index(name) if name else 0 for name in method]))
    if loan is not None:
        spread = np.where(method == "arima", spread * loan.doubt, spread)
    reason = np.where(reason == None, np.where(at_edge, "no ARIMA model fits", fits.reason), reason)  # noqa: E711
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
    mean = np.full((models.method.size, horizon), np.nan)
    quantiles = np.full((*mean.shape, len(LEVELS)), np.nan)
    own = np.where(np.diff(offsets) >= 2 * season, season, 1)
    for cycle in np.unique(own):
        which = np.flatnonzero(own == cycle)
        for name in set(models.method[which]) - {""}:
            some = which[models.method[which] == name]
            fitted = models.orders[some], models.coefficients[some], models.sigma2[some]
            told, off = _told(name, *_cut(values, offsets, some), fitted, int(cycle), horizon)
            wide = (off * models.spread[some, None])[..., None] * special.ndtri(LEVELS)
            mean[some] = _mean(name, told, off)
            limits = told[..., None] + wide
            quantiles[some] = np.expm1(limits) if MODEL_OF.get(name) == LOG else limits
    return mean, quantiles


def has_model(method: NDArray[np.object_]) -> Flags:
    """Whether methods (n,) take an ARIMA model."""
    return np.isin(method, list(MODEL_OF))


def is_combined(method: NDArray[np.object_]) -> Flags:
    """Whether methods (n,) combine ARIMA with the seasonal naive forecast."""
    return has_model(method) & ~np.isin(method, ARIMAS)


def _is_log(method: NDArray[np.object_]) -> Flags:
    """Whether methods (n,) take one of logarithms."""
    return np.isin(method, [name for name, model in MODEL_OF.items() if model == LOG])


def residual_p(values: Floats, offsets: Ints, models: Models) -> Floats:
    """Give the p of the Ljung-Box test of ARIMA's residuals, (n,): small where a model leaves something untold.

    A fifth of the periods are tested, ten lags at most, and more than the model has terms; NaN of other methods.
    """
    found = np.full(models.method.size, np.nan)
    told = [int(i) for i in np.flatnonzero(has_model(models.method))]
    scaled = np.where(np.repeat(_is_log(models.method), np.diff(offsets)), np.log1p(np.maximum(values, 0.0)), values)
    for order, which in by_order([models.orders[i] for i in told], told):
        some, k = np.array(which), len(order.names)
        cut = _cut(scaled, offsets, some)
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


def _ahead(offsets: Ints, route: NDArray[np.str_], loan: "_Loan | None", horizon: int, origins: int) -> Ints:
    """How many periods are foretold from each origin: fewer of a short series, so that enough is left to learn from."""
    least = np.full(route.size, LEAST)
    if loan is not None:
        least[loan.is_lent] = [order.lost + order.is_constant + 2 for order in loan.orders[loan.is_lent]]
    ahead = np.clip((np.diff(offsets) - least) // origins, 0, horizon)
    return np.where(np.isin(route, ("mostly zero", "arima", "borrowed")), ahead, 0)


def _backtest(  # noqa: PLR0913, PLR0917 - the series, from where they are judged, and what is known of them
    values: Floats,
    offsets: Ints,
    season: int,
    origins: int,
    route: NDArray[np.str_],
    ahead: Ints,
    found: Mapping[str, "_Found"],
    loan: "_Loan | None",
) -> "_Judged":
    """Foretell from one origin after the other, each time with models of what lies before; `found` keeps the last."""
    lengths = np.diff(offsets)
    own = np.where(lengths >= 2 * season, season, 1)
    tried = _tried(values, offsets, route, ahead > 0, own > 1)
    judged = _Judged.of(route.size)
    for cycle, judged_on in {(int(one), int(other)) for one, other in zip(own, ahead, strict=True)}:
        here = np.flatnonzero((own == cycle) & (ahead == judged_on))
        for origin in range(origins if judged_on else 1, 0, -1):
            ends = lengths - origin * judged_on
            for name, models in found.items():
                which = here[tried[here, METHODS.index(name)] & (route[here] != "borrowed")]
                part = _cut(values, offsets, which, ends[which])
                # Orders are found on what lies before the first origin.
                models.find(name, *part, which, cycle if origin == origins or not judged_on else None)
            if loan is not None:
                which = here[loan.is_lent[here]]
                found["arima"].put(which, loan.orders[which], loan.adopt(values, offsets, which, ends[which]))
            if judged_on:
                _judge(judged, values, offsets, here, ends, tried, found, cycle, judged_on)
    return judged


def _best(route: NDArray[np.str_], ahead: Ints, mase: Floats, rmsse: Floats) -> NDArray[np.object_]:
    """Of the methods of each way the one with the least error; the first where none was judged.

    Who combines is nearly as good at the worst, and who is chosen was lucky, too: a combination stands unless another
    was better by HANDICAP.
    """
    handicap = np.where(is_combined(np.array(METHODS, dtype=object)), 1 - HANDICAP, 1.0)
    method = np.array([OF_ROUTE[way][0] if way in OF_ROUTE else "" for way in route], dtype=object)
    for i in np.flatnonzero(ahead):
        names = [METHODS.index(name) for name in OF_ROUTE[route[i]]]
        score = (rmsse if route[i] == "mostly zero" else mase)[i, names] * handicap[names]
        if np.isfinite(score).any():
            method[i] = METHODS[names[int(np.nanargmin(score))]]
    return method


def _refitted(
    values: Floats,
    offsets: Ints,
    route: NDArray[np.str_],
    method: NDArray[np.object_],
    found: Mapping[str, "_Found"],
    loan: "_Loan | None",
) -> tuple[NDArray[np.object_], arima.Fits]:
    """Models of whole series, where the method is ARIMA: orders, fits."""
    lengths = np.diff(offsets)
    orders, start = found["arima"].orders.copy(), found["arima"].coefficients.copy()
    is_log = _is_log(method)
    orders[is_log], start[is_log] = found[LOG].orders[is_log], found[LOG].coefficients[is_log]
    scaled = np.where(np.repeat(is_log, lengths), np.log1p(np.maximum(values, 0.0)), values)
    is_arima, is_known = has_model(method), np.array([of is not None for of in orders], dtype=bool)
    fits = _fitted(scaled, offsets, is_arima & (route != "borrowed") & is_known, orders, start)
    if loan is not None:
        which = np.flatnonzero(is_arima & (route == "borrowed"))
        _put(fits, which, loan.adopt(values, offsets, which, lengths[which]))
    return orders, fits


def _tried(values: Floats, offsets: Ints, route: NDArray[np.str_], is_judged: Flags, has_cycle: Flags) -> Flags:
    """Which methods are tried for which series, (n, methods)."""
    tried = np.array([[name in OF_ROUTE.get(way, ()) for name in METHODS] for way in route], dtype=bool)
    tried = tried.reshape(route.size, len(METHODS))
    of = np.repeat(np.arange(route.size), np.diff(offsets))
    low, high = np.full(route.size, np.inf), np.full(route.size, -np.inf)
    np.fmin.at(low, of, values)
    np.fmax.at(high, of, values)
    # Of what hardly differs the logarithm is a line.
    may_be_log = is_judged & (low >= 0) & ((1 + high) / APART >= 1 + low)
    every = np.array(METHODS, dtype=object)
    tried[:, _is_log(every)] &= may_be_log[:, None]
    # Without a cycle the seasonal naive forecast is the naive one, which is an ARIMA model itself.
    tried[:, is_combined(every)] &= (is_judged & has_cycle)[:, None]
    return tried


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
    """Mean and standard deviation, (n, horizon), by one method, on its scale."""
    if name not in MODEL_OF:
        with np.errstate(all="ignore"):
            mean, off = baselines.METHODS[name](ended(values, offsets), horizon, season)
        return mean.T, off.T
    if name not in ARIMAS:
        own, own_off = _told(MODEL_OF[name], values, offsets, fitted, season, horizon)
        cycle, cycle_off = _told("seasonal_naive", _on_scale(name, values), offsets, fitted, season, horizon)
        # Both are mostly off to the same side: as if they always were.
        return (own + cycle) / 2, (own_off + cycle_off) / 2
    orders, coefficients, sigma2 = fitted
    mean, off = np.full((2, sigma2.size, horizon), np.nan)
    told = [i for i in range(sigma2.size) if orders[i] is not None]
    for order, which in by_order([orders[i] for i in told], told):
        some = np.array(which)
        parameters = coefficients[some, : len(order.names)], sigma2[some]
        found = arima.forecast(*_cut(_on_scale(name, values), offsets, some), order, parameters, horizon)
        mean[some], off[some] = found.mean, np.sqrt(found.variance)
    return mean, off


def _on_scale(name: str, values: Floats) -> Floats:
    """Values on the scale of a method."""
    return np.log1p(values) if MODEL_OF.get(name) == LOG else values


def _mean(name: str, told: Floats, off: Floats) -> Floats:
    """The mean that a method tells, on the scale of the values."""
    if MODEL_OF.get(name) != LOG:
        return told
    with np.errstate(all="ignore"):
        mean = np.expm1(told + off**2 / 2)
    return np.where(mean <= LARGEST, mean, np.nan)


@dataclass
class _Found:
    """ARIMA models on one scale, as they are known until now: orders (n,), coefficients (n, k), sigma2 (n,)."""

    orders: NDArray[np.object_]
    coefficients: Floats
    sigma2: Floats

    @staticmethod
    def of(n: int, former: Models | None, name: str) -> "_Found":
        """Nothing but what a former run found on this scale."""
        found = _Found(np.full(n, None, dtype=object), np.full((n, WIDEST), np.nan), np.full(n, np.nan))
        if former is not None:
            is_here = np.array([MODEL_OF.get(method) == name for method in former.method], dtype=bool)
            width = former.coefficients.shape[1]
            found.orders[is_here], found.coefficients[is_here, :width] = (
                former.orders[is_here],
                former.coefficients[is_here],
            )
        return found

    def find(self, name: str, values: Floats, offsets: Ints, which: Ints, season: int | None) -> None:
        """Find models of some series, or fit those that there are again, from where they were."""
        scaled, known = _on_scale(name, values), (self.orders[which], self.coefficients[which])
        if season is not None:
            choices = choose(scaled, offsets, season, former=known)
            self.put(which, choices.orders, choices.fits)
        else:
            has_model = np.array([of is not None for of in known[0]], dtype=bool)
            self.put(which, known[0], _fitted(scaled, offsets, has_model, *known, is_rough=True))

    def put(self, which: Ints, orders: NDArray[np.object_], fits: arima.Fits) -> None:
        """Put down the models of some series."""
        self.orders[which], self.sigma2[which], self.coefficients[which] = orders, fits.sigma2, np.nan
        self.coefficients[which, : fits.coefficients.shape[1]] = fits.coefficients


@dataclass(frozen=True)
class _Loan:
    """Borrowed models in units of the series that borrow: who borrows (n,), orders (n,), coefficients (n, k).

    Standard deviations are multiplied by `doubt` (n,), as the mean of so few values is unsure itself.
    """

    is_lent: Flags
    orders: NDArray[np.object_]
    coefficients: Floats
    doubt: Floats

    @staticmethod
    def of(lent: Lent, values: Floats, offsets: Ints, route: NDArray[np.str_]) -> "_Loan":
        """Lend to those that are too short and have more values than the model takes."""
        models, of = lent.models, np.repeat(np.arange(route.size), np.diff(offsets))
        known = np.bincount(of[~np.isnan(values)], minlength=route.size)
        sums = np.bincount(of, np.where(np.isfinite(values), values, 0.0), minlength=route.size)
        level = ratio(np.asarray(sums, dtype=np.float64), known.astype(np.float64))
        takes = np.array([order.lost + order.is_constant if order else 0 for order in models.orders], dtype=np.int64)
        is_lent = (route == "too short") & has_model(models.method) & (known > takes)
        coefficients = models.coefficients.copy()
        drifts = [i for i in np.flatnonzero(is_lent) if models.orders[i].names[-1:] == ("drift",)]
        # By how much a value of the lender, or its logarithm, grows: the same in proportion to the level.
        times = np.where(_is_log(models.method), 1 + level, ratio(level, lent.level))
        for i in drifts:
            coefficients[i, len(models.orders[i].names) - 1] *= times[i]
        has_mean = np.array([order is not None and "mean" in order.names for order in models.orders], dtype=bool)
        doubt = np.where(is_lent & has_mean, np.sqrt(1 + 1 / np.maximum(known, 1)), 1.0)
        return _Loan(is_lent, models.orders, coefficients, doubt)

    def adopt(self, values: Floats, offsets: Ints, which: Ints, ends: Ints) -> arima.Fits:
        """Tell what is of some series' own, until some of their values."""
        fits = arima.nothing(which.size, self.coefficients.shape[1], np.full(which.size, None, dtype=object))
        part = _cut(values, offsets, which, ends)
        for order, some in by_order(list(self.orders[which]), range(which.size)):
            at = np.array(some)
            own = self.coefficients[which[at], : len(order.names)]
            _put(fits, at, arima.adopt(*_cut(*part, at), order, own))
        return fits


def _fitted(
    values: Floats,
    offsets: Ints,
    is_asked: Flags,
    orders: NDArray[np.object_],
    start: Floats,
    is_rough: bool = False,
) -> arima.Fits:
    """Fit models again, from coefficients that were found on less."""
    fits = arima.nothing(is_asked.size, start.shape[1], np.full(is_asked.size, None, dtype=object))
    told = [int(i) for i in np.flatnonzero(is_asked)]
    for order, which in by_order([orders[i] for i in told], told):
        some, k = np.array(which), len(order.names)
        found = arima.fit(*_cut(values, offsets, some), order, start=start[some, :k], is_rough=is_rough, is_near=True)
        _put(fits, some, found)
    return fits


def _put(fits: arima.Fits, which: Ints, found: arima.Fits) -> None:
    """Put fits of some series among those of all."""
    for name in ("coefficients", "standard_errors"):
        getattr(fits, name)[which, : getattr(found, name).shape[1]] = getattr(found, name)
    for name in ("sigma2", "log_likelihood", "aicc", "observations", "is_fitted", "reason"):
        getattr(fits, name)[which] = getattr(found, name)


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

    def add(self, which: Ints, at: int, came: Floats, told: Told, by: tuple[Floats, Floats]) -> None:
        """Hold forecasts (k, h) of a method against what came; `by` has what errors are measured by, (k,) each."""
        mean, off = _mean(METHODS[at], *told), told[1]
        is_known = ~np.isnan(came)
        error = np.where(is_known, came - mean, 0.0)
        size = np.abs(came) + np.abs(mean)
        beside = np.where(is_known, _on_scale(METHODS[at], came) - told[0], 0.0)
        z = np.abs(np.divide(beside, off, out=np.zeros_like(error), where=off > 0))
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
    ends: Ints,
    tried: Flags,
    found: Mapping[str, _Found],
    season: int,
    horizon: int,
) -> None:
    """Foretell a horizon from an origin, by every method that is tried of each series."""
    training, bounds = _cut(values, offsets, which, ends[which])
    came = values[(offsets[which] + ends[which])[:, None] + np.arange(horizon)]
    with np.errstate(all="ignore"):
        by = baselines.scale(ended(training, bounds), season)
    for at, name in enumerate(METHODS):
        some = np.flatnonzero(tried[which, at])
        models = found[MODEL_OF.get(name, "arima")]
        if name in MODEL_OF:
            some = some[np.array([models.orders[i] is not None for i in which[some]], dtype=bool)]
        if some.size:
            fitted = models.orders[which[some]], models.coefficients[which[some]], models.sigma2[which[some]]
            with np.errstate(all="ignore"):
                told = _told(name, *_cut(training, bounds, some), fitted, season, horizon)
                judged.add(which[some], at, came[some], told, (by[0][some], by[1][some]))


def _row_sum(rows: Floats) -> Floats:
    """Sum along rows, from the first to the last."""
    total = np.zeros(len(rows))
    for column in rows.T:
        total += column
    return total
