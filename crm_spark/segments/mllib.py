"""The search for segments by MLlib's KMeans, begun by k-means||: the reference of `lloyd`.

References
----------
Bahmani, B. et al. (2012). Scalable K-Means++. PVLDB 5(7).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pyspark import inheritable_thread_target
from pyspark.ml.clustering import KMeans, KMeansModel
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.segments.choice import Found, settled

AT_ONCE = 4  # searches
NO_STABILITY = "the engine mllib does not draw customers anew"


def search(points: DataFrame, ks: Sequence[int], starts: int) -> list[Found]:
    """Find the centres of each number of segments.

    Parameters
    ----------
    points : DataFrame
        `point`, an array of double; on a fixed layout.
    ks : sequence of int
    starts : int
        How often the search for each is begun anew.

    Returns
    -------
    list of Found
        Each start is a fit of some 25 small jobs, each silhouette two of them. The driver sees centres alone.
    """
    # A checkpoint, not a cache: MLlib then keeps the vectors as it likes them.
    vectors = points.select(array_to_vector(F.col("point")).alias("vector")).localCheckpoint()
    # While the driver plans the small jobs of one search, the cluster works on another's.
    in_thread = inheritable_thread_target(vectors.sparkSession)
    one: Callable[[int], Found] = in_thread(lambda k: _best(vectors, k, starts))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(one, ks))


def _best(vectors: DataFrame, k: int, starts: int) -> Found:
    models = [_fit(vectors, k, seed) for seed in range(1, starts + 1)]
    found = [Found(k, _centres(model), settled(model.summary.trainingCost)) for model in models]
    best = min(range(starts), key=lambda at: (-len(found[at].centres), found[at].within))
    if len(found[best].centres) == 1:
        return found[best]
    return replace(found[best], silhouette=_silhouette(models[best], vectors), reason=NO_STABILITY)


def _fit(vectors: DataFrame, k: int, seed: int) -> KMeansModel:
    # The solver in blocks, MLlib's choice for dense rows, fails where customers differ in fewer ways than k.
    return KMeans(k=k, seed=seed, featuresCol="vector", solver="row").fit(vectors)


def _centres(model: KMeansModel) -> list[list[float]]:
    return sorted([settled(at) for at in centre] for centre in model.clusterCenters())


def _silhouette(model: KMeansModel, vectors: DataFrame) -> float:
    return settled(ClusteringEvaluator(featuresCol="vector").evaluate(model.transform(vectors)))
