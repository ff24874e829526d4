"""ARIMA models of many series at once: exact maximum likelihood, missing values, regressors, forecasts.

All series of one model are searched side by side, and what is found for one does not depend on the others, to the
last bit: there may be any among them. See `arima_model` for the likelihood.

Series go in blocks: besides input and output a call holds some hundreds of megabytes, however many there are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels import newton
from crm_spark.kernels.arima_model import BLOCK, Model, Order, penalty
from crm_spark.kernels.likelihood import Flags, Floats
from crm_spark.kernels.series import Ints, align, refuse

EDGE = 1e-4  # distance of a partial autocorrelation from 1 at which a root lies on the unit circle
CLOSEST = 1 - 1e-9  # to which a given one may come

EVEN = "all differences are equal"

__all__ = ["EVEN", "Fits", "Forecasts", "Order", "adopt", "fit", "forecast", "residuals"]


@dataclass(frozen=True)
class Fits:
    """What was found for each series; NaN where nothing was.

    Parameters
    ----------
    coefficients, standard_errors : (n, k) arrays
        In the order of `Order.names`, regressors last. A standard error is NaN where it cannot be told.
    sigma2 : (n,) array
        Variance of the shocks: their mean square.
    log_likelihood, aicc : (n,) arrays
    observations : (n,) array of int
        Values that were used: those that are known, without what differences take.
    is_fitted : (n,) array of bool
        Whether the maximum was found; what was found until then is told all the same.
    reason : (n,) array of str or None
        Why there is no fit, or what is to be known of it.
    """

    coefficients: Floats
    standard_errors: Floats
    sigma2: Floats
    log_likelihood: Floats
    aicc: Floats
    observations: Ints
    is_fitted: Flags
    reason: NDArray[np.object_]


@dataclass(frozen=True)
class Forecasts:
    """What is to be expected.

    Parameters
    ----------
    mean, variance : (n, h) arrays
        NaN where there is no fit.
    """

    mean: Floats
    variance: Floats


def fit(  # noqa: PLR0913, PLR0917 - what is fitted, and how
    values: Floats,
    offsets: Ints,
    order: Order,
    regressors: Floats | None = None,
    start: Floats | None = None,
    limit: int = newton.LIMIT,
    is_rough: bool = False,
    is_near: bool = False,
    below: Floats | None = None,
) -> Fits:
    """Fit one model to each of many series.

    Parameters
    ----------
    values : (m,) array
        One series after the other, evenly spaced; NaN is missing.
    offsets : (n + 1,) array of int
        Where each begins, and the end of the last.
    order : Order
    regressors : (m, x) array, optional
        One row for each value, on which to regress; finite.
    start : (n, k) array, optional
        Coefficients of a former run, from which to search too; NaN where there are none.
    limit : int
        Steps after which a search is given up.
    is_rough : bool, default False
        Whether to stop where all but nothing is left to gain, and leave out the standard errors: to compare models.
    is_near : bool, default False
        Whether to search from the start alone, of series that have one: where little has changed since.
    below : (n,) array, optional
        AICc that are to be beaten: a search that seems far from it is given up.

    Returns
    -------
    Fits

    Raises
    ------
    ValueError
        The offsets do not divide the values into series, regressors are not one finite row for each value, or the
        start is not of this model.
    """
    beside = _beside(regressors, values.size)
    k = len(order.names) + beside.shape[1]
    reasons = refuse(values, offsets, order.lost + k + 3)
    n = reasons.size
    if start is not None and start.shape != (n, k):
        raise ValueError(f"start must have {n} rows of {k} coefficients, got {start.shape}")
    fits = nothing(n, k, reasons)
    nearby: Flags = np.zeros(n, dtype=bool)
    if start is not None and is_near:
        nearby = np.asarray(np.isfinite(start).all(axis=1))
    with np.errstate(all="ignore"):
        for near in (False, True):
            for which in groups(values, offsets, np.flatnonzero((reasons == None) & (nearby == near))):  # noqa: E711
                series = align(values, offsets, which, beside, np.zeros((n, 0, beside.shape[1])))
                begin = None if start is None else start[which]
                beaten = None if below is None else below[which]
                _fit(fits, which, Model.of(series, order), begin, limit, is_rough, near, beaten)
    return fits


def adopt(values: Floats, offsets: Ints, order: Order, coefficients: Floats) -> Fits:
    """Fit series that are too short for it with the coefficients of others: their own are the mean and the shocks.

    Parameters
    ----------
    values, offsets, order
        See `fit`.
    coefficients : (n, k) array
        In the order of `Order.names`. Terms and a drift are taken as they are, a drift in units of the series; a mean
        is not: each series has its own.

    Returns
    -------
    Fits
        Without standard errors. The variance of the shocks is told without bias: a mean takes one value.
    """
    reasons = refuse(values, offsets, order.lost + 2)
    n, is_mean = reasons.size, order.is_constant and order.lost == 0
    fits = nothing(n, len(order.names), reasons)
    drift = np.where(np.isfinite(coefficients[:, -1]), coefficients[:, -1], 0.0) if order.is_constant else np.zeros(n)
    # What is left when a given drift is taken out has none.
    own = order if is_mean else replace(order, is_constant=False)
    left = values if is_mean else values - (np.arange(values.size) * np.repeat(drift, np.diff(offsets)))
    is_open = (reasons == None) & np.isfinite(coefficients[:, : order.terms]).all(axis=1)  # noqa: E711
    nothing_beside = np.zeros((values.size, 0)), np.zeros((n, 0, 0))
    with np.errstate(all="ignore"):
        for part in groups(values, offsets, np.flatnonzero(is_open)):
            model = Model.of(align(left, offsets, part, *nothing_beside), own)
            fits.reason[part[~model.is_told]] = EVEN
            which = part[model.is_told]
            if which.size == 0:
                continue
            model = model.of_rows(np.flatnonzero(model.is_told))
            at = model.tell(own.to_free(coefficients[which, : order.terms].T, CLOSEST), is_rough=True)
            fits.coefficients[which, : at.coefficients.shape[1]] = at.coefficients
            if order.is_constant and not is_mean:
                fits.coefficients[which, -1] = drift[which]
            known = at.observations - is_mean
            fits.sigma2[which] = np.where(known > 0, at.sigma2 * at.observations / np.maximum(known, 1), np.nan)
            fits.log_likelihood[which], fits.observations[which] = at.log_likelihood, at.observations
    return fits


def nothing(n: int, k: int, reasons: NDArray[np.object_]) -> Fits:
    """Give fits of n series and k coefficients of which nothing is known yet."""
    return Fits(
        coefficients=np.full((n, k), np.nan),
        standard_errors=np.full((n, k), np.nan),
        sigma2=np.full(n, np.nan),
        log_likelihood=np.full(n, np.nan),
        aicc=np.full(n, np.nan),
        observations=np.zeros(n, dtype=np.int64),
        is_fitted=np.zeros(n, dtype=bool),
        reason=reasons,
    )


def _fit(  # noqa: PLR0913, PLR0917 - see `fit`
    fits: Fits,
    which: Ints,
    model: Model,
    start: Floats | None,
    limit: int,
    is_rough: bool,
    is_near: bool,
    below: Floats | None,
) -> None:
    """Fit some series, and put down what is found."""
    told = np.flatnonzero(model.is_told)
    fits.reason[which[~model.is_told]] = EVEN
    if told.size == 0:
        return
    model, which = model.of_rows(told), which[told]
    former = None if start is None else start[told, : model.order.terms].T
    begin = model.order.to_free(former) if former is not None and is_near else model.start(former)
    target = None if below is None else model.target(below[told])
    found = newton.minimise(model.value, begin, limit, newton.ROUGHLY if is_rough else newton.ENOUGH, target)
    at = model.tell(found.at, is_rough)
    fits.coefficients[which], fits.standard_errors[which] = at.coefficients, at.standard_errors
    fits.sigma2[which], fits.log_likelihood[which] = at.sigma2, at.log_likelihood
    fits.observations[which], fits.is_fitted[which] = at.observations, found.is_found
    fits.aicc[which] = penalty(at.coefficients.shape[1], at.observations) - 2 * at.log_likelihood
    is_bent = np.isfinite(at.standard_errors).all(axis=1)
    is_edge = (np.abs(np.tanh(found.at)) > 1 - EDGE).any(axis=0)
    fits.reason[which[~is_bent]] = "not all standard errors can be told"
    fits.reason[which[is_edge]] = "a root lies on the unit circle"
    fits.reason[which[~found.is_found]] = f"not converged within {limit} steps"


def forecast(
    values: Floats,
    offsets: Ints,
    order: Order,
    fitted: tuple[Floats, Floats],
    horizon: int,
    regressors: tuple[Floats, Floats] | None = None,
) -> Forecasts:
    """Forecast series by what was fitted before, maybe to fewer values, or to others.

    Parameters
    ----------
    values, offsets, order
        See `fit`.
    fitted : (n, k) and (n,) arrays
        Coefficients and sigma2 of `Fits`; NaN where there are none.
    horizon : int
        Periods after the end of each series, 1 or more.
    regressors : (m, x) and (n, h, x) arrays, optional
        Those beside the values, and those to come.

    Returns
    -------
    Forecasts
        Expectation and variance given values and coefficients, as the Kalman filter tells them.

    Raises
    ------
    ValueError
        The horizon is below 1, or what is given does not fit together.
    """
    beside = _beside(None if regressors is None else regressors[0], values.size)
    reasons, x, (coefficients, sigma2) = refuse(values, offsets, order.lost + 1), beside.shape[1], fitted
    n, k = reasons.size, len(order.names) + x
    coming = np.zeros((n, horizon, 0)) if regressors is None else regressors[1]
    if horizon < 1:
        raise ValueError(f"horizon must be 1 or more, got {horizon}")
    if coefficients.shape != (n, k) or sigma2.shape != (n,):
        raise ValueError(f"coefficients must be {n} rows of {k}, sigma2 {n}; got {coefficients.shape}, {sigma2.shape}")
    if coming.shape != (n, horizon, x) or not np.isfinite(coming).all():
        raise ValueError(f"regressors to come must be {n} times {horizon} finite rows of {x}, got {coming.shape}")
    mean, variance = np.full((2, n, horizon), np.nan)
    with np.errstate(all="ignore"):
        for which in groups(values, offsets, _fitted(reasons, fitted), horizon):
            model = Model.of(align(values, offsets, which, beside, coming), order)
            at, about = model.expect(coefficients[which].T, horizon)
            mean[which], variance[which] = at.T, (sigma2[which] * about).T
    return Forecasts(mean, variance)


def residuals(
    values: Floats, offsets: Ints, order: Order, fitted: tuple[Floats, Floats], regressors: Floats | None = None
) -> Floats:
    """Give the shocks that are to be expected, given all values.

    Where a series has run for a while they are the errors of forecasts one period ahead.

    Parameters
    ----------
    values, offsets, order, fitted, regressors
        See `forecast`.

    Returns
    -------
    (m,) array
        NaN where a value is missing, where differences take it, and where there is no fit.
    """
    beside, reasons = _beside(regressors, values.size), refuse(values, offsets, order.lost + 1)
    told = np.full(values.size, np.nan)
    with np.errstate(all="ignore"):
        for which in groups(values, offsets, _fitted(reasons, fitted)):
            model = Model.of(align(values, offsets, which, beside, np.zeros((reasons.size, 0, beside.shape[1]))), order)
            shocks = model.shocks(fitted[0][which].T)
            for i, begin, column in zip(which, model.design.begin, shocks.T, strict=True):
                end = offsets[i + 1]
                told[end - shocks.shape[0] + begin : end] = column[begin:]
    return np.where(np.isnan(values), np.nan, told)


def _fitted(reasons: NDArray[np.object_], fitted: tuple[Floats, Floats]) -> Ints:
    """Series that have values and coefficients. That all values are equal is no matter to who has these."""
    is_open = np.array([reason in (None, "all values are equal") for reason in reasons], dtype=bool)
    return np.flatnonzero(is_open & np.isfinite(fitted[0]).all(axis=1) & np.isfinite(fitted[1]))


def _beside(regressors: Floats | None, size: int) -> Floats:
    if regressors is None:
        return np.zeros((size, 0))
    if regressors.ndim != 2 or len(regressors) != size or not np.isfinite(regressors).all():
        raise ValueError(f"regressors must be {size} finite rows, one for each value, got {regressors.shape}")
    return regressors


def groups(values: Floats, offsets: Ints, which: Ints, beyond: int = 0) -> Iterator[Ints]:
    """Part series so that those of a part are about as long and have about as many missing values."""
    sizes = np.diff(offsets)[which]
    missing = np.add.reduceat(np.append(np.isnan(values), False), offsets[:-1], dtype=np.int64)[which]
    of_size = np.ceil(np.log(np.maximum(sizes, 1)) / np.log(1.2)).astype(np.int64)
    of_missing = np.ceil(np.log2(missing + 1)).astype(np.int64)
    keys, of = np.unique(np.stack([of_size, of_missing]), axis=1, return_inverse=True)
    for key in range(keys.shape[1]):
        is_here = of == key
        part, columns = which[is_here], 2 + int(missing[is_here].max()) + beyond
        most = max(1, 8 * BLOCK // (columns * (int(sizes[is_here].max()) + beyond)))
        yield from (part[at : at + most] for at in range(0, part.size, most))
