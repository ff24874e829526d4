"""Parts to one HTML file."""

import csv
import io
import json
import re
from collections import Counter
from decimal import Decimal
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from crm_spark.core.sections import Bars, Chapter, Heat, Lines, Section
from crm_spark.reports.page import EMPTY, Part, gather, missing, render

EVIL = '<script>alert(1)</script> & "so" on </script>'
FACTS = {"lake": "./lake", "as of": "2026-01-31", "currency": "EUR"}
VOID = {"meta", "link", "br", "img", "input", "hr"}


def part(title="Revenue", reason="late", chapter=Chapter.VALUE):
    rows = [
        {"reason": reason, "amount": Decimal("1234.5000")},
        {"reason": "=1+1", "amount": Decimal("-2.0000")},
    ]
    labels = {"reason": "Reason", "amount": "Amount [money]"}
    return Part(title, chapter, rows, "In all 1,232 ¤.", Bars("reason", "amount", horizontal=True), labels)


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, and the text of each."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.stray = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1]["tag"] != tag:
            self.stray.append(tag)
        else:
            self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]


def test_every_section_has_a_heading_a_sentence_a_picture_and_a_table():
    page = Page(render([part("One"), part("Two")], "Shop", FACTS))
    assert [heading["text"] for heading in page.all("h1") + page.all("h3")] == ["Shop", "One", "Two"]
    for section in page.all("section"):
        named = section["id"]
        inside = [element for element in page.elements if element.get("id", "").startswith(named)]
        picture = next(element for element in inside if element.get("id") == f"{named}-picture")
        assert (picture["role"], picture["aria-label"]) == ("img", "In all 1,232 EUR.")
        figure = next(element for element in inside if element.get("id") == f"{named}-figure")
        assert json.loads(figure["text"])["data"]
        assert "In all 1,232 EUR." in section["text"]
    assert [caption["text"] for caption in page.all("caption")] == ["Numbers: One", "Numbers: Two"]


def test_chapters_stand_in_their_order_and_sections_in_theirs_within_them():
    parts = [part("Loads", chapter=Chapter.DATA), part("Money"), part("Moves", chapter=Chapter.CHANGES), part("Curve")]
    page = Page(render(parts, "Shop", FACTS))
    headings = [(head["tag"], head["text"]) for head in page.elements if head["tag"] in ("h2", "h3")]
    expected = [("h2", "What changed"), ("h3", "Moves"), ("h2", "What it is worth"), ("h3", "Money"), ("h3", "Curve")]
    assert headings == [*expected, ("h2", "What was loaded, and what was refused"), ("h3", "Loads")]
    links = {link["href"].removeprefix("#"): link["text"] for link in page.all("a") if link["href"].startswith("#")}
    assert links == {head["id"]: head["text"] for head in page.all("h2")}


def test_the_page_is_well_formed_and_every_id_is_unique():
    page = Page(render([part("One"), missing("Two", Chapter.DATA, "not yet"), part("Three")], "Shop", FACTS))
    ids = Counter(element["id"] for element in page.elements if element.get("id"))
    named = [element["aria-labelledby"] for element in page.elements if element.get("aria-labelledby")]
    assert (page.stray, page.open) == ([], [])
    assert set(ids.values()) == {1}
    assert set(named) <= set(ids)
    assert page.all("html")[0]["lang"] == "en"
    assert {head["scope"] for head in page.all("th")} == {"col", "row"}


def test_the_table_shows_the_numbers_as_a_reader_writes_them():
    page = Page(render([part()], "Shop", FACTS))
    assert [cell["text"] for cell in page.all("th")] == ["Reason", "Amount (EUR)", "late", "=1+1"]
    assert [cell["text"] for cell in page.all("td")] == ["1,234.50", "-2.00"]


def test_the_numbers_can_be_saved_and_copied_and_hold_no_formula():
    page = Page(render([part()], "Shop", FACTS))
    link = next(link for link in page.all("a") if "download" in link)
    saved = unquote(link["href"].removeprefix("data:text/csv;charset=utf-8,"))
    expected = [["Reason", "Amount (EUR)"], ["late", "1234.5000"], ["'=1+1", "-2.0000"]]
    assert saved[0] == "\ufeff"
    assert list(csv.reader(io.StringIO(saved[1:]))) == expected
    copied = page.all("button")[0]["data-copy"]
    assert list(csv.reader(io.StringIO(copied), "excel-tab")) == expected
    assert link["download"] == "revenue.csv"


