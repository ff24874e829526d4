"""How the newest periods of each series stand: to its own past, to what was foretold of it, and to its peers.

Methods are those of `crm_spark.kernels.standings`. Each says how likely chance brings a value so far from what is
usual; how often it says so among former periods of all series of the same kind takes the place of what it says
(`crm_spark.kernels.calibration`), so that on behaviour without anything unusual a p of 0.01 or less comes to one period
in a hundred, whatever the values are like. Former forecasts have no past: theirs is told by all series of the day.

A value must be unusual for its own series, and no less so among its peers: what comes to all of them alike is told of
their sum.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy import special

from crm_spark.core.contracts import Field, Table
from crm_spark.forecasting.series import KEYS, OF_SERIES, SEASONS, alike, day_after
from crm_spark.kernels import calibration, mean_tests
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.lists import lists, matrix, ragged
from crm_spark.kernels.mean_tests import Sample
from crm_spark.kernels.series import ended, refuse
from crm_spark.kernels.standings import KINDS, LEAST, METHODS, Asked, stand, together

ALONE, FORECAST, PEERS = "alone", "forecast", "peers"
COUNTED = (*METHODS, ALONE, FORECAST)  # what is calibrated
DETECTED = ("surprise", "learned")  # whose p is conformal
LEAST_PEERS = 5
FARTHEST = 8.0  # standard deviations that count among peers: one that lies farther says no more
OF_95 = 1.959964  # standard deviations from the mean to a limit of 95 %

WORDS = {
    "z": "z against the mean before, the season being taken out",
    "robust_z": "z against the median",
    "box_cox": "z after a power of Box and Cox",
    "window": "t-test of the last window against what was before it",
    "forecast": "what was foretold, with its interval",
    "surprise": "the default detector: the largest residual against what 1 of 1,000 past ones exceeded",
    "learned": "what has learned from verdicts or, without these, an isolation forest",
    "peers": "t-test against the other series of the group",
}

STANDINGS = Table(
    "behaviour_standings",
    "How the newest periods of each series stand to its own past and to its peers, as of a day.",
    owns="as_of",
    key=["as_of", "grouping", "key", "measure", "day"],
    columns=[
        *KEYS,
        Field("day", "date", "the first day of the period; of a series without any the day until which is known"),
        Field("period", "string", "day, week (from Monday on) or month"),
        Field("observed", "double", "the value", nullable=True),
        Field("expected", "double", "what is usual: the mean of its place in the season before", nullable=True),
        Field("spread", "double", "standard deviation of a period around that", nullable=True),
        Field("z", "double", "how many of these, with the doubt of what is usual, lie between", nullable=True),
        *[Field(f"p_{name}", "double", f"how often such a one comes by chance: {told}", nullable=True)
          for name, told in WORDS.items()],
        Field("p", "double", "the same by all methods together", nullable=True),
        Field("peers", "int", "other series of the group in that period", nullable=True),
        Field("peers_change", "double", "by which share their sum is above what is usual", nullable=True),
        Field("reason", "string", "why it cannot be judged, or what is to be known of it", nullable=True),
    ],
)  # fmt: skip

MEASURED = (
    "grouping string, key string, measure string, period string, first date, at int, observed double, "
    "expected double, spread double, z double, kind double, "
    + ", ".join(f"p_{name} double" for name in COUNTED)
    + ", reason string, seen array<int>"
)
JUDGED = (*(f"p_{name}" for name in WORDS), "p")


def measure(
    series: DataFrame, asked: Asked, season: int | None = None, forecasts: DataFrame | None = None
) -> DataFrame:
    """Measure how far the newest periods of series are from what is usual.

    Parameters
    ----------
    series : DataFrame of BEHAVIOUR_SERIES
        Of one day.
    asked : Asked
        Its season does not count.
    season : int, optional
        Periods of a cycle; without it 7 days, 52 weeks or 12 months.
    forecasts : DataFrame of BEHAVIOUR_FORECASTS, optional
        Of former days; of each period the newest counts.

    Returns
    -------
    DataFrame
        A row for each series and period, with what each method says before it is calibrated (`p_…`), and in some rows
        how often it said what before (`seen`). One pass; with forecasts a join by series.
    """
    if forecasts is None:
        told = series.withColumn("foretold", F.lit(None).cast("array<double>"))
    else:
        told = _foretold(series, forecasts, asked.newest)
    rows = told.select(*OF_SERIES, "period", "first", "values", "foretold")
    return rows.mapInArrow(partial(_measured, asked=asked, season=season), MEASURED)


def _foretold(series: DataFrame, forecasts: DataFrame, newest: int) -> DataFrame:
    """Add to each series the means that were foretold of its newest periods, and after them their deviations."""
    spread = (F.col("high_95") - F.col("expected")) / OF_95
    of_day = forecasts.groupBy(*OF_SERIES, "day").agg(
        F.max_by("expected", "as_of").alias("mean"), F.max_by(spread, "as_of").alias("spread")
    )
    of_series = of_day.groupBy(*OF_SERIES).agg(
        *[F.map_from_entries(F.collect_list(F.struct("day", name))).alias(name) for name in ("mean", "spread")]
    )
    size = F.size("values")
    days = [day_after(size - back) for back in range(newest, 0, -1)]
    told = [F.try_element_at(name, day) for name in ("mean", "spread") for day in days]
    return series.join(of_series, list(OF_SERIES), "left").withColumn("foretold", F.array(*told))


def judge(
    measured: DataFrame, as_of: date, peers: DataFrame | None = None, detected: DataFrame | None = None
) -> DataFrame:
    """Judge what was measured, by how often it came before and by what came to the peers.

    Parameters
    ----------
    measured : DataFrame
        As `measure` gives it. Read three times: best computed once.
    as_of : date
        The day until which is known.
    peers : DataFrame, optional
        `grouping`, `key`, `group`: whose peers a series has, one row each. Without it, all series of a grouping are
        peers.
    detected : DataFrame, optional
        As `detectors.judge` gives it.

    Returns
    -------
    DataFrame of STANDINGS
        Two small aggregates, one by kind of series and one by group of peers, and their joins.
    """
    grouped = (
        measured.withColumn("group", F.lit(None).cast("string"))
        if peers is None
        else (measured.join(peers, ["grouping", "key"], "left"))
    )
    known = grouped.withColumn("group", F.coalesce("group", F.lit("")))
    by_peers = ["grouping", "measure", "at_day", "group"]
    placed = known.withColumn("at_day", F.when(F.col("at") >= 0, day_after(F.col("at"))))
    z = F.greatest(F.least("z", F.lit(FARTHEST)), F.lit(-FARTHEST))
    is_held = F.col("z").isNotNull()
    sums = (
        placed.where(is_held)
        .groupBy(*by_peers)
        .agg(
            F.count("*").alias("held"),
            F.sum(z).alias("sum_z"),
            F.sum(z * z).alias("squares_z"),
            F.sum("observed").alias("sum_observed"),
            F.sum("expected").alias("sum_expected"),
        )
    )
    counted = measured.where(F.col("seen").isNotNull()).groupBy("grouping", "measure").agg(_added("seen").alias("seen"))
    curves = counted.mapInArrow(_curved, "grouping string, measure string, kind double, curves array<double>")
    by_kind = ["grouping", "measure", "kind"]
    whole = placed.drop("seen").join(F.broadcast(curves), by_kind, "left").join(sums, by_peers, "left")
    whole = whole.withColumn("day", F.coalesce("at_day", F.lit(as_of)))
    if detected is None:
        whole = whole.withColumns({f"p_{name}": F.lit(None).cast("double") for name in DETECTED})
    else:
        whole = whole.join(detected, [*OF_SERIES, "day"], "left")
    types = ", ".join(f"{name} double" for name in JUDGED)
    kept = (*OF_SERIES, "day", "period", "observed", "expected", "spread", "z")
    told = whole.select(
        *kept,
        *[f"p_{name}" for name in (*COUNTED, *DETECTED)],
        "curves", "held", "sum_z", "squares_z", "sum_observed", "sum_expected", "reason",
    )  # fmt: skip
    laid = (
        "grouping string, key string, measure string, day date, period string, observed double, expected double, "
        f"spread double, z double, {types}, peers int, peers_change double, reason string"
    )
    return told.mapInArrow(_judged, laid).withColumn("as_of", F.lit(as_of)).select(*STANDINGS.names)


def _added(name: str) -> Column:
    """Arrays of one length, added up element by element."""
    nothing = F.array_repeat(F.lit(0), len(COUNTED) * KINDS * (calibration.STEPS + 1))
    return F.aggregate(F.collect_list(name), nothing, lambda so_far, one: F.zip_with(so_far, one, lambda a, b: a + b))


# -- lifted: Arrow in, Arrow out


def _measured(batches: Iterator[pa.RecordBatch], asked: Asked, season: int | None) -> Iterator[pa.RecordBatch]:
    names = [field.strip().split(" ")[0] for field in MEASURED.split(", ")]
    for of_period, period in alike(batches, "period"):
        of_season = replace(asked, season=season or SEASONS[period])
        yield pa.RecordBatch.from_arrays(_of_series(of_period, of_season), names)


def _of_series(batch: pa.RecordBatch, asked: Asked) -> list[pa.Array]:
    sizes = np.diff(ragged(batch.column("values"))[1])
    usable, reasons = sound(batch)
    found = stand(usable, asked)
    observed = _last(usable, asked.newest)
    said = {str(name): found.p.get(name, np.full(found.z.shape, np.nan)) for name in METHODS}
    said[ALONE] = together([of for name, of in said.items() if name != "window"])
    newest = {name: of[-asked.newest :] for name, of in said.items()}
    newest[FORECAST] = _by_forecast(batch.column("foretold"), observed)
    before = {name: of[: asked.origins] for name, of in said.items()} | {FORECAST: newest[FORECAST]}
    # Of each series its periods, one after the other; none before it began, but one of a series without any.
    rows = np.repeat(np.arange(sizes.size), asked.newest)
    at = sizes[:, None] - np.arange(asked.newest, 0, -1)
    is_there = (at >= 0) | ((sizes == 0)[:, None] & (np.arange(asked.newest) == asked.newest - 1))
    taken = rows[is_there.ravel()]
    told = [
        observed,
        *(of[-asked.newest :] for of in (found.expected, found.spread, found.z, found.kind)),
        *newest.values(),
    ]
    why = _why(reasons, sizes, observed, newest, asked)
    seen = np.full(taken.size, None, dtype=object)
    kinds = found.kind[: asked.origins], found.kind[-asked.newest :]
    for row, counts in _counted(batch, before, *kinds):
        seen[np.searchsorted(taken, row)] = counts
    return [
        *(batch.column(name).take(pa.array(taken)) for name in (*OF_SERIES, "period", "first")),
        pa.array(at[is_there], pa.int32()),
        *(_column(of.T[is_there]) for of in told),
        pa.array(why.T[is_there].tolist(), pa.string()),
        pa.array(seen.tolist(), pa.list_(pa.int32())),
    ]


def sound(batch: pa.RecordBatch) -> tuple[Floats, NDArray[np.object_]]:
    """Series side by side, each ending in the last row, those that cannot be used without values; and why."""
    values, offsets = ragged(batch.column("values"))
    reasons = refuse(values, offsets, LEAST + 1)
    is_refused = np.repeat(reasons != np.array(None), np.diff(offsets))
    return ended(np.where(is_refused, np.nan, values), offsets), reasons


def _last(values: Floats, rows: int) -> Floats:
    found = np.full((rows, values.shape[1]), np.nan)
    taken = values[-rows:]
    found[rows - len(taken) :] = taken
    return found


def _column(values: Floats) -> pa.Array:
    return pa.array(np.where(np.isfinite(values), values, np.nan), from_pandas=True)


def _by_forecast(foretold: pa.Array, observed: Floats) -> Floats:
    """The p of values by the mean and the deviation that were foretold."""
    told = np.full((2, *observed.shape), np.nan)
    is_told = np.asarray(foretold.is_valid())
    if is_told.any():
        given = foretold.flatten().to_numpy(zero_copy_only=False).reshape(-1, 2, len(observed))
        told[:, :, is_told] = np.moveaxis(given, 0, -1)
    mean, spread = told
    z = (observed - mean) / np.where(spread > 0, spread, np.nan)
    return np.asarray(2 * special.ndtr(-np.abs(z)))


def _why(
    reasons: NDArray[np.object_], sizes: np.ndarray, observed: Floats, newest: dict[str, Floats], asked: Asked
) -> NDArray[np.object_]:
    """Why a period cannot be judged, or what is to be known of it."""
    why = np.full(observed.shape, None, dtype=object)
    if "window" in asked.methods:
        why[:, sizes < asked.window] = "the window is longer than the series"
    why[np.isnan(np.array(list(newest.values()))).all(axis=0)] = f"fewer than {LEAST} values before it"
    why[np.isnan(observed)] = "no value in the period"
    is_refused = reasons != np.array(None)
    why[:, is_refused] = reasons[is_refused]
    return why


def _counted(
    batch: pa.RecordBatch, before: dict[str, Floats], then: Floats, now: Floats
) -> Iterator[tuple[int, list[int]]]:
    """How often each method said what, by kind of past; the first row of each grouping and measure bears it."""
    both = list(zip(*(batch.column(name).to_pylist() for name in ("grouping", "measure")), strict=True))
    numbers = {pair: number for number, pair in enumerate(dict.fromkeys(both))}
    of = np.array([numbers[pair] for pair in both], dtype=np.int64)
    for number in numbers.values():
        is_of = of == number
        counts = [
            calibration.count(before[name][:, is_of], (now if name == FORECAST else then)[:, is_of], KINDS)
            for name in COUNTED
        ]
        yield int(is_of.argmax()), np.concatenate(counts, axis=None).tolist()


def _curved(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Curves of each kind of past; where one was seen rarely, those of all of them together count more."""
    for batch in batches:
        counts = batch.column("seen").flatten().to_numpy().astype(np.int64)
        counts = counts.reshape(batch.num_rows, len(COUNTED), KINDS, calibration.STEPS + 1)
        whole = calibration.curve(counts.sum(axis=2, keepdims=True))
        of_kinds = calibration.curve(counts, np.broadcast_to(whole, counts.shape))
        # Forecasts are held against those of the same day: the one that was farthest off does not count.
        of_day = counts[:, COUNTED.index(FORECAST)].sum(axis=1)
        farthest = calibration.STEPS - (of_day[:, ::-1] > 0).argmax(axis=1)
        of_day[np.arange(batch.num_rows), farthest] = np.maximum(of_day[np.arange(batch.num_rows), farthest] - 1, 0)
        of_kinds[:, COUNTED.index(FORECAST)] = calibration.curve(of_day)[:, None]
        curves = np.moveaxis(of_kinds, 2, 1)
        rows = pa.array(np.repeat(np.arange(batch.num_rows), KINDS))
        yield pa.RecordBatch.from_arrays(
            [
                batch.column("grouping").take(rows),
                batch.column("measure").take(rows),
                pa.array(np.tile(np.arange(KINDS, dtype=np.float64), batch.num_rows)),
                lists(curves.reshape(batch.num_rows * KINDS, -1)),
            ],
            ["grouping", "measure", "kind", "curves"],
        )


