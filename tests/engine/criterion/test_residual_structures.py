"""Every residual structure against its definition: derivatives, dense algebra, recovery."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from support.differences import differences
from support.visits import STRUCTURES, dense_deviance, trial, true_rho

from lmmkit.engine.criterion.criterion import NOTHING, Held
from lmmkit.engine.crossproducts import product_sources
from lmmkit.engine.problem import Residual
from lmmkit.engine.setup import set_up
from lmmkit.engine.solve import solve


@pytest.fixture(params=STRUCTURES)
def name(request):
    return request.param


@cache
def fitted(name, reml=True):
    """A trial and its fit, which several tests look at."""
    problem = trial(name)
    return problem, solve(problem, reml=reml)


def derivatives(criterion, rho, held=NOTHING):
    """The gradient and the Hessian by differences, (m,) and (m, m)."""

    def both(x):
        at = criterion.evaluate(x, held)
        return np.append(at.deviance, at.gradient)

    found = differences(both, rho)
    return found[:, 0], found[:, 1:]


@pytest.mark.parametrize(("reml", "weighted"), [(True, True), (False, False)])
def test_deviance_gradient_and_hessian(name, reml, weighted):
    problem = trial(name, weighted=weighted)
    criterion = set_up(problem, reml=reml).criterion
    rho = true_rho(problem.residual.structure, seed=5)
    at = criterion.evaluate(rho)
    assert at.deviance == pytest.approx(dense_deviance(problem, rho, reml), abs=1e-9)
    slope, curvature = derivatives(criterion, rho)
    np.testing.assert_allclose(at.gradient, slope, atol=1e-6)
    np.testing.assert_allclose(at.hessian, curvature, atol=1e-5)


@pytest.mark.parametrize("reml", [True, False])
def test_derivatives_where_sigma_or_a_contrast_is_held(name, reml):
    problem = trial(name)
    criterion = set_up(problem, reml=reml).criterion
    rho = true_rho(problem.residual.structure, seed=5)
    for held in (Held(precision=1.3), Held(contrast=(np.eye(criterion.p)[1], 0.3))):
        at = criterion.evaluate(rho, held)
        slope, curvature = derivatives(criterion, rho, held)
        np.testing.assert_allclose(at.gradient, slope, atol=1e-6)
        np.testing.assert_allclose(at.hessian, curvature, atol=1e-5)


def test_cross_products_move_with_rho(name):
    problem = trial(name)
    source = set_up(problem, reml=True).criterion.source
    rho = true_rho(source.structure, seed=5)
    np.testing.assert_allclose(
        source.slopes(rho), differences(lambda x: source.moments(x)[0].total, rho), atol=1e-6
    )


def test_sums_of_rows_are_those_of_patterns(name, monkeypatch):
    """Where patterns have few subjects each, rows stand for their sums."""
    problem = trial(name)
    at = set_up(problem, reml=True).criterion.evaluate(true_rho(problem.residual.structure, seed=5))
    for most, kind in ((0, "RowSums"), (10**9, "GramSums")):
        monkeypatch.setattr(product_sources, "MOST", most)
        monkeypatch.setattr(product_sources, "CHUNK", 1)
        criterion = set_up(problem, reml=True).criterion
        assert kind in {type(group).__name__ for group in criterion.source.groups}
        other = criterion.evaluate(at.theta)
        assert other.deviance == pytest.approx(at.deviance, abs=1e-10)
        np.testing.assert_allclose(other.gradient, at.gradient, atol=1e-9)
        np.testing.assert_allclose(other.hessian, at.hessian, atol=1e-9)


def test_the_order_of_rows_and_the_numbers_of_subjects_do_not_matter(name):
    problem, one = fitted(name)
    order = np.random.default_rng(4).permutation(len(problem.response))
    residual = problem.residual
    turned = residual.subjects.max() - residual.subjects
    other = replace(
        problem,
        columns=tuple(c if c.strides == (0,) else c[order] for c in problem.columns),
        response=problem.response[order],
        residual=Residual(residual.structure, residual.cells[order], turned[order]),
    )
    two = solve(other)
    assert one.deviance == pytest.approx(two.deviance, abs=1e-9)
    np.testing.assert_allclose(one.rho, two.rho, atol=1e-7)
    np.testing.assert_allclose(one.beta, two.beta, atol=1e-8)


@pytest.mark.parametrize("reml", [True, False])
def test_the_optimum_is_one_by_dense_algebra(name, reml):
    problem, found = fitted(name, reml)
    assert found.converged
    assert all(check.passed for check in found.checks)
    slope = differences(lambda x: np.array(dense_deviance(problem, x, reml)), found.rho, 1e-4)
    np.testing.assert_allclose(slope, 0.0, atol=2e-5)
    assert found.deviance == pytest.approx(dense_deviance(problem, found.rho, reml), abs=1e-9)


def test_what_was_simulated_is_recovered(name):
    structure = STRUCTURES[name]
    problem = trial(name, subjects=4000, seed=11)
    found, rho = solve(problem), true_rho(structure)
    errors = np.sqrt(2.0 * np.linalg.inv(found.optimum.state.hessian).diagonal())
    assert np.all(np.abs(found.rho - rho) < 4.0 * errors)
    assert np.all(errors < 0.2)
    assert found.sigma == pytest.approx(1.5, rel=0.1)


@pytest.mark.parametrize("algorithm", ["em-newton", "pls", "direct"])
@pytest.mark.parametrize("name", ["un", "cs", "toeph", "adh", "ident(f) * ar1", "csh by arm"])
def test_other_algorithms_end_at_the_same_optimum(name, algorithm):
    problem, one = fitted(name)
    other = solve(problem, algorithm=algorithm)
    assert other.converged
    assert other.deviance == pytest.approx(one.deviance, abs=1e-7)
    np.testing.assert_allclose(other.rho, one.rho, atol=2e-3)


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_the_unit_of_the_response_does_not_matter(name, factor):
    problem, one = fitted(name)
    other = solve(replace(problem, response=factor * problem.response))
    np.testing.assert_allclose(other.rho, one.rho, atol=1e-7)
    assert other.sigma == pytest.approx(factor * one.sigma, rel=1e-9)
    assert other.evaluations == one.evaluations
