"""What changes with the number of rows, levels or letters, at the number from which it does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lmmkit import plots
from lmmkit.plots import data, effects, fitting
from lmmkit.plots.leaving_out import ARROWS
from lmmkit.plots.style import CROWD, facets, figure_of, lines_of, row_inches


def axes():
    return Figure().subplots()


def texts(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def zero_lines(ax):
    """Dashed lines across a panel at zero."""
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    return sum(set(line.get_xdata()) == {0} or set(line.get_ydata()) == {0} for line in dashed)


@pytest.mark.parametrize(("count", "angle"), [(8, 0), (9, 90)])
def test_levels_of_an_interaction_stand_upright_where_there_are_many(count, angle):
    levels = [f"level {i}" for i in range(count)]
    table = pd.DataFrame(
        {"family": "f", "group": "g", "level": levels, "by": "h: 1", "mean": 1.0, "low": 0.0, "high": 2.0}
    )
    (ax,) = plots.interactions(table, label="Mean").flat
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {angle}
    assert len(texts(ax.xaxis)) == count


@pytest.mark.parametrize("count", [30, 31])
def test_boxes_of_many_groups_have_no_names(count):
    ax, numbers = axes(), dict.fromkeys(("low", "lower", "median", "upper", "high"), 1.0)
    names = [f"g{i}" for i in range(count)]
    fitting._boxes(ax, pd.DataFrame({"level": names, **numbers}), "g")
    assert texts(ax.xaxis) == (names if count <= 30 else [])


@pytest.mark.parametrize(("count", "size", "alpha"), [(500, 7, 0.6), (501, 2.3, 0.3)])
def test_points_against_fitted_values_are_small_where_there_are_many(count, size, alpha):
    ax, points = axes(), pd.DataFrame({"fitted": np.arange(count), "residual": 1.0})
    fitting._against_fitted(ax, points, points[:2], "residual")
    (dots,) = ax.collections
    assert (dots.get_sizes().tolist(), dots.get_alpha()) == ([size], alpha)


@pytest.mark.parametrize(("count", "size"), [(200, 18), (201, 2)])
def test_pairs_of_many_effects_are_small(count, size):
    table = pd.DataFrame({"level": np.arange(count), "a": np.arange(count), "normal:a": np.arange(count)})
    (ax,) = plots.random_pairs(table, label="Effect").flat
    assert ax.collections[0].get_sizes().tolist() == [size]


@pytest.mark.parametrize("count", [CROWD, CROWD + 1])
def test_a_crowd_of_points_is_drawn_as_pixels(count):
    ax, part = axes(), pd.DataFrame({"x": np.arange(count), "y": 1.0})
    data._draw_points(ax, part, [])
    assert bool(ax.lines[0].get_rasterized()) == (count > CROWD)


@pytest.mark.parametrize(("count", "size"), [(ARROWS, 4.8), (ARROWS + 1, 2.0)])
def test_ends_of_many_arrows_are_small(count, size):
    x = np.arange(float(count))
    ax = plots.shrinkage(
        pd.DataFrame({"x": x, "y": x, "x_model": x, "y_model": x}), (0.0, 0.0), x_label="x", y_label="y"
    )
    assert [line.get_markersize() for line in ax.lines[:2]] == [size, size]


def enveloped(**columns):
    """The panel of one curve."""
    (ax,) = plots.envelopes(pd.DataFrame({"panel": "a", "x_label": "x", "y_label": "y", **columns})).flat
    return ax


@pytest.mark.parametrize(("count", "mark"), [(12, "o"), (13, "None")])
def test_points_of_a_short_curve_are_marked(count, mark):
    ax = enveloped(x=np.arange(count) + 0.5, low=1.0, high=1.0, value=1.0)
    assert (ax.lines[0].get_marker() or "None") == mark
    assert [len(line.get_xdata()) for line in ax.lines] == [count, 0]  # an end of the band is within it
    assert zero_lines(ax) == 0


@pytest.mark.parametrize(
    ("low", "high", "lines"), [(0.0, 1.0, 1), (-1.0, 0.0, 1), (0.5, 1.0, 0), (-1.0, -0.5, 0)]
)
def test_a_band_that_reaches_zero_has_its_line(low, high, lines):
    ax = enveloped(x=[1.0, 2.0], value=0.25, low=low, high=high)
    assert zero_lines(ax) == lines


@pytest.mark.parametrize(("shift", "lines"), [(-2.0, 1), (0.0, 1), (5.0, 0), (-9.0, 0)])
def test_estimates_beside_a_posterior_have_a_line_at_zero_where_it_lies_among_them(shift, lines):
    columns = {
        "estimate": 1.5,
        "estimate_low": 1.0,
        "estimate_high": 3.0,
        "mean": 1.5,
        "lower": 1.0,
        "upper": 3.0,
    }
    table = pd.DataFrame({"parameter": ["a"], **{name: [value + shift] for name, value in columns.items()}})
    if shift == 0.0:
        table[["estimate_low", "lower"]] = -0.1  # an axis that begins below zero and holds it
    (ax,) = plots.estimates_and_posterior(table, label="Value")
    assert zero_lines(ax) == lines


def test_a_matrix_of_zeros_is_white():
    (ax,) = plots.matrices({"zero": np.zeros((2, 2))}).flat
    assert ax.collections[0].get_clim() == (-1.0, 1.0)


@pytest.mark.parametrize(("half", "dashed"), [(1.0, 1), (0.0, 0)])
def test_an_interval_of_no_length_has_no_straight_line(half, dashed):
    table = pd.DataFrame({"parameter": "a", "value": [1.0, 2.0], "zeta": [0.0, 1.0], "estimate": 1.0})
    (ax,) = plots.profile_zeta(table.assign(low=1.0 - half, high=1.0 + half)).flat
    assert sum(line.get_linestyle() == "--" for line in ax.lines) == dashed


WITHOUT = pd.DataFrame(
    {"level": ["a", "b"], "cooks": [2.0, 1.0], "estimate": [1.0, 3.0], "method": "one step", "answer": False}
)


@pytest.mark.parametrize(
    ("table", "whole", "panels", "signs"),
    [
        (WITHOUT, 2.0, 2, ["one step", "with all rows"]),
        (WITHOUT, np.nan, 1, []),
        (WITHOUT.assign(estimate=np.nan), 2.0, 1, []),
        (WITHOUT.assign(answer=[True, False]), np.nan, 1, ["one step", "the answer turns on it"]),
        (WITHOUT.assign(answer=True), np.nan, 1, []),
        (WITHOUT.assign(method=["one step", "exact refit"]), np.nan, 1, ["exact refit", "one step"]),
    ],
)
def test_estimates_without_a_unit_are_drawn_where_there_are_some_and_signs_told_where_there_are_several(
    table, whole, panels, signs
):
    made = plots.influence(table, label="Slope", whole=whole)
    assert made.shape == (1, panels)
    assert [text.get_text() for legend in figure_of(made).legends for text in legend.get_texts()] == signs


@pytest.mark.parametrize(("estimates", "lines"), [([0.0, 2.0], 1), ([-2.0, 0.0], 1), ([0.5, 2.0], 0)])
def test_estimates_without_a_unit_have_a_line_at_zero_where_they_reach_it(estimates, lines):
    made = plots.influence(WITHOUT.assign(estimate=estimates), label="Slope", whole=1.0)
    assert zero_lines(made[0, 1]) == lines


def test_the_shifts_at_which_a_conclusion_turns_have_a_line_each():
    curve = pd.DataFrame(
        {"method": ["m", "m", "n", "n"], "delta": [0.0, 1.0] * 2, "estimate": 1.0, "low": 0.0, "high": 2.0}
    )
    tips = pd.DataFrame({"method": ["m", "n"], "below": [np.nan, -0.5], "above": [0.75, 0.5]})
    made = plots.tipping(curve, tips, x_label="Shift", label="Difference")
    at = [[line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"][1:] for ax in made.flat]
    assert at == [[0.75], [-0.5, 0.5]]


@pytest.mark.parametrize(
    ("names", "upright"), [(["abcdefghi"] * 2, False), (["abcdefghi", "abcdefghij"], True)]
)
def test_names_of_positions_stand_upright_where_they_are_long(names, upright):
    assert data._upright(names) == upright
    assert data._upright(["a" * 99, "b" * 6]) is False  # of a name twelve letters are told


def test_panels_left_over_are_not_seen():
    made = facets(4, 3, head=0.5, inches=2.0)
    assert made.shape == (2, 3)
    assert [ax.get_visible() for ax in made.flat] == [True] * 4 + [False] * 2
    assert figure_of(made).get_size_inches()[1] == 4.5
    assert facets(2, 3, head=0.5, inches=2.0).shape == (1, 2)


def test_a_row_has_room_for_the_lines_of_its_longest_name():
    assert row_inches(["a"], 0.3) == 0.3
    assert row_inches(["a", "word " * 20], 0.3) == pytest.approx(0.09 + 0.135 * 3)
    assert row_inches([], 0.3) == 0.3
    assert lines_of("", 9) == ""


@pytest.mark.parametrize(("letters", "shown"), [(48, "x" * 48), (49, "x" * 47 + "…")])
def test_a_choice_of_many_letters_is_cut(letters, shown):
    ax = axes()
    choices = pd.DataFrame({"f": ["x" * letters]})
    effects._dashboard(ax, choices, [("f", "x" * letters)])
    assert texts(ax.yaxis) == [f"f: {shown}"]
