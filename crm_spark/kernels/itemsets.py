"""Frequent itemsets: which items stand together in many baskets, each set with the number of baskets that hold it.

An item is a bitmap, one bit for each basket; a set is the AND of its items, its count the bits that are left. Each
item in turn, the rarest first: of the baskets that hold it, the items that make a frequent pair with it are packed
anew, which makes the bitmaps as short as the item is rare. Sets grow depth-first from there (Eclat), each prefix with
all that may follow it in one AND.

Items are whole numbers from 0, the rarest first: then prefixes are rare and bitmaps short. Where items are of several
levels (a product and its category), a set with an item and what it is part of says the same as without the latter:
such items are kept apart.

References
----------
Zaki, M. J. (2000). Scalable Algorithms for Association Mining. IEEE TKDE 12(3), 372-390: Eclat.
Agrawal, R., Srikant, R. (1994). Fast Algorithms for Mining Association Rules. VLDB, 487-499: Apriori.
Srikant, R., Agrawal, R. (1995). Mining Generalized Association Rules. VLDB, 407-419: items of several levels.
Savasere, A., Omiecinski, E., Navathe, S. (1995). An Efficient Algorithm for Mining Association Rules. VLDB, 432-444:
what is frequent in all baskets is so in one part of them.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Ints = NDArray[np.int64]
Bits = NDArray[np.uint64]

AT_ONCE = 1 << 22  # words of bitmaps that are made at once: 32 MB


class TooMany(ValueError):
    """More sets than allowed; `sets` is how many there are at least."""

    def __init__(self, sets: int) -> None:
        super().__init__(f"there are {sets} sets or more")
        self.sets = sets


@dataclass(frozen=True)
class Baskets:
    """Baskets of items: those of basket b are `items[offsets[b]:offsets[b + 1]]`, none twice, in any order."""

    items: Ints
    offsets: Ints

    @property
    def count(self) -> int:
        """How many there are, empty ones too."""
        return self.offsets.size - 1


@dataclass(frozen=True)
class Itemsets:
    """Sets of one size: a row of `items` each, rising, and the baskets that hold them."""

    items: Ints
    counts: Ints


def least(support: float, baskets: int) -> int:
    """Give the least count with a support, at least 1: rounded up from the decimal number that the support is."""
    return max(ceil(Fraction(repr(float(support))) * baskets), 1)


def mine(
    baskets: Baskets, minimum: int, longest: int | None = None, most: int | None = None, apart: Ints | None = None
) -> list[Itemsets]:
    """Find every set of items that `minimum` baskets or more hold.

    Parameters
    ----------
    longest : int, optional
        Items of a set at most.
    most : int, optional
        Sets at most.
    apart : (r, 2) array of int, optional
        Pairs of items of which no set has both, the lesser first.

    Returns
    -------
    list of Itemsets
        Of sets of one item, of two, and so on, until there are none; in no order.

    Raises
    ------
    TooMany
        There are more than `most`.
    """
    counts = np.bincount(baskets.items)
    frequent = np.flatnonzero(counts >= minimum)
    found = _Found(longest, most, {} if apart is None else _after(apart))
    found.add((), frequent, counts[frequent])
    if found.is_open(2):
        _pairs(_among(baskets, frequent, 2), frequent, minimum, found)
    return found.levels()


def count(baskets: Baskets, sets: Ints) -> Ints:
    """Count the baskets that hold each of some sets.

    Parameters
    ----------
    sets : (s, k) array of int
        A set a row, its items rising.
    """
    if sets.shape[1] == 1:
        return np.bincount(baskets.items, minlength=int(sets.max(initial=-1)) + 1)[sets[:, 0]]
    items, places = np.unique(sets, return_inverse=True)
    places = places.reshape(sets.shape)
    stands = _Stands.of(_among(baskets, items, sets.shape[1]), items.size)
    order = np.argsort(places[:, 0], kind="stable")
    firsts, starts = np.unique(places[order, 0], return_index=True)
    counts = np.empty(len(sets), np.int64)
    for first, of in zip(firsts, np.split(order, starts[1:]), strict=True):
        after, columns = np.unique(places[of, 1:], return_inverse=True)
        bitmaps = _packed(_among(stands.after(first), after, sets.shape[1] - 1), after.size)
        counts[of] = _held(bitmaps, columns.reshape(of.size, -1))
    return counts


def candidates(sets: Ints) -> int:
    """Give how many sets with one more item two of some sets make, before any is struck out."""
    sizes = np.unique(sets[:, :-1], axis=0, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())


def join(sets: Ints, apart: Ints | None = None) -> Ints:
    """Make the sets with one more item of which every part with one less is among some sets (Apriori).

    Parameters
    ----------
    sets : (s, k) array of int
        A set a row, its items rising.
    apart : (r, 2) array of int, optional
        Pairs that are not made, the lesser item first: what holds them is not made then either.

    Returns
    -------
    (c, k + 1) array of int
        Likewise.
    """
    size = sets.shape[1]
    sets = sets[np.lexsort(sets.T[::-1])]
    _, starts, sizes = np.unique(sets[:, :-1], axis=0, return_index=True, return_counts=True)
    ends = np.repeat(starts + sizes, sizes)
    later = ends - np.arange(len(sets)) - 1
    left = np.repeat(np.arange(len(sets)), later)
    right = left + 1 + np.arange(left.size) - np.repeat(np.cumsum(later) - later, later)
    made = np.column_stack([sets[left], sets[right, -1]])
    if size == 1 and apart is not None:
        made = made[~np.isin(_keys(made), _keys(apart))]
    known = _keys(sets)
    for gone in range(size - 1):
        made = made[np.isin(_keys(np.delete(made, gone, axis=1)), known)]
    return made


def greatest(sets: Ints, larger: Itemsets) -> Ints:
    """Give for each set the greatest count of those with one more item, 0 where there is none.

    Parameters
    ----------
    sets : (s, k) array of int
        A set a row, its items rising; each part of the larger ones is among them.
    """
    parts = [np.delete(larger.items, gone, axis=1) for gone in range(larger.items.shape[1])]
    _, at = np.unique(_keys(np.concatenate([sets, *parts])), return_inverse=True)
    counts = np.zeros(at.size, np.int64)
    np.maximum.at(counts, at[len(sets) :], np.tile(larger.counts, len(parts)))
    return counts[at[: len(sets)]]


@dataclass
class _Found:
    """What was found so far, by size: prefixes, each with the items that follow it."""

    longest: int | None
    most: int | None
    apart: dict[int, Ints]
    sets: int = 0
    by_size: dict[int, list[tuple[tuple[int, ...], Ints, Ints]]] = field(default_factory=dict)

    def is_open(self, size: int) -> bool:
        """Whether sets of that size are wanted."""
        return self.longest is None or size <= self.longest

    def followers(self, item: int, items: Ints, counts: Ints, minimum: int) -> Ints:
        """Places of those items that may follow another, and do so often enough."""
        after = np.flatnonzero(counts >= minimum)
        return after[~np.isin(items[after], self.apart[item])] if item in self.apart else after

    def add(self, prefix: tuple[int, ...], items: Ints, counts: Ints) -> None:
        self.sets += items.size
        if self.most is not None and self.sets > self.most:
            raise TooMany(self.sets)
        if items.size:
            self.by_size.setdefault(len(prefix) + 1, []).append((prefix, items, counts))

    def levels(self) -> list[Itemsets]:
        return [_level(self.by_size[size]) for size in sorted(self.by_size)]


def _level(parts: list[tuple[tuple[int, ...], Ints, Ints]]) -> Itemsets:
    sizes = [items.size for _, items, _ in parts]
    prefixes = np.array([prefix for prefix, _, _ in parts], np.int64).reshape(len(parts), -1)
    last = np.concatenate([items for _, items, _ in parts])
    return Itemsets(
        np.column_stack([np.repeat(prefixes, sizes, axis=0), last]), np.concatenate([counts for _, _, counts in parts])
    )


def _after(apart: Ints) -> dict[int, Ints]:
    """Of each item those greater ones that it is kept apart from."""
    apart = apart[np.lexsort(apart.T[::-1])]
    items, starts = np.unique(apart[:, 0], return_index=True)
    return dict(zip(items.tolist(), np.split(apart[:, 1], starts[1:]), strict=False))


def _among(baskets: Baskets, items: Ints, size: int) -> Baskets:
    """Baskets with so many of some items or more, which are told by their places from now on, rising."""
    top = max(int(of.max(initial=-1)) for of in (baskets.items, items))
    place = np.full(top + 1, -1)
    place[items] = np.arange(items.size)
    places = place[baskets.items]
    is_wanted = places >= 0
    ends = np.append(0, np.cumsum(is_wanted))[baskets.offsets]
    lengths = np.diff(ends)
    is_large = lengths >= size
    kept = places[is_wanted][np.repeat(is_large, lengths)]
    offsets = np.append(0, np.cumsum(lengths[is_large]))
    matrix = sparse.csr_matrix((np.ones(kept.size, np.int8), kept, offsets), (offsets.size - 1, items.size))
    matrix.sort_indices()
    return Baskets(matrix.indices, matrix.indptr)


@dataclass(frozen=True)
class _Stands:
    """Where each item stands: what follows there is the rest of a basket."""

    baskets: Baskets
    starts: Ints
    places: Ints
    rows: Ints

    @classmethod
    def of(cls, baskets: Baskets, items: int) -> "_Stands":
        shape = (baskets.count, items)
        ordered = sparse.csr_matrix((np.arange(baskets.items.size), baskets.items, baskets.offsets), shape).tocsc()
        return cls(baskets, ordered.indptr, ordered.data, ordered.indices)

    def after(self, item: int) -> Baskets:
        """Of the baskets with an item, what follows it."""
        own = slice(self.starts[item], self.starts[item + 1])
        starts = self.places[own] + 1
        lengths = self.baskets.offsets[1:][self.rows[own]] - starts
        offsets = np.append(0, np.cumsum(lengths))
        return Baskets(self.baskets.items[np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])], offsets)


def _pairs(baskets: Baskets, names: Ints, minimum: int, found: _Found) -> None:
    """Find the pairs, and all that grows from them."""
    stands = _Stands.of(baskets, names.size)
    for item in range(names.size):
        rest = stands.after(item)
        counts = np.bincount(rest.items, minlength=names.size)
        prefix = (int(names[item]),)
        after = found.followers(prefix[0], names, counts, minimum)
        found.add(prefix, names[after], counts[after])
        if after.size > 1 and found.is_open(3):
            _grow(prefix, names[after], _packed(_among(rest, after, 2), after.size), minimum, found)


def _grow(prefix: tuple[int, ...], items: Ints, bitmaps: Bits, minimum: int, found: _Found) -> None:
    """Find what grows from a prefix: its followers with their bitmaps, each within what holds the prefix."""
    # A stack, as sets may be longer than Python lets functions call themselves.
    open_ = [(prefix, items, bitmaps, 0)]
    while open_:
        prefix, items, bitmaps, at = open_.pop()
        if at + 1 >= items.size:
            continue
        open_.append((prefix, items, bitmaps, at + 1))
        held = bitmaps[at] & bitmaps[at + 1 :]
        counts = _ones(held)
        longer = (*prefix, int(items[at]))
        after = found.followers(longer[-1], items[at + 1 :], counts, minimum)
        followers = items[at + 1 :][after]
        found.add(longer, followers, counts[after])
        if after.size > 1 and found.is_open(len(longer) + 2):
            open_.append((longer, followers, held[after], 0))


def _packed(baskets: Baskets, items: int) -> Bits:
    """The bitmap of each item, (items, words)."""
    bitmaps = np.zeros((items, -(-baskets.count // 64)), np.uint64)
    step = max(AT_ONCE * 8 // max(items, 1) // 64, 1) * 64
    for start in range(0, baskets.count, step):
        offsets = baskets.offsets[start : start + step + 1]
        is_held = np.zeros((items, -(-(offsets.size - 1) // 64) * 64), bool)
        rows = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
        is_held[baskets.items[offsets[0] : offsets[-1]], rows] = True
        bitmaps[:, start // 64 : (start + step) // 64] = np.packbits(is_held, axis=1).view(np.uint64)
    return bitmaps


def _held(bitmaps: Bits, sets: Ints) -> Ints:
    """Count the bits that all bitmaps of a set have."""
    counts = np.empty(len(sets), np.int64)
    step = max(AT_ONCE // max(bitmaps.shape[1], 1), 1)
    for start in range(0, len(sets), step):
        some = sets[start : start + step]
        held = bitmaps[some[:, 0]]
        for column in some.T[1:]:
            held &= bitmaps[column]
        counts[start : start + step] = _ones(held)
    return counts


def _keys(sets: Ints) -> NDArray[np.void]:
    """Each set as one value."""
    rows = np.ascontiguousarray(sets, np.int64)
    keys: NDArray[np.void] = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    return keys


def _ones(bitmaps: Bits) -> Ints:
    """Count the bits of each row."""
    counts: Ints = np.bitwise_count(bitmaps).sum(axis=1, dtype=np.int64)
    return counts
