"""Rows of an array as lists of Arrow, and back."""

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


def padded(lists: pa.Array) -> Floats:
    """Lists of any length as the columns of an array, (longest, n); NaN where a value is missing, and after its end."""
    starts = lists.offsets.to_numpy()
    lengths = np.diff(starts)
    columns = np.full((len(lists), int(lengths.max(initial=0))), np.nan)
    columns[np.arange(columns.shape[1]) < lengths[:, None]] = lists.flatten().to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(columns.T)


def unpadded(columns: Floats, lengths: NDArray[np.int64]) -> pa.Array:
    """The same back: columns of an array as lists of these lengths; what is NaN is missing."""
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int32)
    told = columns.T[np.arange(len(columns)) < lengths[:, None]]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(told, from_pandas=True))
