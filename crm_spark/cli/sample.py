"""`crm sample`: the raw files of a made-up shop whose truth is known."""

from __future__ import annotations

from typing import Annotated

import typer

from crm_spark.cli import say
from crm_spark.cli.desk import Desk
from crm_spark.core.arguments import day
from crm_spark.core.errors import ConfigError
from crm_spark.sample.setting import EFFECTS, MOST, Setting


def sample(  # noqa: PLR0913, PLR0917 - each is an option
    desk: Desk,
    out: Annotated[str, typer.Argument(metavar="OUT", help="The folder or URI to write into.")],
    customers: Annotated[int, typer.Option("--customers", min=1, help="How many customers.")] = 2_000,
    days: Annotated[int, typer.Option("--days", min=1, help="How many days.")] = 120,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same files.")] = 1,
    start: Annotated[str, typer.Option("--start", metavar="DATE", help="The first day.")] = "2025-01-01",
    dirt: Annotated[float, typer.Option("--dirt", min=0, max=1, help="Share of spoiled lines.")] = 0.01,
    archetypes: Annotated[
        int, typer.Option("--archetypes", min=1, max=MOST, help="How many kinds of customers.")
    ] = MOST,
    effects: Annotated[
        float, typer.Option("--effects", min=0, max=2, help="Strength of all planted effects; 0: nothing to be found.")
    ] = 1.0,
    effect: Annotated[
        list[str] | None,
        typer.Option("--effect", metavar="NAME=STRENGTH", help=f"Strength of one: {', '.join(EFFECTS)}."),
    ] = None,
) -> None:
    """Write the raw daily files of a made-up shop, and the truth about it in OUT/truth."""
    from crm_spark.core.session import session
    from crm_spark.sample import shop

    strengths = {**dict.fromkeys(EFFECTS, effects), **_named(effect or [])}
    try:
        setting = Setting(customers, days, seed, day(start, "--start"), dirt, archetypes, strengths)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    with say.busy("making the shop"):
        written = shop.write(out, setting, session() if setting.chunks > 1 else None)
    files = len(written["accounts"]["files"])
    told = {"folder": out, "customers": customers, "days": days, "seed": seed, "files": files}
    desk.answer(
        told,
        f"{out}: {files} files of {days} days and {customers:,} customers; the truth is in {out}/truth",
    )


def _named(told: list[str]) -> dict[str, float]:
    """Read `NAME=STRENGTH`."""
    strengths = {}
    for one in told:
        name, _, strength = one.partition("=")
        try:
            strengths[name] = float(strength)
        except ValueError:
            raise ConfigError(f"--effect must be NAME=STRENGTH, got '{one}'") from None
    return strengths
