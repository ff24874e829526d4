"""Keep the accounts of one source: what is known of its files, and what became of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from crm_spark.ingest.accounts import ACCOUNTS, QUARANTINE
from crm_spark.ingest.plan import BEARS, Known, Row


@dataclass(frozen=True)
class Terms:
    """Under what a source is loaded: what changes the meaning of all its rows, or of its files' paths."""

    root: str
    currency: str
    zone: str


@dataclass(frozen=True)
class Books:
    """The accounts of one source."""

    lake: Lake
    source: str
    run_id: str
    terms: Terms

    def check_terms(self, is_moved: bool) -> None:
        """Refuse other terms than those under which the lake was loaded.

        Raises
        ------
        ConfigError
            Naming every difference.
        """
        rows = self.lake.current(ACCOUNTS).select("source", "root", "currency", "zone").distinct().collect()
        faults = differences([row.asDict() for row in rows], self.source, self.terms, is_moved)
        if faults:
            raise ConfigError("\n".join(faults))

    def known(self) -> Known:
        """Every file of the source that was ever seen, by feed and path."""
        mine = self.lake.current(ACCOUNTS).where(F.col("source") == self.source)
        known: Known = {}
        for row in mine.collect():
            known.setdefault(row["feed"], {})[row["path"]] = _with_zone(row.asDict())
        return known

    def next_batch(self) -> int:
        """A number above that of every batch before, of one that failed too: each wrote to the accounts."""
        return (self.lake.version(ACCOUNTS) or 0) + 1

    def open(self, rows: Sequence[Row], batch: int) -> None:
        """Write down, once, the first rows of files that were never seen."""
        if rows:
            self.lake.prepare(ACCOUNTS)
            self.lake.append(ACCOUNTS, self._told(rows), self.run_id, (f"open {self.source}", batch))

    def write(self, rows: Sequence[Row], forget: Sequence[tuple[str, str]] = ()) -> None:
        """Write rows and drop those of a (feed, path) that is forgotten, in one commit."""
        if not rows and not forget:
            return
        self.lake.prepare(ACCOUNTS)
        paths = [(self.source, feed, path) for feed, path in [*forget, *[(row["feed"], row["path"]) for row in rows]]]
        keys = self.lake.spark.createDataFrame(paths, "source string, feed string, path string") if forget else None
        self.lake.merge(ACCOUNTS, self._told(rows), self.run_id, keys=keys)

    def _told(self, rows: Sequence[Row]) -> DataFrame:
        told = {"source": self.source, "run_id": self.run_id, "at": datetime.now(UTC), **vars(self.terms)}
        values = [tuple({**row, **told}[name] for name in ACCOUNTS.names) for row in rows]
        return self.lake.spark.createDataFrame(values, ACCOUNTS.nullable_ddl)

    def recount(self, known: Known, hashes: Sequence[str]) -> list[Row]:
        """The rows of files whose quarantined records were taken up, with counts as they are now."""
        is_record = (F.col("source") == self.source) & (F.col("position") > 0)
        mine = self.lake.current(QUARANTINE).where(is_record)
        left = {row["file_hash"]: row["count"] for row in mine.groupBy("file_hash").count().collect()}
        rows = [row for feed in known.values() for row in feed.values() if row["file_hash"] in hashes]
        return [_recounted(row, left.get(row["file_hash"], 0)) for row in rows if row["status"] in BEARS]


def after(known: Known, rows: Sequence[Row], forgotten: Collection[tuple[str, str]]) -> Known:
    """What is known when `rows` were written and `forgotten` dropped."""
    kept = {feed: dict(files) for feed, files in known.items()}
    for feed, path in forgotten:
        kept.get(feed, {}).pop(path, None)
    for row in rows:
        kept.setdefault(row["feed"], {})[row["path"]] = row
    return kept


def differences(kept: Sequence[Mapping[str, str | None]], source: str, terms: Terms, is_moved: bool) -> list[str]:
    """Say how terms differ from those that stand in the accounts of all sources; a lake of old may name none."""
    faults = [
        f"the lake was loaded with {name} {old}, the configuration says {new}; "
        f"set `{name}: {old}`, or load into a new lake"
        for name, new in (("currency", terms.currency), ("zone", terms.zone))
        for old in sorted({row[name] for row in kept} - {None, new}, key=str)
    ]
    roots = {row["root"] for row in kept if row["source"] == source} - {None, terms.root}
    if roots and not is_moved:
        old = sorted(roots, key=str)[0]
        faults.append(
            f"{source} was loaded from {old}, not from {terms.root}, and its files are known by their paths there; "
            f"say `--from {old}`, or add `--moved` where that folder itself has moved"
        )
    return faults


def _recounted(row: Row, quarantined: int) -> Row:
    return {**row, "quarantined": quarantined, "loaded": row["records"] - row["duplicates"] - quarantined}


def _with_zone(row: Row) -> Row:
    """Spark hands a time without zone, on the clock of this process."""
    return {**row, "modified_at": row["modified_at"].astimezone(UTC)}
