"""Columns beside the model's own: scores and coefficients as V written out has them."""

import numpy as np
import pytest
from support import designs, repeated
from support.dense import covariance_parts

import lmmkit
from lmmkit.engine.crossproducts.whitening import normalised
from lmmkit.model.diagnostics.added_columns import added_columns


def written_out(fit, V, W):
    """Information and coefficients of columns W beside X, in the data."""
    X, y = fit.estimates.X, fit.estimates.problem.response
    if fit.estimates.problem.offset is not None:
        y = y - fit.estimates.problem.offset
    inverse = np.linalg.inv(V)
    P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    whole = np.column_stack([X, W])
    beta = np.linalg.solve(whole.T @ inverse @ whole, whole.T @ inverse @ y)
    return W.T @ P @ W, beta


def asked(fit, W):
    """The same as the module has it."""
    (test,) = added_columns(fit.estimates, [W])
    problem, rho = fit.estimates.problem, fit.estimates.rho
    e = (problem.response - fit.estimates.fitted)[:, None]
    return test, test.coefficients(normalised(problem, rho, fit.sigma, e))[:, 0]


@pytest.mark.parametrize("name", ["slopes", "crossed", "nested and crossed"])
@pytest.mark.parametrize("weighted", [False, True])
def test_coefficients_of_added_columns_are_those_of_gls_at_the_fitted_variances(name, weighted):
    fit = designs.fitted(name, weighted=weighted)
    W = np.random.default_rng(5).normal(size=(fit.nobs, 2))
    V = fit.sigma**2 * covariance_parts(fit.estimates.problem, fit.estimates.factors)[0]
    information, beta = written_out(fit, V, W)
    test, coefficients = asked(fit, W)
    np.testing.assert_allclose(test.information, information, rtol=1e-8)
    np.testing.assert_allclose(coefficients, beta[2:], rtol=1e-7)
    np.testing.assert_allclose(fit.estimates.beta - test.beta @ coefficients, beta[:2], rtol=1e-7)


def test_the_same_holds_under_a_residual_structure():
    fit = repeated.fitted("ar1(visit | id)")
    residual, W = fit.estimates.problem.residual, np.random.default_rng(5).normal(size=(fit.nobs, 1))
    same = residual.subjects[:, None] == residual.subjects
    R = residual.structure.matrix(fit.estimates.rho)[np.ix_(residual.cells, residual.cells)]
    information, beta = written_out(fit, fit.sigma**2 * np.where(same, R, 0.0), W)
    test, coefficients = asked(fit, W)
    np.testing.assert_allclose(test.information, information, rtol=1e-8)
    np.testing.assert_allclose(coefficients, beta[-1:], rtol=1e-7)


def test_directions_that_the_model_has_are_left_out():
    fit = designs.fitted("slopes")
    x = fit.estimates.X[:, 1]
    (test,) = added_columns(fit.estimates, [np.column_stack([2.0 + 3.0 * x, x**2, x**2 - x])])
    assert test.rank == 1
    assert added_columns(fit.estimates, []) == []


def test_score_statistics_of_simulated_data_have_the_mean_of_chi_squared():
    fit = lmmkit.lmm(designs.FORMULAS["one factor"], designs.frame(), offset="o")
    W = np.random.default_rng(5).normal(size=(fit.nobs, 2))
    (test,) = added_columns(fit.estimates, [W])
    from lmmkit.model.diagnostics.replicated import SizeRules, replicate_data

    (chunk,) = replicate_data(fit.estimates, seed=1, count=400, rules=SizeRules(table=0))
    assert chunk.how == "held"
    squares = test.squares(chunk.normalised * chunk.sigma / fit.sigma)[1:]
    assert abs(squares.mean() - 2.0) < 0.3
