"""Browsing: sessions that lead to an order, and sessions of customers and strangers that lead to none."""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from crm_spark.sample import paths, receipts, text
from crm_spark.sample.orders import NOBODY, SALE, STORE, clock
from crm_spark.sample.paths import CART, CATEGORY, CHECKOUT, HOME, SEARCH
from crm_spark.sample.process import Floats, Ints

IDLE_SESSIONS, STRANGERS = 0.5, 0.5
DAY = 24 * 3600


def browse(
    draws: np.random.Generator,
    orders: pd.DataFrame,
    people: pd.DataFrame,
    chains: Floats,
    days: int,
    zone: str,
    start: date,
) -> pd.DataFrame:
    """Draw the events of all sessions.

    Parameters
    ----------
    people : DataFrame
        archetype, registered (day).
    chains : array
        As `paths.planted` gives them.

    Returns
    -------
    DataFrame
        session, customer, visitor (one of both is nobody), type, at (UTC, seconds from the first day's
        midnight), in order of time.
    """
    sessions = pd.concat([shopping(orders), idle(draws, orders, people, days)], ignore_index=True)
    visitors, buyers = len(chains) - 2, len(chains) - 1
    archetype = np.append(people["archetype"].to_numpy(), visitors)[sessions["customer"]]  # nobody is -1, the last
    session, kind = paths.walk(draws, chains, np.where(sessions["buys"], buyers, archetype))
    count = np.bincount(session, minlength=len(sessions))
    gap = np.ceil(draws.exponential(35, len(session))).astype(np.int64)
    first = np.cumsum(count) - count
    passed = np.cumsum(gap)
    since = passed - (passed[first] - gap[first])[session]
    whole = since[first + count - 1]
    begin = utc(sessions["day"].to_numpy() * DAY + sessions["second"].to_numpy(), zone, start) - whole
    kind[(first + count - 1)[sessions["buys"]]] = CHECKOUT  # of a session cut short too
    events = sessions[["customer", "visitor"]].iloc[session]
    events = events.assign(session=session, type=kind, at=begin[session] + since)
    return events.sort_values(["at", "session"], kind="stable", ignore_index=True)


def shopping(orders: pd.DataFrame) -> pd.DataFrame:
    """One session before each sale of a known customer away from the stores."""
    online = (orders["kind"] == SALE) & (orders["channel"] != STORE) & (orders["customer"] != NOBODY)
    return orders.loc[online, ["customer", "day", "second"]].assign(visitor=NOBODY, buys=True)


def idle(draws: np.random.Generator, orders: pd.DataFrame, people: pd.DataFrame, days: int) -> pd.DataFrame:
    """Sessions that lead to no order; more than half by visitors that only a cookie tells apart."""
    size = round(IDLE_SESSIONS * len(orders))
    customer = draws.integers(0, len(people), size)
    day = draws.integers(0, days, size)
    unknown = (draws.random(size) < STRANGERS) | (day < people["registered"].to_numpy()[customer])
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


def lines(
    draws: np.random.Generator, events: pd.DataFrame, products: pd.DataFrame, start: date, numbers: Ints, chunk: int
) -> pa.Array:
    """Write each event as a JSON line; only views and carts show a product."""
    product = draws.integers(0, len(products), len(events))
    sku = text.chosen(product, products["sku"].to_list())
    category = text.chosen(product, products["category"].to_list())
    kind = events["type"].to_numpy()
    known = events["customer"] != NOBODY
    customer = text.ids(receipts.known(numbers, events["customer"]))
    named = text.joined('"customer_no":"', customer, '","visitor":null')
    cookie = text.joined('"customer_no":null,"visitor":"', text.ids(events["visitor"], f"v{chunk + 1:04d}"), '"')
    page = text.either(kind == CART, "/cart", text.joined("/p/", sku))
    seen = text.joined('"sku":"', sku, '","page":"', page, '"')
    listed = text.either(kind == SEARCH, text.joined("/search?q=", category), text.joined("/c/", category))
    place = text.either(kind == HOME, "/", text.either(kind == CHECKOUT, "/checkout", listed))
    unseen = text.joined('"sku":null,"page":"', place, '"')
    return text.lines(
        '{"event_id":"', text.ids(np.arange(len(events)), f"E{chunk + 1:04d}"), '",',
        text.either(known, named, cookie),
        ',"at":"', text.dates(events["at"] // DAY, start), "T", text.times(events["at"] % DAY), 'Z","type":"',
        text.chosen(kind, paths.PAGES), '",',
        text.either(np.isin(kind, [HOME, SEARCH, CATEGORY, CHECKOUT]), unseen, seen),
        ',"session":"', text.ids(events["session"], f"S{chunk + 1:04d}"), '"}',
    )  # fmt: skip
