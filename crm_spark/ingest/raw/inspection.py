"""One look at a whole file: its hash, its header, how many records it holds, why it is refused as a whole."""

from collections.abc import Iterable

from crm_spark.ingest.raw import header, parquet
from crm_spark.ingest.raw.encoding import decoded
from crm_spark.ingest.raw.form import Format, Inspection, Refused, Unreadable
from crm_spark.ingest.raw.grouping import Group, grouped, held
from crm_spark.ingest.raw.lines import Block, Overlong, blocks, count, split
from crm_spark.ingest.raw.streams import Hashed, stored, unpacked

Looked = tuple[tuple[str, ...], int, str | None]


def inspect(path: str, form: Format) -> Inspection:
    """Look at a file without loading anything of it.

    Parameters
    ----------
    path : str
        A path or URI.
    form : Format
        How it is declared to be.

    Returns
    -------
    Inspection
        One pass, at about the speed of hashing; a multiline file is also searched for quotes. Of a file that
        is not what was declared, the records are not counted.
    """
    stream = Hashed(stored(path) if form.kind == "parquet" else unpacked(path))
    try:
        names, holds, refusal = _looked(path, stream, form)
        return Inspection(stream.to_end(), names, holds, refusal)
    except Unreadable as unreadable:
        return Inspection(None, (), 0, str(unreadable))


def _looked(path: str, stream: Hashed, form: Format) -> Looked:
    try:
        if form.kind != "parquet":
            return _text(stream, form)
        names, rows = parquet.look(path, stream)
        return names, rows, header.refusal(names, form, is_header=True)
    except Refused as refused:
        return (), 0, str(refused)


def _text(stream: Hashed, form: Format) -> Looked:
    first, holds = _counted(decoded(stream, form), form)
    if form.kind == "jsonl":
        return (), holds, None
    if first is None or not form.header:
        return form.columns, holds, None
    if isinstance(first, Overlong):
        raise Refused(f"header is longer than the {form.max_record_bytes} bytes allowed")

    names = header.names(first, form)
    is_header = header.is_one(names, form)
    refusal = header.refusal(names, form, is_header)
    return names if is_header or not refusal else (), holds - 1, refusal


def _counted(stream: Iterable[bytes], form: Format) -> tuple[bytes | Overlong | None, int]:
    """Give the first record and the number of all; where a line is a record, lines are counted in bulk."""
    first, holds = None, 0
    for part in grouped(stream, form) if form.multiline else blocks(stream, held(form)):
        first = first or _first(part)
        holds += _size(part)
    return first, holds


def _first(part: Group | Block | Overlong) -> bytes | Overlong | None:
    if isinstance(part, Overlong):
        return part
    return next(filter(None, part.records if isinstance(part, Group) else split(part.data)), None)


def _size(part: Group | Block | Overlong) -> int:
    if isinstance(part, Overlong):
        return 1
    return len(part.records) if isinstance(part, Group) else count(part.data)
