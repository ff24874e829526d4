"""A shop with planted truth, all the way: what was planted is what the tables, the accounts and the page say."""

import csv
import json
import re
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from crm_spark.baskets.rules import RULES
from crm_spark.cli.report import assemble
from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.lake import Lake
from crm_spark.core.pipeline import discover
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.features.snapshot import CUSTOMER_FEATURES
from crm_spark.ingest import mapping
from crm_spark.ingest.accounts import ACCOUNTS
from crm_spark.ingest.load import ingest
from crm_spark.ingest.quarantine import QUARANTINE
from crm_spark.ingest.tables import CONFORMED, ORDER_LINES, PRODUCTS
from crm_spark.models.choices import LEAVES, TREES
from crm_spark.sample import shop
from crm_spark.sample.products import DISCONTINUED
from crm_spark.sample.setting import Setting
from crm_spark.segments import rfm
from crm_spark.value.bridge import BRIDGE, PARTS
from crm_spark.value.groups import GROUPS
from crm_spark.value.margins import MARGINS

START, DAYS = date(2025, 1, 20), 20  # feedback changes its columns on the first of February
REASONS = {
    ("orders", "bad_number"): "unit_price is not a decimal(18,4)",
    ("orders", "bad_date"): "sold_at is not a time",
    ("customers", "bad_date"): "birth_date is not a day",
    ("events", "bad_date"): "at is not a time with its offset",
    ("orders", "unknown_currency"): "no rate for its currency and day yet",
    ("orders", "unknown_store"): "no partner in stores yet",
    ("orders", "negative_price"): "negative_price",
    ("orders", "missing_order_number"): "order_id is missing",
    ("customers", "missing_customer_number"): "customer_id is missing",
    ("events", "missing_event_id"): "event_id is missing",
    ("orders", "short_row"): "another number of fields than the header",
    ("orders", "long_row"): "another number of fields than the header",
    ("orders", "unclosed_quote"): "quote still open at the end of the line",
    **{(feed, "cut_json"): "not a JSON object" for feed in ("customers", "events")},
    **{(feed, "future_date"): "future_date" for feed in ("orders", "events")},
    **{(feed, "not_utf8"): "not valid utf-8" for feed in ("orders", "customers", "events")},
    **{(feed, "nul_byte"): "NUL byte" for feed in ("orders", "customers", "events")},
}
pytestmark = pytest.mark.first


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Place, Path]:
    """A small shop, loaded once for all tests here."""
    folder = tmp_path_factory.mktemp("shop")
    shop.write(str(folder / "raw"), Setting(customers=150, days=DAYS, seed=3, start=START, dirt=0.05))
    # One search, one model, one tree, where many would take the most time of all.
    few = {
        "customer_segments": {"k": 3, "starts": 1},
        "clv": {"models": ["bg_nbd", "pareto_nbd"]},
        "choice_trees": {"questions": ["stays", "rfm"]},
    }
    place = Place(lake=str(folder / "lake"), zone="Europe/Berlin", currency="EUR", jobs=few)
    lake = Lake(spark, place.lake)
    source = mapping.read(Path("conf/sources/shop.yaml"))
    ingest(lake, place, source, str(folder / "raw"), uuid.uuid4().hex[:12])
    return lake, place, folder / "raw" / "truth"


def test_the_accounts_name_every_planted_defect_and_refuse_no_other_record(made: tuple[Lake, Place, Path]) -> None:
    lake, _, truth = made
    files = json.loads((truth / "accounts.json").read_text())["files"]
    counts = ["records", "loaded", "quarantined", "duplicates"]
    planted = {path: (*(file[name] for name in counts), file["warned"]) for path, file in files.items()}
    rows = lake.current(ACCOUNTS).collect()
    found = {row["path"]: (*(row[name] for name in counts), sum(row["warnings"].values())) for row in rows}
    assert found == planted


def test_each_defect_is_refused_for_its_own_reason(made: tuple[Lake, Place, Path]) -> None:
    lake, _, truth = made
    planted: Counter[tuple[str, str]] = Counter()
    for file in json.loads((truth / "accounts.json").read_text())["files"].values():
        for kind, count in file["defects"].items():
            if (file["feed"], kind) in REASONS:
                planted[file["feed"], REASONS[file["feed"], kind]] += count
    refused = lake.current(QUARANTINE).groupBy("feed", "reason").count().collect()
    assert {(row["feed"], row["reason"]): row["count"] for row in refused} == planted
    assert len(planted) > 15


