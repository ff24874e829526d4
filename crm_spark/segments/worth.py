"""What the page tells of money: how much of it few customers bring, and who these are.

Concentration is the Lorenz curve read from the top: the share of the money that the first p percent of the
customers brought. Customers are counted by classes of nearly equal money, so nobody is sorted: within a class
all count as equal. The Gini coefficient is one less twice the area between that curve and its upper side.

References
----------
Lorenz, M. O. (1905). Methods of Measuring the Concentration of Wealth. JASA 9(70).
"""

from itertools import pairwise

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Lines, Rows, Section, newest
from crm_spark.features.quantiles import bucket, cumulated
from crm_spark.segments.sections import among_all

FIRST = 20  # customers
TOLD = (1, 10, 20, 50)  # percent of the customers


def concentration(rfm_scores: DataFrame, rfm_cuts: DataFrame) -> Section:
    """Tell which share of the money the customers who brought most brought.

    One pass over the newest day, one shuffle of a few thousand classes.
    """
    return Section(
        title="How much of the money few customers bring",
        chapter=Chapter.VALUE,
        rows=curve(newest(rfm_scores, rfm_cuts)),
        sentence=_concentration_told,
        picture=Lines("percent", ["money_share", "alike"]),
        labels={
            "percent": "Customers, from who brought most [%]",
            "customers": "Customers",
            "money": "They brought [money]",
            "money_share": "Their share of the money [%]",
            "alike": "Share if all brought the same [%]",
        },
        order_by=["percent"],
        note=(
            "Customers whose money differs by less than 0.4 % count as equal. The Gini coefficient is 0 where all "
            "bring the same and 1 where one brings all; it is read from the points of the line, at most 0.01 too low."
        ),
    )


def curve(scores: DataFrame) -> DataFrame:
    """Give what the first 0, 1, … 100 percent of the customers brought.

    Parameters
    ----------
    scores : DataFrame of SCORES
        Of one day.

    Returns
    -------
    DataFrame
        `percent`, `customers`, `money`, its share `money_share` [%] and that of equal customers `alike` [%].
        Between two ends of a class it is interpolated.
    """
    classes = scores.groupBy((-bucket(F.col("monetary").cast("double"))).alias("class")).agg(
        F.count("*").alias("rows"), F.sum("monetary").cast("double").alias("amount")
    )
    ranked = cumulated(classes.withColumns({"one": F.lit(1), "below": F.lit(0)}), ["one"], "class")
    ranked = ranked.withColumns(
        {"first": F.col("upto") - F.col("rows"), "sum": F.sum("amount").over(among_all().orderBy("class"))}
    )
    counted = ranked.withColumns({"all": F.sum("rows").over(among_all()), "total": F.sum("amount").over(among_all())})
    from_, to = (F.floor(F.col(name) * 100 / F.col("all")) for name in ("first", "upto"))
    start = F.when(F.col("first") == 0, F.lit(0).cast("bigint")).otherwise(from_ + 1)
    points = counted.where(start <= to).withColumn("percent", F.explode(F.sequence(start, to)))
    part = (F.col("percent") * F.col("all") / 100 - F.col("first")) / F.col("rows")
    money = F.col("sum") - F.col("amount") * (1 - part)
    return points.select(
        F.col("percent").cast("int").alias("percent"),
        F.round(F.col("percent") * F.col("all") / 100).cast("bigint").alias("customers"),
        money.cast("decimal(28,4)").alias("money"),
        F.coalesce(F.try_divide(money * 100, F.col("total")), F.lit(0.0)).alias("money_share"),
        F.col("percent").cast("double").alias("alike"),
    )


def gini(points: Rows) -> float:
    """Give the Gini coefficient of a curve, by trapezoids."""
    area = sum(
        (two["alike"] - one["alike"]) * (one["money_share"] + two["money_share"]) for one, two in pairwise(points)
    )
    return float(area / 10_000 - 1)


def _concentration_told(points: Rows) -> str:
    customers, money = points[-1]["customers"], points[-1]["money"]
    if money <= 0:
        return f"{customers:,} customers brought no money in all."
    if customers == 1:
        return "One customer brought all of the money."
    told = [point for point in points if point["percent"] in TOLD and point["percent"] * customers >= 100]
    first, *more = [(point["percent"], f"{point['money_share']:,.1f} %") for point in told]
    rest = "".join(f", the first {percent} % {share}" for percent, share in more)
    return (
        f"The first {first[0]} % of the customers brought {first[1]} of the money{rest} "
        f"(Gini coefficient {gini(points):.2f})."
    )


def foremost(rfm_scores: DataFrame, rfm_cuts: DataFrame) -> Section:
    """Tell the customers who brought most, by key: it is what colleagues with access look them up by.

    Nothing else of the person is shown. Two passes over the newest day, no sort of it.
    """
    scores = newest(rfm_scores, rfm_cuts)
    total = scores.agg(F.sum("monetary").alias("total"))
    first = scores.orderBy(F.desc("monetary"), "customer_id").limit(FIRST)
    share = F.coalesce(F.try_divide(F.col("monetary") * 100, F.col("total")).cast("double"), F.lit(0.0))
    return Section(
        title="The customers that matter",
        chapter=Chapter.VALUE,
        rows=first.crossJoin(F.broadcast(total)).select(
            "customer_id", "monetary", share.alias("share"), "frequency", "recency", "segment"
        ),
        sentence=_foremost_told,
        picture=Bars("customer_id", "monetary", horizontal=True),
        labels={
            "customer_id": "Customer",
            "monetary": "Brought [money]",
            "share": "Share of the money [%]",
            "frequency": "Orders",
            "recency": "Days since the last order",
            "segment": "Segment",
        },
        order_by=["-monetary", "customer_id"],
        note="Customers are told by key and by nothing else, so that who has access can look them up.",
    )


def _foremost_told(customers: Rows) -> str:
    first, share = customers[0], sum(customer["share"] for customer in customers)
    if len(customers) == 1:
        return f"The one customer, {first['customer_id']}, brought {first['monetary']:,.0f} ¤."
    return (
        f"The {len(customers)} customers who brought most brought {share:,.1f} % of the money; "
        f"{first['customer_id']} leads with {first['monetary']:,.0f} ¤."
    )


SECTIONS = (concentration, foremost)
