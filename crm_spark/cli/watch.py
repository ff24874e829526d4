"""Progress while jobs run: a live line on a terminal, log lines otherwise."""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from crm_spark.cli import say

if TYPE_CHECKING:
    from rich.progress import Progress

    from crm_spark.core.events import Event


class Watch:
    """Takes the events of runs and shows them on standard error.

    Parameters
    ----------
    total : int
        How many runs there will be.
    """

    def __init__(self, total: int) -> None:
        self.run_id: str | None = None
        self._total = total
        self._bar: Progress | None = None
        self._level = logging.INFO

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        from crm_spark.core.log import log

        if self._bar is not None:
            self._bar.stop()
            log.setLevel(self._level)

    def take(self, event: Event) -> None:
        """Show one event."""
        from crm_spark.core.events import ENDS
        from crm_spark.core.log import RUN_ID, log
        from crm_spark.core.runs import RUNS

        self.run_id = RUN_ID.get()
        if event.table == RUNS.name:
            return  # what is done is news, not that it is written down
        told = f"{event.job} {event.step} {event.table or ''}".rstrip()
        if not sys.stderr.isatty():
            log.info(f"{told}: {event.reason}" if event.reason else told)
            return
        # Not before the first event: until then a session may be starting, which has a line of its own.
        bar = self._bar if self._bar is not None else self._live()
        bar.update(bar.task_ids[0], description=told, advance=int(event.step in ENDS))

    def _live(self) -> Progress:
        from crm_spark.core.log import log

        self._level = log.level
        log.setLevel(logging.WARNING)  # the live line says it already
        self._bar = _bar()
        self._bar.add_task("", total=self._total)
        self._bar.start()
        return self._bar


def _bar() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    says = TextColumn("{task.description}", markup=False)
    parts = [SpinnerColumn(), says, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    return Progress(*parts, console=say.console(sys.stderr), transient=True, redirect_stdout=False)
