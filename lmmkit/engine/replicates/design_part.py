"""What many responses on one design have in common, and what each of them adds.

The first factor is absorbed (see `absorb`): with orthonormal columns Z~_1 = Z_1 R^-1 of each level, the later
columns M = [Z_later X] and each response leave A = Z~_1'M and a = Z~_1'y, and products within the levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array, vstack

from lmmkit.engine.crossproducts.elimination_order import Factor, Layout
from lmmkit.engine.crossproducts.moment_start import equations
from lmmkit.engine.linalg import level_matrices as kernels
from lmmkit.engine.problem import Floats, Ints
from lmmkit.engine.setup import Setup


@dataclass(frozen=True, eq=False)
class Later:
    """Where a later factor's columns stand among M: levels x width from `start` on."""

    factor: Factor
    start: int

    @property
    def columns(self) -> slice:
        """Its columns of M."""
        return slice(self.start, self.start + self.factor.levels * self.factor.width)


@dataclass(frozen=True, eq=False)
class Shared:
    """The design's part of the criterion.

    Attributes:
        setup: The design, made ready with one response.
        later: Places in M of all factors but the first.
        size: Random columns of M; the p columns of X follow.
        Z: (k J, n) transposed orthonormal columns of the first factor.
        M: (Q, n) transposed later columns.
        R: (k, k, J) with R'R = Z_1'Z_1.
        A: (k, J, Q) what the first factor's columns share with M.
        within: (Q, Q) M'M within the levels of the first factor.
    """

    setup: Setup
    later: tuple[Later, ...]
    size: int
    Z: csr_array
    M: csr_array
    R: Floats
    A: Floats
    within: Floats

    @property
    def factors(self) -> tuple[Factor, ...]:
        """All factors, the absorbed one first."""
        return self.setup.layout.factors

    @cached_property
    def flat(self) -> Floats:
        """A as (Q, k J)."""
        k, J, size = self.A.shape
        return np.ascontiguousarray(self.A.reshape(k * J, size).T)

    @cached_property
    def upper(self) -> tuple[Ints, Ints]:
        """Pairs u <= v of the columns of M."""
        return np.triu_indices(self.A.shape[2])

    @cached_property
    def pairs(self) -> Floats:
        """(pairs of M, pairs of Z_1 J): what an entry of H_j adds to an entry of S."""
        u, v = self.upper
        products = [
            self.A[a][:, u] * self.A[b][:, v] + (self.A[a][:, v] * self.A[b][:, u] if a != b else 0.0)
            for a in range(len(self.A))
            for b in range(a, len(self.A))
        ]
        return np.ascontiguousarray(np.array(products).reshape(len(products) * self.A.shape[1], len(u)).T)

    @cached_property
    def adjoint(self) -> Floats:
        """(pairs of Z_1 J, pairs of M): what an entry of symmetric B adds to A_j B A_j'."""
        u, v = self.upper
        k = len(self.A)
        half = [1.0 if a == b else 0.5 for a in range(k) for b in range(a, k)]
        weight = np.repeat(half, self.A.shape[1])
        return np.ascontiguousarray(self.pairs.T * np.where(u == v, 1.0, 2.0) * weight[:, None])

    @cached_property
    def moment_equations(self) -> Floats:
        """Carries the sums of squares of a response, entry by entry, to the variances of MIVQUE0."""
        setup = self.setup
        matrix = equations(setup.raw, setup.layout, len(setup.problem.response))[0]
        return inverse_of(matrix)

    @cached_property
    def fixed_within(self) -> Floats:
        """(p, p) pseudo-inverse of X'X within the levels of the first factor."""
        return inverse_of(self.within[self.size :, self.size :], 1e-12 * len(self.setup.problem.response))


def inverse_of(A: Floats, rounding: float = 0.0) -> Floats:
    """Pseudo-inverse of a symmetric positive semidefinite matrix; eigenvalues up to `rounding` are zero."""
    values, vectors = np.linalg.eigh(A)
    large = values > max(rounding, 1e-12 * float(values.max(initial=0.0)))
    kept = vectors[:, large]
    return (kept / values[large]) @ kept.T


def table_size(layout: Layout, p: int) -> int:
    """Size of the table `pairs`."""
    first, later = layout.factors[0], layout.factors[1:]
    Q = sum(f.levels * f.width for f in later) + p
    return Q * (Q + 1) // 2 * (first.width * (first.width + 1) // 2) * first.levels


def share(setup: Setup) -> Shared:
    """The design's part of the criterion."""
    prepared, factors = setup.prepared, setup.layout.factors
    first, rows = factors[0], prepared.rows
    root, inverse = kernels.cholesky(setup.raw.own[0], null=kernels.NULL_PIVOT)
    lifted = kernels.forward(
        root[:, :, first.codes], inverse[:, first.codes], rows[list(first.rows)][:, None]
    )
    Z = _indicator(first, lifted[:, 0], by_level=False)
    blocks = [_indicator(f, rows[list(f.rows)], by_level=True) for f in factors[1:]]
    ends = [int(e) for e in np.cumsum([0, *(b.shape[0] for b in blocks)])]
    M = vstack([*blocks, csr_array(rows[list(prepared.fixed)])], format="csr")
    A, left = absorbed(Z, M.T.toarray())
    return Shared(
        setup=setup,
        later=tuple(Later(f, start) for f, start in zip(factors[1:], ends, strict=False)),
        size=ends[-1],
        Z=Z,
        M=M,
        R=np.ascontiguousarray(root.transpose(1, 0, 2)),
        A=A.reshape(first.width, first.levels, -1),
        within=left.T @ left,
    )


def _indicator(factor: Factor, rows: Floats, *, by_level: bool) -> csr_array:
    """(J k, n) Z' of one factor from its (k, n) rows, sorted by level and column, or by column and level."""
    k, n = rows.shape
    columns: Ints = np.arange(k, dtype=np.intp)[:, None]
    place: Ints = factor.codes * k + columns if by_level else factor.codes + factor.levels * columns
    row: Ints = np.tile(np.arange(n, dtype=np.intp), k)
    return csr_array((rows.ravel(), (place.ravel(), row)), shape=(factor.levels * k, n))


def absorbed(Z: csr_array, columns: Floats) -> tuple[Floats, Floats]:
    """What orthonormal rows Z share with some (n, m) columns, and what they leave of them; in two rounds."""
    shared = Z @ columns
    left = columns - Z.T @ shared
    again = Z @ left
    return shared + again, left - Z.T @ again
