"""Bars, standing or lying: names in the order of the rows, numbers at their ends."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import plotly.graph_objects as go

from crm_spark.core.sections import Bars, Rows
from crm_spark.reports.cells import Head, drawn, short, shown
from crm_spark.reports.look import COLOURS, axis, broken, escaped, is_scale, shared, values

MOST_BARS = 12  # named bars that a reader can take in
BAR, LINE = 13, 17  # pixels: a bar that lies, a line of text
NARROW, WIDE = 20, 34  # letters of a name before it is broken: below a bar, above one

Layers = dict[str, dict[Any, Any]]  # lengths by what the colour says, then by name

BESIDE = {"showarrow": False, "xanchor": "left"}


def draw(picture: Bars, rows: Rows, heads: Mapping[str, Head]) -> go.Figure:
    """Draw a bar for each name, or each step of a scale; of more than `MOST_BARS` names the first ones."""
    names = values(rows, picture.x)[: None if is_scale(rows, picture.x) else MOST_BARS]
    layers = _layers(picture, rows, heads)
    bases = _sums(rows, picture.x, picture.base) if picture.base else {}
    spreads = _sums(rows, picture.x, picture.spread) if picture.spread else {}
    ends = _ends(layers, names, picture.stack is not None, bases, spreads)
    is_one = len(layers) == 1
    figure = go.Figure()
    for layer, lengths in layers.items():
        told = [lengths.get(name) for name in names]
        figure.add_bar(
            x=[broken(name, NARROW) for name in names],
            y=[drawn(length) for length in told],
            name=escaped(layer),
            text=[short(length, heads[picture.y], max(map(abs, ends))) for length in told],
            textposition="outside" if (is_one or picture.beside) and len(names) <= MOST_BARS else "none",
            textangle=0,
            constraintext="none",
            cliponaxis=False,
            hovertemplate="%{x}: %{text}" + ("<extra></extra>" if is_one else ""),
        )
        if bases:
            figure.data[-1].update(
                base=[drawn(bases[name]) for name in names],
                marker_color=[COLOURS[_way(bases[name], lengths.get(name))] for name in names],
            )
    if spreads:
        apart = {"type": "data", "array": [float(spreads.get(name, 0)) for name in names], "thickness": 1, "width": 3}
        figure.data[0].update(error_y=apart, textposition="none")
    figure.update_layout(barmode="group" if picture.beside else "relative", bargap=0.3 if len(names) > 3 else 0.7)
    counted = [heads[name] for name in (picture.y, picture.beside) if name]
    figure.update_layout(showlegend=not is_one, title_text=escaped(shared(counted) or counted[0].title))
    if picture.horizontal:
        return _lying(figure, picture, layers, names, ends, heads[picture.y])
    figure.update_layout(height=340)
    figure.update_yaxes(range=ends)
    return figure.update_xaxes(**axis(rows, picture.x, heads[picture.x], is_named=True))


def _lying(
    figure: go.Figure, picture: Bars, layers: Layers, names: list[Any], ends: list[float], head: Head
) -> go.Figure:
    """Lay the bars down, each below its name: beside it a long name would leave no width for the bar.

    The axis that bears the names counts pixels, so that a name may take several lines.
    """
    written = [broken(name, WIDE) for name in names]
    bars = len(layers) if picture.beside else 1
    heights = [LINE * (name.count("<br>") + 1) + (bars + 1) * BAR for name in written]
    tops = list(accumulate(heights, initial=0))
    for place, trace in enumerate(figure.data):
        hover = trace.hovertemplate.replace("%{x}", "%{customdata}")
        middles = [top - BAR * (bars - place % bars) for top in tops[1:]]
        if trace.error_y.array is not None:
            _number(figure, trace, middles)
            trace.update(error_x=trace.error_y.to_plotly_json(), error_y=None)
        trace.update(x=trace.y, y=middles, customdata=written, width=BAR, orientation="h", hovertemplate=hover)
    for name, top in zip(written, tops, strict=False):
        figure.add_annotation(**BESIDE, text=name, x=0, xref="paper", y=top, yanchor="top", align="left")
    if picture.stack and len(layers) > 1:
        for name, top in zip(names, tops[1:], strict=True):
            total = sum(lengths.get(name, 0) for lengths in layers.values())
            text = short(total, head, max(map(abs, ends)))
            figure.add_annotation(**BESIDE, text=text, x=max(float(total), 0.0), y=top - BAR)
    # Places of bars are given: no mode may move them.
    # Where there are two bars, a narrow screen takes another line to say which is which.
    figure.update_layout(
        height=88 + tops[-1] + (LINE if picture.beside else 0), legend_y=-40 / tops[-1], barmode="relative"
    )
    figure.update_xaxes(range=ends, showgrid=True, nticks=5)
    return figure.update_yaxes(range=[tops[-1], 0], showgrid=False, showticklabels=False, zeroline=False)


def _number(figure: go.Figure, trace: go.Bar, middles: Sequence[float]) -> None:
    """Write numbers where the lines of spread end."""
    for length, spread, text, middle in zip(trace.y, trace.error_y.array, trace.text, middles, strict=True):
        figure.add_annotation(**BESIDE, text=text, x=max((length or 0.0) + spread, 0.0), xshift=4, y=middle)


def _layers(picture: Bars, rows: Rows, heads: Mapping[str, Head]) -> Layers:
    if picture.beside:
        return {heads[name].name: _sums(rows, picture.x, name) for name in (picture.y, picture.beside)}
    stacks = values(rows, picture.stack) if picture.stack else [None]
    return {
        shown(stack, Head("")): _sums(
            [row for row in rows if not picture.stack or row[picture.stack] == stack], picture.x, picture.y
        )
        for stack in stacks
    }


def _sums(rows: Rows, name: str, value: str) -> dict[Any, Any]:
    sums: dict[Any, Any] = {}
    for row in rows:
        if drawn(row[value]) is not None:
            sums[row[name]] = sums[row[name]] + row[value] if row[name] in sums else row[value]
    return sums


def _way(base: Any, length: Any) -> int:
    """Colour what begins at 0, what goes down from elsewhere, and what goes up."""
    return 0 if not base else 1 if (length or 0) < 0 else 2


def _ends(
    layers: Layers, names: list[Any], is_stacked: bool, bases: Mapping[Any, Any], spreads: Mapping[Any, Any]
) -> list[float]:
    """Give the ends of the axis: beyond the longest bars, where their numbers stand."""
    low, high = [0.0], [0.0]
    for name in names:
        lengths = [float(layer[name]) + float(bases.get(name, 0)) for layer in layers.values() if name in layer]
        spread = float(spreads.get(name, 0))
        below, above = (
            [min(length - spread, 0.0) for length in lengths],
            [max(length + spread, 0.0) for length in lengths],
        )
        low.append(sum(below) if is_stacked else min(below, default=0.0))
        high.append(sum(above) if is_stacked else max(above, default=0.0))
    least, most = min(low), max(high)
    room = 0.16 * (most - least)
    return [least - room if least else 0.0, most + room if most else 0.0] if room else [0.0, 1.0]
