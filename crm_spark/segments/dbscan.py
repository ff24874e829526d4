"""Customers who lie among many alike, and those who lie apart: DBSCAN, exact, on points that lie in boxes of space.

A sample says where walls stand (`kernels.boxes`). Each box goes to one worker with all points within `eps` of those it
owns, and finds its core points and clusters (`kernels.density`). Points that several boxes know tell which of their
clusters are one: a core point is of the cluster of the box that owns it, and of each that it touches elsewhere. These
few links go to one worker, which joins them. A border point is of the cluster, of those it touches in any box, whose
lowest core key is lowest; clusters are numbered by it.

How far is near is read from a curve: for each of some customers how far the `min_samples`-th nearest is, itself
counted. From its knee on there are customers who lie apart.

References
----------
Ester, M. et al. (1996). A Density-Based Algorithm for Discovering Clusters. KDD.
He, Y. et al. (2014). MR-DBSCAN: A Scalable MapReduce-Based DBSCAN Algorithm. Frontiers of Computer Science 8.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from crm_spark.core.errors import JobFailed
from crm_spark.kernels import boxes, density
from crm_spark.kernels.boxes import Boxes
from crm_spark.kernels.knee import knee
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.lists import gathered, matrix

A_BOX = 50_000  # points that a box owns, about
SAMPLED = 50_000  # points by which walls are placed
FINENESS = 1_000_000
ASKED = 1_000  # points whose neighbours are sought for the curve
A_BLOCK = 250_000  # points that are sent to their boxes at once
LARGEST = 5_000_000  # points that one worker takes
MOST = 5_000_000_000  # near pairs that are looked at, from four dimensions on, where cells save none

GROUPED = "customer_id string, cluster int, kind string"
WALLS = "node int, dimension int, at double, left int, right int, points double, near double"
PLACED = "box int, block binary"
SCANNED = (
    "box int, block binary, lowest array<string>, customer_id string, is_owned boolean, cluster int, touched array<int>"
)
NODES = "box int, cluster int, lowest string, other_box int, other_cluster int"
NUMBERED = "box int, numbers array<int>"
CURVE = "percent int, distance double, is_knee boolean"

# Rows in a block: what a box is told of, and what it says of those it owns.
KNOWN = pa.schema(
    [
        ("customer_id", pa.string()),
        ("point", pa.list_(pa.float64())),
        ("is_owned", pa.bool_()),
        ("is_shared", pa.bool_()),
    ]
)
OWNED = pa.schema([("customer_id", pa.string()), ("cluster", pa.int32()), ("touched", pa.list_(pa.int32()))])
TOLD = pa.schema([("customer_id", pa.string()), ("cluster", pa.int32()), ("kind", pa.string())])
KINDS = pa.array(["core", "border", "noise"])
ROWS = pa.schema(
    [
        ("box", pa.int32()),
        ("block", pa.binary()),
        ("lowest", pa.list_(pa.string())),
        ("customer_id", pa.string()),
        ("is_owned", pa.bool_()),
        ("cluster", pa.int32()),
        ("touched", pa.list_(pa.int32())),
    ]
)


def cluster(points: DataFrame, eps: float, min_samples: int, width: int) -> DataFrame:
    """Find groups of customers who lie close together.

    Parameters
    ----------
    points : DataFrame
        `customer_id` and `point`, an array of double, finite. Read three times: best persisted.
    eps : float
        How far apart two customers are still near.
    min_samples : int
        How many must be near a customer, itself counted, for a core customer.
    width : int
        Coordinates of a point.

    Returns
    -------
    DataFrame
        A row for each customer: `customer_id`, `cluster` (from 1, null of noise), `kind` (core, border, noise). The
        same whatever the partitioning. Up to 50,000 customers are one pass in one worker; more are parted into boxes
        of as many by one shuffle, kept, and joined where points are in several.

    Raises
    ------
    ValueError
        `eps` or `min_samples` is not positive.
    JobFailed
        `eps` is so large that the work would never end, or too many lie in one place for one worker.
    """
    if not 0 < eps < float("inf") or min_samples < 1:
        raise ValueError(f"eps must be above 0, min_samples 1 or more, got {eps} and {min_samples}")
    known = points.select("customer_id", "point")
    size = known.count()
    walls = _walls(known, size, eps, width)
    placed = known.mapInArrow(partial(_place, walls=walls, eps=eps, width=width), PLACED)
    scan = partial(_scan, eps=eps, min_samples=min_samples, width=width)
    scanned = placed.repartitionById(walls.size, "box").mapInArrow(scan, SCANNED)
    if walls.size == 1:
        return scanned.select("block", F.lit(None).cast("array<int>").alias("numbers")).mapInArrow(_tell, GROUPED)
    scanned = scanned.localCheckpoint(eager=False)
    numbers = F.broadcast(_numbers(scanned))
    blocks = scanned.where(F.col("block").isNotNull()).join(numbers, "box", "left")
    told = blocks.select("block", "numbers").mapInArrow(_tell, GROUPED)
    return told.unionByName(_borders(scanned, numbers))


def curve(points: DataFrame, min_samples: int, width: int) -> DataFrame:
    """Tell how far the `min_samples`-th nearest customer is, itself counted, of each percent of customers.

    Parameters
    ----------
    points : DataFrame
        As for `cluster`. Read three times.
    min_samples : int
    width : int

    Returns
    -------
    DataFrame
        `percent` of customers (0 to 100) for whom it is `distance` or less; `is_knee` of the one from which on it grows
        fast, a distance to take for eps. 1,000 customers, or all where there are fewer, are held against all; they go
        to each worker in one row.
    """
    by = F.xxhash64(F.lit("asked"), "customer_id")
    size = points.count()
    share = min(1.0, 1.5 * ASKED / max(size, 1))
    some = points.where(F.pmod(by, F.lit(FINENESS)) < int(share * FINENESS) + 1)
    in_order = some.repartition(1).sortWithinPartitions(by, "customer_id").select("point")
    asked = in_order.mapInArrow(partial(_ask, width=width), "asked binary")
    blocks = points.select("point").mapInArrow(partial(_pack, width=width), "block binary")
    held = blocks.crossJoin(F.broadcast(asked))
    nearest = held.mapInArrow(partial(_distances, k=min_samples, width=width), "nearest binary")
    return nearest.repartition(1).mapInArrow(partial(_curve, k=min_samples), CURVE)


def _walls(points: DataFrame, size: int, eps: float, width: int) -> Boxes:
    """Place walls by a sample, in one worker, and refuse what would never end."""
    wanted = max(1, -(-size // A_BOX))
    if wanted == 1 and width <= density.FEW_DIMENSIONS:
        return boxes.split(np.zeros((1, width)), 1, eps)
    share = min(1.0, SAMPLED / max(size, 1))
    place = F.pmod(F.xxhash64(F.lit("sample"), "customer_id"), F.lit(FINENESS))
    sample = points.where(place < int(share * FINENESS)) if share < 1 else points
    together = sample.repartition(1).sortWithinPartitions("customer_id").select("point")
    rows = together.mapInArrow(partial(_split, wanted=wanted, eps=eps, width=width), WALLS).collect()
    if not rows:
        return boxes.split(np.zeros((1, width)), 1, eps)
    rows = sorted(rows, key=lambda row: row["node"])
    most = max(row["points"] for row in rows) / share
    near = rows[0]["near"] / share
    if width > density.FEW_DIMENSIONS and near * size / 2 > MOST:
        raise JobFailed(
            f"eps {eps:g} has {near:,.0f} customers near each of {size:,} on average, which are too many pairs to look "
            f"at: a smaller eps, or fewer features, have fewer"
        )
    if most > LARGEST:
        raise JobFailed(
            f"about {most:,.0f} customers lie in one place, more than the {LARGEST:,} that one worker takes: features "
            f"that tell them apart, or one row for those who are alike, help"
        )
    dimension, at, left, right = (
        np.array([row[name] for row in rows]) for name in ("dimension", "at", "left", "right")
    )
    return Boxes(dimension, at, left, right)


def _numbers(scanned: DataFrame) -> DataFrame:
    """Number the clusters of all boxes, a row for each box: those that are one alike, by their lowest core key."""
    nodes = scanned.where(F.col("block").isNotNull()).select("box", F.posexplode("lowest").alias("cluster", "lowest"))
    shared = scanned.where(F.col("block").isNull())
    own = shared.where("is_owned AND cluster IS NOT NULL").select("customer_id", "box", "cluster")
    met = shared.where(~F.col("is_owned")).select(
        "customer_id", F.col("box").alias("other_box"), F.explode(_clusters()).alias("other_cluster")
    )
    links = own.join(met, "customer_id").select("box", "cluster", "other_box", "other_cluster").distinct()
    both = nodes.unionByName(links, allowMissingColumns=True)
    return both.repartition(1).mapInArrow(_join, NUMBERED).localCheckpoint(eager=False)


def _borders(scanned: DataFrame, numbers: DataFrame) -> DataFrame:
    """Those that several boxes know and none for a core point: of the first of the clusters that they touch in any."""
    shared = scanned.where(F.col("block").isNull()).join(numbers, "box", "left")
    first = F.array_min(F.transform(_clusters(), lambda cluster: F.get("numbers", cluster)))
    is_core = F.col("is_owned") & F.col("cluster").isNotNull()
    met = shared.groupBy("customer_id").agg(F.bool_or(is_core).alias("is_core"), (F.min(first) + 1).alias("cluster"))
    kind = F.when(F.col("cluster").isNull(), "noise").otherwise("border")
    return met.where(~F.col("is_core")).select("customer_id", "cluster", kind.alias("kind"))


def _clusters() -> Column:
    """All clusters of its box that a point is in or touches."""
    return F.concat(F.array_compact(F.array("cluster")), "touched")


# -- lifted: Arrow in, Arrow out


def _split(batches: Iterator[pa.RecordBatch], wanted: int, eps: float, width: int) -> Iterator[pa.RecordBatch]:
    points = np.concatenate([np.zeros((0, width)), *[matrix(batch.column("point"), width) for batch in batches]])
    if not len(points):
        return
    found = boxes.split(points, wanted, eps)
    known = np.bincount(boxes.place(points, found, eps).box, minlength=found.size)
    in_leaf = np.where(found.dimension < 0, known[np.where(found.dimension < 0, found.left, 0)], 0)
    columns = {
        "node": pa.array(np.arange(found.dimension.size), pa.int32()),
        "dimension": pa.array(found.dimension, pa.int32()),
        "at": pa.array(found.at, pa.float64()),
        "left": pa.array(found.left, pa.int32()),
        "right": pa.array(found.right, pa.int32()),
        "points": pa.array(in_leaf, pa.float64()),
        "near": pa.array(np.full(in_leaf.size, density.near(points, eps)), pa.float64()),
    }
    yield pa.RecordBatch.from_pydict(columns)


def _place(batches: Iterator[pa.RecordBatch], walls: Boxes, eps: float, width: int) -> Iterator[pa.RecordBatch]:
    """What each box is told of, a block each: rows take longer than all else."""
    for points in gathered(batches, A_BLOCK):
        placed = boxes.place(matrix(points.column("point").combine_chunks(), width), walls, eps)
        order = np.argsort(placed.box, kind="stable")
        rows = points.take(pa.array(placed.row[order]))
        rows = rows.append_column("is_owned", pa.array(placed.is_owned[order]))
        rows = rows.append_column("is_shared", pa.array(placed.is_shared[order]))
        box, starts, counts = np.unique(placed.box[order], return_index=True, return_counts=True)
        sent = [_packed(rows.slice(start, count), KNOWN) for start, count in zip(starts, counts, strict=True)]
        yield pa.RecordBatch.from_arrays([pa.array(box, pa.int32()), pa.array(sent, pa.binary())], ["box", "block"])


def _scan(batches: Iterator[pa.RecordBatch], eps: float, min_samples: int, width: int) -> Iterator[pa.RecordBatch]:
    """The clusters of one box: a block of those that it owns, and rows of those that others know too."""
    held = [(row["box"], row["block"]) for batch in batches for row in batch.to_pylist()]
    if not held:
        return
    rows = pa.Table.from_batches([_unpacked(block, KNOWN) for _, block in held])
    rows = rows.take(pc.sort_indices(rows, sort_keys=[("customer_id", "ascending")])).combine_chunks()
    is_owned, is_shared = (rows.column(name).to_numpy() for name in ("is_owned", "is_shared"))
    points = matrix(rows.column("point").combine_chunks(), width)
    found = density.scan(points, is_owned, eps, min_samples)
    counts = np.bincount(found.touching, minlength=len(points))
    touched = pa.ListArray.from_arrays(
        pa.array(np.append(0, np.cumsum(counts)), pa.int32()), pa.array(found.touched, pa.int32())
    )
    is_core = found.cluster >= 0
    told = pa.table(
        {
            "box": pa.array(np.full(len(points), held[0][0]), pa.int32()),
            "customer_id": rows.column("customer_id"),
            "is_owned": rows.column("is_owned"),
            "cluster": pa.array(found.cluster, pa.int32(), mask=~is_core),
            "touched": touched,
        }
    )
    # Of a core point its box knows the cluster, of one that no other box knows all.
    own = told.filter(pa.array(is_owned & (is_core | ~is_shared))).select(OWNED.names)
    _, first = np.unique(found.cluster[is_core], return_index=True)
    lowest = rows.column("customer_id").take(pa.array(np.flatnonzero(is_core)[first]))
    block = {"box": held[0][0], "block": _packed(own, OWNED), "lowest": lowest.to_pylist()}
    yield pa.RecordBatch.from_pylist([block], ROWS)
    met = told.filter(pa.array(is_shared & (is_owned | is_core | (counts > 0))))
    yield from pa.concat_tables([ROWS.empty_table(), met], promote_options="default").combine_chunks().to_batches()


def _join(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join clusters of boxes that are one, and number them."""
    rows = pa.Table.from_batches(held).combine_chunks() if (held := list(batches)) else None
    if rows is None or not rows.num_rows:
        return
    nodes, links = rows.filter(pc.is_valid(rows.column("lowest"))), rows.filter(pc.is_null(rows.column("lowest")))
    nodes = nodes.take(pc.sort_indices(nodes, sort_keys=[("lowest", "ascending"), ("box", "ascending")]))
    key, one, other = (
        of.column(box).to_numpy().astype(np.int64) << 32 | of.column(number).to_numpy()
        for of, box, number in (
            (nodes, "box", "cluster"),
            (links, "box", "cluster"),
            (links, "other_box", "other_cluster"),
        )
    )
    order = np.argsort(key)
    ends = order[np.searchsorted(key[order], one)], order[np.searchsorted(key[order], other)]
    graph = sparse.coo_array((np.ones(one.size, dtype=np.int8), ends), shape=(key.size, key.size))
    component = connected_components(graph, directed=False)[1]
    _, first, of = np.unique(component, return_index=True, return_inverse=True)
    number = np.empty(first.size, dtype=np.int64)
    number[np.argsort(first)] = np.arange(first.size)
    box, counts = np.unique(key >> 32, return_counts=True)
    offsets = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
    numbers = pa.ListArray.from_arrays(offsets, pa.array(number[of][order], pa.int32()))
    yield pa.RecordBatch.from_arrays([pa.array(box, pa.int32()), numbers], ["box", "numbers"])


