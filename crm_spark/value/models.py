"""Models of lifetime value: fitted, judged on held-out time, and chosen.

How often customers buy who may leave without a word is told by BG/NBD, MBG/NBD or Pareto/NBD, by NBD where nobody
seems to leave, by BG/BB where they can only buy at certain times; what their orders are worth by Gamma-Gamma. A
purchase is a day with an order: several orders of a day are one, and the first is no repeat.

Each model of buying learns from the days until `held_out` days before `as_of` and is asked about those that came
then, beside two plain baselines. Chosen is, of the models whose root mean squared error of a customer is within 1 %
of the least, the one with the least Akaike information criterion on all days: errors so near each other tell no models
apart, the likelihood does. Where no time can be held out, the criterion alone decides.

Where covariates are told, each model that can have them is a candidate a second time, with them: "bg_nbd_covariates".

References
----------
Fader, P. S., Hardie, B. G. S., Lee, K. L. (2005). "Counting Your Customers" the Easy Way. Marketing Science 24(2).
Batislam, E. P., Denizel, M., Filiztekin, A. (2007). Empirical Validation and Comparison of Models for Customer Base
Analysis. International Journal of Research in Marketing 24(3).
Schmittlein, D. C., Morrison, D. G., Colombo, R. (1987). Counting Your Customers. Management Science 33(1).
Ehrenberg, A. S. C. (1959). The Pattern of Consumer Purchases. Applied Statistics 8(1), 26-41.
Fader, P. S., Hardie, B. G. S., Shang, J. (2010). Customer-Base Analysis in a Discrete-Time Noncontractual Setting.
Marketing Science 29(6).
Akaike, H. (1974). A New Look at the Statistical Model Identification. IEEE Transactions on Automatic Control 19(6).
Fader, P. S., Hardie, B. G. S. (2007). Incorporating Time-Invariant Covariates into the Pareto/NBD and BG/NBD Models.
brucehardie.com/notes/019.
Fader, P. S., Hardie, B. G. S. (2013). The Gamma-Gamma Model of Monetary Value. brucehardie.com/notes/025.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import date
from functools import partial, reduce
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.kernels import bgbb, bgnbd, gamma_gamma, holdout, mbgnbd, nbd, pareto_nbd
from crm_spark.kernels.histories import distinct_columns
from crm_spark.kernels.holdout import HeldOut
from crm_spark.kernels.likelihood import Estimate, Floats, limits
from crm_spark.kernels.lists import gathered
from crm_spark.value import histories
from crm_spark.value.candidates import COVARIED, Candidate, Covaried, Plain, Told

BUYING: dict[str, ModuleType] = {
    "bg_nbd": bgnbd,
    "mbg_nbd": mbgnbd,
    "pareto_nbd": pareto_nbd,
    "nbd": nbd,
    "bg_bb": bgbb,
}
WITH_COVARIATES = tuple(name for name, model in BUYING.items() if hasattr(model, "COVARIED"))
KERNELS = {**BUYING, **{f"{name}{COVARIED}": BUYING[name] for name in WITH_COVARIATES}}  # by the name of a candidate
AT_ANY_TIME = ("bg_nbd", "mbg_nbd", "pareto_nbd", "nbd")  # all but those of discrete chances to buy
MONEY = "gamma_gamma"
NAMES = {**{name: model.NAMES for name, model in BUYING.items()}, MONEY: gamma_gamma.NAMES}
BASELINES = {"last_period": holdout.last_period, "status_quo": holdout.status_quo}
CLOSE = 0.01  # of an error: what is nearer tells no models apart

PARAMETERS = Table(
    "clv_parameters",
    "What the models of lifetime value learned, as of a day.",
    owns="as_of",
    key=["as_of", "model", "parameter"],
    columns=[
        Field("as_of", "date", "the day the estimates speak for"),
        Field(
            "model", "string", "bg_nbd, mbg_nbd, pareto_nbd, nbd, bg_bb, gamma_gamma; or bg_nbd_covariates and so on"
        ),
        Field(
            "parameter",
            "string",
            "as the papers call it: r, alpha, a, b; alpha, beta, gamma, delta; p, q, v; alpha:channel=web, what is "
            "added to the logarithm of the rate of customers of that level (of a and b: of the parameter)",
        ),
        Field("value", "double", "its estimate; alpha and beta are in `unit_days`, v in money", nullable=True),
        Field("standard_error", "double", "of the estimate", nullable=True),
        Field("log_likelihood", "double", "of the model at its estimates", nullable=True),
        Field("customers", "bigint", "customers that the model was fitted on", unit="customer"),
        Field("unit_days", "int", "days of one unit of the model's time", unit="day"),
        Field("reason", "string", "why there is no estimate", nullable=True),
        Field("position", "int", "its place among the model's parameters, from 0", nullable=True),
        Field("covariances", "array<double>", "with each of the model's parameters, in their order", nullable=True),
        Field("is_chosen", "boolean", "whether lifetime value comes from this model", nullable=True),
        Field("low", "double", "lower end of its 95 % interval, by profile likelihood", nullable=True),
        Field("high", "double", "upper end", nullable=True),
    ],
)

SCORES = Table(
    "clv_models",
    "How well each model of buying, and each baseline, foretold the days that were held out, as of a day.",
    owns="as_of",
    key=["as_of", "model"],
    columns=[
        Field("as_of", "date", "the last day that was held out"),
        Field("model", "string", "as in clv_parameters, but for gamma_gamma; last_period or status_quo, the baselines"),
        Field("is_baseline", "boolean", "whether it is a plain rule, which is never chosen"),
        Field("held_out", "int", "days that were held out", unit="day"),
        Field("customers", "bigint", "who had bought before these days", unit="customer"),
        Field("expected", "double", "days with an order that it expected of them", unit="day", nullable=True),
        Field("actual", "double", "days with an order that came", unit="day", nullable=True),
        Field("mean_absolute_error", "double", "of a customer", unit="day", nullable=True),
        Field("root_mean_squared_error", "double", "of a customer", unit="day", nullable=True),
        Field("log_likelihood", "double", "on all days", nullable=True),
        Field("is_chosen", "boolean", "whether lifetime value comes from it"),
        Field("reason", "string", "why it could not be judged or fitted", nullable=True),
        Field("aic", "double", "Akaike's criterion on all days: 2 * (parameters - log_likelihood)", nullable=True),
    ],
)

HOLDOUT = Table(
    "clv_holdout",
    "Days with an order that each model expected, and those that came, by week and by past frequency, as of a day.",
    owns="as_of",
    key=["as_of", "model", "by", "at"],
    columns=[
        Field("as_of", "date", "the last day that was held out"),
        Field("model", "string", "as in clv_models, but for the baselines"),
        Field("by", "string", "week or frequency"),
        Field(
            "at",
            "int",
            f"the week, where 0 is the last one before the held-out days; or repeat purchases before them, "
            f"{holdout.MOST} or more together",
        ),
        Field("customers", "bigint", "with that frequency", unit="customer", nullable=True),
        Field("expected", "double", "repeat purchases that the model expected", unit="day"),
        Field("actual", "double", "repeat purchases that came", unit="day"),
    ],
)

FITTED = (
    "what string, model string, parameter string, at int, value double, standard_error double, "
    "covariances array<double>, log_likelihood double, customers bigint, expected double, actual double, "
    "mean_absolute_error double, root_mean_squared_error double, reason string, aic double, low double, high double"
)
TYPES = {"string": pa.string(), "int": pa.int32(), "bigint": pa.int64(), "double": pa.float64()}
TYPES["array<double>"] = pa.list_(pa.float64())
TYPES["binary"] = pa.binary()
HISTORY = {"x": "frequency", "t_x": "recency", "T": "age"}
KNOWN = {"known_x": "known.x", "known_t_x": "known.t_x", "before": "known.before"}
COUNTED = (*HISTORY, *KNOWN)
UNTOLD = -1  # in them, of who had no history before the held-out days
# A block has rows of COUNTED and how many customers have each, of 32 bits; or repeat purchases and their mean, of 64.
HANDED = "worker int, covariates string, block binary, at int, actual bigint"
AT_ONCE = 250_000  # customers that are counted together


def fit(
    among: DataFrame,
    as_of: date,
    unit_days: int = 7,
    models: Sequence[str] = AT_ANY_TIME,
    held_out: int = 0,
    by_week: DataFrame | None = None,
    chance_days: int = 1,
) -> DataFrame:
    """Fit Gamma-Gamma and models of buying; judge the latter where time is held out.

    Parameters
    ----------
    among : DataFrame
        As `histories.gather` gives it, and `covariates.level` where models shall have some. Best laid out by
        `histories.alike`: who counts histories then meets those that are equal.
    unit_days : int, default 7
        Days of one unit of the models' time: only alpha and beta depend on it.
    models : sequence of str, default AT_ANY_TIME
        Of BUYING.
    held_out : int, default 0
        As `histories.gather` was told.
    by_week : DataFrame, optional
        As `histories.weeks` gives it.
    chance_days : int, default 1
        Days of one chance to buy, the unit of BG/BB's time: those of `histories.chances`.

    Returns
    -------
    DataFrame
        All that was learned; `parameters`, `scores` and `expectations` make tables of it. Models of buying are fitted
        on the distinct histories with their counts, Pareto/NBD in one worker and all others in another; Gamma-Gamma on
        16 bytes for each customer who bought again and spent money, in a third. One pass, one shuffle of blocks.
    """
    units = {model: chance_days if BUYING[model] is bgbb else unit_days for model in models}
    # Pareto/NBD, whose likelihood has an integral for each history, takes as long as the others together.
    workers = [{name: unit for name, unit in units.items() if (name == "pareto_nbd") == slow} for slow in (True, False)]
    workers = [some for some in workers if some]
    handed = _handed(among, len(workers), held_out, by_week).repartitionById(len(workers) + 1, "worker")
    fitted = handed.mapInArrow(partial(_fit, workers=workers, days=held_out), FITTED)
    all_rows = Window.partitionBy(F.lit(0))
    error, is_able = F.col("root_mean_squared_error"), F.col("aic").isNotNull()
    least = F.min(F.when(is_able, error)).over(all_rows)
    is_near = is_able & (least.isNull() | (error <= least * (1 + CLOSE)))
    chosen = F.min_by("model", F.when(is_near, F.col("aic"))).over(all_rows)
    is_chosen = (F.col("model") == chosen) | (F.col("model") == MONEY)
    return fitted.select(
        "*",
        F.coalesce(is_chosen, F.lit(False)).alias("is_chosen"),
        F.lit(as_of).alias("as_of"),
        F.when(F.col("model") == "bg_bb", chance_days).otherwise(unit_days).alias("unit_days"),
        F.lit(held_out).alias("held_out"),
    )


def parameters(fitted: DataFrame) -> DataFrame:
    """Give what `fit` learned as rows of PARAMETERS."""
    rows = fitted.where("what = 'parameter'").withColumn("position", F.col("at"))
    return rows.select(*PARAMETERS.names)


def scores(fitted: DataFrame) -> DataFrame:
    """Give how well models and baselines foretold the held-out days, as rows of SCORES."""
    is_baseline = F.col("model").isin(list(BASELINES)).alias("is_baseline")
    rows = fitted.where("what = 'model'")
    return rows.select("*", is_baseline).select(*SCORES.names)


def expectations(fitted: DataFrame) -> DataFrame:
    """Give what models expected and what came, as rows of HOLDOUT."""
    rows = fitted.where("what IN ('week', 'frequency')").withColumn("by", F.col("what"))
    return rows.select(*HOLDOUT.names)


def _handed(among: DataFrame, buying: int, held_out: int, by_week: DataFrame | None) -> DataFrame:
    """What each worker is handed: histories and weeks for those who fit models of buying, money for the last."""
    history = [F.col(column).alias(name) for name, column in HISTORY.items()]
    history += [(F.col(column) if held_out else F.lit(None).cast("int")).alias(name) for name, column in KNOWN.items()]
    held = [F.col("held_weeks")[at].alias(f"held_{at}") for at in range(histories.held_numbers(held_out))]
    text = ["covariates"] if "covariates" in among.columns else []
    counted = among.select(*history, *held, "monetary", *text).mapInArrow(
        partial(_counted, buying=buying, days=held_out), HANDED
    )
    # A worker without any row may not be asked at all.
    parts = [counted, among.sparkSession.createDataFrame([(worker,) for worker in range(buying + 1)], "worker int")]
    if by_week is not None:
        parts.append(by_week.withColumn("worker", F.explode(F.array(*[F.lit(worker) for worker in range(buying)]))))
    return reduce(partial(DataFrame.unionByName, allowMissingColumns=True), parts)


# -- lifted: Arrow in, Arrow out


def _counted(batches: Iterator[pa.RecordBatch], buying: int, days: int) -> Iterator[pa.RecordBatch]:
    """Count customers with equal histories, those with each covariates in a block, and what they bought in weeks."""
    for customers in gathered(batches, AT_ONCE):
        rows = np.stack([customers.column(name).fill_null(UNTOLD).to_numpy() for name in COUNTED])
        of, texts = np.zeros(rows.shape[1], dtype=np.intp), [None]
        if "covariates" in customers.column_names:
            of, texts = pd.factorize(customers.column("covariates").to_pandas())
        told: list[dict[str, Any]] = []
        for code, text in enumerate(texts):
            each, alike = distinct_columns(rows[:, of == code])
            told.append({"covariates": text, "block": np.vstack([each, alike]).astype(np.int32).tobytes()})
        packed = [customers.column(f"held_{at}").to_numpy() for at in range(histories.held_numbers(days))]
        if packed:
            is_known = np.asarray(customers.column("known_x").is_valid())
            sums = histories.unpacked(np.stack(packed)[:, is_known], days)
            told += [{"at": week, "actual": int(sum_)} for week, sum_ in enumerate(sums, 1)]
        x, mean = (customers.column(name).cast(pa.float64()).to_numpy() for name in ("x", "monetary"))
        money = np.stack([x, mean])[:, (x > 0) & (mean > 0)]
        handed = [{"worker": worker, **row} for worker in range(buying) for row in told]
        handed.append({"worker": buying, "block": money.tobytes()})
        yield _batch(handed, HANDED)


def _fit(
    batches: Iterator[pa.RecordBatch], workers: Sequence[Mapping[str, int]], days: int
) -> Iterator[pa.RecordBatch]:
    """Fit what one worker is handed."""
    table = pa.Table.from_batches(list(batches))
    worker = table.column("worker")[0].as_py()
    if worker < len(workers):
        yield from _fit_buying(table, workers[worker], days, is_first=worker == 0)
    else:
        yield from _fit_money(table)


def _fit_buying(table: pa.Table, units: Mapping[str, int], days: int, is_first: bool) -> Iterator[pa.RecordBatch]:
    """Fit models before the held-out days and judge them there, then fit them on all days from where that ended.

    The first worker judges the baselines too.
    """
    whole, known, by_week, texts = _told(table, days)
    for name, unit in units.items():
        plain = yield from _tried(name, Plain(BUYING[name], unit), whole, known, by_week, (None, None))
        if len(texts) and name in WITH_COVARIATES:
            with_them = Covaried(BUYING[name], unit, texts, whole)
            yield from _tried(f"{name}{COVARIED}", with_them, whole, known, by_week, plain)
    customers = int(known.rows.customers.sum())
    for name, expect in BASELINES.items() if days and is_first else ():
        told_of = (
            _errors(known.rows, expect(known.rows))
            if customers
            else {"reason": "no customer came before the held-out days"}
        )
        yield _batch([{"what": "model", "model": name, "customers": customers, **told_of}])


def _tried(
    name: str,
    candidate: Candidate,
    whole: Told,
    known: Told,
    by_week: tuple[Any, Floats],
    plain: tuple[Estimate | None, Estimate | None],
) -> Generator[pa.RecordBatch, None, tuple[Estimate, Estimate]]:
    """What a candidate learned, and how it foretold; gives its two estimates, before the held-out days and on all."""
    first = candidate.fit(known, None, plain[0])
    found = candidate.fit(whole, None if first.reason else first.parameters, plain[1])
    ends = None if found.reason else candidate.limits(whole, found)
    learned = _learned(name, candidate.names, found, ends, int(whole.rows.customers.sum()))
    score: dict[str, Any] = {"what": "model", "model": name, "customers": int(known.rows.customers.sum())}
    score |= {"log_likelihood": found.log_likelihood, "reason": learned[0]["reason"]}
    score["aic"] = 2 * (found.parameters.size - found.log_likelihood)
    yield _batch(learned)
    if first.reason:
        told = f"it could not be judged: before the held-out days {first.reason}" if known.rows.days else None
        yield _batch([{**score, "reason": score["reason"] or told}])
    else:
        yield from _judged(name, candidate, first.parameters, known, by_week, score)
    return first, found


def _judged(
    name: str,
    candidate: Candidate,
    parameters: Floats,
    known: Told,
    by_week: tuple[Any, Floats],
    score: dict[str, Any],
) -> Iterator[pa.RecordBatch]:
    """How well a model foretold the held-out days, in all, by past frequency and by week."""
    by = candidate.expected(parameters, known)
    yield _batch([{**score, **_errors(known.rows, by)}])
    yield _batch(
        [
            {"what": "frequency", "model": name, "at": at, "customers": int(n), "expected": one, "actual": other}
            for at, (n, one, other) in enumerate(zip(*holdout.by_frequency(known.rows, by), strict=True))
        ]
    )
    expected = candidate.by_week(parameters, known, by_week[0])
    yield _batch(
        [
            {"what": "week", "model": name, "at": int(at), "expected": one, "actual": other}
            for at, one, other in zip(by_week[0], expected, by_week[1], strict=True)
        ]
    )


def _fit_money(table: pa.Table) -> Iterator[pa.RecordBatch]:
    x, mean = np.concatenate([np.empty((2, 0)), *_blocks(table, np.float64, 2)], axis=1)
    found = gamma_gamma.fit(x, mean)
    ends = None if found.reason else limits(gamma_gamma.likelihood(x, mean), found)
    yield _batch(_learned(MONEY, gamma_gamma.NAMES, found, ends, x.size))


def _told(table: pa.Table, days: int) -> tuple[Told, Told, tuple[Any, Floats], Sequence[str]]:
    """Histories on all days, those before the held-out ones, and weeks with what came in them; each in order.

    Then the texts of covariates, if any are told.
    """
    blocks = _blocks(table, np.int32, len(COUNTED) + 1)
    codes, texts = pd.factorize(
        table.column("covariates").filter(table.column("block").is_valid()).to_pandas(), sort=True
    )
    of = np.repeat(np.maximum(codes, 0), [block.shape[1] for block in blocks]).astype(np.int32)
    numbers = np.concatenate([np.empty((len(COUNTED) + 1, 0), dtype=np.int32), *blocks], axis=1)
    (*rows, of), customers = distinct_columns(np.vstack([numbers[:-1], of]), numbers[-1])
    x, t_x, T, known_x, known_t_x, before = (row.astype(np.float64) for row in rows)
    none, is_known = np.zeros(x.size), known_x != UNTOLD
    whole = HeldOut(x, t_x, T, none, none, customers, days)
    columns = known_x, known_t_x, T - days, before, x - known_x, customers
    known_x, known_t_x, until, before, held, customers = (column[is_known] for column in columns)
    known = HeldOut(known_x, known_t_x, until, before, held, customers, days)
    return Told(whole, of), Told(known, of[is_known]), _weeks(table, known), texts


def _weeks(table: pa.Table, known: HeldOut) -> tuple[Any, Floats]:
    """Weeks, and the repeat purchases in each of customers who came before the held-out ones."""
    of_week = table.filter(table.column("at").is_valid())
    at, bought = (of_week.column(name).to_numpy() for name in ("at", "actual"))
    weeks = np.arange(at.min(initial=1), -(-known.days // holdout.WEEK) + 1)  # in which nobody bought may have no row
    came = np.bincount(at - weeks[:1], bought, weeks.size).astype(np.float64)
    # In the weeks before all purchases are told, so the first ones are taken off.
    firsts = np.ceil(-known.T / holdout.WEEK).astype(np.int64)
    is_there = firsts >= weeks.min(initial=1)
    return weeks, came - np.bincount(firsts[is_there] - weeks[:1], known.customers[is_there], weeks.size)


def _blocks(table: pa.Table, kind: type, rows: int) -> list[NDArray[Any]]:
    """Numbers as they were packed, each block with so many rows."""
    return [np.frombuffer(block.as_py(), kind).reshape(rows, -1) for block in table.column("block").drop_null()]


def _errors(known: HeldOut, by: Floats) -> dict[str, Any]:
    found = holdout.errors(known, by)
    return {
        "expected": found.expected,
        "actual": found.actual,
        "mean_absolute_error": found.mean_absolute,
        "root_mean_squared_error": found.root_mean_squared,
    }


def _learned(
    model: str, names: Sequence[str], found: Estimate, ends: Floats | None, customers: int
) -> list[dict[str, Any]]:
    reason = found.reason if customers or model == MONEY else "there is no customer"
    same = {"what": "parameter", "model": model, "customers": customers, "reason": reason}
    if reason or ends is None:
        return [{**same, "parameter": name, "at": at} for at, name in enumerate(names)]
    same["log_likelihood"] = found.log_likelihood
    each = zip(names, found.parameters, found.standard_errors, found.covariance.tolist(), ends, strict=True)
    return [
        {**same, "parameter": name, "at": at, "value": value, "standard_error": error, "covariances": covariances,
         "low": low, "high": high}
        for at, (name, value, error, covariances, (low, high)) in enumerate(each)
    ]  # fmt: skip


def _batch(rows: Sequence[dict[str, Any]], of: str = FITTED) -> pa.RecordBatch:
    """Rows of FITTED or HANDED; what is not told is null, and so is what is no number."""
    fields = [part.split(" ", 1) for part in of.split(", ")]
    columns = [pa.array([row.get(name) for row in rows], TYPES[kind], from_pandas=True) for name, kind in fields]
    return pa.RecordBatch.from_arrays(columns, [name for name, _ in fields])
