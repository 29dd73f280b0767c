"""Intervals from replicates: percentile, and bias-corrected and accelerated (BCa)."""

from __future__ import annotations

import numpy as np
import scipy

from lmmkit.engine.problem import Floats


def percentile(values: Floats, level: float) -> tuple[float, float]:
    """The middle of some replicates.

    Args:
        values: (r,) replicates; NaN where a quantity is not defined.
        level: Share of them between the bounds.

    Reference: Davison & Hinkley (1997), Bootstrap Methods and their Application, section 5.3: the bounds are
    the (r + 1) alpha-th values in order.

    >>> low, high = percentile(np.arange(1.0, 100.0), 0.9)
    >>> round(low, 6), round(high, 6)
    (5.0, 95.0)
    """
    return _between(values, 0.5 - level / 2.0, 0.5 + level / 2.0)


def bca(values: Floats, estimate: float, jackknife: Floats, level: float) -> tuple[float, float]:
    """The bias-corrected and accelerated interval.

    Args:
        values: (r,) replicates.
        estimate: The quantity on the data.
        jackknife: (u,) the quantity without each unit.
        level: Coverage.

    Reference: Efron (1987), Better bootstrap confidence intervals, Journal of the American Statistical
    Association 82, 171-185; acceleration from the jackknife as in Davison & Hinkley (1997), section 5.3.2.

    >>> low, high = bca(np.arange(1.0, 100.0), 50.0, np.array([49.0, 50.0, 51.0]), 0.9)
    >>> round(low, 6), round(high, 6)
    (5.0, 95.0)
    """
    found = values[np.isfinite(values)]
    if not len(found) or not np.isfinite(estimate):
        return np.nan, np.nan
    below = float(np.count_nonzero(found < estimate) + 0.5 * np.count_nonzero(found == estimate)) / len(found)
    shift = float(scipy.special.ndtri(min(max(below, 0.5 / len(found)), 1.0 - 0.5 / len(found))))
    a = acceleration(jackknife)
    z = shift + scipy.special.ndtri(np.array([0.5 - level / 2.0, 0.5 + level / 2.0]))
    low, high = scipy.special.ndtr(shift + z / (1.0 - a * z))
    return _between(found, float(low), float(high))


def acceleration(jackknife: Floats) -> float:
    """Skewness of the quantity's influence: sum d^3 / (6 (sum d^2)^1.5), d = mean - value."""
    d = np.mean(jackknife) - jackknife if len(jackknife) else np.zeros(1)
    size = float(np.sum(d**2))
    return float(np.sum(d**3)) / (6.0 * size**1.5) if size > 0 else 0.0


def _between(values: Floats, low: float, high: float) -> tuple[float, float]:
    """Two quantiles of what is defined among the values."""
    found = values[np.isfinite(values)]
    if not len(found):
        return np.nan, np.nan
    bounds = np.quantile(found, [low, high], method="weibull")
    return float(bounds[0]), float(bounds[1])
