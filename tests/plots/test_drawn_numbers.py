"""What stands in a table is what is drawn: no end, point, name, unit or line is another one.

The tables hold numbers that no rule would give: intervals that are not symmetric, and not of any level.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import same_color, to_rgba
from support.pictures import PICTURES, VARIANTS, described, drawn, expected

from lmmkit import plots
from lmmkit.plots.effects import specifications
from lmmkit.plots.style import BLUE, GREY, INK, PALE, VERMILLION, figure_of

NAMES = ["beta", "alpha", "gamma"]
ESTIMATE, LOW, HIGH = [1.5, -2.25, 0.5], [1.25, -9.0, -0.125], [4.75, -2.0, 0.75]
COLUMNS = {"estimate": ESTIMATE, "low": LOW, "high": HIGH}


def same(drawn, expected):
    np.testing.assert_allclose(np.asarray(drawn, float), np.asarray(expected, float), rtol=0, atol=1e-12)


def dots(ax):
    """The points of a panel: of its scatters, else of its markers without a line, in the order of drawing."""
    marked = [
        line.get_xydata() for line in ax.lines if line.get_linestyle() == "None" and len(line.get_xdata())
    ]
    if marked:
        return np.concatenate(marked)
    return np.concatenate(
        [
            c.get_offsets().data
            for c in ax.collections
            if len(c.get_offsets()) and c.get_paths() and not segments_of(c)
        ]
    )


def segments_of(collection):
    return collection.get_segments() if hasattr(collection, "get_segments") else []


def segments(ax):
    """The straight lines of all line collections, as (x0, y0, x1, y1); none where an end is missing."""
    found = [np.ravel(segment) for c in ax.collections for segment in segments_of(c)]
    return np.array([segment for segment in found if len(segment) == 4])


def curves_of(ax, color=None):
    """The data of all lines with some, as (n, 2) arrays; those of the legend have none."""
    lines = [line for line in ax.lines if len(line.get_xdata())]
    return [line.get_xydata() for line in lines if color is None or same_color(line.get_color(), color)]


def reference(ax, at, axis):
    """Whether a dashed line lies across a panel at this value."""
    lines = [line for line in ax.lines if line.get_linestyle() == "--" and len(line.get_xdata()) == 2]
    values = [line.get_xdata() if axis == "x" else line.get_ydata() for line in lines]
    return any(list(pair) == [at, at] for pair in values)


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def keys(axes):
    return [text.get_text() for legend in figure_of(axes).legends for text in legend.get_texts()]


def titles(axes):
    return [ax.get_title(loc="left") or ax.get_title() for ax in np.atleast_1d(axes).flat if ax.get_visible()]


def assert_all_inside(ax):
    """Nothing that a table holds is cut off by the limits of the panel."""
    left, right = sorted(ax.get_xlim())
    for x0, _, x1, _ in segments(ax):
        assert left <= x0 <= right
        assert left <= x1 <= right


def assert_rows(ax, names, points, low, high):
    """Named rows, the first on top, each with its own point and its own line."""
    assert ticks(ax.yaxis) == names
    bottom, top = ax.get_ylim()
    assert bottom > len(names) - 1 > 0 > top or (len(names) == 1 and bottom > 0 > top)
    same(dots(ax), np.column_stack([points, range(len(names))]))
    same(segments(ax), np.column_stack([low, range(len(names)), high, range(len(names))]))
    assert_all_inside(ax)


def test_forest():
    (ax,) = plots.forest(pd.DataFrame({"coefficient": NAMES, **COLUMNS}), label="Change")
    assert_rows(ax, NAMES, ESTIMATE, LOW, HIGH)
    assert reference(ax, 0, "x")
    assert ax.get_xlabel() == "Change"


def test_unlike_units_have_no_axis_in_common():
    table = pd.DataFrame({"coefficient": NAMES, "unit": ["ms per d", "ms", "ms per d"], **COLUMNS})
    slopes, others = plots.forest(table, label="Change")
    assert_rows(slopes, [NAMES[0], NAMES[2]], [1.5, 0.5], [1.25, -0.125], [4.75, 0.75])
    assert_rows(others, [NAMES[1]], [-2.25], [-9.0], [-2.0])
    assert [ax.get_xlabel() for ax in (slopes, others)] == ["Change (ms per d)", "Change (ms)"]
    parts = pd.DataFrame({"component": NAMES, "unit": ["ms", "ms per d", "ms"], "sd": [3.5, 0.5, 1.25]})
    first, second = plots.components(parts, label="SD")
    assert_rows(first, [NAMES[0], NAMES[2]], [3.5, 1.25], [0, 0], [3.5, 1.25])
    assert_rows(second, [NAMES[1]], [0.5], [0], [0.5])
    assert [ax.get_xlabel() for ax in (first, second)] == ["SD (ms)", "SD (ms per d)"]


def test_means():
    families = ["f", "f", "g:h"]
    cells = [f"{family}: {name}" for family, name in zip(families, NAMES, strict=True)]
    table = pd.DataFrame({"cell": cells, "family": families, "mean": ESTIMATE, "low": LOW, "high": HIGH})
    axes = plots.means(table, label="Mean (ms)")
    assert titles(axes) == ["f", "g:h"]
    assert_rows(axes[0, 0], NAMES[:2], ESTIMATE[:2], LOW[:2], HIGH[:2])
    assert_rows(axes[1, 0], NAMES[2:], ESTIMATE[2:], LOW[2:], HIGH[2:])
    assert (figure_of(axes).get_supxlabel(), figure_of(axes).get_supylabel()) == ("Mean (ms)", "Level")
    assert axes[0, 0].get_xlim() == axes[1, 0].get_xlim()


def test_comparison_arrows():
    left, right = [1.375, np.nan, -3.0], [1.75, -1.5, np.nan]
    index = pd.MultiIndex.from_tuples([(name, "h") for name in NAMES], names=["f", "g"])
    columns = {"mean": ESTIMATE, "low": LOW, "high": HIGH, "left": left, "right": right}
    ax = plots.comparison_arrows(pd.DataFrame(columns, index=index), label="Mean (ms)")
    assert_rows(ax, [f"{name} h" for name in NAMES], ESTIMATE, LOW, HIGH)
    drawn = [(text.xy, text.xyann) for text in ax.texts]
    ends = [(1.375, 0), (1.75, 0), (-1.5, 1), (-3.0, 2)]
    same([end for end, _ in drawn], ends)
    same([start for _, start in drawn], [(ESTIMATE[row], row) for _, row in ends])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Mean (ms)", "f, g")
    assert ax.get_xlim()[0] < -3.0


def test_components():
    sd = [3.5, 0.0, 1.25]
    (ax,) = plots.components(pd.DataFrame({"component": NAMES, "sd": sd}), label="SD")
    assert_rows(ax, NAMES, sd, [0, 0, 0], sd)
    assert ax.get_xlim()[0] == 0
    assert ax.get_xlabel() == "SD"


@pytest.mark.parametrize("levels", [3, 41])
def test_caterpillar(levels):
    repeats = -(-levels // 3)
    column = {name: (values * repeats)[:levels] for name, values in COLUMNS.items()}
    names = [f"level {i}" for i in range(levels)]
    first = pd.DataFrame({"term": "g: x", "level": names, **column})
    second = pd.DataFrame({"term": "g: Intercept", "level": names, **-first[["estimate", "low", "high"]]})
    table = pd.concat([first.assign(unit="ms per d"), second.assign(unit="ms")])
    axes = plots.caterpillar(table, label="Effect")
    assert titles(axes) == ["g: x", "g: Intercept"]
    assert [ax.get_xlabel() for ax in axes.flat] == ["Effect (ms per d)", "Effect (ms)"]
    for ax, table in zip(axes.flat, (first, second), strict=True):
        places = np.arange(levels)
        same(segments(ax), np.column_stack([table["low"], places, table["high"], places]))
        same(curves_of(ax, INK)[0], np.column_stack([table["estimate"], places]))
        assert reference(ax, 0, "x")
        assert ax.get_ylim() == (-1, levels)
        assert ticks(ax.yaxis) == (names if levels <= 40 else [])
        assert ax.get_ylabel() == ("Level" if levels <= 40 else "41 levels, in order")
        assert_all_inside(ax)


def test_random_pairs():
    a, b, na, nb = [1.0, 2.5, -4.0], [7.0, -1.5, 0.25], [0.1, 0.2, -0.7], [0.9, -0.4, 0.3]
    table = pd.DataFrame({"level": NAMES, "a": a, "normal:a": na, "b": b, "normal:b": nb})
    axes = plots.random_pairs(table, ["ms", "ms per d"], label="Effect")
    for place, x, y in (((0, 0), na, a), ((1, 0), a, b), ((1, 1), nb, b)):
        same(dots(axes[place]), np.column_stack([x, y]))
        assert axes[place].get_visible()
    assert not axes[0, 1].get_visible()
    assert [ax.get_xlabel() for ax in axes.flat if ax.get_visible()] == [
        "Normal quantile",
        "a (ms)",
        "Normal quantile",
    ]
    assert [axes[row, 0].get_ylabel() for row in (0, 1)] == ["a (ms)", "b (ms per d)"]
    assert figure_of(axes).get_supylabel() == "Effect"


def test_correlations():
    names = ["x", "Intercept"]
    values = [1.0, -0.375, -0.375, 1.0]
    pairs = [(block, row, column) for block in ("g", "h") for row in names for column in names]
    table = pd.DataFrame(pairs, columns=["block", "row", "column"])
    axes = plots.correlations(table.assign(correlation=[*values, 1.0, np.nan, np.nan, 1.0]))
    assert titles(axes) == ["g", "h"]
    same(np.ravel(axes[0, 0].collections[0].get_array()), values)
    assert [text.get_text() for text in axes[0, 0].texts] == ["1.00", "-0.38", "-0.38", "1.00"]
    assert [text.get_text() for text in axes[1, 0].texts] == ["1.00", "none", "none", "1.00"]
    for ax in axes.flat:
        assert (ticks(ax.xaxis), ticks(ax.yaxis)) == (["1", "2"], ["1  x", "2  Intercept"])
        low, high = ax.collections[0].get_clim()
        assert low == -high


@pytest.mark.parametrize("size", [2, 7, 12, 20])
def test_names_and_figures_of_correlations_have_room(size):
    """No name overlaps the next, and no figure is wider than its cell or left out, with long names too."""
    names = [
        f"experience of the teacher × programme of instruction ({i} against lectures only)"
        for i in range(size)
    ]
    rows = [("Estimates", a, b, 1.0 if a == b else -0.11) for a in names for b in names]
    ax = plots.correlations(pd.DataFrame(rows, columns=["block", "row", "column", "correlation"]))[0, 0]
    figure = figure_of(ax)
    FigureCanvasAgg(figure)
    figure.get_layout_engine().execute(figure)
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert all(above.y0 >= below.y1 for above, below in itertools.pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0
    assert len(ax.texts) == size**2
    cell = ax.get_window_extent().width / size
    assert all(text.get_window_extent().width < cell for text in ax.texts)


def test_correlations_of_rows_and_columns_are_not_exchanged():
    table = pd.DataFrame({"block": "g", "row": list("aabb"), "column": list("abab")})
    (ax,) = plots.correlations(table.assign(correlation=[1.0, 0.25, 0.75, 1.0])).flat
    assert [text.get_text() for text in ax.texts] == ["1.00", "0.25", "0.75", "1.00"]


@pytest.mark.parametrize(("value", "told"), [(-0.004, "0.00"), (-0.006, "-0.01"), (0.004, "0.00")])
def test_a_correlation_that_is_zero_as_it_is_rounded_has_no_sign(value, told):
    table = pd.DataFrame({"block": "g", "row": list("aabb"), "column": list("abab")})
    (ax,) = plots.correlations(table.assign(correlation=[1.0, value, value, 1.0])).flat
    assert [text.get_text() for text in ax.texts] == ["1.00", told, told, "1.00"]


def test_candidates():
    distances = {"d_deviance": [2.5, 0.0, 7.0], "d_aic": [0.0, 1.5, 9.0], "d_bic": [0.5, 0.0, np.nan]}
    table = pd.DataFrame(
        {"candidate": NAMES, "chosen": [False, True, False], "singular": [False, False, True]}
    )
    axes = plots.candidates(table.assign(**distances))
    assert titles(axes) == ["Deviance", "AIC", "BIC"]
    assert keys(axes) == ["chosen", "not chosen", "not chosen, singular"]
    assert ticks(axes[0, 0].yaxis) == NAMES
    for ax, column in zip(axes.flat, distances.values(), strict=True):
        drawn = np.isfinite(column)
        same(dots(ax), np.column_stack([column, range(3)])[drawn])
        same(segments(ax), np.column_stack([np.zeros(3), range(3), column, range(3)])[drawn])
        assert reference(ax, 0, "x")
        assert ax.get_xlabel() == "Above the best"
        assert ax.get_legend() is None
        assert_all_inside_points(ax)
    (marks,) = [c for c in axes[0, 0].collections if not segments_of(c) and len(c.get_offsets()) == 3]
    assert [same_color(color, VERMILLION) for color in marks.get_facecolors()] == [False, True, False]
    handles = figure_of(axes).legends[0].legend_handles
    shapes = {handle.get_marker() for handle in handles}
    assert len(shapes) == 3


def test_selection_path():
    path = pd.DataFrame(
        {
            "step": [1, 2, 3, 3, 4],
            "against": ["", "a", "b", "b", "c"],
            "what": ["", "all correlations", "the slope of x by g", "the slope of z by g", "the rest"],
            "p": [np.nan, 0.5, 1e-9, 0.3, np.nan],
            "higher": [np.nan, -1.0, 2.5, -0.5, 4.0],
            "outcome": ["begins", "left out for now", "kept", "kept for now", "not added"],
        }
    )
    ax = plots.selection_path(path, alpha=0.2)
    assert ticks(ax.yaxis) == ["2  all correlations", "3  the slope of x by g", "3  the slope of z by g"]
    same(dots(ax), [[0.5, 0.0], [1e-4, 1.0], [0.3, 2.0]])  # smaller p stand at the edge
    assert reference(ax, 0.2, "x")
    assert keys(ax) == ["taken", "kept", "could go as well"]
    other = plots.selection_path(path)
    same(dots(other)[:, 0], [-1.0, 2.5, -0.5, 4.0])
    assert reference(other, 0, "x")
    assert other.get_xlabel() == "Criterion of the larger model less that of the smaller"


def assert_all_inside_points(ax):
    left, right = sorted(ax.get_xlim())
    assert (left <= dots(ax)[:, 0]).all()
    assert (dots(ax)[:, 0] <= right).all()


def test_specifications():
    curve = pd.DataFrame(
        {
            "estimate": [*ESTIMATE, np.nan],
            "low": [*LOW, np.nan],
            "high": [*HIGH, np.nan],
            "significant": pd.array([False, True, False, None], dtype="boolean"),
            "state": ["complete"] * 3 + ["failed"],
        }
    )
    choices = pd.DataFrame({"formula": list("abab"), "reml": ["yes", "yes", "no", "no"]})
    upper, lower = specifications(curve, choices, label="Effect (ms)")[:, 0]
    same(dots(upper), np.column_stack([range(4), [*ESTIMATE, 0]]))
    same(segments(upper), np.column_stack([range(3), LOW, range(3), HIGH]))
    colors = [to_rgba(color) for color in (GREY, BLUE, GREY, VERMILLION)]
    (bars,) = [c for c in upper.collections if segments_of(c)]
    (marks,) = [c for c in upper.collections if not segments_of(c) and len(c.get_offsets()) == 4]
    same(marks.get_facecolors(), colors)
    same(bars.get_colors(), colors)
    texts = [text.get_text() for text in upper.get_legend().get_texts()]
    assert texts == ["significant", "not significant", "no estimate"]
    assert reference(upper, 0, "y")
    assert upper.get_ylabel() == "Effect (ms)"
    heights = dict(zip(ticks(lower.yaxis), lower.get_yticks(), strict=True))
    assert list(heights) == ["formula: a", "formula: b", "reml: yes", "reml: no"]
    assert np.diff(list(heights.values())).tolist() == [1, 2, 1]
    for name, line in zip(choices, curves_of(lower), strict=True):
        same(line, [(i, heights[f"{name}: {value}"]) for i, value in enumerate(choices[name])])


def test_response():
    bins = pd.DataFrame({"left": [0.0, 1.5, 2.0], "right": [1.5, 2.0, 5.0], "rows": [3, 0, 11]})
    ax = plots.response(bins, (0.25, 1.75, 4.5), label="y (ms)")
    bars = [p.get_bbox() for p in ax.patches if same_color(p.get_facecolor(), BLUE)]
    same([(b.x0, b.x1, b.y0, b.y1) for b in bars], [(0, 1.5, 0, 3), (1.5, 2, 0, 0), (2, 5, 0, 11)])
    (half,) = [p.get_bbox() for p in ax.patches if same_color(p.get_facecolor(), PALE)]
    assert (half.x0, half.x1) == (0.25, 4.5)
    assert reference(ax, 1.75, "x")
    assert keys(ax) == ["middle half of the rows", "median"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("y (ms)", "Rows")


def test_missing():
    ax = plots.missing(pd.DataFrame({"rows": [1234, 5], "y": [0, 1], "g": [0, 0], "x": [1, 1]}))
    holes = [0, 0, 1, 1, 0, 1]
    same(np.ravel(ax.collections[0].get_array()), holes)
    assert [text.get_text() for text in ax.texts] == ["×" if hole else "" for hole in holes]
    assert (ticks(ax.xaxis), ticks(ax.yaxis)) == (["y", "g", "x"], ["1,234 rows", "5 rows"])
    assert same_color(ax.collections[0].to_rgba(1.0), BLUE)
    assert same_color(ax.collections[0].to_rgba(0.0), PALE)
    assert ax.get_xlabel() == "Column (dark: value missing)"


def test_group_sizes():
    table = pd.DataFrame({"group": ["h", "h", "g"], "rows": [3, 9, 5], "levels": [6, 1, 2]})
    axes = plots.group_sizes(table)
    assert titles(axes) == ["h", "g"]
    for ax, part in zip(axes.flat, (table[:2], table[2:]), strict=True):
        same(curves_of(ax)[0], part[["rows", "levels"]])
        zero = np.zeros(len(part))
        same(segments(ax), np.column_stack([part["rows"], zero, part["rows"], part["levels"]]))
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("Rows per level", "Levels")
        assert ax.get_ylim()[0] == 0


def panels(x, names=("late", "early")):
    rows = [(name, value) for name in names for value in x]
    table = pd.DataFrame(rows, columns=["panel", "x"])
    numbers = np.arange(len(table)) ** 2
    return table.assign(y=numbers, fitted=numbers + 0.5, population=7.0 - numbers)


def bands(ax):
    """The outlines of all bands of a panel."""
    return [c.get_paths()[0].vertices for c in ax.collections if isinstance(c, PolyCollection)]


def test_trellis():
    points, x = panels([4, 1, 2])[["panel", "x", "y"]], [0.0, 2.0, 4.0]
    curves = pd.DataFrame({"panel": ["late"] * 3 + ["early"] * 3, "x": x * 2})
    curves = curves.assign(fitted=[1.0, 7.0, 2.0] + [np.nan] * 3, population=[5.0, 6, 8, 4, 3, 1])
    curves = curves.assign(low=curves["population"] - 3, high=curves["population"] + 9)
    axes = plots.trellis(points, curves, x_label="x (d)", y_label="y (ms)")
    assert titles(axes) == ["late", "early"]
    assert keys(axes) == ["observed", "population", "this group"]
    assert (figure_of(axes).get_supxlabel(), figure_of(axes).get_supylabel()) == ("x (d)", "y (ms)")
    for ax, name in zip(axes.flat, ("late", "early"), strict=True):
        part, line = (table[table["panel"] == name] for table in (points, curves))
        same(curves_of(ax, INK)[0], np.column_stack([[4, 1, 2], part["y"]]))
        same(curves_of(ax, VERMILLION)[0], line[["x", "population"]])
        (band,) = bands(ax)
        for at, low, high in line[["x", "low", "high"]].to_numpy():
            assert {low, high} <= set(band[band[:, 0] == at, 1])
    same(curves_of(axes[0, 0], BLUE)[0], np.column_stack([x, [1.0, 7.0, 2.0]]))
    assert curves_of(axes[0, 1], BLUE) == []


def test_trellis_of_a_factor_has_means_and_no_lines():
    points = panels(["warm", "cold", "dry"])[["panel", "x", "y"]]
    curves = points.drop(columns="y").assign(fitted=[1.0, 2, 3, 4, 5, 6], population=0.0, low=-1.0, high=8.0)
    axes = plots.trellis(points, curves[curves["x"] != "dry"], x_label="x", y_label="y")
    assert ticks(axes[0, 0].xaxis) == ["warm", "cold", "dry"]
    for ax, own in zip(axes.flat, ([1, 2], [4, 5]), strict=True):
        same(curves_of(ax, BLUE)[0], np.column_stack([[0, 1], own]))
        same(curves_of(ax, VERMILLION)[0], [(0, 0), (1, 0)])
        same(segments(ax), [(0, -1, 0, 8), (1, -1, 1, 8)])
        drawn = [line for line in ax.lines if not same_color(line.get_color(), GREY)]
        assert all(line.get_linestyle() == "None" for line in drawn)


def test_effect():
    means = pd.DataFrame({"by": ["f: u"] * 2 + ["f: v"] * 2, "x": [0.0, 5.0] * 2})
    means = means.assign(mean=[1.0, 2, 3, 7], low=[0.5, 1, 2, 4], high=[2.0, 5, 6, 9])
    points = pd.DataFrame({"x": [1.0, 2.0], "y": [4.0, -3.0]})
    ax = plots.effect(means, points, x_label="x (d)", y_label="y (ms)")
    assert keys(ax) == ["observed", "f: u", "f: v"]
    same(curves_of(ax, GREY)[0], points)
    same(curves_of(ax, BLUE)[0], [(0, 1), (5, 2)])
    same(curves_of(ax, VERMILLION)[0], [(0, 3), (5, 7)])
    assert [
        {low, high} <= set(band[:, 1]) for band, low, high in zip(bands(ax), (0.5, 4), (5, 9), strict=True)
    ]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (d)", "y (ms)")


def test_effect_of_a_factor():
    means = pd.DataFrame(
        {"by": "", "x": ["b", "a"], "mean": [1.0, 2.0], "low": [0.0, 1.5], "high": [3.0, 9.0]}
    )
    points = pd.DataFrame({"x": ["a", "b", "a"], "y": [4.0, -3.0, 0.5]})
    ax = plots.effect(means, points, x_label="x", y_label="y")
    assert ticks(ax.xaxis) == ["b", "a"]
    same(curves_of(ax, GREY)[0], [(1, 4), (0, -3), (1, 0.5)])
    same(curves_of(ax, BLUE)[0], [(0, 1), (1, 2)])
    same(segments(ax), [(0, 0, 0, 3), (1, 1.5, 1, 9)])


def test_trellis_of_categories_has_their_order_and_room_for_the_absent():
    x = pd.Categorical(["b", "a", "b", "a"], ["c", "b", "a"])
    table = pd.DataFrame({"panel": ["p", "p", "q", "q"], "x": x, "y": [1.0, 2, 3, 4]})
    axes = plots.trellis(table, x_label="x", y_label="y")
    assert ticks(axes[0, 0].xaxis) == ["c", "b", "a"]
    same(curves_of(axes[0, 1], INK)[0], [(1, 3), (2, 4)])
    assert keys(axes) == []


def test_spaghetti():
    table = panels([4, 1, 2])
    ax = plots.spaghetti(table, x_label="x (d)", y_label="y (ms)")
    lines = curves_of(ax, BLUE)
    parts = [table[table["panel"] == name].sort_values("x") for name in ("late", "early")]
    assert sorted(line.tolist() for line in lines) == sorted(
        p[["x", "fitted"]].to_numpy().tolist() for p in parts
    )
    same(curves_of(ax, VERMILLION)[0], parts[0][["x", "population"]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (d)", "y (ms)")


def test_blocks():
    cells = pd.DataFrame({"row": [0, 1, 2], "column": [0, 3, 1], "share": [1.0, 0.01, 0.6]})
    parts = pd.DataFrame({"part": ["X", "g: x"], "start": [0, 1], "stop": [1, 4]})
    ax = plots.blocks(cells, parts)
    same(ax.collections[0].get_array(), [[4, 0, 0, 0], [0, 0, 0, 1], [0, 3, 0, 0]])
    assert ax.collections[0].get_clim() == (0, 4)
    same(ax.get_xticks(), [0.5, 2.5])
    assert ticks(ax.xaxis) == ["X", "g: x"]
    assert [list(line.get_xdata()) for line in ax.lines] == [[1, 1]]
    assert ax.get_ylim() == (3, 0)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        "Columns of [X Z], by part",
        "Rows of the data, in file order",
    )


def test_matrices():
    named = {"A": np.array([[8.0, -1.0], [0.0, 1.0]]), "b": np.array([0.0, 27.0])}
    axes = plots.matrices(named)
    assert titles(axes) == ["A", "b"]
    same(axes[0, 0].collections[0].get_array(), [[2, -1], [0, 1]])
    same(axes[0, 1].collections[0].get_array(), [[0, 3]])
    assert [ax.collections[0].get_clim() for ax in axes.flat] == [(-2, 2), (-3, 3)]
    assert axes[0, 0].get_ylim() == (2, 0)
    same(axes[0, 0].get_xticks(), [0.5, 1.5])
    assert ticks(axes[0, 0].xaxis) == ["0", "1"]


def test_path():
    steps = pd.DataFrame(
        {"iteration": [0, 1, 2], "excess": [30.0, 0.5, 0.25], "decrement": [7.0, 3.0, 1e-12]}
    )
    axes = plots.path(steps)
    for ax, column in zip(axes.flat, ("excess", "decrement"), strict=True):
        same(curves_of(ax, BLUE)[0], steps[["iteration", column]])
        assert (ax.get_xlabel(), ax.get_yscale()) == ("Iteration", "log")
    assert axes[0, 0].get_ylabel() == "Deviance above its end"
    assert axes[0, 1].get_ylabel() == "Newton decrement (deviance)"
    assert reference(axes[0, 1], 1e-8, "y")
    assert not reference(axes[0, 0], 1e-8, "y")


def test_climb():
    steps = pd.DataFrame(
        {"algorithm": ["em", "em", "newton"], "iteration": [0, 1, 0], "above": [9.0, 4.0, 0.5]}
    )
    ax = plots.climb(steps)
    em, newton = curves_of(ax)[:2]
    same(em, [(0, 9), (1, 4)])
    same(newton, [(0, 0.5)])
    assert keys(ax) == ["em", "newton"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("symlog", "log")
    assert reference(ax, 1e-8, "y")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Iteration", "Deviance above the lowest")


def test_surface():
    a, b = np.meshgrid([0.0, 1.0, 2.0], [0.0, 3.0, 6.0, 9.0])
    grid = pd.DataFrame({"a": a.ravel(), "b": b.ravel(), "above": (0.8 * a + b).ravel()})
    paths = pd.DataFrame({"algorithm": ["em", "em", "em", "pls"], "a": [2, 0.5, 1, 1.5], "b": [8, 2, 5, 4.0]})
    ax = plots.surface(grid, paths)
    em, pls = curves_of(ax)
    same(em, [(2, 8), (0.5, 2), (1, 5)])
    same(pls, [(1.5, 4)])
    assert keys(ax) == ["em", "pls"]
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 2), (0, 9))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a (relative to sigma)", "b (relative to sigma)")
    (contours,) = [c for c in ax.collections if hasattr(c, "levels")]
    assert 3.84 in contours.levels
    # On the lower edge, where b is zero, the deviance is 0.8 a.
    height = list(contours.levels).index(1.0)
    assert any(np.allclose(point, (1.25, 0)) for point in contours.get_paths()[height].vertices)


def test_agreement():
    ax = plots.agreement(pd.DataFrame({"one": [1.0, 5.0], "other": [2.0, -3.0]}), label="Effect (ms)")
    same(dots(ax), [(1, 2), (5, -3)])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Effect (ms), by the equations", "Effect (ms), by the fit")
    assert ax.lines[0].get_slope() == 1.0


def test_variogram():
    table = pd.DataFrame({"distance": [1.0, 7.0], "semivariance": [0.9, 1.2], "low": 0.8, "high": [1.2, 1.3]})
    low, high, found = plots.variogram(table, label="Distance").get_lines()
    for line, name in ((low, "low"), (high, "high"), (found, "semivariance")):
        np.testing.assert_array_equal(line.get_xdata(), table["distance"])
        np.testing.assert_array_equal(line.get_ydata(), table[name])


def test_variance_curve():
    table = pd.DataFrame({"value": [1.0, 2.0], "fitted": [0.5, 2.0], "empirical": [0.6, 1.7]})
    lines = plots.variance_curve(table, x_label="Dose", label="SD").get_lines()
    for line, name in zip(lines, ("fitted", "empirical"), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_xdata(), table["value"])
        np.testing.assert_array_equal(line.get_ydata(), table[name])


def test_residual_panels():
    points = pd.DataFrame({"fitted": [3.0, 1.0, 2.0], "residual": [0.5, -4.0, 7.0], "root": [0.1, 0.9, 0.4]})
    trend = pd.DataFrame({"fitted": [1.0, 3.0], "residual": [0.75, -0.25], "root": [0.3, 0.6]})
    bounds = {"low": [-4.0, 0.0], "high": [-2.0, 0.25]}
    quantiles = pd.DataFrame({"normal": [-1.0, 2.0], "residual": [-3.0, 0.5], **bounds})
    five = {"low": [-9.0, -1.0], "lower": [-2.5, -0.5], "median": [0.25, 0.0], "upper": [1.0, 4.0]}
    boxes = pd.DataFrame({"level": ["b", "a"], **five, "high": [2.0, 16.0]})
    axes = plots.residual_panels(points, trend, quantiles, boxes, label="y (ms)", group="g")
    for ax, value in ((axes[0, 0], "residual"), (axes[1, 0], "root")):
        same(dots(ax), points[["fitted", value]])
        same(curves_of(ax, VERMILLION)[0], trend[["fitted", value]])
        assert ax.get_xlabel() == "Fitted y (ms)"
    assert reference(axes[0, 0], 0, "y")
    assert not reference(axes[1, 0], 0, "y")
    band, points = axes[0, 1].collections
    same(points.get_offsets(), quantiles[["normal", "residual"]])
    outline = band.get_paths()[0].vertices
    assert {tuple(corner) for corner in outline} == {(-1, -4), (2, 0), (2, 0.25), (-1, -2)}
    assert axes[0, 1].lines[0].get_slope() == 1
    whole, half = (c for c in axes[1, 1].collections if segments_of(c))
    same([np.ravel(s) for s in whole.get_segments()], [(0, -9, 0, 2), (1, -1, 1, 16)])
    same([np.ravel(s) for s in half.get_segments()], [(0, -2.5, 0, 1), (1, -0.5, 1, 4)])
    assert half.get_linewidths()[0] > whole.get_linewidths()[0]
    same(curves_of(axes[1, 1], "white")[0], [(0, 0.25), (1, 0)])
    assert ticks(axes[1, 1].xaxis) == ["b", "a"]
    assert axes[1, 1].get_xlabel() == "g"
    assert reference(axes[1, 1], 0, "y")
    names = ["Residual", "Standardised residual", "Square root of |standardised|", "Residual"]
    assert [ax.get_ylabel() for ax in axes.flat] == names


def test_envelopes_draw_each_curve_its_band_and_what_is_outside():
    curve = pd.DataFrame(
        {"x": [0.5, 1.25, 4.0], "value": [0.0, 3.0, -2.5], "low": -2.0, "high": [1.0, 2.0, 2.5]}
    )
    table = pd.concat([curve.assign(panel=name, x_label="x", y_label="y") for name in ("A", "B")])
    axes = plots.envelopes(table)
    for ax, name in zip(axes.flat, ("A", "B"), strict=True):
        assert ax.get_title(loc="left") == name
        line, outside = (curves_of(ax, color)[-1] for color in (BLUE, VERMILLION))
        same(line, curve[["x", "value"]])
        same(outside, [[1.25, 3.0], [4.0, -2.5]])
        (band,) = (c for c in ax.collections if isinstance(c, PolyCollection))
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices.round(9)}
        assert {(x, y) for x in curve.x for y in (-2.0,)} | set(
            zip(curve.x, curve.high, strict=True)
        ) <= corners


@pytest.mark.parametrize("levels", [3, 202])
def test_shrinkage(levels):
    own = np.linspace(-1.0, 2.0, 4 * levels).reshape(levels, 4) ** 3
    own[1, 1] = np.nan
    table = pd.DataFrame(own, columns=["x", "y", "x_model", "y_model"])
    ax = plots.shrinkage(table, (0.5, -0.25), x_label="a (ms)", y_label="b")
    hollow, model, center = (line.get_xydata() for line in ax.lines)
    same(hollow, own[:, :2])
    same(model, own[:, 2:])
    same(center, [[0.5, -0.25]])
    drawn = np.delete(own, 1, axis=0)
    if levels == 3:
        same([[*text.xyann, *text.xy] for text in ax.texts], drawn)
    else:
        same(segments(ax), drawn)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a (ms)", "b")
    alone = plots.shrinkage(table, (0.5, np.nan), x_label="a", y_label="b", ax=ax)
    assert alone is ax
    assert reference(ax, 0.5, "x")


def test_ellipses_stand_in_the_panel_of_their_two_terms():
    table = pd.DataFrame({name: [1.0, 2.0] for term in "abc" for name in (term, f"normal:{term}")})
    corners = pd.DataFrame({"across": "a", "down": "c", "x": [1.5, -4.0, 0.0], "y": [7.0, 8.0, -3.0]})
    axes = plots.random_pairs(table.assign(level=["u", "v"]), label="Effect", ellipses=corners)
    same(curves_of(axes[2, 0])[0], corners[["x", "y"]])
    assert [len(curves_of(ax)) for ax in axes.flat] == [0, 0, 0, 0, 0, 0, 1, 0, 0]


def test_interactions():
    rows = [("f", "u", "h: 1", *row) for row in zip(ESTIMATE, LOW, HIGH, strict=True)]
    table = pd.DataFrame(rows, columns=["group", "level", "by", "mean", "low", "high"])
    table = table.assign(family="f within h", level=["u", "v", "v"], by=["h: 1", "h: 2", "h: 1"])
    ax = plots.interactions(table, label="Mean (ms)")[0, 0]
    first, second = curves_of(ax)
    same(first, [[-0.04, 1.5], [0.96, 0.5]])
    same(second, [[1.04, -2.25]])
    same(segments(ax)[:, [1, 3]], [[1.25, 4.75], [-0.125, 0.75], [-9.0, -2.0]])
    assert (ticks(ax.xaxis), titles(ax)) == (["u", "v"], ["f within h"])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("f", "Mean (ms)")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["h: 1", "h: 2"]
    looks = {(line.get_marker(), line.get_linestyle(), line.get_color()) for line in ax.lines}
    assert all(len(set(each)) == 2 for each in zip(*looks, strict=True))


def test_profile_zeta():
    table = pd.DataFrame({"value": [1.0, 2.0, 4.0], "zeta": [-1.5, 0.0, 1.25]})
    table = table.assign(parameter="g.sd", estimate=2.0, low=1.0, high=4.0, unit="ms")
    (ax,) = plots.profile_zeta(table).flat
    zero, straight, low, high, curve = (line.get_xydata() for line in ax.lines)
    same(curve, table[["value", "zeta"]])
    same(straight, [[0.5, -1.5], [3.5, 1.5]])
    assert (set(zero[:, 1]), set(low[:, 0]), set(high[:, 0])) == ({0.0}, {1.0}, {4.0})
    assert (titles(ax), ax.get_xlabel()) == (["g.sd"], "Value (ms)")


def test_interval_comparison():
    table = pd.DataFrame({"parameter": ["a", "a", "b"], "method": ["m1", "m2", "m2"], "unit": "", **COLUMNS})
    axes = plots.interval_comparison(table)
    assert (titles(axes), keys(axes)) == (["a", "b"], ["m1", "m2"])
    for ax, rows, heights in zip(axes.flat, (slice(0, 2), slice(2, 3)), ([0, 1], [1]), strict=True):
        same(segments(ax), np.column_stack([LOW[rows], heights, HIGH[rows], heights]))
        same(dots(ax), np.column_stack([ESTIMATE[rows], heights]))
    assert ticks(axes[0, 0].yaxis) == ["m1", "m2"]


@pytest.mark.parametrize("name", PICTURES | VARIANTS)
def test_every_line_point_area_and_word_is_as_it_was_found_right(name):
    """Widths, colours, markers, limits, ticks and texts too, of which the tests above know some alone.

    Where a picture is to change: `PYTHONPATH=tests python -m support.pictures`, then read the difference.
    """
    assert described(drawn(name)) == expected()[name]
