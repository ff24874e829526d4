"""A mapping that cannot be is refused before any data is read, with all its mistakes at once."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from crm_spark.core.errors import ConfigError
from crm_spark.ingest import mapping
from crm_spark.ingest.check import _said, check
from crm_spark.ingest.mistakes import mistakes
from tests.ingest.conftest import ORDERS, Raw


def test_wrong_names_are_told_together_with_the_near_ones(tmp_path: Path) -> None:
    file = tmp_path / "till.yaml"
    file.write_text(
        """
source: till
zone: Europe/London
feeds:
  orders:
    files: "*.csv"
    columns: {order: string}
    optional: [ordr]
    lookups: {prices: {feed: price, by: {sku: order}}}
    tables:
      order_line: {columns: {order_id: order}}
      products: {columns: {product_id: order, titel: order, known_on: order}}
"""
    )

    assert mistakes(mapping.read(file)) == [
        "orders: optional names no column 'ordr'; did you mean 'order'?",
        "orders: optional column 'ordr' is not declared",
        "orders.prices: looks up 'price', which is no feed",
        "orders: 'order_line' is no conformed table; did you mean 'order_lines'?",
        "orders.products: 'titel' is no column of it; did you mean 'title'?",
        "orders.products: 'known_on' is written by the ingestion itself",
    ]


def test_unknown_keys_types_and_zones_are_told_together(tmp_path: Path) -> None:
    file = tmp_path / "till.yaml"
    file.write_text(
        "source: till\nzone: London\nfeeds:\n  orders: {file: x, files: '*', columns: {a: text}, tables: {}}\n"
    )

    with pytest.raises(ConfigError) as told:
        mapping.read(file)

    said = str(told.value)
    assert "'London' is no time zone" in said
    assert "type 'text' cannot be" in said
    assert "unknown key 'feeds.orders.file'" in said


def test_what_spark_would_find_late_or_never_is_told_before(tmp_path: Path) -> None:
    file = tmp_path / "till.yaml"
    file.write_text(
        """
source: till
zone: Europe/London
rates: {feed: rates, rate: rote}
feeds:
  rates:
    files: rates/*
    columns: {date: date, currency: string, rate: "decimal(18,8)", told: string}
    key: [currency, date]
    version: told
  orders:
    files: orders/*
    columns: {Order: string, order: string, buyer: string, at: date}
    lookups: {Buyer: {feed: rates, by: {currency: order, date: at}}}
    tables:
      order_lines: {columns: {order_id: order, line_id: order, run_id: buyer}, key: [order_id], version: at}
      customers: {columns: {customer_id: buyer}, version: at}
      events: {columns: {event_id: order}, key: [event_id], version: at}
"""
    )

    assert mistakes(mapping.read(file)) == [
        "rates: version 'told' is a string, which orders nothing; make it a time, a day or a number",
        "orders: columns Order, order differ by case alone, which Spark ignores",
        "orders.Buyer: a raw column is called so too; give the look-up another name",
        "orders.order_lines: 'run_id' is written by the ingestion itself",
        "orders.order_lines: line_id is said by its column and by `key`; leave out one of them",
        "orders.customers: its key is customer_id and `known_at` orders what is said; leave out `key` and `version`",
        "rates: rate names no column 'rote' of rates; did you mean 'rate'?",
    ]


@pytest.mark.parametrize(
    "folder",
    ["s3a://AKIA:hunt/er2@bucket/raw", "https://a.example/raw?sv=1&sig=hunter2", "s3a://A:hunter2@b: x", "[s3a://A:hunter2@b]"],
)  # fmt: skip
def test_a_secret_is_refused_and_never_shown(tmp_path: Path, folder: str) -> None:
    file = tmp_path / "till.yaml"
    file.write_text(f"source: till\nzone: UTC\nfolder: {folder}\nfeeds: {{}}\n")

    with pytest.raises(ConfigError) as told:
        mapping.read(file)

    assert "er2" not in str(told.value)
    assert "must hold no secret" in str(told.value) or "cannot be read as YAML: mapping values" in str(told.value)


def test_a_key_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "till.yaml"
    file.write_text("source: till\nzone: UTC\n1: x\nfeeds: {}\n")

    with pytest.raises(ConfigError, match=r"the key 1 is no text as it stands, so write it in quotes \(line 3\)"):
        mapping.read(file)


@pytest.mark.parametrize(
    "text",
    [
        "DATE'today'", "TIMESTAMP 'now'", "system.builtin.current_date()", "builtin.now()", "unix_timestamp( /* x */ )",
        "(SELECT max(x) FROM VALUES (1) AS t(x))", "EXISTS (SELECT 1)", "( /* x */ select 1)",
    ],
)  # fmt: skip
def test_what_asks_the_clock_or_other_rows_does_not_follow_from_its_record(spark: SparkSession, text: str) -> None:
    raw = spark.createDataFrame([], "at string, today date")
    assert "does not follow from its record alone" in " ".join(_said(raw, text, "string"))
    assert _said(raw, "concat(at, '(select', ' DATE ', today, 'now()')", "string") == []


def test_a_natural_key_needs_a_version() -> None:
    with pytest.raises(ValueError, match="needs `version`"):
        mapping.Target(columns={"order_id": "a"}, key=["order_id"])


