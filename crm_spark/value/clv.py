"""Customer lifetime value: who will buy again, how often, and for how much, in the days to come.

The chosen model of buying and Gamma-Gamma (see `models`) are asked about each customer. Value is what the purchases of
the horizon are expected to bring, month by month, each month discounted to `as_of` from its middle:
`margin * expected_spend * sum over months of exp(-rate * middle) * expected purchases of the month`. The margin is the
customer's own share by `customer_margins`, where costs are known, else what is set.

By Pareto/NBD and BG/BB all purchases that will ever come have a discounted sum too (DERT): from it comes the lifetime
value. BG/NBD and MBG/NBD would take as long for it as for everything else; by NBD nobody ever leaves: they tell none.

Who is expected to buy 0.4 times will most likely not buy at all. So beside expected values stand quantiles of what
will really happen, by chance and by how well the parameters are known: with a probability of one half it lies between
p25 and p75, of 90 % between p05 and p95. Those of the probability to be a customer still are of the parameters alone.

Customers who are known and have not bought yet (prospects) have a row too. Nothing tells whether they ever will, so it
says what to expect of them once they do: it is the row of somebody whose first purchase was on that day. Such rows have
no history, and `histories.bought` leaves them out: whoever adds up values does so.

Where the chosen model has covariates, customers with the same are asked about together, by parameters of their own.

References
----------
Fader, P. S., Hardie, B. G. S., Lee, K. L. (2005). RFM and CLV: Using Iso-Value Curves for Customer Base Analysis.
Journal of Marketing Research 42(4), 415-430.
Fader, P. S., Hardie, B. G. S. (2013). The Gamma-Gamma Model of Monetary Value. brucehardie.com/notes/025.
"""

from collections.abc import Iterator
from datetime import date
from functools import partial
from math import log
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy import special

from crm_spark.core.contracts import Field, Table
from crm_spark.kernels import bgbb, gamma_gamma, pareto_nbd
from crm_spark.kernels.histories import Histories
from crm_spark.kernels.histories import histories as distinct
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.lists import gathered, lists
from crm_spark.kernels.predictive import LEVELS, Customers, Uncertain, intervals
from crm_spark.value import learned
from crm_spark.value.bands import SHARES, banded
from crm_spark.value.learned import Learned
from crm_spark.value.models import KERNELS

DAYS_A_YEAR = 365.25
MONTH = DAYS_A_YEAR / 12
AT_ONCE = 250_000  # customers that the kernel is handed at once: fewer would repeat what they share
EVER = {pareto_nbd: pareto_nbd.discounted_if_alive, bgbb: bgbb.discounted_if_alive}  # by kernel
HORIZONS = (30, 90, 365)  # days, which column names tell

CLV = Table(
    "clv",
    "How likely each customer buys again, how often, and what that is worth, as of a day.",
    owns="as_of",
    key=["customer_id", "as_of"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("as_of", "date", "the day the predictions speak for"),
        Field(
            "frequency",
            "int",
            "days with an order after the first; missing of who has not bought yet: the row then tells what to expect "
            "of them once they do",
            unit="day",
            nullable=True,
        ),
        Field("recency", "int", "days from the first to the last of them", unit="day", nullable=True),
        Field("age", "int", "days from the first to `as_of`, which the papers call T", unit="day", nullable=True),
        Field("monetary", "double", "mean of what the days after the first brought", unit="money", nullable=True),
        Field("probability_alive", "double", "that the customer has not left for good", nullable=True),
        Field("horizon", "int", "days after `as_of` that are looked at", unit="day"),
        Field("expected_purchases", "double", "days with an order in the horizon", unit="day", nullable=True),
        Field("expected_spend", "double", "what such a day brings", unit="money", nullable=True),
        Field("value", "double", "what of the expected revenue counts, discounted", unit="money", nullable=True),
        Field("reason", "string", "why there is no value", nullable=True),
        Field("model", "string", "the model of buying that tells it", nullable=True),
        *[
            Field(f"expected_purchases_{days}d", "double", f"those in {days} days", unit="day", nullable=True)
            for days in HORIZONS
        ],
        Field("value_by_month", "array<double>", "the value of each month of the horizon", unit="money", nullable=True),
        Field("revenue", "double", "what all days with an order brought so far", unit="money", nullable=True),
        Field("expected_revenue", "double", "of the horizon, not discounted, before cost", unit="money", nullable=True),
        Field("lifetime_revenue", "double", "both together", unit="money", nullable=True),
        *banded("probability_alive", "double", "that the customer has not left for good"),
        *banded("purchases", "int", "days with an order in the horizon", "day"),
        *banded("revenue", "double", "what they bring", "money"),
        Field("expected_margin", "double", "what of `expected_revenue` stays", unit="money", nullable=True),
        Field("lifetime_value", "double", "that of all days, by Pareto/NBD and BG/BB", unit="money", nullable=True),
        Field(
            "covariates",
            "string",
            "what was known on the day of the first order, where covariates are set: channel=web; region=(other)",
            nullable=True,
        ),
    ],
)  # fmt: skip

