"""What bad input gets: a case for each kind, all in one call, nothing lost and nothing doubled."""

import datetime as dt
import gzip
import json
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from crm_spark.ingest.accounts import ACCOUNTS
from crm_spark.ingest.tables import CUSTOMERS, EVENTS, FEEDBACK, ORDER_LINES
from tests.ingest.conftest import HEADER, ORDERS, Raw

GOOD = "1,1,c1,p1,2,1.50,2025-01-01 10:00:00"
JSONL = {"files": "json/*", "format": "jsonl", **{name: ORDERS[name] for name in ("columns", "tables")}}
PARQUET = {"files": "parquet/*", "format": "parquet", **{name: ORDERS[name] for name in ("columns", "tables")}}
WHOLE = {
    "order": "1",
    "line": 1,
    "customer": "c",
    "product": "p",
    "pieces": 2,
    "price": 1.5,
    "at": "2025-01-01 10:00:00",
}

# file, what it holds after the header and a good line, what is told of its second record
RECORDS = {
    "bad_number.csv": ("2,1,c,p,12x,1,2025-01-01 10:00:00", "pieces is not a decimal(18,4)"),
    "bad_day.csv": ("2,1,c,p,1,1,2025-02-31 10:00:00", "at is not a time"),
    "nan.csv": ("2,1,c,p,NaN,1,2025-01-01 10:00:00", "pieces is not a decimal(18,4)"),
    "infinity.csv": ("2,1,c,p,1,Infinity,2025-01-01 10:00:00", "price is not a decimal(18,4)"),
    "short.csv": ("2,1,c", "another number of fields than the header"),
    "long.csv": ("2,1,c,p,1,1,2025-01-01 10:00:00,more", "another number of fields than the header"),
    "negative_price.csv": ("2,1,c,p,1,-1,2025-01-01 10:00:00", "negative_price"),
    "future.csv": ("2,1,c,p,1,1,2999-01-01 10:00:00", "future_date"),
    "year_0.csv": ("2,1,c,p,1,1,0000-01-01 10:00:00", "early_date"),
    "no_order.csv": (",1,c,p,1,1,2025-01-01 10:00:00", "order_id is missing"),
    "huge.csv": (
        "2,1,c,p,1,90000000000000,2025-01-01 10:00:00",
        "amount is 100,000,000,000 or more",
    ),
    "many.csv": ("2,1,c,p,-100000000000,0.01,2025-01-01 10:00:00", "quantity is 100,000,000,000 or more"),
    "two_faults.csv": ("2,x,c,p,y,1,2025-01-01 10:00:00", "line is not a whole number; pieces is not a decimal(18,4)"),
}


def test_each_bad_record_is_quarantined_with_its_reason_and_the_rest_is_loaded(raw: Raw) -> None:
    for name, (line, _) in RECORDS.items():
        raw.orders(name, GOOD.replace("1,1,c1", f"{name},1,c1", 1), line)

    raw.load()

    told = {path.removeprefix("orders/"): (position, reason) for path, position, reason in raw.reasons()}
    assert told == {
        name: (3, reason if name not in ("short.csv", "long.csv") else told[name][1])
        for name, (_, reason) in RECORDS.items()
    }
    assert all(told[name][1].startswith(RECORDS[name][1]) for name in ("short.csv", "long.csv"))
    assert set(raw.accounts().values()) == {("loaded", 2, 1, 1, 0)}
    assert len(raw.rows(ORDER_LINES, "order_id")) == len(RECORDS)


def _parquets(raw: Raw) -> dict[str, tuple[str, int, int, int, int]]:
    """Write Parquet files, among them what Spark would stop at; give what becomes of them."""
    text = {name: pa.array([str(value)]) for name, value in WHOLE.items()}
    at = pa.array([dt.datetime(2025, 1, 1, 10)], pa.timestamp("ns"))
    columns = {
        "20_good": {**text, "order": ["0020"]},
        "_22_[odd] {name}*": {**text, "order": ["0022"], "at": at},
        "23_nested": {**text, "order": [["1"]]},
        "24_case": {**text, "Order": ["1"]},
        "25_damaged": text,
    }
    for name, table in columns.items():
        pq.write_table(pa.table(table), raw.folder / "parquet" / f"{name}.parquet")
    damaged = raw.folder / "parquet" / "25_damaged.parquet"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:8] + b"\xff" * 60 + whole[68:])
    is_good = {name: name.startswith(("20", "_22")) for name in columns}
    outcomes = {True: ("loaded", 1, 1, 0, 0), False: ("refused", 1, 0, 1, 0)}
    return {f"parquet/{name}.parquet": outcomes[is_good[name]] for name in columns}


