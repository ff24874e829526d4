"""`crm history`: what ran, or the versions of a table; newest first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from crm_spark.cli import say
from crm_spark.cli.desk import Desk

if TYPE_CHECKING:
    from crm_spark.core.contracts import Table
    from crm_spark.core.lake import Lake


def history(
    desk: Desk,
    name: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="A table: its versions.")] = None,
    last: Annotated[int, typer.Option("--last", min=1, help="How many.")] = 20,
) -> None:
    """Show what ran, or the versions of a table; newest first."""
    from crm_spark.cli.catalog import find

    table = None if name is None else find(desk.pipeline, name).table
    desk.need_lake()
    if table is None:
        _show_runs(desk, last)
    else:
        _show_versions(desk, table, last)


def _show_runs(desk: Desk, last: int) -> None:
    found = runs(desk.lake, last)
    rows = [
        (
            _clock(desk, run["at"]),
            run["run_id"],
            run["job"],
            run["as_of"],
            run["status"],
            *_work(run),
            run["reason"],
        )
        for run in found
    ]
    headings = ["at", "run", "job", "as of", "status", "rows", "time", "because"]
    desk.answer({"runs": found}, say.grid(headings, rows))


def _show_versions(desk: Desk, table: Table, last: int) -> None:
    found = versions(desk.lake, table, last)
    rows = [(made["version"], _clock(desk, made["at"]), made["operation"], made["run_id"]) for made in found]
    notes = [] if found else [f"{table.name} is not there yet"]
    data = {"table": table.name, "versions": found, "notes": notes}
    desk.answer(data, say.grid(["version", "at", "by", "run"], rows), *notes)


def runs(lake: Lake, most: int) -> list[dict[str, Any]]:
    """Give the newest runs, each with the last thing that is known of it."""
    from pyspark.sql import functions as F

    from crm_spark.core.runs import RUNS

    log = lake.read(RUNS, lake.version(RUNS))
    # A run has two rows at most: how it started and how it ended.
    is_start = F.col("status") == "started"
    newest = log.orderBy(F.desc("at"), is_start).limit(2 * most).collect()
    found: dict[str, dict[str, Any]] = {}
    for row in newest:
        found.setdefault(row["run_id"], row.asDict() | {"at": instant(row["at"])})
    return list(found.values())[:most]


def versions(lake: Lake, table: Table, most: int) -> list[dict[str, Any]]:
    """Give the newest versions of a table: when each was made, by what, in which run."""
    if lake.version(table) is None:
        return []
    return [
        {
            "version": row["version"],
            "at": instant(row["timestamp"]),
            "operation": row["operation"],
            "run_id": row["userMetadata"],
            "metrics": row["operationMetrics"],
        }
        for row in lake.history(table, most)
    ]


def instant(collected: datetime) -> datetime:
    """Give a collected timestamp its zone: Spark hands them over in this process's own."""
    return collected.astimezone(UTC)


def _clock(desk: Desk, at: datetime) -> str:
    return at.astimezone(ZoneInfo(desk.place.zone)).strftime("%Y-%m-%d %H:%M:%S")


def _work(run: dict[str, Any]) -> tuple[int | None, str | None]:
    """Rows and time, where they are known."""
    rows = sum(run["rows"].values()) if run["rows"] else None
    return rows, None if run["seconds"] is None else f"{run['seconds']:.1f} s"
