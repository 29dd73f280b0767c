"""The profiled deviance of theta, with its gradient and its average-information Hessian.

    deviance = log|V| + [REML] log|X'V^-1X| + nu (1 + log(2 pi r2 / nu)),   r2 = y'Py,   sigma^2 = r2 / nu

nu = n - p under REML and n under ML; Var(y) = sigma^2 V. (lme4 vignette, equations 35 and 42.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lmmkit.engine.criterion.average_information import AverageInformation
from lmmkit.engine.criterion.elimination import Elimination, Forward
from lmmkit.engine.criterion.gradient import Reverse, Sweep
from lmmkit.engine.crossproducts.crossproducts import Moments
from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.linalg import level_matrices as kernels
from lmmkit.engine.problem import Floats
from lmmkit.errors import FitError


@dataclass(frozen=True, eq=False)
class State:
    """The criterion at one theta, in prepared units.

    Attributes:
        theta: Free entries of every L, factor by factor in order of elimination.
        L: The factors.
        deviance, r2, beta: As in the module's formula.
        gradient: d deviance / d theta.
        D: d deviance / d T of each factor, (k, k).
    """

    criterion: Criterion
    theta: Floats
    L: list[Floats]
    deviance: float
    r2: float
    beta: Floats
    gradient: Floats
    D: list[Floats]
    forward: Forward
    reverse: Reverse

    @property
    def XVX(self) -> Floats:
        """X'V^-1X."""
        return self.forward.F[:-1, :-1]

    @cached_property
    def hessian(self) -> Floats:
        """Average information with the exact curvature of the covariance parameters."""
        return self.criterion.hessian(self)


class Criterion:
    """Deviance and derivatives of one problem."""

    def __init__(self, moments: Moments, layout: Layout, rows: int, *, reml: bool, constant: float) -> None:
        """`constant` is added to the deviance: what preparation took out of it."""
        self.moments, self.rows = moments, rows
        self.eliminate, self.layout = Elimination(moments, layout), layout
        self.p = len(moments.total) - 1
        self.reml, self.nu, self.constant = reml, rows - self.p * reml, constant

    def with_layout(self, layout: Layout) -> Criterion:
        """The same criterion with the columns of its blocks in another order."""
        return Criterion(self.moments, layout, self.rows, reml=self.reml, constant=self.constant)

    def factors(self, theta: Floats) -> list[Floats]:
        """L of each factor."""
        return self.layout.roots(theta)

    def theta(self, L: list[Floats]) -> Floats:
        """Coordinates of each L."""
        return self.layout.coordinates(L)

    def deviance(self, theta: Floats) -> float:
        """The deviance alone."""
        return self._profile(self.eliminate(self.layout.roots(theta)))[0]

    def _profile(self, forward: Forward) -> tuple[float, float, Floats]:
        """Deviance, r2 and beta of W'V^-1 W."""
        F, p = forward.F, self.p
        beta = kernels.solved(F[:p, :p], F[:p, p])
        r2 = float(F[p, p] - F[p, :p] @ beta)
        if r2 <= 1e-13 * F[p, p] or not np.isfinite(r2):
            raise FitError(
                "The model reproduces the response exactly: the residual variance goes to zero and the "
                "likelihood has no maximum. Check for rows that are copies of each other, and for a random "
                "effect per row."
            )
        deviance = forward.logdet + self.nu * (1.0 + np.log(2.0 * np.pi * r2 / self.nu)) + self.constant
        if self.reml:
            deviance += float(np.linalg.slogdet(F[:p, :p])[1])
        return float(deviance), r2, beta

    def __call__(self, theta: Floats) -> State:
        """Deviance and gradient; the Hessian when it is asked for."""
        L = self.layout.roots(theta)
        forward = self.eliminate(L)
        deviance, r2, beta = self._profile(forward)
        a = np.append(-beta, 1.0)
        reverse = self._sweep(forward, a, self.nu / r2)
        gradient = self.layout.gradient(theta, reverse.D)
        return State(self, theta, L, deviance, r2, beta, gradient, reverse.D, forward, reverse)

    def _sweep(self, forward: Forward, a: Floats, weight: float) -> Reverse:
        """The reverse sweep for K = weight a a' + [REML] (X'V^-1X)^-1."""
        K = weight * np.outer(a, a)
        if self.reml:
            K[: self.p, : self.p] += np.linalg.inv(forward.F[: self.p, : self.p])
        return Sweep(forward, self.layout, K).run()

    def full(self, beta: Floats, log_sigma: float, theta: Floats) -> tuple[float, Floats]:
        """The deviance with nothing profiled out, and its gradient in (beta, log sigma, theta).

        -2 log L = log|V| + n log(2 pi sigma^2) + (y - X beta)'V^-1(y - X beta) / sigma^2; the restricted
        likelihood has no beta: pass an empty one.
        """
        L = self.layout.roots(theta)
        forward = self.eliminate(L)
        F, p, precision = forward.F, self.p, float(np.exp(-2.0 * log_sigma))
        best = kernels.solved(F[:p, :p], F[:p, p])
        a = np.append(-(best if self.reml else beta), 1.0)
        r2 = float(a @ F @ a)
        value = (
            forward.logdet
            + self.nu * (np.log(2.0 * np.pi) + 2.0 * log_sigma)
            + r2 * precision
            + self.constant
        )
        if self.reml:
            value += float(np.linalg.slogdet(F[:p, :p])[1])
        slopes = -2.0 * precision * (F @ a)[: len(beta)]
        along = 2.0 * self.nu - 2.0 * r2 * precision
        reverse = self._sweep(forward, a, precision)
        return float(value), np.concatenate([slopes, [along], self.layout.gradient(theta, reverse.D)])

    def hessian(self, state: State) -> Floats:
        """Average information with the exact curvature of T = L L'."""
        a = np.append(-state.beta, 1.0)
        pushed = AverageInformation(state.forward, self.layout, state.theta, state.reverse, a).run(state.XVX)
        information, slope = pushed
        H = self.nu / state.r2 * information - self.nu / state.r2**2 * np.outer(slope, slope)
        return H + self.layout.curvature(state.theta, state.D)
