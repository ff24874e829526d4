"""Where the tables are: a folder or bucket URI, or a catalog schema. The only module that knows Delta.

Each way of writing is idempotent: a run that died is run again and ends the same.

| a run owns      | written by        | the second time            |
|-----------------|-------------------|----------------------------|
| one `as_of`     | `replace_as_of`   | the same rows              |
| the whole table | `overwrite`       | the same rows              |
| one batch       | `append`          | nothing is added           |
| keys            | `merge`           | nothing that equals is touched |
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial, reduce
from pathlib import Path

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.core.errors import ContractError, LakeBusy
from crm_spark.core.pruning import spans, within
from crm_spark.core.together import together

SCHEMA = re.compile(r"\w+\.\w+")
VERSION_PROPERTY = "crm.contract.version"
DEFAULT_KEEP_HOURS, LEAST_LOG_HOURS = 7 * 24, 30 * 24  # as Delta itself keeps files and log


@dataclass(frozen=True)
class Growth:
    """How a table on disk stands to its contract."""

    exists: bool
    added: list[str] = field(default_factory=list)


class Lake:
    """The tables of one lake, by their contracts.

    Parameters
    ----------
    spark : SparkSession
    location : str
        A folder or URI (`./lake`, `s3a://bucket/crm`) or a catalog schema (`main.crm`).
    """

    def __init__(self, spark: SparkSession, location: str) -> None:
        self.spark = spark
        self.location = location.rstrip("/")
        self.is_schema = SCHEMA.fullmatch(self.location) is not None
        self._ready: set[str] = set()
        self._made: set[str] = set()
        self._written: set[str] = set()

    # -- names and state

    def name(self, table: Table) -> str:
        """Name a table as Spark SQL does."""
        if self.is_schema:
            return ".".join(f"`{part}`" for part in [*self.location.split("."), table.name])
        return f"delta.`{_absolute(self.location)}/{table.name}`"

    def version(self, table: Table) -> int | None:
        """Give the newest version of a table, None where it is not there."""
        try:
            newest = self._sql("DESCRIBE HISTORY {table} LIMIT 1", table).select("version").collect()
            return int(newest[0][0])
        except AnalysisException as error:
            if _is_absent(error):
                return None
            raise

    def history(self, table: Table, most: int = 20) -> list[Row]:
        """Give the newest versions of a table, newest first, with what wrote them."""
        return self._sql(f"DESCRIBE HISTORY {{table}} LIMIT {int(most)}", table).collect()

    def size(self, table: Table) -> tuple[int, int]:
        """Give the number of files of the newest version, and their bytes; of a table that is not there none."""
        try:
            detail = self._sql("DESCRIBE DETAIL {table}", table).select("numFiles", "sizeInBytes").collect()[0]
        except AnalysisException as error:
            if _is_absent(error):
                return 0, 0
            raise
        return int(detail[0]), int(detail[1])

    def growth(self, table: Table) -> Growth:
        """Hold a table on disk against its contract.

        Raises
        ------
        ContractError
            It differs by more than new nullable columns.
        """
        try:
            schema = self.spark.read.table(self.name(table)).schema
        except AnalysisException as error:
            if _is_absent(error):
                return Growth(exists=False)
            raise
        found = {column.name for column in schema.fields}
        added = [column.name for column in table.columns if column.nullable and column.name not in found]
        broken = [fault for fault in table.differences(schema) if fault.split(":")[0] not in added]
        if broken:
            # A contract does not know who fills its table.
            remedy = "the migration that CHANGELOG.md names" if table.loaded else f"`crm rebuild {table.name}`"
            raise ContractError.listing(
                f"{table.name} on disk is not what its contract promises; mend it by {remedy}", broken
            )
        return Growth(exists=True, added=added)

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
        try:
            rows = self.spark.read.table(self.name(table))
            return _grown(rows, table)
        except AnalysisException as error:
            if _is_absent(error):
                return self.read(table, None)
            raise

    def read(self, table: Table, version: int | None) -> DataFrame:
        """Read a table as it was at a version; without one, no rows of the promised columns."""
        if version is None:
            return self.spark.createDataFrame([], table.nullable_ddl)
        rows = self.spark.read.option("versionAsOf", version).table(self.name(table))
        return _grown(rows, table)

    def changes(self, table: Table, since: int, until: int) -> DataFrame | None:
        """Read the rows that came or went after version `since`, up to version `until`.

        Returns
        -------
        DataFrame or None
            The promised columns and `_change_type`; None where these versions can no longer be read.
        """
        reader = self.spark.read.option("readChangeFeed", "true")
        try:
            rows = (
                reader.option("startingVersion", since + 1)
                .option("endingVersion", until)
                .table(self.name(table))
                .select(*table.names, "_change_type")
            )
            rows.limit(1).collect()
        except Exception as error:
            if _is_unreadable(error):
                return None
            raise
        return rows

    # -- writing

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
            self._made.add(table.name)
        elif state.added:
            self._grow(table, state.added)
        self._ready.add(table.name)

    def replace_as_of(self, table: Table, rows: DataFrame, as_of: date, run_id: str) -> None:
        """Replace the rows of one `as_of`."""
        self._overwrite(table, rows, F.col("as_of") == F.lit(as_of), run_id)

    def overwrite(self, table: Table, rows: DataFrame, run_id: str) -> None:
        """Replace the whole table."""
        self._overwrite(table, rows, F.lit(True), run_id)

    def append(self, table: Table, rows: DataFrame, run_id: str, transaction: tuple[str, int]) -> None:
        """Add rows once.

        Parameters
        ----------
        transaction : (str, int)
            Who writes, and a counter that only rises for that writer and table: the same pair adds
            nothing a second time. Delta drops a lower number silently, so a hash must never be one.
        """
        writer = rows.writeTo(self.name(table)).option("userMetadata", run_id)
        writer = writer.option("txnAppId", transaction[0]).option("txnVersion", str(transaction[1]))
        self._write(table, writer.append)

    def merge(self, table: Table, rows: DataFrame, run_id: str, keys: DataFrame | None = None) -> None:
        """Make the rows of some keys what they should be; touch nothing that already is.

        Parameters
        ----------
        rows : DataFrame
            The promised columns, one row for each key.
        keys : DataFrame, optional
            Keys whose rows are replaced: those that `rows` lacks are deleted. Default: those of `rows`.
        """
        if table.name in self._made:
            # It was made for these rows: there is nothing to hold them against.
            first = rows.select(*table.names).writeTo(self.name(table)).option("userMetadata", run_id)
            self._write(table, first.append)
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
        self._note(run_id)
        self._write(table, writer.whenNotMatched(F.col("_is_there")).insert(insert).merge)

    def delete(self, table: Table, keys: DataFrame, run_id: str) -> None:
        """Delete the rows that share the values of `keys`, whose columns are some of the table's."""
        values = keys.distinct().select([F.col(name).alias(f"key_{name}") for name in keys.columns])
        is_named = _all([F.col(name) == F.col(f"key_{name}") for name in keys.columns])
        self._note(run_id)
        self._write(table, values.mergeInto(self.name(table), is_named).whenMatched().delete().merge)

    # -- upkeep

    def compact(self, table: Table) -> None:
        """Gather small files, laid out by the clustering columns."""
        self._write(table, lambda: self._sql("OPTIMIZE {table}", table).collect())

    def vacuum(self, table: Table, keep_hours: int) -> None:
        """Remove files that no version of the last `keep_hours` needs.

        Delta heeds the table's property and, silently, no RETAIN in the statement.
        """
        wanted = _retention(keep_hours)
        found = self._sql("DESCRIBE DETAIL {table}", table).select("properties").collect()[0][0]
        if not wanted.items() <= {**_retention(DEFAULT_KEEP_HOURS), **found}.items():
            listed = ", ".join(f"{_literal(name)} = {_literal(value)}" for name, value in wanted.items())
            self._sql("ALTER TABLE {table} SET TBLPROPERTIES " + f"({listed})", table)
        _guarded(table, lambda: self._sql("VACUUM {table}", table).collect())

    def drop(self, table: Table, run_id: str) -> None:
        """Forget a derived table's rows and shape, so that the next run makes it anew."""
        columns = ", ".join(_declared(column) for column in table.columns)
        self._note(run_id)
        # CREATE OR REPLACE leaves a table that is known by its path as it is, silently.
        self._sql("REPLACE TABLE {table} " + f"({columns}) " + _properties(table), table)

    # -- inside

    def _fault(self, table: Table) -> str | None:
        try:
            state = self.growth(table)
        except ContractError as error:
            return str(error)
        if state.exists and not state.added:
            self._ready.add(table.name)
        return None

    def _write(self, table: Table, write: Callable[[], object]) -> None:
        _guarded(table, write)
        self._made.discard(table.name)
        self._written.add(table.name)

    def _sql(self, statement: str, table: Table) -> DataFrame:
        """Run a statement about one table. All that stands in it comes from a contract, quoted."""
        return self.spark.sql(statement.replace("{table}", self.name(table)))

    def _create(self, table: Table) -> None:
        columns = ", ".join(_declared(column) for column in table.columns)
        self._sql("CREATE TABLE IF NOT EXISTS {table} " + f"({columns}) " + _properties(table), table)

    def _grow(self, table: Table, added: list[str]) -> None:
        columns = ", ".join(_declared(table[name]) for name in added)
        self._sql("ALTER TABLE {table} ADD COLUMNS " + f"({columns})", table)
        self._sql("ALTER TABLE {table} SET TBLPROPERTIES " + f"('{VERSION_PROPERTY}' = '{table.version}')", table)

    def _overwrite(self, table: Table, rows: DataFrame, where: Column, run_id: str) -> None:
        writer = rows.writeTo(self.name(table)).option("userMetadata", run_id)
        self._write(table, lambda: writer.overwrite(where))

    def _note(self, run_id: str) -> None:
        """Write the run id into the history of the next merge, which takes no option for it."""
        self.spark.conf.set("spark.databricks.delta.commitInfo.userMetadata", run_id)

    def _pruned(self, table: Table, source: DataFrame) -> Column:
        """Name the spans of clustering values that a merge touches, so that it opens no other file."""
        clustering = [name for name in table.cluster_by if name in table.key and not table[name].personal]
        if not clustering:
            return F.lit(True)
        name = clustering[0]
        touched = spans(source.select(f"key_{name}"), f"key_{name}")
        return F.lit(True) if touched is None else within(F.col(name), touched)


