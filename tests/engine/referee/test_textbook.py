"""A problem written out: offset, weights, memberships and relatives, and the same in a standard basis."""

import numpy as np
import pytest

from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.referee import henderson
from lmmkit.engine.referee.henderson_sparse import SparseReferee
from lmmkit.engine.referee.textbook import standardise, to_dense, write_out
from lmmkit.engine.relations.relationship import dense_relationship

N, SIGMA = 24, 1.7
RNG = np.random.default_rng(2)
X, WEIGHTS, OFFSET = RNG.normal(size=N) * 3 + 40, RNG.uniform(0.5, 2.0, N), RNG.normal(size=N)
CODES, OTHER, Y = np.arange(N) % 5, np.arange(N) % 4, RNG.normal(size=N)
HALF = RNG.normal(size=(5, 5)) @ np.diag([2.0, 1.0, 0.5, 0.1, 1e-3])
FACTORS = (np.array([[0.8, 0.0], [0.2, 0.5]]), np.array([[1.2]]))


def written(terms=2):
    """Two terms: slopes of relatives, and a row's two memberships of a half each."""
    relatives = Term(0, CODES, 5, (0, 1), Unstructured(2), (), dense_relationship(HALF @ HALF.T))
    half = np.full(N, 0.5)
    members = Term(1, OTHER, 5, (0,), Unstructured(1), ((OTHER, half), (CODES, half)))
    problem = Problem((np.ones(N), X), (0, 1), Y, (relatives, members)[:terms], WEIGHTS, OFFSET)
    return write_out(problem, (0, 1), FACTORS[:terms], SIGMA)


def test_every_part_is_its_definition():
    model = written()
    np.testing.assert_array_equal(model.y, Y - OFFSET)
    np.testing.assert_array_equal(model.X, np.column_stack([np.ones(N), X]))
    Z = np.zeros((N, 15))
    for row in range(N):
        Z[row, 2 * CODES[row] : 2 * CODES[row] + 2] = 1.0, X[row]
        Z[row, 10 + OTHER[row]] += 0.5
        Z[row, 10 + CODES[row]] += 0.5
    np.testing.assert_array_equal(model.Z.toarray(), Z)
    G = np.zeros((15, 15))
    G[:10, :10] = SIGMA**2 * np.kron(HALF @ HALF.T, FACTORS[0] @ FACTORS[0].T)
    G[10:, 10:] = SIGMA**2 * 1.44 * np.eye(5)
    S = model.S.toarray()
    np.testing.assert_allclose(S @ S.T, G, atol=1e-10)
    np.testing.assert_allclose(model.R.toarray(), np.diag(SIGMA**2 / WEIGHTS))
    B = model.B.toarray()
    np.testing.assert_allclose(B @ model.R.toarray() @ B.T, np.eye(N), atol=1e-14)
    dense = to_dense(model)
    np.testing.assert_allclose(dense.G, G, atol=1e-10)


def test_in_its_standard_basis_a_model_gives_the_same_answers():
    model = written()
    standard, dense = standardise(model), to_dense(model)
    effects = standard.effects(henderson.henderson(standard.model))
    known = henderson.gls(dense)
    np.testing.assert_allclose(effects.beta, known.beta, rtol=1e-8)
    np.testing.assert_allclose(effects.u, known.u, atol=1e-8)
    Q = standard.model.X / np.sqrt(model.R.diagonal())[:, None]
    np.testing.assert_allclose(Q.T @ Q, np.eye(2), atol=1e-12)
    V = henderson.marginal_covariance(dense)
    vcov = np.linalg.inv(model.X.T @ np.linalg.solve(V, model.X))
    found = standard.covariance_of_beta(henderson.prediction_errors(standard.model))
    np.testing.assert_allclose(found, vcov, rtol=1e-7)
    restricted = henderson.restricted_log_likelihood(standard.model) - standard.log_volume
    assert restricted == pytest.approx(henderson.restricted_log_likelihood(dense), abs=1e-8)


@pytest.mark.parametrize("terms", [0, 1, 2])
def test_sparse_equations_and_dense_algebra_agree_with_or_without_random_effects(terms):
    model = written(terms)
    referee, dense = SparseReferee(model), to_dense(model)
    assert referee.log_likelihood() == pytest.approx(henderson.log_likelihood(dense), abs=1e-8)
    expected = henderson.restricted_log_likelihood(dense)
    assert referee.restricted_log_likelihood() == pytest.approx(expected, abs=1e-8)
    np.testing.assert_allclose(referee.effects().beta, henderson.gls(dense).beta, rtol=1e-7)
