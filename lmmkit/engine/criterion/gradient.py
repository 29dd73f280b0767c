"""Reverse sweep: the derivative of the deviance in every T, at the cost of one more pass.

Let K be the derivative of the deviance in F = W'V^-1 W (`criterion` says what it is), U = Z'V^-1 W, and Sigma
the derivative of log|V| in the cross-products. Running through the factors in the opposite order, v, g and h
being the later factors and the rest:

    (1)  U_f  = lift_f (B_fx + sum_v B_fv X~_v),     X~_f = -T_f U_f
    (2)  Y_fg = sum_h B_fh Sigma_hg,                 Sigma_fg = -core_f Y_fg
    (3)  inner_f = sum_g Y_fg B_fg',                 Sigma_ff = core_f + core_f inner_f core_f
    (4)  D_f = sum_j [W_f'W_f - lift_f inner_f lift_f' - U_f K U_f'] = d deviance / d T_f

It is reverse differentiation of `elimination` (4): what a later block gained from an earlier one, the earlier
one is charged for. K is split off (each adjoint is Sigma + X~ K X~'), so that U, which the BLUPs need as
well, carries it alone.

The dense rest begins, with E = L C^-1 L' for its M:

    (5)  X~ = -E B_Rx,     U = B_Rx + S X~,     Sigma = E,     D = blocktrace(S - S E S) - U K U'

Where rows are whitened (`RowEffects`), the deviance depends on each of them. For a row with u = [z w], z_f of
each factor at the row's level, and with Sigma = (Z'Z + T^-1)^-1 and X~ = -T U, of all factors together,

    (6)  s = w + sum_f X~_f'z_f                       (q numbers a row)
    (7)  d deviance / dw   = 2 K s
    (8)  d deviance / dz_f = 2 (sum_g Sigma_fg z_g + X~_f K s)

The sweep leaves Sigma and X~ of every factor but the first, which nothing is eliminated before: of that one,
with its own M (`Eliminated.variance`), R = its root, and Y of the sweep,

    (9)  X~_0 = -T U_0,    Sigma_00 = M + M R'inner R M,    Sigma_0g = -M R'Y_0g
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg.lapack import dpotri, dtrtrs

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.criterion.elimination import (
    Eliminated,
    Forward,
    Rest,
    congruent,
    scaled_rows,
    transposed,
)
from lmmkit.engine.criterion.sparse_rest import SparseRest
from lmmkit.engine.crossproducts.elimination_order import Factor, Layout, rest_columns
from lmmkit.engine.crossproducts.product_sources import RandomRows
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.linalg.cross_blocks import Dense, Sparse, mirrored
from lmmkit.engine.problem import Prepared

STRIP = 8_000_000  # numbers of some dense columns of the rest, over rows or levels, that are made at a time
STEEP = 1e-3  # below this diagonal of L the block trace is taken from the rows, not by division by L


@dataclass(frozen=True, eq=False)
class Reverse:
    """What the reverse sweep leaves.

    Attributes:
        D: For each factor, (k, k).
        U: Z'V^-1 W of each chain factor, (k, q, J), then of the rest, (q2, q).
        sigma: Sigma_ff of each chain factor but the first, (k, k, J).
        inner_first: `inner` of the first factor, (k, k, J), or None where it is alone.
    """

    D: list[Floats]
    U: list[Floats]
    sigma: list[Floats]
    inner_first: Floats | None

    def of(self, layout: Layout, f: int) -> Floats:
        """U of one factor, (k, q, J)."""
        if f < len(layout.chain):
            return self.U[f]
        rows, factor = self.U[-1][layout.columns(f - len(layout.chain))], layout.factors[f]
        return rows.reshape(factor.levels, factor.width, -1).transpose(1, 2, 0)

    def scores(self, layout: Layout, f: int, a: Floats) -> Floats:
        """Z_f'P y of one factor, (k, J), for W a = y - X beta."""
        return np.einsum("kqj,q->kj", self.of(layout, f), a)


