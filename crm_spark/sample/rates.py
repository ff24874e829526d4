"""Daily rates of the foreign currencies that the shop takes, a random walk in hundredths."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

from crm_spark.sample.process import Ints

CURRENCIES = ["EUR", "GBP", "USD"]
OPENING = [100, 119, 93]
EUR, GBP = 0, 1


def draw(draws: np.random.Generator, days: int) -> Ints:
    """One row a day, one column a currency: hundredths of a euro for one unit.

    Two decimals only: a price in cents times such a rate has four, so that money in euros is exact
    whether prices or sums are converted.
    """
    steps = draws.choice([-1, 0, 1], (days, len(CURRENCIES)), p=[0.15, 0.7, 0.15])
    steps[:, EUR] = 0
    rates: Ints = np.clip(np.array(OPENING) + np.cumsum(steps, axis=0), 50, 200)
    return rates


def table(rates: Ints, start: date) -> pd.DataFrame:
    """Write the rates as their feed has them, one row a day and currency; the shop's own needs none."""
    dates = [(start + timedelta(days=day)).isoformat() for day in range(len(rates))]
    foreign = range(1, len(CURRENCIES))
    return pd.DataFrame(
        [
            (dates[day], CURRENCIES[currency], f"{rates[day, currency] / 100:.2f}")
            for day in range(len(rates))
            for currency in foreign
        ],
        columns=["date", "currency", "rate"],
    )
