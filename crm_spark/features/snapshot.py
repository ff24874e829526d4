"""What is known of each customer as of a day: one row of features, from what is dated on or before that day.

Business days alone decide what counts; when a row was loaded does not. An attribute is the newest statement up to
the day that has one, as `customers` would have shown it then. So nothing that is dated later changes a row.

An order is what one customer bought under one order number. It counts once, on the day of its first line of any
kind, if one of its lines is a sale. Windows end with the day: the last 90 days are the day and the 89 before it.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.core.errors import near
from crm_spark.features.days import MONEY, money_of
from crm_spark.ingest.tables import (
    CONTACTS,
    CUSTOMER_HISTORY,
    CUSTOMERS,
    EVENTS,
    FEEDBACK,
    ORDER_LINES,
    PRODUCT_HISTORY,
    RESPONSES,
)

QUARTER, YEAR = 90, 365  # days
SECONDS_A_DAY, MOST_AHEAD = 86_400, 14 * 3600  # no zone's clock is further ahead of UTC
CONTROL = "control"  # the variant of those who are held back: they were not addressed
ATTRIBUTES = ["gender", "region", "country", "segment", "age_group", "income_group", "household"]

READS = (ORDER_LINES, CUSTOMER_HISTORY, PRODUCT_HISTORY, EVENTS, FEEDBACK, CONTACTS, RESPONSES)

CUSTOMER_FEATURES = Table(
    "customer_features",
    "What is known of each customer who bought, as of a day: from what is dated on or before it.",
    owns="as_of",
    key=["customer_id", "as_of"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("as_of", "date", "the day the features speak for"),
        Field("tenure_days", "int", "days since the first purchase", unit="day"),
        Field("recency_days", "int", "days since the last purchase", unit="day"),
        Field("purchase_days", "bigint", "business days on which an order began", unit="day"),
        Field("orders", "bigint", "orders to date", unit="order"),
        Field("orders_365d", "bigint", "orders of the last 365 days", unit="order"),
        Field("spend", MONEY, "sales less returns, to date", unit="money"),
        Field("spend_365d", MONEY, "sales less returns of the last 365 days", unit="money"),
        Field("basket_value", MONEY, "mean sales of an order", unit="money"),
        Field("basket_pieces", "double", "mean pieces of an order", unit="piece"),
        Field("returned_share", "double", "money returned of sales, 0 to 1"),
        Field("discounted_share", "double", "discount of what the sales would have cost without it, 0 to 1"),
        Field("products", "bigint", "different products bought", unit="product"),
        Field("categories", "bigint", "different categories bought, those known on that day", unit="category"),
        Field("rhythm_days", "double", "median gap between purchase days", unit="day", nullable=True),
        Field("rhythm_spread", "double", "standard deviation of these gaps by their mean", nullable=True),
        Field(
            "trend",
            "double",
            "sales of the last 90 days less those of the 90 before, by their sum; of who is a customer for 180 days",
            nullable=True,
        ),
        Field("channel", "string", "channel of most orders; of equals the first by name", nullable=True),
        Field("channels", "bigint", "different channels of orders", unit="channel"),
        Field("visits_90d", "bigint", "sessions with an event in the last 90 days", unit="visit"),
        Field("feedback_365d", "bigint", "statements of the last 365 days", unit="statement"),
        Field("complaints_365d", "bigint", "complaints among them", unit="statement"),
        Field("rating", "double", "mean rating to date, on the source's scale", nullable=True),
        Field("contacts_90d", "bigint", "contacts of the last 90 days; a control group has none", unit="contact"),
        Field("responses_90d", "bigint", "responses of the last 90 days", unit="response"),
        Field("registered_days", "int", "days since registration", unit="day", nullable=True),
        Field("age_years", "int", "age in whole years", unit="year", nullable=True, personal=True),
        *[CUSTOMERS[name] for name in ATTRIBUTES],
    ],
)
COUNTS = ["visits_90d", "feedback_365d", "complaints_365d", "contacts_90d", "responses_90d"]


NUMBERS = [
    column.name
    for column in CUSTOMER_FEATURES.columns
    if not column.personal and column.type.startswith(("int", "bigint", "double", "decimal"))
]

# What a manager knows customers by, but for what they spent in all, which is days times basket.
FAMILIAR = (
    "recency_days",
    "tenure_days",
    "purchase_days",
    "rhythm_days",
    "trend",
    "basket_value",
    "basket_pieces",
    "categories",
    "channels",
    "discounted_share",
    "returned_share",
    "visits_90d",
    "complaints_365d",
    "rating",
    "contacts_90d",
    "responses_90d",
)


def numbers(features: list[str]) -> list[str]:
    """Give features, if each is a number of CUSTOMER_FEATURES that is not personal.

    Raises
    ------
    ValueError
        Some are not: it names them, and what may be meant.
    """
    strangers = [
        f"'{name}' is no number of customer_features{near(name, NUMBERS)}" for name in features if name not in NUMBERS
    ]
    if strangers:
        raise ValueError("; ".join(strangers))
    return features


def take(  # noqa: PLR0913, PLR0917 - each is a table
    order_lines: DataFrame,
    customer_history: DataFrame,
    product_history: DataFrame,
    events: DataFrame,
    feedback: DataFrame,
    contacts: DataFrame,
    responses: DataFrame,
    as_of: date,
) -> DataFrame:
    """Take a snapshot of every customer who bought on or before a day.

    Parameters
    ----------
    order_lines : DataFrame of ORDER_LINES
        Lines without a customer are left out.
    customer_history, events, feedback, contacts, responses : DataFrame
        Of the contracts of those names. Where one has no rows, its counts are 0 and all else from it is null.
    product_history : DataFrame of PRODUCT_HISTORY
        The categories that it tells are sent whole to every worker.
    as_of : date
        What is dated later is ignored, in every table.

    Returns
    -------
    DataFrame of CUSTOMER_FEATURES
        One row for each customer. One pass over each table, and of those laid out by day over the days alone that
        count. The order lines are shuffled once, by customer; the history once; of the others what counts.
    """
    bought = purchases(order_lines, held(product_history, "product_id", ["category"], as_of), as_of)
    did = activity(events, feedback, contacts, responses, as_of)
    known = held(customer_history, "customer_id", [*ATTRIBUTES, "registered_on", "birth_date"], as_of)
    customers = bought.join(did, "customer_id", "left").join(known, "customer_id", "left")
    registered_days = F.date_diff(F.lit(as_of), "registered_on")
    return customers.withColumns(
        {
            "as_of": F.lit(as_of),
            **{name: F.coalesce(name, F.lit(0)) for name in COUNTS},
            "registered_days": F.when(registered_days >= 0, registered_days),
            "age_years": years(F.col("birth_date"), as_of),
        }
    ).select(*CUSTOMER_FEATURES.names)


# -- what they bought


def purchases(order_lines: DataFrame, categories: DataFrame, as_of: date) -> DataFrame:
    """Sum up the orders of each customer who bought: all columns from `tenure_days` to `channels`.

    Parameters
    ----------
    categories : DataFrame
        `product_id`, `category`: one row for each product at most. It is broadcast.
    """
    lines = until(order_lines, "ordered_on", as_of)
    orders = of_orders(lines.join(F.broadcast(categories), "product_id", "left"), as_of)
    return described(of_customers(orders, as_of), as_of)


def of_orders(lines: DataFrame, as_of: date) -> DataFrame:
    """One row per customer and order: its day, whether it holds a sale, and sums of its lines by what counts when."""
    is_sale, day = F.col("kind") == "sale", F.col("ordered_on")
    sold, returned = money_of("sale"), -money_of("return")
    quarter, before, year = (within(day, as_of, days) for days in (QUARTER, 2 * QUARTER, YEAR))
    # One shuffle by customer serves the orders here and the customers after them.
    return (
        lines.repartition("customer_id")
        .groupBy("customer_id", "order_id")
        .agg(
            F.min(day).alias("began_on"),
            F.bool_or(is_sale).alias("is_sold"),
            F.sum(sold).alias("sales"),
            F.sum(returned).alias("returns"),
            F.sum(F.when(is_sale, F.col("discount"))).alias("discount"),
            F.sum(F.when(is_sale, F.col("quantity"))).alias("pieces"),
            F.sum(F.when(year, sold - returned)).alias("spend_365d"),
            F.sum(F.when(quarter, sold)).alias("sales_90d"),
            F.sum(F.when(before & ~quarter, sold)).alias("sales_before"),
            F.min(F.when(is_sale, F.col("channel"))).alias("channel"),
            F.collect_set(F.when(is_sale, F.col("product_id"))).alias("products"),
            F.collect_set(F.when(is_sale, F.col("category"))).alias("categories"),
        )
    )


def of_customers(orders: DataFrame, as_of: date) -> DataFrame:
    """One row per customer with an order: its purchase days in order, and sums of the orders."""
    bought_on = F.when(F.col("is_sold"), F.col("began_on"))
    money = ["sales", "returns", "discount", "pieces", "spend_365d", "sales_90d", "sales_before"]
    return (
        orders.groupBy("customer_id")
        .agg(
            F.sort_array(F.collect_set(bought_on)).alias("days"),
            F.count(bought_on).alias("orders"),
            F.count_if(within(bought_on, as_of, YEAR)).alias("orders_365d"),
            *[F.coalesce(F.sum(name), F.lit(0)).cast(MONEY).alias(name) for name in money],
            F.mode("channel", deterministic=True).alias("channel"),
            F.size(F.collect_set("channel")).alias("channels"),
            *[
                F.size(F.array_distinct(F.flatten(F.collect_list(name)))).alias(name)
                for name in ("products", "categories")
            ],
        )
        .where(F.col("orders") > 0)
        .withColumn("gaps", gaps(F.col("days")))
    )


def described(customers: DataFrame, as_of: date) -> DataFrame:
    """Turn sums into features."""
    first, last = F.array_min("days"), F.array_max("days")
    tenure_days, gaps_between = F.date_diff(F.lit(as_of), first), F.size("gaps")
    recent, older = F.col("sales_90d"), F.col("sales_before")
    trend = F.coalesce(share(recent - older, recent + older, least=-1), F.lit(0.0))
    return customers.select(
        "customer_id",
        tenure_days.alias("tenure_days"),
        F.date_diff(F.lit(as_of), last).alias("recency_days"),
        F.size("days").cast("bigint").alias("purchase_days"),
        "orders",
        "orders_365d",
        (F.col("sales") - F.col("returns")).cast(MONEY).alias("spend"),
        F.col("spend_365d").cast(MONEY).alias("spend_365d"),
        (F.col("sales") / F.col("orders")).cast(MONEY).alias("basket_value"),
        (F.col("pieces").cast("double") / F.col("orders")).alias("basket_pieces"),
        share(F.col("returns"), F.col("sales")).alias("returned_share"),
        share(F.col("discount"), F.col("sales") + F.col("discount")).alias("discounted_share"),
        *[F.col(name).cast("bigint").alias(name) for name in ("products", "categories", "channels")],
        F.when(gaps_between > 0, median(F.col("gaps"))).alias("rhythm_days"),
        F.when(gaps_between > 1, spread(F.col("gaps"))).alias("rhythm_spread"),
        F.when(tenure_days >= 2 * QUARTER, trend).alias("trend"),
        "channel",
    )


def within(day: Column, as_of: date, days: int) -> Column:
    """Whether a day is among the last days up to `as_of`; asked of rows up to it."""
    return day > F.lit(as_of - timedelta(days=days))


def share(part: Column, whole: Column, least: int = 0) -> Column:
    """A part of a whole as a double, kept between `least` and 1; 0 of a whole that is not above 0."""
    divided = part.cast("double") / whole.cast("double")
    kept = F.greatest(F.lit(float(least)), F.least(F.lit(1.0), divided))
    return F.when(whole > 0, kept).otherwise(F.lit(0.0))


def gaps(days: Column) -> Column:
    """Days between each purchase day and the next."""
    count = F.size(days) - 1
    return F.zip_with(F.slice(days, 2, count), F.slice(days, 1, count), F.date_diff)


def median(numbers: Column) -> Column:
    """The middle of an array that is not empty, as a double."""
    ordered, size = F.sort_array(numbers), F.size(numbers)
    low, high = F.floor((size - 1) / 2).cast("int"), F.floor(size / 2).cast("int")
    return (F.get(ordered, low) + F.get(ordered, high)).cast("double") / 2


def spread(numbers: Column) -> Column:
    """The standard deviation of two or more whole numbers, as of a sample, by their mean; sums are exact."""
    none, count = F.lit(0).cast("bigint"), F.size(numbers)
    total = F.aggregate(numbers, none, lambda sum_, number: sum_ + number)
    squares = F.aggregate(numbers, none, lambda sum_, number: sum_ + number * number)
    return F.sqrt((count * squares - total * total) / (count * (count - 1))) * count / total


# -- what else they did


def activity(
    events: DataFrame, feedback: DataFrame, contacts: DataFrame, responses: DataFrame, as_of: date
) -> DataFrame:
    """Count visits, statements, contacts and responses of each customer who has any: one aggregate of all four."""
    is_lately = within(F.col("given_on"), as_of, YEAR)
    done = (
        _of(visits(events, as_of), visits_90d=F.lit(1)),
        _of(
            until(feedback, "given_on", as_of),
            feedback_365d=is_lately.cast("int"),
            complaints_365d=(is_lately & (F.col("kind") == "complaint")).cast("int"),
            rating=F.col("rating"),
        ),
        _of(lately(contacts, "contacted_on", as_of).where(is_addressed()), contacts_90d=F.lit(1)),
        _of(lately(responses, "responded_on", as_of), responses_90d=F.lit(1)),
    )
    whole = reduce(lambda both, rows: both.unionByName(rows, allowMissingColumns=True), done)
    sums = [F.sum(name).alias(name) for name in COUNTS]
    return whole.groupBy("customer_id").agg(*sums, F.avg("rating").alias("rating"))


def visits(events: DataFrame, as_of: date) -> DataFrame:
    """One row per customer and session of the last 90 days. Events of a day that bear no session are one visit."""
    session = F.coalesce("session_id", F.col("occurred_on").cast("string"))
    return lately(events, "occurred_on", as_of).select("customer_id", session.alias("session")).distinct()


def is_addressed() -> Column:
    """Whether a contact is one: a control group is written down, but left in peace."""
    return F.coalesce(F.lower("variant") != CONTROL, F.lit(True))


def until(rows: DataFrame, day: str, as_of: date) -> DataFrame:
    """Rows of known customers up to a day; those without a day are left out."""
    return rows.where(F.col("customer_id").isNotNull() & (F.col(day) <= F.lit(as_of)))


def lately(rows: DataFrame, day: str, as_of: date) -> DataFrame:
    """Those of the last 90 days."""
    return until(rows, day, as_of).where(within(F.col(day), as_of, QUARTER))


def _of(rows: DataFrame, **counted: Column) -> DataFrame:
    return rows.select("customer_id", *[column.alias(name) for name, column in counted.items()])


# -- what was known of them


def held(history: DataFrame, key: str, attributes: Sequence[str], as_of: date) -> DataFrame:
    """Give the attributes of customers or products as they held on a day.

    Parameters
    ----------
    history : DataFrame of CUSTOMER_HISTORY or PRODUCT_HISTORY

    Returns
    -------
    DataFrame
        The key and each attribute as in its newest statement of that day or before that has one; at one time the
        larger hash speaks. What was said without a time has held since ever. Of whom nothing is known there is no
        row. One shuffle.
    """
    order = F.struct("known_at", "row_hash")
    newest = [F.max_by(name, F.when(F.col(name).isNotNull(), order)).alias(name) for name in attributes]
    # Most rows only name someone.
    tells = reduce(or_, [F.col(name).isNotNull() for name in attributes])
    return history.where(tells & (known_on() <= F.lit(as_of))).groupBy(key).agg(*newest)


def known_on() -> Column:
    """The business day from which a statement held.

    Rows of older versions tell the instant alone: it counts from the day that then is anywhere on earth, so at
    most a day late and never too early.
    """
    there = F.floor((F.unix_seconds("known_at") + MOST_AHEAD) / SECONDS_A_DAY).cast("int")
    return F.coalesce("known_on", F.date_from_unix_date(there))


def years(born: Column, as_of: date) -> Column:
    """Whole years since a day of birth."""
    has_birthday_yet = F.month(born) * 100 + F.dayofmonth(born) <= as_of.month * 100 + as_of.day
    age = F.lit(as_of.year) - F.year(born) - F.when(has_birthday_yet, 0).otherwise(1)
    return F.when(born <= F.lit(as_of), age)
