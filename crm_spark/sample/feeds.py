"""The feeds that customers fill: what each chunk of them adds to each file.

A piece is what one chunk adds to one file: its lines with what is needed to order, soil and count them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from crm_spark.sample import campaigns, contracts, customers, dirt, events, feedback, files, paths, receipts
from crm_spark.sample.dirt import Spoil
from crm_spark.sample.orders import NOBODY
from crm_spark.sample.setting import Setting
from crm_spark.sample.streams import stream
from crm_spark.sample.trade import ZONE, Trade

Pieces = Iterator[tuple[str, pa.Table]]
DAY, MONTH = "%Y-%m-%d", "%Y-%m"


@dataclass(frozen=True)
class Feed:
    """A feed that customers fill.

    Parameters
    ----------
    spell : callable
        Makes the pieces' rows of a trade: `line` and what counts them, `day` and `second` to order them.
    suffix : str
        How its files end.
    columns : sequence of str
        The first line of each file, if there is one.
    period : str
        What a file is for: a day or a month.
    spoilers : mapping
        How its lines are spoiled, by kind of defect.
    """

    spell: Callable[[Trade], pa.Table]
    suffix: str
    columns: Sequence[str] = ()
    period: str = DAY
    spoilers: Mapping[str, Spoil] = field(default_factory=dict)


def table(line: pa.Array, day: ArrayLike, second: ArrayLike, **counted: ArrayLike) -> pa.Table:
    """Make the rows of a piece; `second` counts from any moment that all chunks share."""
    given = {
        "day": np.asarray(day),
        "second": np.asarray(second),
        **{name: np.asarray(of) for name, of in counted.items()},
    }
    return pa.table({"line": line, **{name: pa.array(values) for name, values in given.items()}})


def orders(trade: Trade) -> pa.Table:
    """Spell the receipts, with what the truth sums."""
    books, world = trade.receipts, trade.world
    lines, orders = books.lines, books.orders.iloc[books.lines["order"]]
    rate = world.rates[lines["day"], orders["currency"]]
    return table(
        receipts.lines(books, world.products, world.setting.start, trade.numbers, trade.chunk),
        lines["day"], lines["second"],
        order_day=orders["day"], kind=orders["kind"], is_first=lines["line"] == 1,
        is_named=orders["customer"] != NOBODY,
        euros=receipts.euros(books, world.rates), unit=lines["unit_price"] * rate,
    )  # fmt: skip


def master(trade: Trade) -> pa.Table:
    """Spell the new and changed rows of the customer master."""
    rows = trade.versions
    return table(
        customers.lines(trade.people, rows, trade.world.setting.start, trade.numbers), rows["day"], np.zeros(len(rows))
    )


def browsing(trade: Trade) -> pa.Table:
    """Draw and spell the events; their days are those of UTC."""
    setting = trade.world.setting
    draws = stream(setting.seed, "browsing", trade.chunk)
    seen = events.browse(
        draws, trade.receipts.orders, trade.people, paths.planted(setting), setting.days, ZONE, setting.start
    )
    draws = stream(setting.seed, "events", trade.chunk)
    lines = events.lines(draws, seen, trade.world.products, setting.start, trade.numbers, trade.chunk)
    return table(lines, seen["at"] // events.DAY, seen["at"] % events.DAY)


def opinions(trade: Trade) -> pa.Table:
    """Draw and spell the feedback."""
    setting = trade.world.setting
    said = feedback.say(stream(setting.seed, "feedback", trade.chunk), trade.receipts.orders, setting.days)
    lines = feedback.lines(said, setting.start, trade.numbers, trade.chunk, changed(setting))
    return table(lines, said["day"], said["second"])


def contacts(trade: Trade) -> pa.Table:
    """Spell the contacts of all campaigns."""
    lines = campaigns.contact_lines(trade.contacts, trade.world.setting.start, trade.numbers)
    return table(lines, trade.contacts["day"], trade.contacts["second"])


def responses(trade: Trade) -> pa.Table:
    """Draw and spell the responses."""
    setting = trade.world.setting
    answers = campaigns.respond(stream(setting.seed, "responses", trade.chunk), trade.contacts, setting.days)
    lines = campaigns.response_lines(answers, trade.contacts, setting.start, trade.numbers)
    return table(lines, answers["day"], answers["second"])


def agreements(trade: Trade) -> pa.Table:
    """Spell the contracts, new and cancelled."""
    setting = trade.world.setting
    rows = contracts.spoken(trade.contracts, setting.days)
    return table(contracts.lines(rows, setting.start, trade.numbers), rows["day"], np.zeros(len(rows)))


FEEDS = {
    "orders": Feed(orders, "csv.gz", receipts.COLUMNS, spoilers=dirt.ORDERS),
    "customers": Feed(master, "jsonl", spoilers=dirt.CUSTOMERS),
    "events": Feed(browsing, "jsonl.gz", spoilers=dirt.EVENTS),
    "feedback": Feed(opinions, "csv", feedback.OLD, MONTH),
    "contacts": Feed(contacts, "csv", campaigns.CONTACTS, MONTH),
    "responses": Feed(responses, "csv", campaigns.ANSWERS, MONTH),
    "contracts": Feed(agreements, "csv", contracts.COLUMNS, MONTH),
}


def pieces(trade: Trade) -> Pieces:
    """Give what a chunk adds to each file, by the file's path."""
    start = trade.world.setting.start
    for name, feed in FEEDS.items():
        rows = feed.spell(trade).sort_by([("day", "ascending"), ("second", "ascending")])
        for part, where in files.cut(files.names(start, rows["day"].to_numpy(), feed.period)):
            yield f"{name}/{part}.{feed.suffix}", rows.slice(where.start, where.stop - where.start)


def changed(setting: Setting) -> int:
    """Give the day from which feedback has other columns: the first of a month half-way."""
    firsts = [day for day in range(1, setting.days) if (setting.start + timedelta(days=day)).day == 1]
    return firsts[len(firsts) // 2] if firsts else setting.days
