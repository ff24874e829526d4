"""pareto_100k, coverage: models of buying, on customers who live by them."""

from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from benchmarks.customers import ALL_PUBLISHED, asked, lived
from benchmarks.measure import Figure, compare, peak_mb, timed
from benchmarks.value import peer_fit
from crm_spark.kernels import bgbb, gamma_gamma, pareto_nbd
from crm_spark.kernels.histories import histories
from crm_spark.kernels.predictive import Customers, Uncertain, intervals_of_groups, sums_of_groups

Floats = NDArray[np.float64]
HORIZON = 52.0
SPENDING = np.array([6.25, 3.74, 15.44])
CUSTOMERS = 6000  # of a cohort
RANKED = 60  # cohorts of which each customer is looked at


def pareto_100k(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Fit Pareto/NBD and predict, in the kernel, on two years of whole days, in weeks."""
    customers = int(100_000 * share)
    T = np.random.default_rng(1).integers(0, 729, customers) / 7
    x, t_x, _ = lived(pareto_nbd, np.array([0.6, 4.3, 0.6, 21.0]), T, 0.0, seed=2)
    t_x = np.floor(t_x * 7) / 7

    def ours() -> Floats:
        of = histories(x, t_x, T)
        found = pareto_nbd.fit(of).parameters
        alive = pareto_nbd.probability_alive(found, of.x, of.t_x, of.T)[of.of]
        return np.array([alive.sum(), pareto_nbd.expected_purchases(found, of.x, of.t_x, of.T, HORIZON)[of.of].sum()])

    def theirs() -> Floats:
        peer = peer_fit("ParetoNBDFitter", x, t_x, T)
        alive = peer.conditional_probability_alive(x, t_x, T)
        purchases = peer.conditional_expected_number_of_purchases_up_to_time(HORIZON, x, t_x, T)
        return np.array([np.nansum(alive), np.nansum(purchases)])

    def nearly(one: Floats, other: Floats) -> bool:
        return bool(np.allclose(one, other, rtol=0.01))

    return compare("pareto_100k", customers, "lifetimes: fit and predict", 0.1, ours, theirs, agree=nearly)


def coverage(spark: SparkSession, folder: Path, share: float) -> Figure:
    """How often the truth of simulated cohorts lies where each model and Gamma-Gamma say.

    95 % intervals of parameters, on logarithms; 90 % intervals of a cohort's purchases and money in the time to come;
    and, of each customer's purchases to come, the randomised probability integral transform, which lies in
    [0.05, 0.95] for 90 % and in [0.25, 0.75] for 50 %. The ratio is that of the largest error to what is allowed.
    """
    cohorts, held = int(1000 * share), {model: _Held() for model in ALL_PUBLISHED}

    def measured() -> None:
        for model, held_of in held.items():
            for seed in range(cohorts):
                held_of.add(model, seed)

    seconds = timed(measured)
    errors = {f"{model.__name__}: {name}": error for model, of in held.items() for name, error in of.errors().items()}
    name, worst = max(errors.items(), key=lambda item: item[1])
    peer = f"the shares that intervals promise; the ratio is that of the largest error, {name.rpartition('.')[2]}"
    return Figure("coverage", cohorts, round(seconds, 2), peer, 0.0, round(worst, 2), peak_mb(), 1.0, worst <= 1)


class _Held:
    """How often the truth was held, of one model."""

    def __init__(self) -> None:
        self.parameters, self.totals, self.ranks = [], [], []  # type: ignore[var-annotated]

    def add(self, model: ModuleType, seed: int) -> None:
        at = np.array(ALL_PUBLISHED[model])
        of_weeks = model is not bgbb
        until, horizon = (60.0, 26.0) if of_weeks else (12.0, 6.0)
        T = np.full(CUSTOMERS, until)
        if of_weeks:
            x, t_x, later = lived(model, at, T, horizon, seed)
            t_x = np.round(t_x * 4) / 4
        else:
            x, t_x, later = asked(at, int(until), int(horizon), CUSTOMERS, seed)
        random = np.random.default_rng(100_000 + seed)
        nu = random.gamma(SPENDING[1], 1 / SPENDING[2], CUSTOMERS)
        mean = random.gamma(SPENDING[0] * np.maximum(x, 1)) / nu / np.maximum(x, 1)
        worth = random.gamma(SPENDING[0] * later) / nu
        fits = model.fit(histories(x, t_x, T)), gamma_gamma.fit(x[x > 0], mean[x > 0])
        # A fit without an estimate has no interval: a miss.
        self.parameters.append(
            [
                np.abs(np.log(found.parameters / truth)) <= 1.96 * found.standard_errors / found.parameters
                for found, truth in zip(fits, (at, SPENDING), strict=True)
            ]
        )
        if any(found.reason for found in fits):
            self.totals.append([False, False])
            return
        buying, spending = (Uncertain(found.parameters, found.covariance) for found in fits)
        customers, key = Customers(x, t_x, T, x, mean), random.integers(2**32, size=CUSTOMERS, dtype=np.uint32)
        sums = sums_of_groups(model, buying, spending, customers, horizon, key, np.zeros(CUSTOMERS, dtype=np.int64))
        ends = [intervals_of_groups(of)[0, [0, 3]] for of in sums]
        self.totals.append(
            [low <= total <= high for (low, high), total in zip(ends, (later.sum(), worth.sum()), strict=True)]
        )
        if seed < RANKED:
            futures = np.stack([model.draw(one, x, t_x, T, horizon, random) for one in buying.draws(99).T])
            below, at_most = (futures < later).sum(axis=0), (futures <= later).sum(axis=0)
            self.ranks.append((below + random.random(CUSTOMERS) * (at_most - below + 1)) / 100)

    def errors(self) -> dict[str, float]:
        """Off by how much, in units of what is allowed."""
        ranks = np.concatenate(self.ranks)
        off = {f"parameter {i} of {kind}": abs(float(np.mean(of)) - 0.95) / 0.02
               for kind, each in zip(("buying", "money"), zip(*self.parameters, strict=True), strict=True)
               for i, of in enumerate(np.stack(each).T)}  # fmt: skip
        off |= {f"total of {kind}": abs(float(np.mean(of)) - 0.9) / 0.02
                for kind, of in zip(("purchases", "money"), np.array(self.totals).T, strict=True)}  # fmt: skip
        for middle in (0.9, 0.5):
            off[f"customers, {middle:.0%}"] = abs(float((np.abs(ranks - 0.5) <= middle / 2).mean()) - middle) / 0.01
        return off
