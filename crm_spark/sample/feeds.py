"""The feeds that customers fill: what each chunk of them adds to each file, and how a file is put together.

A piece is what one chunk adds to one file: its lines with what is needed to order, soil and count them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from crm_spark.sample import campaigns, customers, dirt, events, feedback, files, paths, receipts
from crm_spark.sample.accounts import account, defects, repeated
from crm_spark.sample.dirt import Spoil
from crm_spark.sample.orders import NOBODY, SALE
from crm_spark.sample.setting import MISSING_DAY, REPEATED_DAY, Setting
from crm_spark.sample.streams import stream
from crm_spark.sample.trade import ZONE, Trade

Pieces = Iterator[tuple[str, pa.Table]]
DAY, MONTH = "%Y-%m-%d", "%Y-%m"
MOST_DIRT = 100_000  # spoiled lines of one file


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


FEEDS = {
    "orders": Feed(orders, "csv.gz", receipts.COLUMNS, spoilers=dirt.ORDERS),
    "customers": Feed(master, "jsonl", spoilers=dirt.CUSTOMERS),
    "events": Feed(browsing, "jsonl.gz", spoilers=dirt.EVENTS),
    "feedback": Feed(opinions, "csv", feedback.OLD, MONTH),
    "contacts": Feed(contacts, "csv", campaigns.CONTACTS, MONTH),
    "responses": Feed(responses, "csv", campaigns.ANSWERS, MONTH),
}


def pieces(trade: Trade) -> Pieces:
    """Give what a chunk adds to each file, by the file's path."""
    start = trade.world.setting.start
    for name, feed in FEEDS.items():
        rows = feed.spell(trade).sort_by([("day", "ascending"), ("second", "ascending")])
        for part, where in files.cut(files.names(start, rows["day"].to_numpy(), feed.period)):
            yield f"{name}/{part}.{feed.suffix}", rows.slice(where.start, where.stop - where.start)


def write(out: str, setting: Setting, path: str, rows: pa.Table) -> dict[str, Any]:
    """Put a file together from its pieces, in order of chunk.

    Returns
    -------
    dict
        `accounts` of the files written, by path, and `sums` of the order lines.
    """
    name = path.partition("/")[0]
    feed = FEEDS[name]
    rows = rows.sort_by([("day", "ascending"), ("second", "ascending")]).combine_chunks()
    lines = rows["line"].combine_chunks()
    soiled = soil(setting, name, feed, int(rows["day"][0].as_py()), lines)
    header = ",".join(columns(setting, feed, path)).encode() + b"\n" if feed.columns else b""
    if path == missing(setting):
        return {"accounts": {}, "sums": {}}
    files.save(out, path, header + files.text(soiled.lines))
    found = defects(path, soiled.kind, header=bool(header))
    if found:
        files.save(out, f"truth/defects/{path.partition('.')[0]}.csv", found)
    booked = {path: account(name, soiled.kind)}
    again = path.replace(".", "_again.", 1)
    if path == repeats(setting):
        files.save(out, again, header + files.text(soiled.lines), level=9)  # other bytes, equal content
        booked[again] = repeated(name, of=path)
    return {"accounts": booked, "sums": sums(rows, soiled) if name == "orders" else {}}


def soil(setting: Setting, name: str, feed: Feed, day: int, lines: pa.Array) -> dirt.Soiled:
    """Put the dirt among a file's lines."""
    share = setting.dirt if feed.spoilers else 0.0
    return dirt.soil(stream(setting.seed, f"{name} dirt", day), lines, share, feed.spoilers, day * MOST_DIRT)


def columns(setting: Setting, feed: Feed, path: str) -> Sequence[str]:
    """Give the columns of a file; those of feedback change half-way."""
    is_changed = (
        path.startswith("feedback/")
        and path >= f"feedback/{files.names(setting.start, np.array([changed(setting)]), MONTH)[0]}"
    )
    return feedback.NEW if is_changed else feed.columns


def changed(setting: Setting) -> int:
    """Give the day from which feedback has other columns: the first of a month half-way."""
    firsts = [day for day in range(1, setting.days) if (setting.start + timedelta(days=day)).day == 1]
    return firsts[len(firsts) // 2] if firsts else setting.days


def repeats(setting: Setting) -> str:
    """Name the file whose content comes again under another name."""
    return _dated(setting, min(REPEATED_DAY, setting.days // 3), "orders", "csv.gz")


def missing(setting: Setting) -> str:
    """Name the file that never came."""
    return _dated(setting, min(MISSING_DAY, setting.days // 2), "events", "jsonl.gz")


def _dated(setting: Setting, day: int, feed: str, suffix: str) -> str:
    return f"{feed}/{files.names(setting.start, np.array([day]))[0]}.{suffix}" if setting.dirt else ""


def sums(rows: pa.Table, soiled: dirt.Soiled) -> dict[str, Any]:
    """Sum the lines of a day's file of orders: of the clean shop, and of the returns without a sale; euros are 1e-4."""
    day, order_day, kind, euros, unit, is_first, is_named = (
        rows[name].to_numpy() for name in ("day", "order_day", "kind", "euros", "unit", "is_first", "is_named")
    )
    sales = kind == SALE
    days, of = np.unique(order_day, return_inverse=True)
    orphans = unit[soiled.source[soiled.kind == dirt.ORPHAN]]
    return {
        "clean": {
            "day": int(day[0]),
            "lines": len(rows),
            "sale_lines": int(sales.sum()),
            "orders": int((sales & is_first).sum()),
            "anonymous_orders": int((sales & is_first & ~is_named).sum()),
            "returns": int((~sales & is_first).sum()),
            "sales": int(euros[sales].sum()),
            "returned": int(euros[~sales].sum()),
            "by_order_day": {str(at): int(euros[of == nth].sum()) for nth, at in enumerate(days.tolist())},
        },
        "orphans": {
            "day": int(day[0]),
            "lines": len(orphans),
            "returns": len(orphans),
            "returned": -int(orphans.sum()),
            "by_order_day": {str(day[0]): -int(orphans.sum())},
        },
    }
