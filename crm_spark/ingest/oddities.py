"""Days unlike their weekday: without any record, with far fewer or far more than usual.

A day is held against the eight same weekdays before it, of which four must be known. Usual is their median m,
the spread is 1.4826 times the median distance from it (so it is the standard deviation of what is normal),
or the root of m where that is more, as counts scatter. A day is odd

- that has no record where each of the eight had some, and m is 5 or more;
- that lies further from m than five spreads and than half of m.

Weekdays on which usually nothing comes are not judged. Orders and events count on the business day for which
they stand, files on the day on which they were written.

References
----------
Hampel, F. R. (1974). The influence curve and its role in robust estimation. JASA 69(346).
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Rows, Section

UNCOUNTED = ["started", "repeated"]  # files not read yet, or whose records are counted under another name
LOOK_BACK = 90  # days: what is older was to be looked at then
BEFORE, LEAST_KNOWN = 8, 4  # same weekdays
LEAST_USUAL, SPREADS, PART = 5, 5, 0.5
NORMAL = 1.4826


def odd_days(order_lines: DataFrame, events: DataFrame, ingest_accounts: DataFrame) -> DataFrame:
    """Find the days of the last 90 that are unlike their weekday.

    Parameters
    ----------
    order_lines : DataFrame of ORDER_LINES
    events : DataFrame of EVENTS
    ingest_accounts : DataFrame of ACCOUNTS

    Returns
    -------
    DataFrame
        `what` is counted, `day`, `records` of that day, `usual` ones, and what was `found`: none, few or
        many. A row for each odd day. One pass over each table, each with one shuffle by day.
    """
    dated = _dated(order_lines, "order lines of ", "ordered_on").unionByName(
        _dated(events, "events of ", "occurred_on")
    )
    judged = _filled(dated.unionByName(_delivered(ingest_accounts))).withColumn("before", _before())
    usual = judged.withColumn("usual", _median(F.col("before")))
    is_recent = F.col("day") > F.date_sub("last", LOOK_BACK)
    is_known = F.size("before") >= LEAST_KNOWN
    found = F.when(F.col("records") == 0, "none").when(F.col("records") < F.col("usual"), "few").otherwise("many")
    return usual.where(is_recent & is_known & (_is_missing() | _is_far())).select(
        "what", "day", "records", "usual", found.alias("found")
    )


def _dated(rows: DataFrame, words: str, day: str) -> DataFrame:
    """Rows by the business day for which they stand."""
    what = F.concat(F.lit(words), "source")
    return rows.groupBy(F.lit(words).alias("kind"), what.alias("what"), F.col(day).alias("day")).agg(
        F.count("*").alias("records")
    )


def _delivered(ingest_accounts: DataFrame) -> DataFrame:
    """Records in files by the day on which these were written, on the clock of the business."""
    what = F.concat(F.lit("files of "), F.concat_ws(" / ", "source", "feed"))
    on_our_clock = F.col("modified_at").cast("timestamp_ntz")  # that of the session
    written_on = F.convert_timezone(None, F.coalesce("zone", F.lit("UTC")), on_our_clock).cast("date")
    return (
        ingest_accounts.where(~F.col("status").isin(UNCOUNTED))
        .groupBy(F.lit("files").alias("kind"), what.alias("what"), written_on.alias("day"))
        .agg(F.sum("records").alias("records"))
    )


def _filled(counts: DataFrame) -> DataFrame:
    """Every day of each thing counted, from its first to the last of its kind.

    The days are packed into one row each, which knows the first: nothing is read twice.
    """
    packed = counts.groupBy("kind", "what").agg(
        F.collect_list(F.struct("day", "records")).alias("days"),
        F.min("day").alias("first"),
        F.max("day").alias("last"),
    )
    packed = packed.withColumn("last", F.max("last").over(Window.partitionBy("kind")))
    blank = F.transform(
        F.sequence("first", "last", F.expr("interval 1 day")),
        lambda day: F.struct(day.alias("day"), F.lit(0).cast("bigint").alias("records")),
    )
    days = packed.select("what", "last", F.explode(F.concat("days", blank)).alias("of"))
    return days.groupBy("what", "last", F.col("of.day").alias("day")).agg(F.sum("of.records").alias("records"))


def _before() -> Column:
    """The records of the same weekdays before."""
    weekdays = Window.partitionBy("what", F.dayofweek("day")).orderBy("day").rowsBetween(-BEFORE, -1)
    return F.collect_list("records").over(weekdays)


def _is_missing() -> Column:
    return (F.col("records") == 0) & (F.array_min("before") > 0) & (F.col("usual") >= LEAST_USUAL)


def _is_far() -> Column:
    usual = F.col("usual")
    distance = F.abs(F.col("records") - usual)
    spread = NORMAL * _median(F.transform("before", lambda records: F.abs(records - F.col("usual"))))
    is_beyond = distance > SPREADS * F.greatest(spread, F.sqrt(usual))
    return (usual > 0) & is_beyond & (distance > PART * usual)


def _median(numbers: Column) -> Column:
    """The middle of an array, as a double."""
    ordered, size = F.sort_array(numbers), F.size(numbers)
    low, high = F.floor((size - 1) / 2).cast("int"), F.floor(size / 2).cast("int")
    return (F.get(ordered, low) + F.get(ordered, high)).cast("double") / 2


# -- the page


def section(order_lines: DataFrame, events: DataFrame, ingest_accounts: DataFrame) -> Section:
    """Tell which days lack data, or have far fewer or far more than their weekday usually has."""
    which = F.concat(F.date_format("day", "EEE yyyy-MM-dd"), F.lit(", "), "what")
    days = odd_days(order_lines, events, ingest_accounts)
    return Section(
        title="Missing days, and days unlike their weekday",
        chapter=Chapter.ODDITIES,
        rows=days.select(which.alias("which"), "records", "usual", "found", "day"),
        sentence=_told,
        picture=Bars("which", "records", beside="usual", horizontal=True),
        labels={
            "which": "Day, and what was counted",
            "records": "Records",
            "usual": "Usual on that weekday",
            "found": "Found",
            "day": "Day",
        },
        order_by=["-day", "which"],
        note=(
            "Each day is held against the eight same weekdays before it. It is odd where it lies further from their "
            "median than five times their spread and than half of that median, or has none where each of them had some."
        ),
        empty=f"No day of the last {LOOK_BACK} is missing or unlike its weekday.",
    )


def _told(days: Rows) -> str:
    first = days[0]
    kinds = {"none": "without any records", "few": "with far fewer than usual", "many": "with far more than usual"}
    counts = [(len({day["day"] for day in days if day["found"] == kind}), words) for kind, words in kinds.items()]
    told = " and ".join(f"{count:,} {'day' if count == 1 else 'days'} {words}" for count, words in counts if count)
    return (
        f"In the last {LOOK_BACK} days: {told}; the latest is {first['which']}, with "
        f"{first['records']:,} where {first['usual']:,.0f} are usual."
    )
