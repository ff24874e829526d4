"""Segments from run to run: numbers and names stay, moves are counted, drift is that of plain NumPy and SciPy."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from scipy.stats import chi2
from sklearn.metrics import adjusted_rand_score

from crm_spark.segments import drift, former, kmeans, migration
from tests.segments.test_kmeans import FEATURES, Customer, features_of

THEN, NOW, LATER = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)
KINDS = {"often": (8, 14, 30.0), "dear": (60, 3, 160.0), "rare": (200, 1, 20.0)}


def people(day: date) -> list[Customer]:
    """Three kinds apart; later each comes some days less lately, some change kind, one leaves and others come."""
    random = np.random.default_rng(day.month)
    rows: list[Customer] = []
    for n in range(90 if day == THEN else 100):
        kind = list(KINDS)[n % 3]
        if day > THEN and n % 10 == 1:
            kind = "often"  # of all kinds
        if day > THEN and n == 5:
            continue
        recency, days, basket = KINDS[kind]
        worth = round(basket * float(random.uniform(0.9, 1.1)), 2)
        late = int(random.integers(0, 4)) + (6 if day > THEN else 0)
        # What is spent turns round, so that numbers by spend would turn too.
        spent = worth * (100 if (kind == "rare") == (day > THEN) else 1)
        known = None if n % 30 == 8 else worth
        rows.append((f"c{n:03}", recency + late, days + int(random.integers(0, 3)), known, round(spent, 2)))
    return rows


class Run:
    """A day: its customers, its model and its segments."""

    def __init__(self, spark: SparkSession, day: date, models: DataFrame | None, k: Sequence[int] = (3,)) -> None:
        self.day, self.customers = day, features_of(spark, people(day), day).localCheckpoint()
        model = kmeans.fit(self.customers, day, FEATURES, k, search=kmeans.Search(starts=1))
        if models is not None:
            last = former.find(models, day)
            model = former.align(self.customers, model, models, last, day, FEATURES)
        self.model = model.localCheckpoint()
        self.segments = kmeans.predict(self.customers, self.model, day, FEATURES).localCheckpoint()
        self.rows = {row["customer_id"]: row for row in self.segments.collect()}

    def names(self) -> dict[int, str]:
        return {row["segment_id"]: row["segment"] for row in self.rows.values()}


@pytest.fixture(scope="module")
def runs(spark: SparkSession) -> tuple[Run, Run]:
    then = Run(spark, THEN, None)
    return then, Run(spark, NOW, then.model)


def kind_of(row: Row) -> int:
    """By number of the customer, as nobody of these has changed kind."""
    return int(row["customer_id"][1:]) % 3


def test_numbers_and_names_stay_with_what_segments_are_like(runs: tuple[Run, Run]) -> None:
    then, now = runs
    was, is_ = (
        {kind_of(row): row["segment_id"] for row in run.rows.values() if int(row["customer_id"][1:]) % 10 != 1}
        for run in runs
    )
    assert was == is_
    assert sorted(was.values()) == [1, 2, 3]
    assert now.names() == then.names()
    assert was[2] == 3, "who brings most now, and brought least then"


def test_the_agreement_of_both_models_is_that_of_scikit_learn_on_the_same_customers(runs: tuple[Run, Run]) -> None:
    then, now = runs
    placed = kmeans.predict(now.customers, then.model, NOW, FEATURES).collect()
    labels = {row["customer_id"]: row["segment_id"] for row in placed}
    told = [row["value"] for row in now.model.collect() if row["parameter"] == "agreement"]
    pairs = [(labels[who], row["segment_id"]) for who, row in now.rows.items()]
    assert told == [pytest.approx(adjusted_rand_score(*zip(*pairs, strict=True)), abs=1e-9)]


def test_a_segment_without_a_counterpart_gets_a_number_that_none_has_had(spark: SparkSession, runs) -> None:
    then, now = runs
    gone = then.model.replace(3, 7, subset=["number"])  # a segment 7 there was
    fewer = Run(spark, NOW, gone, k=[2])
    more = Run(spark, LATER, gone.unionByName(fewer.model), k=[3])
    assert set(fewer.names()) < {1, 2, 7}
    assert set(more.names()) == {*fewer.names(), 8}
    assert former.find(gone.unionByName(fewer.model), LATER) == former.Former(NOW, NOW, sorted(FEATURES), 2, 7)
    assert former.find(then.model, THEN) is None
    assert now.names() == then.names()


def test_a_model_is_kept_while_it_is_young_and_what_is_asked_for(runs: tuple[Run, Run]) -> None:
    then, now = runs
    last = former.find(then.model.unionByName(now.model), LATER)
    assert last is not None
    assert last.is_kept(LATER, FEATURES, [3, 4], 29)
    assert not last.is_kept(LATER, FEATURES, [3, 4], 28), "it is 28 days old"
    assert not last.is_kept(LATER, FEATURES, [4], 90)
    assert not last.is_kept(LATER, FEATURES[:2], [3], 90)
    kept = former.keep(then.model.unionByName(now.model), last, LATER).localCheckpoint()
    placed = kmeans.predict(now.customers.withColumn("as_of", F.lit(LATER)), kept, LATER, FEATURES).collect()
    assert {row["learned_on"] for row in placed} == {NOW}
    assert {row["customer_id"]: row["segment_id"] for row in placed} == {
        who: row["segment_id"] for who, row in now.rows.items()
    }
    again = former.find(then.model.unionByName(now.model).unionByName(kept), LATER + timedelta(days=1))
    assert again == former.Former(LATER, NOW, sorted(FEATURES), 3, 3)


def test_moves_are_counted_with_who_came_and_who_is_gone(runs: tuple[Run, Run]) -> None:
    then, now = runs
    found = migration.migrate(now.customers, now.segments, then.segments, NOW, THEN).collect()
    ways = Counter(
        tuple(run.rows[who]["segment_id"] if who in run.rows else 0 for run in runs) for who in then.rows | now.rows
    )
    assert {(row["from_id"], row["to_id"]): row["customers"] for row in found} == ways
    spent = {row["customer_id"]: row["spend"] for row in now.customers.collect()}
    for row in found:
        who = [name for name in spent if now.rows[name]["segment_id"] == row["to_id"]]
        mine = [
            spent[name] for name in who if (then.rows[name]["segment_id"] if name in then.rows else 0) == row["from_id"]
        ]
        assert row["spend"] == (sum(mine) if row["to_id"] else None)
        assert (row["from_segment"], row["to_segment"]) == (
            then.names().get(row["from_id"], "(new)"),
            now.names().get(row["to_id"], "(gone)"),
        )
    first = migration.migrate(then.customers, then.segments, then.segments.limit(0), THEN, None).collect()
    assert {(row["from_id"], row["since"], row["reason"]) for row in first} == {(0, None, migration.NO_DAY)}


def index(before: np.ndarray, now: np.ndarray) -> tuple[float, float]:
    """The population stability index of parts plainly, and what chance brings."""
    counts = Counter(before.tolist()), Counter(now.tolist())
    names = {*counts[0], *counts[1]}
    shares = [[(of[name] + 0.5) / (of.total() + 0.5 * len(names)) for name in sorted(names)] for of in counts]
    p, q = np.array(shares)
    chance = chi2.ppf(0.95, len(names) - 1) if len(names) > 1 else 0.0
    return float(((q - p) * np.log(q / p)).sum()), chance * (1 / len(before) + 1 / len(now))


def test_drift_is_that_of_plain_numpy_by_segment_and_of_all(runs: tuple[Run, Run]) -> None:
    then, now = runs
    both = then.customers.unionByName(now.customers)
    rows = drift.measure(both, now.segments, then.segments, now.model, NOW, THEN, FEATURES).collect()
    found = {(row["segment_id"], row["feature"]): row for row in rows}
    assert set(found) == {(number, name) for number in range(4) for name in FEATURES} | {(0, "segment")}
    learned = {(row["parameter"], row["feature"]): row["value"] for row in now.model.collect()}
    cuts = np.arange(-2, 2.5, 0.5)  # of ten parts
    for (number, feature), row in found.items():
        mine = [[one for one in people(run.day) if number in {0, run.rows[one[0]]["segment_id"]}] for run in runs]
        assert (row["customers_before"], row["customers"]) == tuple(len(side) for side in mine)
        assert row["reason"] is None
        if feature == "segment":
            sides = zip(runs, mine, strict=True)
            parts = [np.array([run.rows[one[0]]["segment_id"] for one in rows_]) for run, rows_ in sides]
        else:
            place = FEATURES.index(feature) + 1
            values = [np.array([one[place] for one in rows_], dtype=float) for rows_ in mine]
            low, high, mean, deviation = (learned[name, feature] for name in ("low", "high", "mean", "deviation"))
            points = [(np.log1p(np.clip(side, low, high)) - mean) / deviation for side in values]
            parts = [np.where(np.isnan(side), 99, np.digitize(side, cuts)) for side in points]
            means = [np.nanmean(side) for side in values]
            assert (row["mean_before"], row["mean"]) == pytest.approx(means, abs=1e-8)
            assert row["shift"] == pytest.approx(np.nanmean(points[1]) - np.nanmean(points[0]), abs=1e-6)
        assert (row["stability_index"], row["by_chance"]) == pytest.approx(index(*parts), abs=1e-8)
    assert found[0, "recency_days"]["shift"] != 0


def test_what_cannot_be_held_against_each_other_has_a_reason(spark: SparkSession, runs: tuple[Run, Run]) -> None:
    then, now = runs
    first = drift.measure(then.customers, then.segments, then.segments, then.model, THEN, None, FEATURES).collect()
    assert {(row["reason"], row["shift"], row["stability_index"]) for row in first} == {(drift.NO_DAY, None, None)}
    # The features of the former day are gone; a segment is new.
    renumbered = now.model.replace(2, 9, subset=["number"]), now.segments.replace(2, 9, subset=["segment_id"])
    rows = drift.measure(now.customers, renumbered[1], then.segments, renumbered[0], NOW, THEN, FEATURES).collect()
    reasons = {row["segment_id"]: row["reason"] for row in rows if row["feature"] != "segment"}
    assert reasons == {0: drift.UNKNOWN, 1: drift.UNKNOWN, 3: drift.UNKNOWN, 9: drift.NOBODY_THEN}
    for row in [*first, *rows]:
        assert not any(isinstance(value, float) and not math.isfinite(value) for value in row)
