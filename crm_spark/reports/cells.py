"""One value, three faces: as a reader sees it, as a spreadsheet keeps it, as a picture draws it.

A label may end with a unit in brackets: `Share [%]`. The unit `money`, and the sign ¤ in a sentence, stand
for the lake's currency, which a section does not know.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from crm_spark.core.sections import Rows

MONEY = "money"
LABEL = re.compile(r"(?P<name>.+?)\s*[\[(](?P<unit>[^\])]+)[\])]")
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*([eE][+-]?\d+)?")
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
NOTHING = "–"
THOUSANDS, MILLIONS = 100_000, 10_000_000  # from here on a picture counts in them


@dataclass(frozen=True)
class Head:
    """What a column is called, and its unit."""

    name: str
    unit: str = ""
    is_money: bool = False

    @property
    def title(self) -> str:
        """The name with its unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


def heads(rows: Rows, labels: Mapping[str, str], currency: str) -> dict[str, Head]:
    """Name every column of the rows, by its label or else by itself."""
    names = rows[0] if rows else {}
    return {name: head(labels.get(name, name.replace("_", " ").capitalize()), currency) for name in names}


def head(label: str, currency: str) -> Head:
    """Part a label into its name and its unit."""
    parted = LABEL.fullmatch(label)
    if parted is None:
        return Head(label)
    is_money = parted["unit"] == MONEY
    return Head(parted["name"], currency if is_money else parted["unit"], is_money)


def spoken(text: str, currency: str) -> str:
    """Put the lake's currency where a sentence has ¤, and keep each percent sign with its number."""
    return text.replace("¤", currency).replace(" %", "\u00a0%")


def is_number(value: Any) -> bool:
    """Whether a value is counted, not named."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def shown(value: Any, head: Head) -> str:
    """Write a value for a reader: thousands separated, money with two digits."""
    if value is None or (is_number(value) and not math.isfinite(value)):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_number(value):
        return _number(value, head)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return _text(value)


def short(value: Any, head: Head, most: float) -> str:
    """Write a value where there is little room: beside a bar, in a cell of a map.

    Parameters
    ----------
    most : float
        The largest value of the picture, which decides for all of them.
    """
    if value is None or not is_number(value) or not math.isfinite(value):
        return "" if value is None else shown(value, head)
    if most >= MILLIONS and abs(value) >= MILLIONS / 100:
        return _signed(f"{value / 1_000_000:,.1f}") + " M"
    if most >= THOUSANDS and abs(value) >= THOUSANDS / 100:
        return _signed(f"{value / 1_000:,.0f}") + " k"
    return _signed(f"{value:,.0f}") if head.unit != "%" and most >= 100 else shown(value, head)


def saved(value: Any) -> str:
    """Write a value for a spreadsheet: in full, and never as a formula."""
    if value is None or (is_number(value) and not math.isfinite(value)):
        return ""
    if is_number(value):
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    return guarded(_text(value))


def guarded(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would compute."""
    is_formula = text.lstrip().startswith(FORMULA) and not NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def drawn(value: Any) -> str | int | float | None:
    """Give a value as JSON can hold it."""
    if isinstance(value, bool) or value is None:
        return None if value is None else shown(value, Head(""))
    if is_number(value):
        return None if not math.isfinite(value) else value if isinstance(value, int) else float(value)
    return _text(value)


def _number(value: int | float | Decimal, head: Head) -> str:
    if head.is_money:
        return _signed(f"{value:,.2f}")
    if isinstance(value, int):
        return f"{value:,}"
    if head.unit == "%":
        return _signed(f"{value:,.1f}")
    if value == int(value):
        return f"{int(value):,}"
    is_small = 0 < abs(float(value)) < 0.005
    return f"{float(value):.2g}" if is_small else _signed(f"{value:,.2f}")


def _signed(text: str) -> str:
    """Drop the sign of a rounded zero."""
    return text.removeprefix("-") if not text.strip("-0.,") else text


def _text(value: Any) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)
