"""Which files one run takes up: a batch left unfinished first, then what is new, replaced or stale.

A file is known by the hash of its uncompressed bytes. A path whose size and time are unchanged is not
read again; the same content under a second name is not loaded twice; a changed file waits for `--replace`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm_spark.ingest.files import Found, Inspected

Known = dict[str, dict[str, dict[str, Any]]]  # rows of the accounts by feed and path
Rows = Mapping[str, dict[str, Any]]
HOLDS = ("loaded", "changed", "stale")  # a file of such a status has rows in the tables


@dataclass(frozen=True)
class BatchFile:
    """A file of a feed, and the content that it takes the place of."""

    feed: str
    inspected: Inspected
    replaces: str | None = None

    @property
    def path(self) -> str:
        """Where it is, below the source's folder."""
        return self.inspected.found.path


@dataclass
class Plan:
    """What one run does with the files of a source."""

    batch: list[BatchFile] = field(default_factory=list)
    refused: list[BatchFile] = field(default_factory=list)
    repeated: list[BatchFile] = field(default_factory=list)
    changed: list[BatchFile] = field(default_factory=list)
    touched: list[BatchFile] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.batch or self.refused or self.repeated or self.changed or self.touched)


def to_inspect(found: Sequence[Found], known: Rows, replace: Collection[str], retry: bool) -> list[Found]:
    """Files that must be read to know what they are."""
    return [file for file in found if _is_in_doubt(file, known.get(file.path), replace, retry)]


def _is_in_doubt(file: Found, row: dict[str, Any] | None, replace: Collection[str], retry: bool) -> bool:
    if row is None or row["status"] == "stale" or file.path in replace:
        return True
    if row["status"] == "refused" and retry:
        return True
    return bool(file.bytes != row["bytes"] or file.modified_at != row["modified_at"])


def plan(made: Plan, feed: str, inspected: Sequence[Inspected], known: Rows, replace: Collection[str]) -> None:
    """Sort the inspected files of a feed into what is loaded, refused, repeated, changed or merely touched."""
    held = {row["file_hash"]: path for path, row in known.items() if row["status"] in HOLDS}
    for file in sorted(inspected, key=lambda seen: seen.found.path):
        path, row = file.found.path, known.get(file.found.path)
        loaded = row["file_hash"] if row is not None and row["status"] in (*HOLDS, "refused") else None
        is_held = row is not None and row["status"] in HOLDS
        is_other = is_held and file.content != loaded
        # A replacement that cannot be read leaves what was loaded in its place.
        if is_other and (path not in replace or file.refusal is not None):
            made.changed.append(BatchFile(feed, file))
        elif file.refusal is not None:
            made.refused.append(BatchFile(feed, file, loaded))
        elif is_held and not is_other and row is not None and row["status"] != "stale" and path not in replace:
            made.touched.append(BatchFile(feed, file))
        elif held.get(file.content, path) != path:
            made.repeated.append(BatchFile(feed, file, loaded))
        else:
            made.batch.append(BatchFile(feed, file, loaded))
            held[file.content] = path
