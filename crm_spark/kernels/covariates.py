"""Covariates that do not change with time, in models of buying: what makes customers buy and leave sooner.

A customer with covariates z has the scale alpha * exp(-gamma' z), and in Pareto/NBD beta * exp(-gamma' z): a positive
gamma raises the rate. In BG/NBD they have a * exp(gamma' z) and b * exp(gamma' z). Each of these parameters has its
own gamma for each covariate, named "alpha:covariate".

Customers with the same covariates are a group, and the model's own likelihood serves for each: the cost grows with
the groups, of which there may be MOST; what is continuous is given in steps.

References
----------
Fader, P. S., Hardie, B. G. S. (2007). Incorporating Time-Invariant Covariates into the Pareto/NBD and BG/NBD Models.
brucehardie.com/notes/019.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg

from crm_spark.kernels.histories import Histories, histories
from crm_spark.kernels.likelihood import Derivatives, Derive, Estimate, Floats, best, nothing
from crm_spark.kernels.predictive import Uncertain

MOST = 400  # groups


class Model(Protocol):
    """What is asked of a model of buying."""

    NAMES: tuple[str, ...]
    COVARIED: tuple[int, ...]

    def fit(self, among: Histories, start: Floats | None = None) -> Estimate:
        """Find the parameters without covariates."""

    def likelihood(self, among: Histories) -> Derive:
        """Prepare the log-likelihood."""


@dataclass(frozen=True)
class Groups:
    """Customers by their covariates.

    Parameters
    ----------
    z : (g, k) array
        Distinct covariates.
    among : g histories
        Of the customers with each.
    of : (m,) array of int
        For each customer the place of their group.
    names : k names of the covariates
    """

    z: Floats
    among: tuple[Histories, ...]
    of: NDArray[np.intp]
    names: tuple[str, ...]


def group(
    x: Floats, t_x: Floats, T: Floats, z: Floats, names: Sequence[str], customers: Floats | None = None
) -> Groups:
    """Gather customers with equal covariates.

    Parameters
    ----------
    x, t_x, T : (m,) arrays
        Of each customer; times in any one unit.
    z : (m, k) array
        Covariates, finite; categories as 0 and 1.
    names : sequence of str
        Of the k covariates.
    customers : (m,) array, optional
        How many customers each row stands for.

    Raises
    ------
    ValueError
        Where covariates are missing or not finite.
    """
    if z.shape != (x.size, len(names)) or not np.isfinite(z).all():
        raise ValueError(f"z must be finite, {x.size} rows of {len(names)} covariates")
    of = np.zeros(x.size, dtype=np.intp)
    for column in z.T:  # by hashing, as histories are gathered
        codes, distinct = pd.factorize(column, sort=True)
        of, _ = pd.factorize(of * max(distinct.size, 1) + codes, sort=True)
    members = np.split(np.argsort(of, kind="stable"), np.cumsum(np.bincount(of))[:-1])
    n = np.ones(x.size) if customers is None else customers
    among = tuple(histories(x[who], t_x[who], T[who], n[who]) for who in members)
    return Groups(z[[who[0] for who in members if who.size]], among, of, tuple(names))


def names(model: Model, covariates: Sequence[str]) -> tuple[str, ...]:
    """Name the parameters: those of the model, then each gamma."""
    moved = [name for name, sign in zip(model.NAMES, model.COVARIED, strict=True) if sign]
    return (*model.NAMES, *[f"{name}:{covariate}" for name in moved for covariate in covariates])


def fit(model: Model, groups: Groups, start: Floats | None = None, plain: Estimate | None = None) -> Estimate:
    """Find the parameters of a model and what covariates do to them, by maximum likelihood.

    Parameters
    ----------
    model : module
        `bgnbd`, `mbgnbd` or `pareto_nbd`.
    groups : Groups
    start : array, optional
        Parameters of a former run, from which to search too.
    plain : Estimate, optional
        What `model` finds on all groups together, where that is known.

    Returns
    -------
    Estimate
        Parameters in the order of `names`; those of the model are of customers whose covariates are 0.
    """
    called = names(model, groups.names)
    n = np.array([among.customers.sum() for among in groups.among])
    if reason := _untold(groups, n):
        return nothing(len(called), reason)
    pooled = plain or model.fit(_pooled(groups))
    if pooled.reason:
        return nothing(len(called), pooled.reason)
    # With covariates of mean 0 and deviation 1 the search does not depend on their units.
    middle, spread = _standard(groups.z, n)
    derive = _Likelihood(model, groups, (groups.z - middle) / spread).derive
    gammas = len(called) - len(model.NAMES)
    starts = [np.append(pooled.parameters, np.zeros(gammas))]
    if start is not None:
        starts.append(_moved(model, start, spread, middle)[0])
    found = best(derive, called, starts, float(n.sum()), any_sign=gammas)
    if found.reason:
        return found
    parameters, slopes = _moved(model, found.parameters, 1 / spread, -middle / spread)
    return Estimate(parameters, slopes @ found.covariance @ slopes.T, found.log_likelihood)


def likelihood(model: Model, groups: Groups) -> Derive:
    """Prepare the log-likelihood of parameters in the order of `names`, to be derived at many."""
    return _Likelihood(model, groups, groups.z).derive


def own(model: Model, found: Uncertain, z: Floats) -> Uncertain:
    """Give the model's own parameters for customers with covariates z, (k,), and how well they are known.

    Returns
    -------
    Uncertain
        Its axes are those of all parameters, so that they are common to customers with any covariates.
    """
    bare = len(model.NAMES)
    scale = np.append(found.parameters[:bare], np.ones(found.parameters.size - bare))
    values, vectors = np.linalg.eigh(found.covariance / np.outer(scale, scale))
    # The logarithms of a group's parameters are linear in those of the model and in the gammas.
    slopes = np.hstack([np.eye(bare), np.kron(_moving(model), z)])
    axes = slopes @ (vectors * np.sqrt(np.maximum(values, 0.0)))
    at = parameters_of(model, found.parameters, z[None])[0]
    return Uncertain(at, axes @ axes.T * np.outer(at, at), axes)


def parameters_of(model: Model, parameters: Floats, z: Floats) -> Floats:
    """Give the model's own parameters for customers with covariates z, (n, k), one row each."""
    bare = len(model.NAMES)
    return parameters[:bare] * np.exp(z @ _gammas(model, parameters).T)


