"""Inference for repeated visits with n x n matrices, from V as a function of its natural parameters alone.

Nothing is shared with the engine: derivatives of V are differences, taken in other coordinates than the
engine's, and every formula is written out as its paper has it.
"""

from __future__ import annotations

import copy
import itertools

import numpy as np

STEP = 1e-3  # of a parameter; the differences are exact to its fourth power


def correlation(kind, k, values):
    """A (k, k) correlation matrix over equally spaced visits from its natural parameters."""
    C, lag = np.eye(k), np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    if kind == "un":
        lower = [(i, j) for j in range(k) for i in range(j + 1, k)]
        for (i, j), value in zip(lower, values, strict=True):
            C[i, j] = C[j, i] = value
    elif kind == "cs":
        C[lag > 0] = values[0]
    elif kind == "ar1":
        C = values[0] ** lag
    elif kind == "toep":
        C = np.array([1.0, *values])[lag]
    elif kind == "ad":
        for i, j in itertools.combinations(range(k), 2):
            C[i, j] = C[j, i] = np.prod(values[i:j])
    return C


def correlations(kind, k):
    """How many parameters a correlation has."""
    return {"identity": 0, "un": k * (k - 1) // 2, "cs": 1, "ar1": 1, "toep": k - 1, "ad": k - 1}[kind]


def covariance(kind, heterogeneous, k, values):
    """(k, k) from SDs (one, or one per visit), then correlations."""
    count = k if heterogeneous else 1
    sd = np.broadcast_to(values[:count], k)
    return correlation(kind, k, values[count:]) * np.outer(sd, sd)


def size_of(kind, heterogeneous, k):
    """Parameters of a covariance matrix."""
    return (k if heterogeneous else 1) + correlations(kind, k)


def visits(kind, heterogeneous, k, subjects, times, groups=None):
    """V as a function of SDs and correlations, group after group.

    Args:
        kind: Of the correlation.
        heterogeneous: Whether each visit has a variance.
        k: Visits.
        subjects, times: (n,) subject and visit of each row.
        groups: (n,) which covariance matrix a row has; by default one for all.
    """
    groups = np.zeros(len(subjects), int) if groups is None else groups
    together = (subjects[:, None] == subjects) & (groups[:, None] == groups)
    m = size_of(kind, heterogeneous, k)

    def V(phi):
        own = phi.reshape(-1, m)
        S = np.array([covariance(kind, heterogeneous, k, values) for values in own])
        return np.where(together, S[groups[:, None], times[:, None], times], 0.0)

    return V


def _first(V, phi, i):
    e = np.eye(len(phi))[i] * STEP * max(abs(phi[i]), 0.1)
    h = e[i]
    return (8 * (V(phi + e) - V(phi - e)) - (V(phi + 2 * e) - V(phi - 2 * e))) / (12 * h)


class DenseInference:
    """Of y = X beta + e, var(e) = V(phi), at given phi.

    Attributes:
        Phi, adjusted: Covariance matrix of the fixed effects, and Kenward and Roger's.
        expected, observed: Information on phi, of the deviance.
    """

    def __init__(self, X, y, V, phi, *, reml=True, observed=False):
        m, Vi = range(len(phi)), np.linalg.inv(V(phi))
        self.first = np.array([_first(V, phi, i) for i in m])
        self.Phi = Phi = np.linalg.inv(X.T @ Vi @ X)
        P = Vi - Vi @ X @ Phi @ X.T @ Vi
        W = P if reml else Vi
        self.P = [-X.T @ Vi @ a @ Vi @ X for a in self.first]
        left = [a @ Vi @ X for a in self.first]
        self.Q = [[a.T @ Vi @ b for b in left] for a in left]
        WV = W @ self.first
        self.expected = np.einsum("iab,jba->ij", WV, WV)  # tr(W V_i W V_j)
        e = P @ y
        self.gradient = np.einsum("iaa->i", WV) - self.first @ e @ e
        lower = [(i, j) for i in m for j in range(i + 1)]
        second = np.array([_second(V, phi, i, j) for i, j in lower])
        # -tr(W V_i W V_j) + 2 y'P V_i P V_j P y + tr(W V_ij) - y'P V_ij P y, symmetric
        pulled = self.first @ e
        whole = -self.expected + 2 * pulled @ P @ pulled.T
        curved = np.einsum("ab,iba->i", W, second) - second @ e @ e
        for (i, j), value in zip(lower, curved, strict=True):
            whole[i, j] += value
            whole[j, i] += value * (i != j)
        self.observed = whole
        self.beta = Phi @ X.T @ Vi @ y
        self._adjust(self.observed if observed else self.expected)

    def _adjust(self, information):
        m, Phi, W = range(len(self.P)), self.Phi, 2 * np.linalg.inv(information)
        total = sum(W[i, j] * (self.Q[i][j] - self.P[i] @ Phi @ self.P[j]) for i in m for j in m)
        self.W, self.adjusted = W, Phi + 2 * Phi @ total @ Phi

    def with_observed(self):
        """The same, adjusted by the observed information."""
        other = copy.copy(self)
        other._adjust(self.observed)
        return other

    def moments(self, L):
        """A1 and A2 of a hypothesis."""
        theta = L.T @ np.linalg.inv(L @ self.Phi @ L.T) @ L
        parts = [theta @ self.Phi @ P @ self.Phi for P in self.P]
        m = range(len(parts))
        one = sum(self.W[i, j] * np.trace(parts[i]) * np.trace(parts[j]) for i in m for j in m)
        return one, sum(self.W[i, j] * np.trace(parts[i] @ parts[j]) for i in m for j in m)

    def satterthwaite(self, c):
        """2 v^2 / g'Ag of one row, A twice the inverse of the observed information."""
        g = np.array([-c @ self.Phi @ P @ self.Phi @ c for P in self.P])
        return 2 * (c @ self.Phi @ c) ** 2 / (g @ (2 * np.linalg.inv(self.observed)) @ g)


def _second(V, phi, i, j):
    e = np.eye(len(phi))[j] * STEP * max(abs(phi[j]), 0.1)
    h = e[j]
    near = _first(V, phi + e, i) - _first(V, phi - e, i)
    far = _first(V, phi + 2 * e, i) - _first(V, phi - 2 * e, i)
    return (8 * near - far) / (12 * h)
