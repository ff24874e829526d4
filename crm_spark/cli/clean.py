"""`crm clean`: what dead runs left, small files, versions that no reader needs, the text of refused records."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_spark.cli import say
from crm_spark.cli.desk import Desk
from crm_spark.cli.history import instant

if TYPE_CHECKING:
    from pyspark.sql import Row

    from crm_spark.core.contracts import Table


def clean(
    desk: Desk,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Remove what dead runs left, gather small files and drop old versions that no job has yet to read."""
    from crm_spark.cli.catalog import known
    from crm_spark.ingest import accounts

    desk.need_lake()
    desk.claim()  # for a dry run too: who else is at work has unfinished files
    lake, place, now = desk.lake, desk.place, datetime.now(UTC)
    done: list[dict[str, Any]] = []
    with lake.turn():
        died = _buried(desk, dry_run)
        if not dry_run and lake.version(accounts.QUARANTINE) is not None:
            accounts.expire(lake, place.quarantine_days, now, f"clean-{uuid.uuid4().hex[:12]}")
        for entry in known(desk.pipeline).values():
            if lake.version(entry.table) is not None:
                with say.busy(f"cleaning {entry.table.name}"):
                    done.append(_cleaned(desk, entry.table, now, dry_run))
    rows = [
        (
            each["table"],
            each["files_before"],
            each.get("files"),
            each["orphans"],
            f"{each['keep_hours']} h",
            each["because"],
        )
        for each in done
    ]
    said = "nothing was changed (--dry-run)" if dry_run else f"{len(done)} tables are clean"
    desk.answer(
        {"tables": done, "died": died, "dry_run": dry_run},
        say.grid(["table", "files", "now", "of dead runs", "keeps", "because"], rows),
        *[f"run {run['run_id']} of {run['job']} died: it began at {run['at']:%Y-%m-%d %H:%M} UTC" for run in died],
        said,
    )


def _buried(desk: Desk, dry_run: bool) -> list[dict[str, Any]]:
    """Tell which runs died, and write it into the run log."""
    from crm_spark.core import runs

    died = [run.asDict() | {"at": instant(run["at"])} for run in runs.dead(desk.lake)]
    for run in [] if dry_run else died:
        why = {"as_of": run["as_of"], "reason": "its driver ended before it did"}
        runs.record(desk.lake, run["run_id"], run["job"], "died", run["fingerprint"], **why)
    return [{name: run[name] for name in ("run_id", "job", "as_of", "at")} for run in died]


def hours(keep_days: int, waits: Mapping[str, datetime], now: datetime) -> tuple[int, str]:
    """How long a table's old versions stay readable, and why.

    Parameters
    ----------
    waits : mapping
        For each job that reads only changes, since when there are some that it has yet to read.
    """
    keep = keep_days * 24
    needed = {job: math.ceil((now - since).total_seconds() / 3600) + 1 for job, since in waits.items()}
    slowest = max(needed, key=lambda job: needed[job], default=None)
    if slowest is None or needed[slowest] <= keep:
        return keep, "keep_days"
    return needed[slowest], f"{slowest} has yet to read changes"


def waiting(desk: Desk, table: Table) -> dict[str, datetime]:
    """For each job that reads only a table's changes, since when there are some that it has not read."""
    from crm_spark.core import runs

    newest, found = desk.lake.version(table) or 0, dict[str, datetime]()
    for job in desk.pipeline.jobs.values():
        if job.follows is not None and job.follows.name == table.name:
            last = runs.last_done(desk.lake, job.name) or {"versions_read": {}}
            read = last["versions_read"].get(table.name, newest)
            since = waiting_since(desk.lake.history(table, newest - read), read) if newest > read else None
            found |= {job.name: since} if since is not None else {}
    return found


def waiting_since(history: Sequence[Row], read: int) -> datetime | None:
    """When the first version was made that comes after the one that was read; `history` is newest first."""
    later = [version["timestamp"] for version in history if version["version"] > read]
    return instant(later[-1]) if later else None


def _cleaned(desk: Desk, table: Table, now: datetime, dry_run: bool) -> dict[str, Any]:
    keep, because = hours(desk.place.keep_days, waiting(desk, table), now)
    orphans = len(desk.lake.orphans(table))
    told: dict[str, Any] = {"table": table.name, "files_before": desk.lake.size(table)[0], "orphans": orphans}
    if not dry_run:
        if orphans:
            desk.lake.remove_orphans(table)
        desk.lake.compact(table)
        desk.lake.vacuum(table, keep)
        told["files"] = desk.lake.size(table)[0]
    return {**told, "keep_hours": keep, "because": because}
