"""Newton's method on theta with average information, safe by construction.

The Hessian is average information plus the exact curvature of T = L L' (Johnson & Thompson 1995 for the
former), so that an optimum at a zero standard deviation is an ordinary stationary point. A step that raises
the deviance is replaced by an EM step, which cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lmmkit.engine.criterion.criterion import State
from lmmkit.engine.criterion.hessian import observed_hessian
from lmmkit.engine.problem import Floats
from lmmkit.engine.search.search import Search, newton_direction

ENOUGH = (
    1e-17  # Newton decrement at which theta is within 1e-8 of its standard errors: nothing is left to gain
)
STALLED = 1e-13  # below this a decrement that no longer falls four-fold is rounding
END_PHASE = 1e-5  # below this the curvature is corrected by the observed change of the gradient
PATIENCE = 25  # steps after which average information is suspected of crawling


@dataclass
class Newton(Search):
    """Newton's steps with average information, and with the exact Hessian where that crawls.

    Attributes:
        trust: Length of the longest step, in units of `reach`.
        escapes: How often a null direction was widened.
        previous: Theta and gradient before the present ones.
        exact: Whether the exact Hessian is in use.
    """

    trust: float = 1.0
    escapes: int = 0
    previous: tuple[Floats, Floats] | None = None
    exact: bool = False

    def run(self, limit: int) -> None:
        """Descend, with two cures for crawling, and go on from any saddle."""
        self.descend(min(PATIENCE, limit))
        if not self.converged and limit > PATIENCE:
            self.reorder()
            self.descend(min(PATIENCE, limit - PATIENCE), "reorder")
        if not self.converged and limit > 2 * PATIENCE:
            self.exact, self.phase = True, "exact hessian"
            self.descend(limit - 2 * PATIENCE, "newton")
        while self.converged and self.escapes < 10 and self.escape():
            self.escapes += 1
            self.descend(limit, "escape")

    def descend(self, limit: int, rule: str = "start") -> None:
        """Iterate until the decrement is spent or the limit is reached."""
        self.converged = False
        for _ in range(limit):
            step, decrement = newton_direction(self.curvature(), self.state.gradient)
            stalled = decrement < STALLED and decrement > self.decrement / 4.0
            self.decrement = decrement
            self.note(rule)
            if decrement < ENOUGH or stalled:
                self.converged = True
                return
            length = float(np.linalg.norm(step))
            rule = self.advance(step * min(1.0, self.trust * self.reach() / max(length, 1e-300)))

    def curvature(self) -> Floats:
        """The Hessian; near the end with the symmetric rank-one correction of its last error."""
        if self.exact:
            return observed_hessian(self.criterion, self.state.theta)
        H = self.state.hessian
        if self.previous is None or self.decrement > END_PHASE:
            return H
        theta, gradient = self.previous
        s = self.state.theta - theta
        v = self.state.gradient - gradient - H @ s
        if abs(v @ s) <= 1e-8 * np.linalg.norm(v) * np.linalg.norm(s):
            return H
        return H + np.outer(v, v) / (v @ s)

    def reach(self) -> float:
        """The longest step that is ever taken from here."""
        return max(1.0, 2.0 * float(np.linalg.norm(self.state.theta)))

    def advance(self, step: Floats) -> str:
        """Take the Newton step if it does not raise the deviance, else a safe one."""
        slack = (1e-10 if self.decrement < END_PHASE else 1e-12) * abs(self.state.deviance)
        trial = self.attempt(self.state.theta + step)
        if trial is not None and trial.deviance <= self.state.deviance + slack:
            self.move(trial)
            self.trust = min(1.0, 3.0 * self.trust)
            return "newton"
        self.trust = max(float(np.linalg.norm(step)) / self.reach() / 4.0, 1e-3)
        if self.escapes < 3 and self.escape_from_null():
            self.escapes += 1
            return "escape"
        self.move(self.evaluate(self.em_theta(self.state)))
        return "em"

    def move(self, state: State) -> None:
        """Go on from another state; the present one, with its large matrices, is not kept."""
        self.previous, self.state = (self.state.theta, self.state.gradient), state

    def escape_from_null(self) -> bool:
        """Widen T where it has a null direction along which the deviance falls steeply."""
        for f, factor in enumerate(self.criterion.layout.factors):
            D = self.state.D[f] / factor.levels
            for slope, rows in factor.structure.growths_from_null(self.state.L[f], D, self.scale[f]):
                if slope < -1e-3 and self.widen(f, rows):
                    return True
        return False

    def escape(self) -> bool:
        """At a stationary point: widen T along a direction of negative slope, if the deviance falls."""
        for f, factor in enumerate(self.criterion.layout.factors):
            for slope, rows in factor.structure.growths(self.state.D[f] / factor.levels, self.scale[f]):
                if slope < -1e-6 and self.widen(f, rows):
                    return True
        return False

    def widen(self, f: int, rows: Floats) -> bool:
        """Try T + eps B B' with falling eps."""
        structure, L = self.criterion.layout.factors[f].structure, list(self.state.L)
        for size in (1.0, 0.1, 0.01, 0.001):
            L[f] = structure.widened(self.state.L[f], rows, size)
            trial = self.attempt(self.criterion.theta(L))
            if trial is not None and trial.deviance < self.state.deviance - 1e-9:
                self.move(trial)
                self.decrement = np.inf
                return True
        return False

    def reorder(self) -> None:
        """Write each block's columns in the order of falling variance: a zero leading pivot is flat."""
        layout, L = self.criterion.layout, self.state.L
        factors = [
            replace(f, structure=f.structure.by_falling_variance(x, s))
            for f, x, s in zip(layout.factors, L, self.scale, strict=True)
        ]
        s = len(layout.chain)
        self.criterion = self.criterion.with_layout(
            replace(layout, chain=tuple(factors[:s]), rest=tuple(factors[s:]))
        )
        refactored = [f.structure.root_of(x) for f, x in zip(factors, L, strict=True)]
        self.state, self.previous = self.evaluate(self.criterion.theta(refactored)), None
        self.phase = "reordered"
