"""Dirt among lines: where it lies, and what each kind looks like."""

import csv
import json

import numpy as np
import pyarrow as pa
import pytest

from crm_spark.sample import dirt
from crm_spark.sample.streams import stream

LINE = b"00010000012,1,004711,2,10.50,EUR,0000007,03.01.2025 08:59:47,S,,900,0.00"
EVENT = (
    b'{"event_id":"E000000075","customer_no":null,"visitor":"v1","at":"2025-01-01T11:32:43Z",'
    b'"type":"view","sku":"004048","page":"/p/004048","session":"S00010541"}'
)


def soiled(share: float, size: int) -> dirt.Soiled:
    lines = pa.array([LINE.replace(b"00010000012", b"0001%07d" % n) + b"\n" for n in range(size)], pa.large_binary())
    return dirt.soil(stream(1, "dirt"), lines, share, dirt.ORDERS, 300_000)


def test_dirt_lies_after_the_line_that_it_is_made_of() -> None:
    found = soiled(0.5, 60)
    assert len(found.lines) == 90
    place = np.empty(60, int)
    place[found.source[found.kind == ""]] = np.flatnonzero(found.kind == "")
    for where in np.flatnonzero(found.kind != ""):
        assert place[found.source[where]] < where


def test_the_clean_lines_stay_as_they_were_and_in_order() -> None:
    found, clean = soiled(0.5, 60), soiled(0, 60)
    assert found.lines.filter(pa.array(found.kind == "")).equals(clean.lines)


@pytest.mark.parametrize(("size", "share", "expected"), [(0, 1, 0), (3, 1, 3), (14, 1, 14), (2_000, 0.01, 20)])
def test_all_kinds_are_about_as_frequent(size: int, share: float, expected: int) -> None:
    found = soiled(share, size)
    counts = [(found.kind == kind).sum() for kind in dirt.ORDERS]
    assert sum(counts) == expected
    assert max(counts) - min(counts) <= 1


def test_a_share_of_less_than_a_line_comes_now_and_then() -> None:
    lines = pa.array([LINE + b"\n"] * 20, pa.large_binary())
    draws = stream(2, "dirt")
    added = [len(dirt.soil(draws, lines, 0.01, dirt.ORDERS, 0).lines) - 20 for _ in range(500)]
    assert set(added) == {0, 1}
    assert 70 < sum(added) < 130


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        ("bad_number", 4, "12,x"),
        ("bad_date", 7, "31.02.2025 10:00:00"),
        ("unknown_currency", 5, "XXX"),
        ("unknown_store", 10, "999"),
        ("negative_price", 4, "-10.50"),
        ("missing_order_number", 0, ""),
        ("nul_byte", 2, "004711\x00"),
        ("future_date", 7, "03.01.2999 08:59:47"),
    ],
)
def test_a_defect_spoils_one_field(kind: str, column: int, value: str) -> None:
    expected = next(csv.reader([LINE.decode()]))
    expected[1] = "51"
    expected[column] = value
    assert next(csv.reader([dirt.ORDERS[kind](LINE, 3).decode()])) == expected


def test_rows_are_too_short_too_long_or_never_closed() -> None:
    fields = {kind: len(next(csv.reader([spoil(LINE, 0).decode("latin-1")]))) for kind, spoil in dirt.ORDERS.items()}
    assert {kind: count for kind, count in fields.items() if count != 12} == {
        "short_row": 9,
        "long_row": 14,
        "unclosed_quote": 3,
    }


def test_a_return_without_a_sale_is_of_a_discontinued_product_and_has_a_number_of_its_own() -> None:
    orphan = b"90000000003,1,003999,-1,10.50,EUR,0000007,03.01.2025 08:59:47,R,,101,0.00"
    assert dirt.ORDERS["return_without_sale"](LINE, 3) == orphan


@pytest.mark.parametrize("kind", ["cut_json", "not_utf8", "nul_byte"])
def test_broken_json_cannot_be_read(kind: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - a JSON error or one of decoding, both are such
        json.loads(dirt.EVENTS[kind](EVENT, 0))


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("missing_event_id", "event_id", None),
        ("bad_date", "at", "2025-02-31T11:32:43Z"),
        ("future_date", "at", "2999-01-01T11:32:43Z"),
    ],
)
def test_json_with_a_wrong_value_can_be_read(kind: str, key: str, value: str | None) -> None:
    assert json.loads(dirt.EVENTS[kind](EVENT, 0)) == {**json.loads(EVENT), key: value}
