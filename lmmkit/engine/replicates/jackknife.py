"""A model fitted again without some of its units: the jackknife behind BCa intervals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lmmkit.engine.crossproducts.elimination_order import parents_of
from lmmkit.engine.influence.remaining import remaining
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.solve import Solution, solve
from lmmkit.errors import FitError

MOST = 50  # fits; with more units some are left out together


def without_units(problem: Problem, *, reml: bool) -> Iterator[Solution]:
    """The fits without each unit, or each set of units, those that cannot be made left out.

    Units are the subjects of a residual structure; else the levels of the coarsest grouping factor where all
    the others are nested in it, and otherwise of the one with the most levels.

    Raises:
        FitError: The residual structure is none over visits.
    """
    visits = problem.visits
    codes = unit_term(problem).codes if visits is None else visits.subjects
    count = int(codes.max()) + 1
    for block in np.array_split(np.arange(count), min(count, MOST)):
        try:
            yield solve(remaining(problem, ~np.isin(codes, block)), reml=reml)
        except FitError:
            continue


def unit_term(problem: Problem) -> Term:
    """A term on the factor whose levels are the units."""
    terms = sorted(problem.terms, key=lambda term: term.levels)
    coarsest = terms[0]
    held = (parents_of(term.codes, term.levels, coarsest.codes) for term in terms)
    return coarsest if all(parent is not None for parent in held) else terms[-1]
