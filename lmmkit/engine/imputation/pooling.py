"""One estimate and its uncertainty out of many: Rubin's rules, and the jackknife of a conditional mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats


@dataclass(frozen=True)
class Pooled:
    """An estimate over imputations, or over units left out.

    Attributes:
        estimate: The estimate.
        se: Its standard error.
        df: Degrees of freedom of its t; infinite under the jackknife.
        within: Mean variance within a completed data set; NaN under the jackknife.
        between: Variance of the estimates between data sets; NaN under the jackknife.
        monte_carlo: Standard error of the estimate for the imputations being finite in number; 0 without
            draws.
    """

    estimate: float
    se: float
    df: float
    within: float = np.nan
    between: float = np.nan
    monte_carlo: float = 0.0

    @property
    def lost(self) -> float:
        """Share of the variance due to missing values, (1 + 1/M) B / T; NaN under the jackknife."""
        return 1.0 - self.within / self.se**2 if self.se > 0.0 else np.nan


def rubin(estimates: Floats, variances: Floats, complete_df: float) -> Pooled:
    """Rubin's rules, with the degrees of freedom of Barnard and Rubin.

    With M estimates q of variances u, W the mean of u and B the variance of q: T = W + (1 + 1/M) B,
    lambda = (1 + 1/M) B / T, and 1 / df = lambda^2 / (M - 1) + 1 / df_obs,
    df_obs = df_com (df_com + 1) / (df_com + 3) (1 - lambda).

    Args:
        estimates: (M,) of the completed data sets, M at least 2.
        variances: (M,) of them.
        complete_df: df_com, degrees of freedom were the data complete; infinite for none.

    References: Rubin (1987), Multiple Imputation for Nonresponse in Surveys, section 3.1; Barnard & Rubin
    (1999), Small-sample degrees of freedom with multiple imputation, Biometrika 86, 948-955.

    >>> pooled = rubin(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 1.0]), 20.0)
    >>> round(pooled.se**2, 4), round(pooled.df, 4)
    (2.3333, 3.4359)
    """
    M = len(estimates)
    within, between = float(variances.mean()), float(estimates.var(ddof=1))
    total = within + (1.0 + 1.0 / M) * between
    share = (1.0 + 1.0 / M) * between / total
    old = share**2 / (M - 1)  # 1 / df of infinitely many rows
    left = 1.0 - share
    observed = (
        0.0 if np.isinf(complete_df) else (complete_df + 3.0) / (complete_df + 1.0) / complete_df / left
    )
    sum_of_both = old + observed
    return Pooled(
        estimate=float(estimates.mean()),
        se=float(np.sqrt(total)),
        df=1.0 / sum_of_both if sum_of_both > 0.0 else np.inf,
        within=within,
        between=between,
        monte_carlo=float(np.sqrt(between / M)),
    )


def jackknife(estimate: float, without: Floats) -> Pooled:
    """An estimate with the variance of its values without each of n units, (n - 1) / n times their squares.

    Args:
        estimate: Of all units.
        without: (n,) without each of them.

    Reference: Efron & Tibshirani (1994), An Introduction to the Bootstrap, section 11.2.
    """
    n = len(without)
    return Pooled(estimate, float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())), np.inf)
