"""Kenward and Roger's method as their paper has it, with n x n matrices: the check of the low-rank form."""

from __future__ import annotations

import numpy as np


def covariance_parts(problem, factors):
    """V at sigma^2 = 1 and the matrices V_i it is linear in: the entries of each T, then the residual one."""
    n = len(problem.response)
    weights = np.ones(n) if problem.weights is None else problem.weights
    V, parts = np.diag(1 / weights), []
    for term, L in zip(problem.terms, factors, strict=True):
        Z = np.zeros((n, term.levels, len(term.columns)))
        for c, position in enumerate(term.columns):
            Z[np.arange(n), term.codes, c] = problem.columns[position]
        V = V + between(Z, L @ L.T)
        for a, b in zip(*np.nonzero(np.tril(term.structure.span.any(axis=0))), strict=True):
            unit = np.zeros_like(L)
            unit[a, b] = unit[b, a] = 1.0
            parts.append(between(Z, unit))
    return V, [*parts, np.diag(1 / weights)]


def between(Z, T):
    """Sum over levels of Z_j T Z_j', (n, n), of (n, J, k) Z."""
    return (Z @ T).reshape(len(Z), -1) @ Z.reshape(len(Z), -1).T


class DenseKenwardRoger:
    """Phi, Phi_A, W and P of a REML fit, sigma^2 included."""

    def __init__(self, problem, kept, factors, sigma):
        V, parts = covariance_parts(problem, factors)
        X = np.stack([problem.columns[problem.fixed[i]] for i in kept], axis=1)
        inverse = np.linalg.inv(sigma**2 * V)
        self.Phi = Phi = np.linalg.inv(X.T @ inverse @ X)
        self.P = [-X.T @ inverse @ part @ inverse @ X for part in parts]
        middle = [inverse @ part @ inverse for part in parts]
        Q = [[X.T @ a @ V_j @ inverse @ X for V_j in parts] for a in middle]
        K = np.array([[np.sum(a * V_j) for V_j in parts] for a in middle])
        m = range(len(parts))
        information = np.array(
            [
                [
                    K[i, j] - 2 * np.trace(Phi @ Q[i][j]) + np.trace(Phi @ self.P[i] @ Phi @ self.P[j])
                    for j in m
                ]
                for i in m
            ]
        )
        self.W = 2 * np.linalg.inv(information)
        total = sum(self.W[i, j] * (Q[i][j] - self.P[i] @ Phi @ self.P[j]) for i in m for j in m)
        self.adjusted = Phi + 2 * Phi @ total @ Phi

    def moments(self, L):
        """A1 and A2 of a hypothesis."""
        Phi = self.Phi
        theta = L.T @ np.linalg.inv(L @ Phi @ L.T) @ L
        parts = [theta @ Phi @ P @ Phi for P in self.P]
        m = range(len(parts))
        one = sum(self.W[i, j] * np.trace(parts[i]) * np.trace(parts[j]) for i in m for j in m)
        two = sum(self.W[i, j] * np.trace(parts[i] @ parts[j]) for i in m for j in m)
        return one, two


def textbook(rows, A1, A2):
    """m and lambda word for word from section 3 of the paper; 0/0 where it is."""
    B = (A1 + 6 * A2) / (2 * rows)
    g = ((rows + 1) * A1 - (rows + 4) * A2) / ((rows + 2) * A2)
    bottom = 3 * rows + 2 * (1 - g)
    c1, c2, c3 = g / bottom, (rows - g) / bottom, (rows + 2 - g) / bottom
    E = 1 / (1 - A2 / rows)
    V = 2 / rows * (1 + c1 * B) / ((1 - c2 * B) ** 2 * (1 - c3 * B))
    rho = V / (2 * E**2)
    m = 4 + (rows + 2) / (rows * rho - 1)
    return m, m / (E * (m - 2))
