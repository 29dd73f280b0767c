"""Whitened rows as a source of cross-products: derivatives, where a search begins, memory's limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.differences import differences
from support.rowwise import a_point, dense_derivatives, trial

from lmmkit.engine.crossproducts import whitened as module
from lmmkit.engine.crossproducts.whitened import Whitened
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError

PAIRS = [
    ("car1", "1|g"),
    ("expsp nugget", "1|g + 1|i"),
    ("power * cs", "1|s + x|g"),
    ("exp", ""),
    ("ar1h", "m"),
]


@pytest.fixture(params=PAIRS, ids=" ".join)
def made(request):
    """The set-up, a point, and whether it is REML's."""
    name, effects = request.param
    reml = len(effects) != 3
    setup = set_up(trial(name, effects, weighted=effects == "1|g"), reml=reml)
    assert isinstance(setup.criterion.source, Whitened)
    return setup, a_point(setup), reml


def test_deviance_gradient_and_average_information_are_those_of_dense_algebra(made):
    setup, theta, reml = made
    at = setup.criterion.evaluate(theta)
    deviance, gradient, H = dense_derivatives(setup, theta, at, reml)
    assert at.deviance == pytest.approx(deviance, abs=1e-9)
    np.testing.assert_allclose(at.gradient, gradient, atol=2e-6)
    np.testing.assert_allclose(at.hessian, H, atol=1e-5 * np.abs(H).max())


def test_cross_products_move_with_rho(made):
    setup, theta, _ = made
    m, at = setup.layout.count, setup.criterion.evaluate(theta)

    def F(rho):
        return setup.criterion.evaluate(np.append(theta[:m], rho)).forward.F

    found = setup.criterion.source.slopes(theta[m:], at.adjoint)
    np.testing.assert_allclose(found, differences(F, theta[m:]), atol=1e-6 * np.abs(at.forward.F).max())


def test_the_last_rows_and_sums_are_kept_for_their_rho_alone(made):
    source, rho = made[0].criterion.source, made[1][made[0].layout.count :]
    assert source.at(rho) is source.at(rho.copy())
    assert source.sums(rho)[0] is source.sums(rho.copy())[0]
    other, before = rho + 0.1, source.moments(rho)
    assert source.moments(other)[1] != before[1]
    assert source.at(other).rho.tolist() == other.tolist()
    np.testing.assert_array_equal(source.moments(rho)[0].total, before[0].total)


def test_starts_are_of_the_process_beside_those_of_the_variance():
    none, slope = (
        set_up(trial(name, "1|s"), reml=True).criterion.source.starts() for name in ("car1", "power")
    )
    both = set_up(trial("power * car1", "1|s"), reml=True).criterion.source.starts()
    assert len(slope) == 2
    assert slope[0].tolist() == [0.0]
    np.testing.assert_allclose(both, [[*a, *b] for a in slope for b in none], atol=1e-12)


def test_starts_over_visits_are_of_the_moments_of_what_the_variance_leaves():
    setup = set_up(trial("power * cs", "1|s"), reml=True)
    source, problem = setup.criterion.source, setup.problem
    e, visits = setup.prepared.rows[-1], problem.residual.over_visits
    first, slope = (x[0] for x in (source.starts()[0], source.starts()[-1]))
    assert first == 0.0
    expected = []
    for own in (0.0, slope):
        u, sums, pairs = e / problem.residual.covariate**own, np.zeros((4, 4)), np.zeros((4, 4))
        for subject in np.unique(visits.subjects):
            for a in np.flatnonzero(visits.subjects == subject):
                for b in np.flatnonzero(visits.subjects == subject):
                    sums[visits.cells[a], visits.cells[b]] += u[a] * u[b]
                    pairs[visits.cells[a], visits.cells[b]] += 1
        expected += [[own, *rho] for rho in visits.structure.starts(sums, pairs)]
    np.testing.assert_allclose(source.starts(), expected, atol=1e-10)


def test_starts_of_visits_alone_are_those_of_the_structure():
    setup = set_up(trial("ar1h", "1|g"), reml=True)
    residual, e = setup.problem.residual, setup.prepared.rows[-1]
    sums, pairs = module._visit_moments(residual, e)
    assert pairs.diagonal().tolist() == np.bincount(residual.cells).tolist()
    assert sums.diagonal() == pytest.approx(np.bincount(residual.cells, e**2))
    np.testing.assert_array_equal(setup.criterion.source.starts(), residual.structure.starts(sums, pairs))


def mixed(problem, *, serial):
    """Numbers of mixed columns: rows meet those of their subject, in time that before; others are thinned."""
    (term,), n = problem.terms, len(problem.response)
    pairs = 2.0 * n if serial else (np.bincount(problem.residual.subjects) ** 2.0).sum()
    return max(pairs * len(term.columns), n * term.levels * len(term.columns) / 50.0)


@pytest.mark.parametrize(("name", "effects"), [("car1", "x|i"), ("expsp", "1|i"), ("ar1h", "x|i")])
def test_crossed_columns_that_are_mixed_have_a_limit(name, effects, monkeypatch):
    assert (module.MIXED, module.THINNED) == (2e8, 50.0)
    problem = trial(name, effects)
    most = mixed(problem, serial=name == "car1")
    monkeypatch.setattr(module, "MIXED", most)
    assert set_up(problem, reml=True)
    monkeypatch.setattr(module, "MIXED", most * (1.0 - 1e-9))
    n, q = len(problem.response), 5 * len(problem.terms[0].columns)
    with pytest.raises(FitError, match=rf"each of {n} rows meets many of its {q} random effects: some "):
        set_up(problem, reml=True)


def test_many_columns_count_though_few_rows_are_mixed(monkeypatch):
    problem = trial("car1", "1|i")
    monkeypatch.setattr(module, "THINNED", 0.5)
    n = len(problem.response)
    monkeypatch.setattr(module, "MIXED", n * 5 / 0.5)
    assert set_up(problem, reml=True)
    monkeypatch.setattr(module, "MIXED", n * 5 / 0.5 - 1.0)
    with pytest.raises(FitError, match=r"of at most \d"):
        set_up(problem, reml=True)


def test_levels_that_hold_whole_subjects_mix_nothing(monkeypatch):
    monkeypatch.setattr(module, "MIXED", 0.0)
    problem = trial("car1", "1|s + x|g")
    assert set_up(problem, reml=True)
    items = replace(problem.terms[0], factor=7, codes=np.zeros(len(problem.response), int), levels=1)
    assert set_up(replace(problem, terms=(*problem.terms, items)), reml=True)
