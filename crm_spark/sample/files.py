"""Files of a shop, in a folder or below a URI, the same bytes each time: no clock and no name in gzip headers."""

import gzip
import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import fs

from crm_spark.sample.process import Ints


def save(out: str, path: str, content: bytes, level: int = 4) -> None:
    """Write a file, compressed where its name says so."""
    system, folder = place(out)
    where = f"{folder}/{path}"
    system.create_dir(where.rpartition("/")[0], recursive=True)
    zipped = path.endswith(".gz")
    with system.open_output_stream(where, compression=None) as file:
        file.write(gzip.compress(content, level, mtime=0) if zipped else content)


def load(out: str, path: str) -> bytes | None:
    """Read a file that is not compressed; None where there is none."""
    system, folder = place(out)
    where = f"{folder}/{path}"
    if system.get_file_info(where).type != fs.FileType.File:
        return None
    with system.open_input_stream(where, compression=None) as file:
        return bytes(file.read())


def holds_anything(out: str) -> bool:
    """Whether there is a file of this name, or anything in the folder of this name."""
    system, folder = place(out)
    found = system.get_file_info(folder)
    if found.type == fs.FileType.Directory:
        return len(system.get_file_info(fs.FileSelector(folder))) > 0
    return bool(found.type != fs.FileType.NotFound)


def place(out: str) -> tuple[fs.FileSystem, str]:
    """Give the file system of a folder or a URI, and the path in it."""
    if "://" in out:
        system, path = fs.FileSystem.from_uri(out)
        return system, path
    return fs.LocalFileSystem(), out


def as_csv(rows: pd.DataFrame) -> bytes:
    """Spell rows as CSV with a header, quotes only where needed and doubled inside."""
    return rows.to_csv(index=False, lineterminator="\n").encode()


def as_json(content: dict[str, Any]) -> bytes:
    """Spell a truth as JSON that people can read."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def text(lines: pa.LargeBinaryArray) -> bytes:
    """Give the bytes of lines, which lie in one piece in Arrow."""
    if not len(lines):
        return b""
    _, ends, content = lines.buffers()
    upto = np.frombuffer(ends, np.int64)[lines.offset : lines.offset + len(lines) + 1]
    return bytes(content[int(upto[0]) : int(upto[-1])].to_pybytes())


def cut(part: NDArray[Any]) -> Iterator[tuple[Any, slice]]:
    """Cut rows that are sorted by a part, like their day, into parts: each with where its rows are."""
    if not len(part):
        return
    first = np.flatnonzero(np.concatenate([[True], part[1:] != part[:-1]]))
    for begin, end in zip(first, np.append(first[1:], len(part)), strict=True):
        yield part[begin], slice(int(begin), int(end))


def names(start: date, days: Ints, period: str = "%Y-%m-%d") -> NDArray[np.str_]:
    """Name days as files do."""
    distinct, where = np.unique(days, return_inverse=True)
    words = [(start + timedelta(days=int(day))).strftime(period) for day in distinct]
    return np.array(words, dtype="U10")[where]
