"""Lifetime value on Spark: CDNOW by its published figures, the same rows however they lie, and hard cases."""

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from scipy import special

from crm_spark.core.session import meanwhile
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.ingest.tables import CUSTOMER_HISTORY
from crm_spark.value import clv, learned, models
from crm_spark.value.bands import SHARES
from crm_spark.value.histories import alike, chances, gather, prospects

AS_OF = date(1997, 9, 30)
NOON = datetime(1997, 1, 1, 12, tzinfo=UTC)
Days = list[tuple[str, date, int, float]]  # customer, day, orders, sales


def days_of(spark: SparkSession, days: Days) -> DataFrame:
    rows = [(who, day, orders, Decimal(str(sales)), Decimal(0), 1, None, None) for who, day, orders, sales in days]
    return spark.createDataFrame(rows, CUSTOMER_DAYS.nullable_ddl)


def valued(spark: SparkSession, days: Days, **settings: float) -> tuple[list[Row], list[Row]]:
    """Values and parameters, ordered."""
    histories = gather(days_of(spark, days), AS_OF)
    parameters = models.parameters(models.fit(histories, AS_OF, models=["bg_nbd"])).localCheckpoint()
    values = clv.predict(histories, parameters, AS_OF, **{"horizon": 90, **settings})
    return values.orderBy("customer_id").collect(), parameters.orderBy("model", "parameter").collect()


@pytest.fixture(scope="module")
def cdnow(spark: SparkSession, cdnow_sample: Path) -> DataFrame:
    names = ["master", "customer", "day", "discs", "dollars"]
    raw = pd.read_csv(cdnow_sample / "CDNOW_sample.txt", sep=r"\s+", header=None, names=names, dtype={"customer": str})
    raw["day"] = pd.to_datetime(raw["day"], format="%Y%m%d").dt.date
    days = raw.groupby(["customer", "day"], as_index=False)["dollars"].sum()
    return days_of(spark, [(row.customer, row.day, 1, row.dollars) for row in days.itertuples()]).localCheckpoint()


def test_cdnow_gives_the_published_parameters_and_expectations(cdnow: DataFrame) -> None:
    histories = gather(cdnow, AS_OF).localCheckpoint()
    parameters = models.parameters(models.fit(histories, AS_OF, models=["bg_nbd"])).localCheckpoint()
    found = {(row["model"], row["parameter"]): row for row in parameters.collect()}
    published = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}
    for name, value in published.items():
        assert found["bg_nbd", name]["value"] == pytest.approx(value, abs=5e-4)
        assert found["bg_nbd", name]["log_likelihood"] == pytest.approx(-9582.43, abs=0.005)
        assert found["bg_nbd", name]["customers"] == 2357
    for name, value in {"p": 6.25, "q": 3.74, "v": 15.44}.items():
        assert found["gamma_gamma", name]["value"] == pytest.approx(value, abs=0.02)
        assert found["gamma_gamma", name]["customers"] == 946
    values = clv.predict(histories, parameters, AS_OF, horizon=39 * 7, discount=0.0).collect()
    assert sum(row["expected_purchases"] for row in values) == pytest.approx(1653.41, abs=0.05)
    for row in values:
        assert row["value"] == pytest.approx(row["expected_purchases"] * row["expected_spend"], rel=1e-12)
        assert row["reason"] is None


def test_days_to_come_change_nothing_and_the_unit_of_time_only_alpha(cdnow: DataFrame) -> None:
    until = cdnow.where(cdnow["day"] <= AS_OF)
    few = [gather(days, AS_OF).where("customer_id < '1200'").localCheckpoint() for days in (cdnow, until)]
    assert sorted(few[0].collect()) == sorted(few[1].collect())
    fitted = [models.fit(few[0], AS_OF, unit_days=unit, models=["bg_nbd"]) for unit in (7, 1)]
    weeks, days = (models.parameters(learned).localCheckpoint() for learned in fitted)
    values = [
        sorted(clv.predict(few[0], parameters, AS_OF, horizon=90).select("customer_id", "value").collect())
        for parameters in (weeks, days)
    ]
    for one, other in zip(*values, strict=True):
        assert one["value"] == pytest.approx(other["value"], rel=1e-6)


