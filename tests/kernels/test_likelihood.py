from collections.abc import Callable

import numpy as np
import pytest

from crm_spark.kernels.likelihood import best

OBSERVATIONS = 100.0


def _over_logs(f: Callable[[float], tuple[float, float, float]]):
    """A likelihood of one parameter from its mean over the parameter's logarithm, with two derivatives."""

    def derive(at: np.ndarray):
        value, slope, bend = (OBSERVATIONS * one for one in f(float(np.log(at[0]))))
        return value, np.array([slope]) / at, np.array([[bend - slope]]) / at**2

    return derive


def _hill(u: float, at: float, height: float) -> np.ndarray:
    value = height * np.exp(-((u - at) ** 2))
    return np.array([value, -2 * (u - at) * value, (4 * (u - at) ** 2 - 2) * value])


def _slope(u: float, at: float, height: float) -> np.ndarray:
    """A rise to a height that is never reached."""
    s = 1 / (1 + np.exp(at - u))
    return height * np.array([s, s * (1 - s), s * (1 - s) * (1 - 2 * s)])


@pytest.mark.parametrize("starts", [(-3.4, 2.7), (2.7, -3.4)])
def test_of_two_maxima_the_higher_one_is_found(starts: tuple[float, float]) -> None:
    derive = _over_logs(lambda u: tuple(_hill(u, -3, 0.4) + _hill(u, 3, 0.7)))
    found = best(derive, ("a",), [np.exp([start]) for start in starts], OBSERVATIONS)
    assert np.log(found.parameters) == pytest.approx([3], abs=1e-6)
    assert found.log_likelihood == pytest.approx(0.7 * OBSERVATIONS)


def test_a_likelihood_too_flat_to_search_on_has_no_maximum_if_it_still_rises() -> None:
    # -1 / a is all but 0 at e^16, where its slope falls below what the search looks at: no maximum all the same.
    derive = _over_logs(lambda u: (-np.exp(-u), np.exp(-u), -np.exp(-u)))
    found = best(derive, ("a",), [np.array([1e3])], OBSERVATIONS)
    assert found.reason == "the likelihood has no maximum: a grows without end"
    down = _over_logs(lambda u: (-np.exp(u), -np.exp(u), -np.exp(u)))
    found = best(down, ("a",), [np.array([1e-3])], OBSERVATIONS)
    assert found.reason == "the likelihood has no maximum: a falls to 0"


@pytest.mark.parametrize(("height", "is_highest"), [(2.0, True), (0.5, False)])
def test_a_maximum_counts_only_if_the_edge_is_not_higher(height: float, is_highest: bool) -> None:
    derive = _over_logs(lambda u: tuple(_hill(u, 0, 1) + _slope(u, 8, height)))
    found = best(derive, ("a",), [np.exp([0.3]), np.exp([9.0])], OBSERVATIONS)
    assert (found.reason == "the likelihood has no maximum: a grows without end") == is_highest
    assert np.isnan(found.parameters).all() == is_highest
    if not is_highest:
        assert np.log(found.parameters) == pytest.approx([0], abs=1e-3)


@pytest.mark.parametrize("start", [[np.nan], [0.0], [-1.0], [1.0, 1.0]])
def test_a_start_that_cannot_be_is_refused(start: list[float]) -> None:
    derive = _over_logs(lambda u: tuple(_hill(u, 3, 0.7)))
    with pytest.raises(ValueError, match="start must be 1 positive numbers, one for each parameter"):
        best(derive, ("a",), [np.exp([2.7]), np.array(start)], OBSERVATIONS)