def test_text_cannot_become_part_of_the_page():
    plain, evil = (Page(render([part(title, reason)], title, FACTS)) for title, reason in [("a", "b"), (EVIL, EVIL)])
    assert [element["tag"] for element in evil.elements] == [element["tag"] for element in plain.elements]
    assert evil.all("h1")[0]["text"] == EVIL
    assert EVIL in [cell["text"] for cell in evil.all("th")]


def test_equal_input_gives_equal_pages():
    assert render([part()], "Shop", FACTS) == render([part()], "Shop", FACTS)


def test_nothing_is_asked_for_beyond_the_file():
    page = Page(render([part()], "Shop", FACTS))
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    asked = [element for element in page.elements for name in ("src", "srcset", "action") if name in element]
    linked = [element["href"] for element in page.elements if "href" in element]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert asked == []
    assert all(link.startswith(("data:", "#")) for link in linked)


def test_a_section_that_is_not_there_says_why_and_brings_no_picture():
    text = render(
        [missing("Scores", Chapter.CUSTOMERS, "rfm_scores is not there yet: run `crm run rfm_scores`.")], "Shop", FACTS
    )
    page = Page(text)
    assert page.all("section")[0]["text"].split() == [
        *["Scores", "rfm_scores", "is", "not", "there", "yet:", "run", "crm", "run", "rfm_scores."]
    ]
    assert page.all("code")[0]["text"] == "crm run rfm_scores"
    assert len(text) < 20_000


def test_a_page_without_sections_says_so():
    assert "There is nothing to show" in render([], "Shop", {})


def test_money_is_told_in_the_currency_of_the_lake():
    text = re.sub(r"<script>.*?</script>", "", render([part()], "Shop", {"currency": "GBP"}), flags=re.DOTALL)
    assert "Amount (GBP)" in text
    assert "In all 1,232 GBP." in text
    assert "¤" not in text


@pytest.mark.parametrize("picture", [Lines("day", ["n"]), Bars("day", "n"), Heat("day", "source", "n")])
def test_one_row_is_enough_for_every_kind_of_picture(picture):
    rows = [{"day": "2026-01-01", "source": "shop", "n": 1}]
    assert len(Page(render([Part("T", Chapter.DATA, rows, "One.", picture)], "Shop", FACTS)).all("script")) == 3


def test_where_nothing_is_chosen_to_be_drawn_there_is_the_table_and_no_picture():
    rows = [{"move": "Best (stayed)", "n": 3, "moved": False}]
    page = Page(render([Part("T", Chapter.CHANGES, rows, "None.", Bars("move", "n", only="moved"))], "Shop", FACTS))
    assert [cell["text"] for cell in page.all("td")] == ["3", "no"]
    assert [element for element in page.all("div") if element.get("role") == "img"] == []


def section(rows, **told):
    return Section("Reasons", Chapter.DATA, rows, lambda rows: f"{len(rows)} reasons.", Bars("reason", "n"), **told)


def test_numbers_are_gathered_in_their_order(spark):
    rows = spark.createDataFrame([("a", 1), ("b", 3), ("c", 3)], "reason string, n int")
    gathered = gather(section(rows, order_by=["-n", "reason"]))
    assert [row["reason"] for row in gathered.rows] == ["b", "c", "a"]
    assert (gathered.sentence, gathered.notes) == ("3 reasons.", [])


def test_more_rows_than_a_page_holds_are_cut_and_the_page_says_so(spark):
    rows = spark.range(5).selectExpr("cast(id as string) as reason", "id as n")
    gathered = gather(section(rows, order_by=["n"]), most=3)
    assert [row["n"] for row in gathered.rows] == [0, 1, 2]
    assert gathered.notes == ["Only the first 3 rows are shown."]


def test_a_section_without_rows_says_so(spark):
    none = spark.createDataFrame([], "reason string, n int")
    assert gather(section(none)) == missing("Reasons", Chapter.DATA, EMPTY)
    left_out = gather(section(none, empty=None, note="It is judged so."))
    assert "Reasons" not in render([left_out], "Shop", FACTS)
    told = gather(section(none, empty="Nothing is odd.", note="It is judged so."))
    assert told == Part("Reasons", Chapter.DATA, sentence="Nothing is odd.", notes=["It is judged so."])
