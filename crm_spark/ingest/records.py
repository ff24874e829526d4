"""The records of raw files as rows: place, copy, hashes and text; and quarantined records once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from crm_spark.ingest.files import Inspected, join
from crm_spark.ingest.raw import Format
from crm_spark.ingest.raw import records as raw_records

if TYPE_CHECKING:  # executors have no pydantic, on which mappings stand
    from crm_spark.ingest.mapping import Feed

RECORDS = "file int, position bigint, copy int, row_hash string, row_id string, raw string, refusal string"


def read(spark: SparkSession, root: str, feed: Feed, files: Sequence[tuple[int, Inspected]]) -> DataFrame:
    """Read the records of some files of one header.

    Returns
    -------
    DataFrame of RECORDS
        `file` is the number given. One pass, no shuffle.
    """
    # In the order of their hashes, big and small files spread evenly over the tasks.
    chosen = sorted(files, key=lambda file: file[1].content or "")
    rows = [(number, join(root, file.found.path), file.digest, file.content) for number, file in chosen]
    paths = spark.createDataFrame(rows, "file int, path string, digest string, content string")
    return paths.mapInArrow(partial(_read, form=feed.form), RECORDS)


def _read(batches: Iterator[pa.RecordBatch], form: Format) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for file in batch.to_pylist():
            for found in raw_records(file["path"], form, file["digest"], file["content"]):
                number = pa.array([file["file"]] * found.num_rows, pa.int32())
                columns = {name: found.column(name) for name in found.schema.names}
                yield pa.RecordBatch.from_pydict({"file": number, **columns})


def again(quarantined: DataFrame) -> DataFrame:
    """Quarantined records as they were first read; what the reader itself refused stays refused."""
    return quarantined.select(*[name.split(" ")[0] for name in RECORDS.split(", ")])
