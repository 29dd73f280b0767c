"""The referee: a mixed model by Henderson's equations and by the marginal distribution of y, dense and plain.

    y = X β + Z u + e,    var u = G,    var e = R,    var y = V = Z G Z' + R

Henderson's mixed model equations (Henderson 1984, Applications of Linear Models in Animal Breeding,
chapter 5):

    [ X'R⁻¹X   X'R⁻¹Z       ] [ β ]   [ X'R⁻¹y ]
    [ Z'R⁻¹X   Z'R⁻¹Z + G⁻¹ ] [ u ] = [ Z'R⁻¹y ]

and the same solution from the marginal distribution, by generalised least squares (GLS):

    β = (X'V⁻¹X)⁻¹ X'V⁻¹y,    u = G Z'V⁻¹ (y - X β)

G and R are any covariance matrices; G may be singular. Nothing here is shared with the code that fits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular

Floats = NDArray[np.float64]

LOG_2PI = float(np.log(2.0 * np.pi))
NULL = 1e-14  # share of the largest eigenvalue below which a direction of G, as correlations, has no variance


@dataclass(frozen=True, eq=False)
class MixedModel:
    """A mixed model with known covariance matrices.

    Attributes:
        y: (n,) response.
        X: (n, p) of full column rank.
        Z: (n, q).
        G: (q, q) covariance matrix of the random effects.
        R: (n, n) covariance matrix of the residuals, positive definite.
    """

    y: Floats
    X: Floats
    Z: Floats
    G: Floats
    R: Floats


@dataclass(frozen=True, eq=False)
class Effects:
    """Estimated fixed effects (BLUE) and predicted random effects (BLUP).

    Attributes:
        beta: (p,) best linear unbiased estimates.
        u: (q,) best linear unbiased predictions.
    """

    beta: Floats
    u: Floats


@dataclass(frozen=True, eq=False)
class PredictionErrors:
    """How far the estimates may be from what they stand for.

    Attributes:
        beta: (p, p) var(β̂).
        cross: (p, q) cov(β̂, û - u).
        u: (q, q) var(û - u), the prediction error variances on its diagonal.
    """

    beta: Floats
    cross: Floats
    u: Floats


def coefficient_matrix(model: MixedModel) -> Floats:
    """The left side of Henderson's equations, (p + q, p + q); G must be invertible."""
    X, Z = model.X, model.Z
    RX, RZ = _solve(model.R, X), _solve(model.R, Z)
    return np.block([[X.T @ RX, X.T @ RZ], [Z.T @ RX, Z.T @ RZ + _solve(model.G, np.eye(len(model.G)))]])


def right_hand_side(model: MixedModel) -> Floats:
    """The right side of Henderson's equations, (p + q,)."""
    Ry = _solve(model.R, model.y)
    return np.concatenate([model.X.T @ Ry, model.Z.T @ Ry])


def henderson(model: MixedModel) -> Effects:
    """BLUE and BLUP by Henderson's equations, solved a second time for the residuals' sake."""
    spherical, S = to_spherical(model)
    C = cho_factor(coefficient_matrix(spherical))
    p = model.X.shape[1]
    x = np.zeros(p + S.shape[1])
    for _ in range(2):
        x += cho_solve(C, henderson_residual(spherical, x[:p], x[p:]))
    return Effects(x[:p], S @ x[p:])


def henderson_residual(model: MixedModel, beta: Floats, u: Floats) -> Floats:
    """Right side minus left side of Henderson's equations, (p + q,): zero at the solution."""
    e = model.y - model.X @ beta - model.Z @ u
    rhs = right_hand_side(replace(model, y=e))
    return rhs - np.concatenate([np.zeros(len(beta)), _solve(model.G, u)])


def prediction_errors(model: MixedModel) -> PredictionErrors:
    """The inverse of Henderson's coefficient matrix: var(β̂), cov(β̂, û - u) and var(û - u)."""
    spherical, S = to_spherical(model)
    C = coefficient_matrix(spherical)
    inverse, p = _solve(C, np.eye(len(C))), model.X.shape[1]
    return PredictionErrors(inverse[:p, :p], inverse[:p, p:] @ S.T, S @ inverse[p:, p:] @ S.T)


def to_spherical(model: MixedModel) -> tuple[MixedModel, Floats]:
    """The same model in v of u = S v, var v = I, G = S S': as good when G is singular; and S."""
    sd = np.sqrt(np.diag(model.G))
    units = np.where(sd > 0, sd, 1.0)
    values, vectors = np.linalg.eigh(model.G / np.outer(units, units))
    held = values > NULL * values.max(initial=0.0)
    S = units[:, None] * vectors[:, held] * np.sqrt(values[held])
    return replace(model, Z=model.Z @ S, G=np.eye(S.shape[1])), S


def marginal_covariance(model: MixedModel) -> Floats:
    """V = Z G Z' + R, (n, n)."""
    return model.Z @ model.G @ model.Z.T + model.R


def gls(model: MixedModel) -> Effects:
    """BLUE and BLUP through V, without Henderson's equations."""
    whitened = _whiten(model)
    r = model.y - model.X @ whitened.beta
    return Effects(whitened.beta, model.G @ model.Z.T @ _solve(marginal_covariance(model), r))


def log_likelihood(model: MixedModel) -> float:
    """Log density of y at the GLS estimate of β.

    -1/2 [n log 2π + log|V| + (y - X β)'V⁻¹(y - X β)]
    """
    w = _whiten(model)
    return -0.5 * (len(model.y) * LOG_2PI + w.log_det + float(w.residual @ w.residual))


def restricted_log_likelihood(model: MixedModel) -> float:
    """Log density of n - p contrasts of y that are free of β (Patterson & Thompson 1971), lme4's constant.

    -1/2 [(n - p) log 2π + log|V| + log|X'V⁻¹X| + (y - X β)'V⁻¹(y - X β)]
    """
    w = _whiten(model)
    free = len(model.y) - len(w.beta)
    return -0.5 * (free * LOG_2PI + w.log_det + w.log_det_fixed + float(w.residual @ w.residual))


@dataclass(frozen=True, eq=False)
class _Whitened:
    """The model multiplied by L⁻¹, V = L L', so that the rows of y are independent with variance 1.

    Attributes:
        beta: (p,) ordinary least squares estimate.
        residual: (n,) L⁻¹(y - X β).
        log_det: log|V|.
        log_det_fixed: log|X'V⁻¹X|.
    """

    beta: Floats
    residual: Floats
    log_det: float
    log_det_fixed: float


def _whiten(model: MixedModel) -> _Whitened:
    """Ordinary least squares of L⁻¹y on L⁻¹X, by QR, with one correction from the residuals."""
    L = cholesky(marginal_covariance(model), lower=True)
    Q, T = np.linalg.qr(solve_triangular(L, model.X, lower=True))
    beta = np.zeros(model.X.shape[1])
    for _ in range(2):
        beta += solve_triangular(T, Q.T @ solve_triangular(L, model.y - model.X @ beta, lower=True))
    residual = solve_triangular(L, model.y - model.X @ beta, lower=True)
    return _Whitened(beta, residual, _logdet(L), _logdet(T))


def _logdet(triangle: Floats) -> float:
    """log|A| of A = T T' or T'T."""
    return 2.0 * float(np.log(np.abs(np.diag(triangle))).sum())


def _solve(A: Floats, B: Floats) -> Floats:
    """A⁻¹B for a positive definite A."""
    return cho_solve(cho_factor(A), B)