class DenseInverse:
    """E = L C^-1 L' of the rest, its pieces made when they are asked for."""

    def __init__(self, rest: Rest, layout: Layout) -> None:
        self.rest, self.layout = rest, layout

    @cached_property
    def E(self) -> Floats:
        """(q2, q2)."""
        upper = dpotri(self.rest.chol, lower=1)[0].T  # Fortran's lower triangle is C's upper one
        inverse = mirrored(upper[::-1, ::-1])[::-1, ::-1]
        return congruent(self.layout, self.rest.L, inverse, out=inverse)

    def times(self, A: Floats) -> Floats:
        """E A, by two triangular solves."""
        L, chol = self.rest.L, self.rest.chol
        half = dtrtrs(chol, scaled_rows(self.layout, transposed(L), A), lower=1)[0]
        return scaled_rows(self.layout, L, dtrtrs(chol, half, lower=1, trans=1)[0])

    def trace(self, position: int) -> Floats:
        """(k, k) sum over the levels of one factor of the diagonal blocks of S - S E S."""
        L = self.rest.L[position]
        if np.abs(L.diagonal()).min() > STEEP:
            precision = np.linalg.inv(L @ L.T)
            trace = _block_trace(self.E, self.layout, position, len(L))
            return self.layout.rest[position].levels * precision - precision @ trace @ precision
        columns = self.layout.columns(position)
        S = self.rest.S[:, columns]
        half = dtrtrs(self.rest.chol, scaled_rows(self.layout, transposed(self.rest.L), S), lower=1)[0]
        blocks = half.reshape(len(half), -1, len(L))
        return _block_trace(self.rest.S, self.layout, position, len(L)) - np.einsum(
            "cja,cjb->ab", blocks, blocks
        )


def _block_trace(A: Floats, layout: Layout, position: int, k: int) -> Floats:
    """(k, k) sum of the diagonal blocks of one factor."""
    columns = layout.columns(position)
    block = A[columns, columns]
    return np.array([[float(np.trace(block[a::k, b::k])) for b in range(k)] for a in range(k)])


def rest_inverse(rest: Rest | SparseRest, layout: Layout) -> DenseInverse | SparseRest:
    """What multiplies by E, and has the traces of D."""
    return DenseInverse(rest, layout) if isinstance(rest, Rest) else rest


def conditional_blocks(forward: Forward, reverse: Reverse, layout: Layout) -> list[Floats]:
    """Diagonal blocks of (Z'Z + T^-1)^-1 = L (I + L'Z'Z L)^-1 L', (J, k, k) a factor: equation (3).

    J are the levels of the problem, in the factor's order, whatever stands for them.
    """
    out = list[Floats]()
    if forward.links:
        first = forward.links[0]
        M = first.variance()  # its `core` is -H, not M
        if reverse.inner_first is not None:
            RM = levelwise.times(first.root, M)
            M = M + levelwise.transposed_times(RM, levelwise.times(reverse.inner_first, RM))
        out = [block.transpose(2, 0, 1) for block in (M, *reverse.sigma)]
        half, unseen = layout.chain[0].half, layout.chain[0].unseen
        if half is not None and unseen is not None:
            out[0] = np.einsum("jr,jr,rab->jab", half, half, out[0]) + unseen[:, None, None] * first.own
    if isinstance(forward.rest, SparseRest):
        out += [_spread(forward.rest, position, factor) for position, factor in enumerate(layout.rest)]
    elif forward.rest is not None:
        E = DenseInverse(forward.rest, layout).E
        for position, factor in enumerate(layout.rest):
            columns = layout.columns(position)
            block = E[columns, columns].reshape(factor.levels, factor.width, factor.levels, factor.width)
            if factor.half is None:
                out.append(np.einsum("jajb->jab", block))
            else:
                right = np.tensordot(block, factor.half, axes=(2, 1))  # r, a, b, j
                out.append(np.einsum("jr,rabj->jab", factor.half, right))
    return out


