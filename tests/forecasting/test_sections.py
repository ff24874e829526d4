"""What the page says of behaviour over time."""

from datetime import date, timedelta

import pytest
from pyspark.sql import SparkSession

from crm_spark.forecasting import forecast_sections, sections
from crm_spark.forecasting.autocorrelation import AUTOCORRELATIONS
from crm_spark.forecasting.forecasts import FORECASTS, MODELS
from crm_spark.forecasting.series import SERIES

AS_OF, FIRST = date(2026, 3, 2), date(2026, 1, 5)
OLD = AS_OF - timedelta(days=7)


def test_the_last_whole_period_is_held_against_its_average_and_other_days_and_series_are_left_out(
    spark: SparkSession,
) -> None:
    rows = [
        (AS_OF, "all", "all", "spend", "month", FIRST, [50.0, 100.0, 120.0], [None, 75.0, 100.0], None, None, "short"),
        (AS_OF, "all", "all", "visits", "month", FIRST, [1.0, 1.0, 1.0], [1.0, 1.0, 1.0], None, None, "short"),
        (AS_OF, "customer", "ann", "spend", "month", FIRST, [5.0, 5.0, 5.0], None, None, None, None),
        (OLD, "all", "all", "spend", "month", FIRST, [7.0], None, None, None, None),
    ]
    section = sections.moves(spark.createDataFrame(rows, SERIES.nullable_ddl))
    told = [row.asDict() for row in section.rows.orderBy("day").collect()]
    assert [(row["day"], row["value"], row["average"]) for row in told] == [
        (FIRST, 50.0, None), (date(2026, 2, 5), 100.0, 75.0), (date(2026, 3, 5), 120.0, 100.0),
    ]  # fmt: skip
    assert section.sentence(told) == (
        "The last whole month, from 5 March 2026 on, brought 120 ¤, 20 % more than the moving average of 100 ¤."
    )


def test_of_segments_the_last_period_is_told(spark: SparkSession) -> None:
    rows = [
        (AS_OF, "segment", name, "spend", "week", FIRST, values, None, None, None, None)
        for name, values in (("Best", [50.0] * 29 + [75.0]), ("Others", [60.0] * 29 + [25.0]))
    ]
    section = sections.by_segment(spark.createDataFrame(rows, SERIES.nullable_ddl))
    told = [row.asDict() for row in section.rows.collect()]
    assert len(told) == 2 * sections.SHOWN
    assert section.sentence(told) == (
        "In the last period, from 27 July 2026 on, most came from Best: 75 ¤, 75 % of all."
    )


def test_a_rhythm_is_told_and_how_many_customers_have_one(spark: SparkSession) -> None:
    def row(grouping: str, key: str, p: float | None, rhythm: int | None) -> tuple[object, ...]:
        measure, of = "spend" if grouping == "all" else "purchases", [-0.1, 0.6, None]
        return AS_OF, grouping, key, measure, 9, of, of, of, 0.2, 1, 4.0, p, rhythm, None

    rows = [row("all", "all", 1e-4, 2)] + [row("customer", *told) for told in (
        ("a", 0.01, 2), ("b", 0.01, 4), ("c", 0.02, None), ("d", 0.6, 3), ("e", None, None))]  # fmt: skip
    correlations = spark.createDataFrame(rows, AUTOCORRELATIONS.nullable_ddl)
    section = sections.comes_again(correlations)
    told = [one.asDict() for one in section.rows.orderBy("lag").collect()]
    assert [(one["lag"], one["acf"], one["beyond"]) for one in told] == [
        (1, -0.1, "within chance"), (2, 0.6, "beyond chance"),
    ]  # fmt: skip
    assert section.sentence(told) == (
        "Spending comes again after 2 periods: it is like that with a correlation of 0.60."
    )
    assert "it has no rhythm" in section.sentence([one | {"rhythm": None} for one in told])
    assert "may be chance" in section.sentence([one | {"rhythm": None, "p": 0.4} for one in told])
    section = sections.who_has_a_rhythm(correlations)
    told = [one.asDict() for one in section.rows.collect()]
    assert {one["kind"]: (one["customers"], one["rhythm"]) for one in told} == {
        "comes again in a rhythm": (2, 3.0), "one period tells of the next": (1, None), "chance alone": (1, 3.0),
        "too short or without change": (1, None),
    }  # fmt: skip
    assert section.sentence(told) == (
        "Of 5 customers 4 have a series that can be tested; of 3 of these one period tells of the next, "
        "where chance alone would make it 0."
    )


