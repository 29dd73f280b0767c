"""One fit: from arrays to the optimum and back to the units of the data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.roots import zero_pivots
from lmmkit.engine.covariates import (
    awaits_fitted,
    centred,
    lift,
    middle,
    with_fitted,
    without_variance,
)
from lmmkit.engine.criterion.criterion import Evaluation, Held
from lmmkit.engine.criterion.gradient import conditional_blocks
from lmmkit.engine.optimum import Optimum
from lmmkit.engine.problem import FitNumbers, Problem
from lmmkit.engine.rules import SEARCH, FitRules
from lmmkit.engine.search.algorithms import chosen, refuse_em
from lmmkit.engine.search.optimality import Check, optimality, set_null, set_uncorrelated
from lmmkit.engine.search.profiled_deviance import ProfiledDeviance
from lmmkit.engine.search.runaway import refuse_no_optimum
from lmmkit.engine.search.search import Search
from lmmkit.engine.setup import Setup, set_up
from lmmkit.errors import FitError


@dataclass(frozen=True, eq=False)
class Solution(FitNumbers):
    """An optimum in the units of the data, with all that made it.

    Attributes:
        optimum: The criterion at the optimum, in prepared units.
        search: The search that ended there.
        rules: Its thresholds.
    """

    optimum: Optimum = field(repr=False)
    search: Search[Evaluation] = field(repr=False)
    rules: FitRules = field(repr=False)

    @cached_property
    def trace(self) -> list[dict[str, object]]:
        """The log of the search, theta in the units of the data and the order of the terms.

        Of a residual structure `rho` has the natural parameters in the order of its names.
        """
        return [
            {**line.numbers, "theta": self.optimum.theta(line.L), **self._told(line.coordinates)}
            for line in self.search.history
        ]

    def _told(self, coordinates: Floats) -> dict[str, tuple[float, ...]]:
        residual = self.optimum.problem.residual
        if residual is None:
            return {}
        rho = coordinates[len(coordinates) - residual.structure.count :]
        return {"rho": tuple(residual.structure.natural(rho).tolist())}

    @property
    def given(self) -> bool:
        """Whether the variances are given, not estimated: then no place is better than another."""
        return self.optimum.state.held.precision is not None

    @cached_property
    def checks(self) -> list[Check]:
        """Conditions of a local optimum, and whether they hold; none where the variances are given."""
        if self.given:
            return []
        return optimality(self.optimum.state, self.optimum.scale, self.search.decrement, self.rules)

    @property
    def fitted(self) -> Floats:
        """(n,) X beta + Z b and the offset."""
        problem = self.optimum.problem
        return problem.plus_random(problem.fixed_part(self.kept, self.beta), self.random_effects())

    def random_effects(self) -> tuple[Floats, ...]:
        """BLUPs b = T Z'V^-1(y - X beta) of each term, (J, k)."""
        return self.optimum.random_effects()

    def conditional_variances(self) -> tuple[Floats, ...]:
        """var(b | y, beta, theta) = sigma^2 (Z'Z + T^-1)^-1 of each level, (J, k, k) of each term."""
        state = self.optimum.state
        blocks = conditional_blocks(state.forward, state.reverse, self.optimum.layout)
        return self.optimum.by_term(
            lambda f, S, columns: self.sigma**2 * (S @ blocks[f][:, columns, columns] @ S.T)
        )


def solve(
    problem: Problem,
    *,
    reml: bool = True,
    algorithm: str = "newton",
    limit: int | None = None,
    start: tuple[Floats, ...] | None = None,
    rho: Floats | None = None,
    rules: FitRules = SEARCH,
    setup: Setup | None = None,
) -> Solution:
    """Fit a linear mixed model.

    Args:
        problem: The arrays.
        reml: Restricted maximum likelihood, or maximum likelihood.
        algorithm: One of `lmmkit.engine.search.algorithms.ALGORITHMS`.
        limit: Steps at most, in all; by default what the algorithm may need on hard problems.
        start: Lambda of each term, (k, k), to start from; by default from the moment equations.
        rho: (r,) coordinates of the residual structure to start from; by default from the residuals of
            ordinary least squares.
        rules: Thresholds of the search.
        setup: The problem made ready, where it was made so already.

    Raises:
        FitError: The model cannot be estimated from these data, or its residual variance runs to zero.
    """
    options = _Options(reml, algorithm, limit, rules, setup)
    if awaits_fitted(problem):
        return _fixed_point(problem, options)
    return _centred_solution(problem, options, start, rho)


class _Options(NamedTuple):
    """How to fit."""

    reml: bool
    algorithm: str
    limit: int | None
    rules: FitRules
    setup: Setup | None


def _fixed_point(problem: Problem, options: _Options) -> Solution:
    """The fit whose variances are a power of its own fitted values, by rounds from one variance."""
    at = _centred_solution(without_variance(problem), options, None, None)
    fitted, rho, evaluations = at.fitted, None, at.evaluations
    for _ in range(options.rules.fixed_point_rounds):
        known = with_fitted(problem, fitted)
        at = _centred_solution(known, options, at.factors if rho is not None else None, rho)
        before, fitted, rho = fitted, at.fitted, at.rho
        evaluations += at.evaluations
        if np.abs(fitted - before).max() <= options.rules.fixed_point * np.abs(fitted).max():
            return replace(at, evaluations=evaluations)
    raise FitError(
        f"power(fitted): the fitted values and their variances have found no fixed point in "
        f"{options.rules.fixed_point_rounds} rounds. Take power(x) or exp(x) of a covariate."
    )


