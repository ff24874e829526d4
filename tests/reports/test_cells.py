"""One value, three faces."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from crm_spark.reports.cells import Head, drawn, head, heads, saved, short, shown, spoken

PLAIN, MONEY, PERCENT = Head("Customers"), Head("Revenue", "EUR", is_money=True), Head("Share", "%")


@pytest.mark.parametrize(
    ("value", "of", "expected"),
    [
        (1234567, PLAIN, "1,234,567"),
        (0, PLAIN, "0"),
        (1234.5, PLAIN, "1,234.50"),
        (0.00042, PLAIN, "0.00042"),
        (Decimal("1234567.8910"), MONEY, "1,234,567.89"),
        (Decimal("-0.001"), MONEY, "0.00"),
        (12.345, PERCENT, "12.3"),
        (float("nan"), PLAIN, "–"),
        (Decimal("NaN"), MONEY, "–"),
        (None, MONEY, "–"),
        (True, PLAIN, "yes"),
        (date(2026, 1, 31), PLAIN, "2026-01-31"),
        (datetime(2026, 1, 31, 14, 5, 9, tzinfo=UTC), PLAIN, "2026-01-31 14:05"),
        ("00123", PLAIN, "00123"),
    ],
)
def test_a_reader_sees_thousands_separated_and_money_with_two_digits(value, of, expected):
    assert shown(value, of) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30 1234", "'+49 30 1234"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("＝1", "'＝1"),
        ("-5.20", "-5.20"),
        ("shop", "shop"),
        (-5, "-5"),
        (Decimal("-1E+3"), "-1000"),
        (Decimal("12.3400"), "12.3400"),
        (float("inf"), ""),
        (None, ""),
    ],
)
def test_a_spreadsheet_gets_numbers_in_full_and_no_formula(value, expected):
    assert saved(value) == expected


def test_a_picture_gets_numbers_and_days_as_json_holds_them():
    values = [Decimal("1.5"), 3, None, float("nan"), date(2026, 1, 31), "a"]
    assert [drawn(value) for value in values] == [1.5, 3, None, None, "2026-01-31", "a"]


def test_all_numbers_of_a_picture_are_shortened_alike():
    assert [short(value, MONEY, 812_000) for value in (812_000, 12_000, 40.4)] == ["812 k", "12 k", "40"]
    assert [short(value, PLAIN, 900) for value in (900, 40, 7.5)] == ["900", "40", "8"]
    assert [short(value, PERCENT, 116) for value in (100.0, 4.25)] == ["100.0", "4.2"]
    assert short(12_345_678, PLAIN, 12_345_678) == "12.3 M"
    assert [short(-0.3, MONEY, most) for most in (110, 812_000)] == ["0", "0"]


def test_a_label_is_parted_into_name_and_unit():
    assert head("Revenue [money]", "EUR") == MONEY
    assert head("Share (%)", "EUR") == PERCENT
    assert head("Customers", "EUR") == PLAIN
    assert MONEY.title == "Revenue (EUR)"


def test_a_column_without_a_label_is_called_by_its_own_name():
    assert heads([{"recency_score": 1}], {}, "EUR")["recency_score"].title == "Recency score"


def test_a_sentence_names_the_currency():
    assert spoken("It took 5 ¤.", "GBP") == "It took 5 GBP."
