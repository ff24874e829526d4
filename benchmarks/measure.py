"""Time a figure and its peer in turn, in one session, and hold their answers against each other."""

import json
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One line of the performance table."""

    name: str
    size: int
    seconds: float
    peer: str
    peer_seconds: float
    ratio: float
    peak_memory_mb: int
    goal: float
    met: bool

    def line(self) -> str:
        """Give the figure as one JSON object."""
        return json.dumps(asdict(self))


def compare(
    name: str, size: int, peer: str, goal: float, ours: Callable[[], Any], theirs: Callable[[], Any], runs: int = 3
) -> Figure:
    """Run both in turn, after one run of each that does not count; the ratio is the median of the pairs'.

    Raises
    ------
    ValueError
        The two gave different answers.
    """
    answers = ours(), theirs()
    if answers[0] != answers[1]:
        raise ValueError(f"{name}: ours gave {answers[0]}, the peer {answers[1]}")
    pairs = [(_timed(ours), _timed(theirs)) for _ in range(runs)]
    ratio = statistics.median(one / other for one, other in pairs)
    seconds, peer_seconds = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Figure(
        name, size, round(seconds, 2), peer, round(peer_seconds, 2), round(ratio, 2), _peak_mb(), goal, ratio <= goal
    )


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _peak_mb() -> int:
    """The largest process so far, of this one and those it waited for (the JVM counts when the session ends)."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) // 1024
