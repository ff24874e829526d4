import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special

from benchmarks.customers import lived
from crm_spark.kernels import bgnbd, covariates, mbgnbd, pareto_nbd
from crm_spark.kernels.histories import histories
from crm_spark.kernels.predictive import LEVELS, Customers, Uncertain, intervals_of_groups, sums_of_groups
from tests.kernels.buying import columns
from tests.kernels.derivatives import assert_belong_together

MODELS = [bgnbd, mbgnbd, pareto_nbd]
PLANTED = {
    "bgnbd": [0.6, 5.0, 0.8, 2.5, 0.5, -0.3, 0.4, 0.2, 0.1, -0.2],
    "mbgnbd": [0.6, 5.0, 0.8, 2.5, 0.5, -0.3, 0.4, 0.2, 0.1, -0.2],
    "pareto_nbd": [0.6, 10.0, 0.7, 12.0, 0.5, -0.3, -0.4, 0.6],
}
of_each_model = pytest.mark.parametrize("model", MODELS, ids=PLANTED)


def name_of(model) -> str:
    return model.__name__.rpartition(".")[2]


def customers(model, n: int, seed: int) -> tuple[np.ndarray, ...]:
    """Customers of six groups, with a covariate of two values and one of three."""
    planted, parts = np.array(PLANTED[name_of(model)]), []
    for i, z in enumerate((kind, step) for kind in (0.0, 1.0) for step in (0.0, 1.0, 2.0)):
        # Written out as the note does, not as the kernel has it.
        own = planted[:4].copy()
        gammas = planted[4:].reshape(-1, 2) @ z
        for place, change in zip((1, 3) if model is pareto_nbd else (1, 2, 3), gammas, strict=True):
            own[place] *= np.exp(change if place > 1 and model is not pareto_nbd else -change)
        T = np.full(n, 52.0)
        x, t_x, _ = lived(model, own, T, 0.0, seed + i)
        parts.append((x, np.round(t_x * 4) / 4, T, np.tile(z, (n, 1))))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


@of_each_model
def test_planted_effects_are_found(model) -> None:
    x, t_x, T, z = customers(model, 4000, seed=5)
    groups = covariates.group(x, t_x, T, z, ["kind", "step"])
    found = covariates.fit(model, groups)
    assert found.reason is None
    assert (np.abs(found.parameters - PLANTED[name_of(model)]) < 4 * found.standard_errors).all()
    assert found.log_likelihood > model.fit(histories(x, t_x, T)).log_likelihood + 50


@of_each_model
def test_a_customer_has_the_likelihood_of_their_own_parameters_and_its_derivatives_belong_together(model) -> None:
    x, t_x, T = columns([(2.0, 30.0, 38.0), (0.0, 0.0, 20.0), (5.0, 9.0, 39.0), (1.0, 3.0, 39.0)])
    z = np.array([[0.0, 1.5], [1.0, -0.5], [0.0, 1.5], [1.0, 2.0]])
    at = np.array(PLANTED[name_of(model)])
    groups = covariates.group(x, t_x, T, z, ["kind", "step"])
    derive = covariates._Likelihood(model, groups, groups.z).derive
    own = covariates.parameters_of(model, at, z)
    each = [model.log_likelihood(own[i], histories(*(column[[i]] for column in (x, t_x, T)))) for i in range(x.size)]
    assert derive(at)[0] == pytest.approx(sum(each), rel=1e-12)
    if model is pareto_nbd:
        assert own[0] == pytest.approx([0.6, 10 * np.exp(0.45), 0.7, 12 * np.exp(-0.9)])
    else:
        assert own[0] == pytest.approx([0.6, 5 * np.exp(0.45), 0.8 * np.exp(0.3), 2.5 * np.exp(-0.3)])
    assert_belong_together(derive, at)


@of_each_model
def test_the_unit_of_a_covariate_does_not_matter_and_a_former_run_changes_nothing(model) -> None:
    x, t_x, T, z = customers(model, 600, seed=9)
    plain = covariates.fit(model, covariates.group(x, t_x, T, z, ["kind", "step"]))
    scaled = covariates.group(x, t_x, T, z * [1, 100] + [0, 7], ["kind", "step"])
    found = covariates.fit(model, scaled, start=None)
    again = covariates.fit(model, scaled, start=found.parameters)
    assert again.parameters == pytest.approx(found.parameters, rel=1e-5)
    assert found.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-6)
    assert found.parameters[5::2] * 100 == pytest.approx(plain.parameters[5::2], rel=1e-5)
    assert found.standard_errors[5::2] * 100 == pytest.approx(plain.standard_errors[5::2], rel=1e-4)
    own = [
        covariates.parameters_of(model, one.parameters, of) for one, of in ((plain, z), (found, z * [1, 100] + [0, 7]))
    ]
    assert own[0] == pytest.approx(own[1], rel=1e-5)


