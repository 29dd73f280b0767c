"""Tails and quantiles of t and F, at any degrees of freedom, infinite ones included."""

from __future__ import annotations

import numpy as np
import scipy

from lmmkit.engine.problem import Floats


def t_tail(t: Floats, df: Floats) -> Floats:
    """P(|T| > |t|) of Student's t.

    >>> t_tail(np.array([2.0, 2.0]), np.array([10.0, np.inf])).round(4).tolist()
    [0.0734, 0.0455]
    """
    finite = np.where(np.isinf(df), 1.0, df)
    return 2.0 * np.where(
        np.isinf(df), scipy.special.ndtr(-np.abs(t)), scipy.special.stdtr(finite, -np.abs(t))
    )


def t_quantile(probability: float, df: Floats) -> Floats:
    """Quantile of Student's t."""
    finite = np.where(np.isinf(df), 1.0, df)
    return np.where(
        np.isinf(df), scipy.special.ndtri(probability), scipy.special.stdtrit(finite, probability)
    )


def f_tail(F: float, num_df: float, den_df: float) -> float:
    """P(F > f).

    >>> round(f_tail(3.0, 2, np.inf), 4)
    0.0498
    """
    if np.isinf(den_df):
        return float(scipy.special.chdtrc(num_df, num_df * F))
    return float(scipy.special.fdtrc(num_df, den_df, F))
