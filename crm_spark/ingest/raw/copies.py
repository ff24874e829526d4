"""Number equal records of one file in little memory: 20 bytes a distinct record, twice that for a moment."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Counts = NDArray[np.int32]
Digests = NDArray[np.uint8]


class Run(NamedTuple):
    """Digests seen, sorted by their first word, each with how often it was seen."""

    high: Words
    low: Words
    seen: Counts


class Copies:
    """Tells of each record how many equal ones came before it, itself counted.

    Digests seen are kept in sorted runs of growing size, like a log-structured merge tree: a batch is looked
    up in each run at once, and two neighbours of like size become one.
    """

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def number(self, digests: Digests) -> Counts:
        """Number the records of the next batch, given 16 bytes of digest each; the first of its like is 1."""
        high, low = digests.view(np.uint64).reshape(-1, 2).T
        order = _order(high, low)
        high, low = high[order], low[order]
        starts = np.flatnonzero(np.r_[True, (high[1:] != high[:-1]) | (low[1:] != low[:-1])])
        sizes = np.diff(np.r_[starts, len(order)]).astype(np.int32)
        before = self._count(high[starts], low[starts], sizes)

        copies = np.empty(len(order), np.int32)
        copies[order] = np.arange(1, len(order) + 1) + np.repeat(before - starts, sizes)
        return copies

    def _count(self, high: Words, low: Words, sizes: Counts) -> Counts:
        """Give how often each distinct digest was seen before, and remember that it was seen again."""
        before = np.zeros(len(high), np.int32)
        for run in self._runs:
            found, at = _find(run, high, low)
            before[found] = run.seen[at]
            run.seen[at] += sizes[found]
        new = before == 0
        self._remember(Run(high[new], low[new], sizes[new]))
        return before

    def _remember(self, run: Run) -> None:
        self._runs.append(run)
        while len(self._runs) > 1 and len(self._runs[-2].high) < 2 * len(self._runs[-1].high):
            last, earlier = self._runs.pop(), self._runs.pop()
            self._runs.append(_merged(earlier, last))


def _order(high: Words, low: Words) -> NDArray[np.intp]:
    """Sort digests, equal ones as they came: by one word that ends in their place, unless that is not enough."""
    places = np.uint64((1 << len(high).bit_length()) - 1)
    words = (high & ~places) | np.arange(len(high), dtype=np.uint64)
    words.sort()
    order = (words & places).astype(np.intp)
    one, next_ = order[:-1], order[1:]
    is_near = np.flatnonzero((words[1:] ^ words[:-1]) <= places)
    one, next_ = one[is_near], next_[is_near]
    if ((high[one] != high[next_]) | (low[one] != low[next_])).any():
        return np.lexsort((low, high))
    return order


def _find(run: Run, high: Words, low: Words) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give which of the digests are in a run, and where; distinct digests may share their first word."""
    sought, at = np.arange(len(high)), np.searchsorted(run.high, high)
    found, places = [], []
    while True:
        near = at < len(run.high)
        near[near] = run.high[at[near]] == high[sought[near]]
        sought, at = sought[near], at[near]
        if not len(sought):
            break
        same = run.low[at] == low[sought]
        found.append(sought[same])
        places.append(at[same])
        sought, at = sought[~same], at[~same] + 1
    none = np.empty(0, np.intp)
    return np.concatenate([none, *found]), np.concatenate([none, *places])


def _merged(one: Run, other: Run) -> Run:
    of_other = np.searchsorted(one.high, other.high) + np.arange(len(other.high))
    is_one = np.ones(len(one.high) + len(other.high), np.bool_)
    is_one[of_other] = False
    of_one = np.flatnonzero(is_one)
    merged = Run(
        np.empty(len(is_one), np.uint64),
        np.empty(len(is_one), np.uint64),
        np.empty(len(is_one), np.int32),
    )
    for at, run in ((of_one, one), (of_other, other)):
        merged.high[at], merged.low[at], merged.seen[at] = run
    return merged
