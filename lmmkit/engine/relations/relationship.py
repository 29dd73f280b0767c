"""How the effects of the levels of one factor are correlated: Var(b) = sigma^2 K (x) T for a known K."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import eigh, eigvalsh
from scipy.linalg.lapack import dpotrf

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.errors import FitError

CLIP = 1e-12  # share of the largest eigenvalue of K up to which one is zero
ASYMMETRIC = 1e-8  # share of the largest entry by which K may miss its transpose
NEGATIVE = 1e-8  # share of the largest eigenvalue by which one may be negative, from rounding in a file
REGULAR = 1e-4  # share of a level's variance that the earlier ones leave it at least, to root K by Cholesky


class Relationship(ABC):
    """A known covariance matrix K (J, J) between the levels of a factor; levels need not have rows."""

    @property
    @abstractmethod
    def levels(self) -> int:
        """J."""

    @property
    @abstractmethod
    def rank(self) -> int:
        """The columns of A, K = A A'."""

    @property
    @abstractmethod
    def diagonal(self) -> Floats:
        """(J,) of K: 1 + F of relatives with inbreeding F."""

    @abstractmethod
    def unrelated(self, levels: Ints) -> bool:
        """Returns whether K has the same variance for some levels, and nothing between them."""

    @abstractmethod
    def coloured(self, z: Floats) -> Floats:
        """Returns (J, m) A z for (rank, m) z: of covariance K where z has none."""

    @abstractmethod
    def times(self, x: Floats) -> Floats:
        """Returns (J, m) K x."""


@dataclass(frozen=True, eq=False)
class DenseRelationship(Relationship):
    """Any positive semidefinite K.

    Attributes:
        K: (J, J), symmetric.
    """

    K: Floats

    @cached_property
    def half(self) -> Floats:
        """(J, r) A, K = A A': Cholesky's where K is well conditioned, else from its eigenvectors."""
        root, info = dpotrf(self.K, lower=1, clean=1)
        if info == 0 and (root.diagonal() ** 2 > REGULAR * self.K.diagonal()).all():
            return np.ascontiguousarray(root)
        values, vectors = eigh(self.K, driver="evd")
        kept = values > CLIP * values[-1]
        return np.ascontiguousarray(vectors[:, kept] * np.sqrt(values[kept]))

    @property
    def levels(self) -> int:
        """J."""
        return len(self.K)

    @property
    def rank(self) -> int:
        """r."""
        return self.half.shape[1]

    @property
    def diagonal(self) -> Floats:
        """(J,) of K."""
        return self.K.diagonal()

    def unrelated(self, levels: Ints) -> bool:
        """Returns whether K is a multiple of the identity there."""
        own = self.K[np.ix_(levels, levels)]
        return bool(np.abs(own - own[0, 0] * np.eye(len(own))).max() <= ASYMMETRIC * own.diagonal().max())

    def coloured(self, z: Floats) -> Floats:
        """Returns A z."""
        return self.half @ z

    def times(self, x: Floats) -> Floats:
        """Returns K x."""
        return self.K @ x


def dense_relationship(K: Floats) -> DenseRelationship:
    """K, after a look at it.

    Raises:
        FitError: K is not square, finite, symmetric, or not positive semidefinite.

    >>> dense_relationship(np.array([[1.0, 1.0], [1.0, 1.0]])).rank
    1
    """
    K = np.asarray(K, dtype=np.float64)
    if K.ndim != 2 or K.shape[0] != K.shape[1] or not K.size:
        raise FitError(f"A relationship matrix has shape {K.shape}; a square one was expected.")
    if not np.isfinite(K).all():
        i, j = np.argwhere(~np.isfinite(K))[0]
        raise FitError(f"A relationship matrix has {K[i, j]} in row {i + 1}, column {j + 1}: give a number.")
    largest = float(np.abs(K).max())
    difference = np.abs(K - K.T)
    if difference.max() > ASYMMETRIC * largest:
        i, j = np.unravel_index(int(difference.argmax()), K.shape)
        raise FitError(
            f"A relationship matrix is not symmetric: {K[i, j]:.6g} in row {i + 1}, column {j + 1}, "
            f"{K[j, i]:.6g} in row {j + 1}, column {i + 1}. Give a covariance matrix."
        )
    K = (K + K.T) / 2.0
    _refuse_indefinite(K)
    return DenseRelationship(K)


def _refuse_indefinite(K: Floats) -> None:
    """No eigenvalue is negative but for rounding: K + t I has a root for a small t, or they are counted."""
    shifted = K.copy()
    shifted.flat[:: len(K) + 1] += NEGATIVE * max(float(K.diagonal().max()), 0.0)
    if dpotrf(shifted, lower=1, overwrite_a=1)[1] == 0:
        return
    values = eigvalsh(K)
    if values[-1] <= 0.0 or values[0] < -NEGATIVE * values[-1]:
        raise FitError(
            f"A relationship matrix is not positive semidefinite: its least eigenvalue is {values[0]:.4g}, "
            f"its largest {values[-1]:.4g}. It is no covariance matrix: check how it was made, or bend it."
        )
