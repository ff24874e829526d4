"""`crm run`: jobs for one day, one after another; the first failure stops the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from crm_spark.cli import page, say
from crm_spark.cli.desk import Desk
from crm_spark.cli.options import AsOf, Downstream, Jobs, Report, Sets, Upstream
from crm_spark.cli.plan import foresee
from crm_spark.cli.watch import Watch
from crm_spark.core.arguments import day
from crm_spark.core.errors import ConfigError, CrmError, JobFailed

if TYPE_CHECKING:
    from rich.console import RenderableType

    from crm_spark.core.job import Job
    from crm_spark.core.runner import Intent, Result


@dataclass
class Day:
    """What became of the jobs of one day."""

    as_of: date
    results: list[Result] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)
    failed: str | None = None
    error: CrmError | None = None
    run_id: str | None = None

    @property
    def exit_code(self) -> int:
        """Give the exit code that the day ends with."""
        return 0 if self.error is None else self.error.exit_code

    @property
    def complaint(self) -> str:
        """What failed, with what was not run because of it."""
        more = f"; run {self.run_id}, see `crm history`; --debug shows where" if self.run_id else ""
        rest = f"\nnot run: {', '.join(self.not_run)}" if self.not_run else ""
        return f"{self.error}{more}{rest}"

    def data(self) -> dict[str, Any]:
        """Give the day as data."""
        told: dict[str, Any] = {
            "as_of": self.as_of,
            "runs": [vars(result) for result in self.results],
            "warnings": self.warnings,
            "not_run": self.not_run,
        }
        if self.error is None:
            return told
        failed = {"failed": self.failed, "run_id": self.run_id}
        return {**told, **failed, "error": str(self.error), "code": self.exit_code}


def run(
    desk: Desk,
    jobs: Jobs = None,
    as_of: AsOf = None,
    upstream: Upstream = False,
    downstream: Downstream = False,
    sets: Sets = None,
    report: Report = None,
) -> int:
    """Run jobs (all, where none is named) for one day, in order."""
    when = day(as_of)
    page.need_folder(report, "--report")
    desk.tell(sets or [])
    chosen = desk.pipeline.choose(jobs or [], upstream, downstream)
    foreseen = check(desk, chosen, when)
    with Watch(len(chosen)) as watch:
        done = run_day(desk, chosen, when, watch, foreseen)
    written = None
    if report is not None and done.error is None:
        try:
            written = page.write(desk, report)
        except Exception as error:  # what the jobs did is told, whatever becomes of the page
            done.failed, done.error = "report", _of_page(error)
    told, lines = done.data(), summary([done])
    if written is not None:
        told["report"] = vars(written)
        lines.append(str(written))
    desk.answer(told, *lines)
    return end(desk, done)


def _of_page(error: Exception) -> CrmError:
    if isinstance(error, CrmError):
        return error
    told = JobFailed(f"the page is not written: unexpected {type(error).__name__}; --debug shows where")
    told.__cause__ = error
    return told


def check(desk: Desk, jobs: list[Job], as_of: date) -> list[Intent]:
    """Refuse what any of the jobs would be refused for, before the first runs; say what each would do.

    Raises
    ------
    CrmError
        Naming every wrong setting of every job, or every table that is not what its contract promises.
    """
    desk.need_lake()
    desk.claim()
    check_settings(desk, jobs, as_of)  # before a session is started: that takes seconds
    return foresee(desk, jobs, as_of)


def check_settings(desk: Desk, jobs: list[Job], as_of: date) -> None:
    """Refuse settings that are wrong.

    Raises
    ------
    ConfigError
        Naming every wrong setting of every job.
    """
    from crm_spark.core import config

    faults = []
    for job in jobs:
        try:
            config.of_job(job.config, job.name, desk.place, as_of)
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))


def run_day(desk: Desk, jobs: list[Job], as_of: date, watch: Watch, foreseen: Sequence[Intent] = ()) -> Day:
    """Run the jobs of one day, up to the first that fails.

    Parameters
    ----------
    foreseen : sequence of Intent, optional
        What is known of the jobs since before the first of them.
    """
    from crm_spark.core import runner
    from crm_spark.core.emptiness import emptiness

    done, intents, written = Day(as_of), {intent.job.name: intent for intent in foreseen}, set[str]()
    for index, job in enumerate(jobs):
        watch.run_id = None  # a job that is refused before it starts has none
        intent = intents.get(job.name)
        try:
            if intent is not None and written.intersection(table.name for table in job.reads):
                intent = runner.pin(intent, desk.lake)
            result = runner.run(job, desk.lake, desk.place, as_of, watch.take, intent)
        except CrmError as error:
            done.failed, done.error, done.run_id = job.name, error, watch.run_id
            done.not_run = [other.name for other in jobs[index + 1 :]]
            break
        written |= result.versions_written.keys()
        done.results.append(result)
        done.warnings += emptiness(job, desk.lake, result, as_of)
    return done


def summary(days: list[Day]) -> list[RenderableType]:
    """Give a row for every run of some days."""
    rows = [
        (
            day.as_of,
            result.job,
            result.status,
            sum(result.rows.values()),
            f"{result.seconds:.1f} s",
            result.reason,
        )
        for day in days
        for result in day.results
    ]
    failed = [(day.as_of, day.failed, "failed", None, None, None) for day in days if day.error is not None]
    return [say.grid(["day", "job", "status", "rows", "time", "because"], [*rows, *failed])]


def end(desk: Desk, done: Day) -> int:
    """Say on standard error what was odd about a day, and give the exit code."""
    for warning in done.warnings:
        say.warn(warning)
    if done.error is not None:
        desk.trace(done.error)
        if not desk.given.as_json:
            say.complain(done.complaint)
    return done.exit_code
