"""What the page tells of scores and segments: what changed, who moved, who buys lately and often.

The days that have scores are told by the cut points, a few rows a day; of the scores only the days that are
shown are read.
"""

from collections import Counter
from decimal import Decimal
from typing import Any

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Heat, Rows, Section

LATELY = 30  # days
UNCOMPARED = "There is nothing to compare yet: from the second day with scores on, this tells what moved."
NEW, GONE = "(new)", "(gone)"


def together() -> WindowSpec:
    """Put a few rows into one window."""
    return Window.partitionBy(F.lit(0))


def newest(rfm_scores: DataFrame, rfm_cuts: DataFrame) -> DataFrame:
    """The scores, or the cut points, of the newest day."""
    return rfm_scores.where(F.col("as_of") == _day(rfm_cuts, 0))


def _day(rfm_cuts: DataFrame, place: int) -> Column:
    """A day with scores, the newest first; null where there are fewer.

    As a subquery it chooses the files that are opened. A join would do so in some plans only.
    """
    days = F.sort_array(F.collect_set("as_of"), asc=False)
    return rfm_cuts.agg(F.get(days, F.lit(place))).scalar()


# -- what changed


def changes(rfm_scores: DataFrame, rfm_cuts: DataFrame) -> Section:
    """Tell customers, orders and money of the newest day against the day before it that has scores."""
    since = _day(rfm_cuts, 1)
    sums = (
        rfm_scores.where(F.col("as_of") >= since)
        .groupBy("as_of", "segment")
        .agg(
            F.count("*").alias("customers"),
            F.count_if(F.col("recency") < LATELY).alias("lately"),
            F.sum("frequency").alias("orders"),
            F.sum("monetary").alias("money"),
        )
        .withColumns({"since": since, "is_now": F.col("as_of") > since})
    )
    leading = F.first("segment").over(together().orderBy(F.desc("is_now"), F.desc("money"), "segment"))
    return Section(
        title="Now, against the last time",
        chapter=Chapter.CHANGES,
        rows=_compared(sums.withColumn("leading", leading)),
        sentence=_changes_told,
        picture=Bars("measure", "relative", horizontal=True),
        labels={
            "measure": "Measure",
            "before": "Last time",
            "now": "Now",
            "difference": "Difference",
            "relative": "Difference [%]",
            "since": "Last time was",
            "as_of": "Now is",
        },
        empty=UNCOMPARED,
    )


def _compared(sums: DataFrame) -> DataFrame:
    """A row for each measure, in this order, with its value on both days."""
    in_leading = F.when(F.col("segment") == F.col("leading"), F.col("customers"))
    measures = [
        (F.lit("Customers"), F.col("customers")),
        (F.lit(f"Customers who bought in the last {LATELY} days"), F.col("lately")),
        (F.concat(F.lit("Customers in “"), "leading", F.lit("”, which brought most")), in_leading),
        (F.lit("Orders"), F.col("orders")),
        (F.lit("Money brought"), F.col("money")),
    ]
    told = [
        F.struct(
            F.max(name).alias("measure"),
            _sum(value, ~F.col("is_now")).alias("before"),
            _sum(value, F.col("is_now")).alias("now"),
        )
        for name, value in measures
    ]
    days = [F.max(name).alias(name) for name in ("since", "as_of")]
    row = sums.agg(F.array(*told).alias("told"), *days).where(F.col("as_of").isNotNull())
    difference = F.col("of.now") - F.col("of.before")
    relative = F.try_divide(difference * 100, F.col("of.before")).cast("double")
    return row.select(F.explode("told").alias("of"), "since", "as_of").select(
        "of.*", difference.alias("difference"), relative.alias("relative"), "since", "as_of"
    )


def _sum(value: Column, is_then: Column) -> Column:
    """What a measure adds up to on one of both days."""
    total = F.sum(F.when(is_then, value))
    return F.coalesce(total, F.lit(Decimal(0))).cast("decimal(28,4)")


