"""The search over the parameters of a residual structure: what it costs, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_visits import THREE, noise, over, problem_of, rows
from support.visits import STRUCTURES, trial

from lmmkit.engine.covariance.residual_structure import one_correlation
from lmmkit.engine.criterion.hessian import Point
from lmmkit.engine.crossproducts.whitening import root_of
from lmmkit.engine.problem import Problem, Residual
from lmmkit.engine.rules import SEARCH
from lmmkit.engine.search.newton import minimise
from lmmkit.engine.search.search import Objective
from lmmkit.engine.solve import solve
from lmmkit.errors import FitError

# What it costs


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", ["un", "un by arm"])
def test_complete_unstructured_visits_take_one_evaluation(name, reml):
    found = solve(trial(name, complete=True), reml=reml)
    assert found.evaluations == 1
    assert found.converged


@pytest.mark.parametrize(("seed", "reml"), [(0, True), (1, False), (2, True), (3, False)])
@pytest.mark.parametrize("name", [name for name in STRUCTURES if name not in {"ident(f) * un", "un by arm"}])
def test_few_evaluations_find_the_optimum(name, seed, reml):
    assert solve(trial(name, subjects=100, seed=seed), reml=reml).evaluations <= 5


def test_a_warm_start_at_the_optimum_takes_one():
    problem = trial("ar1h")
    found = solve(problem)
    again = solve(problem, rho=found.rho)
    assert again.evaluations == 1
    assert again.deviance == pytest.approx(found.deviance, abs=1e-10)


def test_many_patterns_of_missing_visits():
    """Each subject with a pattern of its own, nearly: the sums grow with the patterns."""
    rng, times = np.random.default_rng(8), tuple(range(12))
    structure = one_correlation("ar1", times, [str(t) for t in times])
    visit, subject = rows(80, 12)
    keep = rng.random(len(visit)) > 0.4
    visit, subject = visit[keep], np.unique(subject[keep], return_inverse=True)[1]
    residual = Residual(structure, visit, subject)
    y = root_of(residual, np.array([1.0])).unwhite(rng.normal(size=(1, len(visit))))[0]
    found = solve(problem_of(structure, visit, subject, y))
    assert structure.natural(found.rho)[0] == pytest.approx(np.tanh(1.0), abs=0.1)


def test_whitened_residuals_are_those_that_were_coloured():
    residual = trial("un by arm", shuffled=True).residual
    root = root_of(residual, np.full(residual.structure.count, 0.3))
    z = noise(2 * len(residual.cells)).reshape(2, -1)
    np.testing.assert_allclose(root.white(root.unwhite(z)), z, atol=1e-12)


def test_visits_of_very_different_size_keep_their_digits():
    visit, subject = rows(30)
    y = (noise(90).reshape(30, 3) @ np.array([[1, 0.5, 0.2], [0, 0.9, 0.3], [0, 0, 0.8]])).ravel()
    columns = ((visit == 1) * 1.0, (visit == 2) * 1.0)
    one = solve(problem_of(over("un"), visit, subject, y, columns))
    scale = np.array([1.0, 100.0, 0.01])
    other = solve(problem_of(over("un"), visit, subject, y * scale[visit], columns))
    names = one.optimum.criterion.source.structure.names
    for name, a, b in zip(names, *(over("un").natural(f.rho) for f in (one, other)), strict=True):
        factor = scale[THREE.index(name.split(".")[1])] if name.startswith("ratio") else 1.0
        assert b == pytest.approx(a * factor, rel=1e-6)


# What it refuses before


def refused(match, problem, **options):
    with pytest.raises(FitError, match=match):
        solve(problem, **options)


def test_a_start_of_another_shape():
    refused("2 finite numbers were expected|numbers were expected", trial("cs"), rho=np.zeros(3))


@pytest.mark.parametrize("algorithm", ["em", "em-accelerated"])
def test_em_has_no_step(algorithm):
    refused("no step for the parameters of a residual structure", trial("cs"), algorithm=algorithm)


# What it refuses in the end


def test_a_visit_without_variance():
    visit, subject = rows(10)
    refused(
        "variance at visit 1", problem_of(over("un"), visit, subject, np.where(visit == 0, 3.0, noise(30)))
    )


@pytest.mark.parametrize("heterogeneous", [False, True])
def test_compound_symmetry_at_its_bound(heterogeneous):
    e = noise(60).reshape(20, 3)
    e = (e - e.mean(axis=1, keepdims=True)).ravel()
    structure = over("cs", heterogeneous=heterogeneous)
    refused("lower bound, -0.5", problem_of(structure, *rows(20), e))


@pytest.mark.parametrize("correlation", ["un", "cs", "ar1", "toep", "ad"])
def test_visits_that_are_copies(correlation):
    visit, subject = rows(20)
    y = noise(20)[subject] + visit
    refused("determine each other", problem_of(over(correlation), visit, subject, y, (visit * 1.0,)))


def test_a_correlation_that_fixed_effects_leave_no_trace_of():
    """Within subjects alone nothing tells of a correlation common to all pairs."""
    visit, subject = rows(20)
    dummies = tuple((subject == k) * 1.0 for k in range(1, 20))
    refused("do not tell rho", problem_of(over("cs"), visit, subject, noise(60), dummies))


def test_a_likelihood_without_a_bound():
    """Two subjects alone have all visits: some combination of them is zero in both."""
    visit, subject = rows(9, 4)
    keep = (subject < 2) | (visit != subject % 4)
    structure = over("un", tuple("abcd"), range(4))
    with pytest.raises(FitError, match="determine each other"):
        solve(problem_of(structure, visit[keep], subject[keep], noise(keep.sum(), 6)))


def test_a_pair_of_visits_in_one_subject_alone():
    """Its correlation can be anything, and the deviance falls to a limit where the matrix is singular."""
    rng, (visit, subject) = np.random.default_rng(1), rows(30)
    y = rng.normal(size=(30, 3)) @ np.linalg.cholesky(0.6 + 0.4 * np.eye(3)).T
    keep = ~((visit == 2) & (subject % 2 == 0) & (subject > 0)) & ~((visit == 0) & (subject % 2 == 1))
    refused("determine each other", problem_of(over("un"), visit[keep], subject[keep], y.ravel()[keep]))


def test_no_fixed_effects():
    residual = Residual(over("un"), *rows(20))
    found = solve(Problem((), (), noise(60), (), residual=residual))
    assert found.converged
    assert found.evaluations == 1


class Fading(Objective):
    """1 + exp(-z): Newton's step is 1 for ever, while the decrement fades."""

    def __init__(self):
        self.evaluated = 0

    @property
    def exact(self):
        return True

    def evaluate(self, theta):
        self.evaluated += 1
        point = Point()
        left = np.exp(-theta[0])
        point.theta, point.deviance, point.L = theta, 1.0 + left, []
        point.gradient, point.hessian = np.array([-left]), np.array([[left]])
        return point

    def length(self, point, step):
        return abs(step[0])

    def refuse_runaway(self, point, step):
        if self.evaluate(point.theta + 4.0 * step).deviance < point.deviance:
            raise FitError("without end")


def test_a_limit_that_no_value_reaches_is_seen_early():
    objective = Fading()
    with pytest.raises(FitError, match="without end"):
        minimise(objective, np.zeros(1), SEARCH)
    assert objective.evaluated < 12


@pytest.mark.parametrize("correlation", ["cs", "ar1", "ad", "toep"])
def test_a_likelihood_that_grows_at_an_even_rate_is_not_called_flat(correlation):
    visit, subject = rows(20, 2)
    alike = np.repeat(noise(20, 1), 2)
    refused("grows at an even rate", problem_of(over(correlation, ("1", "2"), (1, 2)), visit, subject, alike))
