"""Orders and their lines: purchases become receipts whose lines add up to the purchase, to the cent.

All money is whole cents of the order's currency; days count from the shop's first, seconds from midnight
on the shop's clock. Nobody buys between 00:02 and 06:00, when clocks change.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crm_spark.sample import bundles
from crm_spark.sample.process import Floats, Ints
from crm_spark.sample.rates import EUR, GBP

SALE, RETURN = 0, 1
CAUSES = ["process", "campaign", "fraud", "anonymous"]
PROCESS, CAMPAIGN, FRAUD, ANONYMOUS = range(4)
WEB, STORE, APP = 0, 1, 2
NOBODY = -1
LINES = [0.36, 0.27, 0.19, 0.11, 0.07]
QUANTITIES = [0.72, 0.18, 0.05, 0.05]
DISCOUNTS, DISCOUNTED = [0, 5, 10, 20], [0.88, 0.04, 0.05, 0.03]
MIDNIGHT = 0.01


@dataclass(frozen=True)
class Receipts:
    """Orders and lines, both by number.

    Parameters
    ----------
    orders : DataFrame
        customer, day, second (of the first line), currency, channel, kind, refers (order or nobody),
        bundle, cause, worth (euros).
    lines : DataFrame
        order, line, product, quantity, unit_price, discount, day, second.
    """

    orders: pd.DataFrame
    lines: pd.DataFrame


def sell(
    draws: np.random.Generator, buyers: pd.DataFrame, prices: Ints, rates: Ints, together: list[Ints], shares: Floats
) -> Receipts:
    """Make every purchase an order of one to five lines.

    Parameters
    ----------
    buyers : DataFrame
        One row per purchase: customer, day, second (or nobody's: it is drawn), worth (euros), british (pays in
        pounds), cause.
    prices : array
        What the products cost, ascending.
    rates : array
        Hundredths of a euro by day and currency.
    together, shares : list of arrays, array
        The products of each bundle, and its share of the orders.
    """
    days, size = len(rates), len(buyers)
    orders = buyers[["customer", "day", "cause", "worth"]].assign(
        second=np.where(buyers["second"] == NOBODY, clock(draws, size), buyers["second"]),
        currency=np.where(buyers["british"], GBP, EUR),
        channel=channel(draws, buyers["british"]),
        kind=SALE,
        refers=NOBODY,
        bundle=bundles.choose(draws, shares, size),
    )
    rate = rates[orders["day"], orders["currency"]]
    cents = np.maximum(100, np.rint(1e4 * buyers["worth"].to_numpy() / rate)).astype(np.int64)
    lines = priced(draws, split(draws, cents, orders["bundle"].to_numpy(), together), prices)
    lines["product"] = bundled(lines, orders["bundle"].to_numpy(), together)
    lines["day"] = orders["day"].to_numpy()[lines["order"]]
    lines["second"] = orders["second"].to_numpy()[lines["order"]]
    return over_midnight(draws, Receipts(orders, lines), days)


def bundled(lines: pd.DataFrame, bundle: Ints, together: list[Ints]) -> Ints:
    """Let the first lines of an order be of the products of its bundle."""
    most = max(map(len, together))
    table = np.array([*(np.pad(products, (0, most - len(products)), constant_values=NOBODY) for products in together)])
    here, nth = bundle[lines["order"]], lines["line"].to_numpy() - 1
    chosen = np.where((here != bundles.NONE) & (nth < most), table[here, np.minimum(nth, most - 1)], NOBODY)
    return np.where(chosen == NOBODY, lines["product"], chosen)


def clock(draws: np.random.Generator, size: int) -> Ints:
    """Draw times of day, noon and early evening the busiest."""
    noon, evening = draws.normal(12.5, 2.2, size), draws.normal(18.8, 1.9, size)
    hours = np.where(draws.random(size) < 0.45, noon, evening)
    seconds: Ints = np.clip(3600 * hours, 6 * 3600, 24 * 3600 - 90).astype(np.int64)
    return seconds


def channel(draws: np.random.Generator, british: pd.Series) -> Ints:
    """Draw where people buy; the stores take no pounds."""
    channels = draws.choice([WEB, STORE, APP], len(british), p=[0.5, 0.3, 0.2])
    return np.where(british & (channels == STORE), WEB, channels)


def split(draws: np.random.Generator, cents: Ints, bundle: Ints, together: list[Ints]) -> pd.DataFrame:
    """Split each order's cents over its lines at random cuts; the parts add up exactly."""
    least = np.array([*map(len, together), 1])[bundle]  # none is -1, the last
    count = np.maximum(least, 1 + draws.choice(len(LINES), len(cents), p=LINES))
    order = np.repeat(np.arange(len(cents)), count)
    last = np.cumsum(count)
    first = np.repeat(last - count, count)
    weight = np.concatenate([[0.0], np.cumsum(0.3 + draws.random(len(order)))])
    here = np.arange(len(order))
    share = (weight[here + 1] - weight[first]) / (weight[np.repeat(last, count)] - weight[first])
    upto = np.floor(cents[order] * share).astype(np.int64)
    before = np.where(here == first, 0, np.roll(upto, 1))
    return pd.DataFrame({"order": order, "line": here - first + 1, "amount": upto - before})


def priced(draws: np.random.Generator, lines: pd.DataFrame, prices: Ints) -> pd.DataFrame:
    """Find quantity, unit price and discount that make each line's amount, and a product near that price."""
    amount, size = lines["amount"].to_numpy(), len(lines)
    percent = draws.choice(DISCOUNTS, size, p=DISCOUNTED)
    wanted = 1 + draws.choice(len(QUANTITIES), size, p=QUANTITIES)
    fits = (percent > 0) | (amount % wanted == 0)
    quantity = np.where(fits, wanted, 1)
    unit_price = -(-100 * amount // (quantity * (100 - percent)))
    near = np.searchsorted(prices, unit_price) + draws.integers(-2, 2, size)
    return lines[["order", "line"]].assign(
        product=np.clip(near, 0, len(prices) - 2),  # all but the last, which is discontinued
        quantity=quantity,
        unit_price=unit_price,
        discount=quantity * unit_price - amount,
    )


def over_midnight(draws: np.random.Generator, receipts: Receipts, days: int) -> Receipts:
    """Let a few orders begin a minute before midnight and end a minute after it."""
    orders, lines = receipts.orders, receipts.lines
    several = np.bincount(lines["order"], minlength=len(orders)) > 1
    may = several & (orders["day"].to_numpy() < days - 1) & (orders["cause"].to_numpy() != FRAUD)
    late = may & (draws.random(len(orders)) < MIDNIGHT)
    orders = orders.assign(
        second=np.where(late, 24 * 3600 - 60 + orders["second"] % 60, orders["second"]),
        channel=np.where(late, WEB, orders["channel"]),
    )
    after = late[lines["order"]] & (lines["line"] > 1)
    second = orders["second"].to_numpy()[lines["order"]]
    lines = lines.assign(day=lines["day"] + after, second=np.where(after, 60 + second % 60, second))
    return Receipts(orders, lines)
