"""Customers who buy and leave as a model says: a second opinion on what its kernel computes."""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels import bgnbd, mbgnbd, pareto_nbd

Floats = NDArray[np.float64]
PUBLISHED = {
    bgnbd: [0.243, 4.414, 0.793, 2.426],
    mbgnbd: [0.5248, 6.1830, 0.8914, 1.6140],
    pareto_nbd: [0.553, 10.578, 0.606, 11.669],
}


def lived(model: ModuleType, at: Floats, T: Floats, horizon: float, seed: int) -> tuple[Floats, Floats, Floats]:
    """Let customers buy and leave as a model says: x, t_x, and their purchases in the horizon after T."""
    random, n = np.random.default_rng(seed), T.size
    r, alpha, second, third = at
    rate = np.maximum(random.gamma(r, 1 / alpha, n), 1e-300)
    leaves, ends = np.zeros(n), np.full(n, np.inf)
    if model is pareto_nbd:
        ends = random.exponential(1 / np.maximum(random.gamma(second, 1 / third, n), 1e-300))
    else:
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
