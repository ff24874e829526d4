"""What comes next: a forecast of each series by the method that told its own past best.

Which way a series goes, and how methods are judged, is told in `crm_spark.kernels.forecasts`; ARIMA is fitted by exact
maximum likelihood (`crm_spark.kernels.arima`). What never lies below zero is not foretold below it.

References
----------
Hyndman, R. J., Khandakar, Y. (2008). Automatic Time Series Forecasting: The forecast Package for R. Journal of
Statistical Software 27(3).
"""

from collections.abc import Iterator
from datetime import date
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.forecasting.series import KEYS, MEANS, OF_SERIES, SEASONS, alike, day_after
from crm_spark.kernels import forecasts as kernel
from crm_spark.kernels.arima_model import Order
from crm_spark.kernels.forecasts import METHODS, Learned, Lent, Models
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.lists import ragged, unragged

ORDER = ("p", "d", "q", "P", "D", "Q", "m", "is_constant")
LIMITS = ("low_95", "low_80", "high_80", "high_95")  # of the intervals that hold 95 and 80 of 100 periods
SEGMENT, CUSTOMER = "segment", "customer"
JUDGED = (*kernel.MODEL_OF, "naive", "seasonal_naive")

MODELS = Table(
    "behaviour_models",
    "By which method each series is foretold, what it learned, and how well it told the past, as of a day.",
    owns="as_of",
    key=["as_of", "grouping", "key", "measure"],
    columns=[
        *KEYS,
        Field("learned_on", "date", "the day until which was known when it was learned"),
        Field("periods", "int", "periods of the series then", unit="period"),
        Field("season", "int", "periods of a cycle", unit="period"),
        Field("route", "string", f"the way it goes: {', '.join(kernel.ROUTES)}"),
        Field("method", "string", f"what foretells it: {', '.join(METHODS)}", nullable=True),
        Field("model", "string", "the method with its orders, in words", nullable=True),
        Field("orders", "array<int>", f"of ARIMA: {', '.join(ORDER)}", nullable=True),
        Field("terms", "array<string>", "what its coefficients are called", nullable=True),
        Field("coefficients", "array<double>", "of these", nullable=True),
        Field("standard_errors", "array<double>", "of these; null where they cannot be told", nullable=True),
        Field("sigma2", "double", "variance of the shocks", nullable=True),
        Field("log_likelihood", "double", "exact, Gaussian", nullable=True),
        Field("aicc", "double", "corrected criterion of Akaike", nullable=True),
        Field("residual_p", "double", "p of the Ljung-Box test of the residuals", nullable=True),
        Field(
            "judged_ahead",
            "int",
            "periods of the past that were foretold from each origin to judge by; 0 where the series is too short",
            unit="period",
        ),
        Field("mase", "double", "mean absolute error of the method, by that of the seasonal naive one", nullable=True),
        Field("smape", "double", "symmetric mean absolute percentage error, 0 to 2", nullable=True),
        *[Field(f"mase_{name}", "double", f"that of {name}, where it was tried", nullable=True) for name in JUDGED],
        Field("coverage_80", "double", "share of what came within the method's own 80 % intervals", nullable=True),
        Field("coverage_95", "double", "within those of 95 %", nullable=True),
        Field("spread", "double", "by which its standard deviations are multiplied since", nullable=True),
        Field("reason", "string", "why there is no model, or what is to be known of it", nullable=True),
    ],
    version=2,
)

FORECASTS = Table(
    "behaviour_forecasts",
    "What each series is expected to be in the periods to come, as of a day.",
    owns="as_of",
    key=["as_of", "grouping", "key", "measure", "ahead"],
    columns=[
        *KEYS,
        Field("ahead", "int", "which period after the last whole one", unit="period"),
        Field("day", "date", "its first day"),
        Field("method", "string", "what foretells it"),
        Field("expected", "double", "the mean of what may come"),
        *[
            Field(name, "double", f"not exceeded with a probability of {level:g}", nullable=True)
            for name, level in zip(LIMITS, kernel.LEVELS, strict=True)
        ],
        Field(
            "reconciled",
            "double",
            "what is expected where customers and the others add up to segments and all",
            nullable=True,
        ),
        Field("reconciled_by", "string", "how: top_down, wls_var, wls_struct or bottom_up", nullable=True),
    ],
)

LEARNED = MODELS.names[MODELS.names.index("periods") :]


AT_ONCE = 2_500_000  # values that are learned at once: Python's share of the cost is that of one call; 100 bytes each
MODEL = ("method", "orders", "coefficients", "sigma2", "spread")
LENT = ("lender", "level")


