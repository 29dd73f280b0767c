"""Newton's method on many replicates at once: all step together, and those that have arrived retire.

The steps are those of `newton`: average information with the exact curvature of T = L L', a trust length,
and an EM step after one that raised the deviance.
"""

from __future__ import annotations

import numpy as np

from lmmkit.engine.problem import Floats, Ints
from lmmkit.engine.replicates.batch_criterion import BatchState, deviances, evaluate
from lmmkit.engine.replicates.design_part import Shared
from lmmkit.engine.replicates.response_part import Responses, picked
from lmmkit.engine.search.boundary import NEGLIGIBLE, NOT_NEGATIVE, SUSPECT
from lmmkit.engine.search.search import EIGENVALUE_FLOOR

ENOUGH = 1e-16  # Newton decrement at which a replicate retires
STALLED = 1e-12  # below this a decrement that no longer falls four-fold is rounding
END_PHASE = 1e-5  # below this steps may raise the deviance by its rounding
LIMIT = 30  # steps after which a replicate is left to the ordinary search
COMPANY = 8  # a batch is never smaller: einsum sums a lone column in another order


def companions(which: Ints) -> Ints:
    """The positions, the last one repeated until there are enough for company."""
    return np.concatenate([which, np.repeat(which[-1:], max(COMPANY - len(which), 0))])


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

    def __init__(self, shared: Shared, responses: Responses) -> None:
        self.shared, self.responses = shared, responses
        self.state = evaluate(shared, responses, start(shared, responses))
        count = len(self.state.deviance)
        self.decrement, self.trust = np.full(count, np.inf), np.ones(count)
        self.rejected, self.converged = np.zeros(count, bool), np.zeros(count, bool)
        self.moved, self.turned = np.zeros_like(self.state.theta), np.zeros_like(self.state.theta)

    def run(self) -> None:
        """Search, then set null directions to exact zero."""
        active = np.flatnonzero(np.isfinite(self.state.deviance))
        for _ in range(LIMIT):
            if not len(active):
                break
            active = self._advance(active)
        with np.errstate(invalid="ignore"):
            self.converged &= _least_slopes(self.shared, self.state.D) >= -1e-6
        self._set_null()

    def _advance(self, active: Ints) -> Ints:
        """One step of the active replicates; those that remain."""
        state = self.state.take(active)
        H = self._curvature(active, state)
        step, decrement = _directions(H, state.gradient)
        stalled = (decrement < STALLED) & (decrement > self.decrement[active] / 4.0)
        self.decrement[active] = decrement
        arrived = (decrement < ENOUGH) | stalled
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
                (self.decrement[active] < END_PHASE) & (np.abs(along) > 1e-8 * size), 1.0 / along, 0.0
            )
        return state.hessian + np.einsum("ar,br->rab", v * correction, v)

    def _step(self, which: Ints, state: BatchState, step: Floats) -> None:
        """Newton's step, or an EM step after a rejected one; taken where the deviance does not rise."""
        theta, em = state.theta, self.rejected[which]
        reach = np.maximum(1.0, 2.0 * np.sqrt((theta**2).sum(axis=0)))
        length = np.sqrt((step**2).sum(axis=1))
        share = np.minimum(1.0, self.trust[which] * reach / np.maximum(length, 1e-300))
        target = theta + step.T * share
        if em.any():
            back = companions(np.flatnonzero(em))
            old = state.take(back)
            target[:, back] = _em_steps(self.shared, old)
        trial = evaluate(self.shared, self.responses.take(which), target)
        slack = np.where(self.decrement[which] < END_PHASE, 1e-10, 1e-12) * np.abs(state.deviance)
        good = (trial.deviance <= state.deviance + slack) | (em & np.isfinite(trial.deviance))
        self.rejected[which] = ~good
        shrunk = np.maximum(length * share / reach / 4.0, 1e-3)
        self.trust[which] = np.where(
            good, np.where(em, self.trust[which], np.minimum(1.0, 3.0 * self.trust[which])), shrunk
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
        candidates = np.flatnonzero((value > 0) & (value <= SUSPECT))
        if not len(candidates):
            return False
        L[f] = root
        candidates = companions(candidates)
        theta, which = picked(layout.coordinates(L), candidates), arrived[candidates]
        responses = self.responses.take(which)
        level = deviances(self.shared, responses, theta) <= self.state.deviance[which] + NEGLIGIBLE
        if not level.any():
            return False
        near = companions(np.flatnonzero(level))
        trial = evaluate(self.shared, responses.take(near), picked(theta, near))
        B = rows[..., candidates[near]]
        slope = np.einsum("aqr,abr,bqr->r", B, trial.D[f], B) / layout.factors[f].levels
        good = np.flatnonzero(slope >= NOT_NEGATIVE)
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


def _directions(H: Floats, gradient: Floats) -> tuple[Floats, Floats]:
    """(r, m) -|H|^-1 g and (r,) decrement g'|H|^-1 g."""
    values, vectors = np.linalg.eigh(H)
    size = np.abs(values)
    size = np.maximum(size, np.maximum(EIGENVALUE_FLOOR * size.max(axis=1), 1e-300)[:, None])
    along = np.einsum("rba,br->ra", vectors, gradient)
    return -np.einsum("rba,ra->rb", vectors, along / size), np.einsum("ra,ra->r", along, along / size)
