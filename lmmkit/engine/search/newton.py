"""Damped Newton's method, safe by construction: the fit's search and that of each profile.

A step is cut to a trusted length and taken if it does not raise the deviance. One that does is replaced by a
step that cannot (EM), or halved. Near the end the Hessian is corrected by the observed change of the
gradient. A search that crawls is written in other coordinates, then given the exact Hessian; one that arrives
at a saddle goes on from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.hessian import observed_hessian
from lmmkit.engine.rules import Rules
from lmmkit.engine.search.search import Objective, P, Search, corrected


def minimise(objective: Objective[P], start: Floats, rules: Rules, limit: int | None = None) -> Search[P]:
    """Minimise a function from a start, in at most `limit` steps (by default those of the rules)."""
    search = Newton(objective, objective.evaluate(start), rules)
    search.run(rules.limit if limit is None else limit)
    return search


@dataclass
class Newton(Search[P]):
    """A search by Newton's method.

    Attributes:
        trust: Length of the longest step, in units of `reach`.
        escapes: How often a saddle was left.
        previous: Theta and gradient before the present ones.
        exact: Whether the exact Hessian is in use.
        error: What the corrections of the Hessian have come to, where they are kept from step to step.
    """

    trust: float = 1.0
    escapes: int = 0
    previous: tuple[Floats, Floats] | None = None
    exact: bool = False
    error: Floats | None = None

    def run(self, limit: int, came_by: str = "start") -> None:
        """Search for at most `limit` steps; patience begins anew at every saddle that is left."""
        rules, count, step_name, fading = self.rules, 0, came_by, 0
        self.converged = False
        for _ in range(limit):
            if count == rules.patience and not self.exact and self.reorder():
                step_name = "reorder"
            if count == rules.exact_after and not self.exact:
                self.exact, self.phase = True, "exact hessian"
            step, decrement = self.direction()
            stalled = decrement < rules.stalled and decrement > self.decrement / rules.stall_ratio
            self.decrement = decrement
            self.note(step_name)
            count += 1
            ways = self.objective.back(self.point, self.previous[0] if self.previous else None)
            if ways is not None:
                if not self.leave_by(ways):
                    self.objective.refuse_endless(self.point)
                step_name = "back"
                continue
            length = self.objective.length(self.point, step)
            fading = fading + 1 if decrement < rules.faded and length > rules.long else 0
            if fading >= rules.fading:
                self.objective.refuse_runaway(self.point, step)
            if (decrement < rules.enough or stalled) and length < rules.still:
                self.converged = True
                if self.escapes >= rules.escapes or not self.leave_by(self.objective.off_saddle(self.point)):
                    return
                self.converged, count, step_name = False, 0, "escape"
                continue
            step_name = self.advance(step)
            if step_name == "stuck":
                if decrement < rules.found and length < rules.still:
                    self.converged = True
                if self.converged or self.exact:
                    return
                self.exact = True

    def direction(self) -> tuple[Floats, float]:
        """Newton's direction in the coordinates that may move, and the decrement."""
        return self.towards(self.curvature(), self.point.gradient)

    def curvature(self) -> Floats:
        """The Hessian; near the end with the correction of its last error."""
        if self.objective.exact:
            return self.point.hessian
        if self.exact:
            return observed_hessian(self.objective.evaluate, self.point.theta, self.rules.difference)
        below = self.rules.keep_below if self.objective.drifts else self.rules.correct_below
        if self.previous is None or self.decrement > below:
            self.error = None
            return self.point.hessian
        theta, gradient = self.previous
        step, change = self.point.theta - theta, self.point.gradient - gradient
        kept = self.point.hessian if self.error is None else self.point.hessian + self.error
        found = corrected(kept, step, change, self.rules.skip_correction)
        if self.objective.drifts:
            self.error = found - self.point.hessian
        return found

    def advance(self, step: Floats) -> str:
        """Take the step if it does not raise the deviance, else a safe one; what it was is returned."""
        rules, here = self.rules, self.point
        scale = self.objective.units(here)
        reach = max(rules.reach[0], rules.reach[1] * float(np.linalg.norm(here.theta / scale)))
        length = float(np.linalg.norm(step / scale))
        share = min(1.0, self.trust * reach / max(length, 1e-300))
        step, length = step * share, length * share
        slack = (rules.end_slack if self.decrement < rules.end_below else rules.slack) * abs(here.deviance)
        for halved in range(1 + rules.halvings):
            trial = self.attempt(self.objective.nearest(here.theta + step * 0.5**halved))
            if trial is not None and trial.deviance <= here.deviance + slack:
                self.move(trial)
                self.trust = min(1.0, rules.trust_grow * self.trust)
                return "newton"
        if self.escapes < rules.null_escapes and self.leave_by(self.objective.off_null(here)):
            self.shorten(length, reach)
            return "escape"
        safe = self.objective.fallback(here)
        if safe is None:
            return "stuck"
        self.shorten(length, reach)
        self.move(self.evaluate(safe))
        return "em"

    def shorten(self, length: float, reach: float) -> None:
        """Trust no step as long as a rejected one."""
        self.trust = max(length / reach / self.rules.trust_shrink, self.rules.least_trust)

    def move(self, point: P) -> None:
        """Go on from another point; the present one, with its large matrices, is not kept."""
        self.previous, self.point = (self.point.theta, self.point.gradient), point

    def leave_by(self, ways: Iterator[Floats]) -> bool:
        """Go to the first of some places where the deviance is lower."""
        for theta in ways:
            trial = self.attempt(theta)
            if trial is not None and trial.deviance < self.point.deviance - self.rules.gain:
                self.point, self.previous, self.decrement, self.error = trial, None, np.inf, None
                self.escapes += 1
                return True
        return False

    def reorder(self) -> bool:
        """Go on in other coordinates, where the objective has some."""
        found = self.objective.reordered(self.point)
        if found is None:
            return False
        self.objective, theta = found
        self.point, self.previous, self.phase, self.error = self.evaluate(theta), None, "reordered", None
        return True
