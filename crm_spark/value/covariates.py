"""Covariates of models of buying: what was known of customers beside their orders on the day they first bought.

What is said of a customer later may follow from what they did: who stays is known better, and who buys much is moved
to a better segment. So an attribute counts as it held on the day of the first purchase: a later statement changes
nothing, and the same holds before and after the days that are held out. Of who has not bought yet it is the day that is
asked about. The channel is that of the first order.

Models want few groups of customers: numbers become quarters, and of the levels of a category the commonest are told
apart. What is not known is a level of its own.
"""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.features.quantiles import quantiles
from crm_spark.features.snapshot import known_on
from crm_spark.value.histories import bought

CATEGORIES = ("channel", "country", "region")
NUMBERS = ("first_sales", "registered_days")
SAID = {"country": "country", "region": "region", "registered_days": "registered_on"}  # covariate: what tells it
QUARTERS = (0.25, 0.5, 0.75)
LEVELS, SHARE, FEW = 8, 0.01, 30  # most levels of a covariate; least share of the customers, and number, with one
UNKNOWN, OTHER = "(unknown)", "(other)"
BETWEEN = "; "  # two levels in one text


def gather(
    customers: DataFrame, customer_history: DataFrame, order_lines: DataFrame, as_of: date, names: Sequence[str]
) -> DataFrame:
    """Add to customers what was known of them on the day of their first purchase.

    Parameters
    ----------
    customers : DataFrame
        As `histories.gather` gives it, and prospects, whose columns of a history are null.
    customer_history : DataFrame of CUSTOMER_HISTORY
    order_lines : DataFrame of ORDER_LINES
        Read for `channel` alone.
    names : sequence of str
        Of CATEGORIES and NUMBERS.

    Returns
    -------
    DataFrame
        The same with columns of these names, and what they come from. One shuffle by customer of each table that tells
        something.
    """
    first = F.date_sub(F.lit(as_of), F.coalesce("age", F.lit(0)))
    known = customers.withColumn("first_on", first)
    attributes = [SAID[name] for name in names if name in SAID]
    if attributes:
        said = customer_history.join(known.select("customer_id", "first_on"), "customer_id")
        order = F.struct("known_at", "row_hash")
        newest = [F.max_by(name, F.when(F.col(name).isNotNull(), order)).alias(name) for name in attributes]
        held = said.where(known_on() <= F.col("first_on")).groupBy("customer_id").agg(*newest)
        known = known.join(held, "customer_id", "left")
    if "channel" in names:
        is_sold = (F.col("kind") == "sale") & (F.col("ordered_on") <= F.lit(as_of)) & F.col("customer_id").isNotNull()
        order = F.struct("ordered_on", "ordered_at", "line_id")
        by = order_lines.where(is_sold).groupBy("customer_id").agg(F.min_by("channel", order).alias("channel"))
        known = known.join(by, "customer_id", "left")
    if "registered_days" in names:
        days = F.date_diff("first_on", "registered_on")
        known = known.withColumn("registered_days", F.when(days >= 0, days.cast("double")))
    later = F.coalesce(F.col("monetary") * F.col("frequency"), F.lit(0.0))
    return known.withColumn("first_sales", F.round(F.col("revenue") - later, 4))


def level(known: DataFrame, names: Sequence[str]) -> DataFrame:
    """Add the levels of the covariates as one text, like `channel=web; region=(unknown)`.

    Parameters
    ----------
    known : DataFrame
        As `gather` gives it; read several times: best persisted.
    names : sequence of str
        As `gather` was told.

    Returns
    -------
    DataFrame
        The customers with `covariates`. Four passes at most, whose shuffles carry levels and buckets of numbers.
    """
    numbers = [name for name in names if name in NUMBERS]
    levels = [*[_category(name) for name in names if name in CATEGORIES], *[_quarter(name) for name in numbers]]
    cut = known
    if numbers:
        cuts = quantiles(bought(known), numbers, QUARTERS)
        cut = known.crossJoin(F.broadcast(cuts.select(*[F.col(name).alias(f"{name}_cuts") for name in numbers])))
    named = cut.withColumn("levels", F.array(*levels))
    kept = F.broadcast(_kept(bought(named)))

    def text(one: Column) -> Column:
        of = F.try_element_at("kept", one["covariate"])
        return F.when(F.array_contains(of["levels"], one["level"]), one["level"]).otherwise(of["rest"])

    told = named.crossJoin(kept).withColumn("covariates", F.concat_ws(BETWEEN, F.transform("levels", text)))
    used = [*CATEGORIES, *NUMBERS, *[f"{name}_cuts" for name in NUMBERS], "registered_on", "first_on"]
    return told.drop(*used, "levels", "kept")


def _category(name: str) -> Column:
    return _level(name, F.nullif(F.translate(F.trim(name), BETWEEN.strip(), ","), F.lit("")))


def _quarter(name: str) -> Column:
    """In which quarter of the customers a number lies, by its end."""
    cuts, value = F.col(f"{name}_cuts"), F.col(name)
    end = F.get(F.filter(cuts, lambda cut: value <= cut), F.lit(0))
    below = F.concat(F.lit("up to "), _number(end))
    return _level(name, F.when(value.isNotNull(), F.coalesce(below, F.concat(F.lit("above "), _number(cuts[2])))))


def _number(value: Column) -> Column:
    return F.regexp_replace(value.cast("decimal(28,2)").cast("string"), r"\.?0+$", "")


def _level(name: str, value: Column) -> Column:
    level = F.concat(F.lit(f"{name}="), F.coalesce(value, F.lit(UNKNOWN)))
    return F.struct(F.lit(name).alias("covariate"), level.alias("level"))


def _kept(customers: DataFrame) -> DataFrame:
    """One row, one map `kept`: of each covariate the `levels` that are told apart, and the name of the `rest`.

    Where even all others together are few, they count as the commonest.
    """
    counts = customers.select(F.explode("levels").alias("of")).groupBy("of.covariate", "of.level").count()
    among = Window.partitionBy("covariate")
    ranked = counts.select(
        "*",
        F.row_number().over(among.orderBy(F.desc("count"), "level")).alias("rank"),
        F.greatest(F.lit(FEW), F.sum("count").over(among) * SHARE).alias("least"),
    )
    is_kept = (F.col("rank") == 1) | ((F.col("rank") <= LEVELS) & (F.col("count") >= F.col("least")))
    others = F.concat("covariate", F.lit(f"={OTHER}"))
    has_others = F.sum(F.when(~is_kept, F.col("count"))) >= F.max("least")
    of = ranked.groupBy("covariate").agg(
        F.collect_list(F.when(is_kept, F.col("level"))).alias("levels"),
        F.when(has_others, F.first(others)).otherwise(F.min_by("level", "rank")).alias("rest"),
    )
    return of.agg(F.map_from_entries(F.collect_list(F.struct("covariate", F.struct("levels", "rest")))).alias("kept"))
