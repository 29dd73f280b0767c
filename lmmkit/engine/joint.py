"""How far x'β̂ + z'b̂ may be from x'β + z'b: the joint covariance of fixed and random effects.

It is the inverse of Henderson's coefficient matrix. With one grouping factor each level has a block of
its own, whatever the number of levels; with several the matrix is inverted in full, up to `MOST` effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import block_diag, cho_factor, cho_solve, solve_triangular

from lmmkit.engine.henderson_sparse import SparseReferee
from lmmkit.engine.problem import Floats, Ints, Problem
from lmmkit.engine.textbook import size, write_out

MOST = 6_000  # effects, fixed and random, up to which the full inverse is formed
CHUNK = 16_384  # rows at a time


@dataclass(frozen=True, eq=False)
class Joint:
    """Covariance matrices of one fit.

    Attributes:
        problem: The arrays.
        kept: Positions in `problem.fixed` of the columns of X.
        factors: Lambda of each term.
        sigma: Residual standard deviation.
        unscaled_vcov: (p, p) (X'V^-1X)^-1.
    """

    problem: Problem
    kept: tuple[int, ...]
    factors: tuple[Floats, ...]
    sigma: float
    unscaled_vcov: Floats

    @property
    def available(self) -> bool:
        """Whether the model is small enough, or has one grouping factor."""
        return self._one_factor or len(self.kept) + sum(map(size, self.problem.terms)) <= MOST

    @property
    def _one_factor(self) -> bool:
        return len({term.factor for term in self.problem.terms}) == 1

    def fixed_variance(self, X: Floats) -> Floats:
        """var(x'β̂) of each row of X, (m,)."""
        return self.sigma**2 * _quadratic(X, self.unscaled_vcov)

    def prior_variance(self, Z: tuple[Floats, ...]) -> Floats:
        """var(z'b) of a new level of every term, (m,)."""
        parts = [((z @ L) ** 2).sum(axis=1) for z, L in zip(Z, self.factors, strict=True)]
        return self.sigma**2 * np.sum(parts, axis=0)

    def error_variance(self, X: Floats, Z: tuple[Floats, ...], codes: tuple[Ints, ...]) -> Floats:
        """var(x'β̂ + z'b̂ - x'β - z'b) of each row, (m,); a code of -1 is a level without data."""
        out = np.empty(len(X))
        for start in range(0, len(X), CHUNK):
            part = slice(start, start + CHUNK)
            seen = tuple(np.where(c[part, None] >= 0, z[part], 0.0) for z, c in zip(Z, codes, strict=True))
            unseen = tuple(z[part] - s for z, s in zip(Z, seen, strict=True))
            known = [np.maximum(c[part], 0) for c in codes]
            by_data = self._by_level if self._one_factor else self._in_full
            out[part] = by_data(X[part], seen, known) + self.prior_variance(unseen)
        return out

    def _by_level(self, X: Floats, Z: tuple[Floats, ...], codes: list[Ints]) -> Floats:
        """z'M_j z + x_j'C x_j with x_j = x - (M_j Z_j'W X)'z."""
        z, level = np.hstack(Z), codes[0]
        M, shrunk = self._levels
        x = X - np.einsum("mk,mkp->mp", z, shrunk[level])
        own = np.einsum("mk,mkl,ml->m", z, M[level], z)
        return self.sigma**2 * (own + _quadratic(x, self.unscaled_vcov))

    @cached_property
    def _levels(self) -> tuple[Floats, Floats]:
        """M_j = Λ (I + Λ'Z_j'W Z_j Λ)⁻¹ Λ', (J, k, k), and M_j Z_j'W X, (J, k, p)."""
        problem = self.problem
        codes, levels = problem.terms[0].codes, problem.terms[0].levels
        L = block_diag(*self.factors)
        z = [problem.columns[c] for term in problem.terms for c in term.columns]
        x = [problem.columns[problem.fixed[i]] for i in self.kept]
        inner = np.eye(len(L)) + L.T @ _sums(problem, codes, levels, z, z) @ L
        M = L @ np.linalg.solve(inner, np.broadcast_to(L.T, inner.shape))
        return M, M @ _sums(problem, codes, levels, z, x)

    def _in_full(self, X: Floats, Z: tuple[Floats, ...], codes: list[Ints]) -> Floats:
        """r'C⁻¹r with the rows r written in the unknowns of the sparse equations."""
        inverse, T = self._inverse
        starts = [int(s) for s in np.cumsum([0, *map(size, self.problem.terms)])]
        values = [
            *(self.sigma * z @ L for z, L in zip(Z, self.factors, strict=True)),
            solve_triangular(T, X.T, trans="T").T,
        ]
        places: list[Ints] = [
            start + code[:, None] * z.shape[1] + np.arange(z.shape[1])
            for start, code, z in zip(starts, codes, Z, strict=False)
        ]
        places.append(np.tile(np.arange(starts[-1], starts[-1] + len(self.kept)), (len(X), 1)))
        r, at = np.hstack(values), np.hstack(places)
        total = np.zeros(len(r))
        for a in range(r.shape[1]):
            total += r[:, a] * np.einsum("mb,mb->m", r, inverse[at[:, a, None], at])
        return total

    @cached_property
    def _inverse(self) -> tuple[Floats, Floats]:
        """Inverse of the coefficient matrix in (v, T β), and T."""
        referee = SparseReferee(write_out(self.problem, self.kept, self.factors, self.sigma))
        C = referee.coefficient_matrix.toarray()
        return cho_solve(cho_factor(C, overwrite_a=True), np.eye(len(C)), overwrite_b=True), referee.basis[1]


def _quadratic(X: Floats, A: Floats) -> Floats:
    """x'A x of each row."""
    return np.einsum("mp,pq,mq->m", X, A, X)


def _sums(problem: Problem, codes: Ints, levels: int, left: list[Floats], right: list[Floats]) -> Floats:
    """Weighted cross-products within each level, (J, left, right)."""
    out = np.empty((levels, len(left), len(right)))
    for i, a in enumerate(left):
        weighted = a if problem.weights is None else a * problem.weights
        for j, b in enumerate(right):
            out[:, i, j] = np.bincount(codes, weighted * b, levels)
    return out
