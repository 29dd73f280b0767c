"""Mixtures of chi-squared distributions: likelihood ratios when parameters lie on the boundary of a cone.

The squared length of the projection of a normal vector on a closed convex cone is a mixture of chi-squared
variables; its weights are the cone's intrinsic volumes in the metric of the information.

Reference: Shapiro (1988), Towards a unified theory of inequality constrained testing in multivariate
analysis; Stram & Lee (1994), Variance components testing in the longitudinal mixed effects model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import scipy

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.linalg.levelwise import solved

DRAWS = 10_000
STEPS = 400  # of a projection or of the weights, at most
SETTLED = 1e-8  # movement at which a projection is over
ZERO = 1e-9  # a squared length, or a statistic, that is zero
ROOT_TWO = float(np.sqrt(2.0))


def mixture_tail(stat: float, weights: Floats, first: int) -> float:
    """P(X >= stat) of the mixture of chi2(first), chi2(first + 1), ... with the given weights.

    >>> round(mixture_tail(6.368955314, np.array([0.5, 0.5]), 0), 7)
    0.0058067
    """
    if stat <= ZERO:
        return 1.0
    halves = (first + np.arange(len(weights))) / 2.0  # at half 0 all mass is at zero, and none beyond
    return float(weights @ scipy.special.gammaincc(halves, stat / 2.0))


def cone_weights(covariance: Floats, sizes: Sequence[int], seed: int) -> Floats:
    """Weights of chi2(0), ..., chi2(J) for a product of cones of positive semidefinite matrices.

    Args:
        covariance: (J, J) of the normal vector: the lower triangles of the matrices, column by column.
        sizes: Order of each matrix; J is the sum of m (m + 1) / 2.
        seed: Seed of the draws, used where there is no formula (J > 2).

    >>> cone_weights(np.eye(1), [1], 0).tolist()
    [0.5, 0.5]
    """
    J = len(covariance)
    if J == 1:
        return np.array([0.5, 0.5])
    if J == 2:
        size = np.sqrt(covariance.diagonal())
        angle = float(np.arcsin(covariance[0, 1] / (size[0] * size[1]))) / (2.0 * np.pi)
        return np.array([0.25 - angle, 0.5, 0.25 + angle])
    return np.array(_drawn(np.asarray(covariance, np.float64).tobytes(), tuple(sizes), seed))


@lru_cache(maxsize=64)
def _drawn(numbers: bytes, sizes: tuple[int, ...], seed: int) -> tuple[float, ...]:
    """The weights by draws, which a table of comparisons may ask for again, from the covariance as bytes."""
    J = sum(m * (m + 1) // 2 for m in sizes)
    covariance = np.frombuffer(numbers).reshape(J, J)
    scale = _scales(covariance, sizes)
    scaled = covariance / np.outer(scale, scale)
    metric = solved(scaled, np.eye(J))
    w = np.random.default_rng(seed).multivariate_normal(np.zeros(J), scaled, DRAWS, method="cholesky")
    x = _projected(w, metric, sizes)
    inside = np.einsum("ni,ij,nj->n", x, metric, x)
    outside = np.einsum("ni,ij,nj->n", w - x, metric, w - x)
    return tuple(_volumes(inside, outside, J).tolist())


def _blocks(sizes: Sequence[int]) -> Iterator[tuple[Ints, Ints, slice]]:
    """Rows and columns of the lower triangle of each matrix, and its place in the vector."""
    start = 0
    for m in sizes:
        columns, rows = np.triu_indices(m)
        yield rows, columns, slice(start, start + len(rows))
        start += len(rows)


def _scales(covariance: Floats, sizes: Sequence[int]) -> Floats:
    """Units that leave the cone as it is and make the plain metric of the vector that of the matrices."""
    spread = np.sqrt(covariance.diagonal())
    out = np.empty(len(spread))
    for rows, columns, place in _blocks(sizes):
        own = np.sqrt(spread[place][rows == columns])
        out[place] = own[rows] * own[columns] / np.where(rows == columns, 1.0, ROOT_TWO)
    return out


def _projected(w: Floats, metric: Floats, sizes: Sequence[int]) -> Floats:
    """The nearest points of the cone, by accelerated projected gradients (Beck & Teboulle 2009)."""
    step = 1.0 / float(np.linalg.eigvalsh(metric)[-1])
    out, active = w.copy(), np.arange(len(w))
    x, y, momentum = w, w, 1.0
    for _ in range(STEPS):
        new = _clipped(y - step * (y - w[active]) @ metric, sizes)
        moving = np.abs(new - x).max(axis=1) > SETTLED
        grown = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        y = (new + (momentum - 1.0) / grown * (new - x))[moving]
        out[active], x, momentum = new, new[moving], grown
        active = active[moving]
        if not len(active):
            break
    return out


def _clipped(x: Floats, sizes: Sequence[int]) -> Floats:
    """Each matrix without its negative eigenvalues."""
    out = np.empty_like(x)
    for m, (rows, columns, place) in zip(sizes, _blocks(sizes), strict=True):
        if m == 1:
            out[:, place] = np.maximum(x[:, place], 0.0)
            continue
        scale = np.where(rows == columns, 1.0, ROOT_TWO)
        A = np.zeros((len(x), m, m))
        A[:, rows, columns] = A[:, columns, rows] = x[:, place] / scale
        values, vectors = np.linalg.eigh(A)
        values, kept = np.maximum(values, 0.0), np.zeros_like(out[:, place])
        for k in range(m):
            kept += vectors[:, rows, k] * values[:, k, None] * vectors[:, columns, k]
        out[:, place] = kept * scale
    return out


def _volumes(inside: Floats, outside: Floats, J: int) -> Floats:
    """Intrinsic volumes from squared lengths of projections on the cone and on its polar.

    Given the face they fall on the two are independent chi2(j) and chi2(J - j): a mixture with known
    components, whose weights are found by EM. Those of even and of odd j add up to one half each.
    """
    logs = np.full((len(inside), J + 1), -np.inf)
    for j in range(J + 1):
        logs[:, j] = _log_density(inside, j) + _log_density(outside, J - j)
    density = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights = np.full(J + 1, 1.0 / (J + 1))
    for _ in range(STEPS):
        share = density * weights
        weights = (share / share.sum(axis=1, keepdims=True)).mean(axis=0)
    for parity in (0, 1):
        weights[parity::2] *= 0.5 / max(float(weights[parity::2].sum()), 1e-300)
    return weights


def _log_density(x: Floats, df: int) -> Floats:
    """Log density of chi2(df); at df = 0 all mass at zero, and none there otherwise."""
    zero = x < ZERO
    if df == 0:
        return np.where(zero, 0.0, -np.inf)
    safe = np.where(zero, 1.0, x)
    logs = (
        (df / 2.0 - 1.0) * np.log(safe)
        - safe / 2.0
        - scipy.special.gammaln(df / 2.0)
        - df / 2.0 * np.log(2.0)
    )
    return np.where(zero, -np.inf, logs)
