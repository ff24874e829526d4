"""The search for segments by the kernel `kmeans`: in one worker, and for many customers in few passes over all.

A sample of customers, or all where they are few, goes to one worker, which finds the centres of every number of
segments. Where there are more customers, Lloyd's iterations go on from these centres with all of them: each pass
serves all numbers of segments, and only sums come back. A silhouette follows from the sums in one more pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from crm_spark.kernels import kmeans
from crm_spark.kernels.kmeans import Sums
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.lists import matrix
from crm_spark.segments.choice import Found, settled

IN_ONE = 100_000  # customers whom one worker takes, about
FINENESS = 1_000_000
PASSES, LOWER = 30, 1e-5  # at most so many, until the sum of squares falls by a smaller share in one

SUMS = "sizes array<double>, sums array<double>, squares array<double>, within double"
STARTED = f"k int, centres array<double>, {SUMS}, silhouette double, stability double"
SUMMED = f"part int, k int, {SUMS}"


def search(points: DataFrame, ks: Sequence[int], starts: int, size: int, width: int) -> list[Found]:
    """Find the centres of each number of segments.

    Parameters
    ----------
    points : DataFrame
        `customer_id` and `point`, an array of double; on a fixed layout, sorted in each part. Best persisted.
    ks : sequence of int
        Rising.
    starts : int
        How often the search for each is begun anew.
    size : int
        Customers, one or more.
    width : int
        Coordinates of a point.

    Returns
    -------
    list of Found
        One pass, in which 100,000 customers at most go to one worker. Where there are more, some ten passes more over
        points packed in blocks. The driver sees sums by centre alone.
    """
    place = F.pmod(F.xxhash64(F.lit("sample"), "customer_id"), F.lit(FINENESS))
    share = min(1.0, IN_ONE / size)
    sample = points.where(place < int(share * FINENESS)) if share < 1 else points
    # By hash: so every n-th customer is anyone.
    by = F.xxhash64("customer_id"), F.col("customer_id")
    together = sample.repartition(1).sortWithinPartitions(*by).select("point")
    rows = together.mapInArrow(partial(_start, ks=tuple(ks), starts=starts, width=width), STARTED).collect()
    found = {row["k"]: row for row in rows}
    if share == 1:
        return [_found(k, _shaped(found[k]["centres"], width), _read(found[k], width), found[k]) for k in ks]
    return _refined(points, found, width)


def _found(k: int, centres: Floats, sums: Sums, row: Row, silhouette: float | None = None) -> Found:
    told = row["silhouette"] if silhouette is None else silhouette
    return Found(
        k,
        [[settled(at) for at in centre] for centre in centres.tolist()],
        settled(sums.within),
        None if told is None else settled(told),
        None if row["stability"] is None else settled(row["stability"]),
    )


# -- with all customers


def _refined(points: DataFrame, found: Mapping[int, Row], width: int) -> list[Found]:
    """Go on from the centres of the sample."""
    part: Column = F.spark_partition_id().alias("part")
    blocks = points.select(part, "point").mapInArrow(partial(_pack, width=width), "part int, block binary")
    blocks = blocks.localCheckpoint()
    centres = {k: _shaped(row["centres"], width) for k, row in found.items()}
    best: dict[int, tuple[Floats, Sums]] = {}
    going = set(centres)
    for _ in range(PASSES):
        if not going:
            break
        for k, sums in _pass(blocks, {k: centres[k] for k in going}, width).items():
            is_settled = k in best and sums.within >= best[k][1].within * (1 - LOWER)
            if k not in best or sums.within < best[k][1].within:
                best[k] = centres[k], sums
            centres[k] = kmeans.moved(centres[k], sums)
            if is_settled:
                going.discard(k)
    told = {k: one for k, one in best.items() if len(one[0]) > 1}
    silhouettes = _silhouettes(blocks, told, width)
    return [_found(k, *best[k], found[k], silhouettes.get(k)) for k in sorted(best)]


def _pass(blocks: DataFrame, centres: Mapping[int, Floats], width: int) -> dict[int, Sums]:
    """Add up all points by their nearest centre, for each number of centres."""
    rows = blocks.mapInArrow(partial(_sum, centres=dict(centres), width=width), SUMMED).collect()
    found: dict[int, Sums] = {}
    for row in sorted(rows, key=lambda row: (row["part"], row["k"])):
        sums = _read(row, width)
        found[row["k"]] = found[row["k"]] + sums if row["k"] in found else sums
    return found


def _silhouettes(blocks: DataFrame, told: Mapping[int, tuple[Floats, Sums]], width: int) -> dict[int, float]:
    rows = blocks.mapInArrow(partial(_judge, told=dict(told), width=width), "part int, k int, sum double").collect()
    totals: dict[int, float] = {}
    for row in sorted(rows, key=lambda row: (row["part"], row["k"])):
        totals[row["k"]] = totals.get(row["k"], 0.0) + row["sum"]
    return {k: total / float(told[k][1].sizes.sum()) for k, total in totals.items()}


def _read(row: Row, width: int) -> Sums:
    sizes, squares = np.array(row["sizes"]), np.array(row["squares"])
    return Sums(sizes, _shaped(row["sums"], width), squares, row["within"])


def _shaped(numbers: Sequence[float], width: int) -> Floats:
    return np.array(numbers, dtype=np.float64).reshape(-1, width)


# -- lifted: Arrow in, Arrow out


def _start(batches: Iterator[pa.RecordBatch], ks: tuple[int, ...], starts: int, width: int) -> Iterator[pa.RecordBatch]:
    """Find centres among all points at hand, with all that is told of them."""
    points = np.concatenate([matrix(batch.column("point"), width) for batch in batches])
    for k in ks:
        fit = kmeans.fit(points, k, starts)
        silhouette = stability = None
        if len(fit.centres) > 1:
            silhouette = kmeans.silhouettes(points, fit.centres, fit.sums) / len(points)
            stability = kmeans.stability(points, fit.centres)
        told = {"k": k, "centres": fit.centres.ravel(), **_written(fit.sums)}
        yield _row({**told, "silhouette": silhouette, "stability": stability})


def _pack(batches: Iterator[pa.RecordBatch], width: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.num_rows:
            block = matrix(batch.column("point"), width).tobytes()
            yield pa.RecordBatch.from_arrays([batch.column("part")[:1], pa.array([block])], ["part", "block"])


def _blocks(batches: Iterator[pa.RecordBatch], width: int) -> Iterator[tuple[int, Floats]]:
    for batch in batches:
        for part, block in zip(batch.column("part").to_pylist(), batch.column("block").to_pylist(), strict=True):
            yield part, np.frombuffer(block).reshape(-1, width)


def _sum(batches: Iterator[pa.RecordBatch], centres: dict[int, Floats], width: int) -> Iterator[pa.RecordBatch]:
    found: dict[tuple[int, int], Sums] = {}
    for part, points in _blocks(batches, width):
        for k, at in centres.items():
            sums = kmeans.add_up(points, at)
            found[part, k] = found[part, k] + sums if (part, k) in found else sums
    for (part, k), sums in found.items():
        yield _row({"part": part, "k": k, **_written(sums)})


def _judge(
    batches: Iterator[pa.RecordBatch], told: dict[int, tuple[Floats, Sums]], width: int
) -> Iterator[pa.RecordBatch]:
    found: dict[tuple[int, int], float] = {}
    for part, points in _blocks(batches, width):
        for k, of in told.items():
            found[part, k] = found.get((part, k), 0.0) + kmeans.silhouettes(points, *of)
    for (part, k), total in found.items():
        yield _row({"part": part, "k": k, "sum": total})


def _written(sums: Sums) -> dict[str, Any]:
    return {"sizes": sums.sizes, "sums": sums.sums.ravel(), "squares": sums.squares, "within": sums.within}


def _row(values: Mapping[str, Any]) -> pa.RecordBatch:
    """One row; integers as Spark's int."""
    types = {int: pa.int32(), float: pa.float64(), type(None): pa.float64()}
    arrays = [
        pa.array([value], pa.list_(pa.float64()) if isinstance(value, np.ndarray) else types[type(value)])
        for value in values.values()
    ]
    return pa.RecordBatch.from_arrays(arrays, list(values))
