"""Tests of the last window of series by themselves: against their own past, and between groups of them."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.anomalies.standings import sound
from crm_spark.forecasting.series import OF_SERIES
from crm_spark.kernels import box_cox, mean_tests
from crm_spark.kernels.lists import ragged
from crm_spark.kernels.mean_tests import Sample
from crm_spark.kernels.series import ended
from crm_spark.kernels.standings import Asked
from crm_spark.kernels.standings import compare as test

MOMENTS = "size double, mean double, variance double"


def compare(series: DataFrame, asked: Asked) -> DataFrame:
    """Test the mean of the last window of each series against what lies before it.

    Parameters
    ----------
    series : DataFrame of BEHAVIOUR_SERIES
        Of one day.
    asked : Asked
        `season`, `past`, `window` and `test` count: `welch`, `pooled`, `paired` or `one_sample`.

    Returns
    -------
    DataFrame
        `grouping`, `key`, `measure`, `t`, `df`, `p`, and `reason` where there is none. One pass.
    """
    types = ", ".join([*(f"{name} string" for name in OF_SERIES), "t double, df double, p double, reason string"])
    return series.select(*OF_SERIES, "values").mapInArrow(partial(_compared, asked=asked), types)


def differ(series: DataFrame, groups: DataFrame, window: int) -> DataFrame:
    """Test whether groups of series differ in the mean of the last window: one-way analysis of variance.

    Parameters
    ----------
    series : DataFrame of BEHAVIOUR_SERIES
        Of one day. Those that cannot be used do not count.
    groups : DataFrame
        `grouping`, `key`, `group`: which series are of one group.
    window : int
        Periods.

    Returns
    -------
    DataFrame
        `grouping`, `measure`, `F`, `df_between`, `df_within`, `p`. Two shuffles, by group and by measure.
    """
    laid = ", ".join([*(f"{name} string" for name in OF_SERIES), MOMENTS])
    each = series.select(*OF_SERIES, "values").mapInArrow(partial(_described, window=window), laid)
    known = each.where(F.col("size") > 0).join(groups, ["grouping", "key"])
    total = F.sum("size")
    mean = F.sum(F.col("size") * F.col("mean")) / total
    within = F.sum(F.coalesce("variance", F.lit(0.0)) * (F.col("size") - 1) + F.col("size") * F.col("mean") ** 2)
    of_groups = known.groupBy("grouping", "measure", "group").agg(
        total.alias("size"),
        mean.alias("mean"),
        ((within - total * mean**2) / F.when(total > 1, total - 1)).alias("variance"),
    )
    gathered = of_groups.groupBy("grouping", "measure").agg(
        F.sort_array(F.collect_list(F.struct("group", "size", "mean", "variance"))).alias("groups")
    )
    types = "grouping string, measure string, F double, df_between double, df_within double, p double"
    return gathered.mapInArrow(_differing, types)


def powers(series: DataFrame, share: float = 0.95) -> DataFrame:
    """Find the power of Box and Cox for each series, with limits.

    Parameters
    ----------
    series : DataFrame of BEHAVIOUR_SERIES
    share : float, default 0.95
        Of the series whose limits hold the true power.

    Returns
    -------
    DataFrame
        `grouping`, `key`, `measure`, `added` (what makes all values positive), `power`, `low`, `high`; null where there
        is none, or no limit within reach; `reason`. One pass.
    """
    types = ", ".join([*(f"{name} string" for name in OF_SERIES), "added double, power double, low double, high double",
                       "reason string"])  # fmt: skip
    return series.select(*OF_SERIES, "values").mapInArrow(partial(_powered, share=share), types)


# -- lifted: Arrow in, Arrow out


def _compared(batches: Iterator[pa.RecordBatch], asked: Asked) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        values, reasons = sound(batch)
        found = test(values, asked)
        is_short = np.diff(ragged(batch.column("values"))[1]) < asked.window
        reasons[is_short & (reasons == np.array(None))] = "the window is longer than the series"
        reasons[np.isnan(found.p) & (reasons == np.array(None))] = "too few values, or none that differ"
        yield _of_series(batch, {"t": found.statistic, "df": found.df, "p": found.p}, reasons)


def _described(batches: Iterator[pa.RecordBatch], window: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        moments = mean_tests.describe(sound(batch)[0][-window:])
        yield _of_series(batch, moments._asdict())


def _differing(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        groups = batch.column("groups")
        told = groups.flatten()
        moments = [ended(*_cut(told.field(name), groups)) for name in ("size", "mean", "variance")]
        size = np.nan_to_num(moments[0])
        found = mean_tests.anova(Sample(size, moments[1], moments[2]))
        between = (size > 0).sum(axis=0) - 1.0
        columns = [pa.array(of, from_pandas=True) for of in (found.statistic, between, found.df, found.p)]
        names = ["grouping", "measure", "F", "df_between", "df_within", "p"]
        yield pa.RecordBatch.from_arrays([batch.column("grouping"), batch.column("measure"), *columns], names)


def _cut(numbers: pa.Array, groups: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    offsets = groups.offsets.to_numpy().astype(np.int64)
    return numbers.to_numpy(zero_copy_only=False), offsets - offsets[0]


def _powered(batches: Iterator[pa.RecordBatch], share: float) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        values, reasons = sound(batch)
        added = box_cox.shift(values)
        found = box_cox.fit(values + added, share=share)
        told = {"added": added, "power": found.power, "low": found.low, "high": found.high}
        yield _of_series(batch, told, reasons)


def _of_series(
    batch: pa.RecordBatch, numbers: dict[str, np.ndarray], reasons: np.ndarray | None = None
) -> pa.RecordBatch:
    told = [pa.array(np.where(np.isfinite(of), of, np.nan), from_pandas=True) for of in numbers.values()]
    names = [*OF_SERIES, *numbers]
    if reasons is not None:
        told, names = [*told, pa.array(reasons.tolist(), pa.string())], [*names, "reason"]
    return pa.RecordBatch.from_arrays([*map(batch.column, OF_SERIES), *told], names)
