"""A shop with planted truth, all the way: what was planted is what the tables, the accounts and the page say."""

import json
import uuid
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from crm_spark.cli.report import assemble
from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.lake import Lake
from crm_spark.core.pipeline import discover
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.ingest import mapping
from crm_spark.ingest.accounts import ACCOUNTS
from crm_spark.ingest.load import ingest
from crm_spark.ingest.tables import CONFORMED, ORDER_LINES
from crm_spark.sample import shop
from crm_spark.segments import rfm

DAYS = 20
pytestmark = pytest.mark.first


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Place, Path]:
    """A small shop, loaded once for all tests here."""
    folder = tmp_path_factory.mktemp("shop")
    shop.write(folder / "raw", customers=150, days=DAYS, seed=3, start=date(2025, 1, 1), dirt=0.05)
    place = Place(lake=str(folder / "lake"), zone="Europe/Berlin", currency="EUR")
    lake = Lake(spark, place.lake)
    source = mapping.read(Path("conf/sources/shop.yaml"))
    ingest(lake, place, source, str(folder / "raw"), uuid.uuid4().hex[:12])
    return lake, place, folder / "raw" / "truth"


def test_the_accounts_name_every_planted_defect_and_refuse_no_other_record(made: tuple[Lake, Place, Path]) -> None:
    lake, _, truth = made
    planted = json.loads((truth / "accounts.json").read_text())["total"]
    counts = ["records", "loaded", "quarantined", "duplicates"]
    found = lake.current(ACCOUNTS).agg(*[F.sum(name).alias(name) for name in counts]).collect()[0].asDict()
    assert found == {name: planted[name] for name in counts}


def test_every_conformed_table_is_filled_and_the_orders_are_those_planted(made: tuple[Lake, Place, Path]) -> None:
    lake, _, truth = made
    planted = json.loads((truth / "totals.json").read_text())["loaded"]
    assert all(not lake.current(table).isEmpty() for table in CONFORMED.values())
    lines = lake.current(ORDER_LINES)
    days = lines.where("kind <> 'adjustment'").groupBy("ordered_on").agg(F.sum("amount").alias("revenue")).collect()
    found = {str(row["ordered_on"]): row["revenue"] for row in days}
    assert found == {
        day: Decimal(revenue) for day, revenue in planted["revenue_by_line_day"].items() if Decimal(revenue)
    }
    assert lines.count() == planted["lines"]


def test_every_job_run_twice_gives_the_same_rows_and_the_page_shows_them(made: tuple[Lake, Place, Path]) -> None:
    lake, place, truth = made
    planted = json.loads((truth / "totals.json").read_text())["loaded"]
    as_of, pipeline = date(2025, 1, 1) + timedelta(days=DAYS), discover()
    tables = [table for job in pipeline.jobs.values() for table in job.writes]
    runs = []
    for _ in range(2):
        for job in pipeline.choose([]):
            runner.run(job, lake, place, as_of)
        runs.append([sorted(lake.current(table).collect(), key=str) for table in tables])

    assert runs[0] == runs[1]
    ordered = lake.current(CUSTOMER_DAYS).agg(
        F.sum("orders"), F.countDistinct(F.when(F.col("orders") > 0, F.col("customer_id")))
    )
    known_orders = planted["orders"] - planted["anonymous_orders"]
    assert tuple(ordered.collect()[0]) == (known_orders, planted["customers_with_a_purchase"])
    assert lake.current(rfm.SCORES).count() == planted["customers_with_a_purchase"]
    page = assemble(lake, pipeline, place, "Customers")
    assert "Segments by what they brought" in page
    assert "Revenue over time" in page
