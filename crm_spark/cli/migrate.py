"""`crm migrate`: bring a loaded table to its contract by the migrations that it has yet to go through."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_spark.cli import say
from crm_spark.cli.desk import Desk
from crm_spark.core.errors import ConfigError

if TYPE_CHECKING:
    from crm_spark.core.contracts import Migration, Table


def migrate(
    desk: Desk,
    name: Annotated[str, typer.Argument(metavar="TABLE", help="A table that is loaded or logged.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Bring a loaded table to its contract; started again, it finishes what was stopped."""
    table = loaded(desk, name)
    desk.need_lake()
    if not dry_run:
        desk.claim()
    pending = desk.lake.pending(table) if desk.lake.version(table) is not None else []
    named = [migration.name for migration in pending]
    told: dict[str, Any] = {"table": name, "migrations": named, "dry_run": dry_run}
    if dry_run:
        return desk.answer(told, f"{name}: {_listed(named)} would run" if named else _nothing(name))
    with say.busy(f"migrating {name}"):
        told |= _done(desk, table, pending)
    desk.answer(told, f"{name}: {_listed(named)} done, {told['rows']:,} rows" if named else _nothing(name))
    return None


def loaded(desk: Desk, name: str) -> Table:
    """Give a table that cannot be computed anew.

    Raises
    ------
    ConfigError
        A job makes it, or no one here.
    """
    from crm_spark.cli.catalog import find

    table = find(desk.pipeline, name).table
    if not table.loaded:
        raise ConfigError(f"{name} is not loaded but computed: `crm rebuild {name}` makes it anew")
    return table


def _done(desk: Desk, table: Table, pending: Sequence[Migration]) -> dict[str, Any]:
    """Migrate, and log it; the log itself can be written to only when it is what its contract promises."""
    from crm_spark.core import runs

    lake, run_id, began = desk.lake, uuid.uuid4().hex[:12], time.monotonic()
    job, names = f"migrate {table.name}", _listed([migration.name for migration in pending])
    if not pending:
        runs.record(lake, run_id, job, "skipped", "-", reason=_nothing(table.name))
        return {"run_id": run_id, "rows": 0}
    if table.name != runs.RUNS.name:
        runs.record(lake, run_id, job, "started", "-", reason=f"runs {names}")
    lake.migrate(table, run_id)
    version = lake.version(table) or 0
    rows = {table.name: lake.read(table, version).count()}
    written, seconds = {table.name: version}, round(time.monotonic() - began, 3)
    told = {"reason": f"ran {names}", "versions_written": written, "rows": rows, "seconds": seconds}
    runs.record(lake, run_id, job, "done", "-", **told)
    return {"run_id": run_id, "rows": rows[table.name]}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _nothing(name: str) -> str:
    return f"{name}: no migration has yet to run"
