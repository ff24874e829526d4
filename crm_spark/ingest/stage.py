"""All records of a batch with their outcomes, held once so that every table is written from the same pass."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from crm_spark.ingest import records, typed
from crm_spark.ingest.conform import Context, conform
from crm_spark.ingest.files import Inspected
from crm_spark.ingest.tables import CONFORMED, HISTORIES, cell_names

REFUSED = ["file", "position", "copy", "row_hash", "row_id", "raw", "refusal", "reason", "waits"]
BOUGHT = ["customer_id", "product_id"]
Raw = list[tuple[tuple[str, ...], DataFrame]]  # for each header the records of the files that have it


def stage(raw: Raw, context: Context, lookups: Mapping[str, DataFrame]) -> DataFrame:
    """Parse, look up, map and judge records.

    Parameters
    ----------
    raw : list of (header, DataFrame of `records.columns`)
        The records of the files that share a header.
    """
    parsed = [typed.parse(found, context.feed, header) for header, found in raw]
    whole = parsed[0]
    for part in parsed[1:]:
        whole = whole.unionByName(part)
    judged = conform(whole, context, lookups)
    # The text of what is loaded is needed no more: it would only fill memory.
    may_wait = is_return() if context.of_returns == "quarantine" else F.lit(False)
    return judged.withColumn("raw", F.when(F.col("reason").isNotNull() | may_wait, F.col("raw")))


def is_return() -> Column:
    """Whether a staged record brings back what was sold."""
    return F.col("order_lines_kind") == "return"


def of_files(spark: SparkSession, root: str, context: Context, files: Mapping[int, Inspected]) -> Raw:
    """The raw records of numbered files, gathered by header."""
    raw = []
    for header in sorted({file.header for file in files.values()}):
        chosen = [(number, file) for number, file in files.items() if file.header == header]
        raw.append((header, records.read(spark, root, context.feed, header, chosen, context.now)))
    declared = tuple(context.feed.columns)
    return raw or [(declared, spark.createDataFrame([], records.columns(context.feed, declared)))]


def of_quarantine(spark: SparkSession, quarantined: DataFrame, context: Context, files: Mapping[int, Inspected]) -> Raw:
    """Quarantined records as they were first read, gathered by header."""
    hashes = [(number, file.content) for number, file in files.items()]
    numbers = spark.createDataFrame(hashes, "file int, file_hash string")
    again = quarantined.join(F.broadcast(numbers), "file_hash")
    raw = []
    for header in sorted({file.header for file in files.values()}):
        has_header = F.col("header") == F.array(*[F.lit(name) for name in header])
        raw.append((header, records.again(again.where(has_header), context.feed, header, context.now)))
    return raw


def loaded(staged: DataFrame, table: str) -> DataFrame:
    """The rows that a staged batch brings to a table, with their place."""
    is_loaded = F.col("reason").isNull() & ~F.col("duplicate") & F.col(f"has_{table}")
    cells = [_cell(staged, table, name).alias(name) for name in cell_names(table)]
    return staged.where(is_loaded).select("file", "row_hash", *cells)


def _cell(staged: DataFrame, table: str, name: str) -> Column:
    """A column of a table's row: as the record tells it, else its own id for the row's, else nothing."""
    told, promised = f"{table}_{name}", HISTORIES.get(table, CONFORMED[table])
    if told in staged.columns:
        return F.col(told)
    return F.col("row_id") if name == promised.key[0] else F.lit(None).cast(promised[name].type)


@dataclass
class Counts:
    """What became of the records of a file; of those loaded how many warn and of what, of all what fails."""

    records: int = 0
    loaded: int = 0
    quarantined: int = 0
    duplicates: int = 0
    returns: int = 0
    warnings: Counter[str] = field(default_factory=Counter)
    fails: Counter[str] = field(default_factory=Counter)

    def add(self, kind: Row) -> None:
        """Count the records of one kind, as `count` groups them."""
        self.records += kind["count"]
        if kind["duplicate"]:
            self.duplicates += kind["count"]
            return
        self.fails.update(dict.fromkeys(_rules(kind["fails"]), kind["count"]))
        if kind["is_refused"]:
            self.quarantined += kind["count"]
            return
        self.loaded += kind["count"]
        self.returns += kind["count"] if kind["is_return"] else 0
        self.warnings.update(dict.fromkeys(_rules(kind["warnings"]), kind["count"]))


def count(staged: DataFrame, tables: Sequence[str]) -> dict[int, Counts]:
    """Count what becomes of the records of each file: one pass, from which a row for each kind of record comes back."""
    is_refused, has_return = F.col("reason").isNotNull(), is_return() if "order_lines" in tables else F.lit(False)
    kinds = staged.groupBy(
        "file", "duplicate", is_refused.alias("is_refused"), has_return.alias("is_return"), "warnings", "fails"
    )
    counts: dict[int, Counts] = defaultdict(Counts)
    for kind in kinds.count().collect():
        counts[kind["file"]].add(kind)
    return counts


def _rules(broken: str | None) -> list[str]:
    return broken.split("; ") if broken else []


def unsold(staged: DataFrame, sales: DataFrame) -> DataFrame:
    """Returns of what was never sold to that customer; who or what is unknown counts as sold.

    Parameters
    ----------
    sales : DataFrame
        `kind`, customer and product of all order lines.
    """
    returns = staged.where(is_return() & F.col("reason").isNull() & ~F.col("duplicate"))
    asked = returns.select(
        "file", "row_id", *[_cell(staged, "order_lines", name).alias(name) for name in BOUGHT]
    ).dropna()
    wanted = F.broadcast(asked.select(*BOUGHT).distinct())
    sold = sales.where(F.col("kind") == "sale").join(wanted, BOUGHT, "left_semi").select(*BOUGHT).distinct()
    return asked.join(sold, BOUGHT, "left_anti")


def awaiting(staged: DataFrame, flagged: DataFrame, reason: str) -> DataFrame:
    """Let the flagged records wait, for a reason."""
    marks = flagged.select("row_id", F.lit(True).alias("is_flagged"))
    marked = staged.join(marks, "row_id", "left").withColumns(
        {
            "waits": F.col("waits") | F.coalesce("is_flagged", F.lit(False)),
            "reason": F.coalesce("reason", F.when(F.col("is_flagged"), F.lit(reason))),
        }
    )
    return marked.drop("is_flagged")
