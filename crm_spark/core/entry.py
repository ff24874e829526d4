"""A job file as a program: the same arguments under `spark-submit`, `python -m` and `crm run`."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from crm_spark.core import config, lease, runner
from crm_spark.core.arguments import day, settings
from crm_spark.core.emptiness import emptiness
from crm_spark.core.errors import ConfigError, ending
from crm_spark.core.job import Job
from crm_spark.core.lake import Lake
from crm_spark.core.log import configure, log
from crm_spark.core.session import of_command


def main(job: Job, arguments: Sequence[str] | None = None) -> int:
    """Run one job as its command line says, and give the exit code."""
    told = parser(job).parse_args(arguments)
    configure()
    try:
        _run(job, told)
    except (Exception, KeyboardInterrupt) as error:
        if told.debug:
            traceback.print_exception(error)
        said, code = ending(error)
        sys.stderr.write(f"{said}\n")
        return code
    return 0


def parser(job: Job) -> argparse.ArgumentParser:
    """Give the command line of a job."""
    made = argparse.ArgumentParser(prog=job.name, description=job.meaning)
    made.add_argument("--lake", help="folder, URI or catalog schema of the tables")
    made.add_argument("--as-of", required=True, help="the day the answers speak for, YYYY-MM-DD")
    made.add_argument("--config", type=Path, help="a configuration file")
    made.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the job")
    made.add_argument("--debug", action="store_true", help="show where an error came from")
    return made


def _run(job: Job, told: argparse.Namespace) -> None:
    as_of, given = day(told.as_of), settings(told.set)
    place = config.load(told.config, lake=told.lake, jobs={job.name: given} if given else None)
    configure(place.logs)
    lease.claim(place.lake)
    lake = Lake(of_command(place.spark), place.lake)
    _need_tables(job, lake)
    result = runner.run(job, lake, place, as_of, lambda event: log.info("%s %s", event.job, event.step))
    log.info("%s %s in %.1f s: %s", result.job, result.status, result.seconds, result.reason)
    for warning in emptiness(job, lake, result, as_of):
        log.warning(warning)


def _need_tables(job: Job, lake: Lake) -> None:
    """A lake that is not there is a wrong path: it is not made by a job."""
    if all(lake.version(table) is None for table in job.reads):
        names = ", ".join(table.name for table in job.reads)
        raise ConfigError(
            f"the lake {lake.location} has none of the tables that {job.name} reads: {names}; "
            "ingestion and the jobs before it make them"
        )
