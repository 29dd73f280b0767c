"""The least deviance of a slice: from far off, off saddles, with standard deviations not negative."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.designs import fitted

from lmmkit.engine.profiles.profile_deviance import SliceDeviance, least_deviance, ways_off_saddle
from lmmkit.engine.profiles.slices import Frame, Slice
from lmmkit.engine.rules import PROFILE
from lmmkit.engine.search.newton import minimise
from lmmkit.errors import FitError
from lmmkit.model.inference.confidence_intervals import Profiles


def about(name, *, reml=False):
    return Profiles(fitted(name, reml=reml).estimates, 0.95)


def held(name, *, reml=False):
    """Every parameter of a design with a value off its estimate, and the setup."""
    found, m = about(name, reml=reml), fitted(name, reml=reml)
    e, frame = m.estimates, found.frame
    parameters = [frame.residual(), *(frame.coefficient(i, b) for i, b in enumerate(e.beta))]
    parameters += [
        frame.correlation(t, n.row, n.column) if n.kind == "cor" else frame.standard_deviation(t, n.column)
        for t, n in e.naturals
    ]
    return [(found.setup, p, p.estimate * (0.9 if abs(p.estimate) <= 1 else 1.2)) for p in parameters]


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(
    ("name", "most"), {"one factor": 4, "nested": 5, "independent slopes": 9, "slopes": 12}.items()
)
def test_every_slice_is_searched_in_few_steps(name, most, reml):
    """Newton's steps with a Hessian that is right: a wrong entry costs steps."""
    for setup, parameter, value in held(name, reml=reml):
        objective = SliceDeviance(setup, parameter.at(value))
        search = minimise(objective, parameter.start, PROFILE)
        assert search.converged
        assert search.evaluations <= most
        np.testing.assert_allclose(search.point.gradient, 0.0, atol=1e-4)


@pytest.mark.parametrize("name", ["slopes", "crossed"])
def test_the_least_deviance_does_not_depend_on_the_start(name):
    rng = np.random.default_rng(4)
    for setup, parameter, value in held(name):
        near = least_deviance(setup, parameter.at(value), parameter.start)
        far = parameter.start * rng.uniform(0.2, 5.0, len(parameter.start))
        found = least_deviance(setup, parameter.at(value), far)
        assert found.deviance == pytest.approx(near.deviance, abs=1e-8)


def test_the_saddle_of_zero_variances_is_left():
    setup, parameter, value = held("slopes")[1]
    objective = SliceDeviance(setup, parameter.at(value))
    zero = np.zeros_like(parameter.start)
    np.testing.assert_array_equal(objective.evaluate(zero).gradient, 0.0)
    search = minimise(objective, zero, PROFILE)
    assert "escape" in [line.step for line in search.history]
    near = least_deviance(setup, parameter.at(value), parameter.start)
    assert search.point.deviance == pytest.approx(near.deviance, abs=1e-8)
    stays = minimise(objective, zero, replace(PROFILE, escapes=0))
    assert stays.point.deviance > near.deviance + 1.0


def test_a_search_without_an_end_is_an_error(monkeypatch):
    setup, parameter, value = held("slopes")[1]
    monkeypatch.setattr("lmmkit.engine.profiles.profile_deviance.PROFILE", replace(PROFILE, limit=1))
    with pytest.raises(FitError, match="not found in 1 steps"):
        least_deviance(setup, parameter.at(value), parameter.start * 3.0)


def test_standard_deviations_are_not_negative_where_their_correlation_is_held():
    slice_ = Slice([np.zeros((3, 2, 2))], turned=(0, 1, np.zeros((2, 2))))
    x = np.array([-1.0, -2.0, 3.0])
    np.testing.assert_array_equal(slice_.allowed(x), [-1.0, 0.0, 3.0])
    at_zero, up, down = np.array([-1.0, 0.0, 0.0]), np.array([1.0, -1.0, 2.0]), np.array([1.0, 1.0, -2.0])
    np.testing.assert_array_equal(slice_.free(at_zero, up), [True, True, False])
    np.testing.assert_array_equal(slice_.free(at_zero, down), [True, False, True])
    assert Slice([np.zeros((3, 2, 2))]).allowed(x) is x


