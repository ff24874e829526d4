"""`crm backfill`: jobs for each day of a span, oldest first."""

from __future__ import annotations

import calendar
from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from crm_spark.cli import page, say
from crm_spark.cli.desk import Desk
from crm_spark.cli.options import Downstream, Jobs, Report, Sets, Upstream
from crm_spark.cli.run import check, end, run_day, summary
from crm_spark.cli.watch import Watch
from crm_spark.core.arguments import day
from crm_spark.core.errors import ConfigError


class Every(StrEnum):
    """How far apart the days are."""

    day = "day"
    week = "week"
    month = "month"


def backfill(  # noqa: PLR0913, PLR0917 - each is an option
    desk: Desk,
    jobs: Jobs = None,
    since: Annotated[str | None, typer.Option("--from", metavar="DATE", help="The first day.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="DATE", help="The last day.")] = None,
    every: Annotated[Every, typer.Option("--every", help="How far apart the days are.")] = Every.day,
    upstream: Upstream = False,
    downstream: Downstream = False,
    sets: Sets = None,
    report: Report = None,
) -> int:
    """Run jobs for each day of a span, oldest first; with --json one object for each day."""
    page.need_folder(report, "--report")
    when = days(day(since, "--from"), day(until, "--to"), every)
    desk.tell(sets or [])
    chosen = desk.pipeline.choose(jobs or [], upstream, downstream)
    foreseen = check(desk, chosen, when[0])
    with Watch(len(chosen) * len(when)) as watch:
        done = []
        for as_of in when:
            done.append(run_day(desk, chosen, as_of, watch, foreseen if as_of == when[0] else ()))
            if desk.given.as_json:
                desk.answer(done[-1].data())
            if done[-1].error is not None:
                break
    if not desk.given.as_json:
        say.lines(*summary(done))
    if report is not None and done[-1].error is None:
        written = page.write(desk, report)
        desk.answer({"report": vars(written)}, str(written))
    not_run = [str(as_of) for as_of in when[len(done) :]]
    if not_run:
        say.warn(f"days not run: {_span(not_run)}")
    return max(end(desk, each) for each in done)


def days(first: date, last: date, every: Every) -> list[date]:
    """List the days of a span. Months keep the first one's day where they have it: 31 January, 28 February.

    Raises
    ------
    ConfigError
        The span ends before it starts.
    """
    if last < first:
        raise ConfigError(f"--from {first} is after --to {last}")
    if every is Every.month:
        found, ahead = [first], 1
        while (following := _months_after(first, ahead)) <= last:
            found.append(following)
            ahead += 1
        return found
    step = 1 if every is Every.day else 7
    return [first + timedelta(days=ahead) for ahead in range(0, (last - first).days + 1, step)]


def _span(days: list[str]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _months_after(first: date, ahead: int) -> date:
    year, month = divmod(first.year * 12 + first.month - 1 + ahead, 12)
    return date(year, month + 1, min(first.day, calendar.monthrange(year, month + 1)[1]))
