"""The problem of the rows left when some are taken out, and its fit from where the whole one ended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats
from lmmkit.engine.optimum import Optimum
from lmmkit.engine.problem import FitNumbers, Problem, Residual, RowResidual, Term
from lmmkit.engine.solve import Solution, solve, solve_at
from lmmkit.errors import FitError

ROW, EFFECT, CUBE, FIXED = 3e-7, 2e-6, 2e-10, 4e-3  # seconds of a refit a row and column, an effect, ...


def remaining(problem: Problem, keep: NDArray[np.bool_]) -> Problem:
    """The problem of some rows, levels without rows left out where no known covariance relates them.

    Args:
        problem: All rows.
        keep: (n,) which rows stay.

    Raises:
        FitError: A structure over visits has lost one.
    """
    return replace(
        problem,
        columns=tuple(_kept(column, keep) for column in problem.columns),
        response=problem.response[keep],
        terms=tuple(_term(term, keep) for term in problem.terms),
        weights=None if problem.weights is None else problem.weights[keep],
        offset=None if problem.offset is None else problem.offset[keep],
        residual=None if problem.residual is None else _residual(problem.residual, keep),
    )


def _kept(column: Floats, keep: NDArray[np.bool_]) -> Floats:
    """A column's rows; of a constant one still no more than one number."""
    if column.strides == (0,):
        return np.broadcast_to(column[0], int(keep.sum()))
    return column[keep]


def _term(term: Term, keep: NDArray[np.bool_]) -> Term:
    codes = term.codes[keep]
    members = tuple((own[keep], weights[keep]) for own, weights in term.members)
    if term.relation is not None:
        return replace(term, codes=codes, members=members)
    met = [own[weights != 0.0] for own, weights in members] or [codes]
    levels = np.unique(np.concatenate(met))
    place = np.zeros(term.levels, dtype=np.intp)
    place[levels] = np.arange(len(levels))
    return replace(
        term,
        codes=place[codes],
        levels=len(levels),
        members=tuple((place[own], weights) for own, weights in members),
    )


def _residual(residual: Residual | RowResidual, keep: NDArray[np.bool_]) -> Residual | RowResidual:
    codes = residual.subjects[keep]
    met, subjects = np.unique(codes, return_inverse=True)
    names = [residual.names[i] for i in met] if len(residual.names) else ()
    cells = residual.cells
    if cells is not None and len(np.unique(cells[keep])) < len(np.unique(cells)):
        raise FitError("a visit of the residual structure has no row among the rows left")
    if isinstance(residual, Residual):
        return replace(residual, cells=residual.cells[keep], subjects=subjects, names=names)

    def own(values: Floats | None) -> Floats | None:
        return None if values is None else values[keep]

    return replace(
        residual,
        subjects=subjects,
        names=names,
        covariate=own(residual.covariate),
        times=own(residual.times),
        positions=own(residual.positions),
        cells=None if cells is None else cells[keep],
    )


def fit_of_rest(left: Problem, fit: FitNumbers, held: tuple[tuple[Floats, ...], float] | None) -> Solution:
    """The fit of the rows left, searched for from the variances of all rows.

    A search from a variance of zero stays there: of a singular fit it begins from the moments.

    Args:
        left: The rows left.
        fit: The fit of all rows.
        held: Lambda of each term and sigma where they are given; then nothing is searched for.

    Raises:
        FitError: The rows left cannot be fitted, have a single level of a factor, or do not estimate all
            coefficients.
    """
    if any(term.levels < 2 for term in left.terms):
        raise FitError("a grouping factor has a single level in the rows left")
    if held is not None:
        found = solve_at(left, *held, reml=fit.reml)
    else:
        start = None if any(fit.null_directions) else fit.factors
        rho = fit.rho if left.residual is not None else None
        found = solve(left, reml=fit.reml, start=start, rho=rho)
    if found.kept != fit.kept:
        raise FitError("The rows left do not estimate all coefficients.")
    return found


def refit_seconds(optimum: Optimum) -> float:
    """What a refit may take by its size alone, in seconds of a slow machine; never measured."""
    layout, prepared = optimum.layout, optimum.prepared
    effects = sum(factor.levels * factor.width for factor in layout.factors)
    columns = len(prepared.rows) + sum(factor.width for factor in layout.factors)
    parameters = len(optimum.state.theta)
    if optimum.criterion.source.count:
        columns *= 8 * (1 + optimum.criterion.source.count)
    return (
        FIXED * (1 + parameters)
        + ROW * len(optimum.problem.response) * columns
        + EFFECT * effects * (1 + parameters)
        + CUBE * 6.0 * float(layout.size) ** 3
    )
