"""Which columns code the terms: every factor in full where its margin is absent, else by contrasts.

The rule is formulaic's (and patsy's): each term adds what the terms before it do not span yet.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lmmkit.model.design.variables import Column, Values, Variable
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.term_algebra import Term

Scoped = tuple[tuple[Expression, bool], ...]


def structure(
    terms: Sequence[Term], variables: Mapping[Expression, Variable]
) -> tuple[tuple[Scoped, ...], ...]:
    """For each term the products that code it: factors of the formula, each in full or reduced."""
    spanned: set[frozenset[tuple[Expression, bool]]] = set()
    coded: list[tuple[Scoped, ...]] = []
    for term in terms:
        span = [scoped for scoped in _span(term, variables) if frozenset(scoped) not in spanned]
        coded.append(tuple(_simplified(span)))
        spanned.update(frozenset(scoped) for scoped in span)
    return tuple(coded)


def _span(term: Term, variables: Mapping[Expression, Variable]) -> Iterable[Scoped]:
    """The margins that a term spans: each factor reduced or absent, numbers always there."""
    choices = [
        ((factor, True), None) if variables[factor].spans_intercept else ((factor, False),) for factor in term
    ]
    for chosen in itertools.product(*choices):
        yield tuple(part for part in chosen if part is not None)


def _simplified(span: Iterable[Scoped]) -> list[Scoped]:
    """Fewest products with the same span: `m:reduced + m` becomes `m:full`."""
    products: list[Scoped] = []
    for scoped in sorted(span, key=len):
        partner = next((other for other in products if _completes(scoped, other)), None)
        if partner is None:
            if all(frozenset(scoped) != frozenset(other) for other in products):
                products.append(scoped)
            continue
        (grown,) = set(scoped) - set(partner)
        full = tuple((grown[0], False) if part == grown else part for part in scoped)
        products = _simplified([*(other for other in products if other != partner), full])
    return products


def _completes(scoped: Scoped, other: Scoped) -> bool:
    extra = set(scoped) - set(other)
    return len(scoped) == len(other) + 1 and len(extra) == 1 and next(iter(extra))[1]


def product_columns(scoped: Scoped, values: Mapping[Expression, Values], rows: int) -> list[Column]:
    """Named columns of one product, its first factor varying fastest; the intercept takes no memory."""
    if not scoped:
        return [("Intercept", np.broadcast_to(np.float64(1.0), rows))]
    parts = [values[factor].columns(reduced=reduced) for factor, reduced in scoped]
    if len(parts) == 1:
        return parts[0]
    return [_multiplied(chosen[::-1]) for chosen in itertools.product(*parts[::-1])]


def _multiplied(columns: Sequence[Column]) -> Column:
    name = ":".join(name for name, _ in columns)
    return name, functools.reduce(np.multiply, (values for _, values in columns))
