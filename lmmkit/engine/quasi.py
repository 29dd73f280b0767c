"""Quasi-Newton searches by scipy: on the profiled deviance, and on the full likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from lmmkit.engine.criterion import State
from lmmkit.engine.problem import Floats
from lmmkit.engine.search import Search
from lmmkit.errors import FitError

FAR = 1e100  # what a theta without finite deviance is worth to a line search


@dataclass
class PenalizedLeastSquares(Search):
    """The profiled deviance in theta with bounds on the diagonal of L, as lme4 and MixedModels.jl.

    Each evaluation solves the penalised least squares problem of the lme4 vignette (equation 14) by elimination;
    the outer search is L-BFGS-B with the exact gradient (Zhu, Byrd, Lu & Nocedal 1997).
    """

    def run(self, limit: int) -> None:
        """Search; then again from where it stopped, while that gains anything."""
        self.arrive(self.state, "start")
        for _ in range(3):
            before = self.state.deviance
            self._once(limit)
            if self.converged or before - self.state.deviance < 1e-10 or len(self.history) > limit:
                return

    def _once(self, limit: int) -> None:
        """One run of L-BFGS-B."""
        minimize(
            self._objective,
            self.state.theta,
            jac=True,
            method="L-BFGS-B",
            bounds=self._bounds(),
            callback=self._visited,
            options={"maxiter": limit, "maxfun": 2 * limit, "ftol": 0.0, "gtol": 1e-9, "maxcor": 20},
        )

    def _bounds(self) -> list[tuple[float | None, None]]:
        """Zero below each diagonal entry of L."""
        return [
            (0.0 if r == c else None, None)
            for factor in self.criterion.layout.factors
            for r, c in zip(*factor.free, strict=True)
        ]

    def _objective(self, theta: Floats) -> tuple[float, Floats]:
        """Deviance and gradient."""
        state = self.attempt(theta)
        if state is None:
            return FAR, np.zeros_like(theta)
        self._last = state
        return state.deviance, state.gradient

    def _visited(self, theta: Floats) -> None:
        """Log one accepted step."""
        state = self._last if np.array_equal(self._last.theta, theta) else self.criterion(theta)
        if self.arrive(state, "l-bfgs-b") and self.decrement < 1e-16:
            raise StopIteration

    _last: State | None = None  # type: ignore[assignment]


@dataclass
class Direct(Search):
    """The full likelihood in beta, log sigma and theta at once, as glmmTMB (under REML: in log sigma and theta).

    The search is BFGS with the exact gradient; nothing is profiled out.
    """

    def run(self, limit: int) -> None:
        """Search from the profiled optimum of beta and sigma at the start."""
        self.arrive(self.state, "start")
        for _ in range(3):
            before = self.state.deviance
            minimize(
                self._objective,
                self._pack(self.state),
                jac=True,
                method="BFGS",
                callback=self._visited,
                options={"maxiter": limit, "gtol": 1e-9},
            )
            if self.converged or before - self.state.deviance < 1e-10 or len(self.history) > limit:
                return

    def _pack(self, state: State) -> Floats:
        """(beta under ML, log sigma, theta)."""
        beta = state.beta[:0] if self.criterion.reml else state.beta
        return np.concatenate([beta, [0.5 * np.log(state.r2 / self.criterion.nu)], state.theta])

    def _objective(self, x: Floats) -> tuple[float, Floats]:
        """Full deviance and gradient."""
        p = 0 if self.criterion.reml else self.criterion.p
        self.evaluations += 1
        try:
            return self.criterion.full(x[:p], x[p], x[p + 1 :])
        except FitError:
            return FAR, np.zeros_like(x)

    def _visited(self, x: Floats) -> None:
        """Log one accepted step by the profiled deviance at its theta."""
        p = 0 if self.criterion.reml else self.criterion.p
        if self.arrive(self.criterion(x[p + 1 :]), "bfgs") and self.decrement < 1e-14:
            raise StopIteration
