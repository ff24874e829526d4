"""Accounts that are taken over: at night, within minutes, a few dear orders in another's name."""

import numpy as np
import pandas as pd

from crm_spark.sample.process import Floats, Ints

TAKEN = 0.003  # of all customers
ORDERS, DEARER = (4, 8), 6.0  # how many orders, and how many times what the customer's are worth
NIGHT = 3.5 * 3600  # when nobody else buys


def draw(draws: np.random.Generator, strength: float, since: Ints, mean: Floats, days: int) -> pd.DataFrame:
    """Draw the orders of frauds.

    Parameters
    ----------
    strength : float
        0 for none; else so many times the usual share of accounts.
    since : array, one element a customer
        The day of the first purchase; a fraud comes later.
    mean : array
        What the customer's orders are worth on average.

    Returns
    -------
    DataFrame
        customer, day, second, worth.
    """
    taken = np.flatnonzero((draws.random(len(since)) < TAKEN * strength) & (since < days - 1))
    day = since[taken] + 1 + np.floor(draws.random(len(taken)) * (days - 1 - since[taken])).astype(np.int64)
    count = draws.integers(*ORDERS, len(taken), endpoint=True)
    account = np.repeat(np.arange(len(taken)), count)
    customer = taken[account]
    second = NIGHT + draws.integers(0, 1800, len(taken))[account] + draws.integers(0, 3600, len(customer))
    return pd.DataFrame(
        {
            "customer": customer,
            "day": day[account],
            "second": second.astype(np.int64),
            "worth": DEARER * mean[customer] * draws.uniform(0.8, 1.2, len(customer)),
        }
    )