def test_names_types_and_expressions_that_cannot_be_are_told_together(spark: SparkSession, tmp_path: Path) -> None:
    file = tmp_path / "till.yaml"
    file.write_text(
        """
source: till
zone: Europe/London
feeds:
  orders:
    files: "*.csv"
    columns: {order: string, day: date DD/MM/YYYY, price: "decimal(18,4)", paid: money}
    tables:
      order_line: {columns: {order_id: order}}
      products: {columns: {product_id: ordr, titel: order, category: price + paid + cost, brand: summ(price)}}
      customers: {columns: {customer_id: order, registered_on: day}}
  prices: {files: p, columns: {sku: string}, key: [ean], tables: {products: {columns: {product_id: nothing}}}}
"""
    )
    with pytest.raises(ConfigError) as told:
        check(spark, mapping.read(file), {})
    said = str(told.value).splitlines()[1:]
    kinds = "string, int, bigint, double, boolean, decimal(p,s), date [pattern], timestamp [pattern], instant [pattern]"
    assert said[:2] == [
        "  orders: column 'day': pattern 'DD/MM/YYYY' cannot be read by Spark at 'YYYY'; text of its own stands in quotes: 'T'",
        f"  orders: column 'paid': type 'money' cannot be; allowed: {kinds}",
    ]
    assert said[2:] == [
        "  orders: 'order_line' is no conformed table; did you mean 'order_lines'?",
        "  orders.products: 'titel' is no column of it; did you mean 'title'?",
        "  prices: key names no column 'ean'",
        "  orders.products.product_id: 'ordr' names no raw column 'ordr'; did you mean 'order'?",
        "  orders.products.category: 'price + paid + cost' names no raw column 'cost'",
        "  orders.products.brand: 'summ(price)' calls no function of Spark: 'summ'",
        "  prices.products.product_id: 'nothing' names no raw column 'nothing'",
    ]


def test_a_type_cut_at_its_comma_is_to_be_quoted(tmp_path: Path) -> None:
    file = tmp_path / "till.yaml"
    file.write_text("source: till\nzone: UTC\nfeeds: {orders: {files: x, columns: {price: decimal(18,4)}}}\n")
    with pytest.raises(
        ConfigError, match="'decimal.18' was cut at its comma: within braces YAML takes it whole in quotes"
    ):
        mapping.read(file)


def test_expressions_that_cannot_be_are_refused_before_any_file_is_read(raw: Raw) -> None:
    columns = ORDERS["tables"]["order_lines"]["columns"]
    target = {
        "columns": {
            **columns,
            "order_id": "ordr",
            "quantity": "pieces +",
            "unit_price": "at",
            "channel": "nope(1)",
            "discount": "sum(price)",
            "store_id": "max(order) OVER ()",
            "campaign_id": "explode(split(order, ' '))",
            "customer_id": "uuid()",
            "product_id": "concat(product, current_date)",
        },
        "version": "order",
    }
    rules = [{"name": "odd", "check": "price"}]
    prices = {"files": "prices/*", "columns": {"day": "date"}, "key": ["day"]}
    looked = {"listed": {"feed": "prices", "by": {"day": "line"}}}
    orders = {**ORDERS, "tables": {"order_lines": target}, "rules": rules, "severities": {"futur_date": "warn"}}
    raw.feeds = {"orders": {**orders, "lookups": looked}, "prices": prices}

    with pytest.raises(ConfigError) as told:
        raw.load()

    beyond, moment = "does not follow from its record alone", "current_date is another value the next time"
    assert str(told.value).splitlines()[1:] == [
        "  orders.listed.by.day: 'line' is int, which cannot become date",
        "  orders.order_lines.order_id: 'ordr' names no raw column 'ordr'; did you mean 'order'?",
        "  orders.order_lines.quantity: 'pieces +' is no SQL expression",
        "  orders.order_lines.unit_price: 'at' is timestamp_ntz, which cannot become decimal(18,4)",
        "  orders.order_lines.channel: 'nope(1)' calls no function of Spark: 'nope'",
        f"  orders.order_lines.discount: 'sum(price)' {beyond}: it gathers or makes rows, or is random",
        f"  orders.order_lines.store_id: 'max(order) OVER ()' {beyond}: it gathers or makes rows, or is random",
        f"  orders.order_lines.campaign_id: 'explode(split(order, ' '))' {beyond}: it gathers or makes rows, or is random",
        f"  orders.order_lines.customer_id: 'uuid()' {beyond}: it gathers or makes rows, or is random",
        f"  orders.order_lines.product_id: 'concat(product, current_date)' {beyond}: {moment}",
        "  orders.order_lines.version: 'order' is string, which cannot become a time, a day or a number",
        "  orders: rule odd: 'price' is decimal(18,4), which cannot become boolean",
        "  orders.severities: no shipped rule is called 'futur_date'; did you mean 'future_date'?",
    ]
    assert not Path(raw.lake.location).exists()


def test_the_shipped_mappings_can_be_read() -> None:
    for file in sorted(Path("conf/sources").glob("*.yaml")):
        source = mapping.read(file)
        assert source.source == file.stem
        assert mistakes(source) == []
