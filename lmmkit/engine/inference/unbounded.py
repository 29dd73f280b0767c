"""The restricted likelihood where a variance may be negative: V alone must be positive definite.

At a singular optimum the likelihood would rise further along T = Lambda Lambda' if T might leave its cone.
With Z = Q S', Q'Q = I, and N = S'(I (x) T)S

    V = I + Q N Q',  V^-1 = I - Q Q' + Q H Q',  H = (I + N)^-1,  log|V| = log|I + N|

so that everything is a matrix of rank Z rows. G = Z'PZ and c = Z'Py give the derivatives in the entries t of
T, with D_i = I (x) dT_i:

    gradient tr(G D_i) - (nu / r2) q_i,   q_i = c'D_i c
    Hessian -tr(G D_i G D_j) + 2 (nu / r2) c'D_i G D_j c - (nu / r2^2) q_i q_j

In a balanced design this is the test between strata of the analysis of variance. SAS's PROC MIXED has it as
NOBOUND.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.crossproducts.elimination_order import random_columns
from lmmkit.engine.inference.information import VarianceInformation, entry_directions
from lmmkit.engine.linalg.levelwise import solved
from lmmkit.engine.linalg.two_part_covariance import Sandwich
from lmmkit.engine.optimum import Optimum
from lmmkit.errors import FitError

MOST = 500  # random effects: the matrices have so many rows; half a second in all
RANK = 1e-12  # share of the largest eigenvalue of Z'Z below which a direction adds nothing to Z
NEAR = 1e-6  # least eigenvalue of V, relative to the residual variance, at which it still counts as definite
STEPS = 50
ARRIVED = 1e-10  # Newton decrement, in units of the deviance
SHORTEST = 1e-6  # share of a step below which there is no way down
FLATTEST = 1e-8  # share of the largest curvature that a direction is given at least


@dataclass(frozen=True, eq=False)
class _Products:
    """What every T shares: the rows rotated into the columns of Z.

    Attributes:
        S: (q, r) with Z = Q S'.
        inside: (r, p + 1) Q'[X y].
        outside: (p + 1, p + 1) cross-products of [X y] less those of Q'[X y].
        units: For each factor its (m_f, k, k) symmetric unit matrices and its number of levels.
        nu: Rows less fixed effects.
    """

    S: Floats
    inside: Floats
    outside: Floats
    units: tuple[tuple[Floats, int], ...]
    nu: int

    def spread(self, t: Floats, A: Floats) -> Floats:
        """(I (x) T) A for (q, m) A."""
        out, at, row = np.empty_like(A), 0, 0
        for units, levels in self.units:
            T = np.einsum("i,iab->ab", t[at : at + len(units)], units)
            end = row + levels * len(T)
            out[row:end] = np.einsum("ab,jbm->jam", T, A[row:end].reshape(levels, len(T), -1)).reshape(
                end - row, -1
            )
            at, row = at + len(units), end
        return out

    @property
    def directions(self) -> Floats:
        """(m, m) each entry of T alone."""
        return np.eye(sum(len(units) for units, _ in self.units))


class _Point:
    """The restricted deviance and its derivatives at the entries t of T.

    Raises:
        LinAlgError: V is not positive definite.
    """

    def __init__(self, shared: _Products, t: Floats) -> None:
        self.shared, self.t = shared, t
        K = np.eye(len(shared.inside)) + shared.S.T @ shared.spread(t, shared.S)
        root = np.linalg.cholesky((K + K.T) / 2.0 - NEAR * np.eye(len(K)))
        if not np.isfinite(root).all():
            raise np.linalg.LinAlgError
        self.logdet = float(np.linalg.slogdet(K)[1])
        self.H = solved(K, np.eye(len(K)))
        moments = shared.outside + shared.inside.T @ self.H @ shared.inside
        self.XVX, p = moments[:-1, :-1], len(moments) - 1
        self.Phi = solved(self.XVX, np.eye(p))
        self.beta = self.Phi @ moments[:-1, -1]
        self.r2 = float(moments[-1, -1] - moments[:-1, -1] @ self.beta)
        if self.r2 <= 0.0:
            raise np.linalg.LinAlgError

    @cached_property
    def deviance(self) -> float:
        """But for a constant."""
        log_r2 = self.shared.nu * float(np.log(self.r2))
        return self.logdet + float(np.linalg.slogdet(self.XVX)[1]) + log_r2

    @cached_property
    def variance(self) -> float:
        """sigma^2."""
        return self.r2 / self.shared.nu

    @cached_property
    def U(self) -> Floats:
        """(q, p) Z'V^-1X."""
        return self.shared.S @ (self.H @ self.shared.inside[:, :-1])

    @cached_property
    def G(self) -> Floats:
        """(q, q) Z'PZ."""
        return self.shared.S @ self.H @ self.shared.S.T - self.U @ self.Phi @ self.U.T

    @cached_property
    def scores(self) -> Floats:
        """(q, m) D_i c, c = Z'Py."""
        residual = self.shared.inside[:, -1] - self.shared.inside[:, :-1] @ self.beta
        c = self.shared.S @ (self.H @ residual)
        return np.stack([self.shared.spread(e, c[:, None])[:, 0] for e in self.shared.directions], axis=1)

    @cached_property
    def q(self) -> Floats:
        """(m,) y'P V_i P y."""
        residual = self.shared.inside[:, -1] - self.shared.inside[:, :-1] @ self.beta
        return (self.shared.S @ (self.H @ residual)) @ self.scores

    @cached_property
    def _turned(self) -> list[Floats]:
        """G D_i of each entry."""
        return [self.shared.spread(e, self.G).T for e in self.shared.directions]

    @cached_property
    def gradient(self) -> Floats:
        """(m,)."""
        return np.array([np.trace(A) for A in self._turned]) - self.q / self.variance

    @cached_property
    def hessian(self) -> Floats:
        """(m, m) of the deviance profiled over sigma."""
        traces = np.array([[np.vdot(A, B.T) for B in self._turned] for A in self._turned])
        curvature = 2.0 / self.variance * self.scores.T @ self.G @ self.scores
        return curvature - traces - np.outer(self.q, self.q) / (self.variance * self.r2)


