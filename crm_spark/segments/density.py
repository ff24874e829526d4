"""Customers among many alike, and customers unlike any: DBSCAN on prepared features.

Features are brought to one scale (`preparation`). Groups are found where customers lie close together (`dbscan`), as
many as there are; who lies in none is apart. Which distance is near is set, or read from the knee of the curve of
distances to the `min_samples`-th nearest customer; `min_samples` is set, or twice the number of features.

References
----------
Ester, M. et al. (1996). A Density-Based Algorithm for Discovering Clusters. KDD.
Sander, J. et al. (1998). Density-Based Clustering in Spatial Databases. Data Mining and Knowledge Discovery 2.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.segments import dbscan, preparation, traits

APART = "Apart from all groups"

DENSITY = Table(
    "customer_density",
    "Which customers lie among many alike and which lie apart, as of a day.",
    owns="as_of",
    key=["customer_id", "as_of"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("as_of", "date", "the day the groups speak for"),
        Field("group_id", "int", "from 1, by the lowest key of a core customer; none of who lies apart", nullable=True),
        Field(
            "kind",
            "string",
            "core: `min_samples` customers are near; border: a core customer is near; noise: neither, apart from all",
        ),
    ],
)

GROUPS = Table(
    "density_groups",
    "What the customers of each dense group are like, and those who lie apart, as of a day.",
    owns="as_of",
    key=["as_of", "group_id"],
    columns=[
        Field("as_of", "date", "the day the groups speak for"),
        Field("group_id", "int", "the group; 0 for who lies apart"),
        Field("group_name", "string", "what sets it apart from all customers, in words"),
        Field("customers", "bigint", "customers of it", unit="customer"),
        Field("core_customers", "bigint", "core customers among them", unit="customer"),
        Field("customers_share", "double", "share of all customers, 0 to 1"),
        Field("spend", "decimal(28,4)", "what they spent", unit="money"),
        Field("spend_share", "double", "share of what all spent, where that is above 0", nullable=True),
        Field("centre", "map<string,double>", "mean of each prepared feature, in standard deviations"),
    ],
)

MODEL = Table(
    "density_model",
    "By what dense groups are told, as of a day: how features are prepared, what is near, the curve that tells it.",
    owns="as_of",
    key=["as_of", "parameter", "feature", "number"],
    columns=[
        Field("as_of", "date", "the day it was learned on"),
        Field(
            "parameter",
            "string",
            "of a feature: missing, low, high, is_logarithm, mean, deviation, infinite (customers with such a value, "
            "where there are any); of all: eps, min_samples, distance",
        ),
        Field("feature", "string", "the feature, or all"),
        Field("number", "int", "percent of customers whose `min_samples`-th nearest is within a distance, else 0"),
        Field("value", "double", "eps and distances are in standard deviations", nullable=True),
        Field("reason", "string", "why there is no value, or where it is from", nullable=True),
    ],
)

SET, KNEE, NO_KNEE = "set", "the knee of the curve", "there is no knee: too few customers, or all are alike"
NAMED = "group_id int, group_name string"


def learn(
    customers: DataFrame,
    as_of: date,
    features: Sequence[str],
    tail: float = 0.0,
    eps: float | None = None,
    min_samples: int | None = None,
) -> DataFrame:
    """Learn by what groups are told.

    Parameters
    ----------
    customers : DataFrame of CUSTOMER_FEATURES
        Other days than `as_of` are ignored. Read seven times: best persisted.
    features : sequence of str
        Numeric columns by which customers are alike or not.
    tail : float, default 0
        Share of the customers at both ends whose values are moved to that quantile. Who lies apart is what is sought.
    eps : float, optional
        What is near, in standard deviations; without it the curve tells it.
    min_samples : int, optional
        Customers that must be near, oneself among them; without it twice the number of features.

    Returns
    -------
    DataFrame of MODEL
        Two shuffles of counted values, and one pass that holds 1,000 customers against all.
    """
    of_day = customers.where(F.col("as_of") == F.lit(as_of))
    learned = preparation.learn(of_day, features, tail).localCheckpoint()
    enough = min_samples or 2 * len(features)
    points = place(of_day, learned, features)
    curve = dbscan.curve(points, enough, len(features)).localCheckpoint()
    distance = F.col("distance")
    at, least, most = F.max(F.when(F.col("is_knee"), distance)), F.min(distance), F.max(distance)
    # Who is as far as the furthest would not be apart; where some are alike, less than any distance parts the others.
    above = F.min(F.when(distance > 0, distance))
    found = curve.agg(F.when(at < most, at).when(least > 0, most).otherwise(above / 2).alias("found"))
    value = F.lit(eps).cast("double") if eps is not None else F.coalesce("found", F.lit(1.0))
    why = F.lit(SET) if eps is not None else F.when(F.col("found").isNull(), F.lit(NO_KNEE)).otherwise(F.lit(KNEE))
    none = F.lit(None).cast("string")
    rows = [
        learned.select("parameter", "feature", F.lit(0).alias("number"), "value", preparation.reason().alias("reason")),
        found.select(*_all("eps", preparation.settled(value), why)),
        found.select(*_all("min_samples", F.lit(float(enough)), F.lit(SET if min_samples else "twice the features"))),
        curve.select(
            F.lit("distance").alias("parameter"),
            F.lit("all").alias("feature"),
            F.col("percent").alias("number"),
            preparation.settled(F.col("distance")).alias("value"),
            none.alias("reason"),
        ),
    ]
    together = rows[0].unionByName(rows[1]).unionByName(rows[2]).unionByName(rows[3])
    return together.withColumn("as_of", F.lit(as_of)).select(*MODEL.names)


def find(customers: DataFrame, model: DataFrame, as_of: date, features: Sequence[str]) -> DataFrame:
    """Find the groups of the customers of a day.

    It goes from pass to pass: this runs Spark jobs before it returns.

    Parameters
    ----------
    customers : DataFrame of CUSTOMER_FEATURES
        Best persisted.
    model : DataFrame of MODEL
        Of one day. Best persisted.
    features : sequence of str
        Those of the model.

    Returns
    -------
    DataFrame of DENSITY
        See `dbscan.cluster`.

    Raises
    ------
    JobFailed
        Too many customers are near each other: it says how many.
    """
    told = model.where((F.col("parameter").isin("eps", "min_samples")) & (F.col("feature") == "all"))
    set_ = {row["parameter"]: row["value"] for row in told.select("parameter", "value").collect()}
    points = place(customers.where(F.col("as_of") == F.lit(as_of)), model, features).localCheckpoint()
    found = dbscan.cluster(points, set_["eps"], int(set_["min_samples"]), len(features))
    return found.select("customer_id", F.lit(as_of).alias("as_of"), F.col("cluster").alias("group_id"), "kind")


def describe(
    customers: DataFrame, found: DataFrame, model: DataFrame, as_of: date, features: Sequence[str]
) -> DataFrame:
    """Describe each group, and those who lie apart.

    Parameters
    ----------
    customers : DataFrame of CUSTOMER_FEATURES
    found : DataFrame of DENSITY
        Best persisted.
    model : DataFrame of MODEL
        Of one day.
    features : sequence of str
        Those of the model.

    Returns
    -------
    DataFrame of GROUPS
        One join by customer, one shuffle by group; names are found in one worker.
    """
    points = place(customers.where(F.col("as_of") == F.lit(as_of)), model, features, "spend")
    number = F.coalesce("group_id", F.lit(0)).alias("group_id")
    members = found.select("customer_id", "kind", number).join(points, "customer_id")
    means = [preparation.settled(F.avg(F.get("point", F.lit(at)))) for at in range(len(features))]
    groups = members.groupBy("group_id").agg(
        F.count("*").alias("customers"),
        F.count_if(F.col("kind") == "core").alias("core_customers"),
        F.sum("spend").cast("decimal(28,4)").alias("spend"),
        F.array(*means).alias("at"),
    )
    kept = groups.localCheckpoint()
    names = kept.select("group_id", "at").repartition(1).mapInArrow(partial(_name, features=tuple(features)), NAMED)
    shares = [preparation.share(name).alias(f"{name}_share") for name in ("customers", "spend")]
    features_ = F.array(*[F.lit(feature) for feature in features])
    return kept.join(F.broadcast(names), "group_id").select(
        F.lit(as_of).alias("as_of"),
        *["group_id", "group_name", "customers", "core_customers"],
        shares[0],
        "spend",
        shares[1],
        F.map_from_arrays(features_, "at").alias("centre"),
    )


def place(customers: DataFrame, learned: DataFrame, features: Sequence[str], *more: str) -> DataFrame:
    """Say where customers lie: `customer_id`, `point`, and more columns of theirs."""
    known = customers.crossJoin(F.broadcast(preparation.wide(learned, features)))
    return known.select("customer_id", *more, preparation.point(features).alias("point"))


def _all(parameter: str, value: Column, reason: Column) -> list[Column]:
    return [
        F.lit(parameter).alias("parameter"),
        F.lit("all").alias("feature"),
        F.lit(0).alias("number"),
        value.alias("value"),
        reason.alias("reason"),
    ]


# -- lifted: Arrow in, Arrow out


def _name(batches: Iterator[pa.RecordBatch], features: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    rows = sorted((row["group_id"], row["at"]) for batch in batches for row in batch.to_pylist())
    groups = [row for row in rows if row[0]]
    names = traits.names([at for _, at in groups], features) if groups else []
    told = {number: name for (number, _), name in zip(groups, names, strict=True)}
    told |= {number: APART for number, _ in rows if not number}
    yield pa.RecordBatch.from_arrays(
        [pa.array(told.keys(), pa.int32()), pa.array(told.values(), pa.string())], ["group_id", "group_name"]
    )
