"""P = V^-1 - V^-1 X Phi X'V^-1 of a fit, kept as a block diagonal part and one dense matrix of few rows.

The rows' blocks are those of a subject's correlated residuals and, where the random effects are many, of the
finest grouping factors; all other effects and the fixed ones are columns W = [Z X] of Henderson's equations:

    (1)  V = V~ + Z (I (x) T) Z',  V~ block diagonal
    (2)  N = V~^-1 W,  H = W'N,  Q = A (A'H A + diag(I, 0))^-1 A',  A = diag(I (x) L, I),  T = L L'
    (3)  P = V~^-1 - N Q N',  beta = (Q N'y)_X,  Phi = Q_XX

Q is the inverse of the coefficient matrix of Henderson's equations, and exists at a singular T too. Without
the columns X it is V^-1 that (3) gives. Rows, columns and response are in prepared units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
from scipy.sparse import csr_array, eye_array, hstack, kron

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.crossproducts.elimination_order import Factor, columns_of, random_columns
from lmmkit.engine.inference.connected_blocks import residual_blocks
from lmmkit.engine.optimum import Optimum
from lmmkit.errors import FitError

FEW = 1_500  # random effects that all are columns of the dense matrix
MOST_COLUMNS = 6_000  # columns of the dense matrix: half a gigabyte with its inverse
MOST_LEVELS = 5_000  # levels that a known covariance relates, of which a dense root is taken
LARGEST_BLOCK = 1_000  # rows of a block
MOST_SQUARES = 4e7  # sum of the squares of the blocks' rows


@dataclass(frozen=True, eq=False)
class RowBlocks:
    """A partition of the rows into blocks, for matrices that are block diagonal over it.

    Attributes:
        stacks: Rows (B, t) of the B blocks of t rows, for every t.
        block: (n,) number of each row's block.
        position: (n,) of each row within its block.
        starts: (n + 1,) where the numbers of each row of a matrix begin.
    """

    stacks: tuple[Ints, ...]
    block: Ints
    position: Ints
    starts: Ints

    @property
    def single(self) -> bool:
        """Whether each row is a block of its own."""
        return len(self.stacks) == 1 and self.stacks[0].shape[1] == 1

    def flat(self, matrices: Sequence[Floats]) -> Floats:
        """The numbers of a matrix row by row, from its blocks (B, t, t) for every t."""
        out = np.empty(self.starts[-1])
        for rows, own in zip(self.stacks, matrices, strict=True):
            out[self.starts[rows][:, :, None] + np.arange(rows.shape[1])] = own
        return out

    def sparse(self, flat: Floats) -> csr_array:
        """(n, n) the matrix as a sparse one."""
        columns = np.empty(self.starts[-1], dtype=np.intp)
        for rows in self.stacks:
            columns[self.starts[rows][:, :, None] + np.arange(rows.shape[1])] = rows[:, None, :]
        n = len(self.block)
        return csr_array((flat, columns, self.starts), shape=(n, n))

    def among(self, flat: Floats, rows: Ints) -> Floats:
        """(B, m, m) what a matrix has between some rows (B, m)."""
        same = self.block[rows][:, :, None] == self.block[rows][:, None, :]
        at = self.starts[rows][:, :, None] + np.where(same, self.position[rows][:, None, :], 0)
        return np.where(same, flat[at], 0.0)


def row_blocks(codes: Ints) -> RowBlocks:
    """The blocks of rows with one code."""
    n = len(codes)
    order = np.argsort(codes, kind="stable")
    numbers, firsts, sizes = np.unique(codes[order], return_index=True, return_counts=True)
    block = np.searchsorted(numbers, codes)
    position = np.empty(n, dtype=np.intp)
    position[order] = np.arange(n) - np.repeat(firsts, sizes)
    stacks = tuple(order[firsts[sizes == t][:, None] + np.arange(t)] for t in np.unique(sizes))
    starts = np.concatenate([[0], np.cumsum(sizes[block])])
    return RowBlocks(stacks, block, position, starts)


@dataclass(frozen=True, eq=False)
class Geometry:
    """P of (3) at an optimum.

    Attributes:
        optimum: Where.
        blocks: The rows' blocks.
        local: Factors within the blocks, in order of elimination.
        spread: Factors whose effects are columns of the dense matrix.
        spans: Their columns there, those of a level together.
        inverse: V~^-1, flat.
        W: (n, r) columns of Z, then of X.
        N: (n, r) V~^-1 W.
    """

    optimum: Optimum
    blocks: RowBlocks
    local: tuple[int, ...]
    spread: tuple[int, ...]
    spans: tuple[slice, ...]
    inverse: Floats
    W: csr_array
    N: csr_array

    @property
    def fixed(self) -> slice:
        """Columns of X."""
        return slice(self.W.shape[1] - self.optimum.criterion.p, self.W.shape[1])

    @cached_property
    def local_inverse(self) -> csr_array:
        """(n, n) V~^-1, block diagonal."""
        return self.blocks.sparse(self.inverse)

    @cached_property
    def H(self) -> Floats:
        """(r, r) W'V~^-1 W."""
        return np.asarray((self.W.T @ self.N).toarray(), dtype=np.float64)

    @cached_property
    def Q(self) -> Floats:
        """(r, r) of P."""
        return self.solved(self.H)

    @cached_property
    def Q_without_fixed(self) -> Floats:
        """(r, r) of V^-1; zero in the columns of X."""
        return self.solved(self.H, self.fixed.start)

    def solved(self, H: Floats, size: int | None = None) -> Floats:
        """(2) of some H, with its first `size` columns."""
        inner = self._rooted(self._rooted(H).T)[:size, :size]
        size, q = len(inner), self.fixed.start
        inner[np.arange(q), np.arange(q)] += 1.0
        out = np.zeros_like(H)
        out[:size, :size] = np.linalg.inv((inner + inner.T) / 2.0)
        out = self._rooted(self._rooted(out, turned=True).T, turned=True)
        return (out + out.T) / 2.0

    def _rooted(self, A: Floats, *, turned: bool = False) -> Floats:
        """A (I (x) L), or A (I (x) L'), columns of X as they are."""
        out = A.copy()
        for f, span in zip(self.spread, self.spans, strict=True):
            L = self.optimum.state.L[f]
            own = out[:, span].reshape(len(A), -1, len(L))
            out[:, span] = (own @ (L.T if turned else L)).reshape(len(A), -1)
        return out

    @cached_property
    def response(self) -> Floats:
        """(n,) y."""
        return self.optimum.prepared.rows[self.optimum.prepared.response]

    def projected(self, v: Floats) -> Floats:
        """(n,) P v."""
        return self.local_inverse @ v - self.N @ (self.Q @ (self.N.T @ v))

    @cached_property
    def e(self) -> Floats:
        """(n,) P y."""
        return self.projected(self.response)

    @cached_property
    def r2(self) -> float:
        """y'P y."""
        return float(self.response @ self.e)

    @cached_property
    def gram(self) -> Floats:
        """(p, p) X'X."""
        X = self.X
        return X @ X.T

    @cached_property
    def X(self) -> Floats:
        """(p, n)."""
        return self.optimum.prepared.rows[list(self.optimum.prepared.fixed)]

    def inverted(self, rows: Ints) -> Floats:
        """(B, t, t) the inverse of V~ among some rows, those of each (t,) in one block."""
        return _inverted(self.optimum, rows, self.local)

    @property
    def memory(self) -> int:
        """Rows of (rows, r) dense numbers that are made at a time."""
        return max(1, 4_000_000 // max(self.W.shape[1], 1))


def geometry(optimum: Optimum) -> Geometry:
    """P of an optimum.

    Raises:
        FitError: Too many effects for the dense matrix, or rows of a block.
    """
    problem, prepared, layout = optimum.problem, optimum.prepared, optimum.layout
    factors, n = layout.factors, len(problem.response)
    codes, residual = np.arange(n), problem.residual
    if residual is not None and not residual.independent:
        codes = residual.subjects
    left = sum(factor.levels * factor.width for factor in factors)
    local = list[int]()
    for f, factor in enumerate(layout.chain):
        rows = np.bincount(factor.codes).astype(float)
        if left <= FEW or not factor.plain or factor.Z is not None or factor.half is not None:
            break
        if rows.max() > LARGEST_BLOCK or (rows**2).sum() > MOST_SQUARES:
            break
        codes, left = factor.codes, left - factor.levels * factor.width
        local.append(f)
    _refuse_too_large(left, codes)
    blocks = row_blocks(codes)
    spread = tuple(f for f in range(len(factors)) if f not in local)
    Z = [_random(optimum, factors[f]) for f in spread]
    ends = list(accumulate((own.shape[1] for own in Z), initial=0))
    X = csr_array(prepared.rows[list(prepared.fixed)].T)
    W = csr_array(hstack([*Z, X], format="csr"))
    if blocks.single and residual is None and not local:
        inverse, N = np.ones(n), W
    else:
        inverse = blocks.flat([_inverted(optimum, rows, local) for rows in blocks.stacks])
        N = csr_array(blocks.sparse(inverse) @ W)
    spans = tuple(slice(a, b) for a, b in pairwise(ends))
    return Geometry(optimum, blocks, tuple(local), spread, spans, inverse, W, N)


def _refuse_too_large(columns: int, codes: Ints) -> None:
    if columns > MOST_COLUMNS:
        raise FitError(
            f"influence() solves for {columns:,} crossed random effects as one dense matrix, of at most "
            f"{MOST_COLUMNS:,} columns. Ask for the influence in a model without one of the crossed terms."
        )
    sizes = np.bincount(codes).astype(float)
    if sizes.max() > LARGEST_BLOCK or (sizes**2).sum() > MOST_SQUARES:
        raise FitError(
            f"influence() inverts the covariance matrix of each subject's residuals, and one of them has "
            f"{int(sizes.max()):,} rows, of at most {LARGEST_BLOCK:,} (the squares of their rows add up to "
            f"{(sizes**2).sum():.2g}, of at most {MOST_SQUARES:.0e})."
        )


def _random(optimum: Optimum, factor: Factor) -> csr_array:
    """(n, q) columns of a factor of independent levels, or of what stands for related ones."""
    relation = optimum.problem.terms[factor.pieces[0].term].relation
    if relation is None:
        return columns_of(optimum.prepared, factor)
    if relation.levels > MOST_LEVELS:
        raise FitError(
            f"influence() takes a dense root of the covariance between related levels: {relation.levels:,} "
            f"here, of at most {MOST_LEVELS:,}."
        )
    plain = replace(factor, levels=relation.levels, Z=None, half=None)
    half = csr_array(relation.coloured(np.eye(relation.rank)))
    Z = random_columns(optimum.prepared, [plain]) @ kron(half, eye_array(factor.width), format="csr")
    return csr_array(Z)


def _inverted(optimum: Optimum, rows: Ints, local: Sequence[int]) -> Floats:
    """(B, t, t) the inverse of V~ among some rows of one block each."""
    V = np.array(residual_blocks(optimum, rows)[0])
    for f in local:
        together, z = level_columns(optimum, f, rows)
        half = z @ optimum.state.L[f]
        V += together * (half @ half.swapaxes(-1, -2))
    return np.asarray(np.linalg.inv(V), dtype=np.float64)


def level_columns(optimum: Optimum, f: int, rows: Ints) -> tuple[Floats, Floats]:
    """(B, t, t) which of some rows share a level of a factor, and (B, t, k) its columns there."""
    factor = optimum.layout.factors[f]
    codes = factor.codes[rows]
    together = (codes[:, :, None] == codes[:, None, :]).astype(float)
    return together, np.moveaxis(optimum.prepared.rows[list(factor.rows)][:, rows], 0, -1)
