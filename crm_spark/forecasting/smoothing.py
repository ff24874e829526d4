"""What a series is like without chance: moving averages, and trend and season apart.

References
----------
Cleveland, R. B. et al. (1990). STL: A Seasonal-Trend Decomposition Procedure Based on Loess. Journal of Official
Statistics 6(1), 3-73.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from statsmodels.tsa.seasonal import STL

from crm_spark.forecasting.series import OF_SERIES
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.lists import ragged, unragged
from crm_spark.kernels.moving_average import Kind, average
from crm_spark.kernels.series import ended, parted

CYCLES = 2  # that a season is told from, at least
KEPT = (*OF_SERIES, "first", "values")
DDL = "grouping string, key string, measure string, first date, values array<double>"


def smooth(series: DataFrame, kind: Kind, window: int, season: int = 1, least: float = 1.0) -> DataFrame:
    """Add a moving average to each series.

    Parameters
    ----------
    series : DataFrame
        As `series.gather` gives it.
    kind, window, season, least
        See `crm_spark.kernels.moving_average.average`.

    Returns
    -------
    DataFrame
        The same with `averages`, as long as `values`; null where too little is known. One pass.
    """
    smoothed = partial(_smoothed, kind=kind, window=window, season=season, least=least)
    return series.select(*KEPT).mapInArrow(smoothed, f"{DDL}, averages array<double>")


def decompose(series: DataFrame, season: int, robust: bool = True) -> DataFrame:
    """Part each series into trend, season and the rest, by STL of statsmodels.

    Parameters
    ----------
    series : DataFrame
        As `series.gather` gives it: of few groups, for it takes milliseconds for each.
    season : int
        Periods of a cycle.
    robust : bool, default True
        Whether single days out of the ordinary move them little.

    Returns
    -------
    DataFrame
        `grouping`, `key`, `measure`, `trend`, `season`, and `reason` where these are null. One pass.
    """
    decomposed = partial(_decomposed, season=season, robust=robust)
    keys = "grouping string, key string, measure string"
    return series.select(*KEPT).mapInArrow(
        decomposed, f"{keys}, trend array<double>, season array<double>, reason string"
    )


# -- lifted: Arrow in, Arrow out


def _smoothed(
    batches: Iterator[pa.RecordBatch], kind: Kind, window: int, season: int, least: float
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        values, offsets = ragged(batch.column("values"))
        averages = average(ended(values, offsets), kind, window, season, least)
        kept = unragged(parted(averages, offsets), offsets)
        yield pa.RecordBatch.from_arrays([*map(batch.column, KEPT), kept], [*KEPT, "averages"])


def _decomposed(batches: Iterator[pa.RecordBatch], season: int, robust: bool) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        told = [_stl(np.array(values.as_py(), dtype=np.float64), season, robust) for values in batch.column("values")]
        columns = [
            *map(batch.column, OF_SERIES),
            pa.array([trend for trend, _, _ in told], pa.list_(pa.float64())),
            pa.array([seasonal for _, seasonal, _ in told], pa.list_(pa.float64())),
            pa.array([reason for *_, reason in told], pa.string()),
        ]
        yield pa.RecordBatch.from_arrays(columns, [*OF_SERIES, "trend", "season", "reason"])


def _stl(values: Floats, season: int, robust: bool) -> tuple[Floats | None, Floats | None, str | None]:
    if values.size < CYCLES * season:
        return None, None, f"{values.size} periods are fewer than {CYCLES} cycles of {season}"
    if not np.isfinite(values).all():
        return None, None, "some periods are missing"
    found = STL(values, period=season, robust=robust).fit()
    if not np.isfinite(found.trend).all():
        return None, None, "its numbers are too large"
    return found.trend, found.seasonal, None
