"""What each known customer did on each business day: orders, sales, returns, first and last time.

An order is what one customer bought under one order number. It counts once, on the day of its first
line of any kind, if one of its lines is a sale. Lines count on their own day, which is `ordered_on`;
no clock is read and no time zone matters.
"""

from collections.abc import Callable

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table

MONEY = "decimal(18,4)"
LINE_MONEY = "decimal(15,4)"  # of one line, as ingestion bounds it: a thousand of them add up to MONEY

CUSTOMER_DAYS = Table(
    "customer_days",
    "What each known customer did on each business day with activity.",
    owns="keys",
    key=["customer_id", "day"],
    cluster_by=["day"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("day", "date", "business day", unit="day"),
        Field("orders", "int", "orders with a sale whose first line is of this day", unit="order"),
        Field("sales", MONEY, "what the sale lines of this day brought", unit="money"),
        Field(
            "returns",
            MONEY,
            "what the return lines of this day took back, as a positive number",
            unit="money",
        ),
        Field("lines", "int", "lines of this day of any kind, adjustments too", unit="line"),
        Field("first_at", "timestamp", "when the first of them was"),
        Field("last_at", "timestamp", "when the last of them was"),
    ],
)

Among = Callable[[DataFrame, DataFrame, str], DataFrame]


def count(order_lines: DataFrame) -> DataFrame:
    """Count every customer's days from all order lines.

    Parameters
    ----------
    order_lines : DataFrame of ORDER_LINES
        Lines without a customer are left out.

    Returns
    -------
    DataFrame of CUSTOMER_DAYS
        One row per customer and day with a line. One pass, two shuffles: by order, then by customer.
    """
    return (
        of_orders(known(order_lines))
        .groupBy("customer_id", F.col("ordered_on").alias("day"))
        .agg(
            F.count_if(F.col("is_sold") & (F.col("ordered_on") == F.col("began_on"))).cast("int").alias("orders"),
            F.sum("sales").cast(MONEY).alias("sales"),
            F.sum("returns").cast(MONEY).alias("returns"),
            F.sum("lines").cast("int").alias("lines"),
            F.min("first_at").alias("first_at"),
            F.max("last_at").alias("last_at"),
        )
    )


def known(order_lines: DataFrame) -> DataFrame:
    """Lines of known customers, with what is needed of them."""
    needed = ["customer_id", "order_id", "ordered_on", "ordered_at", "kind", "amount"]
    return order_lines.select(*needed).where(F.col("customer_id").isNotNull())


def of_orders(lines: DataFrame) -> DataFrame:
    """One row per customer, order and day, with the day the order began and whether it holds a sale."""
    days = lines.groupBy("customer_id", "order_id", "ordered_on").agg(
        F.bool_or(F.col("kind") == "sale").alias("has_sale"),
        F.sum(money_of("sale")).alias("sales"),
        F.sum(-money_of("return")).alias("returns"),
        F.count("*").alias("lines"),
        F.min("ordered_at").alias("first_at"),
        F.max("ordered_at").alias("last_at"),
    )
    order = Window.partitionBy("customer_id", "order_id")
    # One shuffle by customer serves the orders here and the days after it.
    return days.repartition("customer_id").withColumns(
        {"began_on": F.min("ordered_on").over(order), "is_sold": F.bool_or("has_sale").over(order)}
    )


def money_of(kind: str) -> Column:
    """The amount of a line of that kind, 0 of any other."""
    return F.when(F.col("kind") == kind, F.col("amount")).otherwise(F.lit(0).cast(MONEY))


def share(rows: DataFrame, wanted: DataFrame, by: str) -> DataFrame:
    """Keep the rows that share all columns of `wanted`; all are read, whatever the column."""
    return rows.join(wanted, wanted.columns, "left_semi")


def touched(order_lines: DataFrame, changed: DataFrame, among: Among = share) -> DataFrame:
    """Give the customer-days that changed lines touch.

    A changed line touches its own day and, as it may move the day its order began, every other day of
    that order.

    Parameters
    ----------
    order_lines : DataFrame of ORDER_LINES
        All lines as they are now.
    changed : DataFrame of ORDER_LINES
        Lines that came or went, each as it was and as it is.
    among : callable, optional
        Keeps of rows those that share the columns of wanted keys, and may skip files by the named one.
        To skip them takes literals, and so a look at the keys, which is not this module's to take.

    Returns
    -------
    DataFrame
        The key of CUSTOMER_DAYS, distinct.
    """
    lines, moved = known(order_lines), known(changed)
    orders = moved.select("customer_id", "order_id").distinct()
    met = moved.unionByName(among(lines, orders, "order_id"))
    return met.select("customer_id", F.col("ordered_on").alias("day")).distinct()


def recount(order_lines: DataFrame, keys: DataFrame, among: Among = share) -> DataFrame:
    """Count some customer-days anew, each as a whole.

    What an order counts on a day depends on all of its lines: so the lines read are those of every
    order that has a line on one of these customer-days.

    Parameters
    ----------
    keys : DataFrame
        Customer-days, distinct.
    among : callable, optional
        As in `touched`.

    Returns
    -------
    DataFrame of CUSTOMER_DAYS
        The rows of these keys; a key without activity has none.
    """
    lines = known(order_lines)
    days = keys.withColumnRenamed("day", "ordered_on")
    orders = among(lines, days, "ordered_on").select("customer_id", "order_id").distinct()
    return share(count(among(lines, orders, "order_id")), keys, "day")
