"""Rows with a natural key: of all versions that any file holds, the latest stands in the table.

Versions are ordered by the column that the mapping names, ties by the larger hash of the record, never by
arrival. What is outranked is kept in `superseded`: when its better is withdrawn, it comes back.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.contracts import Table

WHOLE_TIMES = {  # Spark's JSON would end a time at its milliseconds
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
}


def ranked(candidates: DataFrame, table: Table) -> DataFrame:
    """Number the versions of each row from 1, the one that stands; equal copies count once."""
    key = list(table.key)
    distinct = candidates.dropDuplicates([*key, "row_hash", "file_hash"])
    order = [F.desc_nulls_last("row_version"), F.desc("row_hash"), F.desc("file_hash")]
    return distinct.withColumn("rank", F.row_number().over(Window.partitionBy(*key).orderBy(*order)))


def packed(outranked: DataFrame, table: Table) -> DataFrame:
    """Rows of SUPERSEDED."""
    return outranked.select(
        F.lit(table.name).alias("table_name"),
        F.col(table.key[0]).alias("row_key"),
        "row_version",
        "row_hash",
        "file_hash",
        F.to_json(F.struct(*table.names), WHOLE_TIMES).alias("row"),
    )


def unpacked(superseded: DataFrame, table: Table) -> DataFrame:
    """Rows of a table that SUPERSEDED keeps."""
    rows = superseded.where(F.col("table_name") == table.name)
    return rows.select(F.from_json("row", table.nullable_ddl).alias("it")).select("it.*")


def of_files(hashes: Sequence[str]) -> Column:
    """Whether a row came with one of these files."""
    return F.col("file_hash").isin(list(hashes))
