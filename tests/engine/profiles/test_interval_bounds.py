"""Bounds where a profile that is known crosses its level, and what keeps one from being found."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from lmmkit.engine.covariance.natural_scales import LOG, PLAIN
from lmmkit.engine.profiles import interval_bounds
from lmmkit.engine.profiles.interval_bounds import IntervalSearch, ProfileCurve
from lmmkit.engine.rules import PROFILE
from lmmkit.errors import FitError

LEAST, LEVEL = 40.0, 4.0


class Point(NamedTuple):
    theta: np.ndarray
    deviance: float
    slope: float


class Held(NamedTuple):
    estimate: float
    start: np.ndarray = np.zeros(1)
    unit: float = 2.0
    natural: float = 1.0


def search(height, slope, estimate, guess=0.5, **held):
    """Of a profile `height` above the least, `slope` its derivative; slopes are found in prepared units."""
    parameter = Held(estimate, **held)

    def find(value, x):
        return Point(np.array([value]), LEAST + height(value), slope(value) * parameter.unit)

    return IntervalSearch(ProfileCurve(find, parameter, LEAST), LEVEL, guess)


def parabola(estimate=3.0, width=0.7, **held):
    return search(
        lambda v: ((v - estimate) / width) ** 2, lambda v: 2 * (v - estimate) / width**2, estimate, **held
    )


def on_scale(there, slope, estimate, width=0.3, **held):
    """A parabola on a working scale."""
    middle = there(estimate)
    return search(
        lambda v: ((there(v) - middle) / width) ** 2,
        lambda v: 2 * (there(v) - middle) / width**2 * slope(v),
        estimate,
        **held,
    )


def test_a_parabola_has_its_bounds_two_widths_away():
    found = parabola().on_scale(PLAIN)
    assert (found.low, found.high, found.trouble) == (pytest.approx(1.6), pytest.approx(4.4), "")
    assert parabola(guess=50.0).on_scale(PLAIN)[:2] == pytest.approx((1.6, 4.4), rel=1e-9)
    assert parabola(guess=1e-3).on_scale(PLAIN)[:2] == pytest.approx((1.6, 4.4), rel=1e-9)


def test_a_profile_that_is_no_parabola_is_followed_to_rounding():
    found = search(lambda v: v**2 + v**4, lambda v: 2 * v + 4 * v**3, 0.0).on_scale(PLAIN)
    root = np.sqrt((np.sqrt(1 + 4 * LEVEL) - 1) / 2)
    assert found[:2] == pytest.approx((-root, root), rel=1e-10)


def test_scales_of_deviations_and_correlations():
    logs = on_scale(np.log, lambda v: 1 / v, 2.0)
    expected = 2.0 * np.exp([-0.6, 0.6])
    assert logs.on_scale(LOG)[:2] == pytest.approx(expected, rel=1e-9)
    assert within_ends(np.arctanh, lambda v: 1 / (1 - v**2), 0.4).within_one()[:2] == pytest.approx(
        np.tanh(np.arctanh(0.4) + np.array([-0.6, 0.6])), rel=1e-9
    )


def within_ends(there, slope, estimate):
    """Finite beyond the ends: a correlation of one is far above the level."""

    def height(v):
        return 100.0 if abs(v) >= 1.0 else float(((there(v) - there(estimate)) / 0.3) ** 2)

    def derivative(v):
        return 0.0 if abs(v) >= 1.0 else float(2 * (there(v) - there(estimate)) / 0.3**2 * slope(v))

    return search(height, derivative, estimate)


@pytest.mark.parametrize(("at_zero", "low"), [(LEVEL, 0.0), (LEVEL - 1e-9, 0.0), (LEVEL + 1.0, None)])
def test_a_deviation_has_the_bound_zero_where_the_profile_there_is_no_higher_than_the_level(at_zero, low):
    found = search(
        lambda v: at_zero * (1.0 - v) ** 2 if v < 1.0 else (v - 1.0) ** 2,
        lambda v: -2 * at_zero * (1.0 - v) if v < 1.0 else 2 * (v - 1.0),
        1.0,
    ).from_zero()
    expected = 1.0 - np.sqrt(LEVEL / at_zero) if low is None else low
    assert found.low == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert found.high == pytest.approx(3.0, rel=1e-9)


def test_a_deviation_of_zero_has_an_upper_bound_alone():
    found = search(lambda v: v**2 / 4, lambda v: v / 2, 0.0, natural=0.1).from_zero()
    assert found[:2] == (0.0, pytest.approx(4.0))


@pytest.mark.parametrize(("edge", "bound"), [(LEVEL, 1.0), (LEVEL + 0.5, None)])
def test_a_correlation_has_the_bound_one_where_the_profile_stays_below(edge, bound):
    found = search(lambda v: edge * v**2, lambda v: 2 * edge * v, 0.0, guess=0.1).within_one()
    expected = np.sqrt(LEVEL / edge) if bound is None else bound
    assert found[:2] == pytest.approx((-expected, expected), rel=1e-9)


def test_of_a_correlation_at_its_end_the_other_bound_is_found():
    found = search(lambda v: 8 * (1 - v) ** 2, lambda v: -16 * (1 - v), 1.0).within_one()
    assert found[:2] == (pytest.approx(1 - np.sqrt(0.5)), 1.0)


def test_what_is_not_defined_has_the_whole_range_and_says_so():
    for found, low, high in (
        (parabola(np.nan).within_one(), -1.0, 1.0),
        (parabola(np.nan).within(-0.5, 1.0), -0.5, 1.0),
    ):
        assert found == (low, high, "not defined: a standard deviation is zero.")


def test_between_two_ends():
    inside = parabola(0.3, 0.1).within(0.0, 1.0)
    assert inside[:2] == pytest.approx((0.1, 0.5), rel=1e-9)
    assert parabola(0.3, 0.2).within(0.0, 1.0)[:2] == pytest.approx((0.0, 0.7), rel=1e-9)
    assert parabola(0.0, 0.1).within(0.0, 1.0)[:2] == pytest.approx(
        (0.0, 0.2), rel=1e-9
    )  # short of a quarter
    assert parabola(0.0, 0.3).within(0.0, 1.0)[:2] == pytest.approx((0.0, 0.6), rel=1e-9)
    assert parabola(1.0, 0.01).within(0.0, 1.0)[:2] == pytest.approx((0.98, 1.0), rel=1e-9)
    assert parabola(0.0, 0.01, natural=1.0).within(0.0, np.inf)[:2] == pytest.approx((0.0, 0.02), rel=1e-9)
    assert parabola(0.0, 3.0, natural=1.0).within(0.0, np.inf)[:2] == pytest.approx((0.0, 6.0), rel=1e-9)
    assert parabola(0.7, 0.2).within(0.0, np.inf)[:2] == pytest.approx((0.3, 1.1), rel=1e-9)


def test_of_a_coordinate_without_bounds_an_end_that_stays_below_the_level_is_infinite():
    assert parabola().with_ends(None, None)[:2] == pytest.approx((1.6, 4.4))
    assert parabola().with_ends(1.6, 4.5)[:2] == (-np.inf, pytest.approx(4.4))
    assert parabola().with_ends(1.5, 4.4 - 1e-9)[:2] == (pytest.approx(1.6), np.inf)
    assert parabola().with_ends(3.0, 3.0)[:2] == (-np.inf, np.inf)  # the estimate has come to both


def test_a_search_begins_where_the_nearest_one_ended():
    seen = list[tuple[float, float]]()

    def find(value, x):
        seen.append((value, float(x[0])))
        return Point(np.array([value]), LEAST + value**2, 2 * value)

    line = ProfileCurve(find, Held(0.0, np.array([9.0]), unit=1.0), LEAST)
    assert line(1.0) == (1.0, 2.0)
    line(5.0)
    line(4.0)
    line.height(4.5)
    assert seen == [(1.0, 9.0), (5.0, 1.0), (4.0, 5.0), (4.5, 9.0)]
    assert list(line.known) == [1.0, 5.0, 4.0]


def test_a_lower_branch_that_the_walk_missed_is_taken():
    """From the fit's own coordinates the profile is lower than along the walk: the bound is further out."""

    def find(value, x):
        width = 1.0 if x[0] == 0.0 or x[0] == 2.0 else 0.5
        branch = 2.0 if width == 1.0 else 1.0
        first = not line.known
        if first:
            width, branch = 0.5, 1.0
        return Point(np.array([branch]), LEAST + (value / width) ** 2, 2 * value / width**2)

    line = ProfileCurve(find, Held(0.0, unit=1.0), LEAST)
    found = IntervalSearch(line, LEVEL, 0.5)._crossing(PLAIN, 0.5)
    assert found == pytest.approx(2.0, rel=1e-9)