def _gammas(model: Model, parameters: Floats) -> Floats:
    """What each covariate adds to the logarithm of each of the model's parameters."""
    signs = np.array(model.COVARIED, dtype=np.float64)
    added = np.zeros((signs.size, (parameters.size - signs.size) // np.count_nonzero(signs)))
    added[signs != 0] = parameters[signs.size :].reshape(-1, added.shape[1])
    return added * signs[:, None]


def _moving(model: Model) -> Floats:
    """Which of the model's parameters, a row each, a gamma of each that covariates move, a column each, raises."""
    signs = np.array(model.COVARIED, dtype=np.float64)
    return np.asarray(np.eye(signs.size)[:, signs != 0] * signs[:, None], dtype=np.float64)


def _moved(model: Model, parameters: Floats, stretch: Floats, shift: Floats) -> tuple[Floats, Floats]:
    """The parameters for covariates z, given those for stretch * z + shift; and their derivatives by them.

    Both stand for the same scales: what the shift adds goes to the model's own parameters.
    """
    bare, signs = len(model.NAMES), np.array(model.COVARIED, dtype=np.float64)
    moved = np.append(
        parameters[:bare] * np.exp(_gammas(model, parameters) @ shift),
        (parameters[bare:].reshape(-1, stretch.size) * stretch).ravel(),
    )
    slopes = np.diag(np.append(moved[:bare] / parameters[:bare], np.tile(stretch, np.count_nonzero(signs))))
    for i, row in enumerate(np.flatnonzero(signs)):
        at = bare + i * stretch.size
        slopes[row, at : at + stretch.size] = signs[row] * moved[row] * shift
    return moved, slopes


class _Likelihood:
    """The sum of the groups' log-likelihoods, derived by the chain rule: logarithms are linear in all parameters."""

    def __init__(self, model: Model, groups: Groups, z: Floats) -> None:
        self.model, self.z = model, z
        self.derivers = [model.likelihood(among) for among in groups.among]
        # Of each group the derivatives of the logarithms of the model's parameters by those searched for.
        self.slopes = [np.hstack([np.eye(len(model.NAMES)), np.kron(_moving(model), row)]) for row in z]

    def derive(self, parameters: Floats) -> Derivatives:
        bare = len(self.model.NAMES)
        value, gradient, hessian = 0.0, np.zeros(parameters.size), np.zeros((parameters.size,) * 2)
        rows = parameters_of(self.model, parameters, self.z)
        for derive, slopes, own in zip(self.derivers, self.slopes, rows, strict=True):
            told, by, by_two = derive(own)
            by_log = by * own
            value += told
            gradient += slopes.T @ by_log
            hessian += slopes.T @ (by_two * np.outer(own, own) + np.diag(by_log)) @ slopes
        scale = np.append(parameters[:bare], np.ones(parameters.size - bare))
        hessian[np.arange(bare), np.arange(bare)] -= gradient[:bare]
        hessian /= np.outer(scale, scale)
        return value, gradient / scale, (hessian + hessian.T) / 2


def _pooled(groups: Groups) -> Histories:
    columns = [
        np.concatenate([getattr(among, name) for among in groups.among]) for name in ("x", "t_x", "T", "customers")
    ]
    return histories(*columns)


def _standard(z: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of covariates over customers."""
    middle = n @ z / n.sum()
    return middle, np.sqrt(n @ (z - middle) ** 2 / n.sum())


def _untold(groups: Groups, n: Floats) -> str | None:
    """Say that there are too many groups, or which covariates are all the same or follow from one another."""
    if n.size > MOST:
        return f"covariates make {n.size} groups of customers, {MOST} are the most: name fewer covariates"
    same = [name for name, column in zip(groups.names, groups.z.T, strict=True) if np.ptp(column) == 0]
    if same:
        return f"the same for all customers: {', '.join(same)}"
    middle, spread = _standard(groups.z, n)
    apart = (groups.z - middle) / spread
    values, vectors = linalg.eigh((apart * n[:, None]).T @ apart / n.sum())
    if values[0] > 1e-10 * values[-1]:
        return None
    involved = (np.abs(vectors[:, values <= 1e-10 * values[-1]]) > 1e-4).any(axis=1)
    return f"covariates follow from one another: {', '.join(np.array(groups.names)[involved])}"
