"""Run one job: pin what it reads, call it, check and write what it returns, and keep the run log."""

import inspect
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any

from pyspark.sql import DataFrame

from crm_spark.core import config, runs
from crm_spark.core.commits import Commit
from crm_spark.core.config import Place, Settings
from crm_spark.core.contracts import Table
from crm_spark.core.errors import CrmError, JobFailed
from crm_spark.core.events import Listener, heard, tell
from crm_spark.core.job import Job, Update
from crm_spark.core.lake import Lake
from crm_spark.core.log import RUN_ID, log
from crm_spark.core.refusals import is_damage, is_unreadable
from crm_spark.core.session import meanwhile
from crm_spark.core.together import together


@dataclass
class Result:
    """How a run ended."""

    run_id: str
    job: str
    status: str
    reason: str | None = None
    seconds: float = 0.0
    versions_read: dict[str, int] = field(default_factory=dict)
    versions_written: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Intent:
    """What a run would do and why, known before anything is written."""

    job: Job
    config: Settings
    fingerprint: str
    grown: dict[str, list[str]]
    versions: dict[str, int] = field(default_factory=dict)
    since: int | None = None
    reason: str = ""
    is_needed: bool = True


def intend(job: Job, lake: Lake, place: Place, as_of: date) -> Intent:
    """Say what a run would do and why; reads only.

    Raises
    ------
    ConfigError, ContractError
        The settings are wrong, or a table on disk is not what its contract promises.
    """
    settings = config.of_job(job.config, job.name, place, as_of)
    tables = [*job.reads, *job.writes]
    growths = together([partial(lake.growth, table) for table in tables])
    grown = {table.name: growth.added for table, growth in zip(tables, growths, strict=True)}
    return pin(Intent(job, settings, job.fingerprint(settings), grown), lake)


def pin(intent: Intent, lake: Lake) -> Intent:
    """Say which versions an intended run reads now, and what follows from them."""
    reads = intent.job.reads
    versions = together([partial(lake.version, table) for table in reads])
    pinned = {table.name: version for table, version in zip(reads, versions, strict=True) if version is not None}
    since, reason, is_needed = _since(intent.job, lake, intent.fingerprint, pinned)
    return replace(intent, versions=pinned, since=since, reason=reason, is_needed=is_needed)


def _since(job: Job, lake: Lake, fingerprint: str, versions: dict[str, int]) -> tuple[int | None, str, bool]:
    """From which version changes are read, why, and whether there is anything to do."""
    if job.follows is None:
        return None, "computed from all that it reads", True
    followed = job.follows.name
    last = runs.last_done(lake, job.name)
    if last is None or followed not in last["versions_read"] or lake.version(job.writes[0]) is None:
        return None, "first run: everything is computed", True
    if last["fingerprint"] != fingerprint:
        return None, "its code or settings changed: everything is computed", True
    since = last["versions_read"][followed]
    if versions.get(followed, since) == since:
        return since, f"nothing new in {followed}", False
    return since, f"{followed} changed from version {since} to {versions[followed]}", True


def run(
    job: Job,
    lake: Lake,
    place: Place,
    as_of: date,
    listener: Listener = lambda _: None,
    intent: Intent | None = None,
) -> Result:
    """Run one job for one day.

    Parameters
    ----------
    intent : Intent, optional
        As `intend` gives it, where nothing that the job reads was written since.

    Raises
    ------
    CrmError
        With the run logged as failed.
    """
    run_id = uuid.uuid4().hex[:12]
    token = RUN_ID.set(run_id)
    try:
        with lake.turn() as had_to_wait:
            known = intent if intent is not None else intend(job, lake, place, as_of)
            known = pin(known, lake) if had_to_wait else known
            log_ = runs.logged(lake, run_id, known.fingerprint, as_of)
            with heard(listener, log_, job=job.name):
                return _Run(job, lake, known, as_of, run_id).go()
    finally:
        RUN_ID.reset(token)