def test_a_held_correlation_at_the_edge_of_its_cone_is_searched_along_the_edge():
    """Against the sign that the data have: one of the deviations goes to zero, and stays."""
    found, m = about("slopes"), fitted("slopes", reml=False)
    term, natural = next((t, n) for t, n in m.estimates.naturals if n.kind == "cor")
    parameter = found.frame.correlation(term, natural.row, natural.column)
    point = least_deviance(found.setup, parameter.at(-np.sign(parameter.estimate) * 0.999), parameter.start)
    first = point.slice.turned[1]
    pair, slopes = point.theta[first : first + 2], point.gradient[first : first + 2]
    assert (pair >= 0.0).all()
    assert (slopes[pair == 0.0] >= 0.0).all()
    np.testing.assert_allclose(np.delete(point.gradient, first + np.flatnonzero(pair == 0.0)), 0.0, atol=1e-4)


@pytest.mark.parametrize(("curvature", "count"), [(0.5, 0), (-0.9, 0), (-1.1, 2 * len(PROFILE.sizes))])
def test_only_where_the_deviance_bends_down_by_more_than_rounding_are_there_ways_off(curvature, count):
    least = curvature * PROFILE.saddle_curvature * 4.0
    ways = list(ways_off_saddle(SimpleNamespace(hessian=np.diag([4.0, least]), theta=np.array([3.0, 5.0]))))
    assert len(ways) == count
    moved = [sign * size for size in PROFILE.sizes for sign in (1.0, -1.0)][:count]
    assert sorted(float(way[1]) - 5.0 for way in ways) == pytest.approx(sorted(moved))
    assert all(way[0] == 3.0 for way in ways)


@pytest.mark.parametrize(("name", "reml"), [("slopes", True), ("nested", False)])
def test_gradient_and_slope_on_every_slice_are_those_of_differences(name, reml):
    """In the coordinates off the least point, and in the value at fixed coordinates at it."""
    rng = np.random.default_rng(6)
    for setup, parameter, value in held(name, reml=reml):
        objective = SliceDeviance(setup, parameter.at(value))
        x = parameter.start * rng.uniform(0.8, 1.25, len(parameter.start))
        numeric = [
            (objective.evaluate(x + h).deviance - objective.evaluate(x - h).deviance) / 2e-5
            for h in 1e-5 * np.eye(len(x))
        ]
        np.testing.assert_allclose(objective.evaluate(x).gradient, numeric, rtol=1e-5, atol=1e-4)
        step = 1e-5 * parameter.unit
        near = [least_deviance(setup, parameter.at(value + h), parameter.start) for h in (step, 0.0, -step)]
        slope = (near[0].deviance - near[2].deviance) / 2e-5
        assert near[1].slope == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_a_slice_without_residual_variance_is_told():
    def at(*_):
        raise FitError("y'Py is not positive")

    criterion = SimpleNamespace(source=SimpleNamespace(count=0), at=at)
    objective = SliceDeviance(SimpleNamespace(criterion=criterion), Slice([np.ones((1, 1, 1))]))
    with pytest.raises(FitError) as caught:
        objective.evaluate(np.ones(1))
    assert str(caught.value) == (
        "The residual variance goes to zero on the way: the likelihood has no maximum there."
    )
    assert not objective.drifts


def test_a_correlation_is_defined_where_both_deviations_are_above_zero():
    """Of two columns, of one and another that does not vary, and where neither does, in the data's units."""
    found = about("slopes")
    S = found.setup.prepared.term_bases[0]
    for raw, expected in (
        (np.array([[1.0, 0.0], [0.75, 1.0]]), 0.6),
        (np.array([[1.0, 0.0], [0.0, 0.0]]), np.nan),
        (np.zeros((2, 2)), np.nan),
    ):
        frame = Frame(found.setup, [np.linalg.solve(S, raw)], 1.0, np.empty(0))
        estimate = frame.correlation(0, 1, 0).estimate
        assert estimate == pytest.approx(expected, rel=1e-9, nan_ok=True)
        deviation = frame.standard_deviation(0, 1)
        scale = found.setup.prepared.scale
        assert deviation.estimate == pytest.approx(scale * np.hypot(*raw[1]), rel=1e-9, abs=1e-12)
