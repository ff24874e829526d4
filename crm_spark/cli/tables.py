"""`crm tables`: every table there is, or the columns of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_spark.cli import say
from crm_spark.cli.desk import Desk

if TYPE_CHECKING:
    from crm_spark.cli.catalog import Known
    from crm_spark.core.contracts import Field


def tables(
    desk: Desk,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One table: its columns.")] = None,
) -> None:
    """List all tables with what they mean and hold, or show the columns of one."""
    if name is None:
        every(desk)
    else:
        one(desk, name)


def every(desk: Desk) -> None:
    """Show all tables: who makes each, its rows, version and size where it exists."""
    from crm_spark.cli.catalog import known

    is_there = desk.is_there()
    found = [_entry(entry) | (_state(desk, entry) if is_there else {}) for entry in known(desk.pipeline).values()]
    rows = [
        (
            each["name"],
            each["made_by"],
            each.get("rows"),
            each.get("version"),
            say.size(each.get("bytes")),
            each["meaning"],
        )
        for each in found
    ]
    notes = [] if is_there else [desk.absence]
    headings = ["table", "made by", "rows", "version", "size", "meaning"]
    desk.answer({"tables": found, "notes": notes}, say.grid(headings, rows), *notes)


def one(desk: Desk, name: str) -> None:
    """Show the columns of one table."""
    from crm_spark.cli.catalog import find

    known = find(desk.pipeline, name)
    table = known.table
    columns = [_column(column, table.key) for column in table.columns]
    rows = [(each["name"], each["type"], each["unit"], _marks(each), each["meaning"]) for each in columns]
    desk.answer(
        _entry(known) | {"columns": columns},
        f"{table.name} (made by {known.maker or 'no job'}): {table.meaning}",
        say.grid(["column", "type", "unit", "is", "meaning"], rows),
    )


def _entry(known: Known) -> dict[str, Any]:
    table = known.table
    return {
        "name": table.name,
        "meaning": table.meaning,
        "made_by": known.maker,
        "owns": table.owns,
        "key": list(table.key),
        "contract": table.version,
    }


def _state(desk: Desk, known: Known) -> dict[str, Any]:
    """Rows, version, files and bytes of a table; nothing where it is not there."""
    version = desk.lake.version(known.table)
    if version is None:
        return {}
    files, size = desk.lake.size(known.table)
    return {
        "rows": desk.lake.read(known.table, version).count(),
        "version": version,
        "files": files,
        "bytes": size,
    }


def _column(column: Field, key: list[str] | Any) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "unit": column.unit,
        "meaning": column.meaning,
        "key": column.name in key,
        "nullable": column.nullable,
        "personal": column.personal,
    }


def _marks(column: dict[str, Any]) -> str:
    marks = {"key": column["key"], "may be missing": column["nullable"], "personal": column["personal"]}
    return ", ".join(mark for mark, holds in marks.items() if holds)
