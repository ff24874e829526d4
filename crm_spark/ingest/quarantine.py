"""Records that wait or were refused: put there as whole files, and taken up again."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.core.lake import Lake
from crm_spark.ingest import stage
from crm_spark.ingest.accounts import QUARANTINE
from crm_spark.ingest.batch import Part
from crm_spark.ingest.conform import Context
from crm_spark.ingest.files import Found, Inspected
from crm_spark.ingest.plan import BatchFile

ID_DIGITS = 32
EPOCH = datetime.fromtimestamp(0, UTC)


def settle(
    lake: Lake, source: str, run_id: str, refused: Sequence[BatchFile], settled: Sequence[tuple[str, str]]
) -> None:
    """Put whole files into quarantine, each as one record without text, at position 0; take others out.

    Parameters
    ----------
    settled : sequence of (feed, path)
        Files that may stand there and are refused no more, or anew.
    """
    lake.prepare(QUARANTINE)
    values = [tuple(_whole(file, source, run_id).get(name) for name in QUARANTINE.names) for file in refused]
    rows = lake.spark.createDataFrame(values, QUARANTINE.nullable_ddl)
    paths = [*settled, *[(file.feed, file.path) for file in refused]]
    asked = lake.spark.createDataFrame(paths, "feed string, path string")
    is_whole = (F.col("source") == source) & (F.col("position") == 0)
    old = lake.current(QUARANTINE).where(is_whole).join(F.broadcast(asked), ["feed", "path"], "left_semi")
    keys = old.select(*QUARANTINE.key).unionByName(rows.select(*QUARANTINE.key))
    lake.merge(QUARANTINE, rows, run_id, keys=keys)


def _whole(file: BatchFile, source: str, run_id: str) -> dict[str, Any]:
    content, reason = file.inspected.content, file.inspected.refusal
    return {
        "source": source,
        "feed": file.feed,
        "row_id": hashlib.sha256(f"{file.path} {content}".encode()).hexdigest()[:ID_DIGITS],
        "file_hash": content,
        "path": file.path,
        "position": 0,
        "copy": 1,
        "row_hash": content[:ID_DIGITS],
        "header": list(file.inspected.header),
        "refusal": reason,
        "reason": reason,
        "waits": False,
        "run_id": run_id,
        "quarantined_at": datetime.now(UTC),
    }


def reasons(lake: Lake, source: str, run_id: str | None, most: int) -> list[tuple[str, bool, str, int]]:
    """Why records of a source stand here, of one run or of all: feed, whether it is of whole files, reason, how many.

    Those of whole files first, then the commonest; `most` of them at most.
    """
    of_run = F.lit(True) if run_id is None else F.col("run_id") == run_id
    is_mine = (F.col("source") == source) & of_run
    is_file = (F.col("position") == 0).alias("is_file")
    counted = lake.current(QUARANTINE).where(is_mine).groupBy("feed", is_file, "reason").agg(F.count("*").alias("n"))
    rows = counted.orderBy(F.desc("is_file"), F.desc("n"), "feed", "reason").limit(most).collect()
    return [(row["feed"], row["is_file"], row["reason"], row["n"]) for row in rows]


def waiting(lake: Lake, source: str, feeds: Sequence[str], everything: bool) -> DataFrame:
    """Records that can be taken up again: those that wait, or all whose text is still there."""
    is_mine = (F.col("source") == source) & F.col("feed").isin(list(feeds))
    is_whole = F.col("raw").isNotNull() & F.col("refusal").isNull()
    return lake.current(QUARANTINE).where(is_mine & is_whole & (F.lit(everything) | F.col("waits")))


def parts(spark: SparkSession, refused: DataFrame, contexts: dict[str, Context]) -> list[Part]:
    """The refused records as parts of a batch, by feed and file."""
    rows = refused.select("feed", "file_hash", "path", "header").distinct().orderBy("path").collect()
    numbers = count()
    made = []
    for name, context in contexts.items():
        mine = [row for row in rows if row["feed"] == name]
        numbered = {
            next(numbers): Inspected(Found(row["path"], 0, EPOCH), row["file_hash"], tuple(row["header"]), 0, None)
            for row in mine
        }
        if numbered:
            made.append(_part(spark, refused.where(F.col("feed") == name), context, numbered))
    return made


def _part(spark: SparkSession, refused: DataFrame, context: Context, numbered: dict[int, Inspected]) -> Part:
    return Part(context, numbered, lambda: stage.of_quarantine(spark, refused, context, numbered))
