"""What is out of the ordinary: of all that was judged what is no chance, each told once, the strongest first, in words.

All periods that are judged of a grouping on a day are one family: among findings with a q of 0.05 or less no more than
5 in 100 are chance (Benjamini and Hochberg). What goes on from a former finding of the series is the same episode: it
stands in the table and is not told again. Of the others the likeliest are told, as many as the budget allows; who was
left out for it may be told the next time, if it goes on.

References
----------
Benjamini, Y., Hochberg, Y. (1995). Controlling the False Discovery Rate. J. R. Stat. Soc. B 57(1), 289-300.
"""

from collections.abc import Iterator
from datetime import date
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from scipy import special

from crm_spark.anomalies.standings import STANDINGS, WORDS
from crm_spark.core.contracts import Field, Table
from crm_spark.forecasting.series import KEYS, MEANS, OF_SERIES, SEASONS
from crm_spark.kernels.lists import ragged, unragged
from crm_spark.kernels.series import ended, parted
from crm_spark.kernels.standings import Asked, stand

SHOWN = 26  # periods that are kept with a finding
SURE = 0.05  # a method agrees where its own p is this or less
WITHIN_95 = 1.959964  # standard deviations
LENGTHS = {"day": 1, "week": 7, "month": 31}  # days of a period at most

FINDINGS = Table(
    "behaviour_findings",
    "What is out of the ordinary in the newest periods, and whether it is told now, as of a day.",
    owns="as_of",
    key=["as_of", "grouping", "key", "measure", "day"],
    columns=[
        *KEYS,
        *[STANDINGS[name] for name in ("day", "period", "observed", "expected")],
        Field("strength", "double", "how far it is off, in standard deviations of a normal value as rare as this"),
        Field("p", "double", "how often such a one comes by chance, by all methods together"),
        Field("q", "double", "share of chance among the day's findings of the grouping with this q or less"),
        Field("methods", "array<string>", f"which say so by themselves: {', '.join(WORDS)}"),
        STANDINGS["peers_change"],
        Field("reason", "string", "what is unusual, in words"),
        Field("began", "date", "the first day of the episode: of findings that go on from each other", unit="day"),
        Field("told_on", "date", "when the episode was told; not yet where the budget was spent", nullable=True),
        Field("is_alert", "boolean", "whether it is told on this day"),
        Field("values", "array<double>", f"the last {SHOWN} periods, this one being the last; null is missing"),
        Field("usual", "array<double>", "what was usual in each"),
        Field("low", "array<double>", "above which 39 of 40 usual values lie"),
        Field("high", "array<double>", "below which 39 of 40 do"),
    ],
)  # fmt: skip

VERBS = {"purchases": "bought", "spend": "spent", "visits": "came", "ratings": "rated"}
CARRIED = (
    "as_of", "day", "period", "observed", "expected", "p", "q", "methods", "peers_change", "reason", "began", "told_on",
    "is_alert",
)  # fmt: skip
DRAWN = ("values", "usual", "low", "high")


def find(
    standings: DataFrame,
    former: DataFrame,
    as_of: date,
    max_q: float = 0.05,
    budget: int = 20,
    quiet: int = 1,
) -> DataFrame:
    """Find what is out of the ordinary, and say which of it is told.

    Parameters
    ----------
    standings : DataFrame of STANDINGS
        Of one day. Read twice: best computed once.
    former : DataFrame of FINDINGS
        Of former days; later ones do not count.
    max_q : float, default 0.05
        Share of findings that may be chance.
    budget : int, default 20
        Findings that are told a day at most.
    quiet : int, default 1
        Periods without a finding between two of an episode at most.

    Returns
    -------
    DataFrame
        A row for each finding, as FINDINGS has them but for what `draw` adds. What might be one is shuffled by
        grouping, findings by series and into one part.
    """
    found = with_q_values(standings, max_q)
    told = _tell_once(found, former.where(F.col("as_of") < F.lit(as_of)), as_of, budget, quiet)
    return told.withColumns({"as_of": F.lit(as_of), "reason": words()})


