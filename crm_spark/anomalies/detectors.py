"""Detectors that judge the newest periods beside the methods of statistics: the default one, and one that has learned.

`surprise` is the default of `crm_spark.kernels.surprise`, which wants nothing but the series' own past. `learned` has
learned from verdicts of analysts, where these are enough; else it is an isolation forest. Of both the p is conformal.
"""

from datetime import date
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.anomalies import isolation, points, taught
from crm_spark.anomalies.taught import Taught
from crm_spark.core.contracts import Field, Table
from crm_spark.forecasting.series import OF_SERIES

HELD, FINENESS = 1_000_000, 1_000_000  # older periods that are told; to how fine a share of series
Chosen = Literal[taught.Detector, "isolation_forest"]
SURPRISE, LEARNED = "surprise", "learned"

DETECTORS = Table(
    "behaviour_detectors",
    "What the detector that learns has learned from, as of a day.",
    owns="as_of",
    key=["as_of"],
    columns=[
        Field("as_of", "date", "the day until which is known"),
        Field("detector", "string", "tree, forest or svm, which learn from verdicts; isolation_forest needs none"),
        Field("verdicts", "bigint", "of the newest periods, of which something is known", unit="verdict"),
        Field("anomalies", "bigint", "of them, what was called out of the ordinary", unit="verdict"),
        Field("reason", "string", "why nothing was learned from verdicts", nullable=True),
    ],
)


def judge(
    series: DataFrame,
    verdicts: DataFrame,
    as_of: date,
    newest: int = 1,
    periods: int = 60,
    detector: Chosen = "forest",
    season: int | None = None,
) -> tuple[DataFrame, DataFrame]:
    """Judge the newest periods of series by both detectors.

    Parameters
    ----------
    series : DataFrame of BEHAVIOUR_SERIES
        Of one day.
    verdicts : DataFrame of VERDICTS
        Read at once: whether there is something to learn decides what is learned.
    as_of : date
    newest : int, default 1
        Periods that are judged.
    periods : int, default 60
        Newest periods that detectors are held against, and learn from: of all series, or of as many, by a hash of the
        key, as have a million of them, and of those with a verdict.
    detector : str, default forest
        By which method to learn from verdicts; `isolation_forest` does not.
    season : int, optional

    Returns
    -------
    DataFrame
        `grouping`, `key`, `measure`, `day`, `p_surprise`, `p_learned`.
    DataFrame of DETECTORS
        One row.
    """
    held = HELD * FINENESS // max(series.count() * periods, 1)
    is_held = F.pmod(F.xxhash64(*OF_SERIES), F.lit(FINENESS)) < held
    said = verdicts.select(*OF_SERIES, F.lit(True).alias("is_said")).distinct()
    asked = series.join(F.broadcast(said), list(OF_SERIES), "left")
    told_of = F.when(is_held | F.col("is_said"), periods + newest).otherwise(newest)
    told = points.tell(asked, told_of, season).localCheckpoint()
    if detector == "isolation_forest":
        learned = Taught(detector, None, 0, 0, "verdicts are not asked for")
    else:
        learned = taught.fit(taught.label(told, verdicts), detector)
    scored = taught.predict(told, learned) if learned.model else isolation.predict(told, isolation.fit(told))
    both = scored.withColumns({SURPRISE: surprise(), LEARNED: F.col("score")})
    what = {
        "as_of": F.lit(as_of),
        "detector": F.lit(detector if learned.model else "isolation_forest"),
        "verdicts": F.lit(learned.verdicts).cast("bigint"),
        "anomalies": F.lit(learned.anomalies).cast("bigint"),
        "reason": F.lit(learned.reason).cast("string"),
    }
    kept = series.sparkSession.range(1).select(*[column.alias(name) for name, column in what.items()])
    return taught.conformal(both, [SURPRISE, LEARNED], newest), kept


def surprise() -> Column:
    """The default's score: the largest of the first three features, without its sign."""
    return F.greatest(*[F.abs(F.col("features")[at]) for at in range(3)])
