"""How what customers of a segment are like has changed since the last run, and that of all customers.

Of each segment (0: all customers) and feature, those who are in it now are held against those who were in it then:

- the mean of both, in plain units, and how far the mean of prepared values went, in standard deviations of all
  customers by the model of now;
- the population stability index: prepared values are parted at every half of a standard deviation, missing ones apart,
  and of the shares p of then and q of now `(q - p) ln(q / p)` is added up. Half a customer more in each part keeps it
  finite. By a rule of thumb 0.1 is some change and 0.25 much; but with few customers chance alone brings as much. What
  it stays below in 95 of 100 cases where nothing changed stands beside it: chi-square over both sizes.

Of all customers there is a row for `segment`: the index of how they are spread over segments.

References
----------
Siddiqi, N. (2006). Credit Risk Scorecards. Wiley.
Yurdakul, B., Naranjo, J. (2020). Statistical Properties of the Population Stability Index. Journal of Risk Model
Validation 14(4).
"""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy.stats import chi2

from crm_spark.core.contracts import Field, Table
from crm_spark.segments import preparation
from crm_spark.segments.traits import EVERYBODY

WIDTH, LAST = 0.5, 2.25  # of a part, in standard deviations; beyond the last all are in one
MISSING = -99
SMOOTH = 0.5  # customers
SURE, MOST_PARTS = 0.95, 60
ALL, BY_SEGMENT = 0, "segment"
NO_DAY = "no day before has segments"
NOBODY_THEN, NOBODY_NOW = "nobody was in it then", "nobody is in it now"
UNKNOWN = "nobody has a value then or now"

DRIFT = Table(
    "segment_drift",
    "How far what customers of each segment are like has changed since the last run, as of a day.",
    owns="as_of",
    key=["as_of", "segment_id", "feature"],
    columns=[
        Field("as_of", "date", "the day that is now"),
        Field("since", "date", "the day of the last run before it", nullable=True),
        Field("segment_id", "int", "the segment; 0 for all customers"),
        Field("segment", "string", "what it is called now"),
        Field("feature", "string", "the feature; of all customers also `segment`: which they are in"),
        Field("customers_before", "bigint", "who was in it then", unit="customer"),
        Field("customers", "bigint", "who is in it now", unit="customer"),
        Field("mean_before", "double", "mean of the feature then", nullable=True),
        Field("mean", "double", "mean of the feature now", nullable=True),
        Field("shift", "double", "how far the mean of prepared values went, in standard deviations", nullable=True),
        Field("stability_index", "double", "population stability index: 0 where nothing changed", nullable=True),
        Field("by_chance", "double", "what it stays below in 95 of 100 cases if nothing changed", nullable=True),
        Field("reason", "string", "why something is missing", nullable=True),
    ],
)


def measure(
    customers: DataFrame,
    segments: DataFrame,
    former_segments: DataFrame,
    model: DataFrame,
    as_of: date,
    since: date | None,
    features: Sequence[str],
) -> DataFrame:
    """Hold customers of each segment against those of the last run.

    Parameters
    ----------
    customers : DataFrame of CUSTOMER_FEATURES
        Other days than `as_of` and `since` are ignored.
    segments : DataFrame of SEGMENTS
        Of the day. Best persisted.
    former_segments : DataFrame of SEGMENTS
        Of other days than `since` nothing is read.
    model : DataFrame of MODEL
        Of the day. Best persisted.
    since : date, optional
        The day of the last run; without it there is a reason for everything.
    features : sequence of str
        Those of the model.

    Returns
    -------
    DataFrame of DRIFT
        Each segment of now with each feature. A join of both days by customer, two shuffles of counts.
    """
    then, now = (former_segments, F.lit(since)), (segments, F.lit(as_of))
    columns = ["customer_id", "as_of", "segment_id"]
    placed = [rows.where(F.col("as_of") == day).select(*columns) for rows, day in (then, now)]
    members = placed[0].unionByName(placed[1]).where(F.col("segment_id").isNotNull())
    known = customers.where(F.col("as_of").isin(as_of, since or as_of)).select("customer_id", "as_of", *features)
    learned = F.broadcast(preparation.wide(model, features))
    prepared = members.join(known, ["customer_id", "as_of"], "left").crossJoin(learned)
    located = prepared.withColumns({"is_now": F.col("as_of") == F.lit(as_of), "point": preparation.point(features)})
    values = located.select("is_now", F.inline(_values(features)))
    return _told(_summed(values), model, as_of, since)


