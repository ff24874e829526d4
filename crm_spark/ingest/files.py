"""The raw files of a feed: which are there, which are new, and what one look at each whole file tells."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import fs
from pyspark.sql import SparkSession

from crm_spark.core.errors import ConfigError
from crm_spark.ingest.raw import Format, inspect

if TYPE_CHECKING:  # executors have no pydantic, on which mappings stand
    from crm_spark.ingest.mapping import Feed

INSPECTED = "path string, content string, header array<string>, records bigint, refusal string"


@dataclass(frozen=True)
class Found:
    """A raw file as it lies there."""

    path: str
    bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class Inspected:
    """A raw file whose every byte was seen once.

    Parameters
    ----------
    content : str
        What tells it from every other content of every feed: a hash of source, feed and uncompressed bytes;
        where these cannot be read, of its path.
    digest : str, optional
        The hash of the bytes alone, by which a change while they are read is seen.
    """

    found: Found
    content: str
    header: tuple[str, ...]
    records: int
    refusal: str | None
    digest: str | None = None


def find(root: str, feed: Feed) -> list[Found]:
    """List the files below a source's folder that match a feed's pattern, by path.

    Raises
    ------
    ConfigError
        The folder is not there.
    """
    system, base = _opened(root)
    if system.get_file_info(base).type != fs.FileType.Directory:
        raise ConfigError(f"there is no folder {root}; say with --from where the raw files are")
    listed = system.get_file_info(fs.FileSelector(base, recursive=True))
    relative = {PurePosixPath(info.path).relative_to(base).as_posix(): info for info in listed if info.is_file}
    return [
        Found(path, info.size, info.mtime or datetime.fromtimestamp(0, UTC))
        for path, info in sorted(relative.items())
        if PurePosixPath("/" + path).match("/" + feed.files)
    ]


def look(spark: SparkSession, root: str, owner: str, feed: Feed, found: Sequence[Found]) -> list[Inspected]:
    """Read every file once, on the executors: its hash, its header, its number of records, what is wrong.

    Parameters
    ----------
    owner : str
        Source and feed: equal bytes of two feeds are two contents, or the rows of one would go with the other's.
    """
    if not found:
        return []
    paths = spark.createDataFrame([(file.path,) for file in found], "path string")
    seen = paths.mapInArrow(partial(_look, root=root, form=feed.form), INSPECTED).collect()
    by_path = {row["path"]: row for row in seen}
    return [_inspected(file, owner, by_path[file.path].asDict()) for file in found]


def join(root: str, path: str) -> str:
    """Give the whole path of a file below a folder."""
    base = root if "://" in root else str(Path(root).absolute())
    return f"{base.rstrip('/')}/{path}"


def normal(root: str) -> str:
    """Write a folder or URI in one way, so that equal ones are known as such."""
    if "://" not in root.removeprefix("file://"):
        return os.path.normpath(Path(root.removeprefix("file://")).absolute())
    return root.replace("s3a://", "s3://", 1).rstrip("/")


def _look(batches: Iterator[pa.RecordBatch], root: str, form: Format) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for path in batch.column("path").to_pylist():
            seen = inspect(join(root, path), form)
            row = {
                "path": path,
                "content": seen.content,
                "header": list(seen.header),
                "records": seen.records,
                "refusal": seen.refusal,
            }
            yield pa.RecordBatch.from_pylist([row], schema=SEEN)


SEEN = pa.schema(
    [
        ("path", pa.string()),
        ("content", pa.string()),
        ("header", pa.list_(pa.string())),
        ("records", pa.int64()),
        ("refusal", pa.string()),
    ]
)


def _inspected(file: Found, owner: str, row: Mapping[str, Any]) -> Inspected:
    content = hashlib.sha256(f"{owner} {row['content'] or file.path}".encode()).hexdigest()
    return Inspected(file, content, tuple(row["header"] or ()), row["records"], row["refusal"], row["content"])


def _opened(root: str) -> tuple[fs.FileSystem, str]:
    """The file system of a folder or URI, and the folder's path in it."""
    if "://" in root:
        system, path = fs.FileSystem.from_uri(root.replace("s3a://", "s3://", 1))
        return system, path.rstrip("/")
    return fs.LocalFileSystem(), str(Path(root).absolute())
