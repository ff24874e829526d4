"""The value bridge: parts add up to the difference, and are those of a plain mean over all orders of change."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from itertools import permutations
from math import prod
from random import Random
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.core.contracts import Table
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.features.snapshot import CUSTOMER_FEATURES
from crm_spark.reports.page import gather
from crm_spark.value import bridge, bridge_sections
from crm_spark.value.margins import MARGINS, NET, NO_SHARE

AS_OF = date(2026, 3, 31)
Days = list[dict[str, Any]]


def frame(spark: SparkSession, table: Table, rows: Days) -> DataFrame:
    return spark.createDataFrame([tuple(row.get(name) for name in table.names) for row in rows], table.nullable_ddl)


def day(who: str, ago: int, orders: int, sales: float, returns: float = 0) -> dict[str, Any]:
    money = {"sales": Decimal(str(sales)), "returns": Decimal(str(returns))}
    return {"customer_id": who, "day": AS_OF - timedelta(days=ago), "orders": orders, "lines": 1, **money}


def bought() -> Days:
    """Sixty customers over 130 days; some are won, lost, come back."""
    chance = Random(7)
    days = {}
    for n in range(60):
        first, last = sorted((chance.randrange(130), chance.randrange(130)), reverse=True)
        for _ in range(chance.randrange(1, 8)):
            ago = chance.randint(last, first)
            returns = chance.choice([0, 0, 5])
            days[n, ago] = day(f"c{n:02}", ago, chance.randrange(3), round(chance.uniform(5, 90), 2), returns)
    return [day("c00", 129, 1, 1), *[row for (n, ago), row in days.items() if (n, ago) != (0, 129)]]


def known(days: Days) -> tuple[Days, Days]:
    """Channel and margin share of each customer but the last; another share 40 days ago of all but the first."""
    who = sorted({row["customer_id"] for row in days})[:-1]
    features = [
        {"customer_id": one, "as_of": AS_OF, "channel": "web" if at % 3 else "app"} for at, one in enumerate(who)
    ]
    margins = [{"customer_id": one, "as_of": AS_OF, "margin_share": 0.2 + 0.01 * at} for at, one in enumerate(who)]
    since = AS_OF - timedelta(days=40)
    margins += [
        {"customer_id": one, "as_of": since, "margin_share": 0.5 - 0.003 * at} for at, one in enumerate(who) if at
    ]
    return features, margins


def compared(spark: SparkSession, days: Days, with_margins: bool = True, **settings: Any) -> DataFrame:
    features, margins = known(days)
    return bridge.compare(
        frame(spark, CUSTOMER_DAYS, days),
        frame(spark, CUSTOMER_FEATURES, features),
        frame(spark, MARGINS, margins if with_margins else []),
        AS_OF,
        **settings,
    )


def plain(
    days: Days, period: int, net: bool
) -> tuple[dict[tuple[str, str, str], float], dict[tuple[str, str], set[str]]]:
    """The same by loops, a mean over all orders in which factors change; and who is of each group's parts."""
    features, margins = known(days)
    channel = {row["customer_id"]: row["channel"] for row in features}
    share = {row["customer_id"]: row["margin_share"] for row in margins if row["as_of"] == AS_OF}
    stood = {row["customer_id"]: row["margin_share"] for row in margins if row["as_of"] == AS_OF - timedelta(period)}
    then = share | stood
    orders: Any = defaultdict(lambda: [0, 0, 0])
    money: Any = defaultdict(lambda: [0.0, 0.0, 0.0])
    for row in days:
        at = min((AS_OF - row["day"]).days // period, 2)
        orders[row["customer_id"]][at] += row["orders"]
        money[row["customer_id"]][at] += float(row["sales"] - (row["returns"] if net else 0))
    sums: Any = defaultdict(float)
    of: Any = defaultdict(set)
    kept: Any = defaultdict(lambda: [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    for who, (now, before, older) in orders.items():
        group = channel.get(who, "(unknown)")
        kind = "kept" if now and before else "lost" if not now else "returned" if before or older else "won"
        for part in [kind] * bool(now or before) + ["now"] * bool(now) + ["before"] * bool(before):
            of[group, part].add(who)
        for measure, is_, was in (("revenue", 1.0, 1.0), ("margin", share.get(who, 0.0), then.get(who, 0.0))):
            sums[measure, group, "now"] += is_ * money[who][0]
            sums[measure, group, "before"] += was * money[who][1]
            if kind != "kept":
                sums[measure, group, kind] += is_ * money[who][0] - was * money[who][1]
        if kind == "kept":
            for side, at in ((1, 0), (0, 1)):
                stays = (share if side else then).get(who, 0.0) * money[who][at]
                for place, number in enumerate((orders[who][at], money[who][at], stays)):
                    kept[group][side][place] += number
    for group, sides in kept.items():
        all_ = [sum(one[side][0] for one in kept.values()) for side in (0, 1)]
        factors = [
            (all_[side], sides[side][0] / all_[side], sides[side][1] / sides[side][0], sides[side][2] / sides[side][1])
            for side in (0, 1)
        ]
        for measure, count in (("revenue", 3), ("margin", 4)):
            ways = list(permutations(range(count)))
            for way in ways:
                at = [0] * count
                for factor in way:
                    was = prod(factors[side][place] for place, side in enumerate(at))
                    at[factor] = 1
                    is_ = prod(factors[side][place] for place, side in enumerate(at))
                    sums[measure, group, bridge.FACTORS[factor]] += (is_ - was) / len(ways)
    return dict(sums), of


@pytest.mark.parametrize(("period", "net"), [(40, False), (90, True)])
def test_parts_are_those_of_plain_loops_and_add_up(spark: SparkSession, period: int, net: bool) -> None:
    days = bought()
    found = compared(spark, days, period=period, net=net).collect()
    is_short = period > 65  # the shop is 130 days old
    assert {row["period"] for row in found} == {65 if is_short else period}
    expected, of_part = plain(days, 65 if is_short else period, net)
    for row in found:
        part = "kept" if row["part"] in bridge.FACTORS else row["part"]
        assert row["customers"] == len(of_part[row["group"], part]), row
    told = ("revenue",) if net else ("revenue", "margin")
    amounts = {(row["measure"], row["group"], row["part"]): row["amount"] for row in found if row["measure"] in told}
    for at, amount in amounts.items():
        assert amount == pytest.approx(expected.get(at, 0.0), rel=1e-9, abs=1e-9), at
    for measure in told:
        for group in ("web", "app", "(unknown)"):
            of = {part: amounts[measure, group, part] for part in bridge.PARTS if (measure, group, part) in amounts}
            between = sum(amount for part, amount in of.items() if part not in ("before", "now"))
            assert between == pytest.approx(of["now"] - of["before"], rel=1e-9, abs=1e-9)
    parts = {(measure, part) for measure, _, part in amounts}
    assert parts == {(name, part) for name in told for part in bridge.PARTS} - {("revenue", "margin_share")}
    none = {"returned", "margin_share"} if is_short else set()  # nobody is older than both halves
    for part in set(bridge.PARTS) - none:
        assert sum(abs(amount) for (_, _, of), amount in amounts.items() if of == part) > 1, part


@pytest.mark.parametrize(("net", "reason"), [(False, NO_SHARE), (True, NET)])
def test_without_shares_of_it_the_revenue_is_told_and_the_margin_has_a_reason(
    spark: SparkSession, net: bool, reason: str
) -> None:
    found = compared(spark, bought(), with_margins=net, net=net).collect()
    assert {row["reason"] for row in found if row["measure"] == "margin"} == {reason}
    assert {row["amount"] for row in found if row["measure"] == "margin"} == {None}
    assert all(row["amount"] is not None and row["reason"] is None for row in found if row["measure"] == "revenue")


def test_who_only_brought_something_back_is_not_lost_but_its_money_is_told(spark: SparkSession) -> None:
    days = [day("ann", 0, 1, 30), day("ann", 20, 1, 30), day("bob", 15, 1, 50), day("cy", 3, 0, 0, 8)]
    days += [day("cy", 16, 0, 0, 2), day("dee", 39, 1, 1)]
    found = compared(spark, days, period=14, net=True).groupBy("measure", "part")
    told = {
        row["part"]: (row["amount"], row["customers"])
        for row in found.agg(F.sum("amount").alias("amount"), F.sum("customers").alias("customers")).collect()
        if row["measure"] == "revenue"
    }
    assert told["lost"] == (-50.0 - 8 + 2, 1)
    assert (told["before"], told["now"]) == ((78.0, 2), (22.0, 1))
    assert {part: told[part] for part in ("won", "returned")} == {"won": (0.0, 0), "returned": (0.0, 0)}


def test_of_nobody_nothing_is_told_and_of_one_day_all_are_new(spark: SparkSession) -> None:
    assert compared(spark, []).collect() == []
    found = {
        row["part"]: row for row in compared(spark, [day("ann", 0, 1, 30)]).collect() if row["measure"] == "revenue"
    }
    told = {part: row["amount"] for part, row in found.items() if row["amount"]}
    assert told == {"won": 30.0, "now": 30.0}
    assert (found["now"]["period"], found["now"]["customers"]) == (1, 1)


def test_the_page_leads_from_before_to_now(spark: SparkSession) -> None:
    told = [("before", 100.0), ("won", 30.0), ("lost", -60.0), ("frequency", 5.0), ("now", 75.0)]
    rows = [
        {
            "as_of": AS_OF, "since": AS_OF - timedelta(days=90), "period": 90, "measure": measure, "group": group,
            "part": part, "position": bridge.PARTS.index(part), "amount": amount * size / 4, "customers": 2,
        }
        for group, size in (("web", 3), ("app", 1))
        for measure in ("revenue", "margin")
        for part, amount in [*told, *([("margin_share", 4.0)] if measure == "margin" else [])]
    ]  # fmt: skip
    part = gather(bridge_sections.bridge(frame(spark, bridge.BRIDGE, rows)))
    assert [(row["part"], row["revenue"], row["starts"], row["customers"]) for row in part.rows] == [
        ("Before", 100.0, 0.0, 4),
        ("New customers", 30.0, 100.0, 4),
        ("Customers who stayed away", -60.0, 130.0, 4),
        ("Who stayed ordered more or less often", 5.0, 70.0, 4),
        ("More or less of the money stays", None, 75.0, 4),
        ("Now", 75.0, 0.0, 4),
    ]
    assert [row["moves"] for row in part.rows] == [True, True, True, True, False, True]
    assert part.sentence == (
        "In the 90 days until 2026-03-31 customers brought 75 ¤, 25 ¤ less than in as many days before; most moved "
        "“Customers who stayed away”: -60 ¤."
    )
