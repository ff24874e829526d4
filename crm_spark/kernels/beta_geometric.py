"""Buying until one leaves after a purchase: what BG/NBD and MBG/NBD have in common.

While active, customers buy at rate lambda ~ Gamma(r, alpha). Each purchase that gives a chance to leave is their last
with probability p ~ Beta(a, b): the repeat purchases in BG/NBD, the first purchase as well in MBG/NBD. With k such
chances taken, x repeat purchases, the last of them at t_x, and T under observation, the likelihood is

    B(a, b + k) / B(a, b) * Gamma(r + x) / Gamma(r) * alpha^r
        * ((alpha + T)^-(r + x) + a / (b + k - 1) * (alpha + t_x)^-(r + x)),

the second term only where k is above 0. Times count from the first purchase; alpha has their unit.

References
----------
Fader, P. S., Hardie, B. G. S., Lee, K. L. (2005). "Counting Your Customers" the Easy Way: An Alternative to the
Pareto/NBD Model. Marketing Science 24(2), 275-284.
Batislam, E. P., Denizel, M., Filiztekin, A. (2007). Empirical Validation and Comparison of Models for Customer Base
Analysis. International Journal of Research in Marketing 24(3), 201-209.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from crm_spark.kernels.histories import Histories, begin, histories, search
from crm_spark.kernels.likelihood import Derivatives, Derive, Estimate, Floats, trigamma
from crm_spark.kernels.quadrature import discounted, of_beta

NAMES = ("r", "alpha", "a", "b")
COVARIED = (0, -1, 1, 1)  # whether covariates raise or lower each parameter: they raise rates, and a and b
GUESSES = ((1.0, 1.0, 1.0, 1.0), (0.3, 0.2, 0.5, 3.0), (5.0, 2.0, 0.2, 2.0))
BLOCK = 8_192


@dataclass(frozen=True)
class Model:
    """BG/NBD, or MBG/NBD where customers may leave right after the first purchase."""

    leaves_at_first: bool

    def fit(self, among: Histories, start: Floats | None = None) -> Estimate:
        """Find r, alpha, a and b by maximum likelihood.

        Parameters
        ----------
        among : Histories
        start : (4,) array, optional
            Parameters of a former run, from which to search first.

        Returns
        -------
        Estimate
            Parameters in the order of NAMES; alpha has the unit of the times.
        """
        return search(self.likelihood, among, NAMES, begin(among, GUESSES, (False, True, False, False)), start)

    def likelihood(self, among: Histories) -> Derive:
        """Prepare the log-likelihood, to be derived at many parameters: see `derivatives`."""
        return _Likelihood(among, self.leaves_at_first).derive

    def log_likelihood(self, parameters: Floats, among: Histories) -> float:
        """Give the log-likelihood, summed over customers."""
        return self.derivatives(parameters, among)[0]

    def derivatives(self, parameters: Floats, among: Histories) -> Derivatives:
        """Give the log-likelihood with its exact gradient (4,) and Hessian (4, 4)."""
        return self.likelihood(among)(parameters)

    def probability_alive(self, parameters: Floats, x: Floats, t_x: Floats, T: Floats) -> Floats:
        """Give the probability that a customer has not left.

        By definition it is 1 in BG/NBD where x is 0.
        """
        r, alpha, a, b = parameters
        chances = x + self.leaves_at_first
        at_risk = chances > 0
        left = np.where(at_risk, b + chances - 1, 1.0)
        odds = np.log(a) - np.log(left) + (r + x) * np.log((alpha + T) / (alpha + t_x))
        return np.where(at_risk, special.expit(-odds), 1.0)

    def expected_purchases(
        self, parameters: Floats, x: Floats, t_x: Floats, T: Floats, horizon: float, discount: float = 0.0
    ) -> Floats:
        """Give the purchases to expect in the time `horizon` after T.

        Equation (10) of BG/NBD, as the mean of (1 - ((alpha + T) / (alpha + T + p t))^(r + x)) / p over
        p ~ Beta(a, b + k), by quadrature: it has no singularity at a = 1, and none of the cancellation of the
        hypergeometric function for customers with many purchases.

        Parameters
        ----------
        x, t_x, T : (n,) arrays
        horizon : float
            In the unit of the times; may be infinite where purchases are discounted.
        discount : float
            Continuous rate for one unit of time: a purchase after s counts exp(-discount * s).
        """
        times, weights = discounted(horizon, discount)
        alive = self.probability_alive(parameters, x, t_x, T)
        return alive * self._while_alive(parameters, x, T, times, weights[:, None])[:, 0]

    def expected_if_alive(self, parameters: Floats, x: Floats, T: Floats, times: Floats) -> Floats:
        """Give the purchases to expect until each of some times after T of a customer who is alive at T.

        Returns
        -------
        (n, times) array
        """
        return self._while_alive(parameters, x, T, times, np.eye(times.size))

    def expected_by(self, parameters: Floats, times: Floats) -> Floats:
        """Give the repeat purchases to expect of a new customer until each time after the first purchase."""
        r, alpha, _, _ = parameters
        none = np.zeros(1)
        p, share = self._nodes(parameters, 0.0, float(_stretch(np.max(times, initial=0.0) / alpha)))
        bought = -np.expm1(-r * np.log1p(np.outer(times / alpha, p)))
        return np.asarray(
            self.probability_alive(parameters, none, none, none) * (bought @ (share / p)), dtype=np.float64
        )

    def purchase_shares(self, parameters: Floats, T: Floats, most: int) -> Floats:
        """Give the probabilities of 0, 1, ... purchases in the time T since the first one, equation (8) of BG/NBD.

        Returns
        -------
        (n, most + 1) array
            The last column is that of `most` purchases or more.
        """
        r, alpha, a, b = parameters
        x = np.arange(most)
        chances = x + self.leaves_at_first
        log_stay, log_go = np.log(alpha / (alpha + T))[:, None], np.log(np.maximum(T, 1e-300) / (alpha + T))[:, None]
        counts = special.gammaln(r + x) - special.gammaln(r) - special.gammaln(x + 1)
        poisson = np.exp(counts + r * log_stay + x * log_go)
        before = np.cumsum(poisson, axis=1) - poisson
        log_beta = special.betaln(a, b)
        still = np.exp(special.betaln(a, b + chances) - log_beta) * poisson
        gone = np.exp(special.betaln(a + 1, b + np.maximum(chances, 1) - 1) - log_beta) * np.maximum(1 - before, 0.0)
        shares = still + np.where(chances > 0, gone, 0.0)
        return np.column_stack([shares, np.maximum(1 - shares.sum(axis=1), 0.0)])

    def draw(
        self, parameters: Floats, x: Floats, t_x: Floats, T: Floats, horizon: float, random: np.random.Generator
    ) -> NDArray[np.int64]:
        """Draw for each customer the purchases in the time `horizon` after T, given the history.

        Who is alive has lambda ~ Gamma(r + x, alpha + T) and p ~ Beta(a, b + k), independent of each other, and buys
        until the horizon or the purchase after which they leave, whichever comes first.

        Returns
        -------
        (n,) array of int
        """
        r, alpha, a, b = parameters
        alive = random.random(x.size) < self.probability_alive(parameters, x, t_x, T)
        rate = random.standard_gamma(r + x) / (alpha + T)
        p = np.clip(random.beta(a, b + x + self.leaves_at_first), 1e-15, 1 - 1e-15)
        bought = random.poisson(rate * horizon)
        until_gone = np.ceil(random.standard_exponential(x.size) / -np.log1p(-p))
        return np.where(alive, np.minimum(bought, np.maximum(until_gone, 1.0)), 0).astype(np.int64)

    def _while_alive(self, parameters: Floats, x: Floats, T: Floats, times: Floats, weights: Floats) -> Floats:
        """The purchases to expect until each of the times of who is alive at T, summed by (times, k) weights.

        Computed once for each distinct (x, T); (n, k).
        """
        r, alpha, _, _ = parameters
        found = histories(x, np.zeros_like(x), T)
        rate = 1 / (alpha + found.T)
        expected = np.zeros((found.x.size, weights.shape[1]))
        # A customer's answer must not depend on who else is asked about: nodes are counted for the nearest power of
        # two above their own case, and each row is summed by itself, which a product of matrices does not promise.
        stretch = _stretch(times.max() * rate)
        is_first = np.append(True, (np.diff(found.x) != 0) | (np.diff(stretch) != 0))[: found.x.size]
        firsts = np.flatnonzero(is_first)
        for first, end in zip(firsts, [*firsts[1:], found.x.size], strict=True):
            power = r + found.x[first]
            p, share = self._nodes(parameters, found.x[first], stretch[first])
            faded = np.outer(rate[first:end], p)
            for time, weight in zip(times, weights, strict=True):
                bought = -np.expm1(-power * np.log1p(time * faded))
                expected[first:end] += np.outer((bought * (share / p)).sum(axis=1), weight)
        return expected[found.of]

    def _nodes(self, parameters: Floats, x: float, stretch: float) -> tuple[Floats, Floats]:
        """Where p is looked at of customers with x purchases who are alive, and with which shares."""
        r, _, a, b = parameters
        return of_beta(a, b + x + self.leaves_at_first, r + x, stretch)


def _stretch(times: Floats) -> Floats:
    """The power of two above times in units of alpha + T."""
    return np.asarray(2.0 ** np.ceil(np.log2(np.clip(times, 2.0**-3, 2.0**30))), dtype=np.float64)


class _Likelihood:
    """The log-likelihood with its derivatives.

    What depends on x alone is summed over the few distinct x, who had no chance to leave over the few distinct T, and
    logarithms of times are taken once for each distinct time. The rest goes in blocks that stay in the cache.
    """

    def __init__(self, among: Histories, leaves_at_first: bool) -> None:
        of_x, self.x = pd.factorize(among.x, sort=True)  # by hashing: quicker than np.unique where values are few
        self.chances = self.x + leaves_at_first
        self.n_x = np.bincount(of_x, weights=among.customers)
        risk = (among.x > 0) | leaves_at_first
        of_once, self.once = pd.factorize(among.T[~risk], sort=True)
        self.n_once = np.bincount(of_once, weights=among.customers[~risk], minlength=self.once.size)
        of_t, self.t = pd.factorize(np.concatenate([among.t_x[risk], among.T[risk]]), sort=True)
        columns = (among.customers[risk], among.x[risk], of_x[risk], *np.split(of_t, 2))
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
        left = 1 / np.where(self.chances > 0, b + self.chances - 1, 1.0)
        log_odds = np.log(a * left)
        for n, x, of_x, of_t_x, of_T in self.blocks:
            # w is the share of those who left after the last purchase: of the second term in the sum.
            shape, log_T, rate_T, rate_t, left_x = r + x, log_time[of_T], rate[of_T], rate[of_t_x], left[of_x]
            closer = log_T - log_time[of_t_x]
            odds = log_odds[of_x] + shape * closer
            w = n * special.expit(odds)
            stay = n - w
            value -= n @ (shape * log_T + special.log_expit(-odds))
            # How the gradient of the second term by (r, alpha, a, b) differs from that of the first.
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
        """What stands before the sum: its value, gradient, and upper half of the Hessian."""
        x, k, n = self.x, self.chances, self.n_x
        total = n.sum()
        value = n @ (special.gammaln(r + x) + special.gammaln(b + k) - special.gammaln(a + b + k)) + total * (
            r * np.log(alpha) - special.gammaln(r) + special.gammaln(a + b) - special.gammaln(b)
        )
        psi = special.digamma
        by_r, by_ab, by_b = (n @ (psi(at + by) - psi(at)) for at, by in ((r, x), (a + b, k), (b, k)))
        by_rr, by_ab2, by_bb = (n @ (trigamma(at + by) - trigamma(at)) for at, by in ((r, x), (a + b, k), (b, k)))
        gradient = np.array([by_r + total * np.log(alpha), total * r / alpha, -by_ab, by_b - by_ab])
        hessian = np.zeros((4, 4))
        hessian[0, 0], hessian[0, 1], hessian[1, 1] = by_rr, total / alpha, -total * r / alpha**2
        hessian[2, 2], hessian[2, 3], hessian[3, 3] = -by_ab2, -by_ab2, by_bb - by_ab2
        return float(value), gradient, hessian
