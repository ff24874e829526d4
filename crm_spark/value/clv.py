"""Customer lifetime value: who will buy again, how often, and for how much, in the days to come.

BG/NBD tells how often customers will buy who may leave without a word, Gamma-Gamma what their orders are worth. A
purchase is a day with an order: several orders of a day are one. Both models are fitted on all customers and then
asked about each of them. Value is what purchases of the horizon are expected to bring, each discounted from its day:
`margin * expected_spend * sum of exp(-rate * day) over the expected purchases`.

References
----------
Fader, P. S., Hardie, B. G. S., Lee, K. L. (2005). "Counting Your Customers" the Easy Way. Marketing Science 24(2).
Fader, P. S., Hardie, B. G. S. (2013). The Gamma-Gamma Model of Monetary Value. brucehardie.com/notes/025.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from math import log

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.kernels import bgnbd, gamma_gamma
from crm_spark.kernels.histories import histories as distinct_histories
from crm_spark.kernels.likelihood import Estimate, Floats

DAYS_A_YEAR = 365.25
AT_ONCE = 250_000  # customers that the kernel is handed at once: fewer would repeat what they share

PARAMETERS = Table(
    "clv_parameters",
    "What the models of lifetime value learned, as of a day.",
    owns="as_of",
    key=["as_of", "model", "parameter"],
    columns=[
        Field("as_of", "date", "the day the estimates speak for"),
        Field("model", "string", "bg_nbd or gamma_gamma"),
        Field("parameter", "string", "as the papers call it: r, alpha, a, b; p, q, v"),
        Field("value", "double", "its estimate; alpha is in `unit_days`, v in money", nullable=True),
        Field("standard_error", "double", "of the estimate", nullable=True),
        Field("log_likelihood", "double", "of the model at its estimates", nullable=True),
        Field("customers", "bigint", "customers that the model was fitted on", unit="customer"),
        Field("unit_days", "int", "days of one unit of the model's time", unit="day"),
        Field("reason", "string", "why there is no estimate", nullable=True),
    ],
)

CLV = Table(
    "clv",
    "How likely each customer buys again, how often, and what that is worth, as of a day.",
    owns="as_of",
    key=["customer_id", "as_of"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("as_of", "date", "the day the predictions speak for"),
        Field("frequency", "int", "days with an order after the first", unit="day"),
        Field("recency", "int", "days from the first to the last of them", unit="day"),
        Field("age", "int", "days from the first to `as_of`, which the papers call T", unit="day"),
        Field("monetary", "double", "mean of what the days after the first brought", unit="money", nullable=True),
        Field("probability_alive", "double", "that the customer has not left for good", nullable=True),
        Field("horizon", "int", "days after `as_of` that are looked at", unit="day"),
        Field("expected_purchases", "double", "days with an order in the horizon", unit="day", nullable=True),
        Field("expected_spend", "double", "what such a day brings", unit="money", nullable=True),
        Field("value", "double", "what they bring together, discounted", unit="money", nullable=True),
        Field("reason", "string", "why there is no value", nullable=True),
    ],
)

MODELS = {"bg_nbd": bgnbd.NAMES, "gamma_gamma": gamma_gamma.NAMES}
FITTED = ", ".join(f"{c.name} {c.type}" for c in PARAMETERS.columns if c.name not in ("as_of", "unit_days"))
HISTORY = ["customer_id", "frequency", "recency", "age", "monetary"]
PREDICTED = ["probability_alive", "expected_purchases", "discounted_purchases", "expected_spend"]


def histories(customer_days: DataFrame, as_of: date, net: bool = False) -> DataFrame:
    """Sum up what each customer bought on or before a day.

    Parameters
    ----------
    customer_days : DataFrame of CUSTOMER_DAYS
        Days after `as_of` and days without an order are ignored.
    net : bool, default False
        Whether returns are taken off the money, on days with an order.

    Returns
    -------
    DataFrame
        `customer_id`, `frequency`, `recency` [day], `age` [day], `monetary` [money] as CLV has them. One shuffle
        by customer.
    """
    money = F.col("sales") - F.col("returns") if net else F.col("sales")
    bought = customer_days.where((F.col("day") <= F.lit(as_of)) & (F.col("orders") > 0))
    sums = bought.groupBy("customer_id").agg(
        F.min("day").alias("first"),
        F.max("day").alias("last"),
        (F.count("*") - 1).cast("int").alias("frequency"),
        F.sum(money).alias("all"),
        F.min_by(money, "day").alias("of_first"),
    )
    later = (F.col("all") - F.col("of_first")).cast("double")
    return sums.select(
        "customer_id",
        "frequency",
        F.date_diff("last", "first").alias("recency"),
        F.date_diff(F.lit(as_of), F.col("first")).alias("age"),
        F.try_divide(later, F.col("frequency")).alias("monetary"),
    )


def fit(among: DataFrame, as_of: date, unit_days: int = 7) -> DataFrame:
    """Fit both models.

    Parameters
    ----------
    among : DataFrame
        As `histories` gives it; read twice: best persisted.
    unit_days : int, default 7
        Days of one unit of the model's time: only `alpha` depends on it.

    Returns
    -------
    DataFrame of PARAMETERS
        BG/NBD is fitted on the distinct histories with their counts, in one worker; Gamma-Gamma on 12 bytes for each
        customer who bought again and spent money, in another. One shuffle each.
    """
    times = among.groupBy("frequency", "recency", "age").agg(F.count("*").alias("customers"))
    money = among.where((F.col("frequency") > 0) & (F.col("monetary") > 0)).select("frequency", "monetary")
    fitted = (
        times.repartition(1)
        .mapInArrow(partial(_fit_times, unit_days=unit_days), FITTED)
        .unionByName(money.repartition(1).mapInArrow(_fit_money, FITTED))
    )
    wanted = among.sparkSession.createDataFrame(
        [(model, name) for model, names in MODELS.items() for name in names], "model string, parameter string"
    )
    # A worker that gets no rows may not be asked at all.
    return wanted.join(F.broadcast(fitted), ["model", "parameter"], "left").select(
        F.lit(as_of).alias("as_of"),
        "model",
        "parameter",
        "value",
        "standard_error",
        "log_likelihood",
        F.coalesce("customers", F.lit(0)).alias("customers"),
        F.lit(unit_days).alias("unit_days"),
        F.when(F.col("value").isNull(), F.coalesce("reason", F.lit("there is no customer"))).alias("reason"),
    )


def predict(
    among: DataFrame, parameters: DataFrame, as_of: date, horizon: int, discount: float = 0.1, margin: float = 1.0
) -> DataFrame:
    """Say of every customer how likely they are one still, how often they will buy, and what that is worth.

    Parameters
    ----------
    among : DataFrame
        As `histories` gives it.
    parameters : DataFrame of PARAMETERS
        Of one day.
    horizon : int
        Days after `as_of` to look at.
    discount : float, default 0.1
        By which share money loses worth in a year.
    margin : float, default 1
        Share of the money that counts.

    Returns
    -------
    DataFrame of CLV
        One pass, no shuffle.
    """
    wide = parameters.agg(
        *[learned("value", model, name).alias(f"{model}_{name}") for model, names in MODELS.items() for name in names],
        F.max("unit_days").alias("unit_days"),
    )
    reasons = parameters.agg(*[learned("reason", model, names[0]).alias(model) for model, names in MODELS.items()])
    schema = f"{_ddl(HISTORY)}, {', '.join(f'{name} double' for name in PREDICTED)}"
    predicted = among.crossJoin(F.broadcast(wide)).mapInArrow(
        partial(_predict, horizon=horizon, rate=log(1 + discount) / DAYS_A_YEAR), schema
    )
    value = F.col("discounted_purchases") * F.col("expected_spend") * F.lit(float(margin))
    told = predicted.crossJoin(F.broadcast(reasons)).withColumns(
        {"as_of": F.lit(as_of), "horizon": F.lit(horizon), "value": value, "reason": F.when(value.isNull(), _reason())}
    )
    return told.select(*CLV.names)


def learned(column: str, model: str, name: str) -> Column:
    """An aggregate over PARAMETERS of one day: what one column says of one parameter."""
    return F.max(F.when((F.col("model") == model) & (F.col("parameter") == name), F.col(column)))


def _reason() -> Column:
    """Why a customer has no value, the first that fits."""
    return F.coalesce(
        F.concat(F.lit("how often customers buy cannot be told: "), F.col("bg_nbd")),
        F.concat(F.lit("what an order is worth cannot be told: "), F.col("gamma_gamma")),
        F.when((F.col("frequency") > 0) & (F.col("monetary") <= 0), F.lit("the days after the first brought no money")),
        F.lit("the mean of all customers is infinite, and of this one nothing else is known"),
    )


def _ddl(names: Sequence[str]) -> str:
    return ", ".join(f"{name} {CLV[name].type}" for name in names)


# -- lifted: Arrow in, Arrow out


def _fit_times(batches: Iterator[pa.RecordBatch], unit_days: int) -> Iterator[pa.RecordBatch]:
    x, t_x, T, customers = _columns(batches, ["frequency", "recency", "age", "customers"])
    found = bgnbd.fit(distinct_histories(x, t_x / unit_days, T / unit_days, customers))
    yield _rows("bg_nbd", found, int(customers.sum()))


def _fit_money(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    x, mean = _columns(batches, ["frequency", "monetary"])
    yield _rows("gamma_gamma", gamma_gamma.fit(x, mean), x.size)


def _rows(model: str, found: Estimate, customers: int) -> pa.RecordBatch:
    names = MODELS[model]
    same = {"log_likelihood": found.log_likelihood, "customers": customers, "reason": found.reason, "model": model}
    columns = {"parameter": list(names), "value": found.parameters, "standard_error": found.standard_errors}
    columns |= {name: [value] * len(names) for name, value in same.items()}
    types = {"customers": pa.int64(), "reason": pa.string(), "model": pa.string(), "parameter": pa.string()}
    order = [part.split()[0] for part in FITTED.split(", ")]
    return pa.RecordBatch.from_arrays(
        [pa.array(columns[name], types.get(name, pa.float64()), from_pandas=True) for name in order], names=order
    )


def _predict(batches: Iterator[pa.RecordBatch], horizon: int, rate: float) -> Iterator[pa.RecordBatch]:
    for customers in _gathered(batches):
        yield from _predicted(customers, horizon, rate).to_batches()


def _predicted(customers: pa.Table, horizon: int, rate: float) -> pa.Table:
    """The histories with what the models, whose parameters stand in the first row, say of them."""
    x, t_x, T, mean = (_floats(customers, name) for name in HISTORY[1:])
    told = {name: customers.column(name)[0].as_py() for name in customers.column_names if name not in HISTORY}
    unit = told["unit_days"] or 1
    times, money = (
        np.array([told[f"{model}_{name}"] for name in names], dtype=np.float64) for model, names in MODELS.items()
    )
    answers = np.full((len(PREDICTED), x.size), np.nan)
    if not np.isnan(times).any():
        of = distinct_histories(x, t_x / unit, T / unit)
        purchases = partial(bgnbd.expected_purchases, times, of.x, of.t_x, of.T, horizon / unit)
        answers[0] = bgnbd.probability_alive(times, of.x, of.t_x, of.T)[of.of]
        answers[1] = purchases()[of.of]
        answers[2] = purchases(discount=rate * unit)[of.of]
    if not np.isnan(money).any():
        answers[3] = np.where((x == 0) | (mean > 0), gamma_gamma.expected_mean(money, x, mean), np.nan)
    columns = [*customers.select(HISTORY).columns, *[pa.array(answer, from_pandas=True) for answer in answers]]
    return pa.Table.from_arrays(columns, [*HISTORY, *PREDICTED])


def _gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Gather batches, as large as the kernel likes them."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(one.num_rows for one in held) >= AT_ONCE:
            yield pa.Table.from_batches(held)
            held = []
    if sum(one.num_rows for one in held):
        yield pa.Table.from_batches(held)


def _columns(batches: Iterator[pa.RecordBatch], names: Sequence[str]) -> list[Floats]:
    held = list(batches)
    if not held:
        return [np.empty(0) for _ in names]
    table = pa.Table.from_batches(held)
    return [_floats(table, name) for name in names]


def _floats(table: pa.Table, name: str) -> Floats:
    return np.asarray(table.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64)
