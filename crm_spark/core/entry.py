"""A job file as a program: the same arguments under `spark-submit`, `python -m` and `crm run`."""

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from crm_spark.core import config, runner
from crm_spark.core.errors import ConfigError, CrmError
from crm_spark.core.job import Job
from crm_spark.core.lake import Lake
from crm_spark.core.log import configure, log
from crm_spark.core.session import session


def main(job: Job, arguments: Sequence[str] | None = None) -> int:
    """Run one job as its command line says, and give the exit code."""
    parser = argparse.ArgumentParser(prog=job.name, description=job.meaning)
    parser.add_argument("--lake", help="folder, URI or catalog schema of the tables")
    parser.add_argument("--as-of", required=True, help="the day the answers speak for, YYYY-MM-DD")
    parser.add_argument("--config", type=Path, help="a configuration file")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the job")
    told = parser.parse_args(arguments)
    configure()
    try:
        place = config.load(told.config, lake=told.lake, jobs={job.name: settings(told.set)} if told.set else None)
        configure(place.logs)
        as_of = day(told.as_of)
        lake = Lake(session(place.spark), place.lake)
        _need_tables(job, lake)
        result = runner.run(job, lake, place, as_of, lambda event: log.info("%s %s", event.job, event.step))
    except CrmError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    log.info("%s %s in %.1f s: %s", result.job, result.status, result.seconds, result.reason)
    return 0


def _need_tables(job: Job, lake: Lake) -> None:
    """A lake that is not there is a wrong path: it is not made by a job."""
    if all(lake.version(table) is None for table in job.reads):
        names = ", ".join(table.name for table in job.reads)
        raise ConfigError(
            f"the lake {lake.location} has none of the tables that {job.name} reads: {names}; "
            "ingestion and the jobs before it make them"
        )


def day(text: str) -> date:
    """Read a day as the command line gives it."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--as-of must be a day like 2026-01-31, got '{text}'") from None


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Read NAME=VALUE pairs; values as YAML reads them."""
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise ConfigError(f"--set takes NAME=VALUE, got '{wrong[0]}'")
    return {name: yaml.safe_load(value) for name, value in (pair.split("=", 1) for pair in pairs)}
