"""How long contracts are kept: renewals counted by age, and a model that tells how many are made.

A contract ends or is renewed when a period is over. Its customer leaves at each renewal with a probability of their
own, which is Beta(alpha, beta) over customers: shifted beta-geometric. So of those who have stayed long more stay on.

The k-th renewal comes due k periods after `started_on`; in a month that lacks the day, on its last one. A contract
that is over on or before that day has left at it, and counts as left from that day on, even where it ended in the
midst of the period: those who stay are not seen to stay before that day either. Of as_of only what was known by then
counts. The parameters are those of contracts whether or not notice was given. Contracts are fitted together whose
periods are equally long: a month's renewal is no year's.

References
----------
Fader, P. S., Hardie, B. G. S. (2007). How to Project Customer Retention. Journal of Interactive Marketing 21(1), 76-90.
Kaplan, E. L., Meier, P. (1958). Nonparametric Estimation from Incomplete Observations. JASA 53(282), 457-481.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.kernels import sbg
from crm_spark.kernels.likelihood import Estimate, Floats, limits
from crm_spark.kernels.sbg import Lifetimes

ALL, UNKNOWN = "(all)", "(unknown)"
GROUP = ["plan", "period", "period_unit"]

GROUPED = [
    Field("as_of", "date", "the day the estimates speak for"),
    Field("plan", "string", f"whose contracts: a plan, or {ALL}"),
    Field("period", "int", "length of their periods, in `period_unit`"),
    Field("period_unit", "string", "day or month"),
]

PARAMETERS = Table(
    "contract_parameters",
    "What shifted beta-geometric learned of contracts with equal periods, as of a day.",
    owns="as_of",
    key=["as_of", *GROUP, "parameter"],
    columns=[
        *GROUPED,
        Field("parameter", "string", "alpha or beta, as the paper calls them"),
        Field("value", "double", "its estimate", nullable=True),
        Field("standard_error", "double", "of the estimate", nullable=True),
        Field("log_likelihood", "double", "of the model at its estimates", nullable=True),
        Field("contracts", "bigint", "contracts that the model was fitted on", unit="contract"),
        Field("reason", "string", "why there is no estimate", nullable=True),
        Field("position", "int", "its place among the parameters, from 0"),
        Field("covariances", "array<double>", "with alpha and beta", nullable=True),
        Field("low", "double", "lower end of its 95 % interval, by profile likelihood", nullable=True),
        Field("high", "double", "upper end", nullable=True),
    ],
)

RETENTION = Table(
    "contract_retention",
    "How many contracts were renewed at each renewal, by the model too, and how well it foretold, as of a day.",
    owns="as_of",
    key=["as_of", *GROUP, "renewal"],
    columns=[
        *GROUPED,
        Field("renewal", "int", "the first, the second and so on, from 1"),
        Field("due", "bigint", "contracts that came to it", unit="contract"),
        Field("renewed", "bigint", "of them renewed", unit="contract"),
        Field("retention", "double", "share of them that was renewed, 0 to 1", nullable=True),
        Field("expected_retention", "double", "this share by the model", nullable=True),
        Field(
            "survival",
            "double",
            "share of all that are still there after it, by Kaplan and Meier; none after a renewal to which none came",
            nullable=True,
        ),
        Field("expected_survival", "double", "this share by the model", nullable=True),
        Field("held_out", "int", "last days that were held out", unit="day"),
        Field(
            "actual",
            "bigint",
            "renewals of the held-out days, of contracts that ran before them",
            unit="renewal",
            nullable=True,
        ),
        Field(
            "expected",
            "double",
            "those that the model expected, by what was known before these days",
            unit="renewal",
            nullable=True,
        ),
        Field(
            "expected_constant",
            "double",
            "those by a retention that is the same for all and at all times (geometric), the baseline",
            unit="renewal",
            nullable=True,
        ),
        Field("reason", "string", "why the model tells nothing", nullable=True),
    ],
)  # fmt: skip

COUNTED = ["known", "is_held", "due", "made", "contracts"]  # what a worker is handed, beside GROUP
FITTED = (
    "what string, plan string, period int, period_unit string, parameter string, position int, value double, "
    "standard_error double, covariances array<double>, log_likelihood double, contracts bigint, renewal int, "
    "due bigint, renewed bigint, retention double, expected_retention double, survival double, "
    "expected_survival double, actual bigint, expected double, expected_constant double, reason string, low double, "
    "high double"
)
TYPES = {"string": pa.string(), "int": pa.int32(), "bigint": pa.int64(), "double": pa.float64()}
TYPES["array<double>"] = pa.list_(pa.float64())


def fit(contracts: DataFrame, as_of: date, by_plan: bool = False, held_out: int = 0) -> DataFrame:
    """Fit alpha and beta on contracts whose periods are equally long, and judge them where time is held out.

    Parameters
    ----------
    contracts : DataFrame of CONTRACTS
        Those that begin after `as_of`, that ended before they began, or have no period that is one are left out.
    by_plan : bool, default False
        Whether each plan has parameters of its own; contracts without a plan are one too.
    held_out : int, default 0
        Last days that are foretold by what was known before them, and held against what came.

    Returns
    -------
    DataFrame
        All that was learned; `parameters` and `retention` make tables of it. Contracts are counted by age in one
        shuffle, in one pass; only these counts come to a worker, one for each group.
    """

    def learn(counted: pa.Table) -> pa.Table:  # Spark asks a function of its own for its types
        return _fit(counted, held_out)

    fitted = count(contracts, as_of, by_plan, held_out).groupBy(*GROUP).applyInArrow(learn, FITTED)
    return fitted.withColumns({"as_of": F.lit(as_of), "held_out": F.lit(held_out)})


def parameters(fitted: DataFrame) -> DataFrame:
    """Give what `fit` learned as rows of PARAMETERS."""
    return fitted.where("what = 'parameter'").select(*PARAMETERS.names)


def retention(fitted: DataFrame) -> DataFrame:
    """Give how many were renewed, and what was foretold, as rows of RETENTION."""
    return fitted.where("what = 'renewal'").select(*RETENTION.names)


def count(contracts: DataFrame, as_of: date, by_plan: bool, held_out: int) -> DataFrame:
    """Count contracts by plan, period, and what had become of them.

    Returns
    -------
    DataFrame
        GROUP and COUNTED: `due` renewals came until `as_of` and `made` of them were, `known` came before the held-out
        days (none of a contract that began in them), in which `is_held` ran on.
    """
    before = as_of - timedelta(days=held_out)
    begun = contracts.where((F.col("started_on") <= F.lit(as_of)) & is_sound() & ~_is_reversed())
    aged = begun.withColumns(
        {
            "plan": F.coalesce("plan", F.lit(UNKNOWN)) if by_plan else F.lit(ALL),
            "due": age(F.lit(as_of)),
            "known": F.when(F.col("started_on") <= F.lit(before), age(F.lit(before))),
            "is_held": F.lit(held_out > 0) & is_running(before),
        }
    )
    # Who left before a renewal made those of the days before.
    made = F.when(F.col("ended_on").isNotNull(), F.least("due", age(F.date_sub("ended_on", 1)))).otherwise(F.col("due"))
    ages = [name for name in COUNTED if name != "contracts"]
    return aged.withColumn("made", made).groupBy(*GROUP, *ages).agg(F.count("*").alias("contracts"))


def is_running(day: date) -> Column:
    """Whether a contract has begun by a day and is not over then."""
    return (F.col("started_on") <= F.lit(day)) & (F.col("ended_on").isNull() | (F.col("ended_on") > F.lit(day)))


def age(day: Column) -> Column:
    """How many renewals of a contract come due until a day, that day included."""
    start = F.col("started_on")
    months = (F.year(day) - F.year(start)) * 12 + F.month(day) - F.month(start)
    # A month is over on the day of the month on which it began, or on its last one.
    whole = months - (F.add_months(start, months) > day).cast("int")
    passed = F.when(F.col("period_unit") == "month", whole).otherwise(F.date_diff(day, start))
    return F.greatest(F.floor(F.try_divide(passed, F.col("period"))).cast("int"), F.lit(0))


def is_sound() -> Column:
    """Whether a contract's period is one."""
    return F.coalesce((F.col("period") > 0) & F.col("period_unit").isin("day", "month"), F.lit(False))


