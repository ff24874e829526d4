"""Why customers are worth what they are worth: all adds up, MLlib and plain loops agree, what was planted is found."""

import math
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import permutations
from math import prod
from typing import Any, NamedTuple

import numpy as np
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

from crm_spark.models import forests
from crm_spark.value import clv, drivers, forest
from crm_spark.value.drivers import PARTS
from crm_spark.value.forest import Learned

BEFORE, AS_OF = date(2025, 12, 31), date(2026, 1, 31)
FEATURES = ["recency_days", "purchase_days", "basket_value", "rating", "contacts_90d"]
CLV_DDL = (
    "customer_id string, as_of date, probability_alive double, expected_purchases double, expected_spend double, "
    "value double, reason string, horizon int, expected_revenue double, expected_margin double, frequency int"
)
FEATURES_DDL = (
    "customer_id string, as_of date, recency_days int, purchase_days bigint, basket_value double, "
    "rating double, contacts_90d bigint"
)
SEGMENTS_DDL = "customer_id string, as_of date, segment string"
HORIZON = 240  # days, eight times 30
NO_MONEY = "the days after the first brought no money"


class Shop(NamedTuple):
    """Tables as rows."""

    clv: list[tuple]
    features: list[tuple]
    shares: list[tuple]
    segments: list[tuple]


def drawn(customers: int = 400, day: date = AS_OF, seed: int = 1) -> Shop:
    """Customers worth what baskets, purchases and recency say, in this order; rating and contacts say nothing."""
    random = np.random.default_rng(seed)
    shop = Shop([], [], [], [])
    for n in range(customers):
        who, recency = f"c{n:04}", int(random.exponential(40))
        bought, basket = 1 + int(random.poisson(4)), round(float(random.lognormal(3, 0.9)), 2)
        alive, month, share = math.exp(-recency / 150), bought / 8, round(random.uniform(0.2, 0.4), 2)
        value = alive * month * (7 + random.random()) * basket * share
        shop.clv.append((who, day, alive, alive * month * 8, basket, value, None))
        rating = None if n % 3 else float(random.integers(1, 6))
        shop.features.append((who, day, recency, bought, basket, rating, int(random.poisson(2))))
        shop.shares.append((who, day, share))
        shop.segments.append((who, day, ["Best", "Late", None][n % 3]))
    return shop


def two_days() -> Shop:
    """The same on two days, on which others joined or left, and some have no value, or none but 0."""
    now, before = drawn(), drawn(380, BEFORE, seed=2)
    now.clv.append(("free", AS_OF, 0.5, 0.2, None, None, NO_MONEY))
    now.clv.append(("gone", AS_OF, 0.0, 0.0, 20.0, 0.0, None))
    now.clv.append(("told", AS_OF, 0.5, 0.2, 20.0, 30.0, None))
    now.features.append(("free", AS_OF, 1, 9, 40.0, None, 1))
    before.clv.extend([("told", BEFORE, 0.5, 0.2, None, None, NO_MONEY), ("free", BEFORE, 0.5, 0.2, 9.0, 20.0, None)])
    before.clv.append(("left", BEFORE, 0.5, 0.2, 20.0, 30.0, None))
    return Shop(*[ours + theirs for ours, theirs in zip(now, before, strict=True)])


def gathered(spark: SparkSession, shop: Shop, partitions: int = 1) -> DataFrame:
    days = sorted({row[1] for row in shop.clv})
    clv, features, segments = (
        spark.createDataFrame(rows, ddl).repartition(partitions)
        for rows, ddl in (
            (with_shares(shop), CLV_DDL),
            (shop.features, FEATURES_DDL),
            (shop.segments, SEGMENTS_DDL),
        )
    )
    parameters = spark.createDataFrame([(day,) for day in days], "as_of date")
    return drivers.gather(clv, parameters, features, {"rfm": segments}, AS_OF, FEATURES)


def with_shares(shop: Shop) -> list[tuple]:
    """Rows of CLV_DDL: the share of the money that is margin shows in what it makes of the revenue.

    Somebody who has not bought yet is worth much once they do; nothing may tell of them.
    """
    shares = {(who, day): share for who, day, share in shop.shares}
    prospects = [("prospect", day, 1.0, 0.4, 20.0, 7000.0, None, HORIZON, 100.0, 10.0, None) for day in (AS_OF, BEFORE)]
    return prospects + [
        (*row, HORIZON, 100.0, 100.0 * shares[row[:2]] if row[:2] in shares else None, 1) for row in shop.clv
    ]


class Told(NamedTuple):
    learned: Learned
    customers: dict[str, Row]
    groups: list[Row]
    model: list[Row]


