"""Shares of variance: R2, intraclass correlation, and effects in units of the total standard deviation.

With f the variance of X beta over the rows, v_l = tr(Z_l Sigma_l Z_l') / n of each random-effects term and s2
the mean residual variance,

    R2 marginal     = f / (f + sum v + s2)            ICC adjusted   = sum v / (sum v + s2)
    R2 conditional  = (f + sum v) / (f + sum v + s2)  ICC unadjusted = sum v / (f + sum v + s2)
    d of a coefficient = beta / sqrt(sum v + s2)

References: Nakagawa & Schielzeth (2013), A general and simple method for obtaining R2 from generalized linear
mixed-effects models, Methods in Ecology and Evolution 4, 133-142; Johnson (2014), Extension of Nakagawa &
Schielzeth's R2GLMM to random slopes models, Methods in Ecology and Evolution 5, 944-946; Westfall, Kenny &
Judd (2014), Statistical power and optimal design in experiments in which samples of participants respond to
samples of stimuli, Journal of Experimental Psychology: General 143, 2020-2045, for d.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.options import check_level, check_option, whole
from lmmkit.model.resampling.bootstrap import percentile, replicate
from lmmkit.model.resampling.simulate import Seed, Simulator, seed_of

R2 = {
    "marginal": "variance of the fixed effects over the total (Nakagawa & Schielzeth 2013)",
    "conditional": "variance of the fixed and random effects over the total (Johnson 2014)",
}
OF_LEFT = "over that which the fixed effects leave"
ICC = {
    "adjusted": f"variance of the random effects {OF_LEFT}",
    "unadjusted": "variance of the random effects over the total",
}


@dataclass(frozen=True, eq=False)
class Shares:
    """Parts of the variance in r fits of one design, (r,) each, and the coefficients.

    Attributes:
        fixed: Variance of X beta over the rows, divisor n - 1, without the offset.
        terms: (r, t) mean variance of Z b of each random-effects term.
        residual: Mean residual variance.
        beta: (r, p) coefficients.
    """

    fixed: Floats
    terms: Floats
    residual: Floats
    beta: Floats

    @property
    def random(self) -> Floats:
        """Sum over terms of the mean variance of Z b."""
        return self.terms.sum(axis=1)

    @property
    def total(self) -> Floats:
        """All of it."""
        return self.fixed + self.random + self.residual

    def r2(self) -> Floats:
        """(r, 2) marginal and conditional."""
        return np.column_stack([self.fixed, self.fixed + self.random]) / self.total[:, None]

    def r2_marginal(self) -> Floats:
        """(r, 1) marginal."""
        return self.r2()[:, :1]

    def icc(self) -> Floats:
        """(r, 2) adjusted and unadjusted."""
        return np.column_stack([self.random / (self.random + self.residual), self.random / self.total])

    def by_group(self) -> Floats:
        """(r, t) share of each term in what the fixed effects leave."""
        return self.terms / (self.random + self.residual)[:, None]

    def parts(self) -> Floats:
        """(r, t + 2) share of the fixed effects, each term and the residual in the total."""
        return np.column_stack([self.fixed, self.terms, self.residual]) / self.total[:, None]

    def effects(self) -> Floats:
        """(r, p) coefficients in units of the standard deviation that they leave."""
        return self.beta / np.sqrt(self.random + self.residual)[:, None]


def shares(
    estimates: Estimates, beta: Floats, factors: Sequence[Floats], sigma: Floats, rho: Floats
) -> Shares:
    """The parts of the variance of r fits.

    Args:
        estimates: A fit with their design.
        beta: (r, p) coefficients.
        factors: (r, k, k) Lambda of each term.
        sigma: (r,) residual standard deviations.
        rho: (r, m) coordinates of the residual structure.
    """
    problem = estimates.problem
    X = estimates.X.T
    centred = _root(X - X.mean(axis=1, keepdims=True))
    terms = np.zeros((len(sigma), len(problem.terms)))
    for t, (term, L) in enumerate(zip(problem.terms, factors, strict=True)):
        own = estimates.random[t].grouping.row_variances  # of members and relatives: tr(Z K Z')
        scale = 1.0 if own is None else np.sqrt(own)
        root = _root(np.array([problem.columns[c] * scale for c in term.columns]))
        terms[:, t] = sigma**2 * ((root @ L) ** 2).sum(axis=(1, 2)) / estimates.nobs
    return Shares(
        fixed=((centred @ beta.T) ** 2).sum(axis=0) / (estimates.nobs - 1),
        terms=terms,
        residual=sigma**2 * _mean_noise(estimates, rho),
        beta=beta,
    )


def _mean_noise(estimates: Estimates, rho: Floats) -> Floats | float:
    """Mean residual variance over the rows, relative to sigma^2; (r,) under a residual structure."""
    weights, residual = estimates.problem.weights, estimates.design.residual
    each = np.ones(estimates.nobs) if weights is None else 1.0 / weights
    if residual is None:
        return float(np.mean(each))
    rows = estimates.spread_rows
    return np.array(
        [np.mean(each * residual.variances(x, rows)) if np.isfinite(x).all() else np.nan for x in rho]
    )


def _root(rows: Floats) -> Floats:
    """R with R'R = rows rows': far from zero, columns have sums of squares that cancel, but not their R."""
    return np.asarray(np.linalg.qr(rows.T, mode="r"), dtype=np.float64)


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


def marginal_r2(estimates: Estimates) -> float:
    """Variance of the fixed effects over the total."""
    return float(r2(estimates, None, 0, 0.95)["estimate"].iloc[0])


def effect_sizes(estimates: Estimates, n: int | None, seed: Seed, level: float) -> pd.DataFrame:
    """Coefficients in units of the standard deviation that they leave; arguments as for `r2`."""
    definition = "beta / sqrt(variance of the random effects + residual variance)"
    return _table(estimates, n, seed, level, Shares.effects, dict.fromkeys(estimates.names, definition))


def total_sd(estimates: Estimates) -> float:
    """Standard deviation that the fixed effects leave, random effects included, averaged over the rows."""
    own = [L[None] for L in estimates.factors]
    sigma = np.array([estimates.sigma])
    found = shares(estimates, estimates.beta[None], own, sigma, estimates.rho[None])
    return float(np.sqrt(found.random + found.residual).item())


def _table(
    estimates: Estimates,
    n: int | None,
    seed: Seed,
    level: float,
    of: Callable[[Shares], Floats],
    definitions: dict[str, str],
) -> pd.DataFrame:
    check_level("level", level)
    own = [L[None] for L in estimates.factors]
    sigma = np.array([estimates.sigma])
    point = of(shares(estimates, estimates.beta[None], own, sigma, estimates.rho[None]))[0]
    limits = np.full((len(point), 2), np.nan)
    if n is not None:
        found = replicate(Simulator(estimates, seed_of(seed)), whole("n", n, "replicates"))
        values = of(shares(estimates, found.beta, found.factors, found.sigma, found.rho))
        limits = np.array([percentile(column, level) for column in values.T]).reshape(-1, 2)
    columns = {"estimate": point, "low": limits[:, 0], "high": limits[:, 1]}
    frame = pd.DataFrame(columns, index=pd.Index(list(definitions)))
    frame.attrs["definition"] = definitions
    return frame
