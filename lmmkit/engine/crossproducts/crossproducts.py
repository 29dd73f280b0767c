"""Cross-products of [Z X y]: everything that the criterion needs of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmmkit.engine.crossproducts.elimination_order import Factor, Layout
from lmmkit.engine.crossproducts.scaling import Prepared
from lmmkit.engine.linalg.cross_blocks import FILL, Dense, Sparse, occurring
from lmmkit.engine.problem import Floats, Ints

Coupling = Dense | Sparse
SMALL = 20_000  # cells of a coupling that are cheaper to keep all than to choose from
MANY = 100_000_000  # pairs of pairs, or cells, that memory bears


@dataclass(frozen=True, eq=False)
class Moments:
    """Cross-products by blocks; f and g number the chain's factors, W = [X y] has q columns.

    Attributes:
        own: own[f], (k, k, J), Z_f'Z_f.
        fixed: fixed[f], (k, q, J), Z_f'W.
        between: between[f, g], (k_f, k_g, J_f), f < g, Z_f'Z_g.
        coupling: coupling[f], Z_f' with the columns of the rest, or None where there is no rest.
        rest: (q2, q2) among the columns of the rest.
        rest_fixed: (q2, q) of the rest with W.
        total: (q, q) W'W.
    """

    own: list[Floats]
    fixed: list[Floats]
    between: dict[tuple[int, int], Floats]
    coupling: list[Coupling | None]
    rest: Floats
    rest_fixed: Floats
    total: Floats


Row = Floats | None  # None stands for a row of zeros


def block_sums(
    codes: Ints, levels: int, left: Sequence[Row], right: Sequence[Row], unit: Row = None
) -> Floats:
    """(k, m, J) sums over levels of the products of two sets of rows; `unit` is the row of ones, if any."""
    out = np.zeros((len(left), len(right), levels))
    done: dict[tuple[int, int], Floats] = {}
    buffer = np.empty(len(codes))
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            if a is None or b is None:
                continue
            key = (min(id(a), id(b)), max(id(a), id(b)))
            if key not in done:
                done[key] = np.bincount(codes, _product(a, b, unit, buffer), levels).astype(
                    np.float64, copy=False
                )
            out[i, j] = done[key]
    return out


def _product(a: Floats, b: Floats, unit: Row, buffer: Floats) -> Row:
    """A b, without multiplying by ones; None (no weights) for ones times ones."""
    if a is unit:
        return None if b is unit else b
    return a if b is unit else np.multiply(a, b, out=buffer)


def rest_places(layout: Layout) -> list[tuple[Ints, int]]:
    """Each column of each rest factor: its place in the dense matrix for every row, its prepared row."""
    return [
        (offset + factor.codes * factor.width + b, row)
        for factor, offset in zip(layout.rest, layout.offsets, strict=True)
        for b, row in enumerate(factor.rows)
    ]


def couple(rows: Sequence[Row], factor: Factor, prepared: Prepared, layout: Layout, dense: bool) -> Coupling:
    """Cross-products of k rows, grouped by a factor's levels, with the columns of the rest."""
    places = rest_places(layout)
    J, size = factor.levels, layout.size
    if dense or J * size < SMALL or len(places) * len(factor.codes) > FILL * J * size:
        return _dense(rows, factor, prepared, places, size)
    codes = np.concatenate([factor.codes] * len(places))
    pointer, column, order, starts = occurring(codes, J, np.concatenate([p for p, _ in places]), size)
    width = np.diff(pointer)
    if width @ (width + 1) > 2 * MANY and J * size < MANY:
        return _dense(rows, factor, prepared, places, size)
    values = np.zeros((len(rows), len(column)))
    for value, z in zip(values, rows, strict=True):
        if z is not None:
            products = np.concatenate([z * prepared.rows[row] for _, row in places])
            np.add.reduceat(products[order], starts, out=value)
    return Sparse(pointer, column, values, size)


