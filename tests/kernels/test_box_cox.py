"""Box-Cox: published lambdas with their limits, SciPy on random samples, zeros, and samples that tell nothing."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from crm_spark.kernels import box_cox

DATA = Path(__file__).parents[3] / "shared" / "data"
Row = dict[str, str]


def rows_of(name: str) -> list[Row]:
    if not DATA.is_dir():
        pytest.skip("the published data are not beside the checkout")
    return list(csv.DictReader((DATA / f"{name}.csv").read_text().splitlines()))


def levels(rows: Sequence[Row], *names: str) -> np.ndarray:
    """A constant, and a column for each level of each attribute: more than are needed."""
    told = [sorted({row[name] for row in rows}) for name in names]
    columns = [[row[name] == level for row in rows] for name, of in zip(names, told, strict=True) for level in of]
    return np.array([np.ones(len(rows)), *columns]).T


def numbers(rows: Sequence[Row], *names: str) -> np.ndarray:
    return np.array([[float(row[name]) for name in names] for row in rows])


def test_every_published_lambda_comes_out_with_its_limits() -> None:
    poisons, wool, trees, quine = (
        rows_of(f"hypothesis_tests/{name}") for name in ("poisons", "Wool", "trees", "quine")
    )
    cells = [{"cell": " ".join(row[name] for name in ("Eth", "Sex", "Age", "Lrn"))} for row in quine]
    one = np.ones((len(wool), 1))
    cases = {
        "poisons": (numbers(poisons, "time"), levels(poisons, "poison", "treat"), (-0.75, -1.13, -0.36)),
        "wool": (numbers(wool, "cycles"), np.hstack([one, numbers(wool, "len", "amp", "load")]), (-0.06, -0.18, 0.06)),
        "trees": (
            numbers(trees, "Volume"),
            np.hstack([np.ones((len(trees), 1)), np.log(numbers(trees, "Height", "Girth"))]),
            (-0.07, -0.24, 0.10),
        ),
        "quine": (numbers(quine, "Days") + 1, levels(cells, "cell"), (0.21, 0.08, 0.35)),
    }
    for name, (values, regressors, told) in cases.items():
        found = box_cox.fit(values, box_cox.regressed(regressors))
        assert [float(of[0]) for of in found[:3]] == pytest.approx(list(told), abs=0.01), name
    passengers = box_cox.fit(numbers(rows_of("time_series_classics/AirPassengers"), "value"))
    assert passengers.power[0] == pytest.approx(0.14802, abs=5e-6)


def test_many_ragged_samples_at_once_are_those_of_scipy() -> None:
    random = np.random.default_rng(3)
    values = random.gamma(2, 1, (40, 6)) ** random.uniform(0.3, 3, 6) * 10.0 ** random.integers(-3, 4, 6)
    values[random.random(values.shape) < 0.1] = np.nan
    found = box_cox.fit(values)
    for at, column in enumerate(values.T):
        known = column[~np.isnan(column)]
        transformed, power, limits = stats.boxcox(known, alpha=0.05)
        assert found.power[at] == pytest.approx(power, abs=1e-5)
        assert (found.low[at], found.high[at]) == pytest.approx(limits, abs=1e-5)
        constant = known.size / 2 * (np.log(2 * np.pi) + 1)
        assert found.log_likelihood[at] == pytest.approx(stats.boxcox_llf(power, known) - constant, rel=1e-9)
        np.testing.assert_allclose(box_cox.transform(known[:, None], np.array([power])).ravel(), transformed, rtol=1e-7)


def test_regressors_that_follow_from_others_change_nothing() -> None:
    random = np.random.default_rng(4)
    regressors = np.column_stack([np.ones(30), random.normal(size=30)])
    values = np.exp(regressors @ [1, 0.5] + random.normal(0, 0.3, 30))[:, None]
    twice = np.column_stack([regressors, regressors @ [2.0, -3.0], np.zeros(30)])
    one, other = (box_cox.fit(values, box_cox.regressed(of)) for of in (regressors, twice))
    np.testing.assert_allclose(np.array(one), np.array(other), rtol=1e-6)


def test_zeros_are_lifted_by_half_a_step_and_what_tells_nothing_has_no_lambda() -> None:
    nan = np.nan
    values = np.array(
        [[3.0, 0.0, -4.0, 7.0, nan, 1e-150], [5.0, 2.0, 6.0, 7.0, nan, 1e150], [4.0, 1.0, nan, 7.0, nan, 1.0]]
    )
    assert box_cox.shift(values)[:4].tolist() == [0.0, 0.5, 9.0, 0.0]
    found = box_cox.fit(values + box_cox.shift(values))
    assert np.isnan(found.power[3:5]).all()
    assert np.isnan(found.low[3:5]).all()
    assert np.isfinite(found.power[[0, 1, 2, 5]]).all()
