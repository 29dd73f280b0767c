"""Covariance matrices of random effects with a pattern from their definition, entry by entry.

What is printed, standard deviations and what the correlations depend on, is all that is read; nothing of the
engine's structures is.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, hypot, inf, isnan

import numpy as np

from lmmkit.engine.arrays import Floats

ONE_VARIANCE = ("homdiag", "homcs", "ar1", "homtoep", "ou", "exp")


def covariance_as_printed(
    tag: str, width: int, printed: Sequence[float], positions: Sequence[Sequence[float]] = ()
) -> Floats:
    """(k, k) G of the k effects of a level.

    Args:
        tag: What formulas call the pattern.
        width: k.
        printed: Its parameters: one standard deviation or k, then `rho`, `rho.1`, ... or the range.
        positions: (k) coordinates of the columns, where the pattern goes by distances.
    """
    count = 1 if tag in ONE_VARIANCE else width
    sds = [printed[0]] * width if count == 1 else list(printed[:width])
    rest = [0.0 if isnan(value) else value for value in printed[count:]]
    G = np.empty((width, width))
    for i in range(width):
        for j in range(width):
            G[i, j] = sds[i] * sds[j] * (1.0 if i == j else _correlation(tag, i, j, rest, positions))
    return G


def _correlation(
    tag: str, i: int, j: int, rest: Sequence[float], positions: Sequence[Sequence[float]]
) -> float:
    """Of the columns i and j."""
    if tag == "homdiag":
        return 0.0
    if tag in ("cs", "homcs"):
        return rest[0]
    if tag in ("ar1", "hetar1"):
        return rest[0] ** abs(i - j)
    if tag in ("toep", "homtoep"):
        return rest[abs(i - j) - 1]
    if rest[0] == inf:
        return 1.0
    apart = hypot(*(a - b for a, b in zip(positions[i], positions[j], strict=True)))
    return exp(-apart / rest[0]) if rest[0] > 0.0 else 0.0
