"""arima_111 against statsmodels, acf_1m against reading and grouping the same rows, arima_job_10k by its growth."""

import warnings
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from statsmodels.tsa.arima.model import ARIMA

from benchmarks.measure import Figure, compare
from crm_spark.forecasting import autocorrelation, forecasts
from crm_spark.forecasting.series import SERIES
from crm_spark.kernels import arima
from crm_spark.kernels.likelihood import Floats

AS_OF = date(2026, 1, 1)
PERIODS, LAGS = 52, 24
LONG = 104


def arima_111(spark: SparkSession, folder: Path, share: float) -> Figure:
    """ARIMA(1,1,1) of series of 104 points; in all, log-likelihoods must be no worse by a thousandth."""
    values = _processes(int(400 * share))
    offsets = np.arange(0, values.size + 1, LONG)

    def ours() -> Floats:
        return arima.fit(values.ravel(), offsets, arima.Order(p=1, d=1, q=1)).log_likelihood

    def theirs() -> Floats:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Differences are taken before: its own way begins with doubts that are not there.
            fits = [ARIMA(np.diff(one), order=(1, 0, 1), trend="n").fit() for one in values]
        return np.array([fit.llf for fit in fits])

    def agree(ours: Floats, theirs: Floats) -> bool:
        # There may be several maxima: of single series either may have found a better one.
        return bool(ours.sum() >= theirs.sum() - 1e-3 * np.abs(theirs.sum()))

    return compare("arima_111", len(values), "statsmodels: ARIMA", 0.01, ours, theirs, agree=agree)


def _processes(n: int) -> Floats:
    random = np.random.default_rng(1)
    shocks = random.normal(size=(n, LONG + 1))
    ar, ma = random.uniform(-0.8, 0.8, size=(2, n))
    steps = np.zeros((n, LONG))
    for t in range(LONG):
        steps[:, t] = ar * (steps[:, t - 1] if t else 0.0) + shocks[:, t + 1] + ma * shocks[:, t]
    return np.cumsum(steps, axis=1)


def acf_1m(spark: SparkSession, folder: Path, share: float) -> Figure:
    """24 lags of a million series of 52 points, from rows of points; against reading and grouping these rows."""
    n = int(1_000_000 * share)
    path = folder / "points"
    path.mkdir()
    random = np.random.default_rng(1)
    for part in range(8):
        some = np.arange(part * n // 8, (part + 1) * n // 8)
        points = {
            "key": np.repeat(some, PERIODS),
            "number": np.tile(np.arange(PERIODS, dtype=np.int32), some.size),
            "value": random.poisson(2, size=some.size * PERIODS).astype(np.float64),
        }
        pq.write_table(pa.table(points), path / f"{part}.parquet")

    def grouped() -> DataFrame:
        told = F.array_sort(F.collect_list(F.struct("number", "value")))
        return spark.read.parquet(str(path)).groupBy("key").agg(told.alias("told"))

    def ours() -> int:
        series = grouped().select(
            F.lit("customer").alias("grouping"),
            F.col("key").cast("string").alias("key"),
            F.lit("spend").alias("measure"),
            F.transform("told", lambda one: one["value"]).alias("values"),
        )
        found = autocorrelation.correlate(series, LAGS)
        return int(found.agg(F.sum(F.size("acf")), F.sum("tested")).collect()[0][0] / LAGS)

    def theirs() -> int:
        return int(grouped().agg(F.sum(F.size("told"))).collect()[0][0] / PERIODS)

    return compare("acf_1m", n, "reading and grouping alone", 2.0, ours, theirs)


def arima_job_10k(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Choosing, fitting and judging 10,000 series of 104 points, and forecasts; cost of one against that of a tenth."""
    n = int(10_000 * share)
    paths = []
    for size in (n, n // 10):
        values = _processes(size)
        flat = pa.ListArray.from_arrays(
            pa.array(np.arange(0, values.size + 1, LONG), pa.int32()), pa.array(values.ravel())
        )
        keys = pa.array([f"c{i}" for i in range(size)])
        paths.append(str(folder / f"{size}.parquet"))
        pq.write_table(pa.table({"key": keys, "values": flat}), paths[-1])

    def told(path: str, size: int) -> float:
        columns = {name: F.lit(None).cast(SERIES[name].type) for name in ("averages", "trend", "season", "reason")}
        known = {
            "as_of": F.lit(AS_OF),
            "grouping": F.lit("customer"),
            "measure": F.lit("ratings"),
            "period": F.lit("day"),
            "first": F.lit(date(2025, 1, 1)),
        }
        series = spark.read.parquet(path).withColumns({**known, **columns}).select(*SERIES.names)
        models = forecasts.learn(series, 8, 2, AS_OF, season=1).localCheckpoint()
        return forecasts.predict(series, models, 8, AS_OF).count() / size

    # A tenth is done ten times over: so the ratio is that of the cost of one series.
    return compare(
        "arima_job_10k",
        n,
        "ours, ten times a tenth",
        1.0,
        lambda: told(paths[0], n),
        lambda: [told(paths[1], n // 10) for _ in range(10)][-1],
        runs=1,
    )
