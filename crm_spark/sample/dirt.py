"""Dirt: additional lines, each a real line of the same file with one defect, so that the truth stays whole.

What a right ingestion makes of each kind is known: refused, dropped as an exact repeat, or loaded
with a warning.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crm_spark.sample.process import Ints
from crm_spark.sample.products import DISCONTINUED
from crm_spark.sample.receipts import COLUMNS

Spoil = Callable[[bytes, int], bytes]

CLEAN, DUPLICATE, ORPHAN = "", "duplicate", "return_without_sale"
NEW_LINES = 50
NEW_ORDERS = 90_000_000_000
SOMEBODY = b"0000001"  # a return of nobody's cannot be held against sales


@dataclass(frozen=True)
class Soiled:
    """A file's lines with the dirt among them.

    Parameters
    ----------
    lines : array of bytes
        The lines, newline included.
    kind : array of str
        The defect of each, empty for a clean line.
    source : array
        Which clean line each is, or was made from.
    """

    lines: pa.LargeBinaryArray
    kind: NDArray[np.str_]
    source: Ints


def outcome(kind: str) -> str:
    """Tell what a right ingestion makes of a defect."""
    return {DUPLICATE: "duplicate", ORPHAN: "warned"}.get(kind, "quarantined")


def soil(
    draws: np.random.Generator, lines: pa.Array, share: float, spoilers: Mapping[str, Spoil], first: int
) -> Soiled:
    """Add a share of spoiled lines to a file, every kind about as often, each after the line it is made of.

    Parameters
    ----------
    first : int
        Numbers the spoiled lines, apart from those of all other files.
    """
    size = len(lines)
    count = min(size, int(share * size + draws.random()))
    source = draws.choice(size, count, replace=False)
    kinds = np.resize(draws.permutation(list(spoilers)), count)
    spoiled = [
        spoilers[kind](line.removesuffix(b"\n"), first + nth) + b"\n"
        for nth, (kind, line) in enumerate(zip(kinds, lines.take(pa.array(source)).to_pylist(), strict=True))
    ]
    place = draws.integers(source + 1, size + 1) - 0.5
    order = np.argsort(np.concatenate([np.arange(size), place]), kind="stable")
    everything = pa.concat_arrays([lines, pa.array(spoiled, pa.large_binary())])
    return Soiled(
        everything.take(pa.array(order)),
        np.concatenate([np.full(size, CLEAN), kinds])[order],
        np.concatenate([np.arange(size), source])[order],
    )


def repeat(line: bytes, _: int) -> bytes:
    """Say the same again."""
    return line


def row(change: Callable[[dict[str, bytes], int], None]) -> Spoil:
    """Spoil fields of an order line; the spoiled one bears a line number of its own."""

    def spoil(line: bytes, nth: int) -> bytes:
        values = dict(zip(COLUMNS, line.split(b","), strict=True))
        values["line_no"] = b"%d" % (int(values["line_no"]) + NEW_LINES)
        change(values, nth)
        return b",".join(values.values())

    return spoil


def field(name: str, value: Callable[[bytes], bytes]) -> Spoil:
    """Spoil one field of an order line."""
    return row(lambda values, _: values.update({name: value(values[name])}))


def lose(values: dict[str, bytes], _: int) -> None:
    """Lose the last fields."""
    for name in COLUMNS[-3:]:
        del values[name]


def orphan(values: dict[str, bytes], nth: int) -> None:
    """Make it the return of a product that nobody bought since the shop's files begin."""
    values |= {
        "order_no": b"%d" % (NEW_ORDERS + nth),
        "line_no": b"1",
        "sku": DISCONTINUED.encode(),
        "qty": b"-1",
    }
    values |= {"kind": b"R", "refers_to": b"", "store_no": b"101", "discount": b"0.00"}
    values["customer_no"] = values["customer_no"] or SOMEBODY


def pattern(found: bytes, put: bytes) -> Spoil:
    """Spoil a JSON line where a pattern is found."""
    return lambda line, _: re.sub(found, lambda _: put, line, count=1)


ORDERS: dict[str, Spoil] = {
    DUPLICATE: repeat,
    "bad_number": field("unit_price", lambda _: b'"12,x"'),
    "bad_date": field("sold_at", lambda _: b"31.02.2025 10:00:00"),
    "unknown_currency": field("currency", lambda _: b"XXX"),
    "unknown_store": field("store_no", lambda _: b"999"),
    "negative_price": field("unit_price", lambda price: b"-" + price),
    "missing_order_number": field("order_no", lambda _: b""),
    "short_row": row(lose),
    "long_row": row(lambda values, _: values.update(more=b"left", still_more=b"over")),
    "unclosed_quote": field("sku", lambda sku: b'"' + sku),
    "not_utf8": field("sku", lambda sku: sku + b"\xfc"),
    "nul_byte": field("sku", lambda sku: sku + b"\x00"),
    "future_date": field("sold_at", lambda at: at[:6] + b"2999" + at[10:]),
    ORPHAN: row(orphan),
}
CUSTOMERS: dict[str, Spoil] = {
    DUPLICATE: repeat,
    "cut_json": lambda line, _: line[: len(line) // 2],
    "missing_customer_number": pattern(rb'"customer_no":"\d+"', b'"customer_no":null'),
    "bad_date": pattern(rb'"birth_date":"\d{4}-\d\d-\d\d"', b'"birth_date":"1985-02-31"'),
    "not_utf8": pattern(rb'"name":"', b'"name":"\xfc'),
    "nul_byte": pattern(rb'"name":"', b'"name":"\x00'),
}
EVENTS: dict[str, Spoil] = {
    DUPLICATE: repeat,
    "cut_json": lambda line, _: line[: len(line) // 2],
    "missing_event_id": pattern(rb'"event_id":"\w+"', b'"event_id":null'),
    "bad_date": pattern(rb'"at":"\d{4}-\d\d-\d\d', b'"at":"2025-02-31'),
    "future_date": pattern(rb'"at":"\d{4}', b'"at":"2999'),
    "not_utf8": pattern(rb'"session":"', b'"session":"\xfc'),
    "nul_byte": pattern(rb'"session":"', b'"session":"\x00'),
}