@dataclass
class _Run:
    job: Job
    lake: Lake
    intent: Intent
    as_of: date
    run_id: str

    def go(self) -> Result:
        began = time.monotonic()
        result = Result(self.run_id, self.job.name, "done", self.intent.reason, versions_read=self.intent.versions)
        if not self.intent.is_needed:
            result.status = "skipped"
            self._end(result, began)
            return result
        try:
            with meanwhile(self.lake.spark, self.job.spark):
                self._attempt(result)
        except Exception as error:
            result.status, result.reason = "failed", _told(error)
            even_so(partial(self._end, result, began))
            if isinstance(error, CrmError):
                raise
            raise JobFailed(f"{self.job.name} failed: {result.reason}") from error
        self._end(result, began)
        return result

    def _attempt(self, result: Result) -> None:
        """Work; once more and on everything, where what changed can no longer be read."""
        try:
            self._work(result)
        except Exception as error:
            if self.job.follows is None or self.intent.since is None or not is_unreadable(error):
                raise
            result.reason = f"old versions of {self.job.follows.name} can no longer be read: everything is computed"
            log.info(result.reason)
            self.intent = replace(self.intent, since=None)
            self._work(result, is_again=True)

    def _work(self, result: Result, is_again: bool = False) -> None:
        # What the job computes at once goes on while the log is opened; it is open before any table is written.
        returned, *_ = together([self._call, *([] if is_again else [self._open])])
        outcomes = returned if isinstance(returned, tuple) else (returned,)
        tables = zip(self.job.writes, outcomes, strict=True)
        newest = together([partial(self._put, table, outcome) for table, outcome in tables])
        for table, commit in zip(self.job.writes, newest, strict=True):
            result.versions_written[table.name] = commit.version
            # A write that changes nothing makes no version: the newest one is another run's.
            is_ours = commit.run_id == self.run_id
            result.rows[table.name] = written(commit.metrics) if is_ours else 0

    def _open(self) -> None:
        tell("started", reason=self.intent.reason)

    def _call(self) -> Any:
        try:
            return self.job(**self._arguments())
        except SystemExit:
            raise JobFailed(f"{self.job.name} failed: it would end the whole program; let it return its rows") from None

    def _put(self, table: Table, outcome: DataFrame | Update) -> Commit:
        """Write one table, and give its newest commit."""
        self._write(table, outcome)
        return self.lake.commits(table, most=1)[0]

    def _arguments(self) -> dict[str, Any]:
        """Hand over what the function asks for, by the names of its parameters."""
        named: dict[str, Any] = {
            table.name: self.lake.read(table, self.intent.versions.get(table.name)) for table in self.job.reads
        }
        named["config"] = self.intent.config
        wanted = inspect.signature(self.job.function).parameters
        if "changed" in wanted:
            named["changed"] = self._changed()
        return {name: named[name] for name in wanted}

    def _changed(self) -> DataFrame | None:
        followed = self.job.follows
        if followed is None or self.intent.since is None:
            return None
        return self.lake.changes(followed, self.intent.since, self.intent.versions[followed.name])

    def _write(self, table: Table, outcome: DataFrame | Update) -> None:
        self.lake.prepare(table)
        if isinstance(outcome, Update):
            self.lake.merge(table, table.conform(outcome.rows), self.run_id, keys=outcome.keys)
            return
        rows = table.conform(outcome)
        if table.owns == "as_of":
            self.lake.replace_as_of(table, rows, self.as_of, self.run_id)
        else:
            self.lake.overwrite(table, rows, self.run_id)

    def _end(self, result: Result, began: float) -> None:
        result.seconds = round(time.monotonic() - began, 3)
        told = {name: getattr(result, name) for name in ("versions_read", "versions_written", "rows", "seconds")}
        tell(result.status, reason=result.reason, **told)


def even_so(tell_end: Callable[[], None]) -> None:
    """Tell how a run failed; where that fails too, as on a full disk, the first error is the one to show."""
    try:
        tell_end()
    except Exception as error:
        log.warning(f"the run log does not tell that the run failed: {_told(error)}")


def written(metrics: Mapping[str, str]) -> int:
    """Rows that a commit wrote, by Delta's own count."""
    counts = [metrics.get(name) for name in ("numTargetRowsInserted", "numTargetRowsUpdated")]
    if any(count is not None for count in counts):
        return sum(int(count or 0) for count in counts)
    return int(metrics.get("numOutputRows", 0))


def _told(error: Exception) -> str:
    """The reason that the log keeps. An error that is not ours may bear a customer's value: only its kind."""
    if isinstance(error, CrmError):
        return str(error)
    damage = "; a file of the lake is damaged or missing: `crm doctor --values` names the table"
    return f"{type(error).__name__}{damage if is_damage(error) else ''}"
