"""Families of covariance matrices Z (I (x) T) Z', linear in T: whether one lies within another.

For columns of one term and of another, tr(Z_a Z_b' Z_c Z_d') is a sum over the pairs of levels that share
rows: no matrix with n rows and n columns is met.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmmkit.engine.problem import Floats, Problem, Term

APART = 1e-9  # share of its own square by which a matrix may miss a family that it belongs to


@dataclass(frozen=True, eq=False)
class Units:
    """The free entries of every T of a problem: for each term (m, k, k) symmetric unit matrices."""

    problem: Problem
    own: tuple[Floats, ...]

    def combined(self, weights: Floats) -> list[Floats]:
        """T of each term from one weight per entry."""
        ends = np.cumsum([len(units) for units in self.own])[:-1]
        parts = np.split(weights, ends)
        return [np.einsum("i,iab->ab", w, units) for w, units in zip(parts, self.own, strict=True)]


def units(problem: Problem) -> Units:
    """The free entries of every T."""
    return Units(problem, tuple(_units(term) for term in problem.terms))


def _units(term: Term) -> Floats:
    k = len(term.columns)
    columns, rows = np.triu_indices(k) if term.correlated else (np.arange(k), np.arange(k))
    out = np.zeros((len(rows), k, k))
    out[np.arange(len(rows)), rows, columns] = out[np.arange(len(rows)), columns, rows] = 1.0
    return out


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


def embedding(small: Units, large: Units) -> Floats | None:
    """(m_large, m_small) C: entries C t of the large family give the covariance matrix of entries t.

    Returns:
        None where some matrix of the small family is not in the linear span of the large one.
    """
    inner, cross, own = products(large, large), products(large, small), products(small, small)
    size, unit = np.sqrt(inner.diagonal()), np.sqrt(own.diagonal())
    scaled = cross / np.outer(size, unit)
    C = np.linalg.lstsq(inner / np.outer(size, size), scaled, rcond=1e-12)[0]
    missed = 1.0 - np.einsum("ij,ij->j", scaled, C)
    if (missed > APART).any():
        return None
    C[np.abs(C) < 1e-9 * np.abs(C).max(axis=0)] = 0.0
    return C * unit / size[:, None]


def positive(matrices: Sequence[Floats], tolerance: float = 1e-8) -> bool:
    """Whether all are positive semidefinite, to a share of their largest entry."""
    scale = max((float(np.abs(T).max()) for T in matrices), default=0.0)
    return all(float(np.linalg.eigvalsh(T)[0]) >= -tolerance * scale for T in matrices)
