"""Why a day has no rows: nothing had happened by then, or nothing of what happened counts."""

from datetime import date

from pyspark.sql import functions as F

from crm_spark.core.contracts import Table
from crm_spark.core.job import Job
from crm_spark.core.lake import Lake
from crm_spark.core.runner import Result


def emptiness(job: Job, lake: Lake, result: Result, as_of: date) -> list[str]:
    """Say that a day has no rows, and whether that is because nothing had happened by then."""
    answers = [table.name for table in job.writes if table.owns == "as_of" and result.rows.get(table.name) == 0]
    if not answers:
        return []
    told = f"no rows for that day in {', '.join(answers)}"
    if any(_has_data(lake, table, result.versions_read.get(table.name), as_of) for table in job.reads):
        return [f"{as_of}: {told}"]
    return [f"no data on or before {as_of}: {told}"]


def _has_data(lake: Lake, table: Table, version: int | None, as_of: date) -> bool:
    """Whether a table has a row of a day up to `as_of`; one that knows no days counts with any row."""
    rows = lake.read(table, version)
    for column in table.columns:
        if column.type == "date" and not column.nullable:
            rows = rows.where(F.col(column.name) <= F.lit(as_of))
    return not rows.isEmpty()
