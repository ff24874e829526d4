"""Ten thousand series, a hundred of them poisoned: what is told of the others is the same to the last bit."""

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.anomalies import points, standings, windows
from crm_spark.forecasting import autocorrelation, forecasts, series, smoothing
from crm_spark.kernels.moving_average import Kind
from crm_spark.kernels.standings import Asked, Test

Lifted = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]

SIZE, BAD, PERIODS, SEASON, WINDOW = 10_000, 100, 48, 12, 6
A_BATCH = 1_700  # series; no number by which the poisoned come evenly
POISON = {
    "one point": [3.0],
    "none": [],
    "all equal": [2.0] * PERIODS,
    "all missing": [None] * PERIODS,
    "infinite": [1.0] * (PERIODS - 1) + [float("inf")],
    "minus infinite": [float("-inf"), *[1.0] * (PERIODS - 1)],
    "a spike of 1e308": [*range(40), 1e308, *range(PERIODS - 41)],
    "large ones of both signs": [1e308, -1e308] * (PERIODS // 2),
    "shorter than the season": [float(at % 3) for at in range(SEASON - 4)],
    "shorter than the window": [1.0, 5.0, 2.0, 4.0],
}  # fmt: skip


def drawn() -> tuple[pa.Table, pa.Table]:
    """All series, every hundredth poisoned, and the others alone: noise, a season, a walk, what is mostly zero, gaps."""
    random = np.random.default_rng(1)
    kinds = np.arange(SIZE) % 4
    noise = random.normal(size=(SIZE, PERIODS))
    season = np.sin(np.arange(PERIODS) * 2 * np.pi / SEASON)
    rare = random.poisson(2.0, size=(SIZE, PERIODS)) * (random.random((SIZE, PERIODS)) < 0.3)
    of_kinds = [20 + noise, 30 + 9 * season + noise, 50 + noise.cumsum(axis=1), rare]
    values = np.choose(kinds[:, None], of_kinds)
    gone = (random.random((SIZE, PERIODS)) < 0.02) & (kinds == 0)[:, None]
    told = np.where(gone, None, values.astype(object)).tolist()
    poisons = list(POISON.values())
    is_bad = np.arange(SIZE) % (SIZE // BAD) == 57
    for number, at in enumerate(np.flatnonzero(is_bad)):
        told[at] = poisons[number % len(poisons)]
    table = pa.table(
        {
            "grouping": ["customer"] * SIZE,
            "key": [f"c{at:05}" for at in range(SIZE)],
            "measure": ["ratings"] * SIZE,
            "period": ["month"] * SIZE,
            "first": pa.array([date(2019, 7, 1)] * SIZE),
            "values": pa.array(told, pa.list_(pa.float64())),
            "foretold": pa.nulls(SIZE, pa.list_(pa.float64())),
            "periods": pa.array([20] * SIZE, pa.int32()),
        }
    )
    return table, table.filter(pa.array(~is_bad))


@pytest.fixture(scope="module")
def both() -> tuple[pa.Table, pa.Table]:
    return drawn()


def told(lifted: Lifted, table: pa.Table, *columns: str) -> pa.Table:
    batches = table.select([*series.OF_SERIES, *columns]).to_batches(A_BATCH)
    assert len(batches) > 5
    return pa.Table.from_batches(list(lifted(iter(batches))))


def expect_the_same(both: tuple[pa.Table, pa.Table], lifted: Lifted, *columns: str) -> tuple[pa.Table, pa.Table]:
    """Give what is told of the poisoned, and of the others, who get the same bits with them and without."""
    whole, others = (told(lifted, table, *columns) for table in both)
    return parted(whole, others, both), others


def parted(whole: pa.Table, others: pa.Table, both: tuple[pa.Table, pa.Table]) -> pa.Table:
    """Give what is told of the poisoned, if the others get the same bits."""
    is_other = pc.is_in(whole["key"], value_set=both[1]["key"].combine_chunks())
    kept = whole.filter(is_other)
    assert kept.num_rows >= SIZE - BAD
    for name in others.column_names:
        if name != "seen":
            assert kept[name].combine_chunks().equals(others[name].combine_chunks()), name
    return whole.filter(pc.invert(is_other))


def no_number_is_none(told: pa.Table) -> None:
    for name, kind in zip(told.column_names, told.schema.types, strict=True):
        column = told[name].combine_chunks()
        numbers = column.flatten() if pa.types.is_list(kind) else column
        if pa.types.is_floating(numbers.type):
            assert np.isfinite(numbers.drop_null().to_numpy()).all(), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["trailing", "centred", "weighted", "exponential", "seasonal"])
def test_moving_averages(both: tuple[pa.Table, pa.Table], kind: Kind) -> None:
    lifted = partial(smoothing._smoothed, kind=kind, window=WINDOW, season=SEASON, least=1.0)
    bad, others = expect_the_same(both, lifted, "first", "values")
    no_number_is_none(bad.select(["averages"]))
    no_number_is_none(others)


@pytest.mark.slow
def test_autocorrelations(both: tuple[pa.Table, pa.Table]) -> None:
    bad, others = expect_the_same(both, partial(autocorrelation._correlated, lags=26), "values")
    no_number_is_none(bad)
    assert others["reason"].null_count > 0.99 * others.num_rows
    reasons = set(bad["reason"].to_pylist()) - {None}
    assert reasons == {"fewer than 3 periods have a value", "all values are alike or too large"}


@pytest.mark.slow
def test_standings(both: tuple[pa.Table, pa.Table]) -> None:
    asked = Asked(1, 24, WINDOW, newest=2, origins=9)
    lifted = partial(standings._measured, asked=asked, season=SEASON)
    bad, others = expect_the_same(both, lifted, "period", "first", "values", "foretold")
    no_number_is_none(bad.drop_columns("seen"))
    no_number_is_none(others.drop_columns("seen"))
    assert {"no values", "all values are equal", "a value is infinite or beyond 1e150", "fewer than 9 values"} <= set(
        bad["reason"].to_pylist()
    )
    counts = [
        np.sum([row for row in told(lifted, table, "period", "first", "values", "foretold")["seen"].to_pylist() if row],
               axis=0)
        for table in both
    ]  # fmt: skip
    assert np.array_equal(*counts), "by what was seen of the others all are judged"


@pytest.mark.slow
def test_tests_of_windows(both: tuple[pa.Table, pa.Table]) -> None:
    tests: tuple[Test, ...] = ("welch", "pooled", "paired", "one_sample")
    for test in tests:
        asked = Asked(SEASON, 24, WINDOW, test=test)
        bad, _ = expect_the_same(both, partial(windows._compared, asked=asked), "values")
        no_number_is_none(bad)
    bad, _ = expect_the_same(both, partial(windows._powered, share=0.95), "values")
    no_number_is_none(bad)


@pytest.mark.slow
def test_what_detectors_are_told(both: tuple[pa.Table, pa.Table]) -> None:
    bad, others = expect_the_same(both, partial(points._told, season=SEASON), "period", "first", "values", "periods")
    assert bad.num_rows == 0, "and so all that learns of points learns the same"
    no_number_is_none(others)


@pytest.mark.slow
def test_forecasts(both: tuple[pa.Table, pa.Table]) -> None:
    # With a season the fits would take ten times as long.
    learn = partial(forecasts._learned, season=1, horizon=6, origins=1)
    models = [told(learn, table, "period", "values") for table in both]
    no_number_is_none(parted(*models, both))
    no_number_is_none(models[1])
    assert set(models[1]["route"].to_pylist()) == {"arima", "mostly zero"}
    asked = ["method", "orders", "coefficients", "sigma2", "spread", "season"]
    expected = []
    for table, of in zip(both, models, strict=True):
        known = pa.table({**{name: table[name] for name in table.column_names}, **{name: of[name] for name in asked}})
        known = known.filter(pc.is_valid(known["method"]))
        expect = partial(forecasts._expected, horizon=6)
        expected.append(told(expect, known, "period", "first", "values", *asked).sort_by("key"))
    no_number_is_none(expected[1].drop_columns("told"))
    parted(*expected, both)


def facts(spark: SparkSession, size: int) -> DataFrame:
    """Ratings of so many customers on some days, and of every hundredth what no series should have."""
    days = spark.range(size * 30).selectExpr("id % 30 at", "int(id / 30) who")
    day = F.date_add(F.lit(date(2025, 1, 1)), (F.col("at") * 9 + F.col("who") % 7).cast("int"))
    value = 1 + F.pmod(F.xxhash64("who", "at"), F.lit(40)) / 10
    kind = F.when(F.col("who") % 100 == 57, (F.col("who") / 100).cast("int") % 6)
    rating = (
        F.when(kind == 0, F.lit(float("inf")))
        .when((kind == 1) & (F.col("at") == 9), F.lit(1e308))
        .when(kind == 2, F.lit(None).cast("double"))
        .when(kind == 3, F.lit(2.0))
        .when(kind == 4, F.lit(float("nan")))
        .otherwise(value)
    )
    on = F.when(kind == 5, F.lit(date(2025, 3, 3))).otherwise(day)  # all on one day
    return days.select(
        F.format_string("c%05d", "who").alias("customer_id"),
        F.lit(None).cast("string").alias("product_id"),
        rating.alias("rating"),
        on.alias("given_on"),
        F.xxhash64("at", "who").alias("place"),
        kind.isNotNull().alias("is_bad"),
    )


@pytest.mark.slow
def test_series_are_built_whatever_lies_beside_and_in_any_order(spark: SparkSession) -> None:
    given = facts(spark, SIZE).localCheckpoint()
    nothing = spark.createDataFrame([], "customer_id string, session_id string, occurred_on date, channel string")
    lines = spark.createDataFrame(
        [], "customer_id string, order_id string, product_id string, ordered_on date, amount decimal(18,4), "
        "kind string, channel string"
    )  # fmt: skip
    built = []
    for rows in (given.orderBy("place"), given.where("NOT is_bad").orderBy(F.desc("place"))):
        known = series.facts(lines, nothing.withColumn("product_id", F.lit(None).cast("string")), rows, ["ratings"])
        of = series.gather(known, ["customer"], "week", date(2025, 11, 2)).orderBy("key").toArrow()
        built.append(of.combine_chunks())
    bad = pc.equal(pc.utf8_slice_codeunits(built[0]["key"], 4, 6), "57")
    assert built[0].filter(pc.invert(bad)).equals(built[1])
    told_of_bad = built[0].filter(bad)
    assert 0 < told_of_bad.num_rows < BAD, "of whom nothing can be told there is no series"
    no_number_is_none(told_of_bad.select(["values"]))
