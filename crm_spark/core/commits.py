"""The newest commits of a table, and the files of a small one, read from Delta's log where that lies on this machine.

Delta answers the same by a job of Spark, which takes a tenth of a second or two; a daily run asks for commits some
thirty times, and for files at each scan of each table. What is relied on is Delta's protocol: the name of a commit's
file is its version, one of its lines is its provenance, and the checksum beside it may tell all of the table's files.

References
----------
Delta Transaction Log Protocol: "Delta Log Entries", "Commit Provenance Information", "Version Checksum File".
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

LOG = "_delta_log"
COMMIT = re.compile(r"(\d{20})\.json")
FEW = 32  # files that Spark lists itself; of more it makes a job
PATTERN = re.compile(r"[*?{}\[\]\\:]")  # what Hadoop would not take by its letters


@dataclass(frozen=True)
class Commit:
    """A version of a table, the run that made it (None where it told none), and Delta's counts of what it did."""

    version: int
    run_id: str | None
    metrics: Mapping[str, str]


@dataclass(frozen=True)
class Snapshot:
    """A version of a table with few files: where it lies, its schema as Delta writes it down, and the files."""

    folder: Path
    schema: Mapping[str, Any]
    files: Sequence[Path]


def version(table: Path) -> int | None:
    """Give the newest version of the table in a folder, None where there is none."""
    return max(_versions(table), default=None)


def newest(table: Path, most: int) -> list[Commit]:
    """Give the newest commits of the table in a folder, newest first."""
    return [_read(table, number) for number in sorted(_versions(table), reverse=True)[:most]]


def snapshot(table: Path, number: int) -> Snapshot | None:
    """Give a version of the table in a folder.

    None where its checksum does not tell it, where its files are not few or not there, or where Parquet alone does not
    read them right.
    """
    try:
        told = json.loads((table / LOG / f"{number:020}.crc").read_text(encoding="utf-8"))
        added, columns = told["allFiles"], json.loads(told["metadata"]["schemaString"])
        # Later versions of readers know rows that are deleted in their files, and columns of other names.
        is_plain = told["protocol"]["minReaderVersion"] == 1 and len(added) == told["numFiles"] <= FEW
    except (OSError, ValueError, KeyError, TypeError):
        return None
    files = [table / unquote(one["path"]) for one in added]
    in_folders = all(_folders(one) == [*one["partitionValues"].items()] for one in added)
    if not is_plain or not in_folders or PATTERN.search(str(table)) or not all(file.is_file() for file in files):
        return None
    return Snapshot(table, columns, files)


def _folders(added: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The partition that the path of a file tells."""
    return [tuple(folder.split("=", 1)) for folder in str(added["path"]).split("/")[:-1]]


def _versions(table: Path) -> list[int]:
    log = table / LOG
    named = [COMMIT.fullmatch(file.name) for file in log.iterdir()] if log.is_dir() else []
    return [int(name[1]) for name in named if name]


def _read(table: Path, number: int) -> Commit:
    text = (table / LOG / f"{number:020}.json").read_text(encoding="utf-8")
    # Not `splitlines`: an id may hold what Unicode takes for the end of a line.
    actions = [json.loads(line) for line in text.split("\n") if line.strip()]
    told = [action["commitInfo"] for action in actions if "commitInfo" in action]
    return commit({**(told[0] if told else {}), "version": number})


def commit(told: Mapping[str, Any]) -> Commit:
    """Make a commit of what Delta tells of it, in its log or as a row of its history."""
    return Commit(int(told["version"]), told.get("userMetadata"), told.get("operationMetrics") or {})
