"""k-means on Spark: against SciPy and plain NumPy, the same rows however they lie, and hard cases."""

import math
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from scipy.cluster.vq import kmeans2

from crm_spark.segments import choice, kmeans, lloyd, preparation

AS_OF = date(2026, 1, 31)
FEATURES = ["recency_days", "purchase_days", "basket_value"]
DDL = (
    "customer_id string, as_of date, recency_days int, purchase_days bigint, basket_value decimal(18,4), "
    "spend decimal(18,4), rhythm_days double"
)
Customer = tuple[str, int | None, int | None, float | None, float]  # key, recency, purchase days, basket, spend
TAIL = 0.05


def features_of(spark: SparkSession, customers: Sequence[Customer], as_of: date = AS_OF) -> DataFrame:
    rows = [
        (who, as_of, recency, days, None if basket is None else Decimal(str(basket)), Decimal(str(spend)), None)
        for who, recency, days, basket, spend in customers
    ]
    return spark.createDataFrame(rows, DDL)


def drawn(customers: int = 240) -> list[Customer]:
    """Customers of three kinds that overlap, with a few odd ones."""
    random = np.random.default_rng(3)
    rows: list[Customer] = []
    for n in range(customers):
        recency, days, basket = [(8, 12, 30), (60, 3, 120), (150, 2, 25)][n % 3]
        bought, worth = 1 + int(random.poisson(days)), round(float(random.lognormal(np.log(basket), 0.4)), 2)
        worth = worth * 1000 if n % 97 == 0 else worth
        rows.append((f"c{n:03}", int(random.exponential(recency)), bought, worth, round(bought * worth, 2)))
    return rows


def prepared(customers: Sequence[Customer]) -> np.ndarray:
    """The steps of `preparation`, plainly."""
    values = np.array([row[1:4] for row in customers], dtype=float)
    values = np.clip(values, np.quantile(values, TAIL, axis=0), np.quantile(values, 1 - TAIL, axis=0))
    logs = np.sign(values) * np.log1p(np.abs(values))
    return (logs - logs.mean(axis=0)) / logs.std(axis=0)


def silhouette(points: np.ndarray, labels: np.ndarray) -> float:
    """By its definition, over all pairs."""
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    found = []
    for own, distances in zip(labels, squared, strict=True):
        sums = {one: distances[labels == one].sum() for one in set(labels)}
        sizes = {one: (labels == one).sum() for one in set(labels)}
        a = sums[own] / (sizes[own] - 1)
        b = min(sums[one] / sizes[one] for one in sums if one != own)
        found.append((b - a) / max(a, b))
    return float(np.mean(found))


def centres(model: Sequence[Row]) -> np.ndarray:
    found = {(row["number"], row["feature"]): row["value"] for row in model if row["parameter"] == "centre"}
    numbers = sorted({number for number, _ in found})
    return np.array([[found[number, feature] for feature in FEATURES] for number in numbers])


def measures(model: Sequence[Row]) -> dict[str, dict[int, float | None]]:
    rows = [row for row in model if row["parameter"] in kmeans.MEASURES]
    return {name: {row["number"]: row["value"] for row in rows if row["parameter"] == name} for name in kmeans.MEASURES}


def silhouettes(model: Sequence[Row]) -> dict[int, float | None]:
    return {row["number"]: row["value"] for row in model if row["parameter"] == "silhouette"}


@pytest.fixture(scope="module")
def learned(spark: SparkSession) -> tuple[DataFrame, DataFrame]:
    """Customers, and the model of the best of three numbers of segments."""
    customers = features_of(spark, drawn()).localCheckpoint()
    return customers, kmeans.fit(customers, AS_OF, FEATURES, k=[2, 3, 4], tail=TAIL)


def test_centres_labels_and_silhouette_are_those_of_scipy_and_of_the_definition(
    learned: tuple[DataFrame, DataFrame],
) -> None:
    customers, model = learned
    rows, points = model.collect(), prepared(drawn())
    found, scores = centres(rows), silhouettes(rows)
    segments = kmeans.predict(customers, model, AS_OF, FEATURES).orderBy("customer_id").collect()
    labels = np.array([row["segment_id"] - 1 for row in segments])

    assert sorted(scores) == [2, 3, 4]
    assert len(found) == max(scores, key=lambda k: scores[k])
    ours, nearest = kmeans2(points, found, minit="matrix", iter=100)
    assert ours == pytest.approx(found, abs=0.02), "SciPy finds nothing to move"
    assert list(nearest) == list(labels)
    distances = np.linalg.norm(points - found[labels], axis=1)
    assert [row["distance"] for row in segments] == pytest.approx(distances, abs=1e-6)
    searches = [kmeans2(points, len(found), minit="++", seed=seed, iter=100) for seed in range(20)]
    best = min(((points - at[of]) ** 2).sum() for at, of in searches)
    assert (distances**2).sum() <= best * 1.001
    assert scores[len(found)] == pytest.approx(silhouette(points, labels), abs=1e-6)


