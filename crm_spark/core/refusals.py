"""What Delta refuses, told in our words: a broken promise, a rival, a table or a version that is not there."""

import re
from collections.abc import Callable
from datetime import date

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Table
from crm_spark.core.errors import ContractError, JobFailed, LakeBusy

FULL = re.compile(r"No space left on device|Disk quota exceeded|File too large")
OTHER_DAY = "crm_spark: rows of another day"


def only(as_of: date) -> Column:
    """Give `as_of`, and end the write where a row has another: it would stand among those of a day that is done."""
    is_of_day = F.col("as_of").isNull() | (F.col("as_of") == F.lit(as_of))
    return F.when(is_of_day, F.col("as_of")).otherwise(F.raise_error(F.lit(OTHER_DAY)).cast("date"))


def checked(table: Table, rows: DataFrame, write: Callable[[], object]) -> Callable[[], None]:
    """Make a write that tells all that is wrong with its rows, and none of them.

    They are looked at only after Delta refused them, as it tells of one column. That a key is repeated it
    notices in some merges alone; to look for it in each write would cost a shuffle, so `crm doctor` does.
    """

    def looked_at() -> None:
        try:
            write()
        except Exception as error:
            if OTHER_DAY in str(error):
                remedy = "a run writes the rows of its own `as_of` alone; keep those"
                raise ContractError(f"{table.name} breaks its contract: it got rows of another day; {remedy}") from None
            if not re.search(r"NOT NULL constraint violated|DELTA_MULTIPLE_SOURCE_ROW", str(error)):
                raise
            broken = [f"{row['fault']}: {row['rows']} rows" for row in table.faults(rows).orderBy("fault").collect()]
            raise ContractError.listing(f"{table.name} breaks its contract", broken) from None

    return looked_at


def guarded(table: Table, write: Callable[[], object]) -> None:
    """Run a write; tell a rival, or a disk that is full, by name."""
    try:
        write()
    except Exception as error:
        said = str(error)
        if re.search(r"DELTA_CONCURRENT_|Concurrent\w+Exception|DELTA_MAX_COMMIT_RETRIES_EXCEEDED", said):
            raise LakeBusy(f"{table.name}: another run wrote to it meanwhile; run again when it is done") from None
        if FULL.search(said):
            remedy = "make room under the lake or Spark's scratch folder, and run again"
            raise JobFailed(f"{table.name} is as it was: a disk is full; {remedy}") from None
        raise


def is_absent(error: Exception) -> bool:
    """Whether an error says that a table is not there."""
    return isinstance(error, AnalysisException) and bool(
        re.search(
            r"DELTA_TABLE_ONLY_OPERATION|DELTA_MISSING_DELTA_TABLE|TABLE_OR_VIEW_NOT_FOUND|SCHEMA_NOT_FOUND|PATH_NOT_FOUND|DELTA_PATH_DOES_NOT_EXIST|DELTA_TABLE_NOT_FOUND",
            str(error),
        )
    )


def is_unreadable(error: Exception) -> bool:
    """Whether an error says that rows of older versions, or what changed between them, can no longer be read."""
    return bool(
        re.search(
            r"DELTA_\w*(CHANGE_DATA|CDC|VERSION|NOT_FOUND|TRUNCATED|TIME_TRAVEL)"
            r"|FileNotFound|FILE_NOT_EXIST|FAILED_READ_FILE|VersionNotFound",
            str(error),
        )
    )


def is_damage(error: Exception) -> bool:
    """Whether an error says that a file of a table, or of its log, cannot be read."""
    return bool(
        re.search(
            r"FAILED_READ_FILE|FILE_NOT_EXIST|FileNotFoundException|CANNOT_READ_FILE_FOOTER|is not a Parquet file"
            r"|JsonParseException|JsonEOFException|MalformedInputException|DELTA_\w*(TRUNCATED|CONTIGUOUS|STATE_RECOVER)",
            str(error),
        )
    )
