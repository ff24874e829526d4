"""Findings: q as SciPy has it, episodes told once, the budget, and what is said in words."""

from datetime import date, timedelta

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from scipy import stats

from crm_spark.anomalies import finding_sections, findings, standings
from crm_spark.anomalies.findings import FINDINGS
from crm_spark.anomalies.standings import STANDINGS
from tests.anomalies import test_standings
from tests.anomalies.test_standings import AS_OF, FIRST, LAST

Told = dict[str, object]


def stood(spark: SparkSession, *rows: Told) -> DataFrame:
    """Standings of a week, each spending 30 where 10 are usual, but as said."""
    usual = {"as_of": AS_OF, "grouping": "customer", "measure": "spend", "day": LAST, "period": "week",
             "observed": 30.0, "expected": 10.0, "spread": 2.0, "z": 10.0, "p": 1e-6}  # fmt: skip
    told = [tuple((usual | row).get(name) for name in STANDINGS.names) for row in rows]
    return spark.createDataFrame(told, STANDINGS.nullable_ddl)


def formerly(spark: SparkSession, *rows: Told) -> DataFrame:
    usual = {"grouping": "customer", "measure": "spend"}
    told = [tuple((usual | row).get(name) for name in FINDINGS.names) for row in rows]
    return spark.createDataFrame(told, FINDINGS.nullable_ddl)


def by_key(rows: DataFrame) -> dict[str, object]:
    return {row["key"]: row for row in rows.collect()}


def answers(spark: SparkSession) -> dict[str, DataFrame]:
    """What Spark Connect is asked too."""
    cases = test_standings.many(60) | {f"spike {at}": [5.0] * 30 + [4.0] * 29 + [90.0 + at] for at in range(6)}
    series = test_standings.frame(spark, cases)
    measured = standings.measure(series, test_standings.ASKED).localCheckpoint()
    judged = standings.judge(measured, AS_OF).localCheckpoint()
    found = findings.draw(findings.find(judged, formerly(spark), AS_OF, max_q=0.5), series)
    # Pandas does not sort by lists.
    lists = ("methods", "values", "usual", "low", "high")
    return {"behaviour_standings": judged, "behaviour_findings": found.drop(*lists)}


def test_q_is_that_of_scipy_in_each_grouping(spark: SparkSession) -> None:
    random = np.random.default_rng(2)
    p = {of: np.concatenate([random.random(60), random.random(12) * 1e-3, [1e-3, 1e-3]]) for of in ("customer", "all")}
    p["all"] = p["all"][40:]
    rows = [
        {"grouping": of, "key": f"{of}{at}", "p": float(value)}
        for of, each in p.items()
        for at, value in enumerate(each)
    ]
    found = by_key(findings.with_q_values(stood(spark, *rows, {"key": "refused", "p": None}), 0.2))
    known = {
        f"{of}{at}": q for of, each in p.items() for at, q in enumerate(stats.false_discovery_control(each)) if q <= 0.2
    }
    assert {key: row["q"] for key, row in found.items()} == pytest.approx(known)  # type: ignore[index]
    assert len(known) > 20


def test_an_episode_is_told_once_and_what_the_budget_left_out_may_be_told_later(spark: SparkSession) -> None:
    week = timedelta(weeks=1)
    day, before = AS_OF - week, LAST - week
    former = formerly(
        spark,
        {"key": "goes on", "as_of": day, "day": before, "began": FIRST, "told_on": day - week},
        {"key": "again", "as_of": AS_OF - timedelta(1), "day": LAST, "began": LAST, "told_on": AS_OF - timedelta(1)},
        {"key": "left out", "as_of": day, "day": before, "began": before, "told_on": None},
        {"key": "long ago", "as_of": day - 3 * week, "day": LAST - 3 * week, "began": FIRST, "told_on": FIRST},
        {"key": "later", "as_of": AS_OF, "day": before, "began": FIRST, "told_on": FIRST},
    )
    names = ("goes on", "again", "left out", "long ago", "later", "new")
    found = by_key(findings.find(stood(spark, *[{"key": name} for name in names]), former, AS_OF))
    assert {name: (row["is_alert"], row["began"], row["told_on"]) for name, row in found.items()} == {  # type: ignore[index]
        "goes on": (False, FIRST, day - week),
        "again": (False, LAST, AS_OF - timedelta(1)),
        "left out": (True, before, AS_OF),
        "long ago": (True, LAST, AS_OF),
        "later": (True, LAST, AS_OF),
        "new": (True, LAST, AS_OF),
    }


