"""The records of a text file, in batches: where each stands, what it is known by, why it is refused."""

from collections.abc import Iterator
from hashlib import sha256

import numpy as np
import pyarrow as pa

from crm_spark.ingest.raw.copies import Copies, Counts, Digests
from crm_spark.ingest.raw.encoding import decoded, shown
from crm_spark.ingest.raw.faults import faults, too_long
from crm_spark.ingest.raw.form import KEPT, Format, Unreadable
from crm_spark.ingest.raw.grouping import Group, Positions, grouped
from crm_spark.ingest.raw.lines import Overlong
from crm_spark.ingest.raw.streams import Hashed, unpacked

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
    """Give the records of a CSV or of JSON lines.

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
        `position`: the line at which the record starts, the header's being 1. `copy`: its number among its
        like in this file. `row_hash`: the first half of the SHA-256 of the record in UTF-8, in hex. `row_id`:
        the same of `name`, `row_hash` and `copy` written one after another. `raw`: its text without line
        end. `refusal`: null or why it is not to be loaded. About 2 µs a line.

    Raises
    ------
    Refused, Unreadable
        The file is not, or no longer, what its inspection saw: what was given so far must not be kept.
    """
    if form.kind == "parquet":
        raise ValueError("kind must be csv or jsonl, got 'parquet'")
    stream = Hashed(unpacked(path))
    assemble = Assembly(form, name or content)
    for group in _without_header(grouped(decoded(stream, form), form), form):
        if isinstance(group, Overlong):
            yield assemble.overlong(group)
        else:
            yield from assemble.batches(group)
    if stream.to_end() != content:
        raise Unreadable("changed since it was inspected")


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
        digests = np.frombuffer(record.digest, np.uint8).reshape(1, 32)
        return self._assembled(np.array([record.first]), digests, raw, reasons)

    def _batch(self, positions: Positions, lines: list[bytes]) -> pa.RecordBatch:
        raw = pa.array(lines, pa.binary())
        refused = faults(lines, raw, self._form)
        digests = np.frombuffer(b"".join([sha256(line).digest() for line in lines]), np.uint8).reshape(-1, 32)
        if not refused:
            return self._assembled(positions, digests, raw, pa.nulls(len(lines), pa.string()))

        texts = [self._shown(line) if i in refused else line for i, line in enumerate(lines)]
        reasons = [refused.get(i) for i in range(len(lines))]
        return self._assembled(positions, digests, pa.array(texts, pa.binary()), pa.array(reasons, pa.string()))

    def _shown(self, record: bytes) -> str:
        allowed = self._form.max_record_bytes
        return shown(record if len(record) <= allowed else record[: min(KEPT, allowed)], self._form)

    def _assembled(
        self, positions: Positions, digests: Digests, raw: pa.BinaryArray, reasons: pa.StringArray
    ) -> pa.RecordBatch:
        halves = np.ascontiguousarray(digests[:, :16])
        copies = self._copies.number(halves)
        hashes = halves.tobytes().hex().encode()
        ids = self._ids(hashes, copies)
        columns = [
            pa.array(positions, pa.int64()),
            pa.array(copies),
            _texts(hashes),
            _texts(ids),
            raw.cast(pa.string()),
            reasons,
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)

    def _ids(self, hashes: bytes, copies: Counts) -> bytes:
        named = []
        for start, copy in zip(range(0, len(hashes), 32), copies.tolist(), strict=True):
            record = self._begun.copy()
            record.update(b"%b%d" % (hashes[start : start + 32], copy))
            named.append(record.digest()[:16])
        return b"".join(named).hex().encode()


def _texts(hexes: bytes) -> pa.StringArray:
    """Cut a text into pieces of 32 characters."""
    offsets = np.arange(0, len(hexes) + 1, 32, dtype=np.int32)
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(hexes))
