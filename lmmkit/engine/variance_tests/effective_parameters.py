"""Effective degrees of freedom of a fit: the trace of d fitted / d y, with the variances estimated.

With P of the criterion, g_i = P V_i P y, q_i = y'P V_i P y, r2 = y'P y and H the exact Hessian of the
profiled deviance in the free coordinates of theta,

    (1)  fitted = y - P y,     tr(d fitted / d y) = n - tr P - sum_i (dP / dtheta_i y)'(dtheta_i / dy)
    (2)  n - tr P = p + sum_f tr(T_f Z_f'P Z_f)
    (3)  dtheta / dy = -H^-1 M,   M_i = (2 nu / r2) (q_i P y / r2 - g_i)

so that (1) adds (2 nu / r2) sum_ik (H^-1)_ik (g_i'g_k - q_k g_i'P y / r2) to (2). Products of two P, as in
g_i'g_k = w_i'P P w_k with the working columns w, are derivatives: with V + lambda I in the place of V,
dP / dlambda = -P P, and P of (1 + lambda) I + V is that of V / (1 + lambda), over 1 + lambda.

Reference: Greven & Kneib (2010), On the behaviour of marginal and conditional AIC in linear mixed models,
Biometrika 97, 773-789; Saefken, Kneib, van Waveren & Greven (2014), Electronic Journal of Statistics 8.
"""

from __future__ import annotations

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.criterion.criterion import INDEPENDENT
from lmmkit.engine.criterion.elimination import eliminate
from lmmkit.engine.criterion.hessian import observed_hessian, pushed
from lmmkit.engine.inference.information import ExpectedInformation, exact_hessian, theta_directions
from lmmkit.engine.linalg import levelwise
from lmmkit.engine.optimum import Optimum

STEP = 1e-3  # of lambda; the differences are exact to its fourth power
FLAT = 1e-10  # of the largest, below which an eigenvalue of the scaled Hessian is that of a flat direction


def effective_parameters(optimum: Optimum, share: float = 1.0) -> float:
    """Tr(d fitted / d y): between p and the number of fixed and random effects, or a little more.

    Args:
        optimum: A fit whose residuals are independent.
        share: Of q_i P y / r2 in M_i that is taken: 1, or what another program takes.
    """
    state, nu = optimum.state, optimum.criterion.nu
    held = len(state.beta) + _random_trace(optimum)
    if not len(state.theta):
        return held
    free = optimum.layout.free(state.theta)
    if not free.any():
        return held
    H = _hessian(optimum)[np.ix_(free, free)]
    GG, GP = _squares(optimum)
    moved = GG[np.ix_(free, free)] - share * np.outer(GP[free], state.information.q[free]) / state.r2
    size = np.sqrt(np.abs(H.diagonal()))
    size[size == 0.0] = 1.0
    inverse = levelwise.least_solved(H / np.outer(size, size), np.eye(len(H)), FLAT)
    return held + 2.0 * nu / state.r2 * float(np.sum(inverse / np.outer(size, size) * moved))


def _hessian(optimum: Optimum) -> Floats:
    """(m, m) exact Hessian of the profiled deviance; by differences where rows have members or relatives."""
    if all(factor.plain for factor in optimum.layout.factors):
        return exact_hessian(ExpectedInformation(optimum, theta_directions(optimum)))[0]
    return observed_hessian(optimum.criterion.evaluate, optimum.state.theta)


def _random_trace(optimum: Optimum) -> float:
    """Sum over factors of tr(T_f Z_f'P Z_f)."""
    state, layout, total = optimum.state, optimum.layout, 0.0
    Phi = levelwise.solved(state.XVX, np.eye(len(state.beta)))
    for f, (factor, L) in enumerate(zip(layout.factors, state.L, strict=True)):
        U = state.reverse.of(layout, f)
        c = np.einsum("kqj,q->kj", U, state.a)
        S = state.D[f] + state.precision * factor.related(c) @ c.T
        if not optimum.criterion.reml:
            X = U[:, :-1]
            S = S - np.einsum("apj,pq,bqj->ab", factor.related(X), Phi, X)
        total += float(np.sum(L @ L.T * S))
    return total


def _squares(optimum: Optimum) -> tuple[Floats, Floats]:
    """(m, m) w_i'P P w_k and (m,) w_i'P P y."""
    weights = {-2: 1.0 / 12.0, -1: -8.0 / 12.0, 1: 8.0 / 12.0, 2: -1.0 / 12.0}
    parts = [(w, *_products(optimum, STEP * step)) for step, w in weights.items()]
    slope = [sum(part[0] * part[i] for part in parts) / STEP for i in (1, 2)]
    return -np.asarray(slope[0]), -np.asarray(slope[1])


def _products(optimum: Optimum, added: float) -> tuple[Floats, Floats]:
    """W'P w and w'P y, of the working columns at the optimum, with V + added I in the place of V."""
    state, layout = optimum.state, optimum.layout
    moments, _ = optimum.criterion.source.moments(INDEPENDENT)
    forward = eliminate(moments, layout, [L / np.sqrt(1.0 + added) for L in state.L])
    directions = [s.jacobian(x) for s, x in layout.parameters(state.theta)]
    push = pushed(forward, layout, state.reverse, state.a, directions)
    Phi = levelwise.solved(forward.F[:-1, :-1], np.eye(len(state.beta)))
    eX = push.e_fixed[:, :-1]
    own = push.s - eX @ Phi @ eX.T
    left = push.e_fixed @ state.a - eX @ Phi @ (forward.F @ state.a)[:-1]
    return own / (1.0 + added), left / (1.0 + added)
