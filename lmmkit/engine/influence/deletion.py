"""Fixed effects without some rows, the variances held: in closed form, from P among the rows left out.

With E the rows A left out, e = Py, P_AA = E'PE, c = Q N_A' of `geometry` and g = P_AA^-1 e_A, the residuals
of A from what the other rows predict,

    (1)  beta - beta_(A) = c_X g,          Phi_(A) = Phi + c_X P_AA^-1 c_X'
    (2)  r2_(A) = r2 - e_A'g               sigma^2 of the rows left: r2_(A) / (nu - m)

which is Henderson's coefficient matrix down-dated by the rows of A, H - N_A' V~_AA^-1 N_A: of a unit with
more rows than that matrix (and than `MANY`), it is formed and inverted as it stands. X'X less X_A'X_A tells
whether the rows left estimate all coefficients.

Reference: Christensen, Pearson & Johnson (1992), Case-deletion diagnostics for mixed models, Technometrics
34, 38-45; Demidenko & Stukel (2005), Influence analysis for linear mixed-effects models, Statistics in
Medicine 24, 893-909.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.influence.geometry import Geometry, row_blocks

MANY = 100  # rows of a unit from which the coefficient matrix may be down-dated as a whole
FEW_COLUMNS = 200  # of N, up to which many units are worked on at a time
LOST = 1e-9  # least share of a direction of X'X that is more than rounding


@dataclass(frozen=True, eq=False)
class Deletions:
    """The fit without each of u units, in prepared units, the variances relative to sigma^2 held.

    Attributes:
        sizes: (u,) rows of each unit.
        shift: (u, p) beta - beta_(A).
        Phi: (u, p, p) (X'V^-1X)^-1 without the unit.
        r2: (u,) y'Py without it.
        lost: (u, p) direction of the coefficients that the rows left do not estimate, in the units of the
            data; zeros where they estimate all. Then the numbers of the unit are NaN.
    """

    sizes: Ints
    shift: Floats
    Phi: Floats
    r2: Floats
    lost: Floats

    @property
    def estimable(self) -> NDArray[np.bool_]:
        """(u,)."""
        return np.asarray(~self.lost.any(axis=1))


@dataclass(frozen=True, eq=False)
class RowSets:
    """What is left out one by one: u sets of rows, which may share rows.

    Attributes:
        count: u.
        stacks: Numbers (B,) and rows (B, m) of the B units of m rows, for every m.
    """

    count: int
    stacks: tuple[tuple[Ints, Ints], ...]

    @cached_property
    def sizes(self) -> Ints:
        """(u,) rows of each."""
        out = np.zeros(self.count, dtype=np.intp)
        for units, rows in self.stacks:
            out[units] = rows.shape[1]
        return out

    def rows(self, unit: int) -> Ints:
        """Its rows."""
        return next(rows[units == unit][0] for units, rows in self.stacks if (units == unit).any())

    def only(self, wanted: NDArray[np.bool_]) -> Iterator[tuple[Ints, Ints]]:
        """The stacks with the units that are wanted (u,)."""
        for units, rows in self.stacks:
            if (mine := wanted[units]).any():
                yield units[mine], rows[mine]


def units_of(codes: Ints, count: int) -> RowSets:
    """The units of rows with one code each, 0 to count - 1; codes below 0 are of no unit."""
    inside = np.flatnonzero(codes >= 0)
    stacks = row_blocks(codes[inside]).stacks
    return RowSets(count, tuple((codes[inside[rows[:, 0]]], inside[rows]) for rows in stacks))


def deletions(shape: Geometry, left_out: RowSets) -> Deletions:
    """The fit without each unit, the variances held."""
    p, count, sizes = shape.optimum.criterion.p, left_out.count, left_out.sizes
    out = Deletions(
        sizes, np.full((count, p), np.nan), np.full((count, p, p), np.nan), np.full(count, np.nan),
        np.zeros((count, p)),
    )  # fmt: skip
    for units, rows in left_out.stacks:
        out.lost[units] = _lost(shape, rows)
        fine = ~out.lost[units].any(axis=1)
        units, rows = units[fine], rows[fine]
        whole = rows.shape[1] > max(MANY, shape.W.shape[1])
        for some in parts(len(units), 1 if whole else max(1, shape.memory // rows.shape[1])):
            made = _down_dated(shape, rows[some]) if whole else _among_rows(shape, rows[some])
            out.shift[units[some]], out.Phi[units[some]], out.r2[units[some]] = made
    return out


def parts(count: int, size: int) -> Iterator[slice]:
    """Slices of some at a time."""
    yield from (slice(at, at + size) for at in range(0, count, size))


def _lost(shape: Geometry, rows: Ints) -> Floats:
    """(B, p) coefficients' direction that X without some rows (B, m) leaves open, or zeros."""
    p = len(shape.X)
    out = np.zeros((len(rows), p))
    if not p:
        return out
    values, vectors = np.linalg.eigh(shape.gram)
    half = vectors / np.sqrt(values)  # half' X'X half = I
    for some in parts(len(rows), max(1, 4_000_000 // (p * rows.shape[1]))):
        X = np.moveaxis(shape.X[:, rows[some]], 0, -1) @ half
        left, turned = np.linalg.eigh(np.eye(p) - X.swapaxes(1, 2) @ X)
        open_ = left[:, 0] < LOST
        direction = turned[open_, :, 0] @ half.T @ shape.optimum.prepared.basis.T
        out[np.flatnonzero(open_) + some.start] = direction
    return out


def _among_rows(shape: Geometry, rows: Ints) -> tuple[Floats, Floats, Floats]:
    """(1) and (2) from P among the rows."""
    P, cX = among_rows(shape, rows)
    e = shape.e[rows]
    solved = np.linalg.solve(P, np.concatenate([e[:, :, None], cX], axis=2))
    g, lift = solved[:, :, 0], solved[:, :, 1:]
    Phi = shape.Q[shape.fixed, shape.fixed] + cX.swapaxes(1, 2) @ lift
    return np.einsum("bmp,bm->bp", cX, g), Phi, shape.r2 - np.einsum("bm,bm->b", e, g)


def among_rows(shape: Geometry, rows: Ints) -> tuple[Floats, Floats]:
    """(B, m, m) P among some rows, and (B, m, p) c_X'.

    Where there are many columns only those that a unit's rows meet are looked at.
    """
    inside = shape.blocks.among(shape.inverse, rows)
    if shape.W.shape[1] <= FEW_COLUMNS:
        N = columns(shape.N, rows)
        C = N @ shape.Q
        return inside - N @ C.swapaxes(1, 2), C[:, :, shape.fixed]
    cX = np.empty((*rows.shape, shape.fixed.stop - shape.fixed.start))
    for unit, own in enumerate(rows):
        N, met = _met(shape.N, own)
        inside[unit] -= N @ shape.Q[np.ix_(met, met)] @ N.T
        cX[unit] = N @ shape.Q[met, shape.fixed]
    return inside, cX


def _met(A: csr_array, rows: Ints) -> tuple[Floats, Ints]:
    """Some rows of a matrix, dense, in the columns in which one of them is not zero; and these columns."""
    ends = [slice(a, b) for a, b in zip(A.indptr[rows].tolist(), A.indptr[rows + 1].tolist(), strict=True)]
    met, place = np.unique(np.concatenate([A.indices[end] for end in ends]), return_inverse=True)
    out = np.zeros((len(rows), len(met)))
    which = np.repeat(np.arange(len(rows)), [end.stop - end.start for end in ends])
    np.add.at(out, (which, place), np.concatenate([A.data[end] for end in ends]))
    return out, met.astype(np.intp)


def columns(A: csr_array, rows: Ints) -> Floats:
    """(B, m, r) dense rows of a matrix."""
    return A[rows.ravel()].toarray().reshape(*rows.shape, A.shape[1])


def _down_dated(shape: Geometry, rows: Ints) -> tuple[Floats, Floats, Floats]:
    """The same of one large unit (1, m), from Henderson's coefficient matrix without its rows.

    Of each block that it meets the products of all rows are taken out and those of the rows left put back.
    """
    met = np.isin(shape.blocks.block, shape.blocks.block[rows[0]])
    left = met.copy()
    left[rows[0]] = False
    met, left = np.flatnonzero(met), np.flatnonzero(left)
    y, W, Wy = shape.response, shape.W, shape.local_inverse @ shape.response
    H = shape.H - (W[met].T @ shape.N[met]).toarray()
    own = shape.N.T @ y - shape.N[met].T @ y[met]
    square = float(y @ Wy) - float(y[met] @ Wy[met])
    if len(left):
        blocks = row_blocks(shape.blocks.block[left])
        inverse = blocks.sparse(blocks.flat([shape.inverted(left[stack]) for stack in blocks.stacks]))
        N = inverse @ W[left]
        H += (W[left].T @ N).toarray()
        own += N.T @ y[left]
        square += float(y[left] @ (inverse @ y[left]))
    Q = shape.solved(H)
    delta, X = Q @ own, shape.fixed
    beta = (shape.Q @ (shape.N.T @ y))[X]
    return (beta - delta[X])[None], Q[X, X][None], np.array([square - float(own @ delta)])
