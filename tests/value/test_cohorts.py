"""Cohorts, against plain loops over days."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from pyspark.sql import SparkSession

from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.value import cohorts
from crm_spark.value.margins import MARGINS
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
                pytest.approx(sum(one * part for one, part in money)),
            )
    margins = [{"customer_id": who, "as_of": AS_OF, "margin_share": part} for who, part in share.items()]
    found = cohorts.follow(frame(spark, CUSTOMER_DAYS, bought()), frame(spark, MARGINS, margins), AS_OF, net).collect()
    told = {
        (row["cohort"], row["months_since"]): tuple(
            row[name] for name in ("customers", "active", "repeated", "revenue", "margin")
        )
        for row in found
    }
    assert told == expected
    assert any(row["active"] == 0 for row in found), "months in which nobody bought are told too"
    assert {row["is_over"] for row in found} == {True}  # the day ends a month
    for row in found:
        assert row["retention"] == row["active"] / row["customers"]
        assert row["repeat_share"] == row["repeated"] / row["customers"]


def test_without_margins_there_is_a_reason_and_a_month_that_goes_on_is_not_over(spark: SparkSession) -> None:
    day = AS_OF - timedelta(days=1)
    found = cohorts.follow(frame(spark, CUSTOMER_DAYS, bought()), frame(spark, MARGINS, []), day).collect()
    assert {(row["margin"], row["reason"]) for row in found} == {(None, cohorts.NO_MARGIN)}
    assert {row["cohort"] for row in found if not row["is_over"]} == {row["cohort"] for row in found}
    assert all(row["is_over"] for row in found if row["months_since"] + 1 < max(
        one["months_since"] for one in found if one["cohort"] == row["cohort"]))  # fmt: skip
