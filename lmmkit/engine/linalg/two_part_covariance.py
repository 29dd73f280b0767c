"""Covariance matrices that keep their digits whatever the units of the columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats


@dataclass(frozen=True, eq=False)
class Sandwich:
    """The matrix S C S', S from the prepared columns to those of the data, with its two parts kept apart.

    A covariate far from zero (a year, a time stamp) gives the intercept a variance some 10^12 times that of a
    mean within the data. Formed in the units of the data the matrix has no digits left for such a mean; L S
    has them all, because S only centres and scales.

    Attributes:
        basis: (p, p) S.
        core: (p, p) C, in prepared units.

    >>> Sandwich(np.array([[1.0, -5.0], [0.0, 1.0]]), np.eye(2)).variances(np.array([[1.0, 5.0]])).tolist()
    [1.0]
    """

    basis: Floats
    core: Floats

    def whole(self) -> Floats:
        """(p, p) the matrix itself."""
        return self.basis @ self.core @ self.basis.T

    def variances(self, L: Floats) -> Floats:
        """(r,) of each row c of L, c'SCS'c."""
        rows = L @ self.basis
        return np.einsum("rp,pq,rq->r", rows, self.core, rows)

    def between(self, L: Floats) -> Floats:
        """(r, r) of the rows of L."""
        rows = L @ self.basis
        return rows @ self.core @ rows.T
