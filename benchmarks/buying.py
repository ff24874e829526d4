"""bgnbd_1m, bgnbd_1m_map, pareto_nbd_1m, coverage: models of buying, on customers who live by them."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from benchmarks.customers import ALL_PUBLISHED, asked, lived
from benchmarks.measure import Figure, compare, peak_mb, timed
from benchmarks.value import peer_fit, summary
from crm_spark.kernels import bgbb, bgnbd, gamma_gamma, pareto_nbd
from crm_spark.kernels.histories import histories
from crm_spark.kernels.likelihood import limits
from crm_spark.kernels.predictive import Customers, Uncertain, intervals_of_groups, sums_of_groups

Floats = NDArray[np.float64]
Summary = tuple[Floats, Floats, Floats]  # x, t_x, T of each customer
HORIZON = 52.0
SPENDING = np.array([6.25, 3.74, 15.44])
CUSTOMERS = 6000  # of a cohort
RANKED = 60  # cohorts of which each customer is looked at


def bgnbd_1m(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Fit BG/NBD and predict, in the kernel, on the summary that `lifetimes` gets."""
    x, t_x, T = summary(int(1_000_000 * share))[:3]
    return _against_lifetimes("bgnbd_1m", 1 / 30, bgnbd, "BetaGeoFitter", (x, t_x, T), 365.0)


def bgnbd_1m_map(spark: SparkSession, folder: Path, share: float) -> Figure:
    """The same, against the fit alone of `pymc-marketing`: its prior is flat enough to end at the same parameters."""
    from pymc_marketing.clv import BetaGeoModel  # noqa: PLC0415 - a peer, of requirements/bench.txt

    x, t_x, T = summary(int(1_000_000 * share))[:3]
    told = pd.DataFrame({"customer_id": np.arange(x.size), "frequency": x, "recency": t_x, "T": T})

    def theirs() -> Floats:
        model = BetaGeoModel(data=told)
        model.fit(method="map", progressbar=False)
        fitted = model.fit_summary()
        return np.array([fitted[name] for name in bgnbd.NAMES])

    def ours() -> Floats:
        return _fitted_and_asked(bgnbd, (x, t_x, T), 365.0)[0]

    return compare("bgnbd_1m_map", x.size, "pymc-marketing: MAP fit", 1 / 12, ours, theirs, agree=_nearly)


def pareto_nbd_1m(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Fit Pareto/NBD and predict, in the kernel, on two years of whole days, in weeks.

    The peer's search begins at the truth: from where it would begin by itself it now and then stops too early.
    """
    planted = np.array([0.6, 4.3, 0.6, 21.0])
    T = np.random.default_rng(1).integers(0, 729, int(1_000_000 * share)) / 7
    x, t_x, _ = lived(pareto_nbd, planted, T, 0.0, seed=2)
    customers = x, np.floor(t_x * 7) / 7, T
    start = planted * np.array([1, 1 / T.max(), 1, 1 / T.max()])  # its unit of time is the longest
    return _against_lifetimes(
        "pareto_nbd_1m", 1 / 20, pareto_nbd, "ParetoNBDFitter", customers, HORIZON, runs=1, initial_params=start
    )


def _against_lifetimes(
    name: str,
    goal: float,
    model: ModuleType,
    fitter: str,
    customers: Summary,
    horizon: float,
    runs: int = 3,
    **settings: Any,
) -> Figure:
    def ours() -> Floats:
        return _fitted_and_asked(model, customers, horizon)[1]

    def theirs() -> Floats:
        peer = peer_fit(fitter, *customers, **settings)
        alive = peer.conditional_probability_alive(*customers)
        purchases = peer.conditional_expected_number_of_purchases_up_to_time(horizon, *customers)
        return np.array([np.nansum(alive), np.nansum(purchases)])

    peer = "lifetimes: fit and predict"
    return compare(name, customers[0].size, peer, goal, ours, theirs, runs, agree=_nearly)


def _fitted_and_asked(model: ModuleType, customers: Summary, horizon: float) -> tuple[Floats, Floats]:
    """The parameters; the sums of P(alive) and of the purchases to expect, which are told for each customer."""
    of = histories(*customers)
    found = model.fit(of).parameters
    alive = model.probability_alive(found, of.x, of.t_x, of.T)[of.of]
    purchases = model.expected_purchases(found, of.x, of.t_x, of.T, horizon)[of.of]
    return found, np.array([alive.sum(), purchases.sum()])


def _nearly(one: Floats, other: Floats) -> bool:
    return bool(np.allclose(one, other, rtol=0.01))


def coverage(spark: SparkSession, folder: Path, share: float) -> Figure:
    """How often the truth of simulated cohorts lies where each model and Gamma-Gamma say.

    95 % intervals of parameters, by profile likelihood; 90 % intervals of a cohort's purchases and money in the time
    to come; and, of each customer's purchases to come, the randomised probability integral transform, which lies in
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
        among, spent = histories(x, t_x, T), (x[x > 0], mean[x > 0])
        fits = model.fit(among), gamma_gamma.fit(*spent)
        derivers = model.likelihood(among), gamma_gamma.likelihood(*spent)
        # A fit without an estimate has no interval: a miss.
        self.parameters.append(
            [
                (limits(derive, found) * [[1, -1]] <= truth[:, None] * [1, -1]).all(axis=1)
                for derive, found, truth in zip(derivers, fits, (at, SPENDING), strict=True)
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
