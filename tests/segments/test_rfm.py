"""RFM: measures, cut points, scores and names, against NumPy's quantiles and the published figures."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.core.errors import ConfigError
from crm_spark.core.rules import read_rules
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.segments import rfm

AS_OF = date(2025, 3, 1)
RULES = [{"name": "Best", "when": "r = 1 AND fm = 1"}, {"name": "Rest", "when": "true"}]


def customer_days(spark: SparkSession, rows: list[tuple[str, int, int, float, float]]) -> DataFrame:
    """Customer, days before AS_OF, orders, sales, returns."""
    told = [
        (customer, AS_OF - timedelta(days=ago), orders, Decimal(str(sales)), Decimal(str(returns)), 1, None, None)
        for customer, ago, orders, sales, returns in rows
    ]
    return spark.createDataFrame(told, CUSTOMER_DAYS.nullable_ddl)


def scored(days: DataFrame, bins: int = 5, **options: Any) -> dict[str, tuple[Any, ...]]:
    measures = rfm.measure(days, AS_OF, options.get("net", False))
    cuts = rfm.cut_points(measures, bins, options.get("cuts"))
    rows = rfm.SCORES.conform(rfm.score(measures, cuts, AS_OF, bins, RULES)).collect()
    return {row["customer_id"]: tuple(row)[2:] for row in rows}


def test_measures_count_orders_up_to_the_day_and_leave_out_who_never_ordered(spark: SparkSession) -> None:
    days = customer_days(
        spark, [("a", 10, 1, 5, 1), ("a", 3, 2, 7, 0), ("a", 1, 0, 0, 4), ("a", -1, 1, 99, 0), ("b", 2, 0, 0, 3)]
    )
    gross = rfm.measure(days, AS_OF).collect()
    net = rfm.measure(days, AS_OF, net=True).collect()
    assert [tuple(row) for row in gross] == [("a", 3, 3, Decimal("12.0000"))]
    assert [tuple(row) for row in net] == [("a", 3, 3, Decimal("7.0000"))]


def test_scores_are_the_quantile_groups_that_numpy_gives(spark: SparkSession) -> None:
    random = np.random.default_rng(3)
    recency, frequency = random.integers(0, 60, 200), random.integers(1, 9, 200)
    monetary = random.integers(100, 9_999, 200) / 100
    found = scored(
        customer_days(
            spark,
            [
                (f"c{i}", int(r), int(f), float(m), 0)
                for i, (r, f, m) in enumerate(zip(recency, frequency, monetary, strict=True))
            ],
        )
    )

    def oracle(values: Any) -> list[int]:
        cuts = np.quantile(values, [0.2, 0.4, 0.6, 0.8])
        return [1 + int((cuts < value).sum()) for value in values]

    expected = list(zip(oracle(-recency), oracle(frequency), oracle(monetary), strict=True))
    assert [found[f"c{i}"][3:6] for i in range(200)] == expected


def test_customers_alike_score_alike_and_one_customer_is_enough(spark: SparkSession) -> None:
    alike = scored(customer_days(spark, [(name, 4, 2, 10, 0) for name in "abc"]))
    assert set(alike.values()) == {(4, 2, Decimal("10.0000"), 1, 1, 1, "Rest")}
    assert scored(customer_days(spark, [("a", 4, 2, 10, 0)])) == {"a": (4, 2, Decimal("10.0000"), 1, 1, 1, "Rest")}
    assert scored(customer_days(spark, [])) == {}


def test_given_cuts_replace_quantiles_and_recency_cuts_are_days(spark: SparkSession) -> None:
    days = customer_days(spark, [("a", 7, 1, 5, 0), ("b", 8, 2, 5, 0), ("c", 31, 3, 5, 0)])
    cuts = {"recency": [8, 30], "frequency": [1, 2]}
    found = scored(days, bins=3, cuts=cuts)
    assert {name: row[3:5] for name, row in found.items()} == {"a": (3, 1), "b": (2, 2), "c": (1, 3)}


def test_the_cut_points_are_listed_in_days_and_money(spark: SparkSession) -> None:
    measures = rfm.measure(customer_days(spark, [("a", 10, 1, 4, 0), ("b", 20, 3, 8, 0)]), AS_OF)
    rows = rfm.CUTS.conform(rfm.listed(rfm.cut_points(measures, 2), AS_OF)).collect()
    assert sorted(tuple(row)[1:] for row in rows) == [("frequency", 2, 2.0), ("monetary", 2, 6.0), ("recency", 2, 15.0)]


def test_the_shipped_rules_name_every_pair_of_scores(spark: SparkSession) -> None:
    rules = read_rules("rfm_segments.yaml")
    rfm.check(rules, spark.range(1))
    scores = spark.createDataFrame([(r / 4, f / 4, f / 4, f / 4) for r in range(5) for f in range(5)], rfm.SHARES)
    named = {
        (row["r"], row["f"]): row["segment"]
        for row in scores.select("r", "f", rfm.named(rules).alias("segment")).collect()
    }
    assert (named[1, 1], named[0, 0], named[0, 1]) == ("Champions", "Hibernating", "Cannot lose them")
    assert set(named.values()) <= {rule["name"] for rule in rules}


def test_rules_that_cannot_be_are_refused_together(spark: SparkSession) -> None:
    with pytest.raises(ConfigError) as told:
        rfm.check(
            [{"name": "A", "when": "x > 1"}, {"name": "B", "when": "r +"}, {"name": "C", "when": "r"}], spark.range(1)
        )
    assert [line.split(":")[0].strip() for line in str(told.value).splitlines()[1:]] == ["A", "B", "C"]