def with_q_values(standings: DataFrame, max_q: float) -> DataFrame:
    """Give what has a q of so much at most; a p above it has none."""
    tests = standings.groupBy("grouping").agg(F.count("p").alias("tests"))
    likely = standings.where(F.col("p") <= max_q).join(F.broadcast(tests), "grouping")
    family = Window.partitionBy("grouping")
    place = F.count("*").over(family.orderBy("p"))
    placed = likely.withColumn("q", F.col("p") * F.col("tests") / place)
    return placed.withColumn("q", F.min("q").over(family.orderBy(F.desc("p")))).where(F.col("q") <= max_q)


def _tell_once(found: DataFrame, former: DataFrame, as_of: date, budget: int, quiet: int) -> DataFrame:
    """Say of each finding when its episode began and was told, and whether it is told now."""
    newest = F.max_by(F.struct("day", "began", "told_on"), F.struct("as_of", "day"))
    last = former.groupBy(*OF_SERIES).agg(newest.alias("last"))
    length = F.coalesce(*[F.when(F.col("period") == name, F.lit(days)) for name, days in LENGTHS.items()])
    of_series = Window.partitionBy(*OF_SERIES).orderBy("day")
    before = F.greatest(F.lag("day").over(of_series), F.when(F.col("last").isNotNull(), F.least("last.day", "day")))
    is_new = before.isNull() | (F.date_diff("day", before) > length * (quiet + 1))
    joined = found.join(last, list(OF_SERIES), "left").withColumn("is_new", is_new.cast("int"))
    numbered = joined.withColumn("episode", F.sum("is_new").over(of_series))
    goes_on = F.col("episode") == 0  # it hangs together with the last one that is known
    episode = Window.partitionBy(*OF_SERIES, "episode")
    placed = numbered.withColumns(
        {
            "began": F.when(goes_on, F.col("last.began")).otherwise(F.min("day").over(episode)),
            "told_on": F.when(goes_on, F.col("last.told_on")),
            "nth": F.row_number().over(episode.orderBy("p", F.desc("day"))),
        }
    )
    is_due = F.col("told_on").isNull() & (F.col("nth") == 1)
    strongest = Window.partitionBy(is_due).orderBy("p", F.desc(F.abs("z")), *OF_SERIES)
    chosen = placed.withColumn("is_alert", is_due & (F.row_number().over(strongest) <= budget))
    is_told = F.max("is_alert").over(episode)
    return chosen.withColumn("told_on", F.coalesce("told_on", F.when(is_told, F.lit(as_of)))).withColumn(
        "methods", F.array_compact(F.array(*[F.when(F.col(f"p_{name}") <= SURE, F.lit(name)) for name in WORDS]))
    )


def words() -> Column:
    """Say of a finding what is unusual: spent 4.1 times the usual for a Tuesday; peers rose 5 %."""
    verb = F.coalesce(*[F.when(F.col("measure") == measure, F.lit(verb)) for measure, verb in VERBS.items()])
    digits = F.when(F.abs("expected") < 10, F.format_number("expected", 1)).otherwise(F.format_number("expected", 0))
    value = F.when(F.abs("observed") < 10, F.format_number("observed", 1)).otherwise(F.format_number("observed", 0))
    ratio = F.try_divide("observed", "expected")
    for_a_day = F.when(F.col("period") == "day", F.concat(F.lit(" for a "), F.date_format("day", "EEEE"))).otherwise("")
    more = F.when(ratio >= 1, F.lit(" % more than is usual")).otherwise(F.lit(" % less than is usual"))
    how = (
        F.when(
            F.col("measure").isin(*MEANS) | (F.col("expected") <= 0),
            F.concat(value, F.lit(", where "), digits, F.lit(" is usual")),
        )
        .when(F.col("observed") == 0, F.concat(F.lit("nothing, where "), digits, F.lit(" is usual")))
        .when(ratio >= 2, F.concat(F.format_number(ratio, 1), F.lit(" times the usual")))
        .otherwise(F.concat(F.format_number(F.abs(ratio - 1) * 100, 0), more))
    )
    change = F.round(F.col("peers_change") * 100)
    moved = F.when(change > 0, "rose").otherwise("fell")
    peers = F.when(change == 0, F.lit("; peers are as usual")).otherwise(
        F.concat(F.lit("; peers "), moved, F.lit(" "), F.format_number(F.abs(change), 0), F.lit(" %"))
    )
    alone = F.when(
        F.col("methods") == F.array(F.lit("window")), F.lit("the last periods together are unusual; the last one: ")
    )
    return F.concat(F.coalesce(alone, F.lit("")), verb, F.lit(" "), how, for_a_day, F.coalesce(peers, F.lit("")))


