"""What every command has: where it is told to look, which jobs there are, and how it answers."""

from __future__ import annotations

import json
import os
import traceback
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_spark.cli import say
from crm_spark.core import arguments
from crm_spark.core.errors import ConfigError, near

if TYPE_CHECKING:
    from rich.console import RenderableType

    from crm_spark.core.config import Place
    from crm_spark.core.lake import Lake
    from crm_spark.core.pipeline import Pipeline

LakeOption = Annotated[
    str | None, typer.Option("--lake", help="Where the tables are: a folder, a URI, or a catalog schema.")
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="A configuration file. [default: conf/local.yaml]")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer with one JSON object on standard output.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Let Spark speak, and show where an error came from.")]


@dataclass(frozen=True)
class Given:
    """What a command line says besides the command's own options."""

    lake: str | None = None
    file: Path | None = None
    as_json: bool = False
    debug: bool = False


def at_a_lake(
    lake: LakeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> Given:
    """Take the options of a command that works on a lake."""
    return Given(lake, config, as_json, debug)


def at_a_place(config: ConfigOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> Given:
    """Take the options of a command that needs to know of no lake, but which jobs there are."""
    return Given(None, config, as_json, debug)


def anywhere(as_json: JsonOption = False, debug: DebugOption = False) -> Given:
    """Take the options of a command that needs no lake."""
    return Given(as_json=as_json, debug=debug)


class Desk:
    """What a command works with; all of it made when first used.

    Parameters
    ----------
    pipeline : Pipeline or None
        None for all jobs of the suite, and the user's own.
    given : Given
    """

    def __init__(self, pipeline: Pipeline | None, given: Given) -> None:
        self._pipeline = pipeline
        self.given = given
        self._jobs: dict[str, dict[str, Any]] | None = None
        if given.debug:
            os.environ.setdefault("CRM_SPARK_LOG_LEVEL", "WARN")

    @cached_property
    def pipeline(self) -> Pipeline:
        """All jobs, in order."""
        from crm_spark.core.pipeline import discover

        return self._pipeline if self._pipeline is not None else discover(self._configured.own_jobs)

    @cached_property
    def place(self) -> Place:
        """The configuration; refused where it speaks of jobs that are not there."""
        place = self._configured
        unknown = [name for name in place.jobs if name not in self.pipeline.jobs]
        if unknown:
            faults = [f"no job is called '{name}'{near(name, self.pipeline.jobs)}" for name in unknown]
            raise ConfigError.listing("settings under `jobs`", faults)
        return place

    @cached_property
    def _configured(self) -> Place:
        """The configuration before it is held against the jobs: it says where some of them are."""
        from crm_spark.core import config, log

        place = config.load(self.given.file, lake=self.given.lake, jobs=self._jobs)
        log.configure(place.logs)
        return place

    @cached_property
    def lake(self) -> Lake:
        """The tables; starts a session."""
        from crm_spark.core.lake import Lake
        from crm_spark.core.session import of_command

        place = self.place
        with say.busy("starting Spark"):
            return Lake(of_command(place.spark), place.lake)

    def claim(self) -> None:
        """Hold the lake for writing, before a session is started."""
        from crm_spark.core import lease

        lease.claim(self.place.lake)

    def tell(self, pairs: list[str]) -> None:
        """Take what the command line tells jobs, before the configuration is read."""
        self._jobs = settings(pairs) or None

    def is_there(self) -> bool:
        """Whether the lake exists. For a folder no session is needed."""
        from crm_spark.cli.catalog import known

        folder = local(self.place.lake)
        if folder is not None:
            return folder.is_dir()
        return any(self.lake.version(entry.table) is not None for entry in known(self.pipeline).values())

    def need_lake(self) -> None:
        """Refuse to go on without a lake."""
        if not self.is_there():
            raise ConfigError(self.absence)

    def trace(self, error: BaseException) -> None:
        """Show where an error came from, where that is asked for."""
        if self.given.debug:
            traceback.print_exception(error)

    @property
    def absence(self) -> str:
        """The sentence for a lake that is not there."""
        return f"the lake {self.place.lake} is not there yet: `crm ingest` makes it"

    def answer(self, data: dict[str, Any], *lines: RenderableType) -> None:
        """Say the answer: as one JSON object, or as lines for a person."""
        if self.given.as_json:
            print(json.dumps(data, ensure_ascii=False, default=str))  # noqa: T201 - standard output is the answer
        else:
            say.lines(*lines)


def local(location: str) -> Path | None:
    """Give the folder of a lake on this machine; None for a bucket or a catalog schema."""
    from crm_spark.core import lease
    from crm_spark.core.lake import is_schema

    return None if is_schema(location.rstrip("/")) else lease.folder(location)


def settings(pairs: list[str]) -> dict[str, dict[str, Any]]:
    """Read JOB.NAME=VALUE pairs, by job."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in arguments.settings(pairs, "JOB.NAME=VALUE").items():
        job, setting = name.split(".", 1)
        found.setdefault(job, {})[setting] = value
    return found
