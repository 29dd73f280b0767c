"""The referee for larger problems: Henderson's equations with a sparse Z, factorised by SuperLU.

With u = S v, G = S S' and var v = I the equations hold for a singular G too:

    [ X'R⁻¹X     X'R⁻¹Z S       ] [ β ]   [ X'R⁻¹y   ]
    [ S'Z'R⁻¹X   S'Z'R⁻¹Z S + I ] [ v ] = [ S'Z'R⁻¹y ]

Their rows are whitened: B R B' = I, with B = R^(-1/2) where the residuals are independent. Their determinant
gives the likelihoods: |C| = |X'V⁻¹X| |S'Z'R⁻¹Z S + I|, |V| = |R| |S'Z'R⁻¹Z S + I|.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular
from scipy.sparse.linalg import SuperLU, splu

from lmmkit.engine.arrays import Floats
from lmmkit.engine.referee.henderson import LOG_2PI, Effects
from lmmkit.engine.referee.textbook import SparseModel


@dataclass(frozen=True, eq=False)
class SparseReferee:
    """Solutions and likelihoods of one model with known covariance matrices."""

    model: SparseModel

    @cached_property
    def basis(self) -> tuple[Floats, Floats]:
        """Q and T of B X = Q T: with Q in place of X no digit is lost to the units of the columns."""
        return np.linalg.qr(self.model.B @ self.model.X)

    @cached_property
    def A(self) -> sparse.csr_array:
        """B Z S, (n, q)."""
        return sparse.csr_array(self.model.B @ self.model.Z @ self.model.S)

    @cached_property
    def random_part(self) -> sparse.csc_array:
        """S'Z'R⁻¹Z S + I, (q, q)."""
        A = self.A
        return sparse.csc_array(A.T @ A + sparse.eye_array(A.shape[1]))

    @cached_property
    def coefficient_matrix(self) -> sparse.csc_array:
        """The left side of the equations in (v, T β), (q + p, q + p): the fixed effects last."""
        AQ = sparse.csc_array(self.A.T @ self.basis[0])
        unit = sparse.eye_array(self.model.X.shape[1])
        return sparse.csc_array(sparse.block_array([[self.random_part, AQ], [AQ.T, unit]]))

    @cached_property
    def factorised(self) -> SuperLU:
        """The coefficient matrix, factorised."""
        return _lu(self.coefficient_matrix)

    @cached_property
    def _solution(self) -> tuple[Floats, Floats]:
        """v, and the fixed effects in the basis Q; solved a second time from the residual."""
        Q = self.basis[0]
        y, q = self.model.B @ self.model.y, self.A.shape[1]
        x = np.zeros(q + Q.shape[1])
        for _ in range(2):
            e = y - self.A @ x[:q] - Q @ x[q:]
            x += self.factorised.solve(np.concatenate([self.A.T @ e - x[:q], Q.T @ e]))
        return x[:q], x[q:]

    def effects(self) -> Effects:
        """BLUE and BLUP."""
        v, gamma = self._solution
        return Effects(solve_triangular(self.basis[1], gamma), self.model.S @ v)

    def covariance_of_beta(self) -> Floats:
        """var(β̂) = (X'V⁻¹X)⁻¹, (p, p): the corner of the inverse of the coefficient matrix."""
        q, T = self.A.shape[1], self.basis[1]
        unit = np.vstack([np.zeros((q, len(T))), np.eye(len(T))])
        half = solve_triangular(T, self.factorised.solve(unit)[q:])
        return solve_triangular(T, half.T)

    def log_likelihood(self) -> float:
        """Log density of y at the GLS estimate of β."""
        return -0.5 * (len(self.model.y) * LOG_2PI + self._logdet_V() + self._distance())

    def restricted_log_likelihood(self) -> float:
        """Log density of n - p contrasts of y that are free of β, with lme4's constant."""
        free = len(self.model.y) - self.model.X.shape[1]
        return -0.5 * (free * LOG_2PI + self._logdet_V() + self._logdet_XVX() + self._distance())

    @cached_property
    def _logdet_random(self) -> float:
        return _logdet(_lu(self.random_part)) if self.A.shape[1] else 0.0

    def _logdet_V(self) -> float:
        return self._logdet_random - 2.0 * float(np.log(np.abs(self.model.B.diagonal())).sum())

    def _logdet_XVX(self) -> float:
        basis = 2.0 * float(np.log(np.abs(np.diag(self.basis[1]))).sum())
        return _logdet(self.factorised) - self._logdet_random + basis

    def _distance(self) -> float:
        """(y - X β)'V⁻¹(y - X β) = e'R⁻¹e + v'v."""
        v, gamma = self._solution
        e = self.model.B @ self.model.y - self.A @ v - self.basis[0] @ gamma
        return float(e @ e + v @ v)


def _lu(matrix: sparse.csc_array) -> SuperLU:
    """SuperLU of a symmetric positive definite matrix, pivots on the diagonal."""
    return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def _logdet(factorised: SuperLU) -> float:
    return float(np.log(np.abs(factorised.U.diagonal())).sum())
