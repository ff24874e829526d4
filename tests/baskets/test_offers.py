"""Offers against a plain loop over customers and rules."""

from datetime import date
from random import Random
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.baskets import offer_sections, offers
from crm_spark.baskets.rules import RULES

AS_OF = date(2026, 1, 31)
ITEMS = "abcdefgh"


def rule(
    antecedent: str, consequent: str, confidence: float, count: int = 9, margin: float | None = None
) -> dict[str, Any]:
    told = {field.name: 1.0 if field.type == "double" else 1 for field in RULES.columns} | {
        "as_of": AS_OF,
        "level": "product",
    }
    sides = {"antecedent": list(antecedent), "consequent": list(consequent)}
    titles = {"antecedent_title": antecedent.upper(), "consequent_title": consequent.upper()}
    worth = {"added_revenue": None, "added_margin": margin, "consequent_revenue": None, "consequent_margin": None}
    return told | sides | titles | worth | {"confidence": confidence, "count": count, "lift": 2 * confidence}


def frames(
    spark: SparkSession, bought: dict[str | None, str], rules: list[dict[str, Any]]
) -> tuple[DataFrame, DataFrame]:
    lines = [(who, item) for who, items in bought.items() for item in items]
    told = spark.createDataFrame([tuple(row[name] for name in RULES.names) for row in rules], RULES.nullable_ddl)
    return spark.createDataFrame(lines, "customer_id string, item string"), told


def test_a_customer_is_offered_what_the_strongest_rules_lead_to_and_is_not_owned(spark: SparkSession) -> None:
    bought = {"ann": "aab", "bob": "ac", "cat": "h", None: "ab"}
    rules = [
        rule("a", "c", 0.5), rule("b", "c", 0.6), rule("ab", "d", 0.7), rule("b", "e", 0.6, count=8),
        rule("a", "f", 0.1), rule("a", "gh", 0.9), rule("ad", "g", 0.9),
    ]  # fmt: skip
    found = offers.OFFERS.conform(offers.offer(*frames(spark, bought, rules), AS_OF, most=3)).collect()
    told = [(row["customer_id"], row["place"], row["item"], "".join(row["because"] or "")) for row in found]
    assert sorted(told, key=str) == [
        ("ann", 1, "d", "ab"), ("ann", 2, "c", "b"), ("ann", 3, "e", "b"), ("bob", 1, "f", "a"), ("cat", 1, None, ""),
    ]  # fmt: skip
    reasons = {row["customer_id"]: row["reason"] for row in found}
    assert reasons == {"ann": None, "bob": None, "cat": "no rule leads from what was bought to something new"}
    first = next(row for row in found if (row["customer_id"], row["place"]) == ("ann", 1))
    assert (first["title"], first["because_title"], first["confidence"], first["lift"]) == ("D", "AB", 0.7, 1.4)


@pytest.mark.parametrize("by", ["confidence", "added_margin"])
def test_offers_are_those_of_a_plain_loop(spark: SparkSession, by: offers.Strength) -> None:
    draws = Random(by)
    bought = {f"c{number:02}": "".join(draws.choices(ITEMS, k=draws.randint(1, 6))) for number in range(60)}
    sides = {tuple(sorted(draws.sample(ITEMS, draws.randint(1, 3)))) for _ in range(30)}
    rules = [
        rule("".join(some), other, draws.choice([0.2, 0.4, 0.6]), draws.randint(5, 7), draws.choice([None, 1.0, 3.0]))
        for some in sorted(sides)
        for other in sorted(set(ITEMS) - set(some))[:3]
    ]
    expected = {}
    for who, items in bought.items():
        best: dict[str, dict[str, Any]] = {}
        for one in sorted(rules, key=lambda one: strength(one, by)):
            if set(one["antecedent"]) <= set(items) and one["consequent"][0] not in items:
                best.setdefault(one["consequent"][0], one)
        expected[who] = [(item, tuple(one["antecedent"])) for item, one in best.items()][:2]
    found: dict[str, list[Any]] = {who: [] for who in bought}
    rows = offers.offer(*frames(spark, bought, rules), AS_OF, 2, by).orderBy("customer_id", "place").collect()
    for row in rows:
        if row["item"] is not None:
            found[row["customer_id"]].append((row["item"], tuple(row["because"])))
    assert found == expected
    assert 5 < sum(len(of) == 2 for of in expected.values()) < 60


def strength(one: dict[str, Any], by: str) -> tuple[Any, ...]:
    told = (one[by] is None, -(one[by] or 0), -one["confidence"], -one["count"])
    return (*told, one["consequent"][0], one["antecedent"])


def test_the_page_tells_what_most_would_be_offered_and_why(spark: SparkSession) -> None:
    bought = {"ann": "a", "bob": "a", "cat": "b", "dan": "h"}
    rules = [rule("a", "c", 0.5, margin=2.0), rule("b", "c", 0.6, margin=4.0), rule("b", "d", 0.4)]
    section = offer_sections.next_ones(offers.offer(*frames(spark, bought, rules), AS_OF))
    rows = [row.asDict() for row in section.rows.orderBy("rank").collect()]
    assert [(row["title"], row["because_title"], row["customers"], row["first"]) for row in rows] == [
        ("C", "A", 3, 3),
        ("D", "B", 1, 0),
    ]
    assert rows[0]["added_margin"] == pytest.approx(8 / 3)
    assert (
        section.sentence(rows)
        == "3 of 4 customers have an offer; most often it is C (3 customers), mostly as they bought A."
    )


def test_less_than_one_offer_is_refused(spark: SparkSession) -> None:
    with pytest.raises(ValueError, match="most must be 1 or more, got 0"):
        offers.offer(*frames(spark, {"ann": "a"}, [rule("a", "b", 1.0)]), AS_OF, most=0)
