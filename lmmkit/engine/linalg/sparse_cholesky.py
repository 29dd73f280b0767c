"""Sparse symmetric positive definite matrices of one pattern: factor, log-determinant, selected inverse.

C = L D L' by SuperLU on one kept order. The pattern of L is made once, by closure: what column j has below
the diagonal is what C has there, and what the columns whose first entry is j have beside it. SuperLU's own
pattern would not do for the inverse: it leaves out entries that happen to cancel, and those of the inverse in
their places are needed all the same. With I the rows of column j of that pattern and Z = C^-1,

    (1)  Z_Ij = -Z_II L_Ij,    Z_jj = 1 / d_j - L_Ij' Z_Ij

from the last column to the first: every entry of Z_II stands in the front Z_(p I_p)(p I_p) of the parent p,
the first of I. Columns at one depth of the tree with equally many rows are taken together; the last columns,
all of whose rows are there, are one dense matrix.

Reference: Takahashi, Fagan & Chin (1973), Formation of a sparse bus impedance matrix and its application to
short circuit study, 8th PICA Conference; Erisman & Tinney (1975), On computing certain elements of the
inverse of a sparse matrix, Communications of the ACM 18, 177-179.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.linalg.lapack import dpotri
from scipy.sparse import csc_array, csr_array, tril
from scipy.sparse.linalg import SuperLU, spilu, splu

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.linalg.cross_blocks import mirrored
from lmmkit.errors import FitError

MOST = 40_000_000  # entries of L: 320 MB, and about ten times that while it is made
LARGEST_FRONT = 8_000  # rows of a column of L, whose inverse is dense: 512 MB
CHUNK = 2_000_000  # numbers of fronts that are taken at a time
DIRECT = {"SymmetricMode": True}  # pivots from the diagonal, in the order given


@dataclass(frozen=True, eq=False)
class SparsePattern:
    """Symmetric matrices of order n with one pattern, their order of elimination and the pattern of L.

    Attributes:
        pattern: (n, n) what is not zero; the data of matrices come in its order.
        order: (n,) the row that is eliminated as the i-th.
        pointer: (first + 1,) where each column of L begins, up to the first one of the dense matrix.
        row: The rows of those columns below the diagonal, in the new order, sorted in each.
        first: The first column of the dense matrix.
    """

    pattern: csr_array
    order: Ints
    pointer: Ints
    row: Ints
    first: int
    _seen: list[tuple[Ints, Ints]] = field(default_factory=list[tuple["Ints", "Ints"]])

    @property
    def size(self) -> int:
        """n."""
        return len(self.order)

    @property
    def fill(self) -> int:
        """Entries of L below the diagonal."""
        tail = self.size - self.first
        return len(self.row) + tail * (tail - 1) // 2

    @cached_property
    def column(self) -> Ints:
        """The column of each of `row`."""
        return np.repeat(np.arange(self.first), np.diff(self.pointer))

    @cached_property
    def keys(self) -> Ints:
        """Column and row in one number, rising."""
        return self.column * self.size + self.row

    @cached_property
    def parent(self) -> Ints:
        """(first,) the first row of each column; n where it has none."""
        out, some = np.full(self.first, self.size), np.diff(self.pointer) > 0
        out[some] = self.row[self.pointer[:-1][some]]
        return out

    @cached_property
    def permuted(self) -> tuple[Ints, Ints, Ints]:
        """Which of the pattern's data, by columns of the permuted matrix; its rows and pointer."""
        numbered = csr_array(
            (np.arange(1, self.pattern.nnz + 1), self.pattern.indices, self.pattern.indptr),
            self.pattern.shape,
        )
        turned = csc_array(numbered[self.order][:, self.order])
        turned.sort_indices()
        pick = turned.data.astype(np.intp) - 1
        return pick, turned.indices.astype(np.intp), turned.indptr.astype(np.intp)

    def matrix(self, data: Floats) -> csc_array:
        """The permuted matrix."""
        pick, indices, pointer = self.permuted
        return csc_array((data[pick], indices, pointer), shape=self.pattern.shape)

    @cached_property
    def places(self) -> Ints:
        """Where each of the pattern's entries stands among (L's pattern, the diagonal, the dense matrix)."""
        rank = np.empty_like(self.order)
        rank[self.order] = np.arange(self.size)
        i = rank[np.repeat(np.arange(self.size), np.diff(self.pattern.indptr))]
        j = rank[self.pattern.indices]
        low, high, first = np.minimum(i, j), np.maximum(i, j), self.first
        out = len(self.row) + low
        inside = (low < first) & (low != high)
        out[inside] = self.found(low[inside] * self.size + high[inside])
        dense = low >= first
        tail = self.size - first
        out[dense] = len(self.row) + first + (low[dense] - first) * tail + high[dense] - first
        return out

    def found(self, keys: Ints) -> Ints:
        """Where entries of L stand: all are there, by the closure."""
        at = np.searchsorted(self.keys, keys)
        assert (self.keys[np.minimum(at, len(self.keys) - 1)] == keys).all()
        return at

    def entries(self, L: csc_array) -> tuple[Floats, Floats]:
        """What SuperLU has of L, on the pattern and in the dense matrix."""
        indices = L.indices.astype(np.intp)
        column = np.repeat(np.arange(self.size), np.diff(L.indptr))
        below = (indices != column) & (column < self.first)
        last = self._seen[0] if self._seen else None  # taken once: threads may share the pattern
        if last is None or not np.array_equal(last[0], indices):
            last = (indices, self.found(column[below] * self.size + indices[below]))
            self._seen[:] = [last]
        values = np.zeros(len(self.row))
        values[last[1]] = L.data[below]
        return values, L[self.first :, self.first :].toarray()

    @cached_property
    def relative(self) -> Ints:
        """Where each of `row` stands in the front of its column's parent."""
        parent = self.parent[self.column]
        out = self.row - self.first  # in the dense matrix
        inner = parent < self.first
        own = parent[inner]
        same = self.row[inner] == own
        place = np.zeros(len(own), dtype=np.intp)
        place[~same] = self.found(own[~same] * self.size + self.row[inner][~same])
        out[inner] = np.where(same, 0, place - self.pointer[own] + 1)
        return out

    @cached_property
    def depth(self) -> Ints:
        """(first,) columns between each column and the dense matrix, or a column without rows."""
        out = [0] * self.first
        for j, p in zip(range(self.first - 1, -1, -1), self.parent[::-1].tolist(), strict=True):
            if p < self.first:
                out[j] = out[p] + 1
        return np.array(out, dtype=np.intp)

    @cached_property
    def start(self) -> Ints:
        """(first,) where each column's front begins among those of its depth; -1: nobody asks for it."""
        has_children = np.zeros(self.first, dtype=bool)
        has_children[self.parent[self.parent < self.first]] = True
        asked = np.flatnonzero(has_children)
        order = asked[np.argsort(self.depth[asked], kind="stable")]
        size = (np.diff(self.pointer)[order] + 1) ** 2
        before, out = np.cumsum(size) - size, np.full(self.first, -1)
        new = np.searchsorted(self.depth[order], self.depth[order])
        out[order] = before - before[new]
        return out

    @cached_property
    def batches(self) -> list[list[Ints]]:
        """The columns by depth, then by their number of rows; some at a time."""
        rows, out = np.diff(self.pointer), list[list[Ints]]()
        order = np.lexsort((rows, self.depth))
        for level in _split(order, self.depth[order]):
            groups = [
                (group, max(CHUNK // (int(rows[group[0]]) + 1) ** 2, 1))
                for group in _split(level, rows[level])
            ]
            out.append([g[at : at + size] for g, size in groups for at in range(0, len(g), size)])
        return out


def _split(values: Ints, by: Ints) -> list[Ints]:
    """The runs of equal numbers in `by`."""
    return np.split(values, np.flatnonzero(np.diff(by)) + 1) if len(values) else []


def sparse_pattern(pattern: csr_array) -> SparsePattern:
    """The order and the pattern of L for matrices with one symmetric pattern, diagonal included.

    Raises:
        FitError: L would have too many entries.
    """
    n = pattern.shape[0]
    pattern = csr_array((np.full(pattern.nnz, -1.0), pattern.indices, pattern.indptr), shape=pattern.shape)
    pattern.sort_indices()
    matrix = csc_array(pattern)
    matrix.setdiag(np.diff(pattern.indptr) + 1.0)
    # An incomplete factorisation that keeps nothing orders the columns as a complete one, at its price alone.
    ordering = spilu(
        matrix, permc_spec="MMD_AT_PLUS_A", drop_tol=1.0, fill_factor=1, diag_pivot_thresh=0.0, options=DIRECT
    )
    order = np.argsort(ordering.perm_c)
    lower = csc_array(tril(matrix[order][:, order], -1))
    lower.sort_indices()
    first, counts, flat = _closure(n, lower.indptr.tolist(), lower.indices.tolist())
    pointer = np.concatenate([[0], np.cumsum(counts)])
    key = np.repeat(np.arange(first), counts) * n + np.frombuffer(flat, dtype=np.int32)
    key.sort()
    return SparsePattern(pattern, order, pointer, key % n, first)


def _closure(n: int, pointer: list[int], indices: list[int]) -> tuple[int, Ints, array[int]]:
    """The first column with all rows below it; of the earlier ones how many rows each has, and which."""
    waiting: list[set[int] | None] = [None] * n
    counts, flat = np.zeros(n, dtype=np.intp), array("i")
    for j in range(n):
        rows, waiting[j] = waiting[j], None
        own = indices[pointer[j] : pointer[j + 1]]
        if rows is None:
            rows = set(own)
        else:
            rows.update(own)
        if len(rows) > LARGEST_FRONT or len(flat) > MOST:
            _refuse(len(flat), len(rows))
        if len(rows) == n - 1 - j:
            return j, counts[:j], flat
        counts[j] = len(rows)
        if rows:
            flat.extend(rows)
            parent = min(rows)
            rows.discard(parent)
            other = waiting[parent]
            if other is not None:
                small, rows = sorted((rows, other), key=len)
                rows |= small
            waiting[parent] = rows
    return n, counts, flat


def _refuse(entries: int, front: int) -> None:
    raise FitError(
        f"The equations of the related levels do not stay sparse: their factor has more than "
        f"{max(entries, front * (front - 1) // 2):,} entries and a dense block of {front:,} rows or more; up "
        f"to {MOST:,} and {LARGEST_FRONT:,} are offered. Use fewer generations of the pedigree, or a sire "
        "model (the records' sires in place of the animals)."
    )


class SparseCholesky:
    """One matrix of a pattern, factored."""

    def __init__(self, pattern: SparsePattern, data: Floats) -> None:
        """`data` in the order of the pattern.

        Raises:
            FitError: The matrix is not positive definite.
        """
        self.pattern = pattern
        try:
            self.lu: SuperLU = splu(
                pattern.matrix(data), permc_spec="NATURAL", diag_pivot_thresh=0.0, options=DIRECT
            )
        except RuntimeError:
            raise FitError(_INDEFINITE) from None
        self.d = self.lu.U.diagonal()
        there = np.arange(pattern.size)
        if not (self.d > 0.0).all() or (self.lu.perm_c != there).any() or (self.lu.perm_r != there).any():
            raise FitError(_INDEFINITE)

    @property
    def logdet(self) -> float:
        """log|C|."""
        return float(np.log(self.d).sum())

    def solve(self, B: Floats) -> Floats:
        """C^-1 B for (n, m) B."""
        out = np.empty_like(B, dtype=np.float64)
        out[self.pattern.order] = self.lu.solve(np.ascontiguousarray(B[self.pattern.order]))
        return out

    @cached_property
    def inverse(self) -> Floats:
        """C^-1 on the pattern of C, as its data: (1)."""
        pattern, first = self.pattern, self.pattern.first
        L, tail = pattern.entries(self.lu.L)
        dense = mirrored(dpotri(np.asfortranarray(tail * np.sqrt(self.d[first:])), lower=1)[0])
        off, diagonal = np.empty(len(L)), np.empty(first)
        fronts, width = dense.ravel(), np.diff(pattern.pointer) + 1
        for level, batches in enumerate(pattern.batches):
            columns = np.concatenate(batches)
            asked = columns[pattern.start[columns] >= 0]
            mine = np.empty(int((width[asked] ** 2).sum()))
            for batch in batches:
                at = pattern.pointer[batch][:, None] + np.arange(int(width[batch[0]]) - 1)
                inner = self._inner(fronts, batch, pattern.relative[at], outermost=level == 0)
                z = -np.matmul(inner, L[at][:, :, None])[:, :, 0]
                off[at] = z
                diagonal[batch] = 1.0 / self.d[batch] - (L[at] * z).sum(axis=1)
                _keep(mine, pattern.start[batch], diagonal[batch], z, inner)
            fronts = mine
        return np.concatenate([off, diagonal, dense.ravel()])[pattern.places]

    def _inner(self, fronts: Floats, batch: Ints, relative: Ints, *, outermost: bool) -> Floats:
        """(m, h, h) Z_II of some columns, from the fronts of their parents."""
        pattern = self.pattern
        if outermost:  # the parent is the dense matrix
            tail = pattern.size - pattern.first
            return fronts[relative[:, :, None] * tail + relative[:, None, :]]
        parent = pattern.parent[batch]
        width = (pattern.pointer[parent + 1] - pattern.pointer[parent] + 1)[:, None, None]
        return fronts[
            pattern.start[parent][:, None, None] + relative[:, :, None] * width + relative[:, None, :]
        ]


def _keep(fronts: Floats, start: Ints, diagonal: Floats, z: Floats, inner: Floats) -> None:
    """Write down the fronts of those columns that are asked for theirs."""
    kept, h = np.flatnonzero(start >= 0), z.shape[1]
    front = np.empty((len(kept), h + 1, h + 1))
    front[:, 0, 0] = diagonal[kept]
    front[:, 0, 1:] = front[:, 1:, 0] = z[kept]
    front[:, 1:, 1:] = inner[kept]
    fronts[start[kept][:, None] + np.arange((h + 1) ** 2)] = front.reshape(len(kept), (h + 1) ** 2)


_INDEFINITE = (
    "The equations of the related levels are not positive definite: the columns of the random-effects terms "
    "are too nearly collinear. Centre or drop one of them."
)
