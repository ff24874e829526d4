"""`crm sample`: the raw files of a made-up shop whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crm_spark.cli import say
from crm_spark.cli.desk import Desk
from crm_spark.core.arguments import day
from crm_spark.core.errors import ConfigError


def sample(
    desk: Desk,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write into.")],
    customers: Annotated[int, typer.Option("--customers", min=1, help="How many customers.")] = 2_000,
    days: Annotated[int, typer.Option("--days", min=1, help="How many days.")] = 120,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same files.")] = 1,
    start: Annotated[str, typer.Option("--start", metavar="DATE", help="The first day.")] = "2025-01-01",
    dirt: Annotated[float, typer.Option("--dirt", min=0, max=1, help="Share of spoiled lines.")] = 0.01,
) -> None:
    """Write the raw daily files of a small made-up shop, and the truth about it in OUT/truth."""
    from crm_spark.sample import shop

    try:
        with say.busy("making the shop"):
            shop.write(out, customers, days, seed, day(start, "--start"), dirt)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    files = sum(1 for path in out.rglob("*") if path.is_file() and "truth" not in path.relative_to(out).parts)
    told = {"folder": str(out), "customers": customers, "days": days, "seed": seed, "files": files}
    desk.answer(
        told,
        f"{out}: {files} files of {days} days and {customers:,} customers; the truth is in {out / 'truth'}",
    )
