"""The feeds that come every day, spelled and soiled: orders, the customer master, events."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from crm_spark.sample import customers, dirt, events, files, receipts
from crm_spark.sample.accounts import Account, account, defects, repeated
from crm_spark.sample.dirt import Soiled, Spoil
from crm_spark.sample.streams import stream
from crm_spark.sample.trade import ZONE, Setting, Trade

REPEATED_DAY = 40


@dataclass(frozen=True)
class Feed:
    """A dirty feed, one file a day.

    Parameters
    ----------
    name : str
        The feed, and its folder.
    suffix : str
        How its files end.
    header : bytes
        The first line of each, if there is one.
    soiled : Soiled
        All lines below.
    """

    name: str
    suffix: str
    header: bytes
    soiled: Soiled

    def path(self, day: str, more: str = "") -> str:
        """Give the path of a day's file, relative to the shop."""
        return f"{self.name}/{day}{more}.{self.suffix}"


@dataclass(frozen=True)
class Written:
    """What was written of a feed: the account of every file, and where the dirt lies."""

    accounts: dict[str, Account]
    defects: pd.DataFrame


def orders(setting: Setting, trade: Trade) -> Feed:
    """Spell and soil the receipts."""
    lines = receipts.lines(trade.receipts, trade.products, setting.start)
    header = ",".join(receipts.COLUMNS).encode() + b"\n"
    return Feed("orders", "csv.gz", header, soil(setting, "orders", lines, trade.receipts.lines["day"], dirt.ORDERS))


def master(setting: Setting, trade: Trade) -> Feed:
    """Spell and soil the new and changed rows of the customer master."""
    lines = customers.lines(trade.people, trade.versions, setting.start)
    return Feed("customers", "jsonl", b"", soil(setting, "customers", lines, trade.versions["day"], dirt.CUSTOMERS))


def browsing(setting: Setting, trade: Trade) -> Feed:
    """Draw, spell and soil the events; their days are those of UTC."""
    registered = trade.people["registered"].to_numpy()
    draws = stream(setting.seed, "browsing")
    seen = events.browse(draws, trade.receipts.orders, registered, setting.days, ZONE, setting.start)
    lines = events.lines(stream(setting.seed, "events"), seen, trade.products, setting.start)
    return Feed("events", "jsonl.gz", b"", soil(setting, "events", lines, seen["at"] // events.DAY, dirt.EVENTS))


def soil(setting: Setting, name: str, lines: pa.Array, day: pd.Series, spoilers: dict[str, Spoil]) -> Soiled:
    """Put the dirt among a feed's lines."""
    draws = stream(setting.seed, f"{name} dirt")
    return dirt.soil(draws, lines, day.to_numpy(), setting.dirt, spoilers)


def write(out: Path, feed: Feed, start: date) -> Written:
    """Write a feed's files and account for them."""
    booked, found = {}, []
    for day, where, content in files.by_day(feed.soiled.lines, feed.soiled.day):
        path = feed.path(files.name(start, day))
        files.save(out / path, feed.header + content)
        booked[path] = account(feed.name, feed.soiled.kind[where])
        found.append(defects(path, feed.soiled.kind[where], header=len(feed.header) > 0))
    return Written(booked, pd.concat(found) if found else defects("", np.array([], "U1"), 0))


def write_again(out: Path, feed: Feed, start: date) -> dict[str, Account]:
    """Write one day's content a second time, packed tighter; by name that file comes after the first."""
    days = np.unique(feed.soiled.day).tolist()
    day = files.name(start, days[min(REPEATED_DAY, len(days) // 3)])
    files.save(out / feed.path(day, "_again"), files.load(out / feed.path(day)), level=9)
    return {feed.path(day, "_again"): repeated(feed.name, of=feed.path(day))}
