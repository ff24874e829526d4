"""Frequent itemsets: which items stand together in many baskets. Exact, by any of three methods.

`bitmaps` mines each part of the baskets by itself (`kernels.itemsets`), with the support that is asked for: what is
frequent in all baskets is so in one part at least (SON). What was found in some parts only, and may be frequent, is
counted once more in all. `apriori` goes level by level: of the sets of k items it makes the candidates of k + 1, of
which every part must be frequent, and counts them. `fp_growth` is MLlib's. All three give the same.

A set is closed where no set with one more item is in as many baskets, maximal where no such set is frequent.

References
----------
Agrawal, R., Srikant, R. (1994). Fast Algorithms for Mining Association Rules. VLDB, 487-499.
Savasere, A., Omiecinski, E., Navathe, S. (1995). An Efficient Algorithm for Mining Association Rules. VLDB, 432-444.
Han, J., Pei, J., Yin, Y. (2000). Mining Frequent Patterns without Candidate Generation. SIGMOD, 1-12.
Pasquier, N., Bastide, Y., Taouil, R., Lakhal, L. (1999). Discovering Frequent Closed Itemsets. ICDT, 398-416.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import sparse

from crm_spark.core.contracts import Field, Table
from crm_spark.core.errors import ConfigError, absent
from crm_spark.kernels import itemsets as kernel
from crm_spark.kernels.itemsets import Baskets, Ints, Itemsets, TooMany
from crm_spark.kernels.lists import gathered

Method = Literal["bitmaps", "apriori", "fp_growth"]

MOST = 1_000_000  # sets
CANDIDATES = 10  # times as many candidates may be counted
A_PART = 250_000  # baskets of a part: with fewer, another part takes longer than it spares
MOST_IN_PART = 2_000_000  # baskets at most in a worker
IN_PART = 100  # baskets of a part that hold a set at least: with fewer, chance alone makes sets of any items
A_BLOCK = 500_000  # baskets

ITEMSETS = Table(
    "basket_itemsets",
    "Which items stand together in many baskets, as of a day.",
    owns="as_of",
    key=["as_of", "level", "items"],
    columns=[
        Field("as_of", "date", "the last day of the baskets"),
        Field("level", "string", "what an item is: product, subcategory, category, brand; or some, joined by +"),
        Field("items", "array<string>", "the items, in order"),
        Field("count", "bigint", "baskets that hold all of them", unit="basket"),
        Field("baskets", "bigint", "baskets in all", unit="basket"),
        Field("support", "double", "the share of the former in the latter"),
        Field("is_closed", "boolean", "whether each set with one more item is in fewer baskets"),
        Field("is_maximal", "boolean", "whether no set with one more item is in enough baskets"),
        Field(
            "information_gain",
            "double",
            "the most that the rest of the set tells of one of its items; of sets of two items or more",
            unit="bit",
            nullable=True,
        ),
    ],
)

BLOCKS = "names array<string>, counts array<bigint>, items binary, offsets binary"
DESCRIBED = pa.schema(
    [
        ("items", pa.list_(pa.string())),
        ("count", pa.int64()),
        ("baskets", pa.int64()),
        ("support", pa.float64()),
        ("is_closed", pa.bool_()),
        ("is_maximal", pa.bool_()),
    ]
)
FOUND = pa.schema([("items", pa.list_(pa.string())), ("count", pa.int64()), ("below", pa.int64())])


def mine(
    baskets: DataFrame,
    min_support: float,
    method: Method = "bitmaps",
    max_items: int | None = None,
    most: int = MOST,
    min_baskets: int = 1,
    apart: DataFrame | None = None,
) -> DataFrame:
    """Find every set of items that many baskets hold.

    The baskets are looked at before this returns: unlike most of this house it runs Spark jobs at once.

    Parameters
    ----------
    baskets : DataFrame
        One row per basket with `items`, an array of strings. An item that stands twice counts once; empty baskets
        count as baskets.
    min_support : float
        Share of the baskets that hold a set at least, above 0 and up to 1. A set is frequent where its count is
        `min_support * baskets` or more.
    method : {"bitmaps", "apriori", "fp_growth"}
        How; the answer is the same.
    max_items : int, optional
        Items of a set at most.
    most : int, default 1,000,000
        Sets at most; for `fp_growth`, which makes sets of all sizes, those of more than `max_items` too.
    min_baskets : int, default 1
        Baskets that hold a set at least, where `min_support` asks for fewer.
    apart : DataFrame, optional
        Pairs of items (`item`, `other`) of which no set has both, as of a product and its category. They meet on the
        driver. Not for `fp_growth`.

    Returns
    -------
    DataFrame
        One row per set: `items` in order, `count`, `baskets` (in all), `support`, `is_closed`, `is_maximal`, the
        latter two among sets that may be. One pass over the baskets, which then lie packed, four bytes an
        item; two or three passes over that, or one for each size of sets. The sets that are found meet on the driver.

    Raises
    ------
    TooManySets
        There are more sets, or candidates, than allowed. It says how many.
    """
    for wrong in absent(["items"], baskets.columns):
        raise ValueError(f"{wrong}; baskets have one, an array of strings")
    if not 0 < min_support <= 1:
        raise ValueError(f"min_support must be above 0 and 1 at most, got {min_support}")
    if max_items is not None and max_items < 1:
        raise ValueError(f"max_items must be 1 or more, got {max_items}")
    if apart is not None and method == "fp_growth":
        raise ValueError("fp_growth cannot keep items apart: method must be bitmaps or apriori")
    wanted = _Wanted(min_support, max_items, most, min_baskets)
    if method == "fp_growth":
        count, found = _by_fp_growth(baskets, wanted)
    else:
        # Counting the items computes them.
        blocks = pack(baskets).localCheckpoint(eager=False)
        count, frequent = _frequent(blocks, wanted)
        if apart is not None:
            wanted = replace(wanted, apart=_pairs(apart, frequent["name"].combine_chunks()))
        mined = _by_apriori if method == "apriori" else _by_bitmaps
        found = mined(blocks, frequent, count, wanted)
    types = ITEMSETS.types(DESCRIBED.names)
    return baskets.sparkSession.createDataFrame(describe(found, count), types)


class TooManySets(ConfigError):
    """There are more sets than allowed."""


@dataclass(frozen=True)
class _Wanted:
    min_support: float
    max_items: int | None
    most: int
    min_baskets: int
    apart: Ints | None = None

    def least(self, baskets: int) -> int:
        return max(kernel.least(self.min_support, baskets), self.min_baskets)

    def refuse(self, told: str) -> TooManySets:
        return TooManySets(
            f"{told}, which is more than the {self.most:,} sets that are allowed at a support of {self.min_support}: "
            "raise min_support, lower max_items, or leave out the items that are in most baskets"
        )


def describe(found: pa.Table, baskets: int) -> pa.Table:
    """Add the support of sets (`items`, `count`), and which of them are closed and which are maximal."""
    sizes = pc.list_value_length(found["items"]).to_numpy()
    order = np.argsort(sizes, kind="stable")
    found, counts = found.take(order), found["count"].to_numpy()[order]
    items = found["items"].combine_chunks()
    levels = _codes(items, pc.unique(items.flatten()))
    ends = np.cumsum([len(level) for level in levels])[:-1]
    sets = [Itemsets(level, of) for level, of in zip(levels, np.split(counts, ends), strict=False)]
    most = [kernel.greatest(level, larger) for level, larger in zip(levels, sets[1:], strict=False)]
    # Of the largest sets there are no larger ones.
    above = np.concatenate([*most, np.zeros(counts.size, np.int64)])[: counts.size]
    told = {
        "items": items,
        "count": counts,
        "baskets": np.full(counts.size, baskets),
        "support": counts / baskets if baskets else counts.astype(float),
        "is_closed": above < counts,
        "is_maximal": above == 0,
    }
    return pa.table({field.name: pa.array(told[field.name], field.type) for field in DESCRIBED}, DESCRIBED)


def pack(baskets: DataFrame) -> DataFrame:
    """Pack baskets into blocks: names of items with their counts, and baskets of places among these names.

    Before the names there is none, which counts the baskets.
    """
    return baskets.select("items").mapInArrow(packed, BLOCKS)


def _frequent(blocks: DataFrame, wanted: _Wanted) -> tuple[int, pa.Table]:
    """How many baskets there are, and the frequent items with their counts, the rarest first."""
    counts = blocks.select(F.inline(F.arrays_zip("names", "counts")))
    told = counts.groupBy(F.col("names").alias("name")).agg(F.sum("counts").alias("count")).toArrow()
    # Baskets are counted under no name.
    is_all = pc.is_null(told["name"])
    baskets = pc.sum(told.filter(is_all)["count"]).as_py() or 0
    items = told.filter(pc.and_(pc.invert(is_all), pc.greater_equal(told["count"], wanted.least(baskets))))
    return baskets, items.sort_by([("count", "ascending"), ("name", "ascending")])


def _pairs(apart: DataFrame, names: pa.Array) -> Ints:
    """Pairs of items by their places among names, those that are there."""
    told = apart.toArrow()
    places = [pc.fill_null(pc.index_in(told[side], value_set=names), -1).to_numpy() for side in ("item", "other")]
    pairs = np.sort(np.column_stack(places).astype(np.int64), axis=1)
    return pairs[pairs[:, 0] >= 0]


def _by_bitmaps(blocks: DataFrame, frequent: pa.Table, baskets: int, wanted: _Wanted) -> pa.Table:
    names = frequent["name"].combine_chunks()
    least = wanted.least(baskets)
    parts = max(min(least // IN_PART, -(-baskets // A_PART)), -(-baskets // MOST_IN_PART), 1)
    mined = blocks.coalesce(parts).mapInArrow(
        partial(_mined, names=names, least=least, baskets=baskets, wanted=wanted),
        "items array<string>, count bigint, below bigint",
    )
    sums = [F.sum("count").alias("count"), F.sum("below").alias("below"), F.count("*").alias("parts")]
    # What one part says needs no shuffle to be summed.
    found = (mined.groupBy("items").agg(*sums) if parts > 1 else mined.withColumn("parts", F.lit(1))).toArrow()
    too_many = found.filter(pc.is_null(found["items"]))
    if too_many.num_rows:
        raise wanted.refuse(f"there are {pc.max(too_many['count']).as_py():,} itemsets or more")
    sizes = pc.list_value_length(found["items"]).to_numpy()
    count, below, parts_with = (found[name].to_numpy() for name in ("count", "below", "parts"))
    # The empty set is found in all parts.
    is_known = parts_with == parts_with[sizes == 0].sum()
    most = count + below[sizes == 0].sum() - below
    sure = found.filter(pa.array((sizes > 0) & is_known & (count >= least))).select(["items", "count"])
    asked = found.filter(pa.array((sizes > 0) & ~is_known & (most >= least)))
    if not asked.num_rows:
        return sure
    counted = _count(blocks, names, _codes(asked["items"].combine_chunks(), names), least)
    return pa.concat_tables([sure, counted.toArrow()])


def _by_apriori(blocks: DataFrame, frequent: pa.Table, baskets: int, wanted: _Wanted) -> pa.Table:
    names = frequent["name"].combine_chunks()
    sets = np.arange(len(names))[:, None]
    levels = [as_table(Itemsets(sets, frequent["count"].to_numpy()), names)]
    while len(sets) > 1 and (wanted.max_items is None or sets.shape[1] < wanted.max_items):
        size, ways = sets.shape[1] + 1, kernel.candidates(sets)
        if ways > CANDIDATES * wanted.most:
            raise wanted.refuse(f"apriori would have to count {ways:,} candidates of {size} items")
        candidates = kernel.join(sets, wanted.apart)
        if not len(candidates):
            break
        level = _count(blocks, names, [candidates], wanted.least(baskets)).toArrow()
        levels.append(level)
        so_far = sum(one.num_rows for one in levels)
        if so_far > wanted.most:
            raise wanted.refuse(f"there are {so_far:,} itemsets or more")
        sets = np.concatenate([*_codes(level["items"].combine_chunks(), names), np.empty((0, size), np.int64)])
    return pa.concat_tables(levels)


def _by_fp_growth(baskets: DataFrame, wanted: _Wanted) -> tuple[int, pa.Table]:
    from pyspark.ml.fpm import FPGrowth  # noqa: PLC0415 - workers import this module, and have no use for it

    items = F.coalesce(F.array_distinct(F.array_compact("items")), F.array().cast("array<string>"))
    known = baskets.select(items.alias("items")).localCheckpoint()
    # Spark Connect makes all sets of a model to take its measure, and fails where there is none: whether they are too
    # many, or none, is asked before.
    blocks, of_any_size = pack(known).localCheckpoint(eager=False), replace(wanted, max_items=None)
    count, frequent = _frequent(blocks, of_any_size)
    mined = _by_bitmaps(blocks, frequent, count, of_any_size)
    if not mined.num_rows:
        return count, mined
    # MLlib multiplies support by baskets and rounds up: half a basket less keeps it from one more.
    support = (wanted.least(count) - 0.5) / count
    found = FPGrowth(itemsCol="items", minSupport=support).fit(known).freqItemsets
    made = found.select(F.array_sort("items").alias("items"), F.col("freq").alias("count")).toArrow()
    if wanted.max_items is not None:
        made = made.filter(pc.less_equal(pc.list_value_length(made["items"]), wanted.max_items))
    return count, made


def _count(blocks: DataFrame, names: pa.Array, sets: list[Ints], least: int) -> DataFrame:
    """Count sets in all baskets, and keep the frequent ones."""
    counted = blocks.mapInArrow(partial(_recounted, names=names, sets=sets), "items array<string>, count bigint")
    sums = counted.groupBy("items").agg(F.sum("count").alias("count"))
    return sums.where(F.col("count") >= least)


# -- lifted: Arrow in, Arrow out


def packed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pack baskets (`items`) into blocks."""
    return map(_block, gathered(batches, A_BLOCK))


