"""Cross-products between the levels of one factor and the columns of the dense rest.

`Dense` stores all of them, `Sparse` only the pairs that occur in the data; both do the same five products.
B below is the (k J) x q2 matrix of the coupling, core a (k, k, J) symmetric matrix per level.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lmmkit.engine.arrays import Floats, Ints

FILL = 0.15  # above this share of occurring pairs one dense product is faster
SLAB = 2000  # levels whose pairs are listed at a time
STRIP = 128  # rows of a matrix that are mirrored at a time


Keys = NDArray[np.signedinteger[Any]]


def index_type(largest: int) -> type[np.signedinteger[Any]]:
    """The smallest integers that sparse matrices of this size may be indexed by."""
    return np.int32 if largest < 2**31 else np.int64


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
        """Core B: (k, J, q2)."""
        return np.einsum("abj,bjc->ajc", core, self.values)

    def gram(self, core: Floats) -> Floats:
        """B' core B: (q2, q2)."""
        size = self.values.shape[2]
        return self.values.reshape(-1, size).T @ self.lifted(core).reshape(-1, size)

    def quadratic(self, E: Floats) -> Floats:
        """B E B' level by level: (k, k, J)."""
        return np.einsum("ajc,bjc->abj", self.values @ E, self.values)

    def rows(self, first: int, last: int, E: Floats) -> Floats:
        """Rows of B E of some levels: (k, levels, q2)."""
        return self.values[:, first:last] @ E


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

    def dense(self) -> Floats:
        """(k, J, q2) all pairs."""
        return np.stack([matrix.toarray() for matrix in self._matrices])

    def lifted(self, core: Floats) -> Floats:
        """Core B on the pairs: (k, m)."""
        return np.einsum("abt,bt->at", core[:, :, self.level], self.values)

    @cached_property
    def _operators(self) -> list[list[csr_array]]:
        """P'_ab, (J, q2 q2): entry [j, h q2 + g] is the product of level j's values in columns h >= g."""
        width = np.diff(self.pointer)
        pointer = np.concatenate([[0], np.cumsum(width * (width + 1) // 2)])
        key = np.empty(pointer[-1], dtype=index_type(max(self.size**2, int(pointer[-1]))))
        k = len(self.values)
        products = {(a, b): np.empty(len(key)) for a in range(k) for b in range(a + 1)}
        for first in range(0, self.levels, SLAB):
            last = min(first + SLAB, self.levels)
            out = slice(int(pointer[first]), int(pointer[last]))
            self._fill(first, last, key[out], {ab: product[out] for ab, product in products.items()})
        index, shape = pointer.astype(key.dtype), (self.levels, self.size**2)
        return [
            [csr_array((products[a, b], key, index), shape=shape) for b in range(a + 1)] for a in range(k)
        ]

    def _fill(self, first: int, last: int, key: Keys, products: dict[tuple[int, int], Floats]) -> None:
        """The pairs of pairs of some levels, second before first; few levels at a time stay in the cache."""
        begin, end = int(self.pointer[first]), int(self.pointer[last])
        entry = np.arange(end - begin)
        position = entry - (self.pointer[first:last] - begin)[self.level[begin:end] - first]
        count = position + 1
        one = np.repeat(entry, count)
        two = np.arange(len(one)) - np.repeat(np.cumsum(count) - count - entry + position, count)
        column, v = self.column[begin:end], self.values[:, begin:end]
        np.add((column * self.size)[one], column[two], out=key, casting="unsafe")
        for (a, b), product in products.items():
            np.multiply(v[a][one], v[b][two], out=product)
            if a != b:
                product += v[b][one] * v[a][two]

    def rows(self, first: int, last: int, E: Floats) -> Floats:
        """Rows of B E of some levels: (k, levels, q2)."""
        return np.stack([B[first:last] @ E for B in self._matrices])

    def gram(self, core: Floats) -> Floats:
        """B' core B: (q2, q2)."""
        parts = (P.T @ core[a, b] for a, row in enumerate(self._operators) for b, P in enumerate(row))
        lower = next(parts)
        for part in parts:
            lower += part
        return mirrored(lower.reshape(self.size, self.size))

    def quadratic(self, E: Floats) -> Floats:
        """B E B' level by level: (k, k, J)."""
        triangle, diagonal = E.reshape(-1), E.diagonal()
        out = np.empty((len(self.values), len(self.values), self.levels))
        for a, row in enumerate(self._operators):
            for b, P in enumerate(row):
                both = P @ triangle if a != b else 2.0 * (P @ triangle)
                twice = csr_array(
                    (self.values[a] * self.values[b], self.column, self.pointer), P.shape[:1] + E.shape[:1]
                )
                out[a, b] = out[b, a] = both - twice @ diagonal
        return out


def mirrored(A: Floats) -> Floats:
    """The symmetric matrix of a lower triangle, in place, by strips that stay in the cache."""
    for begin in range(0, len(A), STRIP):
        end = begin + STRIP
        block = A[begin:end, begin:end]
        A[:begin, begin:end] = A[begin:end, :begin].T
        lower = np.tril(block)
        block[:] = lower + np.tril(block, -1).T
    return A


def counting_argsort(codes: Ints, levels: int) -> Ints:
    """The stable order of small integers, by counting: the transpose of a matrix with one entry a row."""
    n = len(codes)
    indicator = csr_array((np.ones(n, dtype=np.int8), codes, np.arange(n + 1)), shape=(n, levels))
    return indicator.tocsc().indices.astype(np.intp, copy=False)


def occurring(codes: Ints, levels: int, column: Ints, size: int) -> tuple[Ints, Ints, Ints, Ints]:
    """The distinct (level, column) pairs of some rows.

    Returns:
        pointer (levels + 1) and column of the pairs sorted by level then column; the rows in that order;
        where in that order each pair starts.
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
