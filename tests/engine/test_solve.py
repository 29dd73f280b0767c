"""One fit: what a start and given variances must be, and covariates of variance functions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine.test_setup import problem_of
from support.visits import trial, true_rho

from lmmkit.engine.covariance.row_structure import RowStructure, VarianceFunction
from lmmkit.engine.covariance.structure_tags import structure_of
from lmmkit.engine.covariates import LEAST_FITTED, centred, lift, middle, with_fitted
from lmmkit.engine.crossproducts.whitening import serial
from lmmkit.engine.problem import FitNumbers, Problem, RowResidual
from lmmkit.engine.rules import SEARCH
from lmmkit.engine.setup import set_up
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
    assert (found.evaluations, found.converged) == (0, True)
    assert found.sigma == pytest.approx(sigma, rel=1e-12)
    e = problem.response - expected
    deviance = np.linalg.slogdet(2.0 * np.pi * V)[1] + e @ np.linalg.solve(V, e)
    assert solve_at(problem, (L,), sigma, reml=False).deviance == pytest.approx(deviance)
    assert found.deviance == pytest.approx(deviance + np.log(one @ np.linalg.solve(V, one) / (2.0 * np.pi)))
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


def grown(fitted=False):
    """Six levels, and an SD that grows with a covariate far from 1, or with the fitted values."""
    given, rng = problem_of(6, 12), np.random.default_rng(8)
    v = np.linspace(20.0, 60.0, 72)[rng.permutation(72)]
    y = v + 4.0 * rng.normal(size=6)[given.terms[0].codes] + 0.002 * v**2 * rng.normal(size=72)
    function = VarianceFunction("power", ("power",), fitted=fitted)
    residual = RowResidual(RowStructure(function, None), np.arange(72), None if fitted else v)
    columns = (given.columns[0], v)
    return replace(given, columns=columns, fixed=(0, 1), response=y, residual=residual)


@pytest.mark.parametrize("reml", [True, False])
def test_a_fit_with_a_covariate_is_in_the_units_of_the_data(reml):
    problem = grown()
    found = solve(problem, reml=reml)
    v, X, Z = problem.columns[1], problem.X((0, 1)), np.eye(6)[problem.terms[0].codes]
    V = found.sigma**2 * (np.diag(v ** (2.0 * found.rho[0])) + found.factors[0][0, 0] ** 2 * Z @ Z.T)
    XVX = X.T @ np.linalg.solve(V, X)
    beta = np.linalg.solve(XVX, X.T @ np.linalg.solve(V, problem.response))
    np.testing.assert_allclose(found.beta, beta, rtol=1e-9)
    np.testing.assert_allclose(found.sigma**2 * found.unscaled_vcov, np.linalg.inv(XVX), rtol=1e-9)
    e = problem.response - X @ beta
    deviance = np.linalg.slogdet(2.0 * np.pi * V)[1] + e @ np.linalg.solve(V, e)
    if reml:
        deviance += np.linalg.slogdet(XVX / (2.0 * np.pi))[1]
    assert found.deviance == pytest.approx(deviance, abs=1e-8)
    assert found.optimum.state.deviance == pytest.approx(deviance, abs=1e-8)
    b = found.sigma**2 * found.factors[0][0, 0] ** 2 * Z.T @ np.linalg.solve(V, e)
    np.testing.assert_allclose(found.random_effects()[0][:, 0], b, atol=1e-8)
    again = solve(problem, reml=reml, start=found.factors, rho=found.rho)
    assert again.evaluations == 1 < found.evaluations
    for one in ({"start": found.factors}, {"rho": found.rho}):
        assert solve(problem, reml=reml, **one).deviance == pytest.approx(deviance, abs=1e-8)


def test_variances_that_are_a_power_of_the_fitted_values_are_found_by_rounds_from_one_variance():
    problem = grown(fitted=True)
    plain = solve(replace(problem, residual=None))
    first = solve(with_fitted(problem, plain.fitted))
    second = solve(with_fitted(problem, first.fitted), start=first.factors, rho=first.rho)
    change = np.abs(second.fitted - first.fitted).max() / np.abs(second.fitted).max()
    two = replace(SEARCH, fixed_point=1.001 * change, fixed_point_rounds=2)
    found = solve(problem, rules=two)
    np.testing.assert_allclose(found.rho, second.rho)
    assert found.evaluations == plain.evaluations + first.evaluations + second.evaluations
    with pytest.raises(FitError, match="no fixed point in 2 rounds"):
        solve(problem, rules=replace(two, fixed_point=0.999 * change))


def test_a_search_that_ends_early_says_so_and_gives_what_it_has():
    for problem in (problem_of(6, 5), trial("un")):
        found = solve(problem, limit=1, start=tuple(4.0 * np.eye(1) for _ in problem.terms))
        assert not found.converged
        assert np.isfinite(found.deviance)


def test_where_a_search_ends_early_it_is_asked_whether_a_parameter_runs_away():
    """With every step a long one whose decrement has faded: of residual structures alone."""
    rules = replace(SEARCH, faded=np.inf, long=0.0, far=0.5, fading=1_000)
    with pytest.raises(FitError, match=r"no best parameters: rho = .* without end"):
        solve(trial("cs"), limit=1, rho=np.array([-1.0]), rules=rules)
    for kept in (replace(rules, faded=0.0), replace(rules, long=np.inf)):
        assert not solve(trial("cs"), limit=1, rho=np.array([-1.0]), rules=kept).converged
    # a search that is content with its first point is not asked
    content = replace(rules, enough=1e3, still=1e3)
    found = solve(trial("cs"), rho=np.array([-1.0]), rules=content)
    assert (found.converged, found.evaluations) == (True, 1)
    short = replace(rules, long=-1.0)
    assert not solve(problem_of(6, 5), limit=1, start=(4.0 * np.eye(1),), rules=short).converged


def test_a_residual_variance_has_vanished_where_the_search_is_at_no_optimum_alone():
    all_of_it = replace(SEARCH, vanished=1e6)
    assert solve(problem_of(6, 5), rules=all_of_it).converged
    with pytest.raises(FitError, match=r"residual variance runs to zero: .* more rows per level"):
        solve(problem_of(6, 5), limit=1, start=(4.0 * np.eye(1),), rules=all_of_it)


def test_rejected_steps_are_halved_where_there_is_no_em_step():
    assert (SEARCH.halvings, SEARCH.halvings_alone) == (0, 29)
    given = problem_of(8, 6, k=2)
    patterned = replace(given.terms[0], structure=structure_of("homcs", 2))
    assert solve(given).rules == SEARCH
    for alone in (trial("cs"), replace(given, terms=(patterned,)), replace(given, terms=())):
        assert solve(alone).rules == replace(SEARCH, halvings=29)


def test_a_search_that_ends_next_to_no_variance_has_none():
    """The same rows in every level, whose sums are zero."""
    problem = replace(problem_of(6, 5), response=np.tile([0.3, -0.1, 0.2, -0.4, 0.0], 6))
    found = solve(problem, algorithm="direct")
    assert found.converged
    assert found.factors[0].tolist() == [[0.0]]
    assert found.null_directions == (1,)


def test_a_process_without_correlation_ends_at_one_place():
    """Neighbours of opposite signs."""
    rng, subjects, times = np.random.default_rng(2), np.repeat(np.arange(8), 5), np.tile(np.arange(5.0), 8)
    y = rng.normal(size=40) + (-1.0) ** times
    structure = RowStructure(None, serial(subjects, times))
    residual = RowResidual(structure, subjects, times=times)
    found = solve(Problem((np.ones(40),), (0,), y, (), residual=residual))
    assert structure.natural(found.rho).tolist() == [0.0]
    np.testing.assert_array_equal(found.rho, structure.uncorrelated(found.rho))


def test_at_given_variances_there_may_be_as_many_levels_as_rows():
    """With one row a level and a variance of 1 each the effects are half the residuals."""
    problem = problem_of(6, 1)
    found = solve_at(problem, (np.eye(1),), 1.0)
    left = problem.response - problem.response.mean()
    np.testing.assert_allclose(found.random_effects()[0][:, 0], left / 2.0, atol=1e-12)


def test_the_trace_has_natural_parameters_of_the_residuals_beside_theta():
    problem = trial("ar1")
    found = solve(problem)
    structure = problem.residual.structure
    assert found.trace[-1]["rho"] == pytest.approx(structure.natural(found.rho).tolist())
    assert found.trace[-1]["theta"] == ()
    plain = solve(problem_of(6, 5))
    assert plain.trace[-1]["theta"] == pytest.approx((plain.factors[0][0, 0],))
    assert not any("rho" in line for line in plain.trace)


def test_conditions_of_an_optimum_are_checked_where_variances_are_estimated():
    problem = problem_of(6, 5)
    found, given = solve(problem), solve_at(problem, (np.eye(1),), 1.0)
    assert (found.given, given.given) == (False, True)
    assert found.checks
    assert all(check.passed for check in found.checks)
    assert given.checks == []


def test_em_is_refused_by_what_has_no_step_for_it():
    with pytest.raises(FitError, match="the parameters of a residual structure"):
        solve(trial("cs"), algorithm="em")
    given = problem_of(8, 6, k=2)
    patterned = replace(given.terms[0], structure=structure_of("homcs", 2))
    other = replace(given.terms[0], factor=1, codes=np.arange(48) % 6, levels=6)
    with pytest.raises(
        FitError, match="the correlations of a structure that is compound symmetric, with one"
    ):
        solve(replace(given, terms=(other, patterned)), algorithm="em")


def test_a_problem_that_is_made_ready_is_taken_for_itself_alone():
    one, other = problem_of(6, 5), problem_of(6, 6)
    ready = set_up(one, reml=True)
    assert solve(one, setup=ready).optimum.prepared is ready.prepared
    assert solve(other, setup=ready).deviance == pytest.approx(solve(other).deviance)
    assert solve(other, setup=ready).optimum.problem is other


def test_a_start_of_rho_is_where_the_search_begins():
    problem = trial("cs")
    structure = problem.residual.structure
    rho = true_rho(structure)
    assert solve(problem, rho=rho).trace[0]["rho"] == pytest.approx(structure.natural(rho).tolist())
