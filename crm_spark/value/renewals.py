"""Contracts: how long customers stay who must say that they leave, and what that is worth.

A contract ends or is renewed when a period is over. Its customer leaves at each renewal with a probability of their
own, which is Beta(alpha, beta) over customers: shifted beta-geometric. So of those who have stayed long more stay on,
and a contract that was renewed five times is worth more than a new one.

The k-th renewal comes due k periods after `started_on`; in a month that lacks the day, on its last one. A contract
that is over on or before that day has left at it, and counts as left from that day on, even where it ended in the
midst of the period: those who stay are not seen to stay before that day either. Of as_of only what was known by then
counts: contracts begun by then; an end after it is not known, unless notice was given by then (`cancelled_on`), which
makes the end certain for that contract. The parameters are those of contracts whether or not notice was given.
Contracts are fitted together whose periods are equally long: a month's renewal is no year's.

A period is paid when it begins, so that what is to come begins with the next renewal. Worth is the discounted expected
residual lifetime (DERL) in payments, times the price.

References
----------
Fader, P. S., Hardie, B. G. S. (2007). How to Project Customer Retention. Journal of Interactive Marketing 21(1), 76-90.
Fader, P. S., Hardie, B. G. S. (2010). Customer-Base Valuation in a Contractual Setting: The Perils of Ignoring
Heterogeneity. Marketing Science 29(1), 85-93.
Kaplan, E. L., Meier, P. (1958). Nonparametric Estimation from Incomplete Observations. JASA 53(282), 457-481.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.kernels import sbg
from crm_spark.kernels.likelihood import Estimate, Floats
from crm_spark.kernels.predictive import LEVELS, POOL, Uncertain
from crm_spark.kernels.sbg import Lifetimes

ALL, UNKNOWN = "(all)", "(unknown)"
GROUP = ["plan", "period", "period_unit"]
DAYS_A_YEAR = 365.25
SHARES = ("p05", "p25", "p75", "p95")

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


def banded(name: str, type_: str, meaning: str, unit: str) -> list[Field]:
    """Columns of the quantiles of one number."""
    return [
        Field(
            f"{name}_{share}", type_, f"{meaning}: with {int(share[1:])} % it is this or less", unit=unit, nullable=True
        )
        for share in SHARES
    ]


VALUES = Table(
    "contract_values",
    "How long each running contract will be renewed, and what it is worth, as of a day.",
    owns="as_of",
    key=["contract_id", "as_of"],
    columns=[
        Field("contract_id", "string", "the contract"),
        Field("customer_id", "string", "who made it", personal=True),
        Field("as_of", "date", "the day the predictions speak for"),
        Field("plan", "string", "what was agreed on", nullable=True),
        Field("period", "int", "length of a period, in `period_unit`"),
        Field("period_unit", "string", "day or month"),
        Field("price", "decimal(18,4)", "what a period costs", unit="money"),
        Field("renewals", "int", "renewals made", unit="renewal", nullable=True),
        Field("next_renewal_on", "date", "day on which the next one comes due", unit="day", nullable=True),
        Field("ends_on", "date", "day on which it ends, where notice was given by `as_of`", unit="day", nullable=True),
        Field("probability_renewal", "double", "that it is renewed then", nullable=True),
        Field("horizon", "int", "days after `as_of` that are looked at", unit="day"),
        Field("due", "int", "renewals that come due in them, if it stays", unit="renewal", nullable=True),
        Field("expected_renewals", "double", "renewals in the horizon", unit="renewal", nullable=True),
        *banded("renewals", "int", "renewals in the horizon", "renewal"),
        Field("expected_revenue", "double", "what they bring, before cost", unit="money", nullable=True),
        *banded("revenue", "double", "what they bring", "money"),
        Field("value", "double", "what of the expected revenue counts, discounted", unit="money", nullable=True),
        Field(
            "expected_renewals_ever",
            "double",
            "all renewals to come, not discounted; missing where alpha is 1 or less, as their sum has no end then",
            unit="renewal",
            nullable=True,
        ),
        Field("discounted_renewals", "double", "all to come, discounted (DERL)", unit="renewal", nullable=True),
        Field("lifetime_value", "double", "what counts of all days to come, discounted", unit="money", nullable=True),
        *banded("lifetime_value", "double", "what counts of what really comes, discounted", "money"),
        Field("reason", "string", "why there is no value", nullable=True),
    ],
)  # fmt: skip

COUNTED = ["known", "is_held", "due", "made", "contracts"]  # what a worker is handed, beside GROUP
FITTED = (
    "what string, plan string, period int, period_unit string, parameter string, position int, value double, "
    "standard_error double, covariances array<double>, log_likelihood double, contracts bigint, renewal int, "
    "due bigint, renewed bigint, retention double, expected_retention double, survival double, "
    "expected_survival double, actual bigint, expected double, expected_constant double, reason string"
)
TYPES = {"string": pa.string(), "int": pa.int32(), "bigint": pa.int64(), "double": pa.float64()}
TYPES["array<double>"] = pa.list_(pa.float64())
LEARNED = ["alpha", "beta", "variance_alpha", "covariance", "variance_beta"]
ASKED = ["model", "period", "period_unit", "renewals", "due"]
TOLD = ["probability_renewal", "expected_renewals", "counted", "expected_renewals_ever", "counted_ever"]
QUANTILES = [f"ever_{share}" for share in SHARES]


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
    begun = contracts.where((F.col("started_on") <= F.lit(as_of)) & _is_sound() & ~_is_reversed())
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


def renewal_day(number: Column) -> Column:
    """The day on which a renewal comes due."""
    periods = number * F.col("period")
    by_month = F.add_months("started_on", periods)
    return F.when(F.col("period_unit") == "month", by_month).otherwise(F.date_add("started_on", periods))


def _is_sound() -> Column:
    return F.coalesce((F.col("period") > 0) & F.col("period_unit").isin("day", "month"), F.lit(False))


def _is_reversed() -> Column:
    return F.coalesce(F.col("ended_on") < F.col("started_on"), F.lit(False))


def predict(
    contracts: DataFrame, parameters: DataFrame, as_of: date, horizon: int, discount: float = 0.1, margin: float = 1.0
) -> DataFrame:
    """Say of every running contract how long it will be renewed, and what that is worth.

    Parameters
    ----------
    contracts : DataFrame of CONTRACTS
    parameters : DataFrame of PARAMETERS
        Of that day.
    horizon : int
        Days after `as_of` to look at.
    discount : float, default 0.1
        By which share money loses worth in a year.
    margin : float, default 1
        Share of the money that counts as value.

    Returns
    -------
    DataFrame of VALUES
        A row for each contract that runs on that day. Two passes over contracts; one shuffle of the few distinct ages.
    """
    asked = ask(contracts, parameters, as_of, horizon)
    kinds = asked.where(F.col("alpha").isNotNull()).select(*ASKED, *LEARNED).distinct()
    types = [f"{name} {'string' if name in ('model', 'period_unit') else 'int'}" for name in ASKED]
    types += [f"{name} double" for name in TOLD] + [f"{name} int" for name in QUANTILES]
    told = kinds.mapInArrow(partial(_predict, discount=discount), ", ".join(types))
    return worth(asked.join(F.broadcast(told), ASKED, "left"), as_of, horizon, discount, margin)


def ask(contracts: DataFrame, parameters: DataFrame, as_of: date, horizon: int) -> DataFrame:
    """Running contracts, as `follow` gives them, each with what was learned of its group."""
    running = follow(contracts, as_of, horizon)
    return running.join(F.broadcast(learned(parameters)), _is_learned_from(), "left")


def follow(contracts: DataFrame, as_of: date, horizon: int) -> DataFrame:
    """Running contracts with the renewals made, those that come due, and those that are certain by a notice."""
    known_end = F.when(F.col("cancelled_on") <= F.lit(as_of), F.col("ended_on"))
    sound = contracts.where(is_running(as_of)).withColumns(
        {
            "is_sound": _is_sound(),
            "ends_on": known_end,
            "renewals": F.when(_is_sound(), age(F.lit(as_of))),
        }
    )
    next_ = F.when(F.col("is_sound"), renewal_day(F.col("renewals") + 1))
    return sound.withColumns(
        {
            "next_renewal_on": next_,
            "due": age(F.lit(as_of + timedelta(days=horizon))) - F.col("renewals"),
            "certain": F.when(F.col("ends_on").isNotNull(), age(F.date_sub("ends_on", 1)) - F.col("renewals")),
        }
    )


def learned(parameters: DataFrame) -> DataFrame:
    """One row for each group: its parameters with their covariances, or the reason why there are none."""

    def of(name: str, column: str) -> Column:
        return F.max(F.when(F.col("parameter") == name, F.col(column)))

    grouped = parameters.groupBy(*[F.col(name).alias(f"of_{name}") for name in GROUP]).agg(
        of("alpha", "value").alias("alpha"),
        of("beta", "value").alias("beta"),
        of("alpha", "covariances").alias("of_alpha"),
        of("beta", "covariances").alias("of_beta"),
        F.max("reason").alias("no_model"),
    )
    matrix = {
        "variance_alpha": F.get("of_alpha", F.lit(0)),
        "covariance": F.get("of_alpha", F.lit(1)),
        "variance_beta": F.get("of_beta", F.lit(1)),
    }
    return grouped.withColumns(matrix).withColumnRenamed("of_plan", "model").drop("of_alpha", "of_beta")


def _is_learned_from() -> Column:
    is_plan = F.col("model").isin(ALL) | (F.col("model") == F.coalesce("plan", F.lit(UNKNOWN)))
    return (F.col("period") == F.col("of_period")) & (F.col("period_unit") == F.col("of_period_unit")) & is_plan


def worth(told: DataFrame, as_of: date, horizon: int, discount: float, margin: float) -> DataFrame:
    """Tell renewals in money; of a contract that ends by a notice they are certain."""
    is_certain = F.col("certain").isNotNull()
    sure = F.least("certain", "due")
    price = F.col("price").cast("double")
    # From the day of the next renewal, when the first payment comes, back to as_of.
    away = F.date_diff("next_renewal_on", F.lit(as_of)) / DAYS_A_YEAR
    fade = F.pow(F.lit(1.0 + discount), -away)
    rate = _rate(discount)

    def either(certain: Column, expected: str) -> Column:
        return F.when(is_certain, certain.cast("double")).otherwise(F.col(expected))

    ever = {share: F.when(is_certain, F.col("certain")).otherwise(F.col(f"ever_{share}")) for share in SHARES}
    renewed = {
        share: F.when(number.isNotNull(), F.least(number, F.col("due"))).cast("int") for share, number in ever.items()
    }
    counted = fade * either(payments(sure, rate), "counted")
    counted_ever = fade * either(payments(F.col("certain"), rate), "counted_ever")
    expected = either(sure, "expected_renewals")
    columns = {
        "as_of": F.lit(as_of),
        "horizon": F.lit(horizon),
        "probability_renewal": either((F.col("certain") > 0).cast("int"), "probability_renewal"),
        **{f"renewals_{share}": number for share, number in renewed.items()},
        "expected_revenue": price * expected,
        **{f"revenue_{share}": price * number for share, number in renewed.items()},
        "value": price * margin * counted,
        "expected_renewals_ever": either(F.col("certain"), "expected_renewals_ever"),
        "discounted_renewals": counted_ever,
        "lifetime_value": price * margin * counted_ever,
        **{f"lifetime_value_{share}": price * margin * fade * payments(number, rate) for share, number in ever.items()},
        "expected_renewals": expected,
        "reason": F.when(counted_ever.isNull(), _reason()),
    }
    return told.select(*[columns.get(name, F.col(name)).alias(name) for name in VALUES.names])


def _rate(discount: float) -> Column | None:
    """By which share money loses worth in a period; none where it loses nothing."""
    years = F.col("period") / F.when(F.col("period_unit") == "month", 12.0).otherwise(DAYS_A_YEAR)
    return F.pow(F.lit(1.0 + discount), years) - 1 if discount > 0 else None


def payments(number: Column, rate: Column | None) -> Column:
    """What some payments are worth, one at the begin of each period: the first counts whole."""
    if rate is None:
        return number.cast("double")
    return (1 - F.pow(1 + rate, -number)) * (1 + rate) / rate


def _reason() -> Column:
    """Why a contract has no value, the first that fits."""
    return F.coalesce(
        F.when(~F.col("is_sound"), F.lit("its period is not one or more days or months")),
        F.when(
            F.col("no_model").isNotNull(),
            F.concat(F.lit("how long customers stay cannot be told: "), F.col("no_model")),
        ),
        F.when(F.col("alpha").isNull(), F.lit("how long customers stay is not known of contracts like this one")),
        F.lit("alpha is 1 or less: what is to come has no end, and nothing is discounted"),
    )


# -- lifted: Arrow in, Arrow out


def _predict(batches: Iterator[pa.RecordBatch], discount: float) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield _predicted(batch, discount)


def _predicted(kinds: pa.RecordBatch, discount: float) -> pa.RecordBatch:
    """Tell each kind of contract, by its parameters, age and renewals that come due, how long it will be renewed."""
    groups = list(zip(*[kinds.column(name).to_pylist() for name in ("model", "period", "period_unit")], strict=True))
    alpha, beta, *covariances, k, due = (
        np.asarray(kinds.column(name).to_numpy(), dtype=np.float64) for name in [*LEARNED, "renewals", "due"]
    )
    found = {name: np.full(k.size, np.nan) for name in TOLD}
    ever = np.zeros((k.size, len(LEVELS)), dtype=np.int64)
    for group in dict.fromkeys(groups):
        mine = np.array([one == group for one in groups])
        _, period, unit = group
        rate = period_rate(period, unit, discount)
        told = Uncertain(*gathered([column[mine][0] for column in (alpha, beta, *covariances)]))
        for name, values in _expected(told.parameters, k[mine], due[mine], rate).items():
            found[name][mine] = values
        ever[mine] = sbg.quantiles(told.draws(POOL), k[mine], LEVELS)
    answers = [pa.array(np.where(np.isfinite(of), of, np.nan), from_pandas=True) for of in found.values()]
    answers += [pa.array(column, pa.int32()) for column in ever.T]
    return pa.RecordBatch.from_arrays([*[kinds.column(name) for name in ASKED], *answers], [*ASKED, *TOLD, *QUANTILES])


def period_rate(period: int, unit: str, discount: float) -> float:
    """By which share money loses worth in a period."""
    return float((1 + discount) ** (period / (12 if unit == "month" else DAYS_A_YEAR)) - 1)


def gathered(told: Sequence[float]) -> tuple[Floats, Floats]:
    """Give LEARNED as parameters and their covariance."""
    alpha, beta, *covariances = told
    return np.array([alpha, beta]), np.array(covariances)[[[0, 1], [1, 2]]]


def _expected(parameters: Floats, k: Floats, due: Floats, rate: float) -> Mapping[str, Floats]:
    """What the model expects of ages: see TOLD. What has no end is infinite."""
    within = np.zeros((2, k.size))
    for horizon in np.unique(due):
        of = due == horizon
        within[:, of] = [sbg.expected_renewals(parameters, k[of], horizon, discount) for discount in (0.0, rate)]
    ever = [sbg.expected_renewals(parameters, k, np.inf, discount) for discount in (0.0, rate)]
    values = [sbg.retention(parameters, k), within[0], within[1], *ever]
    return dict(zip(TOLD, values, strict=True))


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
    rows = [*_learned(found, int(contracts.sum())), *_renewals(found, first, whole, held)]
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


def _learned(found: Estimate, contracts: int) -> list[dict[str, Any]]:
    """Give rows of PARAMETERS."""
    same = {"what": "parameter", "contracts": contracts, "reason": found.reason}
    if found.reason:
        return [{**same, "parameter": name, "position": at} for at, name in enumerate(sbg.NAMES)]
    each = zip(sbg.NAMES, found.parameters, found.standard_errors, found.covariance.tolist(), strict=True)
    return [
        {**same, "parameter": name, "position": at, "value": value, "standard_error": error,
         "covariances": covariances, "log_likelihood": found.log_likelihood}
        for at, (name, value, error, covariances) in enumerate(each)
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
