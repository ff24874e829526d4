"""What the page tells of ingestion: odd days, what the shop took, what was loaded, what was refused and why."""

from decimal import Decimal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Lines, Rows, Section
from crm_spark.ingest import oddities
from crm_spark.ingest.oddities import UNCOUNTED

MANY, LONG = 120, 732  # days beyond which revenue is told by week, and by month
COUNTS = ["records", "loaded", "quarantined", "duplicates"]


# -- accounts


def loads(ingest_accounts: DataFrame) -> Section:
    """Tell what was loaded and what was not, for each feed."""
    is_counted = ~F.col("status").isin(UNCOUNTED)
    warnings = F.aggregate(F.map_values("warnings"), F.lit(0).cast("bigint"), lambda sum, next: sum + next)
    feeds = ingest_accounts.groupBy("source", F.concat_ws(" / ", "source", "feed").alias("feed")).agg(
        F.count("*").alias("files"),
        F.count_if(F.col("status") == "refused").alias("files_refused"),
        F.count_if(F.col("status") == "repeated").alias("files_repeated"),
        *[_total(F.when(is_counted, F.col(name))).alias(name) for name in COUNTS],
        _total(warnings).alias("warnings"),
    )
    share = F.try_divide(F.col("quarantined") * 100, F.col("records"))
    return Section(
        title="What was loaded, by source",
        chapter=Chapter.DATA,
        rows=feeds.withColumn("refused_share", F.coalesce(share, F.lit(0.0))),
        sentence=_loads_told,
        picture=Bars("feed", "refused_share", stack="source", horizontal=True),
        labels={
            "source": "Source",
            "feed": "Feed",
            "files": "Files",
            "files_refused": "Files refused whole",
            "files_repeated": "Files repeated",
            "records": "Records",
            "loaded": "Loaded",
            "quarantined": "Refused or waiting",
            "duplicates": "Repeats within a file",
            "warnings": "Warnings",
            "refused_share": "Records refused or waiting [%]",
        },
        order_by=["feed"],
    )


def _loads_told(feeds: Rows) -> str:
    records, loaded, quarantined, files = (
        sum(feed[name] for feed in feeds) for name in ("records", "loaded", "quarantined", "files")
    )
    if not records:
        return f"{_counted(files, 'file')} held no records."
    told = f"Of {_counted(records, 'record')} in {_counted(files, 'file')}, {_percent(loaded, records)} loaded"
    told += _by_source(feeds)
    if not quarantined:
        return f"{told}, none refused."
    worst = max(feeds, key=lambda feed: (feed["refused_share"], feed["feed"]))
    return (
        f"{told}, {quarantined:,} refused or waiting; the largest share in "
        f"{worst['feed']}, {_percent(worst['quarantined'], worst['records'])}."
    )


def _by_source(feeds: Rows) -> str:
    """Tell each of several sources."""
    sources = list(dict.fromkeys(feed["source"] for feed in feeds))
    shares = []
    for source in sources:
        records, loaded = (
            sum(feed[name] for feed in feeds if feed["source"] == source) for name in ("records", "loaded")
        )
        shares.append(f"{_percent(loaded, records)} from {source}" if records else f"none from {source}")
    return f" ({', '.join(shares)})" if len(sources) > 1 else ""


# -- refusals


def refusals(quarantine: DataFrame) -> Section:
    """Tell why records were refused, and how often; never what stood in them."""
    reasons = quarantine.groupBy("source", "reason").agg(
        F.count("*").alias("records"), F.count_if("waits").alias("waiting")
    )
    return Section(
        title="Why records were refused",
        chapter=Chapter.DATA,
        rows=reasons,
        sentence=_refusals_told,
        picture=Bars("reason", "records", stack="source", horizontal=True),
        labels={
            "source": "Source",
            "reason": "Reason",
            "records": "Records",
            "waiting": "Of them waiting for a partner",
        },
        order_by=["-records", "source", "reason"],
        empty="Nothing was refused so far.",
    )


def _refusals_told(reasons: Rows) -> str:
    records, waiting = (sum(reason[name] for reason in reasons) for name in ("records", "waiting"))
    first = reasons[0]
    told = (
        f"The most frequent reason, “{first['reason']}” in {first['source']}, "
        f"holds for {first['records']:,} of {_counted(records, 'record')}"
    )
    return f"{told}; {waiting:,} of all wait for a partner and load by themselves." if waiting else f"{told}."


# -- revenue