def _centred_solution(
    problem: Problem, options: _Options, start: tuple[Floats, ...] | None, rho: Floats | None
) -> Solution:
    """A fit, searched for with the covariate of a variance function centred."""
    mean = middle(problem)
    if not mean.any():
        return _searched(problem, options, start, rho)
    if start is not None and rho is not None:
        start = tuple(factor / lift(rho, mean) for factor in start)
    found = _searched(centred(problem, mean), options, start, rho)
    c = lift(found.rho, mean)
    factors = tuple(c * factor for factor in found.factors)
    setup = set_up(problem, reml=options.reml)
    theta = setup.layout.coordinates(setup.layout.in_prepared_units(setup.prepared.term_bases, factors))
    state = setup.criterion.evaluate(np.append(theta, found.rho))
    return replace(
        found,
        unscaled_vcov=c**2 * found.unscaled_vcov,
        factors=factors,
        sigma=found.sigma / c,
        optimum=Optimum(problem, setup.prepared, state, setup.scale),
    )


def _searched(
    problem: Problem, options: _Options, start: tuple[Floats, ...] | None, rho: Floats | None
) -> Solution:
    """A fit of a problem as it is."""
    reml, algorithm, limit, rules, setup = options
    method = chosen(algorithm, limit)
    if setup is None or setup.problem is not problem:
        setup = set_up(problem, reml=reml)
    criterion = setup.criterion
    if criterion.source.count:
        refuse_em(algorithm, "the parameters of a residual structure")
    if not setup.layout.has_em:
        refuse_em(algorithm, _without_em(problem))
    if not (setup.layout.factors and setup.layout.has_em):
        rules = replace(rules, halvings=rules.halvings_alone)
    if rho is not None:
        rho = np.asarray(rho, dtype=np.float64)
        if rho.shape != (criterion.source.count,) or not np.isfinite(rho).all():
            raise FitError(
                f"A start of the residual structure has shape {rho.shape}; {criterion.source.count} finite "
                "numbers were expected."
            )
    theta = setup.start(rules.floor, start, rho)
    objective = ProfiledDeviance(criterion, setup.scale, rules)
    search = method.run(objective, theta, rules, limit or method.limit or rules.limit)
    if not search.converged and criterion.source.count:
        step, decrement = search.towards(search.point.hessian, search.point.gradient)
        if decrement < rules.faded and objective.length(search.point, step) > rules.long:
            objective.refuse_runaway(search.point, step)
    search.point = set_uncorrelated(search.point, rules)
    refuse_no_optimum(search.point, converged=search.converged)
    # The response has unit size in prepared units: the search ran after a residual variance of zero.
    if not search.converged and search.point.r2 < rules.vanished * criterion.nu:
        raise FitError(
            "The residual variance runs to zero: the random effects reproduce every row, and their variances "
            "grow without bound beside it. Take a random-effects term out, or analyse more rows per level."
        )

    state = set_null(search.point, setup.scale, rules)
    return _solution(Optimum(problem, setup.prepared, state, setup.scale), search, rules)


def solve_at(problem: Problem, factors: tuple[Floats, ...], sigma: float, *, reml: bool = True) -> Solution:
    """Fixed and random effects at variances that are known: nothing is searched for.

    Args:
        problem: The arrays.
        factors: Lambda of each term, (k, k), G = sigma^2 Lambda Lambda'.
        sigma: Residual standard deviation.
        reml: Which deviance is taken at them.

    Raises:
        FitError: The effects cannot be estimated from these data, or a variance is none.
    """
    if problem.residual is not None:
        raise FitError("Variances beside a residual structure cannot be held: leave one of the two out.")
    if not 0.0 < sigma < np.inf:
        raise FitError(f"The residual variance is held at {sigma**2:.6g}: a positive number is expected.")
    setup = set_up(problem, reml=reml, estimated=False)
    layout, prepared = setup.layout, setup.prepared
    L = layout.in_prepared_units(prepared.term_bases, factors)
    held = Held(precision=(prepared.scale / sigma) ** 2)
    state = setup.criterion.evaluate(layout.coordinates(L), held)
    objective = ProfiledDeviance(setup.criterion, setup.scale, SEARCH)
    search = Search(objective, state, SEARCH, evaluations=0, converged=True)
    return _solution(Optimum(problem, prepared, state, setup.scale), search, SEARCH)


def _without_em(problem: Problem) -> str:
    """The first structure that has no EM step, in words."""
    structure = next(term.structure for term in problem.terms if not term.structure.has_em)
    return f"the correlations of a structure that is {structure.name}"


def _solution(optimum: Optimum, search: Search[Evaluation], rules: FitRules) -> Solution:
    """Back to the units of the data."""
    state, prepared, criterion = optimum.state, optimum.prepared, optimum.criterion
    factors, S = optimum.factors(state.L), prepared.basis
    return Solution(
        reml=criterion.reml,
        kept=prepared.kept,
        beta=optimum.beta,
        unscaled_vcov=S @ np.linalg.inv(state.XVX) @ S.T,
        factors=factors,
        rho=state.rho,
        sigma=prepared.scale * float(np.sqrt(state.variance)),
        deviance=state.deviance,
        null_directions=tuple(zero_pivots(L) for L in factors),
        converged=search.converged,
        evaluations=search.evaluations,
        optimum=optimum,
        search=search,
        rules=rules,
    )
