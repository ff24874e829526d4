"""How likely each customer is to choose one way: a random forest's score, and how far it can be believed.

A question is a label for customers and what was known of them before. MLlib's forest is judged on customers that it
has not seen: five times one fifth of them, by a hash of the key, is held out, and what is learned of the others tells
how likely each of these is to choose so. The area under the curve (AUC) is the probability that of two of them, one of
whom chose so, that one has the higher score; 0.5 is chance. Beside the forest stand logistic regression and what says
the same of all. An attribute counts as much as AUC is lost when held-out customers have that of others (permutation
importance). The scores are those of a forest that has learned from all. These are associations: who differs, not what
would come of changing it.

References
----------
Breiman, L. (2001). Random Forests. Machine Learning 45, 5-32.
Hanley, J. A., McNeil, B. J. (1982). The meaning and use of the area under a ROC curve. Radiology 143, 29-36.
"""

import operator
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial, reduce

import numpy as np
import pyarrow as pa
from pyspark import inheritable_thread_target
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.kernels import ranking
from crm_spark.models import forests, logistic, vectors
from crm_spark.models.choices import look
from crm_spark.models.trees import Attribute

FOLDS, SEED, AT_ONCE = 5, 1, 4
LEAST = 10  # customers who chose one way
MOST_JUDGED = 100_000  # held-out customers, of all folds
PARTS = 10
A_LEAF, BINS = 5, 32
PENALTY = 0.01  # of logistic regression
FOREST, LOGISTIC, COMMONEST = "forest", "logistic", "commonest"
WHOLE, BY_LINE, BY_NOTHING = -1, -2, -3  # what is judged: the forest, the others; from 0 on an attribute is mixed up

SCORES = Table(
    "choice_scores",
    "How likely each customer is to choose one way, as of a day.",
    owns="as_of",
    key=["as_of", "question", "customer_id"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("as_of", "date", "the day the scores speak for"),
        Field("question", "string", "what is asked: stays, responds or renews"),
        Field("outcome", "string", "the way that is meant: stays away, responds, ends"),
        Field("probability", "double", "of the outcome within as many days as in learning, by the forest"),
    ],
)

QUALITY = Table(
    "choice_quality",
    "How well scores tell who chooses one way, on held-out customers, as of a day.",
    owns="as_of",
    key=["as_of", "question", "model"],
    columns=[
        Field("as_of", "date", "the day the scores speak for"),
        Field("question", "string", "what is asked"),
        Field("outcome", "string", "the way that is meant"),
        Field("model", "string", f"{FOREST}, {LOGISTIC} (regression), or {COMMONEST}: the same of all"),
        Field("known_on", "date", "until when what is known of customers is from"),
        Field("customers", "bigint", "of whom it is known how they chose", unit="customer"),
        Field("chose", "bigint", "of them, who chose so", unit="customer", nullable=True),
        Field("held_out", "bigint", "customers that it was judged by", unit="customer", nullable=True),
        Field("auc", "double", "area under the ROC curve, mean of five folds; 0.5 is chance", nullable=True),
        Field("auc_spread", "double", "its standard deviation over the folds", nullable=True),
        Field(
            "gains",
            "array<double>",
            "share of all who chose so among the tenth of highest scores, the first two tenths, ...; mean of the folds",
            nullable=True,
        ),
        Field("left_out", "array<string>", "attributes that told nothing, and why"),
        Field("reason", "string", "why there are no scores", nullable=True),
    ],
)

IMPORTANCE = Table(
    "choice_importance",
    "How much each attribute counts for the scores, as of a day.",
    owns="as_of",
    key=["as_of", "question", "attribute"],
    columns=[
        Field("as_of", "date", "the day the scores speak for"),
        Field("question", "string", "what is asked"),
        Field("attribute", "string", "what was known of customers"),
        Field(
            "importance", "double", "AUC that is lost where held-out customers have that of others; mean of the folds"
        ),
        Field("spread", "double", "its standard deviation over the folds", nullable=True),
    ],
)


@dataclass(frozen=True)
class Asked:
    """A question: what is told apart, and of when.

    Parameters
    ----------
    question : str
    outcome : str
        What `told` says of those who are meant.
    as_of, known_on : date
        The day the scores speak for; until when what is known in learning is from.
    """

    question: str
    outcome: str
    as_of: date
    known_on: date


@dataclass(frozen=True)
class Grown:
    """How forests are grown: of so many trees, so deep."""

    trees: int = 30
    depth: int = 5