def told(spark: SparkSession, shop: Shop, partitions: int = 1) -> Told:
    customers = gathered(spark, shop, partitions).localCheckpoint()
    learned = forest.learn(customers, FEATURES)
    explained = drivers.explain(customers, learned).localCheckpoint()
    rows = drivers.DRIVERS.conform(drivers.by_customer(explained, learned, AS_OF)).collect()
    groups = drivers.SEGMENT_DRIVERS.conform(drivers.by_segment(explained, learned, AS_OF)).collect()
    model = forest.MODEL.conform(forest.described(explained, learned, AS_OF)).collect()
    return Told(learned, {row["customer_id"]: row for row in rows}, groups, model)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return two_days()


GROWN: list[Any] = []  # what MLlib learned


@pytest.fixture(scope="module")
def answer(spark: SparkSession, shop: Shop) -> Iterator[Told]:
    with pytest.MonkeyPatch.context() as patched:
        fit = forests.Regressor.fit
        patched.setattr(forests.Regressor, "fit", lambda self, rows: (GROWN.append(fit(self, rows)), GROWN[-1])[1])
        yield told(spark, shop)


def adds_up(value: float, terms: Sequence[float]) -> bool:
    return abs(value - math.fsum(terms)) <= 1e-9 * max(abs(value), *[abs(term) for term in terms])


def test_the_average_and_all_contributions_are_the_value_of_each_customer(answer: Told) -> None:
    scored = [row for row in answer.customers.values() if row["value"] is not None]
    assert len(scored) == 402
    assert len({row["average"] for row in scored}) == 1
    assert scored[0]["average"] == pytest.approx(np.mean([row["value"] for row in scored]), rel=1e-9)
    for row in scored:
        assert adds_up(row["value"], [row["average"], *[row[f"by_{part}"] for part in PARTS]])
        assert adds_up(row["value"], [row["average"], *row["contributions"].values(), row["unexplained"]])
        assert adds_up(row["value"], [row["from_features"], row["unexplained"]])
        assert row["reason"] is None


def test_the_size_of_a_group_times_the_average_and_all_contributions_are_its_value(answer: Told) -> None:
    found = {(row["grouping"], row["group"], row["level"]) for row in answer.groups}
    groups = [("all", "all"), ("rfm", "Best"), ("rfm", "Late")]
    assert found == {(*group, level) for group in groups for level in ("part", "feature")}
    for grouping, segment, level in found:
        rows = [
            row for row in answer.groups if (row["grouping"], row["group"], row["level"]) == (grouping, segment, level)
        ]
        members = [
            row
            for who, row in answer.customers.items()
            if row["value"] is not None
            and (segment == "all" or int(who[1:] if who[1:].isdigit() else 2) % 3 == ["Best", "Late"].index(segment))
        ]
        assert {row["customers"] for row in rows} == {len(members)}
        assert rows[0]["value"] == pytest.approx(sum(row["value"] for row in members), rel=1e-9)
        assert adds_up(rows[0]["value"], [len(members) * rows[0]["average"], *[row["contribution"] for row in rows]])
        assert len(rows) == (5 if level == "part" else len(FEATURES) + 1)
        for row in rows:
            name = row["driver"]
            each = np.array(
                [
                    one[f"by_{name}"] if level == "part" else one["contributions"].get(name, one["unexplained"])
                    for one in members
                ]
            )
            spread = 1.959963984540054 * each.std(ddof=1) / math.sqrt(len(each))
            expected = [each.mean(), each.mean() - spread, each.mean() + spread]
            assert [row["mean"], row["low"], row["high"]] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_parts_are_attributed_as_by_telling_them_in_all_orders_to_who_knows_the_population(
    answer: Told, shop: Shop
) -> None:
    shares = {row[0]: row[2] for row in shop.shares if row[1] == AS_OF}

    def parts(row: tuple) -> list[float]:
        who, _, alive, purchases, spend, value, _ = row
        share, month = shares.get(who) or 1.0, purchases / 8
        return (
            [alive, month / alive, value / (month * spend * share), spend, share]
            if value
            else [0.0, 0.0, 0.0, spend, share]
        )

    scored = {row[0]: parts(row) for row in shop.clv if row[1] == AS_OF and row[5] is not None}
    for who in ("c0007", "gone"):
        expected, orders = np.zeros(5), list(permutations(range(5)))
        for other in scored.values():
            for order in orders:
                at = list(other)
                for part in order:
                    was = prod(at)
                    at[part] = scored[who][part]
                    expected[part] += (prod(at) - was) / len(orders) / len(scored)
        assert [answer.customers[who][f"by_{part}"] for part in PARTS] == pytest.approx(expected, rel=1e-9)


