"""The page in a real browser: it opens without an error, draws every picture, asks for nothing, overflows nowhere."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

from crm_spark.core.sections import Bars, Chapter, Heat, Lines, Tree
from crm_spark.reports.page import Part, missing, render

FACTS = {"lake": "./lake", "as of": "2026-01-31", "currency": "EUR"}
LONG = "a reason that goes on and on, as those of readers do who found something odd in a record " * 2


def parts() -> list[Part]:
    """One part for each kind of picture, with long names, great numbers and text that looks like mark-up."""
    days = [{"day": date(2026, 1, 1) + timedelta(days=n), "money": Decimal(n * 123_456)} for n in range(60)]
    reasons = [{"reason": f"{n} {LONG}<b>", "source": source, "records": 10**n} for n in range(8) for source in "ab"]
    cells = [{"r": r, "f": f, "customers": r * f * 123_456} for r in range(1, 6) for f in range(1, 6)]
    nodes = [
        {"node": n, "parent": (n - 1) // 2 if n else None, "what": f"{n} {LONG}<b>", "people": 8 >> depth, "share": 0.5}
        for n in range(15)
        for depth in [(n + 1).bit_length() - 1]
    ]
    return [
        Part("Money", Chapter.VALUE, days, "It rose.", Lines("day", ["money"]), {"money": "Money [money]"}),
        Part(
            "Reasons",
            Chapter.VALUE,
            reasons,
            "They differ.",
            Bars("reason", "records", stack="source", horizontal=True),
        ),
        Part("Map", Chapter.VALUE, cells, "Most are up there.", Heat("f", "r", "customers")),
        Part("Tree", Chapter.VALUE, nodes, "They branch.", Tree("node", "parent", "what", "people", "share")),
        missing("Scores", Chapter.CUSTOMERS, "rfm_scores is not there yet: run `crm run rfm_scores`."),
    ]


def test_every_kind_of_picture_can_be_seen_on_a_phone_and_on_a_desk(faults: Callable[[str], list[str]]) -> None:
    assert faults(render(parts(), "Shop", FACTS)) == []


PLANTED = {
    "asks for https://example.org/x.png": "<img alt='' src='https://example.org/x.png'>",
    "P.wide wide reaches beyond the page": "<p class='wide' style='width: 2000px'>wide</p>",
    "a picture is not drawn": "<div class='picture' role='img' aria-label='nothing'></div>",
    "error: broken": "<script>throw new Error('broken')</script>",
    "console: odd": "<script>console.error('odd')</script>",
    "color-contrast": "<p style='color: #ddd'>pale</p>",
    "image-alt": "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>",
}


def test_each_kind_of_fault_is_found(faults: Callable[[str], list[str]]) -> None:
    bare = render(parts()[-1:], "Shop", FACTS)
    found = faults(bare.replace("</body>", "".join(PLANTED.values()) + "</body>"))
    assert [fault for fault in PLANTED if not any(fault in told for told in found)] == []
    assert faults(bare) == []