def test_of_the_periods_of_an_episode_the_likeliest_is_told_and_of_all_the_likeliest_ones(spark: SparkSession) -> None:
    def row(key: str, back: int, p: float) -> Told:
        return {"key": key, "day": LAST - timedelta(weeks=back), "p": p}

    rows = [row("a", 0, 1e-4), row("a", 1, 1e-6), row("a", 5, 1e-5), row("b", 0, 1e-3), row("c", 0, 1e-7)]
    found = findings.find(stood(spark, *rows), formerly(spark), AS_OF, budget=3).collect()
    told = {(row["key"], (LAST - row["day"]).days // 7): row for row in found}
    assert {which for which, row in told.items() if row["is_alert"]} == {("c", 0), ("a", 1), ("a", 5)}
    assert {which for which, row in told.items() if row["told_on"] is None} == {("b", 0)}
    assert told["a", 0]["began"] == LAST - timedelta(weeks=1)
    none = findings.find(stood(spark, *rows), formerly(spark), AS_OF, budget=0)
    assert none.where("is_alert OR told_on IS NOT NULL").isEmpty()


def test_what_is_unusual_is_said_in_words(spark: SparkSession) -> None:
    tuesday = date(2026, 3, 3)
    cases: dict[str, Told] = {
        "spent 4.1 times the usual for a Tuesday; peers rose 5 %": {
            "observed": 41.0, "period": "day", "day": tuesday, "peers_change": 0.05},
        "bought 35 % more than is usual; peers fell 12 %": {
            "measure": "purchases", "observed": 13.5, "peers_change": -0.12},
        "came 90 % less than is usual; peers are as usual": {
            "measure": "visits", "observed": 1.0, "peers_change": 0.004},
        "spent nothing, where 1,234 is usual": {"observed": 0.0, "expected": 1234.4},
        "spent 20, where 0.0 is usual": {"observed": 20.0, "expected": 0.0},
        "rated 2.1, where 4.5 is usual": {"measure": "ratings", "observed": 2.1, "expected": 4.5},
        "the last periods together are unusual; the last one: spent 10 % more than is usual": {
            "observed": 11.0, "p_window": 1e-4},
    }  # fmt: skip
    rows = [told | {"key": str(at)} for at, told in enumerate(cases.values())]
    found = by_key(findings.find(stood(spark, *rows), formerly(spark), AS_OF))
    assert {text: found[str(at)]["reason"] for at, text in enumerate(cases)} == {text: text for text in cases}  # type: ignore[index]


def test_a_finding_has_its_past_with_limits_and_the_page_shows_the_strongest(spark: SparkSession) -> None:
    values = test_standings.CASES["spike"]
    series = test_standings.frame(spark, {"spike": values, "usual": test_standings.USUAL}, "customer")
    p = 2 * stats.norm.sf(5.0)
    rows = [{"key": "spike", "observed": 120.0, "expected": 50.0, "p": float(p), "p_z": 1e-9, "p_peers": 1e-3},
            {"key": "usual", "observed": 40.0, "expected": 50.0, "p": 1e-4}]  # fmt: skip
    found = findings.draw(findings.find(stood(spark, *rows), formerly(spark), AS_OF), series, past=40)
    found = found.localCheckpoint()
    told = by_key(found)
    spike = told["spike"]
    assert spike["strength"] == pytest.approx(5.0)  # type: ignore[index]
    assert told["usual"]["strength"] < 0  # type: ignore[index]
    assert spike["values"] == values[-26:]  # type: ignore[index]
    assert spike["methods"] == ["z", "peers"]  # type: ignore[index]
    past = np.array(values[-41:-1])
    assert spike["usual"][-1] == pytest.approx(past.mean())  # type: ignore[index]
    assert spike["high"][-1] == pytest.approx(past.mean() + stats.norm.ppf(0.975) * past.std(ddof=1))  # type: ignore[index]
    assert min(spike["low"]) >= 0  # type: ignore[index]

    products = spark.createDataFrame([("spike", "a product of the same key")], "product_id string, title string")
    section = finding_sections.told(found, stood(spark, *rows), products)
    rows_ = [row.asDict() for row in section.rows.orderBy("who").collect()]
    assert [(row["who"], row["methods"]) for row in rows_] == [
        ("Customer spike, spend", "z, peers"),
        ("Customer usual, spend", ""),
    ]
    assert section.sentence(rows_) == (
        "2 findings are told. The strongest, in the period from 23 February 2026 on: Customer spike spent 2.4 times the "
        "usual."
    )
    section = finding_sections.strongest(found, stood(spark, *rows), products)
    rows_ = [row.asDict() for row in section.rows.orderBy("day").collect()]
    assert [row["value"] for row in rows_] == values[-26:]
    assert (rows_[0]["day"], rows_[-1]["day"]) == (LAST - timedelta(weeks=25), LAST)
    assert [row["found"] for row in rows_] == [None] * 25 + [120.0]
    assert section.sentence(rows_) == "Customer spike spent 2.4 times the usual."


def test_the_page_says_how_many_chance_alone_would_bring(spark: SparkSession) -> None:
    rows = [{"key": str(at), "p_z": 0.001 if at < 5 else 0.5, "p_window": 0.3} for at in range(200)]
    section = finding_sections.by_method(stood(spark, *rows))
    told = [row.asDict() for row in section.rows.orderBy("method").collect()]
    assert told == [
        {"method": "t-test", "unusual": 0, "by_chance": 2.0, "judged": 200},
        {"method": "z", "unusual": 5, "by_chance": 2.0, "judged": 200},
    ]
    assert section.sentence(told) == (
        "200 series are judged; by z 5 of them are as unusual as one in a hundred is by chance, which would make it 2."
    )
