"""Ragged series side by side: each ends in the last row, and what is missing is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels.likelihood import Flags, Floats

Ints = NDArray[np.int64]

LARGEST = 1e150  # whose square is a number too


@dataclass(frozen=True)
class Series:
    """Series that end in the last row.

    Parameters
    ----------
    values : (T, n) array
        What is missing is filled along a line between its neighbours; zeros stand before a series.
    is_missing : (T, n) array of bool
    begin : (n,) array of int
        The row of the first value of each.
    regressors : (T, x, n) array
        Beside the values.
    """

    values: Floats
    is_missing: Flags
    begin: Ints
    regressors: Floats

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.values)


def align(values: Floats, offsets: Ints, which: Ints, regressors: Floats, coming: Floats) -> Series:
    """Lay series side by side.

    Parameters
    ----------
    values : (m,) array
        One series after the other; NaN is missing.
    offsets : (n + 1,) array of int
        Where each begins, and the end of the last.
    which : (k,) array of int
        Series that are wanted: each has a value, and all of theirs are finite or missing.
    regressors : (m, x) array
        One row for each value.
    coming : (n, h, x) array
        Rows to add after the end of each series, where values are missing.
    """
    x, beyond = regressors.shape[1], coming.shape[1]
    parts = [values[offsets[i] : offsets[i + 1]] for i in which]
    known = [np.flatnonzero(~np.isnan(part)) for part in parts]
    sizes = np.array([part.size - at[0] for part, at in zip(parts, known, strict=True)], dtype=np.int64)
    T = int(sizes.max(initial=0)) + beyond
    begin = T - beyond - sizes
    aligned, is_missing = np.zeros((len(parts), T)), np.zeros((len(parts), T), dtype=bool)
    is_missing[:, T - beyond :] = True
    beside = np.zeros((T, x, len(parts)))
    for i, (row, missing, part, at, start) in enumerate(zip(aligned, is_missing, parts, known, begin, strict=True)):
        row[T - beyond :] = part[at[-1]]
        if at.size == T - beyond - start:
            row[start : T - beyond] = part[at[0] :]
        else:
            row[start : T - beyond] = np.interp(np.arange(at[0], part.size), at, part[at])
            missing[start : T - beyond] = np.isnan(part[at[0] :])
        if x:
            own = regressors[offsets[which[i]] + at[0] : offsets[which[i] + 1]]
            beside[start:, :, i] = np.concatenate([own, coming[which[i]]])
    return Series(np.ascontiguousarray(aligned.T), np.ascontiguousarray(is_missing.T), begin, beside)


def ended(values: Floats, offsets: Ints) -> Floats:
    """Lay all series side by side, each ending in the last row, (T, n); NaN is missing, and stands before a series.

    Raises
    ------
    ValueError
        The offsets do not divide the values into series.
    """
    return _beside(values, offsets, offsets[1:] - np.diff(offsets).max(initial=0))


def begun(values: Floats, offsets: Ints) -> Floats:
    """Lay all series side by side, each beginning in the first row, (T, n); NaN is missing, and stands after a series.

    Raises
    ------
    ValueError
        The offsets do not divide the values into series.
    """
    return _beside(values, offsets, offsets[:-1])


def _beside(values: Floats, offsets: Ints, first: Ints) -> Floats:
    """Lay series side by side; `first` is the place in `values` of what stands in the first row, or would."""
    _check(values, offsets)
    sizes = np.diff(offsets)
    aligned = np.full((int(sizes.max(initial=0)), sizes.size), np.nan)
    of = np.repeat(np.arange(sizes.size), sizes)
    aligned[np.arange(values.size) - first[of], of] = values
    return aligned


def parted(aligned: Floats, offsets: Ints) -> Floats:
    """The same back: one series after the other, (m,)."""
    sizes = np.diff(offsets)
    return np.asarray(aligned.T[np.arange(len(aligned)) >= len(aligned) - sizes[:, None]])


def _check(values: Floats, offsets: Ints) -> None:
    if offsets[0] != 0 or offsets[-1] != values.size or (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets must rise from 0 to {values.size}, the number of values")


def refuse(values: Floats, offsets: Ints, least: int) -> NDArray[np.object_]:
    """Say of each series why nothing can be learned from it, or None.

    Parameters
    ----------
    values : (m,) array
    offsets : (n + 1,) array of int
    least : int
        How many values it must have.

    Raises
    ------
    ValueError
        The offsets do not divide the values into series.
    """
    _check(values, offsets)
    sizes = np.diff(offsets)
    of = np.repeat(np.arange(sizes.size), sizes)
    is_known = ~np.isnan(values)
    known = np.bincount(of[is_known], minlength=sizes.size)
    is_far = is_known & ~(np.abs(values) <= LARGEST)
    low, high = np.full(sizes.size, np.inf), np.full(sizes.size, -np.inf)
    np.minimum.at(low, of[is_known], values[is_known])
    np.maximum.at(high, of[is_known], values[is_known])
    reasons = np.full(sizes.size, None, dtype=object)
    reasons[known < least] = f"fewer than {least} values"
    reasons[(known > 1) & (low == high)] = "all values are equal"
    reasons[known == 0] = "no values"
    reasons[np.bincount(of[is_far], minlength=sizes.size) > 0] = "a value is infinite or beyond 1e150"
    return reasons
