"""Completed responses from a fit, and the analysis of them by the model of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.imputation.complete_visits import CompleteVisits, complete_visits
from lmmkit.engine.imputation.missing_responses import (
    AT_RANDOM,
    Assumption,
    Dropout,
    dropout_patterns,
    imputed,
    residuals_given,
)
from lmmkit.engine.imputation.parameter_draws import (
    ParameterDraws,
    Parameters,
    coefficients_at,
    effects_at,
    effects_count,
    prior_effects,
)
from lmmkit.engine.problem import Residual
from lmmkit.engine.replicates.random_streams import normals
from lmmkit.engine.replicates.refit import refit
from lmmkit.errors import FitError
from lmmkit.model.estimates import estimate
from lmmkit.model.inference.degrees_of_freedom import denominators
from lmmkit.model.missing_data.completed import Arms, Completed, residual_of

PARAMETERS, OBSERVED, LEVELS, ROWS = 21, 22, 23, 24  # streams of random numbers of one seed
LOOKED_AT = 5  # completed data sets whose degrees of freedom are averaged


@dataclass(frozen=True, eq=False)
class Imputation:
    """What fills the missing responses of some rows in.

    Attributes:
        rows: The rows, with the fit that imputes.
        arms: The arms and their reference; None: missing at random alone.
    """

    rows: Completed
    arms: Arms | None = None

    @cached_property
    def _draws(self) -> ParameterDraws:
        fit = self.rows.estimates
        return ParameterDraws(fit.optimum, fit.information)

    @cached_property
    def patterns(self) -> list[Dropout]:
        """Of the subjects of a model of visits without random effects."""
        cells = self.arms.cells if self.arms else None
        return dropout_patterns(residual_of(self.rows.problem), self.rows.missing, cells)

    @property
    def by_visits(self) -> bool:
        """Whether the rows of a subject have one covariance matrix over visits, and no random effects."""
        return isinstance(self.rows.problem.residual, Residual) and not self.rows.random

    def drawn(self, count: int, seed: int, assumptions: tuple[Assumption, ...]) -> dict[Assumption, Floats]:
        """(n, count) completed responses under each assumption, from the same random numbers.

        Raises:
            FitError: The data do not tell the covariance parameters apart.
        """
        z = normals(seed, 0, count, self._draws.count, PARAMETERS)
        rows = normals(seed, 0, count, len(self.rows.missing), ROWS)
        at = [self._draws.draw(column) for column in z.T]
        if not self.by_visits:
            made = [self._with_effects(seed, number, each, rows[:, number]) for number, each in enumerate(at)]
            return {AT_RANDOM: np.stack(made, axis=1)}
        fit = self.rows.estimates
        numbers = normals(seed, 0, count, len(fit.beta), OBSERVED)
        betas = [
            coefficients_at(fit.optimum, each.rho, each.sigma, numbers[:, i]) for i, each in enumerate(at)
        ]
        filled = self.over_visits(at, np.array(betas), assumptions, rows.T)
        return {assumption: filled[number].T for number, assumption in enumerate(assumptions)}

    def over_visits(
        self,
        at: Sequence[Parameters],
        betas: Floats,
        assumptions: tuple[Assumption, ...],
        z: Floats | None = None,
    ) -> Floats:
        """(a, r, n) completed responses of a model of visits without random effects.

        Args:
            at: r covariance parameters.
            betas: (r, p) coefficients.
            assumptions: About the rows after the last response of a subject.
            z: (r, n) standard normal numbers; None: conditional means.
        """
        rows, problem = self.rows, self.rows.problem
        structure = residual_of(problem).structure
        V = np.array([each.sigma**2 * structure.matrix(each.rho) for each in at])
        own = betas @ rows.X.T + rows.offset
        other = own if self.arms is None else betas @ self.arms.other.T + rows.offset
        weights = None if problem.weights is None else np.sqrt(problem.weights)
        return imputed(self.patterns, V, own, other, rows.response, z, assumptions, weights)

    def _with_effects(self, seed: int, number: int, at: Parameters, z: Floats) -> Floats:
        """(n,) a completed response of any model, at random, given its covariance parameters."""
        rows, observed, mine = self.rows, self.rows.observed, self.rows.problem
        m, k = effects_count(observed), effects_count(mine)
        u = normals(seed, number, 1, m + len(observed.response), OBSERVED)[:, 0]
        found = effects_at(observed, at, u[:m], u[m:], reml=rows.estimates.reml)
        there = replace(at, factors=rows.factors(at.factors))
        mean = rows.mean(found, prior_effects(mine, there, normals(seed, number, 1, k, LEVELS)[:, 0]))
        e = residuals_given(mine, rows.missing, at.rho, at.sigma, rows.response - mean, z)
        return np.where(rows.missing, mean + e, rows.response)


@dataclass(frozen=True, eq=False)
class Analysis:
    """The model of a fit, fitted to completed responses, and one linear function of its coefficients.

    Attributes:
        rows: The rows.
        L: (p,) on the kept coefficients.
        df: Method of the degrees of freedom of a completed data set.
    """

    rows: Completed
    L: Floats
    df: str

    @cached_property
    def visits(self) -> CompleteVisits | None:
        """The rows as complete visits; None where they are none."""
        return complete_visits(self.rows.problem)

    def estimates(self, Y: Floats) -> tuple[Floats, Floats]:
        """(m,) estimates and variances of the fit to each of (n, m) completed responses.

        Raises:
            FitError: A completed data set cannot be fitted.
        """
        fit = self.rows.estimates
        if self.visits is not None and self.visits.free:
            beta, Phi = self.visits.unstructured(Y, reml=fit.reml)
            return beta @ self.L, np.einsum("p,mpq,q->m", self.L, Phi, self.L)

        def some(first: int, count: int) -> Floats:
            return np.ascontiguousarray(Y[:, first : first + count])

        rho = fit.residual_coordinates
        found = refit(self.rows.problem, some, Y.shape[1], reml=fit.reml, rho=rho, functions=self.L[None])
        if found.failures:
            number, why = next(iter(found.failures.items()))
            raise FitError(
                f"{len(found.failures)} of {Y.shape[1]} completed data sets cannot be fitted, the first of "
                f"them number {number + 1}: {why}"
            )
        return found.beta @ self.L, found.function_variances[:, 0, 0]

    def complete_df(self, Y: Floats) -> float:
        """Degrees of freedom were the data complete: their mean over the first few completed data sets.

        Infinite where a completed data set has none by this method.
        """
        found = [self._own_df(y) for y in Y.T[:LOOKED_AT]]
        return float(np.mean(found)) if np.isfinite(found).all() else np.inf

    def _own_df(self, y: Floats) -> float:
        fit, design = self.rows.estimates, self.rows.design
        completed = replace(design, problem=replace(design.problem, response=y))
        made = estimate(completed, reml=fit.reml, algorithm=fit.algorithm, rho=fit.residual_coordinates)
        if made.kept != fit.kept:
            raise FitError("A completed data set has other estimable coefficients than the fit.")
        df = float(denominators(made, self.df).single(self.L[None])[0])
        return np.inf if np.isnan(df) else df
