"""S = Z'V^-1Z and U = Z'V^-1X at one theta, and the sums over their blocks that information is made of.

With V = I + Z T Z', a derivative of V is Z (I (x) D) Z' for some symmetric D of one factor, so that

    tr(V^-1 V_i V^-1 V_j)       = sum tr(S_lm D_j S_ml D_i)          over the levels l, m of two factors
    X'V^-1 V_i V^-1 X           = sum U_l' D_i U_l
    X'V^-1 V_i V^-1 V_j V^-1 X  = sum U_l' D_i S_lm D_j U_m

No matrix with n rows and n columns is met. Levels that no row connects have no block in common: with one
factor every level stands alone, with several each connected component of levels does. In a component, with
Z'Z = R'R of full row rank and Z'X = R'a,

    S = R'(I + R T R')^-1 R,    U = R'(I + R T R')^-1 a:

no inverse of T or of Z'Z, and no difference of large numbers when T is large.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg.lapack import dpotrf, dpstrf, dtrtrs
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from lmmkit.engine.criterion.criterion import State
from lmmkit.engine.crossproducts.elimination_order import Factor, Layout
from lmmkit.engine.crossproducts.scaling import Prepared
from lmmkit.engine.linalg import level_matrices as kernels
from lmmkit.engine.problem import Floats, Ints
from lmmkit.errors import FitError

NULL_PIVOT = 1e-12  # below this share of its own length a column is a sum of the others
LARGEST = 8_000  # order of a dense matrix that is still made


class _LevelSet(ABC):
    """Levels whose blocks of S are kept together; f and g number the factors in order of elimination."""

    @abstractmethod
    def pairs(self, f: int, g: int) -> Floats:
        """(k_f, k_g, m) the m blocks of S of two factors."""

    @abstractmethod
    def diagonal(self, f: int) -> Floats:
        """(k, k, J) the diagonal blocks of S of one factor."""

    @abstractmethod
    def scores(self, f: int) -> Floats:
        """(k, p, J) U of one factor."""

    @abstractmethod
    def projected(self, f: int, g: int, root: Floats) -> Floats:
        """(k_f, k_g, m) the blocks of U root root' U'."""

    @abstractmethod
    def applied(self, entries: Floats, scores: Floats) -> Floats:
        """(k_g, p, J_f) one entry of each block of S times U of the second factor."""


@dataclass(frozen=True, eq=False)
class _Levels(_LevelSet):
    """All levels of a single factor, which have no row in common: S is (k, k, J), U is (k, p, J)."""

    S: Floats
    U: Floats

    def pairs(self, f: int, g: int) -> Floats:
        return self.S

    def diagonal(self, f: int) -> Floats:
        return self.S

    def scores(self, f: int) -> Floats:
        return self.U

    def projected(self, f: int, g: int, root: Floats) -> Floats:
        half = np.einsum("apj,pq->aqj", self.U, root)
        return kernels.times_transposed(half, half)

    def applied(self, entries: Floats, scores: Floats) -> Floats:
        return entries * scores


@dataclass(frozen=True, eq=False)
class _Component(_LevelSet):
    """Levels that rows connect: S (m, m), U (m, p), and each factor's columns with its width."""

    S: Floats
    U: Floats
    spans: tuple[tuple[slice, int], ...]

    def _blocks(self, A: Floats, f: int, g: int) -> Floats:
        """(k_f, k_g, J_f J_g) blocks of an (m, m) matrix."""
        (rows, k), (columns, m) = self.spans[f], self.spans[g]
        blocks = A[rows, columns].reshape((rows.stop - rows.start) // k, k, -1, m)
        return blocks.transpose(1, 3, 0, 2).reshape(k, m, -1)

    def pairs(self, f: int, g: int) -> Floats:
        return self._blocks(self.S, f, g)

    def diagonal(self, f: int) -> Floats:
        rows, k = self.spans[f]
        return self.pairs(f, f)[:, :, :: (rows.stop - rows.start) // k + 1]

    def scores(self, f: int) -> Floats:
        rows, k = self.spans[f]
        return self.U[rows].reshape((rows.stop - rows.start) // k, k, -1).transpose(1, 2, 0)

    def projected(self, f: int, g: int, root: Floats) -> Floats:
        half = self.U @ root
        return self._blocks(half @ half.T, f, g)

    def applied(self, entries: Floats, scores: Floats) -> Floats:
        return np.einsum("lm,dqm->dql", entries.reshape(-1, scores.shape[2]), scores, optimize=True)


@dataclass(frozen=True, eq=False)
class Traces:
    """Sums over the blocks of S and U of all parts; f and g number the factors in order of elimination."""

    parts: tuple[_LevelSet, ...]

    def trace(self, f: int) -> Floats:
        """(k, k) sum of the diagonal blocks of S."""
        return _total(part.diagonal(f).sum(axis=2) for part in self.parts)

    def squares(self, f: int, g: int) -> Floats:
        """(k_f, k_g, k_f, k_g) sum over pairs of levels of vec(S) vec(S)'."""
        blocks = (part.pairs(f, g) for part in self.parts)
        return _total(outer_sum(S, S) for S in blocks)

    def mixed(self, f: int, g: int, root: Floats) -> Floats:
        """(k_f, k_g, k_f, k_g) the same of vec(Y) vec(S)', Y = U root root' U'."""
        return _total(outer_sum(part.projected(f, g, root), part.pairs(f, g)) for part in self.parts)

    def sandwich(self, f: int, g: int, weights: Floats) -> Floats:
        """(p, p) sum over pairs of levels of U_a' S_bc U_d times weights[a, b, c, d]."""
        return _total(_sandwich(part, f, g, weights) for part in self.parts)


def _total(arrays: Iterator[Floats]) -> Floats:
    return sum(arrays, np.zeros(()))


def _sandwich(part: _LevelSet, f: int, g: int, weights: Floats) -> Floats:
    S, left, right = part.pairs(f, g), part.scores(f), part.scores(g)
    return _total(
        np.einsum("ad,apdq->pq", weights[:, b, c], outer_sum(left, part.applied(S[b, c], right)))
        for b, c in np.ndindex(S.shape[:2])
    )


def outer_sum(A: Floats, B: Floats) -> Floats:
    """Sum over the last axis of the outer products of two arrays of matrices."""
    return (A.reshape(-1, A.shape[-1]) @ B.reshape(-1, B.shape[-1]).T).reshape(A.shape[:-1] + B.shape[:-1])


def traces(prepared: Prepared, layout: Layout, state: State) -> Traces:
    """The blocks of S and U at a state, in prepared units.

    Raises:
        FitError: A component is too large for a dense matrix.
    """
    if len(layout.factors) == 1:
        W = state.forward.links[0].W
        return Traces((_Levels(kernels.transposed_times(W, W), scores(layout, state, 0)),))
    refuse_too_large(layout.factors)
    return Traces(tuple(_of_component(cross, state.L) for cross in cross_products(prepared, layout.factors)))


def scores(layout: Layout, state: State, f: int) -> Floats:
    """(k, p, J) U of one factor at a state, of designs of any size: the reverse pass has made it."""
    U = state.reverse.U
    if f < len(layout.chain):
        return U[f][:, :-1]
    rows, factor = U[-1][layout.columns(f - len(layout.chain)), :-1], layout.factors[f]
    return rows.reshape(factor.levels, factor.width, rows.shape[1]).transpose(1, 2, 0)


@dataclass(frozen=True, eq=False)
class Cross:
    """Cross-products of one component: Z'Z (m, m), Z'X (m, p), and each factor's columns with its width."""

    A: Floats
    C: Floats
    spans: tuple[tuple[slice, int], ...]


def cross_products(prepared: Prepared, factors: Sequence[Factor]) -> Iterator[Cross]:
    """Z'Z and Z'X of each component, in prepared units."""
    starts, first = _places(factors)
    Z = _z(prepared, factors, first, int(starts[-1, 0]))
    cross = (Z.T @ Z).tocsr()
    fixed = Z.T @ prepared.rows[list(prepared.fixed)].T
    for own, end in zip(starts, starts[1:, 0], strict=False):
        here = slice(int(own[0]), int(end))
        bounds = [int(bound) - here.start for bound in (*own, end)]
        spans = tuple((slice(*ends), f.width) for ends, f in zip(pairwise(bounds), factors, strict=True))
        yield Cross(cross[here, here].toarray(), fixed[here], spans)


def _places(factors: Sequence[Factor]) -> tuple[Ints, list[Ints]]:
    """Z's columns by component, then by factor, then by level.

    Returns:
        (components + 1, factors) first column of each factor in each component, the last row all columns;
        and for each factor the first column of each level.
    """
    labels = component_labels(factors)
    number = 1 + max(int(own.max()) for own in labels)
    counts = np.array([np.bincount(own, minlength=number) for own in labels]).T
    widths = np.array([f.width for f in factors])
    starts = np.concatenate([[0], np.cumsum(counts * widths)])
    starts = np.append(starts[:-1].reshape(counts.shape), np.full((1, len(widths)), starts[-1]), axis=0)
    first = list[Ints]()
    for f, own in enumerate(labels):
        order = np.argsort(own, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(own)) - np.repeat(np.cumsum(counts[:, f]) - counts[:, f], counts[:, f])
        first.append(starts[own, f] + rank * widths[f])
    return starts, first


def _z(prepared: Prepared, factors: Sequence[Factor], first: list[Ints], size: int) -> csr_array:
    """(n, size) Z, the columns of each level from `first` on."""
    columns = [
        own[factor.codes] + c for own, factor in zip(first, factors, strict=True) for c in range(factor.width)
    ]
    values = [prepared.rows[row] for factor in factors for row in factor.rows]
    n, width = len(columns[0]), len(columns)
    entries, indices = np.stack(values, axis=1).ravel(), np.stack(columns, axis=1).ravel()
    return csr_array((entries, indices, np.arange(0, n * width + 1, width)), shape=(n, size))


def component_labels(factors: Sequence[Factor]) -> list[Ints]:
    """For each factor the component of each level."""
    offsets = np.cumsum([0, *(f.levels for f in factors)])
    nodes = [f.codes + offset for f, offset in zip(factors, offsets, strict=False)]
    # Consecutive factors are enough: a row's levels are then connected in a chain.
    one, two = np.concatenate(nodes[:1] + nodes[:-1]), np.concatenate(nodes[:1] + nodes[1:])
    graph = coo_array((np.ones(len(one), np.int8), (one, two)), shape=(offsets[-1], offsets[-1]))
    labels = connected_components(graph.tocsr(), directed=False)[1].astype(np.intp)
    return np.split(labels, offsets[1:-1])


def component_sizes(factors: Sequence[Factor]) -> Ints:
    """Columns of Z in each component."""
    if len(factors) == 1:
        return np.full(factors[0].levels, factors[0].width)
    labels = component_labels(factors)
    widths = [np.full(len(own), f.width) for own, f in zip(labels, factors, strict=True)]
    return np.bincount(np.concatenate(labels), np.concatenate(widths)).astype(np.intp)


def refuse_too_large(factors: Sequence[Factor]) -> None:
    """A component's matrix must fit into the memory."""
    largest = int(component_sizes(factors).max())
    if largest > LARGEST:
        raise FitError(
            f"{largest:,} random effects are connected by the rows: Kenward-Roger and containment need a "
            f"dense matrix of that order, offered up to {LARGEST:,}. Use df='satterthwaite'."
        )


def _of_component(cross: Cross, L: list[Floats]) -> _Component:
    """S and U of one component from its R and a."""
    R, a = rank_root(cross.A, cross.C)
    half = np.empty_like(R)
    for (columns, k), own in zip(cross.spans, L, strict=True):
        half[:, columns] = (R[:, columns].reshape(len(R), -1, k) @ own).reshape(len(R), -1)
    grown = half @ half.T
    grown.flat[:: len(grown) + 1] += 1.0
    chol = dpotrf(grown, lower=1)[0]
    both = dtrtrs(chol, np.column_stack([R, a]), lower=1)[0]
    H, h = both[:, : len(cross.A)], both[:, len(cross.A) :]
    return _Component(H.T @ H, H.T @ h, cross.spans)


def rank_root(A: Floats, C: Floats) -> tuple[Floats, Floats]:
    """R with R'R = A, as many rows as A has rank, and a with R'a = C."""
    scale = np.sqrt(A.diagonal())
    scale[scale == 0.0] = 1.0
    upper, pivot, rank, _ = dpstrf(A / np.outer(scale, scale), tol=NULL_PIVOT)
    order = pivot - 1
    R = np.zeros((rank, len(A)))
    R[:, order] = np.triu(upper)[:rank]
    kept = order[:rank]
    a = C[kept] / scale[kept, None]
    if a.size:
        a = dtrtrs(np.asfortranarray(upper[:rank, :rank]), a, trans=1)[0]
    return R * scale, a
