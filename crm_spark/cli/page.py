"""`crm report`: one page for a manager, of all that is in the lake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crm_spark.cli import say
from crm_spark.cli.desk import Desk
from crm_spark.core.errors import ConfigError


def report(
    desk: Desk,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the page is written.")] = Path(
        "report.html"
    ),
    title: Annotated[str, typer.Option("--title", help="What stands on top of it.")] = "Customers",
) -> None:
    """Write one HTML page that opens offline: what was loaded, and what each job found."""
    from crm_spark.cli.report import assemble

    if not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}")
    desk.need_lake()
    lake = desk.lake
    with say.busy("writing the page"):
        page = assemble(lake, desk.pipeline, desk.place, title)
    out.write_text(page, encoding="utf-8")
    size = out.stat().st_size
    desk.answer({"file": str(out), "bytes": size}, f"{out} is written ({say.size(size)}); open it in a browser")
