"""How few customers bring how much, against a plain computation over all of them."""

import random
from decimal import Decimal

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.reports.page import gather
from crm_spark.segments import worth
from crm_spark.segments.rfm import CUTS, SCORES


def scores(spark: SparkSession, money: list[float]) -> DataFrame:
    rows = [(f"c{number:03}", Decimal(str(amount))) for number, amount in enumerate(money)]
    return spark.createDataFrame(rows, "customer_id string, monetary decimal(28,4)")


def plain_share(money: list[float], percent: float) -> float:
    """Sum the first customers' money, the last of them in part."""
    ordered, upto = sorted(money, reverse=True), percent / 100 * len(money)
    whole = int(upto)
    part = (upto - whole) * ordered[whole] if whole < len(money) else 0
    return 100 * (sum(ordered[:whole]) + part) / sum(money)


def plain_gini(money: list[float]) -> float:
    """Half the mean difference of all pairs, relative to the mean."""
    values = np.array(money)
    return float(np.abs(values[:, None] - values[None, :]).mean() / 2 / values.mean())


chance = random.Random(5)
CASES = {
    "few bring most": [round(chance.paretovariate(1.2) * 10, 2) for _ in range(700)],
    "much alike": [round(chance.gauss(100, 5), 2) for _ in range(300)],
    "all alike": [7.5] * 40,
    "ties": [1.0] * 90 + [10.0] * 9 + [1000.0],
    "some brought nothing": [0.0] * 30 + [5.0, 20.0, 75.0],
    "two": [1.0, 3.0],
}


@pytest.mark.parametrize("case", CASES)
def test_the_curve_and_its_coefficient_are_those_of_a_plain_computation(spark: SparkSession, case: str) -> None:
    money = CASES[case]
    points = [row.asDict() for row in worth.curve(scores(spark, money)).orderBy("percent").collect()]
    assert [point["percent"] for point in points] == list(range(101))
    for point in points:
        assert point["money_share"] == pytest.approx(plain_share(money, point["percent"]), abs=0.4)
        assert float(point["money"]) == pytest.approx(point["money_share"] * sum(money) / 100, abs=1e-6 * sum(money))
        assert point["customers"] == pytest.approx(point["percent"] * len(money) / 100, abs=0.5)
    assert -1e-6 <= plain_gini(money) - worth.gini(points) + 1e-4 <= 0.01


def told(spark: SparkSession, money: list[float]) -> str:
    points = [row.asDict() for row in worth.curve(scores(spark, money)).orderBy("percent").collect()]
    return worth._concentration_told(points)


def test_shares_are_told_that_hold_a_customer_or_more(spark: SparkSession) -> None:
    assert told(spark, [1.0] * 90 + [10.0] * 9 + [1000.0]) == (
        "The first 1 % of the customers brought 84.7 % of the money, the first 10 % 92.4 %, the first 20 % 93.2 %, "
        "the first 50 % 95.8 % (Gini coefficient 0.90)."
    )
    assert told(spark, [1.0, 3.0]) == (
        "The first 50 % of the customers brought 75.0 % of the money (Gini coefficient 0.25)."
    )
    assert told(spark, [5.0]) == "One customer brought all of the money."
    assert told(spark, [0.0, 0.0]) == "2 customers brought no money in all."


def test_the_customers_that_matter_are_told_by_key_in_order_of_their_money(spark: SparkSession) -> None:
    day = "2026-01-31"
    money = [*range(1, 26), 25]
    rows = spark.createDataFrame(
        [(f"c{number:02}", day, 3, 2, Decimal(amount), 1, 1, 1, "Best") for number, amount in enumerate(money)],
        "customer_id string, as_of string, recency int, frequency long, monetary decimal(28,4), "
        "recency_score int, frequency_score int, monetary_score int, segment string",
    )
    cuts = spark.createDataFrame([(day, "recency", 2, 1.0)], "as_of string, measure string, score int, cut double")
    assert (rows.columns, cuts.columns) == (SCORES.names, CUTS.names)
    part = gather(worth.foremost(rows, cuts))
    found = part.rows
    assert [row["customer_id"] for row in found] == ["c24", "c25", *[f"c{number:02}" for number in range(23, 5, -1)]]
    assert found[0]["share"] == pytest.approx(100 * 25 / sum(money), abs=1e-6)
    assert part.sentence == (
        f"The 20 customers who brought most brought {sum(row['share'] for row in found):.1f} % of the money; "
        "c24 leads with 25 ¤."
    )
