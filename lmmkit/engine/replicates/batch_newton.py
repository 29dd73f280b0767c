"""Newton's method on many replicates at once: all step together, and those that have arrived retire.

The steps are those of `newton`: average information with the exact curvature of T = L L', a trust length,
and an EM step after one that raised the deviance.
"""

from __future__ import annotations

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.crossproducts.moment_start import free_within, start_of
from lmmkit.engine.replicates.batch_criterion import BatchState, deviances, evaluate
from lmmkit.engine.replicates.batch_sums import Responses, Shared, picked
from lmmkit.engine.rules import BatchRules
from lmmkit.engine.search.search import corrected, newton_direction

LEAST_BATCH = 8  # a batch is never smaller: einsum sums a lone column in another order


def padded(which: Ints) -> Ints:
    """The positions, the last one repeated until there are enough for a batch."""
    return np.concatenate([which, np.repeat(which[-1:], max(LEAST_BATCH - len(which), 0))])


def start(shared: Shared, responses: Responses, floor: float) -> Floats:
    """(m, r) theta of each replicate from the MIVQUE0 equations, as `moment_start` of one."""
    setup, w = shared.setup, responses.w[shared.size :]
    solved = np.einsum("ij,jr->ir", shared.moment_equations, responses.squares)
    explained = np.einsum("ar,ar->r", w, np.einsum("ab,br->ar", shared.fixed_within, w))
    within: Floats = (responses.yy - explained) / free_within(shared.R, len(w), len(setup.problem.response))
    s2 = np.where(solved[-1] > 0, np.minimum(solved[-1], within), within).astype(np.float64, copy=False)
    return start_of(solved, s2, setup.layout, setup.scale, floor)


class BatchNewton:
    """The search for the optima of r replicates.

    Attributes:
        state: Where each replicate stands.
        converged: Whether its stop rule was met, at a point with the slopes of an optimum.
    """

    def __init__(self, shared: Shared, responses: Responses, rules: BatchRules) -> None:
        self.shared, self.responses, self.rules = shared, responses, rules
        self.state = evaluate(shared, responses, start(shared, responses, rules.floor))
        count = len(self.state.deviance)
        self.decrement, self.trust = np.full(count, np.inf), np.ones(count)
        self.rejected, self.converged = np.zeros(count, bool), np.zeros(count, bool)
        self.moved, self.turned = np.zeros_like(self.state.theta), np.zeros_like(self.state.theta)

    def run(self) -> None:
        """Search, then set null directions to exact zero."""
        active = np.flatnonzero(np.isfinite(self.state.deviance))
        for _ in range(self.rules.limit):
            if not len(active):
                break
            active = self.advance(active)
        finite = [np.nan_to_num(D, posinf=0.0, neginf=0.0) for D in self.state.D]
        layout, scale = self.shared.setup.layout, self.shared.setup.scale
        for _, growth in layout.growths(layout.roots(self.state.theta), finite, scale):
            self.converged &= growth.slope >= -self.rules.multiplier
        self._set_null()

    def advance(self, active: Ints) -> Ints:
        """One step of the active replicates; those that remain."""
        state = self.state.take(active)
        H = self._curvature(active, state)
        step, decrement = newton_direction(H, state.gradient.T, self.rules.least_eigenvalue)
        rules = self.rules
        stalled = (decrement < rules.stalled) & (decrement > self.decrement[active] / rules.stall_ratio)
        self.decrement[active] = decrement
        arrived = (decrement < rules.enough) | stalled
        self.converged[active[arrived]] = True
        going = np.flatnonzero(~arrived)
        if len(going):
            here = padded(going)
            self._step(active[here], state.take(here), step[here])
        return active[going]

    def _curvature(self, active: Ints, state: BatchState) -> Floats:
        """(r, m, m) Hessian; near the end with the correction of its last error."""
        moved, turned = picked(self.moved, active).T, picked(self.turned, active).T
        near = self.decrement[active] < self.rules.correct_below
        new = corrected(state.hessian, moved, turned, self.rules.skip_correction)
        return np.where(near[:, None, None], new, state.hessian)

    def _step(self, which: Ints, state: BatchState, step: Floats) -> None:
        """Newton's step, or an EM step after a rejected one; taken where the deviance does not rise."""
        theta, em, rules = state.theta, self.rejected[which], self.rules
        reach = np.maximum(rules.reach[0], rules.reach[1] * np.sqrt((theta**2).sum(axis=0)))
        length = np.sqrt((step**2).sum(axis=1))
        share = np.minimum(1.0, self.trust[which] * reach / np.maximum(length, 1e-300))
        target = theta + step.T * share
        if em.any():
            back = padded(np.flatnonzero(em))
            old, layout = state.take(back), self.shared.setup.layout
            target[:, back] = layout.em(layout.roots(old.theta), old.D)
        trial = evaluate(self.shared, self.responses.take(which), target)
        slack = np.where(self.decrement[which] < rules.end_below, rules.end_slack, rules.slack) * np.abs(
            state.deviance
        )
        good = (trial.deviance <= state.deviance + slack) | (em & np.isfinite(trial.deviance))
        self.rejected[which] = ~good
        shrunk = np.maximum(length * share / reach / rules.trust_shrink, rules.least_trust)
        self.trust[which] = np.where(
            good,
            np.where(em, self.trust[which], np.minimum(1.0, rules.trust_grow * self.trust[which])),
            shrunk,
        )
        self.moved[:, which[good]] = (trial.theta - theta)[:, good]
        self.turned[:, which[good]] = (trial.gradient - state.gradient)[:, good]
        self.state.put(which[good], trial.take(np.flatnonzero(good)))

    def _set_null(self) -> None:
        """Zero every direction without which the deviance is no higher, block by block, the weakest first."""
        layout, scale = self.shared.setup.layout, self.shared.setup.scale
        L = layout.roots(self.state.theta)
        for f, factor in enumerate(layout.factors):
            for part in range(len(factor.structure.thinner(L[f], scale[f]))):
                while self._thin(f, part):
                    pass

    def _thin(self, f: int, part: int) -> bool:
        """Try every replicate without the weakest direction of one part; whether any is better so."""
        layout, scale = self.shared.setup.layout, self.shared.setup.scale[f]
        arrived = np.flatnonzero(self.converged)
        L = layout.roots(picked(self.state.theta, arrived))
        value, back, left = layout.factors[f].structure.thinner(L[f], scale)[part]
        candidates = np.flatnonzero((value > 0) & (value <= self.rules.suspect))
        if not len(candidates):
            return False
        candidates = padded(candidates)
        L = [picked(root, candidates) for root in L]
        L[f] = layout.factors[f].structure.root_of(picked(left, candidates))
        theta, which = layout.coordinates(L), arrived[candidates]
        responses = self.responses.take(which)
        level = deviances(self.shared, responses, theta) <= self.state.deviance[which] + self.rules.negligible
        if not level.any():
            return False
        near = padded(np.flatnonzero(level))
        trial = evaluate(self.shared, responses.take(near), picked(theta, near))
        slope = np.einsum("abr,abr->r", back[..., candidates[near]], trial.D[f]) / layout.factors[f].levels
        good = np.flatnonzero(slope >= -self.rules.null_multiplier)
        self.state.put(which[near][good], trial.take(good))
        return len(good) > 0
