"""What many responses on one design say of each level: BLUEs, BLUPs and the scores that they are made of.

The variances are those of each response's own fit (`at_own_variances`, for designs fitted in batches),
or the same for all (`OneVariance`, for any design): then everything is one linear map of the responses.
With P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1 and K what relates the levels of a term (I, as a rule)

    (1)  c = K Z'P y         what the rows say of each level, were its effects free
    (2)  b = T c             the BLUPs, T the relative covariance matrix: zero where T is

so that c tells levels apart where an estimated variance is zero, and b does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.elimination import eliminate
from lmmkit.engine.criterion.gradient import ReverseSweep
from lmmkit.engine.crossproducts.crossproducts import Moments, absorb, collect
from lmmkit.engine.crossproducts.dense_relations import independent
from lmmkit.engine.crossproducts.elimination_order import Layout, build_layout
from lmmkit.engine.crossproducts.scaling import prepare
from lmmkit.engine.crossproducts.whitened import whitened
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.problem import Prepared, Problem
from lmmkit.engine.replicates.batch_criterion import scores_at
from lmmkit.engine.replicates.batch_sums import Shared, summed

TOGETHER = 32  # responses of one elimination


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of r responses, in the units of the data.

    Attributes:
        beta: (p, r) fixed effects.
        sigma: (r,) residual standard deviations.
        scores: (J, k, r) of each term: (1) above.
        b: (J, k, r) of each term: (2).
    """

    beta: Floats
    sigma: Floats
    scores: tuple[Floats, ...]
    b: tuple[Floats, ...]


def at_own_variances(shared: Shared, Y: Floats, factors: tuple[Floats, ...]) -> Predictions:
    """Each response at its own variances.

    Args:
        shared: The design's part, as batches of refits have it.
        Y: (n, r) responses.
        factors: (r, k, k) Lambda of each term.
    """
    setup, responses = shared.setup, summed(shared, Y)
    layout, prepared = setup.layout, setup.prepared
    L = list[Floats]()
    for factor in layout.factors:
        rows = np.zeros((factor.width, factor.width, Y.shape[1]))
        for term, columns, _ in factor.pieces:
            inverse = np.linalg.inv(prepared.term_bases[term])
            rows[columns, columns] = np.einsum("ab,rbc->acr", inverse, factors[term])
        L.append(factor.structure.root_of(rows))
    beta, r2, scores = scores_at(shared, responses, layout.coordinates(L))
    T = [np.einsum("abr,cbr->acr", root, root) for root in L]
    effects = [np.einsum("abr,bjr->ajr", t, c) for t, c in zip(T, scores, strict=True)]
    return Predictions(
        beta=responses.beta + responses.scale * np.einsum("ab,br->ar", prepared.basis, beta),
        sigma=responses.scale * np.sqrt(r2 / setup.criterion.nu),
        scores=_by_term(layout, prepared, scores, responses.scale, dual=True),
        b=_by_term(layout, prepared, effects, responses.scale, dual=False),
    )


