"""The job from order lines to rules: what is told, how settings change it, and what is refused."""

from collections import Counter
from itertools import combinations
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError
from pyspark.sql import Row, SparkSession

from crm_spark.baskets import itemsets
from crm_spark.baskets.itemsets import ITEMSETS
from crm_spark.baskets.purchases import LEVELS
from crm_spark.baskets.rules import RULES
from crm_spark.core.errors import ConfigError
from jobs.basket_rules import Config, basket_rules
from tests.baskets.test_purchases import AS_OF, Rows, frames, known, line


def some_lines() -> Rows:
    """Of 40 orders 12 are of tea and jam, 8 of tea, 10 of jam and milk, 10 of milk."""
    kinds = [["tea", "jam"]] * 12 + [["tea"]] * 8 + [["jam", "milk"]] * 10 + [["milk"]] * 10
    return [line("ann", f"{number}", item) for number, items in enumerate(kinds) for item in items]


PRODUCTS = [known("tea", "Tea", "Drinks", "1"), known("jam", "Jam", "Food"), known("milk", "Milk", "Drinks", "2")]


def run(spark: SparkSession, lines: Rows | None = None, **settings: Any) -> tuple[list[Row], list[Row]]:
    told, sets = basket_rules(*frames(spark, lines or some_lines(), PRODUCTS), Config(as_of=AS_OF, **settings))
    return RULES.conform(told).collect(), ITEMSETS.conform(sets).collect()


def test_the_job_tells_rules_with_their_measures_titles_and_worth(spark: SparkSession) -> None:
    told, sets = run(spark, levels=["product", "category"], max_q=1)
    assert {(row["level"], *row["items"]): (row["count"], row["is_closed"], row["is_maximal"]) for row in sets} == {
        ("product", "tea"): (20, True, False), ("product", "jam"): (22, True, False),
        ("product", "milk"): (20, True, False), ("product", "jam", "tea"): (12, True, True),
        ("product", "jam", "milk"): (10, True, True),
        ("category", "Drinks"): (40, True, False), ("category", "Food"): (22, False, False),
        ("category", "Drinks", "Food"): (22, True, True),
    }  # fmt: skip
    assert {row["baskets"] for row in sets} == {40}
    assert {(*row["antecedent"], *row["consequent"]): row["count"] for row in told} == {
        ("tea", "jam"): 12,
        ("jam", "tea"): 12,
    }
    rule = next(row for row in told if row["antecedent"] == ["jam"])
    assert (rule["antecedent_title"], rule["consequent_title"], rule["level"]) == ("Jam", "Tea", "product")
    assert (rule["antecedent_count"], rule["consequent_count"], rule["baskets"]) == (22, 20, 40)
    assert rule["lift"] == pytest.approx(12 * 40 / (22 * 20))
    assert rule["improvement"] == pytest.approx(12 / 22 - 0.5)
    assert (rule["consequent_revenue"], rule["consequent_margin"]) == (3.0, 2.0)
    assert rule["added_margin"] == pytest.approx(2 * (12 / 22 - 0.5))
    assert next(row for row in told if row["antecedent"] == ["tea"])["consequent_margin"] is None, "no cost is known"
    gain = {tuple(row["items"]): row["information_gain"] for row in sets}
    assert gain[("jam", "tea")] == pytest.approx(rule["information_gain"])
    assert gain[("tea",)] is None


HIERARCHY = {
    "p1": ("tea", "food", "x"),
    "p2": ("tea", "food", "y"),
    "p3": ("jam", "food", None),
    "p4": ("pot", None, "x"),
    "p5": (None, None, None),
}


