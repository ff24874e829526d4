"""What became of every record: the accounts of each file, and the records that were refused.

The unit is one record of one file: loaded, quarantined or a duplicate; for every file the three add up.
A file that is refused whole counts as one record.
"""

from datetime import datetime, timedelta

from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.core.lake import Lake

ACCOUNTS = Table(
    "ingest_accounts",
    "Every raw file that was seen: what it held and what became of it.",
    owns="keys",
    loaded=True,
    key=["source", "feed", "path"],
    columns=[
        Field("source", "string", "the source"),
        Field("feed", "string", "the kind of file within the source"),
        Field("path", "string", "where the file is, below the source's folder"),
        Field("file_hash", "string", "SHA-256 of source, feed and its uncompressed bytes", nullable=True),
        Field("bytes", "bigint", "its size as it lies there", unit="byte"),
        Field("modified_at", "timestamp", "when it was last written"),
        Field("batch", "bigint", "the batch that loaded it; rises with each batch"),
        Field(
            "status",
            "string",
            "started, loaded, refused, repeated (same content as another), changed or stale",
        ),
        Field("replaces", "string", "hash of the content that it replaces", nullable=True),
        Field("reason", "string", "why it was refused", nullable=True),
        Field("records", "bigint", "records that it holds", unit="record"),
        Field("loaded", "bigint", "of them loaded", unit="record"),
        Field("quarantined", "bigint", "of them refused or waiting", unit="record"),
        Field("duplicates", "bigint", "of them exact repeats within the file", unit="record"),
        Field(
            "warnings",
            "map<string,bigint>",
            "rules that records broke and were loaded all the same",
            unit="record",
        ),
        Field("root", "string", "the source's folder, as it was given", nullable=True),
        Field("currency", "string", "the currency of the lake", nullable=True),
        Field("zone", "string", "the business zone of the lake", nullable=True),
        Field("run_id", "string", "the run"),
        Field("at", "timestamp", "when this row was written"),
    ],
    version=2,
)

QUARANTINE = Table(
    "quarantine",
    "Records that were refused, each with its reason. Their text is kept for a configured time.",
    owns="keys",
    loaded=True,
    key=["source", "feed", "row_id"],
    columns=[
        Field("source", "string", "the source"),
        Field("feed", "string", "the kind of file within the source"),
        Field("row_id", "string", "hash of file, record and copy"),
        Field("file_hash", "string", "the file that holds it"),
        Field("path", "string", "where that file is, below the source's folder"),
        Field(
            "position",
            "bigint",
            "the line at which it starts; the row, from 1, in Parquet; 0 for a whole file",
        ),
        Field("copy", "int", "its number among its like in that file"),
        Field("row_hash", "string", "hash of the raw record"),
        Field("header", "array<string>", "the columns of that file, in its order"),
        Field("raw", "string", "the record as it came", nullable=True, personal=True),
        Field(
            "refusal",
            "string",
            "what the reader found; such a record cannot be taken up again",
            nullable=True,
        ),
        Field("reason", "string", "why it was refused"),
        Field("waits", "boolean", "whether it waits for a partner and loads by itself when that comes"),
        Field("run_id", "string", "the run that refused it"),
        Field("quarantined_at", "timestamp", "when it was refused"),
    ],
)

SUPERSEDED = Table(
    "superseded",
    "Versions of rows with a natural key that a later version took the place of.",
    owns="keys",
    loaded=True,
    key=["table_name", "row_key", "row_hash", "file_hash"],
    columns=[
        Field("table_name", "string", "the table"),
        Field("row_key", "string", "the row's id in it"),
        Field("row_version", "decimal(38,9)", "what orders its versions", nullable=True),
        Field("row_hash", "string", "hash of the raw record"),
        Field("file_hash", "string", "the file that held it"),
        Field("row", "string", "the whole row, as JSON", personal=True),
    ],
)

LOOKUPS = Table(
    "lookups",
    "What look-up files said: every version of every row, found by its key.",
    owns="keys",
    loaded=True,
    key=["source", "feed", "row_key", "row_hash", "file_hash"],
    columns=[
        Field("source", "string", "the source"),
        Field("feed", "string", "the look-up feed"),
        Field("row_key", "string", "the values of its key columns, as JSON", personal=True),
        Field("row_version", "decimal(38,9)", "what orders its versions", nullable=True),
        Field("row_hash", "string", "hash of the raw record"),
        Field("file_hash", "string", "the file that held it"),
        Field("fields", "string", "its typed columns, as JSON", personal=True),
        Field("fields_hash", "string", "hash of them"),
    ],
)


def expire(lake: Lake, days: int, now: datetime, run_id: str) -> None:
    """Blank the text of records that were quarantined more than `days` ago; their count and reason stay."""
    refused = lake.current(QUARANTINE)
    old = refused.where((F.col("quarantined_at") < F.lit(now - timedelta(days=days))) & F.col("raw").isNotNull())
    lake.merge(QUARANTINE, old.withColumn("raw", F.lit(None).cast("string")), run_id)
