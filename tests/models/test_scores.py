"""Scores: planted reasons count, chance does not, and of real customers it is as good as others say."""

import csv
from datetime import date
from pathlib import Path
from random import Random

import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.models import scores
from crm_spark.models.scores import Asked, Grown

SINCE, AS_OF = date(2026, 1, 1), date(2026, 3, 31)
ASKED = Asked("stays", "stays away", AS_OF, SINCE)
TELCO = Path(__file__).parents[3] / "shared" / "data" / "telco_churn"
TYPES = "customer_id string, told string, late double, noise double, channel string, address string, empty double"


def customers(spark: SparkSession, reason: float, people: int = 300) -> DataFrame:
    """Those who are late, or of the app, stay away; with `reason` 0 by chance alone. Some of it is missing."""
    chance, rows = Random(3), []
    for n in range(people):
        late, channel, noise = chance.gauss(0, 1), chance.choice(["app", "web", "shop"]), chance.random()
        is_away = (late > 0.5 or channel == "app") if chance.random() < reason else chance.random() < 0.5
        told = "stays away" if is_away else "buys again"
        known = None if n % 17 == 0 else late, noise, None if n % 19 == 0 else channel
        rows.append((f"c{n:03}", told, *known, f"street {n}", None))
    return spark.createDataFrame(rows, TYPES)


def test_planted_reasons_count_and_every_customer_has_a_score(spark: SparkSession) -> None:
    known = customers(spark, 0.9).localCheckpoint()
    told, quality, importance = scores.learn(
        known, known.drop("told"), ASKED, ["noise", "late", "empty"], ["channel", "address"], Grown(10, 4)
    )
    models = {row["model"]: row for row in quality.collect()}
    assert set(models) == {"forest", "logistic", "commonest"}
    forest = models["forest"]
    assert (forest["customers"], forest["held_out"], forest["outcome"]) == (300, 300, "stays away")
    assert forest["left_out"] == ["address has more than 30 levels", "empty is always missing"]
    assert forest["auc"] > 0.85 > models["commonest"]["auc"] == 0.5
    assert models["logistic"]["auc"] > 0.8
    assert 0 < forest["auc_spread"] < 0.1
    assert forest["gains"][0] > 0.15 > models["commonest"]["gains"][0] == pytest.approx(0.1)
    assert forest["gains"][-1] == pytest.approx(1)
    counts = {row["attribute"]: row["importance"] for row in importance.collect()}
    assert set(counts) == {"noise", "late", "channel"}
    assert min(counts["late"], counts["channel"]) > 0.08 > 2 * abs(counts["noise"])
    rows = told.collect()
    assert len({row["customer_id"] for row in rows}) == len(rows) == 300
    away = {row["customer_id"]: row["told"] == "stays away" for row in known.collect()}
    mean = {side: [row["probability"] for row in rows if away[row["customer_id"]] == side] for side in (True, False)}
    assert sum(mean[True]) / len(mean[True]) > 0.65 > 2 * sum(mean[False]) / len(mean[False])


def test_what_cannot_be_learned_has_a_reason_and_nothing_else(spark: SparkSession) -> None:
    some = customers(spark, 0.0)
    cases = {
        "the choice is the same in all rows: there is nothing to tell apart": some.selectExpr(
            "* except (told)", "'buys again' told"
        ),
        "fewer than 50 customers to learn from": some.limit(20),
        "fewer than 10 customers of one choice": some.selectExpr(
            "* except (told)", "if(customer_id < 'c005', 'stays away', 'buys again') told"
        ),
        "'late' is infinite in 1 rows: make it missing there": some.selectExpr(
            "* except (late)", "if(customer_id = 'c005', double('infinity'), late) late"
        ),
        "nothing is known by which customers differ": some.selectExpr("customer_id", "told", "1D late"),
    }
    for why, rows in cases.items():
        told, quality, importance = scores.learn(rows, rows, ASKED, ["late"], [])
        assert [row["reason"] for row in quality.collect()] == [why]
        assert told.isEmpty()
        assert importance.isEmpty()


@pytest.mark.skipif(not TELCO.is_dir(), reason="the published data are not beside the checkout")
def test_of_telco_customers_the_forest_ranks_as_well_as_others_say(spark: SparkSession) -> None:
    known = telco(spark).localCheckpoint()
    names = [
        "Contract",
        "InternetService",
        "PaymentMethod",
        "OnlineSecurity",
        "TechSupport",
        "PaperlessBilling",
        "gender",
    ]
    numbers = ["tenure", "MonthlyCharges", "TotalCharges", "SeniorCitizen"]
    _, quality, importance = scores.learn(known, known, Asked("renews", "Yes", AS_OF, SINCE), numbers, names)
    models = {row["model"]: row for row in quality.collect()}
    assert models["forest"]["chose"] == 1_869
    assert models["forest"]["auc"] >= 0.835
    assert models["logistic"]["auc"] == pytest.approx(0.845, abs=0.01)
    first = max(importance.collect(), key=lambda row: row["importance"])
    assert first["attribute"] in {"tenure", "Contract"}


def telco(spark: SparkSession) -> DataFrame:
    """Every customer as the file has them; blanks are null."""
    (file,) = TELCO.glob("*.csv")
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    made = spark.createDataFrame(
        [tuple(value.strip() or None for value in row.values()) for row in rows],
        ", ".join(f"{name} string" for name in rows[0]),
    )
    return made.withColumnsRenamed({"customerID": "customer_id", "Churn": "told"})
