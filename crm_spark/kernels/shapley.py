"""Shapley values: what each part of a thing contributes to its worth, so that contributions add up.

A coalition is a set of parts that are known; `v` of it is what is expected then. The contribution of part j is
the mean, over all orders in which parts may become known, of what is added when j does:
`phi_j = sum over S without j of |S|! (d - |S| - 1)! / d! * (v(S + j) - v(S))`. Contributions add up to
`v(all) - v(none)`. A coalition is a number whose bit j tells whether part j is in it.

References
----------
Shapley, L. S. (1953). A Value for n-Person Games. Contributions to the Theory of Games II, 307-317.
Dietzenbacher, E., Los, B. (1998). Structural Decomposition Techniques: Sense and Sensitivity. Economic Systems
Research 10(4), 307-324.
"""

from functools import lru_cache
from math import factorial

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels.likelihood import Floats


@lru_cache
def operator(d: int) -> Floats:
    """Give the matrix that makes contributions of what coalitions are worth: `v @ operator`.

    Returns
    -------
    (2**d, d) array
    """
    inside = members(d)
    size = inside.sum(axis=1)
    weights = np.array([factorial(s - 1) * factorial(d - s) / factorial(d) for s in range(1, d + 1)] + [0.0])
    # With j the coalition gains, without it the one that j would join loses: the weight is that of the larger one.
    return np.asarray(np.where(inside, weights[size - 1][:, None], -weights[size][:, None]))


@lru_cache
def members(d: int) -> NDArray[np.bool_]:
    """Tell which parts are in each coalition, (2**d, d)."""
    return (np.arange(1 << d)[:, None] >> np.arange(d) & 1).astype(bool)


def products(parts: Floats) -> Floats:
    """Give the product of the parts of each coalition, (n, 2**d); of no part it is 1.

    Parameters
    ----------
    parts : (n, d) array
    """
    found = np.ones((len(parts), 1))
    for part in parts.T:
        found = np.concatenate([found, found * part[:, None]], axis=1)
    return found


def against_population(parts: Floats, means: Floats) -> Floats:
    """Attribute each product of parts, against its mean over a population.

    What is not known of a customer is as in the population: v(S) is the product of the customer's parts in S by the
    mean, over the population, of the product of the others.

    Parameters
    ----------
    parts : (n, d) array
    means : (2**d,) array
        The mean of `products` over the population.

    Returns
    -------
    (n, d) array
        Rows add up to the product less the mean product, `means[-1]`.
    """
    return np.asarray((products(parts) * means[::-1]) @ operator(parts.shape[1]))


def between(before: Floats, now: Floats) -> Floats:
    """Attribute the change of a product to the changes of its parts: the mean of all d! ways to change them in turn.

    Parameters
    ----------
    before, now : (n, d) arrays

    Returns
    -------
    (n, d) array
        Rows add up to the product now less the product before.
    """
    return np.asarray((products(now) * products(before)[:, ::-1]) @ operator(now.shape[1]))