def _is_reversed() -> Column:
    return F.coalesce(F.col("ended_on") < F.col("started_on"), F.lit(False))


# -- lifted: Arrow in, Arrow out


def _fit(counted: pa.Table, days: int) -> pa.Table:
    """Fit the contracts of one group, on those known before the held-out days and on all."""
    group = {name: counted.column(name)[0].as_py() for name in GROUP}
    known = counted.column("known").fill_null(-1).to_numpy()
    due, made, contracts = (counted.column(name).to_numpy().astype(np.int64) for name in ("due", "made", "contracts"))
    is_held = np.asarray(counted.column("is_held").to_numpy(), dtype=bool)
    whole = _lifetimes(due, made, contracts)
    seen = known >= 0
    before = _lifetimes(known[seen], made[seen], contracts[seen])
    first = sbg.fit(before)
    found = sbg.fit(whole, start=None if first.reason else first.parameters)
    held = _foretold(first, before, known, due, made, np.where(is_held, contracts, 0)) if days else {}
    ends = None if found.reason else limits(sbg.likelihood(whole), found)
    rows = [*_learned(found, ends, int(contracts.sum())), *_renewals(found, first, whole, held)]
    return pa.Table.from_batches([_batch([{**group, **row} for row in rows])])


def _lifetimes(due: NDArray[np.int64], made: NDArray[np.int64], contracts: NDArray[np.int64]) -> Lifetimes:
    """Who made less renewals than came due has left at the next one."""
    is_there = made >= due
    return sbg.lifetimes(np.where(is_there, due, made + 1), is_there, contracts.astype(np.float64))


