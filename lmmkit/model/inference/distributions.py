"""Tails and quantiles of t and F at any degrees of freedom, infinite ones too, and of families of tests."""

from __future__ import annotations

import numpy as np
import scipy

from lmmkit.engine.arrays import Floats
from lmmkit.engine.inference.studentized_range import quantile, tail

ADJUSTMENTS = ("tukey", "holm", "bonferroni", "sidak", "none")


def t_tail(t: Floats, df: Floats) -> Floats:
    """P(|T| > |t|) of Student's t.

    >>> t_tail(np.array([2.0, 2.0]), np.array([10.0, np.inf])).round(4).tolist()
    [0.0734, 0.0455]
    """
    finite = np.where(np.isinf(df), 1.0, df)
    below = np.where(np.isinf(df), scipy.special.ndtr(-np.abs(t)), scipy.special.stdtr(finite, -np.abs(t)))
    return 2.0 * below


def t_quantile(probability: float, df: Floats) -> Floats:
    """Quantile of Student's t."""
    finite = np.where(np.isinf(df), 1.0, df)
    return np.where(np.isinf(df), normal_quantile(probability), scipy.special.stdtrit(finite, probability))


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    return float(scipy.special.ndtri(probability))


def f_tail(F: float, num_df: float, den_df: float) -> float:
    """P(F > f).

    >>> round(f_tail(3.0, 2, np.inf), 4)
    0.0498
    """
    if np.isinf(den_df):
        return float(scipy.special.chdtrc(num_df, num_df * F))
    return float(scipy.special.fdtrc(num_df, den_df, F))


def adjusted_p(t: Floats, df: Floats, adjust: str = "none", means: int = 2) -> Floats:
    """(m,) p-values of a family of m t statistics.

    Args:
        t: The statistics.
        df: Their degrees of freedom.
        adjust: tukey (all differences of `means` means), holm, bonferroni, sidak or none.
        means: Number of means compared.

    >>> adjusted_p(np.array([2.0, 3.0]), np.array([10.0, 10.0]), "holm").round(4).tolist()
    [0.0734, 0.0267]
    """
    if adjust == "tukey":
        pairs = zip(np.abs(t) * np.sqrt(2.0), df, strict=True)
        return np.array([tail(float(q), means, float(nu)) for q, nu in pairs])
    p, m = t_tail(t, df), len(t)
    if adjust == "holm":
        order = np.argsort(p)  # NaN last: it stays NaN and counts as a member of the family
        stepped = np.maximum.accumulate(np.arange(m, 0, -1) * p[order])
        p[order] = np.minimum(stepped, 1.0)
        return p
    if adjust == "bonferroni":
        return np.minimum(m * p, 1.0)
    return -np.expm1(m * np.log1p(-p)) if adjust == "sidak" else p


def critical(level: float, df: Floats, adjust: str = "none", means: int = 2) -> Floats:
    """(m,) half-widths in standard errors of simultaneous intervals; holm has bonferroni's."""
    m = len(df)
    if adjust == "tukey":
        return np.array([quantile(level, means, float(nu)) for nu in df]) / np.sqrt(2.0)
    if adjust in ("holm", "bonferroni"):
        return t_quantile(1.0 - (1.0 - level) / (2.0 * m), df)
    return t_quantile(0.5 + (level ** (1.0 / m) if adjust == "sidak" else level) / 2.0, df)