def _changes_told(measures: Rows) -> str:
    customers, lately, *_, money = measures
    return (
        f"From {money['since']} to {money['as_of']} the number of customers {_grew(customers)}, that of those who "
        f"bought in the last {LATELY} days {_grew(lately)}, and the money they brought {_grew(money, ' ¤')}."
    )


def _grew(measure: dict[str, Any], unit: str = "") -> str:
    difference, relative = measure["difference"], measure["relative"]
    if not difference:
        return "stayed the same"
    share = "" if relative is None else f" ({relative:+,.1f} %)"
    return f"{'grew' if difference > 0 else 'fell'} by {abs(difference):,.0f}{unit}{share}"


# -- who moved


def movement(rfm_scores: DataFrame, rfm_cuts: DataFrame) -> Section:
    """Tell how many customers went from which segment to which since the day before that has scores.

    One join by customer, of two days.
    """
    since, as_of = _day(rfm_cuts, 1), _day(rfm_cuts, 0)
    was = rfm_scores.where(F.col("as_of") == since).select("customer_id", F.col("segment").alias("was"))
    is_ = rfm_scores.where((F.col("as_of") == as_of) & since.isNotNull())
    both = was.join(is_.select("customer_id", F.col("segment").alias("is")), "customer_id", "full")
    moves = (
        both.groupBy(F.coalesce("was", F.lit(NEW)).alias("was"), F.coalesce("is", F.lit(GONE)).alias("is"))
        .agg(F.count("*").alias("customers"))
        .withColumns({"since": since, "as_of": as_of})
    )
    is_move = F.col("was") != F.col("is")
    move = F.when(is_move, F.concat_ws(" → ", "was", "is")).otherwise(F.concat("was", F.lit(" (stayed)")))
    return Section(
        title="Who moved from segment to segment",
        chapter=Chapter.CHANGES,
        rows=moves.select(move.alias("move"), "customers", "was", "is", is_move.alias("moved"), "since", "as_of"),
        sentence=_movement_told,
        picture=Bars("move", "customers", only="moved", horizontal=True),
        labels={
            "move": "Move",
            "customers": "Customers",
            "was": "Segment last time",
            "is": "Segment now",
            "moved": "Moved",
            "since": "Last time was",
            "as_of": "Now is",
        },
        order_by=["-moved", "-customers", "move"],
        empty=UNCOMPARED,
    )


def _movement_told(moves: Rows) -> str:
    """Tell how many changed segment, and which segments won and lost most by it."""
    known = [move for move in moves if move["was"] != NEW and move["is"] != GONE]
    moved = sum(move["customers"] for move in known if move["moved"])
    since, as_of = moves[0]["since"], moves[0]["as_of"]
    told = [
        f"From {since} to {as_of}, {moved:,} of {sum(move['customers'] for move in known):,} customers changed segment"
    ]
    net: Counter[str] = Counter()
    for move in known:
        net[move["is"]] += move["customers"]
        net[move["was"]] -= move["customers"]
    if any(net.values()):
        most = max(net, key=lambda name: (net[name], name))
        least = min(net, key=lambda name: (net[name], name))
        told.append(f"“{most}” won most ({net[most]:+,} net), “{least}” lost most ({net[least]:+,})")
    came, went = (
        sum(move["customers"] for move in moves if move[at] == name) for at, name in (("was", NEW), ("is", GONE))
    )
    told += [f"{came:,} came new"] if came else []
    told += [f"{went:,} are gone"] if went else []
    return "; ".join(told) + "."


# -- who buys


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
    shares = [_share(name).alias(f"{name}_share") for name in ("customers", "monetary")]
    return Section(
        title="Segments, by how many they are and what they brought",
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


def _share(name: str) -> Column:
    share = F.try_divide(F.col(name) * 100, F.sum(name).over(together()))
    return F.coalesce(share.cast("double"), F.lit(0.0))


def _segments_told(rows: Rows) -> str:
    first = rows[0]
    return (
        f"“{first['segment']}” brought most: {first['monetary_share']:,.1f} % of the money "
        f"from {first['customers_share']:,.1f} % of the customers."
    )


SECTIONS = (changes, movement, scores_map, segments)
