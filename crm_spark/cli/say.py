"""How the command line speaks: tables and sentences for people; plain and unwrapped where no terminal is."""

import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, TextIO

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table as Grid
from rich.text import Text

UNWRAPPED = 1_000  # columns, where no one looks
SHORT = 20  # a cell up to this length is not broken into lines
STYLES = {
    "ok": "green",
    "done": "green",
    "warning": "yellow",
    "skipped": "dim",
    "started": "yellow",
    "problem": "bold red",
    "failed": "bold red",
}


def console(stream: TextIO | None = None) -> Console:
    """Make a console that takes text as it is; without a terminal it wraps nothing."""
    stream = stream or sys.stdout
    width = None if stream.isatty() else UNWRAPPED
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def lines(*parts: RenderableType) -> None:
    """Print the answer."""
    out = console()
    for part in parts:
        out.print(part, soft_wrap=isinstance(part, str))


def complain(sentence: str) -> None:
    """Print what went wrong, on standard error."""
    console(sys.stderr).print(Text.assemble(("crm: ", "bold red"), sentence), soft_wrap=True)


def warn(sentence: str) -> None:
    """Print a warning, on standard error."""
    console(sys.stderr).print(Text.assemble(("warning: ", "yellow"), sentence), soft_wrap=True)


def grid(headings: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Grid:
    """Make a table. Numbers are aligned to the right; nothing at all is a dash; a status has its colour."""
    listed = [list(row) for row in rows]
    made = Grid(
        box=box.SIMPLE_HEAD if sys.stdout.isatty() else None,
        title=title,
        title_justify="left",
        pad_edge=False,
    )
    for index, heading in enumerate(headings):
        values = [row[index] for row in listed]
        side: Literal["left", "right"] = "right" if any(isinstance(value, int | float) for value in values) else "left"
        is_short = all(len(str(value)) <= SHORT for value in values)
        made.add_column(heading, justify=side, overflow="fold", no_wrap=is_short)
    for row in listed:
        made.add_row(*[_cell(value) for value in row])
    return made


def busy(what: str) -> AbstractContextManager[object]:
    """Show on a terminal that something goes on."""
    return console(sys.stderr).status(what) if sys.stderr.isatty() else nullcontext()


def size(count: int | None) -> str | None:
    """Write a number of bytes as people read it."""
    if count is None:
        return None
    value, units = float(count), ["B", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def _cell(value: object) -> Text:
    if value is None or value == "":
        return Text("-", style="dim")
    if isinstance(value, int) and not isinstance(value, bool):
        return Text(f"{value:,}")
    return Text(str(value), style=STYLES.get(str(value), ""))
