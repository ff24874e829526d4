"""What the page tells of rules that differ: for which segments they hold more surely, and what changed in them."""

from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.baskets.differences import SINCE, UNKNOWN
from crm_spark.core.sections import Bars, Chapter, Heat, Rows, Section, newest

SHOWN = 12  # as many as a picture has room for
SURE = 0.05
LEAST = 10  # baskets of a segment: of fewer a share says little
CHANGES = ("new", "gone", "stronger", "weaker")


def by_segment(rule_differences: DataFrame) -> Section:
    """Show the rules that differ most surely between RFM segments: how much surer they are in each."""
    rules = newest(rule_differences, rule_differences).where("grouping = 'rfm' AND mined_in IS NULL")
    cells = rules.where((F.col("group") != UNKNOWN) & (F.col("antecedent_count") >= LEAST))
    of_rule = Window.partitionBy("level", "antecedent", "consequent")
    among = Window.partitionBy(F.lit(0)).orderBy(
        F.asc_nulls_last("least"), F.desc("most"), "level", "antecedent", "consequent"
    )
    placed = cells.withColumns(
        {"least": F.min("q_value").over(of_rule), "most": F.max(F.col("count") + F.col("other_count")).over(of_rule)}
    ).withColumn("place", F.dense_rank().over(among))
    return Section(
        title="Which segments buy what together more often",
        chapter=Chapter.BASKETS,
        rows=placed.where(F.col("place") <= SHOWN).select(
            "place",
            _rule().alias("rule"),
            "group",
            F.round(F.col("difference") * 100).cast("int").alias("difference"),
            _percent("confidence"),
            _percent("other_confidence"),
            F.round("lift", 1).alias("lift"),
            F.round("other_lift", 1).alias("other_lift"),
            "count",
            "antecedent_count",
            "q_value",
            "antecedent_title",
            "consequent_title",
        ),
        sentence=_by_segment_told,
        picture=Heat("group", "rule", "difference"),
        labels={
            "place": "Place",
            "rule": "Who buys → buys too",
            "group": "Segment",
            "difference": "Surer by [points]",
            "confidence": "Of the segment's baskets [%]",
            "other_confidence": "Of all other baskets [%]",
            "lift": "Lift in the segment",
            "other_lift": "Lift elsewhere",
            "count": "The segment's baskets with both",
            "antecedent_count": "The segment's baskets with what is bought first",
            "q_value": "Share of chance among such differences",
            "antecedent_title": "Who buys",
            "consequent_title": "Buys too",
        },
        order_by=["place", "group"],
        note=(
            "The rules are those of all baskets. Of the baskets with the left side, the share that has the right side "
            "too: in the segment, against all other baskets, in percentage points. The rules come first whose "
            f"difference is hardest to explain by chance; fewer than {LEAST} baskets of a segment are not shown."
        ),
        empty="There are no rules to compare, or too few baskets of each segment.",
    )


def _by_segment_told(cells: Rows) -> str:
    told = [cell for cell in cells if cell["q_value"] is not None]
    best = min(told, key=lambda cell: (cell["q_value"], -abs(cell["difference"])), default=None)
    if best is None or best["q_value"] > SURE:
        return "No segment differs from the others by more than chance: the rules hold for all of them alike."
    return (
        f"“{best['group']}” who buy {best['antecedent_title']} have {best['consequent_title']} in "
        f"{best['confidence']:,.1f} % of these baskets, all others in {best['other_confidence']:,.1f} %: that is "
        "hardly chance."
    )


def of_one(rule_differences: DataFrame) -> Section:
    """Show what is a rule within some groups alone, the surest first."""
    rules = newest(rule_differences, rule_differences).where("mined_in IS NOT NULL")
    name = F.concat_ws(": ", "grouping", "group")
    own = rules.where(F.array_contains("mined_in", name))
    by_sureness = Window.partitionBy(F.lit(0)).orderBy(
        F.asc_nulls_last("q_value"), F.desc("difference"), "level", "antecedent", "consequent", "grouping", "group"
    )
    placed = own.withColumns(
        {"place": F.row_number().over(by_sureness), "all": F.count("*").over(Window.partitionBy(F.lit(0)))}
    )
    return Section(
        title="What single groups buy together",
        chapter=Chapter.BASKETS,
        rows=placed.where(F.col("place") <= SHOWN).select(
            "place",
            F.concat(_rule(), F.lit(" ("), "group", F.lit(")")).alias("rule"),
            _percent("confidence"),
            _percent("other_confidence"),
            "count",
            "antecedent_count",
            "other_count",
            "q_value",
            "antecedent_title",
            "consequent_title",
            "group",
            "all",
        ),
        sentence=_of_one_told,
        picture=Bars("rule", "confidence", beside="other_confidence", horizontal=True),
        labels={
            "place": "Place",
            "rule": "Who buys → buys too (group)",
            "confidence": "Of the group's baskets [%]",
            "other_confidence": "Of all other baskets [%]",
            "count": "The group's baskets with both",
            "antecedent_count": "The group's baskets with what is bought first",
            "other_count": "Other baskets with both",
            "q_value": "Share of chance among such differences",
            "antecedent_title": "Who buys",
            "consequent_title": "Buys too",
            "group": "Group",
            "all": "Rules of one group or some",
        },
        order_by=["place"],
        note=(
            "The baskets of each group, mined by themselves: rules that hold there and are none of all baskets. Of the "
            "baskets with the left side, the share that has the right side too. As each was chosen for being strong "
            "there, expect less of it next time."
        ),
        empty=None,  # it was not asked, or there are none
    )


