"""Write one batch: the records of all its feeds are judged first, then every table is written once.

Every write is idempotent. An append bears the batch's number; where rows of older contents go, or records
are taken up again, rows are merged by key. So a batch that died is simply written again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial, reduce
from threading import Lock
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Table
from crm_spark.core.errors import QualityError
from crm_spark.core.kept import cached
from crm_spark.core.lake import Lake
from crm_spark.core.together import together
from crm_spark.ingest import entities, lookups, stage, versions
from crm_spark.ingest.accounts import LOOKUPS, QUARANTINE, SUPERSEDED
from crm_spark.ingest.conform import RETURN_WITHOUT_SALE, Context, id_of_record, ordinal
from crm_spark.ingest.files import Inspected
from crm_spark.ingest.mapping import Target
from crm_spark.ingest.tables import CONFORMED, HISTORIES, ORDER_LINES
from crm_spark.ingest.typed import sql_type

MOST_BYTES_IN_MEMORY = 20_000_000  # of raw files, which are often packed; staged they take some twenty times that
COUNTS = ("records", "loaded", "quarantined", "duplicates")


@dataclass
class Part:
    """The files of one feed in a batch, with the records staged from them.

    Parameters
    ----------
    files : dict
        The files by their number in the batch.
    raw : callable
        Reads their records.
    held : list of DataFrame
        What is held for it until the batch is written.
    """

    context: Context
    files: dict[int, Inspected]
    raw: Callable[[], stage.Raw]
    judged: DataFrame | None = None
    held: list[DataFrame] = field(default_factory=list)
    counted: dict[int, stage.Counts] = field(default_factory=dict)

    @property
    def staged(self) -> DataFrame:
        """The judged records."""
        if self.judged is None:
            raise RuntimeError(f"{self.context.feed_name} is written before it is judged")
        return self.judged

    def total(self, name: str) -> int:
        """The sum of one count over the files."""
        return sum(getattr(counts, name) for counts in self.counted.values())

    @property
    def storage(self) -> StorageLevel:
        """Where its records are held. Many are read from disk again sooner than they push others out of memory."""
        size = sum(file.found.bytes for file in self.files.values())
        return StorageLevel.MEMORY_AND_DISK if size < MOST_BYTES_IN_MEMORY else StorageLevel.DISK_ONLY

    def writes(self, table: str) -> bool:
        """Whether the feed brings rows to a table, by its mapping or by naming a customer or product in another."""
        if table in self.context.feed.tables:
            return True
        facts = [target for name, target in self.context.feed.tables.items() if name not in HISTORIES]
        return table in HISTORIES and any(entities.NAMES_ONE[table] in target.columns for target in facts)


@dataclass(frozen=True)
class Batch:
    """Files of one source that are loaded together.

    Parameters
    ----------
    number : int
        Rises with every batch of the lake; an append bears it.
    parts : sequence of Part
        Those of look-up feeds first.
    removed : sequence of str
        Hashes of contents whose rows go: replaced, withdrawn, or loaded anew.
    retried : DataFrame of QUARANTINE, optional
        The records that are taken up again, where these and not whole files are loaded.
    is_forced : bool
        Whether retried records are written even where none loads: their reasons may have changed.
    superseding : Lock
        Held while SUPERSEDED is written: what is outranked in any table goes there.
    """

    lake: Lake
    source: str
    number: int
    run_id: str
    parts: Sequence[Part]
    removed: Sequence[str] = ()
    retried: DataFrame | None = None
    is_forced: bool = False
    superseding: Lock = field(default_factory=Lock)

    def load(self) -> dict[int, dict[str, Any]]:
        """Load all records and give, for each file's number, its counts for the accounts.

        Raises
        ------
        QualityError
            Records break a rule that fails the batch; nothing was written.
        """
        try:
            known = self.lake.current(LOOKUPS)
            together([partial(self._judge, part, known) for part in self.parts if part.context.feed.key])
            known = self._looked_up_then(known)
            together([partial(self._judge, part, known) for part in self.parts if not part.context.feed.key])
            self._judge_returns()
            if self.retried is None or self.is_forced or any(part.total("loaded") for part in self.parts):
                self._write()
        finally:
            for held in [held for part in self.parts for held in part.held]:
                held.unpersist()
        return {number: _counts(part, number) for part in self.parts for number in part.files}

    # -- judging

    @cached_property
    def _lookup_bytes(self) -> int:
        """How much there is to look up in, as it lies in files."""
        files = [file for part in self.parts if part.context.feed.key for file in part.files.values()]
        return self.lake.size(LOOKUPS)[1] + sum(file.found.bytes for file in files)

    def _looked_up_then(self, known: DataFrame) -> DataFrame:
        """Rows of LOOKUPS as they will be: nothing is written before all records are judged."""
        brought = [self._lookup_rows(part) for part in self.parts if part.context.feed.key]
        return _union([known.where(~self._is_removed), *brought])

    @property
    def _is_removed(self) -> Column:
        """Whether a row that is there goes with this batch."""
        if not self.removed:
            return F.lit(False)  # so that no column is read for it
        return (F.col("source") == self.source) & versions.of_files(self.removed)

    def _lookup_rows(self, part: Part) -> DataFrame:
        return self._told(_looked_up(part)).select(*LOOKUPS.names)

    def _judge(self, part: Part, known: DataFrame) -> None:
        """Stage the records of a feed, held once for all tables, and count what becomes of them.

        Parameters
        ----------
        known : DataFrame of LOOKUPS
            What its look-ups say.
        """
        source = part.context.source
        uses = source.uses(part.context.feed_name)
        looked = lookups.read(known, source, uses, self._lookup_bytes) if uses else {}
        part.judged = stage.stage(part.raw(), part.context, looked).persist(part.storage)
        part.held.append(part.judged)
        self._count(part)

    def _count(self, part: Part) -> None:
        part.counted = stage.count(part.staged, list(part.context.feed.tables))
        if any(counts.fails for counts in part.counted.values()):
            raise self._failed(part, {number: counts.fails for number, counts in part.counted.items()})

    def _judge_returns(self) -> None:
        """Judge returns by whether their sale is there: of any feed of the batch, or loaded before."""
        asking = [part for part in self.parts if part.total("returns") and part.context.of_returns != "off"]
        if asking:
            sales = self._sales()
            for part in asking:
                self._judge_returns_of(part, sales)

    def _sales(self) -> DataFrame:
        """Rows of ORDER_LINES as they will be. What is there is pinned: tables are written from this judgement."""
        there = self.lake.read(ORDER_LINES, self.lake.version(ORDER_LINES)).where(~self._is_removed)
        brought = [stage.loaded(part.staged, ORDER_LINES.name) for part in self._bringing(ORDER_LINES)]
        return _union([rows.select(*stage.BOUGHT, "kind") for rows in (there, *brought)])

    def _judge_returns_of(self, part: Part, sales: DataFrame) -> None:
        unsold = stage.unsold(part.staged, sales).persist()
        part.held.append(unsold)
        told = {row["file"]: row["count"] for row in unsold.groupBy("file").count().collect()}
        if told and part.context.of_returns == "fail":
            raise self._failed(part, {number: {RETURN_WITHOUT_SALE: count} for number, count in told.items()})
        if told and part.context.of_returns == "quarantine":
            part.judged = stage.awaiting(part.staged, unsold, "no sale of it yet")
            self._count(part)
        elif told:
            for number, count in told.items():
                part.counted[number].warnings[RETURN_WITHOUT_SALE] = count

    def _failed(self, part: Part, broken: Mapping[int, Mapping[str, int]]) -> QualityError:
        told = [
            f"{part.files[number].found.path}: {count} records break {rule}"
            for number, rules in sorted(broken.items())
            for rule, count in sorted(rules.items())
        ]
        subject = "nothing of the batch is loaded; mend the files or the rule's severity"
        return QualityError.listing(f"{part.context.feed_name}: {subject}", told)

    # -- writing

    def _write(self) -> None:
        """Write every table that the batch touches; quarantine last: what still waits there is told to the end."""
        facts = [table for name, table in CONFORMED.items() if name not in HISTORIES]
        writes: list[Callable[[], None]] = [
            *[partial(self._write_entity, name) for name in HISTORIES],  # two writes each: they begin
            *[partial(self._write_facts, table) for table in facts],
            self._write_lookups,
        ]
        together(writes)
        if self.retried is not None or self.removed or any(part.total("quarantined") for part in self.parts):
            self._write_quarantine()

    def _touches(self, bringing: list[Part]) -> bool:
        return bool(bringing) and (bool(self.removed) or any(part.total("loaded") for part in bringing))

    def _write_facts(self, table: Table) -> None:
        bringing = self._bringing(table)
        if not self._touches(bringing):
            return
        named = [self._rows(part, table) for part in bringing if _has_natural_key(part, table)]
        plain = [self._rows(part, table) for part in bringing if not _has_natural_key(part, table)]
        if plain:
            self._put(table, _union(plain))
        if named:
            self._write_versions(table, _union(named))

    def _bringing(self, table: Table) -> list[Part]:
        return [part for part in self.parts if table.name in part.context.feed.tables]

    def _rows(self, part: Part, table: Table) -> DataFrame:
        """The rows that a feed brings to a table."""
        return self._told(stage.loaded(part.staged, table.name)).select(*table.names)

    def _write_entity(self, name: str) -> None:
        """Write what was said of customers or products, then bring their table up to date."""
        bringing = [part for part in self.parts if part.writes(name)]
        if not self._touches(bringing):
            return
        history, table = HISTORIES[name], CONFORMED[name]
        statements = _union(
            [entities.observed(rows, name, part.context.zone) for part in bringing for rows in _statements(part, name)]
        )
        with cached(statements) as said:
            self._put(history, self._told(said).select(*history.names))
            whole = self.lake.current(history)
            if self.removed:
                keys = self.lake.current(table).select(*table.key).unionByName(whole.select(*table.key))
                self._merge(table, entities.latest(whole, name), keys)
            else:
                touched = said.select(*table.key).distinct()
                self._merge(table, entities.latest(whole.join(touched, list(table.key), "left_semi"), name))

    def _write_lookups(self) -> None:
        bringing = [part for part in self.parts if part.context.feed.key]
        if self._touches(bringing):
            rows = _union([self._lookup_rows(part) for part in bringing])
            self._put(LOOKUPS, rows.dropDuplicates(list(LOOKUPS.key)))

    def _write_quarantine(self) -> None:
        """Keep refused records with their text and reason."""
        refused = [part.staged.where(F.col("reason").isNotNull()).select(*stage.REFUSED) for part in self.parts]
        chosen = self._told(_union(refused)).withColumnRenamed("loaded_at", "quarantined_at").select(*QUARANTINE.names)
        if self.retried is not None:
            # When it was first refused decides how long its text is kept.
            first = ["quarantined_at", "run_id"]
            kept = chosen.drop(*first).join(self.retried.select("row_id", *first), "row_id")
            self._merge(QUARANTINE, kept.select(*QUARANTINE.names), self.retried)
        else:
            self._put(QUARANTINE, chosen)

    def _write_versions(self, table: Table, rows: DataFrame) -> None:
        """Let the latest version of each named row stand. What is outranked is kept before it goes."""
        self.lake.prepare(table)
        with self.superseding:
            self.lake.prepare(SUPERSEDED)
        removed = versions.of_files(self.removed)
        held, kept = self.lake.current(table), versions.unpacked(self.lake.current(SUPERSEDED), table)
        gone = held.where(removed).select(*table.key)
        ids = rows.select(*table.key).unionByName(gone).distinct()
        near = held.unionByName(kept).where(~removed).join(ids, list(table.key), "left_semi")
        with cached(versions.ranked(rows.unionByName(near), table)) as ranks:
            outranked = versions.packed(ranks.where(F.col("rank") > 1), table)
            standing = ranks.where(F.col("rank") == 1).drop("rank")
            if not outranked.isEmpty():
                with self.superseding:
                    self._merge(SUPERSEDED, outranked)
            self._merge(table, standing.select(*table.names), ids)
            if self.removed:
                gone = self.lake.current(SUPERSEDED).where((F.col("table_name") == table.name) & removed)
                stands = versions.packed(standing, table).select(*SUPERSEDED.key)
                stale = gone.select(*SUPERSEDED.key).unionByName(stands)
                with self.superseding:
                    self._merge(SUPERSEDED, outranked, stale.unionByName(outranked.select(*SUPERSEDED.key)))

    # -- one table

    def _put(self, table: Table, rows: DataFrame) -> None:
        """Add rows to a table once; rows of removed contents go in the same commit."""
        if self.retried is None and not self.removed:
            self.lake.prepare(table)
            transaction = (f"ingest {self.source}", self.number)
            self.lake.append(table, table.conform(rows), self.run_id, transaction)
            return
        is_mine = F.col("source") == self.source if "source" in table.names else F.lit(True)
        old = self.lake.current(table).where(is_mine & versions.of_files(self.removed))
        self._merge(table, rows, rows.select(*table.key).unionByName(old.select(*table.key)))

    def _merge(self, table: Table, rows: DataFrame, keys: DataFrame | None = None) -> None:
        self.lake.prepare(table)
        self.lake.merge(table, table.conform(rows), self.run_id, keys=keys)

    def _told(self, rows: DataFrame) -> DataFrame:
        """Add what is the same for all records of a file, the time of loading too: see `records.read`."""
        files = [
            (number, file.content, file.found.path, list(file.header), part.context.feed_name, part.context.now)
            for part in self.parts
            for number, file in part.files.items()
        ]
        columns = "file int, file_hash string, path string, header array<string>, feed string, loaded_at timestamp"
        origin = self.lake.spark.createDataFrame(files, columns)
        return rows.join(F.broadcast(origin), "file").withColumns(
            {"source": F.lit(self.source), "run_id": F.lit(self.run_id)}
        )


def _has_natural_key(part: Part, table: Table) -> bool:
    return id_of_record(part.context.feed, table.name) is None


def _counts(part: Part, number: int) -> dict[str, Any]:
    counts = part.counted.get(number, stage.Counts())
    told: dict[str, Any] = {name: getattr(counts, name) for name in COUNTS}
    return {**told, "warnings": dict(sorted(counts.warnings.items()))}


def _union(parts: Sequence[DataFrame]) -> DataFrame:
    return reduce(lambda both, part: both.unionByName(part), parts)


def _statements(part: Part, name: str) -> list[DataFrame]:
    """What a feed says of an entity: by its own mapping, and by naming it in other tables."""
    feed, id_ = part.context.feed, entities.NAMES_ONE[name]
    own = feed.tables.get(name)
    bare = [
        entities.mentioned(stage.loaded(part.staged, fact), CONFORMED[fact], name)
        for fact, target in feed.tables.items()
        if fact not in HISTORIES and id_ in target.columns and not _says_as_much(own, target, id_)
    ]
    if own is None:
        return [_union(bare)]
    told = stage.loaded(part.staged, name).select("file", *dict.fromkeys([id_, "known_at", *own.columns]))
    if own.columns.keys() <= {id_, "known_at"}:
        return [_union([told, *bare])]  # it says what a mention says
    return [told, *([_union(bare)] if bare else [])]


def _says_as_much(own: Target | None, fact: Target, id_: str) -> bool:
    """Whether an own mapping has a row wherever the fact names one: then nothing is gathered twice."""
    return own is not None and own.where is None and own.columns[id_] == fact.columns[id_]


def _looked_up(part: Part) -> DataFrame:
    """Rows of LOOKUPS that a look-up feed brings."""
    feed, fields = part.context.feed, F.col("fields")
    version = F.lit(None).cast("decimal(38,9)")
    if feed.version is not None:
        version = ordinal(fields.getField(feed.version), sql_type(feed.columns[feed.version]))
    key = [fields.getField(name).cast("string").alias(name) for name in feed.key]
    told = part.staged.where(F.col("reason").isNull() & ~F.col("duplicate")).select(
        "file",
        "row_hash",
        F.to_json(F.struct(*key)).alias("row_key"),
        version.alias("row_version"),
        F.to_json(fields, versions.WHOLE_TIMES).alias("fields"),
    )
    return told.withColumn("fields_hash", _short_hash(F.col("fields")))


def _short_hash(text: Column) -> Column:
    return F.substring(F.sha2(text, 256), 1, 32)
