"""Models of buying judged on held-out time: what was expected of each customer, and of all in each week, and what came.

A model learns from what customers did until a day and is asked about the days after it. Squared errors of customers
are least for the true mean, so the least root mean squared error tells the model that is nearest to it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels.likelihood import Floats

MOST = 7  # repeat purchases, and more
WEEK = 7


class Model(Protocol):
    """What is asked of a model of buying. A module will do."""

    def probability_alive(self, parameters: Floats, x: Floats, t_x: Floats, T: Floats) -> Floats:
        """Give the probability that a customer has not left."""

    def expected_purchases(self, parameters: Floats, x: Floats, t_x: Floats, T: Floats, horizon: float) -> Floats:
        """Give the purchases to expect in the time `horizon` after T."""

    def expected_by(self, parameters: Floats, times: Floats) -> Floats:
        """Give the repeat purchases to expect of a new customer until each time after the first purchase."""


@dataclass(frozen=True)
class HeldOut:
    """Histories until the day from which on time is held out, and what came then; (n,) arrays.

    Parameters
    ----------
    x, t_x, T
        As the models have them, times in days.
    before : array
        Purchases, the first one too, in as many days before that day as are held out.
    held : array
        Purchases in the held-out days.
    customers : array
        How many customers each row stands for.
    days : int
        That are held out.
    """

    x: Floats
    t_x: Floats
    T: Floats
    before: Floats
    held: Floats
    customers: Floats
    days: int


@dataclass(frozen=True)
class Errors:
    """How far expectations are from what came: totals, and mean errors of a customer."""

    expected: float
    actual: float
    mean_absolute: float
    root_mean_squared: float


def expected(model: Model, parameters: Floats, among: HeldOut, unit: float) -> Floats:
    """Give what a model expects of each row's customers in the held-out days, (n,); `unit` in days."""
    times = among.t_x / unit, among.T / unit
    return model.expected_purchases(parameters, among.x, *times, among.days / unit)


def last_period(among: HeldOut) -> Floats:
    """Expect what there was in as many days before: the plainest baseline, (n,)."""
    return among.before


def status_quo(among: HeldOut) -> Floats:
    """Expect that each customer goes on at the pace of repeat purchases so far, (n,)."""
    return among.x / np.maximum(among.T, 1.0) * among.days


def errors(among: HeldOut, by: Floats) -> Errors:
    """Hold expectations (n,) against what came."""
    n, off = among.customers, among.held - by
    total = max(float(n.sum()), 1.0)
    return Errors(
        float(n @ by), float(n @ among.held), float(n @ np.abs(off) / total), float(np.sqrt(n @ off**2 / total))
    )


def by_frequency(among: HeldOut, by: Floats) -> tuple[Floats, Floats, Floats]:
    """Sum up by repeat purchases until the day, MOST or more together.

    Returns
    -------
    customers, expected, actual : (MOST + 1,) arrays
    """
    x = np.minimum(among.x, MOST).astype(np.int64)
    sums = [among.customers, among.customers * by, among.customers * among.held]
    customers, expectations, actual = (np.bincount(x, of, MOST + 1).astype(np.float64) for of in sums)
    return customers, expectations, actual


def by_week(model: Model, parameters: Floats, among: HeldOut, weeks: NDArray[np.int64], unit: float) -> Floats:
    """Give the repeat purchases to expect of all customers in each week, from what is known of no one's later days.

    Parameters
    ----------
    weeks : (k,) array of int
        Week w ends 7 w days after the day from which on time is held out: 0 is the last one before.

    Returns
    -------
    (k,) array
    """
    T, of = np.unique(among.T, return_inverse=True)
    customers = np.bincount(of, among.customers, T.size)
    # A last week may be cut short: who is asked about all held-out days is asked about no more.
    ends = np.minimum(np.append(weeks[:1] - 1, weeks) * WEEK, among.days)
    elapsed = np.maximum(T[:, None] + ends, 0.0)
    times, of_times = np.unique(elapsed, return_inverse=True)
    bought = model.expected_by(parameters, times / unit)[of_times].reshape(elapsed.shape)
    return np.diff(customers @ bought)
