"""The exact Hessian of the profiled deviance, by central differences of the exact gradient."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.criterion.criterion import Criterion
from lmmkit.engine.problem import Floats

STEP = 1e-4  # relative; the differences' own error is then of the order of 1e-8


def observed_hessian(criterion: Criterion, theta: Floats) -> Floats:
    """d2 deviance / d theta2, (m, m), symmetric; 2 m calls of the criterion."""
    rows = list[Floats]()
    for i, value in enumerate(theta):
        step = np.zeros_like(theta)
        step[i] = STEP * max(abs(value), 0.1)
        difference = criterion(theta + step).gradient - criterion(theta - step).gradient
        rows.append(difference / (2.0 * step[i]))
    H = np.array(rows).reshape(len(theta), len(theta))
    return (H + H.T) / 2.0
