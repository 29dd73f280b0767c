"""Each kernel of the criterion against dense algebra of its own: a broken one fails here, by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine.criterion.test_layouts import LAYOUTS, PLAIN, ROWS, Case, relation_of
from support.patterns import deviance

from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.criterion.criterion import NOTHING, Held
from lmmkit.engine.criterion.elimination import eliminate
from lmmkit.engine.criterion.gradient import ReverseSweep
from lmmkit.engine.criterion.hessian import average_information, observed_hessian
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError

SOME = ["single", "diagonal", "crossed slopes", "chain and rest"]


def parts(case):
    """L, W = [X y], and V^-1."""
    W = case.prepared.rows[[*case.prepared.fixed, case.prepared.response]].T
    return case.layout.roots(case.theta), W, np.linalg.inv(case.V(case.theta))


def forward_of(case, theta):
    return eliminate(case.criterion.source.moments(np.empty(0))[0], case.layout, case.layout.roots(theta))


@pytest.mark.parametrize("name", LAYOUTS)
def test_elimination_leaves_log_v_and_the_weighted_cross_products(name):
    case = Case(name)
    _, W, inverse = parts(case)
    forward = forward_of(case, case.theta)
    assert forward.logdet == pytest.approx(np.linalg.slogdet(case.V(case.theta))[1], abs=1e-10)
    np.testing.assert_allclose(forward.F, W.T @ inverse @ W, atol=1e-9)


@pytest.mark.parametrize("name", LAYOUTS)
def test_elimination_changes_no_block_that_it_was_given(name):
    case = Case(name)
    first = forward_of(case, case.theta).F
    forward_of(case, 2.0 * case.theta)
    np.testing.assert_array_equal(forward_of(case, case.theta).F, first)


@pytest.mark.parametrize("name", LAYOUTS)
def test_elimination_takes_a_singular_and_a_vanishing_t(name):
    case = Case(name)
    case.theta = case.theta * 0.0
    _, W, _ = parts(case)
    forward = forward_of(case, case.theta)
    # With relatives log|K| is a sum of logarithms that cancels to rounding.
    assert abs(forward.logdet) <= (0.0 if name in PLAIN else 1e-12)
    np.testing.assert_allclose(forward.F, W.T @ W, atol=1e-10)


def test_a_level_of_an_outer_factor_may_hold_no_slope_of_its_own():
    rng, inner = np.random.default_rng(4), np.arange(ROWS) % 30
    outer, x = inner // 5, rng.normal(size=ROWS)
    x[outer == 0] = 1.5  # the pivot of its slope is rounding
    y = x + rng.normal(size=30)[inner] + rng.normal(size=6)[outer] * x + rng.normal(size=ROWS)
    terms = (Term(0, inner, 30, (0,), Unstructured(1)), Term(1, outer, 6, (0, 1), Unstructured(2)))
    given = Problem((np.ones(ROWS), x), (0, 1), y, terms)
    setup = set_up(given, reml=True)
    assert len(setup.layout.chain) == 2
    at = setup.criterion.evaluate(np.array([0.7, 0.9, 0.3, 0.5]))
    factors = setup.layout.in_data_units(setup.prepared.term_bases, at.L)
    assert at.deviance == pytest.approx(deviance(given, [L @ L.T for L in factors], True), abs=1e-9)
    assert np.isfinite(at.gradient).all()


def test_crossed_effects_whose_equations_are_not_positive_definite_are_refused():
    case = Case("crossed slopes")
    moments, _ = case.criterion.source.moments(np.empty(0))
    broken = replace(moments, rest=-100.0 * moments.rest)
    with pytest.raises(FitError, match=r"too nearly collinear\. Centre or drop one of them"):
        eliminate(broken, case.layout, case.layout.roots(case.theta))


def test_a_variance_ratio_of_1e10_costs_no_digit():
    """F is then what is left within groups, to 1e-10: the difference (4) would have lost ten digits of it."""
    case = Case("single intercept")
    _, W, _ = parts(case)
    Z = case.Z(case.layout.factors[0])
    within = W - Z @ np.linalg.lstsq(Z, W)[0]
    forward = forward_of(case, np.array([1e8]))
    np.testing.assert_allclose(forward.F, within.T @ within, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PLAIN)
def test_reverse_sweep_is_the_derivative_of_log_v_and_of_any_function_of_f(name):
    case = Case(name)
    A = np.random.default_rng(5).normal(size=(3, 3))
    K = A @ A.T
    L, W, inverse = parts(case)
    reverse = ReverseSweep(forward_of(case, case.theta), case.layout, K).run()
    for factor, D in zip(case.layout.factors, reverse.D, strict=True):
        U = (case.Z(factor).T @ inverse @ W).reshape(factor.levels, factor.width, 3)
        S = case.Z(factor).T @ inverse @ case.Z(factor)
        blocks = S.reshape(factor.levels, factor.width, factor.levels, factor.width)
        expected = np.einsum("jajb->ab", blocks) - np.einsum("jap,pq,jbq->ab", U, K, U)
        np.testing.assert_allclose(D, expected, atol=1e-9 * np.abs(expected).max())
    a = np.array([0.3, -0.2, 1.0])
    for f, factor in enumerate(case.layout.factors):
        expected = case.Z(factor).T @ inverse @ W @ a
        np.testing.assert_allclose(reverse.scores(case.layout, f, a).T.ravel(), expected, atol=1e-9)
    assert len(L) == len(reverse.D)


@pytest.mark.parametrize("kind", ["none", "one direction less"])
@pytest.mark.parametrize("name", ["crossed slopes", "chain and rest", "pedigree with slopes"])
def test_reverse_sweep_at_a_singular_t(name, kind):
    """D is what a zero variance is judged by: no division by L may lose it."""
    case = Case(name)
    L = [np.zeros_like(root) for root in case.layout.roots(case.theta)]
    if kind == "one direction less":
        for root in L:
            root[:, 0] = [0.8, -0.3][: len(root)]
    case.theta = case.layout.coordinates(L)
    A = np.random.default_rng(5).normal(size=(3, 3))
    K = A @ A.T
    _, W, inverse = parts(case)
    reverse = ReverseSweep(forward_of(case, case.theta), case.layout, K).run()
    for factor, D in zip(case.layout.factors, reverse.D, strict=True):
        related, k = case.K(factor), factor.width
        U = (case.Z(factor).T @ inverse @ W).reshape(-1, k, 3)
        blocks = (case.Z(factor).T @ inverse @ case.Z(factor)).reshape(len(U), k, len(U), k)
        expected = np.einsum("jl,jalb->ab", related, blocks)
        expected -= np.einsum("jl,jap,pq,lbq->ab", related, U, K, U)
        digits = 1e-6 if "pedigree" in name else 1e-9  # taken beside T, where it is singular
        np.testing.assert_allclose(D, expected, atol=digits * np.abs(expected).max())


def test_squares_of_rows_by_the_sparse_inverse_are_known_where_the_pattern_has_them():
    case = Case("pedigree and litters")
    rest = forward_of(case, case.theta).rest
    animals, litters = case.layout.factors
    levels = [animals.codes[:20], litters.codes[:20]]
    values = [np.linspace(0.5, 2.0, 20)[:, None], np.linspace(-1.0, 1.0, 20)[:, None]]
    found, known = rest.squared(levels, values)
    assert known.all()  # rows of the data
    Z = np.concatenate([case.Z(animals), case.Z(litters)], axis=1)
    G = np.zeros((Z.shape[1],) * 2)
    J, (L, M) = len(case.K(animals)), case.layout.roots(case.theta)
    G[:J, :J], G[J:, J:] = L**2 * case.K(animals), M**2 * np.eye(litters.levels)
    E = G - G @ Z.T @ np.linalg.solve(case.V(case.theta), Z @ G)
    rows = np.zeros((20, len(E)))
    rows[np.arange(20), levels[0]] = values[0][:, 0]
    rows[np.arange(20), J + levels[1]] = values[1][:, 0]
    np.testing.assert_allclose(found, np.einsum("ri,ij,rj->r", rows, E, rows), rtol=1e-9)
    together = {(int(a), int(b)) for a, b in zip(animals.codes, litters.codes, strict=True)}
    apart = next((a, b) for a in range(J) for b in range(litters.levels) if (a, b) not in together)
    pair = [np.array([place]) for place in apart]
    one, none = np.ones((1, 1)), np.zeros((1, 1))
    assert not rest.squared(pair, [one, one])[1][0]
    alone, there = rest.squared(pair, [one, none])
    assert there[0]
    assert alone[0] == pytest.approx(E[apart[0], apart[0]])


@pytest.mark.parametrize("held", ["nothing", "contrast", "beta"])
@pytest.mark.parametrize("name", SOME)
def test_average_information_along_any_directions_is_that_of_dense_algebra(name, held):
    """Phi is what is estimated of the fixed effects: all, all but a contrast, nothing."""
    case = Case(name)
    rng = np.random.default_rng(7)
    _, W, inverse = parts(case)
    X, y = W[:, :-1], W[:, -1]
    phi = np.linalg.inv(X.T @ inverse @ X)
    if held == "contrast":
        c = np.array([1.0, 2.0])
        phi = phi - np.outer(phi @ c, phi @ c) / (c @ phi @ c)
    elif held == "beta":
        phi = 0.0 * phi
    P = inverse - inverse @ X @ phi @ X.T @ inverse
    beta = np.array([0.1, -0.3])
    directions = []
    for factor in case.layout.factors:
        d = rng.normal(size=(2, factor.width, factor.width))
        directions.append(d + d.transpose(0, 2, 1))
    w = np.array(
        [
            case.Z(f) @ np.kron(np.eye(f.levels), d) @ case.Z(f).T @ inverse @ (y - X @ beta)
            for f, own in zip(case.layout.factors, directions, strict=True)
            for d in own
        ]
    )
    a = np.append(-beta, 1.0)
    forward = forward_of(case, case.theta)
    reverse = ReverseSweep(forward, case.layout, np.zeros((3, 3))).run()
    found = average_information(forward, case.layout, reverse, a, directions, phi)
    np.testing.assert_allclose(found.G, w @ P @ w.T, atol=1e-9 * np.abs(w @ P @ w.T).max())
    np.testing.assert_allclose(found.q, w @ inverse @ (y - X @ beta), atol=1e-9 * np.abs(found.q).max())


HELD = {
    "nothing": NOTHING,
    "sigma": Held(precision=1.7),
    "beta": Held(beta=np.array([0.2, -0.1])),
    "sigma and beta": Held(precision=0.6, beta=np.array([0.2, -0.1])),
    "a contrast": Held(contrast=(np.array([1.0, -2.0]), 0.3)),
    "sigma and a contrast": Held(precision=2.0, contrast=(np.array([0.0, 1.0]), -0.2)),
}


def dense_deviance(case, theta, held):
    """The module's formula (1) written out, what is not held found by linear algebra."""
    X, y = case.prepared.rows[list(case.prepared.fixed)].T, case.prepared.rows[-1]
    V = case.V(theta)
    A, b = X.T @ np.linalg.solve(V, X), X.T @ np.linalg.solve(V, y)
    if held.beta is not None:
        beta = held.beta
    elif held.contrast is not None:  # with the Lagrange multiplier as one more unknown
        c, v = held.contrast
        edge = np.block([[A, c[:, None]], [c[None, :], np.zeros((1, 1))]])
        beta = np.linalg.solve(edge, np.append(b, v))[:-1]
    else:
        beta = np.linalg.solve(A, b)
    r = y - X @ beta
    nu, r2 = ROWS - 2 * case.reml, r @ np.linalg.solve(V, r)
    variance = r2 / nu if held.precision is None else 1 / held.precision
    deviance = np.linalg.slogdet(V)[1] + nu * np.log(2 * np.pi * variance) + r2 / variance
    return deviance + case.reml * np.linalg.slogdet(A)[1], beta, r2