def _grown(rows: DataFrame, table: Table) -> DataFrame:
    """The promised columns; one that the table on disk does not have yet is null."""
    found = rows.columns
    absent = [column for column in table.columns if column.name not in found]
    return rows.withColumns({column.name: F.lit(None).cast(column.type) for column in absent}).select(*table.names)


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


def _declared(column: Field) -> str:
    return f"{column.ddl} COMMENT {_literal(column.comment)}"


def _properties(table: Table) -> str:
    properties = {
        VERSION_PROPERTY: str(table.version),
        "delta.enableChangeDataFeed": str(table.changes).lower(),
    }
    listed = ", ".join(f"{_literal(name)} = {_literal(value)}" for name, value in properties.items())
    clustered = f"CLUSTER BY ({', '.join(table.cluster_by)}) " if table.cluster_by else ""
    return f"USING delta {clustered}COMMENT {_literal(table.meaning)} TBLPROPERTIES ({listed})"


def _retention(keep_hours: int) -> dict[str, str]:
    """The properties that keep a table's old versions readable."""
    return {
        "delta.deletedFileRetentionDuration": f"interval {int(keep_hours)} hours",
        "delta.logRetentionDuration": f"interval {max(int(keep_hours), LEAST_LOG_HOURS)} hours",
    }


