"""Cross-products of [Z X y], everything that the criterion needs of the rows: raw, and absorbed.

`collect` makes one pass over the rows; `absorb` makes a second one, from which the first factor is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.sparse import block_diag, csr_array, eye_array, kron

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.crossproducts.elimination_order import Factor, Layout, columns_of, rest_columns
from lmmkit.engine.crossproducts.sparse_products import SparseProducts
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.linalg.cross_blocks import FILL, Dense, Sparse, occurring
from lmmkit.engine.linalg.sparse_cholesky import sparse_pattern
from lmmkit.engine.problem import Prepared
from lmmkit.engine.relations.pedigree import Pedigree

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
        rest: (q2, q2) among the columns of the rest; with what relates their levels where that is sparse.
        rest_fixed: (q2, q) of the rest with W.
        total: (q, q) W'W.
    """

    own: list[Floats]
    fixed: list[Floats]
    between: dict[tuple[int, int], Floats]
    coupling: list[Coupling | None]
    rest: Floats | SparseProducts
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


class Entries(NamedTuple):
    """Some entries of Z: their rows (or all, in order), their columns in the rest, their values."""

    rows: Ints | slice
    column: Ints
    values: Floats


def rest_entries(prepared: Prepared, layout: Layout) -> list[Entries]:
    """The entries of Z of all rest factors."""
    out = list[Entries]()
    for factor, offset in zip(layout.rest, layout.offsets, strict=True):
        if factor.Z is None:
            places = (offset + factor.codes * factor.width + b for b in range(factor.width))
            rows = (prepared.rows[row] for row in factor.rows)
            out += [Entries(slice(None), place, row) for place, row in zip(places, rows, strict=True)]
        else:
            Z = factor.Z.tocoo()
            out.append(Entries(Z.coords[0].astype(np.intp), offset + Z.coords[1].astype(np.intp), Z.data))
    return out


def couple(rows: Sequence[Row], factor: Factor, prepared: Prepared, layout: Layout, dense: bool) -> Coupling:
    """Cross-products of k rows, grouped by a factor's levels, with the columns of the rest."""
    entries = rest_entries(prepared, layout)
    J, size = factor.levels, layout.size
    if dense or J * size < SMALL or sum(len(part.values) for part in entries) > FILL * J * size:
        return _dense(rows, factor, entries, size)
    codes = np.concatenate([factor.codes[part.rows] for part in entries])
    pointer, column, order, starts = occurring(codes, J, np.concatenate([e.column for e in entries]), size)
    width = np.diff(pointer)
    if width @ (width + 1) > 2 * MANY and J * size < MANY:
        return _dense(rows, factor, entries, size)
    values = np.zeros((len(rows), len(column)))
    for value, z in zip(values, rows, strict=True):
        if z is not None:
            products = np.concatenate([z[part.rows] * part.values for part in entries])
            np.add.reduceat(products[order], starts, out=value)
    return Sparse(pointer, column, values, size)


def _dense(rows: Sequence[Row], factor: Factor, entries: list[Entries], size: int) -> Dense:
    """The same with every pair of a level and a column kept."""
    values = np.zeros((len(rows), factor.levels * size))
    for part in entries:
        cell = factor.codes[part.rows] * size + part.column
        for value, z in zip(values, rows, strict=True):
            if z is not None:
                value += np.bincount(cell, z[part.rows] * part.values, factor.levels * size)
    return Dense(values.reshape(len(rows), factor.levels, size))


def _rest_blocks(prepared: Prepared, layout: Layout) -> Floats:
    """(q2, q2) cross-products among the columns of the rest."""
    out = np.empty((layout.size, layout.size))
    for i, one in enumerate(layout.rest):
        for j, two in enumerate(layout.rest[: i + 1]):
            if one.Z is None and two.Z is None:
                block = _crossed(prepared, one, two) if i != j else _diagonal(prepared, one)
            else:
                block = (columns_of(prepared, one).T @ columns_of(prepared, two)).toarray()
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
    for part in rest_entries(prepared, layout):
        for column, w in enumerate(rows):
            if w is not None:
                out[:, column] += np.bincount(part.column, part.values * w[part.rows], layout.size)
    return out


