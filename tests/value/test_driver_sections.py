"""What the page tells of where value comes from, against plain sums."""

from datetime import date
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.core.sections import Rows, Section
from crm_spark.reports import charts
from crm_spark.value import driver_sections
from crm_spark.value.drivers import DRIVERS, PARTS, SEGMENT_DRIVERS
from crm_spark.value.forest import MODEL

BEFORE, NOW = date(2026, 1, 24), date(2026, 1, 31)


def frame(spark: SparkSession, table: Any, rows: list[dict[str, Any]]) -> DataFrame:
    return spark.createDataFrame([tuple(row.get(name) for name in table.names) for row in rows], table.nullable_ddl)


def shown(section: Section) -> Rows:
    rows = [row.asDict() for row in section.rows.collect()]
    for name in reversed(section.order_by):
        rows.sort(key=lambda row: row[name.lstrip("-")], reverse=name.startswith("-"))
    return rows


def model(day: date, **importance: float | None) -> list[dict[str, Any]]:
    told = {
        "as_of": day,
        "correlation": 0.5,
        "r2": 0.417,
        "customers": 50,
        "held_out": 10,
        "average": 40.0,
        "reason": None,
    }
    return [told | {"feature": feature, "importance": value} for feature, value in importance.items()]


def test_the_feature_that_counts_most_comes_first_with_how_far_all_explain_value(spark: SparkSession) -> None:
    section = driver_sections.rests_on(
        frame(spark, MODEL, model(BEFORE, rating=99.0) + model(NOW, rating=1.0, basket_value=12.5))
    )
    rows = shown(section)
    assert [(row["feature"], row["importance"]) for row in rows] == [("Basket value", 12.5), ("Rating", 1.0)]
    assert section.sentence(rows) == (
        "Basket value counts most: it goes along with 12.50 ¤ more or less than the average of 40.00 ¤. All features "
        f"explain 42 % of the differences (R²). {driver_sections.ASSOCIATIONS}"
    )


def test_where_features_tell_nothing_one_row_has_the_reason_and_the_sentence_tells_it(spark: SparkSession) -> None:
    reason = "fewer than 50 customers have a value"
    none = [row | {"reason": reason} for row in model(NOW, rating=None, basket_value=None, trend=None)]
    section = driver_sections.rests_on(frame(spark, MODEL, model(BEFORE, rating=1.0) + none))
    rows = shown(section)
    assert [(row["feature"], row["importance"], row["reason"]) for row in rows] == [("(none)", None, reason)]
    assert section.sentence(rows) == f"What goes along with value cannot be told: {reason}."
    assert charts.chosen(section.picture, rows) == []


def group(grouping: str, name: str, level: str, means: dict[str, float], average: float = 40.0) -> list[dict[str, Any]]:
    told = {"as_of": NOW, "grouping": grouping, "group": name, "level": level, "customers": 10, "average": average}
    value = 10 * (average + sum(means.values()))
    return [
        told
        | {"driver": of, "value": value, "contribution": 10 * mean, "mean": mean, "low": mean - 1, "high": mean + 1}
        for of, mean in means.items()
    ]


def test_a_segment_is_told_by_its_parts_the_one_that_is_worth_most_first(spark: SparkSession) -> None:
    few, many = dict.fromkeys(PARTS, -2.0), {**dict.fromkeys(PARTS, 1.0), "spend": 30.0}
    rows = group("rfm", "Lost", "part", few) + group("rfm", "Best", "part", many)
    rows += group("all", "all", "part", few) + group("rfm", "Best", "feature", {"rating": 34.0})
    section = driver_sections.parts_by_segment(frame(spark, SEGMENT_DRIVERS, rows))
    found = shown(section)
    assert [row["group"] for row in found] == ["Best"] * 5 + ["Lost"] * 5
    assert {row["worth"] for row in found} == {40 + 34, 40 - 10}
    assert section.sentence(found) == (
        "A customer of “Best” is worth most, 74.00 ¤ against 40.00 ¤ of an average one; 30.00 ¤ of that come from “what "
        "they spend each time”."
    )


