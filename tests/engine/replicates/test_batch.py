"""The batch against the search of one: the same steps, and the same guards."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from engine.search.test_guards import one_way
from support.designs import fitted, frame

from lmmkit.engine.replicates.batch_criterion import deviances, evaluate, fits_at, inverses
from lmmkit.engine.replicates.batch_newton import BatchNewton, start
from lmmkit.engine.replicates.batch_sums import share, summed
from lmmkit.engine.replicates.refit import refit
from lmmkit.engine.rules import BATCH, SEARCH
from lmmkit.engine.search.newton import minimise
from lmmkit.engine.search.profiled_deviance import ProfiledDeviance
from lmmkit.engine.setup import set_up
from lmmkit.model.design.design import build_design
from lmmkit.model.resampling.simulate import Simulator

DESIGNS = ["one factor", "slopes", "crossed", "nested and crossed", "three columns"]


def batch_of(problem, responses, *, reml):
    """The sums of a design, and of the responses in its columns."""
    shared = share(set_up(problem, reml=reml))
    return shared, summed(shared, responses)


def drawn(name, count):
    """A design with responses drawn from its fit."""
    e = fitted(name).estimates
    return e.problem, Simulator(e, 3).draw(0, count)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", DESIGNS)
def test_deviance_gradient_and_hessian_are_those_of_one_response(name, reml):
    problem, Y = drawn(name, 9)
    shared, responses = batch_of(problem, Y, reml=reml)
    theta = np.random.default_rng(2).normal(size=(shared.setup.layout.count, 9))
    together = evaluate(shared, responses, theta)
    np.testing.assert_array_equal(deviances(shared, responses, theta), together.deviance)
    for r, y in enumerate(Y.T):
        alone = set_up(replace(problem, response=y), reml=reml).criterion.evaluate(theta[:, r])
        assert together.deviance[r] == pytest.approx(alone.deviance, rel=1e-12)
        scale = np.abs(alone.hessian).max()
        np.testing.assert_allclose(together.gradient[:, r], alone.gradient, atol=1e-9 * scale)
        np.testing.assert_allclose(together.hessian[r], alone.hessian, atol=1e-9 * scale)
        np.testing.assert_allclose(together.beta[:, r], alone.beta, atol=1e-9)
        for D, own in zip(together.D, alone.D, strict=True):
            np.testing.assert_allclose(D[..., r], own, atol=1e-9 * np.abs(own).max())


def walked(shared, responses):
    """(deviance, decrement) at each place of each replicate, once however many steps were rejected there."""
    search = BatchNewton(shared, responses, BATCH)
    active = np.arange(len(search.state.deviance))
    paths = [list[tuple[float, float]]() for _ in active]
    while len(active):
        before = search.state.deviance.copy()
        now, active = active, search.advance(active)
        for r in now:
            place = (before[r], search.decrement[r])
            if not paths[r] or paths[r][-1] != place:
                paths[r].append(place)
    return paths


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", DESIGNS)
def test_each_replicate_walks_as_the_search_of_one_does(name, reml):
    """Place by place: the start, the deviances, the decrements, and where it stops."""
    problem, Y = drawn(name, 12)
    shared, responses = batch_of(problem, Y, reml=reml)
    paths = walked(shared, responses)
    starts = start(shared, responses, BATCH.floor)
    mine = {rule.name: getattr(BATCH, rule.name) for rule in fields(BATCH)}
    rules = replace(SEARCH, **mine, null_escapes=0, escapes=0)  # what the batch leaves to the search of one
    for r, y in enumerate(Y.T):
        setup = set_up(replace(problem, response=y), reml=reml)
        objective = ProfiledDeviance(setup.criterion, setup.scale, rules)
        theta = setup.start()
        np.testing.assert_allclose(starts[:, r], theta, rtol=1e-7, atol=1e-10)
        alone = minimise(objective, theta, rules)
        ours = [(line.deviance, line.decrement) for line in alone.history]
        said = [place for place in ours if place[1] > 1e-11]
        assert len(paths[r]) >= len(said)
        np.testing.assert_allclose([d for d, _ in paths[r][: len(said)]], [d for d, _ in said], rtol=1e-11)
        np.testing.assert_allclose(
            [d for _, d in paths[r][: len(said)]], [d for _, d in said], rtol=1e-3, atol=1e-12
        )
        assert abs(len(paths[r]) - len(ours)) <= 1


def columns(*ratios):
    """One design and a response for each ratio of mean squares."""
    problems = [one_way(ratio) for ratio in ratios]
    return problems[0], np.column_stack([p.response for p in problems])


def test_null_directions_are_zero_and_only_where_the_multiplier_allows():
    """Zero costs 2e-10 of deviance at a ratio 1e-5 above one: less than is noticed, but no optimum."""
    problem, Y = columns(3.0, 1.0 + 1e-5, 1.0 - 1e-5, 0.5)
    found = refit(problem, lambda first, count: Y[:, first : first + count], 4, reml=True)
    assert not found.alone.any()
    assert found.singular.tolist() == [False, False, True, True]
    expected = np.sqrt(np.array([2.0, 1e-5, 0.0, 0.0]) / 10)
    np.testing.assert_allclose(found.factors[0][:, 0, 0], expected, rtol=1e-3)


def test_a_replicate_that_ends_at_a_saddle_is_left_to_the_search_of_one():
    problem, Y = columns(3.0, 0.5, 1.0 + 1e-4, 1.0 + 1e-9, *[1.0] * 6)
    shared, responses = batch_of(problem, Y, reml=True)
    search = BatchNewton(shared, responses, BATCH)
    search.state = evaluate(shared, responses, np.zeros_like(search.state.theta))
    search.run()
    assert search.converged[:4].tolist() == [False, True, False, True]


def test_replicates_that_did_not_arrive_are_fitted_alone_and_the_others_are_not(monkeypatch):
    monkeypatch.setattr("lmmkit.engine.replicates.refit.BATCH", replace(BATCH, limit=2))
    problem, Y = columns(3.0, 3.0, 0.9, 3.0)
    source = lambda first, count: Y[:, first : first + count]  # noqa: E731
    found = refit(problem, source, 4, reml=True)
    assert found.converged.all()
    assert found.alone.any()
    np.testing.assert_allclose(found.deviance[[1, 3]], found.deviance[0], rtol=1e-12)


def test_a_step_of_em_to_where_there_is_no_deviance_is_not_taken(monkeypatch):
    problem, Y = columns(*[3.0] * 9)
    shared, responses = batch_of(problem, Y, reml=True)
    search = BatchNewton(shared, responses, BATCH)
    search.state = evaluate(shared, responses, np.full_like(search.state.theta, 2.0))
    search.rejected[:] = True  # the next step is EM's
    before = search.state.deviance.copy()

    def none_of_the_first(*asked):
        state = evaluate(*asked)
        state.deviance[0] = np.inf
        return state

    monkeypatch.setattr("lmmkit.engine.replicates.batch_newton.evaluate", none_of_the_first)
    search.advance(np.arange(9))
    assert search.state.deviance[0] == before[0]
    assert (search.state.deviance[1:] < before[1:]).all()
    assert search.rejected.tolist() == [True, *[False] * 8]


@pytest.mark.parametrize(("share", "known"), [(1.0 - 1e-6, True), (1.0 + 1e-6, False)])
def test_where_hardly_anything_is_left_of_a_response_there_is_no_deviance(monkeypatch, share, known):
    problem, Y = drawn("crossed", 9)
    shared, responses = batch_of(problem, Y, reml=True)
    theta = np.zeros((shared.setup.layout.count, 9))
    theta[-1] = 2.0
    rest = evaluate(shared, responses, theta).r2
    whole = responses.yy + (responses.a**2).sum(axis=(0, 1))  # the first factor is absorbed at zero
    monkeypatch.setattr(
        "lmmkit.engine.replicates.batch_criterion.BATCH", replace(BATCH, exact=share * (rest / whole)[3])
    )
    assert np.isfinite(deviances(shared, responses, theta))[3] == known


def test_at_given_matrices_the_fit_is_that_at_their_coordinates():
    problem, Y = drawn("nested and crossed", 9)
    shared, responses = batch_of(problem, Y, reml=True)
    theta = np.random.default_rng(3).normal(size=(shared.setup.layout.count, 9))
    at = evaluate(shared, responses, theta)
    found = fits_at(shared, responses, shared.setup.layout.roots(theta))
    for name in ("deviance", "r2", "beta", "Phi"):
        np.testing.assert_array_equal(getattr(found, name), getattr(at, name))


def test_a_matrix_without_an_inverse_takes_none_from_the_others():
    A = np.array([[2.0, 1.0], [1.0, 3.0]])
    found = inverses(np.array([A, np.zeros((2, 2)), 2.0 * A]))
    np.testing.assert_allclose(found[0] @ A, np.eye(2), atol=1e-14)
    np.testing.assert_allclose(found[2], found[0] / 2.0, rtol=1e-14)
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize("reml", [True, False])
def test_a_later_factor_of_two_columns_has_the_derivatives_of_one_response(reml):
    table = frame().assign(many=np.arange(160) % 20)
    problem = build_design("y ~ x + (1 | many) + (x | h)", table).problem
    Y = np.random.default_rng(5).normal(size=(160, 9))
    shared, responses = batch_of(problem, Y, reml=reml)
    theta = np.random.default_rng(6).normal(size=(shared.setup.layout.count, 9))
    assert [place.factor.width for place in shared.later] == [2]
    together = evaluate(shared, responses, theta)
    alone = set_up(replace(problem, response=Y[:, 4]), reml=reml).criterion.evaluate(theta[:, 4])
    np.testing.assert_allclose(together.gradient[:, 4], alone.gradient, rtol=1e-8)
    np.testing.assert_allclose(together.hessian[4], alone.hessian, atol=1e-9 * np.abs(alone.hessian).max())
