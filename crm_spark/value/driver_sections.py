"""What the page tells of what value of the horizon comes from: features, parts by segment, and why it changed."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Heat, Rows, Section, newest
from crm_spark.value.drivers import UNEXPLAINED

FIRST = 6  # features of a segment that are shown by name
NOTHING = "There is nothing to tell: there are no segments, or no customer has a value."
UNCOMPARED = "There is nothing to compare yet: from the second day with values on, this tells why they changed."
CALLED = {
    "alive": "Likely to be customers still",
    "frequency": "How often they buy",
    "horizon": "How long that counts",
    "spend": "What they spend each time",
    "margin": "Margin of it",
}
OTHERS, LEFT, NONE = "Other features", "Unexplained", "(none)"
ROW = "What a customer of the segment is worth is the average and the cells of the row together. "
ASSOCIATIONS = "These are associations: what goes along with value, not what would come of changing it."


def rests_on(driver_model: DataFrame) -> Section:
    """Tell which features go along with value, and how far they explain it; or, in one row, why none can be told."""
    feature = F.when(F.col("reason").isNull(), _written("feature")).otherwise(NONE)
    told = newest(driver_model, driver_model).withColumn("feature", feature).dropDuplicates(["feature"])
    return Section(
        title="What goes along with being worth more",
        chapter=Chapter.VALUE,
        rows=told.select("feature", "importance", "correlation", "r2", "average", "held_out", "reason"),
        sentence=_rests_told,
        # Of what is not told, or is 0, there is no bar.
        picture=Bars("feature", "importance", only="importance", horizontal=True),
        labels={
            "feature": "Feature",
            "importance": "Moves a value by, on average [money]",
            "correlation": "More goes with more (1), or with less (-1)",
            "r2": "Differences explained, by all (R²)",
            "average": "Average value [money]",
            "held_out": "Customers held out",
            "reason": "Why nothing is told",
        },
        order_by=["-importance", "feature"],
        note=(
            "A forest of trees tells value from features; Shapley values share out what it says among them, exactly, "
            "against all customers. R² is of a fifth of the customers, from whom it did not learn. " + ASSOCIATIONS
        ),
    )


def _rests_told(features: Rows) -> str:
    first, r2 = features[0], features[0]["r2"]
    if first["reason"]:
        return f"What goes along with value cannot be told: {first['reason']}."
    if not first["importance"]:
        return f"No feature goes along with value: all are told the average of {first['average']:,.2f} ¤."
    explained = "" if r2 is None else f" All features explain {max(r2, 0) * 100:,.0f} % of the differences (R²)."
    return (
        f"{first['feature']} counts most: it goes along with {first['importance']:,.2f} ¤ more or less than the "
        f"average of {first['average']:,.2f} ¤.{explained} {ASSOCIATIONS}"
    )


def parts_by_segment(segment_drivers: DataFrame) -> Section:
    """Tell why segments are worth more or less than the average, by the parts of value."""
    told = newest(segment_drivers, segment_drivers).where("grouping = 'rfm' AND level = 'part'")
    return Section(
        title="Why segments are worth more or less",
        chapter=Chapter.VALUE,
        rows=told.select(
            "group",
            _in_words("driver", CALLED).alias("part"),
            F.array_position(F.array(*[F.lit(part) for part in CALLED]), F.col("driver")).alias("place"),
            *["mean", "low", "high", "customers", "average"],
            (F.col("value") / F.col("customers")).alias("worth"),
        ),
        sentence=_parts_told,
        picture=Heat("part", "group", "mean"),
        labels={**LABELS, "part": "By", "place": "Place"},
        order_by=["-worth", "group", "place"],
        note=(ROW + "Low and high hold the mean with 95 %, by chance of who is in the segment."),
        empty=NOTHING,
    )


LABELS = {
    "group": "Segment",
    "mean": "Above average [money]",
    "low": "At least, with 95 % [money]",
    "high": "At most, with 95 % [money]",
    "customers": "Customers",
    "average": "Average value [money]",
    "worth": "Value of a customer [money]",
}


def _parts_told(cells: Rows) -> str:
    first = cells[0]
    by = max((cell for cell in cells if cell["group"] == first["group"]), key=lambda cell: float(cell["mean"]))
    if first["worth"] <= first["average"]:
        return f"All segments are worth the average: {first['average']:,.2f} ¤ a customer."
    return (
        f"A customer of “{first['group']}” is worth most, {first['worth']:,.2f} ¤ against {first['average']:,.2f} ¤ "
        f"of an average one; {by['mean']:,.2f} ¤ of that come from “{by['part'][0].lower()}{by['part'][1:]}”."
    )


def features_by_segment(segment_drivers: DataFrame) -> Section:
    """Tell which features go along with what segments are worth; the less important ones together."""
    told = newest(segment_drivers, segment_drivers).where("grouping = 'kmeans' AND level = 'feature'")
    weight = F.sum(F.abs("contribution")).over(Window.partitionBy("driver"))
    place = F.dense_rank().over(Window.partitionBy(F.col("driver") == UNEXPLAINED).orderBy(F.desc("weight"), "driver"))
    named = told.withColumn("weight", weight).withColumn("place", place)
    is_left = F.col("driver") == UNEXPLAINED
    feature = F.when(is_left, LEFT).when(F.col("place") <= FIRST, _written("driver")).otherwise(OTHERS)
    order = F.when(is_left, FIRST + 2).otherwise(F.least("place", F.lit(FIRST + 1)))
    cells = named.groupBy("group", feature.alias("feature"), order.alias("place")).agg(
        F.sum("mean").alias("mean"),
        F.max("customers").alias("customers"),
        F.max("average").alias("average"),
        F.max(F.col("value") / F.col("customers")).alias("worth"),
    )
    return Section(
        title="What goes along with it, by segment",
        chapter=Chapter.VALUE,
        rows=cells,
        sentence=_features_told,
        picture=Heat("feature", "group", "mean"),
        labels={
            **{name: LABELS[name] for name in ("group", "mean", "customers", "average", "worth")},
            "feature": "Feature",
            "place": "Place",
        },
        order_by=["-worth", "group", "place"],
        note="What a customer of the segment is worth is the average and the cells of the row together. "
        + ASSOCIATIONS,
        empty="There is nothing to tell: there are no segments, or features tell nothing of value.",
    )


def _features_told(cells: Rows) -> str:
    named = [cell for cell in cells if cell["feature"] not in {OTHERS, LEFT}]
    far = max(named, key=lambda cell: abs(float(cell["mean"])), default=None)
    if far is None or not far["mean"]:
        return "No feature goes along with what segments are worth."
    side = "more" if far["mean"] > 0 else "less"
    return (
        f"Most goes along with “{far['feature'].lower()}” in “{far['group']}”: {abs(far['mean']):,.2f} ¤ {side} than "
        f"the average of {far['average']:,.2f} ¤, for each customer."
    )


def change(clv_drivers: DataFrame, driver_model: DataFrame) -> Section:
    """Tell why all customers together are worth more or less than the last time. One pass over the newest day."""
    status = {"won": "Customers won", "lost": "Customers lost"}
    others = ~F.coalesce(F.col("status").isin("stayed", *status), F.lit(False))
    by = [
        *[(words, F.sum(f"change_by_{part}")) for part, words in CALLED.items()],
        *[(words, _sum_where(F.col("status") == one)) for one, words in status.items()],
        ("Value told, or told no longer", _sum_where(others)),
    ]
    steps = [("Value last time", F.sum("value_before"), False), *[(*step, True) for step in by]]
    told = [
        F.struct(
            F.lit(words).alias("step"), F.coalesce(sum_, F.lit(0.0)).alias("money"), F.lit(is_step).alias("is_step")
        )
        for words, sum_, is_step in [*steps, ("Value now", F.sum("value"), False)]
    ]
    compared = newest(clv_drivers, driver_model).where(F.col("status").isNotNull())
    row = compared.agg(F.array(*told).alias("of"), F.max("since").alias("since")).where(F.col("since").isNotNull())
    return Section(
        title="Why the customers' value changed",
        chapter=Chapter.CHANGES,
        rows=row.select(F.inline("of"), "since"),
        sentence=_change_told,
        picture=Bars("step", "money", only="is_step", horizontal=True),
        labels={"step": "Step", "money": "Value [money]", "is_step": "Is a change", "since": "Last time was"},
        note=(
            "Value of the horizon is a product: how likely somebody is a customer still, how often such a one buys, on "
            "average over the horizon, how long that counts, what is spent each time, and the margin of it. The "
            "changes take the value of the last time to the value now. Models are learned anew each time: what they "
            "learned changes parts too."
        ),
        empty=UNCOMPARED,
    )


def _change_told(steps: Rows) -> str:
    before, *changes, now = steps
    far = max(changes, key=lambda step: abs(float(step["money"])))
    moved = float(now["money"]) - float(before["money"])
    if not far["money"]:
        return f"The customers are worth {now['money']:,.0f} ¤, as on {before['since']}."
    side = "more" if moved >= 0 else "less"
    return (
        f"The customers are worth {now['money']:,.0f} ¤, {abs(moved):,.0f} ¤ {side} than on "
        f"{before['since']}; most was moved by “{far['step'][0].lower()}{far['step'][1:]}”: {far['money']:+,.0f} ¤."
    )


def _sum_where(is_of: Column) -> Column:
    return F.sum(F.when(is_of, F.col("change_by_status")))


def _written(name: str) -> Column:
    """The feature's name as words."""
    words = F.translate(F.regexp_replace(name, r"_(\d+)d$", " in $1 days"), "_", " ")
    return F.concat(F.initcap(F.substring(words, 1, 1)), F.substring(words, 2, 100))


def _in_words(name: str, words: Mapping[str, str]) -> Column:
    return F.create_map(*[F.lit(text) for pair in words.items() for text in pair])[F.col(name)]


SECTIONS = (change, rests_on, parts_by_segment, features_by_segment)
