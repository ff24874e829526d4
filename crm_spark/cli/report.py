"""The page of a lake: ingestion's sections, then every job's in the order of the pipeline."""

import inspect
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.cli.catalog import INGEST, Known, known
from crm_spark.cli.history import instant
from crm_spark.core.config import Place
from crm_spark.core.lake import Lake
from crm_spark.core.pipeline import Pipeline
from crm_spark.core.runs import RUNS
from crm_spark.core.sections import Section
from crm_spark.core.together import together
from crm_spark.ingest import sections
from crm_spark.ingest.accounts import ACCOUNTS
from crm_spark.reports import page
from crm_spark.reports.page import Part


def assemble(lake: Lake, pipeline: Pipeline, place: Place, title: str) -> str:
    """Write the page of a lake.

    Each table is read at the version that is newest when the page is begun, once and for all sections.
    A section whose tables are not there, or that has no rows, says so.

    Returns
    -------
    str
        HTML, as `reports.page.render` writes it.
    """
    tables = known(pipeline)
    told = _sections(pipeline)
    names = {name for make in told for name in inspect.signature(make).parameters}
    asked = sorted({*names, ACCOUNTS.name})
    versions = dict(zip(asked, together([partial(lake.version, tables[name].table) for name in asked]), strict=True))
    read = {name: lake.read(tables[name].table, versions[name]) for name in sorted(names)}
    parts = together([partial(_part, make, read, tables, versions) for make in told])
    return page.render(parts, title, _facts(lake, place))


def _sections(pipeline: Pipeline) -> list[Callable[..., Section]]:
    told = [make for name in pipeline.order for make in pipeline.jobs[name].sections]
    return list(dict.fromkeys([*sections.SECTIONS, *told]))


def _part(
    make: Callable[..., Section],
    read: Mapping[str, DataFrame],
    tables: Mapping[str, Known],
    versions: Mapping[str, int | None],
) -> Part:
    wanted = list(inspect.signature(make).parameters)
    section = make(**{name: read[name] for name in wanted})
    absent = [name for name in wanted if versions[name] is None and not _is_empty(tables[name], versions)]
    return page.missing(section.title, section.chapter, _why(absent, tables)) if absent else page.gather(section)


def _is_empty(known: Known, versions: Mapping[str, int | None]) -> bool:
    """Whether a table is not there because ingestion had nothing for it."""
    return known.maker == INGEST and versions[ACCOUNTS.name] is not None


def _why(absent: list[str], tables: Mapping[str, Known]) -> str:
    """Say which tables are not there yet, and what makes them."""
    commands = dict.fromkeys(_command(tables[name].maker) for name in absent)
    are = "is" if len(absent) == 1 else "are"
    return f"{', '.join(absent)} {are} not there yet: run {' and '.join(commands)}."


def _command(maker: str | None) -> str:
    return "`crm ingest`" if maker in (INGEST, None) else f"`crm run {maker}`"


def _facts(lake: Lake, place: Place) -> dict[str, str]:
    """Say what the page speaks of, and when it was written."""
    last = _last_run(lake)
    facts = {
        "lake": lake.location,
        "as of": last["as_of"].isoformat() if last else "no run yet",
        "last run": f"{instant(last['at']):%Y-%m-%d %H:%M} UTC" if last else "none",
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }
    return {**facts, "currency": place.currency}


def _last_run(lake: Lake) -> dict[str, Any] | None:
    """Give the latest day for which a run ended well, which the sections are of, and when the last of such ended."""
    ended = lake.read(RUNS, lake.version(RUNS)).where(F.col("status").isin("done", "skipped"))
    newest = ended.where(F.col("as_of").isNotNull()).agg(F.max("as_of").alias("as_of"), F.max("at").alias("at"))
    last = newest.collect()[0].asDict()
    return last if last["as_of"] else None
