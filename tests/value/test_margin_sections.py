"""What the page tells of margins, against plain sums over the customers."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession

from crm_spark.core.sections import Rows
from crm_spark.value.margin_sections import waterfall
from crm_spark.value.margins import MARGINS

BEFORE, NOW = date(2026, 1, 24), date(2026, 1, 31)
MONEY = ("revenue", "discounts", "returns", "product_cost", "contact_cost", "service_cost", "margin")
EMPTY: dict[str, Any] = {}


def customer(number: int, day: date, money: str, known: float | None = 1.0, below: int = 0) -> dict[str, Any]:
    amounts = [None if amount == "-" else Decimal(amount) for amount in money.split()]
    told = dict(zip(MONEY, amounts, strict=True))
    return {"customer_id": f"c{number}", "as_of": day, "known_share": known, "below_cost": below} | told


def shown(spark: SparkSession, *customers: dict[str, Any]) -> tuple[str, Rows]:
    rows = [tuple(row.get(name) for name in MARGINS.names) for row in customers]
    section = waterfall(spark.createDataFrame(rows, MARGINS.nullable_ddl))
    steps = [row.asDict() for row in section.rows.orderBy("place").collect()]
    return section.sentence(steps) if steps else section.empty, steps


def test_money_at_full_prices_is_told_down_to_what_stays(spark: SparkSession) -> None:
    sentence, steps = shown(
        spark,
        customer(1, BEFORE, "9 0 0 9 0 0 0"),
        customer(1, NOW, "150 10 20 60 1 0 69", known=0.5, below=2),
        customer(2, NOW, "40 0 0 50 0 0 -10", below=1),
        customer(3, NOW, "0 0 0 0 1 0 -1", known=None),  # never bought
    )
    told = [(step["step"], step["money"], step["share"]) for step in steps]
    assert told == [
        ("At full prices", 200, 100), ("Discounts", -10, -5), ("Returns", -20, -10),
        ("What the products cost", -110, -55), ("Contacts", -2, -1), ("Service", 0, 0),
        ("What stays: the margin", 58, 29),
    ]  # fmt: skip
    assert sum(money for _, money, _ in told[:-1]) == told[-1][1]
    assert sentence == (
        "Of 200 ¤ at full prices 29.0 % stay, 58 ¤; taken off are: discounts 5.0 %, returns 10.0 %, what the products "
        "cost 55.0 %, contacts 1.0 %. 3 lines were sold below cost and 1 of 2 customers cost more than they brought. "
        "The cost is known of 60.5 % of the revenue."
    )


@pytest.mark.parametrize(
    ("customers", "sentence"),
    [
        ([customer(1, NOW, "90 10 0 - 0 0 -", known=0.0)], "Of 100 ¤ at full prices no margin can be told: no product that was sold has a known cost."),
        ([customer(1, NOW, "0 0 0 0 3 0 -3", known=None)], "Customers brought nothing; contacts and service cost 3 ¤."),
        ([customer(1, NOW, "5 0 0 0 0 0 5")], "Of 5 ¤ at full prices 100.0 % stay, 5 ¤; taken off are: nothing."),
        ([], ""),
    ],
    ids=["no cost", "nothing brought", "nothing taken off", "nobody"],
)  # fmt: skip
def test_what_cannot_be_told_is_said(spark: SparkSession, customers: list[dict[str, Any]], sentence: str) -> None:
    assert shown(spark, *customers)[0] == sentence
