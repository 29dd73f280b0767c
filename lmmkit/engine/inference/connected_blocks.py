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
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.residual_structure import ResidualStructure
from lmmkit.engine.inference.information import DirectionalInformation, Directions, theta_directions
from lmmkit.engine.optimum import Optimum
from lmmkit.engine.problem import Problem, Residual, RowResidual, Term
from lmmkit.engine.relations.pedigree import Pedigree
from lmmkit.engine.relations.relationship import Relationship
from lmmkit.errors import FitError

LARGEST = 1_000  # rows of a block
CUBES = 1e11  # sum of the blocks' sizes cubed
MOST = 1e8  # numbers of A_i W of all parameters: 800 MB
KIN = 20_000  # related levels, of whose K columns are made
CHUNK = 4_000_000  # numbers of a stack of derivatives that are made at a time
TOO_LARGE = (
    "df='kenward-roger' works on each set of rows that random effects or the residual structure connect as "
    "one dense matrix, and {what}. Use df='satterthwaite', which has no such limit."
)


def connected_rows(problem: Problem) -> list[Ints]:
    """Rows of each block of V, (B, m) for the B blocks of m rows, by rising m."""
    groups = [
        [_family(term.relation, codes) for codes in [codes for codes, _ in term.members] or [term.codes]]
        for term in problem.terms
    ]
    if problem.residual is not None:
        groups.append([problem.residual.subjects])
    n, start = len(problem.response), len(problem.response)
    down, across = list[Ints](), list[Ints]()
    for codes in groups:
        down += [np.arange(n)] * len(codes)
        across += [start + own for own in codes]
        start += max(int(own.max()) for own in codes) + 1
    if not groups:
        return [np.arange(n)[:, None]]
    places = np.concatenate(down), np.concatenate(across)
    graph = coo_array((np.ones(len(places[0])), places), shape=(start, start))
    component = connected_components(graph, directed=False)[1][:n]
    order = np.argsort(component, kind="stable")
    sizes = np.unique(component, return_counts=True)[1]
    firsts = np.cumsum(sizes) - sizes
    return [order[firsts[sizes == m][:, None] + np.arange(m)] for m in np.unique(sizes)]


def _family(relation: Relationship | None, codes: Ints) -> Ints:
    """(n,) for the levels of rows a number of the set of levels that K connects with each."""
    if relation is None:
        return codes
    if not isinstance(relation, Pedigree):
        return np.zeros_like(codes)
    held = [np.flatnonzero(parent >= 0) for parent in (relation.sire, relation.dam)]
    child, parent = np.concatenate(held), np.concatenate([relation.sire[held[0]], relation.dam[held[1]]])
    shape = (relation.levels, relation.levels)
    kin = connected_components(coo_array((np.ones(len(child)), (child, parent)), shape=shape), directed=False)
    return kin[1][codes].astype(np.intp)


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
        directions: dT of each row and column; those of R follow them.
    """

    directions: Directions

    @cached_property
    def slopes(self) -> Floats:
        """As of `DirectionalInformation`."""
        return np.einsum("np,inq->ipq", self.products.W, self.products.AW, optimize=True)

    @cached_property
    def squares(self) -> Floats:
        """As of `DirectionalInformation`."""
        return self.products.squares

    @property
    def mixed(self) -> Floats:
        """As of `DirectionalInformation`."""
        half = (self.products.AW @ np.linalg.cholesky(self.Phi)).reshape(self._count, -1)
        return half @ half.T

    @property
    def traces(self) -> Floats:
        """As of `DirectionalInformation`."""
        return self.products.traces

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
        most = max((t.levels for t in problem.terms if t.relation is not None), default=0)
        if not what and most > KIN:
            what = f"the pedigree has {most:,} levels, of at most {KIN:,}"
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
        problem = self.optimum.problem
        R, dR = residual_blocks(self.optimum, rows)
        V = R.copy()
        slopes = np.zeros((self._count, *V.shape))
        slopes[self.directions.count :] = dR
        parts = zip(layout.factors, state.L, self.directions.own, self.directions.cuts, strict=True)
        for factor, L, own, cut in parts:
            term = problem.terms[factor.pieces[0].term]
            if factor.Z is not None and term.relation is None:
                for b, mine in enumerate(rows):
                    z = _by_level(factor.Z[mine], factor.width)
                    V[b] += np.einsum("mla,ac,bc,nlb->mn", z, L, L, z, optimize=True)
                    slopes[cut, b] = np.einsum("mla,iab,nlb->imn", z, own, z, optimize=True)
                continue
            z, codes = prepared.rows[list(factor.rows)][:, rows], factor.codes[rows]
            if term.relation is None:
                kin = codes[:, :, None] == codes[:, None, :]
            else:
                kin = np.array([_kinship(term, mine) for mine in rows])
            half = np.einsum("abm,ac->bmc", z, L)
            V += kin * (half @ half.swapaxes(-1, -2))
            slopes[cut] = kin * np.einsum("abm,iac,cbl->ibml", z, own, z, optimize=True)
        return V, slopes


def _kinship(term: Term, rows: Ints) -> Floats:
    """(m, m) M K M' of some rows, M the weights of their levels."""
    assert term.relation is not None
    members = term.members or ((term.codes, np.ones(len(term.codes))),)
    levels, at = np.unique(np.concatenate([codes[rows] for codes, _ in members]), return_inverse=True)
    M = np.zeros((len(rows), len(levels)))
    for (_, weights), place in zip(members, np.split(at, len(members)), strict=True):
        np.add.at(M, (np.arange(len(rows)), place), weights[rows])
    unit = np.zeros((term.levels, len(levels)))
    unit[levels, np.arange(len(levels))] = 1.0
    return M @ term.relation.times(unit)[levels] @ M.T


