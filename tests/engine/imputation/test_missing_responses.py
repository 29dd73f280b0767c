"""Responses filled in, against the conditional distributions of the docstring, one subject at a time."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.engine.imputation import complete_visits as module
from lmmkit.engine.imputation.complete_visits import complete_visits
from lmmkit.engine.imputation.missing_responses import (
    AT_RANDOM,
    REFERENCE_BASED,
    dropout_patterns,
    imputed,
    residuals_given,
)
from lmmkit.engine.imputation.parameter_draws import ParameterDraws, coefficients_at
from lmmkit.errors import FitError

r = np.random.default_rng(6)
ROOT = r.normal(size=(6, 6))
V = ROOT @ ROOT.T + 2.0 * np.eye(6)  # cells 0 to 2 of one arm, 3 to 5 of the reference arm
OWN, OTHER = np.array([10.0, 12.0, 15.0]), np.array([10.5, 11.0, 12.0])


@cache
def table() -> pd.DataFrame:
    subject, visit = np.repeat(np.arange(12), 3), np.tile(np.arange(3), 12)
    arm = np.where(subject < 6, "drug", "placebo")
    y = r.normal(size=12)[subject] + visit + r.normal(size=36)
    return pd.DataFrame({"id": subject, "t": visit, "arm": arm, "x": r.normal(size=36), "y": y})


@cache
def residual():
    problem = lmm("y ~ 1", table(), residual="un(t | id, by=arm)").estimates.problem
    return problem.residual


def filled(missing, z=None, weights=None):
    """The first subject, of the arm `drug`, with some of its responses missing, under every assumption."""
    lacking = np.zeros(36, bool)
    lacking[:3] = missing
    cells = residual().cells
    reference = np.where(cells < 3, cells + 3, -1)
    patterns = dropout_patterns(residual(), lacking, reference)
    own, other, response = (np.resize(part, 36) for part in (OWN, OTHER, np.array([11.0, 9.0, 20.0])))
    noise = None if z is None else np.resize(z, (1, 36))
    roots = None if weights is None else np.resize(weights, 36)
    found = imputed(
        patterns, V[None], own[None], other[None], response, noise, (AT_RANDOM, *REFERENCE_BASED), roots
    )
    np.testing.assert_array_equal(
        found[..., ~lacking], np.broadcast_to(response[~lacking], (4, 1, 36 - lacking.sum()))
    )
    return found[:, 0, :3]


def test_cells_of_the_fixture_are_those_of_two_arms():
    assert sorted(set(residual().cells[:18])) == [0, 1, 2]
    assert sorted(set(residual().cells[18:])) == [3, 4, 5]


@pytest.mark.parametrize("z", [None, np.array([0.3, -1.2, 0.7])])
@pytest.mark.parametrize("w", [None, np.array([1.0, 2.0, 0.5])])
def test_after_the_last_response_each_assumption_has_its_own_mean(w, z):
    """The docstring's table, with residuals of weight 1 in units of the root of the weights."""
    s = np.ones(3) if w is None else w
    y1, noise = np.array([11.0]), np.zeros(3) if z is None else z
    found = filled([False, True, True], z, w)
    own, ref = V[:3, :3], V[3:, 3:]
    moved = OWN[0] - OTHER[0]
    for assumption, got in zip((AT_RANDOM, *REFERENCE_BASED), found, strict=True):
        S = own if assumption == AT_RANDOM else ref
        B = S[1:, :1] / S[0, 0]
        spread = np.linalg.cholesky(S[1:, 1:] - B @ S[:1, 1:])
        d = y1 - (OTHER[0] if assumption == "copy-reference" else OWN[0])
        m = (OWN if assumption == AT_RANDOM else OTHER)[1:]
        shift = moved if assumption == "copy-increments" else 0.0
        expected = m + shift + (B @ (s[:1] * d) + spread @ noise[1:]) / s[1:]
        np.testing.assert_allclose(got[1:], expected, rtol=1e-12)


def test_a_gap_is_filled_at_random_under_all():
    found = filled([False, True, False])
    o = [0, 2]
    e = np.array([11.0, 20.0]) - OWN[o]
    expected = OWN[1] + V[1, o] @ np.linalg.solve(V[np.ix_(o, o)], e)
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-12)


