"""Bytes of a file, wherever it is, unpacked: chunks of bounded size.

gzip is known by its first bytes, never by the name alone; several members one after another are one file.
"""

import os
import zlib
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from itertools import chain
from urllib.parse import unquote

import pyarrow as pa
from pyarrow.fs import FileSystem, LocalFileSystem

from crm_spark.ingest.raw.form import Unreadable

CHUNK = 1 << 20
HEAD = 16
AHEAD = 8 << 20  # read at once from a remote store
GZIP = b"\x1f\x8b"
OTHER_PACKINGS = (".bz2", ".zst", ".xz", ".lz4", ".snappy", ".zip", ".7z", ".br", ".lzo", ".z")


def unpacked(path: str) -> Iterator[bytes]:
    """Give the uncompressed bytes of a text file, in chunks of about `CHUNK`.

    Raises
    ------
    Unreadable
        The file cannot be opened or read, is packed in another way than gzip, or its gzip is cut or damaged.
    """
    name = path.lower()
    if name.endswith(OTHER_PACKINGS):
        raise Unreadable(f"named {name[name.rindex('.') :]}, but only gzip is unpacked")

    packed = headed(stored(path))
    first = next(packed, b"")
    if first.startswith(GZIP):
        yield from _gunzipped(first, packed)
    elif name.endswith((".gz", ".gzip")):
        raise Unreadable("named .gz, but is not gzip")
    else:
        yield from chain([first], packed)


class Hashed:
    """A stream that is hashed as it is read; it can be read on after a reader of it gave up."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._hash = sha256()

    def __iter__(self) -> "Hashed":
        return self

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self._hash.update(chunk)
        return chunk

    def to_end(self) -> str:
        """Read what is left, give the SHA-256 of all in hex."""
        for _ in self:
            pass
        return self._hash.hexdigest()


def stored(path: str) -> Iterator[bytes]:
    """Give the bytes of a file as they are stored."""
    try:
        files, place = located(path)
        with files.open_input_stream(place, compression=None, buffer_size=buffer_size(files)) as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except (OSError, pa.ArrowException) as error:
        raise Unreadable(f"cannot be read: {type(error).__name__}") from None


def headed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Give the same stream, its first chunk long enough to tell by it what the file is."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    yield head
    yield from chunks


def located(path: str) -> tuple[FileSystem, str]:
    """Give the file system of a path or URI, and the place there.

    Spark writes URIs as Hadoop does, blanks and percent signs as they are; others escape them.
    """
    scheme, colon, rest = path.partition(":")
    if scheme == "file" and colon:
        plain = "/" + rest.lstrip("/")
        return LocalFileSystem(), plain if os.path.lexists(plain) else unquote(plain)
    if "://" not in path:
        return LocalFileSystem(), os.path.abspath(path)  # noqa: PTH100 -- Path would collapse what a URI may hold

    authority, _, key = rest.removeprefix("//").partition("/")
    files, base = _store({"s3a": "s3", "s3n": "s3"}.get(scheme, scheme), authority)
    return files, f"{base.rstrip('/')}/{key}"


@lru_cache(maxsize=16)
def _store(scheme: str, authority: str) -> tuple[FileSystem, str]:
    """Connect once a process: a bucket is asked for its region."""
    files, base = FileSystem.from_uri(f"{scheme}://{authority}/")
    return files, base


def buffer_size(files: FileSystem) -> int | None:
    """Read far ahead where every reading is a request."""
    return None if isinstance(files, LocalFileSystem) else AHEAD


def _gunzipped(first: bytes, packed: Iterator[bytes]) -> Iterator[bytes]:
    member = _member()
    try:
        for chunk in chain([first], packed):
            rest = chunk
            while rest := rest.lstrip(b"\0") if member.eof else rest:  # block stores pad with zeros
                member = _member() if member.eof else member
                yield member.decompress(rest, CHUNK)
                rest = member.unused_data if member.eof else member.unconsumed_tail
        while more := member.decompress(b"", CHUNK):
            yield more
    except zlib.error:
        raise Unreadable("gzip is damaged") from None
    if not member.eof:
        raise Unreadable("gzip ends early")


def _member() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