def _spread(rest: SparseRest, position: int, factor: Factor) -> Floats:
    """(J, k, k) of one factor of a sparse rest."""
    if factor.half is None:
        return rest.blocks(position)
    k, columns = factor.width, rest.products.spans[position][0]
    right = np.zeros((len(rest.fixed), len(factor.half) * k))
    right[columns] = np.kron(factor.half.T, np.eye(k))
    E = rest.times(right)[columns].reshape(factor.levels, k, -1, k)  # E A'
    return np.einsum("jr,rajb->jab", factor.half, E)


class ReverseSweep:
    """What later factors leave for earlier ones, for the derivative K of the deviance in F, (q, q)."""

    def __init__(self, forward: Forward, layout: Layout, K: Floats) -> None:
        self.forward, self.layout, self.K = forward, layout, K
        self.inverse = None if forward.rest is None else rest_inverse(forward.rest, layout)
        self.dense = self.inverse if isinstance(self.inverse, DenseInverse) else None
        self.X: dict[int, Floats] = {}  # X~_f = -T_f U_f, (k, q, J)
        self.sigma: dict[tuple[int, int], Floats] = {}  # Sigma_fg by level of f, f <= g
        self.sigma_rest: dict[int, Floats] = {}  # Sigma_fR, (k, J, q2)
        self.X_rest: Floats | None = None
        self.inner_first: Floats | None = None

    def run(self) -> Reverse:
        """D and U of every factor."""
        D_rest, U_rest = self._rest()
        pairs = [self._link(f) for f in reversed(range(len(self.forward.links)))][::-1]
        return Reverse(
            [D for D, _ in pairs] + D_rest,
            [U for _, U in pairs] + U_rest,
            [self.sigma[f, f] for f in range(1, len(pairs))],
            self.inner_first,
        )

    def _rest(self) -> tuple[list[Floats], list[Floats]]:
        """(5), the rest."""
        rest, inverse = self.forward.rest, self.inverse
        if rest is None or inverse is None:
            return [], []
        if isinstance(rest, SparseRest):  # beside it no factor stands in the chain
            U = rest.scores
        else:
            self.X_rest = -inverse.times(rest.fixed)
            U = rest.fixed + rest.cross_times(self.X_rest)
        D = list[Floats]()
        for position, factor in enumerate(self.layout.rest):
            blocks = U[self.layout.columns(position)].reshape(factor.levels, factor.width, -1)
            own = blocks.transpose(1, 2, 0)
            D.append(inverse.trace(position) - _weighted(own, self.K, factor.related(own)))
        return D, [U]

    def _link(self, f: int) -> tuple[Floats, Floats]:
        """(1) and (4) of one chain factor; leaves what the earlier ones need."""
        link = self.forward.links[f]
        U = levelwise.times(link.lift, self._right_hand_side(f, link))
        D = levelwise.summed(link.W, link.W) - _weighted(U, self.K)
        inner = self._inner(f, link)
        if f == 0:
            self.inner_first = inner
        if inner is not None:
            lifted = levelwise.times(link.lift, inner)
            D -= lifted.reshape(len(D), -1) @ link.lift.reshape(len(D), -1).T
        if f > 0:
            self.X[f] = -levelwise.constant_times(link.own, U)
            self.sigma[f, f] = link.core
            if inner is not None:
                self.sigma[f, f] = link.core + levelwise.times(levelwise.times(link.core, inner), link.core)
        return D, U

    def _right_hand_side(self, f: int, link: Eliminated) -> Floats:
        """B_fx + sum_v B_fv X~_v of (1)."""
        total = link.fixed
        for g, block in link.between.items():
            total = total + levelwise.times(block, self.X[g][:, :, self.layout.parents[f, g]])
        if link.coupling is not None and self.X_rest is not None:
            total = total + link.coupling.times(self.X_rest)
        return total

    def _inner(self, f: int, link: Eliminated) -> Floats | None:
        """(3), (k, k, J); leaves Sigma_fg, (2), when an earlier factor will ask."""
        total: Floats | None = None
        for g, block in link.between.items():
            Y = self.product(f, g, link)
            total = levelwise.times_transposed(Y, block) + (0.0 if total is None else total)
            if f > 0:
                self.sigma[f, g] = -levelwise.times(link.core, Y)
        if link.coupling is not None:
            part = self._inner_rest(f, link)
            total = part if total is None else total + part
        return total

    def product(self, f: int, g: int, link: Eliminated) -> Floats:
        """Y_fg of (2), (k_f, k_g, J_f); Sigma is symmetric, so only its blocks with f <= g are kept."""
        parents = self.layout.parents
        total = np.zeros((len(link.L), *link.between[g].shape[1:]))
        for h, block in link.between.items():
            if h <= g:
                total += levelwise.times(block, self.sigma[h, g][:, :, parents[f, h]])
            else:
                total += levelwise.times_transposed(block, self.sigma[g, h][:, :, parents[f, g]])
        if link.coupling is not None:
            total += _against(link.coupling, self.sigma_rest[g], parents[f, g])
        return total

    def _inner_rest(self, f: int, link: Eliminated) -> Floats:
        """The terms of the inner sum with the rest; leaves Sigma_fR."""
        B, dense = link.coupling, self.dense
        assert B is not None
        assert dense is not None
        total = B.quadratic(dense.E)
        for g, block in link.between.items():
            cross = _against(B, self.sigma_rest[g], self.layout.parents[f, g])
            total = total + levelwise.times_transposed(block, cross)
        if f > 0:
            assert isinstance(B, Dense)
            Y = B.values @ dense.E
            for g, block in link.between.items():
                Y += np.einsum("abj,bjc->ajc", block, self.sigma_rest[g][:, self.layout.parents[f, g]])
            self.sigma_rest[f] = -np.einsum("abj,bjc->ajc", link.core, Y)
        return total


