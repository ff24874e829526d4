"""Segments keep their number and their name from run to run.

Today's customers are given to the segments of the last run and to those of now. Each segment of now takes the number of
the one that it shares most customers with, all together as many as can be (`kernels.alignment`). Since both times they
are the same customers, a number stays with what its segment is like, not with who happened to be in it. A segment
without a counterpart gets a number that none has had. A name stays as long as what it tells is so.

As long as a model is to be kept nothing is learned: it is that of the last run, with its day.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.kernels import kmeans as kernel
from crm_spark.kernels.alignment import counterparts
from crm_spark.segments import traits
from crm_spark.segments.choice import settled
from crm_spark.segments.kmeans import MODEL, place


@dataclass(frozen=True)
class Former:
    """The last run that found segments.

    Parameters
    ----------
    since : date
        The day it was for.
    learned_on : date
        The day on which its segments were learned.
    features : list of str
        By which.
    segments : int
        How many there are.
    greatest : int
        The greatest number that any segment has had so far.
    """

    since: date
    learned_on: date
    features: list[str]
    segments: int
    greatest: int

    def is_kept(self, as_of: date, features: Collection[str], k: Collection[int], days: int) -> bool:
        """Whether its segments are younger than so many days, and those that are asked for."""
        is_young = (as_of - self.learned_on).days < days
        return is_young and set(features) == set(self.features) and self.segments in k


def find(models: DataFrame, as_of: date) -> Former | None:
    """Tell the last run before a day; one small Spark job at once.

    Parameters
    ----------
    models : DataFrame of MODEL
    """
    centres = models.where((F.col("as_of") < F.lit(as_of)) & (F.col("parameter") == "centre"))
    days = centres.groupBy("as_of").agg(
        F.max(F.coalesce("learned_on", "as_of")).alias("learned_on"),
        F.sort_array(F.collect_set("feature")).alias("features"),
        F.countDistinct("number").cast("int").alias("segments"),
        F.max("number").alias("greatest"),
    )
    last = F.max(F.struct("as_of", "learned_on", "features", "segments")).alias("last")
    row = days.agg(last, F.max("greatest").alias("greatest")).collect()[0]
    if row["last"] is None:
        return None
    since, learned_on, features, segments = row["last"]
    return Former(since, learned_on, features, segments, row["greatest"])


def keep(models: DataFrame, former: Former, as_of: date) -> DataFrame:
    """Give what the last run had learned as the model of a day.

    Returns
    -------
    DataFrame of MODEL
    """
    then = models.where((F.col("as_of") == F.lit(former.since)) & (F.col("parameter") != "agreement"))
    days = {"as_of": F.lit(as_of), "learned_on": F.lit(former.learned_on)}
    return then.withColumns(days).select(*MODEL.names)


def align(
    customers: DataFrame, model: DataFrame, models: DataFrame, former: Former, as_of: date, features: Sequence[str]
) -> DataFrame:
    """Give the segments of a model the numbers and names that those of the last run had.

    Parameters
    ----------
    customers : DataFrame of CUSTOMER_FEATURES
        Of the day; with the features of both models. Best persisted.
    model : DataFrame of MODEL
        Learned on the day. Best persisted.
    models : DataFrame of MODEL
        Of the days before.
    former : Former
        As `find` tells it.
    features : sequence of str
        Those of `model`.

    Returns
    -------
    DataFrame of MODEL
        One pass over customers, at once; the driver sees counts by segment alone.
    """
    then = models.where(F.col("as_of") == F.lit(former.since))
    before, now = _segments(then), _segments(model)
    if not now:
        return model
    was = place(customers.where(F.col("as_of") == F.lit(as_of)), then, former.features)
    is_ = place(was.select(*features, F.col("nearest.number").alias("was")), model, features)
    both = is_.groupBy("was", F.col("nearest.number").alias("is")).agg(F.count("*").alias("customers"))
    counts = np.zeros((len(before), len(now)))
    for row in both.collect():
        counts[list(before).index(row["was"]), list(now).index(row["is"])] = row["customers"]
    found = [list(before)[place] if place >= 0 else None for place in counterparts(counts).tolist()]
    fresh = count(former.greatest + 1)
    numbers = [next(fresh) if number is None else number for number in found]
    centres = [[segment.at[feature] for feature in features] for segment in now.values()]
    names = traits.names(centres, features, [None if number is None else before[number].name for number in found])
    told = list(zip(now, numbers, names, strict=True))
    return _renamed(model, told, settled(kernel.agreement(counts)), as_of)


@dataclass(frozen=True)
class _Segment:
    name: str
    at: dict[str, float]


def _segments(model: DataFrame) -> dict[int, _Segment]:
    """The segments of a model by number, rising."""
    centres = model.where(F.col("parameter") == "centre").orderBy("number", "feature")
    found: dict[int, _Segment] = {}
    for row in centres.select("number", "segment", "feature", "value").collect():
        found.setdefault(row["number"], _Segment(row["segment"], {})).at[row["feature"]] = row["value"]
    return found


def _renamed(model: DataFrame, told: list[tuple[int, int, str]], agreement: float, as_of: date) -> DataFrame:
    """Put numbers and names in the place of others, and say how alike both runs are."""
    make = model.sparkSession.createDataFrame
    known = make(told, "number int, numbered int, named string").withColumn("parameter", F.lit("centre"))
    placed = model.join(F.broadcast(known), ["parameter", "number"], "left").withColumns(
        {"number": F.coalesce("numbered", "number"), "segment": F.coalesce("named", "segment")}
    )
    row = (as_of, "agreement", "all", 0, agreement, None, None, as_of)
    return placed.select(*MODEL.names).unionByName(make([row], MODEL.nullable_ddl))
