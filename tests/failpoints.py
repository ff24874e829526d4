"""Ends a run at one of its steps, as if its driver were gone: nothing is caught, nothing is told, nothing cleaned up."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from crm_spark.core.events import Event, heard

Step = tuple[str, str, int]


class Died(BaseException):
    """Stands for a driver that is gone; no `except Exception` holds it up."""


class Steps:
    """Hears a run and keeps its steps: what, of which table, for the how many-th time."""

    def __init__(self) -> None:
        self.seen: list[Step] = []
        self._times: Counter[tuple[str, str]] = Counter()

    def __call__(self, event: Event) -> None:
        """Hear one step."""
        what = event.step, event.table or ""
        self._times[what] += 1
        self.seen.append((*what, self._times[what]))


@contextmanager
def dying_at(step: Step) -> Iterator[Callable[[], bool]]:
    """Let what runs inside die at a step; tells whether it did."""
    heard_so_far, hit = Steps(), list[Step]()

    def fail(event: Event) -> None:
        heard_so_far(event)
        if heard_so_far.seen[-1] == step:
            hit.append(step)
        if hit:  # in every thread
            raise Died

    with heard(fail), suppress(Died):
        yield lambda: bool(hit)