def _by_level(Z: csr_array, width: int) -> Floats:
    """(m, l, k) the columns of the l levels that some rows of Z meet."""
    levels = np.unique(Z.indices // width)
    return Z.toarray().reshape(Z.shape[0], -1, width)[:, levels]


def residual_blocks(optimum: Optimum, rows: Ints) -> tuple[Floats, Floats]:
    """(B, m, m) R and (r, B, m, m) its derivatives among some rows, prior weights multiplied in."""
    residual, rho = optimum.problem.residual, optimum.state.rho
    B, m = rows.shape
    if residual is None:
        return np.broadcast_to(np.eye(m), (B, m, m)), np.empty((0, B, m, m))
    subjects = residual.subjects[rows]
    together = subjects[:, :, None] == subjects[:, None, :]
    if isinstance(residual, Residual):
        R, slopes = _of_visits(residual.structure, rho, residual.cells[rows])
        return together * R, together * slopes
    own, other = residual.structure.cuts
    C, slopes = _correlation(residual, rho[other], rows)
    C, slopes = together * C, together * slopes
    variance = residual.structure.variance
    if variance is None or residual.covariate is None:
        return C, slopes
    v = residual.covariate[rows].ravel()
    g = variance.sds(rho[own], v).reshape(B, m)
    d = variance.slopes(v).reshape(-1, B, m)
    scale = g[:, :, None] * g[:, None, :]
    R = scale * C
    return R, np.concatenate([R * (d[:, :, :, None] + d[:, :, None, :]), scale * slopes])


def _correlation(residual: RowResidual, rho: Floats, rows: Ints) -> tuple[Floats, Floats]:
    """(B, m, m) C of every two of some rows, as if of one subject, and (r, B, m, m) its derivatives."""
    process, (B, m) = residual.structure.correlation, rows.shape
    if isinstance(process, ResidualStructure) and residual.cells is not None:
        return _of_visits(process, rho, residual.cells[rows])
    where = residual.positions if residual.times is None else residual.times[:, None]
    if process is None or isinstance(process, ResidualStructure) or where is None:
        return np.broadcast_to(np.eye(m), (B, m, m)), np.empty((0, B, m, m))
    x = where[rows]
    distance = np.sqrt(((x[:, :, None] - x[:, None, :]) ** 2).sum(axis=-1))
    return process.correlation(rho, distance), process.correlation_slopes(rho, distance)


def _of_visits(structure: ResidualStructure, rho: Floats, cells: Ints) -> tuple[Floats, Floats]:
    """The same of the cells (B, m) of some rows."""
    places = cells[:, :, None], cells[:, None, :]
    return structure.matrix(rho)[places], structure.jacobian(rho)[:, *places]


def block_information(optimum: Optimum) -> BlockInformation:
    """Expected information on (theta | rho) at an optimum."""
    return BlockInformation(optimum, theta_directions(optimum))


def _chunks(blocks: list[Ints], count: int) -> Iterator[Ints]:
    """Some blocks of one size at a time."""
    for rows in blocks:
        size = max(1, CHUNK // (max(count, 1) * rows.shape[1] ** 2))
        yield from (rows[at : at + size] for at in range(0, len(rows), size))
