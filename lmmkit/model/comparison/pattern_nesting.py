"""Where random effects with a pattern lie within each other: a table of rules, and what a test rests on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lmmkit.engine.covariance.patterned import Exponential, PatternedStructure
from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.engine.covariance.structures import Structure
from lmmkit.engine.problem import Problem, Term

# Of the same columns: a pattern, and all those that have it as a special case inside their domain.
WITHIN: dict[str, frozenset[str]] = {
    "homdiag": frozenset({"diag", "homcs", "homtoep", "ar1", "cs", "hetar1", "toep", ""}),
    "diag": frozenset({"cs", "hetar1", "toep", ""}),
    "homcs": frozenset({"cs", "homtoep", "toep", ""}),
    "cs": frozenset({"toep", ""}),
    "ar1": frozenset({"hetar1", "homtoep", "toep", ""}),
    "hetar1": frozenset({"toep", ""}),
    "homtoep": frozenset({"toep", ""}),
    "toep": frozenset({""}),
    "ou": frozenset({"exp", ""}),
    "exp": frozenset({"ou", ""}),
}
ONE_CORRELATION = ("homcs", "cs", "ar1", "hetar1", "ou", "exp")  # at its bound they are a random intercept
NO_CORRELATION = (
    "without the term its correlations have no value, so that the likelihood ratio has no chi-squared "
    "distribution"
)
SEVERAL = "several parameters, some of a pattern, stand on the boundary of their domain"


@dataclass(frozen=True)
class PatternNesting:
    """How a model lies within another, by the rules.

    Attributes:
        one_sided: Parameters of the larger model that are at their bound in the smaller one: 0 or 1.
        reason: Why the likelihood ratio has no distribution of a formula; empty where it has.
    """

    one_sided: int = 0
    reason: str = ""


def has_pattern(problem: Problem) -> bool:
    """Whether some random effects have a pattern that is none of any matrix of two columns."""
    return any(isinstance(term.structure, PatternedStructure) for term in problem.terms)


def without_idle_patterns(problem: Problem) -> Problem:
    """The same with two columns of a variance each and a correlation as what they are, unstructured."""
    return replace(problem, terms=tuple(map(_plain_pair, problem.terms)))


def _plain_pair(term: Term) -> Term:
    structure = term.structure
    idle = isinstance(structure, PatternedStructure) and structure.own and structure.width == 2
    return replace(term, structure=structure_of("", 2)) if idle else term


def pattern_nesting(small: Problem, large: Problem) -> PatternNesting | None:
    """How the random effects of one problem lie among those of another; None where no rule tells."""
    left, sides, reasons = list(large.terms), 0, list[str]()
    for term in sorted(small.terms, key=lambda t: -len(t.columns)):
        found = None
        for other in left:
            found = _inside(small, term, large, other)
            if found is not None:
                left.remove(other)
                sides += found
                break
        if found is None:
            return None
    for other in left:
        if isinstance(other.structure, PatternedStructure) and other.structure.count > 1:
            reasons.append(NO_CORRELATION)
        sides += other.structure.count
    if sides > 1:
        reasons.append(SEVERAL)
    return PatternNesting(min(sides, 1), reasons[0] if reasons else "")


def _inside(small: Problem, one: Term, large: Problem, two: Term) -> int | None:
    """How many parameters of a term are at their bound where it is the other; None: it never is."""
    if one.levels != two.levels or not np.array_equal(_first(one), _first(two)):
        return None
    if bool(one.members) != bool(two.members) or (one.relation is None) != (two.relation is None):
        return None
    Z, W = ([p.columns[c] for c in t.columns] for p, t in ((small, one), (large, two)))
    if len(Z) == len(W) and all(map(np.array_equal, Z, W)):
        return 0 if contains(two.structure, one.structure) else None
    tag = two.structure.tag
    if len(Z) == 1 and len(W) > 1 and tag in ONE_CORRELATION and np.array_equal(Z[0], np.sum(W, axis=0)):
        return 1
    less = len(Z) == len(W) - 1 and all(any(np.array_equal(z, w) for w in W) for z in Z)
    # Any matrix of two columns is of two variances and one correlation.
    one_correlation = one.structure.tag == "cs" or (one.structure.tag == "" and len(Z) == 2)
    return 1 if less and len(Z) > 1 and tag == "cs" and one_correlation else None


def _first(term: Term) -> np.ndarray:
    """(n,) the row in which each row's level occurs first: the same for the same division of the rows."""
    first = np.full(term.levels, len(term.codes), np.intp)
    np.minimum.at(first, term.codes, np.arange(len(term.codes)))
    return first[term.codes]


def contains(large: Structure, small: Structure) -> bool:
    """Whether every matrix of one structure is one of another, of the same columns."""
    if large == small:
        return True
    if isinstance(large, Exponential) and isinstance(small, Exponential):
        return large.positions == small.positions
    return large.tag in WITHIN.get(small.tag, frozenset())
