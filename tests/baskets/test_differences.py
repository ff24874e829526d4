"""Differences of rules against a plain loop over baskets, SciPy and statsmodels."""

from collections import defaultdict
from datetime import date, timedelta
from itertools import combinations
from random import Random
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from scipy import stats
from statsmodels.stats.multitest import multipletests

from crm_spark.baskets import difference_sections, differences, within
from crm_spark.baskets.differences import BEFORE, DIFFERENCES, SINCE, UNKNOWN
from crm_spark.baskets.purchases import Basket
from crm_spark.baskets.rules import RULES
from tests.baskets import test_purchases
from tests.baskets.test_offers import rule
from tests.baskets.test_purchases import AS_OF, Rows, known, line

LAST = AS_OF - timedelta(days=10)
DAYS = 30
NOW = ["a>b", "b>a", "ab>c", "d>e"]
THEN = ["a>b", "ab>c", "c>d"]
WITHIN = within.Wanted(("rfm",), min_support=0.05, min_baskets=4, min_confidence=0.4, max_q=1.0)
SEGMENTS = {"k0": ("Best", "web"), "k1": ("Best", None), "k2": ("Lost", "shop"), "k3": ("Lost", "web")}


def drawn(seed: int = 1) -> Rows:
    """Lines of 400 orders of fifty days: Best have b with a more often, and since the last time more have e with d."""
    draws = Random(seed)
    lines = []
    for order in range(400):
        who, ago = draws.choice([*SEGMENTS, "k4", None]), draws.randrange(50)
        items = {item for item in "abcde" if draws.random() < 0.3}
        if "a" in items and who in {"k0", "k1"} and draws.random() < 0.8:
            items.add("b")
        if "d" in items and ago < 10 and draws.random() < 0.9:
            items.add("e")
        lines += [line(who, str(order), item, ago) for item in sorted(items)]
    return lines


def told(as_of: date, rules: list[str]) -> list[dict[str, Any]]:
    return [rule(*sides.split(">"), 0.5) | {"as_of": as_of} for sides in rules]


def told_twice() -> list[dict[str, Any]]:
    return told(AS_OF, NOW) + told(LAST, THEN)


def compared(
    spark: SparkSession,
    lines: Rows,
    rules: list[dict[str, Any]],
    basket: Basket = "order",
    wanted: within.Wanted | None = None,
) -> DataFrame:
    frames = test_purchases.frames(spark, lines, [known("a", "A", "Food")])
    basket_rules = spark.createDataFrame(
        [tuple(row[name] for name in RULES.names) for row in rules], RULES.nullable_ddl
    )
    groups = [(who, *told) for who, told in SEGMENTS.items()]
    customers = spark.createDataFrame(groups, "customer_id string, rfm string, channel string")
    return DIFFERENCES.conform(
        differences.compare(*frames, basket_rules, customers, differences.Span(AS_OF, DAYS, basket), wanted=wanted)
    )


def by_hand(lines: Rows, basket: Basket = "order") -> dict[tuple[str, str], list[set[str]]]:
    """Baskets of each grouping and group."""
    made: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for row in lines:
        ago = (AS_OF - row["ordered_on"]).days
        who, order = row["customer_id"], row["order_id"] if basket == "order" else ""
        rfm, channel = SEGMENTS.get(who, (None, None))
        keys = [("rfm", rfm or UNKNOWN), ("channel", channel or UNKNOWN)] if ago < DAYS else []
        if ago < (10 if basket == "order" else DAYS):
            keys.append((SINCE, str(LAST)))
        if 10 <= ago < 10 + DAYS:
            keys.append((SINCE, BEFORE))
        for key in keys:
            if basket == "order" or who is not None:
                made[*key, who, order].add(row["product_id"])
    found = defaultdict(list)
    for (grouping, group, *_), items in made.items():
        found[grouping, group].append(items)
    return found


def counts(baskets: list[set[str]], sides: str) -> list[int]:
    a, c = (set(side) for side in sides.split(">"))
    return [sum(part <= items for items in baskets) for part in (a | c, a, c, set())]


