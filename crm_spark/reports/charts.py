"""Pictures, drawn with Plotly and written as JSON; the page draws them.

The unit of the values stands above the picture, where it costs a narrow screen no width.
"""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from crm_spark.core.sections import Bars, Heat, Lines, Picture, Rows, Tree
from crm_spark.reports import bars
from crm_spark.reports.cells import Head, drawn, is_number, short
from crm_spark.reports.look import INK, LOOK, axis, broken, escaped, is_scale, shared, values

DASHES = ["solid", "dash", "dot", "dashdot"]
SHADES = [[0.0, "#F1F6FA"], [1.0, "#5FA3D0"]]  # dark text can be read on every one of them
BELOW_AND_ABOVE = [[0.0, "#E5A173"], [0.5, "#F7F8F9"], [1.0, "#5FA3D0"]]  # nothing in the middle
A_FIELD, A_LEVEL = 16, 84  # letters of a line in a field of a tree; its height
MOST_CELLS = 120  # cells of a map that have room for their number
MOST_MARKERS = 31  # points of a line that are worth a mark each


def figure(picture: Picture, rows: Rows, heads: Mapping[str, Head]) -> str:
    """Draw rows.

    Returns
    -------
    str
        The JSON of a Plotly figure; equal for equal input. Plotly writes `<` as an escape in it, so that
        no text can end the script element that holds it.
    """
    if isinstance(picture, Lines):
        figure = _lines(picture, rows, heads)
    elif isinstance(picture, Bars):
        figure = bars.draw(picture, rows, heads)
    elif isinstance(picture, Heat):
        figure = _heat(picture, rows, heads)
    else:
        figure = _tree(picture, rows, heads)
    figure.update_layout(template=LOOK)
    return str(figure.to_json(engine="json"))


def shortfall(picture: Picture | None, rows: Rows) -> str:
    """Say what a picture leaves out; nothing where it shows all."""
    if not isinstance(picture, Bars):
        return ""
    named = len(values(chosen(picture, rows), picture.x))
    is_cut = named > bars.MOST_BARS and not is_scale(rows, picture.x)
    return f"The picture shows the first {bars.MOST_BARS} of {named:,}; the table has all." if is_cut else ""


def chosen(picture: Picture | None, rows: Rows) -> Rows:
    """Give the rows that a picture draws."""
    only = picture.only if isinstance(picture, Bars) else None
    return [row for row in rows if only is None or row[only]] if picture else []


def _lines(picture: Lines, rows: Rows, heads: Mapping[str, Head]) -> go.Figure:
    empty = [name for name in picture.y if not any(row[name] for row in rows)]
    told = [name for name in picture.y if name not in empty] or list(picture.y)[:1]
    x = [escaped(row[picture.x]) if isinstance(row[picture.x], str) else drawn(row[picture.x]) for row in rows]
    figure = go.Figure()
    for place, name in enumerate(told):
        figure.add_scatter(
            x=x,
            y=[drawn(row[name]) for row in rows],
            name=escaped(heads[name].name),
            mode="lines+markers" if len(rows) <= MOST_MARKERS else "lines",
            line={"width": 2, "dash": DASHES[place % len(DASHES)]},
            hovertemplate=_told(heads[name]),
        )
    if picture.marked:
        figure.add_scatter(
            x=x,
            y=[drawn(row[picture.marked]) for row in rows],
            name=escaped(heads[picture.marked].name),
            mode="markers",
            marker={"size": 18, "symbol": "circle-open", "line": {"width": 3}, "color": INK},
            hovertemplate=_told(heads[picture.marked]),
        )
    figure.update_layout(height=340, hovermode="x unified", showlegend=len(told) > 1)
    figure.update_layout(title_text=escaped(shared([heads[name] for name in told])))
    figure.update_yaxes(rangemode="tozero")
    return figure.update_xaxes(**axis(rows, picture.x, heads[picture.x]))


def _told(head: Head) -> str:
    """Write a value that is pointed at, as the table writes it."""
    digits = ".2f" if head.is_money else ".1f" if head.unit == "%" else ""
    return f"%{{y:,{digits}}}"


