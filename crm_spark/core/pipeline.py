"""The order of all jobs, from their contracts: who writes a table goes before who reads it."""

import importlib
import pkgutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from graphlib import CycleError, TopologicalSorter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from pyspark.cloudpickle import register_pickle_by_value

from crm_spark.core.errors import ConfigError, near
from crm_spark.core.job import Job


class Pipeline:
    """Jobs in the order in which they run."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        told = list(jobs)
        self.jobs = {job.name: job for job in told}
        doubled = [name for name, count in Counter(job.name for job in told).items() if count > 1]
        if doubled:
            raise ConfigError(f"several jobs are called {', '.join(doubled)}; give each a name of its own")
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


def discover(own: str | None = None) -> Pipeline:
    """Gather the jobs of the suite, and those of a folder of one's own.

    Parameters
    ----------
    own : str, optional
        A folder; each file in it is imported, as those of `jobs/` are.

    Raises
    ------
    ConfigError
        The folder is not there, a file in it cannot be imported, or its jobs do not fit beside the others.
    """
    root = importlib.import_module("crm_spark.jobs")
    shipped = pkgutil.iter_modules(root.__path__, f"{root.__name__}.")
    modules = [importlib.import_module(found.name) for found in shipped]
    if own is not None:
        if not Path(own).is_dir():
            raise ConfigError(f"own_jobs: there is no folder {own}")
        modules += [_imported(file) for file in sorted(Path(own).glob("*.py"))]
    jobs = [value for module in modules for value in vars(module).values() if isinstance(value, Job)]
    return Pipeline({id(job): job for job in jobs}.values())  # one that another file imports is the same


def _imported(file: Path) -> ModuleType:
    """Import a file that is on no path; its functions reach the workers with their code, not by its name."""
    spec = spec_from_file_location(f"own_jobs.{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"own_jobs: {file} is no Python file")
    module = module_from_spec(spec)
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"own_jobs: {file} cannot be imported: {type(error).__name__}: {error}") from error
    register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    return module
