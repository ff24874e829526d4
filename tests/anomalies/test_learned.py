"""What learns finds planted oddities of series, with verdicts and without; what cannot be learned has a reason."""

from datetime import date, timedelta

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.anomalies import detectors, isolation, points, taught
from crm_spark.ingest.tables import VERDICTS
from crm_spark.kernels import isolation_forest, surprise

AS_OF, PERIODS = date(2026, 3, 31), 90
FIRST = AS_OF - timedelta(days=PERIODS - 1)
TYPES = "grouping string, key string, measure string, period string, first date, values array<double>"
CHANCE = np.random.default_rng(7)


def drawn(n: int = 40) -> np.ndarray:
    """Days of n customers, with a week in them. On the last day the first five spend ten times as much."""
    values = 50 + 20 * (np.arange(PERIODS) % 7 == 5) + np.random.default_rng(1).normal(size=(n, PERIODS)) * 3
    values[:5, -1] *= 10
    for customer in range(5, 25):  # what analysts have seen
        values[customer, 60 + customer % 20] += 60
    return values


def frame(spark: SparkSession, values: np.ndarray) -> DataFrame:
    rows = [("customer", f"c{at:02}", "spend", "day", FIRST, of.tolist()) for at, of in enumerate(values)]
    return spark.createDataFrame(rows, TYPES)


def verdicts(spark: SparkSession, said: dict[tuple[str, int], bool]) -> DataFrame:
    rows = [
        (f"v{at}", "customer", key, "spend", FIRST + timedelta(days=day), odd)
        for at, ((key, day), odd) in enumerate(said.items())
    ]
    types = "verdict_id string, grouping string, key string, measure string, day date, is_anomaly boolean"
    return spark.createDataFrame(rows, types).withColumn("told_at", F.to_timestamp(F.lit("2026-03-30 12:00:00")))


SAID = {(f"c{at:02}", 60 + at % 20): True for at in range(5, 25)} | {
    (f"c{at:02}", day): False for at in range(25, 40) for day in (62, 68, 70)
}


def detected(spark: SparkSession) -> DataFrame:
    """What both detectors say of the last day, with verdicts."""
    return detectors.judge(frame(spark, drawn()), verdicts(spark, SAID), AS_OF, periods=39)[0]


@pytest.fixture(scope="module")
def told(spark: SparkSession) -> DataFrame:
    return points.tell(frame(spark, drawn()), periods=40).localCheckpoint()


def test_points_are_told_by_the_features_of_the_kernel(spark: SparkSession, told: DataFrame) -> None:
    rows = {(row["key"], row["day"]): row for row in told.collect()}
    assert len(rows) == 40 * 40
    values = drawn().T
    features = surprise.features(values, np.repeat(np.arange(PERIODS)[:, None] % 7, 40, axis=1))
    for key, day, age in (("c00", AS_OF, 0), ("c39", AS_OF - timedelta(days=39), 39)):
        assert rows[key, day]["age"] == age
        assert rows[key, day]["features"] == features[PERIODS - 1 - age, int(key[1:])].tolist()


def test_poisoned_series_have_no_points_and_change_no_bit_of_others(spark: SparkSession, told: DataFrame) -> None:
    bad = [[1.0], [], [None] * 90, [float("inf")] + [1.0] * 89, [1e308] * 90, [5.0] * 90, [1e308, -1e308] * 45]
    rows = [("customer", f"bad{at}", "spend", "day", FIRST, of) for at, of in enumerate(bad)]
    mixed = frame(spark, drawn()).unionByName(spark.createDataFrame(rows, TYPES)).coalesce(1)
    found = points.tell(mixed, periods=40)
    assert sorted(map(tuple, found.where("day > '2026-03-29'").collect())) == sorted(
        map(tuple, told.where("day > '2026-03-29'").collect())
    )


def test_isolation_forest_finds_who_is_unlike_the_others_and_says_what_its_kernel_says(
    spark: SparkSession, told: DataFrame
) -> None:
    scored = isolation.predict(told, isolation.fit(told).localCheckpoint()).localCheckpoint()
    newest = {row["key"]: row["p_score"] for row in taught.conformal(scored, ["score"]).collect()}
    assert set(sorted(newest, key=lambda key: newest[key])[:5]) == {f"c{at:02}" for at in range(5)}
    assert len(newest) == 40
    rows = scored.collect()
    forest = isolation_forest.fit(np.array([row["features"] for row in rows]), 2)
    other = isolation_forest.score(forest, np.array([row["features"] for row in rows]))
    assert np.corrcoef(other, [row["score"] for row in rows])[0, 1] > 0.95  # but for the sample that each tree drew


def test_few_points_make_no_forest_and_have_no_score(spark: SparkSession, told: DataFrame) -> None:
    few = told.where("age = 0")
    assert [row["score"] for row in isolation.predict(few, isolation.fit(few)).collect()] == [None] * 40


