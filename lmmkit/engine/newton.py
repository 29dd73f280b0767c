"""Newton's method on theta with average information, safe by construction.

The Hessian is average information plus the exact curvature of T = L L' (Johnson & Thompson 1995 for the
former), so that an optimum at a zero standard deviation is an ordinary stationary point. A step that raises
the deviance is replaced by an EM step, which cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from lmmkit.engine import cone
from lmmkit.engine.criterion import Criterion, State
from lmmkit.engine.hessian import observed_hessian
from lmmkit.engine.layout import Factor
from lmmkit.engine.problem import Floats
from lmmkit.errors import FitError

FOUND = 1e-8  # Newton decrement at which the search is over and polishing begins
ENOUGH = 1e-20  # at which no digit of the optimum is left to gain
STALLED = 1e-13  # below this a decrement that no longer falls four-fold is rounding
END_PHASE = 1e-5  # below this the curvature is corrected by the observed change of the gradient
EIGENVALUE_FLOOR = 1e-10
PATIENCE = 25  # steps after which average information is suspected of crawling


@dataclass
class Search:
    """One search from one start: where it stands and how it came there.

    Attributes:
        criterion: What is minimised; `reorder` changes its parametrisation.
        scale: Root of the mean Z'Z of each factor's columns.
        state: The criterion at the present theta.
        evaluations: Calls of the criterion with gradient until the decrement fell below 1e-8.
        history: One line a step.
        phase: What the log calls the present steps.
    """

    criterion: Criterion
    scale: list[Floats]
    state: State
    evaluations: int = 1
    history: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    phase: str = "search"
    trust: float = 1.0
    escapes: int = 0
    previous: State | None = None
    decrement: float = np.inf
    converged: bool = False
    exact: bool = False

    def note(self, rule: str) -> None:
        """Keep one line of the log."""
        self.history.append(
            {
                "phase": "polish" if self.decrement < FOUND else self.phase,
                "iteration": len(self.history),
                "deviance": self.state.deviance,
                "gradient": float(np.linalg.norm(self.state.gradient)),
                "decrement": float(self.decrement),
                "step": rule,
                "theta": tuple(float(t) for t in self.state.theta),
            }
        )

    def evaluate(self, theta: Floats) -> State:
        """The criterion at theta, counted while the search lasts."""
        self.evaluations += self.decrement >= FOUND
        return self.criterion(theta)

    def curvature(self) -> Floats:
        """The Hessian; near the end with the symmetric rank-one correction of its last error."""
        if self.exact:
            return observed_hessian(self.criterion, self.state.theta)
        H = self.state.hessian
        if self.previous is None or self.decrement > END_PHASE:
            return H
        s = self.state.theta - self.previous.theta
        v = self.state.gradient - self.previous.gradient - H @ s
        if abs(v @ s) <= 1e-8 * np.linalg.norm(v) * np.linalg.norm(s):
            return H
        return H + np.outer(v, v) / (v @ s)

    def newton_step(self) -> tuple[Floats, float]:
        """-|H|^-1 g within the trust region, and the decrement g'|H|^-1 g."""
        values, vectors = np.linalg.eigh(self.curvature())
        size = np.abs(values)
        size = np.maximum(size, max(EIGENVALUE_FLOOR * size.max(initial=0.0), 1e-300))
        along = vectors.T @ self.state.gradient
        step = -vectors @ (along / size)
        length = float(np.linalg.norm(step))
        return step * min(1.0, self.trust * self.reach() / max(length, 1e-300)), float(along @ (along / size))

    def reach(self) -> float:
        """The longest step that is ever taken from here."""
        return max(1.0, 2.0 * float(np.linalg.norm(self.state.theta)))

    def run(self, limit: int, rule: str = "start") -> bool:
        """Iterate until the decrement is spent or the limit is reached; whether it converged."""
        self.converged = False
        for _ in range(limit):
            step, decrement = self.newton_step()
            stalled = decrement < STALLED and decrement > self.decrement / 4.0
            self.decrement = decrement
            self.note(rule)
            if decrement < ENOUGH or stalled:
                self.converged = True
                break
            rule = self.advance(step)
        return self.converged

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
        self.move(self.evaluate(em_theta(self.criterion, self.state)))
        return "em"

    def attempt(self, theta: Floats) -> State | None:
        """The state at theta, or None where there is no finite deviance (a step too far)."""
        try:
            return self.evaluate(theta)
        except FitError:
            return None

    def move(self, state: State) -> None:
        """Go on from another state."""
        self.previous, self.state = self.state, state

    def escape_from_null(self) -> bool:
        """Widen T where it has a null direction along which the deviance falls steeply."""
        for f, factor in enumerate(self.criterion.layout.factors):
            for index, slope, v in cone.null_slope(factor, self.state.L[f], self.state.D[f], self.scale[f]):
                if slope < -1e-3 and self.widen(f, index, v):
                    return True
        return False

    def escape(self) -> bool:
        """At a stationary point: widen T along a direction of negative slope, if the deviance falls."""
        for f, factor in enumerate(self.criterion.layout.factors):
            slopes = cone.scaled_slopes(factor, self.state.D[f], self.scale[f])
            for index, (values, vectors) in enumerate(slopes):
                if values[0] < -1e-6 and self.widen(f, index, vectors[:, 0]):
                    return True
        return False

    def widen(self, f: int, index: int, v: Floats) -> bool:
        """Try T + eps v v' with falling eps."""
        factor, L = self.criterion.layout.factors[f], list(self.state.L)
        for size in (1.0, 0.1, 0.01, 0.001):
            L[f] = cone.widened(factor, self.state.L[f], index, v, self.scale[f], size)
            trial = self.evaluate(self.criterion.theta(L))
            if trial.deviance < self.state.deviance - 1e-9:
                self.move(trial)
                self.decrement = np.inf
                return True
        return False

    def reorder(self) -> None:
        """Write each block's columns in the order of falling variance: a zero leading pivot is flat."""
        layout, L = self.criterion.layout, self.state.L
        factors = [_reordered(f, x, s) for f, x, s in zip(layout.factors, L, self.scale, strict=True)]
        s = len(layout.chain)
        self.criterion = self.criterion.with_layout(
            replace(layout, chain=tuple(factors[:s]), rest=tuple(factors[s:]))
        )
        refactored = [_refactored(factor, x) for factor, x in zip(factors, L, strict=True)]
        self.state, self.previous = self.evaluate(self.criterion.theta(refactored)), None
        self.phase = "reordered"


