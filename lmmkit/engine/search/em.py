"""The EM algorithm, plain, accelerated, and as the opening of Newton's method.

The step is ECME on the same cross-products: T - T D T / J with D the derivative of the profiled deviance, so
that sigma^2 and the fixed effects are profiled out (Laird & Ware 1982; Lindstrom & Bates 1988; Liu & Rubin
1994).
The deviance never rises. At the boundary EM crawls: it then says that it has not converged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmmkit.engine.search.newton import Newton
from lmmkit.engine.search.search import Search

NLME_STEPS = 25  # EM steps before Newton-Raphson in nlme's lme()


@dataclass
class Em(Search):
    """Plain EM."""

    def run(self, limit: int) -> None:
        """Step until the Newton decrement is below 1e-8."""
        done = self.arrive(self.state, "start")
        while not done and len(self.history) <= limit:
            done = self.arrive(self.evaluate(self.em_theta(self.state)), "em")


@dataclass
class AcceleratedEm(Search):
    """EM extrapolated by SQUAREM (Varadhan & Roland 2008, scheme S3), monotone by falling back to EM."""

    def run(self, limit: int) -> None:
        """Step until the Newton decrement is below 1e-8."""
        done = self.arrive(self.state, "start")
        while not done and len(self.history) <= limit:
            done = self._cycle()

    def _cycle(self) -> bool:
        """Two EM steps, then the extrapolation theta - 2 alpha r + alpha^2 v where it pays."""
        start = self.state.theta
        one = self.evaluate(self.em_theta(self.state))
        two = self.evaluate(self.em_theta(one))
        r = one.theta - start
        v = two.theta - one.theta - r
        if not v.any():
            return self.arrive(two, "em")
        alpha = -max(float(np.linalg.norm(r) / np.linalg.norm(v)), 1.0)
        far = self.attempt(start - 2.0 * alpha * r + alpha**2 * v)
        if far is not None and far.deviance <= two.deviance:
            return self.arrive(far, "squarem")
        return self.arrive(two, "em")


@dataclass
class EmNewton(Newton):
    """EM steps, then Newton's with the exact Hessian, as nlme."""

    def run(self, limit: int) -> None:
        """Open with at most 25 EM steps."""
        self.phase = "em"
        done = self.arrive(self.state, "start")
        while not done and len(self.history) <= min(NLME_STEPS, limit):
            done = self.arrive(self.evaluate(self.em_theta(self.state)), "em")
        self.exact, self.phase = True, "exact hessian"
        self.descend(max(limit - len(self.history), 1), "newton")
        while self.converged and self.escapes < 10 and self.escape():
            self.escapes += 1
            self.descend(limit, "escape")