def test_segments_are_numbered_by_what_their_customers_spent_on_average(
    learned: tuple[DataFrame, DataFrame],
) -> None:
    customers, model = learned
    segments = kmeans.predict(customers, model, AS_OF, FEATURES)
    spent = customers.join(segments, "customer_id").groupBy("segment_id").agg(F.avg("spend").alias("spend"))
    ordered = [row["segment_id"] for row in spent.orderBy(F.desc("spend")).collect()]
    assert ordered == list(range(1, len(ordered) + 1))


def test_the_rows_are_the_same_however_they_lie_and_other_days_change_nothing(
    spark: SparkSession, learned: tuple[DataFrame, DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three partitions of the search, begun with a part of the customers.
    monkeypatch.setattr(lloyd, "A_PART", 100)
    monkeypatch.setattr(lloyd, "IN_ONE", 120)
    monkeypatch.setattr(lloyd, "SAMPLES", 2)
    later = features_of(spark, [("z", 1, 900, 1e6, 9e8)], date(2026, 2, 1))
    answers = []
    for partitions in (1, 2, 7):
        customers = learned[0].unionByName(later).repartition(partitions, "recency_days")
        model = kmeans.fit(customers, AS_OF, FEATURES, k=[3, 4], tail=TAIL)
        segments = kmeans.predict(customers.repartition(partitions), model, AS_OF, FEATURES)
        answers.append((sorted(model.collect(), key=str), sorted(segments.collect(), key=str)))
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0][1]) == 240
    found = measures(answers[0][0])
    # A sample is where the search begins; it ends near where that with everybody does.
    assert found["within"] == pytest.approx({k: measures(learned[1].collect())["within"][k] for k in (3, 4)}, rel=0.03)


@pytest.mark.slow
def test_mllib_finds_nothing_nearer_and_the_same_silhouette(learned: tuple[DataFrame, DataFrame]) -> None:
    reference = kmeans.Search(starts=2, engine="mllib")
    theirs = measures(kmeans.fit(learned[0], AS_OF, FEATURES, [2, 3, 4], TAIL, reference).collect())
    ours = measures(learned[1].collect())
    for k in (2, 3, 4):
        assert ours["within"][k] <= theirs["within"][k] * (1 + 1e-9)
        if ours["within"][k] == pytest.approx(theirs["within"][k], rel=1e-6):
            assert ours["silhouette"][k] == pytest.approx(theirs["silhouette"][k], abs=1e-4)
    assert set(theirs["stability"].values()) == {None}
    assert all(0.5 < value <= 1 for value in ours["stability"].values())


@pytest.mark.parametrize(("by", "taken"), [("silhouette", 2), ("stability", 4), ("elbow", 3)])
def test_each_measure_chooses_its_own_number(by: choice.By, taken: int) -> None:
    at = [[0.0], [1.0], [2.0], [3.0], [4.0]]
    found = [
        choice.Found(2, at[:2], 100.0, silhouette=0.9, stability=0.5),
        choice.Found(3, at[:3], 40.0, silhouette=0.9, stability=0.6),
        choice.Found(4, at[:4], 35.0, silhouette=0.5, stability=0.8),
        choice.Found(5, at[:5], 30.0, silhouette=0.4, stability=0.7),
    ]
    assert choice.choose(choice.told(found), by).k == taken


def test_customers_who_were_not_there_are_placed_without_a_new_fit(
    spark: SparkSession, learned: tuple[DataFrame, DataFrame]
) -> None:
    model = learned[1]
    far = [("often", 1, 30, 25.0, 750.0), ("dear", 60, 3, 130.0, 390.0), ("unknown", None, None, None, 0.0)]
    day = date(2026, 3, 1)
    placed = {
        row["customer_id"]: row for row in kmeans.predict(features_of(spark, far, day), model, day, FEATURES).collect()
    }
    home = {row["customer_id"]: row for row in kmeans.predict(*learned, AS_OF, FEATURES).collect()}
    points = dict(zip([row[0] for row in drawn()], prepared(drawn()), strict=True))
    assert placed["often"]["segment"] == home[min(points, key=lambda who: points[who][0] - points[who][1])]["segment"]
    assert placed["often"]["segment"] != placed["dear"]["segment"]
    middle = np.array([row["value"] for row in model.where("parameter = 'missing'").orderBy("feature").collect()])
    assert list(middle) == list(np.median([[row[3], row[2], row[1]] for row in drawn()], axis=0))
    assert all(row["as_of"] == day and row["reason"] is None and row["distance"] >= 0 for row in placed.values())


