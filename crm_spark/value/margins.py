"""Margins: what each customer brought and cost, and which share of what is to come will stay.

Revenue is what sale lines brought. From it go returns, what the products cost, contacts and service. A product costs
what was known of it on the day of the sale or, of a sale before anything was, what was known first. A piece that comes
back gives back its cost of that day, as far as it can be sold again. Where nothing is known of a product, it cost the
share of its price that those cost of which it is known. Adjustments count for nothing, as in `customer_days`.

How much of a customer's revenue stays is told by credibility. An observation is a day with a purchase and all that
follows until the next one: returns, contacts and service belong to the purchase before them (before the first, to the
first). X is its margin by its revenue w, which is its weight. A customer's own share X_i, all observations together,
counts Z_i, that of all customers the rest:

    Z_i = w_i / (w_i + v / a),  margin_share_i = Z_i X_i + (1 - Z_i) m,  m = sum Z_i X_i / sum Z_i,
    v = sum_i sum_j w_ij (X_ij - X_i)^2 / sum_i (n_i - 1),
    a = (sum_i w_i (X_i - X)^2 - (r - 1) v) / (w - sum_i w_i^2 / w),

where v is the variance within a customer, a that between customers, r their number, w_i, w the sums of weights and X
the share of all. Where a is not above 0, customers differ by no more than chance: Z is 0, m is X.

References
----------
Bühlmann, H., Straub, E. (1970). Glaubwürdigkeit für Schadensätze. Mitteilungen der Vereinigung Schweizerischer
Versicherungsmathematiker 70, 111-133.
Bühlmann, H., Gisler, A. (2005). A Course in Credibility Theory and its Applications. Springer, chapter 4.
Klugman, S. A., Panjer, H. H., Willmot, G. E. (2012). Loss Models. 4th ed., Wiley, section 19.2.
"""

from collections.abc import Mapping
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.features.days import LINE_MONEY, MONEY, money_of
from crm_spark.features.snapshot import known_on, until

UNITS = 10_000  # of which one of money is made: sums of whole numbers take half as long as those of decimals
ROUNDING = 1e-12  # of the sum of squares: variance below it is no more than how numbers are rounded

MARGINS = Table(
    "customer_margins",
    "What each customer brought and cost until a day, from revenue down to margin.",
    owns="as_of",
    key=["customer_id", "as_of"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("as_of", "date", "the day until which it is counted"),
        Field("revenue", MONEY, "what sale lines brought, discounts taken off", unit="money"),
        Field("discounts", MONEY, "what was taken off before", unit="money"),
        Field("returns", MONEY, "what return lines took back, as a positive number", unit="money"),
        Field(
            "product_cost",
            MONEY,
            "what the products cost that were sold and did not come back to be sold again",
            unit="money",
            nullable=True,
        ),
        Field("contact_cost", MONEY, "what contacts cost", unit="money"),
        Field("service_cost", MONEY, "what answering cost", unit="money"),
        Field("margin", MONEY, "revenue less returns and all costs", unit="money", nullable=True),
        Field("known_share", "double", "share of the revenue from products whose cost is known", nullable=True),
        Field("below_cost", "bigint", "sale lines that brought less than their products cost", unit="line"),
        Field("credibility", "double", "weight of the customer's own past in `margin_share`, 0 to 1", nullable=True),
        Field("margin_share", "double", "share of revenue to come that is expected to stay", nullable=True),
        Field("reason", "string", "why there is no margin, or why its share is that of all", nullable=True),
    ],
)

SUMS = [
    "revenue",
    "discounts",
    "returns",
    "sold_cost",  # of sale lines whose products' cost is known
    "back_cost",  # of pieces that came back to be sold again, where it is known
    "known",  # revenue from products whose cost is known
    "open",  # revenue less returns of the others, as far as pieces can be sold again
    "contact_cost",
    "service_cost",
]
NO_COST = "no product that was sold has a known cost"
NO_REVENUE = "bought nothing yet: the share is that of all customers"
NO_SECOND = "nobody bought on two days: the share is that of all customers"
NO_SPREAD = "customers differ by no more than chance: the share is that of all"
NO_SHARE = "customer_margins tells no share of this day"
NET = "with net returns are taken off the money, and once more by the share of customer_margins"


