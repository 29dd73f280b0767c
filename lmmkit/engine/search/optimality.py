"""The conditions of a local optimum on the cone (Karush, Kuhn & Tucker), each with its threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.criterion.criterion import Criterion, Evaluation
from lmmkit.engine.problem import Floats
from lmmkit.engine.search import covariance_cone as cone
from lmmkit.engine.search.rules import Rules


@dataclass(frozen=True)
class Check:
    """One line of a certificate."""

    name: str
    value: float
    threshold: float
    passed: bool


def optimality(point: Evaluation, scale: list[Floats], decrement: float, rules: Rules) -> list[Check]:
    """Whether a point meets the conditions: decrement, complementarity, multipliers, curvature."""
    factors = point.criterion.layout.factors
    multiplier = min(
        (
            float(values[0])
            for factor, D, s in zip(factors, point.D, scale, strict=True)
            for values, _ in cone.scaled_slopes(factor, D, s)
        ),
        default=0.0,
    )
    step = max(
        (
            float(np.abs((L.T @ D @ L) * factor.mask).max() / factor.levels)
            for factor, L, D in zip(factors, point.L, point.D, strict=True)
        ),
        default=0.0,
    )
    curvature = least_curvature(point.criterion, point)
    least, flat, most = -rules.multiplier, -rules.flat, rules.complementarity
    return [
        Check("Newton decrement (deviance units)", decrement, rules.found, decrement <= rules.found),
        Check("complementarity: |L'DL| / levels", step, most, step <= most),
        Check("multipliers: least slope along the cone", multiplier, least, multiplier >= least),
        Check("curvature: least eigenvalue", curvature, flat, curvature >= flat),
    ]


def least_curvature(criterion: Criterion, point: Evaluation) -> float:
    """Least eigenvalue of the Hessian among the directions that are not null, as a share of the largest."""
    free = criterion.theta([np.ones_like(L) * (L.diagonal() != 0) for L in point.L]).astype(bool)
    values = np.linalg.eigvalsh(point.hessian[np.ix_(free, free)])
    return float(values[0] / values[-1]) if len(values) and values[-1] > 0 else 1.0
