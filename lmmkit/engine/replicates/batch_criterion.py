"""The criterion of many responses on one design, all evaluated together.

Every array ends in an axis of replicates, r, or begins with it where LAPACK works on small matrices. With the
first factor absorbed (see `batch_sums`) and H_j = (I + R_j T R_j')^-1 of a replicate

    S = M'V_1^-1 M = within + sum_j A_j'H_j A_j,    log|V| + log|X'V^-1X| = log|V_1| + log|C|

with C = Λ'SΛ + diag(I, 0), Λ = diag(L of the later factors, I): the mixed model equations that are left.
They give the fixed effects, r2, the derivatives D = d deviance / dT and the average information, as in
`criterion`.

Sums run over the leading axes, and no product is handed to BLAS with replicates as its columns: a replicate's
numbers do not depend on those with which it is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.engine.lazy import lazy
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.replicates.batch_sums import Later, Responses, Shared, entry_pairs, picked
from lmmkit.engine.rules import BATCH


@dataclass(frozen=True, eq=False)
class BatchState:
    """The criterion of r replicates, each at its own theta, in prepared units.

    Attributes:
        theta: (m, r).
        deviance: (r,); infinite where there is none.
        r2: (r,).
        beta: (p, r).
        Phi: (r, p, p) (X'V^-1X)^-1.
        gradient: (m, r).
        hessian: (r, m, m) average information with the exact curvature of T = L L'.
        D: (k, k, r) of each factor.
    """

    theta: Floats
    deviance: Floats
    r2: Floats
    beta: Floats
    Phi: Floats
    gradient: Floats
    hessian: Floats
    D: list[Floats]

    def take(self, which: Ints) -> BatchState:
        """Some of the replicates."""
        return BatchState(
            picked(self.theta, which),
            self.deviance[which],
            self.r2[which],
            picked(self.beta, which),
            self.Phi[which],
            picked(self.gradient, which),
            self.hessian[which],
            [picked(D, which) for D in self.D],
        )

    def put(self, which: Ints, other: BatchState) -> None:
        """Take the states of some replicates from another batch, in place."""
        self.theta[:, which], self.deviance[which], self.r2[which] = other.theta, other.deviance, other.r2
        self.beta[:, which], self.gradient[:, which] = other.beta, other.gradient
        self.hessian[which], self.Phi[which] = other.hessian, other.Phi
        for mine, D in zip(self.D, other.D, strict=True):
            mine[..., which] = D


def inverses(A: Floats) -> Floats:
    """Inverses of (r, m, m) matrices, NaN of those that have none."""
    try:
        return np.linalg.inv(A).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        if A.ndim == 2:
            return np.full(A.shape, np.nan)
        return np.array([inverses(one) for one in A])


def evaluate(shared: Shared, responses: Responses, theta: Floats) -> BatchState:
    """Deviance, gradient and Hessian of each replicate at its own theta, (m, r)."""
    with np.errstate(all="ignore"):
        return _Evaluation(shared, responses, theta).state()


def deviances(shared: Shared, responses: Responses, theta: Floats) -> Floats:
    """(r,) the deviances alone."""
    with np.errstate(all="ignore"):
        return _Evaluation(shared, responses, theta).deviance


class BatchFit(NamedTuple):
    """What r given covariance matrices leave of r responses, in prepared units.

    Attributes:
        deviance: (r,) profiled; infinite where there is none.
        r2: (r,).
        beta: (p, r).
        Phi: (r, p, p) (X'V^-1X)^-1.
    """

    deviance: Floats
    r2: Floats
    beta: Floats
    Phi: Floats


def fits_at(shared: Shared, responses: Responses, L: list[Floats]) -> BatchFit:
    """The criterion of each replicate at its own T = L L', from any roots L (k, k, r) of each factor."""
    with np.errstate(all="ignore"):
        at, size = _Evaluation(shared, responses, np.empty((0, L[0].shape[2])), L), shared.size
        beta = np.ascontiguousarray(at.gamma[:, size:].T)
        return BatchFit(at.deviance, at.r2, beta, at.C_inverse[:, size:, size:])


def scores_at(shared: Shared, responses: Responses, theta: Floats) -> tuple[Floats, Floats, list[Floats]]:
    """(p, r) beta, (r,) r2 and, of each factor, (k, J, r) Z'Py: the search's own, each at its theta."""
    with np.errstate(all="ignore"):
        point = _Evaluation(shared, responses, theta)
        return np.ascontiguousarray(point.gamma[:, shared.size :].T), point.r2, point.scores


class _Evaluation:
    """One evaluation, its parts made when they are asked for; k is the width of the first factor."""

    def __init__(
        self, shared: Shared, responses: Responses, theta: Floats, L: list[Floats] | None = None
    ) -> None:
        """At theta (m, r), or at any roots L of each factor's T."""
        self.shared, self.y, self.theta = shared, responses, theta
        self.layout = shared.setup.layout
        self.L = self.layout.roots(theta) if L is None else L
        self.reml, self.nu = shared.setup.criterion.reml, shared.setup.criterion.nu
        self.count = theta.shape[1]
        self._eliminate()

    def _eliminate(self) -> None:
        """Take the first factor out: H, its logdet, S and the same products with y."""
        shared, k, J = self.shared, *self.shared.A.shape[:2]
        RL = np.einsum("abj,bcr->acjr", shared.R, self.L[0]).reshape(k, k, -1)
        grown = levelwise.times_transposed(RL, RL)
        for a in range(k):
            grown[a, a] += 1.0
        C, reciprocal = levelwise.cholesky(grown)
        half = levelwise.forward(C, reciprocal, levelwise.identity(k, J * self.count))
        self.H = levelwise.transposed_times(half, half).reshape(k, k, J, self.count)
        self.logdet = -2.0 * np.log(reciprocal.reshape(k, J, -1)).sum(axis=(0, 1))
        packed = np.array([self.H[pair] for pair in entry_pairs(k)]).reshape(-1, self.count)
        self.S = self._symmetric(np.einsum("ij,jr->ir", shared.pairs, packed)) + shared.within
        Ha = np.einsum("abjr,bjr->ajr", self.H, self.y.a)
        self.s_y = (self.y.w + np.einsum("qj,jr->qr", shared.flat, Ha.reshape(k * J, -1))).T
        self.s_yy = self.y.yy + np.einsum("ajr,ajr->r", self.y.a, Ha)

    def _symmetric(self, upper: Floats) -> Floats:
        """(r, Q, Q) from the (pairs of M, r) entries u <= v."""
        u, v = self.shared.upper
        Q = self.shared.A.shape[2]
        out = np.empty((self.count, Q, Q))
        out[:, u, v] = out[:, v, u] = upper.T
        return out

    def _lambda(self, A: Floats, *, transposed: bool) -> Floats:
        """Λ A or Λ'A for (r, Q, m) A."""
        out = A.copy()
        for place, L in zip(self.shared.later, self.L[1:], strict=True):
            block = A[:, place.columns].reshape(self.count, place.factor.levels, place.factor.width, -1)
            turned = L.transpose(2, 1, 0) if transposed else L.transpose(2, 0, 1)
            out[:, place.columns] = np.matmul(turned[:, None], block).reshape(self.count, -1, A.shape[2])
        return out

    @lazy
    def C(self) -> Floats:
        """(r, Q, Q) the equations that are left."""
        if not self.shared.size:
            return self.S
        half = self._lambda(self.S, transposed=True)
        C = self._lambda(np.ascontiguousarray(half.transpose(0, 2, 1)), transposed=True)
        random = np.arange(self.shared.size)
        C[:, random, random] += 1.0
        finite = np.isfinite(C.reshape(self.count, -1)).all(axis=1).reshape(-1, 1, 1)
        return np.where(finite, C, np.eye(C.shape[1]))

    @lazy
    def C_inverse(self) -> Floats:
        """(r, Q, Q)."""
        return inverses(self.C)

    @lazy
    def gamma(self) -> Floats:
        """(r, Q) L^-1 b of the later factors, then beta."""
        right = self._lambda(self.s_y[:, :, None], transposed=True)
        return np.matmul(self.C_inverse, right)[:, :, 0]

    @lazy
    def coefficients(self) -> Floats:
        """(r, Q) of the columns of M: Λ gamma."""
        return self._lambda(self.gamma[:, :, None], transposed=False)[:, :, 0]

    @lazy
    def r2(self) -> Floats:
        """(r,) y'Py."""
        r2 = self.s_yy - np.einsum("rq,rq->r", self.s_y, self.coefficients)
        return np.where(r2 > BATCH.exact * self.s_yy, r2, np.nan)

    @lazy
    def deviance(self) -> Floats:
        """(r,)."""
        size = len(self.C[0]) if self.reml else self.shared.size
        rest = np.linalg.slogdet(self.C[:, :size, :size])[1]
        profile = self.nu * (1.0 + np.log(2.0 * np.pi * self.r2 / self.nu))
        deviance = self.logdet + rest + profile + self.y.constant
        return np.where(np.isfinite(deviance), deviance, np.inf)

    @lazy
    def scores(self) -> list[Floats]:
        """c = Z'Py of each factor, (k, J, r)."""
        shared = self.shared
        fitted = np.einsum("qj,rq->jr", shared.flat, self.coefficients).reshape(self.y.a.shape)
        Ha = np.einsum("abjr,bjr->ajr", self.H, self.y.a - fitted)
        out = [np.einsum("baj,bjr->ajr", shared.R, Ha)]
        left = self.s_y - np.matmul(self.S, self.coefficients[:, :, None])[:, :, 0]
        for place in shared.later:
            own = left[:, place.columns].reshape(self.count, place.factor.levels, place.factor.width)
            out.append(np.ascontiguousarray(own.transpose(2, 1, 0)))
        return out

    @lazy
    def B(self) -> Floats:
        """(r, Q, Q) derivative of the log determinants in S: Λ C^-1 Λ', without X under ML."""
        inverse = self.C_inverse
        if not self.reml:
            size = self.shared.size
            inverse = np.zeros_like(self.C)
            inverse[:, :size, :size] = inverses(self.C[:, :size, :size])
        if not self.shared.size:
            return inverse
        half = self._lambda(inverse, transposed=False)
        return self._lambda(np.ascontiguousarray(half.transpose(0, 2, 1)), transposed=False)

    @lazy
    def D(self) -> list[Floats]:
        """D deviance / dT of each factor, (k, k, r)."""
        weight = self.nu / self.r2
        traces = [self._first_trace(), *(self._later_trace(place) for place in self.shared.later)]
        return [
            trace - weight * np.einsum("ajr,bjr->abr", c, c)
            for trace, c in zip(traces, self.scores, strict=True)
        ]

    def _first_trace(self) -> Floats:
        """(k, k, r) sum over levels of R'(H - H A B A' H)R."""
        k, J = self.shared.A.shape[:2]
        u, v = self.shared.upper
        inner = self.H
        if self.reml or self.shared.size:
            packed = np.einsum("ij,jr->ir", self.shared.adjoint, np.ascontiguousarray(self.B[:, u, v].T))
            full = np.empty_like(self.H)
            for block, (a, b) in zip(packed.reshape(-1, J, self.count), entry_pairs(k), strict=True):
                full[a, b] = full[b, a] = block
            HB = np.einsum("abjr,bcjr->acjr", self.H, full)
            inner = self.H - np.einsum("abjr,bcjr->acjr", HB, self.H)
        RH = np.einsum("baj,bcjr->acjr", self.shared.R, inner)
        return np.einsum("acjr,cbj->abr", RH, self.shared.R)

    def _later_trace(self, place: Later) -> Floats:
        """(k, k, r) sum over levels of the diagonal blocks of S - S B S."""
        columns, k = place.columns, place.factor.width
        mine = self.S[:, :, columns]
        left = mine[:, columns] - np.matmul(mine.transpose(0, 2, 1), np.matmul(self.B, mine))
        blocks = left.reshape(self.count, place.factor.levels, k, place.factor.levels, k)
        return np.einsum("rjajb->abr", blocks)

    @lazy
    def working(self) -> list[Floats]:
        """(k, m_f, J, r) u = dT_i c of each factor's working columns w_i = Z u."""
        pairs = zip(self.layout.parameters(self.theta), self.scores, strict=True)
        return [structure.working(x, c) for (structure, x), c in pairs]

    def _hessian(self) -> Floats:
        """(r, m, m): (nu / r2) w'Pw - (nu / r2^2) q q' + curvature, q = w'Py."""
        slope = np.concatenate(
            [np.einsum("aijr,ajr->ri", u, c) for u, c in zip(self.working, self.scores, strict=True)], axis=1
        )
        weight = (self.nu / self.r2)[:, None, None]
        information = self._information() - slope[:, :, None] * slope[:, None, :] / self.r2[:, None, None]
        return weight * information + self.layout.curvature(self.theta, self.D).transpose(2, 0, 1)

    def _information(self) -> Floats:
        """(r, m, m) w'Pw."""
        shared, first = self.shared, self.working[0]
        Ru = np.einsum("abj,bijr->aijr", shared.R, first)
        HRu = np.einsum("abjr,bijr->aijr", self.H, Ru)
        m1, m = first.shape[1], len(self.theta)
        t = np.zeros((self.count, shared.A.shape[2], m))
        t[:, :, :m1] = np.einsum("qj,jir->rqi", shared.flat, HRu.swapaxes(1, 2).reshape(-1, m1, self.count))
        later = np.zeros_like(t)
        for place, mine, u in zip(shared.later, self.layout.cuts[1:], self.working[1:], strict=True):
            later[:, place.columns, mine] = u.transpose(3, 2, 0, 1).reshape(self.count, -1, u.shape[1])
        t += np.matmul(self.S, later)
        own = np.matmul(later.transpose(0, 2, 1), t)
        own[:, :m1, m1:] = own[:, m1:, :m1].transpose(0, 2, 1)
        own[:, :m1, :m1] = np.einsum("aijr,akjr->rik", Ru, HRu)
        half = self._lambda(t, transposed=True)
        return own - np.matmul(half.transpose(0, 2, 1), np.matmul(self.C_inverse, half))

    def state(self) -> BatchState:
        """All of it."""
        gradient = self.layout.gradient(self.theta, self.D)
        size = self.shared.size
        beta, Phi = np.ascontiguousarray(self.gamma[:, size:].T), self.C_inverse[:, size:, size:]
        return BatchState(self.theta, self.deviance, self.r2, beta, Phi, gradient, self._hessian(), self.D)
