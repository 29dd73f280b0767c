"""Several covariance structures side by side: the terms of one grouping factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.structures import Growth, Structure, Thinner

Part = tuple[tuple[int, ...], Structure]  # some columns in the order of their coordinates, and T of them


class _Block(NamedTuple):
    """A part: its structure, its columns, its place in a (k, k) matrix, its coordinates."""

    structure: Structure
    columns: list[int]
    here: tuple[Ints, ...]
    cut: slice


@dataclass(frozen=True)
class BlockDiagonal:
    """The relative covariance matrix T (k, k) of one factor: blocks, and zero between them.

    Every method is the structures' own (see `Structure`), put together.
    """

    width: int
    parts: tuple[Part, ...]

    @cached_property
    def blocks(self) -> tuple[_Block, ...]:
        """The parts with their places."""
        cuts = pairwise(accumulate((structure.count for _, structure in self.parts), initial=0))
        return tuple(
            _Block(structure, list(columns), np.ix_(columns, columns), slice(*cut))
            for (columns, structure), cut in zip(self.parts, cuts, strict=True)
        )

    @property
    def count(self) -> int:
        """m, the number of coordinates."""
        return self.blocks[-1].cut.stop

    @property
    def cones(self) -> tuple[tuple[int, ...], ...]:
        """Column sets on which T may be any positive semidefinite matrix, zero between them."""
        return tuple(tuple(columns[c] for c in cone) for columns, s in self.parts for cone in s.cones)

    @cached_property
    def span(self) -> Floats:
        """(q, k, k) symmetric matrices of which every T is a combination."""
        return np.concatenate([self._embedded(b, b.structure.span) for b in self.blocks])

    @property
    def nonnegative(self) -> NDArray[np.bool_]:
        """(m,) coordinates that may be held at or above zero and leave no member out."""
        return np.concatenate([structure.nonnegative for _, structure in self.parts])

    @property
    def bounded(self) -> NDArray[np.bool_]:
        """(m,) coordinates that must be held there."""
        return np.concatenate([structure.bounded for _, structure in self.parts])

    def start(self, T: Floats, scale: Floats, floor: float) -> Floats:
        """Returns coordinates near T."""
        return np.concatenate([s.start(T[here], scale[c], floor) for s, c, here, _ in self.blocks])

    def root(self, x: Floats) -> Floats:
        """Returns L (k, k)."""
        return self._assembled([b.structure.root(x[b.cut]) for b in self.blocks])

    def coordinates(self, L: Floats) -> Floats:
        """Returns x of a root."""
        return np.concatenate([b.structure.coordinates(L[b.here]) for b in self.blocks])

    def root_of(self, A: Floats) -> Floats:
        """Returns the triangular roots of the blocks of A A' for (k, q) A."""
        return self._assembled([b.structure.root_of(A[b.columns]) for b in self.blocks])

    def jacobian(self, x: Floats) -> Floats:
        """Returns (m, k, k) dT / dx_i."""
        return np.concatenate([self._embedded(b, b.structure.jacobian(x[b.cut])) for b in self.blocks])

    def gradient(self, x: Floats, D: Floats) -> Floats:
        """Returns (m,) <D, dT / dx_i>."""
        return np.concatenate([b.structure.gradient(x[b.cut], D[b.here]) for b in self.blocks])

    def curvature(self, x: Floats, D: Floats) -> Floats:
        """Returns (m, m) sum_ab D_ab d2T_ab / dx_i dx_j."""
        out = np.zeros((self.count, self.count, *x.shape[1:]))
        for structure, _, here, cut in self.blocks:
            out[cut, cut] = structure.curvature(x[cut], D[here])
        return out

    def working(self, x: Floats, c: Floats) -> Floats:
        """Returns (k, m, J) dT_i c for (k, J) c."""
        out = np.zeros((self.width, self.count, *c.shape[1:]))
        for structure, columns, _, cut in self.blocks:
            out[columns, cut] = structure.working(x[cut], c[columns])
        return out

    def null(self, x: Floats) -> NDArray[np.bool_]:
        """Returns (m,) the coordinates that do not vary while the null directions of T stay null."""
        return np.concatenate([b.structure.null(x[b.cut]) for b in self.blocks])

    def em(self, L: Floats, D: Floats, levels: int) -> Floats:
        """Returns L after one ECME step."""
        return self._assembled([b.structure.em(L[b.here], D[b.here], levels) for b in self.blocks])

    @property
    def has_em(self) -> bool:
        """Whether every part has a step of ECME."""
        return all(structure.has_em for _, structure in self.parts)

    def imbalance(self, L: Floats, D: Floats) -> float:
        """Returns what is zero at an optimum."""
        return max(b.structure.imbalance(L[b.here], D[b.here]) for b in self.blocks)

    def tangent(self, x: Floats) -> Floats:
        """Returns (q, k, k) directions of T at a member, none of them zero where T is singular."""
        return np.concatenate([self._embedded(b, b.structure.tangent(x[b.cut])) for b in self.blocks])

    def trials(self, x: Floats) -> list[Floats]:
        """Returns other coordinates that a search may start from, one part moved in each."""
        out = list[Floats]()
        for structure, _, _, cut in self.blocks:
            for moved in structure.trials(x[cut]):
                out.append(x.copy())
                out[-1][cut] = moved
        return out

    def growths(self, L: Floats, D: Floats, scale: Floats) -> list[Growth]:
        """Returns the steepest way in which each part of T may grow that may vanish by itself."""
        return [
            Growth(slope, self._rows(columns, rows))
            for structure, columns, here, _ in self.blocks
            for slope, rows in structure.growths(L[here], D[here], scale[columns])
        ]

    def growths_from_null(self, L: Floats, D: Floats, scale: Floats, null: float) -> list[Growth]:
        """Returns the steepest way within the null space of each part of T that has one."""
        return [
            Growth(slope, self._rows(columns, rows))
            for structure, columns, here, _ in self.blocks
            for slope, rows in structure.growths_from_null(L[here], D[here], scale[columns], null)
        ]

    def grown(self, L: Floats, rows: Floats, size: float) -> Floats:
        """Returns the root of T grown in the part that rows are of."""
        out = L.copy()
        for structure, columns, here, _ in self.blocks:
            if rows[columns].any():
                out[here] = structure.grown(L[here], rows[columns], size)
        return out

    def thinner(self, L: Floats, scale: Floats) -> list[Thinner]:
        """Returns T without its weakest direction, for each part that may vanish by itself."""
        out = list[Thinner]()
        for structure, columns, here, _ in self.blocks:
            for value, back, left in structure.thinner(L[here], scale[columns]):
                whole, way = L.copy(), np.zeros_like(L)
                whole[here], way[here] = left, back
                out.append(Thinner(value, way, whole))
        return out

    def _assembled(self, matrices: Sequence[Floats]) -> Floats:
        """(k, k) from the matrix of each block."""
        out = np.zeros((self.width, self.width, *matrices[0].shape[2:]))
        for block, matrix in zip(self.blocks, matrices, strict=True):
            out[block.here] = matrix
        return out

    def _embedded(self, block: _Block, matrices: Floats) -> Floats:
        """(m, k, k) from the (m, k_b, k_b) of one block."""
        out = np.zeros((len(matrices), self.width, self.width, *matrices.shape[3:]))
        out[(slice(None), *block.here)] = matrices
        return out

    def _rows(self, columns: list[int], rows: Floats) -> Floats:
        """(k, q) from the (k_b, q) of one block."""
        out = np.zeros((self.width, *rows.shape[1:]))
        out[columns] = rows
        return out


FactorStructure = Structure | BlockDiagonal


def by_falling_variance(structure: FactorStructure, L: Floats, scale: Floats) -> BlockDiagonal:
    """Returns the same with the columns of each block that bears any change in that order.

    A leading pivot near zero is a flat circle of the triangular coordinates, on which a search crawls.
    """
    size = (L**2).sum(1) * scale**2
    parts = structure.parts if isinstance(structure, BlockDiagonal) else ((tuple(range(len(L))), structure),)
    return BlockDiagonal(
        len(L),
        tuple(
            (tuple(sorted(columns, key=lambda c: -size[c])) if s.closed == "any" else columns, s)
            for columns, s in parts
        ),
    )