@pytest.mark.parametrize(("better", "refused"), [(0.9, False), (1.1, True)])
def test_a_deviance_below_that_of_the_fit_is_told(better, refused):
    line = ProfileCurve(lambda v, x: Point(x, LEAST - better * PROFILE.better, 0.0), Held(0.0), LEAST)
    if not refused:
        assert line.height(1.5) == pytest.approx(-better * PROFILE.better)
        return
    with pytest.raises(FitError, match=r"At 1\.5 the deviance is 1\.1e-05 below that of the fit, which"):
        line.height(1.5)


def test_a_profile_below_its_level_for_ever_has_no_bound_and_names_which():
    def height(v):
        return v**2 if v < 0.0 else v / (1.0 + v)

    def slope(v):
        return 2 * v if v < 0.0 else (1.0 + v) ** -2

    found = search(height, slope, 0.0).on_scale(PLAIN)
    assert found.low == pytest.approx(-2.0, rel=1e-9)
    assert np.isnan(found.high)
    assert found.trouble.startswith("upper bound: ")
    assert "lower bound" not in found.trouble


def test_a_search_without_an_end_says_how_many_profiles_it_took(monkeypatch):
    monkeypatch.setattr(interval_bounds, "PROFILE", replace(PROFILE, profiles=1))
    found = search(lambda v: v**4, lambda v: 4 * v**3, 0.0).on_scale(PLAIN)
    assert "No bound was found within 1 profiles; the last was at " in found.trouble


