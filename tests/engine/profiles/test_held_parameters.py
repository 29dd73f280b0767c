"""Where a parameter of a pattern, or of a residual structure, is held: derivatives against differences."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lmmkit import lmm
from lmmkit.engine.covariance.natural_scales import PLAIN
from lmmkit.engine.profiles.pattern_profiles import HeldPattern, PinnedDeviance
from lmmkit.engine.profiles.residual_slices import (
    NO_SHARE,
    HeldDeviance,
    ProfilePoint,
    Surface,
    SurfaceDeviance,
    chart_of,
)
from lmmkit.engine.rules import PROFILE
from lmmkit.engine.search.newton import minimise
from lmmkit.errors import FitError
from lmmkit.model.inference.confidence_intervals import Profiles

PATTERNS = ["cs(0 + v | g)", "homtoep(0 + v | g)", "ar1(0 + v | g)"]
RESIDUALS = {"ar1": "ar1(t | s)", "un": "un(t | s)", "serial": "car1(day | s)", "power": "power(w)"}


@cache
def table() -> pd.DataFrame:
    r = np.random.default_rng(5)
    g, t = np.repeat(np.arange(12), 6), np.tile(np.arange(3), 24)
    s = np.repeat(np.arange(24), 3)
    data = pd.DataFrame({"g": g, "s": s, "t": t, "v": np.array(["a", "b", "c"])[t], "day": t + 0.1 * (s % 4)})
    data["x"], data["w"] = r.normal(size=72), r.uniform(1.0, 3.0, 72)
    own = r.normal(size=12)[g] + 0.6 * r.normal(size=(12, 3))[g, t]
    data["y"] = data.x + own + 0.7 * r.normal(size=24)[s] + r.normal(size=72)
    return data


@cache
def profiles(name: str) -> Profiles:
    if name in RESIDUALS:
        return Profiles(lmm("y ~ x", table(), residual=RESIDUALS[name], reml=False).estimates, 0.95)
    return Profiles(lmm(f"y ~ x + {name}", table(), reml=False).estimates, 0.95)


def differences(function, x, h=1e-5):
    return np.array([(function(x + h * e) - function(x - h * e)) / (2 * h) for e in np.eye(len(x))])


@pytest.mark.parametrize("name", PATTERNS)
def test_slope_and_gradient_where_a_parameter_of_a_pattern_is_held(name):
    about = profiles(name)
    frame, naturals = about.pattern, about.estimates.naturals
    r = np.random.default_rng(1)
    for place, (_, natural) in enumerate(naturals):
        pinned = frame._pinned(0, place)
        value = 1.2 if natural.kind == "sd" else 0.3
        y = np.append(np.delete(frame.x, pinned.place), np.log(frame.prepared_sigma))
        y = y + 0.05 * r.normal(size=len(y))
        objective = PinnedDeviance(about.setup.criterion, pinned, value)
        point = objective.evaluate(y)
        numeric = differences(lambda y, o=objective: o.evaluate(y).deviance, y)
        np.testing.assert_allclose(point.gradient, numeric, atol=1e-5, rtol=1e-5)
        along = [
            PinnedDeviance(about.setup.criterion, pinned, value + h).evaluate(y).deviance
            for h in (1e-5, -1e-5)
        ]
        assert point.slope == pytest.approx((along[0] - along[1]) / 2e-5, rel=1e-5, abs=1e-5)
        search = minimise(objective, np.append(np.delete(frame.x, pinned.place), y[-1]), PROFILE)
        assert search.converged
        assert search.evaluations <= 10  # with a Hessian that is right: a wrong entry costs steps


@pytest.mark.parametrize("name", PATTERNS)
def test_where_a_deviation_is_held_its_coordinate_bends_with_sigma(name):
    """The curvature in log sigma is exact but for the average information on the coordinate that is held."""
    about = profiles(name)
    frame, place = (
        about.pattern,
        next(i for i, (_, n) in enumerate(about.estimates.naturals) if n.kind == "sd"),
    )
    pinned = frame._pinned(0, place)
    objective = PinnedDeviance(about.setup.criterion, pinned, 1.7)
    y = np.append(np.delete(frame.x, pinned.place), np.log(frame.prepared_sigma))
    point = objective.evaluate(y)
    at, p, unit = point.at, pinned.place, np.eye(len(point.at.theta))[pinned.place]
    assert abs(at.gradient[p] * at.theta[p]) > 0.1
    up, down = (objective.criterion.evaluate(at.theta + h * unit, at.held).gradient[p] for h in (1e-5, -1e-5))
    inexact = (up - down) / 2e-5 - at.hessian[p, p]
    last = np.eye(len(y))[-1]
    up, down = (objective.evaluate(y + h * last).gradient[-1] for h in (1e-5, -1e-5))
    assert point.hessian[-1, -1] + inexact * at.theta[p] ** 2 == pytest.approx((up - down) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("name", PATTERNS[:2])
def test_every_parameter_of_a_pattern_holds_the_optimum_at_its_estimate(name):
    about = profiles(name)
    e = about.estimates
    held = [about.pattern.residual(), *(about.pattern.coefficient(i, b) for i, b in enumerate(e.beta))]
    values = [float(v) for v in np.asarray(e.random[0].structure.natural(e.covariance(0)), float)]
    held += [about.pattern.natural(0, place, value, 1.0) for place, value in enumerate(values)]
    for parameter in held:
        point = parameter.find(parameter.estimate, parameter.start)
        assert point.deviance == pytest.approx(about.least, abs=1e-8)
        assert point.slope == pytest.approx(0.0, abs=1e-4)
        aside = [parameter.find(parameter.estimate * by, parameter.start) for by in (1.02, 1.02 + 1e-5)]
        slope = (aside[1].deviance - aside[0].deviance) / (1e-5 * parameter.estimate)
        assert aside[0].slope / parameter.unit == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_a_standard_deviation_of_a_pattern_is_not_negative():
    about = profiles(PATTERNS[0])
    frame = about.pattern
    objective = HeldPattern(about.setup.criterion, frame.setup.criterion.evaluate(frame.x).held)
    bounded = about.setup.layout.bounded
    assert bounded.any()
    low = np.where(bounded, -0.5, -0.25)
    np.testing.assert_array_equal(objective.nearest(low), np.where(bounded, 0.0, -0.25))
    at = objective.evaluate(np.where(bounded, 0.0, frame.x))
    expected = ~(bounded & (at.gradient > 0.0))
    np.testing.assert_array_equal(objective.movable(at), expected)


@pytest.mark.parametrize("name", RESIDUALS)
def test_slope_gradient_and_hessian_on_the_surface_of_a_residual_parameter(name):
    about = profiles(name)
    frame = about.beside
    x = frame.x + 0.05
    for place in range(len(frame.structure.naturals)):
        parameter = frame.natural(place)
        moved = np.flatnonzero(frame.structure.natural_jacobian(frame.x)[place])
        surface = Surface(frame.structure, place, int(moved[0]) if len(moved) == 1 else -1)
        target = surface.at(frame.x) + 0.05
        numeric = differences(lambda x, s=surface: s.at(x), x, 1e-6)
        np.testing.assert_allclose(surface.normal(x), numeric, atol=1e-6)
        chart = chart_of(surface, target, x)
        objective = SurfaceDeviance(about.setup.criterion, chart)
        z = np.full(len(x) - 1, 0.02)
        point = objective.evaluate(z)
        assert surface.at(point.at.theta) == pytest.approx(target, abs=1e-10)
        np.testing.assert_allclose(
            point.gradient,
            differences(lambda z, o=objective: o.evaluate(z).deviance, z),
            atol=2e-5,
            rtol=1e-5,
        )
        if objective.exact and len(z):
            H = differences(lambda z, o=objective: o.evaluate(z).gradient, z)
            np.testing.assert_allclose(point.hessian, H, atol=1e-4 * np.abs(H).max(initial=1.0))
        assert objective.drifts == (not objective.exact)
        ends = [parameter.find(target + h, frame.x) for h in (1e-4, 0.0, -1e-4)]
        assert ends[1].slope == pytest.approx(
            (ends[0].deviance - ends[2].deviance) / 2e-4, rel=1e-4, abs=1e-5
        )
        assert parameter.value(surface.at(frame.x)) == pytest.approx(
            float(frame.structure.natural(frame.x)[place]), rel=1e-12
        )


def test_a_held_sigma_or_effect_beside_a_residual_structure():
    about = profiles("ar1")
    frame, e = about.beside, about.estimates
    for parameter in (frame.residual(), *(frame.coefficient(i, b) for i, b in enumerate(e.beta))):
        assert parameter.find(parameter.estimate, parameter.start).deviance == pytest.approx(
            about.least, abs=1e-8
        )
        value = parameter.estimate + 0.1
        ends = [parameter.find(value + h, parameter.start) for h in (1e-5, 0.0, -1e-5)]
        slope = (ends[0].deviance - ends[2].deviance) / 2e-5
        assert ends[1].slope / parameter.unit == pytest.approx(slope, rel=1e-4)
    objective = HeldDeviance(about.setup.criterion, about.setup.criterion.evaluate(frame.x).held)
    assert objective.units(objective.evaluate(frame.x)) == pytest.approx(frame.structure.units(frame.x))


def test_ends_of_parameters_and_values_out_of_reach():
    serial, visits = profiles("serial").beside, profiles("ar1").beside
    assert serial.ends(0) == (pytest.approx(float(serial.structure.uncorrelated(serial.x)[0])), None)
    assert visits.ends(0) == (None, None)
    assert NO_SHARE == 23.0
    assert not serial.ended(0)
    with pytest.raises(FitError, match="was not brought to this value"):
        Surface(visits.structure, 0, -1).onto(visits.x, np.nan)
    cor = next(i for i, (kind, *_) in enumerate(visits.structure.naturals) if kind == "cor")
    outside = Surface(visits.structure, cor, 0)
    assert np.isnan(outside.value(np.nan, visits.x))
    assert Surface(visits.structure, cor, -1).value(0.3, visits.x) == pytest.approx(np.tanh(0.3))
    assert PLAIN.back(0.3) == 0.3


def test_beside_a_pattern_a_variance_is_held_and_an_unstructured_matrix_is_not():
    """Terms of one factor, and of another."""
    e = lmm("y ~ x + cs(0 + v | g) + (0 + x | g) + (1 + x | s)", table(), reml=False).estimates
    about = Profiles(e, 0.95)
    widths = [len(term.columns) for term in e.problem.terms]
    single, wide = widths.index(1), widths.index(2)
    value = e.sigma * float(e.factors[single][0, 0])
    parameter = about.pattern.natural(single, 0, value, 1.0)
    point = parameter.find(value, parameter.start)
    assert point.deviance == pytest.approx(about.least, abs=1e-6)
    assert parameter.find(value + 0.3, parameter.start).deviance > about.least + 0.01
    with pytest.raises(FitError) as caught:
        about.pattern.natural(wide, 0, 1.0, 1.0)
    assert str(caught.value) == (
        "The profile of an unstructured covariance matrix beside one with a pattern is not offered: use "
        "method='wald' or method='bootstrap'."
    )


def test_a_surface_out_of_reach_at_once_is_walked_to_by_way_of_others(monkeypatch):
    frame = profiles("ar1").beside
    asked = list[float]()

    def near(self, surface, target, x):
        asked.append(target)
        if abs(target - surface.at(x)) > 1.1:
            raise FitError("far")
        return ProfilePoint(np.full_like(x, target), target, 0.0)

    monkeypatch.setattr(type(frame), "_on_surface", near)
    surface = SimpleNamespace(at=lambda x: float(x[0]))
    assert frame._walked(surface, 4.0, np.zeros(1), 2).deviance == 4.0
    assert asked == [4.0, 2.0, 1.0, 2.0, 4.0, 3.0, 4.0]
    asked.clear()
    with pytest.raises(FitError, match="far"):
        frame._walked(surface, 5.0, np.zeros(1), 2)
    asked.clear()
    with pytest.raises(FitError, match="far"):
        frame._walked(surface, np.inf, np.zeros(1), 2)
    assert asked == [np.inf]


def test_a_parameter_of_a_single_coordinate_is_that_coordinate_however_far():
    surface = Surface(profiles("ar1").beside.structure, 0, 0, others=2)
    x = np.array([9.0, 8.0, 50.0, *np.zeros(surface.structure.count - 1)])
    assert surface.at(x) == 50.0
    assert surface.stretch(x) == 1.0
    assert surface.normal(x).tolist() == [0.0, 0.0, 1.0, *np.zeros(surface.structure.count - 1)]
