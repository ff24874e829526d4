"""Bring features to one scale, so that a distance between customers means something.

Each value goes through the same steps; what they need is a few numbers for each feature:

1. a missing value becomes the median of the others;
2. what lies beyond two quantiles is moved to them (winsorising): one odd customer moves no centre;
3. days, counts and money, of which few have very much, become `sign(x) ln(1 + |x|)`; shares stay as they are;
4. less the mean, by the standard deviation. A feature in which all are alike becomes 0.

References
----------
Tukey, J. W. (1977). Exploratory Data Analysis. Addison-Wesley.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.features.quantiles import quantiles
from crm_spark.kernels.series import LARGEST
from crm_spark.segments.choice import DIGITS
from crm_spark.segments.traits import trait

STEPS = ("missing", "low", "high", "is_logarithm", "mean", "deviation")
INFINITE = "infinite"
LEARNED = "parameter string, feature string, value double"


def learn(customers: DataFrame, features: Sequence[str], tail: float) -> DataFrame:
    """Learn what the steps need.

    Parameters
    ----------
    customers : DataFrame
        Read three times: best persisted.
    features : sequence of str
        Numeric columns; null, NaN, infinite values and those beyond 1e150 count as missing.
    tail : float
        Share of the customers beyond each of both quantiles.

    Returns
    -------
    DataFrame
        `parameter` (of STEPS), `feature`, `value`; null where no customer has a value. Of features with infinite
        values one more, INFINITE, which counts them. Two shuffles of counted values, and one aggregate.
    """
    infinite = [named(INFINITE, feature) for feature in features]
    numbers = customers.select(
        *[number(feature).alias(feature) for feature in features],
        *[is_infinite(feature).alias(name) for name, feature in zip(infinite, features, strict=True)],
    )
    cuts = quantiles(numbers, features, [tail, 0.5, 1 - tail])
    known = cuts.select(
        *[
            F.get(feature, F.lit(at)).alias(named(step, feature))
            for feature in features
            for at, step in enumerate(("low", "missing", "high"))
        ],
        *[F.lit(float(trait(feature).is_skewed)).alias(named("is_logarithm", feature)) for feature in features],
    )
    # The cut points go along: to look them up again would be to count them again.
    cut = [named(step, feature) for feature in features for step in STEPS[:4]]
    moments = [_moment(step, feature) for feature in features for step in STEPS[4:]]
    steps = [
        F.struct(
            F.lit(step).alias("parameter"), F.lit(feature).alias("feature"), F.col(named(step, feature)).alias("value")
        )
        for feature in features
        for step in (*STEPS, INFINITE)
    ]
    placed = numbers.crossJoin(F.broadcast(known))
    counts = [F.count_if(name).cast("double").alias(name) for name in infinite]
    learned = placed.agg(*[F.max(name).alias(name) for name in cut], *moments, *counts)
    listed = learned.select(F.inline(F.array(*steps)))
    return listed.where((F.col("parameter") != INFINITE) | (F.col("value") > 0))


def reason() -> Column:
    """Why a step of `learn` has no value, or tells nothing; and what became of infinite values."""
    missing = F.when(F.col("value").isNull(), F.lit("no customer has a value"))
    is_alike = (F.col("parameter") == "deviation") & (F.col("value") == 0)
    why = F.coalesce(missing, F.when(is_alike, F.lit("all customers are alike in it")))
    useless = F.concat(why, F.lit(": it tells nobody apart and may be left out of `features`"))
    are_infinite = "so many customers have an infinite value, or one beyond 1e150, which counts as missing: mend it"
    return F.coalesce(useless, F.when(F.col("parameter") == INFINITE, F.lit(f"{are_infinite} where it comes from")))


def wide(learned: DataFrame, features: Sequence[str]) -> DataFrame:
    """Give the steps as one row, to join to customers."""
    is_of = {
        (step, feature): (F.col("parameter") == step) & (F.col("feature") == feature)
        for feature in features
        for step in STEPS
    }
    return learned.agg(*[F.max(F.when(is_, F.col("value"))).alias(named(*of)) for of, is_ in is_of.items()])


def point(features: Sequence[str]) -> Column:
    """Where a customer lies: the prepared features, of a row that `wide` was joined to."""
    return F.array(*[_coordinate(feature) for feature in features])


def number(feature: str) -> Column:
    """The feature as a double; null for what is no number, or one whose square is none."""
    value = F.col(feature).cast("double")
    return F.when(F.abs(value) <= F.lit(LARGEST), value)


def is_infinite(feature: str) -> Column:
    """Whether there is a number that is none to reckon with."""
    value = F.col(feature).cast("double")
    return value.isNotNull() & ~F.isnan(value) & number(feature).isNull()


def named(step: str, feature: str) -> str:
    """The column in which a step's number of a feature stands."""
    return f"{step}_of_{feature}"


def settled(value: Column) -> Column:
    """Leave out the digits that another order of summing changes."""
    return F.round(value, DIGITS) + F.lit(0.0)  # there is no -0


def share(name: str) -> Column:
    """Give which share of all rows' sum a row has; null where there is no sum."""
    total = F.sum(name).over(Window.partitionBy(F.lit(0)))
    return F.when(total > 0, settled((F.col(name) / total).cast("double")))


def _moment(step: str, feature: str) -> Column:
    """The mean of a feature after the steps before it, or its standard deviation."""
    aggregate = F.avg if step == "mean" else F.stddev_pop
    return settled(aggregate(_bounded(feature))).alias(named(step, feature))


def _bounded(feature: str) -> Column:
    """The first three steps."""
    low, high, missing, is_logarithm = (
        F.col(named(step, feature)) for step in ("low", "high", "missing", "is_logarithm")
    )
    value = F.least(F.greatest(F.coalesce(number(feature), missing), low), high)
    return F.when(is_logarithm == 1, F.signum(value) * F.log1p(F.abs(value))).otherwise(value)


def _coordinate(feature: str) -> Column:
    mean, deviation = (F.col(named(step, feature)) for step in ("mean", "deviation"))
    return F.coalesce(F.try_divide(_bounded(feature) - mean, deviation), F.lit(0.0))