def test_what_is_to_come_is_held_against_as_much_before(spark: SparkSession) -> None:
    rows = [
        (AS_OF, grouping, key, "spend", "week", FIRST, [50.0, 100.0, 100.0], None, None, None, None)
        for grouping, key in (("all", "all"), ("category", "Tea"), ("category", "Jam"))
    ]
    series = spark.createDataFrame(rows, SERIES.nullable_ddl)
    ahead = [
        (
            AS_OF,
            grouping,
            key,
            "spend",
            n,
            FIRST + timedelta(days=14 + 7 * n),
            "naive",
            value,
            1.0,
            2.0,
            3.0,
            4.0,
            value,
            None,
        )
        for grouping, key, value in (("all", "all", 80.0), ("category", "Tea", 60.0), ("category", "Jam", 20.0))
        for n in (1, 2)
    ]
    expected = spark.createDataFrame(ahead, FORECASTS.nullable_ddl)
    section = forecast_sections.to_come(series, expected)
    told = [row.asDict() for row in section.rows.orderBy("day").collect()]
    assert [(row["value"], row["expected"]) for row in told] == [
        (50.0, None), (100.0, None), (100.0, None), (None, 80.0), (None, 80.0),
    ]  # fmt: skip
    assert section.sentence(told) == (
        "In the 2 periods from 26 January 2026 on 160 ¤ are to be expected, 20 % less than in the 2 before."
    )
    section = forecast_sections.by_category(series, expected)
    told = [row.asDict() for row in section.rows.orderBy("category").collect()]
    assert [(row["category"], row["spent"], row["expected"], row["periods"]) for row in told] == [
        ("Jam", 200.0, 40.0, 2), ("Tea", 200.0, 120.0, 2),
    ]  # fmt: skip
    assert section.sentence(told[::-1]) == "In the 2 periods to come most is expected of Tea: 120 ¤, 75 % of all."


def test_what_all_and_customers_say_is_held_against_what_they_agree_on(spark: SparkSession) -> None:
    limits = 1.0, 2.0, 3.0, 4.0
    rows = [
        (AS_OF, grouping, key, measure, n, FIRST, "naive", own, *limits, agreed, "wls_var")
        for grouping, key, measure, own, agreed in (
            ("all", "all", "spend", 80.0, 75.0), ("customer", "ann", "spend", 40.0, 42.0),
            ("customer", "bob", "spend", 20.0, 21.0), ("others", "others", "spend", 10.0, 12.0),
            ("all", "all", "visits", 7.0, 7.0), ("category", "Tea", "spend", 9.0, None),
        )
        for n in (1, 2)
    ]  # fmt: skip
    section = forecast_sections.agreed(spark.createDataFrame(rows, FORECASTS.nullable_ddl))
    told = [row.asDict() for row in section.rows.collect()]
    assert {row["grouping"]: (row["series"], row["expected"], row["reconciled"]) for row in told} == {
        "all": (1, 160.0, 150.0), "customer": (2, 120.0, 126.0), "others": (1, 20.0, 24.0),
    }  # fmt: skip
    assert section.sentence(told) == (
        "In the 2 periods to come all by themselves say 160 ¤, customers 120 ¤; they agree on 150 ¤, of which 24 ¤ "
        "come from others."
    )
    assert "no forecasts of all" in section.sentence(told[:1])


def test_it_is_told_by_which_methods_series_are_foretold(spark: SparkSession) -> None:
    def row(key: str, route: str, method: str | None, ahead: int, mase: float | None) -> dict[str, object]:
        told = {"as_of": AS_OF, "grouping": "customer", "key": key, "measure": "spend", "learned_on": AS_OF}
        return told | {"route": route, "method": method, "judged_ahead": ahead, "mase": mase}

    rows = [row("a", "arima", "arima", 4, 0.5), row("b", "arima", "arima", 4, 0.7), row("c", "none", None, 0, None)]
    models = spark.createDataFrame([tuple(one.get(name) for name in MODELS.names) for one in rows], MODELS.nullable_ddl)
    section = forecast_sections.how_told(models)
    told = [one.asDict() for one in section.rows.collect()]
    assert {one["method"]: (one["series"], one["judged"], one["mase"]) for one in told} == {
        "arima": (2, 2, pytest.approx(0.6)), "(nothing)": (1, 0, None),
    }  # fmt: skip
    assert section.sentence(told) == (
        "Of 3 series 2 are long enough to be judged on their own past; ARIMA tells 2 best, and of 1 nothing can be told."
    )