@pytest.mark.parametrize(
    ("z", "reason"),
    [
        ([[1.0, 0.0, 3.0], [1.0, 1.0, 2.0]], "the same for all customers: kind"),
        ([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0]], "covariates follow from one another: kind, step, size"),
        ([[0.0, 1.0, 3.0], [1.0, 0.0, 7.0], [0.0, 1.0, 2.0]], "covariates follow from one another: kind, step"),
    ],
)
def test_covariates_that_cannot_be_told_apart_are_named(cdnow: pd.DataFrame, z: list, reason: str) -> None:
    history = [cdnow[name].to_numpy(float)[:300] for name in ("frequency", "recency", "T")]
    groups = covariates.group(*history, np.resize(z, (300, 3)), ["kind", "step", "size"])
    found = covariates.fit(bgnbd, groups)
    assert found.reason == reason
    assert np.isnan(found.parameters).all()


def test_what_covariates_cannot_help_has_the_reason_of_the_model() -> None:
    x, t_x, T = columns([(0.0, 0.0, 30.0)] * 4)
    groups = covariates.group(x, t_x, T, np.array([[0.0], [1.0], [0.0], [1.0]]), ["kind"])
    assert covariates.fit(pareto_nbd, groups).reason == "no customer bought again"


def test_a_category_whose_customers_never_buy_again_is_named(cdnow: pd.DataFrame) -> None:
    x, t_x, T = (cdnow[name].to_numpy(float) for name in ("frequency", "recency", "T"))
    never = (np.arange(x.size) % 5 == 0).astype(float)
    groups = covariates.group(x * (1 - never), t_x * (1 - never), T, never[:, None], ["never"])
    assert "alpha:never" in (covariates.fit(pareto_nbd, groups).reason or "")


def test_missing_covariates_are_refused() -> None:
    x, t_x, T = columns([(2.0, 10.0, 30.0), (0.0, 0.0, 30.0)])
    with pytest.raises(ValueError, match="z must be finite, 2 rows of 1 covariates"):
        covariates.group(x, t_x, T, np.array([[0.0], [np.nan]]), ["kind"])


def log_bgnbd(at: np.ndarray, x: np.ndarray, t_x: np.ndarray, T: np.ndarray, z: np.ndarray) -> float:
    """Equation (6) of the paper on BG/NBD, with the scales of the note on covariates."""
    r, alpha, a, b = at[0], at[1] * np.exp(-at[4] * z), at[2] * np.exp(at[5] * z), at[3] * np.exp(at[6] * z)
    stays = special.beta(a, b + x) / (alpha + T) ** (r + x)
    left = np.where(x > 0, special.beta(a + 1, b + np.maximum(x, 1) - 1), 0.0) / (alpha + t_x) ** (r + x)
    rate = special.gamma(r + x) * alpha**r / special.gamma(r)
    return float(np.log((stays + left) * rate / special.beta(a, b)).sum())


def log_pareto(at: np.ndarray, x: np.ndarray, t_x: np.ndarray, T: np.ndarray, z: np.ndarray) -> float:
    """Equations (18) to (20) of the note on Pareto/NBD, with the scales of the note on covariates."""
    r, alpha, s, beta = at[0], at[1] * np.exp(-at[4] * z), at[2], at[3] * np.exp(-at[5] * z)
    most, least, second = np.maximum(alpha, beta), np.minimum(alpha, beta), np.where(alpha >= beta, s + 1, r + x)

    def term(t: np.ndarray) -> np.ndarray:
        z_t = (most - least) / (most + t)
        return special.hyp2f1(r + s + x, second, r + s + x + 1, z_t) / (most + t) ** (r + s + x)

    there = (alpha + T) ** -(r + x) * (beta + T) ** -s
    gone = s / (r + s + x) * (term(t_x) - term(T))
    return float(np.log((there + gone) * alpha**r * beta**s * special.gamma(r + x) / special.gamma(r)).sum())


@pytest.mark.parametrize(
    ("model", "log_likelihood"), [(bgnbd, log_bgnbd), (pareto_nbd, log_pareto)], ids=["bg", "pareto"]
)
def test_nothing_is_likelier_by_a_likelihood_that_is_written_down_plainly(model, log_likelihood) -> None:
    x, t_x, T, z = (column[::3] for column in customers(model, 700, seed=2))
    kind = z[:, 0]
    found = covariates.fit(model, covariates.group(x, t_x, T, kind[:, None], ["kind"]))
    assert found.reason is None
    assert log_likelihood(found.parameters, x, t_x, T, kind) == pytest.approx(found.log_likelihood, abs=1e-7)

    def worse(logs: np.ndarray) -> float:
        return -log_likelihood(np.append(np.exp(logs[:4]), logs[4:]), x, t_x, T, kind)

    at = np.append(np.log(found.parameters[:4]), found.parameters[4:])
    slopes = optimize.approx_fprime(at, worse, 1e-5)
    errors = found.standard_errors / np.append(found.parameters[:4], np.ones(at.size - 4))
    assert np.abs(slopes * errors).max() < 1e-3, "at a maximum, as far as its width goes"
    again = optimize.minimize(worse, at + 0.3 * errors, method="L-BFGS-B", options={"ftol": 1e-12})
    assert again.fun == pytest.approx(-found.log_likelihood, abs=1e-4)


