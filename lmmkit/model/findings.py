"""What a fit found, by name: its numbers, series and frames, made when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lmmkit.model import tables
from lmmkit.model.design.design import Design
from lmmkit.model.estimates import Estimates
from lmmkit.model.overall import criteria


@dataclass(frozen=True, eq=False)
class Findings:
    """Names for the numbers of an estimate, in statsmodels' and lme4's words.

    Attributes:
        estimates: The numbers, by position; everything else is made from them.
    """

    estimates: Estimates

    @property
    def design(self) -> Design:
        """Terms, names and arrays."""
        return self.estimates.design

    @property
    def formula(self) -> str:
        """The formula in canonical spelling."""
        return self.design.formula

    @property
    def algorithm(self) -> str:
        """The search that found the estimates."""
        return self.estimates.algorithm

    @property
    def params(self) -> pd.Series[float]:
        """Fixed effects (BLUE) by coefficient."""
        return tables.by_coefficient(self.estimates, self.estimates.beta, "estimate")

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors of the fixed effects, not adjusted for small samples."""
        return tables.by_coefficient(self.estimates, tables.standard_errors(self.estimates), "se")

    @property
    def dropped_columns(self) -> list[str]:
        """Columns of X left out as linear functions of earlier ones."""
        return self.estimates.aliased

    def cov_params(self) -> pd.DataFrame:
        """Covariance matrix of the fixed effects, (p, p)."""
        return tables.covariance_of_coefficients(self.estimates)

    @property
    def theta(self) -> pd.Series[float]:
        """Relative covariance parameters: Lambda of each term, down the columns of its lower triangle."""
        return tables.theta(self.estimates)

    @property
    def sigma(self) -> float:
        """Residual standard deviation, in the unit of the response."""
        return self.estimates.sigma

    @property
    def scale(self) -> float:
        """Residual variance."""
        return self.estimates.sigma**2

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances, covariances and correlations: group, var1, var2, vcov, sdcor."""
        return tables.varcorr(self.estimates)

    @property
    def residual_params(self) -> pd.Series[float]:
        """Parameters of the residual structure; none for independent residuals."""
        return pd.Series(np.empty(0), index=pd.Index(list[str]()), name="residual_params")

    @property
    def ranef(self) -> dict[str, pd.DataFrame]:
        """Predicted random effects (BLUP): per grouping factor a frame, levels x terms."""
        return tables.by_factor(self.estimates, self.estimates.b)

    @property
    def ranef_se(self) -> dict[str, pd.DataFrame]:
        """Conditional standard deviations of the random effects, as lme4's condVar."""
        return tables.by_factor(self.estimates, tables.conditional_sds(self.estimates))

    @property
    def llf(self) -> float:
        """Log-likelihood, restricted under REML."""
        return -self.deviance / 2.0

    @property
    def deviance(self) -> float:
        """-2 log-likelihood, or the REML criterion."""
        return self.estimates.deviance

    @property
    def aic(self) -> float:
        """deviance + 2 npar."""
        return criteria(self.estimates).aic

    @property
    def bic(self) -> float:
        """deviance + npar log(nobs)."""
        return criteria(self.estimates).bic

    @property
    def npar(self) -> int:
        """Number of parameters: fixed effects, theta and sigma."""
        return self.estimates.npar

    @property
    def df_model(self) -> int:
        """Number of fixed effects."""
        return len(self.estimates.beta)

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.estimates.nobs

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels by grouping factor."""
        return {grouping.name: grouping.size for grouping in self.design.groupings}

    @property
    def reml(self) -> bool:
        """Restricted maximum likelihood (True), or maximum likelihood."""
        return self.estimates.reml

    @property
    def converged(self) -> bool:
        """Whether the search met its stop rule."""
        return self.estimates.converged

    @property
    def is_singular(self) -> bool:
        """Whether a covariance matrix of random effects has a null direction."""
        return any(self.estimates.null_directions)

    @property
    def evaluations(self) -> int:
        """Calls of the criterion with its gradient during the search."""
        return self.estimates.evaluations

    @property
    def trace(self) -> pd.DataFrame:
        """The log of the search: phase, iteration, deviance, gradient, decrement, step, theta."""
        return tables.trace(self.estimates)

    @property
    def fittedvalues(self) -> pd.Series[float]:
        """Fitted values with the random effects, (nobs,)."""
        return tables.by_row(self.estimates, self.estimates.fitted, "fitted")

    @property
    def resid(self) -> pd.Series[float]:
        """Response less fitted values, (nobs,)."""
        return tables.by_row(self.estimates, self.estimates.problem.response - self.estimates.fitted, "resid")