def gather(
    order_lines: DataFrame,
    product_history: DataFrame,
    contacts: DataFrame,
    feedback: DataFrame,
    as_of: date,
    resalable: float = 1.0,
    service_cost: Mapping[str, float] | None = None,
) -> DataFrame:
    """Sum up what each customer brought and cost until a day.

    Parameters
    ----------
    order_lines : DataFrame of ORDER_LINES
        Lines without a customer are left out.
    product_history : DataFrame of PRODUCT_HISTORY
        Costs below 0 are none. It is sent whole to every worker, a row for each product.
    contacts : DataFrame of CONTACTS
    feedback : DataFrame of FEEDBACK
    as_of : date
        What is dated later is ignored, in every table.
    resalable : float, default 1
        Share of what comes back that can be sold again, with four decimal places.
    service_cost : mapping, optional
        What one statement costs to answer, by its kind. Kinds that are not named cost nothing.

    Returns
    -------
    DataFrame
        `customer_id`, SUMS, `below_cost`, and what credibility is made of: see `of_customers`. A row for each customer
        with a line, a contact or a statement. One pass over each table, one shuffle of them all by customer.
    """
    if not 0 <= resalable <= 1:
        raise ValueError(f"resalable must be from 0 to 1, got {resalable}")
    lines = until(order_lines, "ordered_on", as_of).join(
        F.broadcast(costs(product_history, as_of)), "product_id", "left"
    )
    done = (
        traded(lines, resalable),
        until(contacts, "contacted_on", as_of).select(
            "customer_id", F.col("contacted_on").alias("day"), in_units(F.col("cost")).alias("contact_cost")
        ),
        until(feedback, "given_on", as_of).select(
            "customer_id", F.col("given_on").alias("day"), in_units(answered(service_cost or {})).alias("service_cost")
        ),
    )
    rows = reduce(lambda some, more: some.unionByName(more, allowMissingColumns=True), done)
    # One shuffle by customer serves their days, what follows each purchase, and their sums.
    days = _summed(rows.repartition("customer_id"), "day")
    return of_customers(of_purchases(days))


def costs(product_history: DataFrame, as_of: date) -> DataFrame:
    """One row per product: `costs`, what a piece cost from which day on, in order of time. One shuffle."""
    is_told = (F.col("cost") >= 0) & (known_on() <= F.lit(as_of))
    told = F.sort_array(F.collect_list(F.struct("known_at", "row_hash", known_on().alias("on"), "cost")))
    products = product_history.where(is_told).groupBy("product_id").agg(told.alias("told"))
    # A catalogue that comes every day says the same again and again.
    changes = F.filter("told", lambda one, at: F.coalesce(F.get("told", at - 1)["cost"] != one["cost"], F.lit(True)))
    return products.select(
        "product_id", F.transform(changes, lambda one: F.struct(one["on"], one["cost"])).alias("costs")
    )


def traded(lines: DataFrame, resalable: float) -> DataFrame:
    """Sales and returns: each line by its day, with what it brought and cost."""
    again, is_sale = F.lit(resalable).cast("decimal(5,4)"), F.col("kind") == "sale"
    held = F.filter("costs", lambda one: one["on"] <= F.col("ordered_on"))
    piece = F.coalesce(F.try_element_at(held, F.lit(-1))["cost"], F.get("costs", F.lit(0))["cost"])
    cost = (F.col("quantity") * piece).try_cast(LINE_MONEY).cast(MONEY)
    sold, returned = money_of("sale"), -money_of("return")
    told = {
        "revenue": sold,
        "discounts": F.when(is_sale, F.col("discount")),
        "returns": returned,
        "sold_cost": F.when(is_sale, cost),
        "back_cost": F.when(~is_sale, -cost * again),
        "known": F.when(cost.isNotNull(), sold),
        "open": F.when(cost.isNull(), sold - returned * again),
    }
    return lines.where(F.col("kind").isin("sale", "return")).select(
        "customer_id",
        F.col("ordered_on").alias("day"),
        *[in_units(column).alias(name) for name, column in told.items()],
        (is_sale & (cost > sold)).cast("int").alias("below_cost"),
    )