def _heat(picture: Heat, rows: Rows, heads: Mapping[str, Head]) -> go.Figure:
    across, up = _steps(rows, picture.x), _steps(rows, picture.y)
    up = up if all(is_number(step) for step in up) else up[::-1]  # names are read from the top
    cells = {(row[picture.x], row[picture.y]): row[picture.value] for row in rows}
    table = [[cells.get((x, y)) for x in across] for y in up]
    counted = [float(value) for value in cells.values() if drawn(value) is not None]
    least, most = min(counted, default=0.0), max(counted, default=0.0)
    has_room = len(cells) <= MOST_CELLS
    named = _worded(up, rows, picture.y, picture.y_text)
    row = max(44, 10 + bars.LINE * max((name.count("<br>") + 1 for name in named), default=1))
    figure = go.Figure()
    figure.add_heatmap(
        x=_worded(across, rows, picture.x, picture.x_text),
        y=named,
        z=[[drawn(value) for value in line] for line in table],
        zmin=-max(most, -least) if least < 0 else 0.0,
        zmax=max(most, -least),
        text=[[short(value, heads[picture.value], max(most, -least)) for value in line] for line in table],
        texttemplate="%{text}" if has_room else None,
        textfont={"color": INK},
        colorscale=BELOW_AND_ABOVE if least < 0 else SHADES,
        showscale=not has_room,
        xgap=2,
        ygap=2,
        hovertemplate=_hover(picture, heads),
    )
    figure.update_layout(title_text=escaped(heads[picture.value].title))
    figure.update_layout(height=max(240, 120 + row * min(len(up), 12)))
    figure.update_xaxes(type="category", title_text=escaped(heads[picture.x].title), showgrid=False)
    return figure.update_yaxes(type="category", title_text=escaped(heads[picture.y].title), showgrid=False)


def _hover(picture: Heat, heads: Mapping[str, Head]) -> str:
    names = [escaped(heads[name].title) for name in (picture.x, picture.y, picture.value)]
    return "{}: %{{x}}<br>{}: %{{y}}<br>{}: %{{text}}<extra></extra>".format(*names)


def _tree(picture: Tree, rows: Rows, heads: Mapping[str, Head]) -> go.Figure:
    rows = [row for row in rows if row[picture.node] is not None]
    above = {row[picture.parent] for row in rows}
    figure = go.Figure()
    figure.add_icicle(
        ids=[str(row[picture.node]) for row in rows],
        parents=["" if row[picture.parent] is None else str(row[picture.parent]) for row in rows],
        labels=[broken(row[picture.label], A_FIELD) for row in rows],
        # The size of a field is that of all below it, and what is given here.
        values=[0.0 if row[picture.node] in above else drawn(row[picture.size]) for row in rows],
        text=[f"{row[picture.size]:,.0f}, {100 * row[picture.share]:.0f} %" for row in rows],
        texttemplate="%{label}<br>%{text}",
        hovertemplate="%{label}<br>%{text}<extra></extra>",
        marker={
            "colors": [drawn(row[picture.share]) for row in rows],
            "colorscale": SHADES,
            "cmin": 0.0,
            "cmax": 1.0,
            "line": {"color": "#FFFFFF", "width": 2},
        },
        textfont={"color": INK},
        tiling={"orientation": "v"},
        pathbar={"visible": False},
        sort=False,
    )
    figure.update_layout(title_text=escaped(f"{heads[picture.size].title}; {heads[picture.share].title}"))
    figure.update_layout(uniformtext={"minsize": 10, "mode": "hide"})  # what has no room says it when pointed at
    depths: dict[Any, int] = {None: 0}
    for row in rows:  # a node comes after the one above it
        depths[row[picture.node]] = depths[row[picture.parent]] + 1
    return figure.update_layout(height=max(240, 60 + A_LEVEL * max(depths.values())))


def _worded(steps: list[Any], rows: Rows, name: str, text: str | None) -> list[str]:
    """Say what each step of an axis is: in the words of a column, or else itself."""
    words = {row[name]: row[text or name] for row in rows}
    return [broken(words[step], bars.NARROW) for step in steps]


def _steps(rows: Rows, name: str) -> list[Any]:
    steps = values(rows, name)
    return sorted(steps) if all(is_number(step) for step in steps) else steps
