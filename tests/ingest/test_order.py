"""The same tables whatever the order, all at once, shuffled or repeated, and whatever the session's clock."""

import random
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.core.config import Place
from crm_spark.core.lake import Lake
from crm_spark.ingest.accounts import ACCOUNTS
from crm_spark.ingest.tables import CONFORMED, CUSTOMERS, EVENTS, ORDER_LINES
from tests.ingest.conftest import BUYERS, HEADER, PRICES, Raw, priced

pytestmark = pytest.mark.first
Same = Callable[[DataFrame], list[str]]
EVENT_FEED: dict[str, Any] = {
    "files": "events/*",
    "columns": {"event": "string", "version": "int", "customer": "string", "kind": "string", "at": "instant"},
    "tables": {
        "events": {
            "columns": {"customer_id": "customer", "kind": "kind", "occurred_at": "at", "session_id": "event"},
            "key": ["session_id"],
            "version": "version",
        }
    },
}
PEOPLE: dict[str, Any] = {
    "files": "people/*",
    "columns": {"customer": "string", "city": "string", "email": "string", "at": "timestamp"},
    "tables": {
        "customers": {"columns": {"customer_id": "customer", "city": "city", "email": "email", "known_at": "at"}}
    },
}


def _days() -> dict[str, tuple[str, ...]]:
    """Files of a week: orders, versions of events, statements on people, and prices that come late and change."""
    files: dict[str, tuple[str, ...]] = {}
    for day in range(1, 7):
        at = f"2025-01-0{day}"
        files[f"orders/{day}.csv"] = (
            HEADER.rstrip(),
            f"{day},1,c{day % 3},p{day % 2},1,2.00,{at} 10:00:00",
            f"{day},1,c{day % 3},p{day % 2},1,2.00,{at} 10:00:00",  # an exact copy is a second line
            f"{day},2,,p0,1,3.00,{at} 11:00:00",
        )
        files[f"events/{day}.csv"] = (
            "event,version,customer,kind,at",
            f"e1,{7 - day},c1,kind{day},{at}T10:00:00Z",
            f"e{day},3,c2,view,{at}T10:00:00+02:00",
        )
        files[f"people/{day}.csv"] = (
            "customer,city,email,at",
            f"c1,town{day},,{at} 00:00:00",
            f"c2,,m{day}@example.com,2025-01-01",
        )
    # Of a night when New York's clocks go forward, and of a noon there that is the next day in Tokyo.
    files["orders/7.csv"] = (
        HEADER.rstrip(),
        "march,1,c1,p0,1,1,2025-03-09 01:30:00",
        "november,1,c1,p0,1,1,2025-11-02 12:00:00",
    )
    files["prices/1.csv"] = ("product,off,day", "p0,0.10,2025-01-01")
    files["prices/2.csv"] = ("product,off,day", "p1,0.20,2025-01-02", "p0,0.30,2025-01-03")
    return files


def _tables(lake: Lake, same: Same) -> dict[str, list[str]]:
    return {name: same(lake.current(table)) for name, table in CONFORMED.items()}


@pytest.fixture
def lakes(spark: SparkSession, tmp_path: Path) -> Callable[[str], Raw]:
    """Make a fresh lake with its folder of raw files."""

    def make(name: str) -> Raw:
        (tmp_path / name / "raw").mkdir(parents=True)
        location = str(tmp_path / name / "lake")
        place = Place(lake=location, currency="EUR", zone="Asia/Tokyo")
        raw = Raw(Lake(spark, location), tmp_path / name / "raw", place, source={"zone": "America/New_York"})
        raw.feeds = {"orders": priced(BUYERS), "events": EVENT_FEED, "people": PEOPLE, "prices": PRICES}
        return raw

    return make


@pytest.mark.slow
def test_any_order_and_any_number_of_runs_on_any_clock_give_equal_tables(
    lakes: Callable[[str], Raw], same: Same, spark: SparkSession
) -> None:
    files = _days()
    once, spread = lakes("once"), lakes("spread")
    for path, lines in files.items():
        once.write(path, "\n".join(lines) + "\n")
    once.load()

    shuffled = sorted(files)
    random.Random(7).shuffle(shuffled)
    for path, place in (("prices/1.csv", 0), ("prices/2.csv", 17)):  # corrected when orders are loaded with it
        shuffled.insert(place, shuffled.pop(shuffled.index(path)))
    try:
        spark.conf.set("spark.sql.session.timeZone", "America/Los_Angeles")
        for run in range(2):
            for path in shuffled[run::2]:
                spread.write(path, "\n".join(files[path]) + "\n")
            for path in shuffled[run::6]:
                spread.write(path.replace(".csv", "_again.csv"), "\n".join(files[path]) + "\n")
            spread.load()
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")

    assert _tables(spread.lake, same) == _tables(once.lake, same)
    assert once.rows(EVENTS, "session_id", "kind")[0] == ("e1", "kind1"), "version 6 of e1 is the first day's"
    people = {customer: (city, email) for customer, city, email in once.rows(CUSTOMERS, "customer_id", "city", "email")}
    assert people["c1"] == ("town6", None), "the newest statement that has a town"
    assert people["c2"][1] is not None, "six statements of one time: the larger hash speaks, whatever the order"
    lines = once.lake.current(ORDER_LINES)
    assert {str(row[0]) for row in lines.select("discount").distinct().collect()} == {"0.3000", "0.2000"}
    assert lines.count() == 20
    march, november = lines.where("order_id > 'm'").orderBy("order_id").select("ordered_at", "ordered_on").collect()
    assert march["ordered_at"].astimezone(UTC) == datetime(2025, 3, 9, 6, 30, tzinfo=UTC)
    assert november["ordered_on"] == date(2025, 11, 3)
    told = spread.lake.current(ACCOUNTS).where("status = 'loaded'").selectExpr("sum(records) = sum(loaded)").collect()
    assert told[0][0], "nothing waits any more"