def revenue(order_lines: DataFrame) -> Section:
    """Tell what the shop took over time, from known customers and from anonymous buyers.

    One pass over `order_lines`, one shuffle by day. A day without orders counts zero.
    """
    return Section(
        title="Revenue over time",
        chapter=Chapter.VALUE,
        rows=_periods(_days(order_lines)),
        sentence=_revenue_told,
        picture=Lines("period", ["known", "anonymous"]),
        labels={
            "period": "Day, Monday of a week, or month",
            "first": "First day",
            "last": "Last day",
            "revenue": "Revenue [money]",
            "known": "Known customers [money]",
            "anonymous": "Anonymous buyers [money]",
            "sales": "Sales [money]",
            "returns": "Returns [money]",
            "adjustments": "Adjustments, not in revenue [money]",
            "days": "Days with orders",
        },
        order_by=["period"],
        note="Where days are many, a point is a week or a month; the first and the last may have few days.",
    )


MEASURES = ["known", "anonymous", "sales", "returns", "adjustments", "days"]


def _days(order_lines: DataFrame) -> DataFrame:
    """One row for each day that has order lines."""
    is_revenue = F.col("kind") != "adjustment"
    is_known = F.col("customer_id").isNotNull()
    return order_lines.groupBy("ordered_on").agg(
        _amount(is_revenue & is_known).alias("known"),
        _amount(is_revenue & ~is_known).alias("anonymous"),
        _amount(F.col("kind") == "sale").alias("sales"),
        _amount(F.col("kind") == "return").alias("returns"),
        _amount(~is_revenue).alias("adjustments"),
        F.lit(1).alias("days"),
    )


def _periods(days: DataFrame) -> DataFrame:
    """Every day from the first to the last, or every week or month where these are many.

    The days are packed into one row, which knows the first and the last: nothing is read twice.
    """
    packed = days.agg(
        F.collect_list(F.struct("ordered_on", *MEASURES)).alias("days"),
        F.min("ordered_on").alias("first"),
        F.max("ordered_on").alias("last"),
    )
    blank = F.transform(F.sequence("first", "last", F.expr("interval 1 day")), _blank)
    unpacked = packed.where(F.col("first").isNotNull()).select(
        F.date_diff("last", "first").alias("span"), F.explode(F.concat("days", blank)).alias("day")
    )
    day, span = F.col("day.ordered_on"), F.col("span")
    period = (
        F.when(span >= LONG, F.date_format(day, "yyyy-MM"))
        .when(span >= MANY, F.date_format(F.date_trunc("week", day), "yyyy-MM-dd"))
        .otherwise(F.date_format(day, "yyyy-MM-dd"))
    )
    sums = [F.sum(f"day.{name}").alias(name) for name in MEASURES]
    periods = unpacked.groupBy(period.alias("period")).agg(*sums, F.min(day).alias("first"), F.max(day).alias("last"))
    revenue = (F.col("known") + F.col("anonymous")).alias("revenue")
    return periods.select("period", revenue, *MEASURES, "first", "last")


def _blank(day: Column) -> Column:
    """Make a day on which nothing was ordered."""
    money = [F.lit(Decimal(0)).cast("decimal(28,4)").alias(name) for name in MEASURES[:-1]]
    return F.struct(day.alias("ordered_on"), *money, F.lit(0).alias("days"))


def _amount(condition: Column) -> Column:
    total = F.sum(F.when(condition, F.col("amount")))
    return F.coalesce(total, F.lit(Decimal(0))).cast("decimal(28,4)")


def _revenue_told(periods: Rows) -> str:
    first, last = periods[0]["first"], periods[-1]["last"]
    when = f"On {first}" if first == last else f"From {first} to {last}"
    total, anonymous, sales, returns = (
        sum(period[name] for period in periods) for name in ("revenue", "anonymous", "sales", "returns")
    )
    told = [f"{when} the shop took {total:,.0f} ¤"]
    if returns and sales:
        told.append(f"after returns of {-returns:,.0f} ¤ ({_percent(-returns, sales)} of sales)")
    if anonymous and total > 0:
        told.append(f"{_percent(anonymous, total)} of it from anonymous buyers")
    return ", ".join(told) + "."


# -- words


def _total(column: Column) -> Column:
    return F.coalesce(F.sum(column), F.lit(0))


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _percent(part: int | Decimal, whole: int | Decimal) -> str:
    """Write a share in percent; a small one is not rounded to nothing, a large one not to all."""
    share = float(part) / float(whole) * 100
    if 0 < share < 0.1:
        return "less than 0.1 %"
    return "more than 99.9 %" if 99.9 < share < 100 else f"{share:,.1f} %"


SECTIONS = (oddities.section, revenue, loads, refusals)
