"""Expected against actual in held-out time: CDNOW by its published figures, the rest by plain loops."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.customers import PUBLISHED
from crm_spark.kernels import bgnbd, holdout, pareto_nbd
from crm_spark.kernels.holdout import HeldOut

FEW = HeldOut(
    x=np.array([0.0, 2.0, 9.0]),
    t_x=np.array([0.0, 30.0, 50.0]),
    T=np.array([10.0, 60.0, 60.0]),
    before=np.array([1.0, 1.0, 4.0]),
    held=np.array([1.0, 0.0, 5.0]),
    customers=np.array([3.0, 2.0, 1.0]),
    days=30,
)


@pytest.fixture(scope="module")
def cdnow(cdnow_sample: Path) -> HeldOut:
    """The cohort until 30 September 1997, and 273 days that are held out."""
    names = ["master", "customer", "day", "discs", "dollars"]
    raw = pd.read_csv(cdnow_sample / "CDNOW_sample.txt", sep=r"\s+", header=None, names=names)
    days = pd.to_datetime(raw["day"], format="%Y%m%d")
    bought = pd.DataFrame({"customer": raw["customer"], "day": (days - pd.Timestamp("1997-09-30")).dt.days})
    bought = bought.drop_duplicates()
    until, after = bought[bought["day"] <= 0].groupby("customer")["day"], bought[bought["day"] > 0]
    first, last, x = until.min(), until.max(), until.size() - 1
    held = after.groupby("customer").size().reindex(x.index, fill_value=0)
    columns = (x, last - first, -first, x + 1, held)
    return HeldOut(*[column.to_numpy(float) for column in columns], np.ones(x.size), 273)


@pytest.mark.parametrize(("model", "total"), [(bgnbd, 1653.95), (pareto_nbd, 1665.70)])
def test_cdnow_is_expected_to_buy_as_published_and_buys_more(model, total: float, cdnow: HeldOut) -> None:
    found = holdout.errors(cdnow, holdout.expected(model, np.array(PUBLISHED[model]), cdnow, 7))
    # The published figure is of times rounded to hundredths of weeks.
    assert found.expected == pytest.approx(total, abs=0.05)
    assert found.actual == 1882
    assert found.root_mean_squared < holdout.errors(cdnow, holdout.status_quo(cdnow)).root_mean_squared


def test_errors_and_sums_are_those_of_a_plain_loop() -> None:
    by = np.array([0.5, 1.0, 3.0])
    each = [(by, held) for by, held, n in zip(by, FEW.held, (3, 2, 1), strict=True) for _ in range(n)]
    found = holdout.errors(FEW, by)
    assert found.expected == pytest.approx(sum(one for one, _ in each))
    assert found.actual == pytest.approx(sum(held for _, held in each))
    assert found.mean_absolute == pytest.approx(np.mean([abs(one - held) for one, held in each]))
    assert found.root_mean_squared == pytest.approx(np.sqrt(np.mean([(one - held) ** 2 for one, held in each])))
    customers, expected, actual = holdout.by_frequency(FEW, by)
    assert [list(column[[0, 2, 7]]) for column in (customers, expected, actual)] == [[3, 2, 1], [1.5, 2, 3], [3, 0, 5]]
    assert customers.sum() == 6


def test_baselines_go_on_as_before() -> None:
    assert list(holdout.last_period(FEW)) == [1, 1, 4]
    assert holdout.status_quo(FEW) == pytest.approx([0.0, 1.0, 4.5])


def test_weeks_are_those_of_a_plain_loop_over_customers() -> None:
    """Of customers who came on two days: before the held-out days, across their begin, and the last, cut short."""
    at = np.array(PUBLISHED[pareto_nbd])
    among = HeldOut(*[np.zeros(2)] * 2, np.array([20.0, 90.0]), *[np.zeros(2)] * 2, np.array([3.0, 2.0]), 17)
    found = holdout.by_week(pareto_nbd, at, among, np.array([-2, -1, 0, 1, 2, 3]), 7)
    for first, last, week in zip((-21, -14, -7, 0, 7, 14), (-14, -7, 0, 7, 14, 17), found, strict=True):
        plain = 0.0
        for T, customers in ((20, 3), (90, 2)):
            since, until = (pareto_nbd.expected_by(at, np.array([max(T + end, 0) / 7]))[0] for end in (first, last))
            plain += customers * (until - since)
        assert week == pytest.approx(plain, rel=1e-9)
