"""Expected information on the parameters of V by its connected blocks, each as a dense matrix.

Rows that share a level of a grouping factor, or a subject of the residual structure, are connected; V is
block diagonal over the components. With V = L L' in a block, W = L^-1 X and A_i = L^-1 V_i L^-T for the
derivative V_i of V along a parameter, and sums over blocks,

    tr(V^-1 V_i V^-1 V_j)       = sum <A_i, A_j>
    X'V^-1 V_i V^-1 X           = sum W'A_i W
    X'V^-1 V_i V^-1 V_j V^-1 X  = sum (A_i W)'(A_j W)

which holds for whatever V is: of random effects, of a residual structure, or of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.inference.information import DirectionalInformation, Directions, theta_directions
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.engine.problem import Problem
from lmmkit.engine.solution import Optimum
from lmmkit.errors import FitError

LARGEST = 1_000  # rows of a block
CUBES = 1e11  # sum of the blocks' sizes cubed
MOST = 1e8  # numbers of A_i W of all parameters: 800 MB
CHUNK = 4_000_000  # numbers of a stack of derivatives that are made at a time
TOO_LARGE = (
    "df='kenward-roger' works on each set of rows that random effects or the residual structure connect as "
    "one dense matrix, and {what}. Use df='satterthwaite', which has no such limit."
)


def connected_rows(problem: Problem) -> list[Ints]:
    """Rows of each block of V, (B, m) for the B blocks of m rows, by rising m."""
    codes = [term.codes for term in problem.terms]
    if problem.residual is not None:
        codes.append(problem.residual.subjects)
    n, start = len(problem.response), len(problem.response)
    down, across = list[Ints](), list[Ints]()
    for own in codes:
        down.append(np.arange(n))
        across.append(start + own)
        start += int(own.max()) + 1
    if not codes:
        return [np.arange(n)[:, None]]
    places = np.concatenate(down), np.concatenate(across)
    graph = coo_array((np.ones(len(places[0])), places), shape=(start, start))
    component = connected_components(graph, directed=False)[1][:n]
    order = np.argsort(component, kind="stable")
    sizes = np.unique(component, return_counts=True)[1]
    firsts = np.cumsum(sizes) - sizes
    return [order[firsts[sizes == m][:, None] + np.arange(m)] for m in np.unique(sizes)]


def why_too_large(blocks: list[Ints]) -> str:
    """Why blocks of V are too large to be worked on as dense matrices, or nothing."""
    most = blocks[-1].shape[1]
    if most > LARGEST:
        return f"the largest has {most:,} rows, of at most {LARGEST:,}"
    cubes = sum(float(rows.shape[0]) * float(rows.shape[1]) ** 3 for rows in blocks)
    if cubes > CUBES:
        number = sum(map(len, blocks))
        return f"the cubes of their {number:,} sizes add up to {cubes:.1e}, of at most {CUBES:.0e}"
    return ""


class _BlockSums(NamedTuple):
    """Of all blocks together: W (n, p), A_i W (m, n, p), <A_i, A_j> (m, m) and tr A_i (m,)."""

    W: Floats
    AW: Floats
    squares: Floats
    traces: Floats


@dataclass(frozen=True, eq=False)
class BlockInformation(DirectionalInformation):
    """Expected information on the coordinates (theta | rho) of a model, by the blocks of its V.

    Attributes:
        optimum: Where it is taken.
        directions: dT of each row and column; those of R follow them.
    """

    optimum: Optimum
    directions: Directions

    @property
    def nu(self) -> float:
        """As of `DirectionalInformation`."""
        return float(self.optimum.criterion.nu)

    @cached_property
    def Phi(self) -> Floats:
        """As of `DirectionalInformation`."""
        return solved(self.optimum.state.XVX, np.eye(self.optimum.criterion.p))

    @cached_property
    def slopes(self) -> Floats:
        """As of `DirectionalInformation`."""
        return np.einsum("np,inq->ipq", self.products.W, self.products.AW, optimize=True)

    @cached_property
    def matrix(self) -> Floats:
        """As of `DirectionalInformation`."""
        out = self.products.squares
        if self.optimum.criterion.reml:
            half = self.products.AW @ np.linalg.cholesky(self.Phi)
            flat, relative = half.reshape(len(half), -1), self.Phi @ self.slopes
            out = out - 2.0 * flat @ flat.T + np.einsum("ipq,jqp->ij", relative, relative, optimize=True)
        return (out + out.T) / 2.0

    @property
    def edge(self) -> Floats:
        """As of `DirectionalInformation`."""
        edge = self.products.traces
        if self.optimum.criterion.reml:
            edge = edge - np.einsum("ipq,qp->i", self.slopes, self.Phi)
        return edge

    @property
    def without_fixed(self) -> Floats:
        """As of `DirectionalInformation`."""
        return self.products.squares.diagonal()

    def middle(self, W: Floats) -> Floats:
        """As of `DirectionalInformation`."""
        AW = self.products.AW
        return np.einsum("inp,inq->pq", AW, np.tensordot(W, AW, 1), optimize=True)

    @cached_property
    def products(self) -> _BlockSums:
        """The sums that all else is made of, in one pass over the blocks.

        Raises:
            FitError: The blocks are too large.
        """
        problem, prepared = self.optimum.problem, self.optimum.prepared
        blocks = connected_rows(problem)
        count, (n, p) = self._count, (len(problem.response), len(prepared.fixed))
        what = why_too_large(blocks)
        if not what and float(count) * n * p > MOST:
            size = f"{count * n * p:.1e} numbers"
            what = f"{count} covariance parameters, {n:,} rows and {p} fixed effects need {size}"
        if what:
            raise FitError(TOO_LARGE.format(what=what))
        W, AW = np.empty((n, p)), np.empty((count, n, p))
        squares, traces = np.zeros((count, count)), np.zeros(count)
        X = prepared.rows[list(prepared.fixed)].T
        for rows in _chunks(blocks, count):
            V, slopes = self._blocks(rows)
            half = np.linalg.inv(np.linalg.cholesky(V))
            A = half @ slopes @ half.swapaxes(-1, -2)
            W[rows] = half @ X[rows]
            AW[:, rows] = A @ W[rows]
            flat = A.reshape(count, -1)
            squares += flat @ flat.T
            traces += np.einsum("ibtt->i", A)
        return _BlockSums(W, AW, squares, traces)

    @property
    def _count(self) -> int:
        return self.directions.count + self.optimum.criterion.source.count

    def _blocks(self, rows: Ints) -> tuple[Floats, Floats]:
        """(B, m, m) V and (count, B, m, m) its derivatives."""
        state, prepared, layout = self.optimum.state, self.optimum.prepared, self.optimum.layout
        V, dR = residual_blocks(self.optimum, rows)
        slopes = np.zeros((self._count, *V.shape))
        slopes[self.directions.count :] = dR
        parts = zip(layout.factors, state.L, self.directions.own, self.directions.cuts, strict=True)
        for factor, L, own, cut in parts:
            z, codes = prepared.rows[list(factor.rows)][:, rows], factor.codes[rows]
            together = codes[:, :, None] == codes[:, None, :]
            half = np.einsum("abm,ac->bmc", z, L)
            V = V + together * (half @ half.swapaxes(-1, -2))
            slopes[cut] = together * np.einsum("abm,iac,cbl->ibml", z, own, z, optimize=True)
        return V, slopes


def residual_blocks(optimum: Optimum, rows: Ints) -> tuple[Floats, Floats]:
    """(B, m, m) R and (r, B, m, m) its derivatives among some rows, prior weights multiplied in."""
    residual, rho = optimum.problem.residual, optimum.state.rho
    B, m = rows.shape
    if residual is None:
        return np.broadcast_to(np.eye(m), (B, m, m)), np.empty((0, B, m, m))
    subjects, cells = residual.subjects[rows], residual.cells[rows]
    together = subjects[:, :, None] == subjects[:, None, :]
    places = cells[:, :, None], cells[:, None, :]
    structure = residual.structure
    return together * structure.matrix(rho)[places], together * structure.jacobian(rho)[:, *places]


def block_information(optimum: Optimum) -> BlockInformation:
    """Expected information on (theta | rho) at an optimum."""
    return BlockInformation(optimum, theta_directions(optimum.layout, optimum.state.theta))


def _chunks(blocks: list[Ints], count: int) -> Iterator[Ints]:
    """Some blocks of one size at a time."""
    for rows in blocks:
        size = max(1, CHUNK // (max(count, 1) * rows.shape[1] ** 2))
        yield from (rows[at : at + size] for at in range(0, len(rows), size))
