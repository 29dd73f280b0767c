"""Relative covariance factors between the units of the data and the prepared units."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.crossproducts.elimination_order import Factor, Layout
from lmmkit.engine.crossproducts.scaling import Prepared
from lmmkit.engine.linalg.level_matrices import solved
from lmmkit.engine.problem import Floats, Problem, Term
from lmmkit.engine.search import covariance_cone as cone
from lmmkit.errors import FitError


def free_entries(factor: Floats, correlated: bool) -> Floats:
    """theta of one term: the lower triangle of Lambda, column-major, or its diagonal."""
    return factor.T[np.triu_indices(len(factor))] if correlated else factor.diagonal()


def raw_factors(problem: Problem, prepared: Prepared, layout: Layout, L: list[Floats]) -> tuple[Floats, ...]:
    """Lambda of each term, T_raw = S T S', from L of each factor in order of elimination."""
    factors: dict[int, Floats] = {}
    for factor, x in zip(layout.factors, L, strict=True):
        for term, columns in factor.pieces:
            rows = prepared.term_bases[term] @ x[columns]
            correlated = problem.terms[term].correlated
            factors[term] = cone.semidefinite_factor(rows) if correlated else np.diag(_lengths(rows))
    return tuple(factors[term] for term in range(len(factors)))


def _lengths(rows: Floats) -> Floats:
    """Norm of each row."""
    return np.sqrt(np.einsum("ij,ij->i", rows, rows))


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
    return [_prepared(factor, prepared, start) for factor in layout.factors]


def _prepared(factor: Factor, prepared: Prepared, start: tuple[Floats, ...]) -> Floats:
    """T = S^-1 T_raw S^-T of one factor's terms, as a factor."""
    L = np.zeros((factor.width, factor.width))
    for term, columns in factor.pieces:
        rows = solved(prepared.term_bases[term], start[term])
        L[columns, columns] = cone.semidefinite_factor(rows)
    return L


def _require_in_cone(term: Term, factor: Floats) -> None:
    """A starting factor is a lower triangular k x k matrix with a diagonal that is not negative."""
    k = len(term.columns)
    if factor.shape != (k, k) or not np.isfinite(factor).all():
        raise FitError(f"A starting factor has shape {factor.shape}; a finite {k} x {k} matrix was expected.")
    allowed = np.tri(k) if term.correlated else np.eye(k)
    if (factor * (1.0 - allowed)).any() or (factor.diagonal() < 0).any():
        raise FitError(
            f"A starting factor is outside the cone of covariance factors: {factor.tolist()}. It must be "
            f"{'lower triangular' if term.correlated else 'diagonal'} with no negative diagonal entry."
        )
