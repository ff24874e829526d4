"""clv_1m, clv_1m_job, clv_1m_intervals, clv_10m_job, clv_scaling: lifetime value against `lifetimes`.

It runs in one process. Customers buy by BG/NBD and spend by Gamma-Gamma over two years, in whole days.
"""

import os
import warnings
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.measure import Figure, compare, peak_mb, timed
from crm_spark.core.config import Place
from crm_spark.core.lake import Lake
from crm_spark.core.pipeline import discover
from crm_spark.core.runner import run
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.kernels import bgnbd, gamma_gamma
from crm_spark.kernels.histories import histories
from crm_spark.value import models
from crm_spark.value.histories import gather

FIRST, AS_OF, DAYS, HORIZON = date(2024, 1, 1), date(2025, 12, 30), 729, 365
CHUNK = 100_000
Floats = NDArray[np.float64]


def clv_1m(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Fit both models and predict, in the kernel, on the summary that `lifetimes` gets."""
    x, t_x, T, mean = summary(int(1_000_000 * share))

    def ours() -> Floats:
        of = histories(x, t_x, T)
        times, money = bgnbd.fit(of).parameters, gamma_gamma.fit(x[x > 0], mean[x > 0]).parameters
        bgnbd.probability_alive(times, of.x, of.t_x, of.T)[of.of]
        purchases = bgnbd.expected_purchases(times, of.x, of.t_x, of.T, HORIZON)[of.of]
        return np.array([purchases.sum(), (purchases * gamma_gamma.expected_mean(money, x, mean)).sum()])

    def theirs() -> Floats:
        times, money = peer_fit("BetaGeoFitter", x, t_x, T), _fit_money(x, mean)
        times.conditional_probability_alive(x, t_x, T)
        purchases = times.conditional_expected_number_of_purchases_up_to_time(HORIZON, x, t_x, T)
        spend = money.conditional_expected_average_profit(x, mean)
        return np.array([purchases.sum(), (purchases * spend).sum()])

    return compare("clv_1m", x.size, "lifetimes: fit and predict", 0.05, ours, theirs, agree=_nearly)


def clv_1m_job(spark: SparkSession, folder: Path, share: float) -> Figure:
    """The whole job with one model, from customer_days in Delta to the tables, against the peer's fit alone."""
    return _job("clv_1m_job", spark, folder, share, {"models": ["bg_nbd"], "held_out": 0})


def clv_1m_intervals(spark: SparkSession, folder: Path, share: float) -> Figure:
    """The job as it is set: all its models, judged on held-out time and chosen from, with intervals."""
    return _job("clv_1m_intervals", spark, folder, share, {})


def _job(name: str, spark: SparkSession, folder: Path, share: float, settings: dict[str, Any]) -> Figure:
    customers = int(1_000_000 * share)
    lake = _lake(spark, folder, customers)
    histories = gather(lake.current(CUSTOMER_DAYS), AS_OF).toPandas()
    x, t_x, T, mean = (histories[name].to_numpy(float) for name in ("frequency", "recency", "age", "monetary"))
    place = Place(lake=lake.location, jobs={"clv": {"unit_days": 1, **settings}})

    def ours() -> Floats:
        run(discover().jobs["clv"], lake, place, AS_OF)
        return _learned(lake)

    def theirs() -> Floats:
        times, money = peer_fit("BetaGeoFitter", x, t_x, T), _fit_money(x, np.nan_to_num(mean))
        return np.array([*times.params_, *money.params_])

    return compare(name, customers, "lifetimes: its fit alone", 1.0, ours, theirs, agree=_nearly)


def clv_10m_job(spark: SparkSession, folder: Path, share: float) -> Figure:
    """The job with ten times the customers: the ratio is that of the driver's memory."""
    (one, ten), memory = _grown(spark, folder, [int(1_000_000 * share), int(10_000_000 * share)])
    ratio = memory[1] / memory[0]
    peer = f"itself with a tenth of the customers; the ratio is of the driver's memory, {memory[1]} to {memory[0]} MB"
    size = int(10_000_000 * share)
    return Figure("clv_10m_job", size, ten, peer, one, round(ratio, 2), peak_mb(), 1.1, ratio <= 1.1)


def clv_scaling(spark: SparkSession, folder: Path, share: float) -> Figure:
    """The job with a hundred times the customers: the ratio is that of the seconds for each customer."""
    sizes = [int(100_000 * share), int(10_000_000 * share)]
    (few, many), memory = _grown(spark, folder, sizes)
    ratio = many / few * sizes[0] / sizes[1]
    peer = f"itself with a hundredth of the customers; a customer's share; the driver's MB, {memory[1]} to {memory[0]}"
    return Figure("clv_scaling", sizes[1], many, peer, few, round(ratio, 2), peak_mb(), 1.0, ratio <= 1)


def _grown(spark: SparkSession, folder: Path, sizes: list[int]) -> tuple[list[float], list[int]]:
    """Seconds of the job at each number of customers, and the driver's megabytes after it."""
    seconds, memory = [], []
    for customers in sizes:
        lake = _lake(spark, folder / str(customers), customers)
        job = partial(run, discover().jobs["clv"], lake, Place(lake=lake.location), AS_OF)
        job()  # warm
        seconds.append(round(timed(job), 2))
        memory.append(_driver_mb(spark))
    return seconds, memory


def _driver_mb(spark: SparkSession) -> int:
    """What the driver holds: Python's peak, and what is alive in Java's heap but for blocks, which executors hold."""
    context = spark.sparkContext
    runtime = context._jvm.java.lang.Runtime.getRuntime()  # type: ignore[union-attr]
    context._jvm.java.lang.System.gc()  # type: ignore[union-attr]
    blocks = sum(status._1() - status._2() for status in _values(context._jsc.sc().getExecutorMemoryStatus()))
    status = Path(f"/proc/{os.getpid()}/status").read_text(encoding="utf-8")
    python = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return python // 1024 + int(runtime.totalMemory() - runtime.freeMemory() - blocks) // 1024**2


def _values(scala_map: Any) -> Iterator[Any]:
    values = scala_map.values().iterator()
    while values.hasNext():
        yield values.next()


def peer_fit(fitter: str, x: Floats, t_x: Floats, T: Floats, **settings: Any):  # type: ignore[no-untyped-def]
    """Fit a model of `lifetimes`."""
    import lifetimes  # noqa: PLC0415 - a peer, of requirements/bench.txt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(lifetimes, fitter)().fit(x, t_x, T, **settings)


def _fit_money(x: Floats, mean: Floats):  # type: ignore[no-untyped-def]
    from lifetimes import GammaGammaFitter  # noqa: PLC0415 - a peer, of requirements/bench.txt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GammaGammaFitter().fit(x[x > 0], mean[x > 0])


def _nearly(ours: Floats, theirs: Floats) -> bool:
    """Whether two answers agree as far as the peer's search goes."""
    return bool(np.allclose(ours, theirs, rtol=0.01))


def _learned(lake: Lake) -> Floats:
    rows = {(row["model"], row["parameter"]): row["value"] for row in lake.current(models.PARAMETERS).collect()}
    return np.array([rows[model, name] for model in ("bg_nbd", "gamma_gamma") for name in models.NAMES[model]])


def summary(customers: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Give x, t_x, T in days and the mean spend of each customer."""
    days = _bought(customers, 1)
    by = days.groupby("customer")
    first, last = by["day"].min(), by["day"].max()
    x = by.size() - 1
    later = days[days["day"] > days["customer"].map(first)].groupby("customer")["sales"].mean().reindex(x.index)
    return tuple(column.to_numpy(float) for column in (x, last - first, DAYS - first, later.fillna(0)))  # type: ignore[return-value]


def _bought(customers: int, seed: int) -> pd.DataFrame:
    """Days with an order: customer, day, sales."""
    random = np.random.default_rng(seed)
    rate, leaves = random.gamma(0.6, 1 / 30, customers), random.beta(0.8, 5.0, customers)
    worth = 6 / random.gamma(4.0, 1 / 15, customers)
    at, who = random.integers(0, DAYS, customers).astype(float), np.arange(customers)
    parts = []
    while who.size:
        parts.append(pd.DataFrame({"customer": who, "day": np.floor(at).astype(int)}))
        stays = random.random(who.size) > leaves[who]
        who, at = who[stays], at[stays] + random.exponential(1 / np.maximum(rate[who[stays]], 1e-9))
        who, at = who[at <= DAYS], at[at <= DAYS]
    days = pd.concat(parts).drop_duplicates()
    days["sales"] = np.round(random.gamma(6.0, 1.0, len(days)) * worth[days["customer"]] * 10 + 0.01, 2)
    return days


def _lake(spark: SparkSession, folder: Path, customers: int) -> Lake:
    lake = Lake(spark, str(folder / "lake"))
    lake.prepare(CUSTOMER_DAYS)
    lake.overwrite(CUSTOMER_DAYS, _customer_days(spark, customers), "bench")
    return lake


def _customer_days(spark: SparkSession, customers: int) -> DataFrame:
    chunks = spark.range(0, customers, CHUNK, numPartitions=max(customers // CHUNK, 1))
    made = chunks.mapInArrow(partial(_chunk, customers=customers), "customer bigint, day int, sales double")
    known = {
        "customer_id": F.lpad(F.col("customer").cast("string"), 9, "0"),
        "day": F.date_add(F.lit(FIRST), F.col("day")),
        "orders": F.lit(1),
        "sales": F.col("sales"),
        "returns": F.lit(0),
        "lines": F.lit(1),
        "first_at": F.lit(FIRST),
        "last_at": F.lit(FIRST),
    }
    return made.select(*[known[column.name].cast(column.type).alias(column.name) for column in CUSTOMER_DAYS.columns])


def _chunk(batches: Iterator[pa.RecordBatch], customers: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for first in batch.column(0).to_pylist():
            days = _bought(min(CHUNK, customers - first), first + 1)
            columns = [days["customer"].to_numpy() + first, days["day"].to_numpy(np.int32), days["sales"].to_numpy()]
            yield from pa.Table.from_arrays(
                [pa.array(column) for column in columns], ["customer", "day", "sales"]
            ).to_batches(50_000)
