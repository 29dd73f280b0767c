"""Variances that are given, not estimated: `lmm(..., variances={"animal": 20, "Residual": 40})`.

Breeders take the components from an earlier analysis and want the solutions of Henderson's equations at them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError, did_you_mean

RESIDUAL = "Residual"
SEMIDEFINITE = 1e-10  # of the largest eigenvalue, by which rounding may make one negative


@dataclass(frozen=True, eq=False)
class HeldVariances:
    """The covariance parameters of a model, as given.

    Attributes:
        factors: (k, k) Lambda of each term, G = sigma^2 Lambda Lambda'.
        sigma: Residual standard deviation.
    """

    factors: tuple[Floats, ...]
    sigma: float


def read_variances(given: Any, labels: Sequence[str], names: Sequence[tuple[str, ...]]) -> HeldVariances:
    """Variances by group, a covariance matrix for a term of several effects.

    Args:
        given: By the label of each term, and "Residual", its variance, or its (k, k) covariance matrix.
        labels: Labels of the terms.
        names: Names of each term's effects.

    Raises:
        FitError: One is absent, unknown, or no variance.
    """
    expected = [*labels, RESIDUAL]
    if not isinstance(given, Mapping):
        raise FitError(
            f"variances: a variance for each of {', '.join(expected)} is expected, such as "
            f"{{{', '.join(f'{label!r}: 1.0' for label in expected)}}}, not {type(given).__name__}."
        )
    held = cast("Mapping[Any, Any]", given)
    for label in held:
        if label not in expected:
            near = did_you_mean(str(label), expected)
            raise FitError(
                f"variances: the model has no `{label}`{near or '.'} It has {', '.join(expected)}."
            )
    absent = [label for label in expected if label not in held]
    if absent:
        raise FitError(
            f"variances: {', '.join(absent)} is absent; those that are given are held, and all of them are "
            f"to be given: {', '.join(expected)}."
        )
    residual = _matrix(held[RESIDUAL], RESIDUAL, ("variance",))[0, 0]
    if residual == 0.0:
        raise FitError("variances: Residual is 0; a positive residual variance is expected.")
    pairs = zip(labels, names, strict=True)
    G = [_matrix(held[label], label, own) for label, own in pairs]
    return HeldVariances(tuple(_root(one / residual) for one in G), float(np.sqrt(residual)))


def _matrix(given: Any, label: str, names: Sequence[str]) -> Floats:
    """(k, k) covariance matrix of one term."""
    k = len(names)
    try:
        G = np.array(given, np.float64)
    except (TypeError, ValueError):
        raise FitError(f"variances: {label} is {given!r:.60}; a number is expected.") from None
    if G.shape == () and k == 1:
        G = G.reshape(1, 1)
    if G.shape != (k, k):
        raise FitError(
            f"variances: {label} has the effects {', '.join(names)}; their {k} x {k} covariance matrix is "
            f"expected, not an array of shape {G.shape}."
        )
    if not np.isfinite(G).all() or np.abs(G - G.T).max() > 1e-10 * np.abs(G).max():
        raise FitError(f"variances: {label} is no symmetric matrix of finite numbers.")
    values = np.linalg.eigvalsh(G)
    if values[0] < -SEMIDEFINITE * max(values[-1], 0.0) or values[-1] < 0:
        raise FitError(
            f"variances: {label} has the least eigenvalue {values[0]:.4g}; a variance is not negative, a "
            "covariance matrix positive semidefinite."
        )
    return G


def _root(T: Floats) -> Floats:
    """Lower triangular L with L L' = T, a zero column at a zero pivot."""
    L = np.zeros_like(T)
    for j in range(len(T)):
        rest = T[j:, j] - L[j:, :j] @ L[j, :j]
        if rest[0] > SEMIDEFINITE * T[j, j]:
            L[j:, j] = rest / np.sqrt(rest[0])
    return L
