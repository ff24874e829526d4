"""What the page tells of scores and segments: who buys lately and often, who they are, what they brought.

The days that have scores are told by the cut points, a few rows a day; of the scores only the days that are
shown are read.
"""

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Heat, Rows, Section, newest, percent


def among_all() -> WindowSpec:
    """Put a few rows into one window."""
    return Window.partitionBy(F.lit(0))


def day(rfm_cuts: DataFrame, place: int) -> Column:
    """A day with scores, the newest first; null where there are fewer.

    As a subquery it chooses the files that are opened. A join would do so in some plans only.
    """
    days = F.sort_array(F.collect_set("as_of"), asc=False)
    return rfm_cuts.agg(F.get(days, F.lit(place))).scalar()


def scores_map(rfm_scores: DataFrame, rfm_cuts: DataFrame) -> Section:
    """Show how many customers have which scores, what these mean, and what they brought."""
    cells = (
        newest(rfm_scores, rfm_cuts)
        .groupBy("recency_score", "frequency_score")
        .agg(F.count("*").alias("customers"), F.sum("monetary").alias("monetary"))
    )
    ranges = _ranges(rfm_cuts)
    for measure in ("recency", "frequency"):
        words = ranges.where(F.col("measure") == measure).select(
            F.col("score").alias(f"{measure}_score"), F.col("words").alias(measure)
        )
        cells = cells.join(F.broadcast(words), f"{measure}_score")
    return Section(
        title="Who buys lately and often",
        chapter=Chapter.CUSTOMERS,
        rows=cells.select("recency_score", "recency", "frequency_score", "frequency", "customers", "monetary"),
        sentence=_map_told,
        picture=Heat("frequency_score", "recency_score", "customers", x_text="frequency", y_text="recency"),
        labels={
            "recency_score": "Recency score: days since the last order",
            "recency": "Days since the last order",
            "frequency_score": "Frequency score: orders",
            "frequency": "Orders",
            "customers": "Customers",
            "monetary": "Brought [money]",
        },
        order_by=["-recency_score", "frequency_score"],
        note="Beside each score stand the days, or the orders, that have it: the cut points part the customers.",
    )


def _ranges(rfm_cuts: DataFrame) -> DataFrame:
    """Say for each measure and score of the newest day which whole numbers have it.

    Recency scores fall as days grow: there a score ends below its cut point, else it begins above it.
    """
    cuts = newest(rfm_cuts, rfm_cuts)
    points = cuts.groupBy("measure").agg(
        F.sort_array(F.collect_list(F.struct("score", "cut"))).getField("cut").alias("cuts")
    )
    none = F.array(F.lit(None).cast("double"))
    ends = F.arrays_zip(F.concat(none, "cuts").alias("own"), F.concat("cuts", none).alias("next"))
    scores = points.select("measure", F.posexplode(ends).alias("at", "of")).select("measure", "at", "of.*")
    is_recency = F.col("measure") == "recency"
    low = F.when(is_recency, F.coalesce(F.ceil("next"), F.lit(0))).otherwise(F.floor("own") + 1)
    high = F.when(is_recency, F.ceil("own") - 1).otherwise(F.floor("next"))
    score = F.col("at") + 1
    return scores.select("measure", score.alias("score"), F.concat_ws(": ", score, _words(low, high)).alias("words"))


def _words(low: Column, high: Column) -> Column:
    """Write a range of whole numbers that may lack an end."""
    written = (
        F.when(high.isNull(), F.concat(F.greatest(low, F.lit(0)), F.lit("+")))
        .when(low.isNull(), F.concat(F.lit("≤ "), high))
        .when(low >= high, high.cast("string"))
    )
    return written.otherwise(F.concat(low, F.lit("–"), high))


def _map_told(cells: Rows) -> str:
    customers = sum(cell["customers"] for cell in cells)
    best = max((cell["recency_score"], cell["frequency_score"]) for cell in cells)
    top = [cell for cell in cells if (cell["recency_score"], cell["frequency_score"]) == best]
    share = 100 * sum(cell["monetary"] for cell in top) / (sum(cell["monetary"] for cell in cells) or 1)
    has = "has" if top[0]["customers"] == 1 else "have"
    people = "customer" if customers == 1 else "customers"
    return (
        f"Of {customers:,} {people}, {top[0]['customers']:,} {has} the highest scores found, "
        f"{best[0]} in recency and {best[1]} in frequency; they brought {share:,.1f} % of the money."
    )


def segments(rfm_scores: DataFrame, rfm_cuts: DataFrame) -> Section:
    """Show the named segments by customers and money."""
    named = (
        newest(rfm_scores, rfm_cuts)
        .groupBy("segment")
        .agg(F.count("*").alias("customers"), F.sum("monetary").alias("monetary"))
    )
    shares = [percent(name).alias(f"{name}_share") for name in ("customers", "monetary")]
    return Section(
        title="Segments by what they brought, and by how many they are",
        chapter=Chapter.CUSTOMERS,
        rows=named.select("segment", "customers", "monetary", *shares),
        sentence=_segments_told,
        picture=Bars("segment", "monetary_share", beside="customers_share", horizontal=True),
        labels={
            "segment": "Segment",
            "customers": "Customers",
            "monetary": "Brought [money]",
            "customers_share": "Share of the customers [%]",
            "monetary_share": "Share of the money [%]",
        },
        order_by=["-monetary", "segment"],
    )


def _segments_told(rows: Rows) -> str:
    first = rows[0]
    return (
        f"“{first['segment']}” brought most: {first['monetary_share']:,.1f} % of the money "
        f"from {first['customers_share']:,.1f} % of the customers."
    )


SECTIONS = (scores_map, segments)