@pytest.mark.parametrize("basket", ["order", "customer"])
def test_rules_are_counted_in_every_group_and_time_as_a_plain_loop_counts_them(
    spark: SparkSession, basket: Basket
) -> None:
    lines = drawn()
    rows = compared(spark, lines, told_twice() + told(LAST - timedelta(days=1), ["e>a"]), basket).collect()
    groups = by_hand(lines, basket)
    found = {(row["grouping"], row["group"], sides_of(row)): row for row in rows}
    shown = [key for key in groups if key[1] != BEFORE]
    assert {key[:2] for key in found} == set(shown)
    assert {key[2] for key in found} == {*NOW, *THEN}
    assert len(rows) == len(found) == len(shown) * 5
    for (grouping, group, sides), row in found.items():
        others = [
            items for (of, other), baskets in groups.items() for items in baskets if of == grouping and other != group
        ]
        here, there = counts(groups[grouping, group], sides), counts(others, sides)
        assert [row[name] for name in differences.COUNTS] == here
        assert [row[f"other_{name}"] for name in differences.COUNTS] == there
        assert_measured(row, here, "")
        assert_measured(row, there, "other_")
    assert_tested(rows, basket)


def sides_of(row: Row) -> str:
    return ">".join("".join(row[side]) for side in ("antecedent", "consequent"))


def assert_measured(row: Row, of: list[int], prefix: str) -> None:
    both, a, c, n = of
    assert row[f"{prefix}confidence"] == (pytest.approx(both / a) if a else None)
    assert row[f"{prefix}lift"] == (pytest.approx(both / a / (c / n)) if a and c else None)


def assert_tested(rows: list[Row], basket: Basket) -> None:
    for grouping in ("rfm", "channel", SINCE):
        of = [row for row in rows if row["grouping"] == grouping]
        if grouping == SINCE and basket == "customer":
            assert {(row["p_value"], row["q_value"], row["reason"]) for row in of} == {
                (None, None, differences.SAME_CUSTOMERS)
            }
            continue
        tested = [row for row in of if row["antecedent_count"] and row["other_antecedent_count"]]
        assert {row["reason"] for row in of if row not in tested} <= {differences.NONE_HERE, differences.NONE_THERE}
        p = []
        for row in tested:
            cells = [
                [row["count"], row["antecedent_count"] - row["count"]],
                [row["other_count"], row["other_antecedent_count"] - row["other_count"]],
            ]
            p.append(min(1.0, 2 * min(stats.fisher_exact(cells, side).pvalue for side in ("less", "greater"))))
            assert row["difference"] == pytest.approx(row["confidence"] - row["other_confidence"])
        assert [row["p_value"] for row in tested] == pytest.approx(p, rel=1e-9)
        assert [row["q_value"] for row in tested] == pytest.approx(multipletests(p, method="fdr_bh")[1], rel=1e-9)


def test_rules_of_a_group_alone_are_those_of_a_plain_loop_over_its_baskets_and_counted_in_all_groups(
    spark: SparkSession,
) -> None:
    lines = drawn()
    table = compared(spark, lines, told(AS_OF, NOW), wanted=WITHIN).localCheckpoint()
    rows, groups = table.collect(), by_hand(lines)
    expected: dict[str, list[str]] = defaultdict(list)
    for group in ("Best", "Lost"):
        for sides in rules_by_hand(groups["rfm", group], 4, 0.4):
            expected[sides].append(f"rfm: {group}")
    assert {sides_of(row): row["mined_in"] for row in rows if row["mined_in"]} == {
        sides: groups for sides, groups in expected.items() if sides not in NOW
    }
    assert {tuple(told) for told in expected.values()} > {("rfm: Best",), ("rfm: Lost",)}
    assert len(rows) == len({*NOW, *expected}) * len({key[:2] for key in groups if key[0] != SINCE})
    for row in rows:
        here = counts(groups[row["grouping"], row["group"]], sides_of(row))
        assert [row[name] for name in differences.COUNTS] == here
    section = difference_sections.of_one(table)
    assert section.rows.collect()


