"""Where a number of a fit comes from: its formula, with the matrices that stand in it, and its value by them.

The matrices are those of the referee, from the prepared data and the fit's variances alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import log, sqrt

import numpy as np
import pandas as pd

from lmmkit.engine.arrays import Floats
from lmmkit.engine.referee.henderson_sparse import SparseReferee
from lmmkit.model.certificate import written_out
from lmmkit.model.design.residual_design import VisitDesign
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.degrees_of_freedom import denominators
from lmmkit.model.tables import parameter_names, parameters, residual_names, theta_names

ADJUSTED = {  # methods whose standard errors are not those of (X'V⁻¹X)⁻¹, and theirs in words
    "kenward-roger": "(X'V⁻¹X)⁻¹ adjusted by Kenward and Roger (1997)",
    "kenward-roger-observed": "(X'V⁻¹X)⁻¹ adjusted by Kenward and Roger (1997), from observed information",
    "unbounded": "the covariance matrix of the estimates at variances that may be negative",
}
Parts = Mapping[str, "pd.DataFrame | float"]


_FADING = (
    "R_ij = g_i g_j (1 - nugget) exp(-h_ij / range) at a distance h_ij, R_ii = g_i^2; g is |x|^power, "
    "exp(exp x), or the ratio of a level to the first; rho = exp(-1 / range), one unit apart"
)


@dataclass(frozen=True)
class Derivation:
    """A formula with what stands in it.

    Attributes:
        formula: In mathematics.
        parts: Its matrices and numbers by name, labelled.
        value: What it gives.
        made_from: The files that it was made again from.
    """

    formula: str
    parts: Parts = field(default_factory=dict[str, "pd.DataFrame | float"])
    value: float | None = None
    made_from: str = "data.parquet and fit.json"


@dataclass(frozen=True)
class Origin:
    """A fit whose numbers are asked for."""

    estimates: Estimates

    @cached_property
    def referee(self) -> SparseReferee:
        """Henderson's equations at the fit's variances."""
        return SparseReferee(written_out(self.estimates))

    @cached_property
    def derivations(self) -> dict[str, Derivation]:
        """Every number that has a formula here, by its name."""
        return {**dict(self._whole()), **dict(self._variances()), **dict(self._coefficients())}

    def _coefficients(self) -> Iterator[tuple[str, Derivation]]:
        names, C = self.estimates.names, self.referee.covariance_of_beta()
        beta = self.referee.effects().beta
        XVX = np.asarray(np.linalg.inv(C), dtype=np.float64)
        parts: Parts = {"X'V⁻¹X": self._square(XVX), "X'V⁻¹y": pd.DataFrame({"": XVX @ beta}, index=names)}
        for name, estimate in zip(names, beta, strict=True):
            formula = "β̂ = (X'V⁻¹X)⁻¹ X'V⁻¹y"
            yield f"{name}.estimate", Derivation(formula, parts, float(estimate))
        inverse: Parts = {"(X'V⁻¹X)⁻¹": self._square(C)}
        yield from self._errors(beta, C, "√[(X'V⁻¹X)⁻¹]_jj, j = {}", inverse)

    def adjusted(self, method: str) -> dict[str, Derivation]:
        """Standard errors and statistics by a method whose covariance matrix is another one."""
        adjusted = denominators(self.estimates, method).vcov.whole()
        plain = self._square(self.referee.covariance_of_beta())
        parts: Parts = {"(X'V⁻¹X)⁻¹": plain, "Φ_A": self._square(adjusted)}
        formula = "√[Φ_A]_jj, j = {}; Φ_A is " + ADJUSTED[method]
        return dict(self._errors(self.estimates.beta, adjusted, formula, parts))

    def _errors(
        self, beta: Floats, covariance: Floats, formula: str, parts: Parts
    ) -> Iterator[tuple[str, Derivation]]:
        """The standard error and the t of each coefficient, from a covariance matrix of the coefficients."""
        for name, estimate, variance in zip(
            self.estimates.names, beta.tolist(), np.diag(covariance), strict=True
        ):
            se = sqrt(float(variance))
            yield f"{name}.se", Derivation(f"se = {formula.format(name)}", parts, se)
            ratio: Parts = {"estimate": estimate, "se": se}
            yield f"{name}.t", Derivation("t = estimate / se", ratio, estimate / se)

    def _square(self, matrix: Floats) -> pd.DataFrame:
        names = self.estimates.names
        return pd.DataFrame(matrix, index=names, columns=names)

    def _variances(self) -> Iterator[tuple[str, Derivation]]:
        e = self.estimates
        parts: dict[str, pd.DataFrame | float] = {"σ": e.sigma}
        for term, factor in zip(e.random, e.factors, strict=True):
            parts[f"Λ of {term.group}"] = pd.DataFrame(factor, index=term.names, columns=term.names)
        formula = "G = σ² Λ Λ'; SDs are √G_ii, correlations G_ij / √(G_ii G_jj)"
        residual = set(residual_names(e))
        for name, value in zip(parameter_names(e), parameters(e), strict=True):
            made = self._of_residual(name) if name in residual else None
            yield name, made or Derivation(formula, parts, float(value))
        formula = "θ = the free entries of Λ, where the derivative of the deviance is zero or θ at its bound"
        for name, value in zip(theta_names(e), e.theta, strict=True):
            yield f"theta.{name}", Derivation(formula, parts, float(value))

    def _of_residual(self, name: str) -> Derivation:
        """A parameter of the residual structure, with the covariance matrix over its cells."""
        e, design = self.estimates, self.estimates.design.residual
        assert design is not None
        value = dict(zip(residual_names(e), e.residual_params.tolist(), strict=True))[name]
        start = f"R of {design.formula}, {design.words[:1].lower()}{design.words[1:]} "
        if not isinstance(design, VisitDesign):
            return Derivation(start + _FADING, {"σ": e.sigma}, value)
        names = list(design.cell_names)
        R = pd.DataFrame(e.residual_covariance, index=names, columns=names)
        start += "Ratios are √R_tt / σ, correlations R_st / √(R_ss R_tt); rho is one of unit distance"
        return Derivation(start, {"σ": e.sigma, "R": R}, value)

    def _whole(self) -> Iterator[tuple[str, Derivation]]:
        e = self.estimates
        likelihood = self.referee.restricted_log_likelihood() if e.reml else self.referee.log_likelihood()
        deviance = -2.0 * likelihood
        fixed = " + log|X'V⁻¹X|" if e.reml else ""
        nu = "(n-p)" if e.reml else "n"
        formula = f"-2 log L = {nu} log 2π + log|V|{fixed} + (y-Xβ̂)'V⁻¹(y-Xβ̂)"
        sizes: dict[str, pd.DataFrame | float] = {"n": e.nobs, "p": len(e.beta)}
        yield "deviance", Derivation(formula, sizes, deviance)
        yield "llf", Derivation("log L = -deviance / 2", {"deviance": deviance}, likelihood)
        npar: Parts = {"deviance": deviance, "npar": e.npar, "n": e.nobs}
        yield "aic", Derivation("AIC = deviance + 2 npar", npar, deviance + 2 * e.npar)
        yield "bic", Derivation("BIC = deviance + npar log n", npar, deviance + e.npar * log(e.nobs))
        formula = f"σ² = (y-Xβ̂)'V₁⁻¹(y-Xβ̂) / {nu}, V = σ² V₁"
        yield "sigma", Derivation(formula, {**sizes, "σ": e.sigma}, self._sigma())

    def _sigma(self) -> float:
        """From V⁻¹(y - Xβ̂) = R⁻¹ e at Henderson's solution, e = y - Xβ̂ - Zû."""
        e, problem, model = self.estimates, self.estimates.problem, self.referee.model
        y = problem.response if problem.offset is None else problem.response - problem.offset
        r = y - model.X @ self.referee.effects().beta
        left = r - model.Z @ self.referee.effects().u
        whitened, other = model.B @ left, model.B @ r
        return e.sigma * sqrt(float(whitened @ other) / (e.nobs - e.reml * len(e.beta)))


def effect(origin: Origin, factor: str, level: str, column: str) -> Derivation | None:
    """The prediction of one random effect; None where there is none of these names."""
    start, u, estimates = 0, origin.referee.effects().u, origin.estimates
    for term, arrays in zip(estimates.random, estimates.problem.terms, strict=True):
        width = len(term.names)
        if term.factor == factor and column in term.names and level in term.levels:
            at = start + list(term.levels).index(level) * width + term.names.index(column)
            return Derivation("b̂ = G Z'V⁻¹(y - Xβ̂)", {"σ": estimates.sigma}, float(u[at]))
        start += arrays.levels * width
    return None
