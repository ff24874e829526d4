"""What the running contracts of each plan will bring as a whole: quantiles of the total.

Intervals of single contracts cannot be added up: chance evens out among many, the doubt of the parameters does not. For
each of many draws of the parameters the total has a mean and a variance, the sums of those of its contracts, and is
normal where it has many; its quantiles are those of the mixture over the draws. Plans that are fitted together share
their draws, so that the total of all plans has the doubt that they share.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import special

from crm_spark.core.contracts import Field, Table
from crm_spark.kernels import sbg
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.predictive import LEVELS, POOL, Uncertain
from crm_spark.value.bands import SHARES, banded
from crm_spark.value.contract_retention import ALL, UNKNOWN
from crm_spark.value.contract_values import DAYS_A_YEAR, LEARNED, ask, gathered, period_rate

LEAST = 30  # contracts of which a total is nearly normal
FEW = f"no intervals: a total of fewer than {LEAST} contracts is told by the single ones in contract_values"
NONE = "how long customers stay cannot be told of any of them: contract_values says why"
ENDLESS = "no value of all days to come, as nothing is discounted"

Rows = Mapping[str, Floats]
Ints = NDArray[np.int64]

TOTALS = Table(
    "contract_totals",
    "What the running contracts of each plan will bring as a whole, as of a day.",
    owns="as_of",
    key=["as_of", "plan"],
    columns=[
        Field("as_of", "date", "the day the predictions speak for"),
        Field("plan", "string", f"what was agreed on; {ALL} for all plans, {UNKNOWN} for contracts without one"),
        Field("contracts", "bigint", "running contracts", unit="contract"),
        Field("ending", "bigint", "of them with notice given by `as_of`", unit="contract"),
        Field("untold", "bigint", "of them without a value, which count for nothing below", unit="contract"),
        Field("horizon", "int", "days after `as_of` that are looked at", unit="day"),
        Field("expected_revenue", "double", "what renewals of the horizon bring", unit="money", nullable=True),
        *banded("revenue", "double", "what they bring", "money"),
        Field("lifetime_value", "double", "what counts of all days to come, discounted", unit="money", nullable=True),
        *banded("lifetime_value", "double", "what counts of what really comes, discounted", "money"),
        Field("reason", "string", "why something is missing", nullable=True),
    ],
)

KIND = ["own", "model", "period", "period_unit", "renewals", "due", "certain", "away"]


def total(
    contracts: DataFrame, parameters: DataFrame, as_of: date, horizon: int, discount: float = 0.1, margin: float = 1.0
) -> DataFrame:
    """Sum up the running contracts of each plan, and of all, with intervals; arguments are those of `predict`.

    Returns
    -------
    DataFrame of TOTALS
        One pass over contracts, one shuffle of their kinds: plan, period, age, days until the next renewal. These come
        to one worker.
    """
    asked = ask(contracts, parameters, as_of, horizon)
    price = F.col("price")
    own = {"own": F.coalesce("plan", F.lit(UNKNOWN)), "away": F.date_diff("next_renewal_on", F.lit(as_of))}
    # Sums of decimals are the same in any order.
    kinds = (
        asked.withColumns(own)
        .groupBy(*KIND, *LEARNED)
        .agg(
            F.count("*").alias("contracts"),
            F.sum(price).cast("double").alias("price"),
            F.try_sum(price * price).cast("double").alias("square"),
        )
    )
    types = [f"{column.name} {column.type}" for column in TOTALS.columns if column.name not in ("as_of", "horizon")]
    summed = kinds.repartition(1).mapInArrow(partial(_total, discount=discount, margin=margin), ", ".join(types))
    return summed.withColumns({"as_of": F.lit(as_of), "horizon": F.lit(horizon)}).select(*TOTALS.names)


# -- lifted: Arrow in, Arrow out


def _total(batches: Iterator[pa.RecordBatch], discount: float, margin: float) -> Iterator[pa.RecordBatch]:
    held = [batch for batch in batches if batch.num_rows]
    if held:
        # In one order, whatever the order given: sums of floats depend on it.
        kinds = pa.Table.from_batches(held).sort_by([(name, "ascending") for name in KIND])
        yield from _summed(kinds, discount, margin).to_batches()


def _summed(kinds: pa.Table, discount: float, margin: float) -> pa.Table:
    """Add up the kinds of contracts by plan: means and variances of (what is told, plan, draw), then quantiles."""
    of = {
        name: np.asarray(kinds.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64)
        for name in (*LEARNED, *KIND[4:], "contracts", "price", "square")
    }
    own = kinds.column("own").to_pylist()
    plans = list(dict.fromkeys(own))
    place = np.array([plans.index(name) for name in own])
    models = list(zip(*[kinds.column(name).to_pylist() for name in KIND[1:4]], strict=True))
    is_sure = np.isfinite(of["certain"])
    is_open = np.isfinite(of["alpha"]) & ~is_sure
    sums = _Sums(np.zeros((2, len(plans), 1 + POOL)), np.zeros((2, len(plans), 1 + POOL)))
    for nth, model in enumerate(dict.fromkeys(models)):
        mine = np.array([one == model for one in models])
        for add, chosen in ((sums.add_sure, mine & is_sure), (sums.add_open, mine & is_open)):
            if chosen.any():
                rate = period_rate(model[1], model[2], discount)
                rows = {name: column[chosen] for name, column in of.items()}
                add(rows, place[chosen], margin * (1 + discount) ** (-rows["away"] / DAYS_A_YEAR), rate, nth)
    contracts = [
        np.bincount(place, of["contracts"] * which, len(plans))
        for which in (True, is_sure, ~is_sure & ~is_open, is_open)
    ]
    return _told([*plans, ALL], np.array([np.append(one, one.sum()) for one in contracts]), sums.whole(), discount > 0)


@dataclass(frozen=True)
class _Sums:
    """Means and variances of totals: revenue and lifetime value, by plan, at the estimates and at each draw."""

    means: Floats
    variances: Floats

    def add_sure(self, rows: Rows, place: Ints, faded: Floats, rate: float, _: int) -> None:
        """Add contracts whose end is known."""
        number, plans = rows["certain"], self.means.shape[1]
        paid = number if rate == 0 else (1 - (1 + rate) ** -number) * (1 + rate) / rate
        brought = rows["price"] * np.minimum(number, rows["due"])
        self.means[0] += np.bincount(place, brought, plans)[:, None]
        self.means[1] += np.bincount(place, rows["price"] * faded * paid, plans)[:, None]

    def add_open(self, rows: Rows, place: Ints, faded: Floats, rate: float, nth: int) -> None:
        """Add contracts of one group whose end is not known. Groups have draws of their own."""
        told = Uncertain(*gathered([rows[name][0] for name in LEARNED]))
        draws = np.random.default_rng(nth).permutation(told.draws(POOL), axis=1)
        parameters = np.column_stack([told.parameters, draws])
        for horizon in np.unique(rows["due"]):
            these = rows["due"] == horizon
            weights = rows["price"][these], rows["square"][these]
            self._add(0, parameters, rows["renewals"][these], place[these], weights, float(horizon), 0.0)
        if rate > 0:
            weights = rows["price"] * faded, rows["square"] * faded**2
            self._add(1, parameters, rows["renewals"], place, weights, np.inf, rate)

    def _add(
        self, what: int, parameters: Floats, k: Floats, place: Ints, weights: tuple[Floats, Floats], horizon: float,
        rate: float,
    ) -> None:  # fmt: skip
        ages, of_age = np.unique(k, return_inverse=True)
        plans = self.means.shape[1]
        moments = sbg.moments(parameters, ages, horizon, rate)
        for total, weight, moment in zip((self.means, self.variances), weights, moments, strict=True):
            by_age = np.bincount(place * ages.size + of_age, weight, plans * ages.size).reshape(plans, ages.size)
            total[what] += by_age @ moment.T

    def whole(self) -> "_Sums":
        """With the total of all plans behind them."""
        return _Sums(*[np.append(one, one.sum(axis=1, keepdims=True), axis=1) for one in (self.means, self.variances)])


def _told(plans: list[str], counts: Floats, sums: _Sums, is_discounted: bool) -> pa.Table:
    """Give rows of TOTALS."""
    contracts, ending, untold, open_ = counts
    z = special.ndtri(np.random.default_rng(0).permutation((np.arange(POOL) + 0.5) / POOL))
    drawn = sums.means[:, :, 1:] + np.sqrt(sums.variances[:, :, 1:]) * z
    bands = np.maximum(np.quantile(drawn, LEVELS, axis=2), 0.0)
    is_told = contracts > untold
    has_band = is_told & ((open_ == 0) | (open_ >= LEAST))
    last = None if is_discounted else ENDLESS
    reasons = [NONE if not told else last if has else FEW for told, has in zip(is_told, has_band, strict=True)]
    columns = {
        "plan": pa.array(plans),
        "contracts": _whole(contracts),
        "ending": _whole(ending),
        "untold": _whole(untold),
    }
    for what, (name, is_there) in enumerate((("expected_revenue", True), ("lifetime_value", is_discounted))):
        columns[name] = _number(sums.means[what, :, 0], is_told & is_there)
        for share, band in zip(SHARES, bands[:, what], strict=True):
            columns[f"{name.removeprefix('expected_')}_{share}"] = _number(band, has_band & is_there)
    return pa.table({**columns, "reason": pa.array(reasons, pa.string())})


def _whole(numbers: Floats) -> pa.Array:
    return pa.array(numbers.astype(np.int64))


def _number(numbers: Floats, is_told: NDArray[np.bool_]) -> pa.Array:
    return pa.array(np.where(is_told, numbers, np.nan), from_pandas=True)
