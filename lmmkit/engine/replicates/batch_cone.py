"""Moves in the cone of covariance matrices for many replicates at once; `cone` says what each is for.

Here factors are stored with the replicates first, (r, k, k), as LAPACK wants its small matrices.
"""

from __future__ import annotations

import numpy as np

from lmmkit.engine.crossproducts.moment_start import FLOOR
from lmmkit.engine.problem import Floats
from lmmkit.engine.replicates.design_part import Shared
from lmmkit.engine.search.covariance_cone import PARALLEL


def first(A: Floats) -> Floats:
    """(k, m, r) as (r, k, m)."""
    return np.ascontiguousarray(A.transpose(2, 0, 1))


def last(A: Floats) -> Floats:
    """(r, k, m) as (k, m, r)."""
    return np.ascontiguousarray(A.transpose(1, 2, 0))


def semidefinite_factors(rows: Floats) -> Floats:
    """(r, k, k) lower triangular L with L L' = A A' for (r, k, m) A, a zero column at a zero pivot."""
    count, k, m = rows.shape
    L, basis = np.zeros((count, k, k)), np.zeros((count, k, m))
    for a in range(k):
        rest = rows[:, a].copy()
        for _ in range(2):
            part = np.einsum("rcm,rm->rc", basis, rest)
            L[:, a] += part
            rest -= np.einsum("rc,rcm->rm", part, basis)
        length = np.sqrt(np.einsum("rm,rm->r", rest, rest))
        new = length > PARALLEL * np.sqrt(np.einsum("rm,rm->r", rows[:, a], rows[:, a]))
        L[new, a, a] = length[new]
        basis[new, a] = rest[new] / length[new, None]
    return L


def floored(T: Floats, s: Floats) -> Floats:
    """L of (r, m, m) T with the least eigenvalue of s T s raised to the floor of a start."""
    size = s[:, None] * s
    values, vectors = np.linalg.eigh(T * size)
    raised: Floats = vectors * np.maximum(values, FLOOR)[:, None]
    covariances: Floats = np.matmul(raised, vectors.transpose(0, 2, 1)) / size
    return np.linalg.cholesky(covariances).astype(np.float64, copy=False)


def em_steps(shared: Shared, L: list[Floats], D: list[Floats]) -> list[Floats]:
    """One ECME step L chol(I - L'D L / J) of each replicate; NaN where rounding leaves none."""
    out = list[Floats]()
    for factor, lower, slope in zip(shared.factors, L, D, strict=True):
        new = np.zeros_like(lower)
        for block in factor.blocks:
            here = np.ix_(block, block)
            B = first(lower[here])
            inner = (
                np.eye(len(block))
                - np.matmul(B.transpose(0, 2, 1), np.matmul(first(slope[here]), B)) / factor.levels
            )
            new[here] = last(np.matmul(B, _root(inner)))
        out.append(new)
    return out


def _root(A: Floats) -> Floats:
    """Cholesky factors, the identity where a matrix has none."""
    good = np.isfinite(A.reshape(len(A), -1)).all(axis=1)
    good[good] = np.linalg.eigvalsh(A[good])[:, 0] > 0  # pyright: ignore[reportIndexIssue]
    out = np.repeat(np.eye(A.shape[1])[None], len(A), axis=0)
    out[good] = np.linalg.cholesky(A[good])
    return out


def least_slopes(shared: Shared, D: list[Floats]) -> Floats:
    """(r,) least eigenvalue of the blocks of D / (s s') / J."""
    least = [
        np.linalg.eigvalsh(first(slope[np.ix_(block, block)]) / np.outer(s[list(block)], s[list(block)]))[
            :, 0
        ]
        / factor.levels
        for factor, slope, s in zip(shared.factors, D, shared.setup.scale, strict=True)
        for block in factor.blocks
    ]
    return np.min(least, axis=0)


def weakest(B: Floats, s: Floats) -> tuple[Floats, Floats, Floats]:
    """Least positive eigenvalue (r,) of s B B's, 0 where there is none; its direction; B without it."""
    U, d, _ = np.linalg.svd(B * s[:, None])
    at = np.maximum((d > 0).sum(axis=1) - 1, 0)
    every = np.arange(len(B))
    value, direction = d[every, at] ** 2, U[every, :, at]
    d[every, at] = 0.0
    return value, direction, semidefinite_factors(U * d[:, None] / s[:, None])
