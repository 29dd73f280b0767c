"""The studentized range: the largest difference of k normal means over an independent estimate of their SD.

    P(Q > q) = int f(s) R(q s) ds,   R(w) = k int phi(z) [Phi(z)^(k-1) - (Phi(z) - Phi(z - w))^(k-1)] dz

f is the density of chi_nu / sqrt(nu). The complement is integrated itself, so that small probabilities keep
their digits; the outer integral is a trapezoidal rule in log s, which converges geometrically.

Reference: Lund & Lund (1983), Algorithm AS 190, for the distribution; Trefethen & Weideman (2014) for the
trapezoidal rule.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy

from lmmkit.engine.arrays import Floats

INNER = 160  # points of the inner integral
LEAST, STEP = 100, 0.05  # points of the outer one at least, and their distance at most
REACH = 9.0  # beyond it the normal density is below the last digit
DEPTH = 45.0  # the outer integrand is followed down to exp(-45) of its peak


@lru_cache(maxsize=1)
def _nodes() -> tuple[Floats, Floats]:
    """Points and weights of Gauss and Legendre's rule on [-1, 1]."""
    return np.polynomial.legendre.leggauss(INNER)


def range_tail(w: Floats, k: int) -> Floats:
    """P(W > w) for the range W of k standard normal variables, (m,)."""
    x, weight = _nodes()
    top = REACH + w / 2.0
    z = (top - REACH)[:, None] / 2.0 + (top + REACH)[:, None] / 2.0 * x
    upper = scipy.special.ndtr(z)
    with np.errstate(divide="ignore"):
        share = np.minimum(scipy.special.ndtr(z - w[:, None]) / upper, 1.0)
        gap = -np.expm1((k - 1) * np.log1p(-share)) * upper ** (k - 1)
    density = np.exp(-(z**2) / 2.0) / np.sqrt(2.0 * np.pi)
    return k * (top + REACH) / 2.0 * ((density * gap) @ weight)


@lru_cache(maxsize=4096)
def tail(q: float, k: int, df: float) -> float:
    """P(Q > q) for k means and df degrees of freedom; NaN where either is not a number.

    >>> round(tail(3.5, 3, 20.0), 6)
    0.055892
    """
    if np.isnan(q) or np.isnan(df):
        return float("nan")
    if q <= 0.0:
        return 1.0
    if np.isinf(df):
        return float(range_tail(np.array([q]), k)[0])
    x = _support(q, k, df)
    logs = _log_integrand(x, q, k, df)
    constant = 0.5 * df * np.log(df) - scipy.special.gammaln(0.5 * df) - (0.5 * df - 1.0) * np.log(2.0)
    return float(np.exp(logs + constant).sum() * (x[1] - x[0]))


def _log_integrand(x: Floats, q: float, k: int, df: float) -> Floats:
    """Log of s f(s) R(q s) at s = exp(x), without its constant."""
    with np.errstate(divide="ignore"):
        return df * x - 0.5 * df * np.exp(2.0 * x) + np.log(range_tail(q * np.exp(x), k))


def _support(q: float, k: int, df: float) -> Floats:
    """Points of log s over which the integrand is not negligible."""
    with np.errstate(divide="ignore"):
        depth = DEPTH - max(float(np.log(range_tail(np.array([q]), k)[0])), -700.0)
    coarse = np.linspace(_edge(depth, df, -1.0), _edge(depth, df, 1.0), 160)
    logs = _log_integrand(coarse, q, k, df)
    inside = np.flatnonzero(logs > logs.max() - DEPTH)
    first, last = max(inside[0] - 1, 0), min(inside[-1] + 1, len(coarse) - 1)
    length = float(coarse[last] - coarse[first])
    return np.linspace(coarse[first], coarse[last], max(LEAST, int(length / STEP)))


def _edge(depth: float, df: float, side: float) -> float:
    """Where the log density of log s has fallen by `depth` on one side of its peak at 0."""
    left, right = depth / df + np.sqrt(depth / df) + 1.0, 0.5 * np.log(4.0 * depth / df + 8.0) + 1.0
    far = -left if side < 0.0 else right
    return scipy.optimize.brentq(lambda x: df * x - 0.5 * df * np.expm1(2.0 * x) + depth, 0.0, far)


@lru_cache(maxsize=1024)
def quantile(level: float, k: int, df: float) -> float:
    """q with P(Q <= q) = level.

    >>> round(quantile(0.95, 3, 20.0), 4)
    3.5779
    """
    if np.isnan(df):
        return float("nan")
    top = 2.0
    while tail(top, k, df) > 1.0 - level:
        top *= 2.0
    return scipy.optimize.brentq(lambda q: tail(q, k, df) - (1.0 - level), 0.0, top, xtol=1e-10, rtol=1e-12)