def test_every_conformed_table_is_filled_and_the_orders_are_those_planted(made: tuple[Lake, Place, Path]) -> None:
    lake, _, truth = made
    planted = json.loads((truth / "totals.json").read_text())["loaded"]
    assert all(not lake.current(table).isEmpty() for name, table in CONFORMED.items() if name != "verdicts")
    lines = lake.current(ORDER_LINES)
    days = lines.where("kind <> 'adjustment'").groupBy("ordered_on").agg(F.sum("amount").alias("revenue")).collect()
    found = {str(row["ordered_on"]): row["revenue"] for row in days}
    assert found == {
        day: Decimal(revenue) for day, revenue in planted["revenue_by_line_day"].items() if Decimal(revenue)
    }
    assert lines.count() == planted["lines"]


def test_every_job_tells_what_was_planted_and_run_again_the_same_and_the_page_shows_it(
    made: tuple[Lake, Place, Path], faults: Callable[[str], list[str]], pytestconfig: pytest.Config
) -> None:
    lake, place, truth = made
    planted = json.loads((truth / "totals.json").read_text())["loaded"]
    as_of, pipeline = START + timedelta(days=DAYS), discover()
    for job in pipeline.choose([]):
        runner.run(job, lake, place, as_of)
    if pytestconfig.getoption("--slow"):  # all of them again take minutes
        tables = [table for job in pipeline.jobs.values() for table in job.writes]
        first = [sorted(lake.current(table).collect(), key=str) for table in tables]
        for job in pipeline.choose([]):
            runner.run(job, lake, place, as_of)
        assert [sorted(lake.current(table).collect(), key=str) for table in tables] == first
    ordered = lake.current(CUSTOMER_DAYS).agg(
        F.sum("orders"), F.countDistinct(F.when(F.col("orders") > 0, F.col("customer_id")))
    )
    known_orders = planted["orders"] - planted["anonymous_orders"]
    assert tuple(ordered.collect()[0]) == (known_orders, planted["customers_with_a_purchase"])
    assert lake.current(rfm.SCORES).count() == planted["customers_with_a_purchase"]
    described = lake.current(CUSTOMER_FEATURES).agg(F.sum("orders"), F.count("*"))
    assert tuple(described.collect()[0]) == (known_orders, planted["customers_with_a_purchase"])
    assert_margins(lake, truth)
    assert_bundles(lake, truth)
    customers = lake.current(GROUPS).groupBy("grouping").agg(F.sum("customers")).collect()
    assert {row[1] for row in customers} == {planted["customers_with_a_purchase"]}
    assert len(customers) == 6
    ends = F.when(F.col("part") == "now", F.col("amount")).when(F.col("part") == "before", -F.col("amount"))
    steps = F.when(F.col("position").between(1, len(PARTS) - 2), F.col("amount"))
    for row in (
        lake.current(BRIDGE).groupBy("measure").agg(F.sum(ends).alias("ends"), F.sum(steps).alias("steps")).collect()
    ):
        assert row["steps"] == pytest.approx(row["ends"], rel=1e-9), row["measure"]
    page = assemble(lake, pipeline, place, "Customers")
    assert "Segments by what they brought" in page
    assert "150 customers fall into 3 segments" in page
    assert "The last whole week, from 3 February 2025 on, brought" in page
    assert "In the 8 periods from 10 February 2025 on" in page
    assert "Revenue over time" in page
    assert "Who is late, by their own rhythm" in page
    assert "Who buys" in page
    assert "What is bought together" in page
    assert "What stays of the money: from full prices down to the margin" in page
    assert "There is no estimate: too few customers bought again" in page, "so few days tell no lifetime value"
    assert faults(page) == []


