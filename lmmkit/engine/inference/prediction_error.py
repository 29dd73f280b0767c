"""How far x'β̂ + z'b̂ may be from x'β + z'b: the joint covariance of fixed and random effects.

It is the inverse of Henderson's coefficient matrix, taken for the rows that are asked for and no others, by
pushing them through the elimination; many rows of two crossed factors share the parts of it that they need.
With M = (Z'Z + T^-1)^-1 a row's z'Mz is a sum over the factors in order of elimination: at its level of
factor f the row adds z_f'M_f z_f and leaves -B_fg'M_f z_f with its level of each later factor g, whose own
part of the row it meets there; the dense rest closes the sum. The fixed effects add d'(X'V^-1X)^-1 d with
d = x - X'Z M z.

Reference: Henderson (1975), Best linear unbiased estimation and prediction under a selection model,
Biometrics 31, 423-447.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.linalg.lapack import dtrtrs
from scipy.sparse import csr_array

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.criterion.elimination import Rest, scaled_rows, transposed
from lmmkit.engine.criterion.gradient import DenseInverse
from lmmkit.engine.criterion.sparse_rest import SparseRest
from lmmkit.engine.crossproducts.crossproducts import Coupling
from lmmkit.engine.inference.traces import scores
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.linalg.cross_blocks import Dense, counting_argsort
from lmmkit.engine.optimum import Optimum

CELLS = 4_000_000  # of a chunk of rows by the columns of the rest
SLAB = 1_000  # levels whose rows of B E are held at a time


@dataclass(frozen=True, eq=False)
class Slot:
    """What some rows have with one level each of a factor: levels (m,), values (m, k)."""

    level: Ints
    values: Floats


def own_part(optimum: Optimum, f: int, Z: Sequence[Floats], codes: Sequence[Ints]) -> Slot:
    """What rows have with one factor, by order of elimination, in prepared units.

    Args:
        optimum: The fit.
        f: The factor.
        Z: For each term (m, k) columns in the units of the data.
        codes: For each term (m,) levels, from 0 up.
    """
    factor = optimum.layout.factors[f]
    rank = np.empty(len(factor.order), dtype=np.intp)
    rank[factor.order] = np.arange(len(factor.order))
    parts = [Z[piece.term] @ optimum.prepared.term_bases[piece.term] for piece in factor.pieces]
    return Slot(rank[codes[factor.pieces[0].term]], np.hstack(parts))


class PredictionError:
    """The joint covariance of fixed and random effects about one optimum, in units of sigma^2."""

    def __init__(self, optimum: Optimum) -> None:
        self.optimum, self.layout = optimum, optimum.layout
        self.state, self.prepared = optimum.state, optimum.prepared
        self.links, self.rest = self.state.forward.links, self.state.forward.rest
        self.M = [link.core if f else link.variance() for f, link in enumerate(self.links)]

    def variance(self, X: Floats, Z: tuple[Floats, ...], codes: tuple[Ints, ...]) -> Floats:
        """var(x'β̂ + z'b̂ - x'β - z'b) / sigma^2 of each row, (m,).

        Args:
            X: (m, p) kept columns of X, in the units of the data.
            Z: For each term (m, k) columns; zeros where a row has no level with data.
            codes: For each term (m,) levels, from 0 up.
        """
        if isinstance(self.rest, SparseRest) and self._single:
            return self._of_sparse(self.rest, X, Z, codes)
        out = np.empty(len(X))
        by_level = self.rest is not None and len(self.links) == 1 and self._single
        if by_level and len(X) > self.layout.size:
            for part, first, BE in self._by_level(Z, codes):
                own = self._own([z[part] for z in Z], [c[part] for c in codes])
                z, at = own[0].values, own[0].level
                met = np.einsum("ma,abm,mb->m", z, self.M[0][:, :, at], z)
                out[part] = met + self._squared(own, first, BE) + self._fixed(X[part], own)
            return out
        size = max(CELLS // max(self.layout.size, 64), 1)
        for first in range(0, len(X), size):
            part = slice(first, first + size)
            z, levels = tuple(each[part] for each in Z), tuple(each[part] for each in codes)
            out[part] = self.of_functions(X[part], z, levels, np.arange(len(X[part])))
        return out

    def of_functions(
        self, X: Floats, Z: tuple[Floats, ...], codes: tuple[Ints, ...], function: Ints
    ) -> Floats:
        """var(x'β̂ + m'b̂ - x'β - m'b) / sigma^2 of functions with several levels of a factor, (r,).

        Args:
            X: (r, p) kept columns of X.
            Z: For each term (e, k) parts of the functions, each at one level of each factor.
            codes: For each term (e,) levels, from 0 up.
            function: (e,) the function that a part belongs to.
        """
        own, chain, r = self._own(list(Z), list(codes)), len(self.links), len(X)
        d = X @ self.prepared.basis
        for f, slot in enumerate(own):
            np.subtract.at(d, function, self._shrunk(f, slot))
        fixed = np.einsum("mp,pm->m", d, levelwise.solved(self.state.XVX, d.T))
        if self._rotated:
            return fixed + self._of_rotated(own[0], function, r)
        met = [[(function, slot)] for slot in own[:chain]]
        scattered, total = self._scattered(own[chain:], len(function)), np.zeros(r)
        dense = np.zeros((r, self.layout.size))
        np.add.at(dense, function, scattered)
        for f, link in enumerate(self.links):
            who, slot = _merged(met[f], self.layout.factors[f].levels)
            Mv = np.einsum("abm,mb->ma", self.M[f][:, :, slot.level], slot.values)
            total += np.bincount(who, np.einsum("ma,ma->m", Mv, slot.values), r)
            w = self._left(f, slot)
            for g, block in link.between.items():
                left = -np.einsum("abm,am->mb", block[:, :, slot.level], w)
                met[g].append((who, Slot(self.layout.parents[f, g][slot.level], left)))
            if link.coupling is not None:
                np.subtract.at(dense, who, _gathered(link.coupling, slot.level, w))
        return total + self._of_rest(dense) + fixed

    def _own(self, Z: list[Floats], codes: list[Ints]) -> list[Slot]:
        """The rows' own part with each factor."""
        return [own_part(self.optimum, f, Z, codes) for f in range(len(self.layout.factors))]

    def _left(self, f: int, slot: Slot) -> Floats:
        """(k, m) M_f z_f, in the units of the coupling."""
        w = np.einsum("abm,mb->am", self.M[f][:, :, slot.level], slot.values)
        return levelwise.times(self.links[0].root[:, :, slot.level], w[:, None])[:, 0] if f == 0 else w

    def _fixed(self, X: Floats, own: list[Slot]) -> Floats:
        """(m,) d'(X'V^-1X)^-1 d."""
        d = X @ self.prepared.basis
        for f, slot in enumerate(own):
            d -= self._shrunk(f, slot)
        return np.einsum("mp,pm->m", d, levelwise.solved(self.state.XVX, d.T))

    @cached_property
    def _E(self) -> Floats:
        """(q2, q2) of the rest."""
        assert isinstance(self.rest, Rest)
        return DenseInverse(self.rest, self.layout).E

    def _by_level(self, Z: tuple[Floats, ...], codes: tuple[Ints, ...]) -> Iterator[tuple[Ints, int, Floats]]:
        """Rows whose levels of the one chain factor are in a slab, its first level, and B E of the slab."""
        coupling, J = self.links[0].coupling, self.layout.chain[0].levels
        assert coupling is not None
        level = own_part(self.optimum, 0, Z, codes).level
        order = counting_argsort(level, J)
        ends = np.searchsorted(level[order], np.arange(0, J + SLAB, SLAB))
        for slab, (begin, end) in enumerate(pairwise(ends)):
            if begin < end:
                first = slab * SLAB
                yield order[begin:end], first, coupling.rows(first, min(first + SLAB, J), self._E)

    def _squared(self, own: list[Slot], first: int, BE: Floats) -> Floats:
        """(m,) v'E v for v = z - B'w: z of the rest, w of the row's level."""
        w, at, inner = self._left(0, own[0]), own[0].level, self.state.reverse.inner_first
        assert inner is not None
        total, entries = np.einsum("am,abm,bm->m", w, inner[:, :, at], w), list(self._entries(own[1:]))
        for column, value in entries:
            total -= 2.0 * value * np.einsum("am,am->m", w, BE[:, at - first, column])
            for other, weight in entries:
                total += value * weight * self._E[column, other]
        return total

    def _entries(self, own: list[Slot]) -> Iterator[tuple[Ints, Floats]]:
        """Column of the rest and value of each of the rows' own entries there."""
        for slot, factor, offset in zip(own, self.layout.rest, self.layout.offsets, strict=True):
            for c in range(factor.width):
                yield offset + slot.level * factor.width + c, slot.values[:, c]

    @cached_property
    def _scores(self) -> list[Floats]:
        """(k, p, J) K Z'V^-1 X of each factor."""
        factors = enumerate(self.layout.factors)
        return [factor.spread(scores(self.layout, self.state, f)) for f, factor in factors]

    @property
    def _single(self) -> bool:
        """Whether each level of the problem is one of the criterion's."""
        return all(factor.half is None for factor in self.layout.factors)

    @property
    def _rotated(self) -> bool:
        """Whether the levels of the one factor stand rotated in the chain."""
        return len(self.layout.chain) == 1 and self.layout.chain[0].half is not None

    def _of_rotated(self, own: Slot, function: Ints, r: int) -> Floats:
        """(r,) z'M z of functions of the levels of that factor: M = half M half' + T (K - half half')."""
        factor, T = self.layout.chain[0], float(self.links[0].own[0, 0])
        relation, half = factor.relation, factor.half
        assert relation is not None
        assert half is not None
        out = np.empty(r)
        size = max(CELLS // relation.levels, 1)
        for first in range(0, r, size):
            mine = (function >= first) & (function < first + size)
            z = np.zeros((min(size, r - first), relation.levels))
            np.add.at(z, (function[mine] - first, own.level[mine]), own.values[mine, 0])
            turned = (z @ half) ** 2
            unseen = np.einsum("mj,jm->m", z, relation.times(z.T)) - turned.sum(axis=1)
            out[first : first + size] = turned @ self.M[0][0, 0] + T * np.maximum(unseen, 0.0)
        return out

    def _of_sparse(
        self, rest: SparseRest, X: Floats, Z: tuple[Floats, ...], codes: tuple[Ints, ...]
    ) -> Floats:
        """(m,) by entries of the selected inverse, or by a solve where it has not all of them."""
        own = self._own(list(Z), list(codes))
        total, known = rest.squared([slot.level for slot in own], [slot.values for slot in own])
        left = np.flatnonzero(~known)
        size = max(CELLS // self.layout.size, 1)
        for first in range(0, len(left), size):
            part = left[first : first + size]
            slots = [Slot(slot.level[part], slot.values[part]) for slot in own]
            total[part] = self._of_rest(self._scattered(slots, len(part)))
        return total + self._fixed(X, own)

    def _shrunk(self, f: int, slot: Slot) -> Floats:
        """(m, p) z'M Z'X of one factor: z'T Z'V^-1 X at the rows' levels."""
        at = self._scores[f][:, :, slot.level]
        T = self.state.L[f] @ self.state.L[f].T
        return np.einsum("mk,kpm->mp", slot.values @ T, at)

    def _scattered(self, own: list[Slot], count: int) -> Floats:
        """(m, q2) the rows' own parts with the rest."""
        out = np.zeros((count, self.layout.size))
        rows = np.arange(count)[:, None]
        for position, (slot, factor) in enumerate(zip(own, self.layout.rest, strict=True)):
            if factor.half is None:
                at = self.layout.offsets[position] + slot.level[:, None] * factor.width
                out[rows, at + np.arange(factor.width)] = slot.values
            else:
                both = factor.half[slot.level][:, :, None] * slot.values[:, None, :]
                out[:, self.layout.columns(position)] = both.reshape(count, -1)
        return out

    def _of_rest(self, dense: Floats) -> Floats:
        """(m,) v'E v of the rows of (m, q2)."""
        if self.rest is None:
            return np.zeros(len(dense))
        if isinstance(self.rest, SparseRest):
            return np.einsum("mq,qm->m", dense, self.rest.times(np.ascontiguousarray(dense.T)))
        turned = scaled_rows(self.layout, transposed(self.rest.L), np.ascontiguousarray(dense.T))
        half = dtrtrs(self.rest.chol, turned, lower=1)[0]
        return np.einsum("qm,qm->m", half, half)


def _merged(met: list[tuple[Ints, Slot]], levels: int) -> tuple[Ints, Slot]:
    """What functions have with the levels of one factor, each level of a function once."""
    keys = np.concatenate([who * levels + slot.level for who, slot in met])
    unique, inverse = np.unique(keys, return_inverse=True)
    parts = np.concatenate([slot.values for _, slot in met])
    values = np.zeros((len(unique), parts.shape[1]))
    np.add.at(values, inverse, parts)
    return unique // levels, Slot(unique % levels, values)


def _gathered(coupling: Coupling, level: Ints, w: Floats) -> Floats:
    """(m, q2) B'w at each row's level."""
    if isinstance(coupling, Dense):
        return np.einsum("am,amc->mc", w, coupling.values[:, level])
    out = np.zeros((len(level), coupling.size))
    for values, weight in zip(coupling.values, w, strict=True):
        B = csr_array((values, coupling.column, coupling.pointer), shape=(coupling.levels, coupling.size))
        out += B[level].toarray() * weight[:, None]
    return out
