"""What the customers of each segment are like, against plain sums."""

from datetime import date
from decimal import Decimal

import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.segments import profiles

AS_OF = date(2026, 1, 31)
SEGMENTS = "customer_id string, as_of date, segment_id int, segment string"
CUSTOMERS = (
    "customer_id string, as_of date, segment string, spend decimal(18,4), recency_days int, basket_value double, "
    "returned_share double, rhythm_days double"
)
FEATURES = ["recency_days", "basket_value", "returned_share", "rhythm_days"]


def profiled(spark: SparkSession, members: list[tuple]) -> DataFrame:
    """Profile customers told by key, segment, its name, and numbers; the source itself calls each a regular."""
    segments = spark.createDataFrame([(who, AS_OF, number, name) for who, number, name, *_ in members], SEGMENTS)
    told = [(who, AS_OF, "regular", *numbers) for who, _, _, *numbers in members]
    return profiles.profile(spark.createDataFrame(told, CUSTOMERS), segments, AS_OF, FEATURES, FEATURES)


def test_shares_means_medians_and_the_sentence_are_those_of_the_customers(spark: SparkSession) -> None:
    members = [
        ("a", 1, "Buy often", Decimal("900.5"), 2, 45.5, 0.5, 10.0),
        ("b", 1, "Buy often", Decimal("1099.5"), 6, 2000.0, 0.0, None),
        ("c", 1, "Buy often", Decimal(0), 13, 50.0, 0.25, float("nan")),
        ("d", 2, "Buy rarely", Decimal("-500"), 1, 9.0, 0.0, None),
        ("e", None, None, Decimal(1), 1, 1.0, 1.0, 1.0),
    ]
    rows = profiled(spark, members).orderBy("segment_id")
    first, second = (row.asDict() for row in rows.collect())
    assert {name: first[name] for name in ("as_of", "segment_id", "segment", "customers", "spend")} == {
        "as_of": AS_OF,
        "segment_id": 1,
        "segment": "Buy often",
        "customers": 3,
        "spend": Decimal(2000),
    }
    assert (first["customers_share"], second["customers_share"]) == (0.75, 0.25)
    assert (first["spend_share"], second["spend_share"]) == (pytest.approx(2000 / 1500), pytest.approx(-1 / 3))
    assert first["means"] == pytest.approx(
        {"recency_days": 7, "basket_value": 2095.5 / 3, "returned_share": 0.25, "rhythm_days": 10}
    )
    assert first["medians"] == {"recency_days": 6, "basket_value": 50, "returned_share": 0.25, "rhythm_days": 10}
    assert second["medians"] == {"recency_days": 1, "basket_value": 9, "returned_share": 0}
    assert first["sentence"] == (
        "Buy often: 3 customers (75.0 %) brought 133.3 % of the money; medians: last purchase 6 days ago, 50.00 an "
        "order, 25 % of the money returned, a purchase every 10 days."
    )
    assert second["sentence"] == (
        "Buy rarely: 1 customer (25.0 %) brought -33.3 % of the money; medians: last purchase 1 day ago, "
        "9.00 an order, 0 % of the money returned."
    )


def test_where_nobody_brought_money_nobody_has_a_share_of_it(spark: SparkSession) -> None:
    row = profiled(spark, [("a", 1, "All customers", Decimal(-1), None, None, None, None)]).collect()[0]
    assert (row["spend_share"], row["means"], row["medians"]) == (None, {}, {})
    assert row["sentence"] == "All customers: 1 customer (100.0 %)."
