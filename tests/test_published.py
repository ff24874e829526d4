"""Real data with published answers, by their mappings alone. Skipped where the data are not beside the checkout."""

import shutil
import uuid
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from mlxtend.frequent_patterns import association_rules, fpgrowth
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.cluster import DBSCAN, KMeans

from crm_spark.baskets.itemsets import ITEMSETS
from crm_spark.baskets.rules import RULES
from crm_spark.cli.report import assemble
from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.lake import Lake
from crm_spark.core.pipeline import discover
from crm_spark.features.snapshot import CUSTOMER_FEATURES
from crm_spark.ingest import mapping
from crm_spark.ingest.accounts import ACCOUNTS
from crm_spark.ingest.load import ingest
from crm_spark.ingest.tables import CAMPAIGNS, CONFORMED, CONTACTS, CUSTOMERS, ORDER_LINES, PRODUCTS, RESPONSES
from crm_spark.models.choices import MODELS, TREES
from crm_spark.models.scores import IMPORTANCE, QUALITY, SCORES
from crm_spark.segments import density, kmeans, rfm

DATA = Path(__file__).parents[2] / "shared" / "data"
pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason="the published data are not beside the checkout"),
    pytest.mark.usefixtures("as_users_run"),
    pytest.mark.first,
]
CLEAN = "customer_id IS NOT NULL AND kind = 'sale'"


def load(lake: Lake, place: Place, name: str, folder: Path) -> None:
    """Load what is new of a source."""
    ingest(lake, place, mapping.read(Path(f"conf/sources/{name}.yaml")), str(folder), uuid.uuid4().hex[:12])


def test_online_retail_gives_the_figures_of_its_readme(
    spark: SparkSession, tmp_path: Path, faults: Callable[[str], list[str]], pytestconfig: pytest.Config
) -> None:
    """With --slow its value, segments, rules, trees and forecasts too."""
    settings = {
        "clv": {"held_out": 90},
        "basket_rules": {"min_support": 0.02},
        "customer_segments": {"k": 4},
        "choice_trees": {"questions": ["stays"]},
        "behaviour_series": {"groupings": ["all", "product", "customer"], "measures": ["purchases", "spend"]},
    }
    place = Place(lake=str(tmp_path / "lake"), zone="Europe/London", currency="GBP", jobs=settings)
    lake = Lake(spark, place.lake)
    load(lake, place, "online_retail", DATA / "online_retail" / "by-day")

    totals = lake.current(ACCOUNTS).agg(F.count("*"), F.sum("records"), F.sum("loaded"), F.sum("quarantined"))
    assert tuple(totals.collect()[0]) == (305, 541_909, 541_909, 0)
    clean = lake.current(ORDER_LINES).where(CLEAN).persist()
    once = clean.dropDuplicates(["file_hash", "row_hash"])
    for lines, expected in ((clean, (397_884, Decimal("8911407.9040"))), (once, (392_692, Decimal("8887208.8940")))):
        assert tuple(lines.agg(F.count("*"), F.sum("amount")).collect()[0]) == expected
    counts = clean.agg(F.countDistinct("customer_id"), F.countDistinct("order_id")).collect()
    assert tuple(counts[0]) == (4_338, 18_532)
    assert (lake.current(CUSTOMERS).count(), lake.current(PRODUCTS).count()) == (4_372, 4_070)

    pipeline = discover()
    is_whole = pytestconfig.getoption("--slow")
    for job in pipeline.choose(["rfm_scores", *(SLOW if is_whole else [])], upstream=True):
        runner.run(job, lake, place, date(2011, 12, 9))
    scores = {row["customer_id"]: row for row in lake.current(rfm.SCORES).collect()}
    assert len(scores) == 4_338
    published = {"12346": (1, "77183.6000", 325), "12347": (7, "4310.0000", 2), "14646": (73, "280206.0200", 1)}
    found = {
        name: (scores[name]["frequency"], str(scores[name]["monetary"]), scores[name]["recency"]) for name in published
    }
    assert found == published
    clean.unpersist()
    page = assemble(lake, pipeline, place, "Online Retail")
    for said in ("Of 4,338 customers", "541,909", "14646 leads with 280,206 GBP"):
        assert said in page
    assert faults(page) == []
    if is_whole:
        assert_baskets(lake)
        assert_groups(lake)
        assert_told(page)


SLOW = [
    *("clv", "basket_rules", "customer_segments", "customer_density", "choice_trees"),
    *("behaviour_forecasts", "behaviour_findings"),
]


def assert_told(page: str) -> None:
    """What was computed is what the page says."""
    for said in (
        "4,338 customers are expected to order",
        "4,338 customers fall into 4 segments",
        # The last 90 days are those before Christmas: 4,482 days with an order came, where each model had seen fewer.
        "No model foretold better than the better of the two plain rules",
        "Who buys PINK REGENCY TEACUP AND SAUCER",
        "Who buys again, and who stays away",
        "The last whole week, from 28 November 2011 on, brought",
        "In the 8 periods from 5 December 2011 on",
        "What is out of the ordinary",
        "How many findings chance alone would bring",
    ):
        assert said in page


