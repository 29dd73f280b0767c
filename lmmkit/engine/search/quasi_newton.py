"""Quasi-Newton searches by scipy: on the profiled deviance, and on the full likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from lmmkit.engine.criterion.criterion import State
from lmmkit.engine.problem import Floats
from lmmkit.engine.search.search import Search
from lmmkit.errors import FitError

FAR = 1e100  # what a theta without finite deviance is worth to a line search
ROUNDS = 3  # a line search that fails on rounding is started again from where it stands
SPENT = 1e-14  # Newton decrement at which a search is stopped


@dataclass
class QuasiNewton(Search):
    """A search by one of scipy's quasi-Newton methods, started again while that gains anything."""

    def run(self, limit: int) -> None:
        """Search until the Newton decrement is spent."""
        self.arrive(self.state, "start")
        for _ in range(ROUNDS):
            before = self.state.deviance
            self.once(limit)
            if self.decrement < SPENT or before - self.state.deviance < 1e-10 or len(self.history) > limit:
                return

    def once(self, limit: int) -> None:
        """One run of the method."""
        raise NotImplementedError

    def visit(self, state: State, rule: str) -> None:
        """Log one accepted step; the search is over when nothing is left to gain."""
        if self.arrive(state, rule) and self.decrement < SPENT:
            raise StopIteration


@dataclass
class PenalizedLeastSquares(QuasiNewton):
    """The profiled deviance in theta with bounds on the diagonal of L, as lme4 and MixedModels.jl.

    Each evaluation solves the penalised least squares problem of the lme4 vignette (equation 14) by
    elimination; the outer search is L-BFGS-B with the exact gradient (Byrd, Lu, Nocedal & Zhu 1995).
    """

    def once(self, limit: int) -> None:
        """One run of L-BFGS-B."""
        scipy.optimize.minimize(
            self._objective,
            self.state.theta,
            jac=True,
            method="L-BFGS-B",
            bounds=self._bounds(),
            callback=lambda xk: self.visit(self.criterion(xk), "l-bfgs-b"),
            options={"maxiter": limit, "maxfun": 2 * limit, "ftol": 0.0, "gtol": 1e-9, "maxcor": 20},
        )

    def _bounds(self) -> list[tuple[float | None, None]]:
        """Zero below each diagonal entry of L."""
        return [
            (0.0 if bounded else None, None)
            for factor in self.criterion.layout.factors
            for bounded in factor.structure.nonnegative
        ]

    def _objective(self, theta: Floats) -> tuple[float, Floats]:
        """Deviance and gradient."""
        state = self.attempt(theta)
        return (FAR, np.zeros_like(theta)) if state is None else (state.deviance, state.gradient)


@dataclass
class Direct(QuasiNewton):
    """The full likelihood in beta, log sigma and theta at once, as glmmTMB (REML: in log sigma and theta).

    The search is BFGS with the exact gradient; nothing is profiled out.
    """

    def once(self, limit: int) -> None:
        """One run of BFGS."""
        p = 0 if self.criterion.reml else self.criterion.p
        scipy.optimize.minimize(
            lambda x: self._objective(x[:p], x[p], x[p + 1 :]),
            self._packed(),
            jac=True,
            method="BFGS",
            callback=lambda xk: self.visit(self.criterion(xk[p + 1 :]), "bfgs"),
            options={"maxiter": limit, "gtol": 1e-9},
        )

    def _packed(self) -> Floats:
        """(beta under ML, log sigma, theta) of the present state."""
        beta = self.state.beta[:0] if self.criterion.reml else self.state.beta
        log_sigma = 0.5 * np.log(self.state.r2 / self.criterion.nu)
        return np.concatenate([beta, [log_sigma], self.state.theta])

    def _objective(self, beta: Floats, log_sigma: float, theta: Floats) -> tuple[float, Floats]:
        """Full deviance and gradient."""
        self.evaluations += self.decrement >= SPENT
        try:
            return self.criterion.full(beta, log_sigma, theta)
        except FitError:
            return FAR, np.zeros(len(beta) + 1 + len(theta))
