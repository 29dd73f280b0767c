"""One fit: what a start and given variances must be, and covariates of variance functions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine.test_setup import problem_of
from support.visits import trial

from lmmkit.engine.covariance.row_structure import RowStructure, VarianceFunction
from lmmkit.engine.covariates import LEAST_FITTED, centred, lift, middle, with_fitted
from lmmkit.engine.problem import FitNumbers, Problem, RowResidual
from lmmkit.engine.rules import SEARCH
from lmmkit.engine.solve import solve, solve_at
from lmmkit.errors import FitError


@pytest.mark.parametrize("rho", [np.zeros(2), np.array([np.nan]), np.zeros((1, 1))])
def test_a_start_of_rho_has_one_finite_number_for_each_coordinate(rho):
    with pytest.raises(FitError, match=r"1 finite numbers were expected"):
        solve(trial("cs"), rho=rho)


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.inf, np.nan])
def test_a_given_residual_standard_deviation_is_positive(sigma):
    with pytest.raises(FitError, match="a positive number is expected"):
        solve_at(problem_of(6, 5), (np.eye(1),), sigma)


def test_variances_are_not_given_beside_a_residual_structure():
    with pytest.raises(FitError, match="leave one of the two out"):
        solve_at(trial("cs"), (), 1.0)


def test_effects_at_given_variances_are_hendersons():
    problem, sigma, L = problem_of(6, 5), 0.7, np.array([[1.3]])
    found = solve_at(problem, (L,), sigma)
    Z = np.eye(6)[problem.terms[0].codes]
    V = sigma**2 * (np.eye(30) + L[0, 0] ** 2 * Z @ Z.T)
    one = np.ones(30)
    expected = one @ np.linalg.solve(V, problem.response) / (one @ np.linalg.solve(V, one))
    assert found.beta[0] == pytest.approx(expected)
    b = (sigma * L[0, 0]) ** 2 * Z.T @ np.linalg.solve(V, problem.response - expected)
    np.testing.assert_allclose(found.random_effects()[0][:, 0], b, atol=1e-12)
    assert found.given
    assert found.evaluations == 0
    fitted = expected + b[problem.terms[0].codes] + 0.25
    shifted = replace(problem, offset=np.full(30, 0.25), response=problem.response + 0.25)
    np.testing.assert_allclose(solve_at(shifted, (L,), sigma).fitted, fitted)


def test_a_residual_variance_that_runs_to_zero_is_refused():
    """Two rows a level, alike: each is its level's effect."""
    rng = np.random.default_rng(5)
    given = problem_of(12, 2, factors=2)
    codes = [term.codes for term in given.terms]
    y = rng.normal(size=12)[codes[0]] + rng.normal(size=12)[codes[1]]
    with pytest.raises(FitError, match=r"residual variance (runs|goes) to zero"):
        solve(replace(given, response=y))


def rows_of(kind, covariate, fitted=False):
    function = VarianceFunction(kind, (kind,), fitted=fitted)
    n = len(covariate)
    residual = RowResidual(RowStructure(function, None), np.arange(n), covariate)
    return Problem((np.ones(n),), (0,), np.arange(1.0, n + 1), (), residual=residual)


def test_a_covariate_is_centred_where_it_is_a_number():
    v = np.array([1.0, -2.0, 4.0])
    power, growth = rows_of("power", v), rows_of("exp", v)
    assert middle(power) == pytest.approx([np.log(2.0)])
    assert middle(growth) == pytest.approx([1.0])
    np.testing.assert_allclose(centred(power, middle(power)).residual.covariate, [0.5, 1.0, 2.0])
    np.testing.assert_allclose(centred(growth, middle(growth)).residual.covariate, [0.0, -3.0, 3.0])
    assert len(middle(rows_of("ident", np.array([0.0, 1.0, 1.0])))) == 0
    assert len(middle(problem_of(4, 3))) == 0
    assert lift(np.array([0.5, 9.0]), np.array([2.0])) == pytest.approx(np.exp(1.0))


def test_a_power_of_a_fitted_value_of_zero_is_refused_by_its_row():
    problem = rows_of("power", np.ones(3), fitted=True)
    with pytest.raises(FitError, match=r"fitted value of row 2 of those used is 9e-09"):
        with_fitted(problem, np.array([1.0, 0.9 * LEAST_FITTED, 0.5]))
    known = with_fitted(problem, np.array([-1.0, 1.1 * LEAST_FITTED, 0.5])).residual
    np.testing.assert_array_equal(known.covariate, [1.0, 1.1 * LEAST_FITTED, 0.5])


def test_powers_of_fitted_values_that_find_no_fixed_point_are_refused():
    rng = np.random.default_rng(4)
    problem = rows_of("power", np.ones(30), fitted=True)
    x = np.linspace(1.0, 3.0, 30)
    problem = replace(
        problem,
        columns=(np.ones(30), x),
        fixed=(0, 1),
        response=5.0 * x + x * rng.normal(size=30),
        residual=replace(problem.residual, covariate=None),
    )
    with pytest.raises(FitError, match="no fixed point in 1 rounds"):
        solve(problem, rules=replace(SEARCH, fixed_point_rounds=1))


def test_the_record_of_a_fit_comes_back_from_its_fields():
    found = solve(problem_of(6, 5))
    told = found.numbers()
    again = FitNumbers.from_dict({name: getattr(v, "tolist", lambda v=v: v)() for name, v in told.items()})
    for name, value in told.items():
        np.testing.assert_array_equal(getattr(again, name), value)
    assert set(told) == set(vars(again))


def test_visits_alone_are_asked_for_by_name():
    with pytest.raises(FitError, match=r"over visits.*the model has power"):
        rows_of("power", np.ones(3)).visits  # noqa: B018
    assert trial("cs").visits is not None
    assert problem_of(4, 3).visits is None
