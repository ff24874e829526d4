"""Concentration: which share of an amount the first customers have, the Gini coefficient, and how sure these are.

Amounts are ordered from the greatest. x_0 >= x_1 >= … are of n customers; the first p percent have the sum of the
first p n / 100 of them, the last one in part, over that of all. The Gini coefficient is one half of the mean
difference of all pairs over the mean: G = (n - 1) / n - 2 sum of r x_r / (n sum of x_r).

Customers lie in parts, so sums are taken over cells of neighbouring ranks. What is asked for is exact: where a wanted
share ends inside a customer, this customer is a cell alone, and sum of r x_r adds up.

Intervals are by the Poisson bootstrap: in each replicate each customer counts w times, w from Poisson(1), as if
customers were drawn anew with replacement. w follows from a hash of the key, so parts need not know of each other.
Within a cell, replicates are straight lines; what that moves the estimate by is taken off theirs.

References
----------
Lorenz, M. O. (1905). Methods of Measuring the Concentration of Wealth. JASA 9(70).
Chamandy, N., Muralidharan, O., Najmi, A., Naidu, S. (2012). Estimating Uncertainty for Massive Data Streams. Google.
Steele, G. L., Lea, D., Flood, C. H. (2014). Fast Splittable Pseudorandom Number Generators. OOPSLA: the hash.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels.likelihood import Floats

PERCENT = (0, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
CELLS = 1_000
REPLICATES = 200
LEVELS = (0.025, 0.975)

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sums:
    """What is added up of each cell; of parts of a cell the sums are those of both.

    Parameters
    ----------
    cell : (c,) array of int
    customers, amount, moment : (c,) arrays
        How many, sum of x, sum of r x.
    least : (c,) array
        The least x.
    weights, weighted : (c, REPLICATES) arrays
        Sums of w and of w x.
    """

    cell: Ints
    customers: Ints
    amount: Floats
    moment: Floats
    least: Floats
    weights: Floats
    weighted: Floats


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its 95 % interval, which are not numbers where it cannot be told."""

    value: float
    low: float
    high: float


def edges(n: int) -> Ints:
    """Give the ranks at which cells begin, and n: even steps, and each customer inside of whom a wanted share ends."""
    wanted = np.array(PERCENT) * n // 100
    steps = np.arange(CELLS + 1) * n // CELLS
    return np.unique(np.minimum(np.concatenate([steps, wanted, wanted + 1]), n))


def sums(rank: Ints, x: Floats, key: Ints, n: int) -> Sums:
    """Add up some customers by cell.

    Parameters
    ----------
    rank : (m,) array of int
        Rising.
    x : (m,) array
        Falling.
    key : (m,) array of int
        64 bits that tell who the customer is.
    n : int
        Customers in all.

    Returns
    -------
    Sums
        Memory is four times the input, and what is given back.
    """
    cell = np.searchsorted(edges(n), rank, side="right") - 1
    starts = np.flatnonzero(np.diff(cell, prepend=-1))

    def add(rows: Floats) -> Floats:
        return np.asarray(np.add.reduceat(rows, starts, axis=0), dtype=np.float64)

    weights, weighted = np.empty((2, starts.size, REPLICATES))
    for at, salt in enumerate(range(0, REPLICATES, 4)):
        w = _weights(key, at).astype(np.float64)
        weights[:, salt : salt + 4], weighted[:, salt : salt + 4] = add(w), add(w * x[:, None])
    count = np.diff(np.append(starts, x.size))
    return Sums(cell[starts], count, add(x), add(rank * x), np.minimum.reduceat(x, starts), weights, weighted)


def together(parts: Sums) -> Sums:
    """Add up parts of cells, and put cells in order."""
    order = np.argsort(parts.cell, kind="stable")
    cell = parts.cell[order]
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    customers, amount, moment, weights, weighted = (
        np.add.reduceat(rows[order], starts, axis=0)
        for rows in (parts.customers, parts.amount, parts.moment, parts.weights, parts.weighted)
    )
    least = np.minimum.reduceat(parts.least[order], starts)
    return Sums(cell[starts], customers, amount, moment, least, weights, weighted)


def shares(cells: Sums) -> tuple[list[Estimate], Estimate]:
    """Give what the first PERCENT customers have, from 0 to 1, and the Gini coefficient.

    Parameters
    ----------
    cells : Sums
        Of all customers, as `together` gives them.

    Raises
    ------
    ValueError
        The amounts add up to nothing, or to less.
    """
    n, total = int(cells.customers.sum()), float(cells.amount.sum())
    if total <= 0:
        raise ValueError("all customers together have none")
    curve, binned = _curve(cells.customers[:, None].astype(np.float64), cells.amount[:, None])
    exact = (n - 1) / n - 2 * float(cells.moment.sum()) / (n * total)
    is_drawn = cells.weighted.sum(axis=0) > 0
    drawn, drawn_gini = _curve(cells.weights[:, is_drawn], cells.weighted[:, is_drawn])
    points = [_estimate(float(curve[at, 0]), drawn[at], n) for at in range(len(PERCENT))]
    gini = _estimate(exact, drawn_gini + (exact - binned[0]), n)
    return points, gini


def _curve(weights: Floats, weighted: Floats) -> tuple[Floats, Floats]:
    """The shares at PERCENT, (points, replicates), and Gini coefficients by trapezoids."""
    upto, sums_ = (np.pad(np.cumsum(of, axis=0), ((1, 0), (0, 0))) for of in (weights, weighted))
    upto, sums_ = upto / upto[-1], sums_ / sums_[-1]
    at = np.array(PERCENT) / 100
    columns = [np.interp(at, one, other) for one, other in zip(upto.T, sums_.T, strict=True)]
    area = (np.diff(upto, axis=0) * (sums_[1:] + sums_[:-1])).sum(axis=0)
    return np.array(columns).reshape(-1, at.size).T, area - 1


def _estimate(value: float, drawn: Floats, n: int) -> Estimate:
    low, high = np.quantile(drawn, LEVELS) if n > 1 and drawn.size else (np.nan, np.nan)
    return Estimate(value, float(low), float(high))


def _weights(key: Ints, number: int) -> NDArray[np.uint8]:
    """Poisson(1) of each key in four replicates, (m, 4): 64 mixed bits are four even numbers of 16 bits."""
    with np.errstate(over="ignore"):
        bits = key.astype(np.uint64) + np.uint64(number + 1) * np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits = bits ^ (bits >> np.uint64(31))
    return POISSON[bits.view(np.uint16).reshape(-1, 4)]


def _poisson() -> NDArray[np.uint8]:
    """For each number of 16 bits how often a customer counts: the quantile of Poisson(1) in its middle."""
    chances = np.exp(-1) / np.cumprod(np.maximum(np.arange(12), 1))
    return np.searchsorted(np.cumsum(chances), (np.arange(2**16) + 0.5) / 2**16).astype(np.uint8)


POISSON = _poisson()
