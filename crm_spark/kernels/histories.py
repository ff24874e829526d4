"""Histories of customers, gathered for models of buying: equal ones are worked on once.

Of each customer three numbers matter: x repeat purchases, the last of them at t_x, and T, the time under
observation; all times count from the first purchase.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_spark.kernels.likelihood import Derive, Estimate, Floats, best, nothing

FEW, MANY = 2_000, 20_000  # histories on which the search begins and goes on


@dataclass(frozen=True)
class Histories:
    """Distinct histories, ordered, and how many customers have each.

    Parameters
    ----------
    x, t_x, T, customers : (n,) arrays
    of : (m,) array of int
        For each customer the place of their history.
    """

    x: Floats
    t_x: Floats
    T: Floats
    customers: Floats
    of: NDArray[np.int64]

    @cached_property
    def by_end(self) -> "Histories":
        """Give the distinct (x, T)."""
        return histories(self.x, np.zeros_like(self.T), self.T)

    @cached_property
    def by_last(self) -> "Histories":
        """Give the distinct (x, t_x), the latter as T."""
        return histories(self.x, np.zeros_like(self.t_x), self.t_x)


def histories(x: Floats, t_x: Floats, T: Floats, customers: Floats | None = None) -> Histories:
    """Gather equal histories: what follows works on the distinct ones.

    Parameters
    ----------
    x, t_x, T : (m,) arrays
        Of each customer; times in any one unit.
    customers : (m,) array, optional
        How many customers each row stands for.
    """
    # By hashing: to sort a million floats three times would take longer than the fit.
    codes, distinct = zip(*[pd.factorize(column, sort=True) for column in (x, t_x, T)], strict=True)
    code = (codes[0] * distinct[1].size + codes[1]) * distinct[2].size + codes[2]
    # Which of equal rows comes first is no matter, so the quickest sort will do: np.unique takes three times as long.
    order = np.argsort(code)
    is_new = np.diff(code[order], prepend=-1) != 0
    of = np.empty(code.size, dtype=np.int64)
    of[order] = np.cumsum(is_new) - 1
    one = order[is_new]
    counts = np.bincount(of, weights=customers, minlength=one.size)
    kept = [np.asarray(column, dtype=np.float64)[one] for column in (x, t_x, T)]
    return Histories(kept[0], kept[1], kept[2], counts.astype(np.float64), of)


def distinct_columns(
    rows: NDArray[np.int32], customers: NDArray[Any] | None = None
) -> tuple[NDArray[np.int32], Floats]:
    """Gather equal columns of whole numbers: each once, in one order whatever that given, with its customers.

    Parameters
    ----------
    rows : (k, m) array
    customers : (m,) array, optional
        How many each column stands for; by default one.

    Returns
    -------
    (k, n) array, (n,) array
    """
    keys = [_small(row) for row in rows if (row != row[:1]).any()]  # what is all the same orders nothing
    order = np.lexsort(keys) if keys else np.arange(rows.shape[1])
    rows = rows[:, order]
    is_new = np.ones(order.size, dtype=bool)
    is_new[1:] = (np.diff(rows, axis=1) != 0).any(axis=0) if len(rows) else False
    first = np.flatnonzero(is_new)
    counts = np.diff(first, append=order.size)
    if customers is not None and order.size:
        counts = np.add.reduceat(customers[order], first)
    return rows[:, first], counts.astype(np.float64)


def _small(numbers: NDArray[np.int32]) -> NDArray[Any]:
    """Numbers of 16 bits where the same can be told by them: NumPy sorts these by their digits."""
    least = int(numbers.min())
    return (numbers - least).astype(np.uint16) if int(numbers.max()) - least < 2**16 else numbers


def of_rows(ask: Callable[..., Floats], parameters: Floats, x: Floats, t_x: Floats, T: Floats) -> Floats:
    """Ask a function of rows about histories that are broadcast against each other.

    Parameters
    ----------
    ask : function
        Of parameters, x, t_x and T, all of (n,), parameters (k,) or (k, n).
    parameters : (k,) array, or (k, n) array with those of each x
    x : (n,) array
    t_x, T : (n,) arrays, or (m, 1) arrays

    Returns
    -------
    (n,) array, or (m, n) array
    """
    rows = np.broadcast_arrays(x, t_x, T, *parameters)
    flat = [row.ravel() for row in rows]
    own = np.stack(flat[3:]) if parameters.ndim > 1 else parameters
    return ask(own, *flat[:3]).reshape(rows[0].shape)


def search(
    likelihood: Callable[[Histories], Derive],
    among: Histories,
    names: Sequence[str],
    starts: Sequence[Floats],
    start: Floats | None = None,
) -> Estimate:
    """Find the parameters at which the likelihood of histories is greatest.

    Parameters
    ----------
    likelihood : callable
        Gives for histories what derives their log-likelihood.
    starts : sequence of (k,) arrays
        All are tried on few histories; the search on more begins at the best of what they found.
    start : (k,) array, optional
        Where a former search ended; the others are tried only where there is no maximum near it.
    """
    if not (among.x > 0).any():
        return nothing(len(names), "no customer bought again")
    if start is not None:
        near = best(likelihood(among), names, [start], float(among.customers.sum()))
        if not near.reason:
            return near
    for most in (FEW, MANY):
        step = among.x.size // most
        if step > 1:
            few = _every(among, step)
            found = best(likelihood(few), names, starts, float(few.customers.sum()))
            starts = starts if found.reason else [found.parameters]
    return best(likelihood(among), names, starts, float(among.customers.sum()))


def _every(among: Histories, step: int) -> Histories:
    x, t_x, T, customers = (column[::step] for column in (among.x, among.t_x, among.T, among.customers))
    return Histories(x, t_x, T, customers, of=np.empty(0, dtype=np.int64))


def begin(among: Histories, guesses: Sequence[Sequence[float]], times: Sequence[bool]) -> list[Floats]:
    """Give the parameters from which to search.

    Parameters
    ----------
    guesses : sequence of k numbers
        In units of the mean T.
    times : k booleans
        Whether a parameter is a time.
    """
    unit = np.where(times, (among.customers @ among.T) / max(among.customers.sum(), 1.0) or 1.0, 1.0)
    return [np.asarray(guess, dtype=np.float64) * unit for guess in guesses]
