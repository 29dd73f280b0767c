"""Newton's method on many replicates at once: all step together, and those that have arrived retire.

The steps are those of `newton`: average information with the exact curvature of T = L L', a trust length,
and an EM step after one that raised the deviance.
"""

from __future__ import annotations

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.replicates.batch_criterion import BatchState, deviances, evaluate
from lmmkit.engine.replicates.batch_sums import Responses, Shared, picked
from lmmkit.engine.search.rules import Rules

LEAST_BATCH = 8  # a batch is never smaller: einsum sums a lone column in another order


def padded(which: Ints) -> Ints:
    """The positions, the last one repeated until there are enough for a batch."""
    return np.concatenate([which, np.repeat(which[-1:], max(LEAST_BATCH - len(which), 0))])


def start(shared: Shared, responses: Responses) -> Floats:
    """(m, r) theta of each replicate from the MIVQUE0 equations."""
    solved = np.einsum("ij,jr->ir", shared.moment_equations, responses.squares)
    within = _within_variance(shared, responses)
    s2 = np.where(solved[-1] > 0, np.minimum(solved[-1], within), within)
    layout, out = shared.setup.layout, list[Floats]()
    for factor, mine, scale in zip(layout.factors, layout.cuts, shared.setup.scale, strict=True):
        with np.errstate(all="ignore"):
            T = np.einsum("iab,ir->abr", factor.structure.span, solved[mine] / s2)
        T = np.nan_to_num(T, nan=0.0, posinf=0.0, neginf=0.0)
        out.append(factor.structure.start(T, scale))
    return np.concatenate(out)


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
            active = self.advance(active)
        with np.errstate(invalid="ignore"):
            self.converged &= _least_slopes(self.shared, self.state.D) >= -self.rules.multiplier
        self._set_null()

    def advance(self, active: Ints) -> Ints:
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
            here = padded(going)
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
            back = padded(np.flatnonzero(em))
            old = state.take(back)
            target[:, back] = _em_steps(self.shared, old)
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
        value, rows, root = layout.factors[f].structure.thinner(L[f], scale)[part]
        candidates = np.flatnonzero((value > 0) & (value <= self.rules.suspect))
        if not len(candidates):
            return False
        L[f] = root
        candidates = padded(candidates)
        theta, which = picked(layout.coordinates(L), candidates), arrived[candidates]
        responses = self.responses.take(which)
        level = deviances(self.shared, responses, theta) <= self.state.deviance[which] + self.rules.negligible
        if not level.any():
            return False
        near = padded(np.flatnonzero(level))
        trial = evaluate(self.shared, responses.take(near), picked(theta, near))
        B = rows[..., candidates[near]]
        slope = np.einsum("aqr,abr,bqr->r", B, trial.D[f], B) / layout.factors[f].levels
        good = np.flatnonzero(slope >= -self.rules.null_multiplier)
        self.state.put(which[near][good], trial.take(good))
        return len(good) > 0


def _em_steps(shared: Shared, state: BatchState) -> Floats:
    """(m, r) theta after one ECME step of each replicate."""
    layout = shared.setup.layout
    triples = zip(layout.factors, layout.roots(state.theta), state.D, strict=True)
    return layout.coordinates([factor.structure.em(L, D, factor.levels) for factor, L, D in triples])


def _least_slopes(shared: Shared, D: list[Floats]) -> Floats:
    """(r,) the steepest way in which any T may grow; 0 in the replicates that have no D."""
    finite = [np.nan_to_num(d, nan=0.0, posinf=0.0, neginf=0.0) for d in D]
    triples = zip(shared.factors, finite, shared.setup.scale, strict=True)
    growths = [factor.structure.growths(d / factor.levels, s) for factor, d, s in triples]
    return np.min([slope for part in growths for slope, _ in part], axis=0)


def _directions(H: Floats, gradient: Floats, least: float) -> tuple[Floats, Floats]:
    """(r, m) -|H|^-1 g and (r,) decrement g'|H|^-1 g."""
    values, vectors = np.linalg.eigh(H)
    size = np.abs(values)
    size = np.maximum(size, np.maximum(least * size.max(axis=1), 1e-300)[:, None])
    along = np.einsum("rba,br->ra", vectors, gradient)
    return -np.einsum("rba,ra->rb", vectors, along / size), np.einsum("ra,ra->r", along, along / size)