def assert_baskets(lake: Lake) -> None:
    """Itemsets of a year's orders are those of mlxtend, and so are the rules."""
    sold = lake.current(ORDER_LINES).where("kind = 'sale' AND ordered_on > '2010-12-09' AND product_id IS NOT NULL")
    orders = (
        sold.groupBy("customer_id", "order_id")
        .agg(F.collect_set("product_id").alias("items"))
        .toPandas()["items"]
        .map(set)
    )
    frequent = orders.explode().value_counts().loc[lambda counts: counts >= 0.02 * len(orders)].index
    held = pd.DataFrame({item: [item in items for items in orders] for item in frequent})
    theirs = fpgrowth(held, min_support=0.02, use_colnames=True)
    expected = {row.itemsets: round(row.support * len(orders)) for row in theirs.itertuples()}
    found = {frozenset(row["items"]): row["count"] for row in lake.current(ITEMSETS).collect()}
    assert found == expected
    assert max(map(len, expected)) > 2
    sure = association_rules(theirs, num_itemsets=len(orders), min_threshold=0.5)
    one = {(row.antecedents, row.consequents): row.confidence for row in sure.itertuples() if len(row.consequents) == 1}
    rules = {
        (frozenset(row["antecedent"]), frozenset(row["consequent"])): row["confidence"]
        for row in lake.current(RULES).where("confidence >= 0.5").collect()
    }
    assert len(rules) > 20
    assert rules == pytest.approx({rule: one[rule] for rule in rules}, rel=1e-9)


def assert_groups(lake: Lake) -> None:
    """Segments are as near as scikit-learn's, groups by density are scikit-learn's, of plainly prepared features."""
    rows = lake.current(CUSTOMER_FEATURES).orderBy("customer_id").collect()
    values = np.array([[row[name] for name in kmeans.FEATURES] for row in rows], dtype=float)

    def prepared(tail: float) -> np.ndarray:
        bounds = (np.nanquantile(values, share, axis=0) for share in (tail, 1 - tail))
        known = np.where(np.isnan(values), np.nanmedian(values, axis=0), values)
        logs = np.log1p(np.clip(known, *bounds))
        return (logs - logs.mean(axis=0)) / logs.std(axis=0)

    within = lake.current(kmeans.MODEL).where("parameter = 'within' AND number = 4").collect()[0]["value"]
    assert within <= KMeans(4, n_init=10, random_state=1).fit(prepared(0.01)).inertia_ * 1.001
    told = {row["parameter"]: row["value"] for row in lake.current(density.MODEL).where("feature = 'all'").collect()}
    known = DBSCAN(eps=told["eps"], min_samples=int(told["min_samples"])).fit(prepared(0.0))
    found = lake.current(density.DENSITY).orderBy("customer_id").collect()
    assert [(row["group_id"] or 0) - 1 for row in found] == known.labels_.tolist()
    assert sum(row["kind"] == "core" for row in found) == len(known.core_sample_indices_)


@pytest.mark.slow
def test_complete_journey_fills_the_tables_and_its_references_hold(spark: SparkSession, tmp_path: Path) -> None:
    place = Place(lake=str(tmp_path / "lake"), zone="America/New_York", currency="USD")
    lake = Lake(spark, place.lake)
    load(lake, place, "complete_journey", DATA / "complete_journey")

    lines = lake.current(ORDER_LINES)
    counts = lines.agg(
        F.count("*"), F.countDistinct("customer_id"), F.countDistinct("order_id"), F.countDistinct("product_id"),
        F.countDistinct("store_id"), F.sum("amount"),
    )  # fmt: skip
    assert tuple(counts.collect()[0]) == (75_000, 2_377, 47_243, 20_902, 293, Decimal("233935.2400"))
    contacts, responses = lake.current(CONTACTS), lake.current(RESPONSES)
    assert (lake.current(CAMPAIGNS).count(), contacts.count(), responses.count()) == (27, 6_589, 2_102)
    assert contacts.select("customer_id").distinct().count() == 1_559
    responders = responses.agg(F.countDistinct("customer_id"), F.countDistinct("campaign_id")).collect()
    assert tuple(responders[0]) == (410, 26)
    products, customers = lake.current(PRODUCTS), lake.current(CUSTOMERS)
    described = products.where("supplier IS NOT NULL").count(), customers.where("age_group IS NOT NULL").count()
    assert described == (92_331, 801)
    assert (products.count(), customers.count()) == (92_336, 2_379), "those that are only named have a row too"
    keys = ["campaign_id", "customer_id"]
    assert responses.join(contacts, keys, "left_anti").isEmpty(), "every redemption has its contact"
    for rows, key, table in (
        (lines, "customer_id", CUSTOMERS), (lines, "product_id", PRODUCTS),
        (contacts, "customer_id", CUSTOMERS), (contacts, "campaign_id", CAMPAIGNS),
    ):  # fmt: skip
        assert rows.join(lake.current(table), key, "left_anti").isEmpty(), f"{key} leads to a row of {table.name}"


