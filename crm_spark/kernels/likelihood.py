"""Maximum likelihood for models whose parameters are all positive, with exact derivatives.

The logarithms of the parameters are moved, by SciPy's trust-region Newton method; the standard errors are
those of the parameters themselves, from the Hessian at the maximum.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, special

Floats = NDArray[np.float64]
Derivatives = tuple[float, Floats, Floats]

FARTHEST = 12.0  # in logarithms, from where the search began: what goes on from there goes on forever
FLAT = 1e-7  # gradient of the mean log-likelihood at which Newton's last step makes it exact


@dataclass(frozen=True)
class Estimate:
    """What a fit found.

    Parameters
    ----------
    parameters, standard_errors : (k,) arrays
        NaN where nothing was found.
    log_likelihood : float
        Summed over all observations.
    reason : str, optional
        Why there is no estimate.
    """

    parameters: Floats
    standard_errors: Floats
    log_likelihood: float = np.nan
    reason: str | None = None


def nothing(parameters: int, reason: str) -> Estimate:
    """Say that there is no estimate, and why."""
    unknown = np.full(parameters, np.nan)
    return Estimate(unknown, unknown, reason=reason)


def maximise(derive: Callable[[Floats], Derivatives], start: Floats, observations: float) -> Estimate:
    """Find the parameters at which a log-likelihood is greatest.

    Parameters
    ----------
    derive : callable
        Gives log-likelihood, gradient (k,) and Hessian (k, k) at parameters (k,).
    start : (k,) array
        Positive.
    observations : float
        How many there are: the search looks at means.

    Returns
    -------
    Estimate
        With a reason where the likelihood has no maximum that these observations could tell.
    """
    told, begin = _Once(derive, observations), np.log(start)

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
        return nothing(start.size, "the likelihood has no maximum")
    if not _is_positive(told.hessian(logs)):
        return nothing(start.size, "the likelihood is flat: the observations do not tell all parameters")
    logs = logs - linalg.solve(told.hessian(logs), told.gradient(logs), assume_a="pos")
    parameters = np.exp(logs)
    value, _, hessian = derive(parameters)
    if not _is_positive(-hessian):
        return nothing(start.size, "the likelihood is flat: the observations do not tell all parameters")
    return Estimate(parameters, np.sqrt(np.diag(linalg.inv(-hessian))), value)


@dataclass
class _Once:
    """The mean negative log-likelihood over the logarithms, each point computed once for all three."""

    derive: Callable[[Floats], Derivatives]
    observations: float
    at: Floats | None = None
    told: Derivatives = (0.0, np.empty(0), np.empty(0))

    def value(self, logs: Floats) -> float:
        return -self._at(logs)[0] / self.observations

    def gradient(self, logs: Floats) -> Floats:
        return -self._at(logs)[1] / self.observations

    def hessian(self, logs: Floats) -> Floats:
        return -self._at(logs)[2] / self.observations

    def _at(self, logs: Floats) -> Derivatives:
        if self.at is None or not np.array_equal(self.at, logs):
            parameters = np.exp(logs)
            value, gradient, hessian = self.derive(parameters)
            by_log = gradient * parameters
            self.told = value, by_log, hessian * np.outer(parameters, parameters) + np.diag(by_log)
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
