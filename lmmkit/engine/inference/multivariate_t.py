"""The largest of several correlated t statistics that share one estimate of the residual variance.

With R = A A' the correlation matrix of rank r, Z = rho u standard normal in r dimensions, u its direction:

    P(max_j |T_j| > q) = E_u P(rho / s > q / m(u)),   m(u) = max_j |a_j'u|,   (rho / s)^2 / r ~ F(r, nu)

The radius is integrated exactly and the direction by a scrambled Sobol sequence with fixed seeds, so that the
probability is smooth in q, holds for a singular R (all differences of k means), for any nu, and keeps its
relative precision far into the tail; independent scramblings give its standard error.

References: Genz & Bretz (2009), Computation of Multivariate Normal and t Probabilities, section 4.1, for the
spherical-radial form; Owen (1998) for the error by scrambling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy

from lmmkit.engine.arrays import Floats

BATCHES, POINTS = 8, 2**14  # scramblings, and points of each
BLOCK = 64  # neighbours in size of m(u) that one value stands for
CELLS = 4_000_000  # points by statistics at a time
SEED = 20_011
NULL = 1e-10  # share of the largest eigenvalue of a correlation matrix that is rounding


class Probability(NamedTuple):
    """A probability with its standard error."""

    value: float
    error: float


@dataclass(frozen=True, eq=False)
class LargestT:
    """Of m statistics.

    Attributes:
        rank: r.
        reach: (batches, points / BLOCK) m(u), or max_j a_j'u of one-sided statistics, in order of size.
    """

    rank: int
    reach: Floats

    def tail(self, q: float, df: float) -> Probability:
        """P(max > q), NaN where either is not a number.

        >>> largest = largest_t(np.array([[1.0, 0.5], [0.5, 1.0]]))
        >>> p = largest.tail(2.5, 12.0)
        >>> round(p.value, 4), p.error < 1e-5
        (0.0502, True)
        """
        if np.isnan(q) or np.isnan(df):
            return Probability(np.nan, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            beyond = _radius_tail((q / self.reach) ** 2, self.rank, df)
        # Along a direction in which all statistics are negative they pass a negative q near the centre only.
        whole = np.where(self.reach > 0.0, beyond if q > 0.0 else 1.0, 1.0 - beyond if q < 0.0 else 0.0)
        means = whole.mean(axis=1)
        return Probability(float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means))))

    def quantile(self, level: float, df: float) -> float:
        """q with P(max <= q) = level.

        >>> round(largest_t(np.eye(1)).quantile(0.95, 12.0), 4)
        2.1788
        """
        if np.isnan(df):
            return float("nan")
        low, high = -1.0, 2.0
        while self.tail(low, df).value < 1.0 - level:
            low *= 2.0
        while self.tail(high, df).value > 1.0 - level:
            high *= 2.0
        return scipy.optimize.brentq(
            lambda q: self.tail(q, df).value - (1.0 - level), low, high, xtol=1e-9, rtol=1e-12
        )


def _radius_tail(squared: Floats, rank: int, df: float) -> Floats:
    """P((rho / s)^2 > squared)."""
    if np.isinf(df):
        return np.asarray(scipy.special.chdtrc(rank, squared))
    return np.asarray(scipy.special.fdtrc(rank, df, squared / rank))


def largest_t(correlation: Floats, *, one_sided: bool = False) -> LargestT:
    """The largest of some t statistics, or of their absolute values.

    Args:
        correlation: (m, m) of their numerators; may be singular.
        one_sided: Of the statistics themselves.
    """
    values, vectors = np.linalg.eigh(correlation)
    told = values > NULL * values[-1]
    A, rank = vectors[:, told] * np.sqrt(values[told]), int(told.sum())
    reach, step = np.empty((BATCHES, POINTS)), max(CELLS // len(A), 1)
    for batch in range(BATCHES):
        directions = _directions(rank, SEED + batch)
        for first in range(0, POINTS, step):
            inner = directions[first : first + step] @ A.T
            reach[batch, first : first + step] = (inner if one_sided else np.abs(inner)).max(axis=1)
    return LargestT(rank, np.sort(reach).reshape(BATCHES, -1, BLOCK).mean(axis=2))


def _directions(rank: int, seed: int) -> Floats:
    """(points, r) unit vectors, evenly spread."""
    if rank == 1:
        return np.where(np.arange(POINTS) % 2 == 0, 1.0, -1.0)[:, None]
    points = scipy.stats.qmc.Sobol(rank, scramble=True, rng=seed).random(POINTS)
    z = scipy.special.ndtri(np.clip(points, 1e-15, 1.0 - 1e-15))
    return z / np.linalg.norm(z, axis=1, keepdims=True)
