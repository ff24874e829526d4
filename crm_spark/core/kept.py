"""Rows that are computed once, for all that read them."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark import StorageLevel
from pyspark.sql import DataFrame


def kept(rows: DataFrame) -> DataFrame:
    """Compute rows of customers now, and once, for all that read them.

    They lie in memory as bytes, on disk where it is full. As objects, Spark's default, they would be what Java has
    most of, to be copied and marked whenever it collects: what that takes is more than to read them from bytes some
    times. For rows that are read in each round of a search it is the other way round: these are checkpointed plainly.
    """
    return rows.localCheckpoint(storageLevel=StorageLevel.MEMORY_AND_DISK)


@contextmanager
def cached(rows: DataFrame) -> Iterator[DataFrame]:
    """Keep rows from when they are first read until this is left, by whatever way."""
    kept_rows = rows.persist()
    try:
        yield kept_rows
    finally:
        kept_rows.unpersist()
