"""Starting values: the exact MIVQUE0 equations, from cross-products alone.

With Q = I - X (X'X)^-1 X' and V = s2 I + sum_i s_i V_i the equations

    sum_j tr(Q V_i Q V_j) s_j + tr(Q V_i) s2 = y'Q V_i Q y
    sum_j tr(Q V_j) s_j + (n - p) s2         = y'Qy

are linear (Rao 1971; Searle, Casella & McCulloch 1992, chapter 11). On balanced data they are solved by the
REML estimate itself. Levels that a pedigree relates are taken as independent here.
"""

from __future__ import annotations

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.crossproducts.crossproducts import Moments
from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.crossproducts.sparse_products import SparseProducts
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.linalg.cross_blocks import Dense

EXACT = 1e-24  # share of the response's sum of squares below which what is left of it is rounding
WIDEST = 30  # columns of a factor up to which the equations are made, of its fourth power of numbers
SHARE = 0.1  # of the response's variance: where neither equations nor rows tell of a residual variance


class _RawSums:
    """Every factor's raw cross-products in one form, whether it stands in the chain or in the rest."""

    def __init__(self, moments: Moments, layout: Layout) -> None:
        self.moments, self.layout = moments, layout
        self.own = [*moments.own]
        fixed = [*moments.fixed]
        for position, factor in enumerate(layout.rest):
            columns = layout.columns(position)
            fixed.append(
                moments.rest_fixed[columns].reshape(factor.levels, factor.width, -1).transpose(1, 2, 0)
            )
            if isinstance(moments.rest, SparseProducts):
                self.own.append(moments.rest.own(moments.rest.S, position).transpose(1, 2, 0))
                continue
            block = moments.rest[columns, columns].reshape(factor.levels, factor.width, factor.levels, -1)
            self.own.append(np.einsum("jajb->abj", block))
        p = len(moments.total) - 1
        root = np.linalg.cholesky(moments.total[:p, :p]).astype(np.float64, copy=False)
        self.y = [block[:, p] for block in fixed]
        self.x = [self._white(root, block[:, :p]) for block in fixed]

    @staticmethod
    def _white(root: Floats, block: Floats) -> Floats:
        """Z'X in the basis in which X'X = I, (k, p, J)."""
        k, p, J = block.shape
        rows = block.transpose(1, 0, 2).reshape(p, k * J)
        return levelwise.solved(root, rows).reshape(p, k, J).transpose(1, 0, 2)

    def pairs(self, f: int, g: int) -> tuple[Floats, Ints | slice, Ints | slice]:
        """Z_f'Z_g on the occurring pairs, (k_f, k_g, m), and their levels in f and g."""
        s, everything = len(self.layout.chain), slice(None)
        if f == g and (f < s or self.layout.factors[f].Z is None):
            return self.own[f], everything, everything
        if g < s:
            return self.moments.between[f, g], everything, self.layout.parents[f, g]
        columns = self.layout.columns(g - s)
        width = self.layout.factors[g].width
        if isinstance(self.moments.rest, SparseProducts):
            blocks, i, j = self.moments.rest.blocks(self.moments.rest.S, f, g)
            return blocks.transpose(1, 2, 0), i, j
        if f >= s:
            block = self.moments.rest[self.layout.columns(f - s), columns]
            block = block.reshape(self.layout.factors[f].levels, self.layout.factors[f].width, -1, width)
            i, j = np.nonzero((block != 0).any(axis=(1, 3)))
            return block[i, :, j].transpose(1, 2, 0), i, j
        coupling = self.moments.coupling[f]
        if isinstance(coupling, Dense):
            block = coupling.values[:, :, columns]
            block = block.reshape(*block.shape[:2], -1, width)
            i, j = np.nonzero((block != 0).any(axis=(0, 3)))
            return block[:, i, j].transpose(0, 2, 1), i, j
        assert coupling is not None
        here = np.flatnonzero((coupling.column >= columns.start) & (coupling.column < columns.stop))
        values = coupling.values[:, here].reshape(len(coupling.values), -1, width)
        first = here[::width]
        return (
            values.transpose(0, 2, 1),
            coupling.level[first],
            (coupling.column[first] - columns.start) // width,
        )


def _quartic(blocks: _RawSums, f: int, g: int) -> Floats:
    """[a, b, c, d]: sum over levels j of f, l of g of (Z_fa'QZ_gc)_jl (Z_fb'QZ_gd)_jl."""
    A, i, j = blocks.pairs(f, g)
    kf, kg, m = A.shape
    plain = A.reshape(-1, m)
    shared = np.einsum("bpm,dpm->bdm", blocks.x[f][:, :, i], blocks.x[g][:, :, j]).reshape(-1, m)
    cross = plain @ shared.T
    both = (plain @ plain.T - cross - cross.T).reshape(kf, kg, kf, kg).transpose(0, 2, 1, 3)
    return both + np.einsum("abpq,cdpq->abcd", _spread(blocks.x[f]), _spread(blocks.x[g]))


