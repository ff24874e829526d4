"""Arrays to lines of text, quickly: each distinct value is spelled once, lines are joined in Arrow."""

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

Spell = Callable[[int], str]


def spelled(values: ArrayLike, spell: Spell) -> pa.Array:
    """Spell every value of an array of whole numbers."""
    distinct, where = np.unique(np.asarray(values), return_inverse=True)
    words = pa.array([spell(value) for value in distinct.tolist()], pa.large_string())
    return words.take(pa.array(where))


def chosen(values: ArrayLike, words: list[str]) -> pa.Array:
    """Replace numbers by the words that stand at their place."""
    return pa.array(words, pa.large_string()).take(pa.array(np.asarray(values)))


def either(condition: ArrayLike, yes: pa.Array | str, no: pa.Array | str) -> pa.Array:
    """Take the one text where the condition holds, else the other."""
    return pc.if_else(pa.array(np.asarray(condition)), text(yes), text(no))


def ids(values: ArrayLike, prefix: str = "", width: int = 7) -> pa.Array:
    """Spell numbers from 1, with leading zeros; below nought stands for nobody and is left empty."""
    numbers = np.asarray(values)
    digits = pc.utf8_lpad(pa.array(numbers + 1).cast(pa.large_string()), width, "0")
    return either(numbers >= 0, joined(prefix, digits) if prefix else digits, "")


def money(cents: ArrayLike) -> pa.Array:
    """Spell cents with two decimals."""
    return spelled(cents, lambda value: f"{'-' * (value < 0)}{abs(value) // 100}.{abs(value) % 100:02d}")


def dates(days: ArrayLike, start: date, pattern: str = "%Y-%m-%d") -> pa.Array:
    """Spell days of the shop."""
    return spelled(days, lambda day: (start + timedelta(days=day)).strftime(pattern))


def times(seconds: ArrayLike) -> pa.Array:
    """Spell seconds from midnight as HH:mm:ss."""
    return spelled(seconds, lambda at: f"{at // 3600:02d}:{at // 60 % 60:02d}:{at % 60:02d}")


def stamps(days: ArrayLike, seconds: ArrayLike, start: date, between: str) -> pa.Array:
    """Spell times on the shop's clock."""
    return joined(dates(days, start), between, times(seconds))


def joined(*parts: pa.Array | str, between: str = "") -> pa.Array:
    """Join columns and constants into one text each."""
    return pc.binary_join_element_wise(*map(text, parts), text(between))


def lines(*parts: pa.Array | str, between: str = "") -> pa.Array:
    """Join columns and constants into one line of bytes each, newline included."""
    return joined(joined(*parts, between=between), "\n").cast(pa.large_binary())


def text(part: pa.Array | str) -> pa.Array | pa.Scalar:
    """Make a constant one that goes with columns."""
    return pa.scalar(part, pa.large_string()) if isinstance(part, str) else part
