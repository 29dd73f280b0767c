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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg.lapack import dpotrf, dpstrf, dtrtrs
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.criterion.criterion import Evaluation
from lmmkit.engine.crossproducts.elimination_order import Factor, Layout, random_columns
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.problem import Prepared
from lmmkit.errors import FitError

NULL_PIVOT = 1e-12  # below this share of its own length a column is a sum of the others
LARGEST = 8_000  # order of a dense matrix that is still made


@dataclass(frozen=True, eq=False)
class LevelTraces:
    """All levels of a single factor, which have no row in common: S is (k, k, J), U is (k, p, J).

    As of `ComponentTraces`, the blocks are asked for by factors f and g, in order of elimination.
    """

    S: Floats
    U: Floats

    def pairs(self, f: int, g: int) -> Floats:
        """(k_f, k_g, m) the m blocks of S of two factors."""
        return self.S

    def diagonal(self, f: int) -> Floats:
        """(k, k, J) the diagonal blocks of S of one factor."""
        return self.S

    def scores(self, f: int) -> Floats:
        """(k, p, J) U of one factor."""
        return self.U

    def projected(self, f: int, g: int, root: Floats) -> Floats:
        """(k_f, k_g, m) the blocks of U root root' U'."""
        half = np.einsum("apj,pq->aqj", self.U, root)
        return levelwise.times_transposed(half, half)

    def applied(self, entries: Floats, scores: Floats) -> Floats:
        """(k_g, p, J_f) one entry of each block of S times U of the second factor."""
        return entries * scores


@dataclass(frozen=True, eq=False)
class ComponentTraces:
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
        """As of `LevelTraces`."""
        return self._blocks(self.S, f, g)

    def diagonal(self, f: int) -> Floats:
        """As of `LevelTraces`."""
        rows, k = self.spans[f]
        return self.pairs(f, f)[:, :, :: (rows.stop - rows.start) // k + 1]

    def scores(self, f: int) -> Floats:
        """As of `LevelTraces`."""
        rows, k = self.spans[f]
        return self.U[rows].reshape((rows.stop - rows.start) // k, k, -1).transpose(1, 2, 0)

    def projected(self, f: int, g: int, root: Floats) -> Floats:
        """As of `LevelTraces`."""
        half = self.U @ root
        return self._blocks(half @ half.T, f, g)

    def applied(self, entries: Floats, scores: Floats) -> Floats:
        """As of `LevelTraces`."""
        return np.einsum("lm,dqm->dql", entries.reshape(-1, scores.shape[2]), scores, optimize=True)


@dataclass(frozen=True, eq=False)
class Traces:
    """Sums over the blocks of S and U of all parts; f and g number the factors in order of elimination."""

    parts: tuple[LevelTraces | ComponentTraces, ...]

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


def _sandwich(part: LevelTraces | ComponentTraces, f: int, g: int, weights: Floats) -> Floats:
    S, left, right = part.pairs(f, g), part.scores(f), part.scores(g)
    return _total(
        np.einsum("ad,apdq->pq", weights[:, b, c], outer_sum(left, part.applied(S[b, c], right)))
        for b, c in np.ndindex(S.shape[:2])
    )


def outer_sum(A: Floats, B: Floats) -> Floats:
    """Sum over the last axis of the outer products of two arrays of matrices."""
    return (A.reshape(-1, A.shape[-1]) @ B.reshape(-1, B.shape[-1]).T).reshape(A.shape[:-1] + B.shape[:-1])


def traces(prepared: Prepared, layout: Layout, state: Evaluation) -> Traces:
    """The blocks of S and U at a state, in prepared units.

    Raises:
        FitError: A component is too large for a dense matrix.
    """
    if len(layout.factors) == 1 and layout.chain:
        W = state.forward.links[0].W
        return Traces((LevelTraces(levelwise.transposed_times(W, W), scores(layout, state, 0)),))
    refuse_too_large(layout.factors)
    return Traces(tuple(_of_component(cross, state.L) for cross in cross_products(prepared, layout.factors)))


def scores(layout: Layout, state: Evaluation, f: int) -> Floats:
    """(k, p, J) U of one factor at a state, of designs of any size: the reverse pass has made it."""
    return state.reverse.of(layout, f)[:, :-1]


@dataclass(frozen=True, eq=False)
class Cross:
    """Cross-products of one component: Z'Z (m, m), Z'X (m, p), and each factor's columns with its width."""

    A: Floats
    C: Floats
    spans: tuple[tuple[slice, int], ...]


def cross_products(prepared: Prepared, factors: Sequence[Factor]) -> Iterator[Cross]:
    """Z'Z and Z'X of each component, in prepared units."""
    of = _component_of_columns(factors)
    order = np.argsort(of, kind="stable")  # by component, then by factor and level
    Z = random_columns(prepared, factors)[:, order]
    cross, fixed = (Z.T @ Z).tocsr(), Z.T @ prepared.rows[list(prepared.fixed)].T
    ends = np.cumsum([f.levels * f.width for f in factors])[:-1]
    sizes = [np.bincount(own, minlength=of.max() + 1) for own in np.split(of, ends)]
    start = 0
    for own in np.array(sizes).T:
        bounds = [int(bound) for bound in np.cumsum([0, *own])]
        spans = tuple((slice(*ends), f.width) for ends, f in zip(pairwise(bounds), factors, strict=True))
        here = slice(start, start := start + bounds[-1])
        yield Cross(cross[here, here].toarray(), fixed[here], spans)


def _component_of_columns(factors: Sequence[Factor]) -> Ints:
    """The component of each column of `_z`."""
    labels = component_labels(factors)
    return np.concatenate([np.repeat(own, f.width) for own, f in zip(labels, factors, strict=True)])


def component_labels(factors: Sequence[Factor]) -> list[Ints]:
    """For each factor the component of each level."""
    offsets = np.cumsum([0, *(f.levels for f in factors)])
    nodes = [
        codes + offset
        for f, offset in zip(factors, offsets, strict=False)
        for codes in (_memberships(f) if f.members else [f.codes])
    ]
    # Consecutive factors are enough: a row's levels are then connected in a chain.
    one, two = np.concatenate(nodes[:1] + nodes[:-1]), np.concatenate(nodes[:1] + nodes[1:])
    graph = coo_array((np.ones(len(one), np.int8), (one, two)), shape=(offsets[-1], offsets[-1]))
    labels = connected_components(graph.tocsr(), directed=False)[1].astype(np.intp)
    return np.split(labels, offsets[1:-1])


def _memberships(factor: Factor) -> list[Ints]:
    """The levels of each membership of a row; where it has none, one that it has."""
    known = factor.codes
    for codes, weight in reversed(factor.members):
        known = np.where(weight != 0.0, codes, known)
    return [np.where(weight != 0.0, codes, known) for codes, weight in factor.members]


def component_sizes(factors: Sequence[Factor]) -> Ints:
    """Columns of Z in each component."""
    if len(factors) == 1 and factors[0].plain:
        return np.full(factors[0].levels, factors[0].width)
    return np.bincount(_component_of_columns(factors))


def refuse_too_large(factors: Sequence[Factor]) -> None:
    """A component's matrix must fit into the memory."""
    largest = int(component_sizes(factors).max())
    if largest > LARGEST:
        raise FitError(
            f"{largest:,} random effects are connected by the rows: Kenward-Roger and containment need a "
            f"dense matrix of that order, offered up to {LARGEST:,}. Use df='satterthwaite'."
        )


def _of_component(cross: Cross, L: list[Floats]) -> ComponentTraces:
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
    return ComponentTraces(H.T @ H, H.T @ h, cross.spans)


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
