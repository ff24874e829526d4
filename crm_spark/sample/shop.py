"""The shop's files: what happened in it as raw feeds, untidy as real ones, and the truth beside them.

Everything follows from the arguments: the same ones give the same bytes. Dirt is drawn apart and only
adds lines, so that a dirtier shop is the same shop.
"""

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from crm_spark.core.errors import ConfigError
from crm_spark.sample import accounts, campaigns, feedback, feeds, files, products, rates, trade, truth
from crm_spark.sample.accounts import Account
from crm_spark.sample.feeds import Feed
from crm_spark.sample.streams import stream
from crm_spark.sample.trade import Setting, Trade

START = date(2025, 1, 1)
PARAMETERS = Path("truth/parameters.json")


def write(
    out: Path,
    customers: int = 2_000,
    days: int = 120,
    seed: int = 1,
    start: date = START,
    dirt: float = 0.01,
) -> dict[str, Any]:
    """Write a shop's raw daily files and, in `truth/`, what was planted in them.

    Parameters
    ----------
    out : Path
        A folder that is new, empty, or holds the shop of the same arguments.
    customers : int, default 2000
        How many named customers the shop wins over the first 60 % of its days.
    days : int, default 120
        How many days the files cover.
    seed : int, default 1
        Where all randomness comes from.
    start : date, default 2025-01-01
        The first day.
    dirt : float, default 0.01
        Share of spoiled lines added to orders, customers and events; 0 for a clean shop, else every
        kind at least once where there are lines enough.

    Returns
    -------
    dict
        `parameters`, `accounts` (what a right ingestion comes to, file by file) and `totals`, as written.

    Raises
    ------
    ValueError
        An argument is out of its range.
    ConfigError
        The folder holds something else.
    """
    setting = Setting(customers, days, seed, start, dirt)
    parameters = trade.parameters(setting)
    claim(out, parameters)
    happened = trade.draw(setting)
    orders = feeds.orders(setting, happened)
    booked, defects = write_daily(out, setting, happened, orders)
    book = accounts.book(booked | write_once(out, setting, happened))
    sums = totals(setting, happened, orders)
    files.save(out / "truth/accounts.json", files.as_json(book))
    files.save(out / "truth/totals.json", files.as_json(sums))
    files.save(out / "truth/defects.csv", files.as_csv(defects))
    files.save(out / "truth/customers.csv", files.as_csv(truth.customer_table(happened)))
    return {"parameters": parameters, "accounts": book, "totals": sums}


def claim(out: Path, parameters: dict[str, Any]) -> None:
    """Mark the folder with the shop's parameters, unless it holds anything but this very shop."""
    marked = out / PARAMETERS
    same = marked.is_file() and marked.read_bytes() == files.as_json(parameters)
    if out.exists() and not same and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} holds something else than this shop: name a new folder, or empty it")
    files.save(marked, files.as_json(parameters))


def write_daily(out: Path, setting: Setting, happened: Trade, orders: Feed) -> tuple[dict[str, Account], pd.DataFrame]:
    """Write the feeds that come every day; give the accounts of their files, and where the dirt lies."""
    written = [feeds.write(out, orders, setting.start)]
    again = feeds.write_again(out, orders, setting.start) if setting.dirt else {}
    for spell in (feeds.master, feeds.browsing):
        written += [feeds.write(out, spell(setting, happened), setting.start)]
    booked = {path: account for feed in written for path, account in feed.accounts.items()}
    return booked | again, pd.concat([feed.defects for feed in written])


def write_once(out: Path, setting: Setting, happened: Trade) -> dict[str, Account]:
    """Write the feeds that come as one clean file; give their accounts."""
    (out / "products").mkdir(exist_ok=True)
    goods = products.table(happened.products, setting.start)
    pq.write_table(goods, out / "products/products.parquet")
    booked = {"products/products.parquet": accounts.clean("products", goods.num_rows)}
    for path, rows in tables(setting, happened).items():
        files.save(out / path, files.as_csv(rows))
        booked[path] = accounts.clean(Path(path).stem, len(rows))
    return booked


def tables(setting: Setting, happened: Trade) -> dict[str, pd.DataFrame]:
    """Draw the small feeds, by path."""
    seed, days, start = setting.seed, setting.days, setting.start
    plan = campaigns.plan(days)
    registered = happened.people["registered"].to_numpy()
    contacts = campaigns.address(stream(seed, "campaigns"), plan, registered)
    responses = campaigns.respond(stream(seed, "responses"), contacts, days)
    return {
        "rates/rates.csv": rates.table(happened.rates, start),
        "feedback/feedback.csv": feedback.say(stream(seed, "feedback"), happened.receipts.orders, days, start),
        "campaigns/campaigns.csv": campaigns.campaign_table(plan, start),
        "campaigns/contacts.csv": campaigns.contact_table(contacts, start),
        "campaigns/responses.csv": campaigns.response_table(responses, contacts, start),
    }


def totals(setting: Setting, happened: Trade, orders: Feed) -> dict[str, Any]:
    """Sum the clean shop, and the shop as loaded: with the returns that come without a sale."""
    sold = truth.sold(happened.receipts, happened.rates)
    loaded = pd.concat([sold, truth.orphans(happened.receipts, happened.rates, orders.soiled)])
    return {
        "currency": "EUR",
        "clean": truth.totals(sold, setting.days, setting.start),
        "loaded": truth.totals(loaded, setting.days, setting.start),
    }
