"""The search for segments by the kernel `kmeans`: in one worker, and for many customers in few passes over all.

All customers where they are few, or each of some samples of them, go to one worker, which finds the centres of every
number of segments. Where there are more customers, Lloyd's iterations go on with all of them, from the centres that are
nearest to these: what a sample finds best need not be best for all. Each pass serves all numbers of segments, and only
sums come back. A silhouette follows from the sums in one more pass.

The same customers give the same centres wherever they lie. One worker sorts its customers. With all of them coordinates
are whole multiples of 2^-24: their sums are exact, and so the same in any order.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from crm_spark.kernels import kmeans
from crm_spark.kernels.kmeans import Sums
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.lists import matrix
from crm_spark.segments.choice import Found, settled

IN_ONE = 100_000  # customers whom one worker takes
SAMPLE, SAMPLES = 30_000, 4  # of more, customers of a sample in which the search begins, about; samples
A_PART = 250_000  # customers of a partition: many enough that a task pays, few enough for a worker
FINENESS = 1_000_000
PASSES, LOWER = 30, 1e-5  # at most so many, until the sum of squares falls by a smaller share in one
ONE = 2.0**24  # of what coordinates are multiples; a hundred million customers within 3 deviations add up exactly
DIGITS = 10  # of a sum of squares, whose last ones change with the order

SUMS = "sizes array<double>, sums array<double>, squares array<double>, within double"
STARTED = f"k int, centres array<double>, {SUMS}, silhouette double, stability double"
SUMMED = f"k int, {SUMS}"


def search(
    points: DataFrame, ks: Sequence[int], starts: int, size: int, width: int, is_judged: bool = True
) -> list[Found]:
    """Find the centres of each number of segments.

    Parameters
    ----------
    points : DataFrame
        `customer_id` and `point`, an array of double. Best persisted.
    ks : sequence of int
        Rising.
    starts : int
        How often the search for each is begun anew.
    size : int
        Customers, one or more.
    width : int
        Coordinates of a point.
    is_judged : bool, default True
        Whether silhouette and stability are told.

    Returns
    -------
    list of Found
        One pass, in which 100,000 customers at most go to one worker. Where there are more, some five passes more over
        points packed in blocks. The driver sees sums by centre alone.
    """
    is_few = size <= IN_ONE
    begin = partial(_start, ks=tuple(ks), starts=starts, width=width, is_all=is_few, is_judged=is_judged)
    # By hash: so every n-th customer is anyone.
    by = F.xxhash64("customer_id"), F.col("customer_id")
    if is_few:
        together = points.repartition(1).sortWithinPartitions(*by).select("point")
        found = {row["k"]: row for row in together.mapInArrow(begin, STARTED).collect()}
        return [_found(k, _shaped(found[k]["centres"], width), _read(found[k], width), found[k]) for k in ks]
    place = F.pmod(F.xxhash64(F.lit("sample"), "customer_id"), F.lit(FINENESS))
    share = min(SAMPLE / size, 1 / SAMPLES)
    sampled = points.withColumn("sample", F.floor(place / (share * FINENESS)).cast("int"))
    apart = sampled.where(F.col("sample") < SAMPLES).repartitionById(SAMPLES, "sample")
    rows = apart.sortWithinPartitions(*by).select("point").mapInArrow(begin, STARTED).collect()
    return _refined(points, rows, size, width, is_judged)


def _found(k: int, centres: Floats, sums: Sums, row: Row, silhouette: float | None = None) -> Found:
    told = row["silhouette"] if silhouette is None else silhouette
    return Found(
        k,
        [[settled(at) for at in centre] for centre in centres.tolist()],
        float(f"{sums.within:.{DIGITS}g}"),
        None if told is None else settled(told),
        None if row["stability"] is None else settled(row["stability"]),
    )


# -- with all customers


def _refined(points: DataFrame, rows: Sequence[Row], size: int, width: int, is_judged: bool) -> list[Found]:
    """Of the centres of the samples take the nearest for each number, and go on from these."""
    blocks = points.select("point").mapInArrow(partial(_pack, width=width), "block binary")
    # A table may lie in one file.
    blocks = blocks.repartition(1 + size // A_PART).localCheckpoint()
    began = {at: _shaped(row["centres"], width) for at, row in enumerate(rows)}
    best: dict[int, tuple[Floats, Sums]] = {}
    told: dict[int, Row] = {}
    for at, sums in sorted(_pass(blocks, began, width).items()):
        k = rows[at]["k"]
        if k not in best or sums.within < best[k][1].within:
            best[k], told[k] = (began[at], sums), rows[at]
    going = {k: kmeans.moved(*one) for k, one in best.items()}
    for _ in range(PASSES):
        if not going:
            break
        for k, sums in _pass(blocks, going, width).items():
            before = best[k][1].within
            if sums.within < before:
                best[k] = going[k], sums
            if sums.within < before * (1 - LOWER):
                going[k] = kmeans.moved(going[k], sums)
            else:
                del going[k]
    judged = {k: one for k, one in best.items() if len(one[0]) > 1 and is_judged}
    silhouettes = _silhouettes(blocks, judged, width) if judged else {}
    return [_found(k, *best[k], told[k], silhouettes.get(k)) for k in sorted(best)]


def _pass(blocks: DataFrame, centres: Mapping[int, Floats], width: int) -> dict[int, Sums]:
    """Add up all points by their nearest centre, for each number of centres."""
    found: dict[int, Sums] = {}
    for row in blocks.mapInArrow(partial(_sum, centres=dict(centres), width=width), SUMMED).collect():
        sums = _read(row, width)
        found[row["k"]] = found[row["k"]] + sums if row["k"] in found else sums
    return found


def _silhouettes(blocks: DataFrame, told: Mapping[int, tuple[Floats, Sums]], width: int) -> dict[int, float]:
    totals: dict[int, float] = {}
    for row in blocks.mapInArrow(partial(_judge, told=dict(told), width=width), "k int, sum double").collect():
        totals[row["k"]] = totals.get(row["k"], 0.0) + row["sum"]
    return {k: total / float(told[k][1].sizes.sum()) for k, total in totals.items()}


def _read(row: Row, width: int) -> Sums:
    sizes, squares = np.array(row["sizes"]), np.array(row["squares"])
    return Sums(sizes, _shaped(row["sums"], width), squares, row["within"])


def _shaped(numbers: Sequence[float], width: int) -> Floats:
    return np.array(numbers, dtype=np.float64).reshape(-1, width)


# -- lifted: Arrow in, Arrow out


def _start(
    batches: Iterator[pa.RecordBatch], ks: tuple[int, ...], starts: int, width: int, is_all: bool, is_judged: bool
) -> Iterator[pa.RecordBatch]:
    """Find centres among all points at hand, with all that is told of them."""
    points = np.concatenate([matrix(batch.column("point"), width) for batch in batches])
    for k in ks:
        fit = kmeans.fit(points, k, starts, lower=0.0 if is_all else LOWER)
        silhouette = stability = None
        if len(fit.centres) > 1 and is_judged:
            silhouette = kmeans.silhouettes(points, fit.centres, fit.sums) / len(points) if is_all else None
            stability = kmeans.stability(points, fit.centres)
        told = {"k": k, "centres": fit.centres.ravel(), **_written(fit.sums)}
        yield _row({**told, "silhouette": silhouette, "stability": stability})


def _pack(batches: Iterator[pa.RecordBatch], width: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.num_rows:
            block = (np.rint(matrix(batch.column("point"), width) * ONE) / ONE).tobytes()
            yield pa.RecordBatch.from_arrays([pa.array([block])], ["block"])


def _blocks(batches: Iterator[pa.RecordBatch], width: int) -> Iterator[Floats]:
    for batch in batches:
        for block in batch.column("block"):
            yield np.frombuffer(block.as_buffer()).reshape(-1, width)


def _sum(batches: Iterator[pa.RecordBatch], centres: dict[int, Floats], width: int) -> Iterator[pa.RecordBatch]:
    found: dict[int, Sums] = {}
    for points in _blocks(batches, width):
        for k, at in centres.items():
            sums = kmeans.add_up(points, at)
            found[k] = found[k] + sums if k in found else sums
    for k, sums in found.items():
        yield _row({"k": k, **_written(sums)})


def _judge(
    batches: Iterator[pa.RecordBatch], told: dict[int, tuple[Floats, Sums]], width: int
) -> Iterator[pa.RecordBatch]:
    found: dict[int, float] = {}
    for points in _blocks(batches, width):
        for k, of in told.items():
            found[k] = found.get(k, 0.0) + kmeans.silhouettes(points, *of)
    for k, total in found.items():
        yield _row({"k": k, "sum": total})


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
