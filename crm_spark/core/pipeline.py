"""The order of all jobs, from their contracts: who writes a table goes before who reads it."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from graphlib import CycleError, TopologicalSorter

from crm_spark.core.errors import ConfigError, near
from crm_spark.core.job import Job


class Pipeline:
    """Jobs in the order in which they run."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.jobs = {job.name: job for job in jobs}
        written = [(table.name, job.name) for job in self.jobs.values() for table in job.writes]
        self.makers = dict(written)
        shared = [f"{table} by {job} and {self.makers[table]}" for table, job in written if self.makers[table] != job]
        if shared:
            raise ConfigError.listing("a table is written by one job only", shared)
        try:
            self.order = list(TopologicalSorter({name: self.above(name) for name in self.jobs}).static_order())
        except CycleError as error:
            raise ConfigError(f"jobs wait for each other: {' -> '.join(error.args[1])}") from None

    def above(self, name: str) -> list[str]:
        """Jobs whose tables a job reads."""
        read = sorted(table.name for table in self.jobs[name].reads)
        return [self.makers[table] for table in read if self.makers.get(table, name) != name]

    def below(self, name: str) -> list[str]:
        """Jobs that read what a job writes."""
        return [other for other in self.jobs if name in self.above(other)]

    def choose(self, names: Iterable[str], upstream: bool = False, downstream: bool = False) -> list[Job]:
        """Give the named jobs (all where none is named) in order, with those above or below them.

        Raises
        ------
        ConfigError
            A name is no job's.
        """
        wanted = list(names)
        unknown = [f"no job is called '{name}'{near(name, self.jobs)}" for name in wanted if name not in self.jobs]
        if unknown:
            raise ConfigError("; ".join(unknown) + "; `crm list` shows all jobs")
        chosen = set(wanted or self.jobs)
        if upstream:
            chosen |= self._reach(wanted, self.above)
        if downstream:
            chosen |= self._reach(wanted, self.below)
        return [self.jobs[name] for name in self.order if name in chosen]

    def _reach(self, names: Iterable[str], step: Callable[[str], list[str]]) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            fresh = set(step(name)) - found
            found |= fresh
            waiting += fresh
        return found


def discover(package: str = "crm_spark.jobs") -> Pipeline:
    """Import every module of a package and gather the jobs in them."""
    root = importlib.import_module(package)
    modules = [importlib.import_module(f"{package}.{found.name}") for found in pkgutil.iter_modules(root.__path__)]
    return Pipeline(value for module in modules for value in vars(module).values() if isinstance(value, Job))
