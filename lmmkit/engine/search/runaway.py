"""Parameters of a residual structure that run away: to a limit that no parameter value reaches."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.residual_structure import ResidualStructure
from lmmkit.engine.criterion.criterion import Evaluation
from lmmkit.errors import FitError, first_of

BOUND = 1e-6  # share of its range within which a correlation is at its bound
FLAT = (
    1e-6  # [deviance per squared unit of a coordinate] curvature that is none: standard errors beyond 1,000
)
SLOPE = 1e-3  # [deviance per unit of a coordinate] slope that is no rounding: a straight way down has no end
NEARLY_SINGULAR = 1e-4  # eigenvalue of a correlation matrix that a search has not ended at by itself
NO_VARIANCE = 1e-9  # share of the largest variance: what is left of its digits is not enough for a result
DETERMINED = 0.01  # the same, where the search is seen to run away
TAKES_PART = 0.1  # share of the longest step that a parameter's own has at least, to be named
REMEDY = (
    "Take a structure with fewer parameters, or leave a visit out that the others (or the fixed effects) "
    "determine."
)


def runaway(point: Evaluation, step: Floats) -> str:
    """What is said of a search that follows a step for ever."""
    structure = point.criterion.source.structure
    said = _determined(point, structure, DETERMINED) if isinstance(structure, ResidualStructure) else ""
    if said:
        return said
    rho, along = point.rho, step[-len(point.rho) :]
    sizes = np.abs(along) / structure.units(rho)
    change = structure.natural_jacobian(rho) @ along
    moved = np.abs(structure.natural_jacobian(rho)) @ (sizes > TAKES_PART * sizes.max())
    shown = [
        f"{name} = {value:.6g} and {'rising' if slope > 0 else 'falling'}"
        for name, value, slope, part in zip(
            structure.names, structure.natural(rho), change, moved, strict=True
        )
        if part > 0.0 and slope != 0.0
    ]
    return (
        f"The residual structure has no best parameters: {first_of(shown, 4, '; ')}, without end, while the "
        f"deviance ({point.deviance:.6f}) hardly changes any more. The data cannot tell them from their "
        f"limit, where the covariance matrix is singular. {REMEDY}"
    )


def endless(point: Evaluation) -> str:
    """What is said where a range has run beyond all distances."""
    structure = point.criterion.source.structure
    said = "; ".join(
        f"{name} = {value:.3g}"
        for name, value in zip(structure.names, structure.natural(point.rho), strict=True)
    )
    return (
        f"The residual structure has no best parameters: its range grows without bound ({said}), while the "
        f"deviance ({point.deviance:.6f}) falls towards a limit: over these distances the correlation cannot "
        "be told from one that is the same for all pairs of rows. Use ML, leave the nugget out, or take a "
        "simpler structure, or a random effect of the subject in its place."
    )


def refuse_no_optimum(point: Evaluation, *, converged: bool) -> None:
    """Refuse where R is singular but for rounding, or the data do not tell what it is.

    Raises:
        FitError: A correlation is at its bound, the search has run to a singular matrix, or the deviance is
            flat along some parameters.
    """
    structure, rho = point.criterion.source.structure, point.rho
    if not len(rho):
        return
    if not isinstance(structure, ResidualStructure):
        if not structure.no_correlation(rho):  # where there is none, its range and nugget do not matter
            refuse_flat(point)
        return
    said = structure.at_bound(rho, BOUND)
    if said:
        raise FitError(
            f"The residual covariance matrix is singular at the optimum: {said}, which means that the sum of "
            f"a subject's residuals does not vary. {REMEDY}"
        )
    variances = structure.matrix(rho).diagonal()
    least, most = int(np.argmin(variances)), int(np.argmax(variances))
    if variances[least] < NO_VARIANCE * variances[most]:
        raise FitError(
            f"The variance at {structure.labels[least]} is {variances[least] / variances[most]:.1g} of that "
            f"at {structure.labels[most]}. Leave it out where the fixed effects reproduce the response, or "
            "bring all rows to one unit of measurement: so far apart, they leave each other no digits."
        )
    refuse_flat(point)
    said = "" if converged else _determined(point, structure, NEARLY_SINGULAR)
    if said:
        raise FitError(said)


def refuse_flat(point: Evaluation) -> None:
    """Refuse where the deviance is the same along some parameters.

    Raises:
        FitError: Its curvature along them is none; that it falls all the same is another sentence.
    """
    structure, r = point.criterion.source.structure, len(point.rho)
    units = structure.units(point.rho)
    values, vectors = np.linalg.eigh(point.hessian[-r:, -r:] * np.outer(units, units))
    if abs(values[0]) < FLAT:
        changes = np.abs(structure.natural_jacobian(point.rho) @ (units * vectors[:, 0]))
        parts = zip(structure.names, changes, strict=True)
        told = [name for name, part in parts if part > 0.1 * np.linalg.norm(changes)]
        named = f"{', '.join(told)} of the residual structure"
        if abs(float(point.gradient[-r:] * units @ vectors[:, 0])) > SLOPE:
            raise FitError(
                f"The likelihood has no maximum: it grows at an even rate, without end, while {named} runs "
                f"to where the residual covariance matrix is singular. {REMEDY}"
            )
        raise FitError(
            f"The data do not tell {named}: beside the fixed effects the deviance is the same for all "
            f"values. {REMEDY}"
        )


def _determined(point: Evaluation, structure: ResidualStructure, below: float) -> str:
    """What is said where an eigenvalue of the correlations is below a bound, and a search has not ended."""
    R = structure.matrix(point.rho)
    for block in structure.blocks:
        cells = list(dict(zip(block.places.tolist(), block.cells, strict=True)).values())
        s = np.sqrt(R[cells, cells])
        values, vectors = np.linalg.eigh(R[np.ix_(cells, cells)] / np.outer(s, s))
        if values[0] < below:
            part = [structure.labels[c] for c, w in zip(cells, np.abs(vectors[:, 0]), strict=True) if w > 0.1]
            return (
                "The search has run to a residual covariance matrix that is singular, or nearly so, and no "
                f"maximum of the likelihood: {', '.join(part)} determine each other. Either the response at "
                "one of them is a copy or a function of that at others, or too few subjects have rows at "
                f"all of them for so many parameters. {REMEDY}"
            )
    return ""
