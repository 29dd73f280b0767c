"""What many responses on one design have in common, and what each of them adds.

The first factor is absorbed (see `absorb`): with orthonormal columns Z~_1 = Z_1 R^-1 of each level, the later
columns M = [Z_later X] and each response leave A = Z~_1'M and a = Z~_1'y, and products within the levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array, vstack

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.crossproducts.elimination_order import Factor, Layout
from lmmkit.engine.crossproducts.moment_start import equations
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.setup import Setup, constant_of

ROUNDING = 1e-13  # share of a response's size below which what is left of it is rounding


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
            for a, b in entry_pairs(len(self.A))
        ]
        return np.ascontiguousarray(np.array(products).reshape(len(products) * self.A.shape[1], len(u)).T)

    @cached_property
    def adjoint(self) -> Floats:
        """(pairs of Z_1 J, pairs of M): what an entry of symmetric B adds to A_j B A_j'."""
        u, v = self.upper
        half = [1.0 if a == b else 0.5 for a, b in entry_pairs(len(self.A))]
        weight = np.repeat(half, self.A.shape[1])
        return np.ascontiguousarray(self.pairs.T * np.where(u == v, 1.0, 2.0) * weight[:, None])

    @cached_property
    def moment_equations(self) -> Floats:
        """Carries the sums of squares of a response, entry by entry, to the variances of MIVQUE0."""
        setup = self.setup
        matrix = equations(setup.raw, setup.layout, len(setup.problem.response))[0]
        return levelwise.least_solved(matrix, np.eye(len(matrix)))

    @cached_property
    def fixed_within(self) -> Floats:
        """(p, p) pseudo-inverse of X'X within the levels of the first factor."""
        inner, rounding = self.within[self.size :, self.size :], 1e-12 * len(self.setup.problem.response)
        return levelwise.least_solved(inner, np.eye(len(inner)), rounding)


def entry_pairs(k: int) -> list[tuple[int, int]]:
    """Rows and columns of an upper triangle."""
    return [(a, b) for a in range(k) for b in range(a, k)]


def table_size(layout: Layout, p: int) -> int:
    """Size of the table `pairs`."""
    first, later = layout.factors[0], layout.factors[1:]
    Q = sum(f.levels * f.width for f in later) + p
    return Q * (Q + 1) // 2 * (first.width * (first.width + 1) // 2) * first.levels


def share(setup: Setup) -> Shared:
    """The design's part of the criterion."""
    prepared, factors = setup.prepared, setup.layout.factors
    first, rows = factors[0], prepared.rows
    root, inverse = levelwise.cholesky(setup.raw.own[0], null=levelwise.NULL_PIVOT)
    lifted = levelwise.forward(
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


@dataclass(frozen=True, eq=False)
class Responses:
    """Sums of r responses in prepared units, the replicates on the last axis.

    Attributes:
        a: (k, J, r) Z~_1'y.
        w: (Q, r) M'y within the levels of the first factor.
        yy: (r,) y'y within them.
        squares: (m + 1, r) y's sums of squares in the moment equations.
        beta: (p, r) ordinary least squares estimates in the units of the data.
        scale: (r,) units of the response per prepared unit; not finite where nothing can be estimated.
        constant: (r,) added to the deviance.
    """

    a: Floats
    w: Floats
    yy: Floats
    squares: Floats
    beta: Floats
    scale: Floats
    constant: Floats

    def take(self, which: Ints) -> Responses:
        """Some of the replicates."""
        return Responses(**{name: picked(part, which) for name, part in vars(self).items()})


def picked(A: Floats, which: Ints) -> Floats:
    """Some of the replicates on the last axis, as a contiguous array: sums then run in the same order."""
    return np.take(A, which, axis=-1)


def summed(shared: Shared, Y: Floats) -> Responses:
    """The sums of the (n, r) responses in the units of the data."""
    setup = shared.setup
    problem, prepared = setup.problem, setup.prepared
    y = Y if problem.offset is None else Y - problem.offset[:, None]
    if problem.weights is not None:
        y = y * np.sqrt(problem.weights)[:, None]
    beta, left = _ordinary(prepared.rows[list(prepared.fixed)], y)
    scale = _units(y, left)
    left /= scale
    a, within = absorbed(shared.Z, left)
    yy = np.einsum("nr,nr->r", within, within)
    constant = constant_of(prepared, len(Y), setup.criterion.reml) - 2.0 * setup.criterion.nu * np.log(
        prepared.scale
    )
    scale = np.where(yy > ROUNDING**2 * len(Y), scale, np.nan)
    return Responses(
        a=a.reshape(*shared.A.shape[:2], -1),
        w=shared.M @ within,
        yy=yy,
        squares=_squares(shared, a, left),
        beta=np.einsum("ab,br->ar", prepared.basis, beta),
        scale=scale,
        constant=constant + 2.0 * setup.criterion.nu * np.log(scale),
    )


def _ordinary(X: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Least squares estimates (p, r) and residuals (n, r) on the (p, n) rows X; twice, for the digits."""
    if not len(X):
        return np.zeros((0, y.shape[1])), y.copy()
    inverse = np.linalg.inv(X @ X.T)
    beta, left = np.zeros((len(X), y.shape[1])), y
    for _ in range(2):
        step = np.einsum("ab,br->ar", inverse, np.einsum("an,nr->ar", X, left))
        left = left - np.einsum("an,ar->nr", X, step)
        beta += step
    return beta, left


def _units(y: Floats, left: Floats) -> Floats:
    """(r,) root mean square of the residuals, NaN where they are rounding."""
    size, scale = (np.sqrt(np.einsum("nr,nr->r", v, v) / len(v)) for v in (y, left))
    return np.where(scale > ROUNDING * size, scale, np.nan)


def _squares(shared: Shared, a: Floats, left: Floats) -> Floats:
    """Sums of squares of Z_f'y, one a free entry, then y'y: the right sides of the moment equations."""
    first = np.einsum("baj,bjr->ajr", shared.R, a.reshape(*shared.A.shape[:2], -1))
    out = [_entries(shared.factors[0].structure.span, first)]
    random = shared.M @ left
    for place in shared.later:
        own = random[place.columns].reshape(place.factor.levels, place.factor.width, -1)
        out.append(_entries(place.factor.structure.span, own.transpose(1, 0, 2)))
    return np.concatenate([*out, np.einsum("nr,nr->r", left, left)[None]])


def _entries(E: Floats, y: Floats) -> Floats:
    """(m, r) sum over levels of y_j'E_i y_j."""
    squares = np.einsum("ajr,bjr->abr", y, y)
    return np.einsum("iab,abr->ir", E, squares)