def take(prepared: Prepared, positions: Sequence[int]) -> list[Floats]:
    """Prepared rows by position, each the same object every time."""
    rows = prepared.views
    return [rows[p] for p in positions]


def collect(prepared: Prepared, layout: Layout) -> Moments:
    """Returns all cross-products of the prepared rows."""
    W = take(prepared, (*prepared.fixed, prepared.response))
    Z = [take(prepared, factor.rows) for factor in layout.chain]
    unit = None if prepared.unit is None else prepared.views[prepared.unit]
    rest = _sparse_products(prepared, layout) if layout.sparse else _rest_blocks(prepared, layout)
    out = Moments([], [], {}, [], rest, rest_sums(prepared, layout, W), gram(W))
    for f in range(len(layout.chain)):
        _add_factor(out, f, prepared, layout, Z, W, unit)
    return out


def _add_factor(
    out: Moments,
    f: int,
    prepared: Prepared,
    layout: Layout,
    Z: Sequence[Sequence[Row]],
    W: Sequence[Row],
    unit: Row = None,
) -> None:
    """Add the cross-products of one chain factor's rows Z[f] with the later factors', with W and the rest."""
    factor = layout.chain[f]
    right = [*Z[f], *W, *(row for rows in Z[f + 1 :] for row in rows)]
    cuts = np.cumsum([len(Z[f]), len(W), *map(len, Z[f + 1 :])])[:-1]
    sums = block_sums(factor.codes, factor.levels, Z[f], right, unit)
    own, fixed, *between = np.split(sums, cuts, axis=1)
    out.own.append(own)
    out.fixed.append(fixed)
    out.between.update({(f, g): block for g, block in enumerate(between, start=f + 1)})
    out.coupling.append(couple(Z[f], factor, prepared, layout, dense=f > 0) if layout.rest else None)


def _sparse_products(prepared: Prepared, layout: Layout) -> SparseProducts:
    """Z'Z and P of the factors of the rest.

    Raises:
        FitError: The factor of C would have too many entries.
    """
    Z = rest_columns(prepared, layout)
    there = csr_array((np.ones(Z.nnz), Z.indices, Z.indptr), shape=Z.shape)
    P = csr_array(block_diag([_prior(f, ones=False) for f in layout.rest], format="csr"))
    P_there = csr_array(block_diag([_prior(f, ones=True) for f in layout.rest], format="csr"))
    pattern = csr_array(there.T @ there + P_there)
    pattern.sort_indices()
    q = pattern.shape[0]
    keys = np.repeat(np.arange(q), np.diff(pattern.indptr)) * q + pattern.indices

    def data(A: csr_array) -> Floats:
        found = A.tocoo()
        out = np.zeros(len(keys))
        out[np.searchsorted(keys, found.coords[0].astype(np.int64) * q + found.coords[1])] = found.data
        return out

    logdet = sum(f.width * f.relation.logdet for f in layout.rest if isinstance(f.relation, Pedigree))
    spans = tuple((layout.columns(i), f.width) for i, f in enumerate(layout.rest))
    W = np.ascontiguousarray(prepared.rows[[*prepared.fixed, prepared.response]].T)
    return SparseProducts(sparse_pattern(pattern), data(csr_array(Z.T @ Z)), data(P), logdet, spans, Z, W)


def _prior(factor: Factor, *, ones: bool) -> csr_array:
    """K^-1 (x) I, or I; with full blocks of ones in their place, the pattern that they take."""
    K = factor.relation.precision if isinstance(factor.relation, Pedigree) else eye_array(factor.levels)
    if not ones:
        return csr_array(kron(K, eye_array(factor.width), format="csr"))
    K = csr_array(K)
    pattern = csr_array((np.ones(K.nnz), K.indices, K.indptr), shape=K.shape)
    return csr_array(kron(pattern, np.ones((factor.width, factor.width)), format="csr"))


def gram(rows: Sequence[Row]) -> Floats:
    """(q, q) products of rows among each other."""
    out = np.zeros((len(rows), len(rows)))
    for i, a in enumerate(rows):
        for j, b in enumerate(rows[: i + 1]):
            if a is not None and b is not None:
                out[i, j] = out[j, i] = a @ b
    return out


