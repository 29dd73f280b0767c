"""Cross-products of whitened rows: any R, any random effects.

u = B [Z W] with B R B' = I, made anew at each rho in one pass; what follows is the elimination of independent
residuals. With s = R^(1/2) V^-1 W row by row, whitened, and the derivative Ubar of the deviance in u, both of
which `RandomRows` has of the reverse sweep,

    (1)  d deviance / d rho_k = d log|R| / d rho_k + <Ubar, dB_k [Z W]>
    (2)  w_k = B dR_k B' s a               the working columns of average information, R^(-1/2) dR_k P y
    (3)  d (W'V^-1W) / d rho_k = - s'(B dR_k B') s
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.residual_structure import ResidualStructure
from lmmkit.engine.covariance.row_structure import Decaying, RowStructure, Serial
from lmmkit.engine.crossproducts.crossproducts import Moments, absorb, collect
from lmmkit.engine.crossproducts.elimination_order import (
    Factor,
    Layout,
    columns_of,
    holds_subjects,
    rest_columns,
)
from lmmkit.engine.crossproducts.patterns import patterns_of
from lmmkit.engine.crossproducts.product_sources import Adjoint, ProductSource
from lmmkit.engine.crossproducts.whitening import Root, Whitening, whitening_of
from lmmkit.engine.linalg.levelwise import least_solved
from lmmkit.engine.problem import Prepared, Residual, RowResidual
from lmmkit.errors import FitError

MIXED = 2e8  # numbers of whitened columns of Z that memory bears, 12 bytes each
THINNED = 50.0  # numbers of dense columns, made a few at a time, that cost as much time as one that is kept
LEAST_SQUARE = 1e-4  # of the mean square, of a residual in the regression of logs that makes a start


class WhiteRows(NamedTuple):
    """The rows at one rho, in the order of the whitening.

    Attributes:
        rho: Which.
        root: B.
        prepared: The prepared rows times B.
        layout: The layout whose sparse columns of Z, if any, are times B.
    """

    rho: Floats
    root: Root
    prepared: Prepared
    layout: Layout


@dataclass(frozen=True, eq=False)
class Whitened(ProductSource):
    """Correlated residuals, or residuals of unequal variance, beside random effects or none.

    Attributes:
        residual: What R may be, and of which rows.
        whitening: B.
        prepared: The prepared rows in the order of the whitening.
        layout: Chain and rest in that order; a rest factor whose levels a block of R crosses has its columns
            of Z as a sparse matrix.
    """

    residual: Residual | RowResidual
    whitening: Whitening
    prepared: Prepared
    layout: Layout

    @property
    def structure(self) -> ResidualStructure | RowStructure:
        """That of the residuals."""
        return self.residual.structure

    def at(self, rho: Floats) -> WhiteRows:
        """Returns the whitened rows; those of the last rho are kept."""
        if self._last and np.array_equal(self._last[0].rho, rho):
            return self._last[0]
        self._last.clear()
        root = self.whitening.at(rho)
        prepared = replace(self.prepared, rows=root.white(self.prepared.rows), unit=None)
        layout = self.layout
        if any(factor.Z is not None for factor in layout.rest):
            B = root.matrix()
            rest = tuple(f if f.Z is None else replace(f, Z=csr_array(B @ f.Z)) for f in layout.rest)
            layout = replace(layout, rest=rest)
        self._last.append(WhiteRows(rho.copy(), root, prepared, layout))
        return self._last[0]

    @cached_property
    def _last(self) -> list[WhiteRows]:
        """At most one."""
        return []

    @cached_property
    def _summed(self) -> list[tuple[Floats, Moments, Moments]]:
        """At most one rho, with the cross-products there."""
        return []

    def sums(self, rho: Floats) -> tuple[Moments, Moments]:
        """Returns the cross-products of the whitened rows, raw and absorbed; the last ones are kept."""
        if not self._summed or not np.array_equal(self._summed[0][0], rho):
            self._summed.clear()
            _, _, prepared, layout = self.at(rho)
            raw = collect(prepared, layout)
            self._summed.append((rho.copy(), raw, absorb(raw, prepared, layout)))
        return self._summed[0][1:]

    def moments(self, rho: Floats) -> tuple[Moments, float]:
        """Returns the absorbed cross-products, and log|R|."""
        return self.sums(rho)[1], self.at(rho).root.logdet

    def starts(self) -> list[Floats]:
        """Returns some rho, to choose a start from by the deviance."""
        residual, e = self.residual, self.prepared.rows[-1]
        if self.whitening.order is not None:
            e = np.empty_like(e)
            e[self.whitening.order] = self.prepared.rows[-1]
        if isinstance(residual, Residual):
            return residual.structure.starts(*_visit_moments(residual, e))
        logs, process = residual.log_sd_slopes(), residual.structure.correlation
        of_variance = _variance_starts(logs, e) if len(logs) else [np.empty(0)]
        if process is None:
            return of_variance
        if isinstance(process, Decaying):
            return [np.concatenate(pair) for pair in product(of_variance, process.starts())]
        visits = residual.over_visits
        assert visits is not None
        return [
            np.concatenate([own, other])
            for own in of_variance
            for other in process.starts(*_visit_moments(visits, e / np.exp(own @ logs)))
        ]

    def pullback(self, rho: Floats, adjoint: Adjoint) -> Floats:
        """Returns (r,) d deviance / d rho: (1)."""
        _, root, prepared, layout = self.at(rho)
        assert adjoint.effects is not None
        s, out = adjoint.effects.scores(prepared, layout), root.logdet_slopes()
        for columns, pull in adjoint.effects.pulls(prepared, layout, s):
            X, U = self.prepared.rows, prepared.rows
            if columns is not None:
                before, after = self._rest_columns, rest_columns(prepared, layout)
                X, U = (np.ascontiguousarray(Z[:, columns].toarray().T) for Z in (before, after))
            out = out + root.pulled(X, U, pull)
        return out

    @cached_property
    def _rest_columns(self) -> csr_array:
        """(n, q2) the columns of Z of the rest, before they are whitened."""
        return rest_columns(self.prepared, self.layout)

    def scores(self, rho: Floats, adjoint: Adjoint) -> Floats:
        """Returns (q, n) s."""
        _, _, prepared, layout = self.at(rho)
        assert adjoint.effects is not None
        return adjoint.effects.scores(prepared, layout)

    def extended(self, rho: Floats, adjoint: Adjoint) -> Moments:
        """Returns the absorbed cross-products with W = [X w y], w the columns (2)."""
        _, root, prepared, layout = self.at(rho)
        w = root.turned(adjoint.a @ self.scores(rho, adjoint))
        rows = np.concatenate([prepared.rows[:-1], w, prepared.rows[-1:]])
        first = prepared.response
        wide = replace(prepared, rows=rows, fixed=(*prepared.fixed, *range(first, first + len(w))))
        return absorb(collect(wide, layout), wide, layout)

    def slopes(self, rho: Floats, adjoint: Adjoint) -> Floats:
        """Returns (r, q, q) d (W'V^-1W) / d rho: (3)."""
        root, s = self.at(rho).root, self.scores(rho, adjoint)
        out = np.array([-(root.turned(column) @ s.T) for column in s])  # (q, r, q)
        return out.transpose(1, 0, 2)


def whitened(prepared: Prepared, layout: Layout, residual: Residual | RowResidual) -> Whitened:
    """Returns the source of a problem.

    Raises:
        FitError: Rows of a subject that R cannot tell apart, or too many of them.
    """
    whitening = whitening_of(residual)
    order = whitening.order
    if order is not None:
        rows = np.ascontiguousarray(prepared.rows[:, order])
        prepared = replace(prepared, rows=rows)
    prepared = replace(prepared, unit=None)
    mixed = [not holds_subjects(factor.codes, residual) for factor in layout.rest]
    if any(mixed):
        _refuse_too_mixed(layout, residual)
    chain = tuple(_ordered(factor, order) for factor in layout.chain)
    rest = tuple(
        replace(own, Z=columns_of(prepared, own)) if mixes else own
        for own, mixes in zip((_ordered(factor, order) for factor in layout.rest), mixed, strict=True)
    )
    return Whitened(residual, whitening, prepared, replace(layout, chain=chain, rest=rest))


def _refuse_too_mixed(layout: Layout, residual: Residual | RowResidual) -> None:
    """The columns of Z that whitening mixes fit into memory."""
    rows, width = len(residual.subjects), max(factor.width for factor in layout.rest)
    serial = isinstance(residual, RowResidual) and isinstance(residual.structure.correlation, Serial)
    pairs = 2.0 * rows if serial else float((np.bincount(residual.subjects).astype(np.float64) ** 2).sum())
    numbers = max(pairs * width, rows * layout.size / THINNED)
    if numbers > MIXED:
        raise FitError(
            "The residual structure correlates rows of different levels of a crossed random-effects term, so "
            f"that each of {rows:,} rows meets many of its {layout.size:,} random effects: some "
            f"{numbers:.1g} numbers, of at most {MIXED:.0e}. Leave the crossed term or the residual "
            "structure out, or fit a part of the data."
        )


def _ordered(factor: Factor, order: Ints | None) -> Factor:
    """A factor on rows in another order."""
    if order is None:
        return factor
    Z = None if factor.Z is None else csr_array(factor.Z[order])
    return replace(factor, codes=factor.codes[order], Z=Z)


def _variance_starts(logs: Floats, e: Floats) -> list[Floats]:
    """Coordinates of no effect, and of the regression of the logs of squares."""
    centred = logs - logs.mean(axis=1, keepdims=True)
    squares = np.log(np.maximum(e**2, LEAST_SQUARE * float(e @ e) / len(e)))
    slope = 0.5 * least_solved(centred @ centred.T, centred @ (squares - squares.mean()))
    return [np.zeros(len(logs)), slope]


def _visit_moments(residual: Residual, e: Floats) -> tuple[Floats, Floats]:
    """(T, T) sums of products of residuals at two cells over subjects, and how many there are."""
    T = residual.structure.size
    sums, pairs = np.zeros((T, T)), np.zeros((T, T))
    for group in patterns_of(residual):
        for cells, rows in group.each():
            here = np.ix_(cells, cells)
            sums[here] += e[rows].T @ e[rows]
            pairs[here] += len(rows)
    return sums, pairs
