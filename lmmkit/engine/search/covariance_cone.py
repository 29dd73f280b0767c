"""Moves in the cone of covariance matrices: EM steps, escapes, null directions, singular factors."""

from __future__ import annotations

import numpy as np

from lmmkit.engine.crossproducts.elimination_order import Factor
from lmmkit.engine.problem import Floats, Ints

PARALLEL = 1e-11  # a row adds a direction when more than this share of its norm is new


def semidefinite_factor(rows: Floats) -> Floats:
    """Lower triangular L with L L' = A A' for the rows of A, a zero column at a zero pivot."""
    k = len(rows)
    L, basis = np.zeros((k, k)), np.zeros((k, rows.shape[1]))
    for a, row in enumerate(rows):
        rest = row.copy()
        for _ in range(2):
            part = basis @ rest
            L[a] += part
            rest = rest - part @ basis
        length = float(np.linalg.norm(rest))
        if length > PARALLEL * np.linalg.norm(row):
            L[a, a], basis[a] = length, rest / length
    return L


def by_blocks(factor: Factor, L: Floats) -> list[tuple[tuple[Ints, ...], Floats]]:
    """Index and (m, m) block of each of a factor's covariance matrices."""
    return [(np.ix_(block, block), L[np.ix_(block, block)]) for block in factor.blocks]


def em_step(factor: Factor, L: Floats, D: Floats) -> Floats:
    """One ECME step T - T D T / J, on L: L chol(I - L'D L / J). The deviance never rises.

    Reference: Lindstrom & Bates (1988); with D the derivative of the profiled deviance the step profiles
    sigma^2 and the fixed effects out (Liu & Rubin 1994).
    """
    out = np.zeros_like(L)
    for here, block in by_blocks(factor, L):
        inner = np.eye(len(block)) - block.T @ D[here] @ block / factor.levels
        out[here] = block @ _root(inner)
    return out


def _root(inner: Floats) -> Floats:
    """Cholesky factor of what is positive definite but for rounding, far from an optimum."""
    try:
        return np.linalg.cholesky(inner).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(inner)
        least = PARALLEL * float(np.abs(values).max())
        return semidefinite_factor(vectors * np.sqrt(np.maximum(values, least)))


def scaled_slopes(factor: Factor, D: Floats, scale: Floats) -> list[tuple[Floats, Floats]]:
    """Eigenvalues and vectors of each block of D / (s s') / J: the gain along each direction of T."""
    out = list[tuple[Floats, Floats]]()
    for here, block in by_blocks(factor, D):
        s = scale[here[1][0]]
        out.append(np.linalg.eigh(block / np.outer(s, s) / factor.levels))
    return out


def widened(factor: Factor, L: Floats, index: int, direction: Floats, scale: Floats, size: float) -> Floats:
    """L of T + size v v' / s^2 in one block."""
    here, block = by_blocks(factor, L)[index]
    s = scale[here[1][0]]
    out = L.copy()
    out[here] = semidefinite_factor(np.column_stack([block, np.sqrt(size) * direction / s]))
    return out


def null_slope(
    factor: Factor, L: Floats, D: Floats, scale: Floats, below: float
) -> list[tuple[int, float, Floats]]:
    """Per block with a null space of T: its least slope of D there, and the direction (in scaled units)."""
    out = list[tuple[int, float, Floats]]()
    for index, (here, block) in enumerate(by_blocks(factor, L)):
        s = scale[here[1][0]]
        rows = block * s[:, None]
        values, vectors = np.linalg.eigh(rows @ rows.T)
        null = vectors[:, values < below]
        if null.shape[1]:
            d = D[here] / np.outer(s, s) / factor.levels
            slopes, turn = np.linalg.eigh(null.T @ d @ null)
            out.append((index, float(slopes[0]), null @ turn[:, 0]))
    return out


def weakest(block: Floats, s: Floats) -> tuple[float, Floats, Floats]:
    """The least positive eigenvalue of scaled T, its direction v (v'v = 1, scaled), and L without it."""
    U, d, _ = np.linalg.svd(block * s[:, None])
    last = int(np.sum(d > 1e-13 * d[0])) - 1
    if last < 0:
        return 0.0, np.zeros(len(s)), block
    rest = U[:, :last] * d[:last] / s[:, None]
    return (
        float(d[last] ** 2),
        U[:, last],
        semidefinite_factor(np.column_stack([rest, np.zeros((len(s), 1))])),
    )