def _block(told: pa.Table) -> pa.RecordBatch:
    baskets = told["items"].combine_chunks()
    coded = baskets.flatten().dictionary_encode()
    codes = pc.fill_null(coded.indices, -1).to_numpy()
    is_named = codes >= 0
    # A basket that is null has no items, nor has an item without a name a place.
    ends = np.append(0, np.cumsum(pc.fill_null(pc.list_value_length(baskets), 0).to_numpy()))
    offsets = np.append(0, np.cumsum(is_named))[ends]
    codes, shape = codes[is_named], (len(baskets), len(coded.dictionary))
    held = sparse.csr_matrix((np.ones(codes.size, np.int8), codes, offsets), shape)
    held.sum_duplicates()
    block = {
        "names": pa.array([[None, *coded.dictionary.to_pylist()]], pa.list_(pa.string())),
        "counts": pa.array([[len(baskets), *np.bincount(held.indices, minlength=shape[1])]], pa.list_(pa.int64())),
        "items": pa.array([held.indices.astype(np.int32).tobytes()], pa.binary()),
        "offsets": pa.array([held.indptr.astype(np.int64).tobytes()], pa.binary()),
    }
    return pa.RecordBatch.from_pydict(block)


def read(batches: Iterable[pa.RecordBatch], names: pa.Array) -> tuple[int, Baskets]:
    """How many baskets there are, and those with an item, told by their places among names, -1 for others."""
    baskets, items, lengths = 0, [np.empty(0, np.int32)], [np.empty(0, np.int64)]
    for block in (row for batch in batches for row in batch.to_pylist()):
        place = pc.fill_null(pc.index_in(pa.array(block["names"][1:], pa.string()), value_set=names), -1).to_numpy()
        codes = place[np.frombuffer(block["items"], np.int32)]
        ends = np.append(0, np.cumsum(codes >= 0))[np.frombuffer(block["offsets"], np.int64)]
        baskets += block["counts"][0]
        items.append(codes[codes >= 0])
        lengths.append(np.diff(ends))
    return baskets, Baskets(np.concatenate(items), np.append(0, np.cumsum(np.concatenate(lengths))))


