"""`crm list`: the steps from raw files to answers, in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_spark.cli import say
from crm_spark.cli.desk import Desk, local

if TYPE_CHECKING:
    from crm_spark.core.pipeline import Pipeline


def list_jobs(desk: Desk) -> None:
    """List the jobs in the order in which they run: what each means, reads and writes."""
    found = steps(desk.pipeline)
    rows = [(step["name"], step["meaning"], ", ".join(step["reads"]), _some(step["writes"])) for step in found]
    # A lake that is not on this machine is not asked after: that would take a session.
    is_absent = local(desk.place.lake) is not None and not desk.is_there()
    notes = [desk.absence] if is_absent else []
    desk.answer({"jobs": found, "notes": notes}, say.grid(["job", "meaning", "reads", "writes"], rows), *notes)


def steps(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Give ingestion, then every job, as data."""
    from crm_spark.cli.catalog import INGEST, loaded

    ingest = {
        "name": INGEST,
        "meaning": "Load raw files into the conformed tables.",
        "reads": ["raw files"],
        "writes": [table.name for table in loaded()],
    }
    jobs = [
        {
            "name": name,
            "meaning": pipeline.jobs[name].meaning,
            "reads": [table.name for table in pipeline.jobs[name].reads],
            "writes": [table.name for table in pipeline.jobs[name].writes],
        }
        for name in pipeline.order
    ]
    return [ingest, *jobs]


def _some(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