def test_the_rows_are_the_same_however_they_lie(cdnow: DataFrame) -> None:
    answers = []
    for partitions in (1, 2, 7):
        histories = gather(cdnow.repartition(partitions, "day"), AS_OF)
        parameters = models.parameters(models.fit(histories, AS_OF, models=["bg_nbd"])).localCheckpoint()
        values = clv.predict(histories.repartition(partitions), parameters, AS_OF, horizon=90)
        answers.append((sorted(parameters.collect(), key=str), sorted(values.collect())))
    for others in answers[1:]:
        for ours, theirs in zip(answers[0], others, strict=True):
            for one, other in zip(ours, theirs, strict=True):
                for name, value in one.asDict().items():
                    assert other[name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)


def test_purchases_of_a_day_are_one_and_returns_alone_are_none(spark: SparkSession) -> None:
    day = date(1997, 1, 1)
    days = [
        ("a", day, 3, 30.0),
        ("a", day + timedelta(days=10), 2, 50.0),
        ("a", day + timedelta(days=20), 1, 10.0),
        ("a", day + timedelta(days=30), 0, 0.0),
        ("b", day, 1, 5.0),
        ("c", day, 0, 0.0),
    ]
    histories = gather(days_of(spark, days), date(1997, 2, 10)).orderBy("customer_id")
    assert [tuple(row)[:6] for row in histories.collect()] == [("a", 2, 20, 40, 30.0, 90.0), ("b", 0, 0, 40, None, 5.0)]
    assert histories.toPandas()["held_weeks"].map(len).tolist() == [0, 0]  # without a warning of a type it cannot tell


def test_money_is_summed_up_to_the_last_digit(spark: SparkSession) -> None:
    first = AS_OF - timedelta(days=30)
    amounts = {"cents": [0.1, 0.2, 0.0], "nothing later": [0.3, 0.0, 0.0], "much": [99_999_999_999.9999, 0.0001, 5.0]}
    days = [(who, first + timedelta(days=at), 1, one) for who, each in amounts.items() for at, one in enumerate(each)]
    told = {row["customer_id"]: row for row in gather(days_of(spark, days), AS_OF).collect()}
    assert {who: (row["revenue"], row["monetary"]) for who, row in told.items()} == {
        "cents": (0.3, 0.1),
        "nothing later": (0.3, 0.0),
        "much": (100_000_000_005.0, 2.50005),
    }