def in_units(money: Column) -> Column:
    """Money as a whole number."""
    return (money.cast(MONEY) * UNITS).cast("bigint")


def answered(service_cost: Mapping[str, float]) -> Column:
    """What it cost to answer a statement."""
    kinds = [F.when(F.col("kind") == kind, F.lit(cost).cast(MONEY)) for kind, cost in service_cost.items()]
    return F.coalesce(*kinds, F.lit(0).cast(MONEY))


def of_purchases(days: DataFrame) -> DataFrame:
    """One row per customer and purchase: sums of its day and of all days until the next one."""
    so_far = F.count_if(F.col("revenue") > 0).over(Window.partitionBy("customer_id").orderBy("day"))
    return _summed(days.withColumn("purchase", F.greatest(so_far, F.lit(1))), "purchase")


def of_customers(purchases: DataFrame) -> DataFrame:
    """One row per customer: SUMS, and of n purchases with revenue w the sums that credibility is made of.

    A margin is `kept`, what is known of it, less a share of `open` that is learned later. So there are `n`, `w`,
    `kept`, `open_`, and the sums of products by w `kept_kept`, `kept_open`, `open_open`.
    """
    w, open_ = F.col("revenue") / UNITS, F.col("open") / UNITS
    lost = ("returns", "sold_cost", "contact_cost", "service_cost")
    kept = reduce(lambda left, name: left - F.col(name), lost, F.col("revenue") + F.col("back_cost")) / UNITS
    weighed = {
        "w": w,
        "kept": kept,
        "open_": open_,
        "kept_kept": kept * kept / w,
        "kept_open": kept * open_ / w,
        "open_open": open_ * open_ / w,
    }
    has_weight = F.col("revenue") > 0
    customers = purchases.groupBy("customer_id").agg(
        *_sums(),
        F.count_if(has_weight).alias("n"),
        *[F.coalesce(F.sum(F.when(has_weight, column)), F.lit(0.0)).alias(name) for name, column in weighed.items()],
    )
    return customers.withColumns({name: (F.col(name).cast("decimal(18,0)") / UNITS).cast(MONEY) for name in SUMS})


def expect(gathered: DataFrame, as_of: date) -> DataFrame:
    """Tell the margin of each customer, and the share of revenue to come that is expected to stay.

    Parameters
    ----------
    gathered : DataFrame
        As `gather` gives it; it is used several times, so it should be computed once (`localCheckpoint`).

    Returns
    -------
    DataFrame of MARGINS
        Four passes over the customers, no shuffle of them.
    """
    known = F.sum("known")
    share = gathered.agg(F.when(known > 0, (F.sum("sold_cost") / known).cast("double")).alias("cost_share"))
    k = F.col("cost_share")
    customers = gathered.crossJoin(F.broadcast(share)).withColumns(
        {
            "m": F.col("kept") - k * F.col("open_"),
            "squares": F.col("kept_kept") - 2 * k * F.col("kept_open") + k * k * F.col("open_open"),
        }
    )
    weighed = customers.crossJoin(F.broadcast(variances(customers))).withColumn("Z", credibility())
    own, Z = F.try_divide("m", "w"), F.col("Z")
    all_ = weighed.agg(
        F.coalesce(F.try_divide(F.sum(Z * own), F.sum("Z")), F.try_divide(F.sum("m"), F.sum("w"))).alias("all")
    )
    product_cost = (F.col("sold_cost") - F.col("back_cost") + (k * F.col("open_all")).cast(MONEY)).cast(MONEY)
    lost = ("returns", "product_cost", "contact_cost", "service_cost")
    margin = reduce(lambda left, name: left - F.col(name), lost, F.col("revenue")).cast(MONEY)
    return (
        weighed.crossJoin(F.broadcast(all_))
        .withColumn("open_all", F.col("open").cast("double"))
        .withColumns({"as_of": F.lit(as_of), "product_cost": product_cost, "credibility": Z, "reason": reason()})
        .withColumns(
            {
                "margin": margin,
                "known_share": F.when(F.col("revenue") > 0, (F.col("known") / F.col("revenue")).cast("double")),
                "margin_share": F.when(k.isNotNull(), Z * F.coalesce(own, F.lit(0.0)) + (1 - Z) * F.col("all")),
            }
        )
        .select(*[F.col(column.name).cast(column.type).alias(column.name) for column in MARGINS.columns])
    )


