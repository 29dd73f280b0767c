"""What a fit without random effects has to meet, whatever its R: sums of the rows at a claimed solution.

    X'R^-1 e = 0,    sigma^2 = e'R^-1 e / nu,    d deviance / d psi = <D, dR / d psi> = 0,
    D = R^-1 - R^-1 (e e' / sigma^2 + [REML] X (X'R^-1 X)^-1 X') R^-1

for the parameters psi of R as they are printed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.referee.equation_residuals import Claim

LOG_TWO_PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class GlsSums:
    """Sums at a claimed solution, X in the basis X H of unit information, H H' = (X'R^-1 X)^-1.

    Attributes:
        information: (p, p) H'X'R^-1 X H: the unit matrix where the claimed covariance of beta is right.
        normal: (p,) H'X'R^-1 e.
        square: e'R^-1 e.
        log_det: log|R|.
        gradient: (r,) d deviance / d psi of each parameter that is not at an end of its range.
        curvature: (r + 1, r + 1) expected Hessian of the deviance in those parameters and log sigma^2.
        spread: A bound on the largest eigenvalue of R^-1, weights left out.
        largest: (p + 1,) largest absolute value of y and of each column of X, times the root of the weight.
    """

    information: Floats
    normal: Floats
    square: float
    log_det: float
    gradient: Floats
    curvature: Floats
    spread: float
    largest: Floats

    def deviance(self, H: Floats, n: int, sigma: float, *, reml: bool) -> float:
        """-2 log likelihood at what is claimed, or the REML criterion with lme4's constant."""
        nu = n - reml * len(H)
        value = nu * (LOG_TWO_PI + 2.0 * float(np.log(sigma))) + self.log_det + self.square / sigma**2
        if reml and len(H):
            logs = float(np.linalg.slogdet(self.information)[1]) - 2.0 * float(np.linalg.slogdet(H)[1])
            return value + logs
        return value

    def distance_to_optimum(self) -> float:
        """How far the parameters of R are from where the gradient is zero, in standard errors.

        sqrt(g'C^-1 g / 2), g the gradient of the deviance and C its expected Hessian, sigma profiled out.
        """
        g, C, r = self.gradient, self.curvature, len(self.gradient)
        if r == 0:
            return 0.0
        profiled = C[:r, :r] - np.outer(C[:r, r], C[:r, r]) / C[r, r]
        unit: Floats = 1.0 / np.sqrt(np.diag(profiled))
        scaled = profiled * np.outer(unit, unit)
        step = np.asarray(np.linalg.solve(scaled, g * unit), np.float64)
        return float(np.sqrt(max(0.0, float(np.vdot(g * unit, step))) / 2.0))


@dataclass(frozen=True, eq=False)
class Turned:
    """The columns that sums are made of: [y X] to [e X H], and what of them D takes.

    Attributes:
        columns: y, the offset taken off, and the columns of X, each (n,).
        turn: (p + 1, p + 1) [y X'] to [e (X H)'].
        share: (p + 1,) with e e' / sigma^2 + [REML] X H H'X' the sum of the columns' squares times these.
        roots: (n,) square roots of the prior weights, or None.
    """

    columns: tuple[Floats, ...]
    turn: Floats
    share: Floats
    roots: Floats | None

    @property
    def log_weights(self) -> float:
        """log|R| has minus this for the weights."""
        return 0.0 if self.roots is None else 2.0 * float(np.log(self.roots).sum())


def turned(claim: Claim, H: Floats) -> Turned:
    """The columns of a claimed solution in the basis H, (p, p), of unit information."""
    problem, p = claim.problem, len(claim.beta)
    y = problem.response if problem.offset is None else problem.response - problem.offset
    turn = np.block([[np.ones((1, 1)), -claim.beta[None]], [np.zeros((p, 1)), H.T]])
    share = np.append(claim.sigma**-2, np.full(p, float(claim.reml)))
    roots = None if problem.weights is None else np.sqrt(problem.weights)
    return Turned((y, *claim.X), turn, share, roots)


class RunningSums:
    """The sums of a claimed solution while the rows are gone through, r parameters of R moving.

    Attributes:
        of: The columns that they are made of.
        products: (p + 1, p + 1) of [e X H] with R^-1 between.
        largest, log_det, gradient, curvature: As in `GlsSums`.
    """

    def __init__(self, claim: Claim, H: Floats, r: int) -> None:
        self.of, q = turned(claim, H), len(claim.beta) + 1
        self.products, self.largest, self.log_det = np.zeros((q, q)), np.zeros(q), -self.of.log_weights
        self.gradient, self.curvature = np.zeros(r), np.zeros((r + 1, r + 1))

    def finished(self, spread: float) -> GlsSums:
        """All of them."""
        return GlsSums(
            information=self.products[1:, 1:],
            normal=self.products[1:, 0],
            square=float(self.products[0, 0]),
            log_det=self.log_det,
            gradient=self.gradient,
            curvature=self.curvature,
            spread=spread,
            largest=self.largest,
        )
