"""`crm ingest`: load raw files into the conformed tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from crm_spark.cli import say
from crm_spark.cli.desk import Desk

if TYPE_CHECKING:
    from crm_spark.ingest.load import Told


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
) -> int:
    """Load the raw files of sources, each as its mapping file says."""
    from crm_spark.cli.watch import Watch
    from crm_spark.ingest import run

    mappings = [run.read(desk.place, name) for name in sources]
    done = []
    with Watch(len(mappings)) as watch:
        for source in mappings:
            result, told = run.run(desk.lake, desk.place, source, root, replace or [], retry, watch.take)
            done.append((source.source, result, told))
    data = {"runs": [{"source": name, **vars(result), **vars(told)} for name, result, told in done]}
    # `records` of the accounts go before the run's `rows`: one unit, a record of a file.
    rows = [(name, result.status, *_counts(told), f"{result.seconds:.1f} s") for name, result, told in done]
    names = ["source", "status", "files", "records", "loaded", "quarantined", "duplicates", "time"]
    desk.answer(data, say.grid(names, rows))
    if sys.stderr.isatty():  # elsewhere they stood among the log lines
        for _, _, told in done:
            for note in told.notes:
                say.warn(note)
    return 0


def _counts(told: Told) -> list[int]:
    counted = [told.records.get(name, 0) for name in ("records", "loaded", "quarantined", "duplicates")]
    return [sum(told.files.values()), *counted]
