"""Z'Z of factors whose levels are related by a sparse inverse, with what their relation adds to it.

The random effects have prior precision P, K^-1 (x) I of a factor with a relation and I of another, and C =
P + Lambda' Z'Z Lambda is factored at each theta on one pattern that both share. The columns of a level are a
full block of it, whatever is zero there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.linalg.sparse_cholesky import SparsePattern


@dataclass(frozen=True, eq=False)
class SparseProducts:
    """S = Z'Z and P on one pattern.

    Attributes:
        pattern: Of C, with its order of elimination.
        S: Data of Z'Z.
        prior: Data of P.
        logdet: -log|P|.
        spans: Columns of each factor and its width k.
        Z: (n, q2) the columns themselves.
        W: (n, q) fixed effects and response.
    """

    pattern: SparsePattern
    S: Floats
    prior: Floats
    logdet: float
    spans: tuple[tuple[slice, int], ...]
    Z: csr_array
    W: Floats

    def matrix(self, data: Floats) -> csr_array:
        """The matrix of some data."""
        own = self.pattern.pattern
        return csr_array((data, own.indices, own.indptr), shape=own.shape)

    @cached_property
    def cross(self) -> csr_array:
        """Z'Z."""
        return self.matrix(self.S)

    @cached_property
    def precision(self) -> csr_array:
        """P."""
        return self.matrix(self.prior)

    def diagonal(self) -> Floats:
        """(q2,) of Z'Z."""
        return self.cross.diagonal()

    @cached_property
    def rows(self) -> Ints:
        """The row of each entry."""
        pointer = self.pattern.pattern.indptr
        return np.repeat(np.arange(len(pointer) - 1), np.diff(pointer))

    @cached_property
    def keys(self) -> Ints:
        """Row and column in one number, rising."""
        pattern = self.pattern.pattern
        return self.rows * pattern.shape[0] + pattern.indices

    def found(self, row: Ints, column: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Where entries stand, and whether they are there."""
        key = row * self.pattern.size + column
        at = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return at, self.keys[at] == key

    @cached_property
    def turned(self) -> Ints:
        """Where the entry on the other side of the diagonal stands."""
        return np.lexsort((self.rows, self.pattern.pattern.indices))

    @cached_property
    def _by_column(self) -> list[Ints]:
        """(m, k) the entries in columns of each factor; those of one level and row stand together."""
        indices, out = self.pattern.pattern.indices, list[Ints]()
        for span, k in self.spans:
            out.append(np.flatnonzero((indices >= span.start) & (indices < span.stop)).reshape(-1, k))
        return out

    @cached_property
    def by_row(self) -> list[list[Ints]]:
        """For each factor and column of it, the entries in the rows of that column, level by level."""
        return [
            [
                np.flatnonzero(
                    (self.rows >= span.start) & (self.rows < span.stop) & ((self.rows - span.start) % k == c)
                )
                for c in range(k)
            ]
            for span, k in self.spans
        ]

    def times_roots(self, data: Floats, L: tuple[Floats, ...]) -> Floats:
        """Data of A Lambda."""
        out = np.empty_like(data)
        for entries, root in zip(self._by_column, L, strict=True):
            out[entries] = data[entries] * root[0, 0] if len(root) == 1 else data[entries] @ root
        return out

    def system(self, L: tuple[Floats, ...]) -> Floats:
        """Data of C = P + Lambda' Z'Z Lambda."""
        half = self.times_roots(self.S, L)
        return self.prior + self.times_roots(half[self.turned], L)

    def blocks(self, data: Floats, f: int, g: int) -> tuple[Floats, Ints, Ints]:
        """(m, k_f, k_g) the blocks of two factors that the pattern holds, and their levels."""
        (rows, k), (columns, width) = self.spans[f], self.spans[g]
        part = self.matrix(data)[rows, columns].tobsr(blocksize=(k, width))
        levels = np.repeat(np.arange(len(part.indptr) - 1), np.diff(part.indptr))
        return part.data, levels, part.indices.astype(np.intp)

    def own(self, data: Floats, f: int) -> Floats:
        """(J, k, k) the diagonal blocks of one factor."""
        blocks, i, j = self.blocks(data, f, f)
        return blocks[i == j]
