"""What the customers of each segment are like: how many, what they brought, and how they buy.

Every number is one of plain units. The sentence tells medians, which a few odd customers do not move.
"""

import re
from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.features.quantiles import quantiles
from crm_spark.segments import preparation
from crm_spark.segments.traits import trait

SHOWN = (
    "recency_days",
    "purchase_days",
    "basket_value",
    "spend",
    "tenure_days",
    "rhythm_days",
    "returned_share",
    "discounted_share",
)

PROFILES = Table(
    "segment_profiles",
    "What the customers of each segment are like, as of a day.",
    owns="as_of",
    key=["as_of", "segment_id"],
    columns=[
        Field("as_of", "date", "the day the profiles speak for"),
        Field("segment_id", "int", "the segment"),
        Field("segment", "string", "what sets it apart from all customers, in words"),
        Field("customers", "bigint", "customers of it", unit="customer"),
        Field("customers_share", "double", "share of all customers, 0 to 1"),
        Field("spend", "decimal(28,4)", "what they spent", unit="money"),
        Field("spend_share", "double", "share of what all spent, where that is above 0", nullable=True),
        Field("means", "map<string,double>", "mean of each feature; without those nobody has"),
        Field("medians", "map<string,double>", "median of each feature; without those nobody has"),
        Field("sentence", "string", "all of it in plain words"),
    ],
)


def profile(
    customers: DataFrame, segments: DataFrame, as_of: date, features: Sequence[str], told: Sequence[str]
) -> DataFrame:
    """Describe each segment.

    Parameters
    ----------
    customers : DataFrame of CUSTOMER_FEATURES
        Read three times, as `segments`: both best persisted.
    segments : DataFrame of SEGMENTS
        Who has none is left out.
    features : sequence of str
        Numeric columns whose means and medians are taken.
    told : sequence of str
        Those of them that the sentence tells, in that order.

    Returns
    -------
    DataFrame of PROFILES
        One row for each segment with a customer. A shuffle of both, and three of counted values.
    """
    # A customer has a column `segment` too: what the source itself says.
    known = customers.select("customer_id", "as_of", *dict.fromkeys(["spend", *features]))
    placed = segments.where((F.col("as_of") == F.lit(as_of)) & F.col("segment_id").isNotNull())
    placed = placed.select("customer_id", "as_of", "segment_id", "segment").join(known, ["customer_id", "as_of"])
    numbers = [preparation.number(feature).alias(feature) for feature in features]
    means = [preparation.settled(F.avg(preparation.number(feature))) for feature in features]
    sums = placed.groupBy("segment_id", "segment").agg(
        F.count("*").alias("customers"),
        F.sum("spend").cast("decimal(28,4)").alias("money"),
        _known(features, means).alias("means"),
    )
    middles = quantiles(placed.select("segment_id", *numbers), features, [0.5], by=["segment_id"])
    medians = middles.select(
        F.col("segment_id"), _known(features, [F.get(feature, F.lit(0)) for feature in features]).alias("medians")
    )
    nothing = F.map_filter("means", lambda _, mean: mean.isNull())
    profiles = sums.join(F.broadcast(medians), "segment_id", "left").withColumns(
        {
            "as_of": F.lit(as_of),
            "customers_share": preparation.share("customers"),
            "spend_share": preparation.share("money"),
            "medians": F.coalesce("medians", nothing),
        }
    )
    return profiles.withColumnRenamed("money", "spend").withColumn("sentence", _sentence(told)).select(*PROFILES.names)


def _known(features: Sequence[str], values: Sequence[Column]) -> Column:
    """A map of the features that have a value."""
    pairs = [part for feature, value in zip(features, values, strict=True) for part in (F.lit(feature), value)]
    return F.map_filter(F.create_map(*pairs), lambda _, value: value.isNotNull())


def _sentence(told: Sequence[str]) -> Column:
    """Customers, what they brought, and medians."""
    people = F.when(F.col("customers") == 1, F.lit("customer")).otherwise(F.lit("customers"))
    share = F.format_string("%s: %,d %s (%.1f %%)", "segment", "customers", people, F.col("customers_share") * 100)
    brought = F.when(
        F.col("spend_share").isNotNull(), F.format_string(" brought %.1f %% of the money", F.col("spend_share") * 100)
    )
    clauses = F.filter(F.array(*[_clause(feature) for feature in told]), lambda clause: clause.isNotNull())
    middle = F.when(F.size(clauses) > 0, F.concat(F.lit("; medians: "), F.array_join(clauses, ", ")))
    return F.concat(share, F.coalesce(brought, F.lit("")), F.coalesce(middle, F.lit("")), F.lit("."))


def _clause(feature: str) -> Column:
    """What the sentence says of a feature; null where it has no value."""
    words = trait(feature)
    value = F.try_element_at("medians", F.lit(feature))
    number = F.format_string(f"%,.{words.decimals}f", value * 100 if words.percent else value)
    before, _, after = words.told.partition("{}")
    follows = F.when(number == "1", F.lit(_of_one(after))).otherwise(F.lit(f"{' %' if words.percent else ''}{after}"))
    return F.when(value.isNotNull(), F.concat(F.lit(before), number, follows))


def _of_one(after: str) -> str:
    """The words after a number when it is 1: ` days ago` becomes ` day ago`."""
    return re.sub(r"^ (\w+?)(?:(ie)|)s\b", lambda found: f" {found[1]}{'y' if found[2] else ''}", after)
