"""One look for every picture: colours that colour-blind people can tell apart, axes, names.

References
----------
Okabe, M., Ito, K. (2008). Color Universal Design.
"""

import html
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from crm_spark.core.sections import Rows
from crm_spark.reports.cells import Head, drawn, is_number, shown

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555"]
INK, QUIET, GRID = "#1F2933", "#52606D", "#E4E7EB"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
DAY = re.compile(r"\d{4}-\d{2}(-\d{2})?")

AXIS = {
    "automargin": True,
    "gridcolor": GRID,
    "linecolor": GRID,
    "zerolinecolor": "#9AA5B1",
    "tickcolor": GRID,
    "exponentformat": "none",
    "separatethousands": True,
    "title": {"font": {"size": 13, "color": QUIET}, "standoff": 10},
}
LOOK = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": INK},
        "colorway": COLOURS,
        "paper_bgcolor": "#FFFFFF",
        "plot_bgcolor": "#FFFFFF",
        "separators": ".,",
        "margin": {"l": 8, "r": 8, "t": 40, "b": 8},
        "title": {"x": 0, "xref": "paper", "xanchor": "left", "font": {"size": 13, "color": QUIET}},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.16, "yanchor": "top"},
        "hoverlabel": {"bgcolor": "#FFFFFF", "bordercolor": GRID, "font": {"color": INK}},
        "xaxis": {**AXIS, "showgrid": False},
        "yaxis": AXIS,
        "bargap": 0.3,
        "dragmode": False,
    }
)


def axis(rows: Rows, name: str, head: Head, is_named: bool = False) -> dict[str, Any]:
    """Let an axis count by days, by numbers, or by names. A lone day has no scale: it is a name."""
    steps = values(rows, name)
    if is_dated(rows, name) and len(steps) > 1:
        return {"type": "date", **({"dtick": 86_400_000, "tickformat": "%e %b"} if len(steps) <= 7 else {})}
    if not is_named and len(steps) > 1 and all(is_number(step) for step in steps):
        return {"type": "linear", "title_text": escaped(head.title)}
    return {"type": "category", "title_text": "" if is_dated(rows, name) else escaped(head.title)}


def shared(heads: Sequence[Head]) -> str:
    """Name an axis that serves several columns: by their common unit."""
    units = {head.unit for head in heads}
    return heads[0].title if len(heads) == 1 else units.pop() if len(units) == 1 else ""


def values(rows: Rows, name: str) -> list[Any]:
    """Distinct values, in the order in which they appear."""
    return list(dict.fromkeys(row[name] for row in rows))


def is_dated(rows: Rows, name: str) -> bool:
    """Whether a column holds days or months."""
    return all(DAY.fullmatch(str(drawn(value))[:10]) for value in values(rows, name))


def is_scale(rows: Rows, name: str) -> bool:
    """Whether a column holds steps of one scale, which a reader takes in at once: days, months or numbers."""
    return is_dated(rows, name) or all(is_number(value) for value in values(rows, name))


def broken(value: Any, width: int) -> str:
    """Break a long name into lines."""
    lines = textwrap.wrap(shown(value, Head("")), width)
    return "<br>".join(escaped(line) for line in lines) or " "


def escaped(text: str) -> str:
    """Keep text from being read as the mark-up that Plotly knows."""
    return html.escape(text, quote=False)
