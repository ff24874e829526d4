"""`crm dictionary`: docs/tables.md, made from the contracts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crm_spark.cli.desk import Desk
from crm_spark.core.errors import ContractError

if TYPE_CHECKING:
    from crm_spark.cli.catalog import Known
    from crm_spark.core.contracts import Field, Table
    from crm_spark.core.pipeline import Pipeline

TOP = """# Tables

What stands in the lake, table by table. `crm dictionary` makes this page from the contracts: change those.

Money is in the lake's one currency. An instant (`…_at`) is UTC, a day (`…_on`) is the business day.
"""
WAYS = {
    "as_of": "one `as_of`: it is replaced",
    "table": "the whole table: it is replaced",
    "batch": "what it adds: rows are appended, once",
    "keys": "some keys: only rows that differ are touched",
}


def dictionary(
    desk: Desk,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where it is written.")] = Path("docs/tables.md"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 3 where it is out of date.")] = False,
) -> None:
    """Write the table dictionary: every table and column with its meaning."""
    made = render(desk.pipeline)
    is_current = out.is_file() and out.read_text(encoding="utf-8") == made
    if check and not is_current:
        raise ContractError(f"{out} is not what the contracts say: write it anew with `crm dictionary`")
    if not is_current:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(made, encoding="utf-8")
    told = f"{out} is up to date" if is_current else f"{out} is written"
    desk.answer({"file": str(out), "changed": not is_current}, told)


def render(pipeline: Pipeline) -> str:
    """Give the dictionary as Markdown."""
    from crm_spark.cli.catalog import known

    entries = known(pipeline).values()
    contents = "\n".join(f"- [{_name(entry)}](#{_name(entry)}): {entry.table.meaning}" for entry in entries)
    return "\n".join([TOP, contents, "", *[_section(entry) for entry in entries]])


def _section(entry: Known) -> str:
    table = entry.table
    rows = [_row(table, column) for column in table.columns]
    return "\n".join(
        [
            f"## {table.name}",
            "",
            f"{table.meaning} Made by `{entry.maker}`; contract version {table.version}.",
            f"Key: {', '.join(f'`{name}`' for name in table.key)}. A run owns {WAYS[table.owns]}.",
            "",
            "| column | type | unit | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _row(table: Table, column: Field) -> str:
    marks = [mark for mark, holds in [("may be missing", column.nullable), ("personal", column.personal)] if holds]
    meaning = f"{column.meaning} ({', '.join(marks)})" if marks else column.meaning
    cells = [f"`{column.name}`", column.type, column.unit or "", meaning.replace("|", r"\|")]
    return f"| {' | '.join(cells)} |"


def _name(entry: Known) -> str:
    return entry.table.name
