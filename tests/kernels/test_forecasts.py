"""Plain forecasts against pandas and loops from the papers; the way a series goes, and that the best method is taken."""

from dataclasses import replace

import numpy as np
import pytest

from crm_spark.kernels import arima, baselines, forecasts
from crm_spark.kernels.forecasts import METHODS, Models

RANDOM = np.random.default_rng(11)


def ragged(*series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(series).astype(np.float64), np.cumsum([0, *(one.size for one in series)])


def walk(size: int = 60) -> np.ndarray:
    return RANDOM.normal(size=size).cumsum() + 50


def autoregressive(size: int = 90) -> np.ndarray:
    found, now = [], 0.0
    for shock in RANDOM.normal(size=size + 50):
        now = 0.8 * now + shock
        found.append(now)
    return np.array(found[50:]) + 20


def seasonal(size: int = 72) -> np.ndarray:
    return np.tile(RANDOM.normal(size=12) * 9, size // 12) + RANDOM.normal(size=size) * 0.1 + 40


def rare(size: int = 60) -> np.ndarray:
    return RANDOM.poisson(2, size=size) * (RANDOM.random(size) < 0.3) * 1.0


def model(learned: forecasts.Learned) -> Models:
    return Models(learned.method, learned.orders, learned.fits.coefficients, learned.fits.sigma2, learned.spread)


def test_plain_forecasts_are_what_their_names_say() -> None:
    values = np.array([3.0, 1.0, 4.0, np.nan, 5.0, 9.0])[:, None]
    mean, off = baselines.mean(values, 2, 1)
    known = np.array([3.0, 1.0, 4.0, 5.0, 9.0])
    assert mean[:, 0] == pytest.approx([4.4, 4.4])
    assert off[:, 0] == pytest.approx(known.std(ddof=1) * np.sqrt(1.2))
    mean, off = baselines.naive(values, 3, 1)
    assert mean[:, 0] == pytest.approx([9, 9, 9])
    assert off[:, 0] == pytest.approx(np.sqrt(np.mean([4, 9, 16])) * np.sqrt([1, 2, 3]))
    mean, off = baselines.seasonal_naive(values, 4, 3)
    assert mean[:, 0] == pytest.approx([3, 5, 9, 3]), "a cycle before it is missing, two before it is known"
    assert off[:, 0] == pytest.approx(np.sqrt(np.mean([4**2, 5**2])) * np.array([1, 1, 1, np.sqrt(2)]))
    assert np.isnan(baselines.seasonal_naive(values, 2, 7)[0][:, 0]).tolist() == [True, False]


def test_rare_demand_is_told_as_the_papers_tell_it() -> None:
    """By hand, with alpha = 0.1: Croston (1972), Syntetos and Boylan (2005), Teunter et al. (2011)."""
    values = np.array([0.0, 4.0, 0.0, 0.0, 6.0, 0.0])[:, None]
    size, gap = 4 + 0.1 * (6 - 4), 2 + 0.1 * (3 - 2)
    assert baselines.croston(values, 2, 1)[0][:, 0] == pytest.approx(size / gap)
    assert baselines.sba(values, 1, 1)[0][0, 0] == pytest.approx(0.95 * size / gap)
    chance = 0.0
    for some in (1, 0, 0, 1, 0):
        chance += 0.1 * (some - chance)
    assert baselines.tsb(values, 1, 1)[0][0, 0] == pytest.approx(size * chance)
    nothing = np.zeros((5, 1))
    assert [float(baselines.METHODS[name](nothing, 1, 1)[0][0, 0]) for name in ("croston", "sba", "tsb")] == [0, 0, 0]


def test_rare_demand_is_told_as_statsforecast_tells_it() -> None:
    """Version 2.1.1."""
    demands = [[0, 0, 3, 0, 1, 0, 0, 0, 4, 0, 0], [2, 0, 0, 0, 0, 5, 1, 0, 0], [0, 7, 0, 0, 0, 0, 0, 0, 0]]
    values = np.full((11, 3), np.nan)
    for at, demand in enumerate(demands):
        values[11 - len(demand) :, at] = demand
    known = [0.9700996677740864, 1.5955882352941175, 3.5]
    assert baselines.croston(values, 1, 1)[0][0] == pytest.approx(known, rel=1e-12)
    assert baselines.sba(values, 1, 1)[0][0] == pytest.approx([0.95 * each for each in known], rel=1e-12)
    fading = [0.57481661664, 0.7012094628, 0.17294402999999994]
    assert baselines.tsb(values, 1, 1, 0.2, 0.3)[0][0] == pytest.approx(fading, rel=1e-12)


def test_each_series_goes_its_way_and_says_why_where_there_is_none() -> None:
    values, offsets = ragged(
        autoregressive(), rare(), np.full(30, 7.0), np.arange(5.0), np.full(20, np.nan), np.array([]),
        np.append(walk(30), np.inf), np.append(walk(30), 1e308), np.array([4.0]), np.zeros(40),
    )  # fmt: skip
    learned = forecasts.learn(values, offsets, 12, 6)
    assert learned.route.tolist() == [
        "arima", "mostly zero", "constant", "too short", "none", "none", "none", "none", "too short", "constant",
    ]  # fmt: skip
    assert learned.reason[[3, 4, 5, 6, 7]].tolist() == [
        "fewer than 10 values", "no values", "no values", *["a value is infinite or beyond 1e150"] * 2,
    ]  # fmt: skip
    mean, quantiles = forecasts.expect(values, offsets, model(learned), 12, 6)
    assert np.isnan(mean[[4, 5, 6, 7]]).all()
    assert np.isfinite(mean[[0, 1, 2, 3, 8, 9]]).all()
    assert (mean[2] == 7).all()
    assert (quantiles[2] == 7).all(), "what never moves has no doubt"
    assert np.isnan(quantiles[8]).all(), "of one value nothing is known but itself"
    assert (np.diff(quantiles[[0, 1, 3]], axis=2) > 0).all()


def test_a_poisoned_series_moves_no_other_by_a_bit() -> None:
    good = [autoregressive(), seasonal(), rare(), walk()]
    bad = [np.full(50, np.inf), np.full(40, 1e308), np.full(9, np.nan), np.array([1.0]), np.full(30, 2.0)]
    alone, beside = ragged(*good), ragged(good[0], *bad[:2], *good[1:3], *bad[2:], good[3])
    first, second = (forecasts.learn(*of, 12, 6, origins=2) for of in (alone, beside))
    at = [0, 3, 4, 8]
    assert first.method.tolist() == second.method[at].tolist()
    for name in ("mase", "smape", "coverage", "spread"):
        assert np.array_equal(getattr(first, name), getattr(second, name)[at], equal_nan=True)
    told = [forecasts.expect(*of, model(learned), 12, 6)[1] for of, learned in ((alone, first), (beside, second))]
    assert np.array_equal(told[0], told[1][at], equal_nan=True)


def test_the_method_of_least_error_is_taken_and_arima_only_where_it_beats_the_plain_ones() -> None:
    values, offsets = ragged(*[autoregressive() for _ in range(12)], *[walk() for _ in range(12)], seasonal())
    learned = forecasts.learn(values, offsets, 12, 6)
    own, naive, cycle = (learned.mase[:, METHODS.index(name)] for name in ("arima", "naive", "seasonal_naive"))
    is_arima, is_combined = learned.method == "arima", np.isin(learned.method, ["combined", "combined_log"])
    assert (own[is_arima] <= np.minimum(naive, cycle)[is_arima]).all()
    least = np.nanmin(learned.mase, axis=1)
    taken = learned.mase[np.arange(25), [METHODS.index(name) for name in learned.method]]
    assert taken[~is_combined] == pytest.approx(least[~is_combined])
    assert (least[is_combined] >= 0.9 * taken[is_combined]).all()
    combined = np.fmin(*(learned.mase[:, METHODS.index(name)] for name in ("combined", "combined_log")))
    assert (taken[~is_combined] < 0.9 * combined[~is_combined]).all(), "another must be better by a tenth"
    assert 0 < is_arima.sum() < 25
    assert 0 < is_combined.sum() < 25
    assert learned.ahead.tolist() == [6] * 25


def test_a_combination_is_half_arima_and_half_what_was_a_cycle_before() -> None:
    values, offsets = ragged(*[growing() for _ in range(3)])
    learned = forecasts.learn(values, offsets, 12, 15, origins=1)
    for name, scaled in (("combined", values), ("combined_log", np.log1p(values))):
        order = arima.Order(q=1, d=1)
        fits = arima.fit(scaled, offsets, order)
        fitted = fits.coefficients, fits.sigma2
        orders = np.array([order] * 3, dtype=object)
        combined = Models(np.array([name] * 3, dtype=object), orders, *fitted, learned.spread)
        mean, quantiles = forecasts.expect(values, offsets, combined, 12, 15)
        told = arima.forecast(scaled, offsets, order, fitted, 15)
        for i in range(3):
            own = scaled[offsets[i] : offsets[i + 1]]
            cycle = np.tile(own[-12:], 2)[:15]
            beyond = np.sqrt(np.mean((own[12:] - own[:-12]) ** 2)) * np.sqrt(np.where(np.arange(15) < 12, 1, 2))
            level, off = (told.mean[i] + cycle) / 2, (np.sqrt(told.variance[i]) + beyond) / 2
            limit = level + 1.2815515655446004 * learned.spread[i] * off
            is_log = name == "combined_log"
            assert mean[i] == pytest.approx(np.exp(level + off**2 / 2) - 1 if is_log else level, rel=1e-9)
            assert quantiles[i, :, 2] == pytest.approx(np.exp(limit) - 1 if is_log else limit, rel=1e-9)


def test_nothing_is_combined_without_a_cycle() -> None:
    learned = forecasts.learn(*ragged(growing(36)[:20], growing(36)), 12, 6, origins=1)
    judged = np.isfinite(learned.mase[:, [METHODS.index(name) for name in ("arima", "combined", "combined_log")]])
    assert judged.tolist() == [[True, False, False], [True, True, True]]


def growing(size: int = 96) -> np.ndarray:
    season = np.tile(RANDOM.normal(size=12) * 0.4, size // 12)
    return np.exp(3 + 0.02 * np.arange(size) + season + RANDOM.normal(size=size) * 0.05)


def test_what_grows_in_proportion_is_told_by_its_logarithm_and_back_as_a_mean() -> None:
    values, offsets = ragged(*[growing() for _ in range(5)])
    learned = forecasts.learn(values, offsets, 12, 12, origins=2)
    is_log = np.isin(learned.method, ["arima_log", "combined_log"])
    assert is_log.sum() >= 3
    i = int(np.flatnonzero(is_log)[0])
    alone = np.where(is_log, "arima_log", learned.method).astype(object)
    order, k = learned.orders[i], len(learned.orders[i].names)
    fitted = learned.fits.coefficients[i : i + 1, :k], learned.fits.sigma2[i : i + 1]
    told = arima.forecast(*ragged(np.log1p(values[offsets[i] : offsets[i + 1]])), order, fitted, 12)
    mean, quantiles = forecasts.expect(values, offsets, replace(model(learned), method=alone), 12, 12)
    assert mean[i] == pytest.approx(np.exp(told.mean[0] + told.variance[0] / 2) - 1, rel=1e-9)
    wide = 1.959964 * learned.spread[i] * np.sqrt(told.variance[0])
    assert quantiles[i, :, 3] == pytest.approx(np.exp(told.mean[0] + wide) - 1, rel=1e-6)
    assert np.isfinite(forecasts.residual_p(values, offsets, model(learned))[i])


def test_logarithms_are_tried_of_what_is_not_below_zero_and_differs_in_proportion() -> None:
    base = 200 + autoregressive() * 5
    learned = forecasts.learn(*ragged(base, base - base.min(), base - base.min() - 1, growing(36)[:11]), 1, 6)
    tried = np.isfinite(learned.mase[:, METHODS.index("arima_log")])
    assert tried.tolist() == [False, True, False, False]


def test_errors_are_those_of_a_plain_recomputation() -> None:
    series = seasonal()
    learned = forecasts.learn(*ragged(series), 12, 6, origins=2)
    scaled, symmetric = [], []
    for origin in (2, 1):
        end = series.size - origin * 6
        training, came = series[:end], series[end : end + 6]
        told = training[-12:-6]
        scaled += list(np.abs(came - told) / np.abs(training[12:] - training[:-12]).mean())
        symmetric += list(2 * np.abs(came - told) / (np.abs(came) + np.abs(told)))
    at = METHODS.index("seasonal_naive")
    assert learned.mase[0, at] == pytest.approx(np.mean(scaled))
    assert learned.smape[0, at] == pytest.approx(np.mean(symmetric))


def test_a_short_series_is_judged_on_fewer_periods_and_a_shorter_one_not_at_all() -> None:
    learned = forecasts.learn(*ragged(walk(16), walk(12), walk(11)), 12, 6, origins=2)
    assert learned.ahead.tolist() == [3, 1, 0]
    assert np.isfinite(learned.mase[:, METHODS.index("naive")]).tolist() == [True, True, False]
    assert learned.method[2] == "arima"


def test_intervals_hold_what_they_promise_where_the_model_is_true() -> None:
    series = [autoregressive(96) for _ in range(150)]
    values, offsets = ragged(*[one[:90] for one in series])
    learned = forecasts.learn(values, offsets, 1, 6, origins=1)
    _, quantiles = forecasts.expect(values, offsets, model(learned), 1, 6)
    came = np.stack([one[90:] for one in series])
    in_80 = ((came >= quantiles[..., 1]) & (came <= quantiles[..., 2])).mean()
    in_95 = ((came >= quantiles[..., 0]) & (came <= quantiles[..., 3])).mean()
    # Errors of one path hang together, and parameters are estimated: the limits are wider than of 900 throws.
    assert 0.74 < in_80 < 0.9
    assert 0.9 < in_95 < 0.99


def test_a_short_series_borrows_terms_and_stays_on_its_own_level() -> None:
    random = np.random.default_rng(4)
    lender = np.cumsum(random.normal(5, 1, 60)) + 100
    long = forecasts.learn(*ragged(lender), 1, 6)
    orders = np.array([arima.Order(p=1, d=1, is_constant=True)], dtype=object)
    fits = arima.fit(*ragged(lender), orders[0])
    held = Models(np.array(["arima"], dtype=object), orders, fits.coefficients, fits.sigma2, long.spread)
    short = [np.array([8.0, 8.5, 8.0]), np.array([4.0]), np.array([3.0, 3.0, 3.0]), np.array([8.0, np.nan, 9.0, 9.5])]
    bad = [np.array([1.0, np.inf, 2.0]), np.array([np.nan] * 4), np.array([1.0, 1e200])]

    def lent(n: int) -> forecasts.Lent:
        of = Models(*(np.repeat(getattr(held, name), n, axis=0) for name in Models.__dataclass_fields__))
        return forecasts.Lent(of, np.full(n, lender[-10:].mean()))

    learned = forecasts.learn(*ragged(*short), 1, 6, 2, lent=lent(4))
    assert learned.route.tolist() == ["borrowed", "too short", "constant", "borrowed"]
    assert learned.method.tolist() == ["arima", "mean", "naive", "arima"]
    assert learned.reason[[0, 1, 3]].tolist() == ["fewer than 10 values"] * 3
    ar, drift = fits.coefficients[0]
    own = drift * np.mean(short[0]) / lender[-10:].mean()
    assert learned.fits.coefficients[0, :2] == pytest.approx([ar, own])
    mean, quantiles = forecasts.expect(*ragged(*short), model(learned), 1, 2)
    assert mean[0, 0] == pytest.approx(8 + own + ar * (-0.5 - own))
    assert (np.diff(quantiles[0], axis=1) > 0).all()
    beside = forecasts.learn(*ragged(bad[0], *short, *bad[1:]), 1, 6, 2, lent=lent(7))
    for name in ("coefficients", "sigma2"):
        assert np.array_equal(getattr(learned.fits, name), getattr(beside.fits, name)[1:5], equal_nan=True)
    assert np.array_equal(learned.mase, beside.mase[1:5], equal_nan=True)


def test_what_borrows_is_judged_like_any_other_where_it_can_be() -> None:
    orders = np.array([arima.Order(p=1, is_constant=True)] * 3, dtype=object)
    coefficients, sigma2 = np.array([[-0.9, 50.0]] * 3), np.ones(3)
    lent = Models(np.array(["arima"] * 3, dtype=object), orders, coefficients, sigma2, sigma2)
    series = ragged(*map(np.array, ([4, 9, 4, 9, 4, 9, 4.5], [8, 7, 1, 4, 8, 5, 1], [4, 9, 5])))
    learned = forecasts.learn(*series, 1, 6, 2, lent=forecasts.Lent(lent, np.ones(3)))
    assert learned.ahead.tolist() == [2, 2, 0]
    assert learned.method.tolist() == ["arima", "mean", "arima"], "what alternates does as it was told"
    assert learned.mase[0, METHODS.index("arima")] < learned.mase[0, METHODS.index("mean")]
    assert learned.spread[2] == pytest.approx(np.sqrt(1 + 1 / 3)), "a mean of three values is unsure itself"
