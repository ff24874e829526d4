"""Forecasts that add up, against the dense least-squares solution, hierarchicalforecast and plain loops."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date

import numpy as np
import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from crm_spark.forecasting import reconciliation
from crm_spark.forecasting.forecasts import FORECASTS
from crm_spark.forecasting.series import SERIES

AS_OF, FIRST = date(2026, 3, 2), date(2026, 3, 2)
SEGMENT_OF = {"ann": "Best", "bob": "Best", "cid": "Best", "dan": "Lost", "eve": "Lost", "fay": None}
# Which leaves each node is the sum of: hierarchicalforecast calls it S.
NODES = {
    ("all", "all"): np.ones(7),
    ("segment", "Best"): np.array([1.0, 1, 1, 0, 0, 0, 0]),
    ("segment", "Lost"): np.array([0.0, 0, 0, 1, 1, 0, 0]),
    **{("customer", name): np.eye(7)[at] for at, name in enumerate(SEGMENT_OF)},
    ("others", "others"): np.eye(7)[6],
}
Told = dict[tuple[str, str], tuple[float, float | None]]  # of a node, what is expected and its standard deviation
Agreed = dict[tuple[str, int], dict[tuple[str, str], Row]]  # of a measure and period, for each node
RANDOM = np.random.default_rng(3)
DRAWN: Told = {
    node: (float(RANDOM.uniform(5, 9) * of.sum()), float(RANDOM.uniform(0.5, 2))) for node, of in NODES.items()
}
HALVED = {node: (mean / 2, 2 * off) for node, (mean, off) in DRAWN.items()}
UNTOLD = {node: one for node, one in DRAWN.items() if node not in {("all", "all"), ("segment", "Lost")}}
PULLED = DRAWN | {("customer", "ann"): (0.1, 9.0), ("segment", "Best"): (1.0, 0.1)}
DOUBTFUL: Told = {("all", "all"): (30.0, 2.0), ("customer", "ann"): (10.0, 0.0), ("customer", "bob"): (12.0, None)}
CERTAIN: Told = DOUBTFUL | {("customer", "bob"): (12.0, 0.0)}
CASES = {("spend", 1): DRAWN, ("spend", 2): HALVED, ("visits", 1): UNTOLD}
COUNTED: Told = {node: (float(2 * at + of.sum()), 1.0) for at, (node, of) in enumerate(NODES.items())}
ODD = {
    ("visits", 2): COUNTED,
    ("purchases", 1): PULLED,
    ("purchases", 2): DOUBTFUL,
    ("purchases", 3): CERTAIN,
    ("ratings", 1): DRAWN,
}


def frame(spark: SparkSession, cases: Mapping[tuple[str, int], Told]) -> DataFrame:
    rows = []
    for case, told in cases.items():
        for node, (mean, off) in told.items():
            limits = [None if off is None else mean + off * width for width in reconciliation.WIDTHS]
            rows.append((AS_OF, *node, *case, FIRST, "mean", mean, *limits, None, None))
    return spark.createDataFrame(rows, FORECASTS.nullable_ddl)


def reconciled(spark: SparkSession, method: reconciliation.Method = "wls_var") -> DataFrame:
    """What Spark Connect is asked too."""
    segments = spark.createDataFrame(list(SEGMENT_OF.items()), "customer_id string, segment string")
    return reconciliation.reconcile(frame(spark, CASES | ODD), segments, method)


def agreed(spark: SparkSession, method: reconciliation.Method) -> Agreed:
    """Of each case, what is agreed on for each node: all in one job."""
    found: Agreed = defaultdict(dict)
    for row in reconciled(spark, method).collect():
        found[row["measure"], row["ahead"]][row["grouping"], row["key"]] = row
    return found


@pytest.fixture(scope="module")
def by_variance(spark: SparkSession) -> Agreed:
    return agreed(spark, "wls_var")


@pytest.fixture(scope="module")
def by_size(spark: SparkSession) -> Agreed:
    return agreed(spark, "wls_struct")


def assert_solved(found: Agreed, method: str) -> None:
    """Generalised least squares with dense matrices, as the papers write it."""
    for case, told in CASES.items():
        assert found[case].keys() == told.keys()
        nodes = [node for node in told if method != "bottom_up" or node[0] in {"customer", "others"}]
        S = np.stack([NODES[node] for node in nodes])
        y = np.array([told[node][0] for node in nodes])
        w = np.array([(told[node][1] or 0) ** 2 for node in nodes]) if method == "wls_var" else S.sum(axis=1)
        leaves = np.linalg.solve(S.T @ (S / w[:, None]), S.T @ (y / w))
        for node, row in found[case].items():
            assert row["reconciled"] == pytest.approx(float(NODES[node] @ leaves), rel=1e-9), (case, node)
            assert (row["reconciled_by"], row["expected"]) == (method, told[node][0])


def test_what_is_agreed_on_by_variance_is_the_least_squares_solution(by_variance: Agreed) -> None:
    assert_solved(by_variance, "wls_var")


def test_what_is_agreed_on_by_size_is_the_least_squares_solution(by_size: Agreed) -> None:
    assert_solved(by_size, "wls_struct")


def test_from_the_bottom_up_customers_and_the_others_are_added_up(spark: SparkSession) -> None:
    assert_solved(agreed(spark, "bottom_up"), "bottom_up")


def test_from_the_top_down_what_is_told_of_all_stays_and_is_handed_down_by_proportion(spark: SparkSession) -> None:
    found = agreed(spark, "top_down")
    for case in (("spend", 1), ("spend", 2)):
        told = {node: mean for node, (mean, _) in CASES[case].items()}
        below = {node: told[node] for node in told if node[0] in {"segment", "others"}}
        below["customer", "fay"] = told["customer", "fay"]  # she has no segment
        known = {("all", "all"): told["all", "all"]}
        known |= {node: mean / sum(below.values()) * told["all", "all"] for node, mean in below.items()}
        for segment in ("Best", "Lost"):
            members = [("customer", name) for name, its in SEGMENT_OF.items() if its == segment]
            whole = sum(told[node] for node in members)
            known |= {node: told[node] / whole * known["segment", segment] for node in members}
        assert {node: row["reconciled"] for node, row in found[case].items()} == pytest.approx(known)
    # Where nothing is told of all, and of one segment, the parts stand as they are.
    untold = {node: row["reconciled"] for node, row in found["visits", 1].items()}
    assert untold["customer", "dan"] == pytest.approx(UNTOLD["customer", "dan"][0])
    assert untold["segment", "Best"] == pytest.approx(UNTOLD["segment", "Best"][0])


@pytest.mark.parametrize(
    ("parts", "all_", "known"),
    [
        # Of a segment whose customers are all told nothing, each gets as much.
        ({"s1": 6.0, "s2": 4.0, "a": 6.0, "b": 0.0, "c": 0.0, "others": 0.0}, 10.0,
         {"s1": 6.0, "s2": 4.0, "a": 6.0, "b": 2.0, "c": 2.0, "others": 0.0}),
        # So it is where nothing is told of any part.
        ({"s1": 0.0, "s2": 0.0, "a": 0.0, "b": 0.0, "c": 0.0, "others": 0.0}, 8.0,
         {"s1": 2.0, "s2": 4.0, "a": 2.0, "b": 2.0, "c": 2.0, "others": 2.0}),
        ({"s1": 1.0, "s2": 1.0, "a": 1e10, "b": 1e-4, "c": 0.0, "others": 2.0}, 5.0,
         {"s1": 1.25, "s2": 1.25, "a": 1.25, "b": 1.25, "c": 0.0, "others": 2.5}),
    ],
)  # fmt: skip
def test_from_the_top_down_nothing_is_lost_where_parts_are_told_nothing(
    spark: SparkSession, parts: dict[str, float], all_: float, known: dict[str, float]
) -> None:
    groupings = {"s1": "segment", "s2": "segment", "others": "others"}
    told = {(groupings.get(name, "customer"), name): (mean, 1.0) for name, mean in parts.items()}
    segments = spark.createDataFrame([("a", "s1"), ("b", "s2"), ("c", "s2")], "customer_id string, segment string")
    rows = frame(spark, {("spend", 1): {**told, ("all", "all"): (all_, 1.0)}})
    found = {row["key"]: row["reconciled"] for row in reconciliation.reconcile(rows, segments, "top_down").collect()}
    assert found == pytest.approx({**known, "all": all_})


def test_what_is_agreed_on_is_that_of_hierarchicalforecast(by_size: Agreed) -> None:
    """Version 1.5.3, `MinTrace("wls_struct")` of this tree."""
    known = [
        44.7391304348,
        7.9130434783,
        11.6086956522,
        0.6376811594,
        2.6376811594,
        4.6376811594,
        4.8043478261,
        6.8043478261,
        11.6086956522,
        13.6086956522,
    ]
    assert [by_size["visits", 2][node]["reconciled"] for node in NODES] == pytest.approx(known)


def test_nobody_is_expected_to_bring_less_than_nothing_and_still_it_adds_up(by_variance: Agreed) -> None:
    found = {node: row["reconciled"] for node, row in by_variance["purchases", 1].items()}
    assert found["customer", "ann"] == 0, "she would be pulled below it"
    leaves = np.array([found[node] for node in NODES if node[0] in {"customer", "others"}])
    assert [found[node] for node in NODES] == pytest.approx([float(of @ leaves) for of in NODES.values()])


def test_what_is_certain_does_not_move_and_a_doubt_that_is_not_told_is_as_large_as_what_is_expected(
    by_variance: Agreed,
) -> None:
    doubtful, certain = (
        {key: row["reconciled"] for (_, key), row in by_variance["purchases", ahead].items()} for ahead in (2, 3)
    )
    assert doubtful == {
        "ann": 10,
        "bob": pytest.approx(12 + 144 / (144 + 4) * 8),
        "all": pytest.approx(doubtful["bob"] + 10),
    }
    assert certain == {"ann": 10, "bob": 12, "all": 22}
    assert {row["reconciled"] for row in by_variance["ratings", 1].values()} == {None}, "means are not added up"


def test_the_others_bring_what_those_brought_who_had_no_series_at_earlier_origins(spark: SparkSession) -> None:
    everyone = [90.0, 50.0, 60.0, 70.0, 80.0, 100.0]
    customers = {"ann": [90.0, 40.0, 50.0, 50.0, 60.0, 60.0], "bob": [5.0, 6.0, 10.0], "cid": [7.0]}
    known = [("all", "all", everyone), *[("customer", name, values) for name, values in customers.items()]]
    rows = [(AS_OF, *one[:2], "spend", "week", FIRST, one[2], None, None, None, None) for one in known]
    # Each origin knows who had a series then: at the first ann alone, at the second ann and bob.
    brought = np.array([[60 - 50, 70 - 50], [80 - 60 - 6, 100 - 60 - 10]], dtype=float)
    forecasts = frame(spark, {("spend", ahead): {("all", "all"): (99.0, 1.0)} for ahead in (1, 2)})
    found = (
        reconciliation.others(spark.createDataFrame(rows, SERIES.nullable_ddl), forecasts, horizon=2, origins=1)
        .orderBy("ahead")
        .collect()
    )
    assert [one["expected"] for one in found] == pytest.approx(brought.mean(axis=0))
    off = np.sqrt(brought.var(axis=0, ddof=1).mean())
    assert [one["high_95"] - one["expected"] for one in found] == pytest.approx([1.959964 * off] * 2, rel=1e-6)
    assert {(one["grouping"], one["key"], one["method"]) for one in found} == {("others",) * 3}
