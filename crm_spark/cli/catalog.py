"""Every table that there is and who makes it: ingestion, a job, or the runner itself."""

import importlib
import pkgutil
from dataclasses import dataclass

from crm_spark.core.contracts import Table
from crm_spark.core.errors import ConfigError, near
from crm_spark.core.pipeline import Pipeline
from crm_spark.core.runs import RUNS

INGEST = "ingest"
RUNNER = "crm"


@dataclass(frozen=True)
class Known:
    """A table and who makes it; no one of ours where `maker` is None."""

    table: Table
    maker: str | None


def known(pipeline: Pipeline) -> dict[str, Known]:
    """Give every table by name: loaded ones first, then what jobs make in their order, then the run log."""
    found = {table.name: Known(table, INGEST) for table in loaded()}
    for job in (pipeline.jobs[name] for name in pipeline.order):
        for table in job.tables.values():
            found.setdefault(table.name, Known(table, pipeline.makers.get(table.name)))
    found.pop(RUNS.name, None)
    return {**found, RUNS.name: Known(RUNS, RUNNER)}


def find(pipeline: Pipeline, name: str) -> Known:
    """Give the table of that name.

    Raises
    ------
    ConfigError
        There is none.
    """
    tables = known(pipeline)
    if name not in tables:
        raise ConfigError(f"no table is called '{name}'{near(name, tables)}; `crm tables` shows all")
    return tables[name]


def loaded() -> list[Table]:
    """Give every table whose contract stands in a module of ingestion; the conformed ones first."""
    root = importlib.import_module("crm_spark.ingest")
    names = sorted((found.name for found in pkgutil.iter_modules(root.__path__)), key=lambda name: name != "tables")
    modules = [importlib.import_module(f"crm_spark.ingest.{name}") for name in names]
    found = {value.name: value for module in modules for value in vars(module).values() if isinstance(value, Table)}
    return list(found.values())