LEFT_OUT = "it tells nobody apart and may be left out of `features`"
CASES: dict[str, tuple[list[Customer], list[int], int]] = {
    # customers, k, segments to find
    "nobody": ([], [2, 3], 0),
    "one customer": ([("a", 3, 1, 9.0, 9.0)], [2, 3], 1),
    "all alike": ([(f"c{n}", 3, 1, 9.0, 9.0) for n in range(30)], [3], 1),
    "more segments than kinds of customers": (
        [(f"c{n}", 1 + 40 * (n % 2), 1 + 9 * (n % 2), 9.0, 9.0) for n in range(20)],
        [4, 5],
        2,
    ),
    "no repeat buyer, zero and negative money, nothing known of some": (
        [(f"c{n}", n, 1, [0.0, -7.5, 80.0, None][n % 4], [0.0, -7.5, 80.0][n % 3]) for n in range(40)],
        [2],
        2,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_hard_cases_have_a_result_or_a_reason_and_no_number_that_is_none(spark: SparkSession, case: str) -> None:
    rows, ks, count = CASES[case]
    customers = features_of(spark, rows)
    features = [*FEATURES, "rhythm_days"]  # nobody has one
    model = kmeans.fit(customers, AS_OF, features, ks)
    segments = kmeans.predict(customers, model, AS_OF, features).collect()
    told = model.collect()
    assert {row["segment_id"] for row in segments} == set(range(1, count + 1))
    assert len(segments) == len(rows)
    assert all(row["reason"] is None for row in segments)
    assert len(centres(told)) == count
    for row in [*segments, *told]:
        assert not any(isinstance(value, float) and not math.isfinite(value) for value in row)
    for row in told:
        assert (row["value"] is not None) or row["reason"]
    if count == 1:
        assert {row["segment"] for row in segments} == {"All customers"}
        reason = "all customers are alike; other features may tell more apart"
        assert {row["reason"] for row in told if row["parameter"] == "silhouette"} == {reason}
    if count == 2 and len(ks) == 2:
        assert silhouettes(told) == {2: 1.0, 4: None, 5: None}
        assert "customers differ in 2 ways only; other features may tell more apart" in {row["reason"] for row in told}
    constant = {row["feature"] for row in told if row["parameter"] == "deviation" and row["value"] == 0}
    why = {row["feature"]: row["reason"] for row in told if row["parameter"] == "deviation"}
    assert why["rhythm_days"] == f"no customer has a value: {LEFT_OUT}"
    assert {why[feature] for feature in constant} <= {f"all customers are alike in it: {LEFT_OUT}"}
    assert ("purchase_days" in constant) == (case not in {"nobody", "more segments than kinds of customers"})


def test_without_a_model_that_fits_there_is_a_reason(spark: SparkSession, learned: tuple[DataFrame, DataFrame]) -> None:
    customers = features_of(spark, [("a", 3, 1, 9.0, 9.0)])
    found = [
        kmeans.predict(customers, model, AS_OF, features).collect()[0]
        for model, features in [(learned[1].limit(0), FEATURES), (learned[1], [*FEATURES, "spend"])]
    ]
    assert [(row["segment_id"], row["segment"], row["distance"]) for row in found] == [(None, None, None)] * 2
    assert [row["reason"] for row in found] == [kmeans.NOBODY, "its segments have other features"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"features": ["recency_day"]}, "'recency_day' is no numeric column; did you mean 'recency_days'"),
        ({"features": ["customer_id"]}, "'customer_id' is no numeric column"),
        ({"features": []}, "they are none"),
        ({"features": ["spend", "spend"]}, "one is named twice"),
        ({"k": [1]}, r"k must be 2 or more, got \[1\]"),
        ({"tail": 0.5}, "tail must be 0 or more and below 0.5"),
        ({"search": kmeans.Search(starts=0)}, "starts 1 or more"),
        ({"search": kmeans.Search(by="stability", engine="mllib")}, "by stability only the engine lloyd can choose"),
    ],
)
def test_arguments_that_cannot_be_are_refused(spark: SparkSession, arguments: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        kmeans.fit(spark.createDataFrame([], DDL), AS_OF, **arguments)


def test_infinite_values_and_what_is_no_number_count_as_missing(spark: SparkSession) -> None:
    rows = [(f"c{n}", n, 1 + n % 3, 9.0, 9.0) for n in range(20)]
    place = F.pmod(F.col("recency_days"), F.lit(4))
    odd = F.when(place == 0, F.lit(float("inf"))).when(place == 1, F.lit(-1e308)).when(place == 2, F.lit(math.nan))
    plain = F.when(place == 3, F.col("recency_days").cast("double"))
    features, learned = ["purchase_days", "rhythm_days"], []
    for values in (plain, F.coalesce(plain, odd)):
        customers = features_of(spark, rows).withColumn("rhythm_days", values).localCheckpoint()
        found = preparation.learn(customers, features, TAIL).localCheckpoint()
        points = preparation.point(features).alias("point")
        placed = customers.crossJoin(F.broadcast(preparation.wide(found, features))).select("customer_id", points)
        told = found.withColumn("reason", preparation.reason()).collect()
        infinite = [(row["feature"], row["value"], row["reason"]) for row in told if row["parameter"] == "infinite"]
        learned.append(([row for row in told if row["parameter"] != "infinite"], placed.collect(), infinite))
    assert learned[0][:2] == learned[1][:2]
    ((feature, count, reason),) = learned[1][2]
    assert (feature, count) == ("rhythm_days", 10), "what is NaN is missing, as null is"
    assert reason.startswith("so many customers have an infinite value, or one beyond 1e150")
    assert not learned[0][2]
    assert all(math.isfinite(at) for row in learned[1][1] for at in row["point"])
