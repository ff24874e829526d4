"""What a job shows on the page, as data: numbers, one sentence about them, and how to draw them.

A domain says what is worth showing; `crm_spark.reports` alone knows how a page and a picture are made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

Rows = list[dict[str, Any]]


class Chapter(Enum):
    """What a reader asks, in the order of the page."""

    CHANGES = "What changed"
    ODDITIES = "What needs a look"
    CUSTOMERS = "Who buys"
    BEHAVIOUR = "How it moves"
    BASKETS = "What goes together"
    VALUE = "What it is worth"
    DATA = "What was loaded, and what was refused"


@dataclass(frozen=True)
class Lines:
    """A line for each `y` over `x`; `marked` names a column whose values, where there are any, get a ring each."""

    x: str
    y: Sequence[str]
    marked: str | None = None


@dataclass(frozen=True)
class Bars:
    """A bar of length `y` for each `x`.

    `stack` names a column whose values are stacked, `beside` another column that gets a bar of its own
    below that of `y`, `only` a column of truth values: where it is false, no bar is drawn. `base` names a column that
    says where a bar begins, which is else at 0: so bars lead from one number to another. `spread` names a column that
    says by how much `y` may be more or less, drawn as a thin line around the bar's end.
    """

    x: str
    y: str
    stack: str | None = None
    beside: str | None = None
    only: str | None = None
    horizontal: bool = False
    base: str | None = None
    spread: str | None = None


@dataclass(frozen=True)
class Heat:
    """A coloured cell of `value` for each `x` and `y`; `x_text` and `y_text` say in words what these are."""

    x: str
    y: str
    value: str
    x_text: str | None = None
    y_text: str | None = None


@dataclass(frozen=True)
class Tree:
    """A field for each `node`, below that of its `parent`, as wide as its `size`, coloured by `share` of 0 to 1."""

    node: str
    parent: str
    label: str
    size: str
    share: str


Picture = Lines | Bars | Heat | Tree


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Parameters
    ----------
    title : str
        What it answers, in a manager's words.
    chapter : Chapter
        Where it stands.
    rows : DataFrame
        The numbers, a few thousand rows at most: an aggregate or the first few of an order, never a row for each
        customer.
    sentence : callable
        Makes the one sentence that says what is seen, from those rows.
    picture : Lines, Bars, Heat or Tree
    labels : mapping
        For each column what it is called and, in brackets, its unit.
    order_by : sequence of str
        Columns that order the rows.
    note : str
        How the numbers were made, where a reader would ask.
    empty : str, optional
        What is said where there are no rows and that means something; with None the section is left out then.
    """

    title: str
    chapter: Chapter
    rows: DataFrame
    sentence: Callable[[Rows], str]
    picture: Picture
    labels: Mapping[str, str] = field(default_factory=dict)
    order_by: Sequence[str] = ()
    note: str = ""
    empty: str | None = ""


def newest(rows: DataFrame, among: DataFrame) -> DataFrame:
    """Give the rows of the newest day (`as_of`) of another table, or of the same.

    The day is a subquery: it chooses the files that are opened. A join would do so in some plans only.
    """
    return rows.where(F.col("as_of") == among.agg(F.max("as_of")).scalar())


def percent(name: str) -> Column:
    """Which share of its sum in all rows, of which there are few, a row has; 0 of a sum that is 0."""
    share = F.try_divide(F.col(name) * 100, F.sum(name).over(Window.partitionBy(F.lit(0))))
    return F.coalesce(share.cast("double"), F.lit(0.0))
