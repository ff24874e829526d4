"""Margins and their credibility: a published example, literal rows, a slow plain recomputation, and hard cases."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from crm_spark.ingest.tables import CONTACTS, FEEDBACK, ORDER_LINES, PRODUCT_HISTORY
from crm_spark.value import margins

AS_OF = date(2026, 1, 31)
READS = {table.name: table for table in (ORDER_LINES, PRODUCT_HISTORY, CONTACTS, FEEDBACK)}
SEED = 4
Rows = list[dict[str, Any]]
Tables = dict[str, Rows]


def frames(spark: SparkSession, tables: Tables) -> dict[str, DataFrame]:
    """Every table that is read; one that is not named is empty."""
    return {
        name: spark.createDataFrame(
            [tuple(row.get(column) for column in table.names) for row in tables.get(name, [])], table.nullable_ddl
        )
        for name, table in READS.items()
    }


def found(
    spark: SparkSession, tables: Tables, as_of: date = AS_OF, partitions: int = 1, **settings: Any
) -> dict[str, Row]:
    given = {name: rows.repartition(partitions) for name, rows in frames(spark, tables).items()}
    gathered = margins.gather(**given, as_of=as_of, **settings).repartition(partitions).localCheckpoint()
    told = margins.MARGINS.conform(margins.expect(gathered, as_of)).collect()
    return {row["customer_id"]: row for row in told}


def day(ago: int) -> date:
    return AS_OF - timedelta(days=ago)


def line(
    who: str | None, ago: int, amount: str, product: str | None = "p", pieces: int = 1, **told: Any
) -> dict[str, Any]:
    row = {"customer_id": who, "ordered_on": day(ago), "amount": Decimal(amount), "product_id": product}
    return row | {"kind": "sale", "quantity": Decimal(pieces)} | told


def costs(product: str, ago: int, cost: str | None, hour: int = 0, row_hash: str = "h") -> dict[str, Any]:
    known_at = datetime.combine(day(ago), datetime.min.time(), UTC) + timedelta(hours=hour)
    told = {"known_at": known_at, "known_on": day(ago), "cost": None if cost is None else Decimal(cost)}
    return {"product_id": product, "row_hash": row_hash} | told


# Hachemeister (1975): mean claims in five states, by quarter, and how many there were. What R's package actuar says of
# it (`cm(~state, hachemeister)`, vignette "Credibility theory features of actuar"): collective premium 1683.713, variance
# between states 89639, within a state 139120026, and of each state the following.
PUBLISHED = {  # individual mean, weight, credibility factor, credibility premium
    "1": (2061, 100155, 0.9847, 2055),
    "2": (1511, 19895, 0.9276, 1524),
    "3": (1806, 13735, 0.8985, 1793),
    "4": (1353, 4152, 0.7279, 1443),
    "5": (1600, 36110, 0.9588, 1603),
}
MEANS = """1738 1642 1794 2051 2079 2234 2032 2035 2115 2262 2267 2517
1364 1408 1597 1444 1342 1675 1470 1448 1464 1831 1612 1471
1759 1685 1479 1763 1674 2103 1502 1622 1828 2155 2233 2059
1223 1146 1010 1257 1426 1532 1953 1123 1343 1243 1762 1306
1456 1499 1609 1741 1482 1572 1606 1735 1607 1573 1613 1690"""
CLAIMS = """7861 9251 8706 8575 7917 8263 9456 8003 7365 7832 7849 9077
1622 1742 1523 1515 1622 1602 1964 1515 1527 1748 1654 1861
1147 1357 1329 1204 998 1077 1277 1218 896 1003 1108 1121
407 396 348 341 315 328 352 331 287 384 321 342
2902 3172 3046 3068 2693 2910 3275 2697 2663 3017 3242 3425"""


def test_credibility_is_that_of_a_published_example(spark: SparkSession) -> None:
    # Each claim is one of money that was brought, each mean the ten-thousandth part of it that stayed.
    quarters = [
        (str(state), quarter, Decimal(mean), Decimal(claims))
        for state, rows in enumerate(zip(MEANS.split("\n"), CLAIMS.split("\n"), strict=True), 1)
        for quarter, (mean, claims) in enumerate(zip(*[row.split() for row in rows], strict=True))
    ]
    shop = {
        "order_lines": [line(who, at, str(claims), f"{who}-{at}") for who, at, _, claims in quarters],
        "product_history": [
            costs(f"{who}-{at}", 99, str(claims * (1 - mean / 10_000))) for who, at, mean, claims in quarters
        ],
    }
    rows = found(spark, shop)
    for who, (own, weight, factor, premium) in PUBLISHED.items():
        assert rows[who]["revenue"] == weight
        assert float(rows[who]["margin"]) / weight == pytest.approx(own / 10_000, abs=5e-5)
        assert rows[who]["credibility"] == pytest.approx(factor, abs=5e-5)
        assert rows[who]["margin_share"] == pytest.approx(premium / 10_000, abs=5e-5)
        assert rows[who]["reason"] is None
    assert sum(row["margin_share"] * float(row["revenue"]) for row in rows.values()) == pytest.approx(
        float(sum(row["margin"] for row in rows.values()))
    ), "expected in all is what was in all"


def test_a_product_costs_what_was_known_on_the_day_of_the_sale(spark: SparkSession) -> None:
    # Of 50 from products whose cost is known they cost 26.5: 0.53 of the price.
    expected = {
        "before anything was known": ("10", "3", "7"),
        "on the day of a change": ("10", "4", "6"),
        "of two statements of one time the larger hash": ("10", "5.5", "4.5"),
        "two pieces, below cost": ("10", "11", "-1"),
        "what comes back gives back the cost of its day": ("10", "-2.5", "2.5"),
        "unknown": ("10", "5.3", "4.7"),
        "below 0 is no cost": ("20", "7.95", "7.05"),
        "10^11 or more is no cost": ("10", "5.3", "4.7"),
    }
    lines = [
        line("before anything was known", 300, "10"),
        line("on the day of a change", 200, "10"),
        line("of two statements of one time the larger hash", 100, "10"),
        line("two pieces, below cost", 50, "10", pieces=2),
        line("what comes back gives back the cost of its day", 250, "10"),
        line("what comes back gives back the cost of its day", 90, "-10", pieces=-1, kind="return"),
        line("what comes back gives back the cost of its day", 90, "-99", kind="adjustment"),
        line("unknown", 1, "10", "q", discount=Decimal("2.5")),
        line("below 0 is no cost", 2, "20", "r"),
        line("below 0 is no cost", 1, "-5", "r", kind="return"),
        line("10^11 or more is no cost", 2, "10", "s", pieces=20_000),
        line("later", -1, "10"),
        line(None, 1, "10"),
    ]
    history = [
        costs("p", 280, "3"), costs("p", 270, "3"), costs("p", 200, "4"), costs("p", 100, "6", hour=1),
        costs("p", 100, "5", hour=2), costs("p", 100, "5.5", hour=2, row_hash="i"), costs("p", 60, None),
        costs("p", -1, "9"), costs("r", 99, "-1"), costs("q", -1, "1"),
        costs("s", 99, "90000000000"),
    ]  # fmt: skip
    rows = found(spark, {"order_lines": lines, "product_history": history})
    told = {who: (row["revenue"], row["product_cost"], row["margin"]) for who, row in rows.items()}
    assert told == {who: tuple(map(Decimal, row)) for who, row in expected.items()}
    assert {who for who, row in rows.items() if row["below_cost"]} == {"two pieces, below cost"}
    assert {who for who, row in rows.items() if not row["known_share"]} == {
        "unknown", "below 0 is no cost", "10^11 or more is no cost"
    }  # fmt: skip
    assert rows["unknown"]["discounts"] == Decimal("2.5")


def test_contacts_service_and_returns_that_cannot_be_sold_again_cost(spark: SparkSession) -> None:
    lines = [line("ann", 9, "10"), line("ann", 8, "-10", pieces=-1, kind="return"), line("bob", 9, "10")]
    contacts = [
        {"customer_id": who, "contacted_on": when, "cost": cost}
        for who, when, cost in (
            ("ann", day(30), Decimal("0.5")), ("ann", day(3), Decimal("0.25")), ("ann", day(-1), Decimal(9)),
            ("ann", None, Decimal(9)), ("ann", day(3), None), ("new", day(3), Decimal(2)),
        )
    ]  # fmt: skip
    feedback = [
        {"customer_id": who, "given_on": day(ago), "kind": kind}
        for who, ago, kind in (("bob", 1, "complaint"), ("bob", 1, "review"), ("bob", 0, "complaint"), ("bob", -1, "complaint"))
    ]  # fmt: skip
    shop = {"order_lines": lines, "product_history": [costs("p", 99, "4")], "contacts": contacts, "feedback": feedback}
    rows = found(spark, shop, resalable=0.25, service_cost={"complaint": 1.5, "call": 7})
    names = ["product_cost", "contact_cost", "service_cost", "margin"]
    told = {who: [row[name] for name in names] for who, row in rows.items()}
    assert told == {
        "ann": [Decimal("3"), Decimal("0.75"), 0, Decimal("-3.75")],
        "bob": [Decimal("4"), 0, Decimal("3"), Decimal("3")],
        "new": [0, Decimal(2), 0, Decimal(-2)],
    }
    assert (rows["new"]["known_share"], rows["new"]["credibility"]) == (None, 0)
    assert rows["new"]["margin_share"] == pytest.approx((-3.75 + 3) / 20)


@pytest.mark.parametrize(
    ("history", "lines", "reason", "share"),
    [
        ([], [line("ann", 1, "10"), line("bob", 1, "10")], margins.NO_COST, None),
        ([costs("p", 9, "1")], [line("ann", 1, "0"), line("bob", 1, "0")], margins.NO_COST, None),
        ([costs("p", 9, "1")], [line("ann", 1, "2"), line("bob", 1, "8")], margins.NO_SECOND, 0.8),
        ([costs("p", 9, "1")], [line("ann", 2, "7.3"), line("ann", 1, "7.3"), line("bob", 1, "7.3")], margins.NO_SPREAD, 6.3 / 7.3),
        ([costs("p", 9, "1")], [line("ann", 2, "4"), line("ann", 1, "2")], margins.NO_SPREAD, 4 / 6),
        ([costs("p", 9, "1")], [line("ann", 2, "4"), line("ann", 1, "2"), line("bob", 1, "3")], margins.NO_SPREAD, 6 / 9),
    ],
    ids=["no cost", "nothing brought", "one day each", "all alike", "one customer", "less apart than by chance"],
)  # fmt: skip
def test_where_customers_cannot_be_told_apart_there_is_a_reason(
    spark: SparkSession, history: Rows, lines: Rows, reason: str, share: float | None
) -> None:
    rows = found(spark, {"order_lines": lines, "product_history": history})
    for row in rows.values():
        assert row["reason"] == reason
        assert row["margin_share"] == (None if share is None else pytest.approx(share))
        assert row["credibility"] == (None if share is None else 0)
        assert (row["margin"] is None) == (row["product_cost"] is None) == (share is None)


def test_nobody_is_no_row_and_a_share_beyond_all_is_refused(spark: SparkSession) -> None:
    assert found(spark, {}) == {}
    with pytest.raises(ValueError, match="resalable must be from 0 to 1, got 1.5"):
        found(spark, {}, resalable=1.5)


# -- random shops


def some_shop(random: Random) -> Tables:
    """Customers who buy what costs more or less of its price, and give back some of it."""
    shop: Tables = {name: [] for name in READS}
    for number in range(40):
        who, likes = f"c{number:02}", random.randrange(8)
        for _ in range(random.choice([0, 1, 1, 2, 5, 9])):
            ago, pieces = random.randint(-20, 300), random.choice([1, 2])
            amount = pieces * Decimal(random.choice([0, *[random.randrange(800, 1200)] * 5])) / 100
            product = random.choice([None, f"p{likes}", f"p{likes}", f"p{random.randrange(9)}"])
            off = random.choice([None, Decimal("1.5")])
            shop["order_lines"].append(line(who, ago, str(amount), product, pieces, discount=off))
            if random.random() < 0.2:
                back = line(who, ago - random.randint(0, 30), str(-amount), product, -pieces, kind="return")
                shop["order_lines"].append(back)
        for _ in range(random.choice([0, 0, 2])):
            told = {"customer_id": who, "contacted_on": day(random.randint(-20, 300)), "cost": Decimal("0.85")}
            shop["contacts"].append(told)
            shop["feedback"].append({"customer_id": who, "given_on": told["contacted_on"], "kind": "complaint"})
    for product in range(8):
        for _ in range(random.choice([1, 3])):
            shop["product_history"].append(costs(f"p{product}", random.randint(-50, 250), str(1 + product)))
    return shop


def plainly(shop: Tables, resalable: Decimal, service_cost: Decimal) -> dict[str, dict[str, float]]:
    """Recount everything by loops, and judge it by the formulae of the paper."""
    rows = [
        row | {"cost": cost_of(shop["product_history"], row)}
        for row in shop["order_lines"]
        if row["ordered_on"] <= AS_OF
    ]
    told = [row for row in rows if row["cost"] is not None and row["kind"] == "sale"]
    share = float(sum(row["cost"] * row["quantity"] for row in told) / sum(row["amount"] for row in told))
    brought: dict[str, dict[date, float]] = defaultdict(lambda: defaultdict(float))
    lost: dict[str, dict[date, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        who, on, amount, pieces = row["customer_id"], row["ordered_on"], float(row["amount"]), float(row["quantity"])
        cost = amount * share if row["cost"] is None else pieces * float(row["cost"])
        if row["kind"] == "sale":
            brought[who][on] += amount
            lost[who][on] += cost
        else:
            lost[who][on] += -amount + cost * float(resalable)
    for name, dated, each in (("contacts", "contacted_on", Decimal("0.85")), ("feedback", "given_on", service_cost)):
        for row in shop[name]:
            if row[dated] <= AS_OF:
                lost[row["customer_id"]][row[dated]] += float(each)
    people = sorted({*brought, *lost})
    observed = {who: purchases(brought[who], lost[who]) for who in people}
    judged = credible({who: both for who, both in observed.items() if both})
    return {
        who: {
            "revenue": sum(brought[who].values()),
            "margin": sum(brought[who].values()) - sum(lost[who].values()),
            "margin_share": judged.get(who, judged[""])[0],
            "credibility": judged.get(who, judged[""])[1],
        }
        for who in people
    }


def cost_of(history: Rows, row: dict[str, Any]) -> Decimal | None:
    told = [one for one in history if one["product_id"] == row["product_id"] and one["known_on"] <= AS_OF]
    held = [one for one in told if one["known_on"] <= row["ordered_on"]]
    if not told:
        return None
    return (max if held else min)(held or told, key=lambda one: one["known_at"])["cost"]


def purchases(brought: dict[date, float], lost: dict[date, float]) -> list[tuple[float, float]]:
    """Weight and ratio of each purchase with all until the next one."""
    days = sorted(on for on, amount in brought.items() if amount > 0)
    ends = [date.max, *days[1:], date.max][-len(days) :] if days else []
    starts = [date.min, *days[1:]]
    return [
        (w, 1 - sum(cost for on, cost in lost.items() if start <= on < end) / w)
        for start, end, w in zip(starts, ends, [brought[on] for on in days], strict=False)
    ]


def credible(observed: dict[str, list[tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """Expected ratio and credibility of each, and under no name those of all."""
    w = [np.array([weight for weight, _ in both]) for both in observed.values()]
    X = [np.array([ratio for _, ratio in both]) for both in observed.values()]
    own = np.array([w_i @ X_i / w_i.sum() for w_i, X_i in zip(w, X, strict=True)])
    weight, r = np.array([w_i.sum() for w_i in w]), len(w)
    v = sum(w_i @ (X_i - X_) ** 2 for w_i, X_i, X_ in zip(w, X, own, strict=True)) / sum(w_i.size - 1 for w_i in w)
    mean = weight @ own / weight.sum()
    a = (weight @ (own - mean) ** 2 - (r - 1) * v) / (weight.sum() - (weight**2).sum() / weight.sum())
    assert a > 0
    Z = weight / (weight + v / a)
    m = Z @ own / Z.sum()
    return {"": (m, 0.0)} | dict(zip(observed, zip(Z * own + (1 - Z) * m, Z, strict=True), strict=True))


def test_a_random_shop_is_judged_as_plain_loops_judge_it_however_its_rows_lie(spark: SparkSession) -> None:
    shop = some_shop(Random(SEED))
    expected = plainly(shop, Decimal("0.6"), Decimal("3"))
    answers = [
        found(spark, shop, partitions=parts, resalable=0.6, service_cost={"complaint": 3}) for parts in (1, 2, 7)
    ]
    assert set(answers[0]) == set(expected)
    assert 0.05 < np.mean([row["credibility"] for row in answers[0].values()]) < 0.95
    for who, row in expected.items():
        for name, value in row.items():
            exact = {"abs": 1e-3} if name in {"revenue", "margin"} else {"rel": 1e-6}
            assert float(answers[0][who][name]) == pytest.approx(value, **exact), f"{name} of {who}, seed {SEED}"
    for other in answers[1:]:
        for who, row in answers[0].items():
            for name, value in row.asDict().items():
                assert other[who][name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)
