"""Levels that rows connect: S = Z'V^-1Z and U = Z'V^-1X of each connected component of the grouping factors.

Levels of two components have no row in common, so that V is block-diagonal by component. Within one, with
Z'Z = R'R of full row rank and Z'X = R'a,

    S = R'(I + R T R')^-1 R,    U = R'(I + R T R')^-1 a:

no inverse of T or of Z'Z, and no difference of large numbers when T is large.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg.lapack import dpotrf, dpstrf, dtrtrs
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from lmmkit.engine.layout import Layout
from lmmkit.engine.prepare import Prepared
from lmmkit.engine.problem import Floats, Ints

NULL_PIVOT = 1e-12  # below this share of its own length a column is a sum of the others


@dataclass(frozen=True, eq=False)
class Component:
    """Levels that rows connect: S (m, m), U (m, p), and each factor's columns with its width."""

    S: Floats
    U: Floats
    spans: tuple[tuple[slice, int], ...]

    def block(self, A: Floats, f: int, g: int) -> Floats:
        """(k_f, k_g, J_f J_g) blocks of an (m, m) matrix."""
        (rows, k), (columns, m) = self.spans[f], self.spans[g]
        blocks = A[rows, columns].reshape((rows.stop - rows.start) // k, k, -1, m)
        return blocks.transpose(1, 3, 0, 2).reshape(k, m, -1)

    def scores(self, f: int) -> Floats:
        """(k, p, J) U of one factor."""
        rows, k = self.spans[f]
        return self.U[rows].reshape(-1, k, self.U.shape[1]).transpose(1, 2, 0)

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Number of levels of each factor."""
        return tuple((rows.stop - rows.start) // k for rows, k in self.spans)


def component_labels(layout: Layout) -> list[Ints]:
    """For each factor the component of each level."""
    factors = layout.factors
    offsets = np.cumsum([0, *(f.levels for f in factors)])
    ends = [f.codes + offset for f, offset in zip(factors, offsets, strict=False)]
    one, two = np.concatenate(ends[:-1]), np.concatenate(ends[1:])
    graph = coo_array((np.ones(len(one), np.int8), (one, two)), shape=(offsets[-1], offsets[-1]))
    labels = connected_components(graph.tocsr(), directed=False)[1].astype(np.intp)
    return np.split(labels, offsets[1:-1])


def component_sizes(layout: Layout) -> Ints:
    """Columns of Z in each component."""
    if len(layout.factors) == 1:
        return np.full(layout.factors[0].levels, layout.factors[0].width)
    labels = component_labels(layout)
    counts = [np.bincount(own) * f.width for own, f in zip(labels, layout.factors, strict=True)]
    out = np.zeros(max(map(len, counts)), np.intp)
    for count in counts:
        out[: len(count)] += count
    return out


@dataclass(frozen=True, eq=False)
class _Places:
    """Z's columns by component, then by factor, then by level.

    Attributes:
        starts: starts[c, f] is the first column of factor f in component c; starts[-1, 0] is their number.
        first: For each factor the first column of each level.
    """

    starts: Ints
    first: list[Ints]


def _places(layout: Layout) -> _Places:
    labels = component_labels(layout)
    number = 1 + max(int(own.max()) for own in labels)
    counts = np.array([np.bincount(own, minlength=number) for own in labels]).T
    widths = np.array([f.width for f in layout.factors])
    starts = np.concatenate([[0], np.cumsum(counts * widths)])
    starts = np.append(starts[:-1].reshape(counts.shape), np.full((1, len(widths)), starts[-1]), axis=0)
    first = list[Ints]()
    for f, own in enumerate(labels):
        order = np.argsort(own, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(own)) - np.repeat(np.cumsum(counts[:, f]) - counts[:, f], counts[:, f])
        first.append(starts[own, f] + rank * widths[f])
    return _Places(starts, first)


def _z(prepared: Prepared, layout: Layout, places: _Places) -> csr_array:
    """(n, q) Z with its columns in their places."""
    columns = [
        places.first[f][factor.codes] + c
        for f, factor in enumerate(layout.factors)
        for c in range(factor.width)
    ]
    values = [prepared.rows[row] for factor in layout.factors for row in factor.rows]
    n, width = len(columns[0]), len(columns)
    entries, indices = np.stack(values, axis=1).ravel(), np.stack(columns, axis=1).ravel()
    shape = (n, int(places.starts[-1, 0]))
    return csr_array((entries, indices, np.arange(0, n * width + 1, width)), shape=shape)


def components(prepared: Prepared, layout: Layout, L: list[Floats]) -> list[Component]:
    """S and U of every component at L of each factor, in prepared units."""
    places = _places(layout)
    Z = _z(prepared, layout, places)
    cross = (Z.T @ Z).tocsr()
    scores = Z.T @ prepared.rows[list(prepared.fixed)].T
    ends = places.starts[1:, 0]
    out = list[Component]()
    for starts, end in zip(places.starts, ends, strict=False):
        here = slice(int(starts[0]), int(end))
        stops = [*starts[1:].tolist(), int(end)]
        spans = tuple(
            (slice(int(a) - here.start, int(b) - here.start), f.width)
            for a, b, f in zip(starts, stops, layout.factors, strict=True)
        )
        out.append(_component(cross[here, here].toarray(), scores[here], L, spans))
    return out


def _component(A: Floats, C: Floats, L: list[Floats], spans: tuple[tuple[slice, int], ...]) -> Component:
    """S = R'(I + R T R')^-1 R and U = R'(I + R T R')^-1 a for A = R'R and C = R'a."""
    R, a = _root(A, C)
    half = np.empty_like(R)
    for (columns, k), own in zip(spans, L, strict=True):
        half[:, columns] = (R[:, columns].reshape(len(R), -1, k) @ own).reshape(len(R), -1)
    grown = half @ half.T
    grown.flat[:: len(grown) + 1] += 1.0
    chol = dpotrf(grown, lower=1)[0]
    both = dtrtrs(chol, np.column_stack([R, a]), lower=1)[0]
    H, h = both[:, : len(A)], both[:, len(A) :]
    return Component(H.T @ H, H.T @ h, spans)


def _root(A: Floats, C: Floats) -> tuple[Floats, Floats]:
    """R with R'R = A, as many rows as A has rank, and a with R'a = C."""
    scale = np.sqrt(A.diagonal())
    scale[scale == 0.0] = 1.0
    upper, pivot, rank, _ = dpstrf(A / np.outer(scale, scale), tol=NULL_PIVOT)
    order = pivot - 1
    R = np.zeros((rank, len(A)))
    R[:, order] = np.triu(upper)[:rank]
    kept = order[:rank]
    a = dtrtrs(np.asfortranarray(upper[:rank, :rank]), C[kept] / scale[kept, None], trans=1)[0]
    return R * scale, a
