"""Residuals as they are looked at: raw, in units of their SD, and free of their correlations."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy

from lmmkit.engine.arrays import Floats
from lmmkit.model.estimates import Estimates
from lmmkit.model.options import check_option

Kind = Literal["response", "pearson", "normalised", "marginal"]
KINDS = ("response", "pearson", "normalised", "marginal")


def of_kind(estimates: Estimates, kind: Kind) -> Floats:
    """(n,) residuals of one kind; see `Fit.residuals`.

    Raises:
        FitError: A kind that is not offered.
    """
    check_option("kind", kind, KINDS)
    if kind == "marginal":
        return estimates.problem.response - estimates.marginal_fit
    if kind == "response":
        return response(estimates)
    return response(estimates) / estimates.noise if kind == "pearson" else normalised(estimates)


def response(estimates: Estimates) -> Floats:
    """(n,) the response less the fitted values."""
    return estimates.problem.response - estimates.fitted


def normalised(estimates: Estimates) -> Floats:
    """(n,) L^-1 (y - fitted) within each subject, L the lower Cholesky factor of their covariance matrix."""
    e, residual = response(estimates), estimates.design.residual
    if residual is None:
        return e / estimates.noise
    return with_roots(estimates, _weighted(estimates) * e, inverse=True)


def correlated(estimates: Estimates, z: Floats) -> Floats:
    """(n, r) residuals L z made of independent standard normal ones."""
    if estimates.design.residual is None:
        return estimates.noise[:, None] * z
    return with_roots(estimates, z, inverse=False) / _weighted(estimates)[:, None]


def with_roots(estimates: Estimates, values: Floats, *, inverse: bool) -> Floats:
    """(n, ...) L times the values of each subject in the order of its visits, or L^-1 times them."""
    residual, V = estimates.design.residual, estimates.residual_covariance
    assert residual is not None
    out = np.empty_like(values)
    for cells, rows in residual.patterns:
        L = np.linalg.cholesky(V[np.ix_(cells, cells)])
        mine = values[rows].swapaxes(0, 1)  # (t, s, ...)
        flat = mine.reshape(len(cells), -1)
        made = scipy.linalg.solve_triangular(L, flat, lower=True) if inverse else L @ flat
        out[rows] = made.reshape(mine.shape).swapaxes(0, 1)
    return out


def _weighted(estimates: Estimates) -> Floats:
    """(n,) what makes a residual one of weight 1."""
    weights = estimates.problem.weights
    return np.ones(estimates.nobs) if weights is None else np.sqrt(weights)
