"""The uncertainty of the variance parameters, against differences of the criterion and dense algebra."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from engine.criterion.test_layouts import LAYOUTS, PLAIN, Case, is_related, problem_of
from reference.cases import fitted
from support.dense import covariance_parts

import lmmkit
from lmmkit.engine.criterion.criterion import Held
from lmmkit.engine.criterion.hessian import observed_hessian
from lmmkit.engine.inference import information
from lmmkit.engine.inference.connected_blocks import BlockInformation
from lmmkit.engine.inference.information import (
    ExpectedInformation,
    exact_hessian,
    spread,
    theta_directions,
    variance_information,
)
from lmmkit.engine.inference.information_by_source import exact_information
from lmmkit.engine.inference.satterthwaite import Satterthwaite, combined
from lmmkit.engine.solve import solve


def along_theta(optimum):
    return ExpectedInformation(optimum, theta_directions(optimum))


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", PLAIN)
def test_exact_hessian_equals_differences_of_the_gradient(name, reml, monkeypatch):
    monkeypatch.setattr(information, "CUBES", np.inf)
    case = Case(name, reml=reml)
    ours, differences = (
        exact_hessian(along_theta(case.optimum))[0],
        observed_hessian(case.criterion.evaluate, case.theta),
    )
    np.testing.assert_allclose(ours, differences, atol=1e-6 * np.abs(differences).max())


@pytest.mark.parametrize("name", LAYOUTS)
def test_expected_information_equals_traces_of_dense_matrices(name):
    case = Case(name)
    optimum, (_, P, _) = case.optimum, case.dense(case.theta)
    steps = 1e-6 * np.eye(len(case.theta))
    slopes = [(case.V(case.theta + s) - case.V(case.theta - s)) / 2e-6 for s in steps]
    expected = np.array([[np.trace(P @ a @ P @ b) for b in slopes] for a in slopes])
    made = BlockInformation if is_related(name) else ExpectedInformation
    ours = made(optimum, theta_directions(optimum)).matrix
    np.testing.assert_allclose(ours, expected, atol=1e-7 * np.abs(expected).max())


@cache
def fit_of(name, reml):
    """The optimum of a layout with weights, and what is known of its parameters."""
    optimum = solve(problem_of(LAYOUTS[name], True), reml=reml).optimum
    return optimum, exact_information(optimum)


BY_ML = [*PLAIN, "singular matrix with slopes", "crossed and matrix", "pedigree with slopes"]


@pytest.mark.parametrize(
    ("name", "reml"), [*((name, True) for name in LAYOUTS), *((name, False) for name in BY_ML)]
)
def test_unprofiled_hessian_equals_differences_of_the_full_likelihood(name, reml):
    optimum, found = fit_of(name, reml)
    criterion, state = optimum.criterion, optimum.state
    sigma = np.sqrt(state.r2 / criterion.nu)
    theta = state.theta[found.free]

    def slope(values):
        """Gradient in (theta, sigma) with the fixed effects profiled out."""
        whole = state.theta.copy()
        whole[found.free] = values[:-1]
        here = criterion.evaluate(whole, Held(precision=values[-1] ** -2))
        return np.append(here.gradient[found.free], here.log_sigma_slope / values[-1])

    at, steps = np.append(theta, sigma), 1e-5 * np.eye(len(theta) + 1)
    differences = np.array([(slope(at + s) - slope(at - s)) / 2e-5 for s in steps])
    np.testing.assert_allclose(found.hessian, differences, atol=1e-6 * np.abs(differences).max())


@pytest.mark.parametrize("name", LAYOUTS)
def test_gradient_of_the_covariance_matrix_equals_differences(name):
    optimum, found = fit_of(name, True)
    criterion, state = optimum.criterion, optimum.state
    scale = optimum.prepared.scale**2 * state.r2 / criterion.nu

    def vcov(theta):
        return scale * np.linalg.inv(criterion.evaluate(theta).XVX)

    steps = 1e-6 * np.eye(len(state.theta))[found.free]
    slopes = np.array([(vcov(state.theta + s) - vcov(state.theta - s)) / 2e-6 for s in steps]).reshape(
        -1, 2, 2
    )
    np.testing.assert_allclose(
        found.gradient[:-1], slopes, atol=2e-6 * max(np.abs(slopes).max(initial=0), 1e-9)
    )
    np.testing.assert_allclose(found.vcov.core, vcov(state.theta), rtol=1e-10)


def test_large_crossed_designs_take_differences(monkeypatch):
    monkeypatch.setattr(information, "CUBES", 0.0)
    optimum = fitted("penicillin", "REML").estimates.optimum
    rough = exact_hessian(along_theta(optimum))[0]
    monkeypatch.undo()
    np.testing.assert_allclose(rough, exact_hessian(along_theta(optimum))[0], rtol=1e-6)


def test_a_fit_without_curvature_has_no_degrees_of_freedom():
    found = variance_information(fitted("sleep_full", "REML").estimates.optimum)
    flat = information.VarianceInformation(
        found.free, np.zeros_like(found.hessian), found.gradient, found.vcov
    )
    assert np.isnan(Satterthwaite(flat).single(np.eye(2))).all()


def test_a_deviance_that_bends_down_is_refused_with_words():
    with pytest.raises(lmmkit.FitError, match="does not curve upwards"):
        spread(np.array([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(lmmkit.FitError, match="does not curve upwards"):
        spread(np.array([[1.0, np.nan], [np.nan, 1.0]]))


def test_a_fit_read_back_answers_alike(tmp_path):
    fit = fitted("machines_nested", "REML")
    again = lmmkit.load(fit.save(tmp_path / "fit"))
    for df in ("satterthwaite", "kenward-roger"):
        np.testing.assert_allclose(again.coef_table(df)["df"], fit.coef_table(df)["df"], rtol=1e-8)


def test_degrees_of_freedom_of_a_mean_of_squares():
    assert combined(np.array([7.0, 7.0])) == 7.0
    assert combined(np.array([1.5, 9.0])) == 2.0
    assert combined(np.array([1.5, 1.5])) == 1.5
    assert combined(np.array([1.5, 1.5 * (1.0 + 0.9e-6)])) == pytest.approx(1.5, rel=1e-6)
    assert combined(np.array([1.5, 1.5 * (1.0 + 1.1e-6)])) == 2.0  # no longer one number
    assert combined(np.array([2.0, 2.1])) == 2.0
    E = 5 / 3 + 10 / 8
    assert combined(np.array([5.0, 10.0])) == pytest.approx(2 * E / (E - 2))


def test_dense_parts_add_up_to_v():
    problem = problem_of(LAYOUTS["crossed slopes"], True)
    solution = solve(problem)
    V, parts = covariance_parts(problem, solution.factors)
    entries = [
        (L @ L.T)[a, b]
        for term, L in zip(problem.terms, solution.factors, strict=True)
        for a, b in zip(*np.nonzero(np.tril(term.structure.span.any(axis=0))), strict=True)
    ]
    np.testing.assert_allclose(sum(t * part for t, part in zip([*entries, 1.0], parts, strict=True)), V)


@pytest.mark.parametrize("unit", [1.0, 1e-7, 1e7])
def test_a_flat_direction_is_found_whatever_the_scales(unit):
    """Two parameters enter as a sum: what depends on the sum alone has its variance."""
    scale = np.diag([1.0, unit, 1.0])
    whole = np.array([[1.0, 1.0, 0.3], [1.0, 1.0, 0.3], [0.3, 0.3, 1.0]])
    found = spread(scale @ whole @ scale)
    functions = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [2.0, 2.0, -1.0]]) @ scale
    expected = 2.0 * np.linalg.inv(np.array([[1.0, 0.3], [0.3, 1.0]]))
    combined_ = [expected[0, 0], expected[1, 1], np.nan, [2, -1] @ expected @ [2, -1]]
    np.testing.assert_allclose(found.variances(functions), combined_, rtol=1e-9)
    assert found.open.shape == (3, 1)


def test_curvature_is_in_the_units_of_the_data():
    """One variance in balanced data, where the two mean squares are independent."""
    fit = fitted("dyestuff", "REML")
    found = fit.estimates.curvature
    slopes = np.array([found.slopes[0][0, 0, 0], 0.0])
    T = float(fit.estimates.factors[0][0, 0] ** 2)
    ratio = 5 * T + 1  # of the mean squares, whose logs have the variances 2 / 5 and 2 / 24
    assert slopes @ found.spread.covariance @ slopes == pytest.approx(
        (ratio / 5) ** 2 * (2 / 5 + 2 / 24), rel=1e-6
    )
    assert found.spread.covariance[1, 1] == pytest.approx(1 / 48, rel=1e-6)
    # T falls where sigma rises: cov(T, log sigma) = -(ratio / 5) var(log within) / 2
    assert slopes @ found.spread.covariance[:, 1] == pytest.approx(-(ratio / 5) / 24, rel=1e-6)


def test_information_that_the_fixed_effects_have_taken_is_none():
    whole = np.array([[1.0, 0.3], [0.3, 1.0]])
    for share, told in ((1.1e-10, True), (0.9e-10, False)):
        found = spread(whole, np.array([1.0 / share, 1.0]))
        assert found.open.shape == (2, 0 if told else 1)
        assert np.isfinite(found.variances(np.eye(2))[0]) == told
        expected = 2.0 / (1.0 - 0.09) if told else 2.0
        assert found.variances(np.eye(2))[1] == pytest.approx(expected, rel=1e-12)
        assert found.size[0] == pytest.approx(1.0 if told else share**-0.5)


def test_what_bends_down_by_rounding_is_flat():
    for value, flat in ((-0.9e-8, True), (-1.1e-8, False)):
        matrix = np.array([[1.0, 1.0 - value], [1.0 - value, 1.0]])
        if flat:
            assert spread(matrix).open.shape == (2, 1)
        else:
            with pytest.raises(lmmkit.FitError, match="does not curve upwards"):
                spread(matrix)


def test_functions_lean_on_what_is_open_by_a_share_of_their_gradients():
    found = spread(np.diag([1.0, 4.0, 0.0]))
    gradients = np.array([[1.0, 0.0, 0.9e-6], [1.0, 0.0, 1.1e-6], [0.0, 2.0, 0.9e-6], [0.0, 2.0, -1.1e-6]])
    assert found.leaning(gradients).tolist() == [False, True, False, True]
    assert np.isnan(found.variances(gradients)).tolist() == [False, True, False, True]
    assert found.variances(gradients)[[0, 2]] == pytest.approx([2.0, 2.0])
    assert spread(np.eye(2)).leaning(np.eye(2)).tolist() == [False, False]
