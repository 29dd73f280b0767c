"""Residuals as they are looked at: raw, in units of their SD, and free of their correlations."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.crossproducts.whitening import root_of
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
    """(n,) B (y - fitted) with B R B' = 1 within each subject, in units of sigma.

    Over visits B is the inverse of the lower Cholesky factor of R in their order; with time that of a Markov
    process, each row less what the one before it tells of it.
    """
    e, residual = response(estimates), estimates.problem.residual
    if residual is None:
        return e / estimates.noise
    return root_of(residual, estimates.rho).white((_weighted(estimates) * e / estimates.sigma)[None])[0]


def correlated(estimates: Estimates, z: Floats) -> Floats:
    """(n, r) residuals B^-1 z made of independent standard normal ones."""
    residual = estimates.problem.residual
    if residual is None:
        return estimates.noise[:, None] * z
    made = root_of(residual, estimates.rho).unwhite(np.ascontiguousarray(z.T))
    return estimates.sigma * made.T / _weighted(estimates)[:, None]


def _weighted(estimates: Estimates) -> Floats:
    """(n,) what makes a residual one of weight 1."""
    weights = estimates.problem.weights
    return np.ones(estimates.nobs) if weights is None else np.sqrt(weights)