def test_those_of_one_frequency_and_nearly_one_age_lie_together_and_in_order(spark: SparkSession) -> None:
    who = F.col("id").cast("string").alias("customer_id")
    bought = spark.range(3000).select(who, F.pmod("id", F.lit(5)).cast("int").alias("frequency"),
                                      F.pmod(F.col("id") * 7, F.lit(200)).cast("int").alias("age"))  # fmt: skip
    others = spark.range(3000, 3300).select(who)
    parts: dict[int, list[Row]] = {}
    apart = {"spark.sql.shuffle.partitions": "3", "spark.sql.adaptive.coalescePartitions.enabled": "false"}
    with meanwhile(spark, apart):
        lying = alike(bought.unionByName(others, allowMissingColumns=True)).withColumn("part", F.spark_partition_id())
        for row in lying.collect():
            parts.setdefault(row["part"], []).append(row)
    assert sum(map(len, parts.values())) == 3300
    kinds = [
        {(row["frequency"], row["age"] // 16) for row in part if row["age"] is not None} for part in parts.values()
    ]
    assert len(parts) > 1
    assert len(set.union(*kinds)) == sum(map(len, kinds))
    for part in parts.values():
        places = [(row["frequency"], row["age"]) for row in part if row["age"] is not None]
        assert places == sorted(places)


def test_what_was_learned_is_handed_out_and_rows_stay_in_order(spark: SparkSession) -> None:
    rows = spark.range(1000).select(F.pmod(F.col("id") * 7, F.lit(1000)).alias("place")).repartition(3, "place")
    known = spark.range(1).select(F.struct(F.col("id").alias("told")).alias("learned"))

    def lying(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """All rows of a partition as one, if there are any."""
        table = pa.Table.from_batches(list(batches), pa.schema([("place", pa.int64()), ("learned", pa.string())]))
        if len(table):
            columns = [pa.array([table.column(name).to_pylist()]) for name in ("place", "learned")]
            yield pa.RecordBatch.from_arrays(columns, ["places", "told"])

    asked = learned.hand_out(rows.sortWithinPartitions("place"), F.broadcast(known))
    parts = asked.mapInArrow(lying, "places array<bigint>, told array<string>").collect()
    assert sorted(place for row in parts for place in row["places"]) == list(range(1000))
    for row in parts:
        assert row["places"] == sorted(row["places"])
        assert row["told"] == ['{"told":0}', *[None] * (len(row["places"]) - 1)]


def _many(customers: int, times: int, sales: float) -> Days:
    day = date(1997, 1, 1)
    return [(f"c{n}", day + timedelta(days=20 * k), 1, sales) for n in range(customers) for k in range(times)]


def drawn(customers: int) -> Days:
    """Customers as the models have them."""
    random = np.random.default_rng(5)
    days: Days = []
    for n in range(customers):
        at, rate = float(random.integers(0, 90)), random.gamma(1.0, 1 / 15)
        leaves, worth = random.beta(1.0, 4.0), 5 / random.gamma(4.0, 1 / 15)
        while at < 272:
            spent = random.gamma(5.0, 1 / 5) * worth * 10
            days.append((f"c{n:03}", date(1997, 1, 1) + timedelta(days=int(at)), 1, round(spent, 2) + 0.01))
            if len(days) > 1 and days[-2][:2] == days[-1][:2]:
                days.pop()
            if random.random() < leaves:
                break
            at += random.exponential(1 / rate)
    return days


CASES: dict[str, tuple[Days, str]] = {
    "no repeat buyer": (_many(30, 1, 9.0), "no customer bought again"),
    "one customer": (_many(1, 3, 9.0), "no maximum"),
    "all alike": (_many(50, 4, 9.0), "no maximum"),
    "nobody": ([], ""),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_estimated_is_a_row_with_a_reason(spark: SparkSession, case: str) -> None:
    days, reason = CASES[case]
    values, parameters = valued(spark, days)
    assert len(values) == len({who for who, *_ in days})
    assert len(parameters) == 7
    for row in parameters:
        assert (row["value"], row["standard_error"]) == (None, None)
        assert row["reason"]
    for row in values:
        assert row["value"] is None
        assert reason in row["reason"]


def test_who_spent_nothing_on_later_days_has_a_reason_and_the_others_a_value(spark: SparkSession) -> None:
    start = date(1997, 1, 1)
    days = drawn(400)
    days += [("free", start, 1, 10.0), ("free", start + timedelta(days=30), 1, 0.0)]
    days += [("owed", start, 1, 10.0), ("owed", start + timedelta(days=30), 1, -4.0)]
    values, parameters = valued(spark, days)
    assert all(row["value"] is not None for row in parameters)
    without = {row["customer_id"]: row for row in values if row["value"] is None}
    assert set(without) == {"free", "owed"}
    for row in without.values():
        assert row["reason"] == "the days after the first brought no money"
        assert 0 < row["probability_alive"] <= 1
        assert row["expected_purchases"] > 0
    for row in values:
        assert not any(math.isnan(value) for value in row if isinstance(value, float))


def test_margin_and_discount_take_from_the_value_alone(spark: SparkSession) -> None:
    days = drawn(400)
    plain, _ = valued(spark, days, discount=0.0)
    half, _ = valued(spark, days, discount=0.0, margin=0.5)
    less, _ = valued(spark, days, discount=0.2, horizon=90)
    for row in plain:
        assert len(row["value_by_month"]) == 3
        assert row["value"] == pytest.approx(sum(row["value_by_month"]))
        assert row["value"] == pytest.approx(row["expected_revenue"])
        assert row["lifetime_revenue"] == pytest.approx(row["revenue"] + row["expected_revenue"])
        assert row["expected_purchases_90d"] == pytest.approx(row["expected_purchases"])
        assert row["expected_purchases_30d"] <= row["expected_purchases_90d"] <= row["expected_purchases_365d"]
        for name in ("probability_alive", "purchases", "revenue"):
            shares = [row[f"{name}_{share}"] for share in SHARES]
            assert shares == sorted(shares)
        assert row["probability_alive_p25"] <= row["probability_alive"] <= row["probability_alive_p75"]
    for one, other, last in zip(plain, half, less, strict=True):
        assert one["revenue_p95"] == other["revenue_p95"], "money of an interval is before cost"
        assert one["value"] == pytest.approx(2 * other["value"])
        assert one["value"] * 1.2 ** (-90 / 365.25) < last["value"] < one["value"]
        assert one["expected_purchases"] == last["expected_purchases"]


@pytest.mark.parametrize("model", models.BUYING)
def test_each_model_tells_of_each_customer_what_its_kernel_does(spark: SparkSession, model: str) -> None:
    days = days_of(spark, drawn(400))
    shares = (
        days.select("customer_id")
        .distinct()
        .where("customer_id < 'c2'")
        .selectExpr("customer_id", "-0.25D margin_share")
    )
    # Chances of a week, which is the unit of the others' time.
    bought = chances(days, AS_OF, 7) if model == "bg_bb" else days
    histories = gather(bought, AS_OF, customer_margins=shares).localCheckpoint()
    parameters = models.parameters(models.fit(histories, AS_OF, models=[model], chance_days=7)).localCheckpoint()
    rows = clv.predict(histories, parameters, AS_OF, horizon=90, margin=0.5).orderBy("customer_id").collect()
    learned = {row["position"]: row["value"] for row in parameters.collect() if row["model"] == model}
    at, kernel = np.array([learned[position] for position in sorted(learned)]), models.BUYING[model]
    history = [
        np.array([row[name] / unit for row in rows]) for name, unit in (("frequency", 1), ("recency", 7), ("age", 7))
    ]
    for name, days in (("expected_purchases", 90), ("expected_purchases_365d", 365)):
        expected = kernel.expected_purchases(at, *history, days / 7)
        assert [row[name] for row in rows] == pytest.approx(list(expected), rel=1e-9)
    assert {row["model"] for row in rows} == {model}
    assert_margins(rows)
    if model in IF_ALIVE:
        assert_lifetimes(IF_ALIVE[model](at, history, math.log(1.1) / 365.25 * 7), rows)
    else:
        assert {row["lifetime_value"] for row in rows} == {None}

    # Futures of each customer at the estimates; quantiles are wider, as the estimates are in doubt.
    random = np.random.default_rng(3)
    futures = np.stack([kernel.draw(at, *history, 90 / 7, random) for _ in range(400)])
    for share in SHARES:
        quantile = np.array([row[f"purchases_{share}"] for row in rows])
        assert (futures <= quantile).mean() >= int(share[1:]) / 100 - 0.03
        assert (futures < quantile).mean() <= int(share[1:]) / 100 + 0.03


def assert_margins(rows: list[Row]) -> None:
    """Where a customer's own share is known it takes the place of what is set: here it is a loss."""
    assert {row["customer_id"] < "c2" for row in rows} == {True, False}
    for row in rows:
        share = -0.25 if row["customer_id"] < "c2" else 0.5
        told = None if share > 0 else pytest.approx(share * row["expected_revenue"])
        assert row["expected_margin"] == told
        assert row["value"] == pytest.approx(sum(row["value_by_month"]))
        assert 1.1 ** (-90 / 365.25) < row["value"] / (share * row["expected_revenue"]) < 1


def dert_of_pareto_nbd(at: np.ndarray, history: list[np.ndarray], rate: float) -> np.ndarray:
    """The closed form of the discounted expected residual transactions, Fader, Hardie and Lee (2005)."""
    (r, alpha, s, beta), (x, _, T) = at, history
    return (r + x) / (alpha + T) * (beta + T) ** s * rate ** (s - 1) * special.hyperu(s, s, rate * (beta + T))


def dert_of_bg_bb(at: np.ndarray, history: list[np.ndarray], rate: float) -> np.ndarray:
    """Equation (14) of Fader, Hardie and Shang (2010), without the probability to be alive."""
    (alpha, beta, gamma, delta), (x, _, T), fade = at, history, math.exp(-rate)
    beyond = special.hyp2f1(1, delta + T + 1, gamma + delta + T + 1, fade)
    return (alpha + x) / (alpha + beta + T) * (delta + T) / (gamma + delta + T) * fade * beyond


IF_ALIVE = {"pareto_nbd": dert_of_pareto_nbd, "bg_bb": dert_of_bg_bb}


def assert_lifetimes(if_alive: np.ndarray, rows: list[Row]) -> None:
    for row, purchases in zip(rows, if_alive, strict=True):
        share = -0.25 if row["customer_id"] < "c2" else 0.5
        expected = share * row["expected_spend"] * row["probability_alive"] * purchases
        assert row["lifetime_value"] == pytest.approx(expected, rel=1e-6)
        assert abs(row["lifetime_value"]) > abs(row["value"])


def said_of(spark: SparkSession, *said: tuple[str, date, date | None]) -> DataFrame:
    """Of customers, on a day, when they registered."""
    rows = [
        {"customer_id": who, "known_on": day, "registered_on": registered, "row_hash": who, "known_at": NOON}
        for who, day, registered in said
    ]
    names = CUSTOMER_HISTORY.names
    return spark.createDataFrame(
        [tuple(row.get(name) for name in names) for row in rows], CUSTOMER_HISTORY.nullable_ddl
    )


def test_who_has_not_bought_yet_has_the_row_of_one_who_first_did_on_that_day_but_no_history(
    spark: SparkSession,
) -> None:
    earlier, later = AS_OF - timedelta(days=90), AS_OF + timedelta(days=1)
    history = gather(days_of(spark, [*drawn(400), ("today", AS_OF, 1, 20.0), ("later", later, 1, 9.0)]), AS_OF)
    parameters = models.parameters(models.fit(history, AS_OF, models=["mbg_nbd"])).localCheckpoint()
    known = said_of(
        spark, ("c001", earlier, earlier), ("new", earlier, earlier), ("new", AS_OF, None), ("later", AS_OF, None),
        ("unheard", later, None), ("announced", earlier, later),
    )  # fmt: skip
    margins = spark.createDataFrame(
        [("c001", 0.3), ("c002", 0.5), ("new", None)], "customer_id string, margin_share double"
    )
    rows = {}
    for of in (None, margins):
        among = prospects(known, history, AS_OF, of)
        told = clv.predict(history, parameters, AS_OF, 90, margin=0.8, prospects=among)
        rows[of] = {row["customer_id"]: row.asDict() for row in told.collect()}
    assert set(rows[None]) - {"new", "later"} == {row["customer_id"] for row in history.collect()}
    nothing = {"frequency": None, "recency": None, "age": None, "revenue": None, "lifetime_revenue": None}
    today = rows[None]["today"]
    assert today["expected_purchases"] > 0 < today["value"]
    for who in ("new", "later"):
        assert rows[None][who] == today | nothing | {"customer_id": who}
        assert rows[margins][who]["value"] == pytest.approx(today["value"] * 0.4 / 0.8), "the mean share of all"
