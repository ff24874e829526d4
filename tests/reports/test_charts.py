"""Rows to the JSON of a Plotly figure."""

import json
from datetime import date, timedelta
from decimal import Decimal

from crm_spark.core.sections import Bars, Heat, Lines, Tree
from crm_spark.reports import bars, cells, charts


def drawn(picture, rows, **labels):
    return json.loads(charts.figure(picture, rows, cells.heads(rows, labels, "EUR")))


def days(number):
    first = date(2026, 1, 1)
    return [
        {"day": first + timedelta(days=place), "known": Decimal(place + 1), "anonymous": Decimal(0)}
        for place in range(number)
    ]


def test_a_line_shows_every_number_of_its_rows():
    figure = drawn(Lines("day", ["known"]), days(3), known="Revenue [money]")
    assert figure["data"][0]["x"] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert figure["data"][0]["y"] == [1.0, 2.0, 3.0]
    assert figure["layout"]["xaxis"]["type"] == "date"
    assert figure["layout"]["title"]["text"] == "Revenue (EUR)"


def test_a_line_that_is_zero_throughout_is_left_to_the_table():
    figure = drawn(Lines("day", ["known", "anonymous"]), days(3))
    assert [trace["name"] for trace in figure["data"]] == ["Known"]


def test_what_is_marked_on_a_line_has_a_ring_and_nothing_else_has():
    rows = [{**row, "found": row["known"] if row["known"] == 3 else None} for row in days(3)]
    line, ring = drawn(Lines("day", ["known"], marked="found"), rows, found="The finding")["data"]
    assert (ring["mode"], ring["name"], ring["y"]) == ("markers", "The finding", [None, None, 3.0])
    assert line["mode"] == "lines+markers"


def test_a_single_day_is_a_point_that_can_be_seen():
    figure = drawn(Lines("day", ["known"]), days(1))
    assert figure["data"][0]["mode"] == "lines+markers"
    assert figure["layout"]["xaxis"]["type"] == "category"


def test_bars_of_one_name_are_stacked_and_their_total_is_written():
    rows = [
        {"reason": "late", "source": "shop", "records": 3},
        {"reason": "late", "source": "partner", "records": 4},
        {"reason": "early", "source": "shop", "records": 1},
    ]
    figure = drawn(Bars("reason", "records", stack="source", horizontal=True), rows)
    assert [(trace["name"], trace["x"]) for trace in figure["data"]] == [
        ("shop", [3, 1]),
        ("partner", [4, None]),
    ]
    assert [note["text"] for note in figure["layout"]["annotations"]] == ["late", "early", "7", "1"]
    assert figure["layout"]["barmode"] == "relative"


def test_bars_that_begin_elsewhere_lead_from_one_number_to_another():
    rows = [
        {"part": "Before", "money": Decimal(100), "start": Decimal(0)},
        {"part": "Won", "money": Decimal(30), "start": Decimal(100)},
        {"part": "Lost", "money": Decimal(-50), "start": Decimal(130)},
        {"part": "Now", "money": Decimal(80), "start": Decimal(0)},
    ]
    figure = drawn(Bars("part", "money", base="start", horizontal=True), rows)
    assert figure["data"][0]["x"] == [100, 30, -50, 80]
    assert figure["data"][0]["base"] == [0, 100, 130, 0]
    colours = figure["data"][0]["marker"]["color"]
    assert colours[0] == colours[3]
    assert len(set(colours)) == 3
    low, high = figure["layout"]["xaxis"]["range"]
    assert low == 0
    assert high > 130


def test_bars_with_a_spread_bear_their_numbers_where_its_line_ends():
    rows = [{"part": "recency", "lost": 5.0, "apart": 3.0}, {"part": "rating", "lost": -1.0, "apart": 2.0}]
    figure = drawn(Bars("part", "lost", horizontal=True, spread="apart"), rows)
    bar = figure["data"][0]
    assert (bar["error_x"]["array"], bar["textposition"]) == ([3.0, 2.0], "none")
    numbers = [note for note in figure["layout"]["annotations"] if note.get("xref") != "paper"]
    assert [note["x"] for note in numbers] == [8.0, 1.0]
    low, high = figure["layout"]["xaxis"]["range"]
    assert low < -3
    assert high > 8


def test_bars_beside_each_other_have_places_of_their_own_and_a_shared_unit():
    rows = [{"segment": "Best", "money": 48.3, "people": 22.1}, {"segment": "Lost", "money": 5.0, "people": 40.0}]
    labels = {"money": "Share of the money [%]", "people": "Share of the people [%]"}
    figure = drawn(Bars("segment", "money", beside="people", horizontal=True), rows, **labels)
    upper, lower = figure["data"]
    assert (upper["x"], lower["x"]) == ([48.3, 5.0], [22.1, 40.0])
    assert [two - one for one, two in zip(upper["y"], lower["y"], strict=True)] == [bars.BAR, bars.BAR]
    assert figure["layout"]["title"]["text"] == "%"
    low, high = figure["layout"]["xaxis"]["range"]
    assert (low, high > 48.3, high < 60) == (0, True, True)


