"""Gamma-Gamma: what an order of each customer is worth.

A customer's purchases are worth Gamma(p, nu) each, and nu ~ Gamma(q, v) over customers: who bought seldom is judged
more by the others, who bought often less. Money must not depend on how often one buys.

References
----------
Fader, P. S., Hardie, B. G. S. (2013). The Gamma-Gamma Model of Monetary Value. brucehardie.com/notes/025.
"""

import numpy as np
from scipy import special

from crm_spark.kernels.likelihood import Derivatives, Derive, Estimate, Floats, maximise, nothing, trigamma

NAMES = ("p", "q", "v")


def fit(x: Floats, mean: Floats) -> Estimate:
    """Find p, q and v by maximum likelihood.

    Parameters
    ----------
    x : (n,) array
        Purchases that the mean is of, 1 or more.
    mean : (n,) array
        Mean worth of a purchase, above 0.

    Returns
    -------
    Estimate
        Parameters in the order of NAMES; v has the unit of the money.
    """
    if x.size == 0:
        return nothing(len(NAMES), "no customer bought again and spent money")
    # In one order, whatever the order given: sums of floats depend on it. They are taken for each x by itself.
    order = np.argsort(mean)
    x, mean = x[order], mean[order]
    # With money in units of its mean the search does not depend on the currency.
    unit = float(mean.mean())
    found = maximise(_Likelihood(x, mean / unit).derive, NAMES, np.array([1.0, 2.0, 1.0]), x.size)
    scale = np.array([1.0, 1.0, unit])
    return Estimate(
        found.parameters * scale,
        found.covariance * np.outer(scale, scale),
        found.log_likelihood - x.size * np.log(unit),
        found.reason,
    )


def likelihood(x: Floats, mean: Floats) -> Derive:
    """Prepare the log-likelihood, to be derived at many parameters."""
    return _Likelihood(x, mean).derive


class _Likelihood:
    """Equation (1a) with its derivatives; gamma functions are taken once for each distinct x."""

    def __init__(self, x: Floats, mean: Floats) -> None:
        self.x, self.of = np.unique(x, return_inverse=True)
        self.n = np.bincount(self.of).astype(float)
        self.sums = x * mean
        self.log_sums = np.bincount(self.of, weights=np.log(self.sums))
        self.log_mean = float(np.log(mean).sum())

    def derive(self, parameters: Floats) -> Derivatives:
        p, q, v = parameters
        x, n, total = self.x, self.n, self.n.sum()
        px, pxq = p * x, p * x + q
        inverse = 1 / (self.sums + v)
        log, one, two = (self._by_x(of) for of in (np.log(self.sums + v), inverse, inverse**2))
        value = n @ (special.gammaln(pxq) - special.gammaln(px)) + total * (q * np.log(v) - special.gammaln(q))
        value += px @ self.log_sums - self.log_mean - pxq @ log
        psi = special.digamma
        gradient = np.array(
            [
                x @ (n * (psi(pxq) - psi(px)) + self.log_sums - log),
                n @ psi(pxq) + total * (np.log(v) - psi(q)) - log.sum(),
                total * q / v - pxq @ one,
            ]
        )
        hessian = np.zeros((3, 3))
        hessian[0, 0] = (n * x**2) @ (trigamma(pxq) - trigamma(px))
        hessian[0, 1] = (n * x) @ trigamma(pxq)
        hessian[0, 2] = -(x @ one)
        hessian[1, 1] = n @ trigamma(pxq) - total * trigamma(q)
        hessian[1, 2] = total / v - one.sum()
        hessian[2, 2] = pxq @ two - total * q / v**2
        return float(value), gradient, hessian + np.triu(hessian, 1).T

    def _by_x(self, values: Floats) -> Floats:
        return np.asarray(np.bincount(self.of, weights=values), dtype=np.float64)


def expected_mean(parameters: Floats, x: Floats, mean: Floats) -> Floats:
    """Give what a purchase of each customer is worth to expect.

    Equation (5). Where x is 0 it is the mean of all customers, which is infinite for q of 1 or less: NaN then.

    Parameters
    ----------
    x : (n,) array
        Purchases that the mean is of, 0 or more.
    mean : (n,) array
        Anything where x is 0.
    """
    p, q, v = parameters
    above = p * x + q - 1
    spent = np.where(x > 0, x * np.where(x > 0, mean, 0.0), 0.0)
    return np.where(above > 0, p * (v + spent) / np.where(above > 0, above, 1.0), np.nan)
