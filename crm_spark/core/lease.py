"""One driver at a time, where a store would let two overwrite each other's commits.

Delta needs a store that puts a file only where none is. HDFS, Azure and Google's store do, each by Delta's own log
store. A local folder does not: a driver holds a lease on it. Nor does S3 by itself: it is refused, unless a log
store is set that does.

The lease is two locks of the operating system on one file: Python's (`flock`) and Java's (`fcntl`). Each ends with
its process, however that ends, so none is ever left behind; the file itself only says who holds it.
"""

import fcntl
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Lock, RLock
from urllib.parse import unquote, urlsplit

from pyspark.sql import SparkSession

from crm_spark.core.errors import ConfigError, LakeBusy
from crm_spark.core.session import hold_in_java, release_in_java

NAME = "_lease"
PUTS_IF_ABSENT = ("hdfs", "viewfs", "abfs", "abfss", "wasb", "wasbs", "adl", "gs")
LONGEST = 20  # seconds that a Java whose Python is gone may take to end, while the machine is busy
_TAKING = Lock()


def folder(location: str) -> Path | None:
    """Give the local folder of a location, None where it is in another store."""
    if ":" not in location:
        return Path(location)
    parts = urlsplit(location)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def refuse_unsafe(spark: SparkSession, location: str) -> None:
    """Refuse to write into a store where two drivers are not safe.

    Raises
    ------
    ConfigError
        The store cannot put a file only where none is, and no log store is set that can.
    """
    scheme = urlsplit(location).scheme
    setting = f"spark.delta.logStore.{scheme}.impl"
    chosen = spark.conf.get(setting, None)
    if scheme in PUTS_IF_ABSENT or (chosen is not None and not chosen.endswith("SingleDriverLogStore")):
        return
    remedy = f"set {setting} to a log store that does, for S3 io.delta.storage.S3DynamoDBLogStore"
    raise ConfigError(f"{scheme} does not keep two drivers from overwriting each other's commits; {remedy}")


def claim(location: str) -> None:
    """Hold a lake before a session is started, where it is a folder; one that is not there is held by its first write.

    Raises
    ------
    LakeBusy
        Another driver holds it.
    """
    place = folder(location)
    if place is not None and place.is_dir():
        take(place)


def take(place: Path) -> None:
    """Hold a folder for this driver until it ends; it is made where it is not there.

    Raises
    ------
    LakeBusy
        Another driver holds it; says which, since when.
    """
    path = place.resolve() / NAME
    with _TAKING:
        if path not in _held():
            place.mkdir(parents=True, exist_ok=True)
            _held()[path] = _locked(path)


def share(place: Path, spark: SparkSession) -> None:
    """Let the session's Java hold what its Python holds: it may outlive it, and be in the middle of a commit."""
    path = place.resolve() / NAME
    with _TAKING:
        if path not in _shared():
            hold_in_java(spark, path)
            _shared().add(path)


def release(place: Path, spark: SparkSession) -> None:
    """Let another driver have a folder. Nothing of this one may still be at work there."""
    path = place.resolve() / NAME
    with _TAKING:
        if path in _shared():
            release_in_java(spark, path)
            _shared().remove(path)
        if path in _held():
            os.close(_held().pop(path))


@contextmanager
def turn(location: str) -> Iterator[bool]:
    """Let the runs of one driver in one lake come one after the other; tell whether this one had to wait."""
    local = folder(location)
    with _TAKING:
        mine = _turn(str(local.resolve() if local else location))
    had_to_wait = not mine.acquire(blocking=False)
    if had_to_wait:
        mine.acquire()
    try:
        yield had_to_wait
    finally:
        mine.release()


def _wait_for_java(file: int) -> None:
    """Wait until Java of a Python that is gone has ended: the next command in a script comes sooner."""
    since = time.monotonic()
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            if time.monotonic() - since > LONGEST:
                raise
            time.sleep(0.05)
        else:
            fcntl.lockf(file, fcntl.LOCK_UN)
            return


def _locked(path: Path) -> int:
    """Open a file, lock it and write down who holds it; gives its descriptor."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise ConfigError(f"the lake {path.parent} cannot be written to: {(error.strerror or '').lower()}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _wait_for_java(file)
    except OSError as error:
        holder = os.read(file, 1_000).decode().strip() or "another driver"
        os.close(file)
        if not isinstance(error, BlockingIOError | PermissionError):
            raise ConfigError(f"{path.parent} knows no locks, so two drivers are not safe there") from None
        raise LakeBusy(f"the lake {path.parent} is held by {holder}; run again when it is done") from None
    os.ftruncate(file, 0)
    os.write(file, _holder().encode())
    return file


def _holder() -> str:
    program = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]]) if sys.argv[0] else "Python"
    since = datetime.now(UTC).isoformat(" ", "seconds")
    return f"process {os.getpid()} on {platform.node()} ({program}) since {since}"


# What one process holds; a cached function is its single place.


@cache
def _held() -> dict[Path, int]:
    return {}


@cache
def _shared() -> set[Path]:
    return set()


@cache
def _turn(_: str) -> RLock:
    return RLock()
