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

from lmmkit.engine.problem import Floats
from lmmkit.engine.referee.henderson_sparse import SparseReferee
from lmmkit.engine.referee.textbook import write_out
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.degrees_of_freedom import denominators
from lmmkit.model.tables import parameter_names, parameters, theta_names


@dataclass(frozen=True)
class Derivation:
    """A formula with what stands in it.

    Attributes:
        formula: In mathematics.
        parts: Its matrices and numbers by name, labelled.
        value: What it gives.
    """

    formula: str
    parts: Mapping[str, pd.DataFrame | float] = field(default_factory=dict[str, "pd.DataFrame | float"])
    value: float | None = None


@dataclass(frozen=True)
class Origin:
    """A fit whose numbers are asked for."""

    estimates: Estimates

    @cached_property
    def referee(self) -> SparseReferee:
        """Henderson's equations at the fit's variances."""
        e = self.estimates
        return SparseReferee(write_out(e.problem, e.kept, e.factors, e.sigma))

    @cached_property
    def information(self) -> Floats:
        """X'V⁻¹X."""
        return np.asarray(np.linalg.inv(self.referee.covariance_of_beta()), dtype=np.float64)

    @cached_property
    def derivations(self) -> dict[str, Derivation]:
        """Every number that has a formula here, by its name."""
        return {**dict(self._whole()), **dict(self._variances()), **dict(self._coefficients())}

    def _coefficients(self) -> Iterator[tuple[str, Derivation]]:
        names = self.estimates.names
        beta, C = self.referee.effects().beta, self.referee.covariance_of_beta()
        XVX = self._square(self.information)
        XVy = pd.DataFrame({"": self.information @ beta}, index=names)
        se = np.sqrt(np.diag(C))
        for j, name in enumerate(names):
            estimate = Derivation("β̂ = (X'V⁻¹X)⁻¹ X'V⁻¹y", {"X'V⁻¹X": XVX, "X'V⁻¹y": XVy}, float(beta[j]))
            yield f"{name}.estimate", estimate
            formula = f"se = √[(X'V⁻¹X)⁻¹]_jj, j = {name}"
            yield f"{name}.se", Derivation(formula, {"(X'V⁻¹X)⁻¹": self._square(C)}, float(se[j]))
            ratio = {"estimate": float(beta[j]), "se": float(se[j])}
            yield f"{name}.t", Derivation("t = estimate / se", ratio, float(beta[j] / se[j]))

    @cached_property
    def adjusted(self) -> dict[str, Derivation]:
        """Standard errors and statistics by Kenward and Roger, whose covariance matrix is an adjusted one."""
        names, beta = self.estimates.names, self.estimates.beta
        plain, other = (
            self.referee.covariance_of_beta(),
            denominators(self.estimates, "kenward-roger").vcov.whole(),
        )
        parts = {"(X'V⁻¹X)⁻¹": self._square(plain), "Φ_A": self._square(other)}
        found = dict[str, Derivation]()
        for j, name in enumerate(names):
            estimate, se = float(beta[j]), sqrt(float(other[j, j]))
            formula = f"se = √[Φ_A]_jj, j = {name}; Φ_A is (X'V⁻¹X)⁻¹ adjusted by Kenward and Roger (1997)"
            found[f"{name}.se"] = Derivation(formula, parts, se)
            ratio = Derivation("t = estimate / se", {"estimate": estimate, "se": se}, estimate / se)
            found[f"{name}.t"] = ratio
        return found

    def _square(self, matrix: Floats) -> pd.DataFrame:
        names = self.estimates.names
        return pd.DataFrame(matrix, index=names, columns=names)

    def _variances(self) -> Iterator[tuple[str, Derivation]]:
        e = self.estimates
        parts: dict[str, pd.DataFrame | float] = {"σ": e.sigma}
        for term, factor in zip(e.random, e.factors, strict=True):
            parts[f"Λ of {term.group}"] = pd.DataFrame(factor, index=term.names, columns=term.names)
        for name, value in zip(parameter_names(e), parameters(e), strict=True):
            yield (
                name,
                Derivation(
                    "G = σ² Λ Λ'; SDs are √G_ii, correlations G_ij / √(G_ii G_jj)", parts, float(value)
                ),
            )
        for name, value in zip(theta_names(e), e.theta, strict=True):
            formula = (
                "θ = the free entries of Λ, where the derivative of the deviance is zero or θ at its bound"
            )
            yield f"theta.{name}", Derivation(formula, parts, float(value))

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
        npar: dict[str, pd.DataFrame | float] = {"deviance": deviance, "npar": e.npar, "n": e.nobs}
        yield "aic", Derivation("AIC = deviance + 2 npar", npar, deviance + 2 * e.npar)
        yield "bic", Derivation("BIC = deviance + npar log n", npar, deviance + e.npar * log(e.nobs))
        formula = f"σ² = (y-Xβ̂)'V₁⁻¹(y-Xβ̂) / {nu}, V = σ² V₁"
        yield "sigma", Derivation(formula, {**sizes, "σ": e.sigma}, self._sigma())

    def _sigma(self) -> float:
        """From V₁⁻¹(y - Xβ̂) = W e at Henderson's solution, e = y - Xβ̂ - Zû."""
        e, problem = self.estimates, self.estimates.problem
        y = problem.response if problem.offset is None else problem.response - problem.offset
        r = y - self.referee.model.X @ self.referee.effects().beta
        left = r - self.referee.model.Z @ self.referee.effects().u
        weighted = left if problem.weights is None else problem.weights * left
        return sqrt(float(weighted @ r) / (e.nobs - e.reml * len(e.beta)))


def effect(estimates: Estimates, factor: str, level: str, column: str) -> Derivation | None:
    """The prediction of one random effect; None where there is none of these names."""
    start, u = 0, Origin(estimates).referee.effects().u
    for term, arrays in zip(estimates.random, estimates.problem.terms, strict=True):
        width = len(term.names)
        if term.factor == factor and column in term.names and level in term.levels:
            at = start + list(term.levels).index(level) * width + term.names.index(column)
            return Derivation("b̂ = G Z'V⁻¹(y - Xβ̂)", {"σ": estimates.sigma}, float(u[at]))
        start += arrays.levels * width
    return None
