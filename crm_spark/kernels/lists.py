"""Rows of an array as lists of Arrow, and back."""

import numpy as np
import pyarrow as pa

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
