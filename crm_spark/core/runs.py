"""The run log: what ran, on which versions, what it wrote, and how it ended."""

from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import Row
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.core.events import Event, Listener
from crm_spark.core.lake import Lake

RUNS = Table(
    "runs",
    "What ran: a row when it starts and a row when it ends.",
    owns="batch",
    key=["run_id", "status"],
    loaded=True,
    columns=[
        Field("run_id", "string", "the run"),
        Field("job", "string", "what ran"),
        Field("as_of", "date", "the day it spoke for", nullable=True),
        Field(
            "status",
            "string",
            "started, done, skipped (nothing was new), failed, died (`crm clean` found it), or dropped (its table is "
            "made anew)",
        ),
        Field("reason", "string", "why it was skipped, failed, or computed everything", nullable=True),
        Field("versions_read", "map<string,bigint>", "the version of each table that it read"),
        Field("versions_written", "map<string,bigint>", "the version of each table that it made"),
        Field("rows", "map<string,bigint>", "rows written to each table", unit="row"),
        Field("seconds", "double", "how long it took", unit="second", nullable=True),
        Field("fingerprint", "string", "a hash of its code and its settings"),
        Field("at", "timestamp", "when this row was written"),
    ],
)


def record(lake: Lake, run_id: str, job: str, status: str, fingerprint: str, **told: Any) -> None:
    """Add one row to the run log.

    Parameters
    ----------
    **told
        `as_of`, `reason`, `versions_read`, `versions_written`, `rows`, `seconds`, where known.
    """
    lake.prepare(RUNS)
    row = {
        "versions_read": {},
        "versions_written": {},
        "rows": {},
        **told,
        "run_id": run_id,
        "job": job,
        "status": status,
        "fingerprint": fingerprint,
        "at": datetime.now(UTC),
    }
    rows = lake.spark.createDataFrame([tuple(row.get(name) for name in RUNS.names)], RUNS.nullable_ddl)
    # A run is never run again under its id, so its rows need no transaction to be added once.
    lake.append(RUNS, rows, run_id)


def logged(lake: Lake, run_id: str, fingerprint: str, as_of: date | None = None) -> Listener:
    """Make the listener that writes a run's start and end into the run log."""

    def write_down(event: Event) -> None:
        if event.table is None and event.step in ("started", "done", "skipped", "failed"):
            told = {"reason": event.reason, "as_of": as_of, **event.told}
            record(lake, run_id, event.job, event.step, fingerprint, **told)

    return write_down


def dead(lake: Lake) -> list[Row]:
    """Give the runs that began and never ended, whose driver is surely dead: their first rows of RUNS."""
    log = lake.read(RUNS, lake.version(RUNS))
    is_old = F.col("at") <= F.current_timestamp() - F.lit(lake.dead_after)
    ended = log.where("status <> 'started'").select("run_id")
    return log.where((F.col("status") == "started") & is_old).join(ended, "run_id", "left_anti").orderBy("at").collect()


def last_done(lake: Lake, job: str, as_of: date | None = None) -> dict[str, Any] | None:
    """Give the row of a job's newest run that ended well, for one `as_of` or for any; none before a drop counts."""
    is_end = F.col("status").isin("done", "skipped", "dropped")
    runs = lake.read(RUNS, lake.version(RUNS)).where((F.col("job") == job) & is_end)
    if as_of is not None:
        runs = runs.where((F.col("as_of") == F.lit(as_of)) | (F.col("status") == "dropped"))
    newest = runs.orderBy(F.desc("at")).limit(1).collect()
    return newest[0].asDict() if newest and newest[0]["status"] != "dropped" else None
