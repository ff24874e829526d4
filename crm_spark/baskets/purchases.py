"""What was bought together: the baskets of a span of days, with items of a product level.

A basket is an order: what one customer, or somebody unknown, bought under one order number. Or it is all that a known
customer bought in the span. An item is a product, or what the products' history tells of it as of the day: its
category, subcategory or brand. A product of which that is not known is no item then. Returns take nothing out: who
brings something back did put it into the basket.
"""

from datetime import date
from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.features.days import MONEY
from crm_spark.features.snapshot import held, within

Level = Literal["product", "subcategory", "category", "brand"]
Basket = Literal["order", "customer"]

KEYS: dict[Basket, list[str]] = {"order": ["customer_id", "order_id"], "customer": ["customer_id"]}


def gather(
    order_lines: DataFrame,
    product_history: DataFrame,
    as_of: date,
    days: int,
    level: Level = "product",
) -> DataFrame:
    """Gather what was sold in the days until a day.

    Parameters
    ----------
    order_lines : DataFrame of ORDER_LINES
        Sales alone are read, those of `days` days that end with `as_of`.
    product_history : DataFrame of PRODUCT_HISTORY
        Known products go whole to every worker.

    Returns
    -------
    DataFrame
        One row per line: `customer_id`, `order_id`, `day`, `item`, `title`, `revenue`, `margin` (null where no cost is
        known). One pass over the lines, one shuffle of the history.
    """
    told = ["title", "cost", *([] if level == "product" else [level])]
    products = held(product_history, "product_id", told, as_of)
    is_meant = (
        (F.col("kind") == "sale") & within(F.col("ordered_on"), as_of, days) & (F.col("ordered_on") <= F.lit(as_of))
    )
    sold = order_lines.where(is_meant & F.col("product_id").isNotNull())
    item = F.col("product_id" if level == "product" else level)
    lines = sold.select("customer_id", "order_id", "ordered_on", "product_id", "quantity", "amount").join(
        F.broadcast(products), "product_id", "left"
    )
    return lines.where(item.isNotNull()).select(
        "customer_id",
        "order_id",
        F.col("ordered_on").alias("day"),
        item.alias("item"),
        (F.col("title") if level == "product" else item).alias("title"),
        F.col("amount").alias("revenue"),
        (F.col("amount") - F.col("quantity") * F.col("cost")).cast(MONEY).alias("margin"),
    )


def baskets(bought: DataFrame, basket: Basket = "order", *by: str) -> DataFrame:
    """Put what was bought into baskets: the key of the basket, and `items`, an array in order. One shuffle.

    With further columns baskets are put together for each value of these.
    """
    known = bought.where(F.col("customer_id").isNotNull()) if basket == "customer" else bought
    return known.groupBy(*KEYS[basket], *by).agg(F.sort_array(F.collect_set("item")).alias("items"))


def describe(bought: DataFrame, basket: Basket = "order") -> DataFrame:
    """Tell of each item how it is called and what it brings in a basket that holds it.

    Returns
    -------
    DataFrame
        One row per `item`: `title`, `revenue`, `margin` (null where no cost is known). Two shuffles.
    """
    known = bought.where(F.col("customer_id").isNotNull()) if basket == "customer" else bought
    sums = known.groupBy(*KEYS[basket], "item").agg(
        F.max("title").alias("title"), F.sum("revenue").alias("revenue"), F.sum("margin").alias("margin")
    )
    means = [F.avg(name).cast("double").alias(name) for name in ("revenue", "margin")]
    return sums.groupBy("item").agg(F.max("title").alias("title"), *means)
