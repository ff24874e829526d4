"""ARIMA: held against published fits, statsmodels' Kalman filter, and the normal distribution written out."""

import csv
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import toeplitz
from statsmodels.tsa.arima_process import arma_acovf
from statsmodels.tsa.statespace.sarimax import SARIMAX

from crm_spark.kernels import arima, arma
from crm_spark.kernels.arima import Order

CLASSICS = Path(__file__).parents[3] / "shared" / "data" / "time_series_classics"
AIRLINE = Order(0, 1, 1, 0, 1, 1, 12)


def classic(name: str) -> np.ndarray:
    if not CLASSICS.is_dir():
        pytest.skip("the published data are not beside the checkout")
    with (CLASSICS / f"{name}.csv").open(encoding="utf-8") as file:
        cells = [row["value"] for row in csv.DictReader(file)]
    return np.array([np.nan if cell in ("", "NA") else float(cell) for cell in cells])


def ragged(*series: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    parts = [np.asarray(one, dtype=float) for one in series]
    return np.concatenate([*parts, []]), np.cumsum([0, *(part.size for part in parts)])


def simulated(seed: int, order: Order, coefficients: Sequence[float], sizes: Sequence[int]) -> list[np.ndarray]:
    """Series of a process with shocks of variance 1, from long before."""
    random, series = np.random.default_rng(seed), []
    phi, theta = (
        {lag: float(one[0]) for lag, one in polynomial.items()}
        for polynomial in order.polynomials(np.array(coefficients, dtype=float)[: order.terms, None])
    )
    for size in sizes:
        e, w = random.normal(size=size + 200), np.zeros(size + 200)
        for t in range(30, w.size):
            w[t] = e[t] + sum(b * e[t - j] for j, b in theta.items()) - sum(a * w[t - i] for i, a in phi.items())
        w[30:] += coefficients[-1] * order.unit if order.is_constant else 0.0
        for _ in range(order.d):
            w = np.cumsum(w)
        for _ in range(order.D):
            for t in range(order.m, w.size):
                w[t] += w[t - order.m]
        series.append(w[-size:])
    return series


def printed(found: np.ndarray, told: Sequence[float]) -> bool:
    """Whether numbers are those told, to one in their last digit."""
    digits = [
        len(repr(number).partition(".")[2].ljust(4, "0") if number < 50 or number > 500 else "12") for number in told
    ]
    return all(abs(round(a, d) - b) < 1.01 * 10.0**-d for a, b, d in zip(found, told, digits, strict=True))


# The help page of R's arima, Box and Jenkins' airline model, Durbin and Koopman; the Nile by statsmodels, as below.
@pytest.mark.parametrize(
    ("name", "order", "coefficients", "sigma2", "log_likelihood"),
    [
        ("lh", Order(p=1, is_constant=True), [0.5739, 2.4133], 0.1975, -29.38),
        ("lh", Order(p=3, is_constant=True), [0.6448, -0.0634, -0.2198, 2.3931], 0.1787, -27.09),
        ("lh", Order(p=1, q=1, is_constant=True), [0.4522, 0.1982, 2.4101], 0.1923, -28.76),
        ("USAccDeaths", AIRLINE, [-0.4303, -0.5528], 99347, -425.44),
        ("AirPassengers", AIRLINE, [-0.4018, -0.5569], 0.001348, 244.70),
        ("presidents", Order(p=3, is_constant=True), [0.7496, 0.2523, -0.1890, 56.22], 81.12, -414.08),
        ("Nile", Order(d=1, q=1), [-0.7329], 20600, -632.55),
        ("WWWusage", Order(p=3, d=1), [1.1513, -0.6612, 0.3407], 9.363, -252.00),
    ],
)
def test_published_fits_are_found(
    name: str, order: Order, coefficients: list[float], sigma2: float, log_likelihood: float
) -> None:
    series = np.log(classic(name)) if name == "AirPassengers" else classic(name)
    fits = arima.fit(*ragged(series), order)
    assert printed(fits.coefficients[0], coefficients)
    assert fits.sigma2[0] == pytest.approx(sigma2, rel=5e-4)
    assert fits.log_likelihood[0] == pytest.approx(log_likelihood, abs=0.01)
    assert fits.is_fitted[0]
    assert fits.reason[0] is None


def test_a_published_regression_is_found_with_its_standard_errors() -> None:
    years = np.arange(1875, 1973)[:, None] - 1920.0
    fits = arima.fit(*ragged(classic("LakeHuron")), Order(p=2, is_constant=True), years)
    assert printed(fits.coefficients[0], [1.0048, -0.2913, 579.0993, -0.0216])
    assert fits.standard_errors[0] == pytest.approx([0.0976, 0.1004, 0.2370, 0.0081], abs=1.01e-4)
    assert (fits.sigma2[0], fits.log_likelihood[0]) == (
        pytest.approx(0.4566, abs=1e-4),
        pytest.approx(-101.2, abs=0.01),
    )


# Seasons, differences, constants; what statsmodels needs more than milliseconds for is left out.
MODELS = [
    (Order(p=2, q=1, is_constant=True), [0.5, 0.2, 0.4, 3.0]),
    (Order(p=1, d=1, q=1), [0.6, -0.3]),
    (Order(q=2, d=1, is_constant=True), [-0.4, 0.2, 0.3]),
    (Order(p=1, d=2, q=1), [-0.3, -0.6]),
    (Order(p=1, q=1, P=1, Q=1, m=4, is_constant=True), [0.3, 0.3, 0.5, -0.2, 1.0]),
    (Order(p=3, P=1, D=1, Q=1, m=4), [0.4, -0.2, 0.2, 0.3, -0.5]),
    (Order(q=1, d=1, D=1, Q=1, m=6), [-0.4, -0.5]),
    (Order(p=1, D=1, P=1, m=4, is_constant=True), [0.5, 0.4, 0.2]),
]


def filtered(series: np.ndarray, order: Order, told: np.ndarray, sigma2: float):
    """Statsmodels' filter, with an exactly diffuse beginning, at parameters; a constant as regression on time."""
    sizes = np.arange(1, series.size + 1, dtype=float)
    line = np.ones(series.size) if order.lost == 0 else sizes
    model = SARIMAX(
        series,
        exog=line[:, None] if order.is_constant else None,
        order=(order.p, order.d, order.q),
        seasonal_order=(order.P, order.D, order.Q, order.m if order.m > 1 else 0),
        use_exact_diffuse=True,
    )
    constant, terms = told[order.terms :], told[: order.terms]
    result = model.filter(np.concatenate([constant, terms, [sigma2]]))
    # It counts the constant of values that begin a diffuse state too, of which nothing can be said.
    log_likelihood = result.llf + order.lost * np.log(2 * np.pi) / 2
    return log_likelihood, result


@pytest.mark.parametrize(("order", "coefficients"), MODELS)
@pytest.mark.parametrize("holes", [0, 5])
def test_likelihood_and_forecasts_are_those_of_the_kalman_filter(
    order: Order, coefficients: list[float], holes: int
) -> None:
    (series,) = simulated(holes, order, coefficients, [60])
    # A diffuse filter's constant depends on which values come first: these are there.
    series[np.random.default_rng(1).choice(np.arange(order.lost + 1, 59), holes, replace=False)] = np.nan
    series = np.append(series, [np.nan, np.nan] if holes else [])
    fits = arima.fit(*ragged(series), order)
    assert fits.is_fitted[0]
    log_likelihood, result = filtered(series, order, fits.coefficients[0], fits.sigma2[0])
    line = np.ones((7, 1)) if order.lost == 0 else series.size + 1.0 + np.arange(7.0)[:, None]
    ahead = result.get_forecast(7, exog=line if order.is_constant else None)
    assert fits.log_likelihood[0] == pytest.approx(log_likelihood, abs=1e-6)
    told = arima.forecast(*ragged(series), order, (fits.coefficients, fits.sigma2), 7)
    assert told.mean[0] == pytest.approx(ahead.predicted_mean, rel=1e-6, abs=1e-6)
    assert told.variance[0] == pytest.approx(ahead.var_pred_mean, rel=1e-6)


@pytest.mark.parametrize(("order", "coefficients"), [MODELS[2]])
def test_no_step_from_a_fit_is_up_and_errors_are_those_of_the_curvature(
    order: Order, coefficients: list[float]
) -> None:
    (series,) = simulated(5, order, coefficients, [120])
    fits = arima.fit(*ragged(series), order)
    at, k = fits.coefficients[0], len(order.names)

    def likelihood(moved: np.ndarray) -> float:
        # The variance that is best for these coefficients: a second value of the filter tells it.
        told, result = filtered(series, order, at + moved, 1.0)
        used = series.size - order.lost
        squares = float(np.sum(result.standardized_forecasts_error[0][order.lost :] ** 2))
        return told + squares / 2 - used * (np.log(squares / used) + 1) / 2

    step = fits.standard_errors[0] * 0.02
    top, eye = likelihood(np.zeros(k)), np.diag(step)
    assert top == pytest.approx(fits.log_likelihood[0], abs=1e-6)
    hessian = np.empty((k, k))
    for i in range(k):
        for j in range(i + 1):
            parts = [a * b * likelihood(a * eye[i] + b * eye[j]) for a in (1, -1) for b in (1, -1)]
            hessian[i, j] = hessian[j, i] = sum(parts) / (4 * step[i] * step[j])
        assert likelihood(eye[i]) < top
        assert likelihood(-eye[i]) < top
    assert np.sqrt(np.diag(np.linalg.inv(-hessian))) == pytest.approx(fits.standard_errors[0], rel=0.02)


def test_what_is_found_for_a_series_does_not_depend_on_the_others_to_the_last_bit() -> None:
    order, random = Order(p=1, d=1, q=1, is_constant=True), np.random.default_rng(4)
    good = simulated(4, order, [0.5, 0.3, 0.1], random.integers(20, 130, 40))
    for series in good[::3]:
        series[random.integers(1, series.size - 1, 3)] = np.nan
    spike = good[1].copy()
    spike[7] = 1e308
    poison = [[], [1.0], [np.nan] * 30, [3.0] * 50, [np.inf, *good[1]], spike, [1e200, 2, 5, 2] * 9, np.arange(60)]
    every = [*poison, *(series for pair in zip(good, [good[3]] * 40, strict=True) for series in pair), *poison]
    fits = arima.fit(*ragged(*every), order)
    told = arima.forecast(*ragged(*every), order, (fits.coefficients, fits.sigma2), 4)
    shocks = arima.residuals(*ragged(*every), order, (fits.coefficients, fits.sigma2))
    ends = np.cumsum([0, *(len(one) for one in every)])
    for i, series in enumerate(good):
        at = len(poison) + 2 * i
        alone = arima.fit(*ragged(series), order)
        for field in fields(fits):
            assert repr(getattr(fits, field.name)[at]) == repr(getattr(alone, field.name)[0]), field.name
        fitted = alone.coefficients, alone.sigma2
        ahead = arima.forecast(*ragged(series), order, fitted, 4)
        assert (told.mean[at] == ahead.mean[0]).all()
        assert (told.variance[at] == ahead.variance[0]).all()
        assert repr(shocks[ends[at] : ends[at + 1]]) == repr(arima.residuals(*ragged(series), order, fitted))
    assert list(fits.reason[: len(poison)]) == [
        "no values",
        "fewer than 7 values",
        "no values",
        "all values are equal",
        "a value is infinite or beyond 1e150",
        "a value is infinite or beyond 1e150",
        "a value is infinite or beyond 1e150",
        "all differences are equal",
    ]
    assert not fits.is_fitted[: len(poison)].any()
    assert np.isnan(told.mean[: len(poison)]).all()


@pytest.mark.parametrize(
    ("order", "coefficients"),
    [(Order(p=1, q=1, is_constant=True), [0.6, 0.3, 2.0]), (Order(q=1, D=1, Q=1, m=4), [0.5, -0.4])],
)
def test_errors_and_intervals_cover_what_they_say(order: Order, coefficients: list[float]) -> None:
    n, size, horizon = 1000, 200, 4
    series = np.array(simulated(7, order, coefficients, [size + horizon] * n))
    past = np.ascontiguousarray(series[:, :size]).ravel(), np.arange(n + 1) * size
    fits = arima.fit(*past, order)
    assert fits.is_fitted.mean() > 0.995
    told = arima.forecast(*past, order, (fits.coefficients, fits.sigma2), horizon)
    z = (fits.coefficients - coefficients) / fits.standard_errors
    off = (series[:, size:] - told.mean) / np.sqrt(told.variance)
    for normal in (z, off):
        for share, width in ((0.80, 1.2816), (0.95, 1.96)):
            # Three standard errors of a share, and what 200 values leave to asymptotics.
            assert np.nanmean(np.abs(normal) < width, axis=0) == pytest.approx(share, abs=0.045)


def test_residuals_are_those_that_the_model_says_they_are() -> None:
    order = Order(p=1, q=2, is_constant=True)
    (series,) = simulated(2, order, [0.7, 0.4, 0.2, 5.0], [80])
    fits = arima.fit(*ragged(series), order)
    e = arima.residuals(*ragged(series), order, (fits.coefficients, fits.sigma2))
    ar, ma1, ma2, mean = fits.coefficients[0]
    w = series - mean
    assert e[2:] == pytest.approx(w[2:] - ar * w[1:-1] - ma1 * e[1:-1] - ma2 * e[:-2], abs=1e-9)
    # Given all values: by the covariance of shocks and values, with the shocks before.
    psi = [1.0, ar + ma1, ar**2 + ar * ma1 + ma2]
    psi += [psi[-1] * ar**i for i in range(1, 78)]
    own = toeplitz(np.r_[1.0, np.zeros(79)], psi)
    covariance = toeplitz(arma_acovf([1, -ar], [1, ma1, ma2], 80))
    assert e == pytest.approx(own @ np.linalg.solve(covariance, w), abs=1e-8)


def test_a_search_that_goes_on_from_a_former_one_ends_in_the_same_in_fewer_steps() -> None:
    order = Order(p=2, q=1, is_constant=True)
    values = ragged(*simulated(9, order, [0.5, -0.3, 0.5, 1.0], [90] * 5))
    cold = arima.fit(*values, order)
    assert cold.is_fitted.all()
    stopped = arima.fit(*values, order, limit=1)
    assert list(stopped.reason) == ["not converged within 1 steps"] * 5
    assert np.isfinite(stopped.coefficients).all()
    warm = arima.fit(*values, order, start=cold.coefficients, limit=1)
    assert warm.is_fitted.all()
    assert warm.coefficients == pytest.approx(cold.coefficients, abs=1e-6)
    nowhere = arima.fit(*values, order, start=np.full_like(cold.coefficients, np.nan))
    assert (nowhere.coefficients == cold.coefficients).all()


def test_a_refit_begins_where_the_last_one_ended_and_ends_where_a_new_search_does() -> None:
    order = Order(p=1, d=1, q=1)
    series = simulated(4, order, [0.5, 0.3], [90, 110, 100])
    past, whole = ragged(*(one[:-6] for one in series)), ragged(*series)
    start = arima.fit(*past, order).coefficients
    start[2] = np.nan
    again, anew = arima.fit(*whole, order, start=start, is_near=True), arima.fit(*whole, order)
    assert again.coefficients == pytest.approx(anew.coefficients, abs=1e-4)
    assert again.log_likelihood == pytest.approx(anew.log_likelihood, abs=1e-6)
    for i, one in enumerate(series):
        alone = arima.fit(*ragged(one), order, start=start[i : i + 1], is_near=True)
        assert repr(alone.coefficients[0]) == repr(again.coefficients[i])


@pytest.mark.parametrize("seed", range(3))
def test_inner_products_and_determinants_are_those_of_the_covariance(seed: int) -> None:
    random = np.random.default_rng(seed)
    for p, q, n in ((0, 0, 4), (1, 0, 2), (0, 1, 9), (2, 1, 3), (1, 3, 2), (3, 3, 15), (0, 3, 1)):
        ar, ma, y = random.uniform(-0.3, 0.3, p), random.uniform(-0.3, 0.3, q), random.normal(size=(n, 2))
        covariance = toeplitz(arma_acovf(np.r_[1, -ar], np.r_[1, ma], max(n, 2))[:n]) if p + q else np.eye(n)
        columns = arma.Columns(np.concatenate([np.zeros((2, 2)), y])[:, :, None], np.array([2]))
        phi, theta = ({i: np.full((1, 1), each) for i, each in enumerate(terms, start=1)} for terms in (-ar, ma))
        white = arma.whiten(columns, phi, theta, (1, 1))
        assert white.products[:, :, 0, 0] == pytest.approx(y.T @ np.linalg.solve(covariance, y), rel=1e-9)
        assert white.log_determinant[0, 0] == pytest.approx(np.linalg.slogdet(covariance)[1], abs=1e-9)


def test_what_is_no_model_and_what_does_not_fit_together_is_refused() -> None:
    values, order = ragged([1.0, 2.0, 4.0, 1.0, 3.0, 5.0, 2.0]), Order(p=1)
    for wrong in ({"p": -1}, {"P": 1}, {"D": 1}, {"d": 2, "is_constant": True}, {"m": 0}):
        with pytest.raises(ValueError, match="orders must be|a season needs|a constant needs"):
            Order(**wrong)
    with pytest.raises(ValueError, match="offsets must rise from 0 to 7"):
        arima.fit(values[0], np.array([0, 6]), order)
    with pytest.raises(ValueError, match="start must have 1 rows of 1 coefficients"):
        arima.fit(*values, order, start=np.zeros((1, 2)))
    with pytest.raises(ValueError, match="regressors must be 7 finite rows"):
        arima.fit(*values, order, regressors=np.full((7, 1), np.nan))
    fitted = np.zeros((1, 1)), np.ones(1)
    with pytest.raises(ValueError, match="horizon must be 1 or more, got 0"):
        arima.forecast(*values, order, fitted, 0)
    with pytest.raises(ValueError, match="coefficients must be 1 rows of 1"):
        arima.forecast(*values, order, (np.zeros((1, 2)), np.ones(1)), 1)
    with pytest.raises(ValueError, match="regressors to come must be 1 times 2 finite rows of 1"):
        arima.forecast(*values, order, (np.zeros((1, 2)), np.ones(1)), 2, (np.ones((7, 1)), np.ones((1, 1, 1))))


def test_regressors_to_come_are_counted_on() -> None:
    random, order = np.random.default_rng(1), Order(p=1, d=1)
    x = random.normal(size=(70, 1))
    (series,) = simulated(1, order, [0.5], [70])
    series += 3 * x[:, 0]
    fits = arima.fit(*ragged(series[:60]), order, x[:60])
    assert fits.coefficients[0, -1] == pytest.approx(3, abs=4 * fits.standard_errors[0, -1])
    known = (fits.coefficients, fits.sigma2)
    told = arima.forecast(*ragged(series[:60]), order, known, 10, (x[:60], x[None, 60:]))
    plain = arima.forecast(
        *ragged(series[:60] - fits.coefficients[0, -1] * x[:60, 0]), order, (known[0][:, :1], known[1]), 10
    )
    assert told.mean[0] == pytest.approx(plain.mean[0] + fits.coefficients[0, -1] * x[60:, 0], abs=1e-8)
    assert told.variance == pytest.approx(plain.variance)


def test_adopted_coefficients_leave_a_series_its_own_mean_and_shocks() -> None:
    """By generalised least squares, written out."""
    short = np.array([3.0, 4.5, 4.0, 6.0])
    covariance = toeplitz(arma_acovf([1, -0.6], [1, 0.3], 4))
    inverse, ones = np.linalg.inv(covariance), np.ones(4)
    mean = ones @ inverse @ short / (ones @ inverse @ ones)
    sigma2 = (short - mean) @ inverse @ (short - mean) / 3
    lent = np.array([[0.6, 0.3, 99.0]] * 2)
    fits = arima.adopt(*ragged(short, [1.0]), Order(p=1, q=1, is_constant=True), lent)
    assert fits.coefficients[0] == pytest.approx([0.6, 0.3, mean], rel=1e-9)
    assert fits.sigma2[0] == pytest.approx(sigma2, rel=1e-9)
    assert np.isnan(fits.sigma2[1])


def test_an_adopted_drift_stays_what_it_is() -> None:
    short = np.array([3.0, 4.5, 4.0, 6.0])
    order = Order(p=1, d=1, is_constant=True)
    fits = arima.adopt(*ragged(short), order, np.array([[0.5, 0.25]]))
    steps = np.diff(short) - 0.25
    shocks = np.append(steps[0] * np.sqrt(1 - 0.5**2), steps[1:] - 0.5 * steps[:-1])
    assert fits.coefficients[0] == pytest.approx([0.5, 0.25])
    assert fits.sigma2[0] == pytest.approx(np.mean(shocks**2), rel=1e-9)
    told = arima.forecast(*ragged(short), order, (fits.coefficients, fits.sigma2), 1)
    assert told.mean[0, 0] == pytest.approx(6 + 0.25 + 0.5 * (2 - 0.25), rel=1e-9)
