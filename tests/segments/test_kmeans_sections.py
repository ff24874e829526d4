"""What the page tells of customers who behave alike."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.core.contracts import Table
from crm_spark.reports.page import gather
from crm_spark.segments import kmeans, kmeans_sections
from crm_spark.segments.profiles import PROFILES

BEFORE, NOW = date(2026, 1, 24), date(2026, 1, 31)


def profile(number: int, name: str, customers: int, money: int, share: float, day: date = NOW) -> dict[str, Any]:
    return {
        "as_of": day,
        "segment_id": number,
        "segment": name,
        "customers": customers,
        "customers_share": customers / 100,
        "spend": Decimal(money),
        "spend_share": share,
        "means": {"basket_value": 10.0 * number},
        "medians": {"basket_value": 9.0 * number},
        "sentence": f"{name}: {customers} customers.",
    }


def learned(parameter: str, number: int, value: float | None, day: date = NOW, **more: str) -> dict[str, Any]:
    feature = "basket_value" if parameter == "centre" else "all"
    return {"as_of": day, "parameter": parameter, "feature": feature, "number": number, "value": value, **more}


PROFILED = [
    profile(1, "Large baskets", 20, 600, 0.6),
    profile(2, "Small baskets", 80, 400, 0.4),
    profile(1, "All customers", 3, 9, 1.0, BEFORE),
]
LEARNED = [
    learned("centre", 1, 1.25, segment="Large baskets"),
    learned("centre", 2, -1.5, segment="Small baskets"),
    learned("deviation", 0, 2.5),
    learned("silhouette", 2, 0.625),
    learned("stability", 2, 0.75),
    learned("within", 2, 50.0),
    learned("silhouette", 3, 0.5),
    learned("stability", 3, 0.875),
    learned("within", 3, 25.0),
    learned("silhouette", 4, None, reason="customers differ in 3 ways only"),
    learned("centre", 1, 0.0, BEFORE, segment="All customers"),
]


def frame(spark: SparkSession, table: Table, rows: list[dict[str, Any]]) -> DataFrame:
    return spark.createDataFrame([tuple(row.get(name) for name in table.names) for row in rows], table.nullable_ddl)


@pytest.fixture
def tables(spark: SparkSession) -> tuple[DataFrame, DataFrame]:
    return frame(spark, PROFILES, PROFILED), frame(spark, kmeans.MODEL, LEARNED)


def test_segments_of_the_newest_day_are_told_in_a_sentence_each(tables: tuple[DataFrame, DataFrame]) -> None:
    part = gather(kmeans_sections.alike(tables[0]))
    assert [tuple(row.values()) for row in part.rows] == [
        (1, "Large baskets", 20, 600, 20.0, 60.0, "1. Large baskets: 20 customers."),
        (2, "Small baskets", 80, 400, 80.0, 40.0, "2. Small baskets: 80 customers."),
    ]
    assert part.sentence == (
        "100 customers fall into 2 segments; those of “Large baskets” spent most each: 20.0 % of the customers "
        "brought 60.0 % of the money."
    )


def test_what_sets_them_apart_is_the_centre_beside_plain_units(tables: tuple[DataFrame, DataFrame]) -> None:
    part = gather(kmeans_sections.apart(*tables))
    assert [tuple(row.values()) for row in part.rows] == [
        (1, "1. Large baskets", "Basket value", 1.25, 9.0, 10.0),
        (2, "2. Small baskets", "Basket value", -1.5, 18.0, 20.0),
    ]
    assert part.sentence == (
        "Furthest from all customers is “2. Small baskets” in basket value: 1.5 standard deviations below the mean."
    )


def test_three_measures_of_each_number_are_told_and_which_was_taken(tables: tuple[DataFrame, DataFrame]) -> None:
    part = gather(kmeans_sections.choice(*tables))
    assert [tuple(row.values()) for row in part.rows] == [
        (2, 0.625, 0.75, 0.5, True),
        (3, 0.5, 0.875, 0.25, False),
    ]
    assert part.sentence == (
        "There are 2 segments, with a silhouette of 0.62 and a stability of 0.75; of 2 to 3 segments no other number "
        "had a silhouette above 0.50."
    )


def test_a_number_that_another_measure_chose_is_told_beside_the_best_silhouette(spark: SparkSession) -> None:
    third = {**profile(3, "Middle", 10, 100, 0.1), "customers_share": 0.1}
    taken = [*LEARNED[:2], learned("centre", 3, 0.1, segment="Middle"), *LEARNED[2:]]
    tables = frame(spark, PROFILES, [*PROFILED[:2], third]), frame(spark, kmeans.MODEL, taken)
    assert gather(kmeans_sections.choice(*tables)).sentence == (
        "There are 3 segments, with a silhouette of 0.50 and a stability of 0.88; of 2 to 3 segments another number "
        "had a silhouette of 0.62."
    )


def test_one_segment_and_none_are_told_too(spark: SparkSession) -> None:
    one = frame(spark, PROFILES, PROFILED[2:]), frame(spark, kmeans.MODEL, LEARNED[-1:])
    assert gather(kmeans_sections.alike(one[0])).sentence == "All 3 customers are alike: there is one segment."
    assert gather(kmeans_sections.apart(*one)).sentence == "Nothing sets customers apart: they are all alike."
    assert gather(kmeans_sections.choice(*one)).sentence == "There is no silhouette: there are no two segments."
    none = [rows.limit(0) for rows in one]
    assert gather(kmeans_sections.alike(none[0])).sentence == kmeans_sections.NONE
    assert gather(kmeans_sections.apart(*none)).sentence == kmeans_sections.NONE


def test_a_number_that_was_given_is_told_as_such(spark: SparkSession) -> None:
    tables = frame(spark, PROFILES, PROFILED[:2]), frame(spark, kmeans.MODEL, LEARNED[:4])
    told = gather(kmeans_sections.choice(*tables)).sentence
    assert told == "There are 2 segments, with a silhouette of 0.62; no other number was tried."


def test_a_middle_to_which_nobody_is_nearest_is_told() -> None:
    rows = [{"k": 3, "silhouette": 0.4, "stability": 0.8, "within": 0.5, "is_taken": False}]
    assert "nobody is nearest" in kmeans_sections._choice_told(rows)
