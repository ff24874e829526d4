"""What is outranked is kept whole."""

from datetime import UTC, datetime
from typing import Any

from pyspark.sql import SparkSession

from crm_spark.ingest import versions
from crm_spark.ingest.tables import EVENTS


def test_a_row_that_comes_back_is_the_one_that_went(spark: SparkSession) -> None:
    at = datetime(2025, 1, 1, 10, 0, 0, 123456, UTC)
    told: dict[str, Any] = {"event_id": "e1", "kind": 'a "view"', "occurred_at": at, "value": 0.1, "row_hash": "h"}
    row = tuple(told.get(name) for name in EVENTS.names)
    rows = spark.createDataFrame([row], EVENTS.nullable_ddl)
    assert versions.unpacked(versions.packed(rows, EVENTS), EVENTS).collect() == rows.collect()
