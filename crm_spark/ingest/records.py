"""The records of raw files as rows: place, copy, hashes and text; and quarantined records once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType, TimestampType

from crm_spark.ingest.files import Inspected, join
from crm_spark.ingest.raw import Format
from crm_spark.ingest.raw import records as raw_records

if TYPE_CHECKING:  # executors have no pydantic, on which mappings stand
    from crm_spark.ingest.mapping import Feed

RECORDS = "file int, position bigint, copy int, row_hash string, row_id string, raw string, refusal string"
ID_DIGITS = 32


def read(spark: SparkSession, root: str, feed: Feed, files: Sequence[tuple[int, Inspected]]) -> DataFrame:
    """Read the records of some files of one header.

    Returns
    -------
    DataFrame of RECORDS
        `file` is the number given. Text files: one pass, no shuffle. Parquet: one shuffle, to number copies.
    """
    if feed.format == "parquet":
        return _parquet(spark, root, files)
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


def _parquet(spark: SparkSession, root: str, files: Sequence[tuple[int, Inspected]]) -> DataFrame:
    """Each row as the JSON of its columns' text: one way of parsing for every format."""
    parts = [_one_parquet(spark, join(root, file.found.path), number, file.content or "") for number, file in files]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.unionByName(part)
    return whole


def _one_parquet(spark: SparkSession, path: str, number: int, content: str) -> DataFrame:
    rows = spark.read.parquet(path)
    cells = [_text(column.name, isinstance(column.dataType, TimestampType)) for column in _schema(rows).fields]
    told = rows.select(
        F.lit(number).alias("file"),
        (F.col("_metadata.row_index") + 1).alias("position"),
        F.to_json(F.struct(*cells)).alias("raw"),
    ).withColumn("row_hash", _hash(F.col("raw")))
    alike = Window.partitionBy("row_hash").orderBy("position")
    numbered = told.withColumn("copy", F.row_number().over(alike))
    return numbered.select(
        "file",
        "position",
        "copy",
        "row_hash",
        _hash(F.concat(F.lit(content), "row_hash", F.col("copy").cast("string"))).alias("row_id"),
        "raw",
        F.lit(None).cast("string").alias("refusal"),
    )


def _schema(rows: DataFrame) -> StructType:
    return rows.schema


def _text(name: str, is_instant: bool) -> Column:
    column = F.col("`" + name.replace("`", "``") + "`")
    text = F.date_format(column, "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX") if is_instant else column.cast("string")
    return text.alias(name)


def _hash(text: Column) -> Column:
    return F.substring(F.sha2(text, 256), 1, ID_DIGITS)


def again(quarantined: DataFrame) -> DataFrame:
    """Quarantined records as they were first read; what the reader itself refused stays refused."""
    return quarantined.select(*[name.split(" ")[0] for name in RECORDS.split(", ")])
