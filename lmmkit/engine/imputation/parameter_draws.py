"""Draws of a fit's parameters: of the covariance matrices, of the fixed and of the random effects.

The covariance parameters (the coordinates of every T and of R, which may be any numbers, and log sigma) are
drawn from the normal distribution about their estimates whose covariance matrix is twice the inverse of the
exact Hessian of the deviance: the large-sample posterior under flat priors. A coordinate at the boundary, a
zero variance, stays there. Given them beta and b come from their exact conditional distribution under a flat
prior of beta.

Reference: Rubin (1987), Multiple Imputation for Nonresponse in Surveys, section 4.2 (proper imputation);
Papandreou & Yuille (2010), Gaussian sampling by local perturbations (draws by an estimate of a simulation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.crossproducts.whitening import residuals_from
from lmmkit.engine.inference.information import VarianceInformation, optimum_at
from lmmkit.engine.optimum import Optimum
from lmmkit.engine.problem import Problem
from lmmkit.errors import FitError

OPEN = (
    "The data do not tell the variance parameters apart, so that no uncertainty of them can be drawn from, "
    "and "
    "imputations would be too alike. Simplify the covariance structure."
)


@dataclass(frozen=True, eq=False)
class Parameters:
    """Covariance parameters, in the units of the data.

    Attributes:
        factors: (k, k) Lambda of each term.
        rho: (r,) coordinates of R.
        sigma: Residual standard deviation.
    """

    factors: tuple[Floats, ...]
    rho: Floats
    sigma: float


@dataclass(frozen=True, eq=False)
class ParameterDraws:
    """The normal distribution of the covariance parameters about an optimum.

    Attributes:
        optimum: The criterion there.
        information: What the data say about them.
    """

    optimum: Optimum
    information: VarianceInformation

    @cached_property
    def _root(self) -> Floats:
        """(m, m) root of the covariance matrix of the free coordinates and log sigma."""
        sigma = float(np.sqrt(self.optimum.state.variance))
        spread = self.information.on_scale(sigma)
        if spread.open.size:
            raise FitError(OPEN)
        size = np.sqrt(spread.covariance.diagonal())
        root = np.linalg.cholesky(spread.covariance / np.outer(size, size))
        return np.asarray(size[:, None] * root, dtype=np.float64)

    @property
    def count(self) -> int:
        """How many standard normal numbers a draw is made of."""
        return len(self._root)

    def draw(self, z: Floats) -> Parameters:
        """The covariance parameters made of (m,) standard normal numbers; zeros give the estimates.

        Raises:
            FitError: The data do not tell them apart.
        """
        step, state = self._root @ z, self.optimum.state
        coordinates = state.theta.copy()
        coordinates[self.information.free] += step[:-1]
        layout, prepared = self.optimum.layout, self.optimum.prepared
        factors = self.optimum.factors(layout.roots(coordinates[: layout.count]))
        sigma = prepared.scale * float(np.sqrt(state.variance) * np.exp(step[-1]))
        return Parameters(factors, coordinates[layout.count :], sigma)


def coefficients_at(optimum: Optimum, rho: Floats, sigma: float, z: Floats) -> Floats:
    """(p,) a draw of the fixed effects of a model without random effects, given its residual structure.

    Args:
        optimum: The criterion, somewhere.
        rho: (r,) coordinates of R.
        sigma: Residual standard deviation.
        z: (p,) standard normal numbers; zeros give the estimate.
    """
    state, prepared = optimum.criterion.evaluate(rho), optimum.prepared
    estimate = prepared.beta + prepared.scale * prepared.basis @ state.beta
    root = np.linalg.cholesky(np.linalg.inv(state.XVX))
    return estimate + sigma * prepared.basis @ root @ z


@dataclass(frozen=True, eq=False)
class DrawnEffects:
    """Fixed and random effects, in the units of the data.

    Attributes:
        beta: (p,) fixed effects.
        b: (J, k) random effects of each term.
    """

    beta: Floats
    b: tuple[Floats, ...]


def prior_effects(problem: Problem, at: Parameters, u: Floats) -> tuple[Floats, ...]:
    """(J, k) random effects of each term made of standard normal numbers, `effects_count` of them."""
    made, first = list[Floats](), 0
    for term, factor in zip(problem.terms, at.factors, strict=True):
        count = term.rank * len(factor)
        made.append(term.effects(at.sigma * factor, u[first : first + count])[:, :, 0])
        first += count
    return tuple(made)


def effects_count(problem: Problem) -> int:
    """How many standard normal numbers the random effects are made of."""
    return sum(term.rank * len(term.columns) for term in problem.terms)


def effects_at(problem: Problem, at: Parameters, u: Floats, noise: Floats, *, reml: bool) -> DrawnEffects:
    """A draw of beta and b given the response and the covariance parameters, under a flat prior of beta.

    With b* and e* of the model, the estimates from y - Z b* - e* plus (0, b*): their mean is BLUE and BLUP,
    their covariance matrix that of (beta, b) given y, since both are linear in y.

    Args:
        problem: The rows with a response, all fixed effects estimable.
        at: The covariance parameters.
        u: (effects_count,) standard normal numbers.
        noise: (n,) standard normal numbers; zeros in both give BLUE and BLUP.
        reml: As of the fit; it changes nothing but the deviance.
    """
    b = prior_effects(problem, at, u)
    e = residuals_from(problem, at.rho, at.sigma, noise[:, None])[:, 0]
    left = problem.plus_random(problem.response - e, [-effects for effects in b])
    found = optimum_at(
        replace(problem, response=left), at.factors, at.rho if problem.residual else None, reml=reml
    )
    return DrawnEffects(found.beta, tuple(x + y for x, y in zip(found.random_effects(), b, strict=True)))
