"""Parameters of a residual structure that run away: to a limit that no parameter value reaches."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.criterion import Evaluation
from lmmkit.errors import FitError

BOUND = 1e-6  # share of its range within which a correlation is at its bound
TAKES_PART = 0.1  # share of the longest step that a parameter's own has at least, to be named
REMEDY = (
    "Take a structure with fewer parameters, or leave a visit out that the others (or the fixed effects) "
    "determine."
)


def runaway(point: Evaluation, step: Floats) -> str:
    """What is said of a search that follows a step for ever."""
    structure = point.criterion.source.structure
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
    listed = "; ".join(shown[:4]) + (f"; and {len(shown) - 4} more" if len(shown) > 4 else "")
    return (
        f"The residual structure has no best parameters: {listed}, without end, while the deviance "
        f"({point.deviance:.6f}) hardly changes any more. The data cannot tell them from their limit, where "
        f"the covariance matrix is singular. {REMEDY}"
    )


def refuse_bound(point: Evaluation) -> None:
    """Refuse an optimum where R is singular but for rounding.

    Raises:
        FitError: It is one.
    """
    said = point.criterion.source.structure.at_bound(point.rho, BOUND)
    if said:
        raise FitError(
            f"The residual covariance matrix is singular at the optimum: {said}, which means that the sum of "
            f"a subject's residuals does not vary. {REMEDY}"
        )
