"""What the page tells of segments from run to run."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.reports.page import gather
from crm_spark.segments import lifecycle_sections
from crm_spark.segments.drift import DRIFT
from crm_spark.segments.kmeans import MODEL
from crm_spark.segments.migration import MIGRATION
from tests.segments.test_kmeans_sections import BEFORE, NOW, frame

NAMES = {0: "(new)", 1: "Large baskets", 2: "Small baskets", 4: "Rare"}


def way(from_id: int, to_id: int, customers: int, spend: int | None, since: date | None = BEFORE) -> dict[str, Any]:
    return {
        "as_of": NOW if since else BEFORE,
        "since": since,
        "from_id": from_id,
        "to_id": to_id,
        "from_segment": NAMES[from_id] if from_id != 2 else "Once small",
        "to_segment": NAMES[to_id] if to_id else "(gone)",
        "customers": customers,
        "spend": None if spend is None else Decimal(spend),
    }


WAYS = [way(1, 1, 6, 600), way(1, 2, 2, 50), way(2, 2, 9, 90), way(2, 1, 1, 40), way(0, 4, 3, 9), way(2, 0, 10, None)]
FIRST = way(0, 1, 9, 90, since=None)


def test_each_former_segment_is_parted_by_where_its_customers_are_now(spark: SparkSession) -> None:
    part = gather(lifecycle_sections.moved(frame(spark, MIGRATION, [*WAYS, FIRST])))
    assert [tuple(value for name, value in row.items() if name != "now")[:7] for row in part.rows] == [
        (0, 4, "(new)", "4. Rare", 3, 100.0, 9),
        (1, 1, "1. Large baskets", "1. Large baskets", 6, 75.0, 600),
        (1, 2, "1. Large baskets", "2. Small baskets", 2, 25.0, 50),
        (2, 0, "2. Small baskets", "(gone)", 10, 50.0, None),
        (2, 1, "2. Small baskets", "1. Large baskets", 1, 5.0, 40),
        (2, 2, "2. Small baskets", "2. Small baskets", 9, 45.0, 90),
    ]
    assert part.sentence == (
        "From 2026-01-24 to 2026-01-31, 3 of 18 customers changed segment; most went from “1. Large baskets” to "
        "“2. Small baskets”, 2 customers who have spent 50 ¤ so far; 3 came new; 10 are gone."
    )


def drifted(number: int, feature: str, shift: float | None, psi: float | None = 0.02, **more: Any) -> dict[str, Any]:
    means = {"mean_before": 123.4, "mean": 12.34} if shift is not None else {}
    told = {"as_of": NOW, "since": BEFORE, "customers_before": 40, "customers": 50, "by_chance": 0.3}
    name = NAMES[number] if number else "All customers"
    known = {"segment_id": number, "segment": name, "feature": feature, "shift": shift, "stability_index": psi}
    return told | means | known | more


DRIFTED = [
    drifted(0, "basket_value", 0.1, 0.31),
    drifted(0, "segment", None, 0.05),
    drifted(1, "basket_value", -0.5, 0.26),
    drifted(4, "basket_value", None, None, reason="nobody was in it then"),
]


@pytest.fixture
def model(spark: SparkSession) -> DataFrame:
    rows = [
        {"as_of": NOW, "parameter": "centre", "number": 1, "learned_on": NOW},
        {"as_of": NOW, "parameter": "agreement", "number": 0, "value": 0.875, "learned_on": NOW},
        {"as_of": BEFORE, "parameter": "agreement", "number": 0, "value": 0.1},
    ]
    return frame(spark, MODEL, rows)


def test_how_far_segments_went_is_told_in_deviations_and_in_plain_means(spark: SparkSession, model: DataFrame) -> None:
    part = gather(lifecycle_sections.changed(frame(spark, DRIFT, DRIFTED), model))
    assert [(row["segment"], row["feature"], row["shift"], row["spread"], row["agreement"]) for row in part.rows] == [
        ("All customers", "Basket value", 0.1, 0.05, 0.875),
        ("1. Large baskets", "Basket value", -0.5, 0.05, 0.875),
    ]
    assert part.sentence == (
        "From 2026-01-24 to 2026-01-31 “1. Large baskets” changed most: basket value fell by 0.50 standard deviations, "
        "from 123 to 12.3 on average; 1 of 2 means and spreads changed much; the segments, learned anew, agree with "
        "those of last time by 0.88."
    )


def test_segments_that_were_kept_and_did_not_change_are_told_so(spark: SparkSession, model: DataFrame) -> None:
    same = [drifted(0, "basket_value", 0.0, 0.0), drifted(0, "segment", None, 0.0)]
    kept = model.where("parameter = 'centre'")
    assert gather(lifecycle_sections.changed(frame(spark, DRIFT, same), kept)).sentence == (
        "From 2026-01-24 to 2026-01-31 no mean of any segment changed; none of 1 means and spreads changed much; the "
        "segments are those learned on 2026-01-31."
    )


def test_the_first_day_has_nothing_to_be_compared_with(spark: SparkSession, model: DataFrame) -> None:
    first = drifted(1, "basket_value", None, None, since=None)
    for part in (
        gather(lifecycle_sections.moved(frame(spark, MIGRATION, [FIRST]))),
        gather(lifecycle_sections.changed(frame(spark, DRIFT, [first]), model)),
    ):
        assert part.sentence.startswith("There is nothing to compare yet")
        assert part.rows == []