def test_features_that_count_least_stand_together_so_that_rows_add_up(spark: SparkSession) -> None:
    means = {f"feature_{n}": float(n) for n in range(9)} | {"unexplained": -50.0}
    other = {name: -mean for name, mean in means.items()}
    rows = group("kmeans", "Much", "feature", means) + group("kmeans", "Little", "feature", other)
    section = driver_sections.features_by_segment(frame(spark, SEGMENT_DRIVERS, rows))
    found = [row for row in shown(section) if row["group"] == "Much"]
    assert [(row["feature"], row["mean"]) for row in found] == [
        *[(f"Feature {n}", float(n)) for n in range(8, 2, -1)],
        ("Other features", 0 + 1 + 2),
        ("Unexplained", -50.0),
    ]
    assert found[0]["worth"] == found[0]["average"] + sum(row["mean"] for row in found)
    assert section.sentence(found) == (
        "Most goes along with “feature 8” in “Much”: 8.00 ¤ more than the average of 40.00 ¤, for each customer."
    )


def test_steps_lead_from_the_value_of_the_last_time_to_the_value_now(spark: SparkSession) -> None:
    parts = {f"change_by_{part}": float(at) for at, part in enumerate(PARTS)}
    changes = [
        {"status": "stayed", "value_before": 50.0, "value": 60.0, **parts},
        {"status": "stayed", "value_before": 50.0, "value": 60.0, **parts},
        {"status": "won", "value": 7.0, "change_by_status": 7.0},
        {"status": "lost", "value_before": 90.0, "change_by_status": -90.0},
        {"status": "newly told", "value": 2.5, "change_by_status": 2.5},
        {},
    ]
    told = [row | {"customer_id": f"c{n}", "as_of": NOW, "since": BEFORE} for n, row in enumerate(changes)]
    early = [{"customer_id": "c0", "as_of": BEFORE, "value": 1.0}]
    days = model(BEFORE, rating=1.0) + model(NOW, rating=1.0)
    section = driver_sections.change(frame(spark, DRIVERS, early + told), frame(spark, MODEL, days))
    rows = shown(section)
    assert [(row["step"], row["money"]) for row in rows] == [
        ("Value last time", 190.0),
        *[(words, 2.0 * at) for at, words in enumerate(driver_sections.CALLED.values())],
        ("Customers won", 7.0),
        ("Customers lost", -90.0),
        ("Value told, or told no longer", 2.5),
        ("Value now", 129.5),
    ]
    assert rows[0]["money"] + sum(row["money"] for row in rows if row["is_step"]) == rows[-1]["money"]
    assert section.sentence(rows) == (
        "The customers are worth 130 ¤, 60 ¤ less than on 2026-01-24; most was moved by “customers lost”: -90 ¤."
    )
    first = driver_sections.change(frame(spark, DRIVERS, early), frame(spark, MODEL, model(BEFORE, rating=1.0)))
    assert shown(first) == []


@pytest.mark.parametrize(
    ("sentence", "rows"),
    [
        ("No feature goes along with value: all are told the average of 40.00 ¤.", model(NOW, rating=0.0)),
        ("All segments are worth the average: 40.00 ¤ a customer.", [{"group": "a", "worth": 40.0, "average": 40.0, "mean": 0.0, "part": "Margin"}]),
        ("No feature goes along with what segments are worth.", [{"feature": "Unexplained", "mean": 3.0}]),
        ("The customers are worth 5 ¤, as on 2026-01-24.", [{"step": "x", "money": money, "since": BEFORE} for money in (5.0, 0.0, 5.0)]),
    ],
)  # fmt: skip
def test_where_nothing_differs_it_is_said(sentence: str, rows: Rows) -> None:
    makes = [
        driver_sections._rests_told,
        driver_sections._parts_told,
        driver_sections._features_told,
        driver_sections._change_told,
    ]
    kinds = ["importance", "part", "feature", "step"]
    told = makes[next(at for at, kind in enumerate(kinds) if kind in rows[0])]
    assert told(rows) == sentence