@of_each_model
def test_where_all_gammas_are_0_everybody_has_the_plain_model(model) -> None:
    plain = np.array(PLANTED[name_of(model)][:4])
    covariance = np.diag((0.1 * plain) ** 2)
    k = len(covariates.names(model, ["kind", "step"]))
    full = np.zeros((k, k))
    full[:4, :4] = covariance
    own = covariates.own(model, Uncertain(np.append(plain, np.zeros(k - 4)), full), np.array([1.0, 2.0]))
    assert own.parameters == pytest.approx(plain, rel=1e-15)
    assert own.covariance == pytest.approx(covariance, rel=1e-12)
    assert own.directions == k


def test_totals_of_customers_with_different_covariates_share_the_doubts_of_all_parameters() -> None:
    planted = np.array(PLANTED["bgnbd"])[[0, 1, 2, 3, 4, 6, 8]]
    random = np.random.default_rng(3)
    root = 0.1 * random.standard_normal((7, 7)) * np.append(planted[:4], np.ones(3))[:, None]
    found, spending = Uncertain(planted, root @ root.T), Uncertain(np.array([6.0, 4.0, 15.0]), np.zeros((3, 3)))
    x, T = random.integers(0, 6, 600).astype(float), np.full(600, 30.0)
    t_x, z = np.where(x > 0, random.uniform(5, 30, 600), 0.0), np.repeat([0.0, 1.0], 300)
    sums = np.zeros((1, 200 + 2 + 14))
    for kind in (0.0, 1.0):
        some = z == kind
        these = Customers(x[some], t_x[some], T[some], np.zeros(300), np.ones(300))
        own = covariates.own(bgnbd, found, np.array([kind]))
        keys = np.flatnonzero(some).astype(np.uint32)
        sums += sums_of_groups(bgnbd, own, spending, these, 20.0, keys, np.zeros(300, dtype=np.int64))[0]
    ours = intervals_of_groups(sums)[0]
    # Parameters as they may be, normal in the logarithms of the positive ones; with each, what all then buy.
    logs = (root / np.append(planted[:4], np.ones(3))[:, None]) @ random.standard_normal((7, 800))
    totals = []
    for moved in logs.T:
        at = np.append(planted[:4] * np.exp(moved[:4]), planted[4:] + moved[4:])
        own_rows = covariates.parameters_of(bgnbd, at, z[:, None]).T
        totals.append(bgnbd.draw(own_rows, x, t_x, T, 20.0, random).sum())
    theirs = np.quantile(totals, LEVELS)
    assert ours == pytest.approx(theirs, abs=0.12 * (theirs[-1] - theirs[0]))


def test_too_many_groups_are_refused_with_what_to_do() -> None:
    n = covariates.MOST + 1
    x, t_x, T = np.ones(n), np.full(n, 5.0), np.full(n, 20.0)
    found = covariates.fit(bgnbd, covariates.group(x, t_x, T, np.arange(n, dtype=float)[:, None], ["size"]))
    assert found.reason == f"covariates make {n} groups of customers, {n - 1} are the most: name fewer covariates"


def test_a_row_may_stand_for_many_customers() -> None:
    x, t_x, T, z = (column[::9] for column in customers(bgnbd, 300, seed=4))
    twice = covariates.group(
        *(np.repeat(column, 2) for column in (x, t_x, T)), np.repeat(z, 2, axis=0), ["kind", "step"]
    )
    weighted = covariates.group(x, t_x, T, z, ["kind", "step"], np.full(x.size, 2.0))
    one, other = covariates.fit(bgnbd, twice), covariates.fit(bgnbd, weighted)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-12)
    assert one.parameters == pytest.approx(other.parameters, rel=1e-6)


@of_each_model
def test_a_groups_parameters_are_known_as_well_as_all_that_they_come_from(model) -> None:
    planted, z = np.array(PLANTED[name_of(model)]), np.array([1.0, 2.0])
    root = 0.05 * np.random.default_rng(1).standard_normal((planted.size, planted.size)) * planted
    covariance = root.T @ root
    slopes = optimize.approx_fprime(
        planted, lambda at: covariates.parameters_of(model, at, z[None])[0], 1e-7 * np.abs(planted)
    )
    own = covariates.own(model, Uncertain(planted, covariance), z)
    expected = slopes @ covariance @ slopes.T
    assert own.covariance == pytest.approx(expected, rel=1e-5, abs=1e-6 * np.abs(expected).max())
    logs = own.around() / own.parameters[:, None]
    up, down = np.split(np.log(logs), 2, axis=1)
    assert up @ up.T == pytest.approx(own.covariance / np.outer(own.parameters, own.parameters), rel=1e-9)
    assert down == pytest.approx(-up)
