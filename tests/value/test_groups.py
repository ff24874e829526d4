"""What groups are worth, against plain sums over the customers, and what they will bring, against whoever knows."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.core.contracts import Table
from crm_spark.features.snapshot import CUSTOMER_FEATURES
from crm_spark.kernels import bgnbd
from crm_spark.kernels.predictive import Customers, Uncertain, intervals_of_groups, sums_of_groups
from crm_spark.segments.kmeans import SEGMENTS
from crm_spark.segments.rfm import SCORES
from crm_spark.value import concentration, groups, migration, ranks, totals
from crm_spark.value.clv import CLV
from crm_spark.value.margins import MARGINS
from crm_spark.value.models import PARAMETERS

BEFORE, NOW = date(2026, 1, 24), date(2026, 1, 31)
NAMED = [*groups.GROUPINGS, "country"]
LEARNED = {"bg_nbd": {"r": 0.6, "alpha": 5.0, "a": 0.8, "b": 2.5}, "gamma_gamma": {"p": 6.0, "q": 4.0, "v": 15.0}}


def frame(spark: SparkSession, table: Table, rows: list[dict[str, Any]]) -> DataFrame:
    return spark.createDataFrame([tuple(row.get(name) for name in table.names) for row in rows], table.nullable_ddl)


def shop(day: date = NOW) -> list[dict[str, Any]]:
    """Forty customers, of whom some are worth the same, and some nothing that is known."""
    chance = Random(4)
    rows = []
    for n in range(40):
        frequency = chance.randrange(4)
        age = 30 + chance.randrange(9) * 7
        value = None if n % 11 == 5 else float(chance.choice([10, 20, 20, 35, 80, 400]))
        rows.append(
            {
                "customer_id": f"c{n:02}",
                "as_of": day,
                "frequency": frequency,
                "recency": chance.randrange(1, age) if frequency else 0,
                "age": age,
                "tenure_days": age + 13 if n % 3 else None,  # chances of 14 days
                "monetary": 5.0 + n if frequency else None,
                "revenue": 20.0 * (frequency + 1),
                "horizon": 90,
                "expected_purchases": 0.1 * n,
                "expected_spend": None if value is None else 25.0,
                "expected_revenue": None if value is None else 2.5 * n,
                "value": value,
                "reason": "too little is known" if value is None else None,
                "rfm": ["Best", "Good", None][n % 3],
                "kmeans": None,
                "country": ["DE", "AT"][n % 2],
                "margin": None if n % 4 else Decimal(n),
                "cost": Decimal(n) / 4,
                "no_margin": ["not counted", "no cost is known", "a cost is missing", None][n % 4 if n > 1 else 3],
            }
        )
    return rows


def gathered(spark: SparkSession, rows: list[dict[str, Any]]) -> DataFrame:
    def part(row: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"customer_id": row["customer_id"], "as_of": row["as_of"], **more}

    of_rfm = [part(row, segment=row["rfm"]) for row in rows if row["rfm"]]
    costs = [
        part(row, margin=row["margin"], contact_cost=row["cost"], service_cost=Decimal(1), reason=row["no_margin"])
        for row in rows
    ]
    other = [{"customer_id": "x", "as_of": BEFORE, "segment": "Old"} for _ in rows]
    prospect = {"customer_id": "prospect", "as_of": NOW, "value": 900.0, "horizon": 90, "expected_purchases": 1.0}
    return groups.gather(
        frame(spark, CLV, [*rows, *other, prospect]),
        frame(spark, SCORES, of_rfm + other),
        frame(spark, SEGMENTS, other),
        frame(
            spark,
            CUSTOMER_FEATURES,
            [part(row, country=row["country"], tenure_days=row["tenure_days"]) for row in rows],
        ),
        frame(spark, MARGINS, costs),
        NOW,
        ["country"],
    )


def ranked(customers: DataFrame) -> DataFrame:
    return ranks.rank(ranks.order(concentration.amounts(customers)).localCheckpoint())


def learned(day: date = NOW, q: float = 4.0, is_known: bool = True) -> list[dict[str, Any]]:
    """What the models learned, or that they learned nothing."""
    return [
        {
            "as_of": day,
            "model": model,
            "parameter": name,
            "position": at,
            "value": (q if name == "q" else value) if is_known else None,
            "covariances": [(0.05 * value) ** 2 * (at == other) for other in range(len(told))],
            "customers": 40,
            "unit_days": 7,
            "is_chosen": is_known,
            "reason": None if is_known else "all are alike",
        }
        for model, told in LEARNED.items()
        for at, (name, value) in enumerate(told.items())
    ]


def parameters(spark: SparkSession, q: float = 4.0, is_known: bool = True) -> DataFrame:
    return frame(spark, PARAMETERS, learned(NOW, q, is_known))


def plain_groups(rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Put each customer into one group of each grouping."""
    of = defaultdict(list)
    known = sorted(
        (row for row in rows if row["value"] is not None), key=lambda row: (-row["value"], row["customer_id"])
    )
    tenth = {row["customer_id"]: f"{10 * place // len(known) + 1:02}" for place, row in enumerate(known)}
    for row in rows:
        first = NOW - timedelta(days=row["tenure_days"] or row["age"])
        told = {**row, "decile": tenth.get(row["customer_id"]), "cohort": f"{first:%Y-%m}"}
        for name in NAMED:
            of[name, told[name] or "(unknown)"].append(row)
    return of


