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
    """Parameters of BG/NBD.

    Parameters
    ----------
    r, alpha : float
        Shape and rate of lambda, purchases a day.
    a, b : float
        Of the probability to leave after a purchase.
    first_may_be_last : bool, default False
        Whether customers may leave after the first purchase already (MBG/NBD); in BG/NBD they do not.
    """

    r: float = 1.2
    alpha: float = 16.0
    a: float = 0.9
    b: float = 4.0
    first_may_be_last: bool = False


@dataclass(frozen=True)
class Spending:
    """Parameters of Gamma-Gamma: an order is worth p * gamma / (q - 1) on average."""

    p: float = 6.0
    q: float = 4.0
    gamma: float = 25.0


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


def buy(draws: np.random.Generator, first: Floats, end: float, buying: Buying) -> Purchases:
    """Let customers buy from their first purchase until the end of the view.

    Parameters
    ----------
    first : array
        When each customer bought for the first time, in days, before `end`.
    end : float
        The day that is no longer seen.

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
        if len(rounds) > 1 or buying.first_may_be_last:
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


def spend(draws: np.random.Generator, customer: Ints, customers: int, spending: Spending) -> tuple[Floats, Floats]:
    """Draw what each customer's orders are worth on average, and each purchase's own worth."""
    nu = draws.gamma(spending.q, 1 / spending.gamma, customers)
    return spending.p / nu, draws.gamma(spending.p, 1 / nu[customer])
