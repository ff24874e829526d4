"""`crm report`: one page for a manager, of all that is in the lake."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from crm_spark.cli import say
from crm_spark.cli.desk import Desk
from crm_spark.core.errors import ConfigError

TITLE = "Customers"


def report(
    desk: Desk,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the page is written.")] = Path(
        "report.html"
    ),
    title: Annotated[str, typer.Option("--title", help="What stands on top of it.")] = TITLE,
) -> None:
    """Write one HTML page that opens offline: what was loaded, and what each job found."""
    need_folder(out, "--out")
    desk.need_lake()
    written = write(desk, out, title)
    desk.answer(vars(written), str(written))


@dataclass
class Written:
    """A page that was written."""

    file: str
    bytes: int

    def __str__(self) -> str:
        """Say it to a person."""
        return f"{self.file} is written ({say.size(self.bytes)}); open it in a browser"


def need_folder(out: Path | None, option: str) -> None:
    """Refuse to go on without a folder for the page, where one is asked for."""
    if out is not None and not out.absolute().parent.is_dir():
        raise ConfigError(f"{option} {out}: there is no folder {out.parent}")


def write(desk: Desk, out: Path, title: str = TITLE) -> Written:
    """Write the page of the desk's lake."""
    from crm_spark.cli.report import assemble

    lake = desk.lake
    with say.busy("writing the page"):
        page = assemble(lake, desk.pipeline, desk.place, title)
    out.write_text(page, encoding="utf-8")
    return Written(str(out), out.stat().st_size)
