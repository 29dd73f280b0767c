"""Cross-products of a part of a model from those of the whole: the rows are not passed over again.

The columns of each factor of the part are combinations of those of the whole, Z' = Z C, so every raw block is
C_f' A_fg C_g. Of the absorbed blocks the first factor needs more. With [C D] invertible and R'R = [C D]' A_jj
[C D], the first rows of R^-T [C D]' A_jx are those of the part, and the others, d_j, were absorbed in the
whole and are not in the part. They go back:

    within' = C_u' within C_v + sum_j d_ju' d_jv,

a sum of positive parts, so that no digit is lost.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.crossproducts.crossproducts import Coupling, Moments, lifted
from lmmkit.engine.crossproducts.elimination_order import Factor, Layout, amalgamated
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.linalg.cross_blocks import Dense, Sparse
from lmmkit.engine.problem import Prepared, Problem, Term

Maps = list[Floats]  # C of each factor, (k, k')


def same_rows(whole: Problem, part: Problem) -> bool:
    """Whether two problems have the same response, weights, offset and fixed part, and plain terms alone."""
    if whole.residual is not None or part.residual is not None or len(whole.fixed) != len(part.fixed):
        return False
    if not all(term.plain for term in (*whole.terms, *part.terms)):
        return False
    pairs = [(whole.response, part.response), (whole.weights, part.weights), (whole.offset, part.offset)]
    pairs += [(whole.columns[i], part.columns[j]) for i, j in zip(whole.fixed, part.fixed, strict=True)]
    return all(_same(one, other) for one, other in pairs)


def _same(one: Floats | None, other: Floats | None) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or np.array_equal(one, other)


def part_of(
    whole: tuple[Problem, Prepared, Layout], part: Problem, prepared: Prepared
) -> tuple[Layout, Maps] | None:
    """The layout of a part in the order of the whole, and how its columns are made of those of the whole.

    Returns:
        None where a factor or a column of the part is none of the whole, the factor that is absorbed is not
        in the part, or a chain of several factors stands beside crossed ones.
    """
    problem, old, layout = whole
    if not part.terms or not layout.chain or (layout.chain[1:] and layout.rest):
        return None
    own = amalgamated(part, prepared)
    found: dict[int, tuple[Factor, Floats]] = {}
    for factor in own:
        codes = part.terms[factor.pieces[0].term].codes
        twin = next((f for f in layout.factors if _same_levels(problem.terms[f.pieces[0].term], codes)), None)
        C = None if twin is None else _combination(problem, old, twin, part, prepared, factor)
        if twin is None or C is None:
            return None
        found[id(twin)] = replace(factor, codes=twin.codes, order=twin.order), C
    if id(layout.chain[0]) not in found:
        return None
    kept = [f for f, factor in enumerate(layout.chain) if id(factor) in found]
    pairs = [(f, g) for f in kept for g in kept if f < g]
    chain = tuple(found[id(layout.chain[f])][0] for f in kept)
    rest = tuple(found[id(factor)][0] for factor in layout.rest if id(factor) in found)
    parents = {(kept.index(f), kept.index(g)): layout.parents[f, g] for f, g in pairs}
    starts = {(kept.index(f), kept.index(g)): layout.starts[f, g] for f, g in pairs}
    maps = [found[id(f)][1] if id(f) in found else np.empty((f.width, 0)) for f in layout.factors]
    return Layout(chain, parents, starts, rest), maps


def _same_levels(term: Term, codes: Ints) -> bool:
    return term.codes is codes or np.array_equal(term.codes, codes)


def _combination(
    problem: Problem, old: Prepared, whole: Factor, part: Problem, new: Prepared, factor: Factor
) -> Floats | None:
    """(k, k') C of Z' = Z C for one factor, in prepared units; None: a column is none of the whole's."""
    columns = [c for piece in whole.pieces for c in problem.terms[piece.term].columns]
    S, T = np.zeros((whole.width,) * 2), np.zeros((factor.width,) * 2)
    for bases, pieces, out in ((old.term_bases, whole.pieces, S), (new.term_bases, factor.pieces, T)):
        for term, place, _ in pieces:
            out[place, place] = bases[term]
    E = np.zeros((whole.width, factor.width))
    wanted = [c for piece in factor.pieces for c in part.terms[piece.term].columns]
    for j, c in enumerate(wanted):
        here = [i for i, w in enumerate(columns) if _same(problem.columns[w], part.columns[c])]
        if not here:
            return None
        E[here[0], j] = 1.0
    return levelwise.solved(S, E @ T)


def sub_blocks(
    raw: Moments, absorbed: Moments, old: Layout, new: Layout, maps: Maps
) -> tuple[Moments, Moments]:
    """Raw and absorbed cross-products of a part, in the order of its layout."""
    kept = [f for f in range(len(old.chain)) if maps[f].shape[1]]
    mapped = _mapped(raw, old, new, maps, kept)
    first = maps[0]
    k, full = first.shape[1], _completed(first)
    R, inverse = levelwise.cholesky(_both(full, full, raw.own[0]), null=levelwise.NULL_PIVOT)

    def turned(block: Floats) -> Floats:
        return levelwise.forward(R, inverse, _left(full, block))

    a_fixed = turned(raw.fixed[0])
    a_between = {g: _right(maps[g], turned(raw.between[0, g])) for g in kept[1:]}
    coupling = raw.coupling[0] if new.rest else None
    a_rest = coupling and lifted(R, inverse, _rows_mapped(_of_rest(coupling, old, new, maps), full))
    within = _mapped(absorbed, old, new, maps, kept)
    total = within.total + levelwise.summed(a_fixed[k:], a_fixed[k:]) if k < len(full) else within.total
    rest, rest_fixed = within.rest, within.rest_fixed
    out_fixed, out_own, out_between = [a_fixed[:k]], [_upper(R, k)], dict[tuple[int, int], Floats]()
    if a_rest is not None and k < len(full):
        gone = _rows(a_rest, slice(k, None))
        assert isinstance(rest, np.ndarray)
        rest = rest + gone.gram(levelwise.identity(len(full) - k, raw.own[0].shape[2]))
        rest_fixed = rest_fixed + gone.transposed_times(a_fixed[k:])
    for g in range(1, len(kept)):
        d = a_between[kept[g]][k:]
        out_between[0, g] = a_between[kept[g]][:k]
        out_own.append(within.own[g] + old.collect(0, kept[g], levelwise.transposed_times(d, d)))
        out_fixed.append(
            within.fixed[g] + old.collect(0, kept[g], levelwise.transposed_times(d, a_fixed[k:]))
        )
        for h in range(g + 1, len(kept)):
            other = levelwise.transposed_times(d, a_between[kept[h]][k:])
            out_between[g, h] = within.between[g, h] + old.collect(0, kept[g], other)
    couplings = [None if a_rest is None else _rows(a_rest, slice(0, k)), *([None] * (len(kept) - 1))]
    return mapped, Moments(out_own, out_fixed, out_between, couplings, rest, rest_fixed, total)


def _upper(C: Floats, k: int) -> Floats:
    """R (k, k, J), upper triangular, from the first k rows of its transpose."""
    return np.ascontiguousarray(C[:k, :k].transpose(1, 0, 2))


def _completed(C: Floats) -> Floats:
    """(k, k) [C D] with D of unit columns: those that C reaches least."""
    k, chosen = len(C), list[int]()
    left = np.linalg.qr(C)[0]
    for _ in range(k - C.shape[1]):
        away = 1.0 - np.einsum("ij,ij->i", left, left)
        new = int(np.argmax(away))
        chosen.append(new)
        left = np.linalg.qr(np.column_stack([left, np.eye(k)[new]]))[0]
    return np.column_stack([C, np.eye(k)[:, chosen]])


def _left(C: Floats, block: Floats) -> Floats:
    return np.einsum("ai,amj->imj", C, block)


def _right(C: Floats, block: Floats) -> Floats:
    return np.einsum("amj,mi->aij", block, C)


def _both(C: Floats, D: Floats, block: Floats) -> Floats:
    return _right(D, _left(C, block))


def _mapped(moments: Moments, old: Layout, new: Layout, maps: Maps, kept: list[int]) -> Moments:
    """C_f' A_fg C_g of every block."""
    s = len(old.chain)
    place = {f: i for i, f in enumerate(kept)}
    rest, rest_fixed = moments.rest, moments.rest_fixed
    assert isinstance(rest, np.ndarray)
    return Moments(
        [_both(maps[f], maps[f], moments.own[f]) for f in kept],
        [_left(maps[f], moments.fixed[f]) for f in kept],
        {
            (place[f], place[g]): _both(maps[f], maps[g], block)
            for (f, g), block in moments.between.items()
            if f in place and g in place
        },
        [
            None
            if (coupling := moments.coupling[f]) is None or not new.rest
            else _rows_mapped(_of_rest(coupling, old, new, maps), maps[f])
            for f in kept
        ],
        _columns(_columns(rest, old, new, maps[s:]).T, old, new, maps[s:]).T,
        _columns(rest_fixed.T, old, new, maps[s:]).T,
        moments.total,
    )


def _columns(A: Floats, old: Layout, new: Layout, maps: Maps) -> Floats:
    """(..., q2') the columns of the part's rest from (..., q2) those of the whole's."""
    parts = [np.empty((*A.shape[:-1], 0))]
    for g, (factor, C) in enumerate(zip(old.rest, maps, strict=True)):
        block = A[..., old.columns(g)].reshape(*A.shape[:-1], factor.levels, factor.width) @ C
        parts.append(block.reshape(*A.shape[:-1], factor.levels * C.shape[1]))
    return np.ascontiguousarray(np.concatenate(parts, axis=-1))


def _of_rest(coupling: Coupling, old: Layout, new: Layout, maps: Maps) -> Coupling:
    """A coupling with the part's columns of the rest."""
    s = len(old.chain)
    if isinstance(coupling, Dense):
        return Dense(_columns(coupling.values, old, new, maps[s:]))
    level, column, values, at = list[Ints](), list[Ints](), list[Floats](), 0
    for g, (factor, C) in enumerate(zip(old.rest, maps[s:], strict=True)):
        here = old.columns(g)
        mine = np.flatnonzero((coupling.column >= here.start) & (coupling.column < here.stop))
        first, k = mine[:: factor.width], C.shape[1]
        block = coupling.values[:, mine].reshape(len(coupling.values), -1, factor.width) @ C
        values.append(block.reshape(len(block), -1))
        level.append(np.repeat(coupling.level[first], k))
        own: Ints = at + (coupling.column[first] - here.start) // factor.width * k
        column.append((own[:, None] + np.arange(k, dtype=np.intp)).ravel())
        at += factor.levels * k
    levels, columns = np.concatenate(level), np.concatenate(column)
    order = np.lexsort((columns, levels))
    pointer = np.concatenate([[0], np.cumsum(np.bincount(levels, minlength=coupling.levels))])
    return Sparse(pointer, columns[order], np.concatenate(values, axis=1)[:, order], new.size)


def _rows_mapped(coupling: Coupling, C: Floats) -> Coupling:
    """C' times a coupling."""
    return replace(coupling, values=np.ascontiguousarray(np.einsum("ai,a...->i...", C, coupling.values)))


def _rows(coupling: Coupling, rows: slice) -> Coupling:
    return replace(coupling, values=np.ascontiguousarray(coupling.values[rows]))
