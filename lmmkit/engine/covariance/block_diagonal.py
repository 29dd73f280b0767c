"""Several covariance structures side by side: the terms of one grouping factor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.structures import Growth, Structure, Thinner


@dataclass(frozen=True)
class ColumnBlock:
    """The structure of some columns.

    Attributes:
        columns: Its columns among the factor's, in the order in which its coordinates are written.
        structure: What their covariance matrix may be.
    """

    columns: tuple[int, ...]
    structure: Structure

    @cached_property
    def here(self) -> tuple[NDArray[np.intp], ...]:
        """Index of the block in a (k, k) matrix."""
        return np.ix_(self.columns, self.columns)


@dataclass(frozen=True)
class BlockDiagonal:
    """The relative covariance matrix T (k, k) of one factor: blocks, and zero between them.

    Every method is the structures' own (see `Structure`), put together.
    """

    width: int
    parts: tuple[ColumnBlock, ...]

    @cached_property
    def cuts(self) -> tuple[slice, ...]:
        """Each block's coordinates among the factor's."""
        ends = accumulate((part.structure.count for part in self.parts), initial=0)
        return tuple(slice(a, b) for a, b in pairwise(ends))

    @property
    def count(self) -> int:
        """m, the number of coordinates."""
        return self.cuts[-1].stop

    @cached_property
    def cones(self) -> tuple[tuple[int, ...], ...]:
        """Column sets on which T may be any positive semidefinite matrix, zero between them."""
        return tuple(tuple(p.columns[c] for c in cone) for p in self.parts for cone in p.structure.cones)

    @cached_property
    def mask(self) -> Floats:
        """(k, k) one where T may differ from zero."""
        return np.any(self.span != 0.0, axis=0).astype(np.float64)

    @cached_property
    def span(self) -> Floats:
        """(q, k, k) symmetric matrices of which every T is a combination."""
        return np.concatenate([self._embedded(part, part.structure.span) for part in self.parts])

    @property
    def nonnegative(self) -> NDArray[np.bool_]:
        """(m,) coordinates that may be held at or above zero and leave no member out."""
        return np.concatenate([part.structure.nonnegative for part in self.parts])

    def start(self, T: Floats, scale: Floats) -> Floats:
        """Returns coordinates near T, no variance below the floor of a start."""
        return np.concatenate(
            [part.structure.start(T[part.here], scale[list(part.columns)]) for part in self.parts]
        )

    def root(self, x: Floats) -> Floats:
        """Returns L (k, k)."""
        return self._assembled(
            lambda part, cut: part.structure.root(x[cut]), (self.width, self.width, *x.shape[1:])
        )

    def coordinates(self, L: Floats) -> Floats:
        """Returns x of a root."""
        return np.concatenate([part.structure.coordinates(L[part.here]) for part in self.parts])

    def root_of(self, A: Floats) -> Floats:
        """Returns the triangular roots of the blocks of A A' for (k, q) A."""
        shape = (self.width, self.width, *A.shape[2:])
        return self._assembled(lambda part, _: part.structure.root_of(A[list(part.columns)]), shape)

    def jacobian(self, x: Floats) -> Floats:
        """Returns (m, k, k) dT / dx_i."""
        return np.concatenate(
            [self._embedded(part, part.structure.jacobian(x[cut])) for part, cut in self._cut()]
        )

    def gradient(self, x: Floats, D: Floats) -> Floats:
        """Returns (m,) <D, dT / dx_i>."""
        return np.concatenate([part.structure.gradient(x[cut], D[part.here]) for part, cut in self._cut()])

    def curvature(self, x: Floats, D: Floats) -> Floats:
        """Returns (m, m) sum_ab D_ab d2T_ab / dx_i dx_j."""
        out = np.zeros((self.count, self.count, *x.shape[1:]))
        for part, cut in self._cut():
            out[cut, cut] = part.structure.curvature(x[cut], D[part.here])
        return out

    def working(self, x: Floats, c: Floats) -> Floats:
        """Returns (k, m, J) dT_i c for (k, J) c."""
        out = np.zeros((self.width, self.count, *c.shape[1:]))
        for part, cut in self._cut():
            columns = list(part.columns)
            out[columns, cut] = part.structure.working(x[cut], c[columns])
        return out

    def null(self, x: Floats) -> NDArray[np.bool_]:
        """Returns (m,) the coordinates that do not vary while the null directions of T stay null."""
        return np.concatenate([part.structure.null(x[cut]) for part, cut in self._cut()])

    def em(self, L: Floats, D: Floats, levels: int) -> Floats:
        """Returns L after one ECME step."""
        return self._assembled(lambda part, _: part.structure.em(L[part.here], D[part.here], levels), L.shape)

    def growths(self, D: Floats, scale: Floats) -> list[Growth]:
        """Returns the steepest way in which each part of T may grow that may vanish by itself."""
        return [
            Growth(slope, self._rows(part, rows))
            for part in self.parts
            for slope, rows in part.structure.growths(D[part.here], scale[list(part.columns)])
        ]

    def growths_from_null(self, L: Floats, D: Floats, scale: Floats) -> list[Growth]:
        """Returns the steepest way within the null space of each part of T that has one."""
        return [
            Growth(slope, self._rows(part, rows))
            for part in self.parts
            for slope, rows in part.structure.growths_from_null(
                L[part.here], D[part.here], scale[list(part.columns)]
            )
        ]

    def thinner(self, L: Floats, scale: Floats) -> list[Thinner]:
        """Returns T without its weakest direction, for each part that may vanish by itself."""
        out = list[Thinner]()
        for part in self.parts:
            for value, rows, root in part.structure.thinner(L[part.here], scale[list(part.columns)]):
                whole = L.copy()
                whole[part.here] = root
                out.append(Thinner(value, self._rows(part, rows), whole))
        return out

    def widened(self, L: Floats, rows: Floats, size: float) -> Floats:
        """Returns L of T + size B B' for (k, q) B."""
        return self.root_of(np.concatenate([L, np.sqrt(size) * rows], axis=1))

    def by_falling_variance(self, L: Floats, scale: Floats) -> BlockDiagonal:
        """Returns the same with the columns of each block that bears any change in that order.

        A leading pivot near zero is a flat circle of the triangular coordinates, on which a search crawls.
        """
        size = (L**2).sum(1) * scale**2
        return BlockDiagonal(
            self.width,
            tuple(
                ColumnBlock(tuple(sorted(part.columns, key=lambda c: -size[c])), part.structure)
                if part.structure.closed == "any"
                else part
                for part in self.parts
            ),
        )

    def _cut(self) -> Iterator[tuple[ColumnBlock, slice]]:
        return zip(self.parts, self.cuts, strict=True)

    def _assembled(self, block: Callable[[ColumnBlock, slice], Floats], shape: tuple[int, ...]) -> Floats:
        out = np.zeros(shape)
        for part, cut in self._cut():
            out[part.here] = block(part, cut)
        return out

    def _embedded(self, part: ColumnBlock, matrices: Floats) -> Floats:
        """(m, k, k) from the (m, k_b, k_b) of one block."""
        out = np.zeros((len(matrices), self.width, self.width, *matrices.shape[3:]))
        out[(slice(None), *part.here)] = matrices
        return out

    def _rows(self, part: ColumnBlock, rows: Floats) -> Floats:
        """(k, q) from the (k_b, q) of one block."""
        out = np.zeros((self.width, *rows.shape[1:]))
        out[list(part.columns)] = rows
        return out
