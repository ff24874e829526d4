"""Bars, standing or lying: names in the order of the rows, numbers at their ends."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import plotly.graph_objects as go

from crm_spark.core.sections import Bars, Rows
from crm_spark.reports.cells import Head, drawn, short, shown
from crm_spark.reports.look import axis, broken, escaped, is_dated, values

MOST_BARS = 20  # named bars that a reader can take in
BAR, LINE = 13, 17  # pixels: a bar that lies, a line of text
NARROW, WIDE = 20, 44  # letters of a name before it is broken: below a bar, above one

Sums = dict[tuple[Any, Any], Any]  # by name and stack

BESIDE = {"showarrow": False, "xanchor": "left"}


def draw(picture: Bars, rows: Rows, heads: Mapping[str, Head]) -> go.Figure:
    """Draw a bar for each name; of more than `MOST_BARS` names the first ones."""
    names = values(rows, picture.x)[: None if is_dated(rows, picture.x) else MOST_BARS]
    stacks = values(rows, picture.stack) if picture.stack else [None]
    sums = _sums(rows, picture)
    ends = _ends(sums, names)
    figure = go.Figure()
    for stack in stacks:
        lengths = [sums.get((name, stack)) for name in names]
        figure.add_bar(
            x=[broken(name, NARROW) for name in names],
            y=[drawn(length) for length in lengths],
            name=escaped(shown(stack, Head(""))),
            text=[short(length, heads[picture.y], max(map(abs, ends))) for length in lengths],
            textposition="outside" if len(stacks) == 1 and len(names) <= MOST_BARS else "none",
            textangle=0,
            constraintext="none",
            cliponaxis=False,
            hovertemplate="%{x}: %{text}" + ("" if picture.stack else "<extra></extra>"),
        )
    figure.update_layout(barmode="relative", bargap=0.3 if len(names) > 3 else 0.7)
    figure.update_layout(showlegend=len(stacks) > 1, title_text=escaped(heads[picture.y].title))
    if picture.horizontal:
        return _lying(figure, names, sums, ends, heads[picture.y])
    figure.update_layout(height=340)
    figure.update_yaxes(range=ends)
    return figure.update_xaxes(**axis(rows, picture.x, heads[picture.x], is_named=True))


def _lying(figure: go.Figure, names: list[Any], sums: Sums, ends: list[float], head: Head) -> go.Figure:
    """Lay the bars down, each below its name: beside it a long name would leave no width for the bar.

    The axis that bears the names counts pixels, so that a name may take several lines.
    """
    written = [broken(name, WIDE) for name in names]
    tops = list(accumulate([LINE * (name.count("<br>") + 1) + 2 * BAR for name in written], initial=0))
    middles = [top - BAR for top in tops[1:]]
    for trace in figure.data:
        hover = trace.hovertemplate.replace("%{x}", "%{customdata}")
        trace.update(x=trace.y, y=middles, customdata=written, width=BAR, orientation="h", hovertemplate=hover)
    for name, top in zip(written, tops, strict=False):
        figure.add_annotation(**BESIDE, text=name, x=0, xref="paper", y=top, yanchor="top", align="left")
    if len(figure.data) > 1:
        for name, middle in zip(names, middles, strict=True):
            total = _total(sums, name)
            figure.add_annotation(
                **BESIDE, text=short(total, head, max(map(abs, ends))), x=max(float(total), 0.0), y=middle
            )
    figure.update_layout(height=88 + tops[-1], legend_y=-40 / tops[-1])
    figure.update_xaxes(range=ends, showgrid=True, nticks=5)
    return figure.update_yaxes(range=[tops[-1], 0], showgrid=False, showticklabels=False, zeroline=False)


def _sums(rows: Rows, picture: Bars) -> Sums:
    sums: Sums = {}
    for row in rows:
        key = (row[picture.x], row[picture.stack] if picture.stack else None)
        if drawn(row[picture.y]) is not None:
            sums[key] = sums[key] + row[picture.y] if key in sums else row[picture.y]
    return sums


def _total(sums: Sums, name: Any) -> Any:
    return sum(value for (named, _), value in sums.items() if named == name)


def _ends(sums: Sums, names: list[Any]) -> list[float]:
    """Give the ends of the axis: beyond the longest bars, where their numbers stand."""
    low, high = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for (name, _), value in sums.items():
        if name in low:
            low[name] += min(float(value), 0.0)
            high[name] += max(float(value), 0.0)
    least, most = min(low.values()), max(high.values())
    room = 0.16 * (most - least)
    return [least - room if least else 0.0, most + room if most else 0.0] if room else [0.0, 1.0]
