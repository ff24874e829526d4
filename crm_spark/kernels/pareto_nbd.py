"""Pareto/NBD: how often customers will buy who may leave without a word at any time.

While active, customers buy at rate lambda ~ Gamma(r, alpha); they leave for good at rate mu ~ Gamma(s, beta). Of each
customer x repeat purchases, the last of them at t_x, and T under observation are known; times count from the first
purchase, and alpha and beta have their unit.

The papers write the likelihood with a difference of two hypergeometric functions, of which little is left where both
are alike, and in two ways, for alpha above and below beta. Here it is the sum of two integrals, who left after T
and who left after t_x without a purchase at T or later, both positive:

    L = Gamma(r + x) / Gamma(r) * alpha^r * beta^s * (
            (r + x) * integral from T   of (alpha + y)^-(r + x + 1) * (beta + y)^-s      dy
          +       s * integral from t_x of (alpha + y)^-(r + x)     * (beta + y)^-(s + 1) dy).

By parts, the first is (alpha + T)^-(r + x) * (beta + T)^-s, which is that of customers alive at T, less the second
from T. The first depends on (x, T), the second on (x, t_x): there are far fewer of either than of histories.

References
----------
Schmittlein, D. C., Morrison, D. G., Colombo, R. (1987). Counting Your Customers: Who Are They and What Will They Do
Next? Management Science 33(1), 1-24.
Fader, P. S., Hardie, B. G. S. (2005). A Note on Deriving the Pareto/NBD Model and Related Expressions.
brucehardie.com/notes/009.
Fader, P. S., Hardie, B. G. S., Lee, K. L. (2005). RFM and CLV: Using Iso-Value Curves for Customer Base Analysis.
Journal of Marketing Research 42(4), 415-430.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from crm_spark.kernels.histories import Histories, begin, histories, of_rows, search
from crm_spark.kernels.likelihood import Derivatives, Derive, Estimate, Floats, Rise, trigamma
from crm_spark.kernels.quadrature import DIGITS, discounted, laguerre, legendre

NAMES = ("r", "alpha", "s", "beta")
COVARIED = (0, -1, 0, -1)  # whether covariates raise or lower each parameter: they raise rates
GUESSES = ((1.0, 1.0, 1.0, 1.0), (0.5, 0.3, 0.5, 0.5), (3.0, 2.0, 0.5, 3.0))
LADDER = (26, 32, 40, 64, 128, 320)  # nodes of the integral over the time of leaving
BLOCK = 32_768  # values at a time
NOTHING = 37.0  # exp(-NOTHING) is nothing beside 1
TAIL = 4  # nodes where a mere exponential is left
Rows = tuple[Floats, Floats, Floats]  # of log-integrals: values (n,), gradients (n, 4), Hessians (n, 4, 4)


def fit(among: Histories, start: Floats | None = None) -> Estimate:
    """Find r, alpha, s and beta by maximum likelihood.

    Parameters
    ----------
    among : Histories
    start : (4,) array, optional
        Parameters of a former run, from which to search first.

    Returns
    -------
    Estimate
        Parameters in the order of NAMES; alpha and beta have the unit of the times.
    """
    return search(likelihood, among, NAMES, begin(among, GUESSES, (False, True, False, True)), start)


def likelihood(among: Histories) -> Derive:
    """Prepare the log-likelihood, to be derived at many parameters: see `derivatives`."""
    return _Likelihood(among).derive


def rise(among: Histories) -> Rise:
    """Prepare the log-likelihood with its gradient alone, which takes half as long."""
    of = _Likelihood(among)
    return lambda parameters: of.derive(parameters, is_curved=False)[:2]


def log_likelihood(parameters: Floats, among: Histories) -> float:
    """Give the log-likelihood, summed over customers."""
    return rise(among)(parameters)[0]


def derivatives(parameters: Floats, among: Histories) -> Derivatives:
    """Give the log-likelihood with its exact gradient (4,) and Hessian (4, 4)."""
    return likelihood(among)(parameters)


class _Likelihood:
    """The log-likelihood with its derivatives: integrals once for each (x, T) and (x, t_x), gammas for each x."""

    def __init__(self, among: Histories) -> None:
        self.x, of_x = np.unique(among.x, return_inverse=True)
        self.n_x = np.bincount(of_x, weights=among.customers)
        self.n = among.customers
        self.late, self.early = among.by_end, among.by_last

    def derive(self, parameters: Floats, is_curved: bool = True) -> Derivatives:
        """Derive it once, and where `is_curved` twice."""
        r, _, s, _ = parameters
        value, gradient, hessian = self._of_x(parameters)
        late = _log_integrals(parameters, r + self.late.x + 1, s, self.late.T, is_curved)
        early = _log_integrals(parameters, r + self.early.x, s + 1, self.early.T, is_curved)
        # The factors before the integrals.
        shape = r + self.late.x
        late[0][:] += np.log(shape)
        late[1][:, 0] += 1 / shape
        late[2][:, 0, 0] -= 1 / shape**2
        early[0][:] += np.log(s)
        early[1][:, 2] += 1 / s
        early[2][:, 2, 2] -= 1 / s**2

        weights = np.empty_like(self.n)
        for at in range(0, self.n.size, BLOCK):
            here = slice(at, at + BLOCK)
            n, of_late, of_early = self.n[here], self.late.of[here], self.early.of[here]
            log_late = late[0][of_late]
            odds = early[0][of_early] - log_late
            w = special.expit(odds)
            value += n @ (log_late - special.log_expit(-odds))
            weights[here] = w
            if is_curved:
                jump = early[1][of_early] - late[1][of_late]
                hessian += (jump * (n * w * special.expit(-odds))[:, None]).T @ jump
        for share, of, (values, by, by_two) in ((1 - weights, self.late.of, late), (weights, self.early.of, early)):
            counts = np.bincount(of, weights=share * self.n, minlength=values.size)
            gradient += counts @ by
            if is_curved:
                hessian += np.tensordot(counts, by_two, axes=1)
        return float(value), gradient, (hessian + hessian.T) / 2

    def _of_x(self, parameters: Floats) -> Derivatives:
        """What stands before the sum."""
        r, alpha, s, beta = parameters
        x, n, total, psi = self.x, self.n_x, self.n_x.sum(), special.digamma
        value = n @ (special.gammaln(r + x) - special.gammaln(r)) + total * (r * np.log(alpha) + s * np.log(beta))
        by_r = n @ (psi(r + x) - psi(r)) + total * np.log(alpha)
        gradient = np.array([by_r, total * r / alpha, total * np.log(beta), total * s / beta])
        hessian = np.diag([n @ (trigamma(r + x) - trigamma(r)), -total * r / alpha**2, 0.0, -total * s / beta**2])
        hessian[0, 1] = hessian[1, 0] = total / alpha
        hessian[2, 3] = hessian[3, 2] = total / beta
        return float(value), gradient, hessian


def _log_integrals(parameters: Floats, a: Floats, b: float, t: Floats, is_curved: bool) -> Rows:
    """The logarithms of the integrals from t of (alpha + y)^-a * (beta + y)^-b, with their derivatives.

    Here a is r, and b is s, plus what does not depend on the parameters.
    """
    values, gradients, hessians = np.empty(t.size), np.empty((t.size, 4)), np.empty((t.size, 4, 4))
    for nodes in _nodes(parameters, a, b, t):
        near = nodes.log_m + nodes.w, np.exp(-nodes.w - nodes.log_m)
        far = near[0] + np.log1p(nodes.apart), near[1] / (1 + nodes.apart)
        (log_a, rate_a), (log_b, rate_b) = (near, far) if parameters[1] <= parameters[3] else (far, near)
        shape, share = a[nodes.rows], nodes.share
        by = -np.stack([log_a, shape[:, None] * rate_a, log_b, b * rate_b], axis=1)
        mean = (by * share[:, None]).sum(axis=2)
        values[nodes.rows], gradients[nodes.rows] = nodes.value, mean
        if not is_curved:
            continue
        off = by - mean[:, :, None]
        two = (off * share[:, None]) @ off.transpose(0, 2, 1)
        for i, power, rate in ((0, shape, rate_a), (2, b, rate_b)):
            once = (share * rate).sum(axis=1)
            two[:, i, i + 1] -= once
            two[:, i + 1, i] -= once
            two[:, i + 1, i + 1] += power * (share * rate**2).sum(axis=1)
        hessians[nodes.rows] = two
    return values, gradients, hessians


class _Nodes(NamedTuple):
    """Where an integral is taken, for some rows with equally many nodes."""

    rows: NDArray[np.intp]
    log_m: Floats  # (n, 1), the logarithm of the lesser of alpha + t and beta + t
    w: Floats  # (n, nodes), how far beyond it the lesser of alpha + y and beta + y is
    apart: Floats  # (n, nodes), by what share the greater is above the lesser
    share: Floats  # (n, nodes), of the integral
    value: Floats  # (n,), the logarithm of the integral


def _nodes(parameters: Floats, a: Floats, b: Floats | float, t: Floats) -> Iterator[_Nodes]:
    """Take the integrals from t of (alpha + y)^-a * (beta + y)^-b.

    With m the lesser and M the greater of alpha + t and beta + t, and m * exp(w) the lesser of alpha + y and beta + y,
    the integral is m^-c times that of exp(-c w) * (1 + d exp(-w))^-f over w above 0, where d = M / m - 1, f is the
    power of the greater, and c = a + b - 1. Its logarithm is concave in w, and analytic for |Im w| < pi, whatever the
    parameters: Gauss-Legendre up to where it is nothing or a mere exponential, Gauss-Laguerre from there on.
    """
    _, alpha, _, beta = parameters
    lesser = np.minimum(alpha, beta) + t
    log_m, d = np.log(lesser), np.abs(alpha - beta) / lesser
    c, f = a + b - 1, np.where(alpha > beta, a, b)
    top = np.log(np.maximum(d * (f - c) / c, 1.0))
    peak = -c * top - f * np.log1p(d * np.exp(-top))
    end = (NOTHING - peak) / c
    for _ in range(4):  # by Newton's method, which comes to it from above
        apart = d * np.exp(-end)
        end -= (c * end + f * np.log1p(apart) + peak - NOTHING) / (c - f * apart / (1 + apart))
    # A mere exponential: neither d nor 1 / (alpha + y), of which derivatives are made, is anything there.
    end = np.clip(end, 0.0, np.log(np.maximum(f * d, 1.0)) + NOTHING)
    counts = _needed(c, d, end)
    for needed in LADDER:
        chosen, size = np.flatnonzero(counts == needed), BLOCK // needed
        for rows in (chosen[at : at + size] for at in range(0, chosen.size, size)):
            (at, weight), (beyond, tail) = legendre(needed), laguerre(TAIL)
            rate, length = c[rows, None], end[rows, None]
            w = np.concatenate([at * length, length + beyond / rate], axis=1)
            steps = np.concatenate([weight * length, tail / rate], axis=1)
            apart = d[rows, None] * np.exp(-w)
            parts = steps * np.exp(-rate * w - f[rows, None] * np.log1p(apart) - peak[rows, None])
            total = parts.sum(axis=1)
            value = np.log(total) + peak[rows] - c[rows] * log_m[rows]
            yield _Nodes(rows, log_m[rows, None], w, apart, parts / total[:, None], value)


def _needed(c: Floats, d: Floats, end: Floats) -> NDArray[np.int64]:
    """How many nodes give full precision up to `end`: the singularities are those of the greater's power.

    It is taken from half their distance, where the values are not yet large. What second derivatives are made of falls
    off by exp(-2 w) faster than the integral.
    """
    half = np.maximum(end / 2, 1e-9)
    pole = (np.log(np.maximum(d, 1e-300)) - half + 0.5j * np.pi) / half
    axis = (np.abs(pole + 1) + np.abs(pole - 1)) / 2
    by_pole = DIGITS / np.log(axis + np.sqrt(np.maximum(axis**2 - 1, 1e-30)))
    nodes = np.maximum(by_pole, 9 + 0.38 * (c + 2) * end)
    return np.array(LADDER)[np.minimum(np.searchsorted(LADDER, nodes), len(LADDER) - 1)]


def probability_alive(parameters: Floats, x: Floats, t_x: Floats, T: Floats) -> Floats:
    """Give the probability that a customer has not left.

    Parameters
    ----------
    parameters : (4,) array, or (4, n) with those of each row
    x, t_x, T : (n,) arrays
    """
    r, alpha, s, beta = parameters
    if parameters.ndim > 1:
        # Who buys at this moment is there; no two rows have an integral in common.
        alive, waits = np.ones(x.size), t_x < T
        own, x, t_x, T = parameters[:, waits], x[waits], t_x[waits], T[waits]
        stayed = -(own[0] + x) * np.log(own[1] + T) - own[2] * np.log(own[3] + T)
        late_one = _values(own, own[0] + x + 1, own[2], T) + np.log(own[0] + x)
        early_one = _values(own, own[0] + x, own[2] + 1, t_x) + np.log(own[2])
        alive[waits] = np.minimum(np.exp(stayed - np.logaddexp(late_one, early_one)), 1.0)
        return alive
    late, early = (histories(x, np.zeros_like(time), time) for time in (T, t_x))
    stayed = -(r + x) * np.log(alpha + T) - s * np.log(beta + T)
    later = _values(parameters, r + late.x + 1, s, late.T) + np.log(r + late.x)
    earlier = _values(parameters, r + early.x, s + 1, early.T) + np.log(s)
    alive = np.exp(stayed - np.logaddexp(later[late.of], earlier[early.of]))
    return np.asarray(np.minimum(alive, 1.0), dtype=np.float64)


def _values(parameters: Floats, a: Floats, b: Floats | float, t: Floats) -> Floats:
    values = np.empty(t.size)
    for nodes in _nodes(parameters, a, b, t):
        values[nodes.rows] = nodes.value
    return values


def expected_purchases(
    parameters: Floats, x: Floats, t_x: Floats, T: Floats, horizon: float, discount: float = 0.0
) -> Floats:
    """Give the purchases to expect in the time `horizon` after T.

    Equation (41) of Fader and Hardie; with a discount and an infinite horizon the discounted expected residual
    transactions of Fader, Hardie and Lee.

    Parameters
    ----------
    x, t_x, T : (n,) arrays
    horizon : float
        In the unit of the times; may be infinite where purchases are discounted.
    discount : float
        Continuous rate for one unit of time: a purchase after s counts exp(-discount * s).
    """
    times, weights = discounted(horizon, discount)
    expected = probability_alive(parameters, x, t_x, T) * _while_alive(parameters, x, T, times, weights[:, None])[:, 0]
    return np.asarray(expected, dtype=np.float64)


def expected_if_alive(parameters: Floats, x: Floats, T: Floats, times: Floats) -> Floats:
    """Give the purchases to expect until each of some times after T of a customer who is alive at T.

    Returns
    -------
    (n, times) array
    """
    return _while_alive(parameters, x, T, times, np.eye(times.size))


def discounted_if_alive(parameters: Floats, x: Floats, T: Floats, discount: float) -> Floats:
    """Give all purchases to come of a customer who is alive at T, each discounted: see `expected_purchases`."""
    times, weights = discounted(np.inf, discount)
    return _while_alive(parameters, x, T, times, weights[:, None])[:, 0]


def _while_alive(parameters: Floats, x: Floats, T: Floats, times: Floats, weights: Floats) -> Floats:
    """The purchases to expect of who is alive at T until each of the times, summed by (times, k) weights; (n, k)."""
    r, alpha, s, beta = parameters
    distinct, of = np.unique(T, return_inverse=True)
    stay = np.zeros((distinct.size, weights.shape[1]))
    for time, weight in zip(times, weights, strict=True):
        # The time that a customer who is alive is expected to stay, at most until then: smooth at s = 1.
        farther = np.log1p(time / (beta + distinct))
        stay += np.outer((beta + distinct) * farther * special.exprel((1 - s) * farther), weight)
    return np.asarray(((r + x) / (alpha + T))[:, None] * stay[of], dtype=np.float64)


def expected_by(parameters: Floats, times: Floats) -> Floats:
    """Give the repeat purchases to expect of a new customer until each time after the first purchase."""
    r, alpha, s, beta = parameters
    farther = np.log1p(times / beta)
    return np.asarray(r / alpha * beta * farther * special.exprel((1 - s) * farther), dtype=np.float64)


def purchase_shares(parameters: Floats, T: Floats, most: int) -> Floats:
    """Give the probabilities of 0, 1, ... purchases in the time T since the first one.

    Who stays buys as in the NBD until T, who leaves until then.

    Returns
    -------
    (n, most + 1) array
        The last column is that of `most` purchases or more.
    """
    r, alpha, s, beta = parameters
    distinct, of = np.unique(T, return_inverse=True)
    x = np.arange(most)[:, None]
    counts = special.gammaln(r + x) - special.gammaln(r) - special.gammaln(x + 1)
    at, weight = legendre(LADDER[-1])
    near = min(alpha, beta)
    shares = np.empty((distinct.size, most + 1))
    for i, end in enumerate(distinct):
        # Hardly anyone is left to leave later.
        farther = np.log1p(min(end, beta * np.expm1(min(NOTHING / s, 700.0))) / near)
        y = np.append(near * np.expm1(at * farther), end)
        gone = weight * farther * s * (near + y[:-1]) / (beta + y[:-1])
        parts = np.append(gone, 1.0) * np.exp(-s * np.log1p(y / beta))
        log_go = np.log(np.maximum(y, 1e-300) / (alpha + y))
        shares[i, :most] = (np.exp(counts - r * np.log1p(y / alpha) + x * log_go) * parts).sum(axis=1)
        shares[i, most] = max(1 - shares[i, :most].sum(), 0.0)
    return shares[of]


def draw(
    parameters: Floats, x: Floats, t_x: Floats, T: Floats, horizon: float, random: np.random.Generator
) -> NDArray[np.int64]:
    """Draw for each customer the purchases in the time `horizon` after T, given the history.

    Parameters may be (4, n), those of each row.

    Who is alive has lambda ~ Gamma(r + x, alpha + T) and mu ~ Gamma(s, beta + T), independent of each other.

    Returns
    -------
    (n,) array of int
    """
    r, alpha, s, beta = parameters
    alive = random.random(x.size) < of_rows(probability_alive, parameters, x, t_x, T)
    rate = random.standard_gamma(r + x) / (alpha + T)
    leaving = np.maximum(random.standard_gamma(s, x.size) / (beta + T), 1e-300)
    stays = np.minimum(random.standard_exponential(x.size) / leaving, horizon)
    return np.where(alive, random.poisson(rate * stays), 0).astype(np.int64)