def draw(found: DataFrame, series: DataFrame, past: int = 52) -> DataFrame:
    """Add to findings the periods that lead to them, with what was usual and within which limits usual values lie.

    Parameters
    ----------
    found : DataFrame
        As `find` gives it.
    series : DataFrame of BEHAVIOUR_SERIES
    past : int, default 52
        Periods that each is held against.

    Returns
    -------
    DataFrame of FINDINGS
        A join by series.
    """
    periods = (
        F.when(F.col("period") == "day", F.date_diff("day", "first"))
        .when(F.col("period") == "week", F.date_diff("day", "first") / 7)
        .otherwise(F.months_between("day", "first"))
    )
    of_series = series.select(*OF_SERIES, "first", "values")
    rows = found.join(of_series, list(OF_SERIES)).withColumn(
        "values", F.slice("values", F.lit(1), F.round(periods).cast("int") + 1)
    )
    types = FINDINGS.types((*OF_SERIES, *CARRIED, "strength", *DRAWN))
    drawn = rows.select(*OF_SERIES, *CARRIED, "values").mapInArrow(partial(_drawn, past=past), types)
    return drawn.select(*FINDINGS.names)


# -- lifted: Arrow in, Arrow out


def _drawn(batches: Iterator[pa.RecordBatch], past: int) -> Iterator[pa.RecordBatch]:
    names = [*OF_SERIES, *CARRIED]
    for batch in batches:
        values, offsets = ragged(batch.column("values"))
        aligned = ended(values, offsets)
        shown = np.minimum(np.diff(offsets), SHOWN)
        ends = np.append(0, np.cumsum(shown))
        usual, spread = np.full((2, SHOWN, shown.size), np.nan)
        periods = np.array(batch.column("period").to_pylist(), dtype=object)
        for period in dict.fromkeys(periods):
            asked = Asked(SEASONS[period], past, 1, 1, SHOWN - 1, methods=())
            found = stand(aligned[:, periods == period], asked)
            usual[:, periods == period], spread[:, periods == period] = found.expected, found.spread
        least = np.array([-np.inf if name in MEANS else 0.0 for name in batch.column("measure").to_pylist()])
        low, high = np.maximum(usual - WITHIN_95 * spread, least), usual + WITHIN_95 * spread
        last = np.full((SHOWN, shown.size), np.nan)
        last[-len(aligned[-SHOWN:]) :] = aligned[-SHOWN:]
        p, off = (batch.column(name).to_numpy(zero_copy_only=False) for name in ("p", "observed"))
        sign = np.where(off < batch.column("expected").to_numpy(zero_copy_only=False), -1.0, 1.0)
        strength = pa.array(-special.ndtri(p / 2) * sign)
        drawn = [unragged(parted(of, ends), ends) for of in (last, usual, low, high)]
        yield pa.RecordBatch.from_arrays([*map(batch.column, names), strength, *drawn], [*names, "strength", *DRAWN])
