"""Standings as a table: the kernel's answers, forecasts, peers, false alarms held, and what bad input gets."""

from datetime import date, timedelta

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy import stats

from crm_spark.anomalies import detectors, standings
from crm_spark.forecasting.forecasts import FORECASTS
from crm_spark.forecasting.series import SERIES
from crm_spark.ingest.tables import VERDICTS
from crm_spark.kernels.standings import Asked

AS_OF, FIRST = date(2026, 3, 2), date(2025, 1, 6)
ASKED = Asked(season=1, past=40, window=4)
LAST = FIRST + timedelta(weeks=59)
RANDOM = np.random.default_rng(8)
USUAL = RANDOM.normal(50, 4, 60).tolist()
CASES: dict[str, list[float | None]] = {
    "usual": USUAL,
    "spike": [*USUAL[:-1], 120.0],
    "gap": [*USUAL[:20], None, *USUAL[21:]],
    "flat": [5.0] * 60,
    "first": [0.0] * 59 + [3.0],
    "one": [1.0],
    "empty": [],
    "missing": [None] * 60,
    "infinite": [*USUAL[:-1], float("inf")],
    "huge": [*USUAL[:-1], 1e308],
    "unknown": [*USUAL[:-1], None],
}


def frame(spark: SparkSession, cases: dict[str, list[float | None]], grouping: str = "case") -> DataFrame:
    rows = [(AS_OF, grouping, name, "spend", "week", FIRST, values, *[None] * 4) for name, values in cases.items()]
    return spark.createDataFrame(rows, SERIES.nullable_ddl)


def many(size: int = 400) -> dict[str, list[float | None]]:
    drawn = np.random.default_rng(4).poisson(3, (size, 60)) * 1.0
    return {f"c{at:03}": row.tolist() for at, row in enumerate(drawn)}


def judged(
    spark: SparkSession, cases: dict[str, list[float | None]], **told: DataFrame
) -> dict[str, dict[str, object]]:
    measured = standings.measure(frame(spark, cases), ASKED, forecasts=told.get("forecasts"))
    rows = standings.judge(measured, AS_OF, told.get("peers")).collect()
    return {row["key"]: row.asDict() for row in rows}


def test_each_series_is_judged_or_has_a_reason_and_poison_moves_no_bit_of_the_others(spark: SparkSession) -> None:
    found = judged(spark, CASES)
    assert {name: row["reason"] for name, row in found.items() if row["reason"]} == {
        "flat": "all values are equal",
        "one": "fewer than 9 values",
        "empty": "no values",
        "missing": "no values",
        "infinite": "a value is infinite or beyond 1e150",
        "huge": "a value is infinite or beyond 1e150",
        "unknown": "no value in the period",
    }
    assert {name for name, row in found.items() if row["p"] is None} == {
        name for name, row in found.items() if row["reason"]
    }
    assert (found["usual"]["day"], found["empty"]["day"]) == (LAST, AS_OF)
    past = np.array(USUAL[-41:-1])
    known = stats.ttest_ind([120.0], past)
    assert found["spike"]["z"] == pytest.approx(known.statistic)
    assert known.pvalue <= found["spike"]["p_z"] < 1e-9, "held against few periods"
    assert 1 / 41 <= found["first"]["p_z"] < 0.1
    assert all(value is None or np.isfinite(value) for row in found.values() for value in row.values()
               if isinstance(value, float))  # fmt: skip
    sound = {
        name: values for name, values in CASES.items() if found[name]["reason"] in (None, "no value in the period")
    }
    assert judged(spark, sound) == {name: found[name] for name in sound}


def test_on_counts_without_anomalies_no_more_is_flagged_than_was_asked_for_and_spikes_among_them_are(
    spark: SparkSession,
) -> None:
    cases = many()
    for name in ("c000", "c001"):
        cases[name] = [*cases[name][:-1], 40.0]
    found = judged(spark, cases)
    p = np.array([row["p"] for name, row in found.items() if name not in ("c000", "c001")], dtype=float)
    for share in (0.05, 0.01):
        assert np.mean(p <= share) < share + 4 * np.sqrt(share / p.size)
    assert max(found["c000"]["p"], found["c001"]["p"]) < 1e-5  # type: ignore[type-var]
    assert found["c001"]["peers"] == 399
    others = [row for name, row in found.items() if name != "c001"]
    change = sum(row["observed"] for row in others) / sum(row["expected"] for row in others) - 1  # type: ignore[misc]
    assert found["c001"]["peers_change"] == pytest.approx(change)


