"""What the page tells of offers: what to offer next, to how many customers, and why."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Rows, Section, newest

SHOWN = 12  # as many as a picture of bars has


def next_ones(next_offers: DataFrame) -> Section:
    """Show what would be offered to most customers, and the reason that most of them have."""
    offers = newest(next_offers, next_offers)
    sums = offers.agg(
        F.countDistinct("customer_id").alias("all"),
        F.countDistinct(F.when(F.col("item").isNotNull(), F.col("customer_id"))).alias("with_offer"),
    )
    told = offers.where(F.col("item").isNotNull())
    reasons = told.groupBy("item", "because_title").agg(F.count("*").alias("customers"))
    most = reasons.groupBy("item").agg(
        F.max_by("because_title", F.struct("customers", "because_title")).alias("because_title")
    )
    items = told.groupBy("item").agg(
        F.max("title").alias("title"),
        F.count("*").alias("customers"),
        F.count_if(F.col("place") == 1).alias("first"),
        F.avg("confidence").alias("confidence"),
        F.avg("added_revenue").alias("added_revenue"),
        F.avg("added_margin").alias("added_margin"),
    )
    by_customers = Window.partitionBy(F.lit(0)).orderBy(F.desc("customers"), "item")
    shown = items.join(most, "item").withColumn("rank", F.row_number().over(by_customers)).where(F.col("rank") <= SHOWN)
    return Section(
        title="What to offer next",
        chapter=Chapter.BASKETS,
        rows=shown.crossJoin(F.broadcast(sums)).select(
            "rank",
            F.concat("title", F.lit(", after "), "because_title").alias("offer"),
            "title",
            "because_title",
            "customers",
            "first",
            F.round(F.col("confidence") * 100, 1).alias("confidence"),
            "added_revenue",
            "added_margin",
            "with_offer",
            "all",
        ),
        sentence=_told,
        picture=Bars("offer", "customers", horizontal=True),
        labels={
            "rank": "Place",
            "offer": "Offer, and what most of them bought before",
            "title": "Offer",
            "because_title": "What most of them bought before",
            "customers": "Customers",
            "first": "Customers whose first offer it is",
            "confidence": "Of the baskets with that have it [%]",
            "added_revenue": "More revenue a basket [money]",
            "added_margin": "More margin a basket [money]",
            "with_offer": "Customers with an offer",
            "all": "Customers who bought",
        },
        order_by=["rank"],
        note=(
            "Who bought all that stands on the left of a rule, and not what stands on its right, is offered the "
            "latter. Whose offer it is, with the rule: the table next_offers."
        ),
        empty="There is no offer: no rule leads from what somebody bought to something new.",
    )


def _told(items: Rows) -> str:
    first = items[0]
    return (
        f"{first['with_offer']:,} of {first['all']:,} customers have an offer; most often it is {first['title']} "
        f"({first['customers']:,} customers), mostly as they bought {first['because_title']}."
    )


SECTIONS = (next_ones,)
