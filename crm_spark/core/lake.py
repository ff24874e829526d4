"""Where the tables are: a folder or bucket URI, or a catalog schema. With `ddl` and `refusals`, all that knows Delta.

Each way of writing is idempotent: a run that died is run again and ends the same.

| a run owns      | written by        | the second time            |
|-----------------|-------------------|----------------------------|
| one `as_of`     | `replace_as_of`   | the same rows              |
| the whole table | `overwrite`       | the same rows              |
| one batch       | `append`          | nothing is added           |
| keys            | `merge`           | nothing that equals is touched |
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial, reduce
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType
from pyspark.sql.utils import is_remote

from crm_spark.core import commits, lease
from crm_spark.core.commits import Commit, Snapshot
from crm_spark.core.contracts import Field, Migration, Table
from crm_spark.core.ddl import (
    DEFAULT_KEEP_HOURS,
    FEED_PROPERTY,
    VERSION_PROPERTY,
    declared,
    literal,
    properties,
    retention,
)
from crm_spark.core.errors import ConfigError, ContractError, LakeBusy
from crm_spark.core.events import tell
from crm_spark.core.pruning import spans, within
from crm_spark.core.refusals import checked, guarded, is_absent, only
from crm_spark.core.together import together

Answer = TypeVar("Answer")
SCHEMA = re.compile(r"\w+\.\w+")
NOTE = "spark.databricks.delta.commitInfo.userMetadata"
MOST_HOURS = 24  # that a run takes, where another driver may be at work
MIGRATING = re.compile(r"being migrated from version (\d+) of contract (\d+)")


@dataclass(frozen=True)
class Growth:
    """How a table on disk stands to its contract."""

    exists: bool
    added: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Begun:
    """A migration that was begun: the version of the table whose rows it takes, and their contract's."""

    version: int
    contract: int


