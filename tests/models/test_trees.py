"""Decision trees on Spark: those of the kernel wherever the rows lie, as a table, as rules, as SQL."""

from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.kernels import trees as kernel
from crm_spark.models import c45, trees
from crm_spark.models.trees import Attribute
from tests.classics import Classics, classics, reference


def frame(spark: SparkSession, of: Classics) -> tuple[DataFrame, list[Attribute]]:
    """The set as a DataFrame, with a column `row`, and its attributes."""
    attributes = [Attribute(name, tuple(levels) or None) for name, levels in zip(of.names, of.values, strict=True)]

    def cell(value: float, one: Attribute) -> Any:
        if np.isnan(value):
            return None
        return float(value) if one.is_number else one.levels[int(value)]

    rows = [
        (number, of.classes[of_class], *[cell(value, one) for value, one in zip(values, attributes, strict=True)])
        for number, (values, of_class) in enumerate(zip(of.rows, of.of_class, strict=True))
    ]
    types = [
        "row int",
        "told string",
        *[f"`{one.name}` {'double' if one.is_number else 'string'}" for one in attributes],
    ]
    return spark.createDataFrame(rows, ", ".join(types)), attributes


def collected(tree: DataFrame) -> list[dict[str, Any]]:
    return [row.asDict() for row in tree.orderBy("node").collect()]


@pytest.mark.parametrize("name", ["labor", "weather.numeric"])
def test_it_decides_as_the_kernel_and_as_its_sql(spark: SparkSession, name: str) -> None:
    of = classics(name)
    rows, attributes = frame(spark, of)
    told = collected(c45.fit(rows, "told", attributes, classes=of.classes))
    expected = next(row for row in reference() if row["dataset"] == name and row["setting"].startswith("pruned"))
    leaves = [row for row in told if row["attribute"] is None]
    assert (told[0]["attribute"], len(leaves), len(told)) == (
        expected["root_attribute"],
        int(expected["leaves"]),
        int(expected["tree_size"]),
    )
    tree = spark.createDataFrame(told, trees.DDL)
    by_sql = F.expr(trees.sql(told))
    asked = trees.predict(rows, tree, attributes, ["row", *of.names]).withColumn("by_sql", by_sql)
    found = asked.select("row", "decision", "probabilities", "by_sql").orderBy("row").collect()
    probabilities = kernel.probabilities(trees.rebuilt(told, attributes), of.rows)
    assert [row["probabilities"] for row in found] == [pytest.approx(list(each), abs=1e-9) for each in probabilities]
    assert [row["decision"] for row in found] == [of.classes[at] for at in kernel.decide(probabilities)]
    assert [row["by_sql"] for row in found] == [row["decision"] for row in found]
    right = sum(row["decision"] == of.classes[at] for row, at in zip(found, of.of_class, strict=True))
    assert right == int(expected["train_correct"])


def test_the_tree_is_the_same_wherever_rows_lie(spark: SparkSession) -> None:
    random = np.random.default_rng(5)
    n = 120
    levels, numbers = random.integers(0, 3, n), random.integers(0, 12, (n, 2)) / 4
    told = np.where((levels == 1) ^ (numbers[:, 0] > 1.6) ^ (random.random(n) < 0.1), "yes", "no")
    gone = random.random((n, 3)) < 0.1
    rows = [
        (number, str(told[number]), None if gone[number, 0] else "abc"[levels[number]],
         *[None if gone[number, 1 + at] else float(numbers[number, at]) for at in (0, 1)])
        for number in range(n)
    ]  # fmt: skip
    made = spark.createDataFrame(rows, "row int, told string, level string, x double, y double")
    attributes = [Attribute("level", ("a", "b", "c")), Attribute("x"), Attribute("y")]
    one = collected(c45.fit(made, "told", attributes))
    assert len(one) > 5
    for partitions in (1, 3):
        placed = made.repartition(partitions, "row").localCheckpoint()
        spread = collected(c45.fit(placed, "told", attributes, in_one=0))
        counted = {"rows": 0, "share": 0, "counts": 0}
        assert [row | counted for row in spread] == [row | counted for row in one]
        assert [row["counts"] for row in spread] == [pytest.approx(row["counts"], abs=1e-9) for row in one]


def test_a_leaf_is_a_rule_in_words_and_names_are_quoted_in_sql(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [("it's", 1.0, "no"), ("it's", 2.0, "no"), ("b", 1.0, "yes"), ("b", 3.0, "yes"), ("b", 4.0, "yes")],
        "`a``b` string, n double, told string",
    )
    attributes = [Attribute("a`b", ("it's", "b", "c\\d"))]
    quoted = rows.withColumnRenamed("a`b", "ab")
    tree = collected(c45.fit(quoted, "told", [Attribute("ab", attributes[0].levels)]))
    assert trees.rules(tree) == ["ab is b: yes (3, 100 %)", "ab is it's: no (2, 100 %)"]
    asked = spark.createDataFrame([("it's",), ("b",), ("c\\d",), (None,), ("strange",)], "ab string")
    assert [row[0] for row in asked.select(F.expr(trees.sql(tree))).collect()] == ["no", "yes", "yes", "yes", "yes"]