def descend(criterion: Criterion, start: list[Floats], scale: list[Floats]) -> Search:
    """Newton's search, with its two cures for crawling, and out of any saddle it ends in."""
    search = Search(criterion, scale, criterion(criterion.theta(start)))
    search.run(PATIENCE)
    if not search.converged:
        search.reorder()
        search.run(PATIENCE, "reorder")
    if not search.converged:
        search.exact, search.phase = True, "exact hessian"
        search.run(2 * PATIENCE, "newton")
    while search.converged and search.escapes < 10 and search.escape():
        search.escapes += 1
        search.run(4 * PATIENCE, "escape")
    return search


def _reordered(factor: Factor, L: Floats, scale: Floats) -> Factor:
    """The factor with each block's columns by decreasing scaled variance."""
    size = (L**2).sum(1) * scale**2
    return replace(factor, blocks=tuple(tuple(sorted(block, key=lambda c: -size[c])) for block in factor.blocks))


def _refactored(factor: Factor, L: Floats) -> Floats:
    """L of the same T, triangular in the factor's own order of columns."""
    out = np.zeros_like(L)
    for here, block in cone.by_blocks(factor, L):
        out[here] = cone.semidefinite_factor(block)
    return out


def em_theta(criterion: Criterion, state: State) -> Floats:
    """Theta after one EM step of every factor."""
    triples = zip(criterion.layout.factors, state.L, state.D, strict=True)
    return criterion.theta([cone.em_step(factor, L, D) for factor, L, D in triples])