class Lake:
    """The tables of one lake, by their contracts.

    Parameters
    ----------
    spark : SparkSession
    location : str
        A folder or URI (`./lake`, `s3a://bucket/crm`) or a catalog schema (`main.crm`).

    Raises
    ------
    ConfigError
        The location names a schema that is not there.
    """

    def __init__(self, spark: SparkSession, location: str) -> None:
        self.spark = spark
        self.location = location.rstrip("/")
        self.is_schema = is_schema(self.location)
        if self.is_schema and not spark.catalog.databaseExists(self.location):
            remedy = f"create it, or write ./{self.location} where a folder is meant"
            raise ConfigError(f"the lake {self.location} names a schema of a catalog, which is not there; {remedy}")
        # Where Delta's log can be read without Spark; the folders of a Connect server are not ours.
        self._folder = None if self.is_schema or is_remote() else lease.folder(self.location)
        self._ready: set[str] = set()
        self._made: set[str] = set()
        self._written: set[str] = set()
        self._notes, self._noting = 0, Lock()
        self._was_absent = False  # when this turn began
        self._is_ours, self._is_held, self._has_turn = False, False, False

    # -- names and state

    def name(self, table: Table) -> str:
        """Name a table as Spark SQL does."""
        if self.is_schema:
            return ".".join(f"`{part}`" for part in [*self.location.split("."), table.name])
        return f"delta.`{_absolute(self.location)}/{table.name}`"

    def version(self, table: Table) -> int | None:
        """Give the newest version of a table, None where it is not there."""
        if self._folder is not None:
            return commits.version(self._folder / table.name)
        newest = self._found(lambda: self.history(table, most=1))
        return int(newest[0]["version"]) if newest else None

    def commits(self, table: Table, most: int = 20) -> list[Commit]:
        """Give the newest commits of a table that is there, newest first."""
        if self._folder is not None:
            return commits.newest(self._folder / table.name, most)
        return [commits.commit(row.asDict()) for row in self.history(table, most)]

    def history(self, table: Table, most: int = 20) -> list[Row]:
        """Give the newest versions of a table, newest first, with what wrote them."""
        return self._sql(f"DESCRIBE HISTORY {{table}} LIMIT {int(most)}", table).collect()

    def size(self, table: Table) -> tuple[int, int]:
        """Give the number of files of the newest version, and their bytes; of a table that is not there none."""
        detail = self._found(lambda: self._sql("DESCRIBE DETAIL {table}", table).collect()[0])
        return (0, 0) if detail is None else (int(detail["numFiles"]), int(detail["sizeInBytes"]))

    def growth(self, table: Table) -> Growth:
        """Hold a table on disk against its contract.

        Raises
        ------
        ContractError
            It differs by more than new nullable columns.
        """
        schema = self._schema(table)
        if schema is None:
            return Growth(exists=False)
        _refuse_half(table, schema)
        found = {column.name for column in schema.fields}
        added = [column.name for column in table.columns if column.nullable and column.name not in found]
        broken = [fault for fault in table.differences(schema) if fault.split(":")[0] not in added]
        broken += table.nullability(schema)
        # Without migrations the schema says it all, and the properties need not be asked for.
        if broken or (table.migrations and self.pending(table)):
            subject = f"{table.name} on disk is not what its contract promises; {self.remedy(table)}"
            raise ContractError.listing(subject, broken) if broken else ContractError(subject)
        return Growth(exists=True, added=added)

    def contract(self, table: Table) -> int:
        """Give the version of the contract by which a table on disk was written."""
        properties = self._sql("SHOW TBLPROPERTIES {table}", table).collect()
        return int({row["key"]: row["value"] for row in properties}.get(VERSION_PROPERTY, 1))

    def pending(self, table: Table) -> list[Migration]:
        """Give the migrations that a table on disk has yet to go through, in order."""
        begun = _begun(self.spark.read.table(self.name(table)).schema)
        return table.migrations_from(begun.contract if begun else self.contract(table))

    def drift(self, table: Table) -> list[str]:
        """Say what besides the columns is not as its contract has it; asked by `crm doctor`, not by each run."""
        detail = self._sql("DESCRIBE DETAIL {table}", table).collect()[0]
        told = {VERSION_PROPERTY: "1", FEED_PROPERTY: "false", **detail["properties"]}
        pairs = {
            "partitions": (", ".join(table.partition_by), ", ".join(detail["partitionColumns"])),
            "clustering": (", ".join(table.cluster_by), ", ".join(detail["clusteringColumns"])),
            "change feed": (str(table.changes).lower(), told[FEED_PROPERTY]),
            "version": (str(table.version), told[VERSION_PROPERTY]),
        }
        return [f"{what}: promised {a or 'none'}, found {b or 'none'}" for what, (a, b) in pairs.items() if a != b]

    def remedy(self, table: Table) -> str:
        """Say what mends a table that is not what its contract promises."""
        if not table.loaded:
            return f"mend it by `crm rebuild {table.name}`"
        found, pending = self.contract(table), self.pending(table)
        if pending:
            names = ", ".join(migration.name for migration in pending)
            return f"mend it by `crm migrate {table.name}` (runs {names})"
        if found > table.version:
            return f"it is of version {found}, this crm_spark knows {table.version}: install a newer one"
        return f"no migration leads there from version {found}"

    def check(self, tables: Sequence[Table]) -> None:
        """Hold tables against their contracts before any of them is written.

        Raises
        ------
        ContractError
            Naming all that differs, of every table.
        """
        unknown = [table for table in tables if table.name not in self._ready]
        faults = [fault for fault in together([partial(self._fault, table) for table in unknown]) if fault]
        if faults:
            raise ContractError("\n".join(faults))

    # -- reading

    def current(self, table: Table) -> DataFrame:
        """Read a table as it is now; where it is not there, no rows of the promised columns."""
        if self._folder is not None:
            return self.read(table, self.version(table))
        rows = self._found(lambda: _grown(self.spark.read.table(self.name(table)), table))
        return self.read(table, None) if rows is None else rows

    def read(self, table: Table, version: int | None) -> DataFrame:
        """Read a table as it was at a version; without one, no rows of the promised columns."""
        if version is None:
            return _no_rows(self.spark, table.nullable_ddl)
        rows = self._plainly(table, version)
        if rows is None:
            rows = self.spark.read.option("versionAsOf", version).table(self.name(table))
        return _grown(rows, table)

    def changes(self, table: Table, since: int, until: int) -> DataFrame:
        """Read the rows that came or went after version `since`, up to version `until`.

        Where a file of these versions is gone, that shows as late as the rows are read: `is_unreadable`
        knows the error.

        Returns
        -------
        DataFrame
            The promised columns and `_change_type`.
        """
        reader = self.spark.read.option("readChangeFeed", "true").option("startingVersion", since + 1)
        return _grown(reader.option("endingVersion", until).table(self.name(table)), table, "_change_type")

    # -- writing

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Write alone: runs of one driver wait for each other; tells whether this one had to.

        Raises
        ------
        LakeBusy
            Another driver writes here.
        ConfigError
            The store does not keep two drivers apart.
        """
        with lease.turn(self.location) as had_to_wait:
            self._was_absent = not self._is_there()
            if not self._was_absent:
                self._claim()
            self._has_turn = True
            try:
                yield had_to_wait
            finally:
                self._has_turn = self._was_absent = False
                self._made.clear()  # whose turn is next may fill it

    def touched(self, tables: Sequence[Table]) -> list[Table]:
        """Those tables that this lake wrote since `forget_touched`."""
        return [table for table in tables if table.name in self._written]

    def forget_touched(self) -> None:
        """Begin a new count of what is written."""
        self._written.clear()

    def prepare(self, table: Table) -> None:
        """Create the table where it is not there; add the nullable columns that its contract has grown."""
        if table.name in self._ready:
            return
        state = self.growth(table)
        if not state.exists:
            self._create(table)
            # Elsewhere another driver may have made it too, and fill it first.
            if self._is_held:
                self._made.add(table.name)
        elif state.added:
            self._grow(table, state.added)
        self._ready.add(table.name)

    def replace_as_of(self, table: Table, rows: DataFrame, as_of: date, run_id: str) -> None:
        """Replace the rows of one `as_of`; rows of another are refused."""
        rows = rows.withColumn("as_of", only(as_of))
        if self._is_new(table, as_of):
            self.append(table, rows, run_id)
        else:
            self._overwrite(table, rows, F.col("as_of") == F.lit(as_of), run_id)

    def overwrite(self, table: Table, rows: DataFrame, run_id: str) -> None:
        """Replace the whole table."""
        # Without the option Delta forgets, silently, how the table is clustered.
        self._overwrite(table, rows, F.lit(True), run_id, replaceWhere="true")

    def append(self, table: Table, rows: DataFrame, run_id: str, transaction: tuple[str, int] | None = None) -> None:
        """Add rows once.

        Parameters
        ----------
        transaction : (str, int), optional
            Who writes, and a counter that only rises for that writer and table: the same pair adds
            nothing a second time. Delta drops a lower number silently, so a hash must never be one.
            None where nothing ever writes these rows again: to look a transaction up Delta reads the
            whole state of the table, which takes longer than the append.
        """
        writer = rows.writeTo(self.name(table)).option("userMetadata", run_id)
        if transaction is not None:
            writer = writer.option("txnAppId", transaction[0]).option("txnVersion", str(transaction[1]))
        self._write(table, checked(table, rows, writer.append))

    def merge(self, table: Table, rows: DataFrame, run_id: str, keys: DataFrame | None = None) -> None:
        """Make the rows of some keys what they should be; touch nothing that already is.

        Parameters
        ----------
        rows : DataFrame
            The promised columns, one row for each key.
        keys : DataFrame, optional
            Keys whose rows are replaced: those that `rows` lacks are deleted. Default: those of `rows`.
        """
        if table.name in self._made:  # there is nothing to hold them against
            self.append(table, rows.select(*table.names), run_id)
            return
        values = [name for name in table.names if name not in table.key]
        source = _marked(table, rows, keys)
        is_same_key = _all([F.col(name) == F.col(f"key_{name}") for name in table.key])
        differs = ~_all([_is_same(table[name]) for name in values])
        update = {name: F.col(f"new_{name}") for name in values}
        insert = {name: F.col(f"key_{name}") for name in table.key} | update
        writer = source.mergeInto(self.name(table), self._pruned(table, source) & is_same_key)
        if keys is not None:
            writer = writer.whenMatched(F.col("_is_there").isNull()).delete()
        writer = writer.whenMatched(F.col("_is_there") & differs).update(update)
        with self._noted(run_id):
            self._write(table, checked(table, rows, writer.whenNotMatched(F.col("_is_there")).insert(insert).merge))

    def delete(self, table: Table, keys: DataFrame, run_id: str) -> None:
        """Delete the rows that share the values of `keys`, whose columns are some of the table's."""
        values = keys.distinct().select([F.col(name).alias(f"key_{name}") for name in keys.columns])
        is_named = _all([F.col(name) == F.col(f"key_{name}") for name in keys.columns])
        with self._noted(run_id):
            self._write(table, values.mergeInto(self.name(table), is_named).whenMatched().delete().merge)

    # -- upkeep

    def compact(self, table: Table) -> None:
        """Gather small files, laid out by the clustering columns."""
        self._do(table, "compacting", "compacted", lambda: self._sql("OPTIMIZE {table}", table).collect())

    def vacuum(self, table: Table, keep_hours: int) -> None:
        """Remove files that no version of the last `keep_hours` needs.

        Delta heeds the table's property and, silently, no RETAIN in the statement.
        """
        # What a migration that was begun starts from is such an old version.
        _refuse_half(table, self.spark.read.table(self.name(table)).schema)
        wanted = retention(keep_hours)
        found = self._sql("DESCRIBE DETAIL {table}", table).select("properties").collect()[0][0]
        if not wanted.items() <= {**retention(DEFAULT_KEEP_HOURS), **found}.items():
            listed = ", ".join(f"{literal(name)} = {literal(value)}" for name, value in wanted.items())
            self._sql("ALTER TABLE {table} SET TBLPROPERTIES " + f"({listed})", table)
        self._do(table, "vacuuming", "vacuumed", lambda: self._sql("VACUUM {table}", table).collect())

    @property
    def dead_after(self) -> timedelta:
        """How old unfinished work is at least when its driver is surely dead: no time where this one writes alone."""
        return timedelta(0) if self._is_held else timedelta(hours=MOST_HOURS)

    def orphans(self, table: Table) -> list[str]:
        """Name the files that no version names: left by runs that died before their commit."""
        return [row["path"] for row in self._vacuum_of_orphans(table, " DRY RUN").collect()]

    def remove_orphans(self, table: Table) -> None:
        """Remove the files that no version names."""
        self._do(table, "sweeping", "swept", lambda: self._vacuum_of_orphans(table, "").collect())

    def drop(self, table: Table, run_id: str) -> None:
        """Forget a derived table's rows and shape, so that the next run makes it anew."""
        self._replace(table, {column.name: column.comment for column in table.columns}, run_id)

    def migrate(self, table: Table, run_id: str) -> None:
        """Bring a loaded table to its contract by the migrations that it has yet to go through.

        Three commits: the empty table in its new shape, its rows, its mark taken off. Delta cannot change
        rows and shape in one and keep NOT NULL. Until the last the table bears a mark that refuses every
        read and write but this one, which, whenever it was stopped, starts anew from the old version.

        Raises
        ------
        ContractError
            The migrated rows would break the contract; then nothing is written.
        """
        begun = _begun(self.spark.read.table(self.name(table)).schema)
        begun = begun or Begun(self.history(table, most=1)[0]["version"], self.contract(table))
        rows = self._migrated(table, begun)
        broken = [f"{row['fault']}: {row['rows']} rows" for row in table.faults(rows).collect()]
        if broken:
            raise ContractError.listing(f"{table.name} as migrated breaks its contract", broken)
        first, *others = table.columns
        mark = f"being migrated from version {begun.version} of contract {begun.contract}"
        comments = {first.name: mark, **{column.name: column.comment for column in others}}
        self._replace(table, comments, run_id)
        self.overwrite(table, rows, run_id)
        statement = f"ALTER TABLE {{table}} ALTER COLUMN {first.name} COMMENT {literal(first.comment)}"
        self._do(table, "ending the migration of", "migrated", lambda: self._sql(statement, table))

    # -- inside

    def _vacuum_of_orphans(self, table: Table, how: str) -> DataFrame:
        """Let Delta take files that no version of its log names from those that lie there.

        It would leave young ones, as a driver could be about to commit them. That these are old enough we know
        better, so their age is told as the oldest; files of the change feed lie apart and go by their age.
        """
        place = self._sql("DESCRIBE DETAIL {table}", table).select("location").collect()[0][0]
        reader = self.spark.read.format("binaryFile").option("recursiveFileLookup", "true")
        lying = reader.option("pathGlobFilter", "*.parquet").load(place)
        is_old = F.col("modificationTime") <= F.current_timestamp() - F.lit(self.dead_after)
        told = {"path": F.col("path"), "length": F.col("length")}
        told |= {"isDir": F.lit(False), "modificationTime": F.lit(0).cast("bigint")}
        # Delta wants each column to be nullable.
        files = lying.where(is_old).select([F.when(is_old, column).alias(name) for name, column in told.items()])
        statement = "VACUUM {table} USING INVENTORY (SELECT * FROM {files})"
        return self._sql(statement + how, table, files=files)

    def _plainly(self, table: Table, version: int) -> DataFrame | None:
        """Read the files of a version, where Delta need not be asked which these are."""
        told = self._snapshot(table, version)
        if told is None:
            return None
        schema = StructType.fromJson(dict(told.schema))
        if not told.files:
            return _no_rows(self.spark, schema)
        reader = self.spark.read.schema(schema).option("basePath", str(told.folder))
        return reader.parquet(*map(str, told.files))

    def _snapshot(self, table: Table, version: int) -> Snapshot | None:
        # Java has its own idea of where a relative path begins.
        return None if self._folder is None else commits.snapshot(self._folder.absolute() / table.name, version)

    def _schema(self, table: Table) -> StructType | None:
        """The schema on disk of the newest version; None where the table is not there."""
        version = None if self._folder is None else self.version(table)
        told = None if version is None else self._snapshot(table, version)
        if told is not None:
            return StructType.fromJson(dict(told.schema))
        return self._found(lambda: self.spark.read.table(self.name(table)).schema)

    def _found(self, ask: Callable[[], Answer]) -> Answer | None:
        """Ask about a table; None where it is not there."""
        try:
            return ask()
        except Exception as error:
            if is_absent(error):
                return None
            missing = re.search(
                r"ClassNotFoundException: Class (\S*FileSystem\S*) not|No FileSystem for scheme", str(error)
            )
            if missing:
                remedy = "put the Hadoop JARs of that store on Spark's class path"
                raise ConfigError(f"Spark does not know the store of the lake {self.location}; {remedy}") from None
            raise

    def _fault(self, table: Table) -> str | None:
        try:
            state = self.growth(table)
        except ContractError as error:
            return str(error)
        if state.exists and not state.added:
            self._ready.add(table.name)
        return None

    def _is_there(self) -> bool:
        """Whether there is something to hold; a lake that is not there yet is held by its first write."""
        folder = lease.folder(self.location)
        return self.is_schema or folder is None or folder.is_dir()

    def _claim(self) -> None:
        """Make sure, once, that no other driver writes here."""
        if self._is_ours:
            return
        location = self.spark.catalog.getDatabase(self.location).locationUri if self.is_schema else self.location
        folder = lease.folder(location) if location else None  # a catalog that tells none keeps drivers apart itself
        if folder is None and location:
            lease.refuse_unsafe(self.spark, location)
        if folder is not None:
            lease.take(folder)
            if self._was_absent and any(folder.glob("*/_delta_log")):
                # What is about to be written was planned for a lake without a row.
                raise LakeBusy(f"the lake {folder} was made by another run meanwhile; run again")
            lease.share(folder, self.spark)
            self._is_held = True
        self._is_ours = True

    def _write(self, table: Table, write: Callable[[], object]) -> None:
        # Before: a write that fails may have been committed all the same.
        self._made.discard(table.name)
        self._do(table, "writing", "written", write)

    def _do(self, table: Table, doing: str, done: str, work: Callable[[], object]) -> None:
        """Change a table; all that does passes here."""
        self._claim()
        tell(doing, table.name)
        guarded(table, work)
        if done == "written":
            self._written.add(table.name)
        tell(done, table.name)

    def _sql(self, statement: str, table: Table, **rows: Any) -> DataFrame:
        """Run a statement about one table. All that stands in it comes from a contract, quoted."""
        return self.spark.sql(statement.replace("{table}", self.name(table)), **rows)

    def _migrated(self, table: Table, begun: Begun) -> DataFrame:
        """The rows of the version from which a migration starts, as it changes them."""
        rows = self.spark.read.option("versionAsOf", begun.version).table(self.name(table))
        for migration in table.migrations_from(begun.contract):
            rows = migration.change(rows)
        return table.conform(_filled(rows, [column for column in table.columns if column.nullable]))

    def _create(self, table: Table) -> None:
        columns = ", ".join(declared(column, column.comment) for column in table.columns)
        statement = "CREATE TABLE IF NOT EXISTS {table} " + f"({columns}) " + properties(table)
        self._do(table, "creating", "created", lambda: self._sql(statement, table))

    def _replace(self, table: Table, comments: Mapping[str, str], run_id: str) -> None:
        """Make the table empty and as its contract is now; its older versions stay readable."""
        columns = ", ".join(declared(column, comments[column.name]) for column in table.columns)
        # CREATE OR REPLACE leaves a table that is known by its path as it is, silently.
        statement = "REPLACE TABLE {table} " + f"({columns}) " + properties(table)
        with self._noted(run_id):
            self._do(table, "emptying", "emptied", lambda: self._sql(statement, table))

    def _grow(self, table: Table, added: list[str]) -> None:
        columns = ", ".join(declared(table[name], table[name].comment) for name in added)
        # In this order: stopped between the two, the columns are still missing and both are done again.
        marking = "ALTER TABLE {table} SET TBLPROPERTIES " + f"('{VERSION_PROPERTY}' = '{table.version}')"
        self._do(table, "marking", "marked", lambda: self._sql(marking, table))
        growing = "ALTER TABLE {table} ADD COLUMNS " + f"({columns})"
        self._do(table, "growing", "grown", lambda: self._sql(growing, table))

    def _overwrite(self, table: Table, rows: DataFrame, where: Column, run_id: str, **options: str) -> None:
        if table.name in self._made:  # there is nothing to replace
            self.append(table, rows, run_id)
            return
        writer = rows.writeTo(self.name(table)).options(userMetadata=run_id, **options)
        self._write(table, checked(table, rows, lambda: writer.overwrite(where)))

    def _is_new(self, table: Table, as_of: date) -> bool:
        """Whether a day has no rows for sure, and gets none meanwhile: its folder is missing among those of others.

        To look for rows to replace Delta reads the whole state of the table, which takes longer than to add new ones.
        """
        if self._folder is None or not (self._is_held and self._has_turn):
            return False
        lying = {file.name for file in (self._folder / table.name).iterdir() if not file.name.startswith("_")}
        days = {name for name in lying if name.startswith("as_of=")}
        return bool(days) and days == lying and f"as_of={as_of}" not in days

    @contextmanager
    def _noted(self, run_id: str) -> Iterator[None]:
        """Write the run id into the history of what is done meanwhile, for what takes no option for it.

        It is a setting of the session, which threads share: the last to end takes it back. All that is
        written side by side is of one run: see `turn`.
        """
        with self._noting:
            self._notes += 1
            self.spark.conf.set(NOTE, run_id)
        try:
            yield
        finally:
            with self._noting:
                self._notes -= 1
                if not self._notes:
                    self.spark.conf.unset(NOTE)

    def _pruned(self, table: Table, source: DataFrame) -> Column:
        """Name the spans of clustering values that a merge touches, so that it opens no other file."""
        clustering = [name for name in table.cluster_by if name in table.key and not table[name].personal]
        if not clustering:
            return F.lit(True)
        name = clustering[0]
        touched = spans(source.select(f"key_{name}"), f"key_{name}")
        return F.lit(True) if touched is None else within(F.col(name), touched)


