"""`crm plan`: what a run would do and why. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from crm_spark.cli import say
from crm_spark.cli.desk import Desk
from crm_spark.cli.options import AsOf, Downstream, Jobs, Sets, Upstream
from crm_spark.core.arguments import day
from crm_spark.core.errors import CrmError

if TYPE_CHECKING:
    from crm_spark.core.contracts import Table
    from crm_spark.core.job import Job
    from crm_spark.core.runner import Intent


@dataclass(frozen=True)
class Step:
    """What one job would do."""

    job: str
    would: str
    reason: str
    reads: dict[str, str]
    writes: dict[str, str]
    settings: dict[str, Any]


def plan(
    desk: Desk,
    jobs: Jobs = None,
    as_of: AsOf = None,
    upstream: Upstream = False,
    downstream: Downstream = False,
    sets: Sets = None,
) -> None:
    """Show what a run would do: what it reads and writes, and why. Writes nothing."""
    when = day(as_of)
    desk.tell(sets or [])
    chosen = desk.pipeline.choose(jobs or [], upstream, downstream)
    notes = [] if desk.is_there() else [desk.absence]
    steps = _steps(desk, foresee(desk, chosen, when), when)
    rows = [(step.job, step.would, step.reason, _listed(step.reads), _listed(step.writes)) for step in steps]
    heading = ["job", "would", "because", "reads", "writes"]
    data = {"as_of": when, "steps": [vars(step) for step in steps], "notes": notes}
    desk.answer(data, say.grid(heading, rows), *notes)


def foresee(desk: Desk, jobs: list[Job], as_of: date) -> list[Intent]:
    """Say what each job would do as the lake is now; reads only.

    Raises
    ------
    CrmError
        Naming what keeps any of the jobs from running, all at once.
    """
    from crm_spark.core import runner

    intents, faults = [], []
    lake = desk.lake  # settings may hold what only a session can judge
    for job in jobs:
        try:
            intents.append(runner.intend(job, lake, desk.place, as_of))
        except CrmError as error:
            faults.append(error)
    if faults:
        raise type(faults[0])("\n".join(dict.fromkeys(str(fault) for fault in faults)))
    return intents


def _steps(desk: Desk, intents: list[Intent], as_of: date) -> list[Step]:
    """Give a step for each job, given that those before it run."""
    steps, renewed = [], dict[str, str]()
    for intent in intents:
        steps.append(_step(desk, intent, as_of, renewed))
        if steps[-1].would == "run":
            renewed |= {table.name: intent.job.name for table in intent.job.writes}
    return steps


def _step(desk: Desk, intent: Intent, as_of: date, renewed: dict[str, str]) -> Step:
    """One job's step; what a job before it makes anew has no version yet."""
    from crm_spark.core.config import shown

    job, waits = intent.job, [table.name for table in intent.job.reads if table.name in renewed]
    reads = {
        table.name: f"as {renewed[table.name]} leaves it" if table.name in waits else _version(intent, table)
        for table in job.reads
    }
    is_woken = not intent.is_needed and bool(waits)
    reason = f"{', '.join(waits)} may change before" if is_woken else intent.reason
    return Step(
        job.name,
        "run" if intent.is_needed or is_woken else "skip",
        reason,
        reads,
        {table.name: _writing(desk, intent, table, as_of) for table in job.writes},
        shown(intent.config),
    )


def _version(intent: Intent, table: Table) -> str:
    version = intent.versions.get(table.name)
    if version is None:
        return "not there: no rows"
    lacks = [f"lacks column {name}" for name in intent.grown[table.name]]
    return ", ".join([f"version {version}", *lacks])


def _writing(desk: Desk, intent: Intent, table: Table, as_of: date) -> str:
    """How the rows get there, and how the table itself would change."""
    grown = [f"adds column {name}" for name in intent.grown[table.name]]
    made = [] if desk.lake.version(table) is not None else ["creates the table"]
    if table.owns == "as_of":
        way = f"replaces the rows of {as_of}"
    else:
        way = "replaces all rows" if intent.since is None else f"updates what changed, by {', '.join(table.key)}"
    return ", ".join([*made, *grown, way])


def _listed(told: dict[str, str]) -> str:
    return "\n".join(f"{name}: {what}" for name, what in told.items())
