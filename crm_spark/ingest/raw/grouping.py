"""Lines to records: the same but for blank lines, unless a quoted field may span lines."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_spark.ingest.raw.form import Format, Refused
from crm_spark.ingest.raw.lines import Block, Growing, Overlong, blocks, split
from crm_spark.ingest.raw.quoting import grammar

Positions = NDArray[np.int64]
LONGEST_LINE = 16 << 20  # of a multiline file: what is in it tells where the next record starts


@dataclass(frozen=True)
class Group:
    """Some records without their line ends, and the numbers of the lines that they start at."""

    positions: Positions
    records: list[bytes]


def held(form: Format) -> int:
    """Give how long a line may be and still be held: one more than allowed, for the CR of its end."""
    return max(form.max_record_bytes, LONGEST_LINE if form.multiline else 0) + 1


def grouped(stream: Iterable[bytes], form: Format) -> Iterator[Group | Overlong]:
    """Give the records of a stream of UTF-8 in groups, the header too, blank lines not.

    Raises
    ------
    Refused
        A quote is open at the end of a multiline file, or a line of it is too long to be looked at.
    """
    whole = blocks(stream, held(form))
    if form.multiline:
        yield from Spanning(form).groups(whole)
        return
    for block in whole:
        yield _one_a_line(block) if isinstance(block, Block) else block


def _one_a_line(block: Block) -> Group:
    lines = split(block.data)
    positions = np.arange(block.first, block.first + len(lines))
    if b"" in lines:
        positions = positions[[bool(line) for line in lines]]
        lines = [line for line in lines if line]
    return Group(positions, lines)


class Spanning:
    """Puts lines together while a quote is open."""

    def __init__(self, form: Format) -> None:
        self._limit = form.max_record_bytes + 1
        self._grammar = grammar(form)
        self._open: Growing | None = None

    def groups(self, whole: Iterable[Block | Overlong]) -> Iterator[Group | Overlong]:
        """Give the records in groups."""
        for block in whole:
            if isinstance(block, Overlong):
                raise Refused(f"line {block.first} is longer than {LONGEST_LINE} bytes")
            if self._open is None and self._grammar.quote not in block.data:
                yield _one_a_line(block)
            else:
                yield from self._within(block)
        if self._open:
            raise Refused(f"quote still open at the end of the file, opened in the record at line {self._open.first}")

    def _within(self, block: Block) -> Iterator[Group | Overlong]:
        positions: list[int] = []
        records: list[bytes] = []
        for first, record in self._records(block):
            if isinstance(record, Overlong):
                yield Group(np.array(positions, np.int64), records)
                yield record
                positions, records = [], []
            else:
                positions.append(first)
                records.append(record)
        yield Group(np.array(positions, np.int64), records)

    def _records(self, block: Block) -> Iterator[tuple[int, bytes | Overlong]]:
        lines = block.data.removesuffix(b"\n").split(b"\n")
        for number, line in enumerate(lines, block.first):
            is_open = self._grammar.is_open_after(line, self._open is not None)
            if self._open is None and not is_open:
                if record := line.removesuffix(b"\r"):
                    yield number, record
                continue
            growing = self._open or Growing(number, self._limit)
            growing.add(line if self._open is None else b"\n" + line)
            self._open = growing if is_open else None
            if not is_open:
                whole = growing.done()
                yield growing.first, whole if isinstance(whole, Overlong) else whole.removesuffix(b"\r")
