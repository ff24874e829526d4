"""What each group of customers will buy and bring as a whole: quantiles of its total.

What single customers will buy cannot be added up to what a group will buy, but for its mean: chance evens out, the
doubt of parameters does not. So intervals of a group come from draws of its total (`kernels.predictive`), to which
each customer adds. Draws are made once for each customer and serve all groupings; parts of a group may lie anywhere.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import sparse

from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.predictive import Customers, Uncertain, intervals_of_groups, sums_of_groups
from crm_spark.value import learned
from crm_spark.value.bands import SHARES
from crm_spark.value.groups import HISTORY
from crm_spark.value.histories import TOGETHER
from crm_spark.value.learned import Learned
from crm_spark.value.models import KERNELS

AT_ONCE = 4_096  # customers whose draws fit into the cache
SUMS = "grouping string, `group` string, what string, sums array<double>, reason string"
BADLY = "no interval of the revenue: the mean worth of a purchase is known too badly"


def draw(customers: DataFrame, parameters: DataFrame, groupings: Sequence[str]) -> DataFrame:
    """Give quantiles of what each group will buy and bring in the horizon, by chance and by doubts of the models.

    Parameters
    ----------
    customers : DataFrame
        As `groups.add_deciles` gives it.
    parameters : DataFrame of PARAMETERS
        Of the same day.
    groupings : sequence of str
        Columns of `customers`.

    Returns
    -------
    DataFrame
        `grouping`, `group`, `purchases_p05` … `revenue_p95`, `no_total`, the reason for what is missing. One shuffle by
        frequency and age; each worker adds up its customers, then sums of a few hundred numbers for each group meet.
    """
    columns = ["key", *HISTORY, "covariates", "horizon", "is_valued", *groupings]
    known = customers.withColumns({"key": F.xxhash64("customer_id"), "is_valued": F.col("value").isNotNull()})
    # Futures are drawn once for customers of one frequency and nearly one age: these go to one worker, in order of age.
    of_age = F.floor(F.col("age") / TOGETHER)
    alike = known.select(*columns).repartition("frequency", of_age).sortWithinPartitions("age", "frequency", "key")
    asked = learned.hand_out(alike, F.broadcast(learned.gather(parameters)))
    sums = asked.mapInArrow(partial(_sums, groupings=list(groupings)), SUMS)
    bands = ", ".join(f"{name}_{share} double" for name in ("purchases", "revenue") for share in SHARES)
    return sums.groupBy("grouping", "group").applyInArrow(
        _quantiles, f"grouping string, `group` string, {bands}, no_total string"
    )


def _sums(batches: Iterator[pa.RecordBatch], groupings: list[str]) -> Iterator[pa.RecordBatch]:
    """Add up what a worker's customers draw, for each group."""
    told: Learned | None = None
    sums: dict[tuple[str, str, str], Floats] = {}
    reason = None
    for batch in batches:
        if not batch.num_rows:
            continue
        told = told or learned.read(batch)
        for at in range(0, batch.num_rows, AT_ONCE):
            for customers, covariates in learned.by_covariates(pa.Table.from_batches([batch.slice(at, AT_ONCE)]), told):
                drawn, why = _drawn(customers, told, covariates, groupings)
                reason = reason or why
                for of, numbers in drawn.items():
                    sums[of] = sums[of] + numbers if of in sums else numbers
    names, values = list(sums), list(sums.values())
    columns = [pa.array([name[at] for name in names], pa.string()) for at in range(3)]
    reasons = pa.array([reason] * len(names), pa.string())
    yield pa.RecordBatch.from_arrays(
        [*columns, pa.array(values, pa.list_(pa.float64())), reasons], ["grouping", "group", "what", "sums", "reason"]
    )


def _drawn(
    customers: pa.Table, told: Learned, covariates: str, groupings: Sequence[str]
) -> tuple[dict[tuple[str, str, str], Floats], str | None]:
    """Sums of the draws of each group, and why there are none of money."""
    buying, money = (learned.of(told, kind, covariates) for kind in ("buying", "money"))
    if buying is None:
        return {}, None
    x, t_x, T, mean = (
        np.asarray(customers.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64) for name in HISTORY
    )
    unit, horizon = told["unit_days"], customers.column("horizon")[0].as_py()
    is_valued = customers.column("is_valued").to_numpy()
    these = Customers(x, t_x / unit, T / unit, np.where((x == 0) | (mean > 0), x, 0.0), np.where(mean > 0, mean, 1.0))
    key = (customers.column("key").to_numpy() & 0xFFFFFFFF).astype(np.uint32)
    each = np.arange(x.size)
    model = KERNELS[told["model"]]
    reason = None
    if money is not None and min(money.parameters[1], *money.around()[1]) <= 1:
        money, reason = None, BADLY
    # Without a model of money the purchases are told all the same.
    spending = money or Uncertain(np.array([1.0, 2.0, 1.0]), np.zeros((3, 3)))
    purchases, brought = sums_of_groups(model, buying, spending, these, horizon / unit, key, each)
    of: dict[tuple[str, str, str], Floats] = {}
    for grouping in groupings:
        coded = customers.column(grouping).combine_chunks().dictionary_encode()
        codes, names = coded.indices.to_numpy(), coded.dictionary.to_pylist()
        added = _adding(codes, np.ones(x.size), len(names)) @ purchases
        of |= {(grouping, name, "purchases"): row for name, row in zip(names, added, strict=True)}
        if money is not None:
            added = _adding(codes, is_valued.astype(np.float64), len(names)) @ brought
            of |= {(grouping, name, "revenue"): row for name, row in zip(names, added, strict=True)}
    return of, reason


def _adding(codes: NDArray[np.int32], weights: Floats, groups: int) -> sparse.csr_array:
    """A matrix that adds up the rows of each group."""
    return sparse.csr_array((weights, (codes, np.arange(codes.size))), shape=(groups, codes.size))


def _quantiles(key: tuple[pa.Scalar, ...], parts: pa.Table) -> pa.Table:
    """Quantiles of one group's totals, from the sums of its parts."""
    rows = parts.to_pylist()
    told: list[float | None] = []
    for what in ("purchases", "revenue"):
        sums = [row["sums"] for row in rows if row["what"] == what]
        told += list(intervals_of_groups(np.sum(sums, axis=0)[None])[0]) if sums else [None] * len(SHARES)
    reason = max((row["reason"] for row in rows if row["reason"]), default=None)
    names = [f"{name}_{share}" for name in ("purchases", "revenue") for share in SHARES]
    columns = [pa.array([of.as_py()], pa.string()) for of in key]
    columns += [pa.array([number], pa.float64()) for number in told]
    return pa.Table.from_arrays([*columns, pa.array([reason], pa.string())], ["grouping", "group", *names, "no_total"])
