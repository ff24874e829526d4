"""Covariates on Spark: what was known when, against literal rows; models with them, against the kernel's answers."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from crm_spark.core.contracts import Table
from crm_spark.ingest.tables import CUSTOMER_HISTORY, ORDER_LINES
from crm_spark.kernels import bgnbd, pareto_nbd
from crm_spark.kernels import covariates as kernel
from crm_spark.kernels.likelihood import limits
from crm_spark.kernels.predictive import Customers, Uncertain, intervals_of_groups, sums_of_groups
from crm_spark.value import clv, covariate_sections, covariates, models, sections, totals
from crm_spark.value.bands import SHARES
from crm_spark.value.histories import bought, gather, weeks
from tests.value.test_clv import AS_OF, days_of

HELD_OUT = 60
WEB, STORE = "channel=web", "channel=store"


def frame(spark: SparkSession, table: Table, rows: list[dict[str, Any]]) -> DataFrame:
    return spark.createDataFrame([tuple(row.get(name) for name in table.names) for row in rows], table.nullable_ddl)


def day(before: int) -> date:
    return AS_OF - timedelta(days=before)


NOON = datetime(1997, 1, 1, 12, tzinfo=UTC)
# Customer, days since the first purchase, what the first day brought.
BOUGHT = [("a", 90, 10.0), ("b", 80, 20.0), ("c", 70, 30.0), ("d", 60, 40.0), ("e", 50, 50.0), ("f", 40, 60.0)]
SAID = [  # of whom, how many days ago, where they live, when they registered
    ("a", 95, "DE", day(120)), ("a", 89, "AT", None),  # moves a day after the first purchase
    ("b", 80, "DE", None),
    ("c", 75, "AT", day(100)), ("c", 72, "AT; Tirol", None), ("c", 71, None, None),
    ("d", 59, "DE", day(200)),  # is known a day too late
    ("e", 50, None, day(30)), ("e", 49, "AT", None),  # registered after the first purchase
    ("new", 10, "DE", day(10)), ("new", -1, "AT", None),
]  # fmt: skip
LINES = [("a", 90, 1, "web"), ("a", 90, 2, "app"), ("b", 80, 3, "web"), ("b", 90, 0, "store"), ("c", 70, 4, None)]
TOLD = ["country", "channel", "first_sales", "registered_days"]


def levelled(spark: SparkSession) -> DataFrame:
    customers = [(who, age, 1, 5.0, first + 5.0) for who, age, first in BOUGHT] + [("new", None, None, None, None)]
    history = [
        {"customer_id": who, "known_on": day(ago), "known_at": NOON, "row_hash": f"{n:02}", "country": country,
         "registered_on": on}
        for n, (who, ago, country, on) in enumerate(SAID)
    ]  # fmt: skip
    sold = [
        {"customer_id": who, "ordered_on": day(ago), "ordered_at": NOON + timedelta(minutes=n), "line_id": str(n),
         "channel": channel, "kind": "sale" if n else "return", "amount": Decimal(1)}
        for who, ago, n, channel in LINES
    ]  # fmt: skip
    known = covariates.gather(
        spark.createDataFrame(customers, "customer_id string, age int, frequency int, monetary double, revenue double"),
        frame(spark, CUSTOMER_HISTORY, history),
        frame(spark, ORDER_LINES, sold),
        AS_OF,
        TOLD,
    )
    return covariates.level(known.localCheckpoint(), TOLD)


def test_what_counts_is_what_was_known_at_the_first_purchase(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(covariates, "FEW", 2)
    told = {row["customer_id"]: row["covariates"].split("; ") for row in levelled(spark).collect()}
    assert told["a"] == ["country=DE", "channel=web", "first_sales=up to 22.5", "registered_days=up to 30"]
    # One customer of Tirol is too few, and there are no others: Tirol counts as the commonest.
    assert {who: of[0] for who, of in told.items()} == {
        "a": "country=DE", "b": "country=DE", "c": "country=(unknown)", "d": "country=(unknown)",
        "e": "country=(unknown)", "f": "country=(unknown)", "new": "country=DE",
    }  # fmt: skip
    assert {who: of[1] for who, of in told.items() if of[1] != "channel=(unknown)"} == {
        "a": "channel=web", "b": "channel=web",
    }  # fmt: skip
    assert [told[who][2] for who, *_ in BOUGHT] == [
        "first_sales=up to 22.5", "first_sales=up to 22.5", "first_sales=(other)", "first_sales=(other)",
        "first_sales=above 47.5", "first_sales=above 47.5",
    ]  # fmt: skip
    assert told["new"][2:] == ["first_sales=(other)", "registered_days=up to 30"]
    assert {who for who, of in told.items() if of[3] == "registered_days=(unknown)"} == set("bdef")


def lived(customers: int, seed: int = 8) -> pd.DataFrame:
    """Two channels of customers in days: those of the web buy twice as often."""
    random = np.random.default_rng(seed)
    rows = []
    for n in range(customers):
        web = n % 3 == 0
        at, rate, leaves = (
            float(random.integers(0, 150)),
            random.gamma(1.2, 1 / 25) * (2 if web else 1),
            random.beta(1, 5),
        )
        worth = 5 / random.gamma(4.0, 1 / 15) * 10
        while at < 272:
            rows.append((f"c{n:04}", int(at), round(random.gamma(5.0, 1 / 5) * worth, 2) + 0.01, WEB if web else STORE))
            if random.random() < leaves:
                break
            at += random.exponential(1 / rate)
    return pd.DataFrame(rows, columns=["who", "day", "sales", "text"]).drop_duplicates(["who", "day"])


@pytest.fixture(scope="module")
def shop(spark: SparkSession) -> tuple[DataFrame, DataFrame]:
    """Days of customers, and their histories with covariates."""
    rows = lived(900)
    days = days_of(
        spark, [(of.who, date(1997, 1, 1) + timedelta(days=of.day), 1, of.sales) for of in rows.itertuples()]
    ).localCheckpoint()
    texts = rows.drop_duplicates("who")[["who", "text"]].itertuples(index=False, name=None)
    named = spark.createDataFrame([tuple(of) for of in texts], "customer_id string, covariates string")
    return days, gather(days, AS_OF, held_out=HELD_OUT).join(named, "customer_id").localCheckpoint()


def history(rows: Any, unit: int = 7) -> list[np.ndarray]:
    return [
        np.array([row[name] for row in rows]) / by for name, by in (("frequency", 1), ("recency", unit), ("age", unit))
    ]


@pytest.mark.parametrize(("model", "of"), [("bg_nbd", bgnbd), ("pareto_nbd", pareto_nbd)])
def test_a_model_with_covariates_is_judged_chosen_and_asked_as_the_kernel_is(
    spark: SparkSession, shop: tuple[DataFrame, DataFrame], model: str, of: Any
) -> None:
    days, customers = shop
    by_week = weeks(days, AS_OF, HELD_OUT)
    fitted = models.fit(customers, AS_OF, models=[model], held_out=HELD_OUT, by_week=by_week).localCheckpoint()
    parameters = models.parameters(fitted).localCheckpoint()
    learned = {row["parameter"]: row for row in parameters.collect() if row["model"] == f"{model}_covariates"}
    assert list(learned)[:5] == [*of.NAMES, f"alpha:{WEB}"]
    effect = learned[f"alpha:{WEB}"]
    assert abs(effect["value"] - np.log(2)) < 3 * effect["standard_error"]
    rows = customers.orderBy("customer_id").collect()
    groups = kernel.group(*history(rows), is_web(rows), [WEB])
    found = kernel.fit(of, groups)
    at = np.array([row["value"] for row in learned.values()])
    ends = np.array([[row["low"], row["high"]] for row in learned.values()])
    gammas = len(learned) - len(of.NAMES)
    assert ends == pytest.approx(limits(kernel.likelihood(of, groups), found, any_sign=gammas), rel=1e-4)
    assert ends[4] == pytest.approx(at[4] + np.array([-1.96, 1.96]) * effect["standard_error"], rel=0.1)
    assert at == pytest.approx(found.parameters, rel=1e-5)
    covariance = np.array([row["covariances"] for row in learned.values()])
    assert covariance[4] == pytest.approx(found.covariance[4], rel=1e-3)
    assert_judged(fitted, model, of, [row for row in rows if row["known"]])

    prospects = spark.createDataFrame(
        [("new", None, WEB), ("other", None, STORE)], "customer_id string, margin_share double, covariates string"
    )
    values = clv.predict(customers, parameters, AS_OF, 90, prospects=prospects).orderBy("customer_id").collect()
    answers = {row["customer_id"]: row for row in values}
    assert_asked(answers, of, at, rows)
    assert {row["model"] for row in values} == {f"{model}_covariates"}
    assert (answers["new"]["frequency"], answers["new"]["covariates"]) == (None, WEB)
    assert 1.3 < answers["new"]["expected_purchases"] / answers["other"]["expected_purchases"] < 2.2
    assert all((row["lifetime_value"] is None) == (model == "bg_nbd") for row in values)
    told = spark.createDataFrame(values, clv.CLV.nullable_ddl)
    assert_totals(told, parameters, of, Uncertain(at, covariance))
    assert_shown(told, parameters, of, learned)


def is_web(rows: Any) -> np.ndarray:
    return np.array([[float(row["covariates"] == WEB)] for row in rows])


def assert_judged(fitted: DataFrame, model: str, of: Any, before: Any) -> None:
    """Against what the kernel tells, fitted on who came before the held-out days, of one after the other."""
    scores = {row["model"]: row for row in models.scores(fitted).collect()}
    assert scores[f"{model}_covariates"]["is_chosen"]
    assert scores[f"{model}_covariates"]["aic"] < scores[model]["aic"] - 10
    x, t_x, T, held = np.array([[row["known"][name] for name in ("x", "t_x", "T", "held")] for row in before], float).T
    first = kernel.fit(of, kernel.group(x, t_x / 7, T / 7, is_web(before), [WEB]))
    own = kernel.parameters_of(of, first.parameters, is_web(before))
    expected = [of.expected_purchases(own[i], x[[i]], t_x[[i]] / 7, T[[i]] / 7, HELD_OUT / 7)[0] for i in range(x.size)]
    error = scores[f"{model}_covariates"]["root_mean_squared_error"]
    assert error == pytest.approx(np.sqrt(np.mean((held - expected) ** 2)), rel=1e-5)
    told = models.expectations(fitted).where(f"model = '{model}_covariates' AND at > 0 AND by = 'week'").collect()
    by = [of.expected_by(one, np.array([t, t + HELD_OUT]) / 7) for one, t in zip(own, T, strict=True)]
    assert sum(row["expected"] for row in told) == pytest.approx(np.diff(by, axis=1).sum(), rel=1e-5)


def assert_asked(answers: dict[str, Row], of: Any, at: np.ndarray, rows: Any) -> None:
    """Expectations by the kernel; quantiles against futures at the estimates, of each channel."""
    own = kernel.parameters_of(of, at, is_web(rows))
    past = [column[:, None] for column in history(rows)]
    expected = [of.expected_purchases(one, *each, 90 / 7)[0] for one, *each in zip(own, *past, strict=True)]
    assert [answers[row["customer_id"]]["expected_purchases"] for row in rows] == pytest.approx(expected, rel=1e-9)
    random = np.random.default_rng(3)
    futures = np.stack([of.draw(own.T, *history(rows), 90 / 7, random) for _ in range(300)])
    for share in SHARES:
        for some in (is_web(rows)[:, 0] == 1, is_web(rows)[:, 0] == 0):
            quantile = np.array([answers[row["customer_id"]][f"purchases_{share}"] for row in rows])[some]
            assert (futures[:, some] <= quantile).mean() >= int(share[1:]) / 100 - 0.03
            assert (futures[:, some] < quantile).mean() <= int(share[1:]) / 100 + 0.03


def assert_totals(told: DataFrame, parameters: DataFrame, of: Any, full: Uncertain) -> None:
    """Against the kernel's sums of each channel, which share the doubts of all parameters."""
    grouped = bought(told).selectExpr("*", "'all' everybody", "xxhash64(customer_id) & 4294967295 key")
    total = totals.draw(grouped, parameters, ["everybody"]).collect()[0]
    rows, sums = grouped.collect(), [0, 0]
    p_q_v = parameters.where("model = 'gamma_gamma'").orderBy("position").collect()
    money = Uncertain(*(np.array([row[name] for row in p_q_v]) for name in ("value", "covariances")))
    for text in (WEB, STORE):
        some = [row for row in rows if row["covariates"] == text]
        mean = np.array([row["monetary"] or 1.0 for row in some])
        these = Customers(*history(some), history(some)[0], mean)
        keys = np.array([row["key"] for row in some]).astype(np.uint32)
        part = kernel.own(of, full, np.array([float(text == WEB)]))
        added = sums_of_groups(of, part, money, these, 90 / 7, keys, np.zeros(len(some), dtype=np.int64))
        sums = [one + more for one, more in zip(sums, added, strict=True)]
    for name, of_all in zip(("purchases", "revenue"), sums, strict=True):
        ours = [total[f"{name}_{share}"] for share in SHARES]
        assert ours == pytest.approx(list(intervals_of_groups(of_all)[0]), rel=1e-5)