@pytest.mark.parametrize(
    ("level", "method"), [("product+subcategory+category", "bitmaps"), ("category+product+brand", "apriori")]
)
def test_items_of_several_levels_stand_in_one_basket_but_never_with_what_they_are_part_of(
    spark: SparkSession, level: str, method: itemsets.Method
) -> None:
    draws, names = Random(1), level.split("+")
    orders = [[product for product in HIERARCHY if draws.random() < 0.4] for _ in range(60)]
    items = {
        product: {
            f"{name}:{value}" for name, value in zip(LEVELS, (product, *told), strict=True) if name in names and value
        }
        for product, told in HIERARCHY.items()
    }
    counts: Counter[tuple[str, ...]] = Counter()
    for order in orders:
        basket = sorted({item for product in order for item in items[product]})
        for size in range(1, 5):
            counts.update(combinations(basket, size))
    expected = {
        some: count
        for some, count in counts.items()
        if count >= 6 and not any({*pair} <= of for pair in combinations(some, 2) for of in items.values())
    }
    lines = [line("ann", str(number), product) for number, order in enumerate(orders) for product in order]
    products = [
        known(product, None, category) | {"subcategory": sub, "brand": brand}
        for product, (sub, category, brand) in HIERARCHY.items()
    ]
    config = Config(
        as_of=AS_OF,
        levels=[level],
        consequents=["product:", "category:food"],
        method=method,
        min_support=0.1,
        max_items=4,
        max_q=1,
        pruned=False,
        min_confidence=0,
    )
    told, sets = (rows.collect() for rows in basket_rules(*frames(spark, lines, products), config))
    assert {tuple(row["items"]): row["count"] for row in sets if row["baskets"]} == expected
    assert len(expected) > 30
    split = {
        (tuple(item for item in some if item != one), (one,))
        for some in expected
        if len(some) > 1
        for one in some
        if one.startswith("product:") or one == "category:food"
    }
    assert {(tuple(row["antecedent"]), tuple(row["consequent"])) for row in told} == split
    titles = {row["consequent_title"] for row in told}
    assert {"p1", "any food"} <= titles


def test_settings_restrict_and_prune_the_rules(spark: SparkSession) -> None:
    told, sets = run(spark, pruned=False, max_q=1, consequents=["milk"], min_baskets=11, min_gain=0.0001)
    assert told == []
    assert {tuple(row["items"]) for row in sets} == {("tea",), ("jam",), ("milk",), ("jam", "tea")}
    told, sets = run(spark, pruned=False, max_q=1, antecedents=["jam"], consequents=["tea", "milk"], min_confidence=0.5)
    assert [(row["antecedent"], row["consequent"]) for row in told] == [(["jam"], ["tea"])]
    assert run(spark, max_items=1)[0] == []


def test_where_there_are_too_many_sets_support_is_doubled_until_they_fit(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(run(spark, min_support=0.2)[1]) == 5
    with caplog.at_level("WARNING", "crm_spark"):
        assert run(spark, min_support=0.2, most=4) == run(spark, min_support=0.4)
    assert caplog.messages[0].startswith("there are 5 itemsets or more, which is more than the 4 sets")
    assert caplog.messages[0].endswith("now a support of 0.4 is tried")
    with pytest.raises(ConfigError, match="at a support of 1.0"):
        run(spark, [line("ann", "1", f"{number}") for number in range(5)], most=30, max_items=None, min_baskets=1)


def test_without_a_sale_there_are_no_sets_and_no_rules(spark: SparkSession) -> None:
    for method in ("bitmaps", "apriori", "fp_growth"):
        told, sets = basket_rules(*frames(spark, [], []), Config(as_of=AS_OF, method=method))
        assert (told.collect(), sets.collect()) == ([], []), method


def test_a_level_of_which_nothing_is_known_is_refused_with_its_remedy(spark: SparkSession) -> None:
    tables = frames(spark, [line("ann", "1", "tea", 1)], [known("tea", "Tea", "Food")])
    with pytest.raises(ConfigError, match="of no product the brand is known: leave it out, or map it in the source"):
        basket_rules(*tables, Config(as_of=AS_OF, levels=["category", "product+brand"]))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"min_support": 0}, "min_support"), ({"min_support": 1.1}, "min_support"), ({"max_q": -1}, "max_q"),
        ({"levels": []}, "levels"), ({"levels": ["product", "product"]}, "each may be named once"),
        ({"levels": ["shelf"]}, "a level is one of product, .* got 'shelf'"),
        ({"levels": ["brand+brand"]}, "got 'brand.brand'"),
        ({"levels": ["product+brand"], "method": "fp_growth"}, "fp_growth cannot keep items apart"),
        ({"method": "eclat"}, "method"), ({"max_items": 0}, "max_items"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Config(as_of=AS_OF, **settings)
