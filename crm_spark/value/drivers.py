"""Why a customer is worth what they are worth: value of the horizon in contributions that add up.

Value is told in three ways, all by Shapley values (`kernels.shapley`), which alone add up and treat alike what is
alike:

* against the average customer, to the parts that it is a product of: the probability to be a customer still, how often
  such a one buys in 30 days, on average over the horizon (who may leave makes it less), how many times 30 days the
  horizon counts (money that comes late makes it less), what a purchase brings, and the share of it that is margin. What
  is not known of a customer is as in the population: its mean over all customers;
* against the average customer, to features, by a model of value on features (`forest`): the average and the
  contributions are what the model says of the customer, and `unexplained` is what is left;
* against the former day, to what changed in those parts.

A model of value on features tells what goes along with value; it does not tell what would come of changing a feature.

References
----------
Shapley, L. S. (1953). A Value for n-Person Games. Contributions to the Theory of Games II, 307-317.
Dietzenbacher, E., Los, B. (1998). Structural Decomposition Techniques: Sense and Sensitivity. Economic Systems
Research 10(4), 307-324.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial, reduce
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.kernels import shapley
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.lists import lists, matrix
from crm_spark.value.forest import Learned, number, point
from crm_spark.value.histories import bought

PARTS = {
    "alive": "the probability to be a customer still",
    "frequency": "how often such a one buys in 30 days, on average over the horizon",
    "horizon": "how many times 30 days the horizon counts",
    "spend": "what a purchase brings",
    "margin": "the share of it that is margin",
}
UNEXPLAINED = "unexplained"
NO_MORE = "is no customer of that day any more"
NO_VALUE = "clv tells nothing of the customer"
ALL = "all"
KEY = ["grouping", "group"]
EXPLAINED = {
    "customer_id": "string",
    "since": "date",
    "value": "double",
    "value_before": "double",
    "status": "string",
    "reason": "string",
    "point": "array<double>",
    "groups": "array<struct<grouping: string, group: string>>",
    "by_part": "array<double>",
    "by_change": "array<double>",
    "by_feature": "array<double>",
    "from_features": "double",
    "unexplained": "double",
}
Z = 1.959963984540054  # of 95 %


def _by(prefix: str, meaning: str) -> list[Field]:
    return [
        Field(f"{prefix}{part}", "double", f"{meaning} {words}", unit="money", nullable=True)
        for part, words in PARTS.items()
    ]


DRIVERS = Table(
    "clv_drivers",
    "What each customer's value of the horizon comes from, and why it changed, in contributions that add up.",
    owns="as_of",
    key=["customer_id", "as_of"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("as_of", "date", "the day the value speaks for"),
        Field("value", "double", "of the horizon: `average` and all `by_…` add up to it", unit="money", nullable=True),
        Field("average", "double", "mean value of all customers who have one", unit="money", nullable=True),
        *_by("by_", "more or less than the average by"),
        Field(
            "contributions",
            "map<string,double>",
            "more or less than the average by each feature; with `average` and `unexplained` they add up to `value`",
            unit="money",
            nullable=True,
        ),
        Field("from_features", "double", "value told by features alone", unit="money", nullable=True),
        Field("unexplained", "double", "value less what features tell", unit="money", nullable=True),
        Field("reason", "string", "why there is no value", nullable=True),
        Field("since", "date", "the day before that has values", nullable=True),
        Field(
            "status",
            "string",
            "stayed; won or lost since; newly told or no longer told, of who is there on both days",
            nullable=True,
        ),
        Field("value_before", "double", "value on that day", unit="money", nullable=True),
        *_by("change_by_", "change of the value by"),
        Field("change_by_status", "double", "change of the value of who did not stay", unit="money", nullable=True),
    ],
)

SEGMENT_DRIVERS = Table(
    "segment_drivers",
    "What the groups' value of the horizon comes from, in contributions that add up.",
    owns="as_of",
    key=["as_of", "grouping", "group", "level", "driver"],
    columns=[
        Field("as_of", "date", "the day the values speak for"),
        Field("grouping", "string", "by what customers are grouped, as in `value_groups`: rfm or kmeans; or all"),
        Field("group", "string", "the group"),
        Field("level", "string", "part or feature: each adds up by itself"),
        Field("driver", "string", "the part or feature; or unexplained, which is of the features"),
        Field("customers", "bigint", "customers of the group who have a value", unit="customer"),
        Field("average", "double", "mean value of all customers who have one", unit="money"),
        Field("value", "double", "of the group: customers times average, and all contributions", unit="money"),
        Field("contribution", "double", "of the driver to it", unit="money"),
        Field("mean", "double", "contribution to the value of a customer of the group", unit="money"),
        Field("low", "double", "lower end of its 95 % interval", unit="money", nullable=True),
        Field("high", "double", "upper end of it", unit="money", nullable=True),
    ],
)


def gather(
    clv: DataFrame,
    clv_parameters: DataFrame,
    customer_features: DataFrame,
    segments: Mapping[str, DataFrame],
    as_of: date,
    features: Sequence[str],
) -> DataFrame:
    """Gather what is known of each customer's value, now and on the former day, and of their features and segments.

    Parameters
    ----------
    clv : DataFrame of CLV
    clv_parameters : DataFrame of PARAMETERS
        Tells the days of `clv`: the former one is the last before `as_of`.
    customer_features : DataFrame of CUSTOMER_FEATURES
    segments : mapping of str to DataFrame
        By name of the grouping (rfm, kmeans): `customer_id`, `as_of`, `segment`.
    features : sequence of str
        Numeric columns of `customer_features`.

    Returns
    -------
    DataFrame
        One row per customer of `clv` who bought, on either day, or of `customer_features`. One pass over each table, of
        `clv` over two days and over who has a reason, and one shuffle of each by customer.
    """
    former = clv_parameters.where(F.col("as_of") < F.lit(as_of)).agg(F.max("as_of").alias("since"))
    days = {"": F.col("as_of") == F.lit(as_of), "_before": F.col("as_of") == former.scalar()}
    of_day, buyers = days[""], bought(clv)
    known = {f"of_{feature}": number(feature) for feature in features}
    rows = [
        *[_valued(buyers.where(is_day), suffix) for suffix, is_day in days.items()],
        customer_features.where(of_day).select("customer_id", *_named({"has_features": F.lit(True), **known})),
    ]
    whole = reduce(lambda some, more: some.unionByName(more, allowMissingColumns=True), rows)
    columns = [name for name in whole.columns if name != "customer_id"]
    numbers = whole.groupBy("customer_id").agg(*[F.max(name).alias(name) for name in columns])
    # Among the numbers a text would have them all sorted: Spark cannot change one in place.
    texts = [
        buyers.where(of_day & F.col("reason").isNotNull()).select("customer_id", "reason"),
        *[table.where(of_day).select("customer_id", F.col("segment").alias(of)) for of, table in segments.items()],
    ]
    customers = reduce(lambda some, more: some.join(more, "customer_id", "left"), texts, numbers)
    among = [F.struct(F.lit(of).alias("grouping"), F.col(of).alias("group")) for of in segments]
    everybody = F.struct(F.lit(ALL).alias("grouping"), F.lit(ALL).alias("group"))
    told = {
        "status": F.when(F.col("since").isNotNull(), _status()),
        "reason": F.when(F.col("value").isNull(), F.coalesce("reason", F.when(F.col("is_there").isNull(), _absent()))),
        **{f"parts{suffix}": _parts(suffix) for suffix in days},
        "has_features": F.col("has_features").isNotNull(),
        "point": point(list(known)),
        "groups": F.filter(F.array(everybody, *among), lambda group: group["group"].isNotNull()),
    }
    kept = ["customer_id", "since", "value", "value_before", *told]
    return customers.crossJoin(F.broadcast(former)).withColumns(told).select(*kept)


def _valued(clv: DataFrame, suffix: str) -> DataFrame:
    """What is needed of the values of a day, under names of that day."""
    columns = {f"{name}{suffix}": F.col(name) for name in ("value", "probability_alive", "expected_spend")}
    # Those of the whole horizon: of 30 days there are none where a chance to buy is longer (BG/BB).
    columns[f"purchases{suffix}"] = F.col("expected_purchases") * 30 / F.col("horizon")
    columns[f"margin_share{suffix}"] = F.try_divide("expected_margin", F.col("expected_revenue"))
    return clv.select("customer_id", *_named({f"is_there{suffix}": F.lit(True), **columns}))


def _named(columns: Mapping[str, Column]) -> list[Column]:
    return [column.alias(name) for name, column in columns.items()]


def _status() -> Column:
    """What became of a customer since the former day; null of who has no value on either."""
    had, has = F.col("value_before").isNotNull(), F.col("value").isNotNull()
    is_there, was_there = F.col("is_there").isNotNull(), F.col("is_there_before").isNotNull()
    return (
        F.when(had & has, "stayed")
        .when(has, F.when(was_there, "newly told").otherwise("won"))
        .when(had, F.when(is_there, "no longer told").otherwise("lost"))
    )


def _absent() -> Column:
    """Why a customer has no row in `clv`."""
    return F.when(F.col("is_there_before").isNotNull(), NO_MORE).otherwise(NO_VALUE)


def _parts(suffix: str) -> Column:
    """The five parts, in order of PARTS, whose product is the value; null where there is none.

    The horizon is what takes the others to the value. A part that cannot be told, as the rate of who is surely gone, is
    0, as the value is.
    """
    value, alive, purchases, spend, share = (
        F.col(f"{name}{suffix}")
        for name in ("value", "probability_alive", "purchases", "expected_spend", "margin_share")
    )
    # A share that all have in common contributes nothing, however large it is.
    margin = F.coalesce(share, F.lit(1.0))
    frequency, horizon = F.try_divide(purchases, alive), F.try_divide(value, purchases * spend * margin)
    parts = [alive, F.coalesce(frequency, F.lit(0.0)), F.coalesce(horizon, F.lit(0.0)), spend, margin]
    return F.when(value.isNotNull(), F.array(*parts))


def explain(customers: DataFrame, learned: Learned) -> DataFrame:
    """Attribute the value of each customer, and what changed in it.

    Parameters
    ----------
    customers : DataFrame
        As `gather` gives it.
    learned : Learned
        Of the same day, by `forest.learn`.

    Returns
    -------
    DataFrame
        The same customers with arrays of contributions: `by_part`, `by_change` (of parts, in order of PARTS) and
        `by_feature` (in order of the features), each null where there is nothing to tell; `from_features` and
        `unexplained`. One pass, no shuffle.
    """
    return customers.mapInArrow(
        partial(_explained, learned=learned), ", ".join(f"{name} {type_}" for name, type_ in EXPLAINED.items())
    )


def by_customer(explained: DataFrame, learned: Learned, as_of: date) -> DataFrame:
    """Give each customer's contributions under their names.

    Parameters
    ----------
    explained : DataFrame
        As `explain` gives it.

    Returns
    -------
    DataFrame of DRIVERS
        One pass, no shuffle.
    """
    moved = F.coalesce("value", F.lit(0.0)) - F.coalesce("value_before", F.lit(0.0))
    has_moved = F.col("status").isNotNull() & (F.col("status") != "stayed")
    names = F.array(*[F.lit(feature) for feature in learned.features])
    columns = {
        "as_of": F.lit(as_of),
        "average": F.lit(learned.average if learned.customers else None).cast("double"),
        **{f"by_{part}": F.get("by_part", F.lit(at)) for at, part in enumerate(PARTS)},
        "contributions": F.map_from_arrays(names, "by_feature"),
        **{f"change_by_{part}": F.get("by_change", F.lit(at)) for at, part in enumerate(PARTS)},
        "change_by_status": F.when(has_moved, moved),
    }
    return explained.withColumns(columns).select(*DRIVERS.names)


def by_segment(explained: DataFrame, learned: Learned, as_of: date) -> DataFrame:
    """Add up the contributions to the values of each group of customers.

    Intervals are the mean, less and plus 1.96 of its standard errors: they tell how far the mean of a group could be
    another by chance of who is in it, the model and the average being as they are.

    Parameters
    ----------
    explained : DataFrame
        As `explain` gives it.

    Returns
    -------
    DataFrame of SEGMENT_DRIVERS
        One pass, one shuffle of groups.
    """
    drivers = [("part", part) for part in PARTS]
    if learned.patterns:
        drivers += [("feature", name) for name in (*learned.features, UNEXPLAINED)]
    scored = explained.where(F.col("value").isNotNull())
    parts = scored.select("groups", "value", "by_part", "by_feature", "unexplained").mapInArrow(
        partial(_grouped, drivers=drivers),
        "grouping string, group string, level string, driver string, customers bigint, value double, "
        "contribution double, square double",
    )
    summed = ("customers", "value", "contribution", "square")
    sums = parts.groupBy("grouping", "group", "level", "driver").agg(*[F.sum(name).alias(name) for name in summed])
    n, mean = F.col("customers"), F.col("contribution") / F.col("customers")
    # Contributions lie around 0: squares lose nothing.
    variance = F.try_divide(F.greatest(F.col("square") - n * mean**2, F.lit(0.0)), n - 1)
    error = Z * F.sqrt(variance / n)
    columns = {"mean": mean, "low": mean - error, "high": mean + error}
    days = {"as_of": F.lit(as_of), "average": F.lit(learned.average)}
    return sums.withColumns({**columns, **days}).select(*SEGMENT_DRIVERS.names)


# -- lifted: Arrow in, Arrow out


def _explained(batches: Iterator[pa.RecordBatch], learned: Learned) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        value = batch.column("value").to_numpy(zero_copy_only=False).astype(np.float64)
        now, before = (matrix(batch.column(name), len(PARTS)) for name in ("parts", "parts_before"))
        told = {
            "by_part": lists(shapley.against_population(now, learned.means)),
            "by_change": lists(shapley.between(before, now)),
            **_of_features(batch, value, learned),
        }
        columns = [told[name] if name in told else batch.column(name) for name in EXPLAINED]
        yield pa.RecordBatch.from_arrays(columns, list(EXPLAINED))


def _of_features(batch: pa.RecordBatch, value: Floats, learned: Learned) -> dict[str, pa.Array]:
    """What features tell of each customer who has some, or a value."""
    by_feature = np.full((batch.num_rows, len(learned.features)), np.nan)
    if learned.patterns:
        points = matrix(batch.column("point"), len(learned.features))
        is_told = np.isfinite(value) | batch.column("has_features").to_numpy(zero_copy_only=False)
        by_feature[is_told] = learned.patterns.sums(points[is_told], learned.table)
    says = learned.average + by_feature.sum(axis=1)
    return {
        "by_feature": lists(by_feature),
        "from_features": pa.array(says, from_pandas=True),
        "unexplained": pa.array(value - says, from_pandas=True),
    }


def _grouped(batches: Iterator[pa.RecordBatch], drivers: Sequence[tuple[str, str]]) -> Iterator[pa.RecordBatch]:
    """Sum up customers, their values, their contributions and the squares of these, by group and driver."""
    found: dict[Any, Floats] = defaultdict(lambda: np.zeros((4, len(drivers))))
    for batch in batches:
        told = [matrix(batch.column("by_part"), len(PARTS))]
        if len(drivers) > len(PARTS):
            told.append(matrix(batch.column("by_feature"), len(drivers) - len(PARTS) - 1))
            told.append(batch.column("unexplained").to_numpy(zero_copy_only=False)[:, None])
        by = np.concatenate(told, axis=1)
        value = np.broadcast_to(batch.column("value").to_numpy(zero_copy_only=False)[:, None], by.shape)
        terms = np.stack([np.ones_like(by), value, by, by**2])
        rows = pc.list_parent_indices(batch.column("groups")).to_numpy()
        names = pd.DataFrame(dict(zip(KEY, batch.column("groups").flatten().flatten(), strict=True)))
        for key, at in names.groupby(KEY).indices.items():
            found[key] += terms[:, rows[at]].sum(axis=1)
    for (grouping, group), sums in found.items():
        customers, value, contribution, square = sums
        yield pa.RecordBatch.from_pydict(
            {
                "grouping": [grouping] * len(drivers),
                "group": [group] * len(drivers),
                "level": [level for level, _ in drivers],
                "driver": [driver for _, driver in drivers],
                "customers": customers.astype(np.int64),
                "value": value,
                "contribution": contribution,
                "square": square,
            }
        )
