"""Files of a shop, the same bytes each time: no clock and no name in gzip headers."""

import gzip
import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from crm_spark.sample.process import Ints


def save(path: Path, content: bytes, level: int = 4) -> None:
    """Write a file, compressed where its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    zipped = path.suffix == ".gz"
    path.write_bytes(gzip.compress(content, level, mtime=0) if zipped else content)


def load(path: Path) -> bytes:
    """Read what was saved."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def as_csv(rows: pd.DataFrame) -> bytes:
    """Spell rows as CSV with a header, quotes only where needed and doubled inside."""
    return rows.to_csv(index=False, lineterminator="\n").encode()


def as_json(content: dict[str, Any]) -> bytes:
    """Spell a truth as JSON that people can read."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def by_day(lines: pa.LargeBinaryArray, day: Ints) -> Iterator[tuple[int, slice, bytes]]:
    """Cut lines that are sorted by day into days: the day, where its lines are, and their bytes.

    Days without lines have none. The bytes of an Arrow array lie in one piece; cutting it costs nothing.
    """
    if not len(lines):
        return
    _, ends, text = lines.buffers()
    upto = np.frombuffer(ends, np.int64)
    first = np.flatnonzero(np.diff(day, prepend=day[0] - 1))
    for begin, end in zip(first, np.append(first[1:], len(day)), strict=True):
        yield int(day[begin]), slice(begin, end), text[upto[begin] : upto[end]].to_pybytes()


def name(start: date, day: int) -> str:
    """Name a day as files do."""
    return (start + timedelta(days=day)).isoformat()
