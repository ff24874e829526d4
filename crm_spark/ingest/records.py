"""The records of raw files as rows: place, copy, hashes and text; and quarantined records once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.ingest.files import Inspected, join
from crm_spark.ingest.raw import Format, fields
from crm_spark.ingest.raw import records as raw_records

if TYPE_CHECKING:  # executors have no pydantic, on which mappings stand
    from crm_spark.ingest.mapping import Feed

RECORDS = (
    "file int, position bigint, copy int, row_hash string, row_id string, raw string, refusal string, read_at timestamp"
)
NAMES = [column.split(" ")[0] for column in RECORDS.split(", ")]
Header = tuple[str, ...]
Split = Callable[[pa.StringArray], pa.RecordBatch]


def columns(feed: Feed, header: Header) -> str:
    """Give the columns of records: RECORDS and, of CSV, `is_whole` and a field for each declared column."""
    if feed.format != "csv":
        return RECORDS
    return ", ".join([RECORDS, "is_whole boolean", *[f"field_{at} string" for at in _declared(feed, header)]])


def read(
    spark: SparkSession, root: str, feed: Feed, header: Header, files: Sequence[tuple[int, Inspected]], now: datetime
) -> DataFrame:
    """Read the records of some files of one header.

    Returns
    -------
    DataFrame of `columns`
        `file` is the number given, `read_at` is `now`. It comes with the data: as a literal Spark would write
        it into the code that it generates, and Java compile that anew for every load. One pass, no shuffle.
    """
    # In the order of their hashes, big and small files spread evenly over the tasks.
    chosen = sorted(files, key=lambda file: file[1].content or "")
    rows = [(number, join(root, file.found.path), file.digest, file.content) for number, file in chosen]
    paths = spark.createDataFrame(rows, "file int, path string, digest string, content string")
    return paths.mapInArrow(partial(_read, form=feed.form, split=_split(feed, header), now=now), columns(feed, header))


def again(quarantined: DataFrame, feed: Feed, header: Header, now: datetime) -> DataFrame:
    """Quarantined records as they were first read; what the reader itself refused stays refused."""
    kept = quarantined.withColumn("read_at", F.lit(now)).select(*NAMES)
    split = _split(feed, header)
    return kept if split is None else kept.mapInArrow(partial(_again, split=split), columns(feed, header))


def _declared(feed: Feed, header: Header) -> list[int]:
    """The places of the columns of a header that are declared."""
    return [at for at, name in enumerate(header) if name in feed.columns]


def _split(feed: Feed, header: Header) -> Split | None:
    """What splits records into fields, where those of the feed are split at all."""
    if feed.format != "csv":
        return None
    return partial(fields, form=feed.form, width=len(header), wanted=_declared(feed, header))


def _read(
    batches: Iterator[pa.RecordBatch], form: Format, split: Split | None, now: datetime
) -> Iterator[pa.RecordBatch]:
    moment = pa.scalar(now, pa.timestamp("us", "UTC"))
    for batch in batches:
        for file in batch.to_pylist():
            number = pa.scalar(file["file"], pa.int32())
            for found in raw_records(file["path"], form, file["digest"], file["content"]):
                whole = found.add_column(0, "file", pa.repeat(number, found.num_rows))
                whole = whole.append_column("read_at", pa.repeat(moment, found.num_rows))
                yield whole if split is None else _with_fields(whole, split)


def _again(batches: Iterator[pa.RecordBatch], split: Split) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield _with_fields(batch, split)


def _with_fields(batch: pa.RecordBatch, split: Split) -> pa.RecordBatch:
    raw, refusal = batch.column("raw"), batch.column("refusal")
    # What the reader refused may be no CSV at all.
    sound = raw if refusal.null_count == len(refusal) else pc.if_else(refusal.is_null(), raw, "")
    found = split(sound)
    return pa.RecordBatch.from_arrays([*batch.columns, *found.columns], [*batch.schema.names, *found.schema.names])
