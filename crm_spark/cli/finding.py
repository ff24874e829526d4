"""What an examination found: how it stands, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

from crm_spark.core.errors import ConfigError


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Parameters
    ----------
    code : int
        The exit code of the command where this is its first problem.
    """

    state: Literal["ok", "warning", "problem"]
    what: str
    said: str
    remedy: str | None = None
    code: int = 0


def ok(what: str, said: str) -> Finding:
    """Say that something is as it should be."""
    return Finding("ok", what, said)


def warning(what: str, said: str, remedy: str) -> Finding:
    """Say that something works but wants looking after."""
    return Finding("warning", what, said, remedy)


def problem(what: str, said: str, remedy: str, code: int = ConfigError.exit_code) -> Finding:
    """Say that something does not work."""
    return Finding("problem", what, said, remedy, code)
