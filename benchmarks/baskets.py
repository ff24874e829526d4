"""itemsets_…: all frequent itemsets of baskets, against MLlib's FP-growth over the same, or mlxtend's in memory.

itemsets_miner_…: the kernel alone against Borgelt's Eclat, which is written in C.
"""

import time
from functools import partial
from pathlib import Path
from threading import Timer

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.ml.fpm import FPGrowth
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy import sparse

from benchmarks.measure import Figure, compare, peak_mb, timed
from crm_spark.baskets import itemsets
from crm_spark.kernels import itemsets as kernel

ITEMS, PATTERNS, FILES = 1_000, 300, 4
PATIENCE = 1200  # seconds
PEER = "MLlib's FPGrowth with one partition, its best"


def itemsets_100k_1(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Sets in 1 % of 100,000 baskets."""
    return _measured(spark, folder, "itemsets_100k_1", int(100_000 * share), 0.01)


def itemsets_100k_02(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Sets in 0.2 % of 100,000 baskets."""
    return _measured(spark, folder, "itemsets_100k_02", int(100_000 * share), 0.002)


def itemsets_1m_1(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Sets in 1 % of 1 million baskets."""
    return _measured(spark, folder, "itemsets_1m_1", int(1_000_000 * share), 0.01)


def itemsets_1m_02(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Sets in 0.2 % of 1 million baskets; the peer runs once, and is stopped after PATIENCE."""
    path, baskets = str(folder / "baskets"), int(1_000_000 * share)
    _write(Path(path), baskets)

    def ours() -> tuple[int, int]:
        return _sums(itemsets.mine(spark.read.parquet(path), 0.002), "count")

    answer, seconds = ours(), timed(ours)
    stop = Timer(PATIENCE, spark.sparkContext.cancelAllJobs)
    stop.start()
    began = time.perf_counter()
    try:
        if (theirs := _mllib(spark, path, 0.002)) != answer:
            raise ValueError(f"itemsets_1m_02: ours gave {answer}, the peer {theirs}")
        peer = PEER
    except Py4JJavaError:
        if time.perf_counter() - began < PATIENCE:
            raise
        peer = f"{PEER}; stopped without an answer"
    finally:
        stop.cancel()
    peer_seconds = time.perf_counter() - began
    ratio = seconds / peer_seconds
    return Figure("itemsets_1m_02", baskets, round(seconds, 2), peer, round(peer_seconds, 2), round(ratio, 3),
                  peak_mb(), 0.033, ratio <= 0.033)  # fmt: skip


def itemsets_1m_1_mlxtend(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Sets in 1 % of 1 million baskets, against mlxtend, which has them in memory."""
    from mlxtend.frequent_patterns import fpgrowth  # noqa: PLC0415 - other figures run without it

    baskets, path = int(1_000_000 * share), folder / "baskets"
    _write(path, baskets)
    held = _held(path)
    ones = sparse.csr_matrix((np.ones(held.items.size, bool), held.items, held.offsets), (held.count, ITEMS))
    known = pd.DataFrame(ones.toarray())

    def ours() -> tuple[int, int]:
        return _sums(itemsets.mine(spark.read.parquet(str(path)), 0.01), "count")

    def theirs() -> tuple[int, int]:
        sets = fpgrowth(known, 0.01)
        counts = (sets["support"] * held.count).round().astype(int)
        return len(sets), int((counts * sets["itemsets"].map(len)).sum())

    return compare("itemsets_1m_1_mlxtend", baskets, "mlxtend: fpgrowth in memory", 1 / 5, ours, theirs, runs=1)


def itemsets_miner_100k_1(spark: SparkSession, folder: Path, share: float) -> Figure:
    """The kernel alone: sets in 1 % of 100,000 baskets."""
    return _mined(folder, "itemsets_miner_100k_1", int(100_000 * share), 0.01)


def itemsets_miner_100k_02(spark: SparkSession, folder: Path, share: float) -> Figure:
    """The kernel alone: sets in 0.2 % of 100,000 baskets."""
    return _mined(folder, "itemsets_miner_100k_02", int(100_000 * share), 0.002)


def itemsets_miner_1m_1(spark: SparkSession, folder: Path, share: float) -> Figure:
    """The kernel alone: sets in 1 % of 1 million baskets."""
    return _mined(folder, "itemsets_miner_1m_1", int(1_000_000 * share), 0.01)


def itemsets_miner_1m_02(spark: SparkSession, folder: Path, share: float) -> Figure:
    """The kernel alone: sets in 0.2 % of 1 million baskets."""
    return _mined(folder, "itemsets_miner_1m_02", int(1_000_000 * share), 0.002)


def _mined(folder: Path, name: str, baskets: int, support: float) -> Figure:
    import fim  # noqa: PLC0415 - other figures run without it

    _write(folder / "baskets", baskets)
    held, minimum = _held(folder / "baskets"), kernel.least(support, baskets)
    # Each is given baskets as it takes them.
    lists = [part.tolist() for part in np.split(held.items, held.offsets[1:-1])]

    def ours() -> tuple[int, int]:
        # Items as the kernel wants them: the rarest first.
        order = np.argsort(np.argsort(np.bincount(held.items, minlength=ITEMS), kind="stable"), kind="stable")
        levels = kernel.mine(kernel.Baskets(order[held.items], held.offsets), minimum)
        return (
            sum(level.counts.size for level in levels),
            sum(int(level.counts.sum()) * level.items.shape[1] for level in levels),
        )

    def theirs() -> tuple[int, int]:
        # Whole baskets are counted: a support below zero is such a count.
        sets = fim.eclat(lists, target="s", supp=-minimum, report="a")
        return len(sets), sum(count * len(items) for items, count in sets)

    return compare(name, baskets, "pyfim: eclat, in C", 2.5, ours, theirs)


def _held(folder: Path) -> kernel.Baskets:
    """All baskets, items by their numbers."""
    lists = pq.read_table(folder)["items"].combine_chunks()
    items = np.array([int(name[1:]) for name in lists.flatten().to_pylist()])
    return kernel.Baskets(items, np.append(0, np.cumsum(lists.value_lengths().to_numpy())))


def _measured(spark: SparkSession, folder: Path, name: str, baskets: int, support: float) -> Figure:
    path = str(folder / "baskets")
    _write(Path(path), baskets)
    is_large = baskets > 200_000

    def ours() -> tuple[int, int]:
        return _sums(itemsets.mine(spark.read.parquet(path), support), "count")

    def theirs() -> tuple[int, int]:
        return _mllib(spark, path, support)

    goal = 1 / 30 if is_large else 1 / 8
    return compare(name, baskets, PEER, round(goal, 3), ours, theirs, runs=1 if is_large else 3)


def _mllib(spark: SparkSession, path: str, support: float) -> tuple[int, int]:
    model = FPGrowth(itemsCol="items", minSupport=support, numPartitions=1).fit(spark.read.parquet(path))
    return _sums(model.freqItemsets, "freq")


def _sums(sets: DataFrame, count: str) -> tuple[int, int]:
    """How many sets there are, and how many items in all that they are counted of."""
    row = sets.agg(F.count("*"), F.sum(F.col(count) * F.size("items"))).collect()[0]
    return int(row[0]), int(row[1] or 0)


def _write(folder: Path, baskets: int) -> None:
    """Ten items each on average: six by their popularity, the rest of patterns of two to five items."""
    draws = np.random.default_rng(1)
    popularity = 1 / np.arange(1, ITEMS + 1) ** 0.7
    choose = partial(draws.choice, ITEMS, p=popularity / popularity.sum())
    patterns = [choose(draws.integers(2, 6), replace=False) for _ in range(PATTERNS)]
    weights = draws.exponential(size=PATTERNS)
    names = np.array([f"P{number:05d}" for number in range(ITEMS)])
    folder.mkdir()
    for file in range(FILES):
        count = baskets // FILES
        alone = np.repeat(np.arange(count), draws.poisson(6, count))
        wholes = np.repeat(np.arange(count), draws.poisson(1.2, count))
        drawn = draws.choice(PATTERNS, wholes.size, p=weights / weights.sum())
        sizes = np.array([len(patterns[number]) for number in drawn])
        among = np.concatenate([alone, np.repeat(wholes, sizes)])
        items = np.concatenate([choose(alone.size), *[patterns[number] for number in drawn]])
        basket, item = np.divmod(np.unique(among * ITEMS + items), ITEMS)
        offsets = pa.array(np.searchsorted(basket, np.arange(count + 1)), pa.int32())
        held = pa.ListArray.from_arrays(offsets, pa.array(names[item]))
        pq.write_table(pa.table({"items": held}), folder / f"{file}.parquet")
