"""BG/BB: how often customers will buy at given opportunities, who may leave without a word.

At each opportunity (a yearly appeal, a weekly delivery) a customer who is still one buys with probability
p ~ Beta(alpha, beta); before each they leave for good with probability theta ~ Beta(gamma, delta). Of each customer
three whole numbers matter: x purchases, the last of them at the opportunity t_x (0 if there is none), and T, the
opportunities so far, which the paper calls n.

References
----------
Fader, P. S., Hardie, B. G. S., Shang, J. (2010). Customer-Base Analysis in a Discrete-Time Noncontractual Setting.
Marketing Science 29(6), 1086-1108.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels import sbg
from crm_spark.kernels.histories import of_rows
from crm_spark.kernels.likelihood import Derivatives, Derive, Estimate, Floats, best, nothing

NAMES = ("alpha", "beta", "gamma", "delta")
FEW = 20_000  # histories on which the search begins

Ints = NDArray[np.int64]


class Histories(Protocol):
    """Distinct histories and how many customers have each, (n,) arrays."""

    @property
    def x(self) -> Floats: ...  # noqa: D102
    @property
    def t_x(self) -> Floats: ...  # noqa: D102
    @property
    def T(self) -> Floats: ...  # noqa: D102, N802
    @property
    def customers(self) -> Floats: ...  # noqa: D102


def fit(among: Histories, start: Floats | None = None) -> Estimate:
    """Find alpha, beta, gamma and delta by maximum likelihood.

    Parameters
    ----------
    among : Histories
    start : (4,) array, optional
        Another place to begin, such as the parameters of a former run.

    Returns
    -------
    Estimate
        Parameters in the order of NAMES.
    """
    columns = (among.x, among.t_x, among.T, among.customers)
    if not (among.x > 0).any():
        return nothing(len(NAMES), "no customer bought again")
    # Until the last purchase a customer is one for certain: what they bought by then tells p from above.
    buys = float(among.customers @ among.x / (among.customers @ among.t_x + 1))
    starts = [
        np.array([strength * buys, strength * (1 - buys), strength * leaves, strength * (1 - leaves)])
        for strength, leaves in ((2.0, 0.1), (0.7, 0.5))
    ]
    starts = starts if start is None else [*starts, start]
    step = among.x.size // FEW
    if step > 1:
        few = _Likelihood(*[column[::step] for column in columns])
        found = best(few.derive, NAMES, starts, few.customers.sum())
        starts = starts if found.reason else [found.parameters]
    return best(likelihood(among), NAMES, starts, among.customers.sum())


def likelihood(among: Histories) -> Derive:
    """Prepare the log-likelihood, to be derived at many parameters."""
    return _Likelihood(among.x, among.t_x, among.T, among.customers).derive


def log_likelihood(parameters: Floats, among: Histories) -> float:
    """Give the log-likelihood of equation (5), summed over the customers."""
    return likelihood(among)(parameters)[0]


class _Silences:
    """Pairs (x, T), the longest silence since a last purchase first, and the rows that are silent for so long.

    Whoever has the same x and T shares the sums over the opportunity at which they may have left, from the latest
    backwards: each silence is one more term.
    """

    def __init__(self, x: Floats, t_x: Floats, T: Floats, are_apart: bool = False) -> None:
        whole = [np.asarray(column).astype(np.int64) for column in (x, t_x, T)]
        is_history = (whole[0] >= 0) & (whole[0] <= whole[1]) & (whole[1] <= whole[2])
        if not (is_history & ((whole[0] > 0) == (whole[1] > 0))).all():
            raise ValueError("histories must have 0 <= x <= t_x <= T, with t_x of 0 where x is 0")
        silence = whole[2] - whole[1]
        most = int(whole[2].max(initial=0)) + 1
        code = np.arange(silence.size) if are_apart else whole[0] * most + whole[2]
        _, first, of = np.unique(code, return_index=True, return_inverse=True)
        longest = np.zeros(first.size, dtype=np.int64)
        np.maximum.at(longest, of, silence)
        self.order = np.argsort(-longest, kind="stable")
        self.first = first[self.order]
        self.x, self.T = whole[0][self.first], whole[2][self.first]
        place = np.empty_like(self.order)
        place[self.order] = np.arange(self.order.size)
        rows = np.argsort(silence, kind="stable")
        longest_of_all = int(silence.max(initial=0))
        ends = np.searchsorted(silence[rows], np.arange(longest_of_all + 1), side="right")
        self.rows = [(some, place[of[some]]) for some in np.split(rows, ends[:-1])]
        self.going_on = np.searchsorted(-longest[self.order], -np.arange(longest_of_all + 1), side="right")


class _Likelihood:
    """Equation (5) with its derivatives; what is taken from gamma functions is summed once for each whole number.

    The likelihood is a sum over when a customer left. Its gradient is the mean of the terms' gradients by their
    shares, its Hessian the mean of their Hessians and the spread of their gradients: both are kept as the sum grows,
    so that nothing cancels.
    """

    def __init__(self, x: Floats, t_x: Floats, T: Floats, customers: Floats) -> None:
        self.among = _Silences(x, t_x, T)
        self.customers = customers
        self.most = int(self.among.T.max()) + 1

    def derive(self, parameters: Floats) -> Derivatives:
        alpha, beta, gamma, delta = parameters
        x, T = self.among.x, self.among.T
        buy, skip, either = (_rising(at, self.most) for at in (alpha, beta, alpha + beta))
        stay, both = (_rising(at, self.most) for at in (delta, gamma + delta))
        # Who is still a customer: B(alpha + x, beta + T - x) B(gamma, delta + T) over the two at no history.
        log = skip[0, T - x] - either[0, T] + stay[0, T] - both[0, T]
        mean = np.stack([-either[1, T], skip[1, T - x] - either[1, T], -both[1, T], stay[1, T] - both[1, T]])
        bent = np.stack([either[2, T], skip[2, T - x], both[2, T], stay[2, T]])
        left, spread = np.zeros(x.size), np.zeros((4, 4, x.size))
        value, gradient, hessian = 0.0, np.zeros(4), np.zeros((4, 4))
        for silent, (rows, pairs) in enumerate(self.among.rows):
            if silent:
                to = slice(self.among.going_on[silent])
                j = T[to] - silent
                k = j - x[to]
                more = np.log(gamma) + skip[0, k] - either[0, j] + stay[0, j] - both[0, j + 1]
                by = [-either[1, j], skip[1, k] - either[1, j], 1 / gamma - both[1, j + 1], stay[1, j] - both[1, j + 1]]
                log[to] = np.logaddexp(log[to], more)
                share = np.exp(more - log[to])
                apart = np.stack(by) - mean[:, to]
                mean[:, to] += share * apart
                spread[:, :, to] = (1 - share) * (spread[:, :, to] + share * apart[:, None] * apart)
                bent[:, to] += share * (np.stack([either[2, j], skip[2, k], both[2, j + 1], stay[2, j]]) - bent[:, to])
                left[to] += share * (1 - left[to])
            if rows.size:
                n, of_x = self.customers[rows], x[pairs]
                value += n @ (log[pairs] + buy[0, of_x])
                gradient += mean[:, pairs] @ n
                gradient[0] += n @ buy[1, of_x]
                hessian += spread[:, :, pairs] @ n
                by_either, by_skip, by_both, by_stay = bent[:, pairs] @ n
                hessian[:2, :2] -= by_either
                hessian[2:, 2:] -= by_both
                hessian += np.diag([n @ buy[2, of_x], by_skip, -(n @ left[pairs]) / gamma**2, by_stay])
        return float(value), gradient, hessian


def _rising(at: float, most: int) -> Floats:
    """The logarithm of at (at + 1) ... (at + k - 1) for k = 0 ... most, and its first two derivatives.

    Returns
    -------
    (3, most + 1) array
    """
    steps = at + np.arange(most)
    sums = np.zeros((3, most + 1))
    np.cumsum(np.stack([np.log(steps), 1 / steps, -(steps**-2)]), axis=1, out=sums[:, 1:])
    return sums


def probability_alive(parameters: Floats, x: Floats, t_x: Floats, T: Floats, ahead: int = 0) -> Floats:
    """Give the probability that a customer has not left: 1 by definition where t_x is T.

    Parameters
    ----------
    parameters : (4,) array, or (4, n) array
        Of all customers or of each.
    x, t_x, T : (n,) arrays
    ahead : int, default 0
        Opportunities after T until which they must not have left: the paper's tables have 1, equation (11).
    """
    alpha, beta, gamma, delta = parameters
    silences = _Silences(x, t_x, T, are_apart=parameters.ndim == 2)
    if parameters.ndim == 2:
        alpha, beta, gamma, delta = parameters[:, silences.first]
    of_x, of_T = silences.x, silences.T
    # The ratio of the chance to have left just after opportunity j to that of being there, from the latest j backwards.
    odds, log = np.full(of_x.size, -np.inf), np.zeros(of_x.size)
    alive = np.empty(np.asarray(x).size, dtype=np.float64)
    later = np.ones(of_x.size)
    for s in range(ahead):
        later = later * (delta + of_T + s) / (gamma + delta + of_T + s)
    for silent, (rows, pairs) in enumerate(silences.rows):
        if silent:
            end = silences.going_on[silent]
            a, b, g, d = (at if np.ndim(at) == 0 else at[:end] for at in (alpha, beta, gamma, delta))
            j = of_T[:end] - silent
            bought = np.log(a + b + j) - np.log(b + j - of_x[:end])
            stayed = np.log(g) if silent == 1 else np.log(g + d + j + 1)
            odds[:end] = bought + stayed - np.log(d + j) + (0.0 if silent == 1 else odds[:end])
            log[:end] = np.logaddexp(log[:end], odds[:end])
        alive[rows] = np.exp(-log[pairs]) * later[pairs]
    return alive


def expected_purchases(
    parameters: Floats, x: Floats, t_x: Floats, T: Floats, horizon: float, discount: float = 0.0
) -> Floats:
    """Give the purchases to expect at the next `horizon` opportunities, equations (13) and (14).

    Parameters
    ----------
    x, t_x, T : (n,) arrays
    horizon : float
        Opportunities; may be infinite.
    discount : float
        Rate for one opportunity: a purchase at the s-th from now counts (1 + discount)^-s. With an infinite horizon
        the sum is the discounted expected residual transactions (DERT).

    Returns
    -------
    (n,) array
        Infinite where an infinite horizon is not discounted and gamma is 1 or less.
    """
    alive = probability_alive(parameters, x, t_x, T)
    return np.asarray(alive * _while_alive(parameters, x, T, [horizon], discount)[:, 0], dtype=np.float64)


def expected_if_alive(parameters: Floats, x: Floats, T: Floats, times: Floats) -> Floats:
    """Give the purchases to expect at the next opportunities, until each of some, of who is one at T.

    Parameters
    ----------
    x, T : (n,) arrays
    times : (k,) array
        Opportunities after T; of a part of one nothing is expected.

    Returns
    -------
    (n, k) array
    """
    return _while_alive(parameters, x, T, times, 0.0)


def discounted_if_alive(parameters: Floats, x: Floats, T: Floats, discount: float) -> Floats:
    """Give all purchases to come of a customer who is one at T, each discounted: equation (14) without P(alive).

    Parameters
    ----------
    x, T : (n,) arrays
    discount : float
        Continuous rate for one opportunity: a purchase at the s-th from now counts exp(-discount * s).
    """
    return _while_alive(parameters, x, T, [np.inf], float(np.expm1(discount)))[:, 0]


def _while_alive(parameters: Floats, x: Floats, T: Floats, horizons: Iterable[float], discount: float) -> Floats:
    """The purchases to expect of who is one at T until each of the horizons, discounted; (n, k)."""
    alpha, beta, gamma, delta = parameters
    ages, of = np.unique(np.asarray(T, dtype=np.float64), return_inverse=True)
    there = np.stack([sbg.until_leaving(gamma, delta + ages, horizon, discount) for horizon in horizons], axis=1)
    return np.asarray(((alpha + x) / (alpha + beta + T))[:, None] * there[of], dtype=np.float64)


def expected_by(parameters: Floats, times: Floats) -> Floats:
    """Give the purchases to expect of a new customer at the first 0, 1, ... opportunities, equation (8).

    Parameters
    ----------
    times : (n,) array
        Opportunities.
    """
    alpha, beta, gamma, delta = parameters
    until = np.asarray(times).astype(np.int64)
    there = sbg.survival(np.array([gamma, delta]), int(until.max(initial=0)))
    there[0] = 0.0
    return np.asarray(alpha / (alpha + beta) * np.cumsum(there)[until], dtype=np.float64)


def purchase_shares(parameters: Floats, T: Floats, most: int) -> Floats:
    """Give the probabilities of 0, 1, ... purchases of a new customer at the first T opportunities, equation (7).

    Returns
    -------
    (n, most + 1) array
        The last column is that of `most` purchases or more.
    """
    until = np.asarray(T).astype(np.int64)
    alpha, beta, gamma, delta = (np.array([[at]]) for at in parameters)
    shares = np.empty((until.size, most + 1))
    steps = _urn(alpha, beta, gamma, delta, most)
    for step in range(int(until.max(initial=0)) + 1):
        shares[until == step] = next(steps)
    return shares


def future_shares(parameters: Floats, x: Floats, t_x: Floats, T: Floats, horizon: int, most: int) -> Floats:
    """Give the probabilities of 0, 1, ... purchases at the next `horizon` opportunities, equation (12).

    Returns
    -------
    (n, most + 1) array
        The last column is that of `most` purchases or more. Computed once for each distinct (x, T).
    """
    alpha, beta, gamma, delta = parameters
    pairs, of = np.unique(np.column_stack([x, T]).astype(np.int64), axis=0, return_inverse=True)
    bought, seen = pairs[:, :1], pairs[:, 1:]
    steps = _urn(alpha + bought, beta + seen - bought, np.full(seen.shape, gamma), delta + seen, most)
    shares = next(islice(steps, horizon, None))
    alive = probability_alive(parameters, x, t_x, T)
    told = alive[:, None] * shares[of.ravel()]
    told[:, 0] += 1 - alive
    return told


def _urn(alpha: Floats, beta: Floats, gamma: Floats, delta: Floats, most: int) -> Iterator[Floats]:
    """The shares of those who bought 0, 1, ... times at the first 0, 1, ... opportunities, as draws of Polya's urn.

    Parameters
    ----------
    alpha, beta, gamma, delta : (n, 1) arrays
    """
    bought = np.arange(most)
    alive = np.zeros((alpha.shape[0], most))
    alive[:, :1] = 1.0
    gone, step = np.zeros_like(alive), 0
    while True:
        among = gone + alive
        yield np.column_stack([among, np.maximum(1 - among.sum(axis=1), 0.0)])
        leaves = gamma / (gamma + delta + step)
        gone = gone + leaves * alive
        buys = alive * ((alpha + bought) / (alpha + beta + step))
        alive = alive * (np.maximum(beta + step - bought, 0.0) / (alpha + beta + step))
        alive[:, 1:] += buys[:, :-1]
        alive *= 1 - leaves
        step += 1


def draw(
    parameters: Floats, x: Floats, t_x: Floats, T: Floats, horizon: float, random: np.random.Generator
) -> NDArray[np.int64]:
    """Draw the purchases of each customer at the next `horizon` opportunities, given their history.

    Parameters
    ----------
    parameters : (4,) array, or (4, n) array
        Of all customers or of each.
    x, t_x, T : (n,) arrays

    Returns
    -------
    (n,) array of int
    """
    alpha, beta, gamma, delta = parameters
    is_there = random.random(x.size) < of_rows(probability_alive, parameters, x, t_x, T)
    buys = random.beta(alpha + x, beta + T - x)
    stays = sbg.periods(random.beta(gamma, delta + T), horizon, random)
    return np.where(is_there, random.binomial(stays, buys), 0).astype(np.int64)
