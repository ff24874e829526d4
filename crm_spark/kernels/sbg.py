"""Shifted beta-geometric: how long customers stay who must say that they leave, as with contracts.

At each renewal a customer leaves for good with probability theta ~ Beta(alpha, beta) over customers. A cohort's
retention rate rises with its age, because those stay who seldom leave. All times are numbers of renewals.

References
----------
Fader, P. S., Hardie, B. G. S. (2007). How to Project Customer Retention. Journal of Interactive Marketing 21(1), 76-90.
Fader, P. S., Hardie, B. G. S. (2010). Customer-Base Valuation in a Contractual Setting: The Perils of Ignoring
Heterogeneity. Marketing Science 29(1), 85-93.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from crm_spark.kernels.likelihood import Derivatives, Derive, Estimate, Floats, best, nothing

NAMES = ("alpha", "beta")
MOST = 1_000_000  # renewals to come: nobody asks how many more there may be


@dataclass(frozen=True)
class Lifetimes:
    """Customers by age: at each renewal those who left and those who renewed.

    Parameters
    ----------
    left, renewed : (n,) arrays
        At the first renewal, the second and so on; over cohorts of all ages.
    """

    left: Floats
    renewed: Floats


def lifetimes(renewal: NDArray[np.int64], is_there: NDArray[np.bool_], customers: Floats | None = None) -> Lifetimes:
    """Count who left and who renewed at each age.

    Parameters
    ----------
    renewal : (m,) array of int
        Of who left, the renewal at which: 1 or more. Of who is still there, the last one made: 0 or more.
    is_there : (m,) array of bool
    customers : (m,) array, optional
        How many customers each row stands for.
    """
    counts = np.ones(renewal.size) if customers is None else np.asarray(customers, dtype=np.float64)
    most = int(renewal.max(initial=0)) + 1
    left, stays = (np.bincount(renewal, counts * who, most).astype(np.float64) for who in (~is_there, is_there))
    later = np.cumsum((left + stays)[::-1])[::-1] - left
    return Lifetimes(left[1:], later[1:])


def fit(among: Lifetimes, start: Floats | None = None) -> Estimate:
    """Find alpha and beta by maximum likelihood.

    Parameters
    ----------
    among : Lifetimes
    start : (2,) array, optional
        Another place to begin, such as the parameters of a former run.

    Returns
    -------
    Estimate
        Parameters in the order of NAMES.
    """
    left, renewed = among.left.sum(), among.renewed.sum()
    if left + renewed == 0:
        return nothing(len(NAMES), "no customer has come to a renewal")
    if left == 0:
        return nothing(len(NAMES), "the likelihood has no maximum: nobody has left, so alpha falls to 0")
    if renewed == 0:
        return nothing(len(NAMES), "the likelihood has no maximum: nobody renewed, so beta falls to 0")
    share = left / (left + renewed)
    starts = [strength * np.array([share, 1 - share]) for strength in (1.0, 10.0)]
    # As a rule those of the first renewal; of contracts that are known from a later one on there are none then.
    customers = float((among.left + among.renewed).max())
    return best(likelihood(among), NAMES, starts if start is None else [*starts, start], customers)


def likelihood(among: Lifetimes) -> Derive:
    """Prepare the log-likelihood, to be derived at many parameters."""
    return partial(_derive, among=among)


def log_likelihood(parameters: Floats, among: Lifetimes) -> float:
    """Give the log-likelihood: who left, and who is still there, of all cohorts."""
    return _derive(parameters, among)[0]


def _derive(parameters: Floats, among: Lifetimes) -> Derivatives:
    """Equations (5) and (6) as a product over renewals: each is one more draw from Polya's urn."""
    alpha, beta = parameters
    left, renewed = among.left, among.renewed
    age = np.arange(left.size)
    stay, any_way = beta + age, alpha + beta + age
    came = left + renewed
    value = left.sum() * np.log(alpha) + renewed @ np.log(stay) - came @ np.log(any_way)
    by_any, by_any_2 = came @ (1 / any_way), came @ any_way**-2
    gradient = np.array([left.sum() / alpha - by_any, renewed @ (1 / stay) - by_any])
    hessian = np.full((2, 2), by_any_2)
    hessian[0, 0] -= left.sum() / alpha**2
    hessian[1, 1] -= renewed @ stay**-2
    return float(value), gradient, hessian


