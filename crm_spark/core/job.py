"""A job: a function from tables to tables, with its contracts declared. The runner does all around it."""

import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from pyspark.sql import DataFrame

from crm_spark import __version__
from crm_spark.core.config import Settings, shown
from crm_spark.core.contracts import Table
from crm_spark.core.sections import Section


@dataclass(frozen=True)
class Update:
    """What a job returns that computed only some keys anew: the keys, and the rows that they now have."""

    keys: DataFrame
    rows: DataFrame


@dataclass(frozen=True)
class Job:
    """A function with its contracts; called, it is the bare function.

    Parameters
    ----------
    reads, writes : sequence of Table
        The function takes a DataFrame for each parameter named after one of `reads`, and returns one
        for each of `writes`, in that order.
    follows : Table, optional
        The table of `reads` whose changes since the job's last run it takes as `changed`; None is
        handed over where everything must be computed.
    sections : sequence of callables
        Each makes a section of the page from tables, named by its parameters.
    spark : mapping, optional
        Settings of Spark while the job runs, beside those of its session.
    """

    function: Callable[..., Any]
    reads: Sequence[Table]
    writes: Sequence[Table]
    follows: Table | None = None
    sections: Sequence[Callable[..., Section]] = ()
    spark: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *tables: Any, **named: Any) -> Any:
        """Call the bare function."""
        return self.function(*tables, **named)

    @property
    def name(self) -> str:
        """What the job is called, as the table that it makes."""
        return self.function.__name__

    @property
    def meaning(self) -> str:
        """The first line of its module's docstring."""
        return (inspect.getmodule(self.function).__doc__ or "").split("\n")[0]

    @property
    def config(self) -> type[Settings]:
        """The class of its settings."""
        told = inspect.signature(self.function).parameters.get("config")
        return told.annotation if told is not None else Settings

    @property
    def tables(self) -> dict[str, Table]:
        """Every table it reads or writes, by name."""
        return {table.name: table for table in (*self.reads, *self.writes)}

    def fingerprint(self, config: Settings) -> str:
        """Hash the code of its module and of the domains it calls, with its settings but the day and secrets."""
        settings = json.dumps(shown(config), sort_keys=True)
        return fingerprint(sys.modules[self.function.__module__], settings)

    def run(self) -> None:
        """Run as a program: `spark-submit jobs/NAME.py --lake … --as-of …`; ends the process."""
        from crm_spark.core.entry import main  # noqa: PLC0415 - the entry knows the runner, which knows jobs

        sys.exit(main(self))


def job(
    reads: Sequence[Table],
    writes: Sequence[Table],
    follows: Table | None = None,
    sections: Sequence[Callable[..., Section]] = (),
    spark: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Any]], Job]:
    """Make a job of a function.

    Raises
    ------
    ValueError
        A parameter names no table of `reads`, `follows` is not one of them, or a table of `writes` is one that only
        ingestion adds to.
    """

    def decorate(function: Callable[..., Any]) -> Job:
        allowed = {*(table.name for table in reads), "config", *(["changed"] if follows else [])}
        strangers = set(inspect.signature(function).parameters) - allowed
        if strangers:
            raise ValueError(f"{function.__name__}: no table of its reads is named {', '.join(sorted(strangers))}")
        if follows is not None and follows not in reads:
            raise ValueError(f"{function.__name__}: follows {follows.name}, which it does not read")
        added_to = [table.name for table in writes if table.owns == "batch"]
        if added_to:
            raise ValueError(f"{function.__name__}: {', '.join(added_to)} owns a batch, which only ingestion adds to")
        return Job(function, tuple(reads), tuple(writes), follows, tuple(sections), dict(spark or {}))

    return decorate


def fingerprint(module: ModuleType, settings: str) -> str:
    """Hash the code of a module and of the domains it calls, with what it is told."""
    modules = _modules(module, {})
    code = [inspect.getsource(called) for _, called in sorted(modules.items())]
    return hashlib.sha256("\n".join([__version__, settings, *code]).encode()).hexdigest()[:16]


def _name(module: ModuleType) -> str:
    """The module's name; of a file that runs as a program, what it is called when imported."""
    return f"crm_spark.jobs.{Path(module.__file__ or '').stem}" if module.__name__ == "__main__" else module.__name__


def _modules(module: ModuleType, found: dict[str, ModuleType]) -> dict[str, ModuleType]:
    """Collect a module and the domain modules that it names, and they in turn; `core` is the platform."""
    found[_name(module)] = module
    for value in vars(module).values():
        named = value if inspect.ismodule(value) else sys.modules.get(getattr(value, "__module__", None) or "")
        if named is None or named.__name__ in found or named.__name__.startswith("crm_spark.core"):
            continue
        if named.__name__.startswith("crm_spark."):
            _modules(named, found)
    return found
