"""Residuals as they are looked at: raw, in units of their SD, and free of their correlations."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.crossproducts.patterns import coloured, whitened
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
    e, residual = response(estimates), estimates.problem.visits
    if residual is None:
        return e / estimates.noise
    return whitened(residual, estimates.rho, _weighted(estimates) * e / estimates.sigma)


def correlated(estimates: Estimates, z: Floats) -> Floats:
    """(n, r) residuals L z made of independent standard normal ones."""
    residual = estimates.problem.visits
    if residual is None:
        return estimates.noise[:, None] * z
    return estimates.sigma * coloured(residual, estimates.rho, z) / _weighted(estimates)[:, None]


def _weighted(estimates: Estimates) -> Floats:
    """(n,) what makes a residual one of weight 1."""
    weights = estimates.problem.weights
    return np.ones(estimates.nobs) if weights is None else np.sqrt(weights)
