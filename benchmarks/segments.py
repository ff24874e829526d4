"""segments_1m: k-means with the number of segments chosen, against a plain pipeline of MLlib over the same numbers."""

import math
from datetime import date
from pathlib import Path

from pyspark.ml.clustering import KMeans
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.feature import StandardScaler, VectorAssembler
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.measure import Figure, compare
from crm_spark.segments import kmeans

AS_OF = date(2025, 12, 31)
FEATURES = ["recency_days", "purchase_days", "basket_value"]
KINDS = [(5, 12, 40), (20, 4, 150), (60, 8, 20), (200, 2, 60)]  # days, days, money


def segments_1m(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Learn from customers, choose of 3 to 6 segments, and place everybody."""
    customers = int(1_000_000 * share)
    path = str(folder / "customers")
    _customers(spark, customers).write.parquet(path)

    def ours() -> int:
        known = spark.read.parquet(path).localCheckpoint()
        model = kmeans.fit(known, AS_OF, FEATURES, range(3, 7))
        return _largest(kmeans.predict(known, model, AS_OF, FEATURES), "segment_id")

    def theirs() -> int:
        logs = [F.log1p(F.col(name).cast("double")).alias(name) for name in FEATURES]
        known = spark.read.parquet(path).select("customer_id", *logs)
        vectors = VectorAssembler(inputCols=FEATURES, outputCol="raw").transform(known)
        scaler = StandardScaler(inputCol="raw", outputCol="features", withMean=True)
        scaled = scaler.fit(vectors).transform(vectors).persist()
        fits = [KMeans(k=k, seed=1).fit(scaled) for k in range(3, 7)]
        scores = [ClusteringEvaluator().evaluate(fit.transform(scaled)) for fit in fits]
        size = _largest(fits[scores.index(max(scores))].transform(scaled), "prediction")
        scaled.unpersist()
        return size

    peer = "MLlib: VectorAssembler, StandardScaler, KMeans, ClusteringEvaluator over the same numbers"
    return compare("segments_1m", customers, peer, 1.5, ours, theirs, agree=_nearly)


def _nearly(ours: int, theirs: int) -> bool:
    """Whether the largest segments are of nearly one size; outliers are no one's business but ours."""
    return math.isclose(ours, theirs, rel_tol=0.02)


def _largest(placed: DataFrame, segment: str) -> int:
    sizes = placed.groupBy(segment).count().agg(F.max("count").alias("largest"))
    return int(sizes.collect()[0]["largest"])


def _customers(spark: SparkSession, customers: int) -> DataFrame:
    kind = F.pmod(F.xxhash64("id"), F.lit(len(KINDS)))

    def near(place: int, seed: int) -> Column:
        middles = F.array(*[F.lit(float(kind[place])) for kind in KINDS])
        return F.get(middles, kind) * F.exp(F.randn(seed) * 0.3)

    basket = near(2, 3).cast("decimal(18,4)")
    return spark.range(customers).select(
        F.lpad(F.col("id").cast("string"), 9, "0").alias("customer_id"),
        F.lit(AS_OF).alias("as_of"),
        F.rint(near(0, 1)).cast("int").alias("recency_days"),
        (F.rint(near(1, 2)).cast("bigint") + 1).alias("purchase_days"),
        basket.alias("basket_value"),
        (basket * 3).cast("decimal(18,4)").alias("spend"),
    )
