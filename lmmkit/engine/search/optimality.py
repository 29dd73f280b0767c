"""Where a search has ended: null directions set to zero, and the conditions of an optimum on the cone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.row_structure import RowStructure
from lmmkit.engine.criterion.criterion import Evaluation
from lmmkit.engine.rules import FitRules


def set_null(point: Evaluation, scale: list[Floats], rules: FitRules) -> Evaluation:
    """The point with every null direction of every T at exact zero.

    A direction is null when zeroing it leaves the deviance as it is and its multiplier is not negative. The
    weakest directions of each part are tried one after the other, while the deviance does not notice.
    """
    layout = point.criterion.layout
    for f, factor in enumerate(layout.factors):
        ways = factor.structure.thinner(point.L[f], scale[f])
        for part in range(len(ways)):
            for _ in range(factor.width):
                if not 0.0 < ways[part].value <= rules.suspect:
                    break
                _, back, left = ways[part]
                L = [*point.L[:f], factor.structure.root_of(left), *point.L[f + 1 :]]
                trial = point.criterion.evaluate(np.append(layout.coordinates(L), point.rho))
                if trial.deviance > point.deviance + rules.negligible:
                    break
                if np.vdot(trial.D[f], back) / factor.levels < -rules.null_multiplier:
                    break  # T would grow again by itself
                point = trial
                ways = factor.structure.thinner(point.L[f], scale[f])
    return point


def set_uncorrelated(point: Evaluation, rules: FitRules) -> Evaluation:
    """The point without a correlation that has faded, where the deviance does not notice."""
    structure = point.criterion.source.structure
    if not isinstance(structure, RowStructure) or not structure.fading(point.rho):
        return point
    trial = point.criterion.evaluate(
        np.append(point.theta[: -len(point.rho)], structure.uncorrelated(point.rho))
    )
    return trial if trial.deviance <= point.deviance + rules.negligible else point


@dataclass(frozen=True)
class Check:
    """One line of a certificate."""

    name: str
    value: float
    threshold: float
    passed: bool


def optimality(point: Evaluation, scale: list[Floats], decrement: float, rules: FitRules) -> list[Check]:
    """Conditions of a local optimum (Karush, Kuhn & Tucker), and whether a point meets them.

    Those of a cone of covariance matrices are asked where there is one: without random effects there is not.
    """
    factors = point.criterion.layout.factors
    slopes = point.criterion.layout.growths(point.L, point.D, scale)
    multiplier = min((float(growth.slope) for _, growth in slopes), default=0.0)
    step = max(
        (
            factor.structure.imbalance(L, D) / factor.levels
            for factor, L, D in zip(factors, point.L, point.D, strict=True)
        ),
        default=0.0,
    )
    curvature = least_curvature(point)
    least, flat, most = -rules.multiplier, -rules.flat, rules.complementarity
    cone = [
        Check("complementarity: |L'DL| / levels", step, most, step <= most),
        Check("multipliers: least slope along the cone", multiplier, least, multiplier >= least),
    ]
    return [
        Check("Newton decrement (deviance units)", decrement, rules.found, decrement <= rules.found),
        *(cone if factors else ()),
        Check("curvature: least eigenvalue", curvature, flat, curvature >= flat),
    ]


def least_curvature(point: Evaluation) -> float:
    """Least eigenvalue of the Hessian among the directions that are not null, as a share of the largest."""
    of_rho = point.criterion.source.structure.free(point.rho)
    free = np.append(point.criterion.layout.free(point.theta), of_rho)
    values = np.linalg.eigvalsh(point.hessian[np.ix_(free, free)])
    return float(values[0] / values[-1]) if len(values) and values[-1] > 0 else 1.0