PREDICTED = [
    "probability_alive",
    *[f"probability_alive_{share}" for share in SHARES],
    *[f"expected_purchases_{days}d" for days in HORIZONS],
    "expected_purchases",
    *[f"purchases_{share}" for share in SHARES],
    "expected_spend",
    *[f"revenue_{share}" for share in SHARES],
    "value",
    "lifetime_value",
]
HISTORY = ["customer_id", "frequency", "recency", "age", "monetary", "revenue"]
GIVEN = [*HISTORY, "margin_share"]


def predict(
    among: DataFrame,
    parameters: DataFrame,
    as_of: date,
    horizon: int,
    discount: float = 0.1,
    margin: float = 1.0,
    prospects: DataFrame | None = None,
) -> DataFrame:
    """Say of every customer how likely they are one still, how often they will buy, and what that is worth.

    Parameters
    ----------
    among : DataFrame
        As `histories.gather` gives it. Best laid out by `histories.alike`: futures are drawn once for each frequency
        and age that a worker meets, so those of one kind shall come to one, one after the other.
    parameters : DataFrame of PARAMETERS
        Of one day.
    horizon : int
        Days after `as_of` to look at.
    discount : float, default 0.1
        By which share money loses worth in a year.
    margin : float, default 1
        Share of the money that counts as value, of customers whose own is not known.
    prospects : DataFrame, optional
        As `histories.prospects` gives it.

    Returns
    -------
    DataFrame of CLV
        One pass, no shuffle of `among`.
    """
    known = F.broadcast(learned.gather(parameters))
    text = ["covariates"] if "covariates" in among.columns else []
    customers = among.select(*GIVEN, *text)
    if prospects is not None:
        asked_too = prospects.select("customer_id", "margin_share", *text)
        customers = customers.unionByName(asked_too, allowMissingColumns=True)
    asked = learned.hand_out(customers, known)
    types = [f"{name} {CLV[name].type}" for name in [*HISTORY, *PREDICTED]]
    types += [
        "margin_share double",
        f"value_by_month {CLV['value_by_month'].type}",
        *[f"{name} string" for name in text],
    ]
    rate = log(1 + discount) / DAYS_A_YEAR
    predicted = asked.mapInArrow(
        partial(_predict, horizon=horizon, rate=rate, margin=float(margin)), ", ".join(types)
    ).crossJoin(known)
    revenue = F.col("expected_purchases") * F.col("expected_spend")
    columns = {
        "as_of": F.lit(as_of),
        "horizon": F.lit(horizon),
        "model": F.col("learned.model"),
        "expected_revenue": revenue,
        "expected_margin": revenue * F.col("margin_share"),
        "lifetime_revenue": F.col("revenue") + revenue,
        "reason": F.when(F.col("value").isNull(), _reason()),
        "covariates": F.col("covariates") if text else F.lit(None).cast("string"),
    }
    return predicted.withColumns(columns).select(*CLV.names)


def _reason() -> Column:
    """Why a customer has no value, the first that fits."""
    return F.coalesce(
        F.when(
            F.col("learned.model").isNull(),
            F.concat(F.lit("how often customers buy cannot be told: "), F.col("learned.no_buying")),
        ),
        F.concat(F.lit("what an order is worth cannot be told: "), F.col("learned.no_money")),
        F.when((F.col("frequency") > 0) & (F.col("monetary") <= 0), F.lit("the days after the first brought no money")),
        F.lit("the mean of all customers is infinite, and of this one nothing else is known"),
    )


# -- lifted: Arrow in, Arrow out


def _predict(batches: Iterator[pa.RecordBatch], horizon: int, rate: float, margin: float) -> Iterator[pa.RecordBatch]:
    told: Learned | None = None
    for customers in gathered(batches, AT_ONCE):
        told = told or learned.read(customers)
        for some, covariates in learned.by_covariates(customers, told):
            yield from _predicted(some, told, covariates, horizon, rate, margin).to_batches()


