"""Segments of customers who behave alike: k-means on prepared features.

Features are brought to one scale (`preparation`). Then the k centres are sought to which the customers' squared
distances add up to least: by our own kernel (`lloyd`), or by MLlib (`mllib`), its reference. Where several k are
allowed, one is taken by the silhouette, the elbow or stability (`choice`). A customer is of the segment whose centre is
nearest.

Segments are numbered by what their customers brought, the greatest mean first; where there was a run before, they keep
its numbers (`former`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import NumericType

from crm_spark.core.contracts import Field, Table
from crm_spark.core.errors import near
from crm_spark.segments import lloyd, mllib, preparation, traits
from crm_spark.segments.choice import By, Centres, Found, choose, told

# When last, on how many days, how often, for how much. What they spent in all is days times basket: it would count
# both twice. Days grow with the time that one is a customer, gaps do not.
FEATURES = ("recency_days", "purchase_days", "rhythm_days", "basket_value")
K = range(3, 9)  # two segments tell apart who bought again and who did not, which needs no model
MEASURES = ("silhouette", "stability", "within")

Engine = Literal["lloyd", "mllib"]


@dataclass(frozen=True)
class Search:
    """How centres are sought, and which number of them is taken.

    Parameters
    ----------
    starts : int, default 10
        How often the search for each number is begun anew; the nearest centres win.
    by : {"silhouette", "stability", "elbow"}
        Which number is taken: the one with the greatest silhouette or stability, of equals the least, or that at the
        elbow of the squares within segments.
    engine : {"lloyd", "mllib"}
        Who seeks. MLlib tells no stability.
    """

    starts: int = 10
    by: By = "silhouette"
    engine: Engine = "lloyd"


SEGMENTS = Table(
    "customer_segments",
    "Which customers behave alike, as of a day.",
    owns="as_of",
    key=["customer_id", "as_of"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("as_of", "date", "the day the segments speak for"),
        Field(
            "segment_id",
            "int",
            "its number for good; at first 1 (whose customers brought most on average) to k",
            nullable=True,
        ),
        Field("segment", "string", "what sets it apart from all customers, in words", nullable=True),
        Field("distance", "double", "to its centre, in standard deviations of prepared features", nullable=True),
        Field("reason", "string", "why there is no segment", nullable=True),
        Field("learned_on", "date", "the day on which the segments were learned", nullable=True),
    ],
    version=2,
)

MODEL = Table(
    "segment_model",
    "What was learned to tell segments apart, as of a day: how features are prepared, centres, the choice of k.",
    owns="as_of",
    key=["as_of", "parameter", "feature", "number"],
    columns=[
        Field("as_of", "date", "the day it was used for"),
        Field(
            "parameter",
            "string",
            "of a feature: missing, low, high, is_logarithm, mean, deviation, infinite (customers with such a value, "
            "where there are any); of a segment: centre; of a k: "
            "silhouette, stability, within (sum of squares within segments); of all: agreement (adjusted Rand index of "
            "these segments and those of the last run, of the same customers)",
        ),
        Field("feature", "string", "the feature; all for a k and for all"),
        Field("number", "int", "segment of a centre, k of a measure of it, else 0"),
        Field("value", "double", "the centre is in standard deviations", nullable=True),
        Field("segment", "string", "name of the segment of a centre", nullable=True),
        Field("reason", "string", "why there is no value, or why it tells nothing", nullable=True),
        Field("learned_on", "date", "the day it was learned on", nullable=True),
    ],
    version=2,
)

NOBODY = "there was no customer to learn segments from"


def fit(
    customers: DataFrame,
    as_of: date,
    features: Sequence[str] = FEATURES,
    k: Sequence[int] = K,
    tail: float = 0.01,
    search: Search = Search(),
) -> DataFrame:
    """Find the segments of the customers of a day.

    A search goes from pass to pass: unlike the rest of this module this runs Spark jobs before it returns.

    Parameters
    ----------
    customers : DataFrame of CUSTOMER_FEATURES
        Other days than `as_of` are ignored. Read five times: best persisted.
    features : sequence of str
        Numeric columns by which customers are alike or not.
    k : sequence of int
        Numbers of segments, 2 or more.
    tail : float, default 0.01
        Share of the customers at both ends whose values are moved to that quantile.
    search : Search
        How centres are sought, and which k is taken.

    Returns
    -------
    DataFrame of MODEL
        Prepared customers are kept for the search. Up to 100,000 of them are one more job for all k, more are some five
        more. The driver sees centres alone. MLlib's search begins with a shuffle: a hash of the key lays customers out
        in one partition for each 100,000 of them, sorted, so that the same customers give the same segments wherever
        they lay; our own needs no layout.

    Raises
    ------
    ValueError
        `features` names no numeric column, or `k`, `tail` or `search` cannot be.
    """
    _check(customers, features, k, tail, search)
    of_day = customers.where(F.col("as_of") == F.lit(as_of))
    learned = preparation.learn(of_day, features, tail).localCheckpoint()
    placed = of_day.crossJoin(F.broadcast(preparation.wide(learned, features)))
    prepared = placed.select("customer_id", "spend", preparation.point(features).alias("point"))
    size = of_day.count()
    points = (lay_out(prepared, size) if search.engine == "mllib" else prepared).localCheckpoint()
    found = told(_search(points, sorted(set(k)), search, size, len(features))) if size else []
    centres = choose(found, search.by).centres if found else []
    segments = _numbered(points, centres, features)
    return _listed(learned, segments, found, features, as_of).localCheckpoint()


def predict(customers: DataFrame, model: DataFrame, as_of: date, features: Sequence[str] = FEATURES) -> DataFrame:
    """Say of every customer of a day which segment is nearest.

    Parameters
    ----------
    customers : DataFrame of CUSTOMER_FEATURES
        They need not be those that the model was learned from.
    model : DataFrame of MODEL
        Of one day.
    features : sequence of str
        Those that the model was learned from.

    Returns
    -------
    DataFrame of SEGMENTS
        One pass, no shuffle.
    """
    found = place(customers.where(F.col("as_of") == F.lit(as_of)), model, features)
    is_found = F.col("nearest.distance").isNotNull()
    reason = F.when(F.size("centres") == 0, F.lit(NOBODY)).otherwise(F.lit("its segments have other features"))
    return found.select(
        "customer_id",
        F.lit(as_of).alias("as_of"),
        F.when(is_found, F.col("nearest.number")).alias("segment_id"),
        F.when(is_found, F.col("nearest.segment")).alias("segment"),
        F.sqrt("nearest.distance").alias("distance"),
        F.when(~is_found, reason).alias("reason"),
        F.when(is_found, F.col("learned_on")).alias("learned_on"),
    )


def place(customers: DataFrame, model: DataFrame, features: Sequence[str]) -> DataFrame:
    """Add `nearest`, the segment whose centre is nearest with its squared distance, and what tells it."""
    known = preparation.wide(model, features).crossJoin(_wide(model, features))
    placed = customers.crossJoin(F.broadcast(known)).withColumn("point", preparation.point(features))
    return placed.withColumn("nearest", nearest(features))


def lay_out(customers: DataFrame, size: int) -> DataFrame:
    """Lay out customers by a hash of the key in one partition for each 100,000, sorted in each."""
    return customers.repartition(1 + size // lloyd.A_PART, "customer_id").sortWithinPartitions("customer_id")


def nearest(features: Sequence[str]) -> Column:
    """The centre with the least squared distance to `point`, of equals the first; null without centres."""

    def held(centre: Column) -> Column:
        squares = [(F.get("point", F.lit(at)) - F.get(centre["at"], F.lit(at))) ** 2 for at in range(len(features))]
        distance = sum(squares, start=F.lit(0.0)).alias("distance")
        return F.struct(distance, centre["number"].alias("number"), centre["segment"].alias("segment"))

    return F.array_min(F.transform("centres", held))


def _check(customers: DataFrame, features: Sequence[str], k: Sequence[int], tail: float, search: Search) -> None:
    numeric = [field.name for field in customers.schema.fields if isinstance(field.dataType, NumericType)]
    strangers = [f"'{name}' is no numeric column{near(name, numeric)}" for name in features if name not in numeric]
    if strangers or not features or len(set(features)) < len(features):
        told = "; ".join(strangers) or "they are none, or one is named twice"
        raise ValueError(f"features cannot be {', '.join(features)}: {told}")
    if not k or min(k) < 2:
        raise ValueError(f"k must be 2 or more, got {list(k)}")
    if not 0 <= tail < 0.5 or search.starts < 1:
        raise ValueError(f"tail must be 0 or more and below 0.5, starts 1 or more, got {tail} and {search.starts}")
    if search.engine == "mllib" and search.by == "stability":
        raise ValueError("by stability only the engine lloyd can choose: mllib does not tell it")


def _search(points: DataFrame, ks: Sequence[int], search: Search, size: int, width: int) -> list[Found]:
    if search.engine == "mllib":
        return mllib.search(points, ks, search.starts)
    return lloyd.search(points, ks, search.starts, size, width)


def _numbered(points: DataFrame, centres: Centres, features: Sequence[str]) -> DataFrame:
    """Name the centres, and number them by the mean spend of who is nearest, then by how many these are."""
    named = enumerate(zip(traits.names(centres, features), centres, strict=True))
    rows = [(number, name, centre) for number, (name, centre) in named]
    known = points.sparkSession.createDataFrame(rows, "number int, segment string, at array<double>")
    gathered = known.agg(F.collect_list(F.struct("number", "segment", "at")).alias("centres"))
    members = points.crossJoin(F.broadcast(gathered)).select(nearest(features)["number"].alias("number"), "spend")
    sizes = members.groupBy("number").agg(F.avg("spend").alias("spend"), F.count("*").alias("customers"))
    order = Window.partitionBy(F.lit(0)).orderBy(F.desc("spend"), F.desc("customers"), "at")
    # Nobody may be nearest to a centre: it is left out then.
    return known.join(F.broadcast(sizes), "number").select("segment", "at", F.row_number().over(order).alias("number"))


def _listed(
    learned: DataFrame,
    segments: DataFrame,
    found: Sequence[Found],
    features: Sequence[str],
    as_of: date,
) -> DataFrame:
    """Put all that was learned into one table."""
    prepared = {"number": F.lit(0), "segment": F.lit(None).cast("string"), "reason": preparation.reason()}
    names = F.array(*[F.lit(feature) for feature in features])
    coordinates = segments.select(
        "number", "segment", F.explode(F.arrays_zip(names.alias("feature"), "at")).alias("of")
    )
    centres = {"parameter": F.lit("centre"), "feature": F.col("of.feature"), "value": F.col("of.at")}
    scores = segments.sparkSession.createDataFrame(
        [row for one in found for row in _measured(one)],
        "parameter string, feature string, number int, value double, reason string",
    )
    parts = [
        learned.withColumns(prepared),
        coordinates.withColumns({**centres, "reason": F.lit(None).cast("string")}),
        scores.withColumn("segment", F.lit(None).cast("string")),
    ]
    days = {name: F.lit(as_of) for name in ("as_of", "learned_on")}
    rows = [part.withColumns(days).select(*MODEL.names) for part in parts]
    return rows[0].unionByName(rows[1]).unionByName(rows[2])


def _measured(found: Found) -> list[tuple[str, str, int, float | None, str | None]]:
    """What is told of a number of segments; one segment alone has squares only."""
    values = {name: getattr(found, name) for name in MEASURES}
    names = ["within"] if len(found.centres) == 1 else MEASURES
    return [(name, "all", found.k, values[name], found.reason if values[name] is None else None) for name in names]


def _wide(model: DataFrame, features: Sequence[str]) -> DataFrame:
    """Give the centres as one row with an array, by number, and the day they were learned on."""
    at = F.array(*[F.max(F.when(F.col("feature") == feature, F.col("value"))) for feature in features])
    centres = model.where(F.col("parameter") == "centre").groupBy("number")
    day = F.max(F.coalesce("learned_on", "as_of")).alias("learned_on")
    known = centres.agg(F.max("segment").alias("segment"), at.alias("at"), day)
    listed = F.sort_array(F.collect_list(F.struct("number", "segment", "at"))).alias("centres")
    return known.agg(listed, F.max("learned_on").alias("learned_on"))