def is_schema(location: str) -> bool:
    """Whether a location names a catalog schema: two words with a dot, and no folder that is there."""
    return SCHEMA.fullmatch(location) is not None and not Path(location).is_dir()


def _grown(rows: DataFrame, table: Table, *others: str) -> DataFrame:
    """The promised columns; one that the table on disk does not have yet is null."""
    _refuse_half(table, rows.schema)
    return _filled(rows, table.columns).select(*table.names, *others)


def _filled(rows: DataFrame, columns: Sequence[Field]) -> DataFrame:
    """Add the columns that are not there, as nulls."""
    found = rows.columns
    return rows.select("*", *[F.lit(None).cast(c.type).alias(c.name) for c in columns if c.name not in found])


def _begun(schema: StructType) -> Begun | None:
    """Read the mark of a migration that was begun and did not end: the comment of the first column."""
    mark = MIGRATING.fullmatch(schema.fields[0].metadata.get("comment", "")) if schema.fields else None
    return Begun(int(mark[1]), int(mark[2])) if mark else None


def _refuse_half(table: Table, schema: StructType) -> None:
    if _begun(schema) is not None:
        raise ContractError(f"{table.name} is half migrated; `crm migrate {table.name}` finishes it")


def _no_rows(spark: SparkSession, schema: str | StructType) -> DataFrame:
    """Make no rows, and say so: what joins and groups them is then no step of any plan."""
    return spark.createDataFrame([], schema).where(F.lit(False))


def _marked(table: Table, rows: DataFrame, keys: DataFrame | None) -> DataFrame:
    """Rename the columns, so that in a merge a plain name means the table's, and mark what is there."""
    values = [name for name in table.names if name not in table.key]
    marked = rows.select(
        *table.key, *[F.col(name).alias(f"new_{name}") for name in values], F.lit(True).alias("_is_there")
    )
    wanted = marked if keys is None else keys.select(*table.key).distinct().join(marked, list(table.key), "left")
    return wanted.withColumnsRenamed({name: f"key_{name}" for name in table.key})


def _all(conditions: list[Column]) -> Column:
    return reduce(lambda both, condition: both & condition, conditions, F.lit(True))


def _is_same(column: Field) -> Column:
    """Whether a column has its new value already; maps have no order, so their text is compared."""
    old, new = F.col(column.name), F.col(f"new_{column.name}")
    is_map = column.type.startswith("map")
    return F.to_json(old).eqNullSafe(F.to_json(new)) if is_map else old.eqNullSafe(new)


def _absolute(location: str) -> str:
    return location if ":" in location else str(Path(location).absolute())
