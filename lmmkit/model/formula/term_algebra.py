"""Algebra of terms: a term is a tuple of expressions, the intercept the empty one."""

from __future__ import annotations

from lmmkit.errors import FormulaError
from lmmkit.model.formula.expression import Expression

Term = tuple[Expression, ...]
Terms = tuple[Term, ...]

INTERCEPT: Term = ()
MOST_TERMS = 4_096


def term_name(term: Term) -> str:
    """Name of a term: `x`, `a:b`, `Intercept`."""
    return ":".join(factor.text for factor in term) or "Intercept"


def union(left: Terms, right: Terms) -> Terms:
    """`left + right`: each term once, in the order of its first appearance."""
    known = {frozenset(term) for term in left}
    fresh: list[Term] = []
    for term in right:
        if frozenset(term) not in known:
            known.add(frozenset(term))
            fresh.append(term)
    return (*left, *fresh)


def interact(left: Terms, right: Terms) -> Terms:
    """`left:right`: every term of one with every term of the other."""
    if len(left) * len(right) > MOST_TERMS:
        raise FormulaError(f"The formula expands to more than {MOST_TERMS:,} terms.")
    return union((), tuple(_product(a, b) for a in left for b in right))


def cross(left: Terms, right: Terms) -> Terms:
    """`left * right`: both and their interactions."""
    return union(union(left, right), interact(left, right))


def nest(left: Terms, right: Terms) -> Terms:
    """`left / right`: `left`, and `right` within the interaction of all of `left`."""
    whole: Term = ()
    for term in left:
        whole = _product(whole, term)
    return union(left, interact((whole,), right))


def power(base: Terms, degree: int) -> Terms:
    """`base ^ degree`: all interactions up to a degree."""
    total = base
    for _ in range(degree - 1):
        total = union(total, interact(total, base))
    return total


def _product(left: Term, right: Term) -> Term:
    return tuple(dict.fromkeys((*left, *right)))


def by_degree(terms: Terms) -> Terms:
    """Terms of lower degree first, as R orders them."""
    return tuple(sorted(terms, key=len))
