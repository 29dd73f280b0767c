"""Several tests at once: adjusted p-values and critical values of a family."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.inference.studentized_range import quantile, tail
from lmmkit.engine.problem import Floats
from lmmkit.model.inference.distributions import t_quantile, t_tail

ADJUSTMENTS = ("tukey", "holm", "bonferroni", "sidak", "none")


def adjusted_p(t: Floats, df: Floats, adjust: str, means: int) -> Floats:
    """(m,) p-values of a family of m t statistics.

    Args:
        t: The statistics.
        df: Their degrees of freedom.
        adjust: tukey (all differences of `means` means), holm, bonferroni, sidak or none.
        means: Number of means compared.

    >>> adjusted_p(np.array([2.0, 3.0]), np.array([10.0, 10.0]), "holm", 2).round(4).tolist()
    [0.0734, 0.0267]
    """
    if adjust == "tukey":
        pairs = zip(np.abs(t) * np.sqrt(2.0), df, strict=True)
        return np.array([tail(float(q), means, float(nu)) for q, nu in pairs])
    p, m = t_tail(t, df), len(t)
    if adjust == "holm":
        return _holm(p)
    if adjust == "bonferroni":
        return np.minimum(m * p, 1.0)
    return -np.expm1(m * np.log1p(-p)) if adjust == "sidak" else p


def _holm(p: Floats) -> Floats:
    """Holm's step-down p-values; NaN stays NaN and counts as a member of the family."""
    order = np.argsort(p)  # NaN last
    out = np.empty(len(p))
    out[order] = np.minimum(np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order]), 1.0)
    return out


def critical(df: Floats, level: float, adjust: str, means: int) -> Floats:
    """(m,) half-widths in standard errors of simultaneous intervals; holm has bonferroni's."""
    m = len(df)
    if adjust == "tukey":
        return np.array([quantile(level, means, float(nu)) for nu in df]) / np.sqrt(2.0)
    if adjust in ("holm", "bonferroni"):
        return t_quantile(1.0 - (1.0 - level) / (2.0 * m), df)
    if adjust == "sidak":
        return t_quantile(0.5 + level ** (1.0 / m) / 2.0, df)
    return t_quantile(0.5 + level / 2.0, df)
