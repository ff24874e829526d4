"""What was found for each number of segments, and which number is taken.

Three measures speak of it. The silhouette is the mean over customers of `(b - a) / max(a, b)`, a being the mean squared
distance to one's own segment, b to the nearest other one. Stability is how alike segments are when they are sought
again among customers drawn anew, by the adjusted Rand index. The squares within segments fall with each further one;
at the elbow they begin to fall little.

References
----------
Thorndike, R. L. (1953). Who Belongs in the Family? Psychometrika 18.
Rousseeuw, P. J. (1987). Silhouettes. J. Comput. Appl. Math. 20.
Dolnicar, S., Leisch, F. (2010). Evaluation of Structure and Reproducibility of Cluster Solutions Using the Bootstrap.
Marketing Letters 21.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from crm_spark.kernels.knee import knee

Centres = list[list[float]]
By = Literal["silhouette", "stability", "elbow"]
DIGITS = 9  # decimal places that are kept: sums of doubles differ in the last digits from run to run


@dataclass(frozen=True)
class Found:
    """What was found for a number of segments.

    Parameters
    ----------
    centres : list of list of float
        Those that differ: fewer than k where customers differ in fewer ways.
    within : float, optional
        Sum of squared distances of all customers to their centre.
    silhouette, stability : float, optional
    reason : str, optional
        Why there are no measures, or not all.
    """

    k: int
    centres: Centres
    within: float | None
    silhouette: float | None = None
    stability: float | None = None
    reason: str | None = None


def told(found: Sequence[Found]) -> list[Found]:
    """Keep one of each number of centres; for each k for which customers differ in fewer ways say so.

    Parameters
    ----------
    found : sequence of Found
        By rising k.
    """
    kept: dict[int, Found] = {}
    for place, one in enumerate(found):
        ways = len(one.centres)
        kept.setdefault(ways, replace(one, k=ways))
        if ways < one.k:  # and so it is for every greater k
            alike = f"customers differ in {ways} ways only" if ways > 1 else "all customers are alike"
            reason = f"{alike}; other features may tell more apart"
            untold = [Found(other.k, [], None, reason=reason) for other in found[place:]]
            return [*kept.values(), *untold]
    return list(kept.values())


def choose(found: Sequence[Found], by: By) -> Found:
    """Give the one whose number of segments is best, of equals the least.

    Parameters
    ----------
    found : sequence of Found
        As `told` gives it; one or more.
    """
    among = sorted((one for one in found if one.centres), key=lambda one: one.k)
    if by == "elbow":
        k, within = (np.array(of, dtype=np.float64) for of in zip(*((one.k, one.within) for one in among), strict=True))
        return among[knee(k, within)]
    return max(among, key=lambda one: (_or_least(getattr(one, by)), -one.k))


def settled(value: float) -> float:
    """Leave out the digits that another order of summing changes."""
    return round(float(value), DIGITS) + 0.0  # there is no -0


def _or_least(measure: float | None) -> float:
    return -np.inf if measure is None else measure
