"""What the page tells of customers who behave alike: how many, what sets them apart, and how clearly."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Heat, Lines, Rows, Section, newest

MEASURES = ("silhouette", "stability", "within")
NONE = "There are no segments: no customer had bought by that day."


def alike(segment_profiles: DataFrame) -> Section:
    """Show each segment in a sentence, by customers and money."""
    # Rounded as the sentence rounds.
    shares = [
        F.round(F.coalesce(f"{name}_share", F.lit(0.0)) * 100, 1).alias(f"{name}_share")
        for name in ("customers", "spend")
    ]
    sentence = F.concat("segment_id", F.lit(". "), "sentence").alias("sentence")
    return Section(
        title="Customers who behave alike",
        chapter=Chapter.CUSTOMERS,
        rows=newest(segment_profiles, segment_profiles).select(
            "segment_id", "segment", "customers", "spend", *shares, sentence
        ),
        sentence=_alike_told,
        picture=Bars("sentence", "spend_share", beside="customers_share", horizontal=True),
        labels={
            "segment_id": "Number",
            "segment": "Segment",
            "customers": "Customers",
            "customers_share": "Share of the customers [%]",
            "spend": "Spent [money]",
            "spend_share": "Share of the money [%]",
            "sentence": "In words",
        },
        order_by=["segment_id"],
        note=(
            "Found by k-means: a customer is of the segment whose middle is nearest. A name tells what sets the "
            "segment most apart from all customers. A segment keeps its number and, while it is true, its name from "
            "run to run; in the first run the first is the one whose customers spent most on average."
        ),
        empty=NONE,
    )


def _alike_told(segments: Rows) -> str:
    customers = sum(segment["customers"] for segment in segments)
    if len(segments) == 1:
        return f"All {customers:,} customers are alike: there is one segment."
    first = max(segments, key=lambda segment: segment["spend"] / segment["customers"])
    return (
        f"{customers:,} customers fall into {len(segments)} segments; those of “{first['segment']}” spent most each: "
        f"{first['customers_share']:,.1f} % of the customers brought {first['spend_share']:,.1f} % of the money."
    )


def apart(segment_profiles: DataFrame, segment_model: DataFrame) -> Section:
    """Show for each segment what its customers have more or less of than all."""
    centres = newest(segment_model, segment_profiles).where(F.col("parameter") == "centre")
    profiles = newest(segment_profiles, segment_profiles).select("segment_id", "means", "medians")
    among = centres.join(profiles, F.col("number") == F.col("segment_id"))
    values = {name: F.try_element_at(f"{name}s", F.col("feature")) for name in ("median", "mean")}
    written = F.initcap(F.substring("feature", 1, 1)), F.translate(F.substring("feature", 2, 100), "_", " ")
    return Section(
        title="What sets these segments apart",
        chapter=Chapter.CUSTOMERS,
        rows=among.select(
            "segment_id",
            F.concat("segment_id", F.lit(". "), "segment").alias("segment"),
            F.concat(*written).alias("feature"),
            F.col("value").alias("deviation"),
            *[value.alias(name) for name, value in values.items()],
        ),
        sentence=_apart_told,
        picture=Heat("feature", "segment", "deviation"),
        labels={
            "segment_id": "Number",
            "segment": "Segment",
            "feature": "Feature",
            "deviation": "Above average [std. dev.]",
            "median": "Median",
            "mean": "Mean",
        },
        order_by=["segment_id", "feature"],
        note=(
            "0 is the mean of all customers as the segments were learned; two in three lie between -1 and 1 in most "
            "features. Outliers and the long tails of days, counts and money are drawn in before."
        ),
        empty=NONE,
    )


def _apart_told(cells: Rows) -> str:
    far = max(cells, key=lambda cell: abs(cell["deviation"]))
    side = "above" if far["deviation"] >= 0 else "below"
    if not far["deviation"]:
        return "Nothing sets customers apart: they are all alike."
    return (
        f"Furthest from all customers is “{far['segment']}” in {far['feature'].lower()}: "
        f"{abs(far['deviation']):.1f} standard deviations {side} the mean."
    )


def choice(segment_profiles: DataFrame, segment_model: DataFrame) -> Section:
    """Show how well each number of segments parts the customers."""
    model = newest(segment_model, segment_profiles)
    measured = model.where(F.col("parameter").isin(*MEASURES)).groupBy(F.col("number").alias("k"))
    values = {name: F.max(F.when(F.col("parameter") == name, F.col("value"))) for name in MEASURES}
    measures = measured.agg(*[value.alias(name) for name, value in values.items()])
    is_centre, differs = F.col("parameter") == "centre", (F.col("parameter") == "deviation") & (F.col("value") > 0)
    segments = model.agg(
        F.countDistinct(F.when(is_centre, F.col("number"))).alias("segments"), F.count_if(differs).alias("features")
    )
    customers = newest(segment_profiles, segment_profiles).agg(F.sum("customers").alias("customers"))
    # Features in which customers differ have variance 1, so all squares together are one for each customer and feature.
    all_squares = F.col("customers") * F.col("features")
    return Section(
        title="How many segments there are",
        chapter=Chapter.CUSTOMERS,
        rows=measures.where(F.col("silhouette").isNotNull())
        .crossJoin(F.broadcast(segments.crossJoin(customers)))
        .select(
            "k",
            "silhouette",
            "stability",
            F.try_divide("within", all_squares).alias("within"),
            (F.col("k") == F.col("segments")).alias("is_taken"),
        ),
        sentence=_choice_told,
        picture=Lines("k", ["silhouette", "stability", "within"]),
        labels={
            "k": "Number of segments",
            "silhouette": "Silhouette",
            "stability": "Stability",
            "within": "Share of squares within segments",
            "is_taken": "Taken",
        },
        order_by=["k"],
        note=(
            "The silhouette is 1 where segments are far apart, 0 where customers lie between two of them. Stability is "
            "1 where the same segments are found among customers drawn anew, 0 where they are alike by chance only. "
            "How far customers lie from their segment's middle, in squares, falls with each further segment; where it "
            "begins to fall little is the elbow. `k` in the configuration sets the number; `k_from` and `k_to` set "
            "what is tried, `choose_by` which of the three chooses."
        ),
        empty="There is no silhouette: there are no two segments.",
    )


def _choice_told(rows: Rows) -> str:
    taken = next((row for row in rows if row["is_taken"]), None)
    if taken is None:
        return "There are fewer segments than were looked for: to the middle of one of these nobody is nearest."
    told = f"There are {taken['k']} segments, with a silhouette of {taken['silhouette']:.2f}"
    if taken["stability"] is not None:
        told += f" and a stability of {taken['stability']:.2f}"
    if len(rows) == 1:
        return f"{told}; no other number was tried."
    others = max(row["silhouette"] for row in rows if not row["is_taken"])
    least, most = rows[0]["k"], rows[-1]["k"]
    if others > taken["silhouette"]:
        return f"{told}; of {least} to {most} segments another number had a silhouette of {others:.2f}."
    return f"{told}; of {least} to {most} segments no other number had a silhouette above {others:.2f}."


SECTIONS = (alike, apart, choice)