def test_of_who_has_no_whole_chance_to_buy_in_30_days_the_parts_are_the_value_too(spark: SparkSession) -> None:
    learned = {"bg_bb": (1.2, 0.75, 0.66, 2.78), "gamma_gamma": (6.25, 3.74, 15.4)}
    parameters = spark.createDataFrame(
        [
            (AS_OF, model, f"p{at}", at, value, [0.0] * len(values), 45, True)
            for model, values in learned.items()
            for at, value in enumerate(values)
        ],
        "as_of date, model string, parameter string, position int, value double, covariances array<double>, "
        "unit_days int, is_chosen boolean",
    ).withColumn("reason", F.lit(None).cast("string"))
    bought = spark.createDataFrame(
        [("often", 3, 180, 225, 30.0, 120.0, 0.3), ("once", 0, 0, 90, None, 25.0, None)],
        "customer_id string, frequency int, recency int, age int, monetary double, revenue double, margin_share double",
    )
    values = clv.predict(bought, parameters, AS_OF, horizon=365)
    features, segments = (spark.createDataFrame([], ddl) for ddl in (FEATURES_DDL, SEGMENTS_DDL))
    rows = drivers.gather(values, parameters, features, {"rfm": segments}, AS_OF, FEATURES).collect()
    assert len(rows) == 2
    for row in rows:
        assert row["value"] > 0
        assert prod(row["parts"]) == pytest.approx(row["value"], rel=1e-12)
        assert all(part > 0 for part in row["parts"])


def test_what_features_tell_is_what_mllib_says_moved_to_the_average(
    spark: SparkSession, answer: Told, shop: Shop
) -> None:
    points = (
        gathered(spark, shop)
        .where("value IS NOT NULL")
        .select("customer_id", array_to_vector(F.col("point")).alias("point"))
    )
    says = {row["customer_id"]: row["prediction"] for row in GROWN[0].transform(points).collect()}
    apart = np.mean(list(says.values())) - answer.learned.average
    for who, said in says.items():
        assert answer.customers[who]["from_features"] == pytest.approx(said - apart, rel=1e-9)
    assert sum(row["unexplained"] for row in answer.customers.values() if row["value"] is not None) == pytest.approx(
        0, abs=1e-6
    )


def test_what_was_planted_counts_in_its_order_and_what_was_not_hardly(answer: Told) -> None:
    assert [row["feature"] for row in sorted(answer.model, key=lambda row: -row["importance"])][:3] == [
        "basket_value",
        "purchase_days",
        "recency_days",
    ]
    model = {row["feature"]: row for row in answer.model}
    assert model["rating"]["importance"] + model["contacts_90d"]["importance"] < model["recency_days"]["importance"] / 2
    signs = [np.sign(model[name]["correlation"]) for name in ("basket_value", "purchase_days", "recency_days")]
    assert signs == [1, 1, -1]
    for row in answer.model:
        assert (row["customers"], row["average"], row["reason"]) == (402, pytest.approx(answer.learned.average), None)
        assert row["learned_from"] + row["held_out"] == 402
        assert 60 < row["held_out"] < 100
        assert 0.6 < row["r2"] < 1


def test_who_has_features_and_no_value_is_told_by_features_alone(answer: Told) -> None:
    free = answer.customers["free"]
    assert (free["value"], free["unexplained"], free["by_alive"], free["reason"]) == (None, None, None, NO_MONEY)
    assert adds_up(free["from_features"], [free["average"], *free["contributions"].values()])
    assert free["from_features"] > free["average"], "who buys often and lately, and much"
    left = answer.customers["left"]
    assert (left["from_features"], left["contributions"], left["reason"]) == (None, None, drivers.NO_MORE)


def test_a_change_is_that_of_its_parts_or_of_who_came_and_left(answer: Told, shop: Shop) -> None:
    values = {day: {row[0]: row[5] for row in shop.clv if row[1] == day} for day in (BEFORE, AS_OF)}
    expected = {
        "told": "newly told",
        "free": "no longer told",
        "left": "lost",
        "gone": "won",
        "c0399": "won",
        "c0379": "stayed",
    }
    assert {who: answer.customers[who]["status"] for who in expected} == expected
    total = []
    for who, row in answer.customers.items():
        before, now = (values[day].get(who) for day in (BEFORE, AS_OF))
        parts = [row[f"change_by_{part}"] for part in PARTS]
        assert (row["since"], row["value_before"], row["value"]) == (BEFORE, before, now)
        if row["status"] == "stayed":
            assert row["change_by_status"] is None
            assert adds_up(now - before, parts)
        else:
            assert parts == [None] * 5
            assert row["change_by_status"] == (now or 0) - (before or 0)
        total += [part for part in [*parts, row["change_by_status"]] if part is not None]
    sums = [math.fsum(value for value in values[day].values() if value is not None) for day in (BEFORE, AS_OF)]
    assert math.fsum(total) == pytest.approx(sums[1] - sums[0], rel=1e-9)


