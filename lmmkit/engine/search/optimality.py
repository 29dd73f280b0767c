"""The conditions of a local optimum on the cone (Karush, Kuhn & Tucker), each with its threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.criterion.criterion import Criterion, State
from lmmkit.engine.search.search import Search

FLAT = -1e-9  # least curvature, as a share of the largest, that rounding may leave at an optimum


@dataclass(frozen=True)
class Check:
    """One line of a certificate."""

    name: str
    value: float
    threshold: float
    passed: bool


def optimality(search: Search, state: State) -> list[Check]:
    """Whether a state meets the conditions: decrement, complementarity, multipliers, curvature."""
    layout, scale = search.criterion.layout, search.scale
    slopes = [
        float(slope)
        for factor, D, s in zip(layout.factors, state.D, scale, strict=True)
        for slope, _ in factor.structure.growths(D / factor.levels, s)
    ]
    least = min(slopes, default=0.0)
    step = [
        float(np.abs((L.T @ D @ L) * factor.structure.mask).max() / factor.levels)
        for factor, L, D in zip(layout.factors, state.L, state.D, strict=True)
    ]
    curvature = least_curvature(search.criterion, state)
    return [
        Check("Newton decrement (deviance units)", search.decrement, 1e-8, search.decrement <= 1e-8),
        Check(
            "complementarity: |L'DL| / levels", max(step, default=0.0), 1e-6, max(step, default=0.0) <= 1e-6
        ),
        Check("multipliers: least slope along the cone", least, -1e-6, least >= -1e-6),
        Check("curvature: least eigenvalue", curvature, FLAT, curvature >= FLAT),
    ]


def least_curvature(criterion: Criterion, state: State) -> float:
    """Least eigenvalue of the Hessian among the directions that are not null, as a share of the largest."""
    free = criterion.layout.free(state.theta)
    here = state.hessian[np.ix_(free, free)]
    values = np.linalg.eigvalsh(here)
    return float(values[0] / values[-1]) if len(here) and values[-1] > 0 else 1.0