def _literal(text: str) -> str:
    """Quote a contract's text: Spark's parser takes no parameters in these statements under Delta's."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _absolute(location: str) -> str:
    return location if ":" in location else str(Path(location).absolute())


def _guarded(table: Table, write: Callable[[], object]) -> None:
    """Run a write; tell a broken promise and a rival by name. Delta's own text names columns, no values."""
    try:
        write()
    except Exception as error:
        text = str(error)
        missing = re.search(r"NOT NULL constraint violated for column: (\w+)", text)
        if missing:
            broken = [f"{missing[1]}: promised a value in every row, found rows without"]
            raise ContractError.listing(f"{table.name} breaks its contract", broken) from None
        if re.search(r"DELTA_CONCURRENT_|Concurrent\w+Exception", text):
            raise LakeBusy(f"{table.name}: another run wrote to it meanwhile; run again when it is done") from None
        raise


def _is_absent(error: AnalysisException) -> bool:
    return bool(
        re.search(
            r"DELTA_TABLE_ONLY_OPERATION|DELTA_MISSING_DELTA_TABLE|TABLE_OR_VIEW_NOT_FOUND|SCHEMA_NOT_FOUND|PATH_NOT_FOUND|DELTA_PATH_DOES_NOT_EXIST|DELTA_TABLE_NOT_FOUND",
            str(error),
        )
    )


def _is_unreadable(error: Exception) -> bool:
    return bool(re.search(r"DELTA_|FileNotFound|FILE_NOT_EXIST|FAILED_READ_FILE|VersionNotFound", str(error)))
