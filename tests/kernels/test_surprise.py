"""Surprise against plain loops that see the past alone, and the windowed Gaussian against NAB's own rule."""

from collections.abc import Callable
from statistics import fmean, median, pstdev

import numpy as np
import pytest
from statsmodels.tsa.holtwinters import SimpleExpSmoothing

from crm_spark.kernels import surprise
from crm_spark.kernels.series import begun


def series(n: int = 300, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return 50 + 10 * np.sin(np.arange(n) * 2 * np.pi / 7) + random.normal(size=n)


def spans(n: int) -> list[int]:
    """For each row the row before which its past ends."""
    ends, begin = [0] * 20, 20
    while begin < n:
        ends += [begin] * max(min(begin // 16, 100), 1)
        begin = len(ends)
    return ends[:n]


def test_the_windowed_gaussian_is_that_of_nab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surprise, "WINDOW", 60)
    monkeypatch.setattr(surprise, "STEP", 10)
    told = series(200)
    window, step, known = [], [], []
    mean, deviation = 0.0, 1.0
    for value in told:  # handleRecord and _updateWindow of NAB's detector
        known.append(abs(value - mean) / deviation if window else np.nan)
        if len(window) < 60:
            window.append(value)
        else:
            step.append(value)
            if len(step) < 10:
                continue
            window, step = [*window[10:], *step], []
        mean, deviation = fmean(window), pstdev(window) or 0.000001
    assert surprise.gaussian(told[:, None])[:, 0] == pytest.approx(known, rel=1e-6, nan_ok=True)


def test_residuals_are_those_of_exponential_smoothing() -> None:
    told = series()
    left = surprise.residuals(told[:, None], np.arange(300)[:, None] % 7)
    assert left.step[1:, 0].tolist() == np.diff(told).tolist()
    known = SimpleExpSmoothing(told, initialization_method="known", initial_level=told[0]).fit(
        smoothing_level=2 / 201, optimized=False
    )
    assert left.level[1:, 0] == pytest.approx(known.resid[1:], rel=1e-9)
    of_tuesday = SimpleExpSmoothing(told[1::7], initialization_method="known", initial_level=told[1]).fit(
        smoothing_level=0.2, optimized=False
    )
    assert left.season[8::7, 0] == pytest.approx(of_tuesday.resid[1:], rel=1e-9)
    assert np.isnan(left.season[:7]).all()  # nothing is known of their day yet


def test_a_residual_is_held_against_what_one_of_a_thousand_past_ones_exceeded() -> None:
    told = series(120)
    left = surprise.residuals(told[:, None]).level
    found = surprise.surprise(left)[:, 0]
    assert np.isnan(found[:21]).all()
    for at, end in list(enumerate(spans(120)))[21:]:
        past = np.abs(left[1:end, 0])
        if past.size >= 20:
            assert found[at] == pytest.approx(left[at, 0] / np.quantile(past, 0.999), rel=1e-12)


def test_the_robust_z_is_by_median_and_median_absolute_deviation() -> None:
    told = series(90)
    found = surprise.robust(told[:, None])[:, 0]
    for at, end in list(enumerate(spans(90)))[20:]:
        middle = median(told[:end])
        spread = 1.4826 * median(np.abs(told[:end] - middle))
        assert found[at] == pytest.approx(abs(told[at] - middle) / spread, rel=1e-12)


def test_the_likelihood_compares_the_last_ten_errors_with_all() -> None:
    errors = series(100) - 50
    found = surprise.likelihood(errors[:, None])[:, 0]
    for at, end in list(enumerate(spans(100)))[20:]:
        past, recent = np.abs(errors[:end]), np.abs(errors[at - 9 : at + 1])
        assert found[at] == pytest.approx((recent.mean() - past.mean()) / past.std(), rel=1e-9)


WAYS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "gaussian": lambda values, phase: surprise.gaussian(values),
    "robust": lambda values, phase: surprise.robust(values),
    "likelihood": lambda values, phase: surprise.likelihood(surprise.residuals(values, phase).season),
    "default": surprise.default,
    "features": lambda values, phase: surprise.features(values, phase).reshape(*values.shape, 8)[..., 6],
}


@pytest.mark.parametrize("way", WAYS)
def test_what_comes_later_and_who_is_beside_changes_no_bit(way: str) -> None:
    values = np.column_stack([series(150, seed) for seed in range(4)])
    values[np.random.default_rng(5).random(values.shape) < 0.1] = np.nan
    values[90:, 1] = np.nan  # a shorter one
    phase = np.repeat(np.arange(150)[:, None] % 7, 4, axis=1)
    whole = WAYS[way](values, phase)
    for column, rows in ((0, 100), (1, 90), (2, 150)):
        alone = WAYS[way](values[:rows, [column]], phase[:rows, [column]])
        assert np.array_equal(alone[:, 0], whole[:rows, column], equal_nan=True)
    assert np.isfinite(whole).mean() > 0.5


def test_only_what_is_wanted_is_asked_and_it_is_the_same() -> None:
    values = np.column_stack([series(150, seed) for seed in range(3)])
    phase = np.repeat(np.arange(150)[:, None] % 7, 3, axis=1)
    wanted = np.zeros(values.shape, dtype=bool)
    wanted[[140, 60], [0, 1]] = True
    found, whole = surprise.default(values, phase, wanted), surprise.default(values, phase)
    assert found[wanted].tolist() == whole[wanted].tolist()
    assert np.isnan(found[:, 2]).all()


def test_a_regular_spike_surprises_once_and_a_break_of_the_rhythm_does() -> None:
    spikes = np.where(np.arange(200) % 7 == 3, 100.0, 1.0) + np.random.default_rng(1).normal(size=200) / 10
    spikes[152] = 100.0  # another day of the week
    found = surprise.surprise(surprise.residuals(spikes[:, None], np.arange(200)[:, None] % 7).season)[:, 0]
    assert np.nanargmax(np.abs(found)) == 152
    assert np.nanmax(np.abs(np.delete(found, range(152, 160))[60:])) < 1.3
    level = surprise.surprise(surprise.residuals(spikes[:, None]).level)[:, 0]
    assert abs(level[152]) < 1.1  # to whom no day is known it is a spike as any


def test_values_that_never_change_surprise_nobody_until_they_do() -> None:
    flat = np.full((60, 1), 0.1) * 3
    flat[50] += 1
    found = surprise.default(flat)[:, 0]
    assert np.nanmax(found[:50]) == 0.0
    assert found[50] > 1e6


def test_series_of_any_length_lie_side_by_side_from_their_first_value_on() -> None:
    laid = begun(np.arange(6.0), np.array([0, 1, 1, 4, 6]))
    known = [[0, np.nan, np.nan], [np.nan, np.nan, np.nan], [1, 2, 3], [4, 5, np.nan]]
    assert np.array_equal(laid.T, known, equal_nan=True)
