"""Autocorrelation against published rows, statsmodels, and a plain loop where values are missing."""

from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.diagnostic import acorr_ljungbox
from statsmodels.tsa import stattools

from crm_spark.kernels import autocorrelation


def classic(name: str) -> np.ndarray:
    folder = Path(__file__).parents[3] / "shared" / "data" / "time_series_classics"
    if not folder.is_dir():
        pytest.skip("the published data are not beside the checkout")
    return np.genfromtxt(folder / f"{name}.csv", delimiter=",", names=True)["value"]


def walks(n: int = 6, periods: int = 60) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(periods, n)).cumsum(axis=0)


def test_classics_have_their_published_correlations() -> None:
    passengers, lh = classic("AirPassengers"), classic("lh")
    found = autocorrelation.acf(passengers[:, None], 12)[:, 0]
    known = [0.9480, 0.8756, 0.8067, 0.7526, 0.7138, 0.6817, 0.6629, 0.6556, 0.6709, 0.7027, 0.7432, 0.7604]
    assert found == pytest.approx(known, abs=5e-5)
    of_lh = autocorrelation.acf(lh[:, None], 5)
    assert of_lh[:, 0] == pytest.approx([0.5755, 0.1818, -0.1448, -0.1748, -0.1497], abs=5e-5)
    assert autocorrelation.pacf(of_lh)[:, 0] == pytest.approx([0.5755, -0.2234, -0.2269, 0.1028, -0.0759], abs=5e-5)


def test_complete_series_are_told_as_statsmodels_tells_them() -> None:
    values, lags = walks(), 24
    found = autocorrelation.acf(values, lags)
    periods = np.full(values.shape[1], float(len(values)))
    statistic, p = autocorrelation.ljung_box(found, periods, np.array([24.0, 10, 5, 24, 12, 3]), estimated=2)
    of_acf, of_pacf = autocorrelation.bands(found, periods)
    for at, series in enumerate(values.T):
        known = stattools.acf(series, nlags=lags, alpha=0.05, fft=False, result_object=True)
        assert found[:, at] == pytest.approx(known.acf[1:], abs=1e-12)
        assert of_acf[:, at] == pytest.approx(known.confint[1:, 1] - known.acf[1:], rel=1e-12)
        partial = stattools.pacf(series, nlags=lags, method="ywm", alpha=0.05, result_object=True)
        assert autocorrelation.pacf(found)[:, at] == pytest.approx(partial.pacf[1:], abs=1e-10)
        assert of_pacf[at] == pytest.approx(partial.confint[1, 1] - partial.pacf[1], rel=1e-12)
        tested = acorr_ljungbox(series, lags=[[24, 10, 5, 24, 12, 3][at]], model_df=2)
        assert (statistic[at], p[at]) == pytest.approx((tested["lb_stat"].iloc[0], tested["lb_pvalue"].iloc[0]))


def test_pairs_with_a_missing_value_are_left_out() -> None:
    values = walks()
    values[np.random.default_rng(2).random(values.shape) < 0.2] = np.nan
    for at, series in enumerate(values.T):
        apart = series - np.nanmean(series)
        for lag in (1, 5):
            pairs = [apart[t] * apart[t + lag] for t in range(len(series) - lag)]
            pairs = [pair for pair in pairs if not np.isnan(pair)]
            known = sum(pairs) / (len(pairs) + lag) / np.nanmean(apart**2)
            assert autocorrelation.acf(values, 5)[lag - 1, at] == pytest.approx(known, rel=1e-12)


def test_a_series_is_told_alike_alone_and_beside_longer_and_broken_ones() -> None:
    values = walks()
    broken = np.full((90, values.shape[1] + 4), np.nan)
    broken[:60, : values.shape[1]] = values
    broken[:, -4:] = np.array([np.inf, 1e308, 5.0, np.nan])
    broken[1, -3] = -1e308
    beside = autocorrelation.acf(broken, 24)
    for at in range(values.shape[1]):
        alone = autocorrelation.acf(values[:, [at]], 24)
        assert np.array_equal(alone[:, 0], beside[:, at])
    assert np.isnan(beside[:, [-4, -2, -1]]).all()


def test_lags_that_the_series_is_too_short_for_are_missing() -> None:
    found = autocorrelation.acf(np.array([[1.0], [2.0], [4.0]]), 4)
    assert np.isnan(found[:, 0]).tolist() == [False, False, True, True]
    assert np.isnan(autocorrelation.ljung_box(found, np.array([3.0]), np.array([4.0]))[1]).all()


def test_what_comes_again_has_that_rhythm_and_chance_and_trends_have_none() -> None:
    t = np.arange(80)[:, None]
    noise = np.random.default_rng(5).normal(size=(80, 3)) * 0.3
    values = np.column_stack([np.cos(2 * np.pi * t / 7), (-1.0) ** t, t / 20]) + noise
    found = autocorrelation.acf(values, 20)
    assert autocorrelation.rhythm(found, np.full(3, 0.22)).tolist()[:2] == [7, 2]
    assert autocorrelation.rhythm(autocorrelation.acf(t * 1.0, 20), np.array([0.2])).tolist() == [0]
