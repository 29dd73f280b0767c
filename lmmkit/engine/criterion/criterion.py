"""The deviance of theta, with its gradient and its Hessian: what every search minimises.

With V, F = W'V^-1W and log|V| from `elimination`, theta the coordinates of every T, Var(y) = sigma^2 V, and
nu = n - p
under REML, n under ML:

    (1)  deviance = log|V| + [REML] log|X'V^-1X| + nu log(2 pi sigma^2) + r2 / sigma^2
    (2)  r2 = a'F a,   W a = y - X beta,   a = (-beta, 1)

(lme4 vignette, equations 35 and 42.) At the best beta, F_XX beta = F_Xy, r2 is y'Py; at the best sigma,
sigma^2 = r2 / nu. A search may leave both to the formulas, or hold them (`Held`). The derivatives, with D_f
from `gradient` and G, q from
`hessian`, are those of a function in which both are at their best or held, so that no term in d beta or d
sigma is left:

    (3)  K = d deviance / dF = a a' / sigma^2 + [REML] (X'V^-1X)^-1
    (4)  d deviance / d theta_i = <D, dT / d theta_i>
    (5)  H = G / sigma^2 - [sigma at its best] q q' / (sigma^2 r2) + <D, d2T / d theta_i d theta_k>

Where R moves with coordinates rho of its own, the coordinates are (theta | rho), V = R(rho) + ..., and the
`ProductSource` of the cross-products knows the derivatives in rho.

The last term of (5) is exact. Where T is quadratic in theta (T = L L'), it is the whole Hessian at a zero of
L, so that an optimum at a zero variance is an ordinary stationary point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.elimination import Forward, eliminate
from lmmkit.engine.criterion.gradient import Reverse, ReverseSweep, RowEffects
from lmmkit.engine.criterion.hessian import AverageInformation, Point, average_information
from lmmkit.engine.crossproducts.elimination_order import Layout
from lmmkit.engine.crossproducts.product_sources import Adjoint, Patterned, ProductSource
from lmmkit.engine.crossproducts.whitened import Whitened
from lmmkit.engine.lazy import lazy
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.rules import SEARCH
from lmmkit.errors import FitError


@dataclass(frozen=True, eq=False)
class Held:
    """Which of sigma and beta are given; the others are profiled out, that is, at their best.

    Attributes:
        precision: 1 / sigma^2, whether it is fixed or a coordinate of the search; None: nu / r2.
        beta: (p,) all fixed effects.
        contrast: c and v of a constraint c'beta = v.
        ridge: (p, p) what a normal prior adds to X'V^-1X, where beta is integrated out under it; the beta
            that is held is then its conditional mean, and the derivatives are those of that integral.
    """

    precision: float | None = None
    beta: Floats | None = None
    contrast: tuple[Floats, float] | None = None
    ridge: Floats | None = None


NOTHING = Held()
INDEPENDENT = np.empty(0)  # rho where R is the identity


@dataclass(frozen=True, eq=False)
class Evaluation(Point):
    """The criterion at one point, in prepared units; derivatives are made when they are asked for.

    Attributes:
        theta: Where, in the coordinates of the search: those of every T, then those of R.
        L: (k, k) lower triangular root of each factor's T, in order of elimination.
        rho: (r,) the coordinates of R.
        deviance, r2, beta: As in the module's formulas.
        precision: 1 / sigma^2.
    """

    criterion: Criterion
    held: Held
    theta: Floats
    L: list[Floats]
    rho: Floats
    forward: Forward
    deviance: float
    r2: float
    beta: Floats
    precision: float

    @property
    def variance(self) -> float:
        """sigma^2: at its best, or as it is held."""
        return self.r2 / self.criterion.nu if self.held.precision is None else 1.0 / self.precision

    @property
    def XVX(self) -> Floats:
        """X'V^-1X."""
        return self.forward.F[:-1, :-1]

    @property
    def a(self) -> Floats:
        """W a = y - X beta."""
        return np.append(-self.beta, 1.0)

    @lazy
    def K(self) -> Floats:
        """(q, q) d deviance / dF: (3)."""
        K = self.precision * np.outer(self.a, self.a)
        if self.criterion.reml:
            K[:-1, :-1] += np.linalg.inv(self.XVX if self.held.ridge is None else self.XVX + self.held.ridge)
        return K

    @lazy
    def reverse(self) -> Reverse:
        """D = d deviance / dT and U = Z'V^-1W of every factor."""
        if isinstance(self.criterion.source, Whitened):
            return self._swept[1]
        return ReverseSweep(self.forward, self.criterion.layout, self.K).run()

    @lazy
    def _swept(self) -> tuple[ReverseSweep, Reverse]:
        """The sweep with all that it leaves, for the rows."""
        sweep = ReverseSweep(self.forward, self.criterion.layout, self.K)
        return sweep, sweep.run()

    @lazy
    def adjoint(self) -> Adjoint:
        """What the source of the cross-products needs for derivatives in rho."""
        restricted = levelwise.solved(self.XVX, np.eye(self.criterion.p)) if self.criterion.reml else None
        effects = None
        if isinstance(self.criterion.source, Whitened):
            effects = RowEffects(self.forward, *self._swept, self.K)
        return Adjoint(self.K, self.a, self.precision, self.Phi, restricted, effects)

    @property
    def D(self) -> list[Floats]:
        """D deviance / dT of each factor, (k, k)."""
        return self.reverse.D

    @lazy
    def gradient(self) -> Floats:
        """(m,) d deviance / d theta, where theta is the coordinates of every T and of R: (4)."""
        own, source = self.criterion.layout.gradient(self.theta, self.D), self.criterion.source
        return np.concatenate([own, source.pullback(self.rho, self.adjoint)]) if source.count else own

    @property
    def beta_slopes(self) -> Floats:
        """(p,) d deviance / d beta: zero where beta is at its best."""
        return -2.0 * self.precision * (self.forward.F @ self.a)[:-1]

    @property
    def log_sigma_slope(self) -> float:
        """D deviance / d log sigma: zero where sigma is at its best."""
        return 2.0 * self.criterion.nu - 2.0 * self.r2 * self.precision

    @lazy
    def Phi(self) -> Floats:
        """(p, p) covariance of the fixed effects over sigma^2; zero along what is held of them."""
        if self.held.beta is not None:
            return np.zeros_like(self.XVX)
        Phi = np.linalg.inv(self.XVX).astype(np.float64, copy=False)
        if self.held.contrast is not None:
            c, _ = self.held.contrast
            shift = Phi @ c
            Phi = Phi - np.outer(shift, shift) / float(c @ shift)
        return Phi

    @lazy
    def information(self) -> AverageInformation:
        """Average information in theta, and in rho beside it."""
        return self.information_along(
            [s.jacobian(x) for s, x in self.criterion.layout.parameters(self.theta)]
        )

    def information_along(self, directions: list[Floats]) -> AverageInformation:
        """Average information along (m_f, k, k) directions dT of each factor, then in rho beside them.

        The latter by an elimination of W with the working columns of R.
        """
        source, layout, forward = self.criterion.source, self.criterion.layout, self.forward
        if isinstance(source, Whitened):
            forward = eliminate(source.extended(self.rho, self.adjoint), layout, self.L)
        return average_information(forward, layout, self.reverse, self.a, directions, self.Phi)

    @lazy
    def hessian(self) -> Floats:
        """(m, m), equation (5), in theta; exact where there are the coordinates of R alone."""
        source, m = self.criterion.source, self.criterion.layout.count
        if isinstance(source, Patterned):
            return self.profiled(*source.curvature(self.rho, self.adjoint))
        H = self.average_hessian(self.information)
        H[:m, :m] += self.criterion.layout.curvature(self.theta, self.D)
        return H

    def average_hessian(self, information: AverageInformation) -> Floats:
        """(5) without the curvature of T."""
        return self.profiled(self.precision * information.G, information.q)

    def profiled(self, H: Floats, q: Floats) -> Floats:
        """Second derivatives with sigma at its best, or held, from those with sigma held and q = w'P y."""
        if self.held.precision is None:
            H -= self.precision / self.r2 * np.outer(q, q)
        return H