def learn(
    series: DataFrame,
    horizon: int,
    origins: int,
    as_of: date,
    season: int | None = None,
    former: DataFrame | None = None,
) -> DataFrame:
    """Learn how each series is foretold best.

    Parameters
    ----------
    series : DataFrame of BEHAVIOUR_SERIES
        Of one day.
    horizon : int
        Periods that are foretold.
    origins : int
        From how many the past is foretold.
    season : int, optional
        Periods of a cycle; without it 7 days, 52 weeks or 12 months.
    former : DataFrame of MODELS, optional
        Of several days: of those before `as_of` the newest counts. Models are searched from what was found then.

    Returns
    -------
    DataFrame of MODELS
        One shuffle by series, of former models too; one pass. What is learned of one does not depend on the others.
    """
    spread = series.select(*OF_SERIES, "period", "values")
    if former is not None:
        spread = spread.join(_newest(former, as_of).select(*OF_SERIES, *MODEL), list(OF_SERIES), "left")
    return _lifted(spread.repartition(*OF_SERIES), horizon, origins, as_of, season)


def is_short() -> Column:
    """Say which series are too short for models of their own, and can borrow one: those of customers."""
    known = F.size(F.filter("values", lambda value: value.isNotNull() & ~F.isnan(value)))
    return (F.col("grouping") == CUSTOMER) & (known < kernel.LEAST)


def borrow(  # noqa: PLR0913, PLR0917 - who borrows from whom, and what is asked
    series: DataFrame,
    groups: DataFrame,
    models: DataFrame,
    segments: DataFrame,
    horizon: int,
    origins: int,
    as_of: date,
    season: int | None = None,
) -> DataFrame:
    """Learn how short series of customers are foretold best, with the ARIMA models of their segments.

    Parameters
    ----------
    series : DataFrame of BEHAVIOUR_SERIES
        Of one day: the short ones.
    groups : DataFrame of BEHAVIOUR_SERIES
        Of that day, those of segments among them.
    models : DataFrame of MODELS
        Of that day, those of segments among them.
    segments : DataFrame
        `customer_id`, `segment`, one row for each customer at most.

    Returns
    -------
    DataFrame of MODELS
        A series whose customer has no segment, or whose segment is not foretold by ARIMA, is told by its mean. One
        join by customer, one pass; models of segments are broadcast.
    """
    is_lender = (F.col("grouping") == SEGMENT) & F.col("method").isin(*kernel.MODEL_OF)
    last = F.slice("values", -F.least(F.size("values"), F.lit(kernel.LEAST)), kernel.LEAST)
    known = F.filter(last, lambda value: value.isNotNull())
    level = F.aggregate(known, F.lit(0.0), lambda total, value: total + value) / F.size(known)
    lenders = (
        models.where(is_lender)
        .join(groups.where(F.size("values") > 0).select(*OF_SERIES, level.alias("level")), list(OF_SERIES))
        .select(F.col("key").alias("lender"), "measure", *MODEL, "level")
    )
    of_customer = segments.select(F.col("customer_id").alias("key"), F.col("segment").alias("lender"))
    asked = series.select(*OF_SERIES, "period", "values").join(of_customer, "key", "left")
    told = asked.join(F.broadcast(lenders), ["lender", "measure"], "left")
    columns = (*OF_SERIES, "period", "values", *MODEL, *LENT)
    return _lifted(told.select(*columns), horizon, origins, as_of, season)


def _lifted(told: DataFrame, horizon: int, origins: int, as_of: date, season: int | None) -> DataFrame:
    types = MODELS.types((*OF_SERIES, *LEARNED))
    learned = told.mapInArrow(partial(_learned, season=season, horizon=horizon, origins=origins), types)
    return learned.withColumns({"as_of": F.lit(as_of), "learned_on": F.lit(as_of)}).select(*MODELS.names)


def _newest(models: DataFrame, as_of: date) -> DataFrame:
    """Models of the newest day before one."""
    before = models.where(F.col("as_of") < F.lit(as_of))
    return before.where(F.col("as_of") == before.agg(F.max("as_of")).scalar())


def keep(models: DataFrame, series: DataFrame, as_of: date, days: int) -> DataFrame:
    """Give the models that are young enough to be used again for these series, as of a day.

    Parameters
    ----------
    models : DataFrame of MODELS
        Of former days; of each series the newest counts.
    series : DataFrame
        As BEHAVIOUR_SERIES has them.
    days : int
        A model that was learned less than so many days before is used again.
    """
    is_young = F.date_diff(F.lit(as_of), "learned_on") < days
    kept = _newest(models, as_of).where(is_young & F.col("method").isNotNull())
    asked = series.select(*OF_SERIES)
    return kept.join(asked, list(OF_SERIES), "left_semi").withColumn("as_of", F.lit(as_of)).select(*MODELS.names)


