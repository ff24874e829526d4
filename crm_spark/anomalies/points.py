"""What each period of a series is told by where something learns: how surprising it is, the one before, and the last.

The features are those of `crm_spark.kernels.surprise`: they have no unit, and are told by what was before the period
alone. So what is learned of some series and periods holds for others.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.forecasting.series import OF_SERIES, SEASONS, alike, day_after
from crm_spark.kernels import surprise
from crm_spark.kernels.lists import lists, ragged
from crm_spark.kernels.series import begun, refuse

TOLD = "grouping string, key string, measure string, period string, first date, at int, age int, features array<double>"


def tell(series: DataFrame, periods: Column | int = 60, season: int | None = None) -> DataFrame:
    """Tell the newest periods of series by their features.

    Parameters
    ----------
    series : DataFrame of BEHAVIOUR_SERIES
        Of one day.
    periods : Column or int, default 60
        How many of the newest periods of each are told.
    season : int, optional
        Periods of a cycle; without it 7 days, 52 weeks or 12 months.

    Returns
    -------
    DataFrame
        `grouping`, `key`, `measure`, `day` (the first of the period), `age` (periods since; 0 is the newest),
        `features`, in the order of `surprise.FEATURES`. No row for what too little is known of, and for a series with
        an infinite value. One pass, no shuffle.
    """
    asked = (periods if isinstance(periods, Column) else F.lit(periods)).cast("int").alias("periods")
    rows = series.select(*OF_SERIES, "period", "first", "values", asked)
    told = rows.mapInArrow(partial(_told, season=season), TOLD)
    return told.select(*OF_SERIES, day_after(F.col("at")).alias("day"), "age", "features")


# -- lifted: Arrow in, Arrow out


def _told(batches: Iterator[pa.RecordBatch], season: int | None) -> Iterator[pa.RecordBatch]:
    names = [field.split(" ")[0] for field in TOLD.split(", ")]
    for of_period, period in alike(batches, "period"):
        columns = _of_series(of_period, season or SEASONS[period])
        yield pa.RecordBatch.from_arrays(columns, names)


def _of_series(batch: pa.RecordBatch, season: int) -> list[pa.Array]:
    values, offsets = ragged(batch.column("values"))
    sizes = np.diff(offsets)
    is_refused = refuse(values, offsets, surprise.LEAST) != np.array(None)
    usable = begun(np.where(np.repeat(is_refused, sizes), np.nan, values), offsets)
    row = np.arange(len(usable))[:, None]
    is_told = (row >= sizes - batch.column("periods").to_numpy()) & (row < sizes)
    features = surprise.features(usable, np.broadcast_to(row % season, usable.shape), is_told)
    is_told &= np.isfinite(features).all(axis=-1)
    of, at = np.nonzero(is_told.T)
    return [
        *(batch.column(name).take(pa.array(of)) for name in (*OF_SERIES, "period", "first")),
        pa.array(at, pa.int32()),
        pa.array(sizes[of] - 1 - at, pa.int32()),
        lists(features[at, of]),
    ]