def test_only_the_rows_that_are_chosen_are_drawn():
    rows = [{"move": f"m{place}", "n": 1, "moved": place > 0} for place in range(14)]
    picture = Bars("move", "n", only="moved")
    assert charts.chosen(picture, rows) == rows[1:]
    assert charts.shortfall(picture, rows) == "The picture shows the first 12 of 13; the table has all."
    assert charts.chosen(picture, rows[:1]) == []


def test_a_map_says_in_words_what_its_steps_are_and_orders_them_by_number():
    rows = [{"f": 2, "words": "2: 4+", "r": 1, "n": 1}, {"f": 1, "words": "1: 1–3", "r": 1, "n": 2}]
    trace = drawn(Heat("f", "r", "n", x_text="words"), rows)["data"][0]
    assert (trace["x"], trace["z"]) == (["1: 1–3", "2: 4+"], [[2, 1]])


def test_bars_reach_below_zero_where_numbers_do():
    figure = drawn(Bars("segment", "moved"), [{"segment": "a", "moved": 10}, {"segment": "b", "moved": -5}])
    low, high = figure["layout"]["yaxis"]["range"]
    assert low < -5
    assert high > 10


def test_more_bars_than_a_reader_takes_in_are_cut_and_the_page_says_so():
    rows = [{"reason": f"r{place}", "records": 1} for place in range(bars.MOST_BARS + 3)]
    picture = Bars("reason", "records")
    assert len(drawn(picture, rows)["data"][0]["x"]) == bars.MOST_BARS
    assert charts.shortfall(picture, rows) == "The picture shows the first 12 of 15; the table has all."
    assert charts.shortfall(picture, rows[:3]) == ""
    steps = [{"reason": place, "records": 1} for place in range(bars.MOST_BARS + 3)]
    assert len(drawn(picture, steps)["data"][0]["x"]) == len(steps), "steps of a scale are no names"
    assert charts.shortfall(picture, steps) == ""


def test_a_map_is_ordered_by_score_and_leaves_out_what_is_not_there():
    rows = [{"r": 2, "f": 1, "n": 7}, {"r": 1, "f": 2, "n": 5}, {"r": 1, "f": 1, "n": 1_234}]
    figure = drawn(Heat("r", "f", "n"), rows)
    trace = figure["data"][0]
    assert (trace["x"], trace["y"]) == (["1", "2"], ["1", "2"])
    assert trace["z"] == [[1234, 7], [5, None]]
    assert trace["text"] == [["1,234", "7"], ["5", ""]]


def test_numbers_that_are_none_or_no_number_break_no_picture():
    rows = [{"x": "a", "y": "b", "n": float("nan")}, {"x": "b", "y": "b", "n": None}]
    for picture in (Heat("x", "y", "n"), Bars("x", "n"), Bars("x", "n", horizontal=True), Lines("x", ["n"])):
        assert "NaN" not in charts.figure(picture, rows, cells.heads(rows, {}, "EUR"))


def test_text_is_not_read_as_mark_up_by_plotly_nor_by_the_page():
    rows = [{"reason": "<a href='x'>no</a> & <b>so on</b>", "source": "</script>", "records": 1}]
    rows = [*rows, {"reason": "other", "source": "shop", "records": 2}]
    told = "&lt;a href='x'&gt;no&lt;/a&gt; &amp; &lt;b&gt;so on&lt;/b&gt;"
    lying = Bars("reason", "records", stack="source", horizontal=True)
    assert drawn(lying, rows)["layout"]["annotations"][0]["text"] == told
    assert drawn(Lines("reason", ["records"]), rows)["data"][0]["x"][0] == told
    for picture in (lying, Lines("reason", ["records"]), Heat("reason", "source", "records")):
        assert "<" not in charts.figure(picture, rows, cells.heads(rows, {}, "EUR"))


def test_a_tree_has_a_field_for_each_node_below_that_of_its_parent_as_wide_as_what_is_below_it():
    rows = [
        {"node": 0, "parent": None, "what": "all <b>", "customers": 10.0, "share": 0.6},
        {"node": 1, "parent": 0, "what": "late", "customers": 4.0, "share": 1.0},
        {"node": 2, "parent": 0, "what": "lately", "customers": 6.0, "share": 0.5},
    ]
    tree = Tree("node", "parent", "what", "customers", "share")
    field = drawn(tree, rows)["data"][0]
    assert (field["ids"], field["parents"]) == (["0", "1", "2"], ["", "0", "0"])
    assert field["values"] == [0.0, 4.0, 6.0]  # the root's own is what is below it
    assert field["marker"]["colors"] == [0.6, 1.0, 0.5]
    assert field["labels"][0] == "all &lt;b&gt;"
    assert field["text"] == ["10, 60 %", "4, 100 %", "6, 50 %"]
    nobody = [{"node": None, "parent": None, "what": None, "customers": None, "share": None}]
    assert drawn(tree, nobody)["data"][0]["ids"] == []