def test_id3_splits_by_levels_alone(spark: SparkSession) -> None:
    of = classics("weather.nominal")
    rows, attributes = frame(spark, of)
    tree = collected(c45.fit(rows, "told", attributes, by_ratio=False, least=1.0))
    assert [row["condition"] for row in tree if row["attribute"] is None] == [
        "humidity is high",
        "humidity is normal",
        "outlook is overcast",
        "windy is TRUE",
        "windy is FALSE",
    ]
    numbers, found = frame(spark, classics("weather.numeric"))
    with pytest.raises(ValueError, match="ID3 splits by levels alone: 'temperature' is a number"):
        c45.fit(numbers, "told", found, by_ratio=False)


def test_what_cannot_be_learned_from_is_told_at_once(spark: SparkSession) -> None:
    inf = float("inf")
    rows = spark.createDataFrame(
        [("x", 1.0, inf, "a", None), ("x", 1.0, 2.0, "b", None), (None, 1.0, 3.0, "c", None)],
        "told string, same double, odd double, id string, none double",
    )
    attributes = [Attribute("same"), Attribute("odd"), Attribute("id", ("a", "b", "c")), Attribute("none")]
    with pytest.raises(ValueError, match="told") as refused:
        c45.fit(rows, "told", attributes)
    assert str(refused.value).split("; ") == [
        "'told' is missing in 1 rows: leave them out",
        "'told' is the same in all other rows: there is nothing to tell apart",
        "'odd' is infinite or beyond 1e+150 in 1 rows: make it missing there",
        "'same' is the same in all rows: leave it out",
        "'id' has a level for each row: leave it out",
        "'none' is always missing: leave it out",
    ]
    with pytest.raises(ValueError, match="there are no attributes: name some to split by"):
        c45.fit(rows, "told", [])
    with pytest.raises(ValueError, match="no column 'odds'; did you mean 'odd'.; 'id' is no number but string"):
        c45.fit(rows, "told", [Attribute("odds"), Attribute("id")])
    with pytest.raises(ValueError, match="no column 'tolt'; did you mean 'told'"):
        c45.fit(rows, "tolt", attributes)
    with pytest.raises(ValueError, match="^there are no rows to learn from$"):
        c45.fit(rows.limit(0), "told", attributes)


def test_a_tree_is_asked_with_the_columns_that_it_was_learned_from(spark: SparkSession) -> None:
    rows, attributes = frame(spark, classics("weather.nominal"))
    tree = c45.fit(rows, "told", attributes, least=1.0)
    with pytest.raises(ValueError, match="the tree splits by 'outlook': give all attributes that it was learned from"):
        trees.predict(rows, tree, [one for one in attributes if one.name != "outlook"], ["told"])
    with pytest.raises(
        ValueError, match="^there is no column 'outlook'; there is no column 'tolt'; did you mean 'told'"
    ):
        trees.predict(rows.drop("outlook"), tree, attributes, ["tolt"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"least": 0.0}, "least must be above 0, deepest 1 or more, got 0.0 and None"),
        ({"deepest": 0}, "least must be above 0, deepest 1 or more, got 2.0 and 0"),
        ({"confidence": 0.6}, "confidence must be above 0 and 0.5 at most, got 0.6"),
        ({"confidence": 0.0}, "confidence must be above 0 and 0.5 at most, got 0.0"),
    ],
)
def test_settings_that_grow_no_tree_are_refused(spark: SparkSession, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        c45.fit(spark.createDataFrame([], "told string, x double"), "told", [Attribute("x")], **settings)


def test_a_number_for_each_row_is_an_identifier_and_what_is_measured_is_none(spark: SparkSession) -> None:
    # Numbered as customers are, with gaps; in the order of age, with some alike; money that no two share.
    rows = spark.range(200).selectExpr(
        "if(id % 3 = 0, 'x', 'y') told",
        "12000 + id * 2 number",
        "double(id) number_of_another",
        "int(id / 2) tenure",
        "id + 0.5D spend",
        "id * id days",
    )
    seen = c45.examine(rows, "told", [Attribute(name) for name in rows.columns if name != "told"])
    why = "has a whole number for each row, as identifiers have"
    assert seen.useless == {"number": why, "number_of_another": why}
    few = c45.examine(rows.limit(20), "told", [Attribute("number_of_another")])
    assert few.useless == {}, "of few rows it may be chance"