def shares(customer_margins: DataFrame, as_of: date, net: bool) -> DataFrame:
    """Which share of each customer's revenue stays: of nobody, where returns are taken off the revenue already."""
    of_day = (F.col("as_of") == F.lit(as_of)) & F.lit(not net)
    return customer_margins.where(of_day).select("customer_id", "margin_share")


def no_share(net: bool) -> str:
    """Why there are no shares."""
    return NET if net else NO_SHARE


def variances(customers: DataFrame) -> DataFrame:
    """One row: `within` (v) and `between` (a, 0 where it is none), each null where nothing tells it."""
    has_weight = F.col("w") > 0
    together = F.when(has_weight, F.col("m") * F.col("m") / F.col("w"))
    sums = customers.agg(
        F.count_if(has_weight).alias("r"),
        F.sum(F.when(has_weight, F.col("n") - 1)).alias("freedom"),
        F.sum("w").alias("w"),
        F.sum(F.col("w") * F.col("w")).alias("ww"),
        F.sum("m").alias("m"),
        F.sum(together).alias("own"),
        F.sum("squares").alias("squares"),
        F.sum(F.greatest(F.col("squares") - together, F.lit(0.0))).alias("apart"),
    )
    within = F.try_divide("apart", "freedom")
    excess = F.col("own") - F.try_divide(F.col("m") * F.col("m"), F.col("w")) - (F.col("r") - 1) * F.col("within")
    is_there = (F.col("r") > 1) & (excess > ROUNDING * F.col("squares"))
    between = F.try_divide(excess, F.col("w") - F.try_divide("ww", "w"))
    return sums.withColumn("within", within).select(
        "within", F.when(F.col("within").isNotNull(), F.when(is_there, between).otherwise(F.lit(0.0))).alias("between")
    )


def credibility() -> Column:
    """How much the customer's own share counts: w / (w + v / a), 0 where customers do not differ; null without cost."""
    told = F.coalesce(
        F.try_divide(F.col("between") * F.col("w"), F.col("between") * F.col("w") + F.col("within")), F.lit(0.0)
    )
    return F.when(F.col("cost_share").isNotNull(), told)


def reason() -> Column:
    """Why there is no margin, or why its share is that of all: the first that fits."""
    return (
        F.when(F.col("cost_share").isNull(), NO_COST)
        .when(F.col("within").isNull(), NO_SECOND)
        .when(F.col("between") <= 0, NO_SPREAD)
        .when(F.col("w") <= 0, NO_REVENUE)
    )


def _summed(rows: DataFrame, by: str) -> DataFrame:
    return rows.groupBy("customer_id", by).agg(*_sums())


def _sums() -> list[Column]:
    return [F.coalesce(F.sum(name), F.lit(0)).cast("bigint").alias(name) for name in (*SUMS, "below_cost")]
