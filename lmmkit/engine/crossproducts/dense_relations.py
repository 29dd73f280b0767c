"""Factors whose levels any known matrix K relates, made into factors of independent levels.

K = A A', and Z b = (Z A) u with independent u: in the cross-products A takes the place of the levels. Where
such a factor is the only one, has one column, and each row one level, V = I + T U s U' with orthonormal
columns U = Z N^-1/2 Q, N = Z'Z and

    (1)  N^1/2 K N^1/2 = Q s Q'

by one eigendecomposition: a chain factor of levels that have one number each, and evaluations as cheap as
those of independent levels. There half = K N^1/2 Q s^-1/2.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import eigh

from lmmkit.engine.arrays import Floats
from lmmkit.engine.crossproducts.crossproducts import Coupling, Moments, gram, take
from lmmkit.engine.crossproducts.elimination_order import Factor, Layout, by_rank
from lmmkit.engine.crossproducts.sparse_products import SparseProducts
from lmmkit.engine.linalg.cross_blocks import Dense
from lmmkit.engine.problem import Prepared
from lmmkit.engine.relations.relationship import CLIP, DenseRelationship


def independent(
    prepared: Prepared, layout: Layout, raw: Moments, absorbed: Moments
) -> tuple[Layout, Moments, Moments]:
    """Returns layout, raw and absorbed cross-products with independent levels in the place of related."""
    dense = [isinstance(f.relation, DenseRelationship) and f.half is None for f in layout.rest]
    if not any(dense):
        return layout, raw, absorbed
    factor = layout.rest[0]
    if len(layout.factors) == 1 and factor.width == 1 and not factor.members:
        return _rotated(prepared, factor, raw)
    rest = tuple(by_rank(factor) if own else factor for factor, own in zip(layout.rest, dense, strict=True))
    new = replace(layout, rest=rest)
    made = _turned(raw, layout, new)
    return new, made, made if absorbed is raw else _turned(absorbed, layout, new)


def _turned(moments: Moments, old: Layout, new: Layout) -> Moments:
    """Cross-products with the columns Z (A (x) I) in the place of Z."""
    assert not isinstance(moments.rest, SparseProducts)
    rows = _times_half(moments.rest.T, old, new).T
    return replace(
        moments,
        rest=_times_half(np.ascontiguousarray(rows), old, new),
        rest_fixed=np.ascontiguousarray(_times_half(moments.rest_fixed.T, old, new).T),
        coupling=[_coupled(coupling, old, new) for coupling in moments.coupling],
    )


def _coupled(coupling: Coupling | None, old: Layout, new: Layout) -> Coupling | None:
    """A coupling with the new columns."""
    if coupling is None:
        return None
    values = coupling.values if isinstance(coupling, Dense) else coupling.dense()
    return Dense(_times_half(values, old, new))


def _times_half(A: Floats, old: Layout, new: Layout) -> Floats:
    """(..., new size) A times A (x) I of every related factor."""
    out = np.empty((*A.shape[:-1], new.size))
    for position, factor in enumerate(new.rest):
        columns, half, k = A[..., old.columns(position)], factor.half, factor.width
        if half is not None:
            levels = columns.reshape(-1, len(half), k).transpose(0, 2, 1) @ half
            columns = levels.transpose(0, 2, 1).reshape(*A.shape[:-1], -1)
        out[..., new.columns(position)] = columns
    return out


def _rotated(prepared: Prepared, factor: Factor, raw: Moments) -> tuple[Layout, Moments, Moments]:
    """Levels with one number each: (1)."""
    relation = factor.relation
    assert isinstance(relation, DenseRelationship)
    assert not isinstance(raw.rest, SparseProducts)
    N = raw.rest.diagonal()
    seen = np.flatnonzero(N > 0.0)
    root = np.sqrt(N[seen])
    s, Q = eigh(relation.K[np.ix_(seen, seen)] * np.outer(root, root), driver="evd", overwrite_a=True)
    kept = s > CLIP * s[-1]
    s, Q = s[kept], Q[:, kept]
    inside = Q.T @ (raw.rest_fixed[seen] / root[:, None])  # U'W
    half = relation.K[:, seen] @ (root[:, None] * (Q / np.sqrt(s)))
    unseen = np.maximum(relation.diagonal - np.einsum("jr,jr->j", half, half), 0.0)
    fitted = np.zeros((relation.levels, inside.shape[1]))
    fitted[seen] = (Q @ inside) / root[:, None]
    z = prepared.rows[factor.rows[0]]
    W = take(prepared, (*prepared.fixed, prepared.response))
    left = [row - z * own[factor.codes] for row, own in zip(W, fitted.T, strict=True)]
    nothing, q = np.empty((0, 0)), len(W)
    none = np.empty((0, q))
    a, size = inside.T[None], np.sqrt(s)
    raw = Moments([s[None, None]], [a * size], {}, [None], nothing, none, raw.total)
    absorbed = Moments([size[None, None]], [a], {}, [None], nothing, none, gram(left))
    factor = replace(factor, levels=len(s), half=half, unseen=unseen)
    return Layout((factor,), {}, {}, ()), raw, absorbed
