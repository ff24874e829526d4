"""t-tests and the analysis of variance: R's published figures, SciPy on random samples, and samples that tell nothing."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from crm_spark.kernels import mean_tests
from crm_spark.kernels.mean_tests import Sample, describe

DATA = Path(__file__).parents[3] / "shared" / "data" / "hypothesis_tests"


def groups(name: str, value: str, by: str) -> dict[str, np.ndarray]:
    """The values of a set by group, each a column."""
    if not DATA.is_dir():
        pytest.skip("the published data are not beside the checkout")
    rows = list(csv.DictReader((DATA / f"{name}.csv").read_text().splitlines()))
    levels = sorted({row[by] for row in rows})
    return {level: np.array([[float(row[value])] for row in rows if row[by] == level]) for level in levels}


def test_every_published_test_of_means_comes_out() -> None:
    first, second = groups("sleep", "extra", "group").values()
    supplements = groups("ToothGrowth", "len", "supp")
    plants = [describe(of) for of in groups("PlantGrowth", "weight", "group").values()]
    together = Sample(*[np.array(of) for of in zip(*plants, strict=True)])
    sleep = describe(first), describe(second)
    published = {
        "welch": (mean_tests.welch(*sleep), (-1.8608, 17.776, 0.07939)),
        "pooled": (mean_tests.pooled(*sleep), (-1.8608, 18, 0.07919)),
        "paired": (mean_tests.paired(first, second), (-4.0621, 9, 0.002833)),
        "teeth": (
            mean_tests.welch(describe(supplements["OJ"]), describe(supplements["VC"])),
            (1.9153, 55.309, 0.06063),
        ),
        "anova": (mean_tests.anova(together), (4.8461, 27, 0.01591)),
    }
    for name, (found, (statistic, df, p)) in published.items():
        assert found.statistic[0] == pytest.approx(statistic, abs=5.1e-5), name
        assert found.df[0] == pytest.approx(df, abs=5.1e-4), name
        assert found.p[0] == pytest.approx(p, abs=5.1e-6), name


def test_many_ragged_samples_at_once_are_those_of_scipy() -> None:
    random = np.random.default_rng(8)
    one, other = random.gamma(2, 3, (9, 50)), random.normal(6, 2, (13, 50))
    one[random.random(one.shape) < 0.2] = np.nan
    other[random.random(other.shape) < 0.2] = np.nan
    moments = describe(one), describe(other)
    with_gaps = {"axis": 0, "nan_policy": "omit"}
    for equal, found in ((True, mean_tests.pooled(*moments)), (False, mean_tests.welch(*moments))):
        known = stats.ttest_ind(one, other, equal_var=equal, **with_gaps)
        np.testing.assert_allclose(found.statistic, known.statistic, rtol=1e-10)
        np.testing.assert_allclose(found.df, known.df, rtol=1e-10)
        np.testing.assert_allclose(found.p, known.pvalue, rtol=1e-9)
    known = stats.ttest_1samp(one, 5.0, **with_gaps)
    np.testing.assert_allclose(mean_tests.one_sample(moments[0], 5.0).p, known.pvalue, rtol=1e-9)
    known = stats.ttest_rel(one, other[:9], **with_gaps)
    np.testing.assert_allclose(mean_tests.paired(one, other[:9]).p, known.pvalue, rtol=1e-9)
    three = one, other, other[:5] + 1
    parts = [describe(of) for of in three]
    found = mean_tests.anova(Sample(*[np.array(of) for of in zip(*parts, strict=True)]))
    known = stats.f_oneway(*three, **with_gaps)
    np.testing.assert_allclose(found.statistic, known.statistic, rtol=1e-9)
    np.testing.assert_allclose(found.p, known.pvalue, rtol=1e-8)


def test_samples_that_tell_nothing_have_no_statistic() -> None:
    nan = np.nan
    one = np.array([[5.0, 1.0, nan, 1e200], [5.0, nan, nan, 2e200], [5.0, nan, nan, 3e200]])
    other = np.array([[5.0, 3.0, nan, 1.0], [5.0, 4.0, 2.0, 2.0]])
    for test in (mean_tests.welch, mean_tests.pooled):
        found = test(describe(one), describe(other))
        assert np.isnan(found.p[[0, 2]]).all()
        assert np.isnan(found.statistic[[0, 2]]).all()
    assert np.isnan(mean_tests.welch(describe(one), describe(other)).p[1]), "one value has no variance of its own"
    assert mean_tests.pooled(describe(one), describe(other)).df[1] == 1