def absorb(raw: Moments, prepared: Prepared, layout: Layout) -> Moments:
    """Returns the cross-products with the first factor absorbed.

    With R_j'R_j = Z_j'Z_j and a_j = R_j^-T Z_j'W, what the first factor leaves of W'V^-1W is

        within + sum_j a_j' (I + R_j T R_j')^-1 a_j,    within = W'W - sum_j a_j'a_j,

    and so for every pair of blocks: a sum of positive parts, whose digits stay however large T is (a high
    intraclass correlation). The textbook's W'W - sum_j (Z_j'W)' M_j (Z_j'W) subtracts two large numbers.
    `within` is not formed by that difference either, but as products of rows from which their least squares
    fit on the first factor's columns has been taken, level by level.

    Returns:
        `own[0]` is R (upper triangular), `fixed[0]`, `between[0, g]` and `coupling[0]` are R^-T times the raw
        blocks, and every block without the first factor is within its levels. A level with fewer rows than
        columns has null rows in R, which every product leaves at zero. Without a chain it is `raw`.
    """
    if not layout.chain:
        return raw
    C, inverse = levelwise.cholesky(raw.own[0], null=levelwise.NULL_PIVOT)
    a_fixed = levelwise.forward(C, inverse, raw.fixed[0])
    a_between = {g: levelwise.forward(C, inverse, raw.between[0, g]) for g in range(1, len(layout.chain))}
    a_rest = lifted(C, inverse, raw.coupling[0])
    left: dict[int, Row] = dict.fromkeys(layout.chain[0].rows)  # a column of Z_1 leaves nothing

    def within(positions: Sequence[int], a: Floats) -> list[Row]:
        """Rows less their fit on the first factor; `a` is (k, m, J), R^-T Z_1' of these rows."""
        for position, share in zip(positions, a.transpose(1, 0, 2), strict=True):
            if position not in left:
                left[position] = _less_first(prepared, layout.chain[0], position, C, inverse, share)
        return [left[position] for position in positions]

    W = within((*prepared.fixed, prepared.response), a_fixed)
    Z: list[Sequence[Row]] = [
        take(prepared, layout.chain[0].rows),
        *(within(layout.chain[g].rows, a) for g, a in a_between.items()),
    ]
    rest = raw.rest
    if a_rest is not None:
        assert not isinstance(rest, SparseProducts)  # beside it no factor stands in the chain
        rest = rest - a_rest.gram(levelwise.identity(*raw.own[0].shape[1:]))
    between = {(0, g): a for g, a in a_between.items()}
    R = np.ascontiguousarray(C.transpose(1, 0, 2))
    out = Moments([R], [a_fixed], between, [a_rest], rest, rest_sums(prepared, layout, W), gram(W))
    for f in range(1, len(layout.chain)):
        _add_factor(out, f, prepared, layout, Z, W)
    return out


def _less_first(
    prepared: Prepared, factor: Factor, position: int, C: Floats, inverse: Floats, a: Floats
) -> Floats:
    """(n,) one row less its least squares fit on a factor's columns, from (k, J) R^-T Z' of it."""
    coefficient = levelwise.backward(C, inverse, a[:, None, :])[:, 0]
    residual = prepared.rows[position].copy()
    for z, c in zip(factor.rows, coefficient, strict=True):
        part = np.take(c, factor.codes)
        if z != prepared.unit:
            part *= prepared.rows[z]
        residual -= part
    return residual


def lifted(C: Floats, inverse: Floats, coupling: Coupling | None) -> Coupling | None:
    """R^-T times a coupling."""
    if coupling is None:
        return None
    if isinstance(coupling, Dense):
        solved = levelwise.forward(C, inverse, coupling.values.transpose(0, 2, 1))
        return Dense(np.ascontiguousarray(solved.transpose(0, 2, 1)))
    level = coupling.level
    solved = levelwise.forward(C[:, :, level], inverse[:, level], coupling.values[:, None, :])
    return replace(coupling, values=solved[:, 0])