class Criterion:
    """The deviance of one problem."""

    def __init__(
        self, source: ProductSource, layout: Layout, rows: int, p: int, *, reml: bool, constant: float
    ) -> None:
        """`constant` is added to the deviance: what preparation took out of it."""
        self.source, self.rows, self.layout, self.p = source, rows, layout, p
        self.reml, self.nu, self.constant = reml, rows - self.p * reml, constant

    def with_layout(self, layout: Layout) -> Criterion:
        """The same criterion with the columns of its blocks in another order."""
        return Criterion(self.source, layout, self.rows, self.p, reml=self.reml, constant=self.constant)

    def evaluate(self, theta: Floats, held: Held = NOTHING) -> Evaluation:
        """The criterion at the coordinates of every T and of R.

        Raises:
            FitError: There is no finite deviance.
        """
        return self.at(theta, self.layout.roots(theta), held, theta[self.layout.count :])

    def at(
        self, theta: Floats, L: list[Floats], held: Held = NOTHING, rho: Floats = INDEPENDENT
    ) -> Evaluation:
        """The criterion at triangular roots L and at rho, where a search has coordinates of its own."""
        moments, logdet = self.source.moments(rho)
        forward = eliminate(moments, self.layout, L)
        beta = self._beta(forward.F, held)
        a = np.append(-beta, 1.0)
        r2 = float(a @ forward.F @ a)  # (2)
        least = SEARCH.exact * float(forward.F[-1, -1]) if held.precision is None else 0.0
        if r2 <= least or not math.isfinite(r2):
            raise FitError(
                "The model reproduces the response exactly: the residual variance goes to zero and the "
                "likelihood has no maximum. Check for rows that are copies of each other, and for a random "
                "effect per row."
            )
        precision = self.nu / r2 if held.precision is None else held.precision
        if not 0.0 < precision < math.inf:
            raise FitError("The residual standard deviation has left the range of floating-point numbers.")
        deviance = (
            logdet + forward.logdet + self.nu * math.log(2.0 * math.pi / precision) + r2 * precision
        )  # (1)
        if self.reml:
            deviance += float(np.linalg.slogdet(forward.F[:-1, :-1])[1])
        return Evaluation(self, held, theta, L, rho, forward, deviance + self.constant, r2, beta, precision)

    @staticmethod
    def _beta(F: Floats, held: Held) -> Floats:
        """The best fixed effects that what is held allows."""
        if held.beta is not None:
            return held.beta
        beta = levelwise.solved(F[:-1, :-1], F[:-1, -1])
        if held.contrast is not None:
            c, v = held.contrast
            shift = levelwise.solved(F[:-1, :-1], c)
            beta = beta + shift * (v - float(c @ beta)) / float(c @ shift)
        return beta
