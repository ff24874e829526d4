"""Exactly once: batches that died, changed files, replaced files, records that wait, rules that fail."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame

from crm_spark.core.errors import ConfigError, QualityError
from crm_spark.core.together import together
from crm_spark.ingest.accounts import ACCOUNTS, LOOKUPS
from crm_spark.ingest.tables import CUSTOMERS, ORDER_LINES
from tests.failpoints import dying_at
from tests.ingest import till
from tests.ingest.conftest import BUYERS, HEADER, ORDERS, PRICES, Raw, priced

pytestmark = pytest.mark.first
Same = Callable[[DataFrame], list[str]]
FIRST = "1,1,c1,p1,1,2.00,2025-01-01 10:00:00"
SECOND = "2,1,c2,p1,1,3.00,2025-01-02 10:00:00"


@pytest.mark.slow
def test_a_batch_that_dies_again_and_again_is_finished_once(raw: Raw) -> None:
    raw.feeds = {"orders": BUYERS}
    raw.orders("1.csv", FIRST, SECOND, "3,1,c,p,x,1,2025-01-01 10:00:00")
    tables = ["ingest_accounts", "customer_history", "order_lines", "customers", "quarantine"]
    deaths = [("writing", "ingest_accounts", 1), *[("written", name, 1) for name in tables]]
    # A batch that is finished has its accounts opened already: its first write of them is the last of all.
    deaths += [("written", "ingest_accounts", 1)]

    for nth, step in enumerate(deaths):
        with dying_at(step) as hit:
            raw.load()
        assert hit(), step
        status = [row[0] for row in raw.accounts().values()]
        assert status == ([] if nth == 0 else ["loaded"] if nth == len(deaths) - 1 else ["started"])
    assert raw.load().files == {}, "nothing is left to do"

    assert raw.accounts() == {"orders/1.csv": ("loaded", 3, 2, 1, 0)}
    assert raw.rows(ORDER_LINES, "order_id") == [("1",), ("2",)]
    assert raw.rows(CUSTOMERS, "customer_id") == [("c1",), ("c2",)]
    assert raw.reasons() == [("orders/1.csv", 4, "pieces is not a decimal(18,4)")]


def test_a_source_that_one_driver_loads_twice_at_once_is_loaded_once(raw: Raw) -> None:
    raw.orders("1.csv", FIRST)
    together([partial(till.load, raw.lake, raw.folder)] * 2)
    assert raw.accounts() == {"orders/1.csv": ("loaded", 1, 1, 0, 0)}
    assert raw.rows(ORDER_LINES, "order_id") == [("1",)]


def test_a_changed_file_is_told_and_replaced_only_on_demand(raw: Raw) -> None:
    raw.feeds = {"orders": BUYERS}
    raw.orders("1.csv", FIRST, SECOND)
    raw.load()
    raw.orders("1.csv", SECOND.replace("3.00", "4.00"), "3,1,c3,p1,1,1.00,2025-01-03 10:00:00", "bad")

    told = raw.load()
    assert told.notes == [
        "orders/1.csv changed since it was loaded; `crm ingest --replace orders/1.csv` swaps its rows"
    ]
    assert raw.rows(ORDER_LINES, "order_id") == [("1",), ("2",)]

    raw.load(replace=["orders/1.csv"])
    assert [(order, str(price)) for order, price in raw.rows(ORDER_LINES, "order_id", "unit_price")] == [
        ("2", "4.0000"),
        ("3", "1.0000"),
    ]
    assert raw.rows(CUSTOMERS, "customer_id") == [("c2",), ("c3",)]
    assert raw.accounts() == {"orders/1.csv": ("loaded", 3, 2, 1, 0)}
    assert raw.load().files == {}, "nothing is new now"

    columns = {**BUYERS["tables"]["order_lines"]["columns"], "channel": "'till'"}
    raw.feeds = {"orders": {**BUYERS, "tables": {"order_lines": {"columns": columns}}}}
    raw.load(replace=["orders/1.csv"])
    assert raw.rows(ORDER_LINES, "order_id", "channel") == [("2", "till"), ("3", "till")], "a mended mapping"


def test_a_replacement_must_be_a_file_of_the_source(raw: Raw) -> None:
    raw.orders("1.csv", FIRST)
    with pytest.raises(ConfigError, match="till has no file orders/9.csv"):
        raw.load(replace=["orders/9.csv"])


@pytest.mark.slow
def test_a_record_of_any_format_waits_for_its_partner_and_loads_by_itself(raw: Raw) -> None:
    json_ = {**priced(ORDERS), "files": "json/*", "format": "jsonl"}
    parquet = {**priced(ORDERS), "files": "parquet/*", "format": "parquet"}
    raw.feeds = {"orders": priced(ORDERS), "json": json_, "parquet": parquet, "prices": PRICES}
    raw.orders("1.csv", FIRST)
    second = dict(zip(ORDERS["columns"], SECOND.split(","), strict=True))
    raw.write("json/2.jsonl", json.dumps(second) + "\n")
    third = pa.table({name: [value] for name, value in {**second, "order": "3"}.items()})
    pq.write_table(third, raw.write("parquet/3.parquet", b""))
    raw.load()
    reason = "no partner in prices yet"
    assert raw.reasons() == [("json/2.jsonl", 1, reason), ("orders/1.csv", 2, reason), ("parquet/3.parquet", 1, reason)]

    raw.write("prices/1.csv", "product,off,day\np1,0.5,2025-01-01\n")
    raw.load()

    assert raw.reasons() == []
    for path in ("orders/1.csv", "json/2.jsonl", "parquet/3.parquet"):
        assert raw.accounts()[path] == ("loaded", 1, 1, 0, 0)
    assert raw.rows(ORDER_LINES, "order_id") == [("1",), ("2",), ("3",)]


@pytest.mark.slow
def test_a_return_waits_for_its_sale_in_any_feed_and_loads_by_itself(raw: Raw) -> None:
    columns = {**BUYERS["tables"]["order_lines"]["columns"], "product_id": "product"}
    orders = {**BUYERS, "tables": {"order_lines": {"columns": columns}}}
    strict = {**orders, "files": "web/*", "severities": {"return_without_sale": "quarantine"}}
    raw.feeds = {"web": strict, "orders": orders}
    back, early = "7,1,c1,p1,-1,2.00,2025-01-03 10:00:00", "8,1,c2,p1,-1,3.00,2025-01-03 10:00:00"
    raw.write("web/1.csv", HEADER + f"{back}\n{early}\n9,1,,p1,-1,2.00,2025-01-03 10:00:00\n")
    raw.orders("1.csv", FIRST, back.replace("7,", "17,", 1), early.replace("8,", "18,", 1))
    raw.load()

    assert raw.reasons() == [("web/1.csv", 3, "no sale of it yet")]
    assert raw.accounts()["web/1.csv"] == ("loaded", 3, 2, 1, 0)
    orders = [("1",), ("17",), ("18",), ("7",), ("9",)]
    assert raw.rows(ORDER_LINES, "order_id") == orders, "of the sale in another feed; an unknown buyer may have bought"
    warned = raw.lake.current(ACCOUNTS).where("path = 'orders/1.csv'").select("warnings").collect()
    assert warned[0][0] == {"return_without_sale": 1}

    raw.orders("2.csv", SECOND)
    raw.load()

    assert raw.reasons() == []
    assert raw.accounts()["web/1.csv"] == ("loaded", 3, 3, 0, 0)
    assert raw.rows(ORDER_LINES, "order_id") == sorted([*orders, ("2",), ("8",)])


@pytest.mark.slow
def test_retry_takes_up_records_and_files_after_a_mended_mapping(raw: Raw) -> None:
    json_, parquet = {"files": "json/*", "format": "jsonl"}, {"files": "parquet/*", "format": "parquet"}
    kinds: dict[str, dict[str, Any]] = {"orders": {}, "json": json_, "parquet": parquet}
    raw.feeds = {name: {**ORDERS, **kind} for name, kind in kinds.items()}
    third = dict(zip(ORDERS["columns"], ["3", "1", "c2", "p1", "1", "3.00", "03.01.2025"], strict=True))
    raw.write("json/3.jsonl", json.dumps(third) + "\n")
    pq.write_table(
        pa.table({**{name: [value] for name, value in third.items()}, "order": ["4"]}),
        raw.write("parquet/4.parquet", b""),
    )
    raw.orders("1.csv", FIRST, SECOND.replace("2025-01-02 10:00:00", "02.01.2025"))
    raw.write("orders/2.csv", "order,line\n9,1\n")
    told = raw.load()
    assert {row[0] for row in raw.accounts().values()} == {"loaded", "refused"}
    assert told.records == {"records": 5, "loaded": 1, "quarantined": 4, "duplicates": 0}
    assert told.notes == [
        *[f"{feed}: 1 record quarantined: at is not a time" for feed in ("json", "orders")],
        "orders: 1 file refused: lacks columns 'customer', 'product', 'pieces', 'price', 'at'",
        "parquet: 1 record quarantined: at is not a time",
        "they lie in the table quarantine; after a mended mapping `crm ingest till --retry` takes them up again",
    ]

    columns = {**ORDERS["columns"], "at": "string"}
    at = "coalesce(try_to_timestamp(at, 'yyyy-MM-dd HH:mm:ss'), try_to_timestamp(at, 'dd.MM.yyyy'), TIMESTAMP '2025-01-09')"
    mapped = {**ORDERS["tables"]["order_lines"]["columns"], "ordered_at": at, "quantity": "coalesce(pieces, 1)"}
    optional = ["customer", "product", "pieces", "price", "at"]
    table: dict[str, Any] = {"columns": {**mapped, "amount": "coalesce(price, 0)"}}
    mended = {**ORDERS, "columns": columns, "optional": optional, "tables": {"order_lines": table}}
    raw.feeds = {name: {**mended, **kind} for name, kind in kinds.items()}
    told = raw.load(retry=True)

    assert raw.reasons() == []
    assert told.records == {"records": 5, "loaded": 5, "quarantined": 0, "duplicates": 0}
    assert told.files == {"loaded": 4}
    assert raw.accounts() == {
        "orders/1.csv": ("loaded", 2, 2, 0, 0),
        "orders/2.csv": ("loaded", 1, 1, 0, 0),
        "json/3.jsonl": ("loaded", 1, 1, 0, 0),
        "parquet/4.parquet": ("loaded", 1, 1, 0, 0),
    }
    assert raw.rows(ORDER_LINES, "order_id") == [("1",), ("2",), ("3",), ("4",), ("9",)]


def test_a_rule_that_fails_stops_the_batch_and_what_is_mended_loads(raw: Raw) -> None:
    rules = [{"name": "known_buyer", "check": "customer IS NOT NULL", "severity": "fail"}]
    raw.feeds = {"orders": {**priced(ORDERS), "rules": rules}, "prices": PRICES}
    raw.orders("1.csv", FIRST, SECOND.replace("c2", ""))
    raw.write("prices/1.csv", "product,off,day\np1,0.5,2025-01-01\n")

    with pytest.raises(QualityError, match=r"orders/1.csv: 1 records break known_buyer"):
        raw.load()
    assert raw.accounts() == {}
    assert raw.rows(ORDER_LINES, "order_id") == []
    assert raw.rows(LOOKUPS, "row_key") == [], "look-ups are of the batch too"

    raw.orders("1.csv", FIRST, SECOND)
    raw.write("prices/1.csv", "product,off,day\np1,0.6,2024-12-31\n")
    raw.load()
    assert [str(off) for (off,) in raw.rows(ORDER_LINES, "discount")] == ["0.6000", "0.6000"]
    assert len(raw.rows(LOOKUPS, "row_key")) == 1


@pytest.mark.slow
def test_a_table_fed_with_and_without_ids_of_its_own_takes_both_when_files_are_replaced(raw: Raw) -> None:
    columns = {**ORDERS["tables"]["order_lines"]["columns"], "line_id": "concat(order, '-', line)"}
    web = {**ORDERS, "files": "web/*", "tables": {"order_lines": {"columns": columns}}}
    raw.feeds = {"orders": ORDERS, "web": web}
    raw.orders("1.csv", FIRST)
    raw.write("web/1.csv", HEADER + SECOND + "\n")
    raw.load()
    raw.orders("1.csv", FIRST.replace("2.00", "5.00"))
    raw.write("web/1.csv", HEADER + SECOND.replace("3.00", "6.00") + "\n")
    raw.load(replace=["orders/1.csv", "web/1.csv"])

    found = raw.rows(ORDER_LINES, "order_id", "unit_price", "line_id")
    assert [(order, str(price)) for order, price, _ in found] == [("1", "5.0000"), ("2", "6.0000")]
    assert found[1][2] == "2-1"


@pytest.mark.slow
def test_a_replaced_file_takes_no_row_of_another_file_or_feed_along(raw: Raw) -> None:
    raw.feeds = {"orders": ORDERS, "web": {**ORDERS, "files": "web/*"}}
    first = raw.orders("1.csv", FIRST).read_bytes()
    raw.write("web/1.csv", first)
    raw.write("orders/3.csv", "order,line\n9,1\n")
    raw.write("orders/4.csv", "order,line\n9,1\n")
    raw.load()
    assert len(set(raw.rows(ORDER_LINES, "line_id"))) == 2, "equal bytes of two feeds are two records"
    assert [path for path, _, _ in raw.reasons()] == ["orders/3.csv", "orders/4.csv"]

    raw.orders("1.csv", SECOND)
    raw.write("orders/2.csv", first)
    raw.orders("4.csv", SECOND.replace("2,1", "4,1"))
    raw.load(replace=["orders/1.csv"], retry=True)

    assert raw.accounts() == {
        "orders/1.csv": ("loaded", 1, 1, 0, 0),
        "orders/2.csv": ("loaded", 1, 1, 0, 0),
        "orders/3.csv": ("refused", 1, 0, 1, 0),
        "orders/4.csv": ("loaded", 1, 1, 0, 0),
        "web/1.csv": ("loaded", 1, 1, 0, 0),
    }
    assert raw.rows(ORDER_LINES, "order_id") == [("1",), ("1",), ("2",), ("4",)]
    assert [path for path, _, _ in raw.reasons()] == ["orders/3.csv"]


def test_exact_repeats_are_judged_within_one_file(raw: Raw) -> None:
    raw.feeds = {"orders": {**ORDERS, "duplicates": "drop"}}
    raw.orders("1.csv", FIRST, SECOND, FIRST)
    raw.orders("2.csv", FIRST)
    raw.write("orders/3.csv", (raw.folder / "orders/1.csv").read_bytes())
    raw.load()

    assert raw.accounts() == {
        "orders/1.csv": ("loaded", 3, 2, 0, 1),
        "orders/2.csv": ("loaded", 1, 1, 0, 0),
        "orders/3.csv": ("repeated", 0, 0, 0, 0),
    }
    assert len(raw.rows(ORDER_LINES, "order_id")) == 3


def test_foreign_money_needs_a_dated_rate(raw: Raw) -> None:
    columns = {**ORDERS["columns"], "currency": "string"}
    rates = {
        "files": "rates/*",
        "columns": {"date": "date", "currency": "string", "rate": "decimal(18,8)"},
        "key": ["currency", "date"],
    }
    raw.feeds = {"orders": {**ORDERS, "columns": columns, "currency": "currency"}, "rates": rates}
    raw.source = {"rates": {"feed": "rates"}}
    raw.write("rates/1.csv", "date,currency,rate\n2025-01-01,GBP,1.2\n2025-01-01,IDR,0.00005678\n")
    header = ",".join(columns)
    raw.write(
        "orders/1.csv",
        f"{header}\n{FIRST},GBP\n{FIRST.replace('1,1,c1', '2,1,c1')},EUR\n{SECOND.replace('2,1', '3,1')},GBP\n"
        "4,1,c1,p1,2000,1.23,2025-01-01 10:00:00,IDR\n",
    )
    raw.load()

    assert [(order, str(amount)) for order, amount in raw.rows(ORDER_LINES, "order_id", "amount")] == [
        ("1", "2.4000"),
        ("2", "2.0000"),
        ("4", "0.1397"),  # not 2000 times a price of 0.0001
    ]
    assert raw.reasons() == [("orders/1.csv", 4, "no rate for its currency and day yet")]
