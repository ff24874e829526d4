"""Time a figure and its peer in turn, in one session, and hold their answers against each other."""

import json
import operator
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
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


def compare(  # noqa: PLR0913, PLR0917 - what a figure is, and how it is measured
    name: str,
    size: int,
    peer: str,
    goal: float,
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    runs: int = 3,
    agree: Callable[[Any, Any], bool] = operator.eq,
) -> Figure:
    """Run both in turn, after one run of each that does not count; the ratio is the median of the pairs'.

    Raises
    ------
    ValueError
        The two gave different answers.
    """
    answers = ours(), theirs()
    if not agree(*answers):
        raise ValueError(f"{name}: ours gave {answers[0]}, the peer {answers[1]}")
    pairs = [(timed(ours), timed(theirs)) for _ in range(runs)]
    ratio = statistics.median(one / other for one, other in pairs)
    seconds, peer_seconds = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Figure(
        name, size, round(seconds, 2), peer, round(peer_seconds, 2), round(ratio, 3), peak_mb(), goal, ratio <= goal
    )


def timed(work: Callable[[], Any]) -> float:
    """Give the seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak_mb() -> int:
    """The most memory that this process, its JVM and their Python workers ever held, each at its own peak."""
    return sum(peak for _, peak in _peaks())


def worker_mb() -> int:
    """The most memory that any one Python worker that is still there ever held."""
    return max((peak for name, peak in _peaks()[1:] if "java" not in name), default=0)


def _peaks() -> list[tuple[str, int]]:
    """The name of this process and of each below it, with the most megabytes that it ever held."""
    below: dict[int, list[int]] = {}
    peaks: dict[int, tuple[str, int]] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            told = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:  # it ended meanwhile
            continue
        number = int(status.parent.name)
        below.setdefault(int(told["PPid"]), []).append(number)
        peaks[number] = told["Name"].strip(), int(told.get("VmHWM", "0 kB").split()[0]) // 1024
    tree = [os.getpid()]
    for number in tree:
        tree += below.get(number, [])
    return [peaks[number] for number in tree if number in peaks]
