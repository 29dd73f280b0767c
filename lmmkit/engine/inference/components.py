"""Levels that rows connect: S = Z'V^-1Z and U = Z'V^-1X of each connected component of the grouping factors.

Levels of two components have no row in common, so that V is block-diagonal by component. Within one, with
Z'Z = R'R of full row rank and Z'X = R'a,

    S = R'(I + R T R')^-1 R,    U = R'(I + R T R')^-1 a:

no inverse of T or of Z'Z, and no difference of large numbers when T is large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.linalg.lapack import dpotrf, dpstrf, dtrtrs
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from lmmkit.engine.crossproducts.elimination_order import Factor
from lmmkit.engine.crossproducts.scaling import Prepared
from lmmkit.engine.problem import Floats, Ints
from lmmkit.errors import FitError

NULL_PIVOT = 1e-12  # below this share of its own length a column is a sum of the others
LARGEST = 8_000  # order of a dense matrix that is still made


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
        return self.U[rows].reshape(self.levels[f], k, self.U.shape[1]).transpose(1, 2, 0)

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Number of levels of each factor."""
        return tuple((rows.stop - rows.start) // k for rows, k in self.spans)


def component_labels(factors: Sequence[Factor]) -> list[Ints]:
    """For each factor the component of each level."""
    offsets = np.cumsum([0, *(f.levels for f in factors)])
    nodes = [f.codes + offset for f, offset in zip(factors, offsets, strict=False)]
    one, two = np.concatenate(nodes[:1] + nodes[:-1]), np.concatenate(nodes[:1] + nodes[1:])
    graph = coo_array((np.ones(len(one), np.int8), (one, two)), shape=(offsets[-1], offsets[-1]))
    labels = connected_components(graph.tocsr(), directed=False)[1].astype(np.intp)
    return np.split(labels, offsets[1:-1])


def component_sizes(factors: Sequence[Factor]) -> Ints:
    """Columns of Z in each component."""
    if len(factors) == 1:
        return np.full(factors[0].levels, factors[0].width)
    labels = component_labels(factors)
    counts = [np.bincount(own) * f.width for own, f in zip(labels, factors, strict=True)]
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


def _places(factors: Sequence[Factor]) -> _Places:
    labels = component_labels(factors)
    number = 1 + max(int(own.max()) for own in labels)
    counts = np.array([np.bincount(own, minlength=number) for own in labels]).T
    widths = np.array([f.width for f in factors])
    starts = np.concatenate([[0], np.cumsum(counts * widths)])
    starts = np.append(starts[:-1].reshape(counts.shape), np.full((1, len(widths)), starts[-1]), axis=0)
    first = list[Ints]()
    for f, own in enumerate(labels):
        order = np.argsort(own, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(own)) - np.repeat(np.cumsum(counts[:, f]) - counts[:, f], counts[:, f])
        first.append(starts[own, f] + rank * widths[f])
    return _Places(starts, first)


def _z(prepared: Prepared, factors: Sequence[Factor], places: _Places) -> csr_array:
    """(n, q) Z with its columns in their places."""
    columns = [
        places.first[f][factor.codes] + c for f, factor in enumerate(factors) for c in range(factor.width)
    ]
    values = [prepared.rows[row] for factor in factors for row in factor.rows]
    n, width = len(columns[0]), len(columns)
    entries, indices = np.stack(values, axis=1).ravel(), np.stack(columns, axis=1).ravel()
    shape = (n, int(places.starts[-1, 0]))
    return csr_array((entries, indices, np.arange(0, n * width + 1, width)), shape=shape)


@dataclass(frozen=True, eq=False)
class Cross:
    """Cross-products of one component: Z'Z (m, m), Z'X (m, p), and each factor's columns with its width."""

    A: Floats
    C: Floats
    spans: tuple[tuple[slice, int], ...]


def cross_products(prepared: Prepared, factors: Sequence[Factor]) -> Iterator[Cross]:
    """Z'Z and Z'X of each component, in prepared units."""
    places = _places(factors)
    Z = _z(prepared, factors, places)
    cross = (Z.T @ Z).tocsr()
    scores = Z.T @ prepared.rows[list(prepared.fixed)].T
    for starts, end in zip(places.starts, places.starts[1:, 0], strict=False):
        here = slice(int(starts[0]), int(end))
        bounds = [int(bound) - here.start for bound in (*starts, end)]
        columns = [slice(a, b) for a, b in pairwise(bounds)]
        spans = tuple((own, f.width) for own, f in zip(columns, factors, strict=True))
        yield Cross(cross[here, here].toarray(), scores[here], spans)


def components(prepared: Prepared, factors: Sequence[Factor], L: list[Floats]) -> list[Component]:
    """S and U of every component at L of each factor, in prepared units.

    Raises:
        FitError: A component is too large for a dense matrix.
    """
    refuse_too_large(factors)
    return [_component(cross, L) for cross in cross_products(prepared, factors)]


def refuse_too_large(factors: Sequence[Factor]) -> None:
    """A component's matrix must fit into the memory."""
    largest = int(component_sizes(factors).max())
    if largest > LARGEST:
        raise FitError(
            f"{largest:,} random effects are connected by the rows: Kenward-Roger and containment need a "
            f"dense matrix of that order, offered up to {LARGEST:,}. Use df='satterthwaite'."
        )


def _component(cross: Cross, L: list[Floats]) -> Component:
    """S and U from R and a."""
    R, a = rank_root(cross.A, cross.C)
    half = np.empty_like(R)
    for (columns, k), own in zip(cross.spans, L, strict=True):
        half[:, columns] = (R[:, columns].reshape(len(R), -1, k) @ own).reshape(len(R), -1)
    grown = half @ half.T
    grown.flat[:: len(grown) + 1] += 1.0
    chol = dpotrf(grown, lower=1)[0]
    both = dtrtrs(chol, np.column_stack([R, a]), lower=1)[0]
    H, h = both[:, : len(cross.A)], both[:, len(cross.A) :]
    return Component(H.T @ H, H.T @ h, cross.spans)


def rank_root(A: Floats, C: Floats) -> tuple[Floats, Floats]:
    """R with R'R = A, as many rows as A has rank, and a with R'a = C."""
    scale = np.sqrt(A.diagonal())
    scale[scale == 0.0] = 1.0
    upper, pivot, rank, _ = dpstrf(A / np.outer(scale, scale), tol=NULL_PIVOT)
    order = pivot - 1
    R = np.zeros((rank, len(A)))
    R[:, order] = np.triu(upper)[:rank]
    kept = order[:rank]
    a = C[kept] / scale[kept, None]
    if a.size:
        a = dtrtrs(np.asfortranarray(upper[:rank, :rank]), a, trans=1)[0]
    return R * scale, a
