"""What a run does, step by step: progress, the run log and the tests' fail-points all hear the same events."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """A step of a run, or of its work on one table.

    Parameters
    ----------
    step : str
        Of a run: `looking` or `started`, then `done`, `skipped`, `failed` or, where nothing was begun, `refused`.
        Of a table: `writing` and, when it is committed, `written`; `creating` and `created`, and so on.
    told : mapping
        What the run log keeps of it.
    """

    step: str
    job: str
    table: str | None = None
    reason: str | None = None
    told: Mapping[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]

ENDS = ("done", "skipped", "failed", "refused")
_JOB: ContextVar[str] = ContextVar("job", default="-")
_LISTENERS: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


@contextmanager
def heard(*listeners: Listener, job: str | None = None) -> Iterator[None]:
    """Let listeners hear, after those that already do, what is told inside, in its threads too.

    An error that one of them raises goes to the run.
    """
    before = _LISTENERS.set((*_LISTENERS.get(), *listeners))
    doing = _JOB.set(job or _JOB.get())
    try:
        yield
    finally:
        _JOB.reset(doing)
        _LISTENERS.reset(before)


def tell(step: str, table: str | None = None, reason: str | None = None, **told: Any) -> None:
    """Tell all listeners of a step of the run at hand."""
    event = Event(step, _JOB.get(), table, reason, told)
    for listener in _LISTENERS.get():
        listener(event)
