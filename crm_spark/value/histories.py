"""Histories of customers: what each of them bought until a day, and in the last days before it, which are held out.

A purchase is a day with an order: several orders of a day are one, and the first is no repeat. Customers who are known
and have none are prospects.
"""

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.features.snapshot import known_on
from crm_spark.kernels.holdout import WEEK

A_MONEY = 10_000.0  # of its smallest parts
WEEKS = 52  # before the held-out ones that are told
BITS = 3  # that hold the days with an order of one week
TOGETHER = 16  # days of age within which customers go to one worker
PACKED = 63 // BITS  # weeks of which one bigint holds the days with an order


def alike(customers: DataFrame) -> DataFrame:
    """Lay customers out so that those of one frequency and nearly one age lie together, in order of both.

    Parameters
    ----------
    customers : DataFrame
        As `gather` gives it, and prospects, whose columns of a history are null: they lie anywhere.

    Returns
    -------
    DataFrame
        The same rows. One shuffle.
    """
    of_age = F.coalesce(F.floor(F.col("age") / TOGETHER), F.xxhash64("customer_id"))
    # By one whole number, which Spark sorts by its digits and without comparing rows.
    place = F.shiftleft(F.col("frequency").cast("bigint"), 32) + F.col("age")
    return customers.repartition("frequency", of_age).sortWithinPartitions(place)


def chances(customer_days: DataFrame, as_of: date, days: int) -> DataFrame:
    """Gather days into chances to buy, the last of which ends on `as_of`: orders within one are one purchase.

    Parameters
    ----------
    customer_days : DataFrame of CUSTOMER_DAYS
        Days after `as_of` are left out.
    days : int
        Of one chance.

    Returns
    -------
    DataFrame
        `customer_id`, `day`, the last one of the chance, and `orders`, `sales`, `returns` in it. One shuffle by
        customer.
    """
    end = F.date_sub(F.lit(as_of), (F.floor(F.date_diff(F.lit(as_of), "day") / days) * days).cast("int"))
    until = customer_days.where(F.col("day") <= F.lit(as_of))
    sums = [F.sum(name).alias(name) for name in ("orders", "sales", "returns")]
    return until.groupBy("customer_id", end.alias("day")).agg(*sums)


def gather(
    customer_days: DataFrame,
    as_of: date,
    net: bool = False,
    held_out: int = 0,
    customer_margins: DataFrame | None = None,
) -> DataFrame:
    """Sum up what each customer bought on or before a day.

    Parameters
    ----------
    customer_days : DataFrame of CUSTOMER_DAYS
        Days after `as_of` and days without an order are ignored.
    net : bool, default False
        Whether returns are taken off the money, on days with an order. They never take a purchase away.
    held_out : int, default 0
        The last days, which models are judged by.
    customer_margins : DataFrame of MARGINS, optional
        Of `as_of`. Its shares are of money before returns: with `net` these would be taken off twice.

    Returns
    -------
    DataFrame
        `customer_id`, `frequency`, `recency` [day], `age` [day], `monetary` [money], `revenue` [money] as CLV has
        them, `margin_share` as MARGINS has it, and `known`: `x`, `t_x`, `T` as they were before the held-out days,
        `before` and `held`, the purchases in as many days before and in these; null of a customer who came later.
        `held_weeks`: days with an order of each held-out week, PACKED weeks a number. One shuffle by customer, with
        margins two.
    """
    money = F.col("sales") - F.col("returns") if net else F.col("sales")
    # In ten-thousandths, as money is told: whole numbers, which floats add up exactly and quicker than decimals.
    money = F.rint(money.cast("double") * A_MONEY)
    bought = customer_days.where((F.col("day") <= F.lit(as_of)) & (F.col("orders") > 0))
    sums = bought.groupBy("customer_id").agg(
        F.min("day").alias("first"),
        F.max("day").alias("last"),
        (F.count("*") - 1).cast("int").alias("frequency"),
        F.sum(money).alias("all"),
        F.min_by(money, "day").alias("of_first"),
        *_counts(as_of, held_out),
    )
    later = (F.col("all") - F.col("of_first")) / A_MONEY
    return _with_margins(sums, customer_margins).select(
        "customer_id",
        "frequency",
        F.date_diff("last", "first").alias("recency"),
        F.date_diff(F.lit(as_of), F.col("first")).alias("age"),
        F.try_divide(later, F.col("frequency")).alias("monetary"),
        (F.col("all") / A_MONEY).alias("revenue"),
        "margin_share",
        *_judged(as_of, held_out),
    )


def _counts(as_of: date, held_out: int) -> list[Column]:
    """What of a customer's days models are judged by, where any are held out."""
    if not held_out:
        return []
    until, longer = (F.lit(as_of - timedelta(days=days)) for days in (held_out, 2 * held_out))
    is_known, is_before = F.col("day") <= until, F.col("day") <= longer
    return [
        F.max(F.when(is_known, F.col("day"))).alias("last_known"),
        F.count_if(is_known).alias("until"),
        F.count_if(is_known & ~is_before).alias("before"),
        F.array(*[F.sum(_packed(until, first)) for first in range(0, _weeks(held_out), PACKED)]).alias("held_weeks"),
    ]


