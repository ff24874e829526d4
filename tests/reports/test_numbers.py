"""Every number on the page of a lake is that of a plain loop over the lake's rows."""

import csv
import html
import io
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from crm_spark.cli.report import assemble
from crm_spark.core.config import Place
from crm_spark.core.pipeline import discover
from crm_spark.segments import rfm

FIRST, LAST = date(2026, 1, 5), date(2026, 3, 15)  # ten weeks
OLDER, BEFORE, NOW = LAST - timedelta(days=14), LAST - timedelta(days=7), LAST
MISSING = date(2026, 3, 11)
NAMES = {5: "Best", 4: "Good", 3: "Fair", 2: "Late", 1: "Lost"}
AT = datetime(2026, 3, 16, tzinfo=UTC)
Table = list[list[str]]


def sold() -> list[dict]:
    """Order lines of 80 customers and of anonymous buyers."""
    chance = random.Random(3)
    days = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
    rows = []
    for day in days:
        for _ in range(0 if day == MISSING else 9):
            customer = None if chance.random() < 0.1 else f"c{int(chance.random() ** 2 * 80):02}"
            amount = Decimal(round(chance.paretovariate(1.3) * 1_000)) / 100
            kind = "return" if chance.random() < 0.05 else "sale"
            told = {"customer_id": customer, "kind": kind, "amount": -amount if kind == "return" else amount}
            rows.append({"source": "shop", "ordered_on": day, **told})
    return rows


LINES = sold()
FILES = [
    {"source": source, "feed": feed, "path": f"{feed}/{number}", "status": status, "records": 100 + number,
     "loaded": 95 + number, "quarantined": 3, "duplicates": 2, "warnings": {"late": 2},
     "modified_at": AT}
    for source, feed in (("shop", "orders"), ("shop", "events"), ("till", "orders"))
    for number, status in enumerate(["loaded", "loaded", "refused" if source == "till" else "repeated"])
]  # fmt: skip
REFUSED = [
    {"source": source, "reason": reason, "waits": reason == "no partner"}
    for source, reason, count in (("shop", "late", 5), ("shop", "no partner", 3), ("till", "late", 1))
    for _ in range(count)
]


def daily() -> list[dict]:
    """What each known customer bought on each day; here each line is an order."""
    each: dict[tuple[str, date], dict] = {}
    for row in LINES:
        if row["customer_id"] and row["kind"] == "sale":
            key = {"customer_id": row["customer_id"], "day": row["ordered_on"]}
            told = each.setdefault(tuple(key.values()), {**key, "orders": 0, "sales": Decimal(0)})
            told["orders"] += 1
            told["sales"] += row["amount"]
    return list(each.values())


CUSTOMER_DAYS = daily()


def scored(as_of: date) -> list[dict]:
    """Measure and score every customer, as the job does, by plain loops."""
    mine: dict[str, list[dict]] = defaultdict(list)
    for row in LINES:
        if row["customer_id"] and row["ordered_on"] <= as_of and row["kind"] == "sale":
            mine[row["customer_id"]].append(row)
    scores = [
        {
            "customer_id": customer,
            "as_of": as_of,
            "recency": (as_of - max(row["ordered_on"] for row in rows)).days,
            "frequency": len(rows),
            "monetary": sum(row["amount"] for row in rows),
        }
        for customer, rows in mine.items()
    ]
    for name, points in cut(scores).items():
        for row in scores:
            row[f"{name}_score"] = 1 + sum(bool(point < goodness(name, row)) for point in points)
    return [{**row, "segment": NAMES[row["recency_score"]]} for row in scores]


def goodness(name: str, row: dict) -> float:
    return -row[name] if name == "recency" else float(row[name])


def cut(scores: list[dict]) -> dict[str, list[float]]:
    return {
        name: list(np.quantile([goodness(name, row) for row in scores], [0.2, 0.4, 0.6, 0.8])) for name in rfm.MEASURES
    }


def cuts(as_of: date) -> list[dict]:
    return [
        {"as_of": as_of, "measure": name, "score": place + 2, "cut": float(-point if name == "recency" else point)}
        for name, points in cut(scored(as_of)).items()
        for place, point in enumerate(points)
    ]


@pytest.fixture(scope="module")
def page(kept: Callable[..., Any]) -> str:
    """Write the page of a lake on which the scores ran for three days."""
    days = (OLDER, BEFORE, NOW)
    lake = kept(
        order_lines=LINES,
        ingest_accounts=FILES,
        quarantine=REFUSED,
        rfm_scores=[row for day in days for row in scored(day)],
        rfm_cuts=[row for day in days for row in cuts(day)],
        customer_days=CUSTOMER_DAYS,
    )
    return assemble(lake, discover(), Place(currency="EUR"), "Customers")


