"""Detectors that learn from verdicts: what analysts called out of the ordinary, and what they did not.

MLlib's decision tree, random forest and linear support vector machine. The machine is given the features and their
squares, all on one scale: so what is far off to either side may be on one side of its plane. Where verdicts are of one
kind, or few, nothing can be learned, and the reason is told; isolation forest (`isolation`) needs none.

A score is no probability of chance. How often a period as odd by its score came among the older ones of the same
grouping and measure is: a conformal p, right as far as these are not odd themselves.

References
----------
Breiman, L. (2001). Random Forests. Machine Learning 45, 5-32.
Cortes, C., Vapnik, V. (1995). Support-Vector Networks. Machine Learning 20, 273-297.
Laxhammar, R., Falkman, G. (2010). Conformal Prediction for Distribution-Independent Anomaly Detection in Streaming
    Vessel Data. StreamKDD.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pyspark.ml.classification import DecisionTreeClassifier, LinearSVC
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.forecasting.series import OF_SERIES
from crm_spark.kernels.surprise import FEATURES
from crm_spark.models import forests, vectors
from crm_spark.models.trees import Attribute

Detector = Literal["tree", "forest", "svm"]

SEED = 1
LEAST = 10  # verdicts of each kind
TREES, DEPTH, A_LEAF = 30, 5, 3
PENALTY, STEPS = 0.01, 50  # of the machine
STEP = 0.001  # of scores: nearer ones are alike
NUMBERS = [Attribute(name) for name in FEATURES]


@dataclass(frozen=True)
class Taught:
    """What was learned, or why nothing was.

    Parameters
    ----------
    detector : str
    model : model of MLlib, optional
    verdicts, anomalies : int
        From how many it has learned, and how many of these were called out of the ordinary.
    reason : str, optional
        Why nothing was learned.
    """

    detector: str
    model: Any
    verdicts: int
    anomalies: int
    reason: str | None = None


def label(points: DataFrame, verdicts: DataFrame) -> DataFrame:
    """Add to points what analysts said of them.

    Parameters
    ----------
    points : DataFrame
        As `points.tell` gives it.
    verdicts : DataFrame of VERDICTS
        Of one period the last one counts; a verdict of a period that is not among the points does not.

    Returns
    -------
    DataFrame
        Points with a verdict, with `is_anomaly`. One shuffle of verdicts, one join by series and day.
    """
    last = F.max_by("is_anomaly", F.struct("told_at", "verdict_id")).alias("is_anomaly")
    said = verdicts.groupBy(*OF_SERIES, "day").agg(last)
    return points.join(said, [*OF_SERIES, "day"])


def fit(labelled: DataFrame, detector: Detector = "forest") -> Taught:
    """Learn what is out of the ordinary from points with verdicts.

    MLlib learns at once: unlike most of this domain this runs Spark jobs before it returns, some ten to twenty small
    ones over a checkpoint.

    Parameters
    ----------
    labelled : DataFrame
        As `label` gives it: read twice. Any columns of a key, `features`, `is_anomaly`.
    detector : str, default forest

    Returns
    -------
    Taught
        Both kinds of verdicts count the same, however many there are.
    """
    counted = labelled.agg(F.count("*"), F.count_if("is_anomaly")).collect()[0]
    rows, odd = int(counted[0]), int(counted[1])
    if reason := _reason(rows, odd):
        return Taught(detector, None, rows, odd, reason)
    weight = F.when(F.col("is_anomaly"), rows / (2 * odd)).otherwise(rows / (2 * (rows - odd)))
    told = labelled.select("features", F.col("is_anomaly").cast("int").alias("class"), weight.alias("weight"))
    laid = vectors.laid_out(told, ["features", "class"], rows)
    named = vectors.label(F.col("class"), ["usual", "unusual"])
    features = (
        array_to_vector(squared()).alias("features")
        if detector == "svm"
        else vectors.for_trees(array_to_vector(F.col("features")), NUMBERS)
    )
    return Taught(detector, _LEARNERS[detector]().fit(laid.select(named, features, "weight")), rows, odd)


def _reason(rows: int, odd: int) -> str | None:
    if not rows:
        return "there are no verdicts"
    if odd in (0, rows):
        return f"all {rows} verdicts are of one kind: there is nothing to tell apart"
    if min(odd, rows - odd) < LEAST:
        return f"fewer than {LEAST} verdicts of one kind"
    return None


_LEARNERS: dict[Detector, Callable[[], Any]] = {
    "tree": lambda: DecisionTreeClassifier(maxDepth=DEPTH, minInstancesPerNode=A_LEAF, weightCol="weight", seed=SEED),
    "forest": lambda: forests.Classifier(
        numTrees=TREES, maxDepth=DEPTH, minInstancesPerNode=A_LEAF, weightCol="weight", seed=SEED
    ),
    "svm": lambda: LinearSVC(regParam=PENALTY, maxIter=STEPS, standardization=True, weightCol="weight"),
}


def squared() -> Column:
    """The features and their squares."""
    return F.concat("features", F.transform("features", lambda one: one * one))


def predict(points: DataFrame, taught: Taught) -> DataFrame:
    """Say of each point how much it is like those that were called out of the ordinary.

    Parameters
    ----------
    points : DataFrame
        `features` and what else is to be kept of them.
    taught : Taught
        With a model.

    Returns
    -------
    DataFrame
        The points with `score`, from 0 to 1: of trees the share of such verdicts, of the machine the distance from its
        plane by the logistic function. One pass.
    """
    is_plane = taught.detector == "svm"
    vector = array_to_vector(squared() if is_plane else F.col("features")).alias("vector")
    model = taught.model.setFeaturesCol("vector")
    told: DataFrame = model.transform(points.select("*", vector))
    beyond = vector_to_array(F.col("rawPrediction"))[1]
    score = 1 / (1 + F.exp(-beyond)) if is_plane else vector_to_array(F.col("probability"))[1]
    return told.withColumn("score", score).drop("vector", "rawPrediction", "probability", "prediction")


def conformal(scored: DataFrame, names: Sequence[str], newest: int = 1) -> DataFrame:
    """Say how often a period as odd as the newest ones came before.

    Parameters
    ----------
    scored : DataFrame
        Points, and a column of scores for each name.
    names : sequence of str
    newest : int, default 1
        Periods that are asked about; the older ones are what they are held against.

    Returns
    -------
    DataFrame
        `grouping`, `key`, `measure`, `day` of the newest periods, and `p_…` for each name: 1 and the older ones of
        their grouping and measure of the same score or higher, against 1 and all of these. Scores are told to three
        digits. One small aggregate joined back, one shuffle of the newest.
    """
    kind = ["grouping", "measure", "name"]
    places = [F.struct(F.lit(name).alias("name"), F.round(F.col(name) / STEP).alias("place")) for name in names]
    told = scored.select(*OF_SERIES, "day", "age", F.explode(F.array(*places)).alias("of")).select("*", "of.*")
    known = told.where(F.col("place").isNotNull())
    counts = known.groupBy(*kind, "place").agg(F.count_if(F.col("age") >= newest).alias("older"))
    above = F.sum("older").over(Window.partitionBy(*kind).orderBy(F.desc("place")))
    everything = F.sum("older").over(Window.partitionBy(*kind))
    p = counts.select(*kind, "place", ((above + 1) / (everything + 1)).alias("p"))
    asked = known.where(F.col("age") < newest).join(F.broadcast(p), [*kind, "place"])
    of_name = [F.max(F.when(F.col("name") == name, F.col("p"))).alias(f"p_{name}") for name in names]
    return asked.groupBy(*OF_SERIES, "day").agg(*of_name)
