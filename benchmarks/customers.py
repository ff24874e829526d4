"""Customers who buy and leave as a model says: a second opinion on what its kernel computes."""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels import bgbb, bgnbd, mbgnbd, nbd, pareto_nbd

Floats = NDArray[np.float64]
PUBLISHED = {
    bgnbd: [0.243, 4.414, 0.793, 2.426],
    mbgnbd: [0.5248, 6.1830, 0.8914, 1.6140],
    pareto_nbd: [0.553, 10.578, 0.606, 11.669],
}


ALL_PUBLISHED = {**PUBLISHED, nbd: [0.6, 8.0], bgbb: [1.204, 0.750, 0.657, 2.783]}


def asked(at: Floats, T: int, horizon: int, customers: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Let customers buy and leave by BG/BB: x, t_x, and their purchases at the horizon's opportunities after T."""
    random = np.random.default_rng(seed)
    buys, leaves = random.beta(at[0], at[1], customers), random.beta(at[2], at[3], customers)
    chances = np.arange(1, T + horizon + 1)
    until = random.geometric(np.clip(leaves, 1e-12, 1.0))[:, None]
    bought = (random.random((customers, chances.size)) < buys[:, None]) & (chances < until)
    seen = bought[:, :T]
    return seen.sum(axis=1) * 1.0, (seen * chances[:T]).max(axis=1) * 1.0, bought[:, T:].sum(axis=1) * 1.0


def lived(model: ModuleType, at: Floats, T: Floats, horizon: float, seed: int) -> tuple[Floats, Floats, Floats]:
    """Let customers buy and leave as a model says: x, t_x, and their purchases in the horizon after T."""
    random, n = np.random.default_rng(seed), T.size
    r, alpha, second, third = [*at, 0.0, 0.0][:4]
    rate = np.maximum(random.gamma(r, 1 / alpha, n), 1e-300)
    leaves, ends = np.zeros(n), np.full(n, np.inf)
    if model is pareto_nbd:
        ends = random.exponential(1 / np.maximum(random.gamma(second, 1 / third, n), 1e-300))
    elif model is not nbd:
        leaves = random.beta(second, third, n)
    x, t_x, later, now = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    who = np.flatnonzero(random.random(n) > leaves) if model is mbgnbd else np.arange(n)
    while who.size:
        now[who] += random.exponential(1 / rate[who])
        who = who[now[who] <= np.minimum(T + horizon, ends)[who]]
        seen = who[now[who] <= T[who]]
        x[seen] += 1
        t_x[seen] = now[seen]
        later[who] += now[who] > T[who]
        who = who[random.random(who.size) > leaves[who]]
    return x, t_x, later
