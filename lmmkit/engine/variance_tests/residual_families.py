"""Whether the covariance matrices of one model are among those of another with a structure of visits.

Members of the smaller model are drawn at random and looked for in the larger one. No family of residual
structures of visits has an edge on which a smaller one could lie, so that a likelihood ratio between them is
chi-squared; but for random effects in the smaller one, whose variances have one at zero.
"""

from __future__ import annotations

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.residual_structure import ResidualStructure
from lmmkit.engine.crossproducts.elimination_order import same_groups
from lmmkit.engine.crossproducts.identification import by_cell, over_cells
from lmmkit.engine.problem import Problem, Residual, RowResidual
from lmmkit.engine.variance_tests.covariance_families import entries_of

DRAWS = 4  # members of the smaller model that are looked for in the larger one
SMALL = 0.3  # size of their coordinates: correlations are then far from those of the widest start
SAME = 1e-9  # share of the largest variance by which a matrix may miss a member


def residuals_nested(small: Problem, large: Problem) -> bool:
    """Whether every covariance matrix of the response in one model is one of the other, to a scale.

    Args:
        small: A model of the same rows; of its random effects, if it has any, the levels must be the larger
            model's subjects.
        large: A model with a residual structure and without random effects.
    """
    if not isinstance(large.residual, Residual) or large.terms:
        return False
    draw = np.random.default_rng(0)
    drawn = [_member(small, large.residual, draw) for _ in range(DRAWS)]
    return all(R is not None and contains(large.residual.structure, R) for R in drawn)


def contains(structure: ResidualStructure, R: Floats) -> bool:
    """Whether a (T, T) covariance matrix is a member times a number, where cells may meet in a subject."""
    found = structure.matrix(structure.start(R, np.ones_like(R)))
    missed = np.abs(found * (R[0, 0] / found[0, 0]) - R)
    for block in structure.blocks:
        may_meet = (block.places[:, None] != block.places) | np.eye(len(block.cells), dtype=bool)
        if (missed[block.here] * may_meet).max() > SAME * float(R.diagonal().max()):
            return False
    return True


def _member(problem: Problem, residual: Residual, draw: np.random.Generator) -> Floats | None:
    """(T, T) a model's covariance matrix at random parameters over another's cells; None: it has none."""
    R = _residual_member(problem.residual, residual, draw)
    for term in problem.terms:
        Z = over_cells(problem, term, residual)
        if R is None or Z is None:
            return None
        Z = Z / max(float(np.abs(Z).max()), 1.0)
        A = np.eye(len(Z)) + SMALL * np.abs(draw.normal(size=(len(Z), len(Z))))
        span = term.structure.span
        T = np.einsum("i,iab->ab", entries_of(span, A @ A.T), span)
        R = R + SMALL * Z.T @ T @ Z
    return R


def _residual_member(
    own: Residual | RowResidual | None, other: Residual, draw: np.random.Generator
) -> Floats | None:
    """(T, T) the part of the residuals."""
    if own is None:
        return np.eye(other.structure.size)
    rho = SMALL * np.abs(draw.normal(size=own.structure.count))
    R = _of_rows(own, other, rho) if isinstance(own, RowResidual) else _of_visits(own, other, rho)
    if R is None or not (R - np.diag(R.diagonal())).any():
        return R
    return R if same_groups(own.subjects, other.subjects) else None


def _of_visits(own: Residual, other: Residual, rho: Floats) -> Floats | None:
    """(T, T) of visits at rho over another's cells."""
    cells = by_cell(own.cells, other)
    if cells is None:
        return None
    places = cells.astype(np.intp)
    R = own.structure.matrix(rho)[np.ix_(places, places)]
    alone = all(block.correlation == "ident" for block in own.structure.blocks)
    return np.diag(R.diagonal()) if alone else R


def _of_rows(own: RowResidual, other: Residual, rho: Floats) -> Floats | None:
    """(T, T) of a variance function and a correlation at rho, where the cells tell their numbers."""
    first, second = own.structure.cuts
    variance, process, g = own.structure.variance, own.structure.correlation, np.ones(other.structure.size)
    if variance is not None and own.covariate is not None:
        covariate = by_cell(own.covariate, other)
        if covariate is None:
            return None
        g = variance.sds(rho[first], covariate)
    if process is None:
        return np.diag(g**2)
    if isinstance(process, ResidualStructure):
        cells = None if own.cells is None else by_cell(own.cells, other)
        C = None if cells is None else process.matrix(rho[second])[np.ix_(*2 * [cells.astype(np.intp)])]
        return None if C is None else np.outer(g, g) * C
    where = own.positions if own.times is None else own.times[:, None]
    columns = [] if where is None else [by_cell(column, other) for column in where.T]
    known = [column for column in columns if column is not None]
    if len(known) < max(len(columns), 1):
        return None
    x = np.array(known)
    distance = np.sqrt(((x[:, :, None] - x[:, None, :]) ** 2).sum(axis=0))
    return np.outer(g, g) * process.correlation(rho[second], distance)
