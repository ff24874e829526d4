"""Load a source, batch by batch, each written down before its first write.

A batch is the new files of one source. Its files and hashes stand in the accounts as `started` before any
table is written, and every write is idempotent, so a batch that died is finished by the next run.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pyspark.sql import DataFrame

from crm_spark.core.config import Place
from crm_spark.core.errors import ConfigError, QualityError
from crm_spark.core.lake import Lake
from crm_spark.core.log import log
from crm_spark.core.rules import read_rules
from crm_spark.ingest import files, lookups, plan, quarantine, stage
from crm_spark.ingest.accounts import LOOKUPS
from crm_spark.ingest.batch import Batch, Part
from crm_spark.ingest.books import Books
from crm_spark.ingest.check import check
from crm_spark.ingest.conform import Context
from crm_spark.ingest.files import Found, Inspected
from crm_spark.ingest.mapping import Rule, Source
from crm_spark.ingest.plan import BatchFile, Known, Plan

ROUNDS = 3  # a look-up that changed has its users loaded anew in a second batch; more is a fault


@dataclass
class Told:
    """What one call did: files by outcome, and the records of what was loaded."""

    files: dict[str, int] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Count files by their rows of the accounts."""
        for row in rows:
            self.files[row["status"]] = self.files.get(row["status"], 0) + 1
            for name in ("records", "loaded", "quarantined", "duplicates"):
                self.records[name] = self.records.get(name, 0) + row[name]

    def note(self, sentence: str) -> None:
        """Say what a person should know."""
        log.warning(sentence)
        self.notes.append(sentence)


def ingest(
    lake: Lake,
    place: Place,
    source: Source,
    root: str,
    run_id: str,
    replace: Collection[str] = (),
    retry: bool = False,
) -> Told:
    """Load what is new of a source.

    Parameters
    ----------
    root : str
        The folder or URI of the raw files.
    replace : collection of str
        Paths below it whose changed content takes the place of what was loaded.
    retry : bool
        Whether quarantined records and refused files are taken up again, after a mended mapping.

    Raises
    ------
    ConfigError
        The mapping cannot be, or the folder is not there; nothing was read.
    QualityError
        Records break a rule whose severity is `fail`: nothing of their batch is loaded.
    """
    shipped = rules(place)
    with _settings(lake):
        check(lake.spark, source, shipped)
        found = {name: files.find(root, source.feeds[name]) for name in source.order}
        _refuse_unknown(source, replace, found)
        now = datetime.now(UTC)
        contexts = {name: Context(source, name, place.zone, place.currency, now, shipped) for name in source.order}
        loading = _Loading(lake, source, contexts, root, run_id, found)
        loading.load(replace, retry)
    return loading.told


def rules(place: Place) -> dict[str, list[Rule]]:
    """Read the shipped rules, or those of the place's own folder."""
    tree = read_rules("conformed.yaml", Path(place.rules) / "conformed.yaml" if place.rules else None)
    try:
        return {table: [Rule(**rule) for rule in listed] for table, listed in tree.items()}
    except (TypeError, AttributeError, ValidationError):
        raise ConfigError("conformed.yaml must hold for each table a list of rules: name, check, severity") from None


def _refuse_unknown(source: Source, replace: Collection[str], found: dict[str, list[Found]]) -> None:
    there = {file.path for listed in found.values() for file in listed}
    strangers = sorted(set(replace) - there)
    if strangers:
        raise ConfigError(f"{source.source} has no file {strangers[0]}; --replace takes a path below its folder")


@contextmanager
def _settings(lake: Lake) -> Iterator[None]:
    """While loading, the session's clock is UTC and a bad cast gives null: an error would print the value.

    Staged records are wide: held in small batches they leave no holes in a heap of 2 GB.
    """
    wanted = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "false",
        "spark.sql.inMemoryColumnarStorage.batchSize": "1000",
    }
    before = {name: lake.spark.conf.get(name) for name in wanted}
    try:
        for name, value in wanted.items():
            lake.spark.conf.set(name, value)
        yield
    finally:
        for name, kept in before.items():
            lake.spark.conf.set(name, kept or wanted[name])


