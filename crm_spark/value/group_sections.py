"""What the page tells of the value of groups: what each is worth, who moved, how much few customers have."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Lines, Rows, Section, newest
from crm_spark.value.concentration import NEGATIVE
from crm_spark.value.groups import UNKNOWN
from crm_spark.value.migration import GONE, NEW

COUNTED = {
    "customers": "Customers",
    "revenue": "Brought so far [money]",
    "margin": "Margin so far [money]",
    "cost_to_serve": "Cost to serve so far [money]",
    "value": "Value [money]",
    "share_of_value": "Share of the value [%]",
    "share_of_customers": "Share of the customers [%]",
    "value_mean": "Value of one, on average [money]",
    "value_deviation": "Spread of it [money]",
    "expected_revenue": "Revenue to come [money]",
    "revenue_p05": "At least, with 95 % [money]",
    "revenue_p95": "At most, with 95 % [money]",
}
NO_VALUE = "There is no value of customers to sum up."
INTERVALS = (
    "Value is what stays of the revenue to come, discounted. What a group brings, at least and at most, is not the sum "
    "of what single customers do: chance evens out among many."
)
CALLED = {"kmeans": "Behave alike", "cohort": "First bought"}


def segments(value_groups: DataFrame) -> Section:
    """Tell what each named segment brought, costs, and is worth."""
    return Section(
        title="What each segment is worth, and what it costs",
        chapter=Chapter.VALUE,
        rows=_counted(value_groups, F.col("grouping") == "rfm", F.col("group")),
        sentence=_segments_told,
        picture=Bars("group", "share_of_value", beside="share_of_customers", horizontal=True),
        labels={"group": "Segment", **COUNTED},
        order_by=["-value", "group"],
        note=INTERVALS,
        empty=NO_VALUE,
    )


def _counted(value_groups: DataFrame, is_shown: Column, name: Column) -> DataFrame:
    told = [F.col(column) * 100 if column.startswith("share") else F.col(column) for column in COUNTED]
    columns = [column.alias(called) for column, called in zip(told, COUNTED, strict=True)]
    return newest(value_groups, value_groups).where(is_shown).select(name.alias("group"), *columns)


def _segments_told(rows: Rows) -> str:
    first = rows[0]
    if first["value"] is None:
        return "What the segments are worth cannot be told."
    served = "" if first["cost_to_serve"] is None else f" To serve it cost {first['cost_to_serve']:,.0f} ¤ so far."
    return (
        f"“{first['group']}” is worth most: {first['value']:,.0f} ¤{_share_told(first)}.{_to_come_told(first)}{served}"
    )


def _share_told(row: dict[str, float | None]) -> str:
    """Tell its share of the value, where there is one."""
    if row["share_of_value"] is None:
        return ""
    return f", {row['share_of_value']:,.1f} % of the value from {row['share_of_customers']:,.1f} % of the customers"


def _to_come_told(row: dict[str, float | None]) -> str:
    if row["revenue_p05"] is None:
        return ""
    return (
        f" It is expected to bring {row['expected_revenue']:,.0f} ¤ of revenue, with 90 % between "
        f"{row['revenue_p05']:,.0f} and {row['revenue_p95']:,.0f} ¤."
    )


def tenths(value_groups: DataFrame) -> Section:
    """Tell what each tenth of the customers is worth."""
    is_known = (F.col("grouping") == "decile") & (F.col("group") != UNKNOWN)
    return Section(
        title="What each tenth of the customers is worth",
        chapter=Chapter.VALUE,
        rows=_counted(value_groups, is_known, F.col("group")),
        sentence=_tenths_told,
        picture=Bars("group", "value"),
        labels={"group": "Tenth of the customers, 01 worth most", **COUNTED},
        order_by=["group"],
        note=INTERVALS,
        empty=NO_VALUE,
    )


def _tenths_told(rows: Rows) -> str:
    first, customers = rows[0], sum(row["customers"] for row in rows)
    of_all = "" if first["share_of_value"] is None else f", {first['share_of_value']:,.1f} % of all"
    return (
        f"Of {customers:,} customers the tenth that is worth most is worth {first['value']:,.0f} ¤{of_all}."
        f"{_to_come_told(first)}"
    )


def others(value_groups: DataFrame) -> Section:
    """Tell what is worth most of customers who behave alike, who came in one month, and by attributes."""
    kinds = F.coalesce(
        *[F.when(F.col("grouping") == name, F.lit(called)) for name, called in CALLED.items()],
        F.initcap("grouping"),
    )
    is_other = ~F.col("grouping").isin("rfm", "decile")
    return Section(
        title="What other groups are worth",
        chapter=Chapter.VALUE,
        rows=_counted(value_groups, is_other, F.concat_ws(": ", kinds, "group")),
        sentence=_others_told,
        picture=Bars("group", "share_of_value", beside="share_of_customers", horizontal=True),
        labels={"group": "Group", **COUNTED},
        order_by=["-value", "group"],
        note="Each kind of group parts all customers: shares of one kind add up to 100 %.",
        empty=NO_VALUE,
    )


def _others_told(rows: Rows) -> str:
    told = [row for row in rows if row["value_mean"] is not None and row["customers"] >= FEW]
    if not told:
        return f"No group has {FEW} customers with a value."
    best = max(told, key=lambda row: (row["value_mean"], row["group"]))
    return (
        f"Of groups of {FEW} customers or more, one of “{best['group']}” is worth most on average: "
        f"{best['value_mean']:,.0f} ¤."
    )


FEW = 10


def moves(value_migration: DataFrame) -> Section:
    """Tell what the customers who went from one segment to another were worth and are worth."""
    newest_ = newest(value_migration, value_migration).where("grouping = 'rfm' AND since IS NOT NULL")
    is_move = F.col("from_group") != F.col("to_group")
    move = F.when(is_move, F.concat_ws(" → ", "from_group", "to_group"))
    change = F.col("value_after") - F.col("value_before")
    return Section(
        title="What moves between segments were worth",
        chapter=Chapter.CHANGES,
        rows=newest_.select(
            F.coalesce(move, F.concat("from_group", F.lit(" (stayed)"))).alias("move"),
            "customers",
            "value_before",
            "value_after",
            change.alias("change"),
            "revenue_between",
            is_move.alias("moved"),
            F.abs(change).alias("size"),
            "since",
            "as_of",
        ),
        sentence=_moves_told,
        picture=Bars("move", "change", only="moved", horizontal=True),
        labels={
            "move": "Move",
            "customers": "Customers",
            "value_before": "Worth last time [money]",
            "value_after": "Worth now [money]",
            "change": "Worth more now [money]",
            "revenue_between": "Brought since then [money]",
            "moved": "Moved",
            "size": "Size of the change [money]",
            "since": "Last time was",
            "as_of": "Now is",
        },
        order_by=["-moved", "-size", "move"],
        note=(
            f"Value is what stays of what customers are expected to bring, discounted. {NEW} were no customers last "
            f"time, {GONE} are none now."
        ),
        empty="There is nothing to compare yet: from the second day with values on, this tells what moved.",
    )


def _moves_told(rows: Rows) -> str:
    before, after = (sum(row[name] or 0 for row in rows) for name in ("value_before", "value_after"))
    since, as_of = rows[0]["since"], rows[0]["as_of"]
    told = f"From {since} to {as_of} the value of all customers went from {before:,.0f} to {after:,.0f} ¤"
    moved = [row for row in rows if row["moved"] and row["change"]]
    if not moved:
        return f"{told}."
    most = moved[0]
    return (
        f"{told}; most of all counts “{most['move']}”, {most['customers']:,} "
        f"{'customer' if most['customers'] == 1 else 'customers'}: {most['change']:+,.0f} ¤."
    )


def concentration(value_concentration: DataFrame) -> Section:
    """Tell which share of the value to come, and of the revenue so far, the first customers have."""
    is_negative = F.coalesce(F.col("reason") == NEGATIVE, F.lit(False))
    shown = newest(value_concentration, value_concentration).where(F.col("estimate").isNotNull() | is_negative)
    share = [
        F.max(F.when((F.col("statistic") == "share") & (F.col("measure") == of), F.col(name) * 100)).alias(called)
        for of, name, called in (
            ("value", "estimate", "value_share"),
            ("value", "low", "value_low"),
            ("value", "high", "value_high"),
            ("revenue", "estimate", "revenue_share"),
            ("revenue", "low", "revenue_low"),
            ("revenue", "high", "revenue_high"),
        )
    ]
    is_gini = (F.col("statistic") == "gini") & (F.col("measure") == "value")
    gini = [F.max(F.when(is_gini, F.col(name))).alias(f"gini_{name}") for name in ("estimate", "low", "high", "reason")]
    points = shown.groupBy("percent").agg(*share, *gini)
    return Section(
        title="How much of the value to come few customers have",
        chapter=Chapter.VALUE,
        rows=points.select("percent", *POINTS, F.col("percent").cast("double").alias("alike"), *GINI),
        sentence=_concentration_told,
        picture=Lines("percent", ["value_share", "revenue_share", "alike"]),
        labels={
            "percent": "Customers, from who has most [%]",
            **POINTS,
            "alike": "Share if all had the same [%]",
            **GINI,
        },
        order_by=["percent"],
        note=(
            "Intervals are by the bootstrap: as sure as it is that other customers of the same kind would give the "
            "same. They hold values for known, which are expectations. Gini is 0 where all have the same, 1 where one "
            "has all. Where some have less than nothing the first ones can have more than all."
        ),
        empty=NO_VALUE,
    )


POINTS = {
    "value_share": "Share of the value to come [%]",
    "value_low": "At least, with 97.5 % [%]",
    "value_high": "At most, with 97.5 % [%]",
    "revenue_share": "Share of the revenue so far [%]",
    "revenue_low": "Revenue: at least [%]",
    "revenue_high": "Revenue: at most [%]",
}
GINI = {
    "gini_estimate": "Gini coefficient of the value",
    "gini_low": "Gini: at least",
    "gini_high": "Gini: at most",
    "gini_reason": "Gini: why something is not told",
}


def _concentration_told(points: Rows) -> str:
    at = {point["percent"]: point for point in points}
    ten = at[10]
    name, called = ("value", "value to come") if ten["value_share"] is not None else ("revenue", "revenue so far")
    low, high = ten[f"{name}_low"], ten[f"{name}_high"]
    between = "" if low is None else f" (with 95 % between {low:,.1f} and {high:,.1f} %)"
    has_none = any(point["gini_reason"] == NEGATIVE for point in points)
    no_gini = " There is no Gini coefficient of the value to come: some have less than nothing." if has_none else ""
    return (
        f"The first 10 % of the customers have {ten[f'{name}_share']:,.1f} % of the {called}{between}; the first 1 % "
        f"have {at[1][f'{name}_share']:,.1f} %.{no_gini}"
    )


SECTIONS = (segments, tenths, others, moves, concentration)