def _dense(
    rows: Sequence[Row], factor: Factor, prepared: Prepared, places: list[tuple[Ints, int]], size: int
) -> Dense:
    """The same with every pair of a level and a column kept."""
    values = np.zeros((len(rows), factor.levels * size))
    for place, row in places:
        cell = factor.codes * size + place
        for value, z in zip(values, rows, strict=True):
            if z is not None:
                value += np.bincount(cell, z * prepared.rows[row], factor.levels * size)
    return Dense(values.reshape(len(rows), factor.levels, size))


def _rest_blocks(prepared: Prepared, layout: Layout) -> Floats:
    """(q2, q2) cross-products among the columns of the rest."""
    out = np.empty((layout.size, layout.size))
    for i, one in enumerate(layout.rest):
        for j, two in enumerate(layout.rest[: i + 1]):
            block = _crossed(prepared, one, two) if i != j else _diagonal(prepared, one)
            out[layout.columns(i), layout.columns(j)] = block
            if i != j:
                out[layout.columns(j), layout.columns(i)] = block.T
    return out


def _crossed(prepared: Prepared, one: Factor, two: Factor) -> Floats:
    """(J1 k1, J2 k2) cross-products of two factors' columns."""
    block = np.empty((one.levels, one.width, two.levels, two.width))
    cell = one.codes * two.levels + two.codes
    for a, row in enumerate(one.rows):
        for b, column in enumerate(two.rows):
            sums = np.bincount(cell, prepared.rows[row] * prepared.rows[column], one.levels * two.levels)
            block[:, a, :, b] = sums.reshape(one.levels, two.levels)
    return block.reshape(one.levels * one.width, -1)


def _diagonal(prepared: Prepared, factor: Factor) -> Floats:
    """(J k, J k) cross-products of one factor's columns: a level meets only itself."""
    Z = take(prepared, factor.rows)
    block = np.zeros((factor.levels, factor.width, factor.levels, factor.width))
    levels = np.arange(factor.levels)
    block[levels, :, levels] = block_sums(factor.codes, factor.levels, Z, Z).transpose(2, 0, 1)
    return block.reshape(factor.levels * factor.width, -1)


def rest_sums(prepared: Prepared, layout: Layout, rows: Sequence[Row]) -> Floats:
    """(q2, m) sums of m rows times each column of the rest."""
    out = np.zeros((layout.size, len(rows)))
    for place, row in rest_places(layout):
        for column, w in enumerate(rows):
            if w is not None:
                out[:, column] += np.bincount(place, prepared.rows[row] * w, layout.size)
    return out


def take(prepared: Prepared, positions: Sequence[int]) -> list[Floats]:
    """Prepared rows by position, each the same object every time."""
    rows = prepared.views
    return [rows[p] for p in positions]


def collect(prepared: Prepared, layout: Layout) -> Moments:
    """All cross-products of the prepared rows."""
    W = take(prepared, (*prepared.fixed, prepared.response))
    unit = None if prepared.unit is None else prepared.views[prepared.unit]
    own, fixed, between = list[Floats](), list[Floats](), dict[tuple[int, int], Floats]()
    coupling = list[Coupling | None]()
    for f, factor in enumerate(layout.chain):
        Z = take(prepared, factor.rows)
        later = [take(prepared, g.rows) for g in layout.chain[f + 1 :]]
        sums = block_sums(factor.codes, factor.levels, Z, sum(later, Z + W), unit)
        cuts = np.cumsum([len(Z), len(W), *map(len, later)])[:-1]
        own_f, fixed_f, *between_f = np.split(sums, cuts, axis=1)
        own.append(own_f)
        fixed.append(fixed_f)
        between.update({(f, f + 1 + i): block for i, block in enumerate(between_f)})
        coupling.append(couple(Z, factor, prepared, layout, f > 0) if layout.rest else None)
    return Moments(
        own=own,
        fixed=fixed,
        between=between,
        coupling=coupling,
        rest=_rest_blocks(prepared, layout),
        rest_fixed=rest_sums(prepared, layout, W),
        total=gram(W),
    )


def gram(rows: Sequence[Row]) -> Floats:
    """(q, q) products of rows among each other."""
    out = np.zeros((len(rows), len(rows)))
    for i, a in enumerate(rows):
        for j, b in enumerate(rows[: i + 1]):
            if a is not None and b is not None:
                out[i, j] = out[j, i] = a @ b
    return out
