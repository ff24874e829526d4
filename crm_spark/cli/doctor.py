"""`crm doctor`: are machine, configuration and lake as they should be? Each fault with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from crm_spark.cli import lakeside, machine, say
from crm_spark.cli.desk import Desk
from crm_spark.cli.finding import Finding, problem


def doctor(
    desk: Desk,
    values: Annotated[bool, typer.Option(help="Check every value in every table too; reads them all.")] = True,
) -> int:
    """Check Java, packages, configuration, security, every table against its contract, and what was left unfinished."""
    found = list(findings(desk, values))
    problems = [finding for finding in found if finding.state == "problem"]
    rows = [(finding.state, finding.what, finding.said, finding.remedy) for finding in found]
    data = {"findings": [vars(finding) for finding in found], "problems": len(problems)}
    desk.answer(data, say.grid(["", "what", "found", "do"], rows))
    return problems[0].code if problems else 0


def findings(desk: Desk, values: bool) -> Iterator[Finding]:
    """Look at the machine, then at the configuration, then at the lake; each needs the one before."""
    on_machine = list(machine.findings())
    yield from on_machine
    is_sound = all(finding.state != "problem" for finding in on_machine)
    configured = machine.configuration(desk, with_spark=is_sound)
    yield configured
    if not is_sound or configured.state == "problem":
        yield problem("lake", "not looked at", "mend what stands above first")
    else:
        yield machine.security(desk.lake.spark)
        yield from lakeside.findings(desk, values)