def _foretold(
    first: Estimate,
    before: Lifetimes,
    known: NDArray[np.int64],
    due: NDArray[np.int64],
    made: NDArray[np.int64],
    contracts: NDArray[np.int64],
) -> Mapping[str, Floats]:
    """By renewal what came in the held-out days and what was expected, by the model and by one retention for all."""
    asked = (contracts > 0) & (due > known)
    k, more, counts = known[asked], (due - known)[asked], contracts[asked].astype(np.float64)
    if not asked.any():
        return {}
    order = np.lexsort((made[asked], more, k))  # sums of floats depend on it
    k, more, counts, kept = k[order], more[order], counts[order], (made[asked] - k)[order]
    most = int((k + more).max())
    always = np.ones(most + 1)
    told = {"due": sbg.by_age(always, k, more, counts), "actual": sbg.by_age(always, k, np.maximum(kept, 0), counts)}
    came = before.left.sum() + before.renewed.sum()
    if came:
        constant = (before.renewed.sum() / came) ** np.arange(most + 1)
        told["expected_constant"] = sbg.by_age(constant, k, more, counts)
    if not first.reason:
        told["expected"] = sbg.by_age(sbg.survival(first.parameters, most), k, more, counts)
    return told


def _learned(found: Estimate, ends: Floats | None, contracts: int) -> list[dict[str, Any]]:
    """Give rows of PARAMETERS."""
    same = {"what": "parameter", "contracts": contracts, "reason": found.reason}
    if ends is None:
        return [{**same, "parameter": name, "position": at} for at, name in enumerate(sbg.NAMES)]
    each = zip(sbg.NAMES, found.parameters, found.standard_errors, found.covariance.tolist(), ends, strict=True)
    return [
        {**same, "parameter": name, "position": at, "value": value, "standard_error": error,
         "covariances": covariances, "log_likelihood": found.log_likelihood, "low": low, "high": high}
        for at, (name, value, error, covariances, (low, high)) in enumerate(each)
    ]  # fmt: skip


def _renewals(found: Estimate, first: Estimate, whole: Lifetimes, held: Mapping[str, Floats]) -> list[dict[str, Any]]:
    """Give rows of RETENTION: renewals to which a contract came, or might have come in the held-out days."""
    ages = max(whole.left.size, held["due"].size if held else 0)
    left, renewed = (np.pad(column, (0, ages - column.size)) for column in (whole.left, whole.renewed))
    due = left + renewed
    share = np.divide(renewed, due, out=np.full(ages, np.nan), where=due > 0)
    columns = {
        "due": due,
        "renewed": renewed,
        "retention": share,
        "survival": np.cumprod(share),
        **{name: np.pad(column, (0, ages - column.size)) for name, column in held.items() if name != "due"},
    }
    if not found.reason:
        columns["expected_retention"] = sbg.retention(found.parameters, np.arange(ages, dtype=np.float64))
        columns["expected_survival"] = sbg.survival(found.parameters, ages)[1:]
    is_asked = np.pad(held["due"], (0, ages - held["due"].size)) > 0 if held else np.zeros(ages, dtype=bool)
    for name in ("actual", "expected", "expected_constant"):
        if name in columns:
            columns[name] = np.where(is_asked, columns[name], np.nan)
    judged = f"it could not be judged: before the held-out days {first.reason}" if held and first.reason else None
    same = {"what": "renewal", "reason": found.reason or judged}
    return [
        {**same, "renewal": at + 1, **{name: column[at] for name, column in columns.items()}}
        for at in np.flatnonzero((due > 0) | is_asked).tolist()
    ]


def _batch(rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    """Rows of FITTED; what is not told is null, and so is what is no number."""
    fields = [part.split(" ", 1) for part in FITTED.split(", ")]
    columns = [
        pa.array([_number(row.get(name)) for row in rows], from_pandas=True).cast(TYPES[kind])
        if kind in ("bigint", "double")
        else pa.array([row.get(name) for row in rows], TYPES[kind])
        for name, kind in fields
    ]
    return pa.RecordBatch.from_arrays(columns, [name for name, _ in fields])


def _number(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