def _judged(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    kept = (*OF_SERIES, "day", "period", "observed", "expected", "spread", "z")
    for batch in batches:
        said = {name: _numbers(batch, f"p_{name}") for name in COUNTED}
        curves = matrix(batch.column("curves"), len(COUNTED) * (calibration.STEPS + 1))
        curves = curves.reshape(batch.num_rows, len(COUNTED), -1)
        held = {name: calibration.calibrate(p, curves[:, at]) for at, (name, p) in enumerate(said.items())}
        held[PEERS], others, change = _among_peers(batch)
        held |= {name: _numbers(batch, f"p_{name}") for name in DETECTED}
        alone = together([held[name] for name in (ALONE, "window", FORECAST, *DETECTED)])
        p = np.fmax(alone, np.where(np.isnan(alone), np.nan, held[PEERS]))
        told = [*(held[name] for name in WORDS), p]
        columns = [
            *map(_column, told),
            pa.array(others.astype(np.int64), pa.int32(), mask=others < 1),
            _column(change),
            batch.column("reason"),
        ]
        names = [*kept, *JUDGED, "peers", "peers_change", "reason"]
        yield pa.RecordBatch.from_arrays([*map(batch.column, kept), *columns], names)


def _among_peers(batch: pa.RecordBatch) -> tuple[Floats, Floats, Floats]:
    """The p of each among the others of its group, how many there are, and by which share these are above the usual."""
    z = np.clip(_numbers(batch, "z"), -FARTHEST, FARTHEST)
    others = np.where(np.isnan(z), 0.0, np.nan_to_num(_numbers(batch, "held")) - 1)
    enough = np.where(others >= LEAST_PEERS, others, np.nan)
    mean = (_numbers(batch, "sum_z") - z) / enough
    squares = np.maximum(_numbers(batch, "squares_z") - z * z - enough * mean * mean, 0.0)
    rest = Sample(enough, mean, squares / (enough - 1))
    found = mean_tests.pooled(Sample(np.ones_like(z), z, np.zeros_like(z)), rest)
    observed, expected = (_numbers(batch, f"sum_{name}") - _numbers(batch, name) for name in ("observed", "expected"))
    change = observed / np.where((expected > 0) & (others > 0), expected, np.nan) - 1
    return found.p, np.maximum(others, 0.0), change


def _numbers(batch: pa.RecordBatch, name: str) -> Floats:
    return np.asarray(batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
