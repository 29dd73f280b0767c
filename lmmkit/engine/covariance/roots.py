"""Triangular roots of positive semidefinite matrices, singular ones among them.

Here the matrices of a stack come as numpy's linear algebra wants them, (..., k, k).
"""

from __future__ import annotations

import numpy as np

from lmmkit.engine.arrays import Floats

PARALLEL = 1e-11  # a row adds a direction when more than this share of its norm is new


def semidefinite_factor(rows: Floats) -> Floats:
    """Returns lower triangular L with L L' = A A' for (..., k, m) A, a zero column at a zero pivot.

    Gram-Schmidt on the rows of A, each row in two rounds: A A' is never formed, so a small pivot keeps its
    digits.
    """
    k = rows.shape[-2]
    L, basis = np.zeros((*rows.shape[:-1], k)), np.zeros(rows.shape)
    for a in range(k):
        row = rows[..., a, :]
        rest = row
        for _ in range(2 if a else 0):
            part = (basis @ rest[..., None])[..., 0]
            L[..., a, :] += part
            rest = rest - (part[..., None, :] @ basis)[..., 0, :]
        length = np.sqrt(np.einsum("...m,...m->...", rest, rest))
        new = length > PARALLEL * np.sqrt(np.einsum("...m,...m->...", row, row))
        L[..., a, a] = np.where(new, length, 0.0)
        basis[..., a, :] = np.where(new[..., None], rest / np.where(new, length, 1.0)[..., None], 0.0)
    return L


def positive_root(A: Floats) -> Floats:
    """Returns Cholesky factors of (..., k, k) matrices that are positive definite but for rounding.

    Eigenvalues that are not positive are raised to rounding; a matrix that is not finite gives the identity.
    """
    try:
        return np.linalg.cholesky(A).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        finite = np.asarray(np.isfinite(np.einsum("...ab->...", A)))
        values, vectors = np.linalg.eigh(np.where(finite[..., None, None], A, np.eye(A.shape[-1])))
        least = PARALLEL * np.abs(values).max(axis=-1, keepdims=True)
        out = semidefinite_factor(vectors * np.sqrt(np.maximum(values, least))[..., None, :])
        good = finite & (values[..., 0] > least[..., 0])
        out[good] = np.linalg.cholesky(A[good])  # which need not bear what another of the stack does
        return out


def zero_pivots(L: Floats) -> int:
    """Returns the number of directions that have exactly no variance, from a semidefinite factor."""
    return int(np.sum(L.diagonal() == 0.0))