def learn(
    customers: DataFrame,
    today: DataFrame,
    asked: Asked,
    numbers: Sequence[str],
    names: Sequence[str],
    grown: Grown = Grown(),
) -> tuple[DataFrame, DataFrame, DataFrame]:
    """Learn who chooses one way, judge it, and score the customers of today.

    MLlib learns at once: unlike most of this domain this runs Spark jobs before it returns.

    Parameters
    ----------
    customers : DataFrame
        `customer_id`, `told` and what was known of them: best persisted.
    today : DataFrame
        `customer_id` and the same columns as of today.
    numbers, names : sequence of str
        Columns to learn from: numbers, and those with levels, of which there are at most 30.

    Returns
    -------
    (DataFrame of SCORES, DataFrame of QUALITY, DataFrame of IMPORTANCE)
        Of one question. Where nothing can be learned there is one row of QUALITY, with the reason. Six forests,
        each some ten passes over a checkpoint, and five regressions by eight passes together; a worker holds the
        held-out customers of a fold, 20,000 at most; the driver holds trees and coefficients alone.
    """
    seen, kept, left_out, reason = look(customers, numbers, names)
    is_meant = F.col("told") == F.lit(asked.outcome)
    chose = None if reason else customers.where(is_meant).count()
    if chose is not None and min(chose, seen.rows - chose) < LEAST:
        reason = f"fewer than {LEAST} customers of one choice"
    known = {
        "as_of": F.lit(asked.as_of),
        "question": F.lit(asked.question),
        "outcome": F.lit(asked.outcome),
        "known_on": F.lit(asked.known_on),
        "customers": F.lit(seen.rows).cast("bigint"),
        "chose": F.lit(chose).cast("bigint"),
        "left_out": F.array(*[F.lit(one) for one in left_out]).cast("array<string>"),
        "reason": F.lit(reason).cast("string"),
    }
    if reason is not None:
        return _nothing(customers.sparkSession, known)

    filled = vectors.fills(customers, kept)
    point = vectors.point(kept, filled).alias("point")
    points = customers.select("customer_id", fold(), is_meant.cast("int").alias("class"), point)
    vector = array_to_vector(F.col("point")).alias("vector")
    line = vectors.spelled_out(F.col("point"), kept).alias("line")
    laid = vectors.laid_out(points.select("*", vector, line), ["customer_id"], seen.rows)
    judged = judge(laid, kept, seen.rows, grown).localCheckpoint()
    of_today = today.select("customer_id", point).select("customer_id", vectors.for_trees(vector, kept))
    told = forest(laid, kept, grown).transform(of_today)
    scores = told.select("customer_id", probability().alias("probability")).withColumns(known)
    quality, important = described(judged).withColumns(known), importances(judged, kept).withColumns(known)
    return scores.select(*SCORES.names), quality.select(*QUALITY.names), important.select(*IMPORTANCE.names)


def _nothing(spark: SparkSession, known: dict[str, Column]) -> tuple[DataFrame, DataFrame, DataFrame]:
    """Tell the reason alone."""
    told = {**known, "model": F.lit(FOREST)}
    blank = {one.name: F.lit(None).cast(one.type) for one in QUALITY.columns if one.name not in told}
    quality = spark.range(1).select(*[{**told, **blank}[name].alias(name) for name in QUALITY.names])
    return spark.createDataFrame([], SCORES.nullable_ddl), quality, spark.createDataFrame([], IMPORTANCE.nullable_ddl)


def fold() -> Column:
    """Which fifth a customer is in, by a hash of the key."""
    return F.pmod(F.xxhash64("customer_id"), F.lit(FOLDS)).cast("int").alias("fold")


def judge(laid: DataFrame, attributes: Sequence[Attribute], rows: int, grown: Grown) -> DataFrame:
    """Judge each model on each fold, and the forest once more with each attribute mixed up.

    Returns
    -------
    DataFrame
        `fold`, `what` (an attribute's place; below 0 a model), `customers`, `auc`, `gains`.
    """
    fineness = 1_000_000
    is_judged = F.pmod(F.xxhash64("customer_id", F.lit("judged")), F.lit(fineness)) < MOST_JUDGED * fineness // rows
    # Each takes the place of another, who is next by another hash: so all are mixed, the same each time.
    next_ = Window.partitionBy("fold").orderBy(F.xxhash64("customer_id", F.lit("mixed")), "customer_id")
    everyone = next_.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    other = F.coalesce(F.lag("point").over(next_), F.last("point").over(everyone))
    apart = laid.where(is_judged).withColumn("other", other).localCheckpoint()

    def by_forest(number: int) -> DataFrame:
        # Checkpoints: so the plans of all folds are alike to the letter, and Java compiles them once.
        learned = laid.where(F.col("fold") != number).select("class", "vector").localCheckpoint()
        held = apart.where(F.col("fold") == number).localCheckpoint()
        told = forest(learned, attributes, grown).transform(_mixed(held, attributes))
        return told.select("fold", "what", "class", probability().alias("score"))

    def by_line() -> DataFrame:
        width = sum(len(one.levels or (0, 0)) - 1 for one in attributes)
        models = logistic.fit(laid, width, FOLDS, PENALTY)
        own = F.array(*[F.array(*map(F.lit, model)) for model in models.tolist()])[F.col("fold")]
        # What a constant adds changes no rank, and all of a fold have the same.
        odds = F.aggregate(F.zip_with("line", F.slice(own, 2, width), operator.mul), F.lit(0.0), operator.add)
        return apart.select("fold", F.lit(BY_LINE).alias("what"), "class", odds.alias("score"))

    in_thread: Callable[[Callable[[], DataFrame]], DataFrame]
    in_thread = inheritable_thread_target(laid.sparkSession)(operator.call)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        told = list(threads.map(in_thread, [by_line, *[partial(by_forest, number) for number in range(FOLDS)]]))
    same = apart.select("fold", F.lit(BY_NOTHING).alias("what"), "class", F.lit(0.0).alias("score"))
    kinds = "fold int, what int, customers bigint, auc double, gains array<double>"
    return reduce(DataFrame.unionByName, [*told, same]).groupBy("fold", "what").applyInArrow(_ranked, kinds)


