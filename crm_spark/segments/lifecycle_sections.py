"""What the page tells of segments of alike customers from run to run: who moved, and how the segments changed."""

from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.sections import Chapter, Heat, Rows, Section, newest
from crm_spark.segments.changes import GONE, NEW
from crm_spark.segments.drift import BY_SEGMENT

UNCOMPARED = "There is nothing to compare yet: from the second day with segments on, this tells what moved."
MUCH = 0.25  # of the population stability index


def moved(segment_migration: DataFrame) -> Section:
    """Show which share of each former segment is in which segment now."""
    ways = newest(segment_migration, segment_migration).where(F.col("since").isNotNull())
    # A segment is called as it is now, if it is still there.
    names = ways.where("to_id > 0").select(F.col("to_id").alias("from_id"), F.col("to_segment").alias("name"))
    called = ways.join(F.broadcast(names.distinct()), "from_id", "left")
    of_then = Window.partitionBy("from_id")
    return Section(
        title="Who moved between segments of alike customers",
        chapter=Chapter.CHANGES,
        rows=called.select(
            "from_id",
            "to_id",
            _numbered("from_id", F.coalesce("name", "from_segment")).alias("was"),
            _numbered("to_id", F.col("to_segment")).alias("is"),
            F.when(F.col("to_id") > 0, F.col("to_id").cast("string")).otherwise(GONE).alias("now"),
            "customers",
            (F.col("customers") * 100 / F.sum("customers").over(of_then)).alias("share"),
            "spend",
            "since",
            "as_of",
        ),
        sentence=_moved_told,
        picture=Heat("to_id", "from_id", "share", x_text="now", y_text="was"),
        labels={
            "from_id": "Last time",
            "to_id": "Number of the segment now",
            "was": "Segment last time",
            "is": "Segment now",
            "now": "Number now",
            "customers": "Customers",
            "share": "Of those in it [%]",
            "spend": "Have spent so far [money]",
            "since": "Last time was",
            "as_of": "Now is",
        },
        order_by=["from_id", "to_id"],
        note=(
            "A segment keeps its number from run to run: today's customers are given to the segments of both runs, and "
            f"those that share most customers go together. {NEW} were in none last time, {GONE} are in none now."
        ),
        empty=UNCOMPARED,
    )


def _numbered(number: str, name: Column) -> Column:
    return F.when(F.col(number) > 0, F.concat(number, F.lit(". "), name)).otherwise(name)


def _moved_told(ways: Rows) -> str:
    known = [way for way in ways if way["from_id"] and way["to_id"]]
    moves = [way for way in known if way["from_id"] != way["to_id"]]
    count, all_ = (sum(way["customers"] for way in among) for among in (moves, known))
    told = [f"From {ways[0]['since']} to {ways[0]['as_of']}, {count:,} of {all_:,} customers changed segment"]
    if moves:
        most = max(moves, key=lambda way: (way["customers"], -way["from_id"], -way["to_id"]))
        people = "customer" if most["customers"] == 1 else "customers"
        told.append(
            f"most went from “{most['was']}” to “{most['is']}”, {most['customers']:,} {people} who have spent "
            f"{most['spend']:,.0f} ¤ so far"
        )
    came, went = (sum(way["customers"] for way in ways if not way[at]) for at in ("from_id", "to_id"))
    told += [f"{came:,} came new"] if came else []
    told += [f"{went:,} are gone"] if went else []
    return "; ".join(told) + "."


def changed(segment_drift: DataFrame, segment_model: DataFrame) -> Section:
    """Show how far what customers of each segment are like has gone since the last run."""
    rows = newest(segment_drift, segment_drift).where(F.col("since").isNotNull())
    model = newest(segment_model, segment_drift).agg(
        F.max(F.when(F.col("parameter") == "agreement", F.col("value"))).alias("agreement"),
        F.max(F.coalesce("learned_on", "as_of")).alias("learned_on"),
    )
    is_spread = F.col("feature") == BY_SEGMENT
    spread = rows.where(is_spread).agg(F.max("stability_index").alias("spread"))
    written = F.initcap(F.substring("feature", 1, 1)), F.translate(F.substring("feature", 2, 100), "_", " ")
    measures = ["shift", "mean_before", "mean", "stability_index", "by_chance", "customers_before", "customers"]
    return Section(
        title="How the segments themselves changed",
        chapter=Chapter.CHANGES,
        rows=rows.where(~is_spread & F.col("shift").isNotNull())
        .crossJoin(F.broadcast(spread))
        .crossJoin(F.broadcast(model))
        .select(
            "segment_id",
            _numbered("segment_id", F.col("segment")).alias("segment"),
            F.concat(*written).alias("feature"),
            *measures,
            "spread",
            "agreement",
            "learned_on",
            "since",
            "as_of",
        ),
        sentence=_changed_told,
        picture=Heat("feature", "segment", "shift"),
        labels={
            "segment_id": "Number",
            "segment": "Segment",
            "feature": "Feature",
            "shift": "Mean went by [std. dev.]",
            "mean_before": "Mean last time",
            "mean": "Mean now",
            "stability_index": "Stability index",
            "by_chance": "By chance up to",
            "customers_before": "Customers last time",
            "customers": "Customers now",
            "spread": "Stability index of the spread over segments",
            "agreement": "Agreement with the segments of last time",
            "learned_on": "Learned on",
            "since": "Last time was",
            "as_of": "Now is",
        },
        order_by=["segment_id", "feature"],
        note=(
            "Who is in a segment now is held against who was in it last time. The population stability index is 0 "
            "where values are spread as they were; above 0.25, and above what chance alone brings, they changed much. "
            "The agreement is the adjusted Rand index: of today's customers, 1 where both runs part them alike, 0 "
            "where as much as by chance. `refit_days` in the configuration sets for how long segments are kept."
        ),
        empty="There is nothing to compare yet: from the second day with segments on, this tells what changed.",
    )


def _changed_told(rows: Rows) -> str:
    far = max(rows, key=lambda row: abs(row["shift"]))
    told = [f"From {far['since']} to {far['as_of']} " + _farthest(far)]
    much = sum(row["stability_index"] > max(MUCH, row["by_chance"]) for row in rows)
    told.append(f"{much or 'none'} of {len(rows)} means and spreads changed much")
    if far["agreement"] is not None:
        told.append(f"the segments, learned anew, agree with those of last time by {far['agreement']:.2f}")
    else:
        told.append(f"the segments are those learned on {far['learned_on']}")
    return "; ".join(told) + "."


def _farthest(far: dict[str, Any]) -> str:
    if not far["shift"]:
        return "no mean of any segment changed"
    way = "rose" if far["shift"] > 0 else "fell"
    return (
        f"“{far['segment']}” changed most: {far['feature'].lower()} {way} by {abs(far['shift']):.2f} standard "
        f"deviations, from {_plain(far['mean_before'])} to {_plain(far['mean'])} on average"
    )


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


SECTIONS = (moved, changed)
