"""Chunks to whole lines, in bulk: what follows works on a million bytes at once, not on one line.

A line ends with LF or CRLF. A line that is too long to be held is hashed and measured as it passes by.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from crm_spark.ingest.raw.form import KEPT

Ends = NDArray[np.bool_]
LF, CR = b"\n\r"


@dataclass(frozen=True)
class Block:
    """Whole lines as they stand in the file; only the last line of the file may lack its end."""

    first: int
    data: bytes


@dataclass(frozen=True)
class Overlong:
    """A record that was too long to be held: where it starts, and what is left of it."""

    first: int
    length: int
    digest: bytes
    kept: bytes


class Growing:
    """A record that comes in pieces; one of more than `held` bytes is hashed and measured, not kept."""

    def __init__(self, first: int, held: int) -> None:
        self.first = first
        self._held = held
        self._pieces: list[bytes] = []
        self._length = 0
        self._passing: _Passing | None = None

    def add(self, piece: bytes) -> None:
        """Take the next bytes."""
        if self._passing:
            self._passing.add(piece)
            return
        self._pieces.append(piece)
        self._length += len(piece)
        if self._length > self._held:
            self._passing = _Passing(b"".join(self._pieces))
            self._pieces = []

    def done(self) -> bytes | Overlong:
        """Give the record as it came or, if it was too long, what is left of it."""
        return self._passing.done(self.first) if self._passing else b"".join(self._pieces)


class _Passing:
    def __init__(self, begun: bytes) -> None:
        self._hash = sha256()
        self._length = 0
        self._kept = begun[:KEPT]
        self._waiting = b""
        self.add(begun)

    def add(self, piece: bytes) -> None:
        """Hash the next bytes; a CR waits until it is known whether the line ends after it."""
        taken = self._waiting + piece
        self._waiting = b"\r" if taken.endswith(b"\r") else b""
        taken = taken.removesuffix(b"\r")
        self._hash.update(taken)
        self._length += len(taken)

    def done(self, first: int) -> Overlong:
        return Overlong(first, self._length, self._hash.digest(), self._kept[: self._length])


def blocks(chunks: Iterable[bytes], held: int) -> Iterator[Block | Overlong]:
    """Cut a stream at the ends of lines; a line of more than `held` bytes may become an `Overlong`."""
    growing = Growing(1, held)
    for chunk in chunks:
        line, end, rest = chunk.partition(b"\n")
        growing.add(line)
        if not end:
            continue
        number, ended = growing.first, growing.done()
        if isinstance(ended, Overlong):
            yield ended
            number, begun = number + 1, b""
        else:
            begun = ended + b"\n"
        whole = rest.rfind(b"\n") + 1
        if data := begun + rest[:whole]:
            yield Block(number, data)
        growing = Growing(number + int(np.count_nonzero(_ends(data))), held)
        growing.add(rest[whole:])
    if last := growing.done():
        yield last if isinstance(last, Overlong) else Block(growing.first, last)


def split(data: bytes) -> list[bytes]:
    """Give the lines of a block without their ends, blank ones too."""
    if b"\r" not in data:
        lines = data.split(b"\n")
    elif data.count(b"\r\n") == data.count(b"\n"):
        lines = data.split(b"\r\n")
        lines[-1] = lines[-1].removesuffix(b"\r")
    else:
        lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    if data.endswith(b"\n"):
        lines.pop()
    return lines


def count(data: bytes) -> int:
    """Count the lines of a block that are not blank, without splitting it where none is."""
    ends = _ends(data)
    if _has_blank(data, ends):
        return sum(map(bool, split(data)))
    return int(np.count_nonzero(ends)) + (not data.endswith(b"\n"))


def _ends(data: bytes) -> Ends:
    ends: Ends = np.frombuffer(data, np.uint8) == LF
    return ends


def _has_blank(data: bytes, ends: Ends) -> bool:
    codes = np.frombuffer(data, np.uint8)
    at_edge = data.startswith((b"\n", b"\r\n")) or data.endswith(b"\n\r") or data == b"\r"
    return at_edge or bool(
        (ends[1:] & ends[:-1]).any() or (b"\r" in data and (ends[2:] & (codes[1:-1] == CR) & ends[:-2]).any())
    )
