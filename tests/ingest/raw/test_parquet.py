"""Rows of Parquet files: their text is what Spark makes of them, and what cannot be read is refused before."""

import datetime as dt
import io
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crm_spark.ingest.raw import Format, Unreadable, parquet, records

FORM = {"kind": "parquet", "extra": "ignore", "columns": ()}
LOCAL, UTC = dt.datetime(2025, 1, 2, 3, 4, 5, 678900), dt.datetime(2025, 1, 2, 3, 4, 5, 678900, dt.UTC)


def written(table: pa.Table | dict, **options) -> bytes:
    file = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), file, **options)
    return file.getvalue()


def of(kind: pa.DataType, *values) -> pa.Array:
    return pa.array([*values, None], kind)


# What Spark 4.2 gives for the same files, but for the clock, which it does not read: to_json of the columns cast
# to text, instants by date_format.
TEXTS = {
    "true or false": (of(pa.bool_(), True, False), ["true", "false"]),
    "small": (of(pa.int8(), -1, 127), ["-1", "127"]),
    "big": (of(pa.int64(), -(2**63), 2**63 - 1), ["-9223372036854775808", "9223372036854775807"]),
    "unsigned": (of(pa.uint64(), 0, 2**64 - 1), ["0", "18446744073709551615"]),
    "text": (of(pa.string(), "é/\u2028\U0001f600\x7f", "", '"\\\n\t\x01\x1f'), None),
    "binary": (of(pa.binary(), b"abc", b"\xc3\xa9\0"), ["abc", "é\0"]),
    "fixed": (of(pa.binary(3), b"abc", b"\xc3\xa9d"), ["abc", "éd"]),
    "day": (of(pa.date32(), dt.date(1, 1, 1), dt.date(9999, 12, 31)), ["0001-01-01", "9999-12-31"]),
    "local": (
        of(pa.timestamp("us"), LOCAL, dt.datetime(2025, 1, 20), dt.datetime(1, 1, 1)),
        ["2025-01-02 03:04:05.6789", "2025-01-20 00:00:00", "0001-01-01 00:00:00"],
    ),
    "local in ms": (of(pa.timestamp("ms"), dt.datetime(1900, 1, 2, 3)), ["1900-01-02 03:00:00"]),
    "instant": (
        of(pa.timestamp("us", "Europe/Berlin"), UTC, dt.datetime(1960, 1, 2, tzinfo=dt.UTC)),
        ["2025-01-02T03:04:05.678900Z", "1960-01-02T00:00:00.000000Z"],
    ),
    "instant in ms": (of(pa.timestamp("ms", "UTC"), UTC.replace(microsecond=0)), ["2025-01-02T03:04:05.000000Z"]),
    "clock": (of(pa.time64("us"), dt.time(1, 2, 3)), ["01:02:03.000000"]),
    "decimal": (of(pa.decimal128(10, 2), Decimal("1.50"), Decimal("-3.00")), ["1.50", "-3.00"]),
    "whole decimal": (of(pa.decimal128(20, 0), Decimal(12)), ["12"]),
    "tiny decimal": (of(pa.decimal128(38, 10), Decimal("1.2E-9"), Decimal(0)), ["1.2E-9", "0E-10"]),
    "double": (
        of(pa.float64(), 0.0, -0.0, 1.5, 100.0, 9999999.0, 1e7, 12345678.9, 1e-3, 9.99e-4, 0.1 + 0.2, 1e21, 2.0**53),
        ["0.0", "-0.0", "1.5", "100.0", "9999999.0", "1.0E7", "1.23456789E7", "0.001", "9.99E-4",
         "0.30000000000000004", "1.0E21", "9.007199254740992E15"],
    ),
    "no number": (of(pa.float64(), float("nan"), float("inf"), -float("inf")), ["NaN", "Infinity", "-Infinity"]),
    "float": (of(pa.float32(), 0.1, 1e10, 16777216.0, 3.4e38, 1e-3), ["0.1", "1.0E10", "1.6777216E7", "3.4E38", "0.001"]),
    "dictionary": (of(pa.string(), "x", "y", "x").dictionary_encode(), ["x", "y", "x"]),
    "nothing": (pa.nulls(1), []),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_a_cell_is_the_text_that_spark_gives_and_a_null_is_left_away(read, name):
    column, texts = TEXTS[name]
    texts = column[:-1].to_pylist() if texts is None else texts
    rows = read(written({name: column}), **FORM)
    assert [json.loads(row["raw"]) for row in rows] == [*[{name: text} for text in texts], {}]
    assert {row["refusal"] for row in rows} == {None}


def test_what_spark_refuses_or_garbles_has_a_stated_text(read):
    nanoseconds = pa.array([1, 1_500_000_000, 0], pa.int64())
    table = {
        "local": nanoseconds.cast(pa.timestamp("ns")),
        "instant": nanoseconds.cast(pa.timestamp("ns", "UTC")),
        "bytes": pa.array([b"abc", b"\xff\0", None]),
    }
    assert [(row["raw"], row["refusal"]) for row in read(written(table), **FORM)] == [
        (
            '{"local":"1970-01-01 00:00:00.000000001","instant":"1970-01-01T00:00:00.000000001Z","bytes":"abc"}',
            None,
        ),
        (
            '{"local":"1970-01-01 00:00:01.5","instant":"1970-01-01T00:00:01.500000000Z","bytes":"\\xff\\u0000"}',
            "not valid utf-8",
        ),
        ('{"local":"1970-01-01 00:00:00","instant":"1970-01-01T00:00:00.000000000Z"}', None),
    ]


def test_times_of_96_bits_are_instants(read):
    data = written({"at": of(pa.timestamp("us"), LOCAL)}, use_deprecated_int96_timestamps=True)
    assert [row["raw"] for row in read(data, **FORM)] == ['{"at":"2025-01-02T03:04:05.678900Z"}', "{}"]


def test_rows_are_known_as_spark_would_know_them(tmp_path):
    path = tmp_path / "[a]{b}*_.parquet"
    pq.write_table(
        pa.table(
            {
                'a b`"c.d': of(pa.string(), 'é"\\/\n\x1f\x7f', None, "007", "007"),
                "price": of(pa.float64(), 1.5, None, float("nan"), float("nan")),
                "paid": of(pa.decimal128(10, 2), Decimal("1.50"), None, Decimal(2), Decimal(2)),
                "at": of(pa.timestamp("us", "UTC"), UTC, None, UTC, UTC),
            }
        ).slice(0, 4),
        path,
    )
    last = '{"a b`\\"c.d":"007","price":"NaN","paid":"2.00","at":"2025-01-02T03:04:05.678900Z"}'
    given = records(str(path), Format("parquet"), "c" * 64)
    assert [tuple(row.values()) for row in next(given).to_pylist()] == [
        (
            1, 1, "fe470c925969ba393c4f51ac4656b38c", "91693adf148884cd4eb46490e6dd84e6",
            '{"a b`\\"c.d":"é\\"\\\\/\\n\\u001F\x7f","price":"1.5","paid":"1.50","at":"2025-01-02T03:04:05.678900Z"}', None,
        ),
        (2, 1, "44136fa355b3678a1146ad16f7e8649e", "58120bd1988e790c552bb3c507258c92", "{}", None),
        (3, 1, "e88c371051bba1426dce5bf07cc14bb8", "3c8042ab3642f7ca8c8941d2a31cd1ef", last, None),
        (4, 2, "e88c371051bba1426dce5bf07cc14bb8", "7e3d4fbc2359ac203f6a3170eb0096b4", last, None),
    ]  # fmt: skip
    with pytest.raises(Unreadable, match="changed since it was inspected"):
        next(given)


def test_groups_of_rows_are_streamed_and_numbered_through(read, folder, monkeypatch):
    data = written({"a": ["x" * 9, "y", None, "x" * 9, "z"], "b": [1, 2, 3, 1, 5]}, row_group_size=3)
    expected = read(data, **FORM)
    assert [(row["position"], row["copy"]) for row in expected] == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 1)]
    monkeypatch.setattr(parquet, "AT_ONCE", 1)
    assert [group.positions.tolist() for group in parquet.rows(str(folder / "file.csv"))] == [[1], [2], [3], [4], [5]]
    assert read(data, **FORM) == expected


def test_a_row_longer_than_allowed_is_refused(read):
    rows = read(written({"a": ["x" * 20, "y"]}), **FORM, max_record_bytes=20)
    assert [(row["raw"], row["refusal"]) for row in rows] == [
        ('{"a":"xxxxxxxxxxxxxx', "record of 28 bytes, longer than the 20 allowed; its first 20 kept"),
        ('{"a":"y"}', None),
    ]
