r"""Parquet files: are they whole, and what are their rows.

A row is the JSON of its columns' text, nulls left away, so that it is parsed, hashed and kept like a record of
any other file. What has no text of its own is written as Spark casts it: a double as 1.0E7, NaN or Infinity, a
decimal with all its digits, a local time without the zeros at its end, an instant in UTC. Bytes are text, and
those that are none in UTF-8 refuse their row.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types
from pyarrow.parquet import FileMetaData, ParquetFile

from crm_spark.ingest.raw.form import Refused
from crm_spark.ingest.raw.grouping import Group
from crm_spark.ingest.raw.header import listed
from crm_spark.ingest.raw.streams import CHUNK, located

MAGIC = b"PAR1"
ENCRYPTED = b"PARE"
AT_ONCE = 64 << 20  # bytes of rows that are unpacked together
MOST = 16_384
INSTANT = pa.timestamp("us", "UTC")
BYTES = (
    types.is_string, types.is_large_string, types.is_string_view,
    types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary,
)  # fmt: skip
READ = (
    types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_decimal, types.is_date,
    types.is_time, types.is_timestamp, *BYTES,
)  # fmt: skip
_MARKED = rb'[\x00-\x1f"\\]'
_ESCAPES = {bytes([code]): b"\\u%04X" % code for code in range(32)} | {
    b'"': b'\\"', b"\\": b"\\\\", b"\b": b"\\b", b"\f": b"\\f", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t",
}  # fmt: skip


def look(path: str, chunks: Iterable[bytes]) -> tuple[tuple[str, ...], int]:
    """Give the column names and the number of rows of a Parquet file, every page of which is unpacked.

    Raises
    ------
    Refused
        It has no magic bytes or no footer, is damaged, or has columns of types that are not read.
    """
    first = last = b""
    for chunk in chunks:
        first = first or chunk[:4]
        last = (last + chunk)[-4:]
    if ENCRYPTED in (first, last):
        raise Refused("encrypted Parquet is not read")
    if first != MAGIC:
        raise Refused("is no Parquet: the magic bytes at its beginning are missing")
    if last != MAGIC:
        raise Refused("is Parquet without a footer: it was cut or never finished")

    with _opened(path, "footer") as file:
        schema = file.schema_arrow
    if unread := [f"{field.name!r} ({_kind(field.type)})" for field in schema if not _is_read(field.type)]:
        raise Refused(f"has {listed(unread)} of a type that is not read")
    return tuple(schema.names), sum(batch.num_rows for batch in _unpacked(path))


def rows(path: str) -> Iterator[Group]:
    """Give the rows of a Parquet file in groups, each row as JSON.

    Raises
    ------
    Refused
        It is damaged.
    """
    first = 1
    for batch in _unpacked(path):
        yield Group(np.arange(first, first + batch.num_rows), _objects(batch))
        first += batch.num_rows


@contextmanager
def _opened(path: str, part: str) -> Iterator[ParquetFile]:
    """Read with little memory; whatever goes wrong is damage, for all bytes were read a moment ago."""
    files, place = located(path)
    try:
        with files.open_input_file(place) as source:
            yield ParquetFile(
                source, buffer_size=CHUNK, coerce_int96_timestamp_unit="us", page_checksum_verification=True
            )
    except pa.ArrowNotImplementedError:
        raise Refused("is Parquet of a kind that is not read") from None
    except (OSError, ValueError, pa.ArrowException):
        raise Refused(f"is Parquet with a damaged {part}") from None


def _unpacked(path: str) -> Iterator[pa.RecordBatch]:
    with _opened(path, "page") as file:
        instants = _instants(file.metadata)
        for batch in file.iter_batches(batch_size=_fitting(file.metadata), use_threads=False):
            whole = batch
            for at in instants:
                whole = whole.set_column(at, whole.schema.names[at], whole.column(at).cast(INSTANT))
            yield whole


def _fitting(footer: FileMetaData) -> int:
    """Give how many of its widest rows fit into memory."""
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    widest = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows), default=1)
    return max(1, min(MOST, int(AT_ONCE / max(widest, 1))))


def _instants(footer: FileMetaData) -> list[int]:
    """Times of the old form, of 96 bits, are instants without saying so."""
    return [at for at in range(footer.num_columns) if footer.schema.column(at).physical_type == "INT96"]


def _is_read(kind: pa.DataType) -> bool:
    return _is_read(kind.value_type) if types.is_dictionary(kind) else any(is_kind(kind) for is_kind in READ)


def _kind(kind: pa.DataType) -> str:
    return "nested" if types.is_nested(kind) else str(kind)


def _objects(batch: pa.RecordBatch) -> list[bytes]:
    cells = [_cell(name, _text(column)) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
    # Arrow loses a row of nulls alone, so that each begins with something.
    begun = pa.array([b""] * batch.num_rows, pa.binary())
    joined = pc.binary_join_element_wise(begun, *cells, _bytes(b","), null_handling="skip")
    return [b"{%b}" % row[1:] for row in joined.to_pylist()]


def _cell(name: str, text: pa.BinaryArray) -> pa.BinaryArray:
    key = b'"%b":"' % _escaped(name.encode())
    return pc.binary_join_element_wise(_bytes(key), _escapes(text), _bytes(b'"'), _bytes(b""))


def _text(column: pa.Array) -> pa.BinaryArray:
    kind = column.type
    if types.is_dictionary(kind):
        return _text(column.dictionary_decode())
    if types.is_floating(kind):
        text = _of_numbers(column)
    elif types.is_timestamp(kind):
        text = _of_times(column.cast(pa.timestamp(kind.unit)), kind.unit, kind.tz is not None)
    elif any(is_kind(kind) for is_kind in BYTES):
        text = column
    else:
        text = column.cast(pa.string())
    return text.cast(pa.binary())


def _of_numbers(column: pa.Array) -> pa.StringArray:
    distinct = column.dictionary_encode()
    texts = [_number(value) for value in distinct.dictionary.to_numpy(zero_copy_only=False)]
    return pa.array(texts, pa.string()).take(distinct.indices)


def _number(value: np.floating) -> str:
    """The fewest digits that mean this number, as Java writes them."""
    if not np.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return np.format_float_positional(value, trim="0")
    digits, _, exponent = np.format_float_scientific(value, trim="0").partition("e")
    return f"{digits}E{int(exponent)}"


def _of_times(column: pa.Array, unit: str, is_instant: bool) -> pa.StringArray:
    text = column.cast(pa.string())
    if is_instant:
        rest = {"s": ".000000Z", "ms": "000Z"}.get(unit, "Z")
        dated = pc.replace_substring(text, " ", "T", max_replacements=1)
        return pc.binary_join_element_wise(dated, rest, "")
    return text if unit == "s" else pc.ascii_rtrim(pc.ascii_rtrim(text, "0"), ".")


def _escapes(text: pa.BinaryArray) -> pa.BinaryArray:
    if not pc.any(pc.match_substring_regex(text, _MARKED)).as_py():
        return text
    return pa.array([each and _escaped(each) for each in text.to_pylist()], pa.binary())


def _escaped(text: bytes) -> bytes:
    return re.sub(_MARKED, lambda found: _ESCAPES[found[0]], text)


def _bytes(text: bytes) -> pa.Scalar:
    return pa.scalar(text, pa.binary())
