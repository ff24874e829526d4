"""How much of the revenue and of the value to come few customers have, and how sure that is.

The arithmetic is in `kernels.concentration`: exact shares and Gini coefficients, intervals by the Poisson bootstrap.
"""

from collections.abc import Iterator
from datetime import date

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.kernels import concentration as kernel

MEASURES = ("revenue", "value")

CONCENTRATION = Table(
    "value_concentration",
    "How much of the revenue so far and of the value to come few customers have, as of a day.",
    owns="as_of",
    key=["as_of", "measure", "statistic", "percent"],
    columns=[
        Field("as_of", "date", "the day the shares speak for"),
        Field("measure", "string", "revenue (so far) or value (to come)"),
        Field(
            "statistic",
            "string",
            "share: what the first customers have, of 1; gini: 0 where all have the same, 1 where one has all",
        ),
        Field("percent", "int", "of the customers, from who has most; 100 of gini", unit="%"),
        Field("customers", "bigint", "of whom the measure is known", unit="customer"),
        Field("estimate", "double", "the share or the coefficient", nullable=True),
        Field("low", "double", "lower end of its 95 % interval", nullable=True),
        Field("high", "double", "upper end", nullable=True),
        Field("reason", "string", "why something is not told", nullable=True),
    ],
)

CELLS = (
    "measure string, cell bigint, customers bigint, amount double, moment double, least double, "
    "weights array<double>, weighted array<double>"
)
TOLD = (
    "measure string, statistic string, percent int, customers bigint, "
    "estimate double, low double, high double, reason string"
)
NOTHING = "all customers together have none"
ALONE = "no interval: one customer has no spread"
LESS = "some have less than nothing"
NEGATIVE = f"no coefficient: {LESS}"
ABOVE = f"more than all: {LESS}"
NOBODY = "it is known of no customer"


def amounts(customers: DataFrame) -> DataFrame:
    """Give a row for each customer and measure that is known: `measure`, `customer_id`, `amount`."""
    return customers.unpivot("customer_id", list(MEASURES), "measure", "amount").where(F.col("amount").isNotNull())


def measure(ranked: DataFrame, among: DataFrame, as_of: date) -> DataFrame:
    """Tell the shares of the first customers, and Gini coefficients.

    Parameters
    ----------
    ranked : DataFrame
        `amounts` as `ranks.rank` gives them.
    among : DataFrame
        Customers: where there is one, there are rows for each measure.

    Returns
    -------
    DataFrame of CONCENTRATION
        One pass over `ranked`; sums of at most a thousand cells and of those cut by parts meet, of each measure.
    """
    keyed = ranked.select("measure", F.xxhash64("customer_id").alias("key"), "amount", "rank", "among")
    told = keyed.mapInArrow(_cells, CELLS).groupBy("measure").applyInArrow(_shares, TOLD)
    points = [("share", percent) for percent in kernel.PERCENT] + [("gini", 100)]
    wanted = F.array(
        *[
            F.struct(F.lit(name).alias("measure"), F.lit(statistic).alias("statistic"), F.lit(percent).alias("percent"))
            for name in MEASURES
            for statistic, percent in points
        ]
    )
    grid = among.limit(1).select(F.explode(wanted).alias("of")).select("of.*")
    return grid.join(told, ["measure", "statistic", "percent"], "left").select(
        F.lit(as_of).alias("as_of"),
        "measure",
        "statistic",
        "percent",
        F.coalesce("customers", F.lit(0).cast("bigint")).alias("customers"),
        "estimate",
        "low",
        "high",
        F.when(F.col("customers").isNull(), F.lit(NOBODY)).otherwise(F.col("reason")).alias("reason"),
    )


def _cells(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if not batch.num_rows:
            continue
        key, amount, rank, among = (batch.column(name).to_numpy() for name in ("key", "amount", "rank", "among"))
        names = batch.column("measure").dictionary_encode()
        of = names.indices.to_numpy()
        for code, name in enumerate(names.dictionary.to_pylist()):
            rows = of == code
            sums = kernel.sums(rank[rows], amount[rows], key[rows], int(among[rows][0]))
            columns = [sums.cell, sums.customers, sums.amount, sums.moment, sums.least]
            lists = [pa.array(list(of_), pa.list_(pa.float64())) for of_ in (sums.weights, sums.weighted)]
            yield pa.RecordBatch.from_arrays(
                [pa.array([name] * sums.cell.size), *[pa.array(column) for column in columns], *lists],
                ["measure", "cell", "customers", "amount", "moment", "least", "weights", "weighted"],
            )


def _shares(key: tuple[pa.Scalar, ...], parts: pa.Table) -> pa.Table:
    """The rows of one measure."""
    plain = [parts.column(name).to_numpy() for name in ("cell", "customers", "amount", "moment", "least")]
    lists = [
        parts.column(name).combine_chunks().flatten().to_numpy().reshape(len(parts), -1)
        for name in ("weights", "weighted")
    ]
    cells = kernel.together(kernel.Sums(*plain, *lists))
    points = [("share", percent) for percent in kernel.PERCENT] + [("gini", 100)]
    customers = int(cells.customers.sum())
    try:
        found, gini = kernel.shares(cells)
        told = [(one.value, one.low, one.high, ALONE if customers == 1 else None) for one in (*found, gini)]
        if cells.least.min() < 0:
            told = [(*one[:3], ABOVE if one[0] > 1 else one[3]) for one in told[:-1]]
            told.append((np.nan, np.nan, np.nan, NEGATIVE))
    except ValueError:
        told = [(np.nan, np.nan, np.nan, NOTHING)] * len(points)
    columns = list(zip(*told, strict=True))
    return pa.Table.from_arrays(
        [
            pa.array([key[0].as_py()] * len(points), pa.string()),
            pa.array([statistic for statistic, _ in points], pa.string()),
            pa.array([percent for _, percent in points], pa.int32()),
            pa.array([customers] * len(points), pa.int64()),
            *[pa.array(np.array(column), pa.float64(), from_pandas=True) for column in columns[:3]],
            pa.array(columns[3], pa.string()),
        ],
        ["measure", "statistic", "percent", "customers", "estimate", "low", "high", "reason"],
    )
