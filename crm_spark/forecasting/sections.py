"""What the page tells of behaviour over time: how it moves, in which segments, and whether it comes again."""

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Heat, Lines, Rows, Section, newest
from crm_spark.forecasting.series import ALL, day_after

SHOWN = 26  # periods of a heat map
CHANCE = 0.05


def moves(behaviour_series: DataFrame) -> Section:
    """Show what all customers spend in each period, with its moving average."""
    periods = periods_of(behaviour_series, ALL).where("measure = 'spend'")
    return Section(
        title="How spending moves",
        chapter=Chapter.BEHAVIOUR,
        rows=periods.select("day", "value", "average", "trend", "period"),
        sentence=_moves_told,
        picture=Lines("day", ["value", "average", "trend"]),
        labels={
            "day": "Period from",
            "value": "Spend [money]",
            "average": "Moving average [money]",
            "trend": "Trend without the season [money]",
            "period": "Period",
        },
        order_by=["day"],
        note="Whole periods alone: one that is not over yet is left out. The trend is told from two cycles on.",
        empty="No period is over yet since the first sale.",
    )


def periods_of(behaviour_series: DataFrame, grouping: str) -> DataFrame:
    """Give the newest series of a grouping, a row for each period.

    Returns
    -------
    DataFrame
        `key`, `measure`, `period`, `day` (its first), `value`, `average`, `trend`.
    """
    told = newest(behaviour_series, behaviour_series).where(F.col("grouping") == grouping)
    each = told.select(
        "key", "measure", "period", "first", "averages", "trend", F.posexplode("values").alias("at", "value")
    )
    return each.select(
        "key",
        "measure",
        "period",
        day_after(F.col("at")).alias("day"),
        "value",
        F.get("averages", F.col("at")).alias("average"),
        F.get("trend", F.col("at")).alias("trend"),
    )


def _moves_told(rows: Rows) -> str:
    last = rows[-1]
    told = f"The last whole {last['period']}, from {day_told(last['day'])} on, brought {last['value']:,.0f} ¤"
    if not last["average"]:
        return f"{told}."
    off = last["value"] / last["average"] - 1
    way = "more" if off >= 0 else "less"
    return f"{told}, {abs(off) * 100:,.0f} % {way} than the moving average of {last['average']:,.0f} ¤."


def day_told(day: date) -> str:
    """Write a day for a reader."""
    return f"{day:%-d %B %Y}"


def by_segment(behaviour_series: DataFrame) -> Section:
    """Show how the average spending of each segment moves."""
    periods = periods_of(behaviour_series, "segment").where("measure = 'spend'")
    newest_ones = periods.select("day").distinct().orderBy(F.desc("day")).limit(SHOWN)
    return Section(
        title="Spending of each segment, period by period",
        chapter=Chapter.BEHAVIOUR,
        rows=periods.join(F.broadcast(newest_ones), "day").select("day", F.col("key").alias("segment"), "value"),
        sentence=_by_segment_told,
        picture=Heat("day", "segment", "value"),
        labels={"day": "Period from", "segment": "Segment", "value": "Spend [money]"},
        order_by=["segment", "day"],
        note="Customers count in the segment that they are in today, in all periods.",
        empty=None,
    )


def _by_segment_told(rows: Rows) -> str:
    last = max(row["day"] for row in rows)
    of_last = {row["segment"]: row["value"] for row in rows if row["day"] == last}
    whole = sum(of_last.values())
    best = max(of_last, key=lambda segment: (of_last[segment], segment))
    share = of_last[best] / whole if whole else 0
    told = f"In the last period, from {day_told(last)} on, most came from {best}"
    return f"{told}: {of_last[best]:,.0f} ¤, {share * 100:,.0f} % of all."


def comes_again(autocorrelations: DataFrame) -> Section:
    """Show how much the spending of all is like that of some periods ago."""
    told = newest(autocorrelations, autocorrelations).where((F.col("grouping") == ALL) & (F.col("measure") == "spend"))
    each = told.select("noise_band", "pacf", "p", "rhythm", F.posexplode("acf").alias("at", "acf")).where(
        "acf IS NOT NULL"
    )
    beyond = F.when(F.abs("acf") > F.col("noise_band"), "beyond chance").otherwise("within chance")
    return Section(
        title="Whether spending comes again in a rhythm",
        chapter=Chapter.BEHAVIOUR,
        rows=each.select(
            (F.col("at") + 1).alias("lag"),
            "acf",
            F.get("pacf", F.col("at")).alias("pacf"),
            "noise_band",
            beyond.alias("beyond"),
            "rhythm",
            "p",
        ),
        sentence=_comes_again_told,
        picture=Bars("lag", "acf", stack="beyond"),
        labels={
            "lag": "Periods back",
            "acf": "Autocorrelation",
            "pacf": "Partial autocorrelation",
            "noise_band": "Within chance up to",
            "beyond": "Beyond chance",
            "rhythm": "Rhythm [periods]",
            "p": "p of the first lags (Ljung-Box)",
        },
        order_by=["lag"],
        note="1: the same again; 0: nothing in common; -1: the opposite. Of noise 95 of 100 lie within chance.",
        empty=None,
    )


def _comes_again_told(rows: Rows) -> str:
    first = rows[0]
    if first["rhythm"]:
        high = next(row["acf"] for row in rows if row["lag"] == first["rhythm"])
        return (
            f"Spending comes again after {first['rhythm']} periods: it is like that with a correlation of {high:.2f}."
        )
    if first["p"] is not None and first["p"] < CHANCE:
        return "Spending of one period tells of the next ones, more than chance would have it, but it has no rhythm."
    return "Nothing tells that spending comes again in a rhythm: what there is may be chance."


def who_has_a_rhythm(autocorrelations: DataFrame) -> Section:
    """Show for how many customers one period tells of the next."""
    told = newest(autocorrelations, autocorrelations).where("grouping = 'customer' AND measure = 'purchases'")
    kind = (
        F.when(F.col("p").isNull(), "too short or without change")
        .when(F.col("p") >= CHANCE, "chance alone")
        .when(F.col("rhythm").isNull(), "one period tells of the next")
        .otherwise("comes again in a rhythm")
    )
    rows = told.groupBy(kind.alias("kind")).agg(F.count("*").alias("customers"), F.median("rhythm").alias("rhythm"))
    return Section(
        title="How many customers buy in a rhythm",
        chapter=Chapter.BEHAVIOUR,
        rows=rows,
        sentence=_who_told,
        picture=Bars("kind", "customers", horizontal=True),
        labels={"kind": "What their purchases are like", "customers": "Customers", "rhythm": "Median rhythm [periods]"},
        order_by=["-customers", "kind"],
        note=f"By the Ljung-Box test of each one: of those by chance alone {CHANCE * 100:.0f} % pass it too.",
        empty=None,
    )


def _who_told(rows: Rows) -> str:
    customers = {row["kind"]: row["customers"] for row in rows}
    tested = sum(number for kind, number in customers.items() if not kind.startswith("too short"))
    passed = tested - customers.get("chance alone", 0)
    told = f"Of {sum(customers.values()):,} customers {tested:,} have a series that can be tested"
    if not tested:
        return f"{told}."
    by_chance = f"where chance alone would make it {tested * CHANCE:,.0f}"
    return f"{told}; of {passed:,} of these one period tells of the next, {by_chance}."


SECTIONS = (moves, by_segment, comes_again, who_has_a_rhythm)
