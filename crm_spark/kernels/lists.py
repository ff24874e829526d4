"""Rows of an array as lists of Arrow, and back; batches of them gathered."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crm_spark.kernels.likelihood import Floats


def matrix(lists: pa.Array, width: int) -> Floats:
    """Lists of one length as the rows of an array; of a null the row is NaN."""
    rows = np.full((len(lists), width), np.nan)
    rows[np.asarray(lists.is_valid())] = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return rows


def lists(rows: Floats) -> pa.Array:
    """The same back: rows of an array as lists; what is NaN is a null."""
    is_told = np.isfinite(rows).all(axis=1)
    offsets = np.append(0, np.cumsum(is_told * rows.shape[1])).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows[is_told].ravel()), mask=pa.array(~is_told))


def ragged(lists: pa.Array) -> tuple[Floats, NDArray[np.int64]]:
    """Lists of any length as one array after the other, and where each begins and the last ends; a null is NaN."""
    offsets = lists.offsets.to_numpy().astype(np.int64)
    values = np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
    return values, offsets - offsets[0]


def unragged(values: Floats, offsets: NDArray[np.int64]) -> pa.Array:
    """The same back; what is NaN is a null."""
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, from_pandas=True))


def gathered(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Gather batches until they have so many rows, which are worth a call of a kernel; never none."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(one.num_rows for one in held) >= rows:
            yield pa.Table.from_batches(held)
            held = []
    if sum(one.num_rows for one in held):
        yield pa.Table.from_batches(held)
