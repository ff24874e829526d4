"""Models of buying on Spark: CDNOW by its published figures, held-out time against plain loops, and the choice."""

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.kernels import bgbb, pareto_nbd
from crm_spark.value import clv, models
from crm_spark.value.histories import chances, gather, weeks
from tests.value.test_clv import days_of, drawn

AS_OF, HELD_OUT = date(1998, 6, 30), 273
PUBLISHED = {
    "bg_nbd": {"r": 0.2425945, "alpha": 4.4136019, "a": 0.7929199, "b": 2.4258881},
    "mbg_nbd": {"r": 0.5248, "alpha": 6.1830, "a": 0.8914, "b": 1.6140},
    "pareto_nbd": {"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669},
}


def learned(days: DataFrame, as_of: date, held_out: int, **told: object) -> tuple[list[Row], list[Row], list[Row]]:
    """Parameters, scores and expectations."""
    histories = gather(days, as_of, held_out=held_out).localCheckpoint()
    by_week = weeks(days, as_of, held_out) if held_out else None
    fitted = models.fit(histories, as_of, held_out=held_out, by_week=by_week, **told).localCheckpoint()  # type: ignore[arg-type]
    tables = models.parameters(fitted), models.scores(fitted), models.expectations(fitted)
    return tables[0].collect(), tables[1].collect(), tables[2].orderBy("model", "by", "at").collect()


@pytest.fixture(scope="module")
def raw(cdnow_sample: Path) -> pd.DataFrame:
    names = ["master", "customer", "day", "discs", "dollars"]
    raw = pd.read_csv(cdnow_sample / "CDNOW_sample.txt", sep=r"\s+", header=None, names=names, dtype={"customer": str})
    raw["day"] = pd.to_datetime(raw["day"], format="%Y%m%d").dt.date
    return raw.groupby(["customer", "day"], as_index=False)["dollars"].sum()


@pytest.fixture(scope="module")
def cdnow(spark: SparkSession, raw: pd.DataFrame) -> DataFrame:
    return days_of(spark, [(row.customer, row.day, 1, row.dollars) for row in raw.itertuples()]).localCheckpoint()


@pytest.fixture(scope="module")
def judged(cdnow: DataFrame) -> tuple[list[Row], list[Row], list[Row]]:
    return learned(cdnow, AS_OF, HELD_OUT)


def test_cdnow_gives_the_published_parameters_of_all_models(cdnow: DataFrame) -> None:
    parameters, scores, expectations = learned(cdnow, AS_OF - timedelta(days=HELD_OUT), 0)
    found = {(row["model"], row["parameter"]): row for row in parameters}
    for model, published in PUBLISHED.items():
        for position, (name, value) in enumerate(published.items()):
            row = found[model, name]
            assert row["value"] == pytest.approx(value, rel=1e-3)
            assert row["position"] == position
            assert row["low"] < row["value"] < row["high"]
            assert row["covariances"][position] == pytest.approx(row["standard_error"] ** 2)
    assert [found["pareto_nbd", name]["standard_error"] for name in PUBLISHED["pareto_nbd"]] == pytest.approx(
        [0.0476264, 0.8427222, 0.1872594, 6.2105448], rel=1e-3
    )
    # They lean: the chance to leave is known the less upwards.
    leave = found["bg_nbd", "b"]
    assert np.log(leave["high"] / leave["value"]) > 1.05 * np.log(leave["value"] / leave["low"])
    # Nothing was held out: Akaike's criterion alone decides.
    least = min(scores, key=lambda row: 2 * (len(models.NAMES[row["model"]]) - row["log_likelihood"]))
    assert [row["model"] for row in scores if row["is_chosen"]] == [least["model"]]
    assert {row["model"] for row in parameters if row["is_chosen"]} == {least["model"], "gamma_gamma"}
    assert {row["root_mean_squared_error"] for row in scores} == {None}
    assert expectations == []


def test_cdnow_is_expected_to_buy_as_published_in_the_days_held_out(judged: tuple[list[Row], ...]) -> None:
    scores = {row["model"]: row for row in judged[1]}
    assert {row["actual"] for row in scores.values()} == {1882}
    assert {row["customers"] for row in scores.values()} == {2357}
    assert scores["bg_nbd"]["expected"] == pytest.approx(1653.41, abs=0.05)
    assert scores["pareto_nbd"]["expected"] == pytest.approx(1665.70, abs=0.5)  # at rounded parameters
    rules = [row["root_mean_squared_error"] for row in scores.values() if row["is_baseline"]]
    (chosen,) = [row for row in scores.values() if row["is_chosen"]]
    assert len(rules) == 2
    assert chosen["root_mean_squared_error"] < min(rules)
    errors = {name: row["root_mean_squared_error"] for name, row in scores.items() if not row["is_baseline"]}
    near = [scores[name] for name, error in errors.items() if error <= min(errors.values()) * 1.01]
    assert chosen == min(near, key=lambda row: row["aic"])


def test_what_came_is_told_by_week_and_by_frequency_as_a_plain_loop_counts_it(
    judged: tuple[list[Row], ...], raw: pd.DataFrame
) -> None:
    until = AS_OF - timedelta(days=HELD_OUT)
    weeks, frequencies = Counter[int](), Counter[int]()
    for _, of in raw.groupby("customer"):
        _, *later = sorted(of["day"])
        weeks.update(-((until - day).days // 7) for day in later)
        known = sum(day <= until for day in later)
        frequencies[min(known, 7)] += len(later) - known
    rows = [row for row in judged[2] if row["model"] == "pareto_nbd"]
    by_week = {row["at"]: row for row in rows if row["by"] == "week"}
    assert min(by_week) == -((until - min(raw["day"])).days // 7)
    assert max(by_week) == HELD_OUT // 7
    assert {at: row["actual"] for at, row in by_week.items()} == {at: weeks[at] for at in by_week}
    by_frequency = {row["at"]: row for row in rows if row["by"] == "frequency"}
    assert {at: row["actual"] for at, row in by_frequency.items()} == {at: frequencies[at] for at in range(8)}
    assert sum(row["customers"] for row in by_frequency.values()) == 2357
    # What was expected of new customers who came on these days, by the kernel at the published parameters.
    ages = np.array([(until - first).days for first in raw.groupby("customer")["day"].min()])
    parameters = np.array(list(PUBLISHED["pareto_nbd"].values()))
    since, ends = (pareto_nbd.expected_by(parameters, (ages + more) / 7).sum() for more in (0, HELD_OUT))
    held = sum(row["expected"] for at, row in by_week.items() if at > 0)
    assert held == pytest.approx(ends - since, rel=1e-3)


def test_who_came_in_the_days_held_out_is_fitted_but_not_judged(spark: SparkSession) -> None:
    start = date(1997, 9, 1)
    known, new = drawn(400), [("new", start, 1, 5.0), ("new", start + timedelta(days=9), 1, 5.0)]
    known = [row for row in known if row[1] < start]
    as_of, told = date(1997, 9, 30), {"models": ["bg_nbd"]}
    parameters, scores, expectations = learned(days_of(spark, known + new), as_of, 40, **told)
    without, fewer, others = learned(days_of(spark, known), as_of, 40, **told)
    assert parameters[-1]["customers"] == without[-1]["customers"] + 1
    assert scores[0]["customers"] == fewer[0]["customers"]
    assert [row["actual"] for row in expectations] == [row["actual"] for row in others]


def test_a_shop_too_young_to_hold_time_out_has_reasons_and_a_choice(spark: SparkSession) -> None:
    days = days_of(spark, drawn(400))
    parameters, scores, _ = learned(days, date(1997, 9, 30), 400)
    told = {row["model"]: row for row in scores}
    assert set(told) == {*models.AT_ANY_TIME, *models.BASELINES}
    assert all(row["root_mean_squared_error"] is None for row in scores)
    assert "before the held-out days no customer bought again" in told["bg_nbd"]["reason"]
    assert told["status_quo"]["reason"] == "no customer came before the held-out days"
    assert sum(row["is_chosen"] for row in scores) == 1
    assert all(row["value"] is not None for row in parameters)


def test_donors_asked_once_a_year_give_the_published_parameters_of_bg_bb(spark: SparkSession) -> None:
    path = Path(__file__).parents[3] / "shared/data/donations_bgbb/donations.csv"
    if not path.is_file():
        pytest.skip("the published data are not beside the checkout")
    as_of, rows = date(2001, 12, 31), []
    for x, t_x, T, donors in pd.read_csv(path).itertuples(index=False):
        years = [0, *range(1, x), t_x] if x else [0]
        # Two gifts of one year, on any days of it, are one.
        given = [as_of - timedelta(days=365 * (T - year) + before) for year in years for before in (0, 364)]
        rows += [(f"{x} {t_x} {n}", day, 1, 10.0) for n in range(donors) for day in given]
    by_year = chances(days_of(spark, rows), as_of, 365)
    histories = gather(by_year, as_of).localCheckpoint()
    fitted = models.fit(histories, as_of, models=["bg_bb"], chance_days=365).localCheckpoint()
    found = {row["parameter"]: row for row in models.parameters(fitted).collect() if row["model"] == "bg_bb"}
    published = {"alpha": 1.204, "beta": 0.750, "gamma": 0.657, "delta": 2.783}
    assert {name: row["value"] for name, row in found.items()} == pytest.approx(published, abs=6e-4)
    assert found["alpha"]["log_likelihood"] == pytest.approx(-33_225.58, abs=0.005)
    assert found["alpha"]["unit_days"] == 365
    values = clv.predict(histories, models.parameters(fitted), as_of, 5 * 365).where("customer_id LIKE '6 6 %'")
    at = np.array([found[name]["value"] for name in published])
    (expected,) = bgbb.expected_purchases(at, *np.array([[6.0], [6.0], [6.0]]), 5)
    assert values.selectExpr("avg(expected_purchases)").collect()[0][0] == pytest.approx(expected)


def test_where_nobody_leaves_nbd_is_chosen_and_why_others_are_not_is_told(spark: SparkSession) -> None:
    random, start = np.random.default_rng(5), date(1997, 1, 1)
    rates = random.gamma(1.0, 1 / 40, 300)
    bought = [
        (f"c{who}", int(day)) for who, rate in enumerate(rates) for day in np.flatnonzero(random.random(270) < rate)
    ]
    days = days_of(spark, [(who, start + timedelta(days=day), 1, 5.0) for who, day in bought])
    _, scores, _ = learned(days, start + timedelta(days=269), 90)
    told = {row["model"]: row for row in scores}
    assert [name for name, row in told.items() if row["is_chosen"]] == ["nbd"]
    assert told["nbd"]["root_mean_squared_error"] < min(
        told[name]["root_mean_squared_error"] for name in models.BASELINES
    )
    assert "the likelihood has no maximum: beta grows without end" in told["pareto_nbd"]["reason"]


def test_returns_lower_money_and_never_take_a_purchase_away(spark: SparkSession) -> None:
    day = date(1997, 1, 1)
    rows = [
        ("a", day, 1, Decimal(30), Decimal(0), 1, None, None),
        ("a", day + timedelta(days=10), 1, Decimal(50), Decimal(45), 2, None, None),
        ("a", day + timedelta(days=20), 0, Decimal(0), Decimal(5), 1, None, None),
    ]
    days = spark.createDataFrame(rows, CUSTOMER_DAYS.nullable_ddl)
    gross, net = (gather(days, date(1997, 2, 10), net).first() for net in (False, True))
    assert gross is not None
    assert net is not None
    assert (gross["frequency"], gross["monetary"], gross["revenue"]) == (1, 50.0, 80.0)
    assert (net["frequency"], net["monetary"], net["revenue"]) == (1, 5.0, 35.0)
