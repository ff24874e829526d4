"""`crm ingest`: load raw files into the conformed tables."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_spark.cli import say
from crm_spark.cli.desk import Desk
from crm_spark.core.errors import ConfigError, CrmError

if TYPE_CHECKING:
    from crm_spark.cli.watch import Watch
    from crm_spark.core.runner import Result
    from crm_spark.ingest.load import Asked, Told
    from crm_spark.ingest.mapping import Source


@dataclass
class Done:
    """What became of the sources of one call."""

    runs: list[tuple[str, Result, Told]] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)
    failed: str | None = None
    error: CrmError | None = None

    def data(self) -> dict[str, Any]:
        """Give it as data."""
        told = {"runs": [{"source": name, **vars(result), **vars(told)} for name, result, told in self.runs]}
        if self.error is None:
            return told
        failed = {"failed": self.failed, "not_run": self.not_run}
        return {**told, **failed, "error": str(self.error), "code": self.error.exit_code}


def ingest(
    desk: Desk,
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Names in conf/sources, or mapping files.")],
    root: Annotated[str | None, typer.Option("--from", metavar="FOLDER", help="Where the raw files are.")] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option("--replace", metavar="PATH", help="A changed file, below that folder, whose rows are swapped."),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Take quarantined records and refused files up again.")
    ] = False,
    moved: Annotated[
        bool, typer.Option("--moved", help="The folder lay elsewhere when it was loaded last; its files are the same.")
    ] = False,
) -> int:
    """Load the raw files of sources, each as its mapping file says."""
    from crm_spark.cli.watch import Watch
    from crm_spark.ingest import run
    from crm_spark.ingest.load import Asked

    if replace and len(sources) > 1:
        raise ConfigError(f"--replace names a file of one source, got {len(sources)} sources; give that one alone")
    mappings = [run.read(desk.place, name) for name in sources]
    desk.claim()
    with Watch(len(mappings)) as watch:
        done = _load(desk, mappings, watch, root, Asked(replace or [], retry, moved))
    # `records` of the accounts go before the run's `rows`: one unit, a record of a file.
    rows = [(name, result.status, *_counts(told), f"{result.seconds:.1f} s") for name, result, told in done.runs]
    names = ["source", "status", "files", "records", "loaded", "quarantined", "duplicates", "time"]
    if done.error is not None and len(mappings) == 1:
        raise done.error
    desk.answer(done.data(), say.grid(names, rows))
    if sys.stderr.isatty():  # elsewhere they stood among the log lines
        for _, _, told in done.runs:
            for note in told.notes:
                say.warn(note)
    return _end(desk, done)


def _load(desk: Desk, mappings: list[Source], watch: Watch, root: str | None, asked: Asked) -> Done:
    """Load one source after another, up to the first that fails."""
    from crm_spark.ingest import run

    done = Done()
    for index, source in enumerate(mappings):
        try:
            result, told = run.run(desk.lake, desk.place, source, root, asked, watch.take)
        except CrmError as error:
            done.failed, done.error = source.source, error
            done.not_run = [other.source for other in mappings[index + 1 :]]
            break
        done.runs.append((source.source, result, told))
    return done


def _end(desk: Desk, done: Done) -> int:
    """Say what failed, and give the exit code."""
    if done.error is None:
        return 0
    desk.trace(done.error)
    if not desk.given.as_json:
        rest = f"\nnot loaded: {', '.join(done.not_run)}" if done.not_run else ""
        say.complain(f"{done.failed}: {done.error}{rest}")
    return done.error.exit_code


def _counts(told: Told) -> list[int]:
    counted = [told.records.get(name, 0) for name in ("records", "loaded", "quarantined", "duplicates")]
    return [sum(told.files.values()), *counted]