def free_covariance(A, held):
    """(X'V^-1X)^-1 of what is estimated of the fixed effects, in the directions N that are free."""
    if held.beta is not None:
        return 0.0 * A
    N = np.eye(2) if held.contrast is None else np.array([[-held.contrast[0][1]], [held.contrast[0][0]]])
    return N @ np.linalg.inv(N.T @ A @ N) @ N.T


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("name", SOME)
def test_whatever_is_held_deviance_and_slopes_are_those_of_the_formula(name, held, reml):
    case, what = Case(name, reml=reml), HELD[held]
    if reml and what.beta is not None:
        return  # the restricted likelihood has no fixed effects
    at = case.criterion.evaluate(case.theta, what)
    deviance, beta, r2 = dense_deviance(case, case.theta, what)
    assert at.deviance == pytest.approx(deviance, abs=1e-9)
    assert at.r2 == pytest.approx(r2, rel=1e-10)
    np.testing.assert_allclose(at.beta, beta, atol=1e-10)
    np.testing.assert_allclose(at.Phi, free_covariance(at.XVX, what), atol=1e-12)
    h = 1e-5
    numeric = [
        (dense_deviance(case, case.theta + e, what)[0] - dense_deviance(case, case.theta - e, what)[0])
        / (2 * h)
        for e in h * np.eye(len(case.theta))
    ]
    np.testing.assert_allclose(at.gradient, numeric, rtol=1e-5, atol=1e-5)


