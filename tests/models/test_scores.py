"""Scores: planted reasons count, chance does not, and where nothing can be learned there is a reason."""

from datetime import date
from random import Random

import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.models import score_sections, scores
from crm_spark.models.scores import Asked, Grown
from crm_spark.reports.page import gather

SINCE, AS_OF = date(2026, 1, 1), date(2026, 3, 31)
ASKED = Asked("stays", "stays away", AS_OF, SINCE)
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
    told, *judged = scores.learn(
        known, known.drop("told"), ASKED, ["noise", "late", "empty"], ["channel", "address"], Grown(10, 4)
    )
    quality, importance = (rows.localCheckpoint() for rows in judged)
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

    page = gather(score_sections.stays(quality))
    assert page.sentence.startswith("A list of the tenth of customers with the highest scores holds ")
    assert [row["part"] for row in page.rows] == list(range(0, 101, 10))
    assert "It is mostly" in gather(score_sections.stays_by(quality, importance)).sentence
    assert not gather(score_sections.renews(quality)).rows, "nobody asked"

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
        "'late' is infinite or beyond 1e+150 in 1 rows: make it missing there": some.selectExpr(
            "* except (late)", "if(customer_id = 'c005', double('infinity'), late) late"
        ),
        "the choice is missing in 1 rows: leave them out": some.selectExpr(
            "* except (told)", "nullif(told, if(customer_id = 'c005', told, '')) told"
        ),
        "nothing is known by which customers differ": some.selectExpr("customer_id", "told", "1D late"),
    }
    for why, rows in cases.items():
        told, quality, importance = scores.learn(rows, rows, ASKED, ["late"], [])
        assert [row["reason"] for row in quality.collect()] == [why]
        assert why in gather(score_sections.stays(quality)).sentence
        assert told.isEmpty()
        assert importance.isEmpty()
