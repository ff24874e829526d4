"""Itemsets against a plain loop."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_spark.kernels import itemsets
from crm_spark.kernels.itemsets import Baskets, TooMany

LISTS = st.lists(st.sets(st.integers(0, 9), max_size=8), max_size=40)


def packed(baskets: list[set[int]]) -> Baskets:
    items = np.array([item for basket in baskets for item in sorted(basket)], np.int64)
    return Baskets(items, np.cumsum([0, *map(len, baskets)]))


def by_hand(baskets: list[set[int]], minimum: int) -> dict[tuple[int, ...], int]:
    counts: dict[tuple[int, ...], int] = {}
    for basket in baskets:
        for size in range(1, len(basket) + 1):
            for some in combinations(sorted(basket), size):
                counts[some] = counts.get(some, 0) + 1
    return {items: count for items, count in counts.items() if count >= minimum}


def told(levels: list[itemsets.Itemsets]) -> dict[tuple[int, ...], int]:
    rows = [
        (tuple(map(int, items)), int(n)) for level in levels for items, n in zip(level.items, level.counts, strict=True)
    ]
    assert len(dict(rows)) == len(rows), "no set stands twice"
    return dict(rows)


@settings(deadline=None)
@given(LISTS, st.integers(1, 6))
def test_mined_are_the_sets_that_a_plain_loop_finds(baskets: list[set[int]], minimum: int) -> None:
    expected = by_hand(baskets, minimum)
    assert told(itemsets.mine(packed(baskets), minimum)) == expected
    short = itemsets.mine(packed(baskets), minimum, longest=2)
    assert told(short) == {items: count for items, count in expected.items() if len(items) <= 2}


@settings(deadline=None)
@given(LISTS, st.integers(1, 4))
def test_sets_are_counted_alone_as_they_are_when_mined_and_made_of_smaller_ones(
    baskets: list[set[int]], minimum: int
) -> None:
    levels = itemsets.mine(packed(baskets), minimum)
    for level in levels:
        assert itemsets.count(packed(baskets), level.items).tolist() == level.counts.tolist()
    for smaller, larger in pairwise(levels):
        made = itemsets.join(smaller.items)
        assert len(made) <= itemsets.candidates(smaller.items)
        known = {tuple(items) for items in smaller.items.tolist()}
        size = larger.items.shape[1]
        items = sorted({item for one in known for item in one})
        expected = [
            one for one in combinations(items, size) if all(part in known for part in combinations(one, size - 1))
        ]
        assert sorted(map(tuple, made.tolist())) == expected
        assert {tuple(one) for one in larger.items.tolist()} <= set(expected)
        above = [(set(one), n) for one, n in zip(larger.items.tolist(), larger.counts.tolist(), strict=True)]
        most = [max((n for whole, n in above if whole > {*one}), default=0) for one in smaller.items.tolist()]
        assert itemsets.greatest(smaller.items, larger).tolist() == most


@settings(deadline=None)
@given(LISTS, st.integers(1, 4), st.sets(st.tuples(st.integers(0, 4), st.integers(5, 9)), max_size=8))
def test_items_that_are_kept_apart_are_in_no_set_together(
    baskets: list[set[int]], minimum: int, pairs: set[tuple[int, int]]
) -> None:
    expected = {
        items: count
        for items, count in by_hand(baskets, minimum).items()
        if not any({*pair} <= {*items} for pair in pairs)
    }
    apart = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    levels = itemsets.mine(packed(baskets), minimum, apart=apart)
    assert told(levels) == expected
    for smaller, larger in pairwise(levels):
        made = {tuple(items) for items in itemsets.join(smaller.items, apart).tolist()}
        assert {tuple(items) for items in larger.items.tolist()} <= made
        assert not any({*pair} <= {*items} for pair in pairs for items in made)


def test_bitmaps_of_several_steps_count_like_one_of_a_single_step(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(1)
    baskets = [set(map(int, draws.choice(12, draws.integers(0, 9), replace=False))) for _ in range(700)]
    whole = told(itemsets.mine(packed(baskets), 20))
    pairs = np.array([items for items in whole if len(items) == 2])
    monkeypatch.setattr(itemsets, "AT_ONCE", 20)
    assert told(itemsets.mine(packed(baskets), 20)) == whole == by_hand(baskets, 20)
    assert itemsets.count(packed(baskets), pairs).tolist() == [whole[tuple(pair)] for pair in pairs.tolist()]


def test_a_search_ends_at_the_most_sets_even_where_one_basket_holds_a_thousand_items() -> None:
    wide = Baskets(np.tile(np.arange(1_500), 3), np.arange(4) * 1_500)
    with pytest.raises(TooMany) as refused:
        itemsets.mine(wide, 3, most=1_000_000)
    assert refused.value.sets > 1_000_000


@pytest.mark.parametrize(
    ("support", "baskets", "count"),
    [(0.001, 9_835, 10), (0.07, 100, 7), (0.1, 30, 3), (0.29, 100, 29), (1.0, 7, 7), (1e-9, 7, 1), (0.5, 0, 1)],
)
def test_the_least_count_is_rounded_up_from_the_decimal_number(support: float, baskets: int, count: int) -> None:
    assert itemsets.least(support, baskets) == count