def _mixed(held: DataFrame, attributes: Sequence[Attribute]) -> DataFrame:
    """Held-out customers as they are, and as often as there are attributes with one of another customer."""
    told = held.withColumn("what", F.explode(F.sequence(F.lit(WHOLE), F.lit(len(attributes) - 1))))
    mixed = F.transform("point", lambda own, at: F.when(at == F.col("what"), F.get("other", at)).otherwise(own))
    return told.select("fold", "what", "class", vectors.for_trees(array_to_vector(mixed), attributes))


def forest(laid: DataFrame, attributes: Sequence[Attribute], grown: Grown) -> forests.ClassificationModel:
    """Grow a forest: `class` from `vector`."""
    settings = forests.Classifier(
        numTrees=grown.trees,
        maxDepth=grown.depth,
        minInstancesPerNode=A_LEAF,
        maxBins=max(BINS, *[len(one.levels or ()) for one in attributes]),
        seed=SEED,
    )
    model: forests.ClassificationModel = settings.fit(
        laid.select(_label(), vectors.for_trees(F.col("vector"), attributes))
    )
    return model


def _label() -> Column:
    return vectors.label(F.col("class"), ["0", "1"])


def probability() -> Column:
    """Of what is meant, as MLlib's models say it."""
    return vector_to_array(F.col("probability"))[1]


def described(judged: DataFrame) -> DataFrame:
    """One row per model: `held_out`, `auc`, `auc_spread`, `gains`."""
    models = {WHOLE: FOREST, BY_LINE: LOGISTIC, BY_NOTHING: COMMONEST}
    named = F.create_map(*[F.lit(one) for pair in models.items() for one in pair])[F.col("what")]
    return (
        judged.where(F.col("what") < 0)
        .groupBy(named.alias("model"))
        .agg(
            F.sum("customers").alias("held_out"),
            F.avg("auc").alias("auc"),
            F.stddev_samp("auc").alias("auc_spread"),
            F.array(*[F.avg(F.col("gains")[part]) for part in range(PARTS)]).alias("gains"),
        )
    )


def importances(judged: DataFrame, attributes: Sequence[Attribute]) -> DataFrame:
    """One row per attribute: `attribute`, `importance`, `spread`."""
    whole = judged.where(F.col("what") == WHOLE).select("fold", F.col("auc").alias("whole"))
    lost = (
        judged.where(F.col("what") >= 0)
        .join(F.broadcast(whole), "fold")
        .withColumn("lost", F.col("whole") - F.col("auc"))
    )
    named = F.array(*[F.lit(one.name) for one in attributes])[F.col("what")]
    return lost.groupBy(named.alias("attribute")).agg(
        F.avg("lost").alias("importance"), F.stddev_samp("lost").alias("spread")
    )


# -- lifted: Arrow in, Arrow out


def _ranked(rows: pa.Table) -> pa.Table:
    """Judge the scores of a fold by one model."""
    scores, is_true = rows.column("score").to_numpy(), rows.column("class").to_numpy() == 1
    auc, gains = ranking.area(scores, is_true), ranking.gains(scores, is_true, PARTS)
    return pa.table(
        {
            "fold": rows.column("fold").slice(0, 1),
            "what": rows.column("what").slice(0, 1),
            "customers": pa.array([len(scores)], pa.int64()),
            "auc": pa.array([None if np.isnan(auc) else auc], pa.float64()),
            "gains": pa.array([None if np.isnan(gains).any() else gains.tolist()], pa.list_(pa.float64())),
        }
    )