def test_without_a_response_the_mean_is_that_of_the_arm_that_is_assumed():
    found = filled([True, True, True])
    np.testing.assert_allclose(found[0], OWN, rtol=1e-14)
    np.testing.assert_allclose(found[1:], np.broadcast_to(OTHER, (3, 3)), rtol=1e-14)


def test_patterns_are_of_subjects_with_the_same_lacks():
    lacking = np.zeros(36, bool)
    lacking[[2, 5, 7, 20]] = True  # two drop out alike, one has a gap, one is of the reference arm
    cells = residual().cells
    found = dropout_patterns(residual(), lacking, np.where(cells < 3, cells + 3, -1))
    said = {
        tuple(p.rows[:, 0].tolist()): (
            p.observed.tolist(),
            p.gaps.tolist(),
            p.tail.tolist(),
            len(p.reference),
        )
        for p in found
    }
    assert said == {
        (0, 3): ([0, 1], [], [2], 3),
        (6,): ([0, 2], [1], [], 3),
        (18,): ([0, 1], [], [2], 0),
    }
    assert all(not len(p.reference) for p in dropout_patterns(residual(), lacking))


def test_independent_residuals_are_drawn_with_their_own_deviations():
    data = table().assign(w=np.resize([1.0, 4.0, 0.25], 36))
    for formula, residual_, weights in (("y ~ x + (1 | id)", None, "w"), ("y ~ x", "ident(t)", None)):
        e = lmm(formula, data, residual=residual_, weights=weights).estimates
        problem, lacking = e.problem, np.arange(36) < 3
        z = np.full(36, 2.0)
        made = residuals_given(problem, lacking, e.rho, 1.5, np.full(36, 7.0), z)
        w = np.ones(3) if weights is None else np.sqrt(data.w[:3])
        sds = np.ones(3) if residual_ is None else problem.residual.sds(e.rho)[:3]
        np.testing.assert_allclose(made[:3], 1.5 * 2.0 * sds / w, rtol=1e-14)
        np.testing.assert_array_equal(made[3:], 7.0)


def test_correlated_residuals_are_drawn_given_the_others_of_their_subject():
    weights = r.uniform(0.5, 2.0, 36)
    e = lmm("y ~ x", table(), residual="cs(t | id)").estimates
    problem, lacking = replace(e.problem, weights=weights), np.isin(np.arange(36), [1, 2, 4])
    known, z, sigma, w = r.normal(size=36), r.normal(size=36), 1.7, np.sqrt(weights)
    made = residuals_given(problem, lacking, e.rho, sigma, known, z)
    R = e.problem.residual.structure.matrix(e.rho)
    for rows in (np.arange(3), np.arange(3, 6)):
        D = sigma / w[rows]
        V = D[:, None] * R * D
        m, o = np.flatnonzero(lacking[rows]), np.flatnonzero(~lacking[rows])
        B = V[np.ix_(m, o)] @ np.linalg.inv(V[np.ix_(o, o)])
        left = V[np.ix_(m, m)] - B @ V[np.ix_(o, m)]
        expected = B @ known[rows[o]] + np.linalg.cholesky(left) @ z[rows[m]]
        np.testing.assert_allclose(made[rows[m]], expected, rtol=1e-10)
    np.testing.assert_array_equal(made[~lacking], known[~lacking])


def visits(structure="un(t | id)", **how):
    return lmm("y ~ arm * t + x", table(), residual=structure, **how).estimates


def test_least_squares_of_complete_visits_leave_out_a_subject_of_its_own_group():
    e = visits("un(t | id, by=arm)")
    found = complete_visits(e.problem)
    assert [len(group.rows) for group in found.groups] == [6, 6]
    S, Y = e.sigma**2 * e.problem.residual.structure.matrix(e.rho), e.problem.response[:, None]
    keep = ~np.isin(np.arange(36), found.groups[1].rows[2])
    cells = e.problem.residual.cells[keep]
    same = np.equal.outer(table().id[keep].to_numpy(), table().id[keep].to_numpy())
    inverse = np.linalg.inv(S[np.ix_(cells, cells)] * same)
    X = e.problem.X(range(len(e.problem.fixed)))[keep]
    expected = np.linalg.solve(X.T @ inverse @ X, X.T @ inverse @ Y[keep])
    np.testing.assert_allclose(found.least_squares(S, Y, (1, 2)), expected, rtol=1e-9)