def _against(B: Dense | Sparse, sigma: Floats, parent: Ints) -> Floats:
    """sum_c B_fR[c] Sigma_gR[c]' by level of f: (k_f, k_g, J_f)."""
    if isinstance(B, Dense):
        return np.einsum("ajc,bjc->abj", B.values, sigma[:, parent])
    values = sigma[:, parent[B.level], B.column]
    products = B.values[:, None] * values[None]
    return np.array([[np.bincount(B.level, v, B.levels) for v in row] for row in products], dtype=np.float64)


def _weighted(U: Floats, K: Floats, right: Floats | None = None) -> Floats:
    """sum_j U_j K R_j', (k, k), for right hand blocks R, or U itself."""
    k, q, J = U.shape
    stacked = U.reshape(k * q, J)
    gram = (stacked @ (stacked if right is None else right.reshape(k * q, J)).T).reshape(k, q, k, q)
    return np.einsum("apbq,pq->ab", gram, K)


class RowEffects(RandomRows):
    """(6) to (8) at one evaluation."""

    def __init__(self, forward: Forward, sweep: ReverseSweep, reverse: Reverse, K: Floats) -> None:
        self.forward, self.sweep, self.reverse, self.K = forward, sweep, reverse, K

    @cached_property
    def X(self) -> list[Floats]:
        """X~ of each chain factor, (k, q, J)."""
        out = list[Floats]()
        for f, link in enumerate(self.forward.links):
            out.append(self.sweep.X[f] if f else -levelwise.constant_times(link.own, self.reverse.U[0]))
        return out

    @cached_property
    def _lift(self) -> Floats:
        """(k, k, J) M R' of the first factor."""
        first = self.forward.links[0]
        return levelwise.times_transposed(first.variance(), first.root)

    @cached_property
    def sigma(self) -> dict[tuple[int, int], Floats]:
        """Sigma_fg of the chain, f <= g, (k_f, k_g, J_f)."""
        out = dict(self.sweep.sigma)
        if self.forward.links:
            first, lift, inner = self.forward.links[0], self._lift, self.sweep.inner_first
            own = first.variance()
            if inner is not None:
                own = own + levelwise.times(levelwise.times(lift, inner), lift.transpose(1, 0, 2))
            out[0, 0] = own
            for g in first.between:
                out[0, g] = -levelwise.times(lift, self.sweep.product(0, g, first))
        return out

    def scores(self, prepared: Prepared, layout: Layout) -> Floats:
        """(6); made once, for the rows of one source at this point."""
        if not self._scores:
            self._scores.append(self._made_scores(prepared, layout))
        return self._scores[0]

    @cached_property
    def _scores(self) -> list[Floats]:
        """At most one."""
        return []

    def _made_scores(self, prepared: Prepared, layout: Layout) -> Floats:
        s = prepared.rows[[*prepared.fixed, prepared.response]]
        for factor, X in zip(layout.chain, self.X, strict=True):
            for row, part in zip(factor.rows, X, strict=True):
                s += part[:, factor.codes] * prepared.rows[row]
        if layout.rest and self.sweep.X_rest is not None:
            s += (rest_columns(prepared, layout) @ self.sweep.X_rest).T
        return s

    def pulls(self, prepared: Prepared, layout: Layout, s: Floats) -> Iterator[tuple[slice | None, Floats]]:
        """(7) and (8)."""
        Ks, rows, out = self.K @ s, prepared.rows, np.zeros_like(prepared.rows)
        out[[*prepared.fixed, prepared.response]] += Ks
        chain = [[rows[row] for row in factor.rows] for factor in layout.chain]
        for f, factor in enumerate(layout.chain):
            for a, row in enumerate(factor.rows):
                out[row] += np.einsum("qn,qn->n", self.X[f][a][:, factor.codes], Ks)
        for (f, g), block in self.sigma.items():
            codes = layout.chain[f].codes
            for a, row in enumerate(layout.chain[f].rows):
                for b, other in enumerate(layout.chain[g].rows):
                    value = block[a, b][codes]
                    out[row] += value * chain[g][b]
                    if f != g:
                        out[other] += value * chain[f][a]
        if layout.rest:
            yield from self._rest(prepared, layout, Ks, out)
        out *= 2.0
        yield None, out

    def _rest(
        self, prepared: Prepared, layout: Layout, Ks: Floats, out: Floats
    ) -> Iterator[tuple[slice | None, Floats]]:
        """The same for the rest, some columns at a time; adds to `out` what the chain has of it."""
        dense, X_rest = self.sweep.dense, self.sweep.X_rest
        assert dense is not None
        assert X_rest is not None
        Z, rows = rest_columns(prepared, layout), prepared.rows
        longest = max(len(Ks.T), *(factor.levels * factor.width for factor in layout.chain), 1)
        width = max(1, STRIP // longest)
        for begin in range(0, layout.size, width):
            here = slice(begin, min(begin + width, layout.size))
            mine = (Z @ dense.E[:, here]).T + X_rest[here] @ Ks
            values = Z[:, here].toarray()
            for f, factor in enumerate(layout.chain):
                for row, block in zip(factor.rows, self._with_rest(f, here), strict=True):
                    there = block[factor.codes]  # (n, m)
                    mine += there.T * rows[row]
                    out[row] += np.einsum("nm,nm->n", there, values)
            yield here, 2.0 * mine

    def _with_rest(self, f: int, here: slice) -> Floats:
        """(k, J, m) Sigma_fR of some columns."""
        sweep = self.sweep
        if f:
            return sweep.sigma_rest[f][:, :, here]
        first = self.forward.links[0]
        assert sweep.dense is not None
        assert first.coupling is not None
        Y = first.coupling.times(np.ascontiguousarray(sweep.dense.E[:, here]))  # (k, m, J)
        for h, block in first.between.items():
            later = sweep.sigma_rest[h][:, sweep.layout.parents[0, h], here]
            Y = Y + np.einsum("abj,bjm->amj", block, later)
        return -levelwise.times(self._lift, Y).transpose(0, 2, 1)