def test_broken_files_and_bytes_are_refused_or_quarantined_and_counted(raw: Raw) -> None:
    raw.feeds = {"orders": ORDERS, "json": JSONL, "parquet": PARQUET}
    good, whole = f"{HEADER}{GOOD}\n", json.dumps(WHOLE)
    # All digits of a price; of fewer pieces, as such an amount would be too large.
    exact = json.dumps({**WHOLE, "order": "0018", "pieces": 0.001}).replace("1.5", "12345678901234.1235")
    packed = gzip.compress((good * 50).encode())
    cases: dict[str, tuple[str | bytes, tuple[str, int, int, int, int]]] = {
        "orders/01_empty.csv": ("", ("loaded", 0, 0, 0, 0)),
        "orders/02_header.csv": (HEADER + "\n", ("loaded", 0, 0, 0, 0)),
        "orders/03_mark.csv": ("﻿" + good.replace("1,1,c1", "03,1,c1"), ("loaded", 1, 1, 0, 0)),
        "orders/04_crlf.csv": (good.replace("1,1,c1", "04,1,c1").replace("\n", "\r\n"), ("loaded", 1, 1, 0, 0)),
        "orders/05_nul.csv": (good.replace("c1", "c\0"), ("loaded", 1, 0, 1, 0)),
        "orders/06_quote.csv": (f'{HEADER}1,1,"c1,p,1,1,2025-01-01 10:00:00\n{GOOD}\n', ("loaded", 2, 1, 1, 0)),
        "orders/07_long_line.csv": (f"{good}2,1,{'c' * 10_000_000},p,1,1,2025-01-01 10:00:00\n", ("loaded", 2, 1, 1, 0)),
        "orders/08_cut.csv.gz": (packed[: len(packed) // 2], ("refused", 1, 0, 1, 0)),
        "orders/09_magic.csv.gz": (good.encode(), ("refused", 1, 0, 1, 0)),
        "orders/10_wrong_header.csv": (good.replace("price", "prize"), ("refused", 1, 0, 1, 0)),
        "orders/11_extra_column.csv": (f"more,{HEADER}x,{GOOD}\n", ("refused", 1, 0, 1, 0)),
        "orders/12_missing_column.csv": ("order,line,customer,product,pieces,price\n1,1,c,p,1,1\n", ("refused", 1, 0, 1, 0)),
        "orders/13_other_order.csv": ("at,price,pieces,product,customer,line,order\n2025-01-01 10:00:00,1,1,p,c,1,13\n", ("loaded", 1, 1, 0, 0)),
        "orders/14_mixed.csv": (good.encode() + "2,1,é,p,1,1,2025-01-01 10:00:00\n".encode("latin-1"), ("loaded", 2, 1, 1, 0)),
        "json/15_cut.jsonl": (f'{whole}\n{whole[:30]}\n[1]\n', ("loaded", 3, 1, 2, 0)),
        "json/16_deep.jsonl": ('{"order": ' + "[" * 5000 + "]" * 5000 + "}\n", ("loaded", 1, 0, 1, 0)),
        "json/17_stranger.jsonl": (whole.replace('"line"', '"lime"') + "\n", ("loaded", 1, 0, 1, 0)),
        "json/18_exact.jsonl": (exact + "\n", ("loaded", 1, 1, 0, 0)),
        "json/21_two_in_one.jsonl": (f"{whole}{whole}\n{whole} more\n{whole[:-1]}, \"line\": 2}}\n", ("loaded", 3, 0, 3, 0)),
        "parquet/19_no_footer.parquet": (b"PAR1 nothing more", ("refused", 1, 0, 1, 0)),
    }  # fmt: skip
    for path, (content, _) in cases.items():
        raw.write(path, content)
    parquet = _parquets(raw)

    raw.load()

    assert raw.accounts() == {
        **{path: outcome for path, (_, outcome) in cases.items()},
        **parquet,
    }
    whole_files = {path for path, position, _ in raw.reasons() if position == 0}
    assert whole_files == {path for path, outcome in raw.accounts().items() if outcome[0] == "refused"}
    orders = dict(raw.rows(ORDER_LINES, "order_id", "unit_price"))
    assert set(orders) == {"1", "03", "04", "13", "0018", "0020", "0022"}
    assert orders["0018"] == Decimal("12345678901234.1235")


RATINGS = {
    "files": "ratings/*",
    "columns": {"no": "string", "version": "int", "stars": "string", "at": "string"},
    "tables": {
        "feedback": {
            "columns": {"order_id": "no", "kind": "'review'", "rating": "stars", "given_at": "at"},
            "key": ["order_id"],
            "version": "version",
        },
        "events": {
            "columns": {"event_id": "no", "kind": "'rated'", "occurred_on": "DATE '2025-01-31'"},
            "key": ["event_id"],
            "version": "version",
        },
    },
}
BILLS = {
    "files": "bills/*",
    "columns": {"no": "string", "buyer": "string", "pieces": "int", "price": "string", "off": "string", "shop": "int"},
    "lookups": {"place": {"feed": "shops", "by": {"no": "shop"}}},
    "tables": {
        "order_lines": {
            "where": "no <> 'test'",
            "columns": {
                "order_id": "no",
                "customer_id": "buyer",
                "ordered_on": "DATE '2025-01-01'",
                "quantity": "pieces",
                "unit_price": "price",
                "discount": "off",
                "store_id": "place.city",
            },
        },
        "customers": {"where": "place.city = 'Ulm'", "columns": {"customer_id": "buyer", "city": "place.city"}},
    },
}
SHOPS = {"files": "shops/*", "columns": {"no": "string", "city": "string"}, "key": ["no"]}
PEOPLE = {
    "files": "people/*",
    "columns": {"kind": "string", "id": "string", "born": "string", "told": "string"},
    "tables": {
        "customers": {
            "where": "kind = 'person'",
            "columns": {"customer_id": "id", "birth_date": "born", "known_at": "told"},
        }
    },
}


def test_what_an_expression_cannot_make_is_refused_and_what_where_leaves_out_is_counted(raw: Raw) -> None:
    raw.feeds = {"ratings": RATINGS, "bills": BILLS, "shops": SHOPS, "people": PEOPLE}
    raw.source = {"zone": "Europe/Berlin"}
    ratings = ["a,1,5,2025-01-31T10:00:00Z", "b,1,4,2025-01-31 10:00:00", "c,1,NaN,2025-01-31", "d,1,many,2025-01-31"]
    ratings += ["e,1,4,2025-01-31 rubbish", ",1,4,2025-01-31"]
    raw.write("ratings/1.csv", "\n".join(["no,version,stars,at", *ratings]) + "\n")
    bills = [
        "1,c1,2,3.00,1.00,7",
        "2,c2,1,3.00,,8",
        "3,c3,1,3.00,abc,7",
        "4,c4,999999999,99999999999999,,7",
        "5,c4,1,99999999999999,,7",
        "test,c5,1,1,,7",
        "test,c6,1,1,,8",
    ]
    raw.write("bills/1.csv", "\n".join(["no,buyer,pieces,price,off,shop", *bills]) + "\n")
    raw.write("shops/1.csv", "no,city\n7,Ulm\n07,Bonn\n8,Kiel\n")
    people = ["person,p1,2001-02-03,", "firm,,,", "person,,,", "person,p2,2001,", "person,p3,,soon"]
    raw.write("people/1.csv", "\n".join(["kind,id,born,told", *people]) + "\n")
    raw.load()

    assert raw.reasons() == [
        ("bills/1.csv", 4, "discount is not a decimal(18,4)"),
        ("bills/1.csv", 5, "amount is not a decimal(18,4)"),
        ("bills/1.csv", 6, "amount is 100,000,000,000 or more"),
        ("people/1.csv", 4, "customer_id is missing"),
        ("people/1.csv", 5, "birth_date is not a day"),
        ("people/1.csv", 6, "known_at is not a time"),
        ("ratings/1.csv", 4, "rating is not a finite number"),
        ("ratings/1.csv", 5, "rating is not a finite number"),
        ("ratings/1.csv", 6, "given_at is not a time"),
        ("ratings/1.csv", 7, "order_id is missing"),
    ]
    assert [(order, at.hour) for order, at in raw.rows(FEEDBACK, "order_id", "given_at")] == [("a", 10), ("b", 9)]
    assert raw.rows(ORDER_LINES, "order_id", "store_id") == [("1", "Ulm"), ("2", "Kiel")]
    assert raw.rows(CUSTOMERS, "customer_id", "city") == [("c1", "Ulm"), ("c2", None), ("c5", "Ulm"), ("p1", None)]
    assert raw.rows(EVENTS, "event_id") == [("a",), ("b",)], "a key that is the id stays as it came"
    warnings = dict(raw.rows(ACCOUNTS, "path", "warnings"))
    assert warnings["people/1.csv"] == warnings["bills/1.csv"] == {"left_out": 1}