def lakes(spark: SparkSession, folder: Path, name: str) -> tuple[Lake, Place, Path]:
    """Make an empty lake with an empty folder of raw files."""
    (folder / name / "raw").mkdir(parents=True)
    place = Place(lake=str(folder / name / "lake"), zone="Europe/London", currency="GBP")
    return Lake(spark, place.lake), place, folder / name / "raw"


@pytest.mark.slow
@pytest.mark.parametrize(("days", "runs", "repeated"), [(305, 7, 3), (305, 305, 0)], ids=["7 runs", "by day"])
def test_online_retail_gives_equal_tables_in_any_order(
    spark: SparkSession, tmp_path: Path, same: Callable[[DataFrame], list[str]], days: int, runs: int, repeated: int
) -> None:
    """All at once, against many runs with a third of the files again under other names, on another session clock."""
    files = sorted((DATA / "online_retail" / "by-day").glob("*"))[:days]
    once, place, raw = lakes(spark, tmp_path, "once")
    for file in files:
        shutil.copy(file, raw)
    load(once, place, "online_retail", raw)

    spread, place, raw = lakes(spark, tmp_path, "spread")
    order = list(files)
    if repeated:
        Random(7).shuffle(order)
    try:
        spark.conf.set("spark.sql.session.timeZone", "Pacific/Auckland")
        for run in range(runs):
            for number, file in enumerate(order[run::runs]):
                shutil.copy(file, raw)
                if repeated and number % repeated == 0:
                    shutil.copy(file, raw / file.name.replace(".", "-again.", 1))
            load(spread, place, "online_retail", raw)
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")

    for table in CONFORMED.values():
        assert same(spread.current(table)) == same(once.current(table)), table.name


@pytest.mark.slow
def test_telco_customers_are_ranked_as_well_as_others_do_from_the_file_to_the_scores(
    spark: SparkSession, tmp_path: Path
) -> None:
    attributes = {
        "attribute_numbers": ["monthly_charges", "total_charges", "senior"],
        "attribute_levels": ["partner", "dependents", "phone", "lines", "internet", "security", "backup", "protection",
                             "support", "tv", "movies", "paperless", "payment", "sex"],
    }  # fmt: skip
    asked = {"questions": ["renews"], "days": 31, **attributes}
    jobs = {"choice_scores": asked, "choice_trees": {**asked, "method": "cart"}}
    place = Place(lake=str(tmp_path / "lake"), zone="America/Los_Angeles", currency="USD", jobs=jobs)
    lake = Lake(spark, place.lake)
    load(lake, place, "telco_churn", DATA / "telco_churn")
    totals = lake.current(ACCOUNTS).agg(F.sum("records"), F.sum("loaded"), F.sum("quarantined"))
    assert tuple(totals.collect()[0]) == (7_043, 7_043, 0)
    pipeline = discover()
    for name in ("customer_days", "customer_features", "choice_scores", "choice_trees"):
        runner.run(pipeline.jobs[name], lake, place, date(2020, 1, 31))

    models = {row["model"]: row for row in lake.current(QUALITY).collect()}
    assert (models["forest"]["customers"], models["forest"]["chose"], models["forest"]["held_out"]) == (
        7_043,
        1_869,
        7_043,
    )
    assert models["forest"]["auc"] >= 0.835
    assert models["logistic"]["auc"] == pytest.approx(0.845, abs=0.01)
    assert models["commonest"]["auc"] == 0.5
    assert models["forest"]["auc_spread"] < 0.02
    assert lake.current(SCORES).count() == 7_043 - 1_869, "those who left have no contract that could end"
    first = lake.current(IMPORTANCE).orderBy(F.desc("importance")).first()
    assert first["attribute"] in {"plan", "contract_days"}
    told = lake.current(TREES).orderBy("node").collect()
    assert (told[0]["attribute"], told[0]["rows"]) == ("plan", lake.current(MODELS).first()["learned_from"])
    month = next(row for row in told if row["condition"] == "plan is Month-to-month")
    # The share of month-to-month customers who leave, as the data's own README has it, of four fifths of them.
    assert month["counts"][0] / month["rows"] == pytest.approx(0.427, abs=0.015)
    page = assemble(lake, pipeline, place, "Telco")
    assert "ended a contract where plan is Month-to-month" in page
    assert "A list of the tenth of customers with the highest scores holds" in page