@pytest.mark.parametrize("without", [None, (0, 4)])
def test_least_squares_of_complete_visits_are_those_of_all_rows(without):
    e = visits()
    found = complete_visits(e.problem)
    assert found is not None
    assert found.free
    S = e.sigma**2 * e.problem.residual.structure.matrix(e.rho)
    keep = np.ones(36, bool) if without is None else ~np.isin(np.arange(36), found.groups[0].rows[4])
    X = np.column_stack([e.problem.columns[c] for c in e.problem.fixed])[keep]
    whole = np.kron(np.eye(keep.sum() // 3), S)
    Y = np.column_stack([e.problem.response, np.cos(np.arange(36.0))])
    inverse = np.linalg.inv(whole)
    expected = np.linalg.solve(X.T @ inverse @ X, X.T @ inverse @ Y[keep])
    np.testing.assert_allclose(found.least_squares(S, Y, without), expected, rtol=1e-9)
    offset = replace(e.problem, offset=np.ones(36))
    moved = complete_visits(offset).least_squares(S, Y + 1.0, without)
    np.testing.assert_allclose(moved, expected, rtol=1e-9)


@pytest.mark.parametrize("reml", [True, False])
def test_an_unstructured_fit_of_complete_visits_is_that_of_the_search(reml, monkeypatch):
    e = visits(reml=reml)
    found = complete_visits(e.problem)
    beta, Phi = found.unstructured(e.problem.response[:, None], reml=reml)
    np.testing.assert_allclose(beta[0], e.beta, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(Phi[0], e.vcov, rtol=1e-5, atol=1e-9)
    monkeypatch.setattr(module, "ROUNDS", 1)
    with pytest.raises(FitError, match="of 1 completed data sets have not come to rest in 1 rounds"):
        found.unstructured(e.problem.response[:, None], reml=reml)


def test_what_is_no_problem_of_complete_visits():
    problem = visits().problem
    assert not complete_visits(visits("cs(t | id)").problem).free
    assert complete_visits(replace(problem, weights=np.ones(36))) is None
    assert complete_visits(replace(problem, residual=None)) is None
    assert complete_visits(lmm("y ~ x", table()[1:], residual="cs(t | id)").estimates.problem) is None
    for lost in ([0, 4, 8], [1, 2, 3]):  # as many rows as whole subjects have, of subjects that are not whole
        rest = table().drop(index=lost)
        assert complete_visits(lmm("y ~ x", rest, residual="cs(t | id)").estimates.problem) is None
    assert complete_visits(lmm("y ~ t + (1 | arm)", table(), residual="cs(t | id)").estimates.problem) is None


def test_a_draw_of_the_coefficients_has_their_covariance_matrix():
    e = visits("cs(t | id)")
    p = len(e.beta)
    np.testing.assert_allclose(coefficients_at(e.optimum, e.rho, e.sigma, np.zeros(p)), e.beta, rtol=1e-10)
    A = np.array([coefficients_at(e.optimum, e.rho, e.sigma, unit) - e.beta for unit in np.eye(p)])
    np.testing.assert_allclose(A.T @ A, e.vcov, rtol=1e-8, atol=1e-12)


def test_covariance_parameters_move_but_a_variance_of_zero_stays():
    e = lmm("y ~ x + (1 | id)", table()).estimates
    one = ParameterDraws(e.optimum, e.information).draw(np.array([1.0, 0.0]))
    assert one.factors[0][0, 0] != pytest.approx(e.factors[0][0, 0], rel=1e-3)
    centred = table().assign(y=table().y - table().groupby("id").y.transform("mean"))
    zero = lmm("y ~ x + (1 | id)", centred).estimates
    draws = ParameterDraws(zero.optimum, zero.information)
    assert draws.count == 1
    drawn = draws.draw(np.ones(1))
    assert drawn.factors[0][0, 0] == 0.0
    spread = float(np.log(drawn.sigma / zero.sigma))
    assert spread == pytest.approx(1.0 / np.sqrt(2.0 * 34), rel=0.01)  # of log sigma with 34 df