def retention(parameters: Floats, k: Floats) -> Floats:
    """Give the share that renews among those who have renewed k times, equation (7)."""
    alpha, beta = parameters
    return np.asarray((beta + k) / (alpha + beta + k), dtype=np.float64)


def survival(parameters: Floats, most: int) -> Floats:
    """Give the share still there after 0, 1, ... `most` renewals.

    Returns
    -------
    (most + 1,) array
    """
    rates = retention(parameters, np.arange(most, dtype=np.float64))
    return np.asarray(np.append(1.0, rates.cumprod()), dtype=np.float64)


def expected_renewals(parameters: Floats, k: Floats, horizon: float, discount: float = 0.0) -> Floats:
    """Give the renewals to expect of who is still there and has renewed k times.

    With an infinite horizon and a discount it is the discounted expected residual lifetime (DERL) of Fader and
    Hardie (2010).

    Parameters
    ----------
    k : (n,) array
        Renewals made.
    horizon : float
        Renewals to come, the one due now among them; may be infinite.
    discount : float
        Rate for one period: the renewal due now counts whole, the s-th after it (1 + discount)^-s.

    Returns
    -------
    (n,) array
        Infinite where an infinite horizon is not discounted and alpha is 1 or less.
    """
    alpha, beta = parameters
    ages, of = np.unique(np.asarray(k, dtype=np.float64), return_inverse=True)
    return (1 + discount) * until_leaving(alpha, beta + ages, horizon, discount)[of]


def until_leaving(alpha: float | Floats, beta: Floats, horizon: float, discount: float) -> Floats:
    """Sum (1 + discount)^-s P(still there after s) over s = 1 ... horizon.

    To infinity it is a multiple of the hypergeometric function 2F1(1, beta + 1; alpha + beta + 1; 1 / (1 + discount)),
    here by Gauss's continued fraction: it has no pole at whole alpha, and its errors alternate.

    Parameters
    ----------
    alpha : float
        Or an array that fits beta, if the sum is infinite and discounted.
    beta : (n,) array
    """
    fade = 1 / (1 + discount)
    if np.isfinite(horizon):
        there, total = np.ones_like(beta), np.zeros_like(beta)
        for s in range(int(horizon)):
            there = there * (fade * (beta + s) / (alpha + beta + s))
            total += there
        return total
    if discount == 0:
        return beta / (alpha - 1) if alpha > 1 else np.full_like(beta, np.inf)
    return fade * beta / (alpha + beta) * _gauss(alpha, beta + 1, fade)


def _gauss(alpha: float | Floats, b: Floats, z: float) -> Floats:
    """2F1(1, b; alpha + b; z) for 0 < z < 1: the fraction of equation 15.7.5 in the DLMF, from its far end."""
    # Each two floors bring a factor ((1 - sqrt(1 - z)) / (1 + sqrt(1 - z)))^2; so many make 1e-18.
    root = np.sqrt(1 - z)
    floors = 8 + int(20 / (np.log1p(root) - np.log1p(-root)))
    c = alpha + b
    tail = np.ones_like(b)
    for m in range(floors, -1, -1):
        even = (b + m) * (c - 1 + m) / ((c - 1 + 2 * m) * (c + 2 * m)) if m else b / c
        odd = (m + 1) * (alpha + m) / ((c + 2 * m) * (c + 1 + 2 * m))
        tail = 1 - z * even / (1 - z * odd / tail)
    return 1 / tail


