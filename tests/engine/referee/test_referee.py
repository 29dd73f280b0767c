"""Engine, Henderson's equations and the marginal distribution of y: three routes, one answer."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from reference.cases import CASES, DATA, MODELS, facts, fitted, stacked

from lmmkit.engine.referee import henderson
from lmmkit.engine.referee.henderson import MixedModel
from lmmkit.engine.referee.henderson_sparse import SparseReferee
from lmmkit.engine.referee.textbook import to_dense, write_out

DENSE = [name for name in MODELS if facts(name)["REML"]["n"] < 2_000]
REFITS = [(name, criterion) for name in DENSE for criterion in ("REML", "ML")]


def sparse_model(name, criterion):
    """A fitted model written out."""
    estimates = fitted(name, criterion).estimates
    return write_out(estimates.problem, estimates.kept, estimates.factors, estimates.sigma)


def assert_same(found, known, rel=1e-9):
    """Equal to 1e-9 of the largest."""
    np.testing.assert_allclose(found, known, rtol=0, atol=rel * max(np.abs(known).max(), 1e-300))


@pytest.mark.parametrize(("name", "criterion"), REFITS)
def test_engine_equals_henderson_equals_marginal(name, criterion):
    estimates, model = fitted(name, criterion).estimates, to_dense(sparse_model(name, criterion))
    b = stacked(estimates.b)
    for effects in (henderson.henderson(model), henderson.gls(model)):
        assert_same(effects.beta, estimates.beta)
        assert np.abs(effects.u - b).max() <= 1e-9 * max(np.abs(b).max(), estimates.sigma)


@pytest.mark.parametrize(("name", "criterion"), REFITS)
def test_deviance_is_minus_twice_the_log_density(name, criterion):
    estimates, model = fitted(name, criterion).estimates, to_dense(sparse_model(name, criterion))
    likelihood = henderson.restricted_log_likelihood if estimates.reml else henderson.log_likelihood
    assert estimates.deviance == pytest.approx(-2 * likelihood(model), rel=1e-9)


@pytest.mark.parametrize(("name", "criterion"), REFITS)
def test_variances_equal_the_inverse_of_hendersons_matrix(name, criterion):
    estimates = fitted(name, criterion).estimates
    model = to_dense(sparse_model(name, criterion))
    errors = henderson.prediction_errors(model)
    assert_same(errors.beta, estimates.vcov)
    # the conditional variance knows beta: take its share out of the prediction error variance
    known = errors.u - errors.cross.T @ np.linalg.solve(errors.beta, errors.cross)
    found = np.concatenate(
        [np.diagonal(v, axis1=1, axis2=2).ravel() for v in estimates.conditional_variances]
    )
    assert_same(found, np.diag(known))


@pytest.mark.parametrize("name", DENSE)
def test_prediction_error_variances_equal_lme4s_matrices(name):
    known = facts(name)["REML"].get("pev_se")
    if known is None:
        pytest.skip("no prediction error variances on record")
    errors = henderson.prediction_errors(to_dense(sparse_model(name, "REML")))
    np.testing.assert_allclose(np.sqrt(np.diag(errors.u)), known, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("name", "criterion"), [case for case in CASES if case != ("insteval", "ML")])
def test_sparse_referee_equals_the_engine(name, criterion):
    estimates, referee = fitted(name, criterion).estimates, SparseReferee(sparse_model(name, criterion))
    effects, b = referee.effects(), stacked(estimates.b)
    assert_same(effects.beta, estimates.beta)
    assert np.abs(effects.u - b).max() <= 1e-9 * max(np.abs(b).max(), estimates.sigma)
    assert_same(referee.covariance_of_beta(), estimates.vcov)
    likelihood = referee.restricted_log_likelihood() if estimates.reml else referee.log_likelihood()
    assert estimates.deviance == pytest.approx(-2 * likelihood, rel=1e-9)


def test_coefficient_matrix_has_the_articles_blocks():
    model = to_dense(sparse_model("penicillin", "REML"))
    X, Z, G, R = model.X, model.Z, model.G, model.R
    W = np.linalg.inv(R)
    known = np.block([[X.T @ W @ X, X.T @ W @ Z], [Z.T @ W @ X, Z.T @ W @ Z + np.linalg.inv(G)]])
    assert_same(henderson.coefficient_matrix(model), known, 1e-12)
    solution = np.linalg.solve(known, henderson.right_hand_side(model))
    effects = henderson.henderson(model)
    assert_same(np.concatenate([effects.beta, effects.u]), solution, 1e-10)
    assert np.abs(henderson.henderson_residual(model, effects.beta, effects.u)).max() < 1e-9


def test_marginal_covariance_has_hendersons_inverse():
    model = to_dense(sparse_model("sleep_full", "REML"))
    R, Z, G = np.linalg.inv(model.R), model.Z, model.G
    inverse = R - R @ Z @ np.linalg.inv(Z.T @ R @ Z + np.linalg.inv(G)) @ Z.T @ R
    assert_same(inverse @ henderson.marginal_covariance(model), np.eye(len(R)), 1e-10)


def test_singular_covariance_matrices_are_allowed():
    rng = np.random.default_rng(1)
    Z, half = rng.normal(size=(20, 4)), rng.normal(size=(4, 2))
    A = rng.normal(size=(20, 20))
    model = MixedModel(rng.normal(size=20), np.ones((20, 1)), Z, half @ half.T, A @ A.T + np.eye(20))
    by_equations, by_marginal = henderson.henderson(model), henderson.gls(model)
    assert_same(by_equations.beta, by_marginal.beta, 1e-10)
    assert_same(by_equations.u, by_marginal.u, 1e-10)


def test_directions_and_columns_without_variance_are_left_out():
    half = np.random.default_rng(4).normal(size=(4, 2)) * np.array([1.0, 1e-5])
    half[2] = 0.0
    model = MixedModel(np.ones(6), np.ones((6, 1)), np.ones((6, 4)), half @ half.T, np.eye(6))
    spherical, S = henderson.to_spherical(model)
    assert S.shape == (4, 2)
    np.testing.assert_allclose(S @ S.T, model.G, atol=1e-14)
    np.testing.assert_array_equal(spherical.G, np.eye(2))
    np.testing.assert_array_equal(spherical.Z, model.Z @ S)


@pytest.mark.parametrize(("share", "held"), [(0.9e-14, 1), (1.1e-14, 2)])
def test_a_direction_of_rounding_has_no_variance(share, held):
    """Of two effects with a correlation r the directions have 1 + r and 1 - r, whatever their units."""
    r = (1.0 - share) / (1.0 + share)
    G = np.array([[1.0, r], [r, 1.0]]) * np.outer([1e3, 1.0], [1e3, 1.0])
    model = MixedModel(np.ones(6), np.ones((6, 1)), np.ones((6, 2)), G, np.eye(6))
    assert henderson.to_spherical(model)[1].shape == (2, held)


def mrode():
    """Mrode's example 3.1: five animals with records among eight that are related."""
    known = json.loads((DATA / "mrode31.json").read_text(encoding="utf-8"))
    table = pd.read_csv(DATA / "mrode31.csv")
    X = np.column_stack([table.sex == "male", table.sex == "female"]).astype(float)
    Z = np.eye(8)[table.animal.str[1:].astype(int) - 1]
    G, R = known["sigma2_a"] * np.array(known["A"]), known["sigma2_e"] * np.eye(len(table))
    return known, MixedModel(table.wwg.to_numpy(), X, Z, G, R)


@pytest.mark.parametrize("route", [henderson.henderson, henderson.gls])
def test_mrodes_animals_have_their_breeding_values(route):
    known, model = mrode()
    effects = route(model)
    np.testing.assert_allclose(effects.beta, known["fixef"], rtol=1e-12)
    np.testing.assert_allclose(effects.u, known["ebv"], rtol=1e-11)


def test_mrodes_equations_are_hendersons():
    known, model = mrode()
    scaled = henderson.coefficient_matrix(model) * known["sigma2_e"]
    np.testing.assert_allclose(scaled, known["mme_lhs"], atol=1e-12)
    np.testing.assert_allclose(henderson.right_hand_side(model) * known["sigma2_e"], known["mme_rhs"])
    np.testing.assert_allclose(np.linalg.inv(model.G) * known["sigma2_a"], known["Ainv"], atol=1e-12)


def test_mrodes_prediction_error_variances():
    known, model = mrode()
    errors = henderson.prediction_errors(model)
    np.testing.assert_allclose(errors.beta, known["vcov_beta"], rtol=1e-12)
    np.testing.assert_allclose(np.diag(errors.u), known["pev"], rtol=1e-12)
