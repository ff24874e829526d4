"""`crm rebuild`: forget a derived table and compute it anew."""

from __future__ import annotations

import uuid
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from crm_spark.cli.desk import Desk
from crm_spark.cli.options import AsOf, Sets
from crm_spark.cli.run import check_settings, end, run_day, summary
from crm_spark.cli.watch import Watch
from crm_spark.core.arguments import day
from crm_spark.core.errors import ConfigError

if TYPE_CHECKING:
    from crm_spark.core.contracts import Table
    from crm_spark.core.job import Job


def rebuild(
    desk: Desk,
    name: Annotated[str, typer.Argument(metavar="TABLE", help="A table that a job makes.")],
    as_of: AsOf = None,
    sets: Sets = None,
) -> int:
    """Drop a table that a job makes, and run that job for one day."""
    table, job = derived(desk, name)
    when = day(as_of)
    desk.tell(sets or [])
    desk.need_lake()
    desk.claim()
    check_settings(desk, [job], when)
    for other in job.tables.values():
        if other != table:  # that one may be as it likes
            desk.lake.growth(other)
    check_settings(desk, [job], when)  # again with a session: there are settings that only Spark can read
    before = desk.lake.version(table)
    lost = _other_days(desk, table, before, when)
    if before is not None:
        _drop(desk, table, job)
    with Watch(1) as watch:
        done = run_day(desk, [job], when, watch)
    if lost:
        first, last = lost[0], lost[-1]
        many = "1 other day" if len(lost) == 1 else f"{len(lost)} other days"
        done.warnings.append(f"{name} lost {many} ({first} to {last}); `crm backfill {job.name}` makes days anew")
    desk.answer(done.data() | {"version_before": before}, *summary([done]))
    return end(desk, done)


def derived(desk: Desk, name: str) -> tuple[Table, Job]:
    """Give a table that a job makes, and that job.

    Raises
    ------
    ConfigError
        No job makes it: what was loaded or logged cannot be computed again.
    """
    from crm_spark.cli.catalog import INGEST, RUNNER, find

    known = find(desk.pipeline, name)
    if known.maker == INGEST:
        raise ConfigError(
            f"{name} is loaded from files, not derived from tables: `crm ingest --replace PATH` swaps"
            " the rows of a file; a change of its columns needs a migration"
        )
    if known.maker == RUNNER:
        raise ConfigError(f"{name} is the log of what ran: it cannot be made anew")
    if known.maker is None:
        raise ConfigError(f"{name} is made by no job here")
    return known.table, desk.pipeline.jobs[known.maker]


def _drop(desk: Desk, table: Table, job: Job) -> None:
    """Drop a table, and log it first: were it lost between, the job would think that nothing is to do."""
    from crm_spark.core import runs

    run_id = uuid.uuid4().hex[:12]
    runs.record(desk.lake, run_id, job.name, "dropped", "-", reason=f"{table.name} is made anew")
    desk.lake.drop(table, run_id)


def _other_days(desk: Desk, table: Table, version: int | None, as_of: date) -> list[date]:
    """Which other days a table holds whose runs own a day each; they go with it."""
    if table.owns != "as_of" or version is None:
        return []
    days = desk.lake.read(table, version).select("as_of").distinct().orderBy("as_of").collect()
    return [row[0] for row in days if row[0] != as_of]
