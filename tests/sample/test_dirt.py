"""Dirt among lines: where it lies, and what each kind looks like."""

import csv
import json

import numpy as np
import pyarrow as pa
import pytest

from crm_spark.sample import dirt
from crm_spark.sample.streams import stream

LINE = b"00000012,1,004711,2,10.50,EUR,0000007,03.01.2025 08:59:47,S,,web,0.00"
EVENT = (
    b'{"event_id":"E000000075","customer_no":null,"visitor":"v1","at":"2025-01-01T11:32:43Z",'
    b'"type":"view","sku":"004048","page":"/p/004048","session":"S00010541"}'
)


def soiled(share: float, days: list[int]) -> dirt.Soiled:
    lines = pa.array([LINE.replace(b"00000012", b"%08d" % n) + b"\n" for n in range(len(days))], pa.large_binary())
    return dirt.soil(stream(1, "dirt"), lines, np.array(days), share, dirt.ORDERS)


def test_dirt_lies_after_its_line_and_in_the_same_file() -> None:
    found = soiled(0.5, [0] * 20 + [1] * 20 + [5] * 20)
    assert len(found.lines) == 90
    assert (np.diff(found.day) >= 0).all()
    place = np.empty(60, int)
    place[found.source[found.kind == ""]] = np.flatnonzero(found.kind == "")
    for where in np.flatnonzero(found.kind != ""):
        assert place[found.source[where]] < where
        assert found.day[place[found.source[where]]] == found.day[where]


def test_the_clean_lines_stay_as_they_were_and_in_order() -> None:
    found, clean = soiled(0.5, [0] * 60), soiled(0, [0] * 60)
    assert found.lines.filter(pa.array(found.kind == "")).equals(clean.lines)


@pytest.mark.parametrize(("lines", "expected"), [(0, 0), (3, 3), (13, 13), (2_000, 20)])
def test_every_kind_comes_at_least_once_where_there_are_lines_enough(lines: int, expected: int) -> None:
    found = soiled(0.01, [0] * lines)
    assert (found.kind != "").sum() == expected
    assert len(set(found.kind.tolist()) - {""}) == min(expected, len(dirt.ORDERS))


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        ("bad_number", 4, "12,x"),
        ("bad_date", 7, "31.02.2025 10:00:00"),
        ("unknown_currency", 5, "XXX"),
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
    orphan = b"90000003,1,003999,-1,10.50,EUR,0000007,03.01.2025 08:59:47,R,,store,0.00"
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