def test_what_comes_to_all_peers_alike_is_no_finding_of_one_of_them(spark: SparkSession) -> None:
    risen = {name: [*values[:-1], (values[-1] or 0) + 12] for name, values in many(20).items()}
    calm = {f"d{at}": values for at, values in enumerate(many(20).values())}
    groups = [("case", name, name[0]) for name in (*risen, *calm)]
    peers = spark.createDataFrame(groups, "grouping string, key string, `group` string")
    found = judged(spark, risen | calm, peers=peers)
    assert all(found[name]["p_z"] < 0.01 for name in risen)  # type: ignore[operator]
    assert all(found[name]["p"] > 0.01 for name in risen)  # type: ignore[operator]
    assert {row["peers"] for row in found.values()} == {19}
    assert found["c003"]["peers_change"] > 3  # type: ignore[operator]
    assert abs(found["d3"]["peers_change"]) < 0.5  # type: ignore[arg-type]


def test_a_value_is_held_against_the_newest_forecast_of_its_period(spark: SparkSession) -> None:
    def row(as_of: date, day: date, expected: float, high: float | None) -> tuple[object, ...]:
        return as_of, "case", "usual", "spend", 1, day, "arima", expected, None, None, None, high, None, None

    told = [
        row(AS_OF - timedelta(14), LAST, 1.0, 2.0),
        row(AS_OF - timedelta(7), LAST, 40.0, 44.0),
        row(AS_OF - timedelta(7), LAST + timedelta(7), 3.0, 4.0),
    ]
    forecasts = spark.createDataFrame(told, FORECASTS.nullable_ddl)
    found = judged(spark, {name: CASES[name] for name in ("usual", "spike")}, forecasts=forecasts)
    known = 2 * stats.norm.sf(abs(USUAL[-1] - 40) / (4 / stats.norm.ppf(0.975)))
    assert known <= found["usual"]["p_forecast"] < 3 * known  # type: ignore[operator]
    assert found["spike"]["p_forecast"] is None


def test_of_several_newest_periods_each_is_judged_by_what_lies_before_it(spark: SparkSession) -> None:
    cases = {"spike": [*USUAL[:-2], 120.0, USUAL[-1]], "young": [1.0, 2.0]}
    asked = Asked(season=1, past=40, window=4, newest=3)
    measured = standings.measure(frame(spark, cases), asked)
    rows = standings.judge(measured, AS_OF).orderBy("key", "day").collect()
    assert [(row["key"], row["day"]) for row in rows] == [
        *[("spike", LAST - timedelta(weeks=back)) for back in (2, 1, 0)],
        ("young", FIRST),
        ("young", FIRST + timedelta(7)),
    ]
    assert rows[1]["p"] < 1e-3
    assert min(rows[0]["p"], rows[2]["p"]) > 0.01


def test_the_rows_are_the_same_however_they_lie(spark: SparkSession) -> None:
    series = frame(spark, many(40) | CASES)
    told, first = [], None
    for partitions in (1, 2, 7):
        measured = standings.measure(series.repartition(partitions, "key"), ASKED)
        rows = standings.judge(measured, AS_OF).orderBy("key").collect()
        told.append([[row["key"], *(row[name] for name in ("z", "p_z", "p_window"))] for row in rows])
        p = [row["p"] for row in rows if row["p"] is not None]
        first = first or p
        assert p == pytest.approx(first, rel=1e-9)
    assert told[0] == told[1] == told[2]


@pytest.mark.slow
def test_where_nothing_is_planted_no_more_is_unusual_than_was_asked_with_detectors_too(spark: SparkSession) -> None:
    random, periods, count = np.random.default_rng(1), 80, 1_500
    kinds = [
        lambda: random.normal(50, 9, periods),
        lambda: random.poisson(4, periods).astype(float),
        lambda: np.where(random.random(periods) < 0.25, random.gamma(2, 20, periods), 0.0),
    ]
    series = frame(spark, {f"{at:04}": kinds[at % 3]().tolist() for at in range(count)}).localCheckpoint()
    measured = standings.measure(series, Asked(season=1, past=52, window=4, newest=1))
    detected, _ = detectors.judge(series, spark.createDataFrame([], VERDICTS.nullable_ddl), AS_OF)
    judged = standings.judge(measured, AS_OF, detected=detected)
    levels = [0.05, 0.01, 0.001]
    found = judged.agg(F.count("p"), *[F.count_if(F.col("p") <= level) for level in levels]).first()
    assert found is not None
    assert found[0] == count
    for level, flagged in zip(levels, found[1:], strict=True):
        assert flagged <= stats.binom.ppf(0.9999, count, level), level
