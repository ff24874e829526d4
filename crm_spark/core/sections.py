"""What a job shows on the page, as data: numbers, one sentence about them, and how to draw them.

A domain says what is worth showing; `crm_spark.reports` alone knows how a page and a picture are made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Lines:
    """A line for each `y` over `x`."""

    x: str
    y: Sequence[str]


@dataclass(frozen=True)
class Bars:
    """A bar of length `y` for each `x`; `stack` names a column whose values are stacked."""

    x: str
    y: str
    stack: str | None = None
    horizontal: bool = False


@dataclass(frozen=True)
class Heat:
    """A coloured cell of `value` for each `x` and `y`."""

    x: str
    y: str
    value: str


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Parameters
    ----------
    title : str
        What it answers, in a manager's words.
    rows : DataFrame
        The numbers: an aggregate of at most a few thousand rows, never a row for each customer.
    sentence : callable
        Makes the one sentence that says what is seen, from those rows.
    picture : Lines, Bars or Heat
    labels : mapping
        For each column what it is called and, in brackets, its unit.
    order_by : sequence of str
        Columns that order the rows.
    """

    title: str
    rows: DataFrame
    sentence: Callable[[Rows], str]
    picture: Lines | Bars | Heat
    labels: Mapping[str, str] = field(default_factory=dict)
    order_by: Sequence[str] = ()
