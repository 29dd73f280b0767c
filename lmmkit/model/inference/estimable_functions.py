"""Columns of X that are linear functions of others: what the data cannot estimate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lmmkit.engine.linalg.level_matrices import solved
from lmmkit.engine.problem import Floats
from lmmkit.model.estimates import Estimates

ROUNDING = 1e-9  # a coefficient of an aliased column below this is zero
ESTIMABLE = 1e-8  # share of its own size by which a row may differ from an estimable one


def aliasing(estimates: Estimates) -> Floats:
    """(p_kept, p_all) A: on the rows of the fit all columns of X are the kept ones times A."""
    problem, kept = estimates.problem, list(estimates.kept)
    A = np.zeros((len(kept), len(problem.fixed)))
    A[np.arange(len(kept)), kept] = 1.0
    left_out = [i for i in range(len(problem.fixed)) if i not in kept]
    if left_out and kept:
        A[:, left_out] = _coefficients(_columns(estimates, kept), _columns(estimates, left_out))
    return A


def _columns(estimates: Estimates, positions: list[int]) -> Floats:
    """(n, m) columns of X."""
    problem = estimates.problem
    return np.stack([problem.columns[problem.fixed[i]] for i in positions], axis=1)


def _coefficients(X: Floats, Y: Floats) -> Floats:
    """B of Y = X B, for columns at unit length, with rounding taken out."""
    lengths, others = np.linalg.norm(X, axis=0), np.linalg.norm(Y, axis=0)
    others[others == 0.0] = 1.0
    Q, R = np.linalg.qr(X / lengths)
    B = solved(R, Q.T @ (Y / others))
    B[np.abs(B) < ROUNDING] = 0.0
    return B * others / lengths[:, None]


def estimable(L: Floats, estimates: Estimates) -> tuple[Floats, NDArray[np.bool_]]:
    """Rows on all columns of X as rows on the kept ones, and which of them the data can estimate.

    A row is estimable when it vanishes on every combination of columns that is zero on all rows of the fit.
    """
    A, kept = aliasing(estimates), list(estimates.kept)
    left_out = [i for i in range(A.shape[1]) if i not in kept]
    gap = np.abs(L[:, left_out] - L[:, kept] @ A[:, left_out])
    size = np.abs(L[:, left_out]) + np.abs(L[:, kept]) @ np.abs(A[:, left_out])
    return L[:, kept], np.all(gap <= ESTIMABLE * size, axis=1)
