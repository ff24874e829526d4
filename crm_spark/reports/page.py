"""One page for a person who has three minutes: sections with a sentence, a picture and its numbers.

The page is one HTML file that asks for nothing beyond itself. It holds aggregates, and the keys of a few customers.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from pyspark.sql import functions as F

from crm_spark.core.sections import Chapter, Picture, Rows, Section
from crm_spark.reports import cells, charts
from crm_spark.reports.cells import Head

EMPTY = "None so far: there are no such rows."
BYTE_ORDER_MARK = "\ufeff"  # without it Excel reads a CSV in another encoding


@dataclass(frozen=True)
class Part:
    """One section ready to draw, or the reason why there is none."""

    title: str
    chapter: Chapter
    rows: Rows = field(default_factory=list)
    sentence: str = ""
    picture: Picture | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def gather(section: Section, most: int = 2_000) -> Part:
    """Collect a section's numbers and put its sentence into words.

    Parameters
    ----------
    section : Section
        A column of its `order_by` that begins with `-` orders downwards.
    most : int, default 2000
        Rows that are collected at most; the part says so where there are more.
    """
    order = [F.desc(name[1:]) if name.startswith("-") else F.asc(name) for name in section.order_by]
    ordered = section.rows.orderBy(*order) if order else section.rows
    rows = [row.asDict(recursive=True) for row in ordered.limit(most + 1).collect()]
    how = [section.note] if section.note else []
    if not rows:
        notes = how if section.empty else [EMPTY] if section.empty is not None else []
        return Part(section.title, section.chapter, sentence=section.empty or "", notes=notes)
    cut = [f"Only the first {most:,} rows are shown."] if len(rows) > most else []
    rows = rows[:most]
    sentence = section.sentence(rows)
    return Part(section.title, section.chapter, rows, sentence, section.picture, section.labels, [*how, *cut])


def missing(title: str, chapter: Chapter, why: str) -> Part:
    """Make a part that only says why there is nothing to see."""
    return Part(title, chapter, notes=[why])


def render(parts: Sequence[Part], title: str, facts: Mapping[str, str]) -> str:
    """Write the page.

    Parameters
    ----------
    parts : sequence of Part
        In the order in which they stand within their chapter. One that says nothing is left out.
    title : str
    facts : mapping
        What stands below the title, by what it is called: the lake, the day it speaks for. `currency`
        is also the unit of all money.

    Returns
    -------
    str
        HTML, equal for equal input. About 5 MB with pictures, for they bring the code that draws them.
    """
    currency = facts.get("currency", "")
    said = [part for part in parts if part.rows or part.sentence or part.notes]
    views = [_View(part, f"section-{place}", currency) for place, part in enumerate(said, start=1)]
    chapters = {chapter: [view for view in views if view.part.chapter is chapter] for chapter in Chapter}
    has_pictures = any(view.figure for view in views)
    told = {name: text for name, text in facts.items() if name != "currency"}
    page = _templates().get_template("page.html.j2")
    plotly = Markup(get_plotlyjs()) if has_pictures else ""  # noqa: S704 (it is Plotly's code, no text of ours)
    filled = [(chapter.value, views) for chapter, views in chapters.items() if views]
    return page.render(title=title, facts=told, currency=currency, chapters=filled, plotly=plotly)


@dataclass(frozen=True)
class _View:
    """A part as the template asks for it."""

    part: Part
    id: str
    currency: str

    @property
    def sentence(self) -> str:
        return cells.spoken(self.part.sentence, self.currency)

    @property
    def notes(self) -> list[str]:
        left_out = charts.shortfall(self.part.picture, self.part.rows)
        return [cells.spoken(note, self.currency) for note in (*self.part.notes, left_out) if note]

    @cached_property
    def heads(self) -> dict[str, Head]:
        return cells.heads(self.part.rows, self.part.labels, self.currency)

    @cached_property
    def figure(self) -> str:
        chosen = charts.chosen(self.part.picture, self.part.rows)
        if self.part.picture is None or not chosen:
            return ""
        drawn = charts.figure(self.part.picture, chosen, self.heads)
        return Markup(drawn)  # noqa: S704 (there is no `<` in it)

    @cached_property
    def is_counted(self) -> dict[str, bool]:
        """Which columns hold numbers, and stand to the right."""
        return {name: any(cells.is_number(row[name]) for row in self.part.rows) for name in self.heads}

    @cached_property
    def lines(self) -> list[list[tuple[str, str]]]:
        """For each row its columns, each with its value as a reader sees it."""
        heads = self.heads.items()
        return [[(name, cells.shown(row[name], head)) for name, head in heads] for row in self.part.rows]

    @property
    def tabs(self) -> str:
        """The numbers as a spreadsheet takes them from the clipboard."""
        return self._written("excel-tab")

    @property
    def download(self) -> str:
        """The numbers as a CSV file within a link."""
        return "data:text/csv;charset=utf-8," + quote(BYTE_ORDER_MARK + self._written("excel"), safe="")

    @property
    def file(self) -> str:
        return re.sub(r"\W+", "_", self.part.title).strip("_").lower() + ".csv"

    def _written(self, dialect: str) -> str:
        text = io.StringIO()
        writer = csv.writer(text, dialect)
        writer.writerow([cells.guarded(head.title) for head in self.heads.values()])
        writer.writerows([[cells.saved(value) for value in row.values()] for row in self.part.rows])
        return text.getvalue()


def _templates() -> Environment:
    loader = PackageLoader("crm_spark.reports")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
