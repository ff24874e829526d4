"""Encodings: a stream is turned into UTF-8 once, so that everything after it works on bytes.

Bytes that are none in the declared encoding are carried on as lone surrogates, which are no UTF-8 either: the
record that holds them is found by the same test as in a UTF-8 file, and shown with the bytes that it had.
"""

import codecs
import re
from collections.abc import Iterator
from itertools import chain

from crm_spark.ingest.raw.form import Format, Refused
from crm_spark.ingest.raw.streams import headed

MARKS = {
    codecs.BOM_UTF8: ("utf-8", "UTF-8"),
    codecs.BOM_UTF32_LE: ("utf-32", "UTF-32"),  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: ("utf-32", "UTF-32"),
    codecs.BOM_UTF16_LE: ("utf-16", "UTF-16"),
    codecs.BOM_UTF16_BE: ("utf-16", "UTF-16"),
}
MAGIC = {
    b"PAR1\x15": "Parquet",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "gzip within gzip",
    b"BZh91AY&SY": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xff\x06\x00\x00sNaPpY": "snappy",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Obj\x01": "Avro",
    b"ARROW1\x00\x00": "Arrow",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Office file",
    b"%PDF-": "PDF",
    b"SQLite format 3\x00": "SQLite",
}


def decoded(chunks: Iterator[bytes], form: Format) -> Iterator[bytes]:
    """Give a stream in UTF-8, without its byte-order mark.

    Raises
    ------
    Refused
        The file begins like one of another kind or encoding.
    """
    parts = headed(chunks)
    first = next(parts, b"")
    check_beginning(first, form)
    stream: Iterator[bytes] = chain([first], parts)
    if not form.is_utf8:
        stream = _recoded(stream, form.encoding)
    yield next(stream, b"").removeprefix(codecs.BOM_UTF8)
    yield from stream


def check_beginning(first: bytes, form: Format) -> None:
    """Refuse a file that says by its first bytes that it is something else."""
    encoding = codecs.lookup(form.encoding).name
    mark = next((mark for mark in MARKS if first.startswith(mark)), None)
    if mark is None:
        if magic := next((magic for magic in MAGIC if first.startswith(magic)), None):
            raise Refused(f"looks like {MAGIC[magic]}, not {form.kind}: export it as {form.kind}")
        return
    family, name = MARKS[mark]
    if not encoding.startswith(family):
        raise Refused(f"has the byte-order mark of {name}, but {form.encoding} is declared")


def is_valid(record: bytes) -> bool:
    """Tell whether a record of the stream is text."""
    try:
        record.decode()
    except UnicodeDecodeError:
        return False
    return True


def shown(record: bytes, form: Format) -> str:
    r"""Give a refused record as text: what is no text as `\x..`; a character cut at the end is left away."""
    if form.is_utf8:
        text = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode(record)
    else:
        text = codecs.getincrementaldecoder("utf-8")("surrogatepass").decode(record)
        text = re.sub("[\udc00-\udcff]", lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
    return text.replace("\0", "\\x00")


def _recoded(stream: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(_CARRY_ON)
    for part in stream:
        yield decoder.decode(part).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _carried_on(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


_CARRY_ON = "crm_spark.carry_on"
codecs.register_error(_CARRY_ON, _carried_on)
