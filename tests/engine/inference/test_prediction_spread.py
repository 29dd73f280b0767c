"""What not knowing theta adds to predictions, against differences of dense algebra."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from support.designs import FORMULAS, fitted, frame

import lmmkit
from lmmkit.engine.inference.prediction_spread import PredictionSpread


def of_rows(e):
    problem = e.problem
    Z = tuple(np.column_stack([problem.columns[c] for c in term.columns]) for term in problem.terms)
    return e.X, Z, tuple(term.codes for term in problem.terms)


class Dense:
    """Predictors as linear functions of y, every matrix in full; T holds all random effects."""

    def __init__(self, e, rows=None):
        X, Z, codes = of_rows(e)
        weights = e.problem.weights
        root = np.ones(e.nobs) if weights is None else np.sqrt(weights)
        blocks, self.directions, sizes = [], [], []
        for z, code, L, term in zip(Z, codes, e.factors, e.problem.terms, strict=True):
            k = z.shape[1]
            F = np.zeros((len(z), term.levels * k))
            for a in range(k):
                F[np.arange(len(z)), code * k + a] = z[:, a]
            blocks.append(F)
            sizes.append((term.levels, L, term.structure.span))
        self.Zr, self.Xr = np.hstack(blocks), X
        self.Z, self.X = self.Zr * root[:, None], X * root[:, None]
        q, start = self.Z.shape[1], 0
        self.T = np.zeros((q, q))
        for levels, L, span in sizes:
            cut = slice(start, start := start + levels * len(L))
            self.T[cut, cut] = np.kron(np.eye(levels), L @ L.T)
            for S in span:
                D = np.zeros((q, q))
                D[cut, cut] = np.kron(np.eye(levels), S)
                self.directions.append(D)

    def parts(self, T):
        """V, P, the predictors' coefficients and their error variances."""
        V = np.eye(len(self.Z)) + self.Z @ T @ self.Z.T
        Vi = np.linalg.inv(V)
        Phi = np.linalg.inv(self.X.T @ Vi @ self.X)
        P = Vi - Vi @ self.X @ Phi @ self.X.T @ Vi
        A = self.Zr @ T @ self.Z.T @ P + self.Xr @ Phi @ self.X.T @ Vi
        D = self.Zr - A @ self.Z
        return V, P, A, ((D @ T) * D).sum(axis=1) + (A * A).sum(axis=1)

    def widening(self, W, h=1e-5):
        """Gradient and second-order term by differences, from the covariance matrix of the entries of T."""
        V = self.parts(self.T)[0]
        ends = [(self.parts(self.T + h * D), self.parts(self.T - h * D)) for D in self.directions]
        slopes = [(up[2] - down[2]) / (2 * h) for up, down in ends]
        gradient = np.array([(up[3] - down[3]) / (2 * h) for up, down in ends]).T
        second = sum(
            W[i, j] * (one * two).sum(axis=1)
            for i, one in enumerate(slope @ V for slope in slopes)
            for j, two in enumerate(slopes)
        )
        return gradient, second


def information_of(dense, e):
    """Expected information on the entries of T and the scale of V, of traces."""
    P = dense.parts(dense.T)[1]
    halves = [P @ dense.Z @ D @ dense.Z.T for D in dense.directions]
    inner = np.array([[(a * b.T).sum() for b in halves] for a in halves])
    edge = np.array([np.trace(a) for a in halves])
    nu = float(e.optimum.criterion.nu)
    return np.block([[inner, edge[:, None]], [edge[None], np.array([[nu]])]])