def test_an_end_that_is_not_reached_is_no_bound_but_on_the_log_it_is_told():
    def height(v):
        if v in (0.0, 1.0):
            raise FitError("not reached.")
        return (v - 0.5) ** 2 / 0.01

    found = search(height, lambda v: 200.0 * (v - 0.5), 0.5)
    assert found.within(0.0, 1.0) == (pytest.approx(0.3), pytest.approx(0.7), "")
    low, high, trouble = found.within(0.0, np.inf)
    assert np.isnan(low)
    assert high == pytest.approx(0.7)
    assert trouble == "lower bound: not reached."


def test_a_value_at_which_numbers_overflow_is_no_bound():
    line = parabola().line
    for value in (1e100, -1e100, np.nan):
        with pytest.raises(FitError) as caught:
            line.height(value)
        assert str(caught.value) == (
            "The profile stays below the level as far as numbers reach: there is no bound."
        )
    assert line.height(0.99e100) > 0.0


def test_outward_steps_are_bounded_and_those_inside_a_bracket_are_halved():
    crossing = interval_bounds.Crossing(parabola().line, PLAIN, LEVEL, 3.0, None)
    most = PROFILE.outward
    assert crossing._next(3.5, -1.0, 1.0) == pytest.approx(3.5 + 0.5 * min(2.0, most))
    assert crossing._next(3.5, -1.0, 1e-3) == pytest.approx(3.5 + 0.5 * most)
    assert crossing._next(3.5, 1.0, 1.0) == 4.0  # the slope points back: as far again
    assert crossing._next(3.5, 1.0, 0.0) == pytest.approx(3.5 + 0.5 * most)
    crossing.inside, crossing.outside = 3.5, 4.5
    assert crossing._next(4.5, 1.0, 2.0) == 4.0
    assert crossing._next(4.5, 1.0, 1.25) == pytest.approx(3.7)
    assert crossing._next(4.5, 1.0, 0.5) == 4.0
    assert crossing._next(4.5, 1.0, 0.0) == 4.0


def test_where_the_estimate_stands_at_an_end_no_profile_is_asked_for_there():
    def height(v):
        if v == 1.0:
            raise FitError("asked.")
        return 8 * (1 - v) ** 2

    found = search(height, lambda v: -16 * (1 - v), 1.0).within_one()
    assert found.high == 1.0
    assert "upper bound" not in found.trouble
