"""Ingestion as a run: under one run id, in the run log, with the versions that it made."""

import hashlib
import time
import uuid
from collections.abc import Collection
from pathlib import Path

from crm_spark.core import runs
from crm_spark.core.config import Place
from crm_spark.core.contracts import Table
from crm_spark.core.errors import ConfigError, CrmError, JobFailed, near
from crm_spark.core.lake import Lake
from crm_spark.core.log import RUN_ID
from crm_spark.core.runner import Event, Listener, Result
from crm_spark.ingest import mapping
from crm_spark.ingest.accounts import ACCOUNTS, LOOKUPS, QUARANTINE, SUPERSEDED
from crm_spark.ingest.load import Told, ingest
from crm_spark.ingest.mapping import Source
from crm_spark.ingest.tables import CONFORMED, HISTORIES

NAME = "ingest"
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
    replace: Collection[str] = (),
    retry: bool = False,
    listener: Listener = lambda _: None,
) -> tuple[Result, Told]:
    """Load what is new of a source and keep the run log.

    Parameters
    ----------
    root : str, optional
        The folder or URI of the raw files; default what the mapping says.
    replace, retry
        As `load.ingest` takes them.
    """
    folder = root or source.folder
    if folder is None:
        raise ConfigError(f"{source.source}: say where its raw files are, with `--from` or `folder:` in its mapping")
    result = Result(uuid.uuid4().hex[:12], NAME, "done", f"source {source.source}")
    token, began = RUN_ID.set(result.run_id), time.monotonic()
    lake.forget_touched()
    fingerprint = hashlib.sha256(source.model_dump_json().encode()).hexdigest()[:16]
    listener(Event("started", NAME))
    try:
        told = ingest(lake, place, source, folder, result.run_id, replace, retry)
    except Exception as error:
        result.status = "failed"
        result.reason = str(error).splitlines()[0] if isinstance(error, CrmError) else type(error).__name__
        _record(lake, result, began, fingerprint)
        listener(Event("failed", NAME, reason=result.reason))
        if isinstance(error, CrmError):
            raise
        raise JobFailed(f"ingest {source.source} failed: {result.reason}") from error
    finally:
        RUN_ID.reset(token)
    if not told.files and not told.notes:
        result.status, result.reason = "skipped", f"source {source.source}: nothing new"
    _record(lake, result, began, fingerprint)
    listener(Event(result.status, NAME, reason=result.reason))
    return result, told


def _record(lake: Lake, result: Result, began: float, fingerprint: str) -> None:
    result.versions_written = {
        table.name: version for table in lake.touched(WRITES) if (version := lake.version(table)) is not None
    }
    result.seconds = round(time.monotonic() - began, 3)
    if result.status == "failed" and not result.versions_written:
        return  # a refused call makes no lake
    told = {name: getattr(result, name) for name in ("versions_written", "seconds")}
    runs.record(lake, result.run_id, NAME, result.status, fingerprint, reason=result.reason, **told)


def read(place: Place, name: str) -> Source:
    """Read the mapping of a source by its name or path."""
    return mapping.read(find(place, name))
