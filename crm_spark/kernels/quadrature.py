"""Integrals as sums of a few values: means over a Beta distribution, purchases discounted by their day."""

from functools import lru_cache

import numpy as np
from scipy import linalg, special

from crm_spark.kernels.likelihood import Floats

TIMES = 56  # nodes of the integral over time
SPREAD = 400  # nodes of the rule for what a polynomial does not follow
DIGITS = 15.0  # natural logarithm of the precision sought, for each of twice the nodes
GONE = 45.0  # exp(-GONE) is nothing beside 1


@lru_cache(maxsize=64)
def legendre(nodes: int) -> tuple[Floats, Floats]:
    """Nodes and weights of Gauss-Legendre on (0, 1)."""
    at, shares = special.roots_legendre(nodes)
    return (at + 1) / 2, shares / 2


@lru_cache(maxsize=8)
def laguerre(nodes: int) -> tuple[Floats, Floats]:
    """Nodes and weights of the integral over (0, infinity), for what falls off as exp(-q)."""
    at, shares = special.roots_laguerre(nodes)
    return at, shares * np.exp(at)


def discounted(horizon: float, discount: float) -> tuple[Floats, Floats]:
    """Give times and weights: the sum of weights times expectations until the times is the discounted expectation.

    The integral of exp(-discount * s) over the purchases is taken by parts; nodes are dense near 0, where those who
    leave early leave.

    Parameters
    ----------
    horizon : float
        May be infinite where `discount` is above 0.
    discount : float
        Continuous rate for one unit of time; 0 for none.
    """
    if not discount:
        if np.isinf(horizon):
            raise ValueError("an infinite horizon needs a discount above 0")
        return np.array([horizon]), np.ones(1)
    end = min(horizon, GONE / discount)
    at, shares = legendre(TIMES)
    times = end * at**6
    weights = discount * end * 6 * at**5 * shares * np.exp(-discount * times)
    return np.append(times, end), np.append(weights, np.exp(-discount * end))


def of_beta(a: float, b: float, power: float, stretch: float) -> tuple[Floats, Floats]:
    """Nodes and weights of the mean over p ~ Beta(a, b) of (1 - (1 + stretch * p)^-power) / p.

    Gauss-Jacobi where a polynomial follows the function closely, else the trapezoidal rule in a variable in which
    it is smooth whatever the parameters, as are all functions with a smaller stretch.
    """
    # The nearest singularity is at p = -1 / stretch; with many purchases the Beta distribution is nearly a Gamma
    # distribution, and the function an exponential.
    distance = 1 + 2 / stretch
    by_pole = DIGITS / np.log(distance + np.sqrt(distance**2 - 1))
    by_power = DIGITS / np.log1p(2 * (a + b) / (stretch * power))
    nodes = np.ceil(max(by_pole, by_power, 12.0))
    return _jacobi(a, b, int(nodes)) if nodes <= 64 else _trapezoid(a, b)


def _jacobi(a: float, b: float, nodes: int) -> tuple[Floats, Floats]:
    """By the eigenvalues of the Jacobi recurrence.

    SciPy's `roots_jacobi` scales the weights by an integral that overflows for customers with 1,000 purchases.
    """
    k = np.arange(1, nodes)
    twice = 2 * k + a + b - 2
    diagonal = np.append((a - b) / (a + b), (a - b) * (a + b - 2) / (twice * (twice + 2)))
    squares = (
        4 * k * (k + b - 1) * (k + a - 1) * (k + a + b - 2) / (twice**2 * (twice + 1) * np.maximum(twice - 1, 1e-9))
    )
    squares[0] = 4 * a * b / ((a + b) ** 2 * (a + b + 1))
    at, vectors = linalg.eigh_tridiagonal(diagonal, np.sqrt(squares))
    return np.maximum((at + 1) / 2, np.finfo(float).tiny), vectors[0] ** 2


def _trapezoid(a: float, b: float) -> tuple[Floats, Floats]:
    """In t, where log(p / (1 - p)) = log(a / b) + width * sinh(t): near the mode it is even, far off exponential."""
    width = min(1.0, np.sqrt((a + b) / (a * b)))
    ends = [np.arcsinh(GONE * max(1 / slope, width) / width) for slope in (a, b)]
    t = np.linspace(-ends[0], ends[1], SPREAD)
    logit = np.log(a / b) + width * np.sinh(t)
    log_p, log_q = special.log_expit(logit), special.log_expit(-logit)
    log_density = a * log_p + b * log_q + np.log(np.cosh(t))
    density = np.exp(log_density - log_density.max())
    return np.exp(np.maximum(log_p, -600.0)), density / density.sum()
