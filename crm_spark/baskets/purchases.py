"""What was bought together: the baskets of a span of days, with items of a product level.

A basket is an order: what one customer, or somebody unknown, bought under one order number. Or it is all that a known
customer bought in the span. An item is a product, or what the products' history tells of it as of the day: its
category, subcategory or brand. A product of which that is not known is no item then. Returns take nothing out: who
brings something back did put it into the basket.

Of several levels in one basket, a product is an item of each (Srikant and Agrawal): `product+category` has it beside
its category. These items are named after their level, as `category:Food`. Rules across levels come of it: who buys this
product buys any of that category. A set of two items that one product is both of would say nothing: `related` tells
them.

References
----------
Srikant, R., Agrawal, R. (1995). Mining Generalized Association Rules. VLDB, 407-419.
"""

from datetime import date
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.features.days import LINE_MONEY, MONEY
from crm_spark.features.snapshot import held, known_on, within

LEVELS = ("product", "subcategory", "category", "brand")
TOGETHER = "+"  # between levels that stand in one basket
OF = ":"  # between a level and an item, where there are several
Basket = Literal["order", "customer"]

KEYS: dict[Basket, list[str]] = {"order": ["customer_id", "order_id"], "customer": ["customer_id"]}


def gather(
    order_lines: DataFrame,
    product_history: DataFrame,
    as_of: date,
    days: int,
    level: str = "product",
) -> DataFrame:
    """Gather what was sold in the days until a day.

    Parameters
    ----------
    order_lines : DataFrame of ORDER_LINES
        Sales alone are read, those of `days` days that end with `as_of`.
    product_history : DataFrame of PRODUCT_HISTORY
        Known products go whole to every worker.
    level : str, default "product"
        One of LEVELS, or several of them, joined by `+`.

    Returns
    -------
    DataFrame
        One row per line and level: `customer_id`, `order_id`, `day`, `item`, `title`, `revenue`, `margin` (null where
        no cost is known). One pass over the lines, one shuffle of the history.
    """
    products = held(product_history, "product_id", ["title", "cost", *_attributes(level)], as_of)
    is_meant = (
        (F.col("kind") == "sale") & within(F.col("ordered_on"), as_of, days) & (F.col("ordered_on") <= F.lit(as_of))
    )
    sold = order_lines.where(is_meant & F.col("product_id").isNotNull())
    lines = sold.select("customer_id", "order_id", "ordered_on", "product_id", "quantity", "amount").join(
        F.broadcast(products), "product_id", "left"
    )
    return lines.select(
        "customer_id",
        "order_id",
        F.col("ordered_on").alias("day"),
        F.inline(_items(level)),
        F.col("amount").alias("revenue"),
        (F.col("amount") - (F.col("quantity") * F.col("cost")).try_cast(LINE_MONEY)).cast(MONEY).alias("margin"),
    )


def check(level: str) -> str:
    """Give a level back, or say that it is none.

    Raises
    ------
    ValueError
        One that it joins is none of LEVELS, or stands twice.
    """
    names = level.split(TOGETHER)
    if not set(names) <= set(LEVELS) or len(set(names)) < len(names):
        raise ValueError(f"a level is one of {', '.join(LEVELS)}, or some of them joined by {TOGETHER}, got '{level}'")
    return level


def unknown(product_history: DataFrame, as_of: date, level: str) -> list[str]:
    """Give those that a level joins which are known of no product, though products are: one pass, at once."""
    names = _attributes(level)
    if not names:
        return []
    products = product_history.where(known_on() <= F.lit(as_of))
    counts = products.agg(F.count("*").alias("all"), *[F.count(name).alias(name) for name in names]).collect()[0]
    return [name for name in names if counts["all"] and not counts[name]]


def related(product_history: DataFrame, as_of: date, level: str) -> DataFrame:
    """Give the pairs of items that a product is both of: `item`, `other`. Two shuffles."""
    products = held(product_history, "product_id", ["title", *_attributes(level)], as_of)
    items = products.select(_items(level)["item"].alias("items"))
    pairs = F.transform(
        "items",
        lambda item: F.transform(
            F.filter("items", lambda other: other > item),
            lambda other: F.struct(item.alias("item"), other.alias("other")),
        ),
    )
    return items.select(F.inline(F.flatten(pairs))).distinct()


def _attributes(level: str) -> list[str]:
    return [name for name in check(level).split(TOGETHER) if name != "product"]


def _items(level: str) -> Column:
    """What a product is an item of: an array with a struct for each level that is known."""
    names = check(level).split(TOGETHER)
    are_several = len(names) > 1
    told = []
    for name in names:
        own = F.col("product_id" if name == "product" else name)
        item = F.concat(F.lit(f"{name}{OF}"), own) if are_several else own
        whole = F.concat(F.lit("any "), own) if are_several else own
        title = F.coalesce("title", own) if name == "product" else whole
        told.append(F.when(own.isNotNull(), F.struct(item.alias("item"), title.alias("title"))))
    return F.array_compact(F.array(*told))


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
