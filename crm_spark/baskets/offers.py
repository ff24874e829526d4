"""What to offer whom next: rules applied to what each customer has bought, and the rule that is the reason.

A rule applies to who has bought all of its antecedent and none of its consequent. Of the rules that lead to one item
the strongest speaks for it; a customer is offered the items of the strongest rules. Rules and purchases meet by joins.
"""

from datetime import date
from typing import Literal

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table

Strength = Literal["confidence", "lift", "added_revenue", "added_margin"]

NOTHING = "no rule leads from what was bought to something new"

OFFERS = Table(
    "next_offers",
    "What to offer each customer next, and by which rule, as of a day.",
    owns="as_of",
    key=["customer_id", "as_of", "place"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("as_of", "date", "the day the offers speak for"),
        Field("place", "int", "1 for the strongest offer of the customer"),
        Field("item", "string", "what to offer", nullable=True),
        Field("title", "string", "what it is called", nullable=True),
        Field("because", "array<string>", "what the customer has bought that leads to it", nullable=True),
        Field("because_title", "string", "what that is called", nullable=True),
        Field("confidence", "double", "share of the baskets with that which have the item too", nullable=True),
        Field("lift", "double", "how many times that is the item's share of all baskets", nullable=True),
        Field("count", "bigint", "baskets with both", unit="basket", nullable=True),
        Field("added_revenue", "double", "revenue in a basket above that of chance", unit="money", nullable=True),
        Field("added_margin", "double", "margin in a basket above that of chance", unit="money", nullable=True),
        Field("reason", "string", "why there is no offer", nullable=True),
    ],
)

TOLD = ["confidence", "lift", "count", "added_revenue", "added_margin"]  # of the rule


def offer(bought: DataFrame, rules: DataFrame, as_of: date, most: int = 3, by: Strength = "confidence") -> DataFrame:
    """Say what to offer each customer, and why.

    Parameters
    ----------
    bought : DataFrame
        As `purchases.gather` gives it: `customer_id`, `item`. Lines without a customer are left out. Read three times:
        best computed once.
    rules : DataFrame of RULES
        Of one day and one level. Those with one item as consequent count. They go whole to every worker.
    most : int, default 3
        Offers of a customer at most.
    by : {"confidence", "lift", "added_revenue", "added_margin"}
        By what rules are strong. Of equals the surer one, then the one of more baskets, then the first by name.

    Returns
    -------
    DataFrame of OFFERS
        One row per customer and offer; who has none has one row, with the reason. All shuffles are by customer.
    """
    if most < 1:
        raise ValueError(f"most must be 1 or more, got {most}")
    has = bought.where(F.col("customer_id").isNotNull()).select("customer_id", "item").distinct()
    leads = rules.where(F.size("consequent") == 1).select(
        F.col("antecedent").alias("because"),
        F.col("antecedent_title").alias("because_title"),
        F.get("consequent", F.lit(0)).alias("item"),
        F.col("consequent_title").alias("title"),
        *TOLD,
    )
    open_ = _met(has, leads).join(F.broadcast(leads), "because").join(has, ["customer_id", "item"], "left_anti")
    of_item = open_.withColumn("among", F.row_number().over(_strongest(by, "customer_id", "item"))).where("among = 1")
    placed = of_item.withColumn("place", F.row_number().over(_strongest(by, "customer_id")))
    offers = placed.where(F.col("place") <= most).withColumn("reason", F.lit(None).cast("string"))
    without = has.select("customer_id").distinct().join(offers.select("customer_id"), "customer_id", "left_anti")
    nothing = without.withColumns({"place": F.lit(1), "reason": F.lit(NOTHING)})
    all_ = offers.unionByName(nothing, allowMissingColumns=True).withColumn("as_of", F.lit(as_of))
    return all_.select(*OFFERS.names)


def _met(has: DataFrame, leads: DataFrame) -> DataFrame:
    """Which antecedents each customer has all items of: `customer_id`, `because`."""
    items = leads.select("because").distinct().select("because", F.explode("because").alias("item"))
    met = has.join(F.broadcast(items), "item").groupBy("customer_id", "because").agg(F.count("*").alias("items"))
    return met.where(F.col("items") == F.size("because")).select("customer_id", "because")


def _strongest(by: Strength, *of: str) -> WindowSpec:
    order: list[Column | str] = [F.desc_nulls_last(by), F.desc("confidence"), F.desc("count"), "item", "because"]
    return Window.partitionBy(*of).orderBy(*order)
