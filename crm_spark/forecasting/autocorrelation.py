"""How much a series is like itself some periods ago, and whether more so than chance would have it."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from crm_spark.core.contracts import Field, Table
from crm_spark.forecasting.series import KEYS, OF_SERIES
from crm_spark.kernels import autocorrelation
from crm_spark.kernels.lists import ragged, unragged
from crm_spark.kernels.series import ended

LEAST = 3  # known values that a correlation takes
SHARE = 5  # the part of its periods by whose lags a series is tested: further ones are known too badly

AUTOCORRELATIONS = Table(
    "autocorrelations",
    "How much each series is like itself some periods ago, until a day.",
    owns="as_of",
    key=["as_of", "grouping", "key", "measure"],
    columns=[
        *KEYS,
        Field("periods", "int", "periods with a value", unit="period"),
        Field("acf", "array<double>", "autocorrelation at each lag, from one period on"),
        Field("acf_band", "array<double>", "within which 95 % of them lie, to both sides of 0, by Bartlett's formula"),
        Field("pacf", "array<double>", "partial autocorrelation at each lag"),
        Field("noise_band", "double", "within which 95 % of these lie, and of those of white noise", nullable=True),
        Field("tested", "int", "first lags that are tested: a fifth of the periods, one at least", unit="period"),
        Field("ljung_box", "double", "Ljung-Box statistic of these lags", nullable=True),
        Field("p", "double", "that such a statistic comes by chance", nullable=True),
        Field(
            "rhythm",
            "int",
            "after how many periods it comes again: the lag of the highest peak of the autocorrelation beyond the band "
            "of white noise",
            unit="period",
            nullable=True,
        ),
        Field("reason", "string", "why nothing can be told", nullable=True),
    ],
)

TOLD = ("periods", "acf", "acf_band", "pacf", "noise_band", "tested", "ljung_box", "p", "rhythm", "reason")


def correlate(series: DataFrame, lags: int) -> DataFrame:
    """Correlate each series with itself.

    Parameters
    ----------
    series : DataFrame
        As `series.gather` gives it.
    lags : int
        Periods back, 1 to this; for which a series is too short its correlations are null.

    Returns
    -------
    DataFrame
        Columns of AUTOCORRELATIONS but `as_of`. One pass.
    """
    types = AUTOCORRELATIONS.types((*OF_SERIES, *TOLD))
    return series.select(*OF_SERIES, "values").mapInArrow(partial(_correlated, lags=lags), types)


# -- lifted: Arrow in, Arrow out


def _correlated(batches: Iterator[pa.RecordBatch], lags: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        values = ended(*ragged(batch.column("values")))
        periods = (~np.isnan(values)).sum(axis=0)
        acf = autocorrelation.acf(values, lags)
        pacf = autocorrelation.pacf(acf)
        band, of_noise = autocorrelation.bands(acf, periods.astype(np.float64))
        tested = np.clip(periods // SHARE, 1, lags)
        statistic, p = autocorrelation.ljung_box(acf, periods.astype(np.float64), tested.astype(np.float64))
        rhythm = autocorrelation.rhythm(acf, of_noise)
        is_told = ~np.isnan(acf[0])
        reasons = np.select(
            [periods < LEAST, (~np.isnan(acf)).any(axis=0)],
            [f"fewer than {LEAST} periods have a value", "no two periods in a row have a value"],
            "all values are alike or too large",
        )
        columns = [
            pa.array(periods, pa.int32()),
            *[unragged(of.T.ravel(), np.arange(0, of.size + 1, lags)) for of in (acf, band, pacf)],
            pa.array(np.where(is_told, of_noise, np.nan), from_pandas=True),
            pa.array(tested, pa.int32()),
            *[pa.array(np.where(is_told, of, np.nan), from_pandas=True) for of in (statistic, p)],
            pa.array(rhythm, pa.int32(), mask=rhythm == 0),
            pa.array(reasons, pa.string(), mask=is_told),
        ]
        yield pa.RecordBatch.from_arrays([*map(batch.column, OF_SERIES), *columns], [*OF_SERIES, *TOLD])
