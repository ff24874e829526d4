"""Forecasts of what is mostly zero: the numbers of statsforecast 2.1.1, and plain repetition."""

from collections.abc import Callable

import numpy as np
import pytest

from crm_spark.kernels import intermittent
from tests.kernels.test_arima import ragged

DEMANDS = [[0, 0, 3, 0, 1, 0, 0, 0, 4, 0, 0], [2, 0, 0, 0, 0, 5, 1, 0, 0], [0, 7, 0, 0, 0, 0, 0, 0, 0]]


def test_demands_are_forecast_as_by_statsforecast_whatever_stands_beside_them() -> None:
    croston = [0.9700996677740864, 1.5955882352941175, 3.5]
    unbiased = [0.9215946843853821, 1.5158088235294116, 3.325]
    fading = [0.57481661664, 0.7012094628, 0.17294402999999994]
    for values in (ragged(*DEMANDS), ragged(*DEMANDS, [0, 0], [], [np.nan] * 20)):
        assert intermittent.croston(*values)[:3] == pytest.approx(croston, rel=1e-12)
        assert intermittent.croston(*values, is_unbiased=True)[:3] == pytest.approx(unbiased, rel=1e-12)
        assert intermittent.tsb(*values, 0.2, 0.3)[:3] == pytest.approx(fading, rel=1e-12)


@pytest.mark.parametrize("method", [intermittent.croston, intermittent.tsb])
def test_without_demand_zero_is_told_and_without_a_known_period_nothing(method: Callable[..., np.ndarray]) -> None:
    told = method(*ragged([0, 0, 0], [], [np.nan, np.nan], [4]))
    assert repr(list(map(float, told))) == "[0.0, nan, nan, 4.0]"


def test_of_a_missing_period_no_chance_is_learned_but_time_goes_by() -> None:
    with_hole, zero, without = ragged([1, np.nan, 1]), ragged([1, 0, 1]), ragged([1, 1])
    assert intermittent.tsb(*with_hole) == intermittent.tsb(*without)
    assert intermittent.croston(*with_hole) == intermittent.croston(*zero)


def test_a_naive_forecast_repeats_the_last_season_that_is_known() -> None:
    values = ragged([1, 2, 3, 4, 5], [7, np.nan, 9, 8, np.nan], [6], [])
    nan = np.nan
    last = [[5, 5, 5, 5], [8, 8, 8, 8], [6, 6, 6, 6], [nan] * 4]
    season = [[3, 4, 5, 3], [9, 8, nan, 9], [nan, nan, 6, nan], [nan] * 4]
    assert np.array_equal(intermittent.naive(*values, 4), last, equal_nan=True)
    assert np.array_equal(intermittent.naive(*values, 4, m=3), season, equal_nan=True)


def test_what_cannot_be_is_refused() -> None:
    values = ragged([1.0, 2.0])
    for call in (
        lambda: intermittent.naive(*values, 0),
        lambda: intermittent.croston(*values, smoothing=0.0),
        lambda: intermittent.tsb(*values, chance_smoothing=1.5),
        lambda: intermittent.croston(values[0], np.array([0, 1])),
    ):
        with pytest.raises(ValueError, match="must be|must rise"):
            call()
