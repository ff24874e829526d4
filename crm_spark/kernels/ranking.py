"""How well scores rank what came true before what did not: the area below the curve, and what is gained.

Rows of one score are in no order: each of them counts as their mean.

References
----------
Hanley, J. A., McNeil, B. J. (1982). The meaning and use of the area under a ROC curve. Radiology 143, 29-36.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from crm_spark.kernels.likelihood import Floats


def area(scores: Floats, is_true: NDArray[np.bool_]) -> float:
    """Give the probability that one that came true has a higher score than one that did not, ties by half (AUC).

    NaN where all came true, or none.
    """
    hits = int(is_true.sum())
    misses = is_true.size - hits
    if not hits or not misses:
        return float("nan")
    ranks = float(rankdata(scores)[is_true].sum())
    return (ranks - hits * (hits + 1) / 2) / (hits * misses)


def gains(scores: Floats, is_true: NDArray[np.bool_], parts: int = 10) -> Floats:
    """Give the share of all that came true among the rows of highest scores: the first part of them, the first two, ...

    NaN where none came true.

    Returns
    -------
    (parts,) array
    """
    hits = int(is_true.sum())
    if not hits:
        return np.full(parts, np.nan)
    _, group, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    of_group = np.bincount(group, is_true, sizes.size)
    rows, found = (np.append(0, np.cumsum(each)) for each in (sizes, of_group))
    return np.asarray(np.interp(np.arange(1, parts + 1) * is_true.size / parts, rows, found) / hits)
