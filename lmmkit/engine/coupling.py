"""Cross-products between the levels of one factor and the columns of the dense rest.

`Dense` stores all of them, `Sparse` only the pairs that occur in the data; both do the same five products.
B below is the (k J) x q2 matrix of the coupling, core a (k, k, J) symmetric matrix per level.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from lmmkit.engine.problem import Floats, Ints

FILL = 0.15  # above this share of occurring pairs one dense product is faster


@dataclass(frozen=True, eq=False)
class Dense:
    """All pairs: values (k, J, q2)."""

    values: Floats

    def times(self, M: Floats) -> Floats:
        """B M for (q2, m) M: (k, m, J)."""
        return (self.values @ M).transpose(0, 2, 1)

    def transposed_times(self, Y: Floats) -> Floats:
        """B'Y for (k, m, J) Y: (q2, m)."""
        return sum(v.T @ y.T for v, y in zip(self.values, Y, strict=True))  # pyright: ignore

    def lifted(self, core: Floats) -> Floats:
        """core B: (k, J, q2)."""
        return np.einsum("abj,bjc->ajc", core, self.values)

    def gram(self, core: Floats) -> Floats:
        """B' core B: (q2, q2)."""
        size = self.values.shape[2]
        return self.values.reshape(-1, size).T @ self.lifted(core).reshape(-1, size)

    def quadratic(self, E: Floats) -> Floats:
        """B E B' level by level: (k, k, J)."""
        return np.einsum("ajc,bjc->abj", self.values @ E, self.values)


@dataclass(frozen=True, eq=False)
class Sparse:
    """The occurring pairs, sorted by level then column: `pointer` (J + 1), `column` (m), values (k, m)."""

    pointer: Ints
    column: Ints
    values: Floats
    size: int

    @property
    def levels(self) -> int:
        """J."""
        return len(self.pointer) - 1

    def with_values(self, values: Floats) -> Sparse:
        """The same pairs with other values."""
        return replace(self, values=values)

    @cached_property
    def level(self) -> Ints:
        """(m,) level of each pair."""
        return np.repeat(np.arange(self.levels), np.diff(self.pointer))

    @cached_property
    def _matrices(self) -> list[csr_array]:
        shape = (self.levels, self.size)
        return [csr_array((v, self.column, self.pointer), shape=shape) for v in self.values]

    def times(self, M: Floats) -> Floats:
        """B M for (q2, m) M: (k, m, J)."""
        return np.stack([(B @ M).T for B in self._matrices])

    def transposed_times(self, Y: Floats) -> Floats:
        """B'Y for (k, m, J) Y: (q2, m)."""
        return sum(B.T @ y.T for B, y in zip(self._matrices, Y, strict=True))  # pyright: ignore

    def lifted(self, core: Floats) -> Floats:
        """core B on the pairs: (k, m)."""
        return np.einsum("abt,bt->at", core[:, :, self.level], self.values)

    @cached_property
    def _pairs(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Every pair of pairs on one level (second before first): pointer by level, key h q2 + g, both."""
        position = np.arange(len(self.column), dtype=np.int32) - self.pointer[:-1].astype(np.int32)[self.level]
        count = position + 1
        first = np.repeat(np.arange(len(count), dtype=np.int32), count)
        begin = np.cumsum(count) - count
        second = np.arange(len(first), dtype=np.int32)
        second -= np.repeat((begin - self.pointer[:-1][self.level]).astype(np.int32), count)
        width = np.diff(self.pointer)
        pointer = np.concatenate([[0], np.cumsum(width * (width + 1) // 2)])
        column = self.column.astype(np.int32 if self.size**2 < 2**31 else np.int64)
        return pointer, column[first] * column.dtype.type(self.size) + column[second], first, second

    @cached_property
    def _operators(self) -> list[list[csr_array]]:
        """P'_ab, (J, q2 q2): entry [j, key] is the product of two values of level j (ENGINE: pair operator)."""
        pointer, key, first, second = self._pairs
        index = pointer.astype(key.dtype)

        def operator(a: int, b: int) -> csr_array:
            v = self.values
            value = v[a][first] * v[b][second]
            if a != b:
                value += v[b][first] * v[a][second]
            return csr_array((value, key, index), shape=(self.levels, self.size**2))

        return [[operator(a, b) for b in range(a + 1)] for a in range(len(self.values))]

    def gram(self, core: Floats) -> Floats:
        """B' core B: (q2, q2)."""
        lower = np.zeros(self.size**2)
        for a, row in enumerate(self._operators):
            for b, P in enumerate(row):
                lower += P.T @ core[a, b]
        S = lower.reshape(self.size, self.size)
        diagonal = S.diagonal().copy()
        S += S.T.copy()
        np.fill_diagonal(S, diagonal)
        return S

    def quadratic(self, E: Floats) -> Floats:
        """B E B' level by level: (k, k, J)."""
        doubled = 2.0 * E
        np.fill_diagonal(doubled, E.diagonal())
        doubled = doubled.reshape(-1)
        out = np.empty((len(self.values), len(self.values), self.levels))
        for a, row in enumerate(self._operators):
            for b, P in enumerate(row):
                out[a, b] = out[b, a] = (P @ doubled) * (1.0 if a == b else 0.5)
        return out


def counting_argsort(codes: Ints, levels: int) -> Ints:
    """The stable order of small integers, by counting: the transpose of a matrix with one entry a row."""
    n = len(codes)
    indicator = csr_array((np.ones(n, dtype=np.int8), codes, np.arange(n + 1)), shape=(n, levels))
    return indicator.tocsc().indices


def occurring(codes: Ints, levels: int, column: Ints, size: int) -> tuple[Ints, Ints, Ints, Ints]:
    """The distinct (level, column) pairs of some rows.

    Returns:
        pointer (levels + 1) and column of the pairs sorted by level then column; the rows in that order; where
        in that order each pair starts.
    """
    order = counting_argsort(column, size)
    order = order[counting_argsort(codes[order], levels)]
    level, column = codes[order], column[order]
    new = np.ones(len(order), dtype=bool)
    np.not_equal(column[1:], column[:-1], out=new[1:])
    new[1:] |= level[1:] != level[:-1]
    starts = np.flatnonzero(new)
    counts = np.bincount(level[starts], minlength=levels)
    return np.concatenate([[0], np.cumsum(counts)]), column[starts], order, starts
