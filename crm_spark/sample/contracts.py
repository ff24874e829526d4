"""Contracts: a club by the month and a box every two weeks, which some buyers take and leave at a renewal.

At each renewal a customer leaves for good with probability theta ~ Beta(alpha, beta) over customers: shifted
beta-geometric. Notice is given some days before. The feed tells a contract when it begins, and once more when notice
is given.

References
----------
Fader, P. S., Hardie, B. G. S. (2007). How to Project Customer Retention. Journal of Interactive Marketing 21(1), 76-90.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from crm_spark.sample import text
from crm_spark.sample.process import Floats, Ints


@dataclass(frozen=True)
class Plan:
    """What customers may agree on.

    Parameters
    ----------
    share : float
        Of the customers who take it.
    period : int
        Days or months (`unit`) of a period.
    price : int
        Cents of a period.
    alpha, beta : float
        Of the probability to leave at a renewal.
    """

    name: str
    share: float
    period: int
    unit: str
    price: int
    alpha: float
    beta: float

    @property
    def leaving(self) -> float:
        """The mean probability to leave at the first renewal."""
        return self.alpha / (self.alpha + self.beta)


PLANS = (Plan("club", 0.2, 1, "month", 990, 0.7, 3.0), Plan("box", 0.2, 14, "day", 2490, 0.8, 3.2))
WAIT, NOTICE = 0.15, 7  # how readily a buyer takes a plan from day to day; days of notice at most
MOST = 1_000  # renewals: who stays longer is not seen to leave
COLUMNS = ["contract_no", "customer_no", "plan", "begins", "price", "cancelled", "ends", "changed"]


def draw(draws: np.random.Generator, strength: float, since: Ints, start: date, days: int) -> pd.DataFrame:
    """Draw the contracts that begin within the shop's days.

    Parameters
    ----------
    strength : float
        How much customers differ in how readily they leave; where it is 0, all of a plan leave alike.
    since : array, one element a customer
        The day of the first purchase.

    Returns
    -------
    DataFrame
        plan, customer, begins, cancelled, ends (days), leaving (theta), renewal (the one at which it ends, from 1).
    """
    drawn = []
    for nth, plan in enumerate(PLANS):
        customer = np.flatnonzero(draws.random(len(since)) < plan.share)
        begins = since[customer] + draws.geometric(WAIT, len(customer))
        leaving = _leaving(draws, plan, strength, len(customer))
        renewal = np.minimum(draws.geometric(leaving), MOST)
        ends = _after(begins, plan, renewal, start)
        told = {"plan": nth, "customer": customer, "begins": begins, "ends": ends}
        told |= {"cancelled": ends - draws.integers(0, NOTICE + 1, len(customer))}
        drawn.append(pd.DataFrame({**told, "leaving": leaving, "renewal": renewal}))
    contracts = pd.concat(drawn, ignore_index=True)
    return contracts[contracts["begins"] < days].reset_index(drop=True)


def _leaving(draws: np.random.Generator, plan: Plan, strength: float, size: int) -> Floats:
    if strength == 0:
        return np.full(size, plan.leaving)
    return np.clip(draws.beta(plan.alpha / strength, plan.beta / strength, size), 1e-9, 1.0)


def _after(begins: Ints, plan: Plan, periods: Ints, start: date) -> Ints:
    """Give the day on which some periods are over; a month that lacks the day ends on its last one."""
    if plan.unit == "day":
        return np.asarray(begins + plan.period * periods, dtype=np.int64)
    first = np.datetime64(start, "D")
    day = first + begins
    month = day.astype("datetime64[M]")
    later = month + plan.period * periods
    last = (later + 1).astype("datetime64[D]") - 1
    found = np.minimum(later.astype("datetime64[D]") + (day - month.astype("datetime64[D]")), last)
    return np.asarray((found - first).astype(np.int64))


def spoken(contracts: pd.DataFrame, days: int) -> pd.DataFrame:
    """One row for each line of the feed: each contract as it begins, and again with the notice, if that is seen."""
    again = contracts[contracts["cancelled"] < days]
    told = [
        contracts.assign(day=contracts["begins"], is_over=False),
        again.assign(day=again["cancelled"], is_over=True),
    ]
    return pd.concat(told).sort_values(["day", "plan", "customer"], ignore_index=True)


def lines(rows: pd.DataFrame, start: date, numbers: Ints) -> pa.Array:
    """Write rows of `spoken` as their feed has them."""
    is_over = rows["is_over"]
    return text.lines(
        ids(rows, numbers),
        text.ids(numbers[rows["customer"]]),
        text.chosen(rows["plan"], [plan.name for plan in PLANS]),
        text.dates(rows["begins"], start),
        text.money(np.array([plan.price for plan in PLANS])[rows["plan"]]),
        text.either(is_over, text.dates(np.where(is_over, rows["cancelled"], 0), start), ""),
        text.either(is_over, text.dates(np.where(is_over, rows["ends"], 0), start), ""),
        text.dates(rows["day"], start),
        between=",",
    )


def ids(contracts: pd.DataFrame, numbers: Ints) -> pa.Array:
    """Name contracts by plan and customer, who takes each plan once."""
    letters = text.chosen(contracts["plan"], [plan.name[0].upper() for plan in PLANS])
    return text.joined(letters, text.ids(numbers[contracts["customer"]]))


def table(contracts: pd.DataFrame, numbers: Ints) -> pd.DataFrame:
    """One row per contract for the truth: how readily its customer leaves, and the renewal at which they do."""
    return pd.DataFrame(
        {
            "contract_no": ids(contracts, numbers).to_pylist(),
            "plan": text.chosen(contracts["plan"], [plan.name for plan in PLANS]).to_pylist(),
            "leaving": contracts["leaving"].to_numpy(),
            "renewal": contracts["renewal"].to_numpy(),
        }
    )


def planted(strength: float) -> dict[str, dict[str, float | str | None]]:
    """Tell the parameters of each plan; alpha and beta are infinite, and not told, where all leave alike."""
    return {
        plan.name: {
            "share": plan.share,
            "period": plan.period,
            "period_unit": plan.unit,
            "price": plan.price / 100,
            "leaving": plan.leaving,
            "alpha": plan.alpha / strength if strength else None,
            "beta": plan.beta / strength if strength else None,
        }
        for plan in PLANS
    }