def _values(features: Sequence[str]) -> Column:
    """Of a member, for its segment and among all, and each feature: the value, the prepared one, and its part."""
    none = F.lit(None).cast("double")
    told = []
    for at, feature in enumerate(features):
        value, prepared = preparation.number(feature), F.get("point", F.lit(at))
        part = F.floor(F.greatest(F.least(prepared, F.lit(LAST)), F.lit(-LAST)) / WIDTH).cast("int")
        of = (value, F.when(value.isNotNull(), prepared), F.when(value.isNull(), F.lit(MISSING)).otherwise(part))
        told += [_value(segment, feature, *of) for segment in (F.lit(ALL), F.col("segment_id"))]
    return F.array(*told, _value(F.lit(ALL), BY_SEGMENT, none, none, F.col("segment_id")))


def _value(segment: Column, feature: str, value: Column, prepared: Column, part: Column) -> Column:
    names = {"segment_id": segment, "feature": F.lit(feature), "value": value, "prepared": prepared, "part": part}
    return F.struct(*[column.alias(name) for name, column in names.items()])


def _summed(values: DataFrame) -> DataFrame:
    """For each segment and feature: members, means, and both counts of each part."""
    sides = {"before": ~F.col("is_now"), "now": F.col("is_now")}
    counted = [F.count_if(is_).cast("double").alias(name) for name, is_ in sides.items()]
    known = [F.count(F.when(is_, F.col("value"))).alias(f"known_{name}") for name, is_ in sides.items()]
    sums = [
        F.sum(F.when(is_, F.col(of))).alias(f"{of}_{name}")
        for of in ("value", "prepared")
        for name, is_ in sides.items()
    ]
    parts = values.groupBy("segment_id", "feature", "part").agg(*counted, *known, *sums)
    means = [
        preparation.settled(F.try_divide(F.sum(f"{of}_{name}"), F.sum(f"known_{name}"))).alias(f"{of}_{name}")
        for of in ("value", "prepared")
        for name in sides
    ]
    totals = [F.sum(name).alias(name) for name in sides]
    listed = F.sort_array(F.collect_list(F.struct("before", "now"))).alias("parts")
    return parts.groupBy("segment_id", "feature").agg(*totals, *means, listed)


def _told(sums: DataFrame, model: DataFrame, as_of: date, since: date | None) -> DataFrame:
    centres = model.where(F.col("parameter") == "centre")
    names = centres.select(F.col("number").alias("segment_id"), "segment").distinct()
    every = names.limit(1).select(F.lit(ALL).alias("segment_id"), F.lit(EVERYBODY).alias("segment"))
    has_means = F.col("value_before").isNotNull() & F.col("value_now").isNotNull()
    is_told = (F.col("before") > 0) & (F.col("now") > 0) & (has_means | (F.col("feature") == BY_SEGMENT))
    why = (
        F.when(F.lit(since is None), F.lit(NO_DAY))
        .when(F.col("before") == 0, F.lit(NOBODY_THEN))
        .when(F.col("now") == 0, F.lit(NOBODY_NOW))
        .when(~is_told, F.lit(UNKNOWN))
    )
    return sums.join(F.broadcast(names.unionByName(every)), "segment_id").select(
        F.lit(as_of).alias("as_of"),
        F.lit(since).cast("date").alias("since"),
        "segment_id",
        "segment",
        "feature",
        F.col("before").cast("bigint").alias("customers_before"),
        F.col("now").cast("bigint").alias("customers"),
        F.col("value_before").alias("mean_before"),
        F.col("value_now").alias("mean"),
        F.when(is_told, F.col("prepared_now") - F.col("prepared_before")).alias("shift"),
        F.when(is_told, _index()).alias("stability_index"),
        F.when(is_told, _by_chance()).alias("by_chance"),
        why.alias("reason"),
    )


def _index() -> Column:
    """The population stability index of the parts."""

    def share(part: Column, name: str) -> Column:
        return (part[name] + SMOOTH) / (F.col(name) + SMOOTH * F.size("parts"))

    def term(part: Column) -> Column:
        before, now = share(part, "before"), share(part, "now")
        return (now - before) * F.log(now / before)

    total = F.aggregate(F.transform("parts", term), F.lit(0.0), lambda sum_, one: sum_ + one)
    return preparation.settled(total)


def _by_chance() -> Column:
    """The quantile of what chance alone brings, by chi-square; parts less one are its degrees of freedom."""
    quantile = F.get(F.array(*[F.lit(float(value)) for value in CHANCE]), F.size("parts") - 1)
    return preparation.settled(quantile * (1 / F.col("before") + 1 / F.col("now")))


CHANCE = [0.0, *[chi2.ppf(SURE, freedom) for freedom in range(1, MOST_PARTS)]]
