"""One fit: from arrays to the optimum and back to the units of the data."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.covariance.roots import zero_pivots
from lmmkit.engine.problem import Floats, Problem
from lmmkit.engine.search import boundary
from lmmkit.engine.search.algorithms import chosen
from lmmkit.engine.search.search import Search
from lmmkit.engine.setup import set_up
from lmmkit.engine.solution import Optimum, Solution
from lmmkit.errors import FitError

VANISHED = 1e-10  # residual variance, of a response of unit size, that a search without an end has run to


def solve(
    problem: Problem,
    *,
    reml: bool = True,
    algorithm: str = "newton",
    limit: int | None = None,
    start: tuple[Floats, ...] | None = None,
) -> Solution:
    """Fit a linear mixed model.

    Args:
        problem: The arrays.
        reml: Restricted maximum likelihood, or maximum likelihood.
        algorithm: One of `lmmkit.engine.search.algorithms.ALGORITHMS`.
        limit: Steps at most; by default what the algorithm may need on hard problems.
        start: Lambda of each term, (k, k), to start from; by default from the moment equations.

    Raises:
        FitError: The model cannot be estimated from these data, or its residual variance runs to zero.
    """
    method = chosen(algorithm, limit)
    setup = set_up(problem, reml=reml)
    criterion = setup.criterion
    given = None if start is None else setup.layout.in_prepared_units(setup.prepared.term_bases, start)
    theta = criterion.theta(setup.start() if given is None else given)
    search = method.search(criterion, setup.scale, criterion(theta))
    search.run(method.limit if limit is None else limit)
    _refuse_vanishing(search)
    state = boundary.set_null(search.criterion, search.state, search.scale)
    return _solution(Optimum(problem, setup.prepared, search.criterion, state), search)


def _refuse_vanishing(search: Search) -> None:
    """A search that ran after a residual variance of zero; the response has unit size in prepared units."""
    if not search.converged and search.state.r2 < VANISHED * search.criterion.nu:
        raise FitError(
            "The residual variance runs to zero: the random effects reproduce every row, and their variances "
            "grow without bound beside it. Take a random-effects term out, or analyse more rows per level."
        )


def _solution(optimum: Optimum, search: Search) -> Solution:
    """Back to the units of the data."""
    state, prepared, criterion = optimum.state, optimum.prepared, optimum.criterion
    factors, S = optimum.factors(state.L), prepared.basis
    return Solution(
        reml=criterion.reml,
        kept=prepared.kept,
        beta=prepared.beta + prepared.scale * S @ state.beta,
        unscaled_vcov=S @ np.linalg.inv(state.XVX) @ S.T,
        factors=factors,
        sigma=prepared.scale * float(np.sqrt(state.r2 / criterion.nu)),
        deviance=state.deviance,
        null_directions=tuple(zero_pivots(L) for L in factors),
        converged=search.converged,
        evaluations=search.evaluations,
        optimum=optimum,
        search=search,
    )
