"""The promise of one table: its columns, its key, and which rows a run owns.

From a contract the lake creates the table, the runner checks what a job returns, the pipeline takes
its order, and the table dictionary is written. Nothing about a table is said a second time elsewhere.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from crm_spark.core.errors import ContractError, near

Owns = Literal["as_of", "table", "batch", "keys"]

NAME = re.compile(r"[a-z][a-z0-9_]*")
TYPE = re.compile(
    r"string|int|bigint|double|boolean|date|timestamp|binary|decimal\(\d+,\d+\)"
    r"|array<(string|int|bigint|double)>|map<string,(string|bigint|double)>"
)


@dataclass(frozen=True)
class Field:
    """One column: name, Spark SQL type, meaning, and what may stand in it.

    Parameters
    ----------
    unit : str, optional
        What one of it is: `day`, `money` (the lake's currency), `order`.
    nullable : bool, default False
        Whether the value may be missing.
    personal : bool, default False
        Whether the value tells something of one person; never in a message; on the page at most as
        the key of a few customers.
    """

    name: str
    type: str
    meaning: str
    unit: str | None = None
    nullable: bool = False
    personal: bool = False

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"a column's name is lower case with underscores, got '{self.name}'")
        if not TYPE.fullmatch(self.type):
            raise ValueError(f"{self.name}: type '{self.type}' is not one a contract may promise")

    @property
    def comment(self) -> str:
        """What the table itself says of the column: the meaning with its unit."""
        return f"{self.meaning} [{self.unit}]" if self.unit else self.meaning

    @property
    def ddl(self) -> str:
        """The column as Spark SQL declares it."""
        return f"{self.name} {self.type}" if self.nullable else f"{self.name} {self.type} NOT NULL"


@dataclass(frozen=True)
class Migration:
    """A named change of a loaded table that a nullable column alone cannot bring about.

    Parameters
    ----------
    version : int
        The version of the contract that it leads to.
    change : callable
        Makes the newer rows of the older ones, as they are on disk. A nullable column that a table on
        disk has not grown yet is not among the older ones, and need not be among the newer.
    """

    name: str
    version: int
    change: Callable[[DataFrame], DataFrame]


@dataclass(frozen=True)
class Table:
    """The contract of one table.

    Parameters
    ----------
    owns : {"as_of", "table", "batch", "keys"}
        Which rows one run owns, and with it how the lake writes them: replaces a day (its partition), replaces
        everything, appends once, or merges by key.
    key : sequence of str
        Columns that tell one row from every other.
    cluster_by : sequence of str, optional
        Columns by which files are laid out, so that reading a part reads few files; none where `as_of` does.
    skip_by : sequence of str, optional
        Columns beside those of `cluster_by` by whose values readers skip files. The least and the greatest
        value of each file stand in the table's log, so none of them is personal.
    changes : bool, default False
        Whether readers may ask for only what changed between two versions.
    version : int, default 1
        Rises by one when a nullable column is added, and with each migration.
    loaded : bool, default False
        Whether its rows cannot be computed anew from other tables: raw files or a log.
    migrations : sequence of Migration, optional
        How a loaded table gets to this version from older ones, in order. A table that is not loaded
        needs none: it is made anew.
    """

    name: str
    meaning: str
    owns: Owns
    key: Sequence[str]
    columns: Sequence[Field]
    cluster_by: Sequence[str] = ()
    skip_by: Sequence[str] = ()
    changes: bool = False
    version: int = 1
    loaded: bool = False
    migrations: Sequence[Migration] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"a table's name is lower case with underscores, got '{self.name}'")
        missing = [name for name in (*self.key, *self.cluster_by, *self.skip_by) if name not in self.names]
        if missing:
            raise ValueError(f"{self.name}: key, clustering or skipping names no column: {', '.join(missing)}")
        if self.owns == "as_of" and ("as_of" not in self.names or len(self.columns) == 1):
            raise ValueError(f"{self.name}: a table that owns its as_of needs that column and another")
        if self.partition_by and self.cluster_by:
            raise ValueError(f"{self.name}: a table that owns its as_of is laid out by it: it takes no cluster_by")
        told = [name for name in self.measured if self[name].personal]
        if told:
            raise ValueError(f"{self.name}: values of personal columns must not stand in the log: {', '.join(told)}")
        if self.migrations and not self.loaded:
            raise ValueError(f"{self.name}: a table that is not loaded is made anew, not migrated")
        steps = [1, *[migration.version for migration in self.migrations]]
        if steps[-1] > self.version or any(one >= next_ for one, next_ in pairwise(steps)):
            raise ValueError(f"{self.name}: versions of migrations must rise from 2 to {self.version} at most")

    @property
    def names(self) -> list[str]:
        """The columns' names, in order."""
        return [column.name for column in self.columns]

    @property
    def partition_by(self) -> list[str]:
        """Columns of which each value has files of its own: what a run replaces goes without a row being read."""
        return ["as_of"] if self.owns == "as_of" else []

    @property
    def measured(self) -> list[str]:
        """Columns whose least and greatest value is kept for each file."""
        return list(dict.fromkeys([*self.cluster_by, *self.skip_by]))

    @property
    def ddl(self) -> str:
        """The columns as one Spark SQL schema string."""
        return ", ".join(column.ddl for column in self.columns)

    @property
    def nullable_ddl(self) -> str:
        """The same with every column nullable: for rows on their way, before they are checked."""
        return self.types(self.names)

    def types(self, names: Iterable[str]) -> str:
        """Some of the columns the same way, in the order of `names`."""
        return ", ".join(f"{name} {self[name].type}" for name in names)

    def __getitem__(self, name: str) -> Field:
        """Return the column of that name."""
        return next(column for column in self.columns if column.name == name)

    def migrations_from(self, version: int) -> list[Migration]:
        """The migrations that a table of an older version has yet to go through, in order."""
        return [migration for migration in self.migrations if migration.version > version]

    def differences(self, schema: StructType) -> list[str]:
        """Every way in which a schema differs from the promise, a phrase each; empty where it fits.

        Whether columns may be null is not compared: a DataFrame rarely knows it. `nullability` does it.
        """
        found = {field.name: field.dataType.simpleString() for field in schema.fields}
        broken = [
            f"{column.name}: promised {column.type}, found {found.get(column.name, 'nothing')}"
            for column in self.columns
            if found.get(column.name) != column.type
        ]
        strangers = [name for name in found if name not in self.names]
        return broken + [f"{name}: not promised{near(name, self.names)}" for name in strangers]

    def nullability(self, schema: StructType) -> list[str]:
        """Every column of a table on disk of which it says otherwise whether values may be missing."""
        found = {field.name: field.nullable for field in schema.fields}
        words = {True: "values that may be missing", False: "a value in every row"}
        return [
            f"{column.name}: promised {words[column.nullable]}, the table says {words[not column.nullable]}"
            for column in self.columns
            if found.get(column.name, column.nullable) != column.nullable
        ]

    def conform(self, rows: DataFrame) -> DataFrame:
        """Give the rows with the columns in the promised order, or say all that differs.

        Raises
        ------
        ContractError
            A column is missing, of another type, or not promised.
        """
        broken = self.differences(rows.schema)
        if broken:
            raise ContractError.listing(f"{self.name} breaks its contract", broken)
        return rows.select(*self.names)

    def faults(self, rows: DataFrame) -> DataFrame:
        """Count what the values themselves break: one row (`fault`, `rows`) for each broken promise.

        One aggregate for missing values, one shuffle by key for rows that share a key.
        """
        required = [column.name for column in self.columns if not column.nullable]
        missing = rows.select(
            F.explode(
                F.array(
                    *[F.when(F.col(name).isNull(), F.lit(f"{name} is missing")) for name in required],
                    F.lit(None).cast("string"),
                )
            ).alias("fault")
        )
        repeated = rows.groupBy(*self.key).count().where(F.col("count") > 1)
        doubled = repeated.select(F.lit(f"several rows have one {', '.join(self.key)}").alias("fault"))
        found = missing.where(F.col("fault").isNotNull()).unionByName(doubled)
        return found.groupBy("fault").agg(F.count("*").alias("rows"))
