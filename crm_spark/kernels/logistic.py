"""Logistic regression of several folds side by side, by Newton's method from sums over rows.

Of each fold a model is sought that has learned from all other rows. It minimises the mean of
`log(1 + exp(eta)) - y eta` plus `penalty / 2` times the sum of the squared slopes of columns brought to mean 0 and
standard deviation 1. Rows are seen through sums alone, so they may lie anywhere: `sums` makes them of a part of the
rows, `search` asks for those of all, some seven times.

References
----------
Hastie, T., Tibshirani, R., Friedman, J. (2009). The Elements of Statistical Learning, 2nd ed. Springer, section 4.4.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from crm_spark.kernels.likelihood import Flags, Floats

STEPS = 40
ENOUGH = 1e-10  # what a last step may still gain


@dataclass(frozen=True)
class Sums:
    """What rows tell of the models of F folds, each at its place, over the rows outside its fold.

    Parameters
    ----------
    loss : (F,) array
        Not yet divided by the rows, without the penalty.
    gradient : (F, k + 1) array
        The intercept first.
    hessian : (F, k + 1, k + 1) array
    """

    loss: Floats
    gradient: Floats
    hessian: Floats


Ask = Callable[[Floats], Sums]  # of models at (F, k + 1)


def scale(rows: float, sums: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """Give mean and standard deviation of columns from their sums; 1 instead of 0 where all are alike."""
    mean = sums / rows
    spread = np.maximum(squares / rows - mean**2, 0.0)
    is_flat = spread <= 1e-12 * np.maximum(mean**2, 1e-300)
    return mean, np.sqrt(np.where(is_flat, 1.0, spread))


def sums(points: Floats, is_true: Flags, fold: NDArray[np.int64], models: Floats) -> Sums:
    """Sum up over some rows.

    Parameters
    ----------
    points : (n, k) array
        Scaled.
    is_true : (n,) array of bool
    fold : (n,) array of int
    models : (F, k + 1) array
        The intercept first.
    """
    known = np.column_stack([np.ones(len(points)), points])
    eta = known @ models.T
    is_learned = fold[:, None] != np.arange(len(models))
    chance = special.expit(eta)
    loss = (np.where(is_learned, np.logaddexp(0.0, eta) - is_true[:, None] * eta, 0.0)).sum(axis=0)
    gradient = np.where(is_learned, chance - is_true[:, None], 0.0).T @ known
    weights = np.where(is_learned, chance * (1 - chance), 0.0)
    hessian = np.stack([(known * of[:, None]).T @ known for of in weights.T])
    return Sums(loss, gradient, hessian)


def search(ask: Ask, rows: Floats, columns: int, penalty: float) -> Floats:
    """Find the models.

    Parameters
    ----------
    ask : callable
        Gives the sums over all rows.
    rows : (F,) array
        How many each learns from.
    columns : int
    penalty : float
        Above 0: then there is one minimum, whatever the rows are.

    Returns
    -------
    (F, k + 1) array
        The intercept first.
    """
    ridge = np.append(0.0, np.full(columns, penalty))
    at = held = step = np.zeros((rows.size, columns + 1))
    best, gain, length = np.full(rows.size, np.inf), np.full(rows.size, np.inf), np.ones(rows.size)
    for _ in range(STEPS):
        told = ask(at)
        loss = told.loss / rows + (ridge * at**2).sum(axis=1) / 2
        gradient = told.gradient / rows[:, None] + ridge * at
        # Where all who are learned from choose alike the intercept has no curvature in the end.
        hessian = told.hessian / rows[:, None, None] + np.diag(ridge + 1e-12)
        newton = -np.linalg.solve(hessian, gradient[..., None])[..., 0]
        # A step that leads upwards is halved.
        is_lower = loss <= best + ENOUGH
        best, length = np.where(is_lower, loss, best), np.where(is_lower, 1.0, length / 2)
        gain = np.where(is_lower, -(gradient * newton).sum(axis=1) / 2, gain)
        held, step = np.where(is_lower[:, None], at, held), np.where(is_lower[:, None], newton, step)
        if (gain < ENOUGH).all():
            break
        at = held + length[:, None] * step
    return held
