"""Itemsets of real and of random baskets, by all methods: as published, and as a plain loop has them."""

from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.baskets import itemsets

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
    baskets = some_baskets(Random(parts))
    expected = by_hand(baskets, 9)
    sets = itemsets.mine(frame(spark, baskets, parts), 0.07, method)  # 8.4 of 120
    assert found(sets) == expected
    assert len(expected) > 20
    assert max(len(items) for items in expected) > 2