@pytest.mark.parametrize("detector", ["tree", "forest", "svm"])
def test_detectors_learn_from_verdicts_to_find_what_is_like_those(
    spark: SparkSession, told: DataFrame, detector: taught.Detector
) -> None:
    found = taught.fit(taught.label(told, verdicts(spark, SAID)), detector)
    assert (found.verdicts, found.anomalies, found.reason) == (65, 20, None)
    newest = {row["key"]: row["score"] for row in taught.predict(told.where("age = 0"), found).collect()}
    odd = {f"c{at:02}" for at in range(5)}
    assert min(newest[key] for key in odd) > max(score for key, score in newest.items() if key not in odd)
    assert all(0 <= score <= 1 for score in newest.values())


def test_what_cannot_be_learned_has_a_reason(spark: SparkSession, told: DataFrame) -> None:
    odd = {key: True for key, is_odd in SAID.items() if is_odd}
    few = dict(list(SAID.items())[17:])
    elsewhere = {("nobody", 60): True}
    for said, reason in (
        (odd, "all 20 verdicts are of one kind: there is nothing to tell apart"),
        (few, "fewer than 10 verdicts of one kind"),
        (elsewhere, "there are no verdicts"),
    ):
        found = taught.fit(taught.label(told, verdicts(spark, said)))
        assert (found.model, found.reason) == (None, reason)


def test_the_last_verdict_of_a_period_counts(spark: SparkSession, told: DataFrame) -> None:
    first = verdicts(spark, {("c05", 65): True, ("c06", 66): False})
    later = verdicts(spark, {("c05", 65): False}).withColumn("told_at", F.to_timestamp(F.lit("2026-03-31 12:00:00")))
    labelled = taught.label(told, first.unionByName(later))
    assert sorted((row["key"], row["is_anomaly"]) for row in labelled.collect()) == [("c05", False), ("c06", False)]
    assert set(first.columns) <= set(VERDICTS.names)


def test_a_conformal_p_is_the_share_of_older_points_as_odd_as_the_newest(spark: SparkSession) -> None:
    scores = {0: [0.9, 0.5, 0.1], 1: [0.2, 0.5, 0.9], 2: [0.5, 0.6, 0.2]}
    rows = [("customer", f"c{at}", "spend", age, score) for age, of in scores.items() for at, score in enumerate(of)]
    rows += [("customer", "none", "spend", 0, None), ("segment", "s", "spend", 0, 0.9)]
    types = "grouping string, key string, measure string, age int, score double"
    scored = spark.createDataFrame(rows, types).selectExpr("*", "date_sub('2026-03-31', age) day", "-score other")
    found = {
        row["key"]: (row["p_score"], row["p_other"]) for row in taught.conformal(scored, ["score", "other"]).collect()
    }
    assert set(found) == {"c0", "c1", "c2", "s"}
    assert [found[key][0] for key in ("c0", "c1", "c2", "s")] == pytest.approx([2 / 7, 5 / 7, 1.0, 1.0])
    assert [found[key][1] for key in ("c0", "c1", "c2", "s")] == pytest.approx([1.0, 5 / 7, 1 / 7, 1.0])


def test_what_is_learned_from_verdicts_speaks_and_without_them_isolation_forest_does(spark: SparkSession) -> None:
    odd = {f"c{at:02}" for at in range(5)}
    series, none = frame(spark, drawn()), verdicts(spark, SAID).limit(0)
    without, of_none = detectors.judge(series, none, AS_OF, periods=39)
    _, of_some = detectors.judge(series, verdicts(spark, SAID), AS_OF, periods=39)
    rows = of_some.unionByName(of_none).collect()
    assert [tuple(row) for row in rows] == [
        (AS_OF, "forest", 65, 20, None),
        (AS_OF, "isolation_forest", 0, 0, "there are no verdicts"),
    ]
    for found in (detected(spark), without):
        told = {row["key"]: (row["p_surprise"], row["p_learned"]) for row in found.collect()}
        assert set(told) == {f"c{at:02}" for at in range(40)}
        for at in (0, 1):
            assert max(told[key][at] for key in odd) <= 21 / 1561  # but for the twenty that analysts saw
            assert min(p[at] for key, p in told.items() if key not in odd) > 21 / 1561


def test_of_very_many_series_some_are_held_against_and_all_with_a_verdict_and_each_is_judged(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detectors, "HELD", 0)
    said = {one: odd for one, odd in SAID.items() if one[0] < "c35"}
    found, learned = detectors.judge(frame(spark, drawn()), verdicts(spark, said), AS_OF, periods=39)
    assert [(row["detector"], row["verdicts"]) for row in learned.collect()] == [("forest", 50)]
    told = {row["key"]: row["p_surprise"] for row in found.collect()}
    assert set(told) == {f"c{at:02}" for at in range(40)}
    # Thirty series with a verdict have 39 older periods each: so many are what p is told by.
    assert all(p * (30 * 39 + 1) == pytest.approx(round(p * (30 * 39 + 1)), abs=1e-9) for p in told.values())
    assert len(set(told.values())) > 10
