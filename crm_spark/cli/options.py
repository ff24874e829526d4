"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Jobs = Annotated[list[str] | None, typer.Argument(metavar="[JOB]...", help="Which jobs. [default: all]")]
AsOf = Annotated[str | None, typer.Option("--as-of", metavar="DATE", help="The day the answers speak for.")]
Upstream = Annotated[bool, typer.Option("--upstream", help="And the jobs whose tables these read.")]
Downstream = Annotated[bool, typer.Option("--downstream", help="And the jobs that read what these write.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="JOB.NAME=VALUE", help="A setting of a job; may be repeated."),
]
Report = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write the page there, once all jobs are done.")
]
