"""What happens in the shop: who comes, when they buy, and how much, every feed from a stream of its own."""

from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from crm_spark.sample import campaigns, customers, feedback, orders, process, products, rates, receipts
from crm_spark.sample.orders import Receipts
from crm_spark.sample.process import Buying, Floats, Ints, Purchases, Spending
from crm_spark.sample.streams import key, stream

ZONE = "Europe/Berlin"
JOINING, ANONYMOUS = 0.6, 0.05
BUYING, SPENDING = Buying(), Spending()
STREAMS = [
    "rates", "products", "joining", "buying", "spending", "customers", "moves", "anonymous", "orders",
    "returns", "browsing", "events", "feedback", "campaigns", "responses",
    "orders dirt", "customers dirt", "events dirt",
]  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """How large a shop, of which days, how dirty, from which seed."""

    customers: int
    days: int
    seed: int
    start: date
    dirt: float

    def __post_init__(self) -> None:
        faults = [
            f"{name} must be {least} or more, got {value}"
            for name, value, least in [
                ("customers", self.customers, 1),
                ("days", self.days, 1),
                ("seed", self.seed, 0),
            ]
            if value < least
        ]
        if not 0 <= self.dirt <= 1:
            faults.append(f"dirt must be a share from 0 to 1, got {self.dirt}")
        if faults:
            raise ValueError("; ".join(faults))


@dataclass(frozen=True)
class Trade:
    """All that happened, as numbers: what the files tell and what they hide."""

    rates: Ints
    products: pd.DataFrame
    purchases: Purchases
    mean_value: Floats
    people: pd.DataFrame
    versions: pd.DataFrame
    receipts: Receipts


def draw(setting: Setting) -> Trade:
    """Draw the shop's life from its seed."""
    draws = partial(stream, setting.seed)
    days, size = setting.days, setting.customers
    rate = rates.draw(draws("rates"), days)
    goods = products.stock(draws("products"), int(np.clip(size // 10, 60, 2_000)))
    first = draws("joining").uniform(0, JOINING * days, size)
    purchases = process.buy(draws("buying"), first, days, BUYING)
    mean_value, worth = process.spend(draws("spending"), purchases.customer, size, SPENDING)
    people = customers.people(draws("customers"), first)
    buyers = pd.concat([known(purchases, worth, people), strangers(draws("anonymous"), len(worth), days)])
    sold = orders.sell(draws("orders"), buyers.reset_index(drop=True), goods["price"].to_numpy(), rate)
    books = receipts.number(receipts.take_back(draws("returns"), sold, days))
    versions = customers.versions(draws("moves"), people, days)
    return Trade(rate, goods, purchases, mean_value, people, versions, books)


def known(purchases: Purchases, worth: Floats, people: pd.DataFrame) -> pd.DataFrame:
    """Give the purchases of the customers; the British pay in pounds."""
    return pd.DataFrame(
        {
            "customer": purchases.customer,
            "day": purchases.at.astype(np.int64),
            "worth": worth,
            "british": people["country"].to_numpy()[purchases.customer] == customers.BRITISH,
        }
    )


def strangers(draws: np.random.Generator, among: int, days: int) -> pd.DataFrame:
    """Draw the purchases of buyers who give no name: a share of all, on any day."""
    size = round(among * ANONYMOUS / (1 - ANONYMOUS))
    _, worth = process.spend(draws, np.arange(size), size, SPENDING)
    return pd.DataFrame(
        {
            "customer": np.full(size, orders.NOBODY),
            "day": draws.integers(0, days, size),
            "worth": worth,
            "british": draws.random(size) < customers.SHARES[customers.BRITISH],
        }
    )


def parameters(setting: Setting) -> dict[str, Any]:
    """Give what the shop was drawn from: arguments, models, shares, streams."""
    return {
        "arguments": {**asdict(setting), "start": setting.start.isoformat()},
        "zone": ZONE,
        "currency": rates.CURRENCIES[rates.EUR],
        "buying": {"model": "BG/NBD", "unit": "day", **asdict(BUYING)},
        "spending": {"model": "Gamma-Gamma", "unit": "EUR an order", **asdict(SPENDING)},
        "shares": {
            "anonymous orders": ANONYMOUS,
            "days on which customers join": JOINING,
            "orders brought back": receipts.RETURNED,
            "orders over midnight": orders.MIDNIGHT,
            "lines of an order, from 1": orders.LINES,
            "moves a customer and day": customers.MOVES_A_DAY,
            "countries": dict(zip(customers.COUNTRIES, customers.SHARES, strict=True)),
            "sales with feedback": feedback.ANSWERS,
            "ratings, from 1": feedback.RATINGS,
            "customers a campaign addresses": campaigns.ADDRESSED,
            "variants": dict(zip(campaigns.VARIANTS, campaigns.SPLIT, strict=True)),
            "responses by variant": dict(zip(campaigns.VARIANTS, campaigns.RESPONSES, strict=True)),
        },
        "streams": {name: key(name) for name in STREAMS},
    }
