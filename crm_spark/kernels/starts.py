"""Maximum likelihood from several starts: the best maximum, or which parameter runs where.

A likelihood that rises for ever towards 0 or infinity has Newton steps that never shrink: each is about 1 in the
logarithms, however flat the likelihood has become. At a maximum they vanish. That tells a boundary from a maximum.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crm_spark.kernels.likelihood import Derivatives, Estimate, Floats, maximise, nothing

STILL = 1e-3  # of a last step in logarithms: less is a maximum
FAR = 3.0  # in logarithms, from where the search began
HIGHER = 1e-6  # of a log-likelihood, in units of one observation: what is above that is higher


@dataclass
class _Search:
    """One search: its derivatives, and the highest point that it has seen."""

    derive: Callable[[Floats], Derivatives]
    value: float = -np.inf
    highest: Floats | None = None

    def __call__(self, parameters: Floats) -> Derivatives:
        # Far out sums of squares and quotients may leave the range of floats: the search steps back from there.
        with np.errstate(all="ignore"):
            told = self.derive(parameters)
        if told[0] > self.value:
            self.value, self.highest = told[0], parameters.copy()
        return told


def best(
    derive: Callable[[Floats], Derivatives], names: Sequence[str], starts: Sequence[Floats], observations: float
) -> Estimate:
    """Find the highest of the maxima that searches from several starts end in.

    Parameters
    ----------
    derive : callable
        Gives log-likelihood, gradient (k,) and Hessian (k, k) at parameters (k,).
    names : sequence of str
        Of the parameters.
    starts : sequence of (k,) arrays
        Positive; one that is not finite is passed over.
    observations : float
        How many there are.

    Returns
    -------
    Estimate
        Its reason says which parameter runs where, if the likelihood is highest at the edge.
    """
    maxima: list[Estimate] = []
    astray: list[tuple[float, str]] = []
    for start in starts:
        if not (np.isfinite(start) & (start > 0)).all():
            continue
        search = _Search(derive)
        found = maximise(search, names, start, observations)
        step = np.full(start.size, np.inf) if found.reason else _newton_step(derive, found.parameters)
        if np.abs(step).max() < STILL:
            maxima.append(found)
        elif search.highest is not None:
            astray.append((search.value, _where(names, search.highest, start, step, found.reason)))
    highest = max(maxima, key=lambda found: found.log_likelihood, default=None)
    farthest = max(astray, default=(-np.inf, "the likelihood has no maximum"))
    if highest is None or farthest[0] > highest.log_likelihood + HIGHER * observations:
        return nothing(len(names), farthest[1])
    return highest


def _newton_step(derive: Callable[[Floats], Derivatives], parameters: Floats) -> Floats:
    """How far Newton's method would still move the logarithms."""
    _, gradient, hessian = derive(parameters)
    by_log = gradient * parameters
    curved = hessian * np.outer(parameters, parameters) + np.diag(by_log)
    return np.asarray(np.linalg.lstsq(-curved, by_log)[0], dtype=np.float64)


def _where(names: Sequence[str], highest: Floats, start: Floats, step: Floats, reason: str | None) -> str:
    """A sentence: which parameters run where."""
    moved = np.log(highest / start)
    run = step if np.isfinite(step).all() else moved
    if np.abs(run).max() < (FAR if reason else STILL):
        return reason or "the likelihood has no maximum"
    runs = np.abs(run) > np.abs(run).max() / 3
    ends = [
        _listed([name for name, is_so in zip(names, runs & side, strict=True) if is_so]) + end
        for side, end in ((run < 0, " towards 0"), (run > 0, " towards infinity"))
        if (runs & side).any()
    ]
    return f"the likelihood has no maximum: it rises with {', and with '.join(ends)}"


def _listed(names: list[str]) -> str:
    return " and ".join([name for name in (", ".join(names[:-1]), names[-1]) if name])
