"""The parts of the variance of a response: of fixed effects, of each random-effects term, of the residuals.

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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.errors import FitError
from lmmkit.model.estimates import Estimates
from lmmkit.model.threads import one_thread


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


def own_shares(estimates: Estimates) -> Shares:
    """The parts of the variance of one fit, r = 1."""
    own, sigma = [L[None] for L in estimates.factors], np.array([estimates.sigma])
    return shares(estimates, estimates.beta[None], own, sigma, estimates.rho[None])


def marginal_r2(estimates: Estimates) -> float:
    """Variance of the fixed effects over the total."""
    return float(own_shares(estimates).r2_marginal().item())


def total_sd(estimates: Estimates) -> float:
    """Standard deviation that the fixed effects leave, random effects included, averaged over the rows."""
    found = own_shares(estimates)
    return float(np.sqrt(found.random + found.residual).item())


class TotalSpread(NamedTuple):
    """A standard deviation and its degrees of freedom."""

    sd: float
    df: float


def spread_of(estimates: Estimates, sigma: float | None, edf: float | None) -> TotalSpread:
    """The total standard deviation that the fixed effects leave, or one that is given.

    Its degrees of freedom are Satterthwaite's, 2 v^2 / var(v) of the variance v.

    Raises:
        FitError: One of the two is given alone, or is no positive number.
    """
    if (sigma is None) != (edf is None):
        raise FitError("sigma and edf, its degrees of freedom, are given both or not at all.")
    if sigma is not None and edf is not None:
        for name, value in (("sigma", sigma), ("edf", edf)):
            if isinstance(value, (bool, str)) or not float(value) > 0.0:
                raise FitError(f"{name}={value!r}: a number above 0 is expected.")
        return TotalSpread(float(sigma), float(edf))
    if estimates.problem.residual is not None:
        raise FitError(
            "With a residual structure the standard deviation may differ between cells: give sigma and edf, "
            "the one to measure in and its degrees of freedom."
        )
    v, s2, problem = total_sd(estimates) ** 2, estimates.sigma**2, estimates.problem
    with one_thread():
        found = estimates.curvature
        gradient = np.zeros(len(found.spread.size))
        for term, slopes in zip(problem.terms, found.slopes, strict=True):
            Z = problem.term_columns(term)
            gradient[:-1] += s2 * np.einsum("ab,iab->i", Z.T @ Z, slopes) / estimates.nobs
    gradient[-1] = 2.0 * v  # in log sigma
    return TotalSpread(float(np.sqrt(v)), float(2.0 * v**2 / found.spread.variances(gradient[None])[0]))
