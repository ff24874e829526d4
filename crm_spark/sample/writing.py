"""How a file is put together from its pieces: in order of time, with its dirt, accounted for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from crm_spark.sample import dirt, feedback, feeds, files
from crm_spark.sample.accounts import account, defects, repeated
from crm_spark.sample.orders import SALE
from crm_spark.sample.setting import MISSING_DAY, REPEATED_DAY, Setting
from crm_spark.sample.streams import stream

MOST_DIRT = 100_000  # spoiled lines of one file


def write(out: str, setting: Setting, path: str, rows: pa.Table) -> dict[str, Any]:
    """Put a file together from its pieces, in order of chunk.

    Returns
    -------
    dict
        `accounts` of the files written, by path, and `sums` of the order lines.
    """
    if path == missing(setting):
        return {"accounts": {}, "sums": {}}
    name = path.partition("/")[0]
    feed = feeds.FEEDS[name]
    rows = rows.sort_by([("day", "ascending"), ("second", "ascending")]).combine_chunks()
    lines = rows["line"].combine_chunks()
    soiled = soil(setting, name, feed, int(rows["day"][0].as_py()), lines)
    header = ",".join(columns(setting, feed, path)).encode() + b"\n" if feed.columns else b""
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


def soil(setting: Setting, name: str, feed: feeds.Feed, day: int, lines: pa.Array) -> dirt.Soiled:
    """Put the dirt among a file's lines."""
    share = setting.dirt if feed.spoilers else 0.0
    return dirt.soil(stream(setting.seed, f"{name} dirt", day), lines, share, feed.spoilers, day * MOST_DIRT)


def columns(setting: Setting, feed: feeds.Feed, path: str) -> Sequence[str]:
    """Give the columns of a file; those of feedback change half-way."""
    is_changed = (
        path.startswith("feedback/")
        and path >= f"feedback/{files.names(setting.start, np.array([feeds.changed(setting)]), feeds.MONTH)[0]}"
    )
    return feedback.NEW if is_changed else feed.columns


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
