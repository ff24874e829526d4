"""The records of a file, in batches: where each stands, what it is known by, why it is refused."""

from collections.abc import Iterator
from hashlib import sha256

import numpy as np
import pyarrow as pa

from crm_spark.ingest.raw import parquet
from crm_spark.ingest.raw.copies import Copies, Counts, Digests
from crm_spark.ingest.raw.encoding import decoded, shown
from crm_spark.ingest.raw.faults import faults, too_long
from crm_spark.ingest.raw.form import KEPT, Format, Unreadable
from crm_spark.ingest.raw.grouping import Group, Positions, grouped
from crm_spark.ingest.raw.lines import Overlong
from crm_spark.ingest.raw.streams import Hashed, stored, unpacked

BATCH = 16_384
SCHEMA = pa.schema(
    [
        pa.field("position", pa.int64(), nullable=False),
        pa.field("copy", pa.int32(), nullable=False),
        pa.field("row_hash", pa.string(), nullable=False),
        pa.field("row_id", pa.string(), nullable=False),
        pa.field("raw", pa.string(), nullable=False),
        pa.field("refusal", pa.string()),
    ]
)


def records(path: str, form: Format, content: str, name: str | None = None) -> Iterator[pa.RecordBatch]:
    """Give the records of a file.

    Parameters
    ----------
    path : str
        A path or URI of a file whose inspection refused nothing.
    form : Format
        How it is to be read.
    content : str
        What its inspection gave as `content`.
    name : str, optional
        What stands for the content in the ids of its records; default `content`.

    Returns
    -------
    Iterator of RecordBatch
        `position`: the line at which the record starts, the header's being 1; in Parquet the row. `copy`: its
        number among its like in this file. `row_hash`: the first half of the SHA-256 of the record in UTF-8, in
        hex. `row_id`: the same of `name`, `row_hash` and `copy` written one after another. `raw`: its text
        without line end; in Parquet the row as JSON. `refusal`: null or why it is not to be loaded. About 1.5 µs
        a line.

    Raises
    ------
    Refused, Unreadable
        The file is not, or no longer, what its inspection saw: what was given so far must not be kept.
    """
    stream, groups = _grouped(path, form)
    assemble = Assembly(form, name or content)
    for group in groups:
        if isinstance(group, Overlong):
            yield assemble.overlong(group)
        else:
            yield from assemble.batches(group)
    if stream.to_end() != content:
        raise Unreadable("changed since it was inspected")


def _grouped(path: str, form: Format) -> tuple[Hashed, Iterator[Group | Overlong]]:
    """Give the records, and the stream whose hash tells whether they are those that were inspected."""
    if form.kind == "parquet":
        return Hashed(stored(path)), parquet.rows(path)
    stream = Hashed(unpacked(path))
    return stream, _without_header(grouped(decoded(stream, form), form), form)


def _without_header(groups: Iterator[Group | Overlong], form: Format) -> Iterator[Group | Overlong]:
    is_header_next = form.kind == "csv" and form.header
    for group in groups:
        if not is_header_next:
            yield group
        elif isinstance(group, Overlong):
            is_header_next = False
        elif group.records:
            is_header_next = False
            yield Group(group.positions[1:], group.records[1:])


class Assembly:
    """Makes batches of one file's records, in their order."""

    def __init__(self, form: Format, name: str) -> None:
        self._form = form
        self._begun = sha256(name.encode())
        self._copies = Copies()

    def batches(self, group: Group) -> Iterator[pa.RecordBatch]:
        """Give the batches of a group."""
        for start in range(0, len(group.records), BATCH):
            part = slice(start, start + BATCH)
            yield self._batch(group.positions[part], group.records[part])

    def overlong(self, record: Overlong) -> pa.RecordBatch:
        """Give the batch of one record that was too long to be held."""
        raw = pa.array([self._shown(record.kept)], pa.binary())
        reasons = pa.array([too_long(record.length, self._form)])
        return self._assembled(np.array([record.first]), _halves([record.digest]), raw, reasons)

    def _batch(self, positions: Positions, lines: list[bytes]) -> pa.RecordBatch:
        raw = pa.array(lines, pa.binary())
        refused = faults(lines, raw, self._form)
        halves = _halves([sha256(line).digest() for line in lines])
        if not refused:
            return self._assembled(positions, halves, raw, pa.nulls(len(lines), pa.string()))

        texts = [self._shown(line) if i in refused else line for i, line in enumerate(lines)]
        reasons = [refused.get(i) for i in range(len(lines))]
        return self._assembled(positions, halves, pa.array(texts, pa.binary()), pa.array(reasons, pa.string()))

    def _shown(self, record: bytes) -> str:
        allowed = self._form.max_record_bytes
        return shown(record if len(record) <= allowed else record[: min(KEPT, allowed)], self._form)

    def _assembled(
        self, positions: Positions, halves: Digests, raw: pa.BinaryArray, reasons: pa.StringArray
    ) -> pa.RecordBatch:
        copies = self._copies.number(halves)
        hashes = _hexes(halves)
        ids = self._ids(hashes, copies)
        columns = [
            pa.array(positions, pa.int64()),
            pa.array(copies),
            _texts(hashes),
            _texts(ids),
            raw.view(pa.string()),  # what is no text was found and is shown
            reasons,
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)

    def _ids(self, hashes: bytes, copies: Counts) -> bytes:
        begin, digests = self._begun.copy, []
        for row_hash, copy in zip(np.frombuffer(hashes, "S32").tolist(), copies.tolist(), strict=True):
            record = begin()
            record.update(b"%b%d" % (row_hash, copy))
            digests.append(record.digest())
        return _hexes(_halves(digests))


def _halves(digests: list[bytes]) -> Digests:
    return np.ascontiguousarray(np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)[:, :16])


def _hexes(digests: Digests) -> bytes:
    return digests.tobytes().hex().encode()


def _texts(hexes: bytes) -> pa.StringArray:
    """Cut a text into pieces of 32 characters."""
    offsets = np.arange(0, len(hexes) + 1, 32, dtype=np.int32)
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(hexes))