def assert_shown(told: DataFrame, parameters: DataFrame, of: Any, learned: dict[str, Row]) -> None:
    section, effect = covariate_sections.effects(told, parameters), learned[f"alpha:{WEB}"]
    effects = [row.asDict() for row in section.rows.collect()]
    assert [(row["level"], row["beside"]) for row in effects] == [("of channel web", "of channel store")]
    assert effects[0]["buys"] == pytest.approx(np.exp(effect["value"]))
    assert effects[0]["buys_high"] == pytest.approx(np.exp(effect["value"] + 1.96 * effect["standard_error"]))
    leaving = {name: row["value"] for name, row in learned.items() if ":" in name and not name.startswith("alpha")}
    odds = leaving[f"beta:{WEB}"] if of is pareto_nbd else leaving[f"a:{WEB}"] - leaving[f"b:{WEB}"]
    assert effects[0]["leaves"] == pytest.approx(np.exp(odds))
    assert section.sentence(effects).startswith(
        f"Customers of channel web buy {effects[0]['buys']:.2f} times as often as those of channel store ("
    )
    rows = bought(told).collect()
    own = kernel.parameters_of(of, np.array([row["value"] for row in learned.values()]), is_web(rows))
    shares = sum(of.purchase_shares(one, np.array([T]), 7)[0] for one, T in zip(own, history(rows)[2], strict=True))
    checked = sections.fit_check(told, parameters).rows.collect()
    assert [row["expected"] for row in checked] == pytest.approx(list(shares), rel=1e-9)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("'channel=web'", "the same for all customers: channel"),
        ("concat(covariates, '; region=', covariates)", "covariates follow from one another: channel=web, region=channel=web"),
        ("concat('age=', age, '; recency=', recency)", "groups of customers, 400 are the most: name fewer covariates"),
    ],
)  # fmt: skip
def test_covariates_that_tell_nothing_have_a_reason_and_the_plain_model_is_used(
    shop: tuple[DataFrame, DataFrame], text: str, reason: str
) -> None:
    _, customers = shop
    same = customers.selectExpr("*", f"{text} other").drop("covariates").withColumnRenamed("other", "covariates")
    fitted = models.fit(same, AS_OF, models=["bg_nbd"]).localCheckpoint()
    scores = {row["model"]: row for row in models.scores(fitted).collect()}
    assert reason in scores["bg_nbd_covariates"]["reason"]
    assert (scores["bg_nbd"]["is_chosen"], scores["bg_nbd_covariates"]["is_chosen"]) == (True, False)
    plain = models.fit(customers.drop("covariates"), AS_OF, models=["bg_nbd"])
    wanted = "what = 'parameter' AND model = 'bg_nbd'"
    assert fitted.where(wanted).select("value").collect() == plain.where(wanted).select("value").collect()
    told = fitted.where("what = 'parameter' AND model = 'bg_nbd_covariates'").collect()
    assert {row["value"] for row in told} == {None}
    assert {row["reason"] for row in told} == {scores["bg_nbd_covariates"]["reason"]}
