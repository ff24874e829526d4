"""A mapping that cannot be is refused before any data is read, with all its mistakes at once."""

from pathlib import Path

import pytest

from crm_spark.core.errors import ConfigError
from crm_spark.ingest import mapping
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
      products: {columns: {product_id: order, titel: order}}
"""
    )

    with pytest.raises(ConfigError) as told:
        mapping.read(file)

    assert str(told.value).splitlines()[1:] == [
        "  orders: optional names no column 'ordr'; did you mean 'order'?",
        "  orders: optional column 'ordr' is not declared",
        "  orders.prices: looks up 'price', which is no feed",
        "  orders: 'order_line' is no conformed table; did you mean 'order_lines'?",
        "  orders.products: 'titel' is no column of it; did you mean 'title'?",
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


def test_a_natural_key_needs_a_version() -> None:
    with pytest.raises(ValueError, match="needs `version`"):
        mapping.Target(columns={"order_id": "a"}, key=["order_id"])


def test_expressions_that_cannot_be_are_refused_before_any_file_is_read(raw: Raw) -> None:
    columns = ORDERS["tables"]["order_lines"]["columns"]
    target = {
        "columns": {**columns, "order_id": "ordr", "quantity": "pieces +", "unit_price": "at", "channel": "nope(1)"}
    }
    rules = [{"name": "odd", "check": "price"}]
    raw.feeds = {
        "orders": {**ORDERS, "tables": {"order_lines": target}, "rules": rules, "severities": {"futur_date": "warn"}}
    }

    with pytest.raises(ConfigError) as told:
        raw.load()

    assert str(told.value).splitlines()[1:] == [
        "  orders.order_lines.order_id: 'ordr' names no raw column 'ordr'; did you mean 'order'?",
        "  orders.order_lines.quantity: 'pieces +' is no SQL expression",
        "  orders.order_lines.unit_price: 'at' is timestamp_ntz, which cannot become decimal(18,4)",
        "  orders.order_lines.channel: 'nope(1)' calls no function of Spark: 'nope'",
        "  orders: rule odd: 'price' is decimal(18,4), which cannot become boolean",
        "  orders.severities: no shipped rule is called 'futur_date'; did you mean 'future_date'?",
    ]
    assert not Path(raw.lake.location).exists()


def test_the_shipped_mappings_can_be_read() -> None:
    for file in sorted(Path("conf/sources").glob("*.yaml")):
        assert mapping.read(file).source == file.stem
