"""What the page tells of the value bridge: what moved the revenue from one period to the next."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Rows, Section, newest

NAMES = {
    "before": "Before",
    "won": "New customers",
    "returned": "Customers who came back",
    "lost": "Customers who stayed away",
    "frequency": "Who stayed ordered more or less often",
    "mix": "Orders went to other groups",
    "basket": "An order brought more or less",
    "margin_share": "More or less of the money stays",
    "now": "Now",
}


def bridge(value_bridge: DataFrame) -> Section:
    """Show what moved the revenue of the last days against as many days before."""
    newest_ = newest(value_bridge, value_bridge)
    sums = newest_.groupBy("as_of", "since", "period", "part", "position").agg(
        *[F.sum(F.when(F.col("measure") == name, F.col("amount"))).alias(name) for name in ("revenue", "margin")],
        F.max(F.when(F.col("measure") == "revenue", F.lit(True))).alias("is_of_revenue"),
        F.sum("customers").alias("both"),
        F.countDistinct("measure").alias("measures"),
    )
    earlier = Window.partitionBy(F.lit(0)).orderBy("position").rowsBetween(Window.unboundedPreceding, -1)
    is_end = F.col("part").isin("before", "now")
    starts = F.when(is_end, F.lit(0.0)).otherwise(F.sum("revenue").over(earlier))
    called = F.create_map(*[F.lit(word) for pair in NAMES.items() for word in pair])
    return Section(
        title="What moved the revenue",
        chapter=Chapter.CHANGES,
        rows=sums.select(
            called[F.col("part")].alias("part"),
            "revenue",
            "margin",
            (F.col("both") / F.col("measures")).cast("bigint").alias("customers"),
            starts.alias("starts"),
            F.col("is_of_revenue").isNotNull().alias("moves"),
            "position",
            "period",
            "since",
            "as_of",
        ),
        sentence=_bridge_told,
        picture=Bars("part", "revenue", only="moves", base="starts", horizontal=True),
        labels={
            "part": "Part",
            "revenue": "Revenue [money]",
            "margin": "Margin [money]",
            "customers": "Customers",
            "starts": "The bar begins at [money]",
            "moves": "Moves the revenue",
            "position": "Place",
            "period": "Days of each period",
            "since": "Before is until",
            "as_of": "Now is until",
        },
        order_by=["position"],
        note="What lies between adds up to the difference. Who stayed are customers who bought in both periods.",
        empty="Nobody bought anything yet.",
    )


def _bridge_told(rows: Rows) -> str:
    before, now = rows[0]["revenue"], rows[-1]["revenue"]
    told = (
        f"In the {rows[0]['period']} days until {rows[0]['as_of']} customers brought {now:,.0f} ¤, "
        f"{abs(now - before):,.0f} ¤ {'more' if now >= before else 'less'} than in as many days before"
    )
    moved = [row for row in rows[1:-1] if row["revenue"]]
    if not moved:
        return f"{told}."
    most = max(moved, key=lambda row: abs(row["revenue"]))
    return f"{told}; most moved “{most['part']}”: {most['revenue']:+,.0f} ¤."


SECTIONS = (bridge,)
