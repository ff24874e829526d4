"""What running contracts are worth: how long each will be renewed, by what its group taught, and what that brings.

A contract that was renewed five times is worth more than a new one, as those who have stayed long seldom leave
(`contract_retention`). Of as_of only what was known by then counts: contracts begun by then; an end after it is not
known, unless notice was given by then (`cancelled_on`), which makes the end certain for that contract.

A period is paid when it begins, so that what is to come begins with the next renewal. Worth is the discounted expected
residual lifetime (DERL) in payments, times the price.

References
----------
Fader, P. S., Hardie, B. G. S. (2010). Customer-Base Valuation in a Contractual Setting: The Perils of Ignoring
Heterogeneity. Marketing Science 29(1), 85-93.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.kernels import sbg
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.predictive import LEVELS, POOL, Uncertain
from crm_spark.value.bands import SHARES, banded
from crm_spark.value.contract_retention import ALL, GROUP, UNKNOWN, age, is_running, is_sound

DAYS_A_YEAR = 365.25

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

LEARNED = ["alpha", "beta", "variance_alpha", "covariance", "variance_beta"]
ASKED = ["model", "period", "period_unit", "renewals", "due"]
TOLD = ["probability_renewal", "expected_renewals", "counted", "expected_renewals_ever", "counted_ever"]
QUANTILES = [f"ever_{share}" for share in SHARES]


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
            "is_sound": is_sound(),
            "ends_on": known_end,
            "renewals": F.when(is_sound(), age(F.lit(as_of))),
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


def renewal_day(number: Column) -> Column:
    """The day on which a renewal comes due."""
    periods = number * F.col("period")
    by_month = F.add_months("started_on", periods)
    return F.when(F.col("period_unit") == "month", by_month).otherwise(F.date_add("started_on", periods))


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
