"""Records that wait or were refused: put there as whole files, and taken up again."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.core.lake import Lake
from crm_spark.ingest import stage
from crm_spark.ingest.accounts import QUARANTINE
from crm_spark.ingest.batch import Part
from crm_spark.ingest.conform import Context
from crm_spark.ingest.files import Found, Inspected
from crm_spark.ingest.plan import BatchFile

EPOCH = datetime.fromtimestamp(0, UTC)


def refuse(lake: Lake, source: str, run_id: str, files: Sequence[BatchFile]) -> None:
    """Put whole files into quarantine, each as one record without text, at position 0."""
    now = datetime.now(UTC)
    rows = [
        {
            "source": source,
            "feed": file.feed,
            "row_id": file.inspected.content[:32],
            "file_hash": file.inspected.content,
            "path": file.path,
            "position": 0,
            "copy": 1,
            "row_hash": file.inspected.content[:32],
            "header": list(file.inspected.header),
            "refusal": file.inspected.refusal,
            "reason": file.inspected.refusal,
            "waits": False,
            "run_id": run_id,
            "quarantined_at": now,
        }
        for file in files
    ]
    values = [tuple(row.get(name) for name in QUARANTINE.names) for row in rows]
    lake.prepare(QUARANTINE)
    lake.merge(QUARANTINE, lake.spark.createDataFrame(values, QUARANTINE.nullable_ddl), run_id)


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
    return Part(context, numbered, lambda: stage.of_quarantine(spark, refused, numbered))
