"""Newton's method on theta with average information, safe by construction.

The Hessian is average information plus the exact curvature of T = L L' (Johnson & Thompson 1995 for the
former), so that an optimum at a zero standard deviation is an ordinary stationary point. A step that raises
the deviance is replaced by an EM step, which cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lmmkit.engine import cone
from lmmkit.engine.criterion import Criterion, State
from lmmkit.engine.problem import Floats

ENOUGH = 1e-20  # Newton decrement at which no digit of the optimum is left to gain
STALLED = 1e-13  # below this a decrement that no longer falls four-fold is rounding
END_PHASE = 1e-5  # below this the curvature is corrected by the observed change of the gradient
EIGENVALUE_FLOOR = 1e-10


@dataclass
class Search:
    """One search from one start: where it stands and how it came there."""

    criterion: Criterion
    scale: list[Floats]
    state: State
    limit: int = 200
    trust: float = 1.0
    escapes: int = 0
    previous: State | None = None
    decrement: float = np.inf
    converged: bool = False
    history: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    phase: str = "newton"

    def note(self, rule: str) -> None:
        """Keep one line of the log."""
        self.history.append(
            {
                "phase": self.phase,
                "iteration": len(self.history),
                "deviance": self.state.deviance,
                "gradient": float(np.linalg.norm(self.state.gradient)),
                "decrement": float(self.decrement),
                "step": rule,
                "theta": tuple(float(t) for t in self.state.theta),
            }
        )

    def curvature(self) -> Floats:
        """The Hessian, near the end with the symmetric rank-one correction of its last error."""
        H = self.state.hessian
        if self.previous is None or self.decrement > END_PHASE:
            return H
        s = self.state.theta - self.previous.theta
        v = self.state.gradient - self.previous.gradient - H @ s
        if abs(v @ s) < 1e-8 * np.linalg.norm(v) * np.linalg.norm(s) or not s.any():
            return H
        return H + np.outer(v, v) / (v @ s)

    def newton_step(self) -> tuple[Floats, float]:
        """-|H|^-1 g within the trust region, and the decrement g'|H|^-1 g."""
        values, vectors = np.linalg.eigh(self.curvature())
        size = np.abs(values)
        size = np.maximum(size, max(EIGENVALUE_FLOOR * size.max(initial=0.0), 1e-300))
        along = vectors.T @ self.state.gradient
        step = -vectors @ (along / size)
        longest = self.trust * max(1.0, 2.0 * float(np.linalg.norm(self.state.theta)))
        length = float(np.linalg.norm(step))
        return step * min(1.0, longest / max(length, 1e-300)), float(along @ (along / size))

    def run(self) -> Search:
        """Iterate until the decrement is spent or the limit is reached."""
        rule = "start"
        for _ in range(self.limit):
            step, decrement = self.newton_step()
            stalled = decrement < STALLED and decrement > self.decrement / 4.0
            self.decrement = decrement
            self.note(rule)
            if decrement < ENOUGH or stalled:
                self.converged = True
                return self
            rule = self.advance(step)
        return self

    def advance(self, step: Floats) -> str:
        """Take the Newton step if it does not raise the deviance, else a safe one."""
        slack = (1e-10 if self.decrement < END_PHASE else 1e-12) * abs(self.state.deviance)
        trial = self.criterion(self.state.theta + step)
        if trial.deviance <= self.state.deviance + slack:
            self.move(trial)
            self.trust = min(1.0, 3.0 * self.trust)
            return "newton"
        self.trust = max(self.trust / 4.0, 1e-3)
        if self.escapes < 3 and self.escape_from_null():
            self.escapes += 1
            return "escape"
        self.move(self.criterion(em_theta(self.criterion, self.state)))
        return "em"

    def move(self, state: State) -> None:
        """Go on from another state."""
        self.previous, self.state = self.state, state

    def escape_from_null(self) -> bool:
        """Widen T where it has a null direction along which the deviance falls steeply."""
        for f, factor in enumerate(self.criterion.layout.factors):
            for index, slope, v in cone.null_slope(factor, self.state.L[f], self.state.D[f], self.scale[f]):
                if slope < -1e-3 and self._widen(f, index, v):
                    return True
        return False

    def escape(self) -> bool:
        """At a stationary point: widen T along a direction of negative slope, if the deviance falls."""
        for f, factor in enumerate(self.criterion.layout.factors):
            slopes = cone.scaled_slopes(factor, self.state.D[f], self.scale[f])
            for index, (values, vectors) in enumerate(slopes):
                if values[0] < -1e-6 and self._widen(f, index, vectors[:, 0]):
                    return True
        return False

    def _widen(self, f: int, index: int, v: Floats) -> bool:
        """Try T + eps v v' with falling eps."""
        factor, L = self.criterion.layout.factors[f], list(self.state.L)
        for size in (1.0, 0.1, 0.01, 0.001):
            L[f] = cone.widened(factor, self.state.L[f], index, v, self.scale[f], size)
            trial = self.criterion(self.criterion.theta(L))
            if trial.deviance < self.state.deviance - 1e-9:
                self.move(trial)
                self.decrement = np.inf
                return True
        return False


def em_theta(criterion: Criterion, state: State) -> Floats:
    """Theta after one EM step of every factor."""
    triples = zip(criterion.layout.factors, state.L, state.D, strict=True)
    return criterion.theta([cone.em_step(factor, L, D) for factor, L, D in triples])
