"""What held on a day is the same however statements lay in files."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from pyspark.sql import SparkSession

from crm_spark.features.snapshot import held
from crm_spark.ingest import entities
from crm_spark.ingest.tables import CUSTOMER_HISTORY

BEGAN, ZONE, CASES, SEED = datetime(2025, 1, 1, tzinfo=UTC), "Asia/Tokyo", 60, 1
NAMES = ["customer_id", "known_at", "city", "country"]


def some_statements(random: Random, who: str) -> list[dict[str, Any]]:
    """Of a dozen days, some of them told in the order of time and some to and fro; where two are of one time, alike."""
    hours = random.sample(range(12 * 24), random.randrange(1, 9))
    return [
        {name: random.choice([None, "x", "y"]) for name in NAMES}
        | {"customer_id": who, "known_at": BEGAN + timedelta(hours=hour)}
        for hour in hours
    ]


def business_day(at: datetime) -> date:
    return at.astimezone(ZoneInfo(ZONE)).date()


def newest(statements: list[dict[str, Any]], name: str) -> Any:
    telling = [row for row in statements if row[name] is not None]
    return max(telling, key=lambda row: row["known_at"])[name] if telling else None


def test_what_held_on_each_day_is_known_though_a_file_tells_many_days(spark: SparkSession) -> None:
    random = Random(SEED)
    told = {f"c{n}": some_statements(random, f"c{n}") for n in range(CASES)}
    rows = [
        (number if is_apart else 0, *[row[name] for name in NAMES])
        for who, statements in told.items()
        for is_apart in [int(who[1:]) % 2]
        for number, row in enumerate(statements)
    ]
    statements = spark.createDataFrame(
        rows, "file int, customer_id string, known_at timestamp, city string, country string"
    )
    history = entities.observed(statements, "customers", ZONE).localCheckpoint()
    assert set(CUSTOMER_HISTORY.names) - set(history.columns) == {"source", "file_hash", "run_id", "loaded_at"}

    for day in [date(2025, 1, 2), date(2025, 1, 5), date(2025, 1, 9), date(2025, 2, 1)]:
        found = {row[0]: tuple(row)[1:] for row in held(history, "customer_id", ["city", "country"], day).collect()}
        until = {who: [row for row in rows if business_day(row["known_at"]) <= day] for who, rows in told.items()}
        expected = {who: (newest(rows, "city"), newest(rows, "country")) for who, rows in until.items()}
        assert found == {who: known for who, known in expected.items() if any(known)}, f"{day}, seed {SEED}"


def test_who_is_only_named_is_one_row_a_file(spark: SparkSession) -> None:
    rows = [(1, "ann", BEGAN), (1, "ann", BEGAN + timedelta(days=3)), (2, "ann", BEGAN + timedelta(days=1))]
    named = entities.observed(
        spark.createDataFrame(rows, "file int, customer_id string, known_at timestamp"), "customers", ZONE
    )
    found = {(row["file"], row["known_on"]) for row in named.collect()}
    assert found == {(1, date(2025, 1, 4)), (2, date(2025, 1, 2))}
