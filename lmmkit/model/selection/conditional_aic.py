"""The conditional AIC: how well a fit predicts new rows of the groups that it has seen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.variance_tests.effective_parameters import effective_parameters
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.threads import one_thread


class ConditionalAic(NamedTuple):
    """CAIC = -2 log f(y | b) + 2 df.

    Attributes:
        value: The criterion; the smaller the better.
        df: Effective degrees of freedom: tr(d fitted / d y), and one for sigma.
        llf: Log f(y | b) at the predicted b.
    """

    value: float
    df: float
    llf: float


def conditional_aic(estimates: Estimates) -> ConditionalAic:
    """The conditional AIC, with Greven and Kneib's correction for the estimation of the variances.

    At a singular fit the variances move along the face on which it stands.

    Args:
        estimates: A fit with independent residuals.

    Raises:
        FitError: The fit has a residual structure, or its variances are given.

    Reference: Vaida & Blanchard (2005), Biometrika 92, 351-370; Greven & Kneib (2010), Biometrika 97,
    773-789, theorem 3.
    """
    problem, n = estimates.problem, estimates.nobs
    if problem.residual is not None:
        raise FitError(
            "The conditional AIC is that of independent residuals, and this model has a residual structure: "
            "compare by aic or bic."
        )
    if estimates.design.held is not None:
        raise FitError("The variances of this fit are given: there is nothing to choose between by cAIC.")
    with one_thread():
        df = effective_parameters(estimates.optimum) + 1.0
    weights = np.ones(n) if problem.weights is None else problem.weights
    llf = conditional_llf(problem.response - estimates.fitted, weights, estimates.sigma)
    return ConditionalAic(-2.0 * llf + 2.0 * df, df, llf)


def conditional_llf(residuals: Floats, weights: Floats, sigma: float) -> float:
    """Log f(y | b) of independent residuals (n,) with prior weights (n,)."""
    logs = len(residuals) * np.log(2.0 * np.pi * sigma**2) - float(np.log(weights).sum())
    return -0.5 * (float(logs) + float(weights @ residuals**2) / sigma**2)
