"""CART on Spark: its splits are the best of all, by plain loops; its table decides as its SQL and as scikit-learn."""

from itertools import combinations
from random import Random
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.tree import DecisionTreeClassifier

from crm_spark.models import cart, trees
from crm_spark.models.trees import Attribute

LEVELS = ("club", "box", "it's", "pass", "none")
ATTRIBUTES = [Attribute("x"), Attribute("plan", LEVELS), Attribute("y")]


def some_rows(people: int = 240) -> list[tuple[int, str, float, str, float]]:
    """Those of two plans stay, of the others those of large x."""
    chance, rows = Random(4), []
    for number in range(people):
        x, y, plan = chance.gauss(0, 1), chance.gauss(0, 1), chance.choice(LEVELS[:4])
        stays = plan in {"box", "pass"} or x > 0.4
        told = "stays" if stays ^ (chance.random() < 0.1) else "leaves"
        rows.append((number, told, x, plan, y))
    return rows


def frame(spark: SparkSession, rows: list[tuple[Any, ...]]) -> DataFrame:
    return spark.createDataFrame(rows, "row int, told string, x double, plan string, y double")


def collected(tree: DataFrame) -> list[dict[str, Any]]:
    return [row.asDict() for row in tree.orderBy("node").collect()]


def impurity(told: list[str]) -> float:
    """Gini's, times rows."""
    share = told.count("stays") / len(told)
    return 2 * share * (1 - share) * len(told)


def test_levels_are_parted_in_the_two_sets_of_least_impurity_and_sql_decides_alike(spark: SparkSession) -> None:
    rows = some_rows()
    made = frame(spark, rows).repartition(3)
    tree = collected(cart.fit(made, "told", ATTRIBUTES, deepest=2, least=5))
    parted = [
        (
            impurity([row[1] for row in rows if row[3] in some])
            + impurity([row[1] for row in rows if row[3] not in some]),
            some,
        )
        for size in (1, 2)
        for some in combinations(LEVELS[:4], size)
    ]
    assert set(min(parted)[1]) == {"box", "pass"}
    root, below = tree[0], [row for row in tree if row["parent"] == 0]
    assert (root["attribute"], root["levels"], root["rows"]) == ("plan", list(LEVELS), 240)
    # Who has the level that nobody had goes with one of the sets.
    assert {row["condition"] for row in below} == {"plan is club or it's", "plan is not club or it's"}
    assert any("x > " in row["rule"] for row in tree)
    for row in tree:
        is_here = eval_rule(row["rule"])
        assert row["rows"] == sum(map(is_here, rows)), row["rule"]
    # With a missing value, a level never seen and one that nobody had, SQL and kernel go the same ways.
    odd = [
        (240, "", None, "box", 0.0),
        (241, "", 0.5, None, 0.0),
        (242, "", -3.0, "strange", 0.0),
        (243, "", 1.0, "none", 0.0),
    ]
    asked = trees.predict(
        frame(spark, [*rows, *odd]), spark.createDataFrame(tree, trees.DDL), ATTRIBUTES, ["row", "x", "plan", "y"]
    )
    found = asked.withColumn("by_sql", F.expr(trees.sql(tree))).collect()
    assert [row["decision"] for row in found] == [row["by_sql"] for row in found]
    again = collected(cart.fit(made.repartition(1), "told", ATTRIBUTES, deepest=2, least=5))
    assert again == tree


def eval_rule(rule: str) -> Any:
    """A rule as a function of a row, by its words."""
    names = {"x": 2, "plan": 3, "y": 4}

    def fits(row: tuple[Any, ...]) -> bool:
        for condition in rule.split(" and ") if rule != "all" else []:
            name, kind, told = condition.split(" ", 2)
            value = row[names[name]]
            if kind == "is":
                levels = told.removeprefix("not ").split(" or ")
                holds = (value in levels) != told.startswith("not ")
            else:
                holds = value <= float(told) + 1e-5 if kind == "<=" else value > float(told) - 1e-5
            if not holds:
                return False
        return True

    return fits


def test_of_numbers_it_decides_as_scikit_learn(spark: SparkSession) -> None:
    rows = some_rows(60)
    attributes = [Attribute("x"), Attribute("y")]
    tree = cart.fit(frame(spark, rows), "told", attributes, deepest=3, bins=61, classes=["leaves", "stays"])
    asked = trees.predict(frame(spark, rows), tree, attributes, ["row"]).orderBy("row").collect()
    points, told = np.array([[row[2], row[4]] for row in rows]), [row[1] for row in rows]
    theirs = DecisionTreeClassifier(max_depth=3, min_samples_leaf=2, random_state=1).fit(points, told)
    assert [row["decision"] for row in asked] == theirs.predict(points).tolist()


def test_what_cannot_be_learned_from_is_told_at_once(spark: SparkSession) -> None:
    rows = frame(spark, [(1, "stays", None, "box", 1.0), (2, "stays", None, "club", float("inf"))])
    with pytest.raises(ValueError, match="told") as refused:
        cart.fit(rows, "told", ATTRIBUTES)
    assert str(refused.value).split("; ") == [
        "'told' is the same in all rows: there is nothing to tell apart",
        "'y' is infinite or beyond 1e+150 in 1 rows: make it missing there",
        "'x' is always missing: leave it out",
        "'plan' has a level for each row: leave it out",
    ]
    unlabelled = frame(
        spark, [(1, "stays", 1.0, "box", 1.0), (2, "leaves", 2.0, "box", 0.0), (3, None, 1.0, "box", 1.0)]
    )
    with pytest.raises(ValueError, match="^'told' is missing in 1 rows: leave them out$"):
        cart.fit(unlabelled, "told", [Attribute("x"), Attribute("y")])
    for settings, said in (({"bins": 1}, "bins must be 2 or more"), ({"least": -1.0}, "least must be above 0")):
        with pytest.raises(ValueError, match=said):
            cart.fit(unlabelled, "told", ATTRIBUTES, **settings)  # type: ignore[arg-type]
