"""What the page tells of baskets: which items go along with which, and how surely."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Rows, Section, newest

SHOWN = 12  # as many as a picture of bars has
NONE = "No rule is sure enough: nothing goes together more often than chance would have it."


def together(basket_rules: DataFrame) -> Section:
    """Show the rules of highest lift: how often the consequent goes along, and how often it is bought anyway."""
    rules = newest(basket_rules, basket_rules)
    items = F.array_sort(F.concat("antecedent", "consequent"))
    # Of a set one rule is shown, the surest; both ways round have one lift.
    surest = Window.partitionBy("level", items).orderBy(F.desc("confidence"), "antecedent")
    by_lift = Window.partitionBy(F.lit(0)).orderBy(F.desc("lift"), F.desc("count"), "antecedent", "consequent")
    shown = (
        rules.withColumn("among_set", F.row_number().over(surest))
        .where("among_set = 1")
        .withColumn("place", F.row_number().over(by_lift))
        .where(F.col("place") <= SHOWN)
    )
    return Section(
        title="What is bought together",
        chapter=Chapter.BASKETS,
        rows=shown.select(
            "place",
            F.concat("antecedent_title", F.lit(" → "), "consequent_title").alias("rule"),
            "antecedent_title",
            "consequent_title",
            F.round(F.col("confidence") * 100, 1).alias("confidence"),
            F.round(F.col("consequent_count") / F.col("baskets") * 100, 1).alias("anyway"),
            F.round("lift", 1).alias("lift"),
            "count",
            "added_revenue",
            "added_margin",
        ),
        sentence=_together_told,
        picture=Bars("rule", "confidence", beside="anyway", horizontal=True),
        labels={
            "place": "Place",
            "rule": "Who buys → buys too",
            "antecedent_title": "Who buys",
            "consequent_title": "Buys too",
            "confidence": "Of their baskets [%]",
            "anyway": "Of all baskets [%]",
            "lift": "Times as often (lift)",
            "count": "Baskets with both",
            "added_revenue": "More revenue a basket [money]",
            "added_margin": "More margin a basket [money]",
        },
        order_by=["place"],
        note=(
            "The rules of highest lift. Kept are rules that are hardly chance and say more than any with less on "
            "their left side. That items go together does not tell that an offer would sell more of them: a test does."
        ),
        empty=NONE,
    )


def _together_told(rules: Rows) -> str:
    first = rules[0]
    baskets = "basket" if first["count"] == 1 else "baskets"
    return (
        f"Who buys {first['antecedent_title']} has {first['consequent_title']} in {first['confidence']:,.1f} % of "
        f"these baskets, {first['lift']:,.1f} times as often as in all baskets ({first['count']:,} {baskets})."
    )


SECTIONS = (together,)
