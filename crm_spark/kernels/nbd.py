"""NBD: how often customers will buy who never leave.

Customers buy at rate lambda ~ Gamma(r, alpha), for ever. It is what BG/NBD, MBG/NBD and Pareto/NBD come to where
nobody leaves, which their own parameters can tell no more. With x repeat purchases in the time T the likelihood is

    Gamma(r + x) / Gamma(r) * alpha^r * (alpha + T)^-(r + x).

Times count from the first purchase; alpha has their unit.

References
----------
Ehrenberg, A. S. C. (1959). The Pattern of Consumer Purchases. Applied Statistics 8(1), 26-41.
Schmittlein, D. C., Bemmaor, A. C., Morrison, D. G. (1985). Why Does the NBD Model Work? Marketing Science 4(3).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import special

from crm_spark.kernels.histories import Histories, begin, histories, search
from crm_spark.kernels.likelihood import Derivatives, Derive, Estimate, Floats, trigamma
from crm_spark.kernels.quadrature import discounted

NAMES = ("r", "alpha")
GUESSES = ((1.0, 1.0), (0.3, 0.2), (5.0, 2.0))


def fit(among: Histories, start: Floats | None = None) -> Estimate:
    """Find r and alpha by maximum likelihood.

    Parameters
    ----------
    among : Histories
    start : (2,) array, optional
        Parameters of a former run, from which to search first.

    Returns
    -------
    Estimate
        Parameters in the order of NAMES; alpha has the unit of the times.
    """
    return search(likelihood, among, NAMES, begin(among, GUESSES, (False, True)), start)


def likelihood(among: Histories) -> Derive:
    """Prepare the log-likelihood, to be derived at many parameters: see `derivatives`."""
    seen = histories(among.x, np.zeros_like(among.T), among.T, among.customers)

    def derive(parameters: Floats) -> Derivatives:
        r, alpha = parameters
        x, n, until, psi = seen.x, seen.customers, alpha + seen.T, special.digamma
        closer = np.log1p(seen.T / alpha)
        value = n @ (special.gammaln(r + x) - special.gammaln(r) - r * closer - x * np.log(until))
        by_r = n @ (psi(r + x) - psi(r) - closer)
        by_alpha = n @ (r / alpha - (r + x) / until)
        by_both = n @ (1 / alpha - 1 / until)
        by_rr, by_aa = n @ (trigamma(r + x) - trigamma(r)), n @ ((r + x) / until**2 - r / alpha**2)
        return float(value), np.array([by_r, by_alpha]), np.array([[by_rr, by_both], [by_both, by_aa]])

    return derive


def log_likelihood(parameters: Floats, among: Histories) -> float:
    """Give the log-likelihood, summed over customers."""
    return derivatives(parameters, among)[0]


def derivatives(parameters: Floats, among: Histories) -> Derivatives:
    """Give the log-likelihood with its exact gradient (2,) and Hessian (2, 2)."""
    return likelihood(among)(parameters)


def probability_alive(parameters: Floats, x: Floats, t_x: Floats, T: Floats) -> Floats:
    """Give the probability that a customer has not left: 1."""
    return np.ones(np.shape(x))


def expected_purchases(
    parameters: Floats, x: Floats, t_x: Floats, T: Floats, horizon: float, discount: float = 0.0
) -> Floats:
    """Give the mean of the purchases in the time `horizon` after T.

    Parameters
    ----------
    x, t_x, T : (n,) arrays
    horizon : float
        In the unit of the times; may be infinite where purchases are discounted.
    discount : float
        Continuous rate for one unit of time: a purchase after s counts exp(-discount * s).
    """
    times, weights = discounted(horizon, discount)
    return _rate(parameters, x, T) * float(times @ weights)


def expected_if_alive(parameters: Floats, x: Floats, T: Floats, times: Floats) -> Floats:
    """Give the purchases to expect until each of some times after T.

    Returns
    -------
    (n, times) array
    """
    return np.outer(_rate(parameters, x, T), times)


def expected_by(parameters: Floats, times: Floats) -> Floats:
    """Give the repeat purchases to expect of a new customer until each time after the first purchase."""
    return np.asarray(parameters[0] / parameters[1] * times, dtype=np.float64)


def purchase_shares(parameters: Floats, T: Floats, most: int) -> Floats:
    """Give the probabilities of 0, 1, ... purchases in the time T since the first one.

    Returns
    -------
    (n, most + 1) array
        The last column is that of `most` purchases or more.
    """
    r, alpha = parameters
    x = np.arange(most)
    counts = special.gammaln(r + x) - special.gammaln(r) - special.gammaln(x + 1)
    log_go = np.log(np.maximum(T, 1e-300) / (alpha + T))
    shares = np.exp(counts - r * np.log1p(T / alpha)[:, None] + np.outer(log_go, x))
    return np.column_stack([shares, np.maximum(1 - shares.sum(axis=1), 0.0)])


def draw(
    parameters: Floats, x: Floats, t_x: Floats, T: Floats, horizon: float, random: np.random.Generator
) -> NDArray[np.int64]:
    """Draw for each customer the purchases in the time `horizon` after T, given the history.

    Parameters may be (2, n), those of each row. Then lambda ~ Gamma(r + x, alpha + T).

    Returns
    -------
    (n,) array of int
    """
    r, alpha = parameters
    bought: NDArray[np.int64] = random.poisson(random.standard_gamma(r + x) / (alpha + T) * horizon)
    return bought


def _rate(parameters: Floats, x: Floats, T: Floats) -> Floats:
    """Purchases to expect in a unit of time."""
    r, alpha = parameters
    return np.asarray((r + x) / (alpha + T), dtype=np.float64)