@dataclass(frozen=True)
class _Loading:
    """One call for one source."""

    lake: Lake
    source: Source
    contexts: dict[str, Context]
    root: str
    run_id: str
    found: dict[str, list[Found]]
    told: Told = field(default_factory=Told)

    @property
    def books(self) -> Books:
        return Books(self.lake, self.source.source, self.run_id)

    def load(self, replace: Collection[str], retry: bool) -> None:
        """Finish what is unfinished, load what is new, take up what waits."""
        known = self._load_new(self._finish(self.books.known()), replace, retry)
        if self._take_up(known, retry):
            self._load_new(self.books.known(), (), retry=False)

    def _load_new(self, known: Known, replace: Collection[str], retry: bool) -> Known:
        """Load what is new; then, once more, what that made stale."""
        for round_ in range(ROUNDS):
            made = self._plan(known, () if round_ else replace, retry and not round_)
            if made.is_empty:
                break
            is_aged = self._begin(made, known)
            known = self.books.known()
            if not is_aged:
                break
        return known

    # -- batches

    def _plan(self, known: Known, replace: Collection[str], retry: bool) -> Plan:
        """Look at every file that is in doubt, and say what becomes of it."""
        whole = Plan()
        for name, found in self.found.items():
            mine = known.get(name, {})
            doubtful = plan.to_inspect(found, mine, replace, retry)
            inspected = files.look(self.lake.spark, self.root, self.source.feeds[name], doubtful)
            plan.plan(whole, name, inspected, mine, replace)
        return whole

    def _finish(self, known: Known) -> Known:
        """Finish a batch that died, with its own files; what is no longer what it was is withdrawn."""
        started = {
            (name, path): row
            for name, rows in known.items()
            for path, row in rows.items()
            if row["status"] == "started"
        }
        if not started:
            return known
        seen: dict[tuple[str, str], Inspected] = {}
        for name, found in self.found.items():
            mine = [file for file in found if (name, file.path) in started]
            for file in files.look(self.lake.spark, self.root, self.source.feeds[name], mine):
                seen[name, file.found.path] = file
        kept = {key for key, row in started.items() if key in seen and seen[key].content == row["file_hash"]}
        lost = {key: row for key, row in started.items() if key not in kept}
        for _, path in lost:
            self.told.note(f"{path} changed or went before its batch was finished: its rows are withdrawn")
        batch = [BatchFile(name, seen[name, path], started[name, path]["replaces"]) for name, path in sorted(kept)]
        number = max(row["batch"] for row in started.values())
        log.info("finishing batch %d of %d files", number, len(batch))
        gone = [row["file_hash"] for row in lost.values()]
        self._write(batch, number, [*self._swapped(batch, known), *gone], known, forget=list(lost))
        return self.books.known()

    def _begin(self, made: Plan, known: Known) -> bool:
        """Write the new batch down before its first write, then load it; tell whether others aged by it."""
        number = self.books.next_batch()
        started = [self.books.row(file, "started", number, replaces=file.replaces) for file in made.batch]
        changed = [
            {**known[file.feed][file.path], **self.books.seen(file), "status": status}
            for status, listed in (("changed", made.changed), ("loaded", made.touched))
            for file in listed
        ]
        new = [row for row in started if row["path"] not in known.get(row["feed"], {})]
        self.books.open(new, number)
        self.books.write([*[row for row in started if row not in new], *changed])
        for file in made.changed:
            self.told.note(
                f"{file.path} changed since it was loaded; `crm ingest --replace {file.path}` swaps its rows"
            )
        removed = self._swapped([*made.batch, *made.repeated, *made.refused], known)
        for file in made.repeated:
            self.told.note(f"{file.path} holds what another file held: it is not loaded again")
        return bool(self._write(made.batch, number, removed, known, refused=made.refused, repeated=made.repeated))

    def _write(
        self,
        chosen: list[BatchFile],
        number: int,
        removed: list[str],
        known: Known,
        *,
        refused: Sequence[BatchFile] = (),
        repeated: Sequence[BatchFile] = (),
        forget: Sequence[tuple[str, str]] = (),
    ) -> list[dict[str, Any]]:
        """Load files and close their accounts; a batch that a rule fails leaves the books as they were.

        Returns rows of files that were loaded with a look-up's older values.
        """
        loaded, aged = self._load(chosen, number, removed, known)
        if refused:
            quarantine.refuse(self.lake, self.source.source, self.run_id, refused)
        closed = [
            *loaded,
            *[self.books.refused(file, number) for file in refused],
            *[self.books.row(file, "repeated", 0) for file in repeated],
        ]
        self.books.write([*closed, *aged], forget)
        self.told.add(closed)
        return aged

    def _load(
        self, chosen: list[BatchFile], number: int, removed: list[str], known: Known
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Write the tables; give the rows of what was loaded, and of what aged by it."""
        if not chosen and not removed:
            return [], []
        numbers = count()
        parts = [
            self._part(name, [file for file in chosen if file.feed == name], numbers) for name in self.source.order
        ]
        needed = [part for part in parts if part.files or removed]
        feeds, since = self._looked_up(needed)
        batch = Batch(self.lake, self.source.source, number, self.run_id, needed, removed)
        try:
            counts = batch.load()
        except QualityError:
            old = [(file.feed, file.path) for file in chosen]
            rows = [known[name][path] for name, path in old if path in known.get(name, {})]
            self.books.write(rows, [key for key in old if key[1] not in known.get(key[0], {})])
            raise
        loaded = [
            self.books.row(BatchFile(part.context.feed_name, file), "loaded", number, **counts[at])
            for part in needed
            for at, file in part.files.items()
        ]
        return loaded, self._aged(feeds, since)

    def _part(self, name: str, chosen: list[BatchFile], numbers: Iterator[int]) -> Part:
        numbered = {next(numbers): file.inspected for file in chosen}
        context = self.contexts[name]
        return Part(context, numbered, lambda: stage.of_files(self.lake.spark, self.root, context, numbered))

    def _take_up(self, known: Known, retry: bool) -> bool:
        """Take up records that wait for a partner, and on `--retry` all that are quarantined.

        Returns whether files are loaded with a look-up's older values by it.
        """
        names = [name for name, rows in known.items() if any(row["quarantined"] for row in rows.values())]
        names = [name for name in names if name in self.contexts and (retry or self.contexts[name].can_wait)]
        if not names:
            return False
        held = quarantine.waiting(self.lake, self.source.source, names, retry).persist()
        parts = quarantine.parts(self.lake.spark, held, self.contexts)
        aged = self._load_again(held, parts, known, retry) if parts else []
        held.unpersist()
        return bool(aged)

    def _load_again(self, held: DataFrame, parts: list[Part], known: Known, retry: bool) -> list[dict[str, Any]]:
        """Load quarantined records and count their files anew; give the rows of files that aged by it."""
        feeds, since = self._looked_up(parts)
        Batch(self.lake, self.source.source, 0, self.run_id, parts, retried=held, is_forced=retry).load()
        rows = self.books.recount(known, [file.content for part in parts for file in part.files.values()])
        risen = sum(row["loaded"] - known[row["feed"]][row["path"]]["loaded"] for row in rows)
        self.books.write([row for row in rows if row != known[row["feed"]][row["path"]]])
        if risen:
            self.told.note(f"{risen} quarantined records are loaded now")
        aged = self._aged(feeds, since)
        self.books.write(aged)
        return aged

    # -- look-ups and heirs

    def _looked_up(self, parts: Sequence[Part]) -> tuple[list[str], int | None]:
        """Look-up feeds that a batch may change, and the version at which their rows are what they were."""
        feeds = [part.context.feed_name for part in parts if part.context.feed.key]
        return feeds, self.lake.version(LOOKUPS) if feeds else None

    def _aged(self, feeds: Sequence[str], since: int | None) -> list[dict[str, Any]]:
        """Rows of files that were loaded with a look-up's older values: they are loaded anew."""
        changed = lookups.changed(self.lake, self.source, feeds, since)
        users = [feed for feed in self.source.feeds if set(self.source.uses(feed)) & set(changed)]
        if not users:
            return []
        self.told.note(f"{', '.join(changed)} changed: files of {', '.join(users)} are loaded anew")
        known = self.books.known()
        rows = [row for feed in users for row in known.get(feed, {}).values() if row["status"] in plan.HOLDS]
        return [{**row, "status": "stale"} for row in rows]

    def _swapped(self, chosen: list[BatchFile], known: Known) -> list[str]:
        """Contents whose rows go. Where another path still holds the content, that one now stands for it."""
        gone = []
        for file in chosen:
            mine = known.get(file.feed, {})
            heirs = [row for row in mine.values() if row["status"] == "repeated" and row["file_hash"] == file.replaces]
            if file.replaces and heirs and file.replaces != file.inspected.content:
                counts = {
                    name: mine[file.path][name]
                    for name in ("batch", "records", "loaded", "quarantined", "duplicates", "warnings")
                }
                self.books.write([{**heirs[0], **counts, "status": "loaded"}])
            elif file.replaces:
                gone.append(file.replaces)
        return gone
