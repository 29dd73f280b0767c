"""A model fitted again without some of its units: the jackknife behind BCa intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lmmkit.engine.arrays import Ints
from lmmkit.engine.crossproducts.elimination_order import parents_of
from lmmkit.engine.influence.remaining import remaining
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.solve import Solution, solve
from lmmkit.errors import FitError

MOST = 50  # fits; with more units some are left out together


def without_units(problem: Problem, *, reml: bool) -> Iterator[Solution]:
    """The fits without each unit, or each set of units, those that cannot be made left out.

    Units are the levels of the coarsest factor, of the grouping factors and the subjects of a residual
    structure, where all the others are nested in it, and otherwise of the one with the most levels.

    Raises:
        FitError: The residual structure is none over visits.
    """
    codes = unit_codes(problem)
    count = int(codes.max()) + 1
    for block in np.array_split(np.arange(count), min(count, MOST)):
        try:
            yield solve(remaining(problem, ~np.isin(codes, block)), reml=reml)
        except FitError:
            continue


def unit_codes(problem: Problem) -> Ints:
    """(n,) the unit of each row.

    Raises:
        FitError: The residual structure is none over visits.
    """
    factors, visits = [term.codes for term in problem.terms], problem.visits
    return _units([*factors, visits.subjects] if visits is not None else factors)


def unit_term(problem: Problem) -> Term:
    """A term on the grouping factor whose levels are the units where no residual structure has subjects."""
    codes = _units([term.codes for term in problem.terms])
    return next(term for term in problem.terms if term.codes is codes)


def _units(factors: Sequence[Ints]) -> Ints:
    """The coarsest factor where all others are nested in it; otherwise the one with the most levels."""
    ordered = sorted(factors, key=lambda codes: int(codes.max()))
    held = (parents_of(codes, int(codes.max()) + 1, ordered[0]) for codes in ordered)
    return ordered[0] if all(parent is not None for parent in held) else ordered[-1]
