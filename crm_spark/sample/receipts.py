"""The till's books: returns among the sales, numbers in order of time, value in euros, text."""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike

from crm_spark.sample import text
from crm_spark.sample.orders import APP, NOBODY, RETURN, WEB, Receipts, clock
from crm_spark.sample.process import Ints
from crm_spark.sample.rates import CURRENCIES

RETURNED = 0.04
COLUMNS = [
    "order_no", "line_no", "sku", "qty", "unit_price", "currency", "customer_no", "sold_at", "kind",
    "refers_to", "store_no", "discount",
]  # fmt: skip
KINDS = ["S", "R"]
STORES = [
    ("900", "Web shop", "web"), ("901", "App", "app"), ("101", "Berlin Mitte", "store"),
    ("102", "Hamburg Hafen", "store"), ("103", "Wien Ring", "store"), ("104", "Zürich See", "store"),
    ("105", "Leipzig Markt", "store"),
]  # fmt: skip
WEB_SHOP, APP_SHOP, FIRST_STORE = 0, 1, 2


def take_back(draws: np.random.Generator, sold: Receipts, days: int) -> Receipts:
    """Add the returns: one line of a sale comes back whole, some days later, as an order of its own.

    Only lines without a discount come back, so that a return's money is the sale's.
    """
    full = np.flatnonzero(sold.lines["discount"] == 0)
    back = full[draws.random(len(full)) < RETURNED * len(sold.orders) / max(1, len(full))]
    lines = sold.lines.iloc[back]
    orders = sold.orders.iloc[lines["order"]]
    orders = orders.assign(
        day=orders["day"].to_numpy() + 1 + draws.geometric(0.12, len(back)),
        second=clock(draws, len(back)),
        kind=RETURN,
        refers=lines["order"].to_numpy(),
    )
    seen = (orders["day"] < days).to_numpy()
    orders, lines = orders[seen], lines[seen]
    lines = lines.assign(
        order=len(sold.orders) + np.arange(len(lines)),
        line=1,
        quantity=-lines["quantity"],
        day=orders["day"].to_numpy(),
        second=orders["second"].to_numpy(),
    )
    return Receipts(
        pd.concat([sold.orders, orders], ignore_index=True), pd.concat([sold.lines, lines], ignore_index=True)
    )


def number(receipts: Receipts) -> Receipts:
    """Give the orders numbers that rise with time; lines follow by day, then order."""
    by_time = np.lexsort((receipts.orders["second"], receipts.orders["day"]))
    new = np.full(len(by_time) + 1, NOBODY)  # one more: at -1, the last, nobody stays nobody
    new[by_time] = np.arange(len(by_time))
    orders = receipts.orders.iloc[by_time].reset_index(drop=True)
    lines = receipts.lines.assign(order=new[receipts.lines["order"]])
    lines = lines.sort_values(["day", "order", "line"], ignore_index=True)
    return Receipts(orders.assign(refers=new[orders["refers"]]), lines)


def euros(receipts: Receipts, rates: Ints) -> Ints:
    """Value every line in hundredths of a cent, at the rate of its own day; exact."""
    lines = receipts.lines
    currency = receipts.orders["currency"].to_numpy()[lines["order"]]
    cents = lines["quantity"] * lines["unit_price"] - lines["discount"]
    return cents.to_numpy() * rates[lines["day"], currency]


def lines(receipts: Receipts, products: pd.DataFrame, start: date, numbers: Ints, chunk: int) -> pa.Array:
    """Write each line of a receipt as a row of CSV; no field needs quotes.

    Parameters
    ----------
    numbers : array
        The numbers, in the whole shop, of the chunk's customers.
    """
    rows = receipts.lines
    orders = receipts.orders.iloc[rows["order"]]
    sold_at = text.joined(text.dates(rows["day"], start, "%d.%m.%Y"), " ", text.times(rows["second"]))
    return text.lines(
        text.ids(rows["order"], orders_of(chunk)),
        text.spelled(rows["line"], str),
        text.chosen(rows["product"], products["sku"].to_list()),
        text.spelled(rows["quantity"], str),
        text.money(rows["unit_price"]),
        text.chosen(orders["currency"], CURRENCIES),
        text.ids(known(numbers, orders["customer"])),
        sold_at,
        text.chosen(orders["kind"], KINDS),
        text.ids(orders["refers"], orders_of(chunk)),
        text.chosen(stores(orders), [number for number, _, _ in STORES]),
        text.money(rows["discount"]),
        between=",",
    )


def stores(orders: pd.DataFrame) -> Ints:
    """Give the place in `STORES` of each order: people go to one and the same store."""
    near = FIRST_STORE + orders["customer"].to_numpy() % (len(STORES) - FIRST_STORE)
    channel = orders["channel"].to_numpy()
    return np.select([channel == WEB, channel == APP], [WEB_SHOP, APP_SHOP], near)


def store_table() -> pd.DataFrame:
    """Write the look-up of the stores."""
    return pd.DataFrame(STORES, columns=["store_no", "name", "channel"])


def orders_of(chunk: int) -> str:
    """Begin the numbers of a chunk's orders: each chunk has a till of its own, which counts them in order of time."""
    return f"{chunk + 1:04d}"


def known(numbers: Ints, customer: ArrayLike) -> Ints:
    """Give the customers of a chunk their numbers in the whole shop; nobody stays nobody."""
    rows = np.asarray(customer)
    return np.where(rows == NOBODY, NOBODY, numbers[np.maximum(rows, 0)])
