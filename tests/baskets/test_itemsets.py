"""Itemsets of real and of random baskets, by all methods: as published, and as a plain loop has them."""

from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.baskets import itemsets
from crm_spark.core.errors import ConfigError

DATA = Path(__file__).parents[3] / "shared" / "data"


def frame(spark: SparkSession, baskets: list[list[str] | None], parts: int = 2) -> DataFrame:
    rows = [(number, items) for number, items in enumerate(baskets)]
    return spark.createDataFrame(rows, "order_id int, items array<string>").repartition(parts)


def found(sets: DataFrame) -> dict[tuple[str, ...], int]:
    return {tuple(row["items"]): row["count"] for row in sets.select("items", "count").collect()}


def by_hand(baskets: list[list[str] | None], least: int) -> dict[tuple[str, ...], int]:
    counts: dict[tuple[str, ...], int] = {}
    for basket in baskets:
        items = sorted({item for item in basket or [] if item is not None})
        for size in range(1, len(items) + 1):
            for some in combinations(items, size):
                counts[some] = counts.get(some, 0) + 1
    return {items: count for items, count in counts.items() if count >= least}


def some_baskets(draws: Random) -> list[list[str] | None]:
    """Some empty, some with an item twice or without a name."""
    return [
        None if draws.random() < 0.05 else [draws.choice(["", *"abcdefé"]) for _ in range(draws.randint(0, 9))] + [None]
        for _ in range(120)
    ]


@pytest.mark.parametrize(("method", "parts"), [("bitmaps", 1), ("bitmaps", 7), ("apriori", 2), ("fp_growth", 2)])
def test_all_methods_find_what_a_plain_loop_finds(
    spark: SparkSession, method: itemsets.Method, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(itemsets, "IN_PART", 1)
    monkeypatch.setattr(itemsets, "A_PART", 10)
    baskets = some_baskets(Random(parts))
    expected = by_hand(baskets, 9)
    sets = itemsets.mine(frame(spark, baskets, parts), 0.07, method)  # 8.4 of 120
    assert found(sets) == expected
    assert len(expected) > 20
    assert max(len(items) for items in expected) > 2


def test_closed_and_maximal_sets_are_told_and_short_ones_may_be_asked_for(spark: SparkSession) -> None:
    baskets = [["a", "b", "c"], ["a", "b", "c"], ["a", "b"], ["a", "b"], ["a"], ["d"], ["d", "a"], []]
    sets = itemsets.mine(frame(spark, baskets), 0.25).collect()  # 2 of 8
    assert {"".join(row["items"]): (row["count"], row["is_closed"], row["is_maximal"]) for row in sets} == {
        "a": (6, True, False), "b": (4, False, False), "c": (2, False, False), "d": (2, True, True),
        "ab": (4, True, False), "ac": (2, False, False), "bc": (2, False, False), "abc": (2, True, True),
    }  # fmt: skip
    assert {(row["baskets"], row["support"]) for row in sets if row["items"] == ["d"]} == {(8, 0.25)}


@pytest.mark.skipif(not DATA.is_dir(), reason="the published data are not beside the checkout")
@pytest.mark.parametrize(
    ("name", "key", "item", "support", "baskets"),
    [("epub_sessions/epub.csv", "session_id", "document_id", 0.001, 15_729), ("msweb/msweb.csv.gz", "user_id", "vroot", 0.005, 32_710)],
)  # fmt: skip
def test_all_methods_find_the_same_in_published_baskets(
    spark: SparkSession, name: str, key: str, item: str, support: float, baskets: int
) -> None:
    rows = spark.read.csv(str(DATA / name), header=True)
    orders = rows.groupBy(key).agg(F.collect_list(item).alias("items")).select("items").localCheckpoint()
    answers = []
    for method in ("bitmaps", "apriori", "fp_growth"):
        sets = itemsets.mine(orders, support, method).select("items", "count", "baskets").collect()
        answers.append(sorted(tuple(row) for row in sets))
    assert answers[0] == answers[1] == answers[2]
    assert {row[2] for row in answers[0]} == {baskets}
    assert max(len(row[0]) for row in answers[0]) > 2


@pytest.mark.parametrize(
    ("method", "told"),
    [
        *[
            (method, r"there are 1\d\d itemsets or more, which is more than the 100 sets")
            for method in ("bitmaps", "fp_growth")
        ],
        ("apriori", r"apriori would have to count [\d,]+ candidates of \d items, which is more than the 20 sets"),
    ],
)
def test_a_support_that_would_explode_is_refused_with_how_many_sets_there_would_be(
    spark: SparkSession, method: itemsets.Method, told: str
) -> None:
    wide = [[f"{number:02}" for number in range(40)]] * 3
    with pytest.raises(ConfigError, match=told) as refused:
        itemsets.mine(frame(spark, wide), 0.5, method, most=20 if method == "apriori" else 100).collect()
    assert "raise min_support" in str(refused.value)


def test_what_cannot_be_mined_is_refused_in_a_sentence(spark: SparkSession) -> None:
    few = frame(spark, [["a"]])
    for support in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="min_support must be above 0 and 1 at most"):
            itemsets.mine(few, support)
    with pytest.raises(ValueError, match="max_items must be 1 or more, got 0"):
        itemsets.mine(few, 0.5, max_items=0)
    with pytest.raises(
        ValueError, match="no column 'items'; did you mean 'item'.; baskets have one, an array of strings"
    ):
        itemsets.mine(few.withColumnRenamed("items", "item"), 0.5)


def test_of_baskets_that_are_all_empty_there_is_no_set(spark: SparkSession) -> None:
    for method in ("bitmaps", "apriori", "fp_growth"):
        assert found(itemsets.mine(frame(spark, [[], None, [None]]), 0.5, method)) == {}, method


def test_one_basket_is_mined_and_what_is_in_all_is_found(spark: SparkSession) -> None:
    assert found(itemsets.mine(frame(spark, [["b", "a", "b"]]), 1.0)) == {("a",): 1, ("b",): 1, ("a", "b"): 1}
    assert found(itemsets.mine(frame(spark, [["a"], ["a", "b"], ["a"]]), 0.1, min_baskets=3)) == {("a",): 3}
