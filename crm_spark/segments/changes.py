"""What the page tells of change: customers, orders and money against the last time, and who moved."""

from collections import Counter
from decimal import Decimal
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Rows, Section
from crm_spark.segments.sections import among_all, day

LATELY = 30  # days
UNCOMPARED = "There is nothing to compare yet: from the second day with scores on, this tells what moved."
NEW, GONE = "(new)", "(gone)"


# -- what changed


def changes(rfm_scores: DataFrame, rfm_cuts: DataFrame, customer_days: DataFrame) -> Section:
    """Tell customers, and what they lately bought, of the newest day against the day before it that has scores."""
    since = day(rfm_cuts, 1)
    sums = (
        rfm_scores.where(F.col("as_of") >= since)
        .groupBy("as_of", "segment")
        .agg(
            F.count("*").alias("customers"),
            F.count_if(F.col("recency") < LATELY).alias("lately"),
            F.sum("monetary").alias("money"),
        )
        .withColumns({"since": since, "is_now": F.col("as_of") > since})
    )
    leading = F.first("segment").over(among_all().orderBy(F.desc("is_now"), F.desc("money"), "segment"))
    return Section(
        title="Now, against the last time",
        chapter=Chapter.CHANGES,
        rows=_compared(sums.withColumn("leading", leading), _lately(customer_days, since, day(rfm_cuts, 0))),
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


def _lately(customer_days: DataFrame, since: Column, as_of: Column) -> DataFrame:
    """Orders and sales of the last days before each of both, in one row."""
    bought = customer_days.where((F.col("day") > F.date_sub(since, LATELY)) & (F.col("day") <= as_of))
    was, is_ = F.col("day") <= since, F.col("day") > F.date_sub(as_of, LATELY)
    return bought.agg(
        *[
            F.struct(_sum(F.col(name), was).alias("before"), _sum(F.col(name), is_).alias("now")).alias(name)
            for name in ("orders", "sales")
        ]
    )


def _compared(sums: DataFrame, lately: DataFrame) -> DataFrame:
    """A row for each measure, in this order, with its value on both days."""
    in_leading = F.when(F.col("segment") == F.col("leading"), F.col("customers"))
    measures = [
        (F.lit("Customers"), F.col("customers")),
        (F.lit(f"Customers who bought in the last {LATELY} days"), F.col("lately")),
        (F.concat(F.lit("Customers in “"), "leading", F.lit("”, which brought most")), in_leading),
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
    named = {"orders": f"Orders of the last {LATELY} days", "sales": f"Sales of the last {LATELY} days, before returns"}
    bought = [F.struct(F.lit(words).alias("measure"), f"{name}.before", f"{name}.now") for name, words in named.items()]
    both = sums.agg(F.array(*told).alias("told"), *days).crossJoin(F.broadcast(lately))
    row = both.where(F.col("as_of").isNotNull()).withColumn("told", F.concat("told", F.array(*bought)))
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
    customers, lately, *_, sales = measures
    return (
        f"From {sales['since']} to {sales['as_of']} the number of customers {_grew(customers)}, that of those who "
        f"bought in the last {LATELY} days {_grew(lately)}, and what these brought {_grew(sales, ' ¤')}."
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
    since, as_of = day(rfm_cuts, 1), day(rfm_cuts, 0)
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


SECTIONS = (changes, movement)
