"""An optimum in the units of the data, against dense algebra: two factors, the second of them the finer."""

from __future__ import annotations

import numpy as np
import pytest

from lmmkit.engine.covariance.structures import Diagonal, Unstructured
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.solve import solve_at

N, SIGMA = 24, 1.7
FINE = np.arange(N) * 7 % 8
COARSE = {"crossed": np.arange(N) * 5 % 3, "nested": FINE % 3}  # children of one parent are no neighbours
FACTORS = (np.array([[0.8]]), np.diag([0.6, 0.3]))


@pytest.fixture(scope="module", params=COARSE)
def made(request):
    """The solution at given variances, X, Z of each term (n, J k), and G of each over sigma^2."""
    rng, coarse = np.random.default_rng(4), COARSE[request.param]
    columns = (np.ones(N), rng.normal(size=N) * 3 + 10, rng.normal(size=N))
    y = 50.0 + columns[1] + rng.normal(size=3)[coarse] + rng.normal(size=N) * 2
    terms = (Term(0, coarse, 3, (0,), Unstructured(1)), Term(1, FINE, 8, (0, 2), Diagonal(2)))
    found = solve_at(Problem(columns, (0, 1), y, terms), FACTORS, SIGMA)
    Z = [
        np.concatenate(
            [(t.codes == j)[:, None] * np.stack([columns[c] for c in t.columns], 1) for j in range(t.levels)],
            1,
        )
        for t in terms
    ]
    return found, np.column_stack(columns[:2]), Z, y


def test_beta_and_its_covariance_are_those_of_generalised_least_squares(made):
    found, X, Z, y = made
    V = np.eye(N) + sum(
        z @ np.kron(np.eye(z.shape[1] // len(L)), L @ L.T) @ z.T for z, L in zip(Z, FACTORS, strict=True)
    )
    XVX = X.T @ np.linalg.solve(V, X)
    np.testing.assert_allclose(found.optimum.beta, np.linalg.solve(XVX, X.T @ np.linalg.solve(V, y)))
    whole = found.optimum.covariance_of_beta.whole()
    np.testing.assert_allclose(whole, SIGMA**2 * np.linalg.inv(XVX))


def test_effects_stand_in_the_order_of_terms_and_levels_as_given(made):
    found, X, Z, y = made
    # Henderson's equations, of both terms at once
    W = np.concatenate([X, *Z], axis=1)
    inverses = [
        np.kron(np.eye(z.shape[1] // len(L)), np.linalg.inv(L @ L.T)) for z, L in zip(Z, FACTORS, strict=True)
    ]
    C = W.T @ W
    C[2:5, 2:5] += inverses[0]
    C[5:, 5:] += inverses[1]
    b = np.linalg.solve(C, W.T @ y)[2:]
    first, second = found.optimum.random_effects()
    np.testing.assert_allclose(first, b[:3].reshape(3, 1), atol=1e-9)
    np.testing.assert_allclose(second, b[3:].reshape(8, 2), atol=1e-9)
    inverse = SIGMA**2 * np.linalg.inv(C[2:, 2:])
    variances = found.conditional_variances()
    for j in range(8):
        at = slice(3 + 2 * j, 5 + 2 * j)
        np.testing.assert_allclose(variances[1][j], inverse[at, at], atol=1e-9)
    np.testing.assert_allclose(variances[0][:, 0, 0], inverse.diagonal()[:3], atol=1e-9)


def test_theta_is_printed_term_by_term(made):
    optimum = made[0].optimum
    for one, other in zip(optimum.factors(optimum.state.L), FACTORS, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    assert optimum.theta(optimum.state.L) == pytest.approx((0.8, 0.6, 0.3))
