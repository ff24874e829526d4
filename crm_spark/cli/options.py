"""Options that several commands have, and how their text is read."""

from datetime import date
from typing import Annotated

import typer

from crm_spark.core.errors import ConfigError

Jobs = Annotated[list[str] | None, typer.Argument(metavar="[JOB]...", help="Which jobs. [default: all]")]
AsOf = Annotated[str | None, typer.Option("--as-of", metavar="DATE", help="The day the answers speak for.")]
Upstream = Annotated[bool, typer.Option("--upstream", help="And the jobs whose tables these read.")]
Downstream = Annotated[bool, typer.Option("--downstream", help="And the jobs that read what these write.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="JOB.NAME=VALUE", help="A setting of a job; may be repeated."),
]


def day(text: str | None, option: str = "--as-of") -> date:
    """Read a day as the command line gives it.

    Raises
    ------
    ConfigError
        It is missing, or no day.
    """
    if text is None:
        raise ConfigError(f"{option} is missing: say which day, like {option} 2026-01-31")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} must be a day like 2026-01-31, got '{text}'") from None
