"""Load a source, batch by batch, each written down before its first write.

A batch is the new files of one source. Its files and hashes stand in the accounts as `started` before any
table is written, and every write is idempotent, so a batch that died is finished by the next run.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path

from pydantic import ValidationError
from pyspark.sql import DataFrame

from crm_spark.core.config import Place
from crm_spark.core.contracts import Table
from crm_spark.core.errors import ConfigError, QualityError
from crm_spark.core.kept import cached
from crm_spark.core.lake import Lake
from crm_spark.core.log import log
from crm_spark.core.rules import read_rules
from crm_spark.core.runs import RUNS
from crm_spark.core.session import meanwhile
from crm_spark.core.together import together
from crm_spark.ingest import files, lookups, plan, quarantine, stage
from crm_spark.ingest.accounts import ACCOUNTS, LOOKUPS, QUARANTINE, SUPERSEDED
from crm_spark.ingest.batch import Batch, Part
from crm_spark.ingest.books import Books, Terms, after
from crm_spark.ingest.check import check
from crm_spark.ingest.conform import Context
from crm_spark.ingest.entities import NAMES_ONE
from crm_spark.ingest.files import Found, Inspected
from crm_spark.ingest.mapping import Rule, Source
from crm_spark.ingest.plan import BatchFile, Known, Plan, Row
from crm_spark.ingest.tables import CONFORMED, HISTORIES

REASONS = 5  # that are told of what is refused
ROUNDS = 3  # a look-up that changed has its users loaded anew in a second batch; more is a fault


@dataclass
class Told:
    """What one call did: files that it touched, by outcome, and what became of all their records until now."""

    files: dict[str, int] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, rows: Iterable[Row]) -> None:
        """Count files by their rows of the accounts."""
        touched = list(rows)
        self.files = dict(Counter(row["status"] for row in touched))
        counts = ("records", "loaded", "quarantined", "duplicates")
        self.records = {name: sum(row[name] for row in touched) for name in counts}

    def note(self, sentence: str) -> None:
        """Say, once, what a person should know."""
        if sentence in self.notes:
            return
        log.warning(sentence)
        self.notes.append(sentence)


@dataclass(frozen=True)
class Asked:
    """What a call is asked for, beside loading what is new.

    Parameters
    ----------
    replace : collection of str
        Paths below the folder whose content takes the place of what was loaded.
    retry : bool
        Whether quarantined records and refused files are taken up again, after a mended mapping.
    moved : bool
        Whether the folder lay elsewhere when it was loaded last.
    """

    replace: Collection[str] = ()
    retry: bool = False
    moved: bool = False


def ingest(
    lake: Lake,
    place: Place,
    source: Source,
    root: str,
    run_id: str,
    asked: Asked | None = None,
    begin: Callable[[], None] = lambda: None,
) -> Told:
    """Load what is new of a source.

    Parameters
    ----------
    root : str
        The folder or URI of the raw files.
    asked : Asked, optional
        What is to be done beside.
    begin : callable
        Called before, or beside, the first write of a batch.

    Raises
    ------
    ConfigError
        The mapping cannot be, the folder is not there or another, or the lake has another currency or zone.
    ContractError
        A table on disk is not what its contract promises; nothing was written.
    QualityError
        Records break a rule whose severity is `fail`: nothing of their batch is loaded.
    """
    shipped, asked = rules(place), asked or Asked()
    with meanwhile(lake.spark, SETTINGS):
        check(lake.spark, source, shipped)
        found = {name: files.find(root, source.feeds[name]) for name in source.order}
        _refuse_unknown(source, asked.replace, found)
        books = Books(lake, source.source, run_id, Terms(files.normal(root), place.currency, place.zone))
        together([partial(lake.check, tables_of(source)), partial(books.check_terms, asked.moved)])
        now = datetime.now(UTC)
        contexts = {name: Context(source, name, place.zone, place.currency, now, shipped) for name in source.order}
        loading = _Loading(lake, source, contexts, root, run_id, found, books, begin)
        loading.load(asked)
    return loading.told


def tables_of(source: Source) -> list[Table]:
    """Every table that loading a source may write."""
    targets = [(name, target) for feed in source.feeds.values() for name, target in feed.tables.items()]
    named = {entity for entity, id_ in NAMES_ONE.items() for _, target in targets if id_ in target.columns}
    fed = {*[name for name, _ in targets], *named}
    conformed = [table for name, table in [*CONFORMED.items(), *HISTORIES.items()] if name in fed]
    return [*conformed, ACCOUNTS, QUARANTINE, SUPERSEDED, LOOKUPS, RUNS]


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


# While loading, the session's clock is UTC and a bad cast gives null: an error would print the value. Staged records
# are wide: held in small batches they leave no holes in a heap of 2 GB. They are read a few times only: packing them
# costs more than it saves. Java never compiles a method of more than 8,000 bytes: what judges a record is longer, so
# Spark must cut it into several.
SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.inMemoryColumnarStorage.batchSize": "1000",
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    "spark.sql.codegen.hugeMethodLimit": "8000",
}


@dataclass(frozen=True)
class _Loading:
    """One call for one source."""

    lake: Lake
    source: Source
    contexts: dict[str, Context]
    root: str
    run_id: str
    found: dict[str, list[Found]]
    books: Books
    begin: Callable[[], None]
    told: Told = field(default_factory=Told)
    touched: dict[tuple[str, str], Row] = field(default_factory=dict)

    def load(self, asked: Asked) -> None:
        """Finish what is unfinished, load what is new, take up what waits."""
        known = self.books.known()
        if asked.moved:
            self.books.write([row for rows in known.values() for row in rows.values()])
        known = self._load_new(self._finish(known), asked)
        if self._take_up(known, asked.retry):
            self._load_new(self.books.known(), Asked())
        self.told.count(self.touched.values())
        if self.told.records["quarantined"]:
            self._tell_why(asked.retry)

    def _tell_why(self, retry: bool) -> None:
        """Say of what is refused why: of whole files first, then the commonest reasons."""
        name, run_id = self.source.source, None if retry else self.run_id
        reasons = quarantine.reasons(self.lake, name, run_id, most=REASONS + 1)
        for feed, is_file, reason, records in reasons[:REASONS]:
            what, became = ("file", "refused") if is_file else ("record", "quarantined")
            self.told.note(f"{feed}: {records:,} {what}{'s' if records > 1 else ''} {became}: {reason}")
        rest = ", and so do those of other reasons" if len(reasons) > REASONS else ""
        remedy = f"after a mended mapping `crm ingest {name} --retry` takes them up again"
        self.told.note(f"they lie in the table quarantine{rest}; {remedy}")

    def _load_new(self, known: Known, asked: Asked) -> Known:
        """Load what is new; then, once more, what that made stale."""
        for round_ in range(ROUNDS):
            made = self._plan(known, Asked() if round_ else asked)
            if made.is_empty:
                break
            known, is_aged = self._begin(made, known)
            if not is_aged:
                break
        return known

    # -- batches

    def _plan(self, known: Known, asked: Asked) -> Plan:
        """Look at every file that is in doubt, and say what becomes of it."""
        made = Plan()
        for name, found in self.found.items():
            mine = known.get(name, {})
            doubtful = plan.to_inspect(found, mine, asked.replace, asked.retry)
            plan.plan(made, name, found, self._look(name, doubtful), mine, asked.replace)
        for note in made.notes:
            self.told.note(note)
        return made

    def _look(self, name: str, found: Sequence[Found]) -> list[Inspected]:
        owner = f"{self.source.source} {name}"
        return files.look(self.lake.spark, self.root, owner, self.source.feeds[name], found)

    def _finish(self, known: Known) -> Known:
        """Finish a batch that died."""
        started = [row for rows in known.values() for row in rows.values() if row["status"] == "started"]
        if not started:
            return known
        made = Plan()
        for name, mine in known.items():
            begun = [
                file
                for file in self.found.get(name, [])
                if file.path in mine and mine[file.path]["status"] == "started"
            ]
            plan.resume(made, name, self._look(name, begun), mine)
        number = max(row["batch"] for row in started)
        log.info("finishing batch %d of %d files", number, len(made.batch))
        for note in made.notes:
            self.told.note(note)
        self.begin()
        return self._write(made, number, known)[0]

    def _begin(self, made: Plan, known: Known) -> tuple[Known, bool]:
        """Write the new batch down before its first write, then load it: see `_write`.

        A batch that a rule fails leaves the books as they were.
        """
        number = self.books.next_batch()
        opened = [{**row, "batch": number} for row in made.opened] if made.is_wide else []
        new = [row for row in opened if row["path"] not in known.get(row["feed"], {})]
        old = [row for row in opened if row["path"] in known.get(row["feed"], {})]
        # Beside each other: a small load should not wait for the run log.
        opening: list[Callable[[], None]] = [partial(self._open, new, old, number)]
        together([*opening, *([self.begin] if made.is_wide else [])])
        try:
            return self._write(made, number, known)
        except QualityError:
            self.books.write([known[row["feed"]][row["path"]] for row in old], [_key(row) for row in new])
            raise

    def _open(self, new: list[Row], old: list[Row], number: int) -> None:
        self.books.open(new, number)
        self.books.write(old)

    def _write(self, made: Plan, number: int, known: Known) -> tuple[Known, bool]:
        """Load files and close their accounts; give what is known then, and whether others aged by it."""
        loaded, changed = self._load(made, number)
        if made.refused or made.settled:
            quarantine.settle(self.lake, self.source.source, self.run_id, made.refused, made.settled)
        closed = {_key(row): row for row in [*loaded, *made.closed]}
        others = {_key(row): row for rows in known.values() for row in rows.values()}
        others |= {_key(row): row for row in made.closed}
        passed = {*made.forgotten, *[_key(row) for row in loaded]}
        aged = self._aged(changed, [row for key, row in others.items() if key not in passed])
        closed |= {_key(row): row for row in aged}
        self.books.write([*closed.values()], made.forgotten)
        refused = [row for row in made.closed if row["status"] in ("refused", "repeated")]
        self.touched.update({_key(row): row for row in [*loaded, *refused]})
        return after(known, [*closed.values()], made.forgotten), bool(aged)

    def _load(self, made: Plan, number: int) -> tuple[list[Row], list[str]]:
        """Write the tables; give the rows of what was loaded, and the look-up feeds that it changed."""
        if not made.batch and not made.removed:
            return [], []
        numbers = count()
        parts = [
            self._part(name, [file for file in made.batch if file.feed == name], numbers) for name in self.source.order
        ]
        needed = [part for part in parts if part.files or made.removed]
        feeds, since = self._looked_up(needed)
        counts = Batch(self.lake, self.source.source, number, self.run_id, needed, made.removed).load()
        loaded = [
            BatchFile(part.context.feed_name, file).row("loaded", batch=number, **counts[at])
            for part in needed
            for at, file in part.files.items()
        ]
        return loaded, lookups.changed(self.lake, self.source, feeds, since)

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
        with cached(quarantine.waiting(self.lake, self.source.source, names, retry)) as held:
            parts = quarantine.parts(self.lake.spark, held, self.contexts)
            aged = self._load_again(held, parts, known, retry) if parts else []
        return bool(aged)

    def _load_again(self, held: DataFrame, parts: list[Part], known: Known, retry: bool) -> list[Row]:
        """Load quarantined records and count their files anew; give the rows of files that aged by it."""
        feeds, since = self._looked_up(parts)
        self.begin()
        Batch(self.lake, self.source.source, 0, self.run_id, parts, retried=held, is_forced=retry).load()
        rows = self.books.recount(known, [file.content for part in parts for file in part.files.values()])
        risen = sum(row["loaded"] - known[row["feed"]][row["path"]]["loaded"] for row in rows)
        if risen:
            self.told.note(f"{risen} quarantined records are loaded now")
        self.touched.update({_key(row): row for row in rows})
        ends = {_key(row): row for row in [*[row for mine in known.values() for row in mine.values()], *rows]}
        aged = self._aged(lookups.changed(self.lake, self.source, feeds, since), list(ends.values()))
        ends |= {_key(row): row for row in aged}
        self.books.write([row for (feed, path), row in ends.items() if row != known[feed][path]])
        return aged

    # -- look-ups

    def _looked_up(self, parts: Sequence[Part]) -> tuple[list[str], int | None]:
        """Look-up feeds that a batch may change, and the version at which their rows are what they were."""
        feeds = [part.context.feed_name for part in parts if part.context.feed.key]
        return feeds, self.lake.version(LOOKUPS) if feeds else None

    def _aged(self, changed: Sequence[str], rows: Sequence[Row]) -> list[Row]:
        """Of some rows those of files that were loaded with a look-up's older values: they are loaded anew."""
        users = [feed for feed in self.source.feeds if set(self.source.uses(feed)) & set(changed)]
        if users:
            self.told.note(f"{', '.join(changed)} changed: files of {', '.join(users)} are loaded anew")
        aged = [row for row in rows if row["feed"] in users and row["status"] in plan.BEARS]
        return [{**row, "status": "stale"} for row in aged]


def _key(row: Row) -> tuple[str, str]:
    return row["feed"], row["path"]
