"""Maximum likelihood with exact derivatives, for models whose parameters are positive but for a few.

The logarithms of the positive parameters are moved, by SciPy's trust-region Newton method; the standard errors are
those of the parameters themselves, from the Hessian at the maximum. Limits are those of the profile likelihood, which
leans where standard errors are alike to both sides.

References
----------
Venzon, D. J., Moolgavkar, S. H. (1988). A Method for Computing Profile-Likelihood-Based Confidence Intervals. Journal
of the Royal Statistical Society C 37(1), 87-94.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, special

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Derivatives = tuple[float, Floats, Floats]
Derive = Callable[[Floats], Derivatives]  # log-likelihood, gradient (k,) and Hessian (k, k) at parameters (k,)
Rise = Callable[[Floats], tuple[float, Floats]]  # the first two of them

FARTHEST = 12.0  # in logarithms, from where the search began: what goes on from there goes on forever
LEANING = 3.0  # of a lean times Z: an end would be half as far as the other
LAST_STEPS = 6  # of Newton's method, where one or two are enough
NEAR = 1e-6  # of a step: the next would be its square
HIGHER = 1e-6  # of a log-likelihood, in units of one observation: what is above that is higher
Z = float(special.ndtri(0.975))  # standard errors to each side that hold 95 %
FLAT = 1e-7  # gradient of the mean log-likelihood at which Newton's last step makes it exact


@dataclass(frozen=True)
class Estimate:
    """What a fit found.

    Parameters
    ----------
    parameters : (k,) array
        NaN where nothing was found.
    covariance : (k, k) array
        Of the estimates: the inverse of the negative Hessian. NaN where nothing was found.
    log_likelihood : float
        Summed over all observations.
    reason : str, optional
        Why there is no estimate.
    """

    parameters: Floats
    covariance: Floats
    log_likelihood: float = np.nan
    reason: str | None = None

    @property
    def standard_errors(self) -> Floats:
        """Of the parameters, (k,)."""
        return np.sqrt(np.diag(self.covariance))


def limits(rise: Rise | Derive, found: Estimate, any_sign: int = 0) -> Floats:
    """Give the ends of each parameter's 95 % interval, by its profile likelihood to third order.

    Where the logarithm of a parameter, or one of any sign, lies t standard errors from its estimate and the others as
    they then are likeliest, the log-likelihood has fallen by t^2 / 2 - s t^3 / 6 - u t^4 / 24; its value and its slope
    at Z tell its lean s. It has fallen by Z^2 / 2 at s Z^2 / 6 + Z and s Z^2 / 6 - Z, to first order in s.

    Parameters
    ----------
    rise : callable
        Gives what `maximise` was told, or the first two of it.
    found : Estimate
        What it found; without a reason.
    any_sign : int, default 0
        As `maximise` was told.

    Returns
    -------
    (k, 2) array
        NaN where the likelihood leans by so much that three orders do not tell.
    """
    size = found.parameters.size
    is_log = np.arange(size) < size - any_sign
    scale = np.where(is_log, found.parameters, 1.0)
    covariance = found.covariance / np.outer(scale, scale)
    errors = np.sqrt(np.diag(covariance))
    at = np.where(is_log, np.log(scale), found.parameters)
    leans = np.zeros(size)
    for i in range(size):
        way = covariance[i] / errors[i]
        side = at + Z * way
        with np.errstate(all="ignore"):
            there = np.where(is_log, np.exp(side), side)
            value, gradient = rise(there)[:2]
            slope = gradient * np.where(is_log, there, 1.0) @ way
        fallen, steeper = value - found.log_likelihood + Z**2 / 2, slope + Z
        leans[i] = 24 * fallen / Z**3 - 6 * steeper / Z**2
    shift = np.where(np.abs(leans) * Z < LEANING, leans * Z**2 / 6, np.nan)
    ends = at[:, None] + errors[:, None] * (shift[:, None] + np.array([-Z, Z]))
    return np.asarray(np.where(is_log[:, None], np.exp(ends), ends), dtype=np.float64)


def nothing(parameters: int, reason: str) -> Estimate:
    """Say that there is no estimate, and why."""
    return Estimate(np.full(parameters, np.nan), np.full((parameters, parameters), np.nan), reason=reason)


def best(
    derive: Derive, names: Sequence[str], starts: Sequence[Floats], observations: float, any_sign: int = 0
) -> Estimate:
    """Find the highest of the maxima that searches from several starts end in; see `maximise`.

    A search that runs to a boundary counts by the highest point that it saw: where that is above all maxima, the
    likelihood has none.

    Parameters
    ----------
    starts : sequence of (k,) arrays

    Raises
    ------
    ValueError
        A start is not one finite number for each parameter, positive but for the last `any_sign`.
    """
    found = []
    for start in starts:
        is_one = start.shape == (len(names),) and np.isfinite(start).all()
        if not is_one or (start[: len(names) - any_sign] <= 0).any():
            raise ValueError(f"start must be {len(names)} positive numbers, one for each parameter")
        seen = _Seen(derive)
        one = maximise(seen, names, start, observations, any_sign)
        found.append((seen.highest if one.reason else one.log_likelihood + HIGHER * observations, one))
    return max(found, key=lambda pair: pair[0])[1]


class _Seen:
    """A log-likelihood that keeps the highest value that it gave."""

    def __init__(self, derive: Derive) -> None:
        self.derive, self.highest = derive, -np.inf

    def __call__(self, parameters: Floats) -> Derivatives:
        # Far out sums and quotients may leave the range of floats: the search steps back from there.
        with np.errstate(all="ignore"):
            told = self.derive(parameters)
        self.highest = max(self.highest, told[0])
        return told


def maximise(derive: Derive, names: Sequence[str], start: Floats, observations: float, any_sign: int = 0) -> Estimate:
    """Find the parameters at which a log-likelihood is greatest.

    Parameters
    ----------
    derive : callable
        Gives log-likelihood, gradient (k,) and Hessian (k, k) at parameters (k,).
    names : sequence of str
        Of the k parameters.
    start : (k,) array
        Positive, but for the last `any_sign`.
    observations : float
        How many there are: the search looks at means.
    any_sign : int, default 0
        How many parameters, the last ones, may be negative.

    Returns
    -------
    Estimate
        With a reason where the likelihood has no maximum that these observations could tell: it names the
        parameters that run to a boundary, or that cannot be told.
    """
    is_log = np.arange(start.size) < start.size - any_sign
    told, begin = _Once(derive, observations, is_log), np.where(is_log, np.log(np.where(is_log, start, 1.0)), start)

    def stop_astray(logs: Floats) -> None:
        if np.abs(logs - begin).max() > FARTHEST:
            raise StopIteration

    steps = {"gtol": FLAT, "maxiter": 200, "max_trust_radius": 2.0}
    found = optimize.minimize(
        told.value,
        begin,
        jac=told.gradient,
        hess=told.hessian,
        method="trust-exact",
        options=steps,
        callback=stop_astray,
    )
    logs = np.asarray(found.x, dtype=np.float64)
    if np.abs(told.gradient(logs)).max() > 1e-4 or np.abs(logs - begin).max() > FARTHEST:
        return nothing(start.size, _runs(names, logs - begin, is_log))
    for _ in range(LAST_STEPS):
        hessian, gradient = told.hessian(logs), told.gradient(logs)
        if not _is_positive(hessian):
            return nothing(start.size, _flat(names, hessian, logs - begin, is_log))
        step = -linalg.solve(hessian, gradient, assume_a="pos")
        logs, before = logs + step, logs
        if np.abs(step).max() < NEAR:
            break
    else:
        # Towards a boundary the likelihood falls off as the parameter itself does: every step is then as long.
        return nothing(start.size, _runs(names, step, is_log))
    parameters = told.parameters(logs)
    scale = np.where(is_log, parameters, 1.0)
    # So near the maximum value and curvature are those of the last point: what one more look would change is nothing.
    value = -observations * (told.value(before) + gradient @ step / 2)
    return Estimate(parameters, linalg.inv(hessian) / observations * np.outer(scale, scale), value)


def _runs(names: Sequence[str], moved: Floats, is_log: Flags) -> str:
    """Say which parameters run where, by how far each or its logarithm moved."""
    far = np.abs(moved) >= np.abs(moved).max() / 2
    down = far & (moved < 0)
    ways = [
        (far & (moved > 0), "grow", "without end"),
        (down & is_log, "fall", "to 0"),
        (down & ~is_log, "fall", "without end"),
    ]
    told = [
        f"{_listed(names, running)} {verb}{'s' if running.sum() == 1 else ''} {where}"
        for running, verb, where in ways
        if running.any()
    ]
    return f"the likelihood has no maximum: {', '.join(told)}"


def _flat(names: Sequence[str], hessian: Floats, moved: Floats, is_log: Flags) -> str:
    """Say which parameters the observations do not tell: those of all directions without curvature, or of the least."""
    if np.abs(moved).max() > FARTHEST / 2 or not np.isfinite(hessian).all():
        return _runs(names, moved, is_log)
    curvatures, directions = linalg.eigh(hessian)
    # Several flat directions are one space: which of its axes come out is up to rounding, a parameter's share is not.
    is_flat = curvatures <= max(curvatures[0], 1e-9 * curvatures[-1])
    shares = linalg.norm(directions[:, is_flat], axis=1)
    return f"the likelihood is flat: the observations do not tell {_listed(names, shares >= shares.max() / 2)}"


def _listed(names: Sequence[str], which: Flags) -> str:
    *others, last = [name for name, is_one in zip(names, which, strict=True) if is_one]
    return f"{', '.join(others)} and {last}" if others else last


@dataclass
class _Once:
    """The mean negative log-likelihood over the logarithms, each point computed once for all three."""

    derive: Derive
    observations: float
    is_log: Flags
    at: Floats | None = None
    told: Derivatives = (0.0, np.empty(0), np.empty(0))

    def value(self, logs: Floats) -> float:
        return -self._at(logs)[0] / self.observations

    def gradient(self, logs: Floats) -> Floats:
        return -self._at(logs)[1] / self.observations

    def hessian(self, logs: Floats) -> Floats:
        return -self._at(logs)[2] / self.observations

    def parameters(self, logs: Floats) -> Floats:
        return np.where(self.is_log, np.exp(np.where(self.is_log, logs, 0.0)), logs)

    def _at(self, logs: Floats) -> Derivatives:
        if self.at is None or not np.array_equal(self.at, logs):
            parameters = self.parameters(logs)
            value, gradient, hessian = self.derive(parameters)
            scale = np.where(self.is_log, parameters, 1.0)
            curved = np.where(self.is_log, gradient * parameters, 0.0)
            self.told = value, gradient * scale, hessian * np.outer(scale, scale) + np.diag(curved)
            self.at = logs.copy()
        return self.told


def _is_positive(matrix: Floats) -> bool:
    """Whether a symmetric matrix is positive definite, and by more than rounding."""
    if not np.isfinite(matrix).all():
        return False
    eigenvalues = linalg.eigvalsh(matrix)
    return bool(eigenvalues[0] > 1e-12 * eigenvalues[-1] and eigenvalues[-1] > 0)


def trigamma(at: Floats | float) -> Any:
    """Give the second derivative of the logarithm of the gamma function."""
    return special.polygamma(1, at)
