"""How the residual structure of one model lies within that of another, where not all is a matter of cells.

R = S C S, standard deviations and a correlation. The logs of the SDs are a linear family, so those of one
model lie in another's where one column space holds the other, and always inside it. Of correlations

    independent in car1, expsp              at the edge, a range of 0
    independent in expsp with a nugget      nowhere: the nugget has no meaning without a correlation
    expsp in expsp with a nugget            at the edge, a nugget of 0
    independent in that of visits           inside
    car1, expsp and visits in themselves    where subjects and distances are the same
    car1, expsp in that of visits           where a member of the one is one of the other, inside
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.covariance.residual_structure import ResidualStructure
from lmmkit.engine.covariance.row_structure import Decaying, RowCorrelation, Spatial
from lmmkit.engine.crossproducts.elimination_order import same_groups
from lmmkit.engine.problem import Problem, Residual, RowResidual

SPAN = 1e-9  # share of its length by which a column may miss a space that holds it
NO_MEANING = (
    "`nugget` has no meaning where there is no correlation, so that the likelihood ratio has no known "
    "distribution"
)


class ResidualStep(NamedTuple):
    """How one R lies within another.

    Attributes:
        same: Whether they are one.
        edges: Parameters of the larger one that are at an end of their range in the smaller one.
        unfit: Why the likelihood ratio between them has no known distribution, or nothing.
    """

    same: bool = False
    edges: int = 0
    unfit: str = ""


@dataclass(frozen=True, eq=False)
class ResidualParts:
    """S and C of a model's residuals.

    Attributes:
        spans: (m, n) columns whose combinations, with a constant, the logs of the SDs are.
        correlation: The process or the visits; None: rows are independent.
        residual: Where its subjects, times, places and cells stand.
    """

    spans: Floats
    correlation: RowCorrelation | None
    residual: Residual | RowResidual | None

    @property
    def where(self) -> Floats | None:
        """(n, d) times, or places."""
        of = self.residual
        if not isinstance(of, RowResidual):
            return None
        return of.positions if of.times is None else of.times[:, None]


def parts_of(problem: Problem) -> ResidualParts:
    """S and C of a problem's residuals; SDs of visits stand with the other ones."""
    residual, n = problem.residual, len(problem.response)
    if residual is None:
        return ResidualParts(np.empty((0, n)), None, None)
    if isinstance(residual, Residual):
        return ResidualParts(
            _of_cells(residual.structure, residual.cells), _correlation(residual.structure), residual
        )
    variance, process = residual.structure.variance, residual.structure.correlation
    spans = [np.empty((0, n))]
    if variance is not None and residual.covariate is not None:
        spans.append(variance.slopes(residual.covariate))
    if isinstance(process, ResidualStructure) and residual.cells is not None:
        spans.append(_of_cells(process, residual.cells))
        return ResidualParts(np.concatenate(spans), _correlation(process), residual)
    return ResidualParts(np.concatenate(spans), process, residual)


def _of_cells(structure: ResidualStructure, cells: Ints) -> Floats:
    """(m, n) which rows each variance is of."""
    return np.array([np.isin(cells, own) for own in structure.variances], np.float64)


def _correlation(structure: ResidualStructure) -> ResidualStructure | None:
    return None if all(block.correlation == "ident" for block in structure.blocks) else structure


def follows_fit(problem: Problem) -> bool:
    """Whether the variance follows the fitted values, so that no likelihood is maximised."""
    variance = problem.residual.structure.variance if isinstance(problem.residual, RowResidual) else None
    return variance is not None and variance.fitted


def residual_step(small: Problem, large: Problem) -> ResidualStep | None:
    """How the R of one problem lies within that of another of the same rows; None: it does not."""
    one, other = parts_of(small), parts_of(large)
    if not _within(one.spans, other.spans):
        return None
    found = _of_correlations(one, other)
    return found and found._replace(same=found.same and _within(other.spans, one.spans))


def _within(spans: Floats, others: Floats) -> bool:
    """Whether the columns are combinations of others and of a constant."""
    basis, R = np.linalg.qr(np.concatenate([np.ones((1, others.shape[1])), others]).T)
    kept = np.abs(R.diagonal()) > SPAN * np.linalg.norm(R, axis=0).max()
    basis = (
        basis[:, kept] if kept.all() else np.linalg.svd(basis @ R, full_matrices=False)[0][:, : kept.sum()]
    )
    missed = spans - (spans @ basis) @ basis.T
    return bool((np.linalg.norm(missed, axis=1) <= SPAN * np.linalg.norm(spans, axis=1)).all())


def _of_correlations(one: ResidualParts, other: ResidualParts) -> ResidualStep | None:
    """How the C of one lies within that of the other."""
    small, large = one.correlation, other.correlation
    if small is None:
        if large is None:
            return ResidualStep(same=True)
        if isinstance(large, ResidualStructure):
            return ResidualStep()
        nugget = isinstance(large, Spatial) and large.nugget
        return ResidualStep(unfit=NO_MEANING) if nugget else ResidualStep(edges=1)
    assert one.residual is not None
    if (
        large is None
        or other.residual is None
        or not same_groups(one.residual.subjects, other.residual.subjects)
    ):
        return None
    if isinstance(small, ResidualStructure) and isinstance(large, ResidualStructure):
        cells, others = one.residual.cells, other.residual.cells
        if small != large or cells is None or others is None:
            return None
        return ResidualStep(same=True) if np.array_equal(cells, others) else None
    if not (isinstance(small, Decaying) and isinstance(large, Decaying)):
        return None
    if not _same_distances(one, other):
        return None
    inner, outer = (isinstance(process, Spatial) and process.nugget for process in (small, large))
    if inner == outer:
        return ResidualStep(same=True)
    return ResidualStep(edges=1) if outer else None


def _same_distances(one: ResidualParts, other: ResidualParts) -> bool:
    """Whether rows are as far from the two before them in their subject, in whatever unit."""
    assert one.residual is not None
    assert one.where is not None
    assert other.where is not None
    order = np.argsort(one.residual.subjects, kind="stable")
    subjects, a, b = one.residual.subjects[order], one.where[order], other.where[order]
    found = list[Floats]()
    for where in (a, b):
        steps = [
            np.linalg.norm(where[k:] - where[:-k], axis=1) * (subjects[k:] == subjects[:-k]) for k in (1, 2)
        ]
        lengths = np.concatenate(steps)
        found.append(lengths / (lengths.sum() or 1.0))
    return bool(np.allclose(*found, rtol=0.0, atol=SPAN * float(found[0].max())))
