"""Conditions of an optimum and zeros that are made exact: each threshold on both sides."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from engine.search.test_guards import ROWS, one_way
from engine.search.test_search import random_problem
from engine.test_setup import problem_of
from scipy.optimize import brentq
from support.visits import trial

from lmmkit.engine.covariance.residual_structure import one_correlation
from lmmkit.engine.covariance.row_structure import RowStructure
from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.crossproducts.whitening import serial
from lmmkit.engine.problem import Problem, Residual, RowResidual, Term
from lmmkit.engine.rules import SEARCH
from lmmkit.engine.search.newton import Newton
from lmmkit.engine.search.optimality import least_curvature, optimality, set_null, set_uncorrelated
from lmmkit.engine.search.profiled_deviance import ProfiledDeviance
from lmmkit.engine.search.runaway import NEARLY_SINGULAR, refuse_flat, refuse_no_optimum, runaway
from lmmkit.engine.setup import set_up
from lmmkit.errors import FitError


def at(problem, theta):
    """A setup with its criterion at a place."""
    setup = set_up(problem, reml=True)
    return setup, setup.criterion.evaluate(np.asarray(theta, float))


def serial_problem(seed=0, subjects=12, rows=6, effect=-0.4):
    """Rows whose neighbours are correlated, negatively by default."""
    rng = np.random.default_rng(seed)
    g, t = np.repeat(np.arange(subjects), rows), np.tile(np.arange(float(rows)), subjects)
    e = rng.normal(size=len(g))
    y = e.copy()
    y[1:] += effect * e[:-1]
    residual = RowResidual(RowStructure(None, serial(g, t)), g, None, times=t)
    return Problem((np.ones(len(g)),), (0,), y, (), residual=residual)


RULES = {
    "Newton decrement": "found",
    "complementarity": "complementarity",
    "multipliers": "multiplier",
    "curvature": "flat",
}


def test_each_condition_holds_up_to_its_threshold_and_no_further():
    seen = set()
    for problem, theta in ((one_way(3.0), [0.0]), (random_problem(3), None)):
        setup = set_up(problem, reml=True)
        theta = np.full(setup.layout.count, 0.3) if theta is None else np.array(theta)
        point = setup.criterion.evaluate(theta)
        for check in optimality(point, setup.scale, 2e-7, SEARCH):
            rule, size = RULES[check.name.split(":")[0].split(" (")[0]], abs(check.value)
            wrong = check.value < 0 if rule in ("multiplier", "flat") else check.value > 0
            for share, passed in ((0.99, not wrong), (1.01, True)):
                rules = replace(SEARCH, **{rule: share * size})
                again = optimality(point, setup.scale, 2e-7, rules)
                (found,) = (c for c in again if c.name == check.name)
                assert found.passed == passed
                assert found.value == check.value
                assert abs(found.threshold) == share * size
                assert found.threshold <= 0 or rule in ("found", "complementarity")
            if wrong:
                seen.add(rule)
    assert seen == set(RULES.values())


def test_the_conditions_are_those_of_the_cone():
    setup, point = at(random_problem(3), np.full(set_up(random_problem(3), reml=True).layout.count, 0.3))
    checks = {c.name.split(":")[0]: c.value for c in optimality(point, setup.scale, 0.0, SEARCH)}
    slopes, steps = [], []
    for factor, L, D, s in zip(setup.layout.factors, point.L, point.D, setup.scale, strict=True):
        for cone in factor.structure.cones:
            here, size = np.ix_(cone, cone), np.outer(s, s)
            slopes.append(np.linalg.eigvalsh((D / size)[here])[0] / factor.levels)
            steps.append(np.abs((L.T @ D @ L)[here]).max() / factor.levels)
    assert checks["multipliers"] == pytest.approx(min(slopes))
    assert checks["complementarity"] == pytest.approx(max(steps))
    values = np.linalg.eigvalsh(point.hessian)
    assert checks["curvature"] == least_curvature(point) == pytest.approx(values[0] / values[-1])


def test_without_random_effects_there_is_no_cone():
    problem = trial("ar1")
    setup, point = at(problem, [0.2])
    names = [check.name for check in optimality(point, setup.scale, 0.0, SEARCH)]
    assert len(names) == 2
    assert least_curvature(point) == 1.0


def test_coordinates_of_what_is_zero_are_left_out_of_the_curvature():
    _, point = at(one_way(0.5), [0.0])
    assert least_curvature(point) == 1.0
    problem = serial_problem()
    structure = problem.residual.structure
    setup = set_up(problem, reml=True)
    none = structure.uncorrelated(np.array([0.0]))
    assert least_curvature(setup.criterion.evaluate(none)) == 1.0
    _, point = at(trial("csh"), [0.2, -0.1, 0.3, 0.1])
    values = np.linalg.eigvalsh(point.hessian)
    assert least_curvature(point) == pytest.approx(values[0] / values[-1])


@pytest.mark.parametrize(
    ("ratio", "theta", "rule", "value"),
    [
        (0.9, 0.02, "suspect", lambda setup, point, zero: point.L[0][0, 0] ** 2 * setup.scale[0][0] ** 2),
        (1.1, 0.1, "negligible", lambda setup, point, zero: zero.deviance - point.deviance),
        (
            1.1,
            0.02,
            "null_multiplier",
            lambda setup, point, zero: -zero.D[0][0, 0] / setup.scale[0][0] ** 2 / 6,
        ),
    ],
)
def test_a_variance_is_zeroed_up_to_each_threshold(ratio, theta, rule, value):
    """What is small enough in all three regards: its size, what the deviance says, its multiplier."""
    setup, point = at(one_way(ratio), [theta / set_up(one_way(ratio), reml=True).scale[0][0] * ROWS**0.5])
    limit = value(setup, point, setup.criterion.evaluate(np.zeros(1)))
    assert limit > 0
    wide = replace(SEARCH, suspect=1e3, negligible=1e3, null_multiplier=1e3)
    for share, zeroed in ((1.01, True), (0.99, False)):
        found = set_null(point, setup.scale, replace(wide, **{rule: share * limit}))
        assert (found.L[0][0, 0] == 0.0) == zeroed


def test_all_null_directions_of_a_matrix_are_zeroed_one_after_the_other():
    setup = set_up(problem_of(6, 8, k=3), reml=True)
    point = setup.criterion.evaluate(np.array([3e-7, 1e-7, 1e-7, 2e-7, 1e-7, 1e-7]))
    found = set_null(point, setup.scale, replace(SEARCH, suspect=1e3, negligible=1e3, null_multiplier=1e9))
    assert not found.L[0].any()


def test_a_correlation_that_has_faded_goes_where_the_deviance_does_not_notice():
    problem = serial_problem(effect=0.05)
    structure, setup = problem.residual.structure, set_up(problem, reml=True)
    rho = np.array([structure.correlation.coordinate(5e-3)])
    point = setup.criterion.evaluate(rho)
    cost = setup.criterion.evaluate(structure.uncorrelated(rho)).deviance - point.deviance
    for share, gone in ((0.99, cost < 0), (1.01, True)):
        found = set_uncorrelated(point, replace(SEARCH, negligible=share * abs(cost)))
        assert structure.no_correlation(found.rho) == gone
    near = setup.criterion.evaluate(np.array([structure.correlation.coordinate(0.02)]))
    assert set_uncorrelated(near, replace(SEARCH, negligible=1e9)) is near


# Moves of the fit's objective beside those of T


def objective_of(problem):
    setup = set_up(problem, reml=True)
    return ProfiledDeviance(setup.criterion, setup.scale, SEARCH)


def test_where_the_deviance_still_falls_far_along_a_step_it_is_refused():
    objective = objective_of(serial_problem(effect=0.8))
    point = objective.evaluate(np.array([0.0]))
    down = -np.sign(point.gradient) * 0.05
    with pytest.raises(FitError, match=r"no best parameters: range = 1 and (rising|falling)"):
        objective.refuse_runaway(point, down)
    objective.refuse_runaway(point, -down)
    objective.refuse_runaway(point, 100.0 * down)  # beyond the optimum, and higher
    faded = objective.evaluate(np.array([objective.criterion.source.structure.correlation.coordinate(5e-3)]))
    objective.refuse_runaway(faded, -np.sign(faded.gradient) * 1e-3)  # its boundary is an end


def test_where_the_data_do_not_tell_a_parameter_that_is_what_is_said():
    """Within subjects alone nothing tells of a correlation common to all pairs."""
    subject, visit = np.repeat(np.arange(20), 3), np.tile(np.arange(3), 20)
    columns = tuple((subject == k) * 1.0 for k in range(20))
    structure = one_correlation("cs", (1, 2, 3), ("1", "2", "3"))
    y = np.random.default_rng(0).normal(size=60)
    residual = Residual(structure, visit, subject)
    objective = objective_of(Problem(columns, tuple(range(20)), y, (), residual=residual))
    for step in (1.0, -1.0):
        with pytest.raises(FitError, match="do not tell rho of the residual structure"):
            objective.refuse_runaway(objective.evaluate(np.zeros(1)), np.array([step]))


def test_a_flat_direction_is_told_in_the_parameters_that_are_printed():
    """A partial autocorrelation moves the correlations at its distance and at all longer ones."""
    structure = one_correlation("toep", (1, 2, 3, 4), ("1", "2", "3", "4"))
    rho = np.array([0.8, 0.0, 0.0])
    source = SimpleNamespace(source=SimpleNamespace(structure=structure))
    for flat, told in enumerate([r"rho\.1, rho\.2, rho\.3", r"rho\.2, rho\.3", r"rho\.3"]):
        curvatures = np.diag(np.where(np.arange(3) == flat, 0.0, 1.0))
        point = SimpleNamespace(criterion=source, rho=rho, hessian=curvatures, gradient=np.zeros(3))
        with pytest.raises(FitError, match=rf"do not tell {told} of the residual structure"):
            refuse_flat(point)


def test_where_no_deviance_is_left_far_along_a_step_it_is_refused():
    objective = objective_of(serial_problem(effect=0.8))
    with pytest.raises(FitError, match="no best parameters"):
        objective.refuse_runaway(objective.evaluate(np.zeros(1)), np.array([100.0]))


def test_what_is_said_of_a_range_that_runs_away_is_which_way():
    objective = objective_of(serial_problem(effect=0.8))
    point = objective.evaluate(np.array([0.0]))
    way = "rising" if point.gradient[0] < 0 else "falling"
    with pytest.raises(FitError, match=f"range = 1 and {way}, without end"):
        objective.refuse_runaway(point, -np.sign(point.gradient) * 0.05)


def test_the_way_back_from_an_endless_range_is_looked_at_in_nine_places():
    objective = objective_of(serial_problem())
    far = objective.evaluate(np.array([12.0]))
    places = [float(x[0]) for x in objective.back(far, np.array([2.0]))]
    assert places == pytest.approx(np.arange(3.0, 12.0))
    assert list(objective.back(far, None)) == []
    assert objective.back(objective.evaluate(np.array([2.0])), np.array([1.0])) is None
    with pytest.raises(FitError, match=r"its range grows without bound \(range = 1.63e\+05\)"):
        objective.refuse_endless(far)


def test_a_search_goes_back_from_an_endless_range_to_a_lower_place():
    objective = objective_of(serial_problem(effect=0.8))
    far, before = objective.evaluate(np.array([12.0])), np.array([0.5])
    newton = Newton(objective, far, SEARCH, previous=(before, before))
    newton.run(SEARCH.limit)
    assert [line.step for line in newton.history][:2] == ["start", "back"]
    assert newton.converged


def test_a_process_may_come_back_from_no_correlation():
    objective = objective_of(serial_problem())
    structure = objective.criterion.source.structure
    none = objective.evaluate(structure.uncorrelated(np.zeros(1)))
    assert len(list(objective.off_saddle(none))) == 6
    assert list(objective.off_saddle(objective.evaluate(np.zeros(1)))) == []


def test_a_saddle_of_visits_alone_is_left_along_its_negative_curvature():
    problem = trial("csh")
    objective = objective_of(problem)
    for rho in (np.full(4, 3.0), np.full(4, 0.2)):
        point = objective.evaluate(rho)
        values, vectors = np.linalg.eigh(point.hessian)
        ways = np.array(list(objective.off_saddle(point))).reshape(-1, 4)
        if values[0] > 0:
            assert len(ways) == 0
            continue
        expected = [rho + sign * size * vectors[:, 0] for size in SEARCH.sizes for sign in (1, -1)]
        np.testing.assert_allclose(ways, expected)


def test_steps_are_measured_in_the_units_of_residual_coordinates():
    problem = trial("un")
    objective = objective_of(problem)
    rho = np.linspace(-0.5, 0.7, problem.residual.structure.count)
    point = objective.evaluate(rho)
    units = problem.residual.structure.units(rho)
    np.testing.assert_array_equal(objective.units(point), units)
    step = np.linspace(1.0, -3.0, len(rho))
    assert objective.length(point, step) == pytest.approx((np.abs(step) / units).max())
    plain = objective_of(one_way(3.0))
    assert plain.length(plain.evaluate(np.ones(1)), np.full(1, 9.0)) == 0.0
    assert objective.exact
    assert not objective.drifts
    assert not objective.has_em
    assert plain.has_em
    assert not plain.exact
    mixed = serial_problem()
    term = Term(0, mixed.residual.subjects, 12, (0,), Unstructured(1))
    assert objective_of(replace(mixed, terms=(term,))).drifts
    assert not plain.drifts


# What is refused in the end, on both sides


def said(call):
    """What a call refuses, or nothing."""
    try:
        call()
    except FitError as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize(("share", "told"), [(0.9e-6, True), (1.1e-6, False)])
def test_a_correlation_is_at_its_bound_within_a_millionth_of_its_range(share, told):
    objective = objective_of(trial("cs"))
    point = objective.evaluate(np.array([np.log(share / (1.0 - share))]))
    words = said(lambda: refuse_no_optimum(point, converged=True))
    assert ("has run to its lower bound, -0.333333" in words) == told


@pytest.mark.parametrize("converged", [True, False])
@pytest.mark.parametrize(("least", "told"), [(0.9, True), (1.1, False)])
def test_a_search_that_has_not_ended_is_asked_for_a_singular_matrix(least, told, converged):
    objective = objective_of(trial("ar1"))
    structure = objective.criterion.source.structure
    smallest = lambda x: np.linalg.eigvalsh(structure.matrix(np.array([x])))[0]  # noqa: E731
    x = brentq(lambda x: smallest(x) / (least * NEARLY_SINGULAR) - 1.0, 3.0, 30.0)
    point = objective.evaluate(np.array([x]))
    words = said(lambda: refuse_no_optimum(point, converged=converged))
    assert ("determine each other" in words) == (told and not converged)


def test_of_many_parameters_that_run_away_four_are_named():
    objective = objective_of(trial("un"))
    structure = objective.criterion.source.structure
    point = objective.evaluate(np.linspace(-0.2, 0.3, structure.count))
    words = runaway(point, np.linspace(1.0, 2.0, structure.count))
    assert words.count(" = ") == 4
    assert f"; and {structure.count - 4} more, without end" in words
    few = runaway(point, np.eye(structure.count)[0])
    assert "more" not in few.split(", without end")[0]
    assert all(
        f"{name} = {value:.6g} and " in words
        for name, value in zip(structure.names[:4], structure.natural(point.rho)[:4], strict=True)
    )


def test_visits_that_determine_each_other_are_named_and_no_others():
    point = objective_of(trial("un")).evaluate(np.array([1.0, 0, 0, np.log(1e-3), 0, 0, 0, 0, 0]))
    words = said(lambda: refuse_no_optimum(point, converged=False))
    assert "likelihood: visit 1, visit 2 determine each other" in words


def test_where_rows_are_independent_the_range_does_not_matter():
    objective = objective_of(serial_problem())
    structure = objective.criterion.source.structure
    none = objective.evaluate(structure.uncorrelated(np.zeros(1)))
    assert said(lambda: refuse_no_optimum(none, converged=True)) == ""
    far = objective.evaluate(np.array([np.log(1e8)]))
    assert "range of the residual structure" in said(lambda: refuse_no_optimum(far, converged=True))
