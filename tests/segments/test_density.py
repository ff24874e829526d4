"""What is learned of near and apart, hard cases, and what the page tells of it."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.reports.page import gather
from crm_spark.segments import density, density_sections
from crm_spark.segments.density import GROUPS, MODEL
from tests.segments.test_kmeans import AS_OF, FEATURES, Customer, features_of
from tests.segments.test_kmeans_sections import frame

NOW = date(2026, 1, 31)

CASES: dict[str, tuple[list[Customer], float | None, int | None, set[str], str]] = {
    # customers, eps, min_samples, kinds, where eps is from
    "nobody": ([], None, None, set(), density.NO_KNEE),
    "all alike": ([(f"c{n}", 3, 1, 9.0, 9.0) for n in range(30)], None, None, {"core"}, density.NO_KNEE),
    "one apart from many who are alike": (
        [*[(f"c{n}", 3, 1, 9.0, 9.0) for n in range(30)], ("z", 300, 9, None, 0.0)],
        None,
        3,
        {"core", "noise"},
        density.KNEE,
    ),
    "fewer than must be near": ([("a", 3, 1, 9.0, 9.0), ("b", 9, 2, 9.0, 18.0)], None, 5, {"noise"}, density.NO_KNEE),
}
LEFT_OUT = "it tells nobody apart and may be left out of `features`"


@pytest.mark.parametrize("case", CASES)
def test_hard_cases_have_an_answer_that_says_where_it_is_from(spark: SparkSession, case: str) -> None:
    rows, eps, min_samples, kinds, source = CASES[case]
    customers, features = features_of(spark, rows).localCheckpoint(), [*FEATURES, "rhythm_days"]  # nobody has one
    model = density.learn(customers, AS_OF, features, 0.0, eps, min_samples).localCheckpoint()
    found = density.find(customers, model, AS_OF, features).localCheckpoint()
    groups = density.describe(customers, found, model, AS_OF, features).collect()
    why = {row["feature"]: row["reason"] for row in model.where("parameter = 'deviation'").collect()}
    assert why["rhythm_days"] == f"no customer has a value: {LEFT_OUT}"
    if case == "all alike":
        assert {why[name] for name in FEATURES} == {f"all customers are alike in it: {LEFT_OUT}"}
    told = [row for row in model.collect() if row["parameter"] == "eps"]
    assert [row["reason"] for row in told] == [source]
    assert told[0]["value"] > 0
    answers = found.collect()
    assert {row["kind"] for row in answers} == kinds
    assert len(answers) == len(rows) == sum(row["customers"] for row in groups)
    assert all((row["group_id"] is None) == (row["kind"] == "noise") for row in answers)
    assert {row["group_name"] for row in groups} <= {density.APART, "All customers"}


def group(number: int, name: str, customers: int, money: int) -> dict[str, Any]:
    return {
        "as_of": NOW,
        "group_id": number,
        "group_name": name,
        "customers": customers,
        "core_customers": customers // 2,
        "customers_share": customers / 100,
        "spend": Decimal(money),
        "spend_share": money / 1000,
        "centre": {"spend": 1.0},
    }


def learned(parameter: str, number: int, value: float, reason: str | None = None) -> dict[str, Any]:
    return {
        "as_of": NOW,
        "parameter": parameter,
        "feature": "all",
        "number": number,
        "value": value,
        "reason": reason,
    }


LEARNED = [
    learned("eps", 0, 0.5, density.KNEE),
    learned("min_samples", 0, 4.0),
    learned("distance", 0, 0.1),
    learned("distance", 90, 0.5),
    learned("distance", 100, 3.0),
]


def test_groups_stand_by_size_the_smallest_together_and_who_lies_apart_last(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(density_sections, "SHOWN", 2)
    rows = [group(0, density.APART, 10, 400), group(1, "Few", 5, 50), group(2, "Many", 60, 350)]
    rows += [group(3, "Some", 20, 150), group(4, "Fewest", 5, 50)]
    part = gather(density_sections.groups(frame(spark, GROUPS, rows)))
    assert [tuple(row.values())[:5] for row in part.rows] == [
        ("2. Many", 60, 60.0, 350, 35.0),
        ("3. Some", 20, 20.0, 150, 15.0),
        ("All smaller groups", 10, 10.0, 100, 10.0),
        (density.APART, 10, 10.0, 400, 40.0),
    ]
    assert part.sentence == (
        "100 customers form 4 groups of alike ones; the largest has 60.0 % of them. 10 lie apart from all: 10.0 % of "
        "the customers, who brought 40.0 % of the money."
    )


def test_groups_without_noise_noise_without_groups_and_nobody_are_told(spark: SparkSession) -> None:
    def told(*rows: dict[str, Any]) -> str:
        made: DataFrame = frame(spark, GROUPS, list(rows))
        return gather(density_sections.groups(made)).sentence

    assert told(group(1, "All customers", 100, 1000)) == (
        "100 customers form 1 group of alike ones; the largest has 100.0 % of them; nobody lies apart."
    )
    assert told(group(0, density.APART, 100, 1000)) == "All 100 customers lie apart: there is no group."
    assert told() == density_sections.NONE


def test_the_curve_is_told_with_what_counts_as_near(spark: SparkSession) -> None:
    groups = frame(spark, GROUPS, [group(1, "All customers", 100, 1000)])
    part = gather(density_sections.near(groups, frame(spark, MODEL, LEARNED)))
    assert [(row["percent"], row["distance"], row["eps"]) for row in part.rows] == [
        (0, 0.1, 0.5),
        (90, 0.5, 0.5),
        (100, 3.0, 0.5),
    ]
    assert part.sentence == (
        "Customers within 0.50 standard deviations are near (the knee of the curve): 90 % of the customers have 4 near "
        "them, themselves among these."
    )
    none = gather(density_sections.near(groups, frame(spark, MODEL, LEARNED[:2])))
    assert none.sentence == "There is no curve: there are fewer customers than must be near one."
