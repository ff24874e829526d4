"""How periods stand to their past: SciPy's tests, the season taken out, false alarms held, poisoned neighbours."""

import numpy as np
import pytest
from scipy import stats

from crm_spark.kernels import calibration
from crm_spark.kernels.standings import METHODS, Asked, stand, together

PLAIN = Asked(season=1, past=40, window=5, origins=26)


def test_without_a_season_each_method_is_what_scipy_makes_of_the_past() -> None:
    random = np.random.default_rng(1)
    values = random.gamma(4, 2, (60, 5))
    found = stand(values, PLAIN)
    for at, column in enumerate(values.T):
        past, now = column[-41:-1], column[-1]
        # The prediction of a normal value is a pooled t-test of one against the past.
        known = stats.ttest_ind([now], past)
        assert found.z[-1, at] == pytest.approx(known.statistic, rel=1e-9)
        assert found.p["z"][-1, at] == pytest.approx(known.pvalue, rel=1e-9)
        welch = stats.ttest_ind(column[-5:], column[-45:-5], equal_var=False)
        assert found.p["window"][-1, at] == pytest.approx(welch.pvalue, rel=1e-9)
        paired = stand(values, Asked(1, 40, 5, test="paired")).p["window"][-1, at]
        assert paired == pytest.approx(stats.ttest_rel(column[-5:], column[-10:-5]).pvalue, rel=1e-9)
        alone = stand(values, Asked(1, 40, 5, test="one_sample")).p["window"][-1, at]
        assert alone == pytest.approx(stats.ttest_1samp(column[-5:], column[-45:-5].mean()).pvalue, rel=1e-9)
        pooled = stand(values, Asked(1, 40, 5, test="pooled")).p["window"][-1, at]
        assert pooled == pytest.approx(stats.ttest_ind(column[-5:], column[-45:-5]).pvalue, rel=1e-9)
        middle = np.median(past)
        robust = (now - middle) / (stats.median_abs_deviation(past, scale="normal") * np.sqrt(1 + np.pi / 80))
        off = robust * np.sqrt(39 / 40)  # the median has taken one of the values
        assert found.p["robust_z"][-1, at] == pytest.approx(2 * stats.t.sf(abs(off), 0.3675 * 39), rel=1e-6)
        assert (found.expected[-1, at], found.spread[-1, at]) == pytest.approx((past.mean(), past.std(ddof=1)))


def test_the_season_is_taken_out_where_two_cycles_are_known() -> None:
    random = np.random.default_rng(2)
    week = np.array([0.0, 10, 20, 30, 40, 50, 90])
    values = np.tile(week, 12)[:, None] + random.normal(0, 1, (84, 3))
    values[-1, 0] = 50.0  # usual on another day
    values[:-10, 2] = np.nan  # too young to know its week
    found = stand(values, Asked(season=7, past=56, window=7, origins=5))
    assert found.p["z"][-1, 0] < 1e-9
    assert found.p["z"][-1, 1] > 0.01
    assert found.expected[-1, 1] == pytest.approx(90, abs=2)
    assert found.expected[-1, 2] == pytest.approx(np.nanmean(values[:-1, 2]))


@pytest.mark.parametrize("kind", ["normal", "week", "rare counts", "counts", "mixed counts", "spend", "drift"])
def test_without_anomalies_the_share_flagged_is_what_was_asked_for(kind: str) -> None:
    random = np.random.default_rng(7)
    shape = (90, 2_500)
    values = {
        "normal": lambda: random.normal(10, 2, shape),
        "week": lambda: random.normal(10, 2, shape) + np.resize(random.normal(0, 5, 7), 90)[:, None],
        "rare counts": lambda: random.poisson(0.3, shape) * 1.0,
        "counts": lambda: random.poisson(5, shape) * 1.0,
        "mixed counts": lambda: random.poisson(random.gamma(0.5, 1, shape[1]), shape) * 1.0,
        "spend": lambda: random.lognormal(3, 1, shape) * (random.random(shape) < 0.15),
        "drift": lambda: random.normal(0, 0.3, shape).cumsum(axis=0) + random.normal(0, 1, shape),
    }[kind]()
    asked = Asked(season=7 if kind == "week" else 1, past=42, window=4, newest=2, origins=20)
    found = stand(values, asked)
    three = together([p for method, p in found.p.items() if method != "window"])
    held = {}
    for method, p in {**found.p, "alone": three}.items():
        curve = calibration.curve(calibration.count(p[: asked.origins]))
        held[method] = calibration.calibrate(p[asked.origins :].ravel(), np.tile(curve, (2 * shape[1], 1)))
    for method, p in {**held, "together": together([held["alone"], held["window"]])}.items():
        for share in (0.05, 0.01, 0.001):
            # Five standard deviations of a share; counts come in lumps, of which a share may lack one.
            flagged, error = np.mean(p <= share), np.sqrt(share / p.size)
            assert flagged < share + 5 * error, (method, share)
            if "counts" not in kind and method == "together":
                assert flagged > share - 5 * error, (method, share)