def _judged(as_of: date, held_out: int) -> list[Column]:
    """The history before the held-out days, and what came then; null where none are held out."""
    if not held_out:
        nothing = F.lit(None).cast("struct<x:int,t_x:int,T:int,before:int,held:int>")
        return [nothing.alias("known"), F.array().cast("array<bigint>").alias("held_weeks")]
    until = F.lit(as_of - timedelta(days=held_out))
    known = {
        "x": F.col("until") - 1,
        "t_x": F.date_diff("last_known", F.col("first")),
        "T": F.date_diff(until, F.col("first")),
        "before": F.col("before"),
        "held": F.col("frequency") + 1 - F.col("until"),
    }
    told = F.struct(*[column.cast("int").alias(name) for name, column in known.items()])
    return [F.when(F.col("until") > 0, told).alias("known"), F.col("held_weeks")]


def _packed(until: Column, first: int) -> Column:
    """A day with an order as 1 at the place of its held-out week, of PACKED weeks after the first ones; else 0."""
    # There are no more than seven of them in a week: sums of different weeks do not run into each other.
    week = F.floor((F.date_diff("day", until) - 1) / WEEK) - first
    one = F.call_function("shiftleft", F.lit(1).cast("bigint"), (week * BITS).cast("int"))
    return F.when(week.between(0, PACKED - 1), one).otherwise(F.lit(0).cast("bigint"))


def _weeks(held_out: int) -> int:
    """How many there are; the last may be cut short."""
    return -(-held_out // WEEK)


def _with_margins(sums: DataFrame, customer_margins: DataFrame | None) -> DataFrame:
    if customer_margins is None:
        return sums.withColumn("margin_share", F.lit(None).cast("double"))
    return sums.join(customer_margins.select("customer_id", "margin_share"), "customer_id", "left")


def prospects(
    customer_history: DataFrame, among: DataFrame, as_of: date, customer_margins: DataFrame | None = None
) -> DataFrame:
    """Give the customers who are known on a day and have not bought yet.

    Parameters
    ----------
    customer_history : DataFrame of CUSTOMER_HISTORY
        What was said later, and who registered later, is ignored.
    among : DataFrame
        As `gather` gives it.
    customer_margins : DataFrame of MARGINS, optional
        Of `as_of`. Who has no share of their own has the mean of all.

    Returns
    -------
    DataFrame
        `customer_id`, `margin_share`. One shuffle of the keys of `customer_history`.
    """
    said = customer_history.where(known_on() <= F.lit(as_of))
    known = said.groupBy("customer_id").agg(F.min("registered_on").alias("on"))
    is_there = F.coalesce(F.col("on") <= F.lit(as_of), F.lit(True))
    some = _with_margins(known.where(is_there).join(among, "customer_id", "left_anti"), customer_margins)
    if customer_margins is None:
        return some.select("customer_id", "margin_share")
    mean = customer_margins.agg(F.avg("margin_share").alias("mean"))
    return some.crossJoin(F.broadcast(mean)).select(
        "customer_id", F.coalesce("margin_share", "mean").alias("margin_share")
    )


def bought(customers: DataFrame) -> DataFrame:
    """Keep rows of customers who bought, not those of prospects: what these are worth is not to be added up.

    Parameters
    ----------
    customers : DataFrame
        With `frequency`: rows of CLV, or as `gather` gives them.
    """
    return customers.where(F.col("frequency").isNotNull())


def weeks(customer_days: DataFrame, as_of: date, held_out: int) -> DataFrame:
    """Count the days with an order in each week before the held-out days, the first ones of customers among them.

    Parameters
    ----------
    customer_days : DataFrame of CUSTOMER_DAYS

    Returns
    -------
    DataFrame
        `at` as HOLDOUT has it, `actual`. One pass over `customer_days`, no shuffle of them.
    """
    until = as_of - timedelta(days=held_out)
    at = F.ceil(F.date_diff("day", F.lit(until)) / WEEK).cast("int").alias("at")
    bought = customer_days.where((F.col("day") <= F.lit(until)) & (F.col("orders") > 0)).select(at)
    return bought.where(F.col("at") > -WEEKS).groupBy("at").agg(F.count("*").alias("actual"))


def held_numbers(held_out: int) -> int:
    """How many numbers hold the days with an order of the held-out weeks of a customer."""
    return -(-_weeks(held_out) // PACKED)


def unpacked(held_weeks: NDArray[np.int64], held_out: int) -> NDArray[np.int64]:
    """Add up the days with an order of each held-out week.

    Parameters
    ----------
    held_weeks : (numbers, n) array
        As `gather` gives them.

    Returns
    -------
    (weeks,) array
    """
    each = (week % PACKED * BITS for week in range(_weeks(held_out)))
    return np.array([((held_weeks[at // PACKED] >> bits) & (2**BITS - 1)).sum() for at, bits in enumerate(each)])