@pytest.mark.slow
def test_who_stays_away_is_told_apart_by_the_planted_drivers_of_churn_from_the_files_to_the_page(
    spark: SparkSession, tmp_path: Path
) -> None:
    start, days = date(2025, 1, 1), 365
    shop.write(str(tmp_path / "raw"), Setting(customers=2_000, days=days, seed=5, start=start))
    planted = json.loads((tmp_path / "raw/truth/parameters.json").read_text())["churn"]
    # In 60 days about half of the customers buy: then who leaves more readily changes what is commonest.
    asked = {
        "questions": ["stays"],
        "days": 60,
        "least_share": 0.05,
        "levels": ["age_group", "household", "country"],
        "features": ["returned_share"],
    }
    settings = {"choice_trees": asked, "customer_segments": {"k": 3, "starts": 1}}
    place = Place(lake=str(tmp_path / "lake"), zone="Europe/Berlin", currency="EUR", jobs=settings)
    lake, pipeline = Lake(spark, place.lake), discover()
    ingest(lake, place, mapping.read(Path("conf/sources/shop.yaml")), str(tmp_path / "raw"), uuid.uuid4().hex[:12])
    for job in pipeline.choose(["choice_trees"], upstream=True):
        if job.name != "ingest":
            runner.run(job, lake, place, start + timedelta(days=days))

    nodes = lake.current(TREES).where("rows > 0").orderBy("depth", "node").collect()
    assert {node["attribute"] for node in nodes if node["depth"] < 2 and node["attribute"]} == {
        "age_group",
        "household",
    }, [(node["rule"], node["attribute"], node["rows"], node["share"]) for node in nodes]
    away = {
        node["condition"]: node["counts"][node["classes"].index(LEAVES)] / node["rows"]
        for node in nodes
        if node["depth"] == 1
    }
    readiness = sorted(planted[nodes[0]["attribute"]].items(), key=lambda told: told[1])
    by_share = sorted(away, key=lambda condition: away[condition])
    for end in (0, -1):
        assert readiness[end][0] in by_share[end], away
    page = assemble(lake, pipeline, place, "Customers")
    assert re.search(r"stayed away where (household|age group) is", page)


def assert_bundles(lake: Lake, truth: Path) -> None:
    """The rules of highest lift are those of planted bundles, and all that is found of these."""
    with (truth / "bundles.csv").open(encoding="utf-8") as file:
        planted = [frozenset(row["products"].split()) for row in csv.DictReader(file)]
    rules = lake.current(RULES).orderBy(F.desc("lift")).collect()
    is_planted = [any({*rule["antecedent"], *rule["consequent"]} <= bundle for bundle in planted) for rule in rules]
    first = is_planted.index(False) if False in is_planted else len(is_planted)
    assert not any(is_planted[first:]), "no rule of a bundle has less lift than another"
    assert {frozenset([*rule["antecedent"], *rule["consequent"]]) for rule in rules[:first]} >= set(planted[:3])


def assert_margins(lake: Lake, truth: Path) -> None:
    """Margins are those planted, to the cent; the truth lacks returns without a sale, which are of one product."""
    found = {row["customer_id"]: row for row in lake.current(MARGINS).collect()}
    back = (
        lake.current(ORDER_LINES).where(F.col("product_id") == DISCONTINUED).join(lake.current(PRODUCTS), "product_id")
    )
    orphans = {row[0]: row[1:] for row in back.groupBy("customer_id").agg(F.sum("amount"), F.sum("cost")).collect()}
    people = [row for path in (truth / "customers").iterdir() for row in csv.DictReader(path.read_text().splitlines())]
    planted = {}
    for row in people:
        returned, cost = orphans.get(row["customer_no"], (Decimal(0), Decimal(0)))
        told = [Decimal(row[name]) for name in ("spent", "returned", "product_cost", "contact_cost")]
        planted[row["customer_no"]] = [told[0], -told[1] - returned, told[2] - cost, told[3]]
    names = ["revenue", "returns", "product_cost", "contact_cost"]
    assert {who: [row[name] for name in names] for who, row in found.items()} == {
        who: planted[who] for who in planted if who in found
    }
    assert all(not any(planted[who]) for who in planted.keys() - found.keys())
    margin = sum(revenue - sum(costs) for revenue, *costs in planted.values())
    assert sum(row["margin"] for row in found.values()) == margin
    assert {row["known_share"] for row in found.values()} <= {1.0, None}
    expected = sum(row["margin_share"] * float(row["revenue"]) for row in found.values())
    assert expected == pytest.approx(float(margin), rel=0.02), "contacts of who never bought belong to no revenue"
    assert orphans


def test_the_notebook_of_the_readme_runs_as_it_stands_there(
    made: tuple[Lake, Place, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lake, place, _ = made
    readme = Path("README.md").read_text(encoding="utf-8")
    cells = re.findall(r"```python\n(.*?)```", readme.split("## In a notebook")[1].split("\n## ")[0], re.DOTALL)
    assert len(cells) == 4
    runner.run(discover().jobs["customer_days"], lake, place, START + timedelta(days=DAYS))
    monkeypatch.chdir(Path(lake.location).parent)  # where it says ./lake
    notebook: dict[str, object] = {}
    for cell in cells:
        exec(cell, notebook)
    shown = capsys.readouterr().out
    assert "Best" in shown
    assert re.search(r"\d+ customers \(\d+\.\d %\) brought", shown)
