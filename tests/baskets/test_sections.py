"""What the page says of rules."""

from pyspark.sql import SparkSession

from crm_spark.baskets import sections
from tests.baskets.test_offers import frames, rule


def test_of_each_set_the_surest_rule_is_shown_the_one_of_highest_lift_first(spark: SparkSession) -> None:
    told = [rule("a", "b", 0.5, count=1_200), rule("b", "a", 0.4), rule("ab", "c", 0.75), rule("d", "e", 0.2)]
    told = [one | {"baskets": 40, "consequent_count": 10} for one in told]
    section = sections.together(frames(spark, {"ann": "a"}, told)[1])
    rows = [row.asDict() for row in section.rows.orderBy("place").collect()]
    assert [(row["rule"], row["confidence"], row["anyway"], row["lift"]) for row in rows] == [
        ("AB → C", 75.0, 25.0, 1.5), ("A → B", 50.0, 25.0, 1.0), ("D → E", 20.0, 25.0, 0.4),
    ]  # fmt: skip
    assert section.sentence(rows[1:]) == (
        "Who buys A has B in 50.0 % of these baskets, 1.0 times as often as in all baskets (1,200 baskets)."
    )
    assert set(section.labels) == set(rows[0])