def _tell(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The cluster and kind of those that a box owns; where there is one box, its own numbers are those of all."""
    for row in (row for batch in batches for row in batch.to_pylist()):
        own = _unpacked(row["block"], OWNED)
        cluster = np.array(pc.fill_null(own.column("cluster"), -1))
        offsets, touched = own.column("touched").offsets.to_numpy(), own.column("touched").values.to_numpy()
        if row["numbers"] is not None:
            # In the last place is what has none.
            numbers = np.array([*row["numbers"], -1])
            cluster, touched = numbers[cluster], numbers[touched]
        kind = np.where(cluster >= 0, 0, 2)
        is_border = np.diff(offsets) > 0
        if is_border.any():
            cluster[is_border] = np.minimum.reduceat(touched, offsets[:-1][is_border])
            kind[is_border] = 1
        numbered = pa.array(cluster + 1, pa.int32(), mask=cluster < 0)
        yield pa.RecordBatch.from_arrays([own.column("customer_id"), numbered, KINDS.take(pa.array(kind))], TOLD.names)


def _packed(rows: pa.Table, schema: pa.Schema) -> bytes:
    batches = rows.combine_chunks().cast(schema).to_batches()
    block = batches[0] if batches else pa.RecordBatch.from_pylist([], schema)
    return bytes(block.serialize())


def _unpacked(block: bytes, schema: pa.Schema) -> pa.RecordBatch:
    return pa.ipc.read_record_batch(pa.py_buffer(block), schema)


def _ask(batches: Iterator[pa.RecordBatch], width: int) -> Iterator[pa.RecordBatch]:
    points = np.concatenate([np.zeros((0, width)), *[matrix(batch.column("point"), width) for batch in batches]])
    yield pa.RecordBatch.from_pydict({"asked": pa.array([points[:ASKED].tobytes()], pa.binary())})


def _pack(batches: Iterator[pa.RecordBatch], width: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.num_rows:
            block = matrix(batch.column("point"), width).tobytes()
            yield pa.RecordBatch.from_pydict({"block": pa.array([block], pa.binary())})


def _distances(batches: Iterator[pa.RecordBatch], k: int, width: int) -> Iterator[pa.RecordBatch]:
    """How far the k nearest of some points are from those asked for."""
    nearest: Floats | None = None
    for batch in batches:
        for block, asked in zip(*(batch.column(name).to_pylist() for name in ("block", "asked")), strict=True):
            points, some = (np.frombuffer(of).reshape(-1, width) for of in (block, asked))
            found = density.neighbour_distances(points, some, k)
            nearest = found if nearest is None else np.sort(np.hstack([nearest, found]), axis=1)[:, :k]
    if nearest is not None:
        yield pa.RecordBatch.from_pydict({"nearest": pa.array([nearest.tobytes()], pa.binary())})


def _curve(batches: Iterator[pa.RecordBatch], k: int) -> Iterator[pa.RecordBatch]:
    parts = [np.frombuffer(part.as_py()).reshape(-1, k) for batch in batches for part in batch.column("nearest")]
    if not parts or not parts[0].size:
        return
    last = np.sort(np.sort(np.hstack(parts), axis=1)[:, k - 1])
    last = last[np.isfinite(last)]
    if not last.size:
        return
    percents = np.arange(101)
    distances = np.quantile(last, percents / 100, method="higher")
    # Whoever has so many equals tells nothing of what is near.
    first = min(int(np.searchsorted(distances, 0, side="right")), 100)
    at = first + knee(percents[first:].astype(np.float64), distances[first:])
    yield pa.RecordBatch.from_pydict(
        {
            "percent": pa.array(percents, pa.int32()),
            "distance": pa.array(distances, pa.float64()),
            "is_knee": pa.array(percents == at),
        }
    )
