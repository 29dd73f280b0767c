"""Relative covariance factors between the units of the data and the prepared units."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.crossproducts.scaling import Prepared
from lmmkit.engine.linalg.level_matrices import solved
from lmmkit.engine.problem import Floats, Problem, Term
from lmmkit.errors import FitError


def raw_factors(problem: Problem, prepared: Prepared, layout: Layout, L: list[Floats]) -> tuple[Floats, ...]:
    """Lambda of each term, T_raw = S T S', from L of each factor in order of elimination."""
    factors: dict[int, Floats] = {}
    for factor, x in zip(layout.factors, L, strict=True):
        for term, columns in factor.pieces:
            factors[term] = problem.terms[term].structure.root_of(prepared.term_bases[term] @ x[columns])
    return tuple(factors[term] for term in range(len(factors)))


def prepared_factors(
    problem: Problem, prepared: Prepared, layout: Layout, start: tuple[Floats, ...]
) -> list[Floats]:
    """L of each factor in order of elimination, from Lambda of each term.

    Raises:
        FitError: A factor is not in the cone: of another shape, not lower triangular, not finite, or with a
            negative diagonal.
    """
    if len(start) != len(problem.terms):
        raise FitError(
            f"{len(start)} starting factors were given for {len(problem.terms)} random-effects terms; "
            "give one for each term."
        )
    for term, factor in zip(problem.terms, start, strict=True):
        _require_in_cone(term, factor)
    L = list[Floats]()
    for factor in layout.factors:
        rows = np.zeros((factor.width, factor.width))
        for term, columns in factor.pieces:  # T = S^-1 T_raw S^-T
            rows[columns, columns] = solved(prepared.term_bases[term], start[term])
        L.append(factor.structure.root_of(rows))
    return L


def _require_in_cone(term: Term, factor: Floats) -> None:
    """A starting factor is a lower triangular k x k matrix with a diagonal that is not negative."""
    k = len(term.columns)
    if factor.shape != (k, k) or not np.isfinite(factor).all():
        raise FitError(f"A starting factor has shape {factor.shape}; a finite {k} x {k} matrix was expected.")
    x = term.structure.coordinates(factor)
    if (term.structure.root(x) != factor).any() or (x[term.structure.nonnegative] < 0).any():
        raise FitError(
            f"A starting factor is outside the cone of covariance factors: {factor.tolist()}. It must be "
            f"the lower triangular root of a covariance matrix ({term.structure.name}), with no negative "
            "diagonal entry."
        )
