"""Baskets of order lines: what counts, and what does not."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from crm_spark.baskets import purchases
from crm_spark.ingest.tables import ORDER_LINES, PRODUCT_HISTORY

AS_OF = date(2026, 1, 31)
Rows = list[dict[str, Any]]


def line(
    who: str | None, order: str, product: str | None, ago: int = 0, amount: str = "3", **told: Any
) -> dict[str, Any]:
    row = {"customer_id": who, "order_id": order, "product_id": product, "ordered_on": AS_OF - timedelta(days=ago)}
    return row | {"amount": Decimal(amount), "kind": "sale", "quantity": Decimal(1)} | told


def known(product: str, title: str | None, category: str | None, cost: str | None = None) -> dict[str, Any]:
    told = {"product_id": product, "title": title, "category": category, "row_hash": product}
    return told | {"known_on": AS_OF - timedelta(days=9), "cost": None if cost is None else Decimal(cost)}


def frames(spark: SparkSession, lines: Rows, products: Rows) -> tuple[DataFrame, DataFrame]:
    tables = ((ORDER_LINES, lines), (PRODUCT_HISTORY, products))
    made = [
        spark.createDataFrame([tuple(row.get(name) for name in table.names) for row in rows], table.nullable_ddl)
        for table, rows in tables
    ]
    return made[0], made[1]


def test_a_basket_holds_what_one_customer_bought_under_one_order_in_the_days_that_are_meant(
    spark: SparkSession,
) -> None:
    lines = [
        line("ann", "1", "tea"), line("ann", "1", "tea", amount="5"), line("ann", "1", "jam", ago=1),
        line("bob", "1", "jam"), line(None, "2", "tea"), line("bob", "3", "gone", ago=9),
        line("bob", "1", "old", ago=10), line("bob", "1", "late", ago=-1), line("bob", "1", None),
        line("bob", "1", "tea", kind="return", amount="-3"), line("bob", "1", "pot", kind="adjustment"),
    ]  # fmt: skip
    products = [known("tea", "Green tea", "Food", cost="1.5"), known("jam", None, "Food"), known("gone", "Gone", None)]
    bought = purchases.gather(*frames(spark, lines, products), AS_OF, days=10).localCheckpoint()
    orders = {(row["customer_id"], row["order_id"]): row["items"] for row in purchases.baskets(bought).collect()}
    assert orders == {("ann", "1"): ["jam", "tea"], ("bob", "1"): ["jam"], (None, "2"): ["tea"], ("bob", "3"): ["gone"]}
    people = {row["customer_id"]: row["items"] for row in purchases.baskets(bought, "customer").collect()}
    assert people == {"ann": ["jam", "tea"], "bob": ["gone", "jam"]}
    assert {tuple(row) for row in purchases.describe(bought).collect()} == {
        ("tea", "Green tea", 5.5, 3.25), ("jam", "jam", 3.0, None), ("gone", "Gone", 3.0, None),
    }  # fmt: skip
    by_category = purchases.gather(*frames(spark, lines, products), AS_OF, 10, "category")
    assert {tuple(row["items"]) for row in purchases.baskets(by_category).collect()} == {("Food",)}


def test_a_cost_too_large_to_be_one_is_none(spark: SparkSession) -> None:
    lines = [line("ann", "1", "tea"), line("ann", "1", "jam", quantity=Decimal(20_000))]
    products = [known("tea", "Tea", None, cost="1"), known("jam", "Jam", None, cost="90000000000")]
    bought = purchases.gather(*frames(spark, lines, products), AS_OF, days=10)
    assert {row["item"]: row["margin"] for row in bought.collect()} == {"tea": Decimal(2), "jam": None}
