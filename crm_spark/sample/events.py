"""Browsing: sessions that lead to an order, and sessions of customers and strangers that lead to none."""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from crm_spark.sample import text
from crm_spark.sample.orders import NOBODY, SALE, STORE, clock
from crm_spark.sample.process import Ints

VIEW, SEARCH, CART = 0, 1, 2
TYPES = ["view", "search", "cart"]
MORE_EVENTS = 2.5
IDLE_SESSIONS, STRANGERS = 0.7, 0.6
DAY = 24 * 3600


def browse(
    draws: np.random.Generator, orders: pd.DataFrame, registered: Ints, days: int, zone: str, start: date
) -> pd.DataFrame:
    """Draw the events of all sessions.

    Returns
    -------
    DataFrame
        session, customer, visitor (one of both is nobody), type, at (UTC, seconds from the first day's
        midnight), in order of time.
    """
    sessions = pd.concat([shopping(orders), idle(draws, orders, registered, days)], ignore_index=True)
    count = 1 + draws.poisson(MORE_EVENTS, len(sessions))
    session = np.repeat(np.arange(len(sessions)), count)
    gap = np.ceil(draws.exponential(35, len(session))).astype(np.int64)
    first = np.cumsum(count) - count
    passed = np.cumsum(gap)
    since = passed - (passed[first] - gap[first])[session]
    whole = since[first + count - 1]
    begin = utc(sessions["day"].to_numpy() * DAY + sessions["second"].to_numpy(), zone, start) - whole
    kind = np.where(draws.random(len(session)) < 0.2, SEARCH, VIEW)
    kind[(first + count - 1)[sessions["buys"]]] = CART
    events = sessions[["customer", "visitor"]].iloc[session]
    events = events.assign(session=session, type=kind, at=begin[session] + since)
    return events.sort_values(["at", "session"], kind="stable", ignore_index=True)


def shopping(orders: pd.DataFrame) -> pd.DataFrame:
    """One session before each sale of a known customer away from the stores."""
    online = (orders["kind"] == SALE) & (orders["channel"] != STORE) & (orders["customer"] != NOBODY)
    return orders.loc[online, ["customer", "day", "second"]].assign(visitor=NOBODY, buys=True)


def idle(draws: np.random.Generator, orders: pd.DataFrame, registered: Ints, days: int) -> pd.DataFrame:
    """Sessions that lead to no order; more than half by visitors that only a cookie tells apart."""
    size = round(IDLE_SESSIONS * len(orders))
    customer = draws.integers(0, len(registered), size)
    day = draws.integers(0, days, size)
    unknown = (draws.random(size) < STRANGERS) | (day < registered[customer])
    visitor = draws.integers(0, max(1, size // 2), size)
    return pd.DataFrame(
        {
            "customer": np.where(unknown, NOBODY, customer),
            "day": day,
            "second": clock(draws, size),
            "visitor": np.where(unknown, visitor, NOBODY),
            "buys": False,
        }
    )


def utc(seconds: Ints, zone: str, start: date) -> Ints:
    """Turn seconds on the shop's clock into seconds since the first day's midnight in UTC."""
    opening = pd.Timestamp(start)
    walls = opening + pd.to_timedelta(seconds, unit="s")
    instants = pd.DatetimeIndex(walls).tz_localize(zone).tz_convert("UTC").tz_localize(None)
    return ((instants - opening) // pd.Timedelta(seconds=1)).to_numpy()


def lines(draws: np.random.Generator, events: pd.DataFrame, products: pd.DataFrame, start: date) -> pa.Array:
    """Write each event as a JSON line; searches are for a category and show no product."""
    product = draws.integers(0, len(products), len(events))
    sku = text.chosen(product, products["sku"].to_list())
    category = text.chosen(product, products["category"].to_list())
    searches = events["type"] == SEARCH
    known = events["customer"] != NOBODY
    named = text.joined('"customer_no":"', text.ids(events["customer"]), '","visitor":null')
    cookie = text.joined('"customer_no":null,"visitor":"', text.ids(events["visitor"], "v", 8), '"')
    page = text.either(events["type"] == CART, "/cart", text.joined("/p/", sku))
    looked = text.joined('"sku":"', sku, '","page":"', page, '"')
    searched = text.joined('"sku":null,"page":"/search?q=', category, '"')
    return text.lines(
        '{"event_id":"', text.ids(np.arange(len(events)), "E", 9), '",',
        text.either(known, named, cookie),
        ',"at":"', text.dates(events["at"] // DAY, start), "T", text.times(events["at"] % DAY), 'Z","type":"',
        text.chosen(events["type"], TYPES), '",',
        text.either(searches, searched, looked),
        ',"session":"', text.ids(events["session"], "S", 8), '"}',
    )  # fmt: skip
