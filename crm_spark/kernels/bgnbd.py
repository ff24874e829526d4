"""BG/NBD: how often customers will buy who may leave without a word.

While active, customers buy at rate lambda ~ Gamma(r, alpha); after each purchase they leave for good with
probability p ~ Beta(a, b). Of each customer three numbers matter: x repeat purchases, the last of them at t_x, and
T, the time under observation; all times count from the first purchase.

References
----------
Fader, P. S., Hardie, B. G. S., Lee, K. L. (2005). "Counting Your Customers" the Easy Way: An Alternative to the
Pareto/NBD Model. Marketing Science 24(2), 275-284.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg, special

from crm_spark.kernels.likelihood import Derivatives, Estimate, Floats, maximise, nothing, trigamma

NAMES = ("r", "alpha", "a", "b")
FEW = 20_000  # histories on which the search begins
BLOCK = 8_192


@dataclass(frozen=True)
class Histories:
    """Distinct histories, ordered, and how many customers have each.

    Parameters
    ----------
    x, t_x, T, customers : (n,) arrays
    of : (m,) array of int
        For each customer the place of their history.
    """

    x: Floats
    t_x: Floats
    T: Floats
    customers: Floats
    of: NDArray[np.int64]


def histories(x: Floats, t_x: Floats, T: Floats, customers: Floats | None = None) -> Histories:
    """Gather equal histories: what follows works on the distinct ones.

    Parameters
    ----------
    x, t_x, T : (m,) arrays
        Of each customer; times in any one unit.
    customers : (m,) array, optional
        How many customers each row stands for.
    """
    # By hashing: to sort a million floats three times would take longer than the fit.
    codes, distinct = zip(*[pd.factorize(column, sort=True) for column in (x, t_x, T)], strict=True)
    code = (codes[0] * distinct[1].size + codes[1]) * distinct[2].size + codes[2]
    _, first, of = np.unique(code, return_index=True, return_inverse=True)
    counts = np.bincount(of, weights=customers, minlength=first.size)
    kept = [np.asarray(column, dtype=np.float64)[first] for column in (x, t_x, T)]
    return Histories(kept[0], kept[1], kept[2], counts.astype(np.float64), of)


def fit(among: Histories) -> Estimate:
    """Find r, alpha, a and b by maximum likelihood.

    Returns
    -------
    Estimate
        Parameters in the order of NAMES; alpha has the unit of the times.
    """
    if not (among.x > 0).any():
        return nothing(len(NAMES), "no customer bought again")
    start = np.array([1.0, among.T.mean() or 1.0, 1.0, 1.0])
    step = among.x.size // FEW
    if step > 1:
        few = _every(among, step)
        found = maximise(_Likelihood(few).derive, start, few.customers.sum())
        start = start if found.reason else found.parameters
    return maximise(_Likelihood(among).derive, start, among.customers.sum())


def _every(among: Histories, step: int) -> Histories:
    x, t_x, T, customers = (column[::step] for column in (among.x, among.t_x, among.T, among.customers))
    return Histories(x, t_x, T, customers, of=np.empty(0, dtype=np.int64))


class _Likelihood:
    """The log-likelihood of equation (7) with its derivatives.

    What depends on x alone is summed over the few distinct x, who never bought again over the few distinct T, and
    logarithms of times are taken once for each distinct time. The rest goes in blocks that stay in the cache.
    """

    def __init__(self, among: Histories) -> None:
        self.x, of_x = np.unique(among.x, return_inverse=True)
        self.n_x = np.bincount(of_x, weights=among.customers)
        again = among.x > 0
        self.once, of_once = np.unique(among.T[~again], return_inverse=True)
        self.n_once = np.bincount(of_once, weights=among.customers[~again], minlength=self.once.size)
        self.t, of_t = np.unique(np.concatenate([among.t_x[again], among.T[again]]), return_inverse=True)
        columns = (among.customers[again], among.x[again], of_x[again], *np.split(of_t, 2))
        self.blocks = [tuple(column[at : at + BLOCK] for column in columns) for at in range(0, columns[0].size, BLOCK)]

    def derive(self, parameters: Floats) -> Derivatives:
        r, alpha, a, b = parameters
        value, gradient, hessian = self._of_x(r, alpha, a, b)
        log_once, rate_once = np.log(alpha + self.once), 1 / (alpha + self.once)
        value -= r * (self.n_once @ log_once)
        gradient[:2] -= self.n_once @ log_once, r * (self.n_once @ rate_once)
        hessian[0, 1] -= self.n_once @ rate_once
        hessian[1, 1] += r * (self.n_once @ rate_once**2)

        log_time, rate = np.log(alpha + self.t), 1 / (alpha + self.t)
        left = 1 / np.where(self.x > 0, b + self.x - 1, 1.0)
        log_odds = np.log(a * left)
        for n, x, of_x, of_t_x, of_T in self.blocks:
            # L = A1 A2 (A3 + A4): A4 is the part of who left after the last purchase; w is its share.
            shape, log_T, rate_T, rate_t, left_x = r + x, log_time[of_T], rate[of_T], rate[of_t_x], left[of_x]
            closer = log_T - log_time[of_t_x]
            odds = log_odds[of_x] + shape * closer
            w = n * special.expit(odds)
            stay = n - w
            value -= n @ (shape * log_T + special.log_expit(-odds))
            # How the gradient of A4 by (r, alpha, a, b) differs from that of A3.
            jump = np.stack([closer, shape * (rate_T - rate_t), np.full(x.size, 1 / a), -left_x])
            gradient += jump @ w
            gradient[:2] -= n @ log_T, (n * shape) @ rate_T
            hessian += (jump * (w * stay / n)) @ jump.T
            hessian[0, 1] -= stay @ rate_T + w @ rate_t
            hessian[1, 1] += (stay * shape) @ rate_T**2 + (w * shape) @ rate_t**2
            hessian[2, 2] -= w.sum() / a**2
            hessian[3, 3] += w @ left_x**2
        return float(value), gradient, np.triu(hessian) + np.triu(hessian, 1).T

    def _of_x(self, r: float, alpha: float, a: float, b: float) -> Derivatives:
        """A1 and A2: their sum, gradient, and upper half of the Hessian."""
        x, n = self.x, self.n_x
        total = n.sum()
        value = n @ (special.gammaln(r + x) + special.gammaln(b + x) - special.gammaln(a + b + x)) + total * (
            r * np.log(alpha) - special.gammaln(r) + special.gammaln(a + b) - special.gammaln(b)
        )
        psi = special.digamma
        by_r, by_ab, by_b = (n @ (psi(at + x) - psi(at)) for at in (r, a + b, b))
        by_rr, by_ab2, by_bb = (n @ (trigamma(at + x) - trigamma(at)) for at in (r, a + b, b))
        gradient = np.array([by_r + total * np.log(alpha), total * r / alpha, -by_ab, by_b - by_ab])
        hessian = np.zeros((4, 4))
        hessian[0, 0], hessian[0, 1], hessian[1, 1] = by_rr, total / alpha, -total * r / alpha**2
        hessian[2, 2], hessian[2, 3], hessian[3, 3] = -by_ab2, -by_ab2, by_bb - by_ab2
        return float(value), gradient, hessian


def purchase_shares(parameters: Floats, T: Floats, most: int) -> Floats:
    """Give the probabilities of 0, 1, ... purchases in the time T since the first one, equation (8).

    Returns
    -------
    (n, most + 1) array
        The last column is that of `most` purchases or more.
    """
    r, alpha, a, b = parameters
    x = np.arange(most)
    log_stay, log_go = np.log(alpha / (alpha + T))[:, None], np.log(np.maximum(T, 1e-300) / (alpha + T))[:, None]
    counts = special.gammaln(r + x) - special.gammaln(r) - special.gammaln(x + 1)
    poisson = np.exp(counts + r * log_stay + x * log_go)
    log_beta = special.betaln(a, b)
    still = np.exp(special.betaln(a, b + x) - log_beta) * poisson
    before = np.cumsum(poisson, axis=1) - poisson
    gone = np.exp(special.betaln(a + 1, b + np.maximum(x, 1) - 1) - log_beta) * (1 - before)
    shares = still + np.where(x > 0, gone, 0.0)
    return np.column_stack([shares, np.maximum(1 - shares.sum(axis=1), 0.0)])


def probability_alive(parameters: Floats, x: Floats, t_x: Floats, T: Floats) -> Floats:
    """Give the probability that a customer has not left: 1 by definition where x is 0."""
    r, alpha, a, b = parameters
    again = x > 0
    left = np.where(again, b + x - 1, 1.0)
    odds = np.log(a) - np.log(left) + (r + x) * np.log((alpha + T) / (alpha + t_x))
    return np.where(again, special.expit(-odds), 1.0)


def expected_purchases(
    parameters: Floats, x: Floats, t_x: Floats, T: Floats, horizon: float, discount: float = 0.0
) -> Floats:
    """Give the purchases to expect in the time `horizon` after T.

    Equation (10), as the mean of (1 - ((alpha + T) / (alpha + T + p t))^(r + x)) / p over p ~ Beta(a, b + x), by
    Gauss-Jacobi quadrature: it has no singularity at a = 1, and none of the cancellation of the hypergeometric
    function for customers with many purchases.

    Parameters
    ----------
    x, t_x, T : (n,) arrays
    horizon : float
        In the unit of the times.
    discount : float
        Continuous rate for one unit of time: a purchase after s counts exp(-discount * s).
    """
    times, weights = np.array([horizon]), np.array([np.exp(-discount * horizon)])
    if discount:
        # The discounted sum, integrated by parts: expectations are smooth in time.
        at, shares = np.polynomial.legendre.leggauss(8)
        inner = (at + 1) / 2 * horizon
        times = np.append(times, inner)
        weights = np.append(weights, discount * horizon / 2 * shares * np.exp(-discount * inner))
    return probability_alive(parameters, x, t_x, T) * _while_alive(parameters, x, T, times, weights)


def _while_alive(parameters: Floats, x: Floats, T: Floats, times: Floats, weights: Floats) -> Floats:
    """The purchases to expect of a customer who is alive at T until each of the times, summed by their weights.

    Computed once for each distinct (x, T).
    """
    r, alpha, a, b = parameters
    found = histories(x, np.zeros_like(x), T)
    rate = 1 / (alpha + found.T)
    expected = np.empty(found.x.size)
    # A customer's answer must not depend on who else is asked about: nodes are counted for the farthest case, and
    # each row is summed by itself, which a product of matrices does not promise.
    nodes = _nodes(times.max() / alpha)
    values, firsts = np.unique(found.x, return_index=True)
    for value, first, end in zip(values, firsts, [*firsts[1:], found.x.size], strict=True):
        p, share = _of_beta(a, b + value, nodes)
        faded = np.outer(rate[first:end], p)
        bought = np.zeros_like(faded)
        for time, weight in zip(times, weights, strict=True):
            bought -= weight * np.expm1(-(r + value) * np.log1p(time * faded))
        expected[first:end] = (bought * (share / p)).sum(axis=1)
    return expected[found.of]


def _of_beta(a: float, b: float, nodes: int) -> tuple[Floats, Floats]:
    """Nodes and weights of the mean over Beta(a, b), by the eigenvalues of the Jacobi recurrence.

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
    return (at + 1) / 2, vectors[0] ** 2


def _nodes(stretch: float) -> int:
    """How many nodes give full precision: the farther the horizon, the nearer the singularity at p = -1 / stretch."""
    distance = 1 + 2 / max(stretch, 1e-3)
    return int(np.clip(np.ceil(18 / np.log(distance + np.sqrt(distance**2 - 1))), 12, 200))