def _of_one_told(rules: Rows) -> str:
    first = rules[0]
    return (
        f"{first['all']:,} rules hold within a group and are none of all baskets. “{first['group']}” who buy "
        f"{first['antecedent_title']} have {first['consequent_title']} in {first['count']:,} of "
        f"{first['antecedent_count']:,} baskets; others have both in {first['other_count']:,}."
    )


def changed(rule_differences: DataFrame) -> Section:
    """Show which rules are new, gone, stronger or weaker since the last time."""
    rules = newest(rule_differences, rule_differences).where((F.col("grouping") == SINCE) & F.col("mined_in").isNull())
    is_told = F.coalesce("change", F.lit("same")) != "same"
    by_sureness = Window.partitionBy(F.lit(0)).orderBy(
        F.desc(is_told), F.asc_nulls_last("q_value"), "level", "antecedent", "consequent"
    )
    all_ = Window.partitionBy(F.lit(0))
    counts = {change: F.count_if(F.col("change") == change).over(all_) for change in (*CHANGES, "same")}
    placed = rules.withColumns(counts).withColumn("place", F.row_number().over(by_sureness))
    return Section(
        title="What changed in what is bought together",
        chapter=Chapter.CHANGES,
        rows=placed.where(F.col("place") <= SHOWN).select(
            "place",
            F.concat(_rule(), F.lit(" ("), F.coalesce("change", F.lit("no basket since")), F.lit(")")).alias("rule"),
            _percent("confidence"),
            _percent("other_confidence"),
            _percent("difference"),
            "count",
            "antecedent_count",
            "other_count",
            "q_value",
            "antecedent_title",
            "consequent_title",
            "change",
            *counts,
            F.col("group").alias("since"),
        ),
        sentence=_changed_told,
        picture=Bars("rule", "confidence", beside="other_confidence", horizontal=True),
        labels={
            "place": "Place",
            "rule": "Who buys → buys too",
            "confidence": "Of their baskets since then [%]",
            "other_confidence": "Of their baskets before [%]",
            "difference": "Surer now [points]",
            "count": "Baskets with both since then",
            "antecedent_count": "Baskets with what is bought first since then",
            "other_count": "Baskets with both before",
            "q_value": "Share of chance among such differences",
            "antecedent_title": "Who buys",
            "consequent_title": "Buys too",
            "change": "Change",
            "new": "New rules",
            "gone": "Rules that are gone",
            "stronger": "Rules that are stronger",
            "weaker": "Rules that are weaker",
            "same": "Rules that may be the same",
            "since": "The last time was",
        },
        order_by=["place"],
        note=(
            "Baskets since the last time, against those that the last rules speak for. New and gone are rules by what "
            "rules must be like; stronger and weaker are those whose difference is hardly chance."
        ),
        empty="There is nothing to compare yet: from the second day with rules on, this tells what changed in them.",
    )


def _changed_told(rules: Rows) -> str:
    first = rules[0]
    told = ", ".join(f"{first[change]:,} {change}" for change in CHANGES)
    return f"Since {first['since']} rules are {told}, {first['same']:,} the same but for chance.{_clearest_told(first)}"


def _clearest_told(rule: dict[str, Any]) -> str:
    if rule["q_value"] is None or rule["q_value"] > SURE:
        return " No baskets since differ from those before by more than chance."
    return (
        f" The clearest is {rule['change']}: who buys {rule['antecedent_title']} had {rule['consequent_title']} in "
        f"{rule['count']:,} of {rule['antecedent_count']:,} baskets since, before in {rule['other_confidence']:,.1f} %."
    )


def _rule() -> Column:
    return F.concat("antecedent_title", F.lit(" → "), "consequent_title")


def _percent(name: str) -> Column:
    return F.round(F.col(name) * 100, 1).alias(name)


SECTIONS = (by_segment, of_one, changed)
