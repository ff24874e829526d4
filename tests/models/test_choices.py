"""What drives a choice: labels by plain rows, a planted reason that is found, and what is told where there is none."""

from datetime import date, timedelta
from random import Random

from pyspark.sql import DataFrame, SparkSession

from crm_spark.core.sections import Tree
from crm_spark.models import choice_sections, choices
from crm_spark.reports.page import gather

SINCE, AS_OF = date(2026, 1, 1), date(2026, 3, 31)


def test_who_bought_after_the_day_and_until_the_other_has_stayed(spark: SparkSession) -> None:
    features = spark.createDataFrame([(name,) for name in "abcde"], "customer_id string")
    after = [("a", 0, 1), ("b", 1, 1), ("b", 5, 2), ("c", 89, 1), ("d", 90, 1), ("e", 10, 0)]
    days = spark.createDataFrame(
        [(who, SINCE + timedelta(days=ago), orders) for who, ago, orders in after],
        "customer_id string, day date, orders int",
    )
    told = choices.stays(features, days, SINCE, AS_OF).collect()
    assert {row["customer_id"]: row["told"] for row in told} == {
        "a": choices.LEAVES,  # bought on the day itself
        "b": choices.STAYS,
        "c": choices.STAYS,  # on the last day
        "d": choices.LEAVES,  # the day after it
        "e": choices.LEAVES,  # brought something back
    }
    assert len(told) == 5


def test_who_is_in_no_segment_and_other_days_are_left_out(spark: SparkSession) -> None:
    features = spark.createDataFrame(
        [("a", AS_OF, 1), ("b", AS_OF, 2), ("a", SINCE, 3)], "customer_id string, as_of date, spend int"
    )
    segments = spark.createDataFrame(
        [("a", AS_OF, "best"), ("b", AS_OF, None), ("a", SINCE, "new")],
        "customer_id string, as_of date, segment string",
    )
    told = choices.belongs(features, segments, AS_OF).select("customer_id", "told", "spend").collect()
    assert [tuple(row) for row in told] == [("a", "best", 1)]


def customers(spark: SparkSession, reason: float, people: int = 300) -> DataFrame:
    """Those who are late, or of the app, stay away; with `reason` 0 by chance alone."""
    chance = Random(3)
    rows = []
    for n in range(people):
        recency, channel, noise = chance.randrange(100), chance.choice(["app", "web", "shop"]), chance.random()
        is_away = (recency > 60 or channel == "app") if chance.random() < reason else chance.random() < 0.4
        told = choices.LEAVES if is_away else choices.STAYS
        rows.append((f"c{n:03}", told, recency, noise, None, channel, f"street {n}"))
    types = (
        "customer_id string, told string, recency_days int, noise double, empty double, channel string, address string"
    )
    return spark.createDataFrame(rows, types)


def test_the_planted_reason_is_found_and_its_page_shows_a_tree(spark: SparkSession) -> None:
    numbers, names = ["noise", "recency_days", "empty"], ["channel", "address"]
    tree, model = choices.learn(customers(spark, 0.95), "stays", AS_OF, SINCE, numbers, names)
    nodes, told = tree.localCheckpoint(), model.localCheckpoint()
    attributes = {row["attribute"] for row in nodes.collect()} - {None}
    assert attributes == {"recency_days", "channel"}
    row = told.collect()[0]
    assert (row["known_on"], row["reason"]) == (SINCE, None)
    assert row["learned_from"] + row["held_out"] == 300
    assert row["right"] > 0.9 > row["right_by_commonest"]
    assert row["left_out"] == ["address has more than 30 levels", "empty is always missing"]

    part = gather(choice_sections.stays(nodes, told))
    assert isinstance(part.picture, Tree)
    assert "stayed away where" in part.sentence
    assert "bought again where" in part.sentence
    assert len(part.rows) == nodes.where("rows > 0").count()
    unasked = gather(choice_sections.renews(nodes, told))
    assert (unasked.rows, unasked.sentence, unasked.notes) == ([], "", []), "it is left out of the page"


def test_where_nothing_tells_them_apart_the_tree_is_its_root_and_the_page_says_so(spark: SparkSession) -> None:
    tree, model = choices.learn(customers(spark, 0.0), "stays", AS_OF, SINCE, ["noise"], [])
    part = gather(choice_sections.stays(tree.localCheckpoint(), model.localCheckpoint()))
    assert len(part.rows) == 1
    assert part.sentence.startswith("Nothing that was known tells them apart better than chance")


def test_one_choice_for_all_and_few_customers_have_a_reason(spark: SparkSession) -> None:
    alike = customers(spark, 0.0).withColumnRenamed("told", "other").selectExpr("*", "'buys again' told")
    for rows, why in (
        (alike, "the choice is the same in all rows: there is nothing to tell apart"),
        (customers(spark, 0.9, 20), "fewer than 50 customers to learn from"),
    ):
        tree, model = choices.learn(rows, "stays", AS_OF, SINCE, ["noise"], [])
        assert tree.isEmpty()
        assert [row["reason"] for row in model.collect()] == [why]
        assert why in gather(choice_sections.stays(tree, model)).sentence
