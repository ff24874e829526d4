"""Purchases from a known process: BG/NBD says when a customer buys, Gamma-Gamma for how much.

While active, a customer buys at a rate lambda a day, drawn from Gamma(r) with rate alpha; after every
repeat purchase the customer leaves for good with probability p, drawn from Beta(a, b). A customer's
orders are worth Gamma(p) with rate nu each, nu drawn from Gamma(q) with rate gamma. The clock is
continuous, its unit the day.

References
----------
Fader, P. S., Hardie, B. G. S., Lee, K. L. (2005). "Counting Your Customers" the Easy Way.
Marketing Science 24(2).
Fader, P. S., Hardie, B. G. S. (2013). The Gamma-Gamma Model of Monetary Value.
Batislam, E. P., Denizel, M., Filiztekin, A. (2007). Empirical validation and comparison of models for
customer base analysis. IJRM 24(3), for customers who may leave after their first purchase already.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Buying:
    """Parameters of BG/NBD, of all customers or of each one.

    Parameters
    ----------
    r, alpha : float or array, one element a customer
        Shape and rate of lambda, purchases a day.
    a, b : float or array
        Of the probability to leave after a purchase.
    """

    r: float | Floats
    alpha: float | Floats
    a: float | Floats
    b: float | Floats


@dataclass(frozen=True)
class Spending:
    """Parameters of Gamma-Gamma, of all customers or of each one: on average an order is worth p * gamma / (q - 1)."""

    p: float | Floats
    q: float | Floats
    gamma: float | Floats


@dataclass(frozen=True)
class Purchases:
    """What the customers did, and what drove them.

    Parameters
    ----------
    rate, leaving : arrays, one element a customer
        lambda, purchases a day, and p, the probability to leave after a purchase.
    active_until : array, one element a customer
        When the customer left, infinity for one who was still active at the end.
    customer, at : arrays, one element a purchase
        Who bought when, by customer and time.
    """

    rate: Floats
    leaving: Floats
    active_until: Floats
    customer: Ints
    at: Floats


def buy(
    draws: np.random.Generator, first: Floats, end: float, buying: Buying, first_may_be_last: bool = False
) -> Purchases:
    """Let customers buy from their first purchase until the end of the view.

    Parameters
    ----------
    first : array
        When each customer bought for the first time, in days, before `end`.
    end : float
        The day that is no longer seen.
    first_may_be_last : bool, default False
        Whether customers may leave after the first purchase already (MBG/NBD); in BG/NBD they do not.

    Returns
    -------
    Purchases
        First purchases included. As many rounds as the keenest customer has purchases.
    """
    rate = draws.gamma(buying.r, 1 / buying.alpha, len(first))
    leaving = draws.beta(buying.a, buying.b, len(first))
    active_until = np.full(len(first), np.inf)
    customer, at = np.arange(len(first)), first
    rounds = []
    while len(customer):
        rounds.append((customer, at))
        if len(rounds) > 1 or first_may_be_last:
            leaves = draws.random(len(customer)) < leaving[customer]
            active_until[customer[leaves]] = at[leaves]
            customer, at = customer[~leaves], at[~leaves]
        at = at + draws.standard_exponential(len(customer)) / np.maximum(rate[customer], 1e-12)
        customer, at = customer[at < end], at[at < end]
    return Purchases(rate, leaving, active_until, *by_customer(rounds))


def by_customer(rounds: list[tuple[Ints, Floats]]) -> tuple[Ints, Floats]:
    """Put the purchases of all rounds in order of customer, then time."""
    customer = np.concatenate([customers for customers, _ in rounds])
    at = np.concatenate([times for _, times in rounds])
    order = np.argsort(customer, kind="stable")
    return customer[order], at[order]


def worth(draws: np.random.Generator, spending: Spending, size: int) -> Floats:
    """Draw what each customer's orders are worth on average."""
    return spending.p / draws.gamma(spending.q, 1 / spending.gamma, size)


def spend(draws: np.random.Generator, mean: Floats, shape: float | Floats) -> Floats:
    """Draw what each order is worth, from its customer's mean and `p`."""
    spent: Floats = draws.gamma(shape, mean / shape)
    return spent
