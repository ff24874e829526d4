"""Do independent things side by side: while the driver plans one, the cluster works on another."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Outcome = TypeVar("Outcome")
AT_ONCE = 4  # a driver plans on few cores; more at once only wait for each other


def together(tasks: Sequence[Callable[[], Outcome]]) -> list[Outcome]:
    """Call functions that do not depend on each other, and give what they return, in their order.

    All of them are let finish; then the first error, in their order, is raised.
    """
    if len(tasks) < 2:
        return [task() for task in tasks]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        # The run id of the log lines is a context variable.
        pending = [threads.submit(copy_context().run, task) for task in tasks]
    return [done.result() for done in pending]
