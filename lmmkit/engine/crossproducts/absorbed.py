"""The absorbed form of the first factor, which keeps its digits however large the intraclass correlation.

With R_j'R_j = Z_j'Z_j and a_j = R_j^-T Z_j'W, what the first factor leaves of the other blocks is
`within + sum_j a_j' (I + R_j T R_j')^-1 a_j`: a sum of positive parts, where the textbook form subtracts two
large numbers when T is large. `within` is taken from rows from which the first factor's columns are removed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmmkit.engine.crossproducts.crossproducts import (
    Coupling,
    Moments,
    Row,
    block_sums,
    couple,
    gram,
    rest_sums,
    take,
)
from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.crossproducts.scaling import Prepared
from lmmkit.engine.linalg import level_matrices as kernels
from lmmkit.engine.linalg.cross_blocks import Dense
from lmmkit.engine.problem import Floats


def _lifted(C: Floats, inverse: Floats, coupling: Coupling | None) -> Coupling | None:
    """R^-T times a coupling."""
    if coupling is None:
        return None
    if isinstance(coupling, Dense):
        solved = kernels.forward(C, inverse, coupling.values.transpose(0, 2, 1))
        return Dense(np.ascontiguousarray(solved.transpose(0, 2, 1)))
    level = coupling.level
    solved = kernels.forward(C[:, :, level], inverse[:, level], coupling.values[:, None, :])
    return coupling.with_values(solved[:, 0])


class _Within:
    """Rows from which their least squares fit on the first factor's columns is removed, level by level."""

    def __init__(self, prepared: Prepared, layout: Layout, C: Floats, inverse: Floats) -> None:
        self.prepared, self.factor, self.C, self.inverse = prepared, layout.chain[0], C, inverse
        self.done: dict[int, Row] = dict.fromkeys(self.factor.rows)  # a column of Z_1 leaves nothing

    def rows(self, positions: Sequence[int], a: Floats) -> list[Row]:
        """Residual rows; `a` is (k, m, J), R^-T Z_1' of these rows."""
        return [self._row(position, a[:, i]) for i, position in enumerate(positions)]

    def _row(self, position: int, a: Floats) -> Row:
        if position not in self.done:
            coefficient = kernels.backward(self.C, self.inverse, a[:, None, :])[:, 0]
            residual = self.prepared.rows[position].copy()
            for z, c in zip(self.factor.rows, coefficient, strict=True):
                part = np.take(c, self.factor.codes)
                if z != self.prepared.unit:
                    part *= self.prepared.rows[z]
                residual -= part
            self.done[position] = residual
        return self.done[position]


def absorb(raw: Moments, prepared: Prepared, layout: Layout) -> Moments:
    """The cross-products with the first factor absorbed.

    Returns:
        `own[0]` is R (upper triangular), `fixed[0]`, `between[0, g]` and `coupling[0]` are R^-T times the raw
        blocks, and every block without the first factor is within its levels.
    """
    C, inverse = kernels.cholesky(raw.own[0], null=kernels.NULL_PIVOT)
    a_fixed = kernels.forward(C, inverse, raw.fixed[0])
    a_between = {g: kernels.forward(C, inverse, raw.between[0, g]) for g in range(1, len(layout.chain))}
    a_rest = _lifted(C, inverse, raw.coupling[0])
    within = _Within(prepared, layout, C, inverse)
    W = within.rows((*prepared.fixed, prepared.response), a_fixed)
    Z: list[Sequence[Row]] = [
        take(prepared, layout.chain[0].rows),
        *(within.rows(layout.chain[g].rows, a) for g, a in a_between.items()),
    ]
    own, fixed = [np.ascontiguousarray(C.transpose(1, 0, 2))], [a_fixed]
    between, coupling = {(0, g): a for g, a in a_between.items()}, [a_rest]
    for f, factor in enumerate(layout.chain[1:], start=1):
        own.append(block_sums(factor.codes, factor.levels, Z[f], Z[f]))
        fixed.append(block_sums(factor.codes, factor.levels, Z[f], W))
        for g in range(f + 1, len(layout.chain)):
            between[f, g] = block_sums(factor.codes, factor.levels, Z[f], Z[g])
        coupling.append(couple(Z[f], factor, prepared, layout, dense=True) if layout.rest else None)
    rest = raw.rest if a_rest is None else raw.rest - a_rest.gram(kernels.identity(*raw.own[0].shape[1:]))
    return Moments(own, fixed, between, coupling, rest, rest_sums(prepared, layout, W), gram(W))