def _mined(
    batches: Iterator[pa.RecordBatch], names: pa.Array, least: int, baskets: int, wanted: _Wanted
) -> Iterator[pa.RecordBatch]:
    """Sets that are frequent in a part, with `below`: how many there may be of others."""
    count, part = read(batches, names)
    if not count:
        return
    own = max(-(-least * count // baskets), 1)
    empty = [{"items": [], "count": count, "below": own - 1}]
    yield pa.RecordBatch.from_pylist(empty, FOUND)
    try:
        levels = kernel.mine(part, own, wanted.max_items, wanted.most, wanted.apart)
    except TooMany as too_many:
        yield pa.RecordBatch.from_pylist([{"items": None, "count": too_many.sets, "below": 0}], FOUND)
        return
    for level in levels:
        told = as_table(level, names)
        yield from told.append_column("below", pa.array(np.full(told.num_rows, own - 1))).to_batches(A_BLOCK)


def _recounted(batches: Iterator[pa.RecordBatch], names: pa.Array, sets: list[Ints]) -> Iterator[pa.RecordBatch]:
    _, part = read(batches, names)
    for some in sets:
        yield from as_table(Itemsets(some, kernel.count(part, some)), names).to_batches(A_BLOCK)


def as_table(sets: Itemsets, names: pa.Array) -> pa.Table:
    """Sets by the names of their items, in order of these."""
    order = pc.array_sort_indices(names).to_numpy()
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    codes = order[np.sort(rank[sets.items], axis=1)]
    offsets = np.arange(len(codes) + 1) * codes.shape[1]
    items = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), names.take(pa.array(codes.ravel())))
    return pa.table({"items": items, "count": pa.array(sets.counts, pa.int64())})


def _codes(items: pa.Array, names: pa.Array) -> list[Ints]:
    """Sets by the places of their items among names, rising, by size."""
    sizes = pc.list_value_length(items).to_numpy()
    places = pc.index_in(items.flatten(), value_set=names).to_numpy()
    sets = []
    for size in np.unique(sizes):
        of_size = places[np.repeat(sizes == size, sizes)].reshape(-1, size)
        sets.append(np.sort(of_size, axis=1).astype(np.int64))
    return sets