@pytest.fixture(scope="module")
def parted(spark: SparkSession) -> DataFrame:
    customers = gathered(spark, shop()).localCheckpoint()
    return groups.add_deciles(customers, ranked(customers)).localCheckpoint()


def test_every_grouping_parts_all_customers_and_sums_up_each_group(spark: SparkSession, parted: DataFrame) -> None:
    sums = totals.draw(parted, parameters(spark), NAMED)
    found = groups.describe(parted, sums, NOW, NAMED).collect()
    plain = plain_groups(shop())
    assert {(row["grouping"], row["group"]) for row in found} == set(plain)
    all_ = {"revenue": 0.0, "value": 0.0}
    for name in all_:
        all_[name] = sum(row[name] or 0 for row in shop())
    for row in found:
        mine = plain[row["grouping"], row["group"]]
        values = [one["value"] for one in mine if one["value"] is not None]
        assert (row["customers"], row["valued"], row["horizon"]) == (len(mine), len(values), 90)
        assert row["share_of_customers"] == pytest.approx(len(mine) / 40)
        assert row["revenue"] == sum(one["revenue"] for one in mine)
        assert row["share_of_revenue"] == pytest.approx(row["revenue"] / all_["revenue"])
        assert row["expected_purchases"] == pytest.approx(sum(one["expected_purchases"] for one in mine))
        if values:
            assert row["value"] == pytest.approx(sum(values))
            assert row["value_mean"] == pytest.approx(fmean(values))
            assert row["value_deviation"] == pytest.approx(pstdev(values))
            assert row["share_of_value"] == pytest.approx(sum(values) / all_["value"])
        else:
            assert row["value"] is None
            assert row["reason"].startswith("no value: too little is known")
        margins = [float(one["margin"]) for one in mine if one["margin"] is not None]
        assert row["margin"] == (pytest.approx(sum(margins)) if margins else None)
        reasons = [one["no_margin"] for one in mine if one["margin"] is None and one["no_margin"]]
        assert margins or f"no margin: {min(reasons, default=groups.NO_MARGINS)}" in row["reason"]
        assert row["cost_to_serve"] == pytest.approx(sum(float(one["cost"]) + 1 for one in mine))
    reasons = {row["reason"].split("no margin: ")[1].split(";")[0] for row in found if row["margin"] is None}
    assert reasons > {groups.NO_MARGINS}


