"""The rest of a model with relatives: everything that the dense rest gives, from a sparse factor.

With prior precision P of the effects, C = P + Lambda'S Lambda, S = Z'Z, and E = Lambda C^-1 Lambda':

    (1)  log|V| = log|C| - log|P|,    W'V^-1W = e'e + u'P u,    u = C^-1 Lambda'Z'W,    e = W - Z Lambda u
    (2)  D_f L_f = sum_j (S Lambda C^-1)_jj over the levels of f     d log|V| / dL_f = 2 D_f L_f

(1) adds positive parts, penalised least squares at their minimum, where W'W - W'Z E Z'W would subtract two
large numbers; Z'V^-1W is Z'e. C^-1 is wanted on the pattern of C alone, which the selected inverse has. D
itself, without L, is what a zero variance is judged by. Of a single factor with one column it needs no
division, D = tr(S C^-1); else, where L is singular or nearly so, it is taken beside it, at a regular T + t I
with t small.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.roots import positive_root
from lmmkit.engine.crossproducts.sparse_products import SparseProducts
from lmmkit.engine.linalg.sparse_cholesky import SparseCholesky

STEEP = 1e-4  # least singular value of L, times the root of mean Z'Z, that is divided by
BESIDE = 2e-4  # root of t, in these units


@dataclass(frozen=True, eq=False)
class SparseRest:
    """The eliminated rest of a model with relatives.

    Attributes:
        L: Root of each factor's T.
        products: S and P.
        chol: The factor of C.
        fixed: Z'W.
    """

    L: tuple[Floats, ...]
    products: SparseProducts
    chol: SparseCholesky
    fixed: Floats

    @property
    def logdet(self) -> float:
        """log|V|: (1)."""
        return self.chol.logdet + self.products.logdet

    @cached_property
    def effects(self) -> Floats:
        """(q2, q) u."""
        return self.chol.solve(rooted(self.products, self.L, self.fixed, turned=True))

    @cached_property
    def left(self) -> Floats:
        """(n, q) e."""
        return self.products.W - self.products.Z @ rooted(self.products, self.L, self.effects)

    @property
    def weighted(self) -> Floats:
        """(q, q) W'V^-1W: (1)."""
        F = self.left.T @ self.left + self.effects.T @ (self.products.precision @ self.effects)
        return (F + F.T) / 2.0

    @property
    def scores(self) -> Floats:
        """(q2, q) Z'V^-1W."""
        return self.products.Z.T @ self.left

    def cross_times(self, A: Floats) -> Floats:
        """S A."""
        return self.products.cross @ A

    def times(self, A: Floats) -> Floats:
        """E A."""
        return rooted(self.products, self.L, self.chol.solve(rooted(self.products, self.L, A, turned=True)))

    def trace(self, position: int) -> Floats:
        """(k, k) the part of D of one factor that log|V| has: (2)."""
        L = self.L[position]
        if len(self.L) == len(L) == 1:
            return self._half_slope(self.products.S, position)
        size = self._size(position)
        if np.linalg.svd(size[:, None] * L, compute_uv=False)[-1] > STEEP:
            return self._quotient(position)
        near = list(self.L)
        near[position] = positive_root(L @ L.T + np.diag((BESIDE / size) ** 2))
        return eliminated(self.products, tuple(near), self.fixed)._quotient(position)

    def _quotient(self, position: int) -> Floats:
        """(k, k) the same, by division."""
        D = self._half_slope(self._rooted, position) @ np.linalg.inv(self.L[position])
        return (D + D.T) / 2.0

    def _size(self, position: int) -> Floats:
        """(k,) root of the mean of each column's diagonal of Z'Z."""
        span, k = self.products.spans[position]
        size = np.sqrt(self.products.diagonal()[span].reshape(-1, k).mean(axis=0))
        return np.where(size > 0.0, size, 1.0)

    @cached_property
    def _rooted(self) -> Floats:
        """Data of S Lambda."""
        return self.products.times_roots(self.products.S, self.L)

    def _half_slope(self, rooted: Floats, position: int) -> Floats:
        """(k, k) sum_j (S Lambda C^-1)_jj from the data of S Lambda."""
        rows = self.products.by_row[position]
        right = [self.chol.inverse[entries] for entries in rows]
        return np.array([[rooted[one] @ two for two in right] for one in rows])

    def squared(self, levels: list[Ints], values: list[Floats]) -> tuple[Floats, NDArray[np.bool_]]:
        """(m,) z'E z of rows with one level of each factor, and whether the pattern has what it takes.

        Args:
            levels: For each factor (m,).
            values: For each factor (m, k) z there.
        """
        entries = list[tuple[Ints, Floats]]()
        for (span, k), L, level, own in zip(self.products.spans, self.L, levels, values, strict=True):
            turned = own @ L
            entries += [(span.start + level * k + c, turned[:, c]) for c in range(k)]
        total, known = np.zeros(len(levels[0])), np.ones(len(levels[0]), dtype=bool)
        for i, (row, left) in enumerate(entries):
            for column, right in entries[: i + 1]:
                both = left * right * (1.0 if column is row else 2.0)
                at, there = self.products.found(row, column)
                known &= there | (both == 0.0)
                total += np.where(there, both * self.chol.inverse[at], 0.0)
        return total, known

    def blocks(self, position: int) -> Floats:
        """(J, k, k) the diagonal blocks of E of one factor."""
        L = self.L[position]
        return L @ self.products.own(self.chol.inverse, position) @ L.T


def rooted(products: SparseProducts, L: tuple[Floats, ...], A: Floats, *, turned: bool = False) -> Floats:
    """Lambda A, or Lambda'A, for (q2, m) A."""
    out = np.empty_like(A)
    for (span, k), root in zip(products.spans, L, strict=True):
        own = root.T if turned else root
        out[span] = (own @ A[span].reshape(-1, k, A.shape[1])).reshape(-1, A.shape[1])
    return out


def eliminated(products: SparseProducts, L: tuple[Floats, ...], fixed: Floats) -> SparseRest:
    """The rest at one theta.

    Raises:
        FitError: C is not positive definite.
    """
    return SparseRest(L, products, SparseCholesky(products.pattern, products.system(L)), fixed)
