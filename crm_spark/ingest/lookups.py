"""Look-up feeds: rows found by a declared key, of which the latest version speaks."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.lake import Lake
from crm_spark.ingest.accounts import LOOKUPS
from crm_spark.ingest.mapping import Feed, Source
from crm_spark.ingest.typed import sql_type

MOST_BYTES = 16_000_000  # in packed files; some ten times that in the memory of a worker


def read(known: DataFrame, source: Source, feeds: Sequence[str], size: int) -> dict[str, DataFrame]:
    """Give the rows of look-up feeds, typed, one for each key; small ones for a broadcast join.

    Parameters
    ----------
    known : DataFrame of LOOKUPS
    size : int
        Its bytes in files.
    """
    found = {name: _typed(_best(known, source, name), source.feeds[name]) for name in feeds}
    return {name: F.broadcast(rows) if size <= MOST_BYTES else rows for name, rows in found.items()}


def changed(lake: Lake, source: Source, feeds: Sequence[str], since: int | None) -> list[str]:
    """Name the look-up feeds of which a key has other values, or none, that had some at a version of LOOKUPS."""
    if since is None:
        return []
    before, after = lake.read(LOOKUPS, since), lake.current(LOOKUPS)
    return [name for name in feeds if _has_changed(_best(before, source, name), _best(after, source, name))]


def _has_changed(before: DataFrame, after: DataFrame) -> bool:
    old = before.select("row_key", F.col("fields_hash").alias("old_hash"))
    joined = after.join(old, "row_key", "full")
    is_other = F.col("old_hash").isNotNull() & ~F.col("old_hash").eqNullSafe(F.col("fields_hash"))
    return joined.where(is_other).limit(1).count() > 0


def _best(rows: DataFrame, source: Source, feed: str) -> DataFrame:
    """At one version, the larger hash speaks, never the later arrival."""
    mine = rows.where((F.col("source") == source.source) & (F.col("feed") == feed))
    order = F.struct("row_version", "fields_hash")
    return mine.groupBy("row_key").agg(
        F.max_by("fields", order).alias("fields"), F.max_by("fields_hash", order).alias("fields_hash")
    )


def _typed(rows: DataFrame, feed: Feed) -> DataFrame:
    named = ", ".join("`" + name.replace("`", "``") + "` " + sql_type(raw) for name, raw in feed.columns.items())
    return rows.select(F.from_json("fields", named).alias("it")).select("it.*")
