"""One fit: from arrays to the optimum and back to the units of the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from lmmkit.engine import boundary, cone
from lmmkit.engine.algorithms import chosen
from lmmkit.engine.criterion import Criterion, State
from lmmkit.engine.layout import Layout
from lmmkit.engine.prepare import Prepared
from lmmkit.engine.problem import Floats, Problem
from lmmkit.engine.search import Search
from lmmkit.engine.setup import set_up
from lmmkit.engine.variances import conditional_blocks

FLAT = -1e-9  # least curvature, as a share of the largest, that rounding may leave at an optimum


@dataclass(frozen=True)
class Check:
    """One line of a certificate."""

    name: str
    value: float
    threshold: float
    passed: bool


@dataclass(frozen=True, eq=False)
class Solution:
    """An optimum in the units of the data, its terms in the order of `Problem.terms`.

    Attributes:
        kept: Positions in `Problem.fixed` of the columns that are not aliased.
        beta: (p,) fixed effects (BLUE).
        unscaled_vcov: (p, p) (X'V^-1X)^-1; times sigma^2 it is their covariance matrix.
        factors: Lambda of each term, (k, k), lower triangular, diagonal >= 0; G = sigma^2 Lambda Lambda'.
        sigma: Residual standard deviation.
        deviance: -2 log likelihood, or the REML criterion, with lme4's constants.
        null_directions: Null directions of each term's covariance matrix.
        evaluations: Calls of the criterion with gradient during the search.
        trace: The log of the search.
        optimum, search: All that made it.
    """

    reml: bool
    kept: tuple[int, ...]
    beta: Floats
    unscaled_vcov: Floats
    factors: tuple[Floats, ...]
    sigma: float
    deviance: float
    null_directions: tuple[int, ...]
    converged: bool
    evaluations: int
    trace: list[dict[str, object]]
    optimum: Optimum = field(repr=False)
    search: Search = field(repr=False)

    @cached_property
    def checks(self) -> list[Check]:
        """Conditions of a local optimum, and whether they hold."""
        return optimality(self.search, self.optimum.state)

    def random_effects(self) -> tuple[Floats, ...]:
        """BLUPs b of each term, (J, k)."""
        return self.optimum.random_effects()

    def conditional_variances(self) -> tuple[Floats, ...]:
        """var(b | y, beta, theta) of each term, (J, k, k)."""
        return self.optimum.conditional_variances(self.sigma)


@dataclass(frozen=True, eq=False)
class Optimum:
    """An optimum in prepared units with all that made it."""

    problem: Problem
    prepared: Prepared
    criterion: Criterion
    state: State

    @cached_property
    def layout(self) -> Layout:
        """Chain and rest."""
        return self.criterion.layout

    def random_effects(self) -> tuple[Floats, ...]:
        """b_f = T_f Z_f'V^-1(y - X beta), carried back to the units of the data."""
        a = np.append(-self.state.beta, 1.0)
        out: dict[int, Floats] = {}
        for f, factor in enumerate(self.layout.factors):
            L = self.state.L[f]
            b = self.prepared.scale * (L @ L.T) @ self._scores(f, a)
            for term, columns in factor.pieces:
                raw = np.empty((factor.levels, columns.stop - columns.start))
                raw[factor.order] = (self.prepared.term_bases[term] @ b[columns]).T
                out[term] = raw
        return tuple(out[term] for term in range(len(out)))

    def _scores(self, f: int, a: Floats) -> Floats:
        """Z_f'Py, (k, J)."""
        if f < len(self.layout.chain):
            return np.einsum("kqj,q->kj", self.state.reverse.U[f], a)
        columns = self.layout.columns(f - len(self.layout.chain))
        return (self.state.reverse.U[-1][columns] @ a).reshape(-1, self.layout.factors[f].width).T

    def conditional_variances(self, sigma: float) -> tuple[Floats, ...]:
        """sigma^2 (Z'Z + T^-1)^-1, diagonal blocks, carried back to the units of the data."""
        out: dict[int, Floats] = {}
        for factor, blocks in zip(
            self.layout.factors, conditional_blocks(self.layout, self.state), strict=True
        ):
            for term, columns in factor.pieces:
                S = self.prepared.term_bases[term]
                raw = np.empty((factor.levels, len(S), len(S)))
                raw[factor.order] = S @ blocks[:, columns, columns] @ S.T
                out[term] = sigma**2 * raw
        return tuple(out[term] for term in range(len(out)))


def solve(
    problem: Problem, *, reml: bool = True, algorithm: str = "newton", limit: int | None = None
) -> Solution:
    """Fit a linear mixed model.

    Args:
        problem: The arrays.
        reml: Restricted maximum likelihood, or maximum likelihood.
        algorithm: One of `ALGORITHMS`.
        limit: Steps at most; by default what the algorithm may need on hard problems.

    Raises:
        FitError: The model cannot be estimated from these data.
    """
    method = chosen(algorithm, limit)
    setup = set_up(problem, reml=reml)
    criterion = setup.criterion
    search = method.search(criterion, setup.scale, criterion(criterion.theta(setup.start())))
    search.run(method.limit if limit is None else limit)
    state = boundary.set_null(search.criterion, search.state, search.scale)
    return _solution(Optimum(problem, setup.prepared, search.criterion, state), search)


def _solution(optimum: Optimum, search: Search) -> Solution:
    """Back to the units of the data."""
    state, prepared, problem = optimum.state, optimum.prepared, optimum.problem
    criterion = optimum.criterion
    factors: dict[int, Floats] = {}
    for factor, L in zip(optimum.layout.factors, state.L, strict=True):
        for term, columns in factor.pieces:
            factors[term] = _raw_factor(prepared.term_bases[term], L[columns], problem.terms[term].correlated)
    ordered = tuple(factors[term] for term in range(len(factors)))
    S = prepared.basis
    return Solution(
        reml=criterion.reml,
        kept=prepared.kept,
        beta=prepared.beta + prepared.scale * S @ state.beta,
        unscaled_vcov=S @ np.linalg.inv(state.XVX) @ S.T,
        factors=ordered,
        sigma=prepared.scale * float(np.sqrt(state.r2 / criterion.nu)),
        deviance=state.deviance,
        null_directions=tuple(boundary.null_count(L) for L in ordered),
        converged=search.converged,
        evaluations=search.evaluations,
        trace=search.history,
        optimum=optimum,
        search=search,
    )


def _raw_factor(S: Floats, L: Floats, correlated: bool) -> Floats:
    """Lambda in the units of the data from the rows of L in prepared units."""
    if correlated:
        return cone.semidefinite_factor(S @ L)
    return np.diag(np.abs(np.linalg.norm(S @ L, axis=1)))


def optimality(search: Search, state: State) -> list[Check]:
    """The conditions of a local optimum on the cone (Karush, Kuhn & Tucker), each with its threshold."""
    layout, scale = search.criterion.layout, search.scale
    slopes = [
        float(values[0])
        for f, factor in enumerate(layout.factors)
        for values, _ in cone.scaled_slopes(factor, state.D[f], scale[f])
    ]
    least = min(slopes, default=0.0)
    step = [
        float(np.abs((L.T @ D @ L) * factor.mask).max() / factor.levels)
        for factor, L, D in zip(layout.factors, state.L, state.D, strict=True)
    ]
    curvature = least_curvature(search.criterion, state)
    return [
        Check("Newton decrement (deviance units)", search.decrement, 1e-8, search.decrement <= 1e-8),
        Check(
            "complementarity: |L'DL| / levels", max(step, default=0.0), 1e-6, max(step, default=0.0) <= 1e-6
        ),
        Check("multipliers: least slope along the cone", least, -1e-6, least >= -1e-6),
        Check("curvature: least eigenvalue", curvature, FLAT, curvature >= FLAT),
    ]


def least_curvature(criterion: Criterion, state: State) -> float:
    """Least eigenvalue of the Hessian among the directions that are not null, as a share of the largest."""
    free = criterion.theta(
        [np.where(np.diag(L)[None, :] != 0, 1.0, 0.0) * np.ones_like(L) for L in state.L]
    ).astype(bool)
    here = state.hessian[np.ix_(free, free)]
    values = np.linalg.eigvalsh(here)
    return float(values[0] / values[-1]) if len(here) and values[-1] > 0 else 1.0
