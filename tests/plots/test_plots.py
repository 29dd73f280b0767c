"""Pictures: drawn from tables, with named axes, the same bytes each time, room for thousands of groups."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from lmmkit import plots
from lmmkit.model.report_tables.about_design import Relatives
from lmmkit.plots.style import figure_of

LEVELS = [f"g{i}" for i in range(6)]
TERMS = ["g: Intercept", "g: x"]


def points(groups=LEVELS, x=(0, 1, 2)):
    rows = [(g, value, i + j) for i, g in enumerate(groups) for j, value in enumerate(x)]
    table = pd.DataFrame(rows, columns=["panel", "x", "y"])
    return table.assign(fitted=table["y"] + 0.1, population=2.0, low=0.0, high=4.0)


def focus(x=(0.0, 1.0, 2.0)):
    rows = [(f"f: {by}", value) for by in "uv" for value in x]
    return pd.DataFrame(rows, columns=["by", "x"]).assign(mean=2.0, low=1.0, high=3.0)


def effects(levels=LEVELS):
    middle = np.linspace(-1, 1, len(levels))
    parts = [
        pd.DataFrame(
            {"term": term, "level": levels, "estimate": middle, "low": middle - 1, "high": middle + 1}
        )
        for term in TERMS
    ]
    return pd.concat(parts, ignore_index=True)


def square(block, names):
    rows = [(block, a, b, 1.0 if a == b else np.nan) for a in names for b in names]
    return pd.DataFrame(rows, columns=["block", "row", "column", "correlation"])


def residual_tables():
    fitted = np.linspace(0, 1, 30)
    rows = pd.DataFrame({"fitted": fitted, "residual": np.sin(30 * fitted), "root": fitted})
    quantiles = pd.DataFrame(
        {"normal": fitted, "residual": fitted, "low": fitted - 0.2, "high": fitted + 0.2}
    )
    five = {"level": LEVELS, "low": -2.0, "lower": -1.0, "median": 0.0, "upper": 1.0, "high": 2.0}
    return rows, rows[::10], quantiles, pd.DataFrame(five)


ENVELOPES = pd.DataFrame(
    {"panel": ["Bend: x"] * 4 + ["Lags"] * 3, "x_label": ["x (d)"] * 4 + ["Rows apart"] * 3,
     "y_label": ["Departure (ms)"] * 4 + ["Autocorrelation"] * 3,
     "x": [0.5, 1.25, 2.0, 4.0, 1, 2, 3], "value": [0.0, 3.0, -1.0, 0.5, 0.1, 0.2, -0.9],
     "low": [-1.0, -2.0, -1.5, -1.0, -0.3, -0.25, -0.2], "high": [1.0, 2.0, 2.5, 1.0, 0.3, 0.25, 0.2]}
)  # fmt: skip

DROPOUT = pd.DataFrame(
    {"visit 1": [0, 0, 1], "visit 2": [0, 1, 1], "subjects, a": [9, 2, 0], "subjects, b": [8, 3, 1]}
)
ASSUMED = pd.DataFrame(
    [
        ("at random", "m1", -2.0, -3.5, -1.0),
        ("at random", "m2", -1.75, -3.0, -0.5),
        ("jump", "m1", -1.0, -2.5, 0.25),
    ],
    columns=["assumption", "method", "estimate", "low", "high"],
)
SHIFTED = pd.DataFrame(
    [("m1", -1.0, -2.5, -3.0, -2.0), ("m1", 0.0, -2.0, -2.75, -1.0), ("m1", 2.0, -1.0, -2.0, 0.5),
     ("m2", 0.0, -2.0, -3.0, -1.5), ("m2", 2.0, -1.5, -2.25, -0.5)],
    columns=["method", "delta", "estimate", "low", "high"],
)  # fmt: skip
TIPS = pd.DataFrame([("m1", np.nan, 1.25), ("m2", np.nan, np.nan)], columns=["method", "below", "above"])

WITHOUT = pd.DataFrame(
    {"level": ["a", "b", "c"], "cooks": [0.5, 0.25, 0.125], "estimate": [1.0, -0.5, 0.75],
     "method": ["exact refit", "one step", "variances held"], "answer": [False, True, False]}
)  # fmt: skip
OWN = pd.DataFrame({"x": [1.0, 3.0], "y": [2.0, 0.0], "x_model": [1.5, 2.5], "y_model": [1.5, 0.5]})

PICTURES = {
    "influence": lambda: plots.influence(WITHOUT, label="Slope (ms per d)", whole=0.5),
    "influence of one kind": lambda: plots.influence(WITHOUT.iloc[:1], label="Slope (ms per d)"),
    "shrinkage": lambda: plots.shrinkage(
        OWN, (2.0, 1.0), x_label="Intercept (ms)", y_label="Slope (ms per d)"
    ),
    "dropout": lambda: plots.dropout(DROPOUT, ["visit 1", "visit 2"], ["subjects, a", "subjects, b"]),
    "assumptions": lambda: plots.assumptions(ASSUMED, label="Difference in y (ms)"),
    "tipping": lambda: plots.tipping(SHIFTED, TIPS, x_label="Shift of y (ms)", label="Estimate (ms)"),
    "response": lambda: plots.response(
        pd.DataFrame({"left": [0.0, 1], "right": [1.0, 2], "rows": [3, 4]}), (0.5, 1.0, 1.5), label="y (ms)"
    ),
    "missing": lambda: plots.missing(pd.DataFrame({"rows": [9, 1], "y": [0, 1], "g": [0, 0]})),
    "group_sizes": lambda: plots.group_sizes(
        pd.DataFrame({"group": ["g", "h"], "rows": [3, 5], "levels": [6, 2]})
    ),
    "trellis": lambda: plots.trellis(points(), points(), x_label="x (d)", y_label="y (ms)"),
    "trellis of a factor": lambda: plots.trellis(
        points(x="abc"), points(x="abc"), x_label="x", y_label="y (ms)"
    ),
    "trellis without lines": lambda: plots.trellis(points(), x_label="x (d)", y_label="y (ms)"),
    "effect": lambda: plots.effect(focus(), points(), x_label="x (d)", y_label="y (ms)"),
    "effect of a factor": lambda: plots.effect(focus("abc"), points(x="abc"), x_label="x", y_label="y (ms)"),
    "envelopes": lambda: plots.envelopes(ENVELOPES),
    "spaghetti": lambda: plots.spaghetti(points(), x_label="x (d)", y_label="y (ms)"),
    "caterpillar": lambda: plots.caterpillar(effects(), label="Effect (ms)"),
    "random_pairs": lambda: plots.random_pairs(
        pd.DataFrame(
            {"level": LEVELS, **{name: range(6) for term in TERMS for name in (term, f"normal:{term}")}}
        ),
        label="Effect (ms)",
    ),
    "components": lambda: plots.components(
        pd.DataFrame({"component": TERMS, "sd": [1.0, 0.0]}), label="SD (ms)"
    ),
    "correlations": lambda: plots.correlations(square("g", ["Intercept", "x"])),
    "means": lambda: plots.means(
        pd.DataFrame(
            {
                "cell": ["f: a", "f: b", "h: $c$"],
                "family": ["f", "f", "h"],
                "mean": [1.0, 2.0, 1.5],
                "low": [0.0, 1.0, 1.0],
                "high": [2.0, 3.0, 2.0],
            }
        ),
        label="Mean of y (ms)",
    ),
    "comparison_arrows": lambda: plots.comparison_arrows(
        pd.DataFrame(
            {
                "mean": [1.0, 2.0],
                "low": [0.0, 1.0],
                "high": [2.0, 3.0],
                "left": [np.nan, 1.2],
                "right": [1.8, np.nan],
            },
            index=pd.Index(["a", "b"], name="f"),
        ),
        label="Mean of y (ms)",
    ),
    "forest": lambda: plots.forest(
        pd.DataFrame({"coefficient": ["x"], "estimate": [1.0], "low": [0.0], "high": [2.0]}),
        label="Change (ms)",
    ),
    "residual_panels": lambda: plots.residual_panels(*residual_tables(), label="y (ms)", group="g"),
    "blocks": lambda: plots.blocks(
        pd.DataFrame({"row": [0, 1], "column": [0, 1], "share": [1.0, 0.5]}),
        pd.DataFrame({"part": ["X", "g: Intercept"], "start": [0, 1], "stop": [1, 2]}),
    ),
    "relationships": lambda: plots.relationships(
        [
            Relatives("g", np.eye(4) + 0.5, np.full(4, 1.5), np.array([3.0, 1.0, 1.0, 1.0])),
            Relatives("h", np.eye(5), np.linspace(1.0, 1.2, 9), None),
        ]
    ),
    "incidence": lambda: plots.incidence(
        pd.DataFrame(
            {
                "group": "g",
                "levels": 2,
                "against": ["h", "h", "x"],
                "values": [2, 2, 3],
                "row": [0, 1, 0],
                "rows": 2,
                "column": [0, 1, 2],
                "columns": [2, 2, 3],
                "share": [1.0, 0.5, 0.1],
            }
        )
    ),
    "candidates": lambda: plots.candidates(
        pd.DataFrame(
            {
                "candidate": ["(1 | g)", "(x | g)"],
                "chosen": [True, False],
                "singular": [False, True],
                "d_deviance": [2.0, 0],
                "d_aic": [0.0, 2],
                "d_bic": [0.0, np.nan],
            }
        )
    ),
    "selection_path": lambda: plots.selection_path(
        pd.DataFrame(
            {
                "step": [1, 2, 2],
                "against": ["", "(x | g)", "(x | g)"],
                "what": ["", "all correlations", "the slope of x by g"],
                "p": [np.nan, 0.5, 1e-9],
                "outcome": ["begins", "left out for now", "kept"],
            }
        ),
        alpha=0.2,
    ),
    "variogram": lambda: plots.variogram(
        pd.DataFrame({"distance": [1.0, 7.0], "semivariance": [0.9, 1.2], "low": 0.8, "high": [1.2, 1.3]}),
        label="Distance in Time (day)",
    ),
    "variance_curve": lambda: plots.variance_curve(
        pd.DataFrame({"value": [1.0, 2.0], "fitted": [0.5, 2.0], "empirical": [0.6, 1.7]}),
        x_label="Dose (mg)",
        label="Standard deviation of y (mm)",
    ),
    "path": lambda: plots.path(
        pd.DataFrame({"iteration": [0, 1], "excess": [3.0, np.nan], "decrement": [1.0, 1e-12]})
    ),
}
SHARED = {
    "candidates",
    "caterpillar",
    "random_pairs",
    "trellis",
    "trellis of a factor",
}  # outer axes speak for all
UNNAMED = {"correlations", "incidence"}  # the names of rows and columns say what they are


def visible(axes):
    return [ax for ax in np.atleast_1d(axes).flat if ax.get_visible()]


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_the_same_bytes_each_time(name):
    first, second = (plots.svg_bytes(PICTURES[name]()) for _ in range(2))
    assert first == second
    assert first.startswith(b"<?xml")


@pytest.mark.parametrize("name", sorted(set(PICTURES) - UNNAMED))
def test_every_axis_has_a_text(name):
    axes = PICTURES[name]()
    figure = figure_of(axes)
    outer = bool(figure.get_supxlabel() and figure.get_supylabel()) or name in SHARED
    assert all(outer or (ax.get_xlabel() and ax.get_ylabel()) for ax in visible(axes))


def test_units_stand_on_the_axes():
    assert PICTURES["response"]().get_xlabel() == "y (ms)"
    assert figure_of(PICTURES["trellis"]()).get_supylabel() == "y (ms)"


def test_a_picture_holds_no_address_but_those_of_its_language():
    content = plots.svg_bytes(PICTURES["forest"]())
    addresses = {part.split(b'"')[0] for part in content.split(b"http://")[1:]}
    assert addresses == {b"www.w3.org/1999/xlink", b"www.w3.org/2000/svg"}
    assert b"https" not in content


def test_thousands_of_levels_fit_into_one_picture():
    many = [str(i) for i in range(3_000)]
    assert len(plots.svg_bytes(plots.caterpillar(effects(many), label="Effect"))) < 400_000


def test_names_with_dollars_stay_text():
    table = pd.DataFrame({"coefficient": ["cost $a$ $"], "estimate": [1.0], "low": [0.0], "high": [2.0]})
    (content,) = plots.forest(table, label="Change ($)")
    plots.svg_bytes(content)
    assert [label.get_text() for label in content.get_yticklabels()] == [r"cost \$a\$ \$"]


def test_no_correlation_is_said_instead_of_drawn():
    axes = plots.correlations(square("g", []))
    assert "no correlation" in axes[0, 0].get_title(loc="left")


def test_pictures_leave_the_settings_of_matplotlib_alone():
    before = dict(mpl.rcParams)
    plots.svg_bytes(PICTURES["trellis"]())
    assert dict(mpl.rcParams) == before