def _predicted(
    customers: pa.Table, told: Learned, covariates: str, horizon: int, rate: float, margin: float
) -> pa.Table:
    """The histories with what the models say of them."""
    x, t_x, T, mean = (
        np.asarray(customers.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64) for name in HISTORY[1:5]
    )
    # Who has not bought yet is asked about as if they first did that day.
    x, t_x, T = (np.where(np.isnan(of), 0.0, of) for of in (x, t_x, T))
    answers = {name: np.full(x.size, np.nan) for name in PREDICTED}
    by_month = np.full((x.size, 1), np.nan)
    own = np.asarray(customers.column("margin_share").to_numpy(), dtype=np.float64)
    kept = np.where(np.isfinite(own), own, margin)
    buying, money = (learned.of(told, kind, covariates) for kind in ("buying", "money"))
    has_worth = (x == 0) | (mean > 0)
    if money is not None:
        answers["expected_spend"] = np.where(has_worth, gamma_gamma.expected_mean(money.parameters, x, mean), np.nan)
    if buying is not None:
        model, unit, buying = KERNELS[told["model"]], told["unit_days"], buying.alone()
        of = distinct(x, t_x / unit, T / unit)
        alive = model.probability_alive(buying.parameters, of.x, of.t_x, of.T)
        answers["probability_alive"] = alive[of.of]
        for share, column in zip(SHARES, _alive_bands(model, buying, of, alive), strict=True):
            answers[f"probability_alive_{share}"] = column[of.of]
        ends = np.append(np.arange(MONTH, horizon, MONTH), horizon)
        times = np.concatenate([HORIZONS, ends]) / unit
        bought = (alive[:, None] * model.expected_if_alive(buying.parameters, of.x, of.T, times))[of.of]
        for days, column in zip(HORIZONS, bought.T[: len(HORIZONS)], strict=True):
            answers[f"expected_purchases_{days}d"] = column
        answers["expected_purchases"] = bought[:, -1]
        starts = np.append(0.0, ends[:-1])
        faded = np.exp(-rate * (starts + ends) / 2)
        monthly = np.diff(bought[:, len(HORIZONS) :], axis=1, prepend=0.0) * faded
        by_month = (kept * answers["expected_spend"])[:, None] * monthly
        answers["value"] = by_month.sum(axis=1)
        if model in EVER and rate > 0:
            ever = alive * EVER[model](buying.parameters, of.x, of.T, rate * unit)
            answers["lifetime_value"] = kept * answers["expected_spend"] * ever[of.of]
        # Without a model of money the purchases are told all the same.
        spending = money or Uncertain(np.ones(3), np.zeros((3, 3)))
        asked = Customers(x, t_x / unit, T / unit, np.where(has_worth, x, 0.0), np.where(mean > 0, mean, 1.0))
        purchases, brought = intervals(model, buying, spending, asked, horizon / unit, bought[:, -1])
        is_told = np.isfinite(answers["expected_spend"])
        for share, count, sum_ in zip(SHARES, purchases.T, brought.T, strict=True):
            answers[f"purchases_{share}"] = count.astype(np.float64)
            answers[f"revenue_{share}"] = np.where(is_told, sum_, np.nan)
    columns = [*customers.select(HISTORY).columns]
    columns += [pa.array(answers[name], from_pandas=True).cast(_arrow(CLV[name].type)) for name in PREDICTED]
    names = [*HISTORY, *PREDICTED, "margin_share", "value_by_month"]
    columns += [customers.column("margin_share"), lists(by_month)]
    if "covariates" in customers.column_names:
        columns, names = [*columns, customers.column("covariates")], [*names, "covariates"]
    return pa.Table.from_arrays(columns, names)


def _alive_bands(model: Any, buying: Uncertain, of: Histories, alive: Floats) -> Floats:
    """Quantiles of the probability to be alive by doubts of the parameters alone, (4, n).

    Normal in its log-odds, by the delta method along the principal axes of the parameters' covariance.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = special.logit([model.probability_alive(at, of.x, of.t_x, of.T) for at in buying.around().T])
        odds = special.logit(alive)
        up, down = np.split(sides, 2)
        # Where it is 0 or 1 by definition there is no doubt.
        apart = np.where(np.isfinite(up) & np.isfinite(down), up - down, 0.0)
    doubt = np.sqrt((apart**2).sum(axis=0)) / 2
    return np.asarray(special.expit(odds + np.outer(special.ndtri(LEVELS), doubt)), dtype=np.float64)


def _arrow(type_: str) -> pa.DataType:
    return pa.int32() if type_ == "int" else pa.float64()
