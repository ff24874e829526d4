"""Sums and quotients of many series at once, which for one of them do not depend on the others."""

import numpy as np

from crm_spark.kernels.likelihood import Floats


def add_up(rows: Floats) -> Floats:
    """Add up rows (k, ...) one after the other: a single column NumPy would add up in another order."""
    if not len(rows) or rows[0].size != 1:
        return np.asarray(np.add.reduce(rows, axis=0))
    return np.asarray(np.cumsum(rows, axis=0)[-1])


def ratio(part: Floats, whole: Floats) -> Floats:
    """Give the quotient, or NaN where there is nothing to divide by."""
    quotient = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(part, whole, out=quotient, where=whole != 0)
    return quotient