def test_slopes_in_sigma_and_beta_are_those_of_differences():
    case, h = Case("crossed slopes", reml=False), 1e-5
    beta = np.array([0.2, -0.1])

    def deviance(log_sigma, beta):
        return dense_deviance(case, case.theta, Held(precision=np.exp(-2 * log_sigma), beta=beta))[0]

    at = case.criterion.evaluate(case.theta, Held(precision=np.exp(0.4), beta=beta))
    up, down = deviance(-0.2 + h, beta), deviance(-0.2 - h, beta)
    assert at.log_sigma_slope == pytest.approx((up - down) / (2 * h), rel=1e-7)
    numeric = [(deviance(-0.2, beta + e) - deviance(-0.2, beta - e)) / (2 * h) for e in h * np.eye(2)]
    np.testing.assert_allclose(at.beta_slopes, numeric, rtol=1e-6)


def test_observed_hessian_is_exact_on_a_quadratic_and_symmetric():
    A = np.array([[2.0, 0.3], [0.3, 1.0]])

    class Bowl:
        def __init__(self, theta):
            self.gradient = A @ theta

    np.testing.assert_allclose(observed_hessian(Bowl, np.array([3.0, 0.0])), A, atol=1e-9)


def test_a_column_of_zeros_of_relatives_has_a_slope_of_zero():
    """Beside a singular T a column without any size is measured by 1."""
    levels, rng = 40, np.random.default_rng(3)
    codes, zero, term_structure = rng.integers(0, levels, ROWS), np.zeros(ROWS), Unstructured(2)
    term = Term(0, codes, levels, (0, 1), term_structure, (), relation_of("pedigree", levels)[0])
    given = Problem((np.ones(ROWS), zero), (0,), rng.normal(size=ROWS), (term,))
    criterion = set_up(given, reml=True).criterion
    D = criterion.evaluate(np.array([0.8, 0.3, 0.0])).D[0]
    np.testing.assert_allclose(D[1], 0.0, atol=1e-6)
    assert np.isfinite(D).all()
