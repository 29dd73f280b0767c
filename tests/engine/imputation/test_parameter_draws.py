"""Draws of parameters and effects, against the posterior written out: each draw is linear in its numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.designs import frame

from lmmkit import lmm
from lmmkit.engine.imputation.parameter_draws import (
    ParameterDraws,
    Parameters,
    effects_at,
    effects_count,
    prior_effects,
)
from lmmkit.engine.relations.relationship import DenseRelationship
from lmmkit.errors import FitError
from lmmkit.model.design.design import build_design

TABLE = pd.DataFrame(frame(1, 24))
TABLE["id"], TABLE["t"] = np.repeat(np.arange(8), 3), np.tile(np.arange(3), 8)
FEW = TABLE[:6].assign(g=[0, 1, 1, 0, 0, 1], h=[0, 0, 1, 1, 0, 1])
ROOT = np.array([[0.9, 0.0], [0.4, 0.6]])


def problem(residual=None):
    """A slope with related levels, an intercept, an offset and weights."""
    found = build_design("y ~ x + (x | g) + (1 | h)", FEW, residual=residual, weights="w", offset="o").problem
    wide, one = found.terms
    J = wide.levels
    K = 0.5 * np.eye(J) + 0.5 * np.cos(np.subtract.outer(np.arange(J), np.arange(J)) / 3.0)
    return replace(found, terms=(replace(wide, relation=DenseRelationship(K)), one))


def Z_of(term, given):
    """(n, J k), the effects of a level together."""
    columns = np.eye(term.levels)[term.codes][:, :, None] * given.term_columns(term)[:, None]
    return columns.reshape(len(columns), -1)


def test_random_effects_are_made_of_their_own_numbers_term_by_term():
    given = problem()
    at = Parameters((ROOT, np.array([[0.5]])), np.empty(0), 2.0)
    ranks = [term.rank * len(term.columns) for term in given.terms]
    assert effects_count(given) == sum(ranks)
    u = np.random.default_rng(2).normal(size=sum(ranks))
    wide, one = prior_effects(given, at, u)
    A = given.terms[0].relation.half
    np.testing.assert_allclose(wide, 2.0 * A @ u[: ranks[0]].reshape(-1, 2) @ ROOT.T, rtol=1e-12)
    np.testing.assert_allclose(one, 2.0 * 0.5 * u[ranks[0] :, None], rtol=1e-12)


@pytest.mark.parametrize("residual", [None, "cs(t | id)"])
def test_effects_are_drawn_from_their_distribution_given_the_response(residual):
    """Of (beta, b): (W'R^-1 W + diag(0, G^-1))^-1 of Henderson's equations, about their solution."""
    given, sigma = problem(residual), 1.7
    rho = np.empty(0) if residual is None else np.array([0.6])
    at, n = Parameters((ROOT, np.array([[0.5]])), rho, sigma), len(given.response)
    count = effects_count(given)

    def drawn(u, noise):
        found = effects_at(given, at, u, noise, reml=True)
        return np.concatenate([found.beta, *(own.ravel() for own in found.b)])

    mean = drawn(np.zeros(count), np.zeros(n))
    units = np.eye(count + n)
    A = np.array([drawn(unit[:count], unit[count:]) - mean for unit in units])
    C = np.eye(n) if residual is None else np.kron(np.eye(2), given.residual.structure.matrix(rho))
    R = sigma**2 * C / np.sqrt(np.outer(given.weights, given.weights))
    X, (wide, one) = given.X(range(2)), given.terms
    W = np.column_stack([X, Z_of(wide, given), Z_of(one, given)])
    G = np.zeros((W.shape[1] - 2,) * 2)
    q = 2 * wide.levels
    G[:q, :q] = sigma**2 * np.kron(wide.relation.K, ROOT @ ROOT.T)
    G[q:, q:] = sigma**2 * 0.25 * np.eye(one.levels)
    inner = W.T @ np.linalg.solve(R, W)
    inner[2:, 2:] += np.linalg.inv(G)
    spread = np.linalg.inv(inner)
    expected = spread @ W.T @ np.linalg.solve(R, given.response - given.offset)
    np.testing.assert_allclose(mean, expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(A.T @ A, spread, rtol=1e-6, atol=1e-8)


def test_covariance_parameters_are_drawn_about_the_fit_with_twice_the_inverse_hessian():
    e = lmm("y ~ x + (1 | g)", TABLE, residual="cs(t | id)").estimates
    draws = ParameterDraws(e.optimum, e.information)
    assert draws.count == 3
    still = draws.draw(np.zeros(3))
    np.testing.assert_allclose(still.factors[0], e.factors[0], rtol=1e-12)
    np.testing.assert_allclose(still.rho, e.rho, rtol=1e-12)
    assert still.sigma == pytest.approx(e.sigma, rel=1e-12)
    scale = still.factors[0][0, 0] / e.optimum.state.theta[0]
    spread = e.information.on_scale(float(np.sqrt(e.optimum.state.variance))).covariance
    rows = []
    for unit in np.eye(3):
        one = draws.draw(unit)
        rows.append(
            [(one.factors[0][0, 0] - still.factors[0][0, 0]) / scale, one.rho[0] - still.rho[0],
             np.log(one.sigma / still.sigma)]
        )  # fmt: skip
    np.testing.assert_allclose(np.transpose(rows) @ rows, spread, rtol=1e-9)


def test_parameters_that_the_data_do_not_tell_apart_are_not_drawn():
    e = lmm("y ~ x + (1 | g)", TABLE).estimates
    spread = e.information.on_scale(1.0)
    open_ = replace(spread, open=np.ones((1, len(spread.size))))

    class Information:
        free = e.information.free

        def on_scale(self, unit):
            return open_

    with pytest.raises(FitError) as caught:
        ParameterDraws(e.optimum, Information()).draw(np.zeros(2))
    assert str(caught.value) == (
        "The data do not tell the variance parameters apart, so that no uncertainty of them can be drawn "
        "from, and imputations would be too alike. Simplify the covariance structure."
    )