def predict(series: DataFrame, models: DataFrame, horizon: int, as_of: date) -> DataFrame:
    """Foretell series by what was learned, without fitting anything.

    Parameters
    ----------
    series : DataFrame of BEHAVIOUR_SERIES
        Of one day.
    models : DataFrame of MODELS
        Of one day; they may have been learned before. A series without a model, or without values, has no forecast.
    horizon : int
        Periods after the last whole one.

    Returns
    -------
    DataFrame of FORECASTS
        Without `reconciled`. One join by series, one pass.
    """
    known = models.where(F.col("method").isNotNull()).select(*OF_SERIES, *MODEL, "season")
    begun = series.where(F.size("values") > 0).select(*OF_SERIES, "period", "first", "values")
    types = ", ".join(
        [
            *(f"{name} string" for name in OF_SERIES),
            "period string, first date, periods int, is_below boolean, method string",
        ]
    )
    expected = begun.join(known, list(OF_SERIES)).mapInArrow(
        partial(_expected, horizon=horizon), f"{types}, told array<array<double>>"
    )
    each = expected.select("*", F.posexplode("told").alias("at", "one")).where(F.get("one", F.lit(0)).isNotNull())
    # What never lay below nothing is nothing at least.
    is_never_below = ~F.col("measure").isin(*MEANS) & ~F.col("is_below")
    least = F.when(is_never_below, F.lit(0.0))
    numbers = [F.get("one", F.lit(at)) for at in range(1 + len(LIMITS))]
    told = [F.when(number.isNotNull(), F.greatest(number, least)) for number in numbers]
    columns = {
        "as_of": F.lit(as_of),
        "ahead": F.col("at") + 1,
        "day": day_after(F.col("periods") + F.col("at")),
        **dict(zip(("expected", *LIMITS), told, strict=True)),
        "reconciled": F.lit(None).cast("double"),
        "reconciled_by": F.lit(None).cast("string"),
    }
    return each.withColumns(columns).select(*FORECASTS.names)


# -- lifted: Arrow in, Arrow out


def _learned(
    batches: Iterator[pa.RecordBatch], season: int | None, horizon: int, origins: int
) -> Iterator[pa.RecordBatch]:
    for batch, period in alike(batches, "period", AT_ONCE):
        cycle = season or SEASONS[period]
        values, offsets = ragged(batch.column("values"))
        found = kernel.learn(values, offsets, cycle, horizon, origins, *_beside(batch))
        p = kernel.residual_p(values, offsets, _models(found))
        periods = np.diff(offsets)
        columns = {
            "periods": pa.array(periods, pa.int32()),
            "season": pa.array(np.where(periods >= 2 * cycle, cycle, 1), pa.int32()),
            "route": pa.array(found.route, pa.string()),
            "method": pa.array([name or None for name in found.method], pa.string()),
            **_of_arima(found),
            "residual_p": pa.array(p, from_pandas=True),
            **_judged(found),
            "reason": pa.array(_reasons(found, batch), pa.string()),
        }
        told = [columns[name] for name in LEARNED]
        yield pa.RecordBatch.from_arrays([*map(batch.column, OF_SERIES), *told], [*OF_SERIES, *LEARNED])


def _beside(batch: pa.RecordBatch) -> tuple[Models | None, Lent | None]:
    """What lies beside series: models of a former run, or models to borrow."""
    if "level" in batch.schema.names:
        return None, Lent(_read(batch), batch.column("level").to_numpy(zero_copy_only=False))
    return (_read(batch) if "method" in batch.schema.names else None), None


def _reasons(found: Learned, batch: pa.RecordBatch) -> list[str | None]:
    """Why there is no model of a series' own, and whose it has."""
    if "lender" not in batch.schema.names:
        return list(found.reason)
    has_borrowed = (found.route == "borrowed") & kernel.has_model(found.method)
    return [
        f"{reason}: terms of segment {lender}" if here else reason
        for reason, lender, here in zip(found.reason, batch.column("lender").to_pylist(), has_borrowed, strict=True)
    ]


def _models(found: Learned) -> Models:
    return Models(found.method, found.orders, found.fits.coefficients, found.fits.sigma2, found.spread)