def test_however_rows_lie_the_answers_are_the_same(spark: SparkSession, answer: Told, shop: Shop) -> None:
    spark.conf.set("spark.sql.shuffle.partitions", "3")
    try:
        again = told(spark, shop, partitions=7)
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", "1")
    for who, row in answer.customers.items():
        for name, value in row.asDict().items():
            other = again.customers[who][name]
            if isinstance(value, float):
                assert other == pytest.approx(value, rel=1e-9, abs=1e-9), name
            elif isinstance(value, dict):
                assert other == pytest.approx(value, rel=1e-9, abs=1e-9)
            else:
                assert other == value
    for ours, theirs in ((answer.groups, again.groups), (answer.model, again.model)):
        for one, other in zip(sorted(ours, key=str), sorted(theirs, key=str), strict=True):
            assert [value for value in one if not isinstance(value, float)] == [
                value for value in other if not isinstance(value, float)
            ]
    assert again.model[0]["r2"] == pytest.approx(answer.model[0]["r2"], rel=1e-9)


def test_customers_are_gathered_by_hash_and_each_table_is_shuffled_once(
    spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"spark.sql.shuffle.partitions": "3", "spark.sql.autoBroadcastJoinThreshold": "-1"}
    before = {name: spark.conf.get(name) for name in settings}
    try:
        for name, value in settings.items():
            spark.conf.set(name, value)
        gathered(spark, drawn(3), partitions=7).explain()
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)
    plan = capsys.readouterr().out
    assert plan.count("HashAggregate(keys=[customer_id") == 2
    assert "SortAggregate" not in plan
    # Numbers of all tables together, who has a reason, and segments: on Spark Connect these are in one part already.
    assert plan.count("hashpartitioning(customer_id") == (2 if is_remote() else 3)


def test_what_is_always_the_same_goes_along_with_nothing_however_rows_lie(spark: SparkSession) -> None:
    random = np.random.default_rng(3)
    x, y = random.lognormal(3, 1, 97), random.normal(0, 5, 97)
    same, late = np.full(97, 19.99), 1e4 + np.arange(97.0)
    features = {"same": (same, y), "no effect": (x, np.full(97, 0.1)), "both": (x, y), "far": (late, y)}
    points, by = (np.stack(each, axis=1).tolist() for each in zip(*features.values(), strict=True))
    rows = [(f"c{n}", 1.0, 1.0, *pair) for n, pair in enumerate(zip(points, by, strict=True))]
    ddl = "customer_id string, value double, from_features double, point array<double>, by_feature array<double>"
    learned = Learned(tuple(features), 97, 1.0, 1.0, np.zeros(32), None, np.zeros((0, 4)))
    for partitions in (1, 2, 7):
        explained = spark.createDataFrame(rows, ddl).repartition(partitions)
        found = {row["feature"]: row["correlation"] for row in forest.described(explained, learned, AS_OF).collect()}
        assert [found["same"], found["no effect"]] == [None, None]
        assert found["both"] == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-9)
        assert found["far"] == pytest.approx(np.corrcoef(late, y)[0, 1], rel=1e-6)


ALIKE = drawn(60)
FEW = [(*row[:4], None, None, NO_MONEY) for row in ALIKE.clv[1:]]
CASES = {
    "nobody": (Shop([], [], [], []), "fewer than 50 customers have a value"),
    "one customer with a value": (ALIKE._replace(clv=[ALIKE.clv[0], *FEW]), "fewer than 50 customers have a value"),
    "no features": (ALIKE._replace(features=[]), "customer_features tells nothing of that day"),
    "all alike": (ALIKE._replace(clv=[(*row[:2], 0.5, 0.25, 10.0, 20.0, None) for row in ALIKE.clv]), None),
}


@pytest.mark.parametrize("case", CASES)
def test_hard_cases_have_a_result_or_a_reason_and_no_number_that_is_none(spark: SparkSession, case: str) -> None:
    shop, reason = CASES[case]
    found = told(spark, shop)
    assert len(found.customers) == len(shop.clv)
    assert [row["reason"] for row in found.model] == [reason] * len(FEATURES)
    for row in [*found.customers.values(), *found.groups, *found.model]:
        numbers = [value for value in row if isinstance(value, float)]
        assert all(math.isfinite(number) for number in numbers)
    for row in found.customers.values():
        assert (row["since"], row["status"], row["value_before"], row["change_by_status"]) == (None, None, None, None)
        assert (row["contributions"] is None) == (reason is not None)
        assert (row["value"] is None) == (row["reason"] is not None)
    if case == "all alike":
        assert {row["from_features"] for row in found.customers.values()} == {20.0}
        assert [(row["importance"], row["correlation"], row["r2"]) for row in found.model] == [(0.0, None, None)] * len(
            FEATURES
        )