def test_intervals_of_a_group_are_those_of_its_customers_together_however_they_lie(
    spark: SparkSession, parted: DataFrame
) -> None:
    rows = shop()
    found = []
    for parts in (1, 3):
        drawn = totals.draw(parted.repartition(parts, "customer_id"), parameters(spark), NAMED).collect()
        found.append({(row["grouping"], row["group"]): row for row in drawn})
    keys = {
        row["customer_id"]: row["key"]
        for row in parted.select("customer_id", F.xxhash64("customer_id").alias("key")).collect()
    }
    buying, money = (
        Uncertain(np.array(list(told.values())), np.diag([(0.05 * value) ** 2 for value in told.values()]))
        for told in LEARNED.values()
    )
    for (grouping, group), mine in plain_groups(rows).items():
        for what, these in ((0, mine), (1, [one for one in mine if one["value"] is not None])):
            name = ("purchases", "revenue")[what]
            column = [f"{name}_{share}" for share in ("p05", "p25", "p75", "p95")]
            told = [found[0][grouping, group][one] for one in column]
            again = [found[1][grouping, group][one] for one in column]
            assert told == pytest.approx(again, rel=1e-9)
            if not these:
                assert told == [0.0] * 4
                continue
            x, t_x, T = (
                np.array([float(one[field]) for one in these]) / (1 if field == "frequency" else 7)
                for field in ("frequency", "recency", "age")
            )
            mean = np.array([one["monetary"] or 1.0 for one in these])
            key = np.array([keys[one["customer_id"]] & 0xFFFFFFFF for one in these], dtype=np.uint32)
            sums = sums_of_groups(
                bgnbd, buying, money, Customers(x, t_x, T, x, mean), 90 / 7, key, np.zeros(len(these), np.int64)
            )
            assert told == pytest.approx(intervals_of_groups(sums[what])[0], rel=1e-9)


def test_what_a_group_will_bring_is_not_told_where_nothing_was_learned(spark: SparkSession, parted: DataFrame) -> None:
    nothing = totals.draw(parted, parameters(spark, is_known=False), NAMED)
    assert nothing.collect() == []
    badly = totals.draw(parted, parameters(spark, q=1.1), NAMED)
    for row in groups.describe(parted, badly, NOW, NAMED).where("value IS NOT NULL").collect():
        assert row["purchases_p05"] <= row["purchases_p95"]
        assert row["revenue_p95"] is None
        assert "no interval of the revenue: the mean worth of a purchase is known too badly" in row["reason"]


def test_of_nobody_there_is_no_group_and_no_share(spark: SparkSession) -> None:
    customers = gathered(spark, []).localCheckpoint()
    parted = groups.add_deciles(customers, ranked(customers))
    assert groups.describe(parted, totals.draw(parted, parameters(spark), NAMED), NOW, NAMED).collect() == []
    assert concentration.measure(ranked(customers), customers, NOW).collect() == []


def test_ranks_are_exact_wherever_rows_lie(spark: SparkSession) -> None:
    random = np.random.default_rng(5)
    rows = [(f"k{n}", "value", float(amount)) for n, amount in enumerate(random.integers(0, 40, 500))]
    rows += [(f"k{n}", "revenue", float(amount)) for n, amount in enumerate(random.integers(0, 400, 300))]
    amounts = spark.createDataFrame(rows, "customer_id string, measure string, amount double")
    found = []
    for parts in ("1", "7"):
        before = spark.conf.get("spark.sql.shuffle.partitions")
        spark.conf.set("spark.sql.shuffle.partitions", parts)
        placed = ranks.rank(ranks.order(amounts.repartition(3)).localCheckpoint()).collect()
        spark.conf.set("spark.sql.shuffle.partitions", before)
        found.append({(row["measure"], row["customer_id"]): (row["rank"], row["among"]) for row in placed})
    plain = {}
    for measure, among in (("value", 500), ("revenue", 300)):
        mine = sorted((row for row in rows if row[1] == measure), key=lambda row: (-row[2], row[0]))
        plain |= {(measure, row[0]): (place, among) for place, row in enumerate(mine)}
    assert found == [plain, plain]


