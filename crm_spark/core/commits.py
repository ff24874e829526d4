"""The newest commits of a table, read from Delta's log where that lies on this machine.

Delta answers the same by a job of Spark for one small file, which takes a tenth of a second or two; a daily run asks
some thirty times. What is relied on is Delta's protocol: the name of a commit's file is its version, and one of its
lines is its provenance.

References
----------
Delta Transaction Log Protocol: "Delta Log Entries", "Commit Provenance Information".
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOG = "_delta_log"
COMMIT = re.compile(r"(\d{20})\.json")


@dataclass(frozen=True)
class Commit:
    """A version of a table, the run that made it (None where it told none), and Delta's counts of what it did."""

    version: int
    run_id: str | None
    metrics: Mapping[str, str]


def version(table: Path) -> int | None:
    """Give the newest version of the table in a folder, None where there is none."""
    return max(_versions(table), default=None)


def newest(table: Path, most: int) -> list[Commit]:
    """Give the newest commits of the table in a folder, newest first."""
    return [_read(table, number) for number in sorted(_versions(table), reverse=True)[:most]]


def _versions(table: Path) -> list[int]:
    log = table / LOG
    named = [COMMIT.fullmatch(file.name) for file in log.iterdir()] if log.is_dir() else []
    return [int(name[1]) for name in named if name]


def _read(table: Path, number: int) -> Commit:
    lines = (table / LOG / f"{number:020}.json").read_text(encoding="utf-8").splitlines()
    told = [action["commitInfo"] for action in map(json.loads, lines) if "commitInfo" in action]
    return commit({**(told[0] if told else {}), "version": number})


def commit(told: Mapping[str, Any]) -> Commit:
    """Make a commit of what Delta tells of it, in its log or as a row of its history."""
    return Commit(int(told["version"]), told.get("userMetadata"), told.get("operationMetrics") or {})
