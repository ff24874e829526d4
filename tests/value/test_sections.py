"""What the page tells of lifetime value, against plain sums over the customers."""

from datetime import date
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.core.sections import Rows, Section
from crm_spark.kernels import bgnbd
from crm_spark.value import clv, models, sections

BEFORE, NOW = date(2026, 1, 24), date(2026, 1, 31)
LEARNED = {"r": 0.6, "alpha": 5.0, "a": 0.8, "b": 2.5}


def customers(day: date) -> list[dict[str, Any]]:
    return [
        {
            "customer_id": f"c{n:02}",
            "as_of": day,
            "frequency": n % 11,
            "recency": 5 * (n % 11),
            "age": 60 + n % 7 * 7,
            "monetary": 10.0 if n % 11 else None,
            "probability_alive": n / 40 if n else 1.0,
            "horizon": 90,
            "expected_purchases": n / 10,
            "expected_spend": 20.0 if n % 9 else None,
            "value": n * 2.0 if n % 9 else None,
            "reason": None if n % 9 else "the days after the first brought no money",
        }
        for n in range(40 if day == NOW else 3)
    ]


def parameters(day: date, is_known: bool = True) -> list[dict[str, Any]]:
    row = {"as_of": day, "model": "bg_nbd", "customers": 40, "unit_days": 7, "is_chosen": is_known}
    return [
        row | {"parameter": name, "position": at, "value": value if is_known else None}
        for at, (name, value) in enumerate(LEARNED.items())
    ]


def scores(day: date, chosen: str = "pareto_nbd", error: float = 0.8) -> list[dict[str, Any]]:
    told = {"bg_nbd": error, "pareto_nbd": error, "last_period": 1.0, "status_quo": 1.6}
    return [
        {
            "as_of": day,
            "model": model,
            "is_baseline": model in models.BASELINES,
            "held_out": 10,
            "customers": 40,
            "expected": 90.0,
            "actual": 100.0,
            "mean_absolute_error": 0.5,
            "root_mean_squared_error": off,
            "is_chosen": model == chosen,
        }
        for model, off in told.items()
    ]


def weeks(day: date) -> list[dict[str, Any]]:
    row = {"as_of": day, "by": "week"}
    told = [row | {"model": "pareto_nbd", "at": at, "expected": 10.0 + at, "actual": 12.0} for at in range(-2, 3)]
    return [*told, row | {"model": "bg_nbd", "at": 0, "expected": 1.0, "actual": 12.0}]


def frame(spark: SparkSession, table: Any, rows: list[dict[str, Any]]) -> DataFrame:
    return spark.createDataFrame([tuple(row.get(name) for name in table.names) for row in rows], table.nullable_ddl)


def shown(spark: SparkSession, make: Any, known: bool = True) -> tuple[Section, Rows]:
    prospect = customers(NOW)[1] | {"customer_id": "prospect", "frequency": None, "age": None, "value": 1000.0}
    values = frame(spark, clv.CLV, [*customers(BEFORE), *customers(NOW), prospect])
    learned = frame(spark, models.PARAMETERS, parameters(BEFORE) + parameters(NOW, known))
    section = make(values, learned)
    columns = [name.lstrip("-") for name in section.order_by]
    rows = [
        row.asDict()
        for row in section.rows.orderBy(columns, ascending=not section.order_by[0].startswith("-")).collect()
    ]
    return section, rows


def test_money_to_come_is_summed_by_how_likely_customers_still_are(spark: SparkSession) -> None:
    section, rows = shown(spark, sections.to_come)
    mine = [row for row in customers(NOW) if row["probability_alive"] >= 0.9]
    assert [row["band"] for row in rows][-1] == "90-100 % likely to be customers still"
    assert rows[-1]["customers"] == len(mine)
    assert rows[-1]["value"] == sum(row["value"] or 0 for row in mine)
    assert sum(row["customers"] for row in rows) == 40
    value = sum(row["value"] or 0 for row in customers(NOW))
    likely = sum(row["value"] or 0 for row in customers(NOW) if row["probability_alive"] >= 0.5)
    assert section.sentence(rows) == (
        f"In the next 90 days 40 customers are expected to order on 78 days, which is worth {value:,.0f} ¤, "
        f"{100 * likely / value:.0f} % of it from those who are more likely than not customers still."
    )


def test_those_worth_most_come_first_and_who_has_no_value_not_at_all(spark: SparkSession) -> None:
    section, rows = shown(spark, sections.worth_most)
    assert [row["customer_id"] for row in rows] == [f"c{n:02}" for n in range(39, 0, -1) if n % 9][:20]
    together = sum(row["value"] for row in rows)
    assert section.sentence(rows) == (
        f"c39 is worth most: 78 ¤, from 3.9 expected days with an order; the first 20 together are worth {together:,.0f} ¤."
    )


def test_the_model_is_held_against_what_was_bought(spark: SparkSession) -> None:
    section, rows = shown(spark, sections.fit_check)
    ages = np.array([row["age"] / 7 for row in customers(NOW)])
    expected = bgnbd.purchase_shares(np.array(list(LEARNED.values())), ages, 7).sum(axis=0)
    bought = np.bincount([min(row["frequency"], 7) for row in customers(NOW)], minlength=8)
    assert [row["purchases"] for row in rows] == ["0", "1", "2", "3", "4", "5", "6", "7 or more"]
    assert [row["customers"] for row in rows] == list(bought)
    assert [row["expected"] for row in rows] == pytest.approx(expected)
    apart = np.abs(bought - expected).sum() / 2 / 40 * 100
    assert section.sentence(rows) == (
        f"{bought[0]} customers never bought again, {expected[0]:,.0f} by the model; it puts {apart:.1f} % of the "
        f"customers into another bar than they are in."
    )


def test_without_an_estimate_there_is_nothing_to_hold_against(spark: SparkSession) -> None:
    section, rows = shown(spark, sections.fit_check, known=False)
    assert rows == []
    assert section.empty


def test_what_was_foretold_stands_beside_what_came_and_the_last_week_may_be_short(spark: SparkSession) -> None:
    told = frame(spark, models.HOLDOUT, weeks(BEFORE) + weeks(NOW)), frame(spark, models.SCORES, scores(NOW))
    section = sections.foretold(*told)
    rows = [row.asDict() for row in section.rows.orderBy("until").collect()]
    # Ten days are held out: the fourth week ends with the seventh of them, the fifth with the tenth.
    assert [str(row["until"]) for row in rows] == [
        "2026-01-07", "2026-01-14", "2026-01-21", "2026-01-28", "2026-01-31",
    ]  # fmt: skip
    assert [row["is_held_out"] for row in rows] == [False, False, False, True, True]
    assert section.sentence(rows) == (
        "In the 2 weeks that were held out customers ordered on 24 days; Pareto/NBD had foretold 23, 4.2 % less."
    )


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (0.8, "Pareto/NBD is used: in the 10 days held out its root mean squared error was 0.80 days with an order of a customer, 20 % less than that of the better plain rule."),
        (1.2, "No model foretold better than the better of the two plain rules, whose root mean squared error was 1.00 days with an order of a customer; that of Pareto/NBD was 1.20."),
    ],
)  # fmt: skip
def test_the_choice_is_told_and_where_plain_rules_foretell_better_that_too(
    spark: SparkSession, error: float, sentence: str
) -> None:
    section = sections.choice(frame(spark, models.SCORES, scores(BEFORE) + scores(NOW, error=error)))
    rows = [row.asDict() for row in section.rows.orderBy("root_mean_squared_error", "model").collect()]
    assert len(rows) == 4
    assert section.sentence(rows) == sentence
