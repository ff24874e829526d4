"""The job on a lake: it owns one day, whatever tables are there, and reads a history of an older contract."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.contracts import Table
from crm_spark.core.lake import Lake
from crm_spark.features.snapshot import CUSTOMER_FEATURES
from crm_spark.ingest.tables import CUSTOMER_HISTORY, ORDER_LINES
from jobs.customer_features import customer_features

AS_OF = date(2025, 2, 28)
# As it was before the day on which a statement held was written down.
OLDER = replace(CUSTOMER_HISTORY, version=1, columns=[c for c in CUSTOMER_HISTORY.columns if c.name != "known_on"])
ORIGIN = {"source": "till", "file_hash": "f", "row_hash": "h", "run_id": "r", "loaded_at": datetime(2026, 1, 1)}


def add(lake: Lake, table: Table, *rows: dict[str, Any]) -> None:
    told = [tuple((ORIGIN | row).get(name) for name in table.names) for row in rows]
    lake.prepare(table)
    lake.append(table, lake.spark.createDataFrame(told, table.nullable_ddl), "fill")


def fill(lake: Lake) -> None:
    """Customer number n orders on the n-th of January and February, and moves in between."""
    lines = [
        {"customer_id": f"c{n}", "order_id": f"o{n}-{month}", "line_id": f"l{n}-{month}"}
        | {"ordered_at": datetime(2025, month, n), "ordered_on": date(2025, month, n)}
        | {"kind": "sale", "quantity": Decimal(1), "amount": Decimal(n)}
        for n in range(1, 6)
        for month in (1, 2)
    ]
    towns = [
        {"customer_id": f"c{n}", "known_at": datetime(2025, month, n, tzinfo=UTC), "country": country}
        for n in range(1, 6)
        for month, country in ((1, "DE"), (2, "FR"))
    ]
    add(lake, ORDER_LINES, *lines)
    add(lake, OLDER, *towns)


def features(lake: Lake) -> list[tuple]:
    return sorted(tuple(row) for row in lake.current(CUSTOMER_FEATURES).collect())


@pytest.mark.slow  # tests/test_shop.py runs every job twice
def test_run_twice_the_rows_are_the_same_and_before_any_order_there_is_none(lake: Lake, place: Place) -> None:
    assert runner.run(customer_features, lake, place, AS_OF).rows == {"customer_features": 0}
    fill(lake)
    runner.run(customer_features, lake, place, AS_OF)
    once = features(lake)
    assert runner.run(customer_features, lake, place, AS_OF).rows == {"customer_features": 5}
    assert features(lake) == once
    told = lake.current(CUSTOMER_FEATURES).groupBy("as_of", "country", "orders").count().collect()
    assert [tuple(row) for row in told] == [(AS_OF, "FR", 2, 5)]