def quantiles(parameters: Floats, k: Floats, levels: Sequence[float]) -> NDArray[np.int64]:
    """Give quantiles of the renewals to come of who is still there and has renewed k times, however far ahead.

    Those of a horizon are the same, but no more than it has.

    Parameters
    ----------
    parameters : (2, m) array
        Parameters as they may be, each as likely as the others.
    k : (n,) array
    levels : sequence of float
        In (0, 1).

    Returns
    -------
    (n, levels) array of int
        The least number that is not exceeded with that probability; MOST at most.
    """
    alpha, beta = parameters[:, :, None]
    ages, of = np.unique(np.asarray(k, dtype=np.float64), return_inverse=True)
    begin = special.betaln(alpha, beta + ages)
    found = np.empty((ages.size, len(levels)), dtype=np.int64)
    for i, level in enumerate(levels):
        least, most = np.zeros(ages.size), np.full(ages.size, float(MOST))
        while (least < most).any():
            middle = np.floor((least + most) / 2)
            # P(still there after s more) is B(alpha, beta + k + s) / B(alpha, beta + k).
            more = np.exp(special.betaln(alpha, beta + ages + middle + 1) - begin).mean(axis=0)
            is_enough = more <= 1 - level
            least, most = np.where(is_enough, least, middle + 1), np.where(is_enough, middle, most)
        found[:, i] = most
    return found[of]


def moments(parameters: Floats, k: Floats, horizon: float, discount: float = 0.0) -> tuple[Floats, Floats]:
    """Give mean and variance of what the renewals to come are worth, of who is still there and has renewed k times.

    Parameters
    ----------
    parameters : (2, m) array
        Sets of parameters.
    k : (n,) array
    horizon : float
        Renewals to come; if infinite, the discount must be above 0.
    discount : float
        As `expected_renewals` has it: each renewal is worth 1, less by its time.

    Returns
    -------
    means, variances : (m, n) arrays
        By chance alone, given the parameters.
    """
    alpha, beta = parameters[0][:, None], parameters[1][:, None] + k
    if np.isfinite(horizon):
        there, worth, mean, square = np.ones_like(beta), 0.0, np.zeros_like(beta), np.zeros_like(beta)
        for s in range(int(horizon)):
            there = there * ((beta + s) / (alpha + beta + s))
            more = (1 + discount) ** -s
            mean += more * there
            square += (2 * worth + more) * more * there  # by how much one more renewal lifts the square
            worth += more
        return mean, np.maximum(square - mean**2, 0.0)
    # N renewals are worth (1 - fade^N) (1 + d) / d, and fade^2 is the fade of another discount.
    twice = (1 + discount) ** 2 - 1
    mean, mean_twice = ((1 + d) * until_leaving(alpha, beta, np.inf, d) for d in (discount, twice))
    faded, faded_twice = (1 - m * d / (1 + d) for m, d in ((mean, discount), (mean_twice, twice)))
    spread = np.maximum(faded_twice - faded**2, 0.0)
    return mean, spread * ((1 + discount) / discount) ** 2


def by_age(there: Floats, k: NDArray[np.int64], due: NDArray[np.int64], customers: Floats) -> Floats:
    """Sum up the renewals to expect of a group: how many at the first renewal, the second and so on.

    Parameters
    ----------
    there : (most + 1,) array
        The share still there after 0, 1, ... `most` renewals, as `survival` gives it.
    k, due : (n,) arrays of int
        Renewals made, and how many more come due.
    customers : (n,) array
        How many each row stands for.

    Returns
    -------
    (most,) array
    """
    expected = np.zeros(there.size - 1)
    for made, more, many in zip(k, due, customers, strict=True):
        if there[made] > 0:
            expected[made : made + more] += many * there[made + 1 : made + more + 1] / there[made]
    return expected


def draw(parameters: Floats, k: Floats, horizon: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw the renewals to come of each customer who is still there and has renewed k times.

    Parameters
    ----------
    parameters : (2,) array, or (2, n) array
        Of all customers or of each.
    k : (n,) array
    horizon : float
        Renewals to come.

    Returns
    -------
    (n,) array of int
        0 to `horizon`.
    """
    alpha, beta = parameters
    return periods(random.beta(alpha, beta + k), horizon, random)


def periods(theta: Floats, horizon: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw how many of the next periods each customer stays, who leaves with probability theta before each."""
    waits = random.standard_exponential(theta.size)
    # Who can hardly leave stays: -log1p(-theta) may be 0.
    rate = -np.log1p(-np.minimum(theta, 1 - 1e-16))
    return np.where(waits >= horizon * rate, horizon, waits / np.maximum(rate, 1e-300)).astype(np.int64)
