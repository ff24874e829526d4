"""What is wrong with single records. Nearly all records are sound, so a batch is tested as a whole first."""

import re
from json import JSONDecoder

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crm_spark.ingest.raw.encoding import is_valid
from crm_spark.ingest.raw.form import KEPT, Format
from crm_spark.ingest.raw.quoting import grammar

DEEPEST = 100
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|$)', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")
_BLANKS = " \t\r"
_begin_of = JSONDecoder(object_pairs_hook=list, parse_int=str, parse_float=str).raw_decode

Faults = dict[int, str]


def faults(records: list[bytes], raw: pa.BinaryArray, form: Format) -> Faults:
    """Give the refused among records, by their number here, each with its reason.

    Parameters
    ----------
    records, raw
        The same records, none of them empty, as a list and in Arrow.
    """
    of_kind = _not_json(records, raw) if form.kind == "jsonl" else _left_open(records, raw, form)
    return of_kind | _not_text(records, raw, form) | _with_nul(raw) | _too_long(raw, form)


def too_long(length: int, form: Format) -> str:
    """Say that a record is longer than allowed."""
    what = "record" if form.multiline or form.kind == "parquet" else "line"
    allowed = form.max_record_bytes
    return f"{what} of {length} bytes, longer than the {allowed} allowed; its first {min(KEPT, allowed)} kept"


def _too_long(raw: pa.BinaryArray, form: Format) -> Faults:
    lengths = np.diff(_offsets(raw))
    return {int(i): too_long(lengths[i], form) for i in np.flatnonzero(lengths > form.max_record_bytes)}


def _with_nul(raw: pa.BinaryArray) -> Faults:
    return dict.fromkeys(_with_byte(b"\0", raw), "NUL byte")


def _not_text(records: list[bytes], raw: pa.BinaryArray, form: Format) -> Faults:
    try:
        raw.cast(pa.string())
    except pa.ArrowInvalid:
        return {i: f"not valid {form.encoding}" for i, record in enumerate(records) if not is_valid(record)}
    return {}


def _left_open(records: list[bytes], raw: pa.BinaryArray, form: Format) -> Faults:
    shape = grammar(form)
    if form.kind != "csv" or form.multiline or not shape.quote:
        return {}
    quoted = _with_byte(shape.quote, raw)
    return {i: "quote still open at the end of the line" for i in quoted if shape.is_open_after(records[i])}


def _not_json(records: list[bytes], raw: pa.BinaryArray) -> Faults:
    """Decode every record: readers of JSON stop where the first object ends, and of a key given twice drop one."""
    deep = _too_deep(records, raw)
    decoded = {i: _not_one_object(record) for i, record in enumerate(records) if i not in deep}
    return deep | {i: fault for i, fault in decoded.items() if fault}


def _not_one_object(record: bytes) -> str | None:
    try:
        text = record.decode().strip(_BLANKS)
        keys, end = _begin_of(text)
    except ValueError:
        return "not a JSON object"
    if not text.startswith("{"):
        return "not a JSON object"
    if end < len(text):
        return "text after its JSON object"
    return "a key twice in its JSON object" if len(dict(keys)) < len(keys) else None


def _too_deep(records: list[bytes], raw: pa.BinaryArray) -> Faults:
    opened = pc.add(pc.count_substring(raw, "{"), pc.count_substring(raw, "["))
    return {
        int(i): f"nested deeper than {DEEPEST} levels"
        for i in np.flatnonzero(opened.to_numpy() > DEEPEST)
        if _depth(records[i]) > DEEPEST
    }


def _depth(record: bytes) -> int:
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", record)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _with_byte(byte: bytes, raw: pa.BinaryArray) -> list[int]:
    """Give the numbers of the records that hold a byte."""
    found = np.frombuffer(raw.buffers()[2], np.uint8) == byte[0]
    if not found.any():
        return []
    records: list[int] = np.flatnonzero(np.logical_or.reduceat(found, _offsets(raw)[:-1])).tolist()
    return records


def _offsets(raw: pa.BinaryArray) -> NDArray[np.int32]:
    return np.frombuffer(raw.buffers()[1], np.int32, len(raw) + 1)
