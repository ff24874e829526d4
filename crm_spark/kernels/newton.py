"""Newton's method on many small problems side by side, with derivatives by differences.

Each problem has its own damping, and leaves once it is solved: what is found for one does not depend on the others.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels import elimination
from crm_spark.kernels.elimination import Entry, Lower
from crm_spark.kernels.likelihood import Flags, Floats

Value = Callable[[Floats, NDArray[np.int64]], Floats]  # at points (k, s, m) of m problems, given by number: (s, m)

STEP = 2.0**-11  # of differences
FARTHEST = 1.0  # that one step goes in any parameter
TAIL = 3.0  # beyond which a parameter that leads outwards is on its way to the edge
LEAP = 2.0  # that it goes there at least
EDGE = 9.0  # of all parameters
ENOUGH = 1e-7  # what a last step may still gain: then parameters are off by a ten-thousandth of their standard errors
ROUGHLY = 1e-3  # the same where values are but compared
FLAT = 1e-3  # a gradient, where steps are damped
LIMIT = 60  # of steps
GENEROUS = 4.0  # times what a step seems to gain: what may be gained at all
FIRST_DAMPING = 1e-2  # in units of the greatest curvature


@dataclass(frozen=True)
class Minima:
    """What the searches ended in.

    Parameters
    ----------
    at : (k, n) array
    is_found : (n,) array of bool
        Whether the search ended where nothing is left to gain.
    steps : (n,) array of int
    """

    at: Floats
    is_found: Flags
    steps: NDArray[np.int64]


def minimise(
    value: Value, start: Floats, limit: int = LIMIT, enough: float = ENOUGH, target: Floats | None = None
) -> Minima:
    """Find minima of n functions of k parameters.

    Parameters
    ----------
    value : callable
        Infinite where a function has no value.
    start : (k, n) array
    limit : int
        Of steps.
    enough : float
        What a last step may still gain.
    target : (n,) array, optional
        Below which a minimum is of use: a search that seems far from leading there is given up.
    """
    k, n = start.shape
    at, is_found, steps = start.copy(), np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64)
    if k == 0 or n == 0:
        return Minima(at, ~is_found, steps)
    rows = np.arange(n)
    f, gradient, hessian = derive(value, at, rows)
    damping = np.zeros(n)
    for _ in range(limit):
        step, damping, gain = _step(gradient, hessian, damping, at[:, rows])
        there = np.clip(at[:, rows] + step, -EDGE, EDGE)
        is_lost = ~(np.isfinite(f) & np.isfinite(gain))
        if target is not None:
            is_lost |= (damping == 0) & (f - GENEROUS * gain > target[rows])
        # Under damping every step is short: then the gradient tells.
        is_there = np.where(damping == 0, gain < enough, np.abs(gradient).max(axis=0) < FLAT)
        done = is_lost | is_there
        steps[rows] += 1
        at[:, rows[done]] = np.where(is_lost[done], at[:, rows[done]], there[:, done])
        is_found[rows[done]] = ~is_lost[done]
        left = ~done
        rows, there, damping = rows[left], there[:, left], damping[left]
        f, gradient, hessian = f[left], gradient[:, left], hessian[:, :, left]
        if rows.size == 0:
            break
        f_there, gradient_there, hessian_there = derive(value, there, rows)
        is_lower = f_there <= f + enough / 10
        at[:, rows] = np.where(is_lower, there, at[:, rows])
        f = np.where(is_lower, f_there, f)
        gradient, hessian = np.where(is_lower, gradient_there, gradient), np.where(is_lower, hessian_there, hessian)
        curvature = np.abs(hessian[np.arange(k), np.arange(k)]).max(axis=0)
        raised = np.maximum(damping * 8, FIRST_DAMPING * curvature)
        lowered = np.where(damping < FIRST_DAMPING * curvature, 0.0, damping / 8)
        damping = np.where(is_lower, lowered, raised)
    return Minima(at, is_found, steps)


def derive(value: Value, at: Floats, rows: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Give values (n,), gradients (k, n) and Hessians (k, k, n)."""
    k, n = at.shape
    first, second = np.triu_indices(k, 1)
    eye = np.eye(k)
    ways = np.concatenate([np.zeros((1, k)), eye, -eye, eye[first] + eye[second]]) * STEP
    f = value(at[:, None] + ways.T[:, :, None], rows)
    f_0, up, down, both = f[0], f[1 : k + 1], f[k + 1 : 2 * k + 1], f[2 * k + 1 :]
    hessian = np.empty((k, k, n))
    hessian[np.arange(k), np.arange(k)] = (up - 2 * f_0 + down) / STEP**2
    hessian[first, second] = hessian[second, first] = (both - up[first] - up[second] + f_0) / STEP**2
    return f_0, (up - down) / (2 * STEP), hessian


def _step(gradient: Floats, hessian: Floats, damping: Floats, at: Floats) -> tuple[Floats, Floats, Floats]:
    """The damped step, the damping that it took, and what it gains if the function is as its derivatives say."""
    k = len(gradient)
    # A parameter at its edge stays there if it would leave it.
    is_stuck = (np.abs(at) >= EDGE) & (at * gradient < 0)
    gradient = np.where(is_stuck, 0.0, gradient)
    diagonal = hessian[np.arange(k), np.arange(k)]
    least = 1e-10 + 1e-7 * np.abs(diagonal).max(axis=0)
    damping = damping.copy()
    while True:
        rows: Lower = [[hessian[i, j] for j in range(i)] + [hessian[i, i] + damping] for i in range(k)]
        lower, pivots = elimination.factor(rows)
        is_bad = ~(np.min(pivots, axis=0) > least) & np.isfinite(diagonal).all(axis=0)
        if not is_bad.any():
            break
        raised = np.maximum(damping * 4, 0.1 * np.abs(hessian).max(axis=(0, 1)) + least)
        damping = np.where(is_bad, raised, damping)
    right: list[Entry] = list(-gradient)
    step = np.stack([entry for entry in elimination.solve(lower, pivots, right) if entry is not None])
    step = np.where(is_stuck, 0.0, step)
    gain = -(gradient * step).sum(axis=0) / 2
    longest = np.abs(step).max(axis=0)
    step = step * np.minimum(1.0, FARTHEST / np.maximum(longest, 1e-300))
    # Out there functions of hyperbolic tangents fall as exponentials do: all of Newton's steps are half a unit.
    is_out = (np.abs(at) > TAIL) & (at * step > 0) & (damping == 0)
    return np.where(is_out, np.sign(at) * np.maximum(np.abs(step), LEAP), step), damping, gain
