"""Ingestion as a run: under one run id, in the run log, with the versions that it made."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from crm_spark.core import runs
from crm_spark.core.config import Place
from crm_spark.core.contracts import Table
from crm_spark.core.errors import ConfigError, CrmError, JobFailed, near
from crm_spark.core.events import Listener, heard, tell
from crm_spark.core.job import fingerprint
from crm_spark.core.lake import Lake
from crm_spark.core.log import RUN_ID
from crm_spark.core.runner import Result, even_so, written
from crm_spark.core.together import together
from crm_spark.ingest import load, mapping
from crm_spark.ingest.accounts import ACCOUNTS, LOOKUPS, QUARANTINE, SUPERSEDED
from crm_spark.ingest.load import Asked, Told, ingest
from crm_spark.ingest.mapping import Source
from crm_spark.ingest.mistakes import secrets
from crm_spark.ingest.tables import CONFORMED, HISTORIES

NAME = "ingest"
LOGGED = ("versions_written", "rows", "seconds")
WRITES: list[Table] = [*CONFORMED.values(), *HISTORIES.values(), ACCOUNTS, QUARANTINE, SUPERSEDED, LOOKUPS]


def find(place: Place, name: str) -> Path:
    """Give the mapping file of a source: a path, or a name in the place's folder of sources.

    Raises
    ------
    ConfigError
        There is none.
    """
    folder = Path(place.sources)
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if not (folder / f"{name}.yaml").is_file():
        known = [file.stem for file in sorted(folder.glob("*.yaml"))]
        raise ConfigError(f"there is no source {folder / name}.yaml{near(name, known)}; write its mapping file there")
    return folder / f"{name}.yaml"


def run(
    lake: Lake,
    place: Place,
    source: Source,
    root: str | None = None,
    asked: Asked | None = None,
    listener: Listener = lambda _: None,
) -> tuple[Result, Told]:
    """Load what is new of a source and keep the run log.

    Parameters
    ----------
    root : str, optional
        The folder or URI of the raw files; default what the mapping says.
    asked : Asked, optional
        What is to be done beside.

    Raises
    ------
    ConfigError
        Nobody says where the raw files are, or the address holds a secret: the accounts would keep it.
    """
    folder = root or source.folder
    if folder is None:
        raise ConfigError(f"{source.source}: say where its raw files are, with `--from` or `folder:` in its mapping")
    if list(secrets(folder)):
        remedy = "the store's key comes from the environment or the platform"
        raise ConfigError(f"{source.source}: the address of its raw files holds a secret; {remedy}")
    result = Result(uuid.uuid4().hex[:12], NAME, "done", f"source {source.source}")
    token = RUN_ID.set(result.run_id)
    log_ = runs.logged(lake, result.run_id, fingerprint(load, source.model_dump_json()))
    try:
        with lake.turn(), heard(listener, log_, job=NAME):
            running = _Run(lake, source, result)
            return result, running.go(lambda: ingest(lake, place, source, folder, result.run_id, asked, running.begin))
    finally:
        RUN_ID.reset(token)


@dataclass
class _Run:
    lake: Lake
    source: Source
    result: Result
    begun: bool = False

    def begin(self) -> None:
        """Write into the run log, once, that the run is at work."""
        if not self.begun:
            self.begun = True
            tell("started", reason=f"source {self.source.source}")

    def go(self, work: Callable[[], Told]) -> Told:
        began = time.monotonic()
        self.lake.forget_touched()
        tell("looking")
        try:
            told = work()
        except Exception as error:
            reason = str(error).splitlines()[0] if isinstance(error, CrmError) else type(error).__name__
            even_so(partial(self._end, "failed", reason, began))
            if isinstance(error, CrmError):
                raise
            raise JobFailed(f"ingest {self.source.source} failed: {reason}") from error
        if told.files or told.notes:
            self._end("done", f"source {self.source.source}", began)
        else:
            self._end("skipped", f"source {self.source.source}: nothing new", began)
        return told

    def _end(self, status: str, reason: str, began: float) -> None:
        result = self.result
        result.status, result.reason = status, reason
        touched = self.lake.touched(WRITES)
        newest = together([partial(self.lake.commits, table) for table in touched])
        for table, commits in zip(touched, newest, strict=True):
            result.versions_written[table.name] = commits[0].version
            result.rows[table.name] = sum(written(made.metrics) for made in commits if made.run_id == result.run_id)
        result.seconds = round(time.monotonic() - began, 3)
        if status == "failed" and not self.begun and not touched:
            tell("refused", reason=reason)  # it is not logged: a refused call makes no lake
        else:
            tell(status, reason=reason, **{name: getattr(result, name) for name in LOGGED})


def read(place: Place, name: str) -> Source:
    """Read the mapping of a source by its name or path."""
    return mapping.read(find(place, name))
