"""Cohorts, against plain loops over days."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.reports.page import gather
from crm_spark.value import cohort_sections, cohorts
from crm_spark.value.margins import MARGINS, NET, NO_SHARE
from tests.value.test_bridge import frame

AS_OF = date(2026, 2, 28)


def bought() -> list[dict[str, Any]]:
    """Thirty customers over half a year, with returns; later days are not to be seen."""
    chance = Random(3)
    days = {}
    for n in range(30):
        for _ in range(chance.randrange(1, 6)):
            ago = chance.randrange(-10, 190)
            days[n, ago] = {
                "customer_id": f"c{n:02}",
                "day": AS_OF - timedelta(days=ago),
                "orders": chance.choice([0, 1, 1, 2]),
                "sales": Decimal(chance.randrange(1, 90)),
                "returns": Decimal(chance.choice([0, 4])),
                "lines": 1,
            }
    return list(days.values())


def followed(spark: SparkSession, as_of: date = AS_OF, net: bool = False, has_margins: bool = True) -> DataFrame:
    margins = [{"customer_id": f"c{n:02}", "as_of": as_of, "margin_share": n / 40} for n in range(30) if has_margins]
    return cohorts.follow(frame(spark, CUSTOMER_DAYS, bought()), frame(spark, MARGINS, margins), as_of, net)


def months_between(first: date, last: date) -> int:
    return (last.year - first.year) * 12 + last.month - first.month


@pytest.mark.parametrize("net", [False, True])
def test_each_cohort_is_followed_month_by_month(spark: SparkSession, net: bool) -> None:
    rows = [row for row in bought() if row["day"] <= AS_OF]
    share = {f"c{n:02}": n / 40 for n in range(30)}
    firsts = {
        who: min((row["day"] for row in rows if row["customer_id"] == who and row["orders"]), default=None)
        for who in share
    }
    expected = {}
    of = defaultdict(list)
    for who, first in firsts.items():
        if first:
            of[first.replace(day=1)].append(who)
    for cohort, who in of.items():
        for since in range(months_between(cohort, AS_OF) + 1):
            mine = [row for row in rows if row["customer_id"] in who and row["day"] >= cohort]
            here = [row for row in mine if months_between(cohort, row["day"]) == since and row["orders"]]
            until = [row for row in mine if months_between(cohort, row["day"]) <= since]
            twice = [one for one in who if sum(row["customer_id"] == one and row["orders"] > 0 for row in until) > 1]
            money = [(float(row["sales"] - (row["returns"] if net else 0)), share[row["customer_id"]]) for row in until]
            expected[f"{cohort:%Y-%m}", since] = (
                len(who),
                len({row["customer_id"] for row in here}),
                len(twice),
                pytest.approx(sum(one for one, _ in money)),
                None if net else pytest.approx(sum(one * part for one, part in money)),
            )
    found = followed(spark, net=net).collect()
    told = {
        (row["cohort"], row["months_since"]): tuple(
            row[name] for name in ("customers", "active", "repeated", "revenue", "expected_margin")
        )
        for row in found
    }
    assert told == expected
    assert any(row["active"] == 0 for row in found), "months in which nobody bought are told too"
    assert {row["is_over"] for row in found} == {True}  # the day ends a month
    assert {row["reason"] for row in found} == {NET if net else None}
    for row in found:
        assert row["retention"] == row["active"] / row["customers"]
        assert row["repeat_share"] == row["repeated"] / row["customers"]


def test_without_margins_there_is_a_reason_and_a_month_that_goes_on_is_not_over(spark: SparkSession) -> None:
    day = AS_OF - timedelta(days=1)
    found = followed(spark, day, has_margins=False).collect()
    assert {(row["expected_margin"], row["reason"]) for row in found} == {(None, NO_SHARE)}
    assert {row["cohort"] for row in found if not row["is_over"]} == {row["cohort"] for row in found}
    assert all(row["is_over"] == (row["cohort"] < "2026-02" and row["months_since"] < since(row)) for row in found)


def since(row: Row) -> int:
    """Months from a cohort to February 2026."""
    year, month = map(int, row["cohort"].split("-"))
    return 12 * (2026 - year) + 2 - month


def test_the_page_tells_who_comes_back_and_what_they_brought(spark: SparkSession) -> None:
    def month(
        cohort: str, at: int, customers: int, active: int, revenue: float, is_over: bool = True
    ) -> dict[str, Any]:
        told = {"as_of": AS_OF, "cohort": cohort, "months_since": at, "is_over": is_over, "customers": customers}
        share = {"active": active, "retention": active / customers, "repeated": 1, "repeat_share": 0.5}
        return {**told, **share, "revenue": float(revenue), "revenue_mean": revenue / customers}

    rows = [
        month("2025-11", 0, 10, 10, 200), month("2025-11", 1, 10, 5, 300), month("2025-11", 2, 10, 4, 380),
        month("2025-11", 3, 10, 3, 420), month("2025-12", 0, 30, 30, 500), month("2025-12", 1, 30, 3, 510),
        month("2025-12", 2, 30, 9, 600, is_over=False), month("2023-01", 0, 1, 1, 1),
    ]  # fmt: skip
    told = frame(spark, cohorts.COHORTS, rows)
    part = gather(cohort_sections.retention(told))
    assert [(row["cohort"], row["months_since"], row["retention"]) for row in part.rows] == [
        ("2025-11", 1, 50.0), ("2025-11", 2, 40.0), ("2025-11", 3, 30.0), ("2025-12", 1, 10.0), ("2025-12", 2, 30.0),
    ]  # fmt: skip
    assert part.sentence == (
        "Of 40 customers 20.0 % bought again in the month after that of their first purchase; of those who came in "
        "2025-11, 30.0 % in the 3rd month."
    )
    part = gather(cohort_sections.worth(told))
    assert part.sentence == (
        "In the month of the first purchase a customer brings 18 ¤ on average; those who came in 2025-11 have brought "
        "42 ¤ each in 4 months."
    )
