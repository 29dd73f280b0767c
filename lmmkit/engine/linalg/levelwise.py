"""Small-matrix algebra on many levels at once.

An array of J matrices k x m is stored (k, m, J), level last, so that each scalar operation of the textbook
algorithm becomes one sweep over all the levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.arrays import Floats

WIDE = 16  # rows of a level from which LAPACK, level by level, is quicker than sweeps over the levels
NULL_PIVOT = 1e-12  # a pivot below this share of its diagonal is a direction that the level does not hold


def _first(A: Floats) -> Floats:
    """(k, m, J) as (J, k, m), which LAPACK wants."""
    return np.ascontiguousarray(np.moveaxis(A, 2, 0))


def _last(A: NDArray[np.floating[Any]]) -> Floats:
    """(J, k, m) as (k, m, J)."""
    return np.ascontiguousarray(np.moveaxis(A, 0, 2).astype(np.float64, copy=False))


def cholesky(A: Floats, null: float = 0.0) -> tuple[Floats, Floats]:
    """Lower C of A = C C' and the reciprocals (k, J) of its diagonal, 0 at pivots up to `null` x A_aa."""
    if len(A) >= WIDE and not null:
        C = _last(np.linalg.cholesky(_first(A)))
        return C, 1.0 / np.einsum("aaj->aj", C)
    C, inverse = np.zeros_like(A), np.empty(A.shape[1:])
    for a in range(len(A)):
        for b in range(a):
            C[a, b] = (A[a, b] - np.einsum("cj,cj->j", C[a, :b], C[b, :b])) * inverse[b]
        pivot = A[a, a] - np.einsum("cj,cj->j", C[a, :a], C[a, :a]) if a else A[a, a]
        if null:
            pivot = np.where(pivot > null * A[a, a], pivot, 0.0)
        np.sqrt(pivot, out=C[a, a])
        with np.errstate(divide="ignore"):
            np.divide(1.0, C[a, a], out=inverse[a])
        if null:
            inverse[a][pivot == 0.0] = 0.0
    return C, inverse


def forward(C: Floats, inverse: Floats, B: Floats) -> Floats:
    """C^-1 B for lower C, (k, m, J); 0 in the rows of null pivots."""
    if len(C) >= WIDE and inverse.all():
        return _last(np.linalg.solve(_first(C), _first(B)))
    X = np.empty_like(B)
    for a in range(len(C)):
        np.multiply(B[a] - np.einsum("cj,cmj->mj", C[a, :a], X[:a]) if a else B[a], inverse[a], out=X[a])
    return X


def backward(C: Floats, inverse: Floats, B: Floats) -> Floats:
    """C^-T B for lower C, (k, m, J); 0 in the rows of null pivots."""
    if len(C) >= WIDE and inverse.all():
        return _last(np.linalg.solve(np.swapaxes(_first(C), 1, 2), _first(B)))
    X = np.empty_like(B)
    for a in reversed(range(len(C))):
        rest = np.einsum("cj,cmj->mj", C[a + 1 :, a], X[a + 1 :])
        np.multiply(B[a] - rest, inverse[a], out=X[a])
    return X


def times(A: Floats, B: Floats) -> Floats:
    """A B level by level."""
    return np.einsum("abj,bmj->amj", A, B)


def transposed_times(A: Floats, B: Floats) -> Floats:
    """A' B level by level."""
    return np.einsum("baj,bmj->amj", A, B)


def times_transposed(A: Floats, B: Floats) -> Floats:
    """A B' level by level."""
    return np.einsum("abj,mbj->amj", A, B)


def constant_times(L: Floats, B: Floats) -> Floats:
    """L B for one matrix L and (k, m, J) B."""
    return (L @ B.reshape(len(B), -1)).reshape(len(L), *B.shape[1:])


def times_constant(A: Floats, L: Floats) -> Floats:
    """A L for (k, m, J) A and one matrix L."""
    return np.matmul(L.T, A)


def summed(A: Floats, B: Floats) -> Floats:
    """Sum over levels of A' B, (m_A, m_B): one matrix product for each of the k rows."""
    total = A[0] @ B[0].T
    for a, b in zip(A[1:], B[1:], strict=True):
        total += a @ b.T
    return total


def solved(A: Floats, B: Floats) -> Floats:
    """A^-1 B."""
    return np.linalg.solve(A, B).astype(np.float64, copy=False)


def least_solved(A: Floats, b: Floats, rounding: float = 0.0) -> Floats:
    """The shortest solution of A x = b for symmetric positive semidefinite A that may be singular.

    Eigenvalues up to `rounding`, or to rounding in the largest, are zero.
    """
    values, vectors = np.linalg.eigh(A)
    large = values > max(rounding, 1e-12 * float(values.max(initial=0.0)))
    kept = vectors[:, large]
    return kept @ ((kept.T @ b).T / values[large]).T


def identity(k: int, J: int) -> Floats:
    """J identity matrices."""
    return np.repeat(np.eye(k)[:, :, None], J, axis=2)
