"""A model fitted again without some of its units: the jackknife behind BCa intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.crossproducts.elimination_order import parents_of
from lmmkit.engine.problem import Problem, Residual, Term
from lmmkit.engine.solution import Solution
from lmmkit.engine.solve import solve
from lmmkit.errors import FitError

MOST = 50  # fits; with more units some are left out together


def without_units(problem: Problem, *, reml: bool) -> Iterator[Solution]:
    """The fits without each unit, or each set of units, those that cannot be made left out.

    Units are the subjects of a residual structure; else the levels of the coarsest grouping factor where all
    the others are nested in it, and otherwise of the one with the most levels.
    """
    codes = unit_term(problem).codes if problem.residual is None else problem.residual.subjects
    count = int(codes.max()) + 1
    for block in np.array_split(np.arange(count), min(count, MOST)):
        try:
            yield solve(subset(problem, ~np.isin(codes, block)), reml=reml)
        except FitError:
            continue


def unit_term(problem: Problem) -> Term:
    """A term on the factor whose levels are the units."""
    terms = sorted(problem.terms, key=lambda term: term.levels)
    coarsest = terms[0]
    held = (parents_of(term.codes, term.levels, coarsest.codes) for term in terms)
    return coarsest if all(parent is not None for parent in held) else terms[-1]


def subset(problem: Problem, rows: NDArray[np.bool_]) -> Problem:
    """The problem on some of its rows; levels that no longer occur are gone.

    Raises:
        FitError: No row is left in a cell of the residual structure.
    """
    visits = problem.visits
    return Problem(
        columns=tuple(_part(column, rows) for column in problem.columns),
        fixed=problem.fixed,
        response=problem.response[rows],
        terms=tuple(_recoded(term, rows) for term in problem.terms),
        weights=None if problem.weights is None else problem.weights[rows],
        offset=None if problem.offset is None else problem.offset[rows],
        residual=None if visits is None else _recelled(visits, rows),
    )


def _part(column: Floats, rows: NDArray[np.bool_]) -> Floats:
    """Some rows; a constant column stays one that takes no memory."""
    return np.broadcast_to(column[0], int(rows.sum())) if column.strides == (0,) else column[rows]


def _recoded(term: Term, rows: NDArray[np.bool_]) -> Term:
    """The term on some rows."""
    present, codes = np.unique(term.codes[rows], return_inverse=True)
    return replace(term, codes=codes.astype(np.intp), levels=len(present))


def _recelled(residual: Residual, rows: NDArray[np.bool_]) -> Residual:
    """The residual structure on some rows."""
    cells = residual.cells[rows]
    empty = np.flatnonzero(np.bincount(cells, minlength=residual.structure.size) == 0)
    if empty.size:
        raise FitError(f"No row is left of {residual.structure.labels[empty[0]]}.")
    present, subjects = np.unique(residual.subjects[rows], return_inverse=True)
    names = [residual.names[one] for one in present] if len(residual.names) else ()
    return replace(residual, cells=cells, subjects=subjects.astype(np.intp), names=names)