def rules_by_hand(baskets: list[set[str]], least: int, min_confidence: float) -> list[str]:
    """Sides of the frequent, sure rules that no rule with less to ask for is as sure as."""

    def count(items: set[str]) -> int:
        return sum(items <= basket for basket in baskets)

    found = []
    for size in (2, 3, 4, 5):
        for items in map(set, combinations("abcde", size)):
            for item in sorted(items):
                asked = items - {item}
                if count(items) >= least and count(items) >= min_confidence * count(asked):
                    fewer = [set(some) for few in range(size - 1) for some in combinations(sorted(asked), few)]
                    if all(count(items) * count(some) > count({*some, item}) * count(asked) for some in fewer):
                        found.append(f"{''.join(sorted(asked))}>{item}")
    return found


def test_what_differs_and_what_changed_is_told_in_the_table_and_on_the_page(spark: SparkSession) -> None:
    table = compared(spark, drawn(), told(AS_OF, NOW) + told(LAST, [*THEN, "d>e"])).localCheckpoint()
    rows = table.collect()
    changes = {sides_of(row): (row["change"], row["group"]) for row in rows if row["grouping"] == SINCE}
    since = str(LAST)
    assert changes == {
        "a>b": ("same", since), "b>a": ("new", since), "ab>c": ("same", since), "c>d": ("gone", since),
        "d>e": ("stronger", since),
    }  # fmt: skip
    best = min((row for row in rows if row["grouping"] == "rfm"), key=lambda row: row["q_value"] or 0)
    assert (best["group"], sides_of(best), best["q_value"] < 0.01) == ("Best", "a>b", True)
    assert {row["change"] for row in rows if row["grouping"] != SINCE} == {None}
    titles = {(row["antecedent_title"], row["consequent_title"]) for row in rows if sides_of(row) == "ab>c"}
    assert titles == {("AB", "C")}

    section = difference_sections.changed(table)
    shown = [row.asDict() for row in section.rows.orderBy(*section.order_by).collect()]
    assert [row["rule"] for row in shown][:3] == ["D → E (stronger)", "B → A (new)", "C → D (gone)"]
    first = next(row for row in rows if row["grouping"] == SINCE and sides_of(row) == "d>e")
    assert section.sentence(shown) == (
        f"Since {LAST} rules are 1 new, 1 gone, 1 stronger, 0 weaker, 2 the same but for chance. The clearest is "
        f"stronger: who buys D had E in {first['count']} of {first['antecedent_count']} baskets since, before in "
        f"{100 * first['other_confidence']:.1f} %."
    )
    assert section.sentence([shown[0] | {"q_value": 0.06}]).endswith(
        " No baskets since differ from those before by more than chance."
    )
    assert set(section.labels) == set(shown[0])
    section = difference_sections.by_segment(table)
    cells = [row.asDict() for row in section.rows.orderBy(*section.order_by).collect()]
    assert [(row["rule"], row["group"]) for row in cells[:2]] == [("A → B", of) for of in ("Best", "Lost")]
    assert section.sentence(cells) == (
        f"“Best” who buy A have B in {100 * best['confidence']:.1f} % of these baskets, all others in "
        f"{100 * best['other_confidence']:.1f} %: that is hardly chance."
    )
    assert section.sentence(cells[2:]) == (
        "No segment differs from the others by more than chance: the rules hold for all of them alike."
    )
    assert set(section.labels) == set(cells[0])


def test_without_rules_groups_or_a_last_time_there_is_nothing_to_compare(spark: SparkSession) -> None:
    assert compared(spark, drawn(), []).collect() == []
    rows = compared(spark, [line("stranger", "1", "a"), line(None, "2", "b")], told(AS_OF, NOW)).collect()
    assert rows == [], "all are in one group"
    rows = compared(spark, [line("k0", "1", "a"), line("k2", "2", "a")], told(AS_OF, ["a>b", "b>a"])).collect()
    assert {
        (sides_of(row), row["group"], row["reason"], row["p_value"]) for row in rows if row["grouping"] == "rfm"
    } == {
        (sides, group, reason, p)
        for group in ("Best", "Lost")
        for sides, reason, p in (("a>b", None, 1.0), ("b>a", differences.NONE_HERE, None))
    }
