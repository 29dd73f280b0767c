"""Shares of the variance as tables: R2, intraclass correlation, effect sizes; with bounds by a bootstrap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.options import Seed, check_level, check_option, seed_of, whole
from lmmkit.model.resampling.bootstrap import percentile, replicate
from lmmkit.model.resampling.simulate import Simulator
from lmmkit.model.variance_parts import Shares, own_shares, shares

R2 = {
    "marginal": "variance of the fixed effects over the total (Nakagawa & Schielzeth 2013)",
    "conditional": "variance of the fixed and random effects over the total (Johnson 2014)",
}
OF_LEFT = "over that which the fixed effects leave"
ICC = {
    "adjusted": f"variance of the random effects {OF_LEFT}",
    "unadjusted": "variance of the random effects over the total",
}


def r2(estimates: Estimates, n: int | None, seed: Seed, level: float) -> pd.DataFrame:
    """Marginal and conditional R2: estimate, low, high; marginal alone where there are no random effects.

    Args:
        estimates: The fit.
        n: Replicates of a parametric bootstrap for the bounds; None for NaN.
        seed: Seed of the random numbers.
        level: Coverage of the bounds.
    """
    if estimates.random:
        return _table(estimates, n, seed, level, Shares.r2, R2)
    return _table(estimates, n, seed, level, Shares.r2_marginal, {"marginal": R2["marginal"]})


def icc(
    estimates: Estimates, n: int | None, seed: Seed, level: float, *, by_group: bool = False
) -> pd.DataFrame:
    """Adjusted and unadjusted intraclass correlation: estimate, low, high; arguments as for `r2`.

    Args:
        estimates: The fit.
        n: Replicates of a parametric bootstrap for the bounds; None for NaN.
        seed: Seed of the random numbers.
        level: Coverage of the bounds.
        by_group: The adjusted one taken apart by random-effects term.

    Raises:
        FitError: The model has no random effects, or an option that is not offered.
    """
    check_option("by_group", by_group, (True, False))
    if not estimates.random:
        raise FitError(
            "An intraclass correlation is a share of the variance of random effects, and this model has "
            "none: its residuals are correlated by the residual structure, see residual_params and varcorr."
        )
    if by_group:
        told = {term.group: f"variance of {term.group}, {OF_LEFT}" for term in estimates.random}
        return _table(estimates, n, seed, level, Shares.by_group, told)
    return _table(estimates, n, seed, level, Shares.icc, ICC)


def variance_shares(estimates: Estimates, n: int | None, seed: Seed, level: float) -> pd.DataFrame:
    """Shares of fixed effects, random-effects terms and residual; arguments as for `r2`."""
    names = ["fixed", *(term.group for term in estimates.random), "Residual"]
    told = {name: f"variance of {name} over the total" for name in names}
    return _table(estimates, n, seed, level, Shares.parts, told)


def effect_sizes(estimates: Estimates, n: int | None, seed: Seed, level: float) -> pd.DataFrame:
    """Coefficients in units of the standard deviation that they leave; arguments as for `r2`."""
    definition = "beta / sqrt(variance of the random effects + residual variance)"
    return _table(estimates, n, seed, level, Shares.effects, dict.fromkeys(estimates.names, definition))


def _table(
    estimates: Estimates,
    n: int | None,
    seed: Seed,
    level: float,
    of: Callable[[Shares], Floats],
    definitions: dict[str, str],
) -> pd.DataFrame:
    check_level("level", level)
    point = of(own_shares(estimates))[0]
    limits = np.full((len(point), 2), np.nan)
    if n is not None:
        found = replicate(Simulator(estimates, seed_of(seed)), whole("n", n, "replicates"))
        values = of(shares(estimates, found.beta, found.factors, found.sigma, found.rho))
        limits = np.array([percentile(column, level) for column in values.T]).reshape(-1, 2)
    columns = {"estimate": point, "low": limits[:, 0], "high": limits[:, 1]}
    frame = pd.DataFrame(columns, index=pd.Index(list(definitions)))
    frame.attrs["definition"] = definitions
    return frame
