"""Conditional means in place of the missing responses, and the jackknife for their uncertainty.

The completed response is analysed by generalised least squares at the covariance matrices of the fit, which
is linear in it: were they estimated again they would be too small, a mean having no scatter. At random the
estimate is then that of the fit, to the last digit: least squares at fixed covariance do not move when
missing responses are their conditional means (the M step of EM at its fixed point). The jackknife repeats all
of it, the fit included, without each unit.

Reference: Wolbers, Noci, Delmar, Gower-Page, Yiu & Bartlett (2022), Standard and reference-based conditional
mean imputation, Pharmaceutical Statistics 21, 1246-1257.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.crossproducts.elimination_order import parents_of
from lmmkit.engine.imputation.complete_visits import CompleteVisits
from lmmkit.engine.imputation.missing_responses import Assumption
from lmmkit.engine.imputation.parameter_draws import DrawnEffects, Parameters
from lmmkit.engine.inference.information import optimum_at
from lmmkit.engine.influence.remaining import remaining
from lmmkit.engine.problem import Problem, Residual
from lmmkit.engine.replicates.jackknife import unit_term
from lmmkit.engine.solve import solve
from lmmkit.errors import FitError
from lmmkit.model.missing_data.completed import residual_of
from lmmkit.model.missing_data.imputations import Analysis, Imputation
from lmmkit.model.table.columns import Mask

MOST_UNITS, MOST_ROWS = 2_000, 50_000  # up to which the jackknife is taken
ENTRIES = 1e6  # numbers of completed responses that are made at a time
LeastSquares = Callable[[Floats], Floats]  # (n, m) completed responses -> (m,) estimates


class Refit(NamedTuple):
    """A fit, of all units or without one.

    Attributes:
        at: Its covariance parameters.
        effects: Its coefficients, and of all units its random effects.
        least_squares: Generalised least squares at these covariances, on its units.
    """

    at: Parameters
    effects: DrawnEffects
    least_squares: LeastSquares


@dataclass(frozen=True, eq=False)
class ConditionalMeans:
    """The estimate from conditional means, of all units and without each.

    Attributes:
        imputation: What fills the responses in.
        analysis: What is made of them, on the same rows.
    """

    imputation: Imputation
    analysis: Analysis

    @property
    def units(self) -> Ints:
        """(n,) what is left out at a time: the subject of each row, or the level of the coarsest factor."""
        problem = self.analysis.rows.problem
        return problem.residual.subjects if problem.residual is not None else unit_term(problem).codes

    @property
    def unit(self) -> str:
        """What the units are called."""
        rows = self.analysis.rows
        if rows.random:
            place = next(i for i, t in enumerate(rows.problem.terms) if t is unit_term(rows.problem))
            return rows.design.random[place].factor
        residual = rows.design.residual
        return residual.subjects.name if residual and residual.subjects else "row"

    def why_not(self) -> str:
        """Why there is no jackknife here, in words; empty where there is."""
        rows = self.analysis.rows
        problem = rows.problem
        if not rows.random and not isinstance(problem.residual, Residual):
            return "the residual structure is not one over visits"
        if rows.random and problem.residual is not None:
            return "the model has random effects beside a residual structure"
        if any(not term.plain for term in problem.terms):
            return "the levels of a grouping factor are related, or rows have several of them"
        if rows.random and not _nested(problem):
            return "the grouping factors are crossed, so that no unit is independent of the others"
        if len(np.unique(self.units)) > MOST_UNITS or len(problem.response) > MOST_ROWS:
            return f"there are more than {MOST_UNITS:,} units, or {MOST_ROWS:,} rows"
        return ""

    def estimates(self, assumptions: tuple[Assumption, ...]) -> tuple[Floats, Floats]:
        """(a,) estimates under each assumption, and (u, a) the same without each unit.

        Raises:
            FitError: The model cannot be fitted without one of the units.
        """
        out = list[Floats]()
        for some in self._chunks():
            betas = np.array([each.effects.beta for each in some])
            filled = self.imputation.over_visits([each.at for each in some], betas, assumptions)
            out += [each.least_squares(filled[:, number].T) for number, each in enumerate(some)]
        return out[0], np.array(out[1:])

    def shifted(self, shifted: Floats) -> tuple[Floats, Floats]:
        """(2,) the estimate at random and its change per unit of shift, and (u, 2) those without each unit.

        Args:
            shifted: (n,) 1 on the rows whose imputed response is shifted, else 0.

        Raises:
            FitError: The model cannot be fitted without one of the units.
        """
        L, response = self.analysis.L, self.analysis.rows.response
        out = list[Floats]()
        for each in self._refits():
            sigma = each.at.sigma
            low, high = each.least_squares(np.stack([response, response + sigma * shifted], axis=1))
            out.append(np.array([L @ each.effects.beta, (high - low) / sigma]))
        return out[0], np.array(out[1:])

    def _chunks(self) -> Iterator[list[Refit]]:
        """Some refits at a time, so many that what they fill in is small."""
        size, refits = max(1, int(ENTRIES / len(self.imputation.rows.missing))), self._refits()
        while some := list(islice(refits, size)):
            yield some

    def _refits(self) -> Iterator[Refit]:
        """The fit itself, then that without each unit."""
        for number, (at, effects) in enumerate(self._fits):
            yield Refit(at, effects, self._least_squares(at, number - 1 if number else None))

    @cached_property
    def _fits(self) -> list[tuple[Parameters, DrawnEffects]]:
        """Parameters and effects of the fit, then those without each unit."""
        rows, units = self.imputation.rows, self.units
        fit = rows.estimates
        whole = (Parameters(fit.factors, fit.rho, fit.sigma), DrawnEffects(fit.beta, fit.b))
        kept = (units[~rows.missing] != unit for unit in range(int(units.max()) + 1))
        return [whole, *(whole if some.all() else self._fitted(some, i) for i, some in enumerate(kept))]

    def _fitted(self, kept: Mask, unit: int) -> tuple[Parameters, DrawnEffects]:
        """The fit to some of the rows that have a response."""
        rows = self.imputation.rows
        fit = rows.estimates
        try:
            found = solve(remaining(rows.observed, kept), reml=fit.reml, rho=fit.residual_coordinates)
        except FitError as error:
            raise FitError(
                f"Without one {self.unit} (number {unit + 1}) the model has no fit: {error}"
            ) from None
        if len(found.kept) < len(fit.beta):
            raise FitError(
                f"Without one {self.unit} (number {unit + 1}) a coefficient cannot be estimated, so that "
                "there is no jackknife."
            )
        return Parameters(found.factors, found.rho, found.sigma), DrawnEffects(found.beta, ())

    def _least_squares(self, at: Parameters, without: int | None) -> LeastSquares:
        """Generalised least squares at given covariances, on all units or without one."""
        rows, L = self.analysis.rows, self.analysis.L
        visits = self.analysis.visits
        if visits is not None:
            V = at.sigma**2 * residual_of(rows.problem).structure.matrix(at.rho)
            left = None if without is None else _place(visits, self.units, without)
            return lambda Y: L @ visits.least_squares(V, Y, left)
        some = np.ones(len(rows.missing), bool) if without is None else self.units != without
        problem = rows.problem if without is None else remaining(rows.problem, some)
        there, rho = rows.factors(at.factors), at.rho if problem.residual else None

        def fitted(Y: Floats) -> Floats:
            each = (optimum_at(replace(problem, response=y), there, rho, reml=True) for y in Y[some].T)
            return np.array([L @ one.beta for one in each])

        return fitted


def _nested(problem: Problem) -> bool:
    """Whether every grouping factor lies within the one whose levels are the units."""
    unit = unit_term(problem)
    return all(parents_of(term.codes, term.levels, unit.codes) is not None for term in problem.terms)


def _place(visits: CompleteVisits, units: Ints, unit: int) -> tuple[int, int]:
    """The group of a unit, and its number there."""
    for number, group in enumerate(visits.groups):
        mine = np.flatnonzero(units[group.rows[:, 0]] == unit)
        if len(mine):
            return number, int(mine[0])
    raise AssertionError("every unit has rows")
