import numpy as np
import pandas as pd
import pytest

from benchmarks.customers import lived
from crm_spark.kernels import bgnbd, covariates, mbgnbd, pareto_nbd
from crm_spark.kernels.histories import histories
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
