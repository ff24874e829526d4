"""pareto_100k, coverage: models of buying, on customers who live by them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from benchmarks.customers import PUBLISHED, lived
from benchmarks.measure import Figure, compare, peak_mb, timed
from benchmarks.value import peer_fit
from crm_spark.kernels import pareto_nbd
from crm_spark.kernels.histories import histories

Floats = NDArray[np.float64]
HORIZON = 52.0


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
    """Of 95 % intervals, on logarithms, of each parameter of each model: the largest share that miss, by 5 %."""
    cohorts, customers = int(1000 * share), 6000
    missed = {model: np.zeros(4) for model in PUBLISHED}

    def measured() -> None:
        for model, published in PUBLISHED.items():
            at = np.array(published)
            for seed in range(cohorts):
                x, t_x, _ = lived(model, at, np.full(customers, 60.0), 0.0, seed)
                found = model.fit(histories(x, np.round(t_x * 4) / 4, np.full(customers, 60.0)))
                # A fit without an estimate has no interval: a miss.
                held = np.abs(np.log(found.parameters / at)) <= 1.96 * found.standard_errors / found.parameters
                missed[model] += ~held

    seconds = timed(measured)
    worst = max(float(misses.max()) for misses in missed.values()) / cohorts
    peer = f"the nominal 5 % of intervals that miss; the ratio is of {worst:.1%}, the most for any parameter"
    return Figure(
        "coverage", cohorts, round(seconds, 2), peer, 0.0, round(worst / 0.05, 2), peak_mb(), 1.5, worst <= 0.075
    )