class OneVariance:
    """The linear map from responses to what they say, at variances that are the same for all of them."""

    def __init__(self, problem: Problem, factors: tuple[Floats, ...], rho: Floats, *, reml: bool) -> None:
        """`factors` and `rho` as in `FitNumbers`."""
        self.problem, self.rho = problem, rho
        self.prepared = prepare(problem)
        self.layout = build_layout(problem, self.prepared)
        self.L = self.layout.in_prepared_units(self.prepared.term_bases, factors)
        self.nu = len(problem.response) - reml * len(self.prepared.fixed)

    def predictions(self, Y: Floats) -> Predictions:
        """What the (n, r) responses say, a few at a time: products among them are not asked for."""
        parts = [self._some(Y[:, at : at + TOGETHER]) for at in range(0, Y.shape[1], TOGETHER)]
        each = [[*zip(*(getattr(part, name) for part in parts), strict=True)] for name in ("scores", "b")]
        scores, b = (tuple(np.concatenate(own, axis=2) for own in made) for made in each)
        beta = np.concatenate([part.beta for part in parts], axis=1)
        return Predictions(beta, np.concatenate([part.sigma for part in parts]), scores, b)

    def _some(self, Y: Floats) -> Predictions:
        """The same of a few."""
        prepared, p = self.prepared, len(self.prepared.fixed)
        wide, ordinary = self._with(Y)
        layout, moments = self._moments(wide)
        forward = eliminate(moments, layout, self.L)
        F = forward.F
        step = levelwise.solved(F[:p, :p], F[:p, p:]) if p else np.zeros((0, Y.shape[1]))
        r2 = F[p:, p:].diagonal() - np.einsum("ar,ar->r", F[:p, p:], step)
        a = np.concatenate([-step, np.eye(Y.shape[1])])
        scores, effects = list[Floats](), list[Floats]()
        if layout.factors:
            reverse = ReverseSweep(forward, layout, np.zeros_like(F)).run()
            for f, (factor, L) in enumerate(zip(layout.factors, self.L, strict=True)):
                own = np.einsum("kqj,qr->krj", reverse.of(layout, f), a)
                spread = np.ascontiguousarray(factor.spread(own).swapaxes(1, 2))
                scores.append(spread)
                effects.append(np.einsum("ab,bjr->ajr", L @ L.T, spread))
        scale = np.full(Y.shape[1], prepared.scale)
        return Predictions(
            beta=prepared.scale * prepared.basis @ (ordinary + step),
            sigma=prepared.scale * np.sqrt(r2 / self.nu),
            scores=_by_term(layout, prepared, scores, scale, dual=True),
            b=_by_term(layout, prepared, effects, scale, dual=False),
        )

    def _with(self, Y: Floats) -> tuple[Prepared, Floats]:
        """The prepared rows with residuals of ordinary least squares of all responses, and its (p, r)."""
        problem, prepared = self.problem, self.prepared
        y = Y if problem.offset is None else Y - problem.offset[:, None]
        if problem.weights is not None:
            y = y * np.sqrt(problem.weights)[:, None]
        rows, X = y.T / prepared.scale, prepared.rows[list(prepared.fixed)]
        ordinary = np.zeros((len(X), len(rows)))
        for _ in range(2 if len(X) else 0):
            step = levelwise.solved(X @ X.T, X @ rows.T)
            rows = rows - step.T @ X
            ordinary += step
        first = prepared.response
        fixed = (*prepared.fixed, *range(first, first + len(rows) - 1))
        return replace(prepared, rows=np.concatenate([prepared.rows[:-1], rows]), fixed=fixed), ordinary

    def _moments(self, wide: Prepared) -> tuple[Layout, Moments]:
        """The cross-products with all responses, of whitened rows where residuals are correlated."""
        raw = collect(wide, self.layout)
        absorbed = absorb(raw, wide, self.layout) if self.layout.factors else raw
        layout, raw, absorbed = independent(wide, self.layout, raw, absorbed)
        if self.problem.residual is None:
            return layout, absorbed
        source = whitened(wide, layout, self.problem.residual)
        return source.layout, source.moments(self.rho)[0]


def _by_term(
    layout: Layout, prepared: Prepared, made: list[Floats], scale: Floats, *, dual: bool
) -> tuple[Floats, ...]:
    """(J, k, r) of each term in the units of the data from (k, J, r) of each factor in prepared ones.

    Effects b are S b_prepared; scores c = S'^-1 c_prepared (`dual`), since Z_prepared = Z S.
    """
    out: dict[int, Floats] = {}
    for factor, own in zip(layout.factors, made, strict=True):
        for term, columns, _ in factor.pieces:
            S = prepared.term_bases[term]
            turn = np.linalg.inv(S).T if dual else S
            at = np.einsum("ab,bjr->jar", turn, own[columns]) * scale
            out[term] = np.empty_like(at)
            out[term][factor.order] = at
    return tuple(out[term] for term in range(len(out)))
