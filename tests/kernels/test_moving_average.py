"""Moving averages against pandas, the textbook's 2x4-MA, and a plain loop at edges and gaps."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_spark.kernels.moving_average import average

SERIES = np.random.default_rng(1).gamma(2.0, 10.0, size=(30, 4))


def with_gaps() -> np.ndarray:
    return np.where(np.random.default_rng(7).random(SERIES.shape) < 0.25, np.nan, SERIES)


@pytest.mark.parametrize("window", [1, 3, 8])
def test_trailing_and_exponential_averages_are_those_of_pandas(window: int) -> None:
    gaps = with_gaps()
    known = pd.DataFrame(gaps).rolling(window, min_periods=max(1, window // 2)).mean().to_numpy()
    found = average(gaps, "trailing", window, least=max(1, window // 2) / window)
    np.testing.assert_allclose(found, known, rtol=1e-12)
    known = pd.DataFrame(gaps).ewm(span=window, adjust=False, ignore_na=True).mean().to_numpy()
    np.testing.assert_allclose(average(gaps, "exponential", window), known, rtol=1e-12)


def test_a_centred_average_of_an_even_window_is_that_of_two_trailing_ones() -> None:
    both = pd.DataFrame(SERIES).rolling(4).mean().rolling(2).mean().shift(-2).to_numpy()
    np.testing.assert_allclose(average(SERIES, "centred", 4), both, rtol=1e-12)
    middle = pd.DataFrame(SERIES).rolling(5, center=True).mean().to_numpy()
    np.testing.assert_allclose(average(SERIES, "centred", 5), middle, rtol=1e-12)


@given(st.sampled_from(["weighted", "seasonal", "centred"]), st.integers(1, 6), st.sampled_from([0.3, 0.5, 1.0]))
def test_at_edges_and_gaps_the_known_part_of_a_window_speaks_where_it_is_enough(
    kind: str, window: int, least: float
) -> None:
    gaps = with_gaps()
    found = average(gaps, kind, window, season=4, least=least)  # type: ignore[arg-type]
    half = window // 2
    ago = {
        "weighted": {back: float(window - back) for back in range(window)},
        "seasonal": {4 * cycle: 1.0 for cycle in range(window)},
        "centred": {back: 0.5 if window % 2 == 0 and abs(back) == half else 1.0 for back in range(-half, half + 1)},
    }[kind]
    for t in range(len(gaps)):
        seen = {back: gaps[t - back, 0] for back in ago if 0 <= t - back < len(gaps)}
        seen = {back: value for back, value in seen.items() if not np.isnan(value)}
        weight = sum(ago[back] for back in seen)
        if seen and weight >= least * sum(ago.values()) - 1e-9:
            known = sum(ago[back] * value for back, value in seen.items()) / weight
            assert found[t, 0] == pytest.approx(known, rel=1e-12)
        else:
            assert np.isnan(found[t, 0])


def test_a_window_longer_than_the_series_and_one_that_is_infinite_touch_no_other_series() -> None:
    assert np.isnan(average(SERIES, "trailing", 31)).all()
    poisoned = np.column_stack([SERIES, np.full(30, np.inf), np.full(30, 1e308)])
    for kind in ("trailing", "centred", "weighted", "exponential", "seasonal"):
        found = average(poisoned, kind, 4)
        assert np.array_equal(found[:, :4], average(SERIES, kind, 4), equal_nan=True)
        assert np.isnan(found[:, 4]).all()
