"""Satterthwaite's degrees of freedom for linear functions of the fixed effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.inference.information import VarianceInformation

ALIKE = 1e-6  # relative difference below which degrees of freedom count as one number


@dataclass(frozen=True, eq=False)
class Satterthwaite:
    """Degrees of freedom from the uncertainty of the variance parameters."""

    information: VarianceInformation

    def single(self, L: Floats) -> Floats:
        """(r,) degrees of freedom 2 (c'Cc)^2 / (g'Ag) of each row c of L.

        NaN for a row of zeros, and for one whose variance depends on what the data do not tell. C is the
        covariance matrix of the fixed effects, g the gradient of c'Cc in the variance parameters, A their
        covariance matrix.
        """
        found = self.information
        rows, variance = L @ found.vcov.basis, found.vcov.variances(L)
        gradient = np.einsum("rp,mpq,rq->rm", rows, found.gradient, rows, optimize=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            return 2.0 / found.spread.variances(gradient / variance[:, None])

    def joint(self, L: Floats) -> float:
        """Denominator degrees of freedom of the F test of L beta = 0 (Fai & Cornelius 1996).

        The statistic is the mean of squared independent t statistics; its degrees of freedom match the
        expectation of their sum, nu_1 / (nu_1 - 2) + ...
        """
        _, vectors = np.linalg.eigh(self.information.vcov.between(L))
        return combined(self.single(vectors.T @ L))


def combined(nu: Floats) -> float:
    """Degrees of freedom of a mean of squared t statistics with nu_1, nu_2, ... degrees of freedom.

    Reference: Fai & Cornelius (1996), approach 1: E = sum nu_i / (nu_i - 2), df = 2 E / (E - q), and 2 where
    a nu_i has no such moment.

    >>> round(combined(np.array([5.0, 10.0])), 6)
    6.363636
    """
    if np.ptp(nu) <= ALIKE * nu.max():
        return float(nu.mean())
    if (nu <= 2.0).any():
        return 2.0
    total = float((nu / (nu - 2.0)).sum())
    return 2.0 * total / (total - len(nu))
