"""The engine against a criterion and an optimiser that are not its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference.cases import SMALL, fitted
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

import lmmkit
from lmmkit.engine.inference.information import optimum_at

SEEDS = 40


class DenseDeviance:
    """Minus twice the log density at the best beta and sigma, V being written out row by row."""

    def __init__(self, estimates):
        problem = estimates.problem
        self.estimates, self.n = estimates, estimates.nobs
        y = problem.response - (0 if problem.offset is None else problem.offset)
        self.W = np.column_stack([estimates.X, y])
        self.identity = np.diag(np.ones(self.n) if problem.weights is None else 1 / problem.weights)
        self.terms = [
            (np.stack([problem.columns[c] for c in term.columns], axis=1), term.codes[:, None] == term.codes)
            for term in problem.terms
        ]

    def V(self, factors):
        V = self.identity.copy()
        for (Z, same), L in zip(self.terms, factors, strict=True):
            rows = Z @ L
            V += rows @ rows.T * same
        return V

    def __call__(self, factors):
        half, reml = np.linalg.cholesky(self.V(factors)), self.estimates.reml
        whitened = solve_triangular(half, self.W, lower=True, check_finite=False)
        R = np.linalg.qr(whitened, mode="r")
        free, distance = self.n - reml * (len(R) - 1), R[-1, -1] ** 2
        curvature = reml * 2 * np.log(np.abs(np.diag(R)[:-1])).sum()
        return 2 * np.log(np.diag(half)).sum() + curvature + free * (1 + np.log(2 * np.pi * distance / free))

    def with_slopes(self, factors):
        """The same with its derivative in each factor: <dV, V^-1 (1 - [REML] hat) - Py (Py)' free / y'Py>."""
        inverse = np.linalg.inv(self.V(factors))
        X, y = self.W[:, :-1], self.W[:, -1]
        VX = inverse @ X
        XVX = X.T @ VX
        P = inverse - VX @ np.linalg.solve(XVX, VX.T)
        Py, free = P @ y, self.n - self.estimates.reml * X.shape[1]
        distance = y @ Py
        value = free * (1 + np.log(2 * np.pi * distance / free)) - np.linalg.slogdet(inverse)[1]
        value += self.estimates.reml * np.linalg.slogdet(XVX)[1]
        D = (P if self.estimates.reml else inverse) - np.outer(Py, Py) * free / distance
        pairs = zip(self.terms, factors, strict=True)
        return value, [2 * Z.T @ (D * same) @ Z @ L for (Z, same), L in pairs]


def factors_of(estimates, theta):
    """Lambda of each term from its free entries."""
    factors = [np.zeros_like(L) for L in estimates.factors]
    for value, (term, natural) in zip(theta, estimates.naturals, strict=True):
        factors[term][natural.row, natural.column] = value
    return tuple(factors)


@pytest.mark.parametrize(("name", "criterion"), SMALL)
def test_deviance_and_gradient_off_the_optimum_are_those_of_the_dense_criterion(name, criterion):
    estimates = fitted(name, criterion).estimates
    theta = np.abs(estimates.theta * 1.3) + 0.1
    optimum = optimum_at(estimates.problem, factors_of(estimates, theta), reml=estimates.reml)
    dense = DenseDeviance(estimates)
    here = dense(factors_of(estimates, theta))
    assert optimum.state.deviance == pytest.approx(here, abs=1e-8)
    for i, value in enumerate(optimum.state.theta):
        step = np.zeros_like(optimum.state.theta)
        step[i] = 1e-5 * max(1.0, abs(value))
        slopes = []
        for sign in (1, -1):
            L = optimum.layout.roots(optimum.state.theta + sign * step)
            slopes.append(dense(optimum.factors(L)))
        slope = (slopes[0] - slopes[1]) / (2 * step[i])
        assert optimum.state.gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-5)


def random_fit(seed):
    """A model with more random effects than the data were made with."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(60, 110))
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n) * 3 + 1})
    frame["g"], frame["h"] = rng.integers(0, 8, n), rng.integers(0, 5, n)
    frame["k"] = rng.integers(0, 2, n)
    size = rng.uniform(0, 2, 3) * rng.integers(0, 2, 3)
    frame["y"] = frame.x + size[0] * rng.normal(size=8)[frame.g] + rng.normal(size=n)
    frame["y"] += size[1] * rng.normal(size=8)[frame.g] * frame.x + size[2] * rng.normal(size=5)[frame.h]
    formula = [
        "y ~ x + (x | g) + (1 | h)",
        "y ~ x + z + (x + z | g)",
        "y ~ x + (x || h) + (z | g)",
        "y ~ z + (x | g/k)",
    ]
    return lmmkit.lmm(formula[seed % 4], frame, reml=seed % 3 > 0), rng


@pytest.mark.parametrize("seed", range(SEEDS))
def test_an_independent_search_ends_at_the_same_deviance(seed):
    fit, rng = random_fit(seed)
    e = fit.estimates
    dense = DenseDeviance(e)

    def value_and_slopes(theta):
        value, slopes = dense.with_slopes(factors_of(e, theta))
        return value, np.array([slopes[term][natural.row, natural.column] for term, natural in e.naturals])

    start = rng.normal(size=len(e.naturals))
    search = minimize(value_and_slopes, start, jac=True, method="BFGS", options={"gtol": 1e-4})
    assert e.deviance == pytest.approx(search.fun, abs=1e-6)
    assert fit.converged
    assert fit.certificate.passed
