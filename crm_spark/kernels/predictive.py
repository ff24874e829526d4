"""Intervals for what customers will really buy and spend, and for the totals of groups of them.

An expected value is no forecast of one customer: most who are expected to buy 0.4 times will not buy at all. Here two
doubts come together: how people behave by chance, and how well the models know their parameters. Parameters are
drawn from their asymptotic distribution, normal in their logarithms.

Customers: once a customer is still one, what they do next depends on x and T alone, in all models of this kind; t_x
only says how likely they are one. So for each (x, T) one pool of futures is drawn, of who bought at the last moment,
each future with parameters of its own; of another customer the share rho = E(x, t_x, T) / E(x, T, T) lives such a
future, the others buy nothing. T alike in their first BITS bits share a pool, which moves a future by less than
chance does; where T is above x it is T - x, as of counted opportunities those without a purchase tell most. What of a
future depends on x alone (how often one buys where T is no matter, when one leaves) is drawn once for all pools of that
x, by a Latin hypercube: more evenly than by chance. Money is Gamma-Gamma: n purchases are worth Gamma(p n) / nu, with
nu ~ Gamma(p x + q) over v + x mean, which is a scale. Quantiles follow from the sorted pool. Nothing is drawn for
single customers: who has the same history gets the same answer, whoever else is asked about.

Groups: in each of DRAWS draws each customer picks a future from the pool of their (x, T), by a hash of their key; a
group's total is the sum. The draw's parameters, the same for all customers and groups, move the totals by as much as
they move their expectations. These sums can be added up over parts of a group that are in different places.

References
----------
McKay, M. D., Beckman, R. J., Conover, W. J. (1979). A Comparison of Three Methods for Selecting Values of Input
Variables in the Analysis of Output from a Computer Code. Technometrics 21(2), 239-245: the Latin hypercube.
Fader, P. S., Hardie, B. G. S. (2013). The Gamma-Gamma Model of Monetary Value. brucehardie.com/notes/025.
King, G., Tomz, M., Wittenberg, J. (2000). Making the Most of Statistical Analyses. American Journal of Political
Science 44(2), 347-361: parameters from their asymptotic distribution, then outcomes given them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from scipy import special

from crm_spark.kernels import gamma_gamma
from crm_spark.kernels.likelihood import Floats

LEVELS = (0.05, 0.25, 0.75, 0.95)
DRAWS = 200  # of a group's total
POOL = 512  # futures of each (x, T)
POOLS = 256  # in memory at once
BITS = 6  # of T or T - x that pools tell apart: it is taken for at most 1 / 64 longer or shorter
CHUNK = 16_384  # customers whose draws stay in the cache

Ints = NDArray[np.int64]


class Model(Protocol):
    """A model of buying: what is asked of it here. A module will do."""

    def draw(
        self, parameters: Floats, x: Floats, t_x: Floats, T: Floats, horizon: float, random: np.random.Generator
    ) -> Ints:
        """Draw future purchases; `parameters` (k,), or (k, n) with those of each row.

        `t_x` and `T` may be (m, 1): each row at m times, (m, n).
        """

    def expected_purchases(self, parameters: Floats, x: Floats, t_x: Floats, T: Floats, horizon: float) -> Floats:
        """Give the mean of what `draw` draws."""


@dataclass(frozen=True)
class Uncertain:
    """Parameters and how well they are known.

    Parameters
    ----------
    parameters : (k,) array
        Positive.
    covariance : (k, k) array
        Of their estimates.
    axes : (k, m) array, optional
        A root of the covariance of their logarithms, where m other parameters are what is uncertain.
    """

    parameters: Floats
    covariance: Floats
    axes: Floats | None = None

    @property
    def directions(self) -> int:
        """In how many ways they can be wrong: m."""
        return int(self._axes().shape[1])

    def alone(self) -> "Uncertain":
        """The same without others in mind: along axes of their own, which may be fewer."""
        return Uncertain(self.parameters, self.covariance)

    def draws(self, count: int) -> Floats:
        """Parameters as they may be: normal in their logarithms; (k, count), always the same."""
        return self._moved(self._axes() @ _normals(self.directions, count))

    def around(self) -> Floats:
        """One standard deviation up along each principal axis, then one down along each; (k, 2 m)."""
        axes = self._axes()
        return self._moved(np.concatenate([axes, -axes], axis=1))

    def _axes(self) -> Floats:
        """A root of the covariance of the logarithms, which is by the delta method."""
        if self.axes is not None:
            return self.axes
        values, vectors = np.linalg.eigh(self.covariance / np.outer(self.parameters, self.parameters))
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)), dtype=np.float64)

    def _moved(self, logs: Floats) -> Floats:
        # What is known so badly has no use; it shall not leave the range of floats either.
        return np.asarray(self.parameters[:, None] * np.exp(np.clip(logs, -20, 20)), dtype=np.float64)


@dataclass(frozen=True)
class Customers:
    """Histories, one row for each customer.

    Parameters
    ----------
    x, t_x, T : (n,) arrays
        As the model has them.
    paid : (n,) array
        Purchases that `mean` is of: x, or 0 where the mean is not known or not above 0.
    mean : (n,) array
        What a purchase was worth; anything where `paid` is 0.
    """

    x: Floats
    t_x: Floats
    T: Floats
    paid: Floats
    mean: Floats

    @property
    def spent(self) -> Floats:
        """In all."""
        return np.where(self.paid > 0, self.paid * np.where(self.paid > 0, self.mean, 0.0), 0.0)

    def at(self, rows: Ints) -> "Customers":
        """Some of them."""
        return Customers(self.x[rows], self.t_x[rows], self.T[rows], self.paid[rows], self.mean[rows])


def intervals(
    model: Model,
    buying: Uncertain,
    spending: Uncertain,
    customers: Customers,
    horizon: float,
    expected: Floats | None = None,
) -> tuple[Ints, Floats]:
    """Give for each customer quantiles of the purchases of a horizon and of the money they bring.

    Parameters
    ----------
    model : Model
    buying, spending : Uncertain
        Parameters of the model and of Gamma-Gamma.
    customers : Customers
    horizon : float
        In the unit of the times.
    expected : (n,) array, optional
        Purchases that the model expects of them, where that was asked already.

    Returns
    -------
    purchases : (n, 4) array of int
        At LEVELS: the least number that is not exceeded with that probability.
    money : (n, 4) array
        One pool is drawn for each (x, T). Memory is that of the answer, of POOLS pools and of CHUNK customers.
    """
    purchases = np.zeros((customers.x.size, len(LEVELS)), dtype=np.int64)
    money = np.zeros((customers.x.size, len(LEVELS)))
    if expected is None:
        expected = model.expected_purchases(buying.parameters, customers.x, customers.t_x, customers.T, horizon)
    drawn, p_q_v = buying.draws(POOL), spending.draws(POOL)
    for rows, pool_of, best in _blocks(customers):
        bought, worth = _futures(model, drawn, p_q_v, best, horizon)
        # v differs little between draws: the futures that bring most would bring most with another v too.
        bought, worth, worth_v = (np.sort(of, axis=1) for of in (bought, worth, worth * p_q_v[2]))
        highest = model.expected_purchases(buying.parameters, best.x, best.t_x, best.T, horizon)
        for some, pool in _chunks(rows, pool_of):
            spent = customers.at(some).spent
            rho = np.minimum(_ratio(expected[some], highest[pool]), 1.0)
            for i, level in enumerate(LEVELS):
                # Of all futures the share 1 - rho is empty: the rest of the way goes through the pool.
                place = np.ceil(POOL * (1 - _ratio(np.full(rho.size, 1 - level), rho, otherwise=2.0))) - 1
                found = (pool, np.maximum(place, 0).astype(np.int64))
                purchases[some, i] = np.where(place >= 0, bought[found], 0)
                money[some, i] = np.where(place >= 0, worth_v[found] + spent * worth[found], 0.0)
    return purchases, money


def sums_of_groups(
    model: Model,
    buying: Uncertain,
    spending: Uncertain,
    customers: Customers,
    horizon: float,
    key: NDArray[np.uint32],
    group: Ints,
) -> tuple[Floats, Floats]:
    """Sum up the draws of each group: what `intervals_of_groups` makes quantiles of.

    Parameters
    ----------
    key : (n,) array of uint32
        A hash of who the customer is: the seed of their draws.
    group : (n,) array of int
        From 0 on.

    Returns
    -------
    purchases, money : (groups, DRAWS + 2 + 2 m) arrays
        Of parts of a group they can be added up. m is the number of directions that count: those of the model, and for
        money of both. Customers with other parameters of the model are asked about in another call; their sums can be
        added to these where the axes of both are common.

    Raises
    ------
    ValueError
        Where a purchase has no mean worth: Gamma-Gamma's q is not above 1 by a standard error.
    """
    if min(spending.parameters[1], *spending.around()[1]) <= 1:
        raise ValueError("money has no mean to sum up: q of Gamma-Gamma must be above 1 by a standard error")
    groups, k = int(group.max(initial=-1)) + 1, buying.directions
    purchases = np.zeros((groups, DRAWS + 2 + 2 * k))
    money = np.zeros((groups, DRAWS + 2 + 2 * (k + spending.parameters.size)))
    for rows, pool_of, best in _blocks(customers):
        pools = _futures(model, buying.parameters, spending.parameters, best, horizon)
        pool_means = [pool.mean(axis=1) for pool in pools]
        # One more column: an empty future, for whoever is not there any more.
        futures = [np.pad(pool.astype(np.float32), ((0, 0), (0, 1))).ravel() for pool in pools]
        for some, pool in _chunks(rows, pool_of):
            these = customers.at(some)
            expected = _expectations(model, buying, spending, these, horizon)
            # The pool's mean has an error: the share who live such a future makes up for it.
            share = np.minimum(_ratio(expected[0][0], pool_means[0][pool]), 1.0)
            scale = spending.parameters[2] + these.spent
            kept = share * pool_means[0][pool], share * pool_means[1][pool] * scale
            here, local = np.unique(group[some], return_inverse=True)
            draws = _pick(futures, pool * (POOL + 1), share, scale, key[some], local)
            for i, sums in enumerate((purchases, money)):
                columns = [np.bincount(local, one, here.size) for one in (kept[i], *expected[i])]
                sums[here] += np.concatenate([draws[i], columns]).T
    return purchases, money


def intervals_of_groups(sums: Floats) -> Floats:
    """Give for each group the quantiles of its total.

    Parameters
    ----------
    sums : (groups, DRAWS + 2 + 2 m) array
        Purchases or money, as `sums_of_groups` gives them.

    Returns
    -------
    (groups, 4) array
        At LEVELS: one more draw would lie below with that probability (Weibull's plotting positions).
    """
    picked, kept, mean = sums[:, :DRAWS], sums[:, DRAWS], sums[:, DRAWS + 1]
    m = (sums.shape[1] - DRAWS - 2) // 2
    up, down = (np.log(_ratio(side, mean[:, None], 1.0)) for side in np.split(sums[:, DRAWS + 2 :], [m], axis=1))
    # The logarithm of a total's expectation is nearly a plane over the principal axes of the parameters.
    moved = np.exp((up - down) / 2 @ _normals(m, DRAWS))
    totals = picked * moved * _ratio(mean, kept, 1.0)[:, None]
    return np.asarray(np.quantile(totals, LEVELS, axis=1, method="weibull").T, dtype=np.float64)


def _blocks(customers: Customers) -> Iterator[tuple[Ints, Ints, Customers]]:
    """Customers by (x, T): their rows, for each row the place of its pool, and the pools' best customers."""
    counted = np.where(customers.x <= customers.T, customers.x, 0.0)
    fraction, exponent = np.frexp(customers.T - counted)
    nearly = counted + np.ldexp(np.rint(fraction * 2**BITS), exponent - BITS)
    columns = np.stack([nearly, customers.x, customers.paid]).astype(np.float64)
    order = np.lexsort(columns)
    columns = columns[:, order]
    starts = np.flatnonzero(np.append(True, (np.diff(columns) != 0).any(axis=0))[: order.size])
    ends = np.append(starts, order.size)
    for first in range(0, starts.size, POOLS):
        edges = ends[first : first + POOLS + 1]
        T, x, paid = columns[:, edges[:-1]]
        # Who bought at the last moment is the likeliest to be there still; who never bought again has no such moment.
        best = Customers(x, np.where(x > 0, T, 0.0), T, paid, np.ones_like(x))
        yield order[edges[0] : edges[-1]], np.repeat(np.arange(x.size), np.diff(edges)), best


def _chunks(rows: Ints, pool_of: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Few customers at a time, however many share their pools."""
    for at in range(0, rows.size, CHUNK):
        yield rows[at : at + CHUNK], pool_of[at : at + CHUNK]


def _futures(model: Model, parameters: Floats, p_q_v: Floats, best: Customers, horizon: float) -> tuple[Ints, Floats]:
    """The pools: purchases, and what they are worth in units of v + x mean; (pools, POOL) both.

    The seed of a pool is its history. Pools of as many paid purchases share the draws of nu.
    """
    bought = np.empty((best.x.size, POOL), dtype=np.int64)
    worth = np.empty((best.x.size, POOL))
    p, q, _ = p_q_v
    histories = np.column_stack([best.x, best.t_x, best.T, best.paid])
    starts = np.flatnonzero(np.append(True, (np.diff(histories[:, [0, 3]], axis=0) != 0).any(axis=1)))
    for first, end in zip(starts, [*starts[1:], best.x.size], strict=True):
        of_one_x = histories[first:end]
        x, t_x, T, paid = of_one_x.T
        chance = _Chance(x[:1].view(np.uint64), [np.random.default_rng(one.view(np.uint64)) for one in of_one_x])
        as_numpy = cast(np.random.Generator, chance)
        bought[first:end] = model.draw(parameters, np.repeat(x[0], POOL), t_x[:, None], T[:, None], horizon, as_numpy)
        of_paid = _Chance(np.append(paid[:1].view(np.uint64), np.uint64(1)), [])
        nu = np.maximum(of_paid.standard_gamma(p * paid[0] + q), 1e-300)
        worth[first:end] = chance.standard_gamma(p * bought[first:end]) / nu
    return bought, worth


class _Chance:
    """Chance for some pools of one x, which a model asks for as it asks NumPy's generator.

    What is the same for all of these pools, one row, is drawn once, by a Latin hypercube: what chance made uneven there
    would not average out between customers. What differs, a row for each pool, and counts come from their generators.
    A row has POOL numbers, whatever size is asked for.
    """

    def __init__(self, seed: NDArray[np.uint64], pools: Sequence[np.random.Generator]) -> None:
        self._strata, self._pools = np.random.default_rng(seed), pools

    def random(self, size: object = None) -> Floats:
        # Anywhere in its stratum: the middles alone would leave the ends out, and with them some of the spread.
        return self._strata.permutation((np.arange(POOL) + self._strata.random(POOL)) / POOL)

    def standard_exponential(self, size: object = None) -> Floats:
        return -np.log(self.random())

    def standard_gamma(self, shape: Floats, size: object = None) -> Floats:
        is_shared = np.ndim(shape) < 2
        return special.gammaincinv(shape, self.random()) if is_shared else self._of_each("standard_gamma", shape)

    def beta(self, a: Floats, b: Floats) -> Floats:
        is_shared = max(np.ndim(a), np.ndim(b)) < 2
        return special.betaincinv(a, b, self.random()) if is_shared else self._of_each("beta", a, b)

    def poisson(self, mean: Floats, size: object = None) -> Ints:
        return self._of_each("poisson", mean)

    def binomial(self, trials: Ints, share: Floats) -> Ints:
        return self._of_each("binomial", trials, share)

    def _of_each(self, name: str, *of: Floats | Ints) -> NDArray[Any]:
        rows = [np.broadcast_to(one, (len(self._pools), POOL)) for one in of]
        return np.stack([getattr(pool, name)(*row) for pool, *row in zip(self._pools, *rows, strict=True)])


def _expectations(
    model: Model, buying: Uncertain, spending: Uncertain, customers: Customers, horizon: float
) -> tuple[Floats, Floats]:
    """Expected purchases and money of each customer, one a row: at the estimates and around them.

    First one standard error up along each principal axis, then one down; of money along those of both models.
    """
    of_buying = np.concatenate([buying.parameters[:, None], buying.around()], axis=1).T
    of_spending = np.concatenate([spending.parameters[:, None], spending.around()], axis=1).T
    x, t_x, T = customers.x, customers.t_x, customers.T
    bought = np.stack([model.expected_purchases(at, x, t_x, T, horizon) for at in of_buying])
    price = np.stack([gamma_gamma.expected_mean(at, customers.paid, customers.mean) for at in of_spending])
    (some_up, some_down), (dear_up, dear_down) = (np.split(of[1:], 2) for of in (bought, price))
    sides = [price[0] * some_up, bought[0] * dear_up, price[0] * some_down, bought[0] * dear_down]
    return bought, np.concatenate([bought[:1] * price[0], *sides])


def _pick(
    futures: list[NDArray[np.float32]],
    first: Ints,
    share: Floats,
    scale: Floats,
    key: NDArray[np.uint32],
    local: Ints,
) -> Floats:
    """Each group's sums of what its customers pick from their pools, purchases and money; (2, DRAWS, groups)."""
    sums = np.empty((2, DRAWS, local.max() + 1))
    steps = POOL / 2**32 * _ratio(np.ones_like(share), share, otherwise=2.0**20)
    for draw, salt in enumerate(np.random.default_rng(0).integers(2**32, size=DRAWS, dtype=np.uint32)):
        place = np.minimum(_hash(key ^ salt) * steps, POOL).astype(np.int64) + first
        sums[0, draw] = np.bincount(local, futures[0].take(place))
        sums[1, draw] = np.bincount(local, futures[1].take(place) * scale)
    return sums


def _normals(dimensions: int, count: int) -> Floats:
    """Standard normal numbers, (dimensions, count), always the same: a Latin hypercube without correlations.

    All customers share them, so that errors of chance would not average out.
    """
    strata = np.tile((np.arange(count) + 0.5) / count, (dimensions, 1))
    z = special.ndtri(np.random.default_rng(1).permuted(strata, axis=1))
    return np.asarray(np.linalg.solve(np.linalg.cholesky(z @ z.T / count), z), dtype=np.float64)


def _hash(bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Mix 32 bits well: lowbias32 of Chris Wellons' hash-prospector."""
    bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x7FEB352D)
    bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(0x846CA68B)
    return bits ^ (bits >> np.uint32(16))


def _ratio(part: Floats, whole: Floats, otherwise: float = 0.0) -> Floats:
    """The quotient, or something else where there is nothing to divide by."""
    quotients: Floats = np.full(np.broadcast_shapes(part.shape, whole.shape), otherwise)
    np.divide(part, whole, out=quotients, where=whole > 0)
    return quotients
