"""Recency, frequency and money: score customers by how lately, how often and for how much they bought.

A score is a quantile group, 1 (worst) to `bins` (best); customers with equal values score alike. The cut
points are the inner quantiles of the customers' own values, linearly interpolated (the definition that
NumPy and R use by default), or those that are given. They are one row joined back: nothing is sorted
globally, nothing collected.

References
----------
Hughes, A. M. (1994). Strategic Database Marketing. Probus.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.core.errors import ConfigError
from crm_spark.features.quantiles import quantiles

MEASURES = ("recency", "frequency", "monetary")
SHARES = "r double, f double, m double, fm double"
UNNAMED = "Others"

SCORES = Table(
    "rfm_scores",
    "How recently, how often and for how much each customer bought, as of a day.",
    owns="as_of",
    key=["customer_id", "as_of"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("as_of", "date", "the day the scores speak for"),
        Field("recency", "int", "days since the last day with an order", unit="day"),
        Field("frequency", "bigint", "orders up to that day", unit="order"),
        Field("monetary", "decimal(28,4)", "what they brought", unit="money"),
        Field("recency_score", "int", "1 (longest ago) to bins (latest)"),
        Field("frequency_score", "int", "1 (fewest) to bins (most)"),
        Field("monetary_score", "int", "1 (least) to bins (most)"),
        Field("segment", "string", "the first rule of the rule file that fits"),
    ],
)

CUTS = Table(
    "rfm_cuts",
    "Where one score ends and the next begins, as of a day.",
    owns="as_of",
    key=["as_of", "measure", "score"],
    columns=[
        Field("as_of", "date", "the day the scores speak for"),
        Field("measure", "string", "recency, frequency or monetary"),
        Field("score", "int", "the score that begins here"),
        Field("cut", "double", "scored so are values above it; of recency, values below it"),
    ],
)

Cuts = Mapping[str, Sequence[float]]
SegmentRules = Sequence[Mapping[str, str]]


def measure(customer_days: DataFrame, as_of: date, net: bool = False) -> DataFrame:
    """Measure every customer who ordered on or before a day.

    Parameters
    ----------
    customer_days : DataFrame of CUSTOMER_DAYS
        Days after `as_of` are ignored.
    net : bool, default False
        Whether returns are taken off the money.

    Returns
    -------
    DataFrame
        `customer_id`, `recency` [day], `frequency` [order], `monetary` [money]. One shuffle by customer.
    """
    money = F.col("sales") - F.col("returns") if net else F.col("sales")
    ordered_on = F.when(F.col("orders") > 0, F.col("day"))
    return (
        customer_days.where(F.col("day") <= F.lit(as_of))
        .groupBy("customer_id")
        .agg(
            F.date_diff(F.lit(as_of), F.max(ordered_on)).alias("recency"),
            F.sum("orders").alias("frequency"),
            F.sum(money).cast("decimal(28,4)").alias("monetary"),
        )
        .where(F.col("frequency") > 0)
    )


def cut_points(measures: DataFrame, bins: int, given: Cuts | None = None) -> DataFrame:
    """Give one row with an array of `bins - 1` ascending cut points for each measure.

    Recency counts backwards, so that more is better in every column. No customer, no row of numbers:
    the arrays are null then.
    """
    goodness = measures.select(*[_goodness(name).alias(name) for name in MEASURES])
    found = quantiles(goodness, MEASURES, [level / bins for level in range(1, bins)])
    fixed = {
        name: F.array(*[F.lit(float(cut)) for cut in _ascending(name, cuts)]) for name, cuts in (given or {}).items()
    }
    return found.select(*[fixed.get(name, F.col(name)).alias(name) for name in MEASURES])


def score(measures: DataFrame, cuts: DataFrame, as_of: date, bins: int, rules: SegmentRules) -> DataFrame:
    """Score measured customers and name their segment.

    Parameters
    ----------
    measures : DataFrame
        As `measure` gives it.
    cuts : DataFrame
        As `cut_points` gives it.
    bins : int
        Number of scores, 2 or more.
    rules : sequence of {"name", "when"}
        The first whose condition holds names the segment; see `check`.

    Returns
    -------
    DataFrame of SCORES
        One row for each customer. No shuffle of its own.
    """
    if bins < 2:
        raise ValueError(f"bins must be 2 or more, got {bins}")
    points = cuts.select(*[F.col(name).alias(f"cuts_{name}") for name in MEASURES])
    scored = measures.crossJoin(F.broadcast(points)).withColumns(
        {f"{name}_score": level(_goodness(name), F.col(f"cuts_{name}"), bins) for name in MEASURES}
    )
    return _shared(scored, bins).select(
        "customer_id",
        F.lit(as_of).alias("as_of"),
        *MEASURES,
        *[f"{name}_score" for name in MEASURES],
        named(rules).alias("segment"),
    )


def level(value: Column, cuts: Column, bins: int) -> Column:
    """1 + the number of cut points below the value."""
    below = [F.when(cuts[at] < value, 1).otherwise(0) for at in range(bins - 1)]
    return (reduce(lambda total, one: total + one, below) + 1).cast("int")


def named(rules: SegmentRules) -> Column:
    """The name of the first rule that holds."""
    return F.coalesce(*[F.when(F.expr(rule["when"]), rule["name"]) for rule in rules], F.lit(UNNAMED))


def check(rules: SegmentRules, like: DataFrame | None = None) -> None:
    """Refuse rules that cannot be, all at once.

    Parameters
    ----------
    rules : sequence of {"name", "when"}
        `when` is an SQL condition over r, f and m, the scores as shares from 0 (worst) to 1 (best), and
        fm, the mean of f and m.
    like : DataFrame, optional
        Any: the rules are held against its session. Without one their form alone is looked at.

    Raises
    ------
    ConfigError
    """
    if not _are_rules(rules):
        raise ConfigError("the rules that name segments must be a list of {name: text, when: text}")
    if like is None:
        return
    shares = like.sparkSession.createDataFrame([], SHARES)
    wrong = [
        f"{rule['name']}: '{rule['when']}' is no condition over r, f, m and fm"
        for rule in rules
        if not _stands(rule, shares)
    ]
    if wrong:
        raise ConfigError.listing("the rules that name segments", wrong)


def listed(cuts: DataFrame, as_of: date) -> DataFrame:
    """Give the cut points a row each.

    Returns
    -------
    DataFrame of CUTS
        Recency in days again.
    """
    levels = cuts.select(F.posexplode(F.arrays_zip(*MEASURES)).alias("at", "cuts")).select("at", "cuts.*")
    points = levels.unpivot("at", list(MEASURES), "measure", "cut")
    in_days = F.when(F.col("measure") == "recency", -F.col("cut")).otherwise(F.col("cut"))
    return points.select(F.lit(as_of).alias("as_of"), "measure", (F.col("at") + 2).alias("score"), in_days.alias("cut"))


def _goodness(name: str) -> Column:
    """The measure with more meaning better."""
    value = F.col(name).cast("double")
    return -value if name == "recency" else value


def _ascending(name: str, cuts: Sequence[float]) -> list[float]:
    return sorted(-cut for cut in cuts) if name == "recency" else list(cuts)


def _shared(scored: DataFrame, bins: int) -> DataFrame:
    """Add the scores as shares from 0 to 1, by which rules hold for any number of bins."""
    shares = {name[0]: (F.col(f"{name}_score") - 1) / F.lit(float(bins - 1)) for name in MEASURES}
    return scored.withColumns(shares).withColumn("fm", (F.col("f") + F.col("m")) / 2)


def _are_rules(given: object) -> bool:
    return isinstance(given, Sequence) and all(_is_rule(rule) for rule in given)


def _is_rule(rule: object) -> bool:
    if not isinstance(rule, Mapping) or set(rule) != {"name", "when"}:
        return False
    return all(isinstance(text, str) for text in rule.values())


def _stands(rule: Mapping[str, str], shares: DataFrame) -> bool:
    try:
        shares.where(F.expr(rule["when"])).schema  # noqa: B018 (it is what asks Spark)
    except AnalysisException:  # a ParseException is one
        return False
    return True
