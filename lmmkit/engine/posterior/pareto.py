"""Pareto-smoothed importance weights, and the shape k-hat that says what they may be trusted for.

Reference: Vehtari, Simpson, Gelman, Yao & Gabry (2024), Pareto smoothed importance sampling, JMLR 25(72),
section 2 and appendix G; the fit of the tail is that of Zhang & Stephens (2009), A new and efficient
estimation method for the generalized Pareto distribution, Technometrics 51, 316-325.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats

LEAST_TAIL = 5  # weights in the tail below which there is none to smooth
PRIOR_SHAPE, PRIOR_SIZE = 0.5, 10.0  # of the weakly informative prior of the shape


class Smoothed(NamedTuple):
    """Weights that sum to one, and their k-hat.

    Attributes:
        log_weights: (r,) their logs.
        k_hat: Shape of the fitted tail; minus infinity where all weights of the tail are equal, infinity
            where few draws carry all: some weight of the tail is zero, or a quarter are no larger than those
            below; NaN where there are too few to tell.
    """

    log_weights: Floats
    k_hat: float


def smooth(log_ratios: Floats) -> Smoothed:
    """Smooth the largest of r importance ratios by the quantiles of a generalized Pareto distribution.

    Args:
        log_ratios: (r,) log target less log proposal, up to a constant; minus infinity for a weight of zero.
    """
    r = len(log_ratios)
    x = log_ratios - log_ratios.max()
    tail, k_hat = min(math.ceil(0.2 * r), math.ceil(3.0 * math.sqrt(r))), math.nan
    order = np.argsort(x, kind="stable")
    if LEAST_TAIL <= tail < r:
        largest, cutoff = order[-tail:], float(np.exp(x[order[-tail - 1]]))
        excess = np.exp(x[largest]) - cutoff
        if excess[0] == excess[-1]:
            k_hat = -math.inf
        elif not np.isfinite(x[largest[0]]) or excess[quartile_at(tail)] == 0.0:
            k_hat = math.inf
        else:
            k_hat, sigma = fit_pareto(excess)
            x = x.copy()
            quantiles = pareto_quantiles((np.arange(tail) + 0.5) / tail, k_hat, sigma)
            x[largest] = np.minimum(np.log(quantiles + cutoff), 0.0)
    return Smoothed(x - log_sum(x), k_hat)


def log_sum(x: Floats) -> float:
    """Returns the log of the sum of exp(x)."""
    top = float(x.max())
    return top + math.log(float(np.exp(x - top).sum()))


def threshold(draws: int) -> float:
    """The k-hat up to which that many draws are enough: min(1 - 1 / log10(r), 0.7).

    >>> [round(threshold(r), 3) for r in (100, 1000, 4000)]
    [0.5, 0.667, 0.7]
    """
    return min(1.0 - 1.0 / math.log10(draws), 0.7)


def fit_pareto(x: Floats) -> tuple[float, float]:
    """Shape and scale of a generalized Pareto distribution of (n,) numbers, in rising order.

    From the first quartile on they are above zero.

    The scale parameter b = -k / sigma is averaged over its profile likelihood; k is drawn towards 0.5 by a
    prior worth ten observations.
    """
    n = len(x)
    m = 30 + int(math.sqrt(n))
    b = (1.0 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))) / (3.0 * x[quartile_at(n)]) + 1.0 / x[-1]
    k = np.log1p(-b[:, None] * x).mean(axis=1)
    profile = n * (np.log(-b / k) - k - 1.0)
    weights = np.exp(profile - log_sum(profile))
    weights = np.where(weights >= 10.0 * np.finfo(float).eps, weights, 0.0)
    mean = float(b @ weights / weights.sum())
    shape = float(np.log1p(-mean * x).mean())
    return (n * shape + PRIOR_SIZE * PRIOR_SHAPE) / (n + PRIOR_SIZE), -shape / mean


def quartile_at(n: int) -> int:
    """The position of the first quartile among n numbers in rising order."""
    return int(n / 4.0 + 0.5) - 1


def pareto_quantiles(p: Floats, k: float, sigma: float) -> Floats:
    """Quantiles of a generalized Pareto distribution with lower bound zero."""
    if abs(k) < np.finfo(float).eps:
        return -sigma * np.log1p(-p)
    return sigma * np.expm1(-k * np.log1p(-p)) / k