@pytest.fixture(scope="module")
def tables(page: str) -> dict[str, Table]:
    """Give the rows of every table on the page, by its section's title."""
    found = re.findall(r"<caption[^>]*>Numbers: (.*?)</caption>.*?<tbody>(.*?)</tbody>", page, re.DOTALL)
    return {html.unescape(title): cells(body) for title, body in found}


def cells(body: str) -> Table:
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [[html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def money(amount: Decimal | float) -> str:
    return f"{amount:,.2f}"


def share(part: Decimal | float, whole: Decimal | float) -> str:
    return f"{100 * float(part) / float(whole):,.1f}"


def whole(number: Decimal | float) -> str:
    return f"{number:,.0f}" if number == int(number) else money(number)


def total(rows: list[dict], name: str = "monetary") -> Decimal:
    return sum((row[name] for row in rows), Decimal(0))


def test_what_changed(tables: dict[str, Table]) -> None:
    sides = scored(BEFORE), scored(NOW)
    brought: Counter[str] = Counter()
    for row in sides[1]:
        brought[row["segment"]] += row["monetary"]
    best = brought.most_common(1)[0][0]
    measures = {
        "Customers": len,
        "Customers who bought in the last 30 days": lambda rows: sum(row["recency"] < 30 for row in rows),
        f"Customers in “{best}”, which brought most": lambda rows: sum(row["segment"] == best for row in rows),
    }
    expected = []
    values = {name: [measured(side) for side in sides] for name, measured in measures.items()}
    spans = [[row for row in CUSTOMER_DAYS if day - timedelta(days=30) < row["day"] <= day] for day in (BEFORE, NOW)]
    values["Orders of the last 30 days"] = [sum(row["orders"] for row in span) for span in spans]
    values["Sales of the last 30 days, before returns"] = [total(span, "sales") for span in spans]
    for name, (before, now) in values.items():
        numbers = [whole(before), whole(now), whole(now - before), share(now - before, before)]
        expected.append([name, *numbers, str(BEFORE), str(NOW)])
    assert tables["Now, against the last time"] == expected


def test_who_moved(tables: dict[str, Table]) -> None:
    was, is_ = ({row["customer_id"]: row["segment"] for row in scored(day)} for day in (BEFORE, NOW))
    moves = Counter((was.get(name, "(new)"), is_.get(name, "(gone)")) for name in was | is_)
    found = {(row[2], row[3]): int(row[1]) for row in tables["Who moved from segment to segment"]}
    assert found == moves
    assert sum(found.values()) == len(is_)


def test_days_that_are_missing(tables: dict[str, Table]) -> None:
    name = "Wed 2026-03-11, order lines of shop"
    assert tables["Missing days, and days unlike their weekday"] == [[name, "0", "9", "none", str(MISSING)]]


def test_who_buys_lately_and_often(tables: dict[str, Table]) -> None:
    expected = {}
    for row in scored(NOW):
        cell = expected.setdefault((str(row["recency_score"]), str(row["frequency_score"])), [0, Decimal(0)])
        cell[0], cell[1] = cell[0] + 1, cell[1] + row["monetary"]
    found = {(row[0], row[2]): row[4:] for row in tables["Who buys lately and often"]}
    assert found == {key: [str(count), money(amount)] for key, (count, amount) in expected.items()}
    words = {(place, row[place]): row[place + 1] for row in tables["Who buys lately and often"] for place in (0, 2)}
    for row in scored(NOW):
        assert is_within(row["recency"], words[0, str(row["recency_score"])])
        assert is_within(row["frequency"], words[2, str(row["frequency_score"])])


def is_within(number: int, words: str) -> bool:
    low, high = re.fullmatch(r"\d: (?:≤ )?(\d+)\+?(?:–(\d+))?", words).groups()
    if "≤" in words:
        return number <= int(low)
    return int(low) <= number and ("+" in words or number <= int(high or low))


def test_segments(tables: dict[str, Table]) -> None:
    scores = scored(NOW)
    mine = {name: [row for row in scores if row["segment"] == name] for name in NAMES.values()}
    expected = [
        [name, str(len(rows)), money(total(rows)), share(len(rows), len(scores)), share(total(rows), total(scores))]
        for name, rows in sorted(mine.items(), key=lambda item: -total(item[1]))
        if rows
    ]
    assert tables["Segments by what they brought, and by how many they are"] == expected


def test_revenue(tables: dict[str, Table]) -> None:
    expected = []
    for number in range((LAST - FIRST).days + 1):
        day = FIRST + timedelta(days=number)
        rows = [row for row in LINES if row["ordered_on"] == day]
        parts = [
            rows,
            [row for row in rows if row["customer_id"]],
            [row for row in rows if not row["customer_id"]],
            [row for row in rows if row["kind"] == "sale"],
            [row for row in rows if row["kind"] == "return"],
        ]
        expected.append(
            [
                str(day),
                *[money(total(part, "amount")) for part in parts],
                "0.00",
                str(int(bool(rows))),
                str(day),
                str(day),
            ]
        )
    assert tables["Revenue over time"] == expected


def test_how_much_of_the_money_few_customers_bring(tables: dict[str, Table]) -> None:
    amounts = sorted((float(row["monetary"]) for row in scored(NOW)), reverse=True)
    rows = tables["How much of the money few customers bring"]
    assert [row[0] for row in rows] == [str(percent) for percent in range(101)]
    for percent, customers, brought, part, alike in rows:
        upto = int(percent) * len(amounts) / 100
        last = amounts[int(upto)] * (upto - int(upto)) if upto < len(amounts) else 0
        exact = sum(amounts[: int(upto)]) + last
        assert float(brought.replace(",", "")) == pytest.approx(exact, rel=4e-3, abs=0.01)
        assert float(part) == pytest.approx(100 * exact / sum(amounts), abs=0.4)
        assert int(customers) == pytest.approx(upto, abs=0.5)
        assert alike == f"{int(percent):.1f}"


def test_the_customers_that_matter(tables: dict[str, Table]) -> None:
    scores = sorted(scored(NOW), key=lambda row: (-row["monetary"], row["customer_id"]))
    expected = [
        [
            *[row["customer_id"], money(row["monetary"]), share(row["monetary"], total(scores))],
            *[str(row["frequency"]), str(row["recency"]), row["segment"]],
        ]
        for row in scores[:20]
    ]
    assert tables["The customers that matter"] == expected


def test_what_was_loaded_and_refused(tables: dict[str, Table]) -> None:
    expected = []
    for source, feed in (("shop", "events"), ("shop", "orders"), ("till", "orders")):
        mine = [row for row in FILES if (row["source"], row["feed"]) == (source, feed)]
        counted = [row for row in mine if row["status"] != "repeated"]
        sums = [sum(row[name] for row in counted) for name in ("records", "loaded", "quarantined", "duplicates")]
        states = [sum(row["status"] == status for row in mine) for status in ("refused", "repeated")]
        numbers = [len(mine), *states, *sums, 2 * len(mine)]
        expected.append([source, f"{source} / {feed}", *map(str, numbers), share(sums[2], sums[0])])
    assert tables["What was loaded, by source"] == expected
    reasons = [["shop", "late", "5", "0"], ["shop", "no partner", "3", "3"], ["till", "late", "1", "0"]]
    assert tables["Why records were refused"] == reasons


def test_every_number_that_is_drawn_stands_in_the_table_below_it(page: str, tables: dict[str, Table]) -> None:
    figures = [json.loads(text) for text in re.findall(r'id="section-\d+-figure">(.*?)</script>', page)]
    files = re.findall(r'download="[^"]*" href="data:text/csv;charset=utf-8,([^"]*)"', page)
    assert len(figures) == len(files) == len(tables)
    for figure, file in zip(figures, files, strict=True):
        written = {numeric(cell) for line in csv.reader(io.StringIO(unquote(file))) for cell in line}
        drawn = [number for trace in figure["data"] for number in of(trace)]
        assert drawn
        assert {number for number in drawn if number not in written} == set()


def of(trace: dict) -> list[float]:
    values = trace["x"] if trace.get("orientation") == "h" else trace.get("z") or trace["y"]
    flat = [each for value in values for each in (value if isinstance(value, list) else [value])]
    return [round(float(value), 6) for value in flat if value is not None]


def numeric(cell: str) -> float | None:
    try:
        return round(float(cell), 6)
    except ValueError:
        return None


def test_the_page_of_a_shop_can_be_seen_on_a_phone_and_on_a_desk(page: str, faults: Callable[[str], list[str]]) -> None:
    assert faults(page) == []
    assert len(page) < 8_000_000
