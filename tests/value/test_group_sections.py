"""What the page tells of groups, by rows that are few enough to see it."""

from datetime import date
from typing import Any

import pytest
from pyspark.sql import SparkSession

from crm_spark.core.sections import Rows
from crm_spark.reports.page import gather
from crm_spark.value import group_sections
from crm_spark.value.concentration import CONCENTRATION, NEGATIVE
from crm_spark.value.groups import GROUPS
from crm_spark.value.migration import MIGRATION
from tests.value.test_bridge import frame

BEFORE, NOW = date(2026, 1, 24), date(2026, 1, 31)


def group(grouping: str, name: str, customers: int, value: float | None, day: date = NOW) -> dict[str, Any]:
    known = {"value_mean": value / customers, "value_deviation": 1.0, "share_of_value": value / 200} if value else {}
    return {
        "as_of": day, "grouping": grouping, "group": name, "customers": customers, "revenue": 50.0, "value": value,
        "valued": customers, "share_of_customers": customers / 40, "share_of_revenue": 0.5, "horizon": 90, **known,
    }  # fmt: skip


GROUPED = [
    group("rfm", "Best", 10, 150.0)
    | {
        "cost_to_serve": 7.0,
        "expected_revenue": 155.0,
        "revenue_p05": 120.0,
        "revenue_p95": 190.0,
    },
    group("rfm", "Lost", 30, 50.0),
    group("decile", "01", 4, 90.0) | {"expected_revenue": 99.0, "revenue_p05": 70.0, "revenue_p95": 130.0},
    group("decile", "02", 4, 40.0),
    group("decile", "(unknown)", 3, None),
    group("kmeans", "(unknown)", 40, 200.0),
    group("cohort", "2025-11", 9, 99.0),
    group("cohort", "2025-12", 31, 101.0),
    group("country", "DE", 40, 200.0),
    group("rfm", "Best", 1, 1.0, BEFORE),
]


def shown(spark: SparkSession, make: Any, rows: list[dict[str, Any]]) -> tuple[Rows, str]:
    table = MIGRATION if make is group_sections.moves else GROUPS
    part = gather(make(frame(spark, table, rows)))
    return part.rows, part.sentence


def test_groups_of_the_newest_day_are_told_by_their_value(spark: SparkSession) -> None:
    rows, sentence = shown(spark, group_sections.segments, GROUPED)
    assert [(row["group"], row["share_of_value"], row["share_of_customers"]) for row in rows] == [
        ("Best", 75.0, 25.0), ("Lost", 25.0, 75.0),
    ]  # fmt: skip
    assert sentence == (
        "“Best” is worth most: 150 ¤, 75.0 % of the value from 25.0 % of the customers. It is expected to bring 155 ¤ of "
        "revenue, with 90 % between 120 and 190 ¤. To serve it cost 7 ¤ so far."
    )
    rows, sentence = shown(spark, group_sections.tenths, GROUPED)
    assert [row["group"] for row in rows] == ["01", "02"]
    assert sentence == (
        "Of 8 customers the tenth that is worth most is worth 90 ¤, 45.0 % of all. It is expected to bring 99 ¤ of "
        "revenue, with 90 % between 70 and 130 ¤."
    )
    rows, sentence = shown(spark, group_sections.others, GROUPED)
    assert [row["group"] for row in rows] == [
        "Behave alike: (unknown)", "Country: DE", "First bought: 2025-12", "First bought: 2025-11",
    ]  # fmt: skip
    assert sentence == ("Of groups of 10 customers or more, one of “Country: DE” is worth most on average: 5 ¤.")


def test_without_values_groups_are_told_all_the_same(spark: SparkSession) -> None:
    rows, sentence = shown(spark, group_sections.segments, [group("rfm", "Best", 10, None)])
    assert (len(rows), sentence) == (1, "What the segments are worth cannot be told.")
    _, sentence = shown(spark, group_sections.others, [group("cohort", "2026-01", 10, None)])
    assert sentence == "No group has 10 customers with a value."


def test_moves_are_told_by_what_they_changed(spark: SparkSession) -> None:
    def move(was: str, is_: str, customers: int, before: float | None, after: float) -> dict[str, Any]:
        told = {"as_of": NOW, "since": BEFORE, "grouping": "rfm", "from_group": was, "to_group": is_}
        return {**told, "customers": customers, "value_before": before, "value_after": after, "revenue_between": 1.0}

    moved = [
        move("Best", "Best", 9, 50.0, 60.0),
        move("Best", "Lost", 1, 40.0, 5.0),
        move("(new)", "Best", 2, 0.0, 20.0),
    ]
    rows, sentence = shown(spark, group_sections.moves, moved)
    assert [(row["move"], row["change"]) for row in rows] == [
        ("Best → Lost", -35.0), ("(new) → Best", 20.0), ("Best (stayed)", 10.0),
    ]  # fmt: skip
    assert sentence == (
        "From 2026-01-24 to 2026-01-31 the value of all customers went from 90 to 85 ¤; most of all counts "
        "“Best → Lost”, 1 customer: -35 ¤."
    )
    part = gather(group_sections.moves(frame(spark, MIGRATION, [{**moved[0], "since": None}])))
    assert part.rows == []
    assert part.sentence.startswith("There is nothing to compare yet")


def test_the_first_customers_and_their_shares_are_told(spark: SparkSession) -> None:
    def share(measure: str, percent: int, estimate: float | None, statistic: str = "share") -> dict[str, Any]:
        told = {"as_of": NOW, "measure": measure, "statistic": statistic, "percent": percent, "customers": 40}
        low, high = (None, None) if estimate is None else (estimate - 0.05, estimate + 0.05)
        return {**told, "estimate": estimate, "low": low, "high": high}

    points = [share(name, percent, at) for name in ("value", "revenue") for percent, at in ((1, 0.1), (10, 0.4))]
    known = frame(spark, CONCENTRATION, [*points, share("value", 100, 0.5, "gini")])
    part = gather(group_sections.concentration(known))
    assert [(row["percent"], row["value_share"], row["gini_estimate"]) for row in part.rows] == [
        (1, pytest.approx(10), None), (10, pytest.approx(40), None), (100, None, 0.5),
    ]  # fmt: skip
    assert part.sentence == (
        "The first 10 % of the customers have 40.0 % of the value to come (with 95 % between 35.0 and 45.0 %); the first "
        "1 % have 10.0 %."
    )
    none = {**share("value", 100, None, "gini"), "reason": NEGATIVE}
    part = gather(group_sections.concentration(frame(spark, CONCENTRATION, [*points, none])))
    assert part.sentence.endswith("There is no Gini coefficient of the value to come: some have less than nothing.")
    assert [(row["percent"], row["gini_reason"]) for row in part.rows] == [(1, None), (10, None), (100, NEGATIVE)]
    unknown = [{**point, "estimate": None} if point["measure"] == "value" else point for point in points]
    part = gather(group_sections.concentration(frame(spark, CONCENTRATION, unknown)))
    assert "40.0 % of the revenue so far" in part.sentence
