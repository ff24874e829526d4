"""What can go wrong for a user, each with the exit code that the command line ends with.

Exit codes: 0 done, 2 bad usage or configuration, 3 the input breaks its contract, 4 a job failed,
5 the lake is busy, 130 stopped.
"""

import difflib
from collections.abc import Iterable
from typing import Self


class CrmError(Exception):
    """A fault that the user can mend; its message says how. Never holds a customer's value."""

    exit_code = 4

    @classmethod
    def listing(cls, subject: str, faults: Iterable[str]) -> Self:
        """One error that names every fault at once, a line each."""
        return cls("\n  ".join([f"{subject}:", *faults]))


class ConfigError(CrmError):
    """The configuration, a mapping or the command line is wrong."""

    exit_code = 2


class ContractError(CrmError):
    """A table or a DataFrame is not what its contract promises."""

    exit_code = 3


class QualityError(CrmError):
    """The data break a rule whose severity is `fail`."""

    exit_code = 3


class JobFailed(CrmError):
    """A job ended with an error of its own."""

    exit_code = 4


class LakeBusy(CrmError):
    """Another run writes to the lake."""

    exit_code = 5


INTERRUPTED = 130  # as a shell says it


def ending(error: BaseException) -> tuple[str, int]:
    """Say what a command tells of an error, and the exit code that it ends with."""
    if isinstance(error, CrmError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "stopped; the next run starts anew what was not finished", INTERRUPTED
    # Its text may hold a customer's value: it is shown only where it is asked for.
    return f"unexpected {type(error).__name__}; the same command with --debug shows where", CrmError.exit_code


def absent(names: Iterable[str], there: Iterable[str]) -> list[str]:
    """Say of each name that is not there that there is no such column, with a near one."""
    known = list(there)
    return [f"there is no column '{name}'{near(name, known)}" for name in names if name not in known]


def near(name: str, allowed: Iterable[str]) -> str:
    """Give the hint `; did you mean 'x'?` where an allowed name is near, else nothing."""
    names = list(allowed)
    begun = [known for known in names if known.startswith(name)]
    close = difflib.get_close_matches(name, names, n=1) or (begun if len(begun) == 1 else [])
    return f"; did you mean '{close[0]}'?" if close else ""