def test_anomalies_are_found_among_what_is_calibrated() -> None:
    random = np.random.default_rng(9)
    values = random.poisson(5, (60, 400)) * 1.0
    values[-1, :8] = 40.0
    found = stand(values, PLAIN)
    held = []
    for p in found.p.values():
        curve = calibration.curve(calibration.count(p[:-1]))
        held.append(calibration.calibrate(p[-1], np.tile(curve, (400, 1))))
    together_ = together(held)
    assert (together_[:8] < 1e-5).all()
    assert (together_[8:] < 1e-5).sum() == 0


def test_days_of_the_week_that_scatter_otherwise_are_flagged_no_more_often_than_others() -> None:
    random = np.random.default_rng(1)
    week = np.array([20.0, 20, 20, 30, 60, 90, 10])
    values = np.tile(week, 20)[:, None] * random.normal(1, 0.1, (140, 200))
    found = stand(values, Asked(season=7, past=56, window=7, newest=35, origins=26))
    days = np.arange(105, 140) % 7
    for method in METHODS:
        share = [np.mean(found.p[method][-35:][days == day] < 0.01) for day in range(7)]
        assert max(share) < 0.06, method  # were all alike, half of the Saturdays by median deviation
    spread = [found.spread[-35:][days == day].mean() for day in range(7)]
    assert spread[5] > 0.8 * 9
    assert max(spread[:3]) < 0.5 * spread[5]
    # Values of one place alone are those of a plain t-test.
    alone = stand(values, Asked(season=1, past=56, window=7, origins=1))
    assert alone.spread[-1] == pytest.approx(values[-57:-1].std(axis=0, ddof=1))


def test_a_poisoned_neighbour_moves_no_bit_of_the_others() -> None:
    random = np.random.default_rng(3)
    values = random.gamma(2, 2, (70, 300))
    asked = Asked(season=7, past=28, window=7, origins=10)
    poisoned = random.choice(300, 30, replace=False)
    others = np.setdiff1d(np.arange(300), poisoned)
    mixed = values.copy()
    for at, kind in zip(poisoned, np.resize(np.arange(5), 30), strict=True):
        mixed[:, at] = [np.nan, 5.0, 1e150, np.where(np.arange(70) < 69, np.nan, 1.0), values[:, at] * 1e149][kind]
    whole, alone, single = stand(mixed, asked), stand(values[:, others], asked), stand(values[:, others[:1]], asked)
    for method in METHODS:
        np.testing.assert_array_equal(whole.p[method][:, others], alone.p[method])
        np.testing.assert_array_equal(alone.p[method][:, :1], single.p[method])


def test_where_all_before_are_alike_another_one_is_as_rare_as_one_of_them() -> None:
    values = np.full((21, 3), 5.0)
    values[-1, 0], values[-1, 2] = 6.0, np.nan
    found = stand(values, Asked(1, 20, 4, origins=1))
    assert found.p["z"][-1, :2].tolist() == [1 / 21, 1.0]
    assert np.isnan(found.p["z"][-1, 2])


def test_a_window_that_is_longer_than_the_series_tells_nothing() -> None:
    values = np.random.default_rng(4).normal(size=(20, 2))
    found = stand(values, Asked(1, 12, 25, origins=1))
    assert np.isnan(found.p["window"]).all()
    assert np.isfinite(found.p["z"]).all()


def test_a_curve_is_never_below_what_p_says_and_falls_no_faster() -> None:
    random = np.random.default_rng(5)
    p = random.random(10_000) ** 3  # ten times as many small ones as there should be
    curve = calibration.curve(calibration.count(p))
    steps = -np.arange(curve.size) / calibration.A_DECADE
    assert (curve >= steps - 1e-12).all()
    assert (np.diff(curve) <= 1e-12).all()
    held = calibration.calibrate(p, np.tile(curve, (p.size, 1)))
    assert np.mean(held <= 0.01) == pytest.approx(0.01, rel=0.2)
    assert np.isnan(calibration.calibrate(np.array([np.nan]), curve[None])).all()
    nothing = calibration.curve(calibration.count(np.empty(0)))
    assert nothing == pytest.approx(steps)