def check(fit):
    e = fit.estimates
    spread = PredictionSpread(e.expected)
    gradient, second = spread.of_known(*of_rows(e))
    dense = Dense(e)
    v = dense.parts(dense.T)[3]
    W = 2 * np.linalg.inv(information_of(dense, e))
    slopes, expected = dense.widening(W[:-1, :-1])
    np.testing.assert_allclose(second, expected, rtol=2e-6)
    full = np.column_stack([slopes, v])
    gradient[:, -1] = v
    ours = e.expected.spread.variances(gradient)  # in entries of T in other units: only this can be compared
    np.testing.assert_allclose(ours, np.einsum("rm,mn,rn->r", full, W, full), rtol=2e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", FORMULAS)
def test_gradient_and_second_order_term_are_those_of_dense_algebra(name, weighted):
    check(fitted(name, weighted=weighted))


def test_levels_that_no_row_connects():
    """Two islands of crossed levels: each is a component, and a row may ask for a level of either."""
    table = frame().assign(island=lambda d: (d.g >= 6).astype(int))
    table = table.assign(h=table.h + 10 * table.island)
    fit = lmmkit.lmm("y ~ x + (1 | g) + (1 | h)", table)
    check(fit)
    e = fit.estimates
    X, Z, codes = of_rows(e)
    spread, dense = PredictionSpread(e.expected), Dense(e)
    far = np.flatnonzero(table.island.to_numpy() == 1)[0]
    mixed = tuple(np.array([code[0] if t else code[far]]) for t, code in enumerate(codes))
    gradient, second = spread.of_known(X[:1], tuple(z[:1] for z in Z), mixed)
    dense.Zr, dense.Xr = dense.Zr[:1].copy(), X[:1]
    starts = np.cumsum([0, *(term.levels for term in e.problem.terms)])
    dense.Zr[:] = 0.0
    for start, code in zip(starts, mixed, strict=False):
        dense.Zr[0, start + code[0]] = 1.0
    units = [base[0, 0] for base in e.optimum.prepared.term_bases]
    slopes, expected = dense.widening(e.expected.spread.covariance[:-1, :-1])
    assert units == pytest.approx([units[0]] * 2)
    assert second == pytest.approx(expected * units[0] ** 4, rel=1e-5)
    np.testing.assert_allclose(gradient[:, :-1], slopes * units[0] ** 2, rtol=1e-5)


def test_without_random_effects_it_is_kenward_and_rogers():
    """z = 0: the adjusted covariance matrix is Phi + 2 g."""
    m = fitted("crossed", weighted=True)
    e = m.estimates
    X, Z, codes = of_rows(e)
    second = PredictionSpread(e.expected).of_known(X, tuple(0 * z for z in Z), codes).second
    kr = e.kenward_roger
    expected = (kr.adjusted.variances(X) - kr.unadjusted.variances(X)) / e.sigma**2
    np.testing.assert_allclose(2 * second, expected, rtol=1e-8)
    assert isinstance(m.predict(), pd.DataFrame)


@pytest.mark.parametrize("name", ["slopes", "crossed"])
def test_functions_of_several_levels_are_those_of_dense_algebra(name):
    """One of a single row, one of the difference of two rows, and one that has no level at all."""
    e = fitted(name, weighted=True).estimates
    X, Z, codes = of_rows(e)
    spread, dense = PredictionSpread(e.expected), Dense(e)
    rows, sign = [3, 10, 50], np.array([1.0, 1.0, -1.0])
    parts = tuple(z[rows] * sign[:, None] for z in Z)
    x = np.array([X[3], X[10] - X[50], X[7]])
    found = spread.of_functions(x, parts, tuple(c[rows] for c in codes), np.array([0, 1, 1]))
    dense.Xr = x[:2]
    dense.Zr = np.array([dense.Zr[3], dense.Zr[10] - dense.Zr[50]])
    W = 2.0 * np.linalg.inv(information_of(dense, e))
    slopes, second = dense.widening(W[:-1, :-1])
    np.testing.assert_allclose(found.second, [*second, 0.0], rtol=2e-6)
    full = np.column_stack([slopes, dense.parts(dense.T)[3]])
    found.gradient[:2, -1] = full[:, -1]
    ours = e.expected.spread.variances(found.gradient)
    np.testing.assert_allclose(ours[:2], np.einsum("rm,mn,rn->r", full, W, full), rtol=2e-6)
    assert not found.gradient[2].any()


def test_gradients_of_fixed_effects_and_of_new_levels():
    e = fitted("crossed", weighted=True).estimates
    X, Z, codes = of_rows(e)
    spread = PredictionSpread(e.expected)
    fixed, known = spread.of_fixed(X), spread.of_known(X, tuple(0 * z for z in Z), codes)
    np.testing.assert_allclose(fixed[:, :-1], known.gradient[:, :-1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fixed[:, -1], np.einsum("rp,pq,rq->r", X, e.vcov, X) / e.sigma**2, rtol=1e-9)
    new = spread.of_new(Z)
    each = [np.einsum("rk,kl->rl", z, L) for z, L in zip(Z, e.factors, strict=True)]
    np.testing.assert_allclose(new[:, -1], sum((own**2).sum(axis=1) for own in each), rtol=1e-9)
    entries = [  # z'Tz is linear in the entries of T
        np.linalg.lstsq(own.reshape(len(own), -1).T, (L @ L.T).ravel())[0]
        for own, L in zip(e.expected.directions.own, e.optimum.state.L, strict=True)
    ]
    np.testing.assert_allclose(new[:, :-1] @ np.concatenate(entries), new[:, -1], rtol=1e-9)


@pytest.mark.parametrize(
    ("variances", "near"),
    [([0.24, 0.24], False), ([0.25, 0.24], True), ([0.24, 0.25], True), ([np.nan, 0.24], False)],
)
def test_a_variance_within_two_standard_errors_of_zero_is_near_it(variances, near):
    uncertain = SimpleNamespace(
        covariance=np.eye(3), variances=lambda g: np.where(g[:, 0] > 0, *variances) * (g.sum() == 1.0)
    )
    found = SimpleNamespace(
        spread=uncertain,
        directions=SimpleNamespace(own=[np.ones((1, 1, 1))] * 2, cuts=[slice(0, 1), slice(1, 2)]),
        optimum=SimpleNamespace(state=SimpleNamespace(L=[np.ones((1, 1))] * 2)),
    )
    assert PredictionSpread(found).near_zero == near


def test_products_are_those_of_the_largest_component():
    """By levels alone, of the columns of a level; crossed, of all effects and 4 entries of T."""
    one, both = (PredictionSpread(fitted(name).estimates.expected) for name in ("slopes", "crossed"))
    assert one.products(5) == 5 * 2**2 * 3
    assert both.products(5) == 5 * (2 * 12 + 7) ** 2 * 4
