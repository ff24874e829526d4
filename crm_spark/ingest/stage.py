"""All records of a batch with their outcomes, held once so that every table is written from the same pass."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from crm_spark.ingest import records, typed
from crm_spark.ingest.conform import Context, conform
from crm_spark.ingest.files import Inspected
from crm_spark.ingest.tables import cell_names

REFUSED = ["file", "position", "copy", "row_hash", "row_id", "raw", "refusal", "reason", "waits"]
BOUGHT = ["customer_id", "product_id"]
Raw = list[tuple[tuple[str, ...], DataFrame]]  # for each header the records of the files that have it


def stage(raw: Raw, context: Context, lookups: Mapping[str, DataFrame]) -> DataFrame:
    """Parse, look up, map and judge records.

    Parameters
    ----------
    raw : list of (header, DataFrame of RECORDS)
        The records of the files that share a header.
    """
    parsed = [typed.parse(found, context.feed, header) for header, found in raw]
    whole = parsed[0]
    for part in parsed[1:]:
        whole = whole.unionByName(part)
    judged = spread(conform(whole, context, lookups), list(context.feed.tables))
    # The text of what is loaded is needed no more: it would only fill memory.
    may_wait = is_return() if context.of_returns == "quarantine" else F.lit(False)
    return judged.withColumn("raw", F.when(F.col("reason").isNotNull() | may_wait, F.col("raw")))


def spread(judged: DataFrame, tables: Sequence[str]) -> DataFrame:
    """Give every column of a table's row a column of its own: a pass that needs few of them reads few."""
    others = [name for name in judged.columns if name not in tables]
    there = [F.col(table).isNotNull().alias(f"has_{table}") for table in tables]
    cells = [F.col(table).getField(name).alias(f"{table}_{name}") for table in tables for name in cell_names(table)]
    return judged.select(*others, *there, *cells)


def is_return() -> Column:
    """Whether a staged record brings back what was sold."""
    return F.col("order_lines_kind") == "return"


def of_files(spark: SparkSession, root: str, context: Context, files: Mapping[int, Inspected]) -> Raw:
    """The raw records of numbered files, gathered by header."""
    raw = []
    for header in sorted({file.header for file in files.values()}):
        chosen = [(number, file) for number, file in files.items() if file.header == header]
        raw.append((header, records.read(spark, root, context.feed, chosen)))
    return raw or [(tuple(context.feed.columns), spark.createDataFrame([], records.RECORDS))]


def of_quarantine(spark: SparkSession, quarantined: DataFrame, files: Mapping[int, Inspected]) -> Raw:
    """Quarantined records as they were first read, gathered by header."""
    hashes = [(number, file.content) for number, file in files.items()]
    numbers = spark.createDataFrame(hashes, "file int, file_hash string")
    again = quarantined.join(F.broadcast(numbers), "file_hash")
    return [
        (header, records.again(again.where(F.col("header") == F.array(*[F.lit(name) for name in header]))))
        for header in sorted({file.header for file in files.values()})
    ]


def loaded(staged: DataFrame, table: str) -> DataFrame:
    """The rows that a staged batch brings to a table, with their place."""
    is_loaded = F.col("reason").isNull() & ~F.col("duplicate") & F.col(f"has_{table}")
    cells = [F.col(f"{table}_{name}").alias(name) for name in cell_names(table)]
    return staged.where(is_loaded).select("file", "row_hash", *cells)


def count(staged: DataFrame, tables: Sequence[str]) -> dict[int, Row]:
    """One row for each file: its records and what becomes of them."""
    is_refused = F.col("reason").isNotNull()
    is_loaded = ~is_refused & ~F.col("duplicate")
    has_return = is_return() if "order_lines" in tables else F.lit(False)
    counted = (
        staged.groupBy("file")
        .agg(
            F.count("*").alias("records"),
            F.count_if(is_loaded).alias("loaded"),
            F.count_if(is_refused).alias("quarantined"),
            F.count_if(F.col("duplicate")).alias("duplicates"),
            F.count_if(is_loaded & F.col("warnings").isNotNull()).alias("warned"),
            F.count_if(~F.col("duplicate") & F.col("fails").isNotNull()).alias("failing"),
            F.count_if(is_loaded & has_return).alias("returns"),
        )
        .collect()
    )
    return {row["file"]: row for row in counted}


def tally(staged: DataFrame, rules: str) -> dict[int, dict[str, int]]:
    """For each file how many records broke each rule of `warnings` or `fails`."""
    is_counted = ~F.col("duplicate") & (F.col("reason").isNull() | F.lit(rules == "fails"))
    broken = (
        staged.where(is_counted)
        .select("file", F.explode(F.split(rules, "; ")).alias("rule"))
        .groupBy("file", "rule")
        .count()
    )
    tallied: dict[int, dict[str, int]] = {}
    for row in broken.collect():
        tallied.setdefault(row["file"], {})[row["rule"]] = row["count"]
    return tallied


def unsold(staged: DataFrame, sales: DataFrame) -> DataFrame:
    """Returns of what was never sold to that customer; who or what is unknown counts as sold.

    Parameters
    ----------
    sales : DataFrame
        `kind`, customer and product of all order lines.
    """
    returns = staged.where(is_return() & F.col("reason").isNull() & ~F.col("duplicate"))
    asked = returns.select("file", "row_id", *[F.col(f"order_lines_{name}").alias(name) for name in BOUGHT]).dropna()
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