def _of_arima(found: Learned) -> dict[str, pa.Array]:
    is_arima = kernel.has_model(found.method)
    orders = [order if here else None for order, here in zip(found.orders, is_arima, strict=True)]
    widths = [len(order.names) if order else 0 for order in orders]

    def cut(rows: Floats) -> list[list[float | None] | None]:
        kept = (row[:width] for row, width in zip(rows, widths, strict=True))
        return [
            [None if np.isnan(value) else value for value in row] if order else None
            for row, order in zip(kept, orders, strict=True)
        ]

    numbers = {
        name: pa.array(np.where(is_arima, getattr(found.fits, name), np.nan), from_pandas=True)
        for name in ("sigma2", "log_likelihood", "aicc")
    }
    words = [_worded(name, order) for name, order in zip(found.method, orders, strict=True)]
    return {
        "model": pa.array(words, pa.string()),
        "orders": pa.array([order and [int(getattr(order, one)) for one in ORDER] for order in orders], _INTS),
        "terms": pa.array([order and list(order.names) for order in orders], pa.list_(pa.string())),
        "coefficients": pa.array(cut(found.fits.coefficients), pa.list_(pa.float64())),
        "standard_errors": pa.array(cut(found.fits.standard_errors), pa.list_(pa.float64())),
        **numbers,
    }


_INTS = pa.list_(pa.int32())


def _worded(method: str, order: Order | None) -> str | None:
    """ARIMA(1,1,1)(0,1,1)[12] with drift, as R writes it."""
    if order is None:
        return method or None
    season = f"({order.P},{order.D},{order.Q})[{order.m}]" if order.m > 1 else ""
    constant = f" with {order.names[-1]}" if order.is_constant else ""
    of = " of log(1 + value)" if kernel.MODEL_OF[method] == kernel.LOG else ""
    half = "" if method in kernel.ARIMAS else ", half seasonal naive"
    return f"ARIMA({order.p},{order.d},{order.q}){season}{constant}{of}{half}"


def _judged(found: Learned) -> dict[str, pa.Array]:
    at = np.arange(found.method.size), [METHODS.index(name) if name else 0 for name in found.method]
    is_judged = found.ahead > 0
    numbers = {
        "mase": found.mase[at],
        "smape": found.smape[at],
        **{f"mase_{name}": found.mase[:, METHODS.index(name)] for name in JUDGED},
        "coverage_80": found.coverage[:, 0],
        "coverage_95": found.coverage[:, 1],
        "spread": found.spread,
    }
    told = {name: pa.array(np.where(is_judged, of, np.nan), from_pandas=True) for name, of in numbers.items()}
    return {"judged_ahead": pa.array(found.ahead, pa.int32()), **told, "spread": pa.array(found.spread)}


def _expected(batches: Iterator[pa.RecordBatch], horizon: int) -> Iterator[pa.RecordBatch]:
    kept = ("grouping", "key", "measure", "period", "first")
    for batch, season in alike(batches, "season"):
        values, offsets = ragged(batch.column("values"))
        mean, quantiles = kernel.expect(values, offsets, _read(batch), season, horizon)
        told = np.concatenate([mean[..., None], quantiles], axis=2)
        inner = unragged(told.ravel(), np.arange(0, told.size + 1, told.shape[2]))
        outer = pa.ListArray.from_arrays(pa.array(np.arange(0, len(inner) + 1, horizon), pa.int32()), inner)
        is_below = np.logical_or.reduceat(np.append(values, 0.0) < 0, offsets[:-1])
        columns = [*map(batch.column, kept), pa.array(np.diff(offsets), pa.int32()), pa.array(is_below)]
        yield pa.RecordBatch.from_arrays(
            [*columns, batch.column("method"), outer], [*kept, "periods", "is_below", "method", "told"]
        )


def _read(batch: pa.RecordBatch) -> Models:
    """The models of series, as they lie beside them."""
    orders = np.full(batch.num_rows, None, dtype=object)
    coefficients = batch.column("coefficients").to_pylist()
    for i, told in enumerate(batch.column("orders").to_pylist()):
        if told is not None:
            orders[i] = Order(**dict(zip(ORDER, [*told[:-1], bool(told[-1])], strict=True)))
    padded = np.full((batch.num_rows, max((len(row) for row in coefficients if row), default=0)), np.nan)
    for i, row in enumerate(coefficients):
        if row:
            padded[i, : len(row)] = row
    return Models(
        np.array([name or "" for name in batch.column("method").to_pylist()], dtype=object),
        orders,
        padded,
        batch.column("sigma2").to_numpy(zero_copy_only=False),
        batch.column("spread").to_numpy(zero_copy_only=False),
    )
