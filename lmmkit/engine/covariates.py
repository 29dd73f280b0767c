"""Covariates of variance functions: brought to where a search is well conditioned, or found with the fit.

The SDs g = |v|^rho and exp(rho v) are relative to sigma, the SD at |v| = 1 and at v = 0. Far from there a
step in rho changes all of sigma and every T beside it, so the search is of the covariate divided by its
geometric mean, or less its mean, where with c = exp(rho m), m the mean of d log g / d rho,

    (1)  g = c g_c,   sigma = sigma_c / c,   Lambda = c Lambda_c,   (X'V^-1X)^-1 = c^2 (X'V_c^-1X)^-1
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.crossproducts.whitening import FARTHEST, TOO_FAR
from lmmkit.engine.problem import Problem, RowResidual
from lmmkit.errors import FitError

LEAST_FITTED = 1e-8  # of the largest fitted value: a power of one below is no variance


def middle(problem: Problem) -> Floats:
    """(m,) mean of d log g / d rho over the rows; empty where nothing is to be centred."""
    residual = problem.residual
    if not isinstance(residual, RowResidual) or residual.structure.variance is None:
        return np.empty(0)
    if residual.structure.variance.kind == "ident":
        return np.empty(0)
    return residual.log_sd_slopes().mean(axis=1)


def centred(problem: Problem, mean: Floats) -> Problem:
    """The same model with the covariate of its variance function centred at `mean`."""
    residual = problem.residual
    assert isinstance(residual, RowResidual)
    assert residual.covariate is not None
    assert residual.structure.variance is not None
    power = residual.structure.variance.kind == "power"
    covariate = np.abs(residual.covariate) / np.exp(mean[0]) if power else residual.covariate - mean[0]
    return replace(problem, residual=replace(residual, covariate=covariate))


def lift(rho: Floats, mean: Floats) -> float:
    """C of (1).

    Raises:
        FitError: It is beyond the range of numbers.
    """
    log = float(rho[: len(mean)] @ mean)
    if abs(log) > FARTHEST:
        raise FitError(TOO_FAR)
    return float(np.exp(log))


def awaits_fitted(problem: Problem) -> bool:
    """Whether the covariate of the variance function is the fitted values, and is not known yet."""
    residual = problem.residual
    if not isinstance(residual, RowResidual) or residual.structure.variance is None:
        return False
    return residual.structure.variance.fitted and residual.covariate is None


def without_variance(problem: Problem) -> Problem:
    """The same model with one variance."""
    residual = problem.residual
    assert isinstance(residual, RowResidual)
    if residual.structure.correlation is None:
        return replace(problem, residual=None)
    structure = replace(residual.structure, variance=None)
    return replace(problem, residual=replace(residual, structure=structure, covariate=None))


def with_fitted(problem: Problem, fitted: Floats) -> Problem:
    """The same model with these fitted values as the covariate.

    Raises:
        FitError: One of them is zero.
    """
    residual, size = problem.residual, np.abs(fitted)
    assert isinstance(residual, RowResidual)
    row = int(np.argmin(size))
    if size[row] <= LEAST_FITTED * size.max():
        raise FitError(
            f"power(fitted): the fitted value of row {row + 1} of those used is {fitted[row]:.3g}, and a "
            "power of it is no variance. Take power(x) or exp(x) of a covariate, or a response away from "
            "zero."
        )
    return replace(problem, residual=replace(residual, covariate=size))