def _spread(x: Floats) -> Floats:
    """[a, b]: sum_j x_aj x_bj', (k, k, p, p)."""
    k, p, J = x.shape
    rows = x.reshape(k * p, J)
    return (rows @ rows.T).reshape(k, p, k, p).transpose(0, 2, 1, 3)


def equations(moments: Moments, layout: Layout, rows: int) -> tuple[Floats, Floats]:
    """The MIVQUE0 equations in the entries of every T, and s2 last."""
    blocks, total = _RawSums(moments, layout), moments.total
    E = [factor.structure.span for factor in layout.factors]
    ends = np.cumsum([len(e) for e in E])
    m = int(ends[-1])
    A, b = np.zeros((m + 1, m + 1)), np.zeros(m + 1)
    A[m, m], b[m] = rows - (len(total) - 1), total[-1, -1]
    for f, end in enumerate(ends):
        mine = slice(end - len(E[f]), end)
        trace = blocks.own[f].sum(2) - np.einsum("apj,bpj->ab", blocks.x[f], blocks.x[f])
        b[mine] = np.einsum("iab,ab->i", E[f], blocks.y[f] @ blocks.y[f].T)
        A[mine, m] = A[m, mine] = np.einsum("iab,ab->i", E[f], trace)
        for g in range(f, len(E)):
            other = slice(ends[g] - len(E[g]), ends[g])
            quartic = _quartic(blocks, f, g).reshape(E[f][0].size, E[g][0].size)
            A[mine, other] = E[f].reshape(len(E[f]), -1) @ quartic @ E[g].reshape(len(E[g]), -1).T
            A[other, mine] = A[mine, other].T
    return A, b


def scales(moments: Moments, layout: Layout) -> list[Floats]:
    """(k,) root of the mean of each column's diagonal of Z'Z, factor by factor."""
    own = [np.sqrt(np.einsum("aaj->a", block) / block.shape[2]) for block in moments.own]
    for position, factor in enumerate(layout.rest):
        diagonal = moments.rest.diagonal()[layout.columns(position)]
        own.append(np.sqrt(diagonal.reshape(-1, factor.width).mean(0)))
    return own


def used_up(R: Floats) -> int:
    """Rank of the first factor's columns, from their roots R (k, k, J)."""
    return int(np.count_nonzero(np.einsum("aaj->aj", R)))


def free_within(R: Floats, p: int, rows: int) -> int:
    """Rows that the first factor, of roots R, and p columns of X leave over, at least 1.

    Over it the squares within the levels are a residual variance, too large by the other factors' shares.
    """
    return max(rows - used_up(R) - p, 1)


def moment_start(moments: Moments, absorbed: Moments, layout: Layout, rows: int, floor: float) -> Floats:
    """Theta to start from.

    Args:
        moments: Raw cross-products.
        absorbed: The same with the first factor absorbed.
        layout: Chain and rest.
        rows: n.
        floor: Least variance, see `Structure.start`.
    """
    if max(factor.width for factor in layout.factors) > WIDEST:
        pairs = zip(layout.factors, scales(moments, layout), strict=True)
        return np.concatenate([f.structure.start(np.diag(s**-2.0), s, floor) for f, s in pairs])
    solved = levelwise.least_solved(*equations(moments, layout, rows))
    s2 = _residual_start(solved[-1], moments, absorbed, rows)
    return start_of(solved, s2, layout, scales(moments, layout), floor)


def _residual_start(solved: Floats, moments: Moments, absorbed: Moments, rows: int) -> Floats:
    """s2 of the moment equations, but no more than the rows within the first factor's levels have, if any."""
    total, whole = absorbed.total, moments.total[-1, -1] / rows
    if not absorbed.own:  # nothing is absorbed
        return solved if solved > 0 else SHARE * whole
    explained = total[-1, :-1] @ levelwise.least_solved(total[:-1, :-1], total[:-1, -1])
    within = (total[-1, -1] - explained) / free_within(absorbed.own[0], len(total) - 1, rows)
    if within <= EXACT * whole:
        return solved if solved > 0 else SHARE * whole
    return np.minimum(solved, within) if solved > 0 else within


def start_of(solved: Floats, s2: Floats, layout: Layout, scale: list[Floats], floor: float) -> Floats:
    """Theta, (m,) or (m, r), of the solved equations, in units of a residual variance s2."""
    out, at = list[Floats](), 0
    for factor, s in zip(layout.factors, scale, strict=True):
        E = factor.structure.span
        with np.errstate(all="ignore"):
            T = np.einsum("i...,iab->ab...", solved[at : at + len(E)], E) / s2
        out.append(factor.structure.start(np.nan_to_num(T, posinf=0.0, neginf=0.0), s, floor))
        at += len(E)
    return np.concatenate(out)
