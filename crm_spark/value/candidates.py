"""Candidates among models of buying: each as it is, and with covariates, under one face."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels import covariates, holdout
from crm_spark.kernels.histories import Histories, histories
from crm_spark.kernels.holdout import HeldOut
from crm_spark.kernels.likelihood import Estimate, Flags, Floats, limits, nothing
from crm_spark.value.covariates import BETWEEN

COVARIED = "_covariates"  # what a model's name ends with


@dataclass(frozen=True)
class Told:
    """Histories, and which of the texts of covariates each row has."""

    rows: HeldOut
    of: NDArray[np.intp]

    def with_text(self, text: int) -> HeldOut:
        """Give the rows that have one of the texts."""
        some, rows = self.of == text, self.rows
        x, t_x, T, before, held, customers = (getattr(rows, field.name)[some] for field in fields(rows)[:-1])
        return HeldOut(x, t_x, T, before, held, customers, rows.days)


class Candidate(Protocol):
    """A model that can be fitted and asked about held-out time."""

    names: tuple[str, ...]

    def fit(self, told: Told, start: Floats | None, plain: Estimate | None) -> Estimate:
        """Find the parameters, from where a former search ended; `plain` is what the model finds as it is."""

    def limits(self, told: Told, found: Estimate) -> Floats:
        """Give the ends of the 95 % intervals of the parameters that were found, (k, 2)."""

    def expected(self, at: Floats, told: Told) -> Floats:
        """Give the purchases to expect of each row's customers in the held-out days."""

    def by_week(self, at: Floats, told: Told, weeks: NDArray[np.int64]) -> Floats:
        """Give the purchases to expect of all customers in each week."""


class Plain:
    """A model as it is."""

    def __init__(self, kernel: ModuleType, unit: int) -> None:
        self.kernel, self.unit = kernel, unit
        self.names: tuple[str, ...] = kernel.NAMES
        self._gathered: tuple[Told, Histories] | None = None

    def fit(self, told: Told, start: Floats | None, plain: Estimate | None) -> Estimate:
        """Find the parameters."""
        found: Estimate = self.kernel.fit(self._among(told), start=start)
        return found

    def limits(self, told: Told, found: Estimate) -> Floats:
        """Give the ends of the intervals."""
        rise = getattr(self.kernel, "rise", self.kernel.likelihood)  # where there is a quicker one
        return limits(rise(self._among(told)), found)

    def expected(self, at: Floats, told: Told) -> Floats:
        """Give the purchases to expect of each row's customers."""
        return holdout.expected(self.kernel, at, told.rows, self.unit)

    def by_week(self, at: Floats, told: Told, weeks: NDArray[np.int64]) -> Floats:
        """Give the purchases to expect of all in each week."""
        return holdout.by_week(self.kernel, at, told.rows, weeks, self.unit)

    def _among(self, told: Told) -> Histories:
        """Give the distinct histories; the last ones are kept, as limits are asked of those that were fitted."""
        if self._gathered is None or self._gathered[0] is not told:
            rows = told.rows
            self._gathered = told, histories(rows.x, rows.t_x / self.unit, rows.T / self.unit, rows.customers)
        return self._gathered[1]


class Covaried:
    """A model with covariates: each level but the commonest of its covariate is a column of 0 and 1."""

    def __init__(self, kernel: ModuleType, unit: int, texts: Sequence[str], whole: Told) -> None:
        self.kernel, self.unit = kernel, unit
        levels = [text.split(BETWEEN) for text in texts]
        customers = np.bincount(whole.of, whole.rows.customers, len(texts)).astype(np.float64)
        self.columns, self.alike = _columns(levels, customers)
        self.z = np.array([coded(self.columns, of) for of in levels]).reshape(len(texts), len(self.columns))
        self.names = covariates.names(kernel, self.columns)

    def fit(self, told: Told, start: Floats | None, plain: Estimate | None) -> Estimate:
        """Find the parameters; the gamma of a level that nobody told of has is 0."""
        if not told.rows.x.size:
            return nothing(len(self.names), "there is no customer")
        # A level that came up in the held-out days tells nothing of those before.
        seen = np.ptp(self.z[told.of], axis=0) > 0
        if self.alike or not seen.any():
            alike = self.alike or sorted({column.split("=")[0] for column in self.columns})
            return nothing(len(self.names), f"the same for all customers: {', '.join(alike)}")
        groups = self._groups(told, seen)
        bare = len(self.kernel.NAMES)
        place = np.flatnonzero(
            np.append(np.ones(bare, dtype=bool), np.tile(seen, (len(self.names) - bare) // seen.size))
        )
        found = covariates.fit(self.kernel, groups, None if start is None else start[place], plain)
        if found.reason:
            return nothing(len(self.names), found.reason)
        parameters, covariance = np.zeros(len(self.names)), np.zeros((len(self.names),) * 2)
        parameters[place], covariance[np.ix_(place, place)] = found.parameters, found.covariance
        return Estimate(parameters, covariance, found.log_likelihood)

    def limits(self, told: Told, found: Estimate) -> Floats:
        """Give the ends of the intervals; of all customers, who have every level."""
        derive = covariates.likelihood(self.kernel, self._groups(told, np.ones(len(self.columns), dtype=bool)))
        return limits(derive, found, any_sign=len(self.names) - len(self.kernel.NAMES))

    def expected(self, at: Floats, told: Told) -> Floats:
        """Give the purchases to expect of each row's customers, by parameters of their own."""
        purchases = np.zeros(told.of.size)
        for text in np.unique(told.of):
            some = told.with_text(text)
            purchases[told.of == text] = holdout.expected(self.kernel, self._own(at, text), some, self.unit)
        return purchases

    def by_week(self, at: Floats, told: Told, weeks: NDArray[np.int64]) -> Floats:
        """Give the purchases to expect of all in each week, by parameters of their own."""
        sums = np.zeros(weeks.size)
        for text in np.unique(told.of):
            sums += holdout.by_week(self.kernel, self._own(at, text), told.with_text(text), weeks, self.unit)
        return sums

    def _groups(self, told: Told, seen: Flags) -> covariates.Groups:
        names = [name for name, is_seen in zip(self.columns, seen, strict=True) if is_seen]
        x, t_x, T = told.rows.x, told.rows.t_x / self.unit, told.rows.T / self.unit
        return covariates.group(x, t_x, T, self.z[told.of][:, seen], names, told.rows.customers)

    def _own(self, at: Floats, text: int) -> Floats:
        return np.asarray(covariates.parameters_of(self.kernel, at, self.z[text][None])[0], dtype=np.float64)


def coded(columns: Sequence[str], levels: Sequence[str]) -> list[float]:
    """Give 1 for each column whose level is there, else 0."""
    return [float(column in levels) for column in columns]


def _columns(levels: Sequence[Sequence[str]], customers: Floats) -> tuple[list[str], list[str]]:
    """Each level but the commonest of its covariate, and the covariates that have one level alone."""
    columns, alike = [], []
    for of in zip(*levels, strict=True):
        counts = {level: customers[[one == level for one in of]].sum() for level in sorted(set(of))}
        commonest = max(counts, key=lambda level: counts[level])
        columns += [level for level in counts if level != commonest]
        if len(counts) == 1:
            alike.append(commonest.split("=")[0])
    return columns, alike
