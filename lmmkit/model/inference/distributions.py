"""Tails and quantiles of t and F at any degrees of freedom, infinite ones too."""

from __future__ import annotations

import numpy as np
import scipy

from lmmkit.engine.arrays import Floats


def t_tail(t: Floats, df: Floats) -> Floats:
    """P(|T| > |t|) of Student's t.

    >>> t_tail(np.array([2.0, 2.0]), np.array([10.0, np.inf])).round(4).tolist()
    [0.0734, 0.0455]
    """
    return 2.0 * t_lower(-np.abs(t), df)


def t_lower(t: Floats, df: Floats) -> Floats:
    """P(T < t) of Student's t."""
    finite = np.where(np.isinf(df), 1.0, df)
    return np.where(np.isinf(df), scipy.special.ndtr(t), scipy.special.stdtr(finite, t))


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
    return float(f_tails(np.float64(F), num_df, den_df))


def f_tails(F: Floats | np.float64, num_df: float, den_df: float) -> Floats:
    """P(F > f) of many."""
    if np.isinf(den_df):
        return np.asarray(scipy.special.chdtrc(num_df, num_df * F), np.float64)
    return np.asarray(scipy.special.fdtrc(num_df, den_df, F), np.float64)


def f_quantile(probability: float, num_df: float, den_df: float) -> float:
    """Quantile of F."""
    if np.isinf(den_df):
        return float(scipy.special.chdtri(num_df, 1.0 - probability)) / num_df
    return float(scipy.special.fdtri(num_df, den_df, probability))
