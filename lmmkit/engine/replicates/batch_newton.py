"""Newton's method on many replicates at once: all step together, and those that have arrived retire.

The steps are those of `newton`: average information with the exact curvature of T = L L', a trust length,
and an EM step after one that raised the deviance.
"""

from __future__ import annotations

import numpy as np

from lmmkit.engine.problem import Floats, Ints
from lmmkit.engine.replicates import batch_cone
from lmmkit.engine.replicates.batch_criterion import BatchState, deviances, evaluate
from lmmkit.engine.replicates.design_part import Shared
from lmmkit.engine.replicates.response_part import Responses, picked
from lmmkit.engine.search.rules import Rules

COMPANY = 8  # a batch is never smaller: einsum sums a lone column in another order


def companions(which: Ints) -> Ints:
    """The positions, the last one repeated until there are enough for company."""
    return np.concatenate([which, np.repeat(which[-1:], max(COMPANY - len(which), 0))])


def start(shared: Shared, responses: Responses) -> Floats:
    """(m, r) theta of each replicate from the MIVQUE0 equations."""
    solved = np.einsum("ij,jr->ir", shared.moment_equations, responses.squares)
    within = _within_variance(shared, responses)
    s2 = np.where(solved[-1] > 0, np.minimum(solved[-1], within), within)
    L = list[Floats]()
    for E, mine, factor, scale in zip(
        shared.directions, shared.cuts, shared.factors, shared.setup.scale, strict=True
    ):
        with np.errstate(all="ignore"):
            T = np.einsum("iab,ir->rab", E, solved[mine] / s2)
        T = np.nan_to_num(T, nan=0.0, posinf=0.0, neginf=0.0)
        lower = np.zeros(T.shape)
        for block in factor.blocks:
            here = (slice(None), *np.ix_(block, block))
            lower[here] = batch_cone.floored(T[here], scale[list(block)])
        L.append(batch_cone.last(lower))
    return shared.free(L)


def _within_variance(shared: Shared, responses: Responses) -> Floats:
    """(r,) residual variance within the levels of the first factor."""
    w = responses.w[shared.size :]
    explained = np.einsum("ar,ar->r", w, np.einsum("ab,br->ar", shared.fixed_within, w))
    used = int(np.count_nonzero(np.einsum("aaj->aj", shared.R)))
    return (responses.yy - explained) / max(len(shared.setup.problem.response) - used - len(w), 1)


class BatchNewton:
    """The search for the optima of r replicates.

    Attributes:
        state: Where each replicate stands.
        converged: Whether its stop rule was met, at a point with the slopes of an optimum.
    """

    def __init__(self, shared: Shared, responses: Responses, rules: Rules) -> None:
        self.shared, self.responses, self.rules = shared, responses, rules
        self.state = evaluate(shared, responses, start(shared, responses))
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
            active = self._advance(active)
        with np.errstate(invalid="ignore"):
            self.converged &= (
                batch_cone.least_slopes(self.shared, _finite(self.state.D)) >= -self.rules.multiplier
            )
        self._set_null()

    def _advance(self, active: Ints) -> Ints:
        """One step of the active replicates; those that remain."""
        state = self.state.take(active)
        H = self._curvature(active, state)
        step, decrement = _directions(H, state.gradient, self.rules.least_eigenvalue)
        rules = self.rules
        stalled = (decrement < rules.stalled) & (decrement > self.decrement[active] / rules.stall_ratio)
        self.decrement[active] = decrement
        arrived = (decrement < rules.enough) | stalled
        self.converged[active[arrived]] = True
        going = np.flatnonzero(~arrived)
        if len(going):
            here = companions(going)
            self._step(active[here], state.take(here), step[here])
        return active[going]

    def _curvature(self, active: Ints, state: BatchState) -> Floats:
        """(r, m, m) Hessian; near the end with the symmetric rank-one correction of its last error."""
        s, turned = picked(self.moved, active), picked(self.turned, active)
        v = turned - np.einsum("rab,br->ar", state.hessian, s)
        along = np.einsum("ar,ar->r", v, s)
        size = np.sqrt(np.einsum("ar,ar->r", v, v) * np.einsum("ar,ar->r", s, s))
        with np.errstate(all="ignore"):
            correction = np.where(
                (self.decrement[active] < self.rules.correct_below)
                & (np.abs(along) > self.rules.skip_correction * size),
                1.0 / along,
                0.0,
            )
        return state.hessian + np.einsum("ar,br->rab", v * correction, v)

    def _step(self, which: Ints, state: BatchState, step: Floats) -> None:
        """Newton's step, or an EM step after a rejected one; taken where the deviance does not rise."""
        theta, em, rules = state.theta, self.rejected[which], self.rules
        reach = np.maximum(rules.reach[0], rules.reach[1] * np.sqrt((theta**2).sum(axis=0)))
        length = np.sqrt((step**2).sum(axis=1))
        share = np.minimum(1.0, self.trust[which] * reach / np.maximum(length, 1e-300))
        target = theta + step.T * share
        if em.any():
            back = companions(np.flatnonzero(em))
            old = state.take(back)
            target[:, back] = self.shared.free(
                batch_cone.em_steps(self.shared, self.shared.lower(old.theta), old.D)
            )
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
        for f, factor in enumerate(self.shared.factors):
            for block in factor.blocks:
                for _ in block:
                    self._thin(f, list(block))

    def _thin(self, f: int, block: list[int]) -> None:
        """Try every replicate without the weakest direction of one block."""
        arrived = np.flatnonzero(self.converged)
        L = self.shared.lower(picked(self.state.theta, arrived))
        here, s = np.ix_(block, block), self.shared.setup.scale[f][block]
        value, direction, thinner = batch_cone.weakest(batch_cone.first(L[f][here]), s)
        candidates = np.flatnonzero((value > 0) & (value <= self.rules.suspect))
        if not len(candidates):
            return
        L[f][here] = batch_cone.last(thinner)
        candidates = companions(candidates)
        theta, which = picked(self.shared.free(L), candidates), arrived[candidates]
        responses = self.responses.take(which)
        level = deviances(self.shared, responses, theta) <= self.state.deviance[which] + self.rules.negligible
        if not level.any():
            return
        near = companions(np.flatnonzero(level))
        trial = evaluate(self.shared, responses.take(near), picked(theta, near))
        v = direction[candidates[near]] / s
        slope = np.einsum("ra,abr,rb->r", v, trial.D[f][here], v) / self.shared.factors[f].levels
        good = np.flatnonzero(slope >= -self.rules.null_multiplier)
        self.state.put(which[near][good], trial.take(good))


def _finite(D: list[Floats]) -> list[Floats]:
    """D with zeros in the replicates that have none."""
    return [np.nan_to_num(d, nan=0.0, posinf=0.0, neginf=0.0) for d in D]


def _directions(H: Floats, gradient: Floats, least: float) -> tuple[Floats, Floats]:
    """(r, m) -|H|^-1 g and (r,) decrement g'|H|^-1 g."""
    values, vectors = np.linalg.eigh(H)
    size = np.abs(values)
    size = np.maximum(size, np.maximum(least * size.max(axis=1), 1e-300)[:, None])
    along = np.einsum("rba,br->ra", vectors, gradient)
    return -np.einsum("rba,ra->rb", vectors, along / size), np.einsum("ra,ra->r", along, along / size)
