"""Where a smaller covariance structure lies in a larger one: the cone that a likelihood ratio projects on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmmkit.engine.covariance.roots import semidefinite_factor
from lmmkit.engine.inference.curvature import optimum_at
from lmmkit.engine.inference.expected_information import Directions, entry_covariance, entry_directions
from lmmkit.engine.inference.traces import traces
from lmmkit.engine.problem import Floats, Problem
from lmmkit.engine.solution import Optimum

Null = tuple[int, Floats]  # a term and (k, m) directions of its T that are null


def null_covariance(
    problem: Problem, matrices: Sequence[Floats], nulls: Sequence[Null], *, reml: bool
) -> Floats:
    """(J, J) covariance of the null parts N'TN of an unconstrained estimate, by lower triangles.

    Args:
        problem: The larger model.
        matrices: T of each of its terms where the smaller model lies.
        nulls: The null directions.
        reml: Restricted maximum likelihood, or maximum likelihood.

    Raises:
        FitError: The data do not tell the covariance parameters apart.
    """
    factors = tuple(_root(T) for T in matrices)
    optimum = optimum_at(problem, factors, reml=reml)
    directions = entry_directions(optimum.layout)
    W = entry_covariance(optimum, traces(optimum.prepared, optimum.layout, optimum.state), directions)
    B = np.concatenate([_null_part(optimum, directions, term, N) for term, N in nulls])
    return B @ W[:-1, :-1] @ B.T


def _root(T: Floats) -> Floats:
    """Lambda of T = Lambda Lambda'."""
    values, vectors = np.linalg.eigh(T)
    return semidefinite_factor(vectors * np.sqrt(np.maximum(values, 0.0)))


def _null_part(optimum: Optimum, directions: Directions, term: int, N: Floats) -> Floats:
    """(m (m + 1) / 2, entries) lower triangle of N'DN along each direction D of the prepared units."""
    columns, rows = np.triu_indices(N.shape[1])
    inner = optimum.prepared.term_bases[term].T @ N
    out = np.zeros((len(rows), directions.count))
    for factor, own, cut in zip(optimum.layout.factors, directions.own, directions.cuts, strict=True):
        for position, place in factor.pieces:
            if position == term:
                out[:, cut] = (inner.T @ own[:, place, place] @ inner)[:, rows, columns].T
    return out