def _products(optimum: Optimum) -> _Products:
    """The rows of a problem rotated into the columns of Z."""
    prepared, factors = optimum.prepared, optimum.layout.factors
    Z = random_columns(prepared, factors)
    values, vectors = np.linalg.eigh((Z.T @ Z).toarray())
    new = values > RANK * values[-1]
    size = np.sqrt(values[new])
    W = prepared.rows[[*prepared.fixed, prepared.response]].T
    inside = (vectors[:, new] / size).T @ (Z.T @ W)
    spans = entry_directions(optimum).own
    units = tuple((own, factor.levels) for own, factor in zip(spans, factors, strict=True))
    return _Products(vectors[:, new] * size, inside, W.T @ W - inside.T @ inside, units, optimum.criterion.nu)


def _lowest(point: _Point) -> _Point | None:
    """The optimum that Newton's method reaches from a point; None where it ends at V's own boundary."""
    for _ in range(STEPS):
        values, vectors = np.linalg.eigh(point.hessian)
        size = np.maximum(np.abs(values), FLATTEST * np.abs(values).max())
        along = vectors.T @ point.gradient
        if along @ (along / size) < ARRIVED:
            return point if values[0] > -FLATTEST * values[-1] else None
        lower = _step(point, -vectors @ (along / size))
        if lower is None:
            return None
        point = lower
    return None


def _step(point: _Point, step: Floats) -> _Point | None:
    """The first point on the way, halved again and again, at which the deviance is lower."""
    share = 1.0
    while share > SHORTEST:
        try:
            trial = _Point(point.shared, point.t + share * step)
        except np.linalg.LinAlgError:
            share /= 2.0
            continue
        if trial.deviance < point.deviance:
            return trial
        share /= 2.0
    return None


def unbounded_information(optimum: Optimum) -> VarianceInformation:
    """Uncertainty of the fixed effects of a REML optimum with variances that may be negative.

    The estimates of the fixed effects stay those of the optimum; their covariance matrix is taken at the
    unbounded variances, B V B' with B = (X'V_0^-1X)^-1 X'V_0^-1 of the optimum.

    Raises:
        FitError: Too many random effects, or a likelihood without such an optimum.

    Reference: SAS/STAT, The MIXED Procedure, PROC MIXED statement, NOBOUND.
    """
    effects = sum(factor.levels * factor.width for factor in optimum.layout.factors)
    if effects > MOST:
        raise FitError(
            f"df='unbounded' takes matrices of as many rows as there are random effects, {effects:,} here, "
            f"at most {MOST:,}: use df='satterthwaite' or 'containment'."
        )
    shared = _products(optimum)
    start = [
        np.einsum("iab,ab->i", own, L @ L.T) / np.einsum("iab->i", own)
        for (own, _), L in zip(shared.units, optimum.state.L, strict=True)
    ]
    face = _Point(shared, np.concatenate([np.empty(0), *start]))
    point = _lowest(face)
    if point is None:
        raise FitError(
            "df='unbounded' is not defined here: with variances that may be negative the restricted "
            "likelihood has no optimum before the covariance matrix of the response stops being positive "
            "definite. Use df='satterthwaite' or 'containment'."
        )
    return _information(optimum, face, point)


def _information(optimum: Optimum, face: _Point, point: _Point) -> VarianceInformation:
    """Covariance matrix of the estimates at `face`, its derivatives and the Hessian at `point`.

    The parameters are the entries of T and the log of the scale of V.
    """
    shared, variance = point.shared, point.variance
    F = face.U @ face.Phi
    HX = face.H @ shared.inside[:, :-1]
    middle = face.Phi @ (shared.outside[:-1, :-1] + HX.T @ HX) @ face.Phi
    unit = optimum.prepared.scale**2 * variance
    core = unit * (middle + F.T @ shared.spread(point.t, F))
    slopes = [unit * F.T @ shared.spread(e, F) for e in shared.directions]
    edge = point.q / variance
    inner = point.hessian + np.outer(edge, edge) / shared.nu
    hessian = np.block([[inner, edge[:, None]], [edge[None, :], np.array([[float(shared.nu)]])]])
    vcov = Sandwich(optimum.prepared.basis, core)
    return VarianceInformation(np.ones(len(edge), bool), hessian, np.array([*slopes, core]), vcov)
