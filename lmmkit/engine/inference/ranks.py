"""Ranks of [X Z]: how many dimensions each part of Z adds to those before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.engine.crossproducts.crossproducts import block_sums, gram, take
from lmmkit.engine.crossproducts.elimination_order import Factor
from lmmkit.engine.inference.traces import NULL_PIVOT, cross_products, rank_root, refuse_too_large
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.problem import Prepared, Problem

NOTHING_NEW = 1e-9  # below this share of its own square a column of X lies in the span of Z

Part = tuple[tuple[int, int], ...]  # (term, column of the term) of each column of a part of Z


def ranks(problem: Problem, prepared: Prepared, parts: Sequence[Part]) -> list[int]:
    """rank[X], rank[X Z_1], rank[X Z_1 Z_2], ... for parts of Z in the order given.

    Raises:
        FitError: The levels that rows connect are too many for a dense matrix.
    """
    found = [len(prepared.fixed)]
    for last in range(len(parts)):
        factors = _factors(problem, prepared, parts[: last + 1])
        found.append(_rank(prepared, factors))
    return found


def _factors(problem: Problem, prepared: Prepared, parts: Sequence[Part]) -> list[Factor]:
    """Grouping factors with the columns of some parts of Z."""
    rows: dict[int, list[int]] = {}
    for term, column in (pair for part in parts for pair in part):
        own = rows.setdefault(problem.terms[term].factor, [])
        place = prepared.terms[term][column]
        own.extend([place] if place not in own else [])
    terms = {term.factor: term for term in problem.terms}
    return [
        Factor(t.codes, t.levels, np.arange(t.levels), tuple(own), (), structure_of("", len(own)), t.members)
        for t, own in ((terms[f], own) for f, own in rows.items())
    ]


def _rank(prepared: Prepared, factors: list[Factor]) -> int:
    """rank[X Z] = rank Z + rank(X less its projection on Z)."""
    X = take(prepared, prepared.fixed)
    inner, total = gram(X), 0
    rest = inner.copy()
    for own, a in _roots(prepared, factors):
        total += own
        rest -= a.T @ a
    size = np.sqrt(inner.diagonal())
    values = np.linalg.eigvalsh(rest / np.outer(size, size)) if len(X) else np.empty(0)
    return total + int(np.sum(values > NOTHING_NEW))


def _roots(prepared: Prepared, factors: list[Factor]) -> Iterator[tuple[int, Floats]]:
    """Rank of each block-diagonal part of Z, and R^-T Z'X of it."""
    if len(factors) > 1 or factors[0].members:
        refuse_too_large(factors)
        for cross in cross_products(prepared, factors):
            R, a = rank_root(cross.A, cross.C)
            yield len(R), a
        return
    factor, Z = factors[0], take(prepared, factors[0].rows)
    sums = block_sums(factor.codes, factor.levels, Z, [*Z, *take(prepared, prepared.fixed)])
    C, inverse = levelwise.cholesky(sums[:, : len(Z)], null=NULL_PIVOT)
    a = levelwise.forward(C, inverse, sums[:, len(Z) :])
    yield int(np.count_nonzero(inverse)), a.transpose(0, 2, 1).reshape(a.shape[0] * a.shape[2], a.shape[1])
