"""Families of covariance matrices Z (I (x) T) Z', linear in T: whether one lies within another, and where.

For columns of one term and of another, tr(Z_a Z_b' Z_c Z_d') is a sum over the pairs of levels that share
rows: no matrix with n rows and n columns is met.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.roots import semidefinite_factor
from lmmkit.engine.crossproducts.elimination_order import parents_of
from lmmkit.engine.inference.information import (
    ExpectedInformation,
    entry_directions,
    in_data_units,
    optimum_at,
)
from lmmkit.engine.problem import Problem, Term

APART = 1e-9  # share of its own square by which a matrix may miss a family that it belongs to
SPAN = 1e-9  # share of its length by which a column may miss a space that holds it


@dataclass(frozen=True, eq=False)
class Units:
    """The free entries of every T of a problem: for each term (m, k, k) symmetric unit matrices."""

    problem: Problem
    own: tuple[Floats, ...]

    def combined(self, weights: Floats) -> list[Floats]:
        """T of each term from one weight per entry."""
        ends = np.cumsum([0, *map(len, self.own)])
        return [
            np.einsum("i,iab->ab", weights[a:b], units)
            for units, a, b in zip(self.own, ends, ends[1:], strict=False)
        ]


def units(problem: Problem) -> Units:
    """The free entries of every T."""
    return Units(problem, tuple(term.structure.span for term in problem.terms))


def entries_of(own: Floats, T: Floats) -> Floats:
    """Free entries of a symmetric matrix, one for each unit matrix."""
    return np.einsum("iab,ab->i", own, T) / np.einsum("iab->i", own)


def embedding(small: Units, large: Units) -> Floats | None:
    """(m_large, m_small) C: entries C t of the large family give the covariance matrix of entries t.

    A term finds its columns in a term of the same grouping factor, T_large = M T M'; where there is no such
    factor, its covariance matrices are looked for among those of the large family.

    Returns:
        None where some matrix of the small family is not in the linear span of the large one.
    """
    parts = [np.empty((sum(map(len, large.own)), 0))]
    for t, term in enumerate(small.problem.terms):
        there = [
            u
            for u, other in enumerate(large.problem.terms)
            if term.levels == other.levels and parents_of(term.codes, term.levels, other.codes) is not None
        ]
        part = _by_columns(small, t, large, there) if there else _by_matrices(small, t, large)
        if part is None:
            return None
        parts.append(part)
    return np.concatenate(parts, axis=1)


def _by_columns(small: Units, t: int, large: Units, there: Sequence[int]) -> Floats | None:
    """C of one term of the small family, through the columns of one term of the large family."""
    one, starts = small.problem.terms[t], np.cumsum([0, *map(len, large.own)])
    for u in there:
        M = _mixing(small.problem, one, large.problem, large.problem.terms[u])
        if M is not None:
            C = np.zeros((int(starts[-1]), len(small.own[t])))
            made = [entries_of(large.own[u], M @ unit @ M.T) for unit in small.own[t]]
            C[starts[u] : starts[u + 1]] = np.array(made).T
            return C
    return None


def _mixing(problem: Problem, one: Term, other: Problem, two: Term) -> Floats | None:
    """(k_two, k_one) M of Z_one = Z_two M; None where there is none that keeps the covariances."""
    Z = other.term_columns(two)
    M = np.zeros((len(two.columns), len(one.columns)))
    for j, position in enumerate(one.columns):
        found = _combination(Z, problem.columns[position])
        if found is None:
            return None
        M[:, j] = found
    kept = all(two.structure.spans(M @ unit @ M.T) for unit in one.structure.span)
    return M if kept else None


def _combination(Z: Floats, z: Floats) -> Floats | None:
    """Coefficients of a column in others: exactly one where it is one of them."""
    same = [j for j in range(Z.shape[1]) if np.array_equal(Z[:, j], z)]
    if same:
        return np.eye(Z.shape[1])[same[0]]
    lengths, length = np.linalg.norm(Z, axis=0), float(np.linalg.norm(z))
    lengths[lengths == 0.0] = 1.0
    found = np.asarray(np.linalg.lstsq(Z / lengths, z / length, rcond=None)[0], dtype=np.float64)
    if np.linalg.norm(Z / lengths @ found - z / length) > SPAN:
        return None
    found[np.abs(found) < SPAN] = 0.0
    return found * length / lengths


def products(one: Units, two: Units) -> Floats:
    """(m_one, m_two) tr(V_i V_j) of the unit covariance matrices of two problems on the same rows."""
    return np.block([[_product(one, t, two, u) for u in range(len(two.own))] for t in range(len(one.own))])


def _product(one: Units, t: int, two: Units, u: int) -> Floats:
    """The same of two terms."""
    first, second = one.problem.terms[t], two.problem.terms[u]
    pairs, where = np.unique(first.codes * second.levels + second.codes, return_inverse=True)
    left = [one.problem.columns[c] for c in first.columns]
    right = [two.problem.columns[c] for c in second.columns]
    sums = np.array([[np.bincount(where, a * c, len(pairs)) for c in right] for a in left])
    flat = sums.reshape(-1, len(pairs))
    squares = (flat @ flat.T).reshape(sums.shape[:2] * 2)
    return np.einsum("iab,jcd,adbc->ij", one.own[t], two.own[u], squares, optimize=True)


def _by_matrices(small: Units, t: int, large: Units) -> Floats | None:
    """C of one term by projecting its unit covariance matrices on those of the large family."""
    term = Units(replace(small.problem, terms=(small.problem.terms[t],)), (small.own[t],))
    inner, cross, own = products(large, large), products(large, term), products(term, term)
    size, unit = np.sqrt(inner.diagonal()), np.sqrt(own.diagonal())
    scaled = cross / np.outer(size, unit)
    C = np.asarray(np.linalg.lstsq(inner / np.outer(size, size), scaled, rcond=1e-12)[0], dtype=np.float64)
    missed = 1.0 - np.einsum("ij,ij->j", scaled, C)
    if (missed > APART).any():
        return None
    C[np.abs(C) < SPAN * np.abs(C).max(axis=0)] = 0.0
    return C * unit / size[:, None]


def positive(matrices: Sequence[Floats], tolerance: float = 1e-8) -> bool:
    """Whether all are positive semidefinite, to a share of their largest entry."""
    scale = max((float(np.abs(T).max()) for T in matrices), default=0.0)
    return all(float(np.linalg.eigvalsh(T)[0]) >= -tolerance * scale for T in matrices)


def null_covariance(
    problem: Problem, matrices: Sequence[Floats], nulls: Sequence[tuple[int, Floats]], *, reml: bool
) -> Floats:
    """(J, J) covariance of the null parts N'TN of an unconstrained estimate, by lower triangles.

    Args:
        problem: The larger model.
        matrices: T of each of its terms where the smaller model lies.
        nulls: Terms, each with (k, m) directions N of its T that are null there.
        reml: Restricted maximum likelihood, or maximum likelihood.

    Raises:
        FitError: The data do not tell the covariance parameters apart.
    """
    optimum = optimum_at(problem, tuple(_root(T) for T in matrices), reml=reml)
    found = ExpectedInformation(optimum, entry_directions(optimum))
    moves = in_data_units(optimum, found.directions)
    parts = list[Floats]()
    for term, N in nulls:
        columns, rows = np.triu_indices(N.shape[1])
        parts.append((N.T @ moves[term] @ N)[:, rows, columns].T)
    B = np.concatenate(parts)
    return B @ found.covariance[:-1, :-1] @ B.T


def _root(T: Floats) -> Floats:
    """Lambda of T = Lambda Lambda'."""
    values, vectors = np.linalg.eigh(T)
    return semidefinite_factor(vectors * np.sqrt(np.maximum(values, 0.0)))