def test_concentration_is_told_of_each_measure_or_why_not(spark: SparkSession) -> None:
    cases = {
        "fine": [{"revenue": 3.0, "value": 1.0}, {"revenue": 1.0, "value": 1.0}],
        "unknown": [{"revenue": 3.0, "value": None}, {"revenue": -1.0, "value": None}],
        "nothing": [{"revenue": 0.0, "value": 5.0}],
    }
    told = {}
    for case, rows in cases.items():
        customers = spark.createDataFrame(
            [(f"c{n}", row["revenue"], row["value"]) for n, row in enumerate(rows)],
            "customer_id string, revenue double, value double",
        )
        for row in concentration.measure(ranked(customers), customers, NOW).collect():
            told[case, row["measure"], row["statistic"], row["percent"]] = row
    assert len(told) == 3 * 2 * 15
    assert told["fine", "revenue", "gini", 100]["estimate"] == pytest.approx(0.25)
    assert told["fine", "revenue", "share", 50]["estimate"] == pytest.approx(0.75)
    assert told["fine", "value", "gini", 100]["estimate"] == pytest.approx(0)
    assert told["unknown", "value", "share", 10]["reason"] == "it is known of no customer"
    assert told["unknown", "revenue", "share", 50]["estimate"] == pytest.approx(1.5)
    above = {row["percent"] for row in told.values() if row["reason"] == "more than all: some have less than nothing"}
    assert above == {40, 50, 60, 70, 80, 90}  # the first half has 3 of 2
    assert told["unknown", "revenue", "gini", 100]["estimate"] is None
    assert told["unknown", "revenue", "gini", 100]["reason"].startswith("no coefficient: some have less than nothing")
    assert told["nothing", "revenue", "gini", 100]["reason"] == "all customers together have none"
    assert told["nothing", "value", "share", 50]["estimate"] == pytest.approx(0.5)
    assert told["nothing", "value", "share", 50]["low"] is None
    assert told["nothing", "value", "share", 50]["reason"] == "no interval: one customer has no spread"


def moving(spark: SparkSession) -> tuple[DataFrame, DataFrame, DataFrame, DataFrame, DataFrame]:
    """Give customers of now, and values, parameters, scores and segments of some days."""
    rows = [
        # customer, then: segment, value, revenue; now: segment, value, revenue
        ("ann", ("Best", 50.0, 100.0), ("Best", 60.0, 130.0)),
        ("bob", ("Best", 40.0, 80.0), ("Lost", 5.0, 80.0)),
        ("cy", ("Best", None, 10.0), ("Lost", 2.0, 15.0)),
        ("dee", None, ("New", 20.0, 25.0)),
        ("eve", ("Lost", 3.0, 9.0), None),
        ("fay", ("Lost", None, 9.0), ("New", 4.0, 12.0)),
    ]
    told = [
        {
            "customer_id": who,
            "as_of": day,
            "segment": side[0],
            "value": side[1],
            "revenue": side[2],
            "age": 30,
            "frequency": 1,
        }
        for who, *sides in rows
        for day, side in zip((BEFORE, NOW), sides, strict=True)
        if side
    ]
    older = [{**row, "as_of": BEFORE - timedelta(days=7), "segment": "Old"} for row in told]
    prospects = [{"customer_id": "prospect", "as_of": day, "value": 900.0} for day in (BEFORE, NOW)]
    clv = frame(spark, CLV, told + older + prospects)
    scores, segments = (frame(spark, table, told + older) for table in (SCORES, SEGMENTS))
    fitted = frame(spark, PARAMETERS, [{"as_of": day} for day in {row["as_of"] for row in told + older}])
    empty = frame(spark, CUSTOMER_FEATURES, []), frame(spark, MARGINS, [])
    segments = segments.limit(0)
    return groups.gather(clv, scores, segments, *empty, NOW), clv, fitted, scores, segments


def test_moves_between_groups_have_money_on_them(spark: SparkSession) -> None:
    customers, clv, fitted, scores, segments = moving(spark)
    found = migration.migrate(customers, clv, fitted, scores, segments, NOW).collect()
    ways = {
        (row["from_group"], row["to_group"]): (
            row["customers"], row["value_before"], row["value_after"], row["revenue_between"]
        )
        for row in found
        if row["grouping"] == "rfm"
    }  # fmt: skip
    assert ways == {
        ("Best", "Best"): (1, 50.0, 60.0, 30.0),
        ("Best", "Lost"): (2, 40.0, 7.0, 5.0),
        ("(new)", "New"): (1, 0.0, 20.0, 25.0),
        ("Lost", "(gone)"): (1, 3.0, 0.0, -9.0),
        ("Lost", "New"): (1, None, 4.0, 3.0),
    }
    assert {row["since"] for row in found} == {BEFORE}
    assert {row["reason"] is None for row in found if row["value_before"] is not None} == {True}
    assert sum(row["customers"] for row in found if row["grouping"] == "kmeans") == 6
    first = migration.migrate(customers, clv, fitted.where(fitted["as_of"] == NOW), scores, segments, NOW).collect()
    assert {(row["from_group"], row["since"], row["reason"]) for row in first} == {("(new)", None, migration.NO_DAY)}
