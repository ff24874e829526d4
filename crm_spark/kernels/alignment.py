"""Groups that are found again: which group of now is which group of then.

Members of both times are counted by both groups. Groups go together so that as many members as can be are in one that
goes with their former one: an optimal assignment. Two that go together only because nothing else was left do not count
as the same: of the members of either, a quarter must be in both (the Jaccard index).

References
----------
Kuhn, H. W. (1955). The Hungarian Method for the Assignment Problem. Naval Research Logistics Quarterly 2.
Spiliopoulou, M. et al. (2006). MONIC: Modeling and Monitoring Cluster Transitions. KDD.
Greene, D., Doyle, D., Cunningham, P. (2010). Tracking the Evolution of Communities in Dynamic Social Networks. ASONAM.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from crm_spark.kernels.likelihood import Floats

SAME = 0.25  # from which Jaccard index on two groups are one

Ints = NDArray[np.int64]


def counterparts(counts: Floats) -> Ints:
    """Give for each group of now the group of then that goes with it.

    Parameters
    ----------
    counts : (m, n) array
        Members by their group of then and of now.

    Returns
    -------
    (n,) array of int
        Places of groups of then; -1 where none goes with it.
    """
    then, now = linear_sum_assignment(counts, maximize=True)
    both = counts[then, now]
    either = counts.sum(axis=1)[then] + counts.sum(axis=0)[now] - both
    is_same = (both > 0) & (both >= SAME * either)
    found = np.full(counts.shape[1], -1)
    found[now[is_same]] = then[is_same]
    return found
