"""A table for every kind of picture, and what is drawn of it in words.

The tables hold numbers that no rule would give: intervals that are not symmetric, and not of any level.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.ticker import AutoLocator

from lmmkit import plots
from lmmkit.model.report_tables.about_design import Relatives
from lmmkit.plots.effects import specifications
from lmmkit.plots.style import figure_of

LEVELS = [f"g{i}" for i in range(6)]
TERMS = ["g: Intercept", "g: x"]


def points(groups=LEVELS, x=(0, 1, 2)):
    rows = [(g, value, i + j) for i, g in enumerate(groups) for j, value in enumerate(x)]
    table = pd.DataFrame(rows, columns=["panel", "x", "y"])
    table = table.assign(fitted=table["y"] + 0.1, population=2.0 + 0.25 * table.index % 3)
    return table.assign(low=table["fitted"] - 1.25, high=table["fitted"] + 3.5)


def focus(x=(0.0, 1.0, 2.0)):
    rows = [(f"f: {by}", value) for by in "uv" for value in x]
    table = pd.DataFrame(rows, columns=["by", "x"])
    mean = 2.0 + 0.5 * table.index**2
    return table.assign(mean=mean, low=mean - 0.25, high=mean + 4.0)


def effects(levels=LEVELS):
    middle = np.linspace(-1, 1, len(levels))
    parts = [
        pd.DataFrame(
            {"term": term, "level": levels, "estimate": middle, "low": middle - 1, "high": middle + 3.5}
        )
        for term in TERMS
    ]
    return pd.concat(parts, ignore_index=True)


def square(block, names, value=np.nan):
    rows = [(block, a, b, 1.0 if a == b else value) for a in names for b in names]
    return pd.DataFrame(rows, columns=["block", "row", "column", "correlation"])


def residual_tables():
    fitted = np.linspace(0, 1, 30)
    rows = pd.DataFrame({"fitted": fitted, "residual": np.sin(30 * fitted), "root": fitted**2})
    quantiles = pd.DataFrame(
        {"normal": fitted - 0.5, "residual": fitted, "low": fitted - 0.2, "high": fitted + 0.5}
    )
    five = {"level": LEVELS, "low": -2.0, "lower": -1.25, "median": 0.5, "upper": 1.0, "high": 4.0}
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


def many(table, times):
    """A table repeated, as columns of numbers that still differ from row to row."""
    whole = pd.concat([table] * times, ignore_index=True)
    numbers = whole.select_dtypes("number").columns
    return whole.assign(**{name: whole[name] + 0.01 * whole.index for name in numbers})


ESTIMATES = {"estimate": [1.5, -2.25, 0.5], "low": [1.25, -9.0, -0.125], "high": [4.75, -2.0, 0.75]}
CURVES = pd.DataFrame(
    {"parameter": ["g.sd", "g.sd", "x", "x"], "unit": ["ms", "ms", "ms per d", "ms per d"],
     "x": [0.0, 2.0, -1.0, 4.0], "prior": [0.5, 9.0, np.nan, np.nan], "likelihood": [0.25, 3.0, 0.5, 0.75],
     "posterior": [0.125, 2.0, 1.5, 0.625]}
)  # fmt: skip
BESIDE = pd.DataFrame(
    {"parameter": ["a", "b", "c"], "unit": ["ms", "ms per d", "ms"], "estimate": [3.0, -1.0, 2.0],
     "estimate_low": [2.5, -3.0, 0.5], "estimate_high": [3.25, -0.5, 7.0], "mean": [2.75, -1.5, 2.25],
     "lower": [2.0, -2.0, 1.0], "upper": [6.0, 0.5, 2.5]}
)  # fmt: skip
RANKED = pd.DataFrame(
    {"title": ["g: Intercept"] * 3 + ["g: x"] * 2, "level": list("cabba"),
     "mean": [1.5, 2.0, 2.25, 1.25, 1.75], "low": [1, 1, 2, 1, 1], "high": [2, 3, 3, 1.5, 2]}
)  # fmt: skip
DRAWS = pd.DataFrame(
    {"low": [0.0, 1.5], "high": [1.5, 2.0], "observed": [3, 11], "median": [4, 9], "least": [1, 5],
     "most": [7, 12]}
)  # fmt: skip
ZETA = pd.DataFrame(
    {"parameter": ["g.sd"] * 3 + ["g.cor"] * 2, "unit": ["ms"] * 3 + [""] * 2,
     "value": [1.0, 2.0, 4.0, -1.0, -1.0], "zeta": [-1.5, 0.0, 1.25, 0.0, 0.0],
     "estimate": [2.0] * 3 + [-1.0] * 2, "low": [1.0] * 3 + [-1.0] * 2, "high": [4.0] * 3 + [-1.0] * 2}
)  # fmt: skip
CELLS = pd.DataFrame({"cell": ["Visit 1", "Visit 2"], "fitted": [2.5, 4.0], "empirical": [3.5, 3.0]})
LAGS = pd.DataFrame({"lag": [0, 1, 4], "autocorrelation": [0.5, -0.25, 0.125], "low": [-0.1, -0.2, -0.4],
                     "high": [0.15, 0.3, 0.6]})  # fmt: skip
STEPS = pd.DataFrame({"algorithm": ["em", "em", "newton"], "iteration": [0, 1, 0], "above": [9.0, 4.0, 0.5],
                      "a": [0.5, 1.0, 0.25], "b": [2.0, 3.5, 1.0]})  # fmt: skip
GRID = pd.DataFrame(
    [(a, b, 0.8 * a + b) for a in (0.0, 1, 2) for b in (0.0, 3, 6, 9)], columns=["a", "b", "above"]
)
MEETINGS = pd.DataFrame(
    [(f, f"h: {k}, k: {j}", level, k + 2.5 * j + place, k - 1.0, k + 4.0 + j)
     for f in ("f within h and k",) for k in range(4) for j in range(2) for place, level in enumerate("uvw")],
    columns=["family", "by", "level", "mean", "low", "high"],
).assign(group="f")  # fmt: skip
STRUCTURES = pd.DataFrame(
    {"structure": ["identity", "ar1(visit | id)"], "chosen": [False, True], "d_deviance": [7.0, 0.0],
     "d_aic": [5.0, 0.0], "d_bic": [2.0, np.nan]}
)  # fmt: skip
SPECIFIED = pd.DataFrame(
    {**{name: [*values, np.nan] for name, values in ESTIMATES.items()},
     "state": ["complete"] * 3 + ["failed"],
     "significant": pd.array([False, True, False, None], dtype="boolean")}
)  # fmt: skip
CHOSEN = pd.DataFrame({"formula": ["y ~ x + (1 | g)", "y ~ " + " + ".join(f"x{i}" for i in range(12))] * 2,
                       "reml": ["yes", "yes", "no", "no"]})  # fmt: skip
PAIRS = pd.DataFrame(
    {"level": LEVELS, "g: Intercept": [1.0, 2.5, -4.0, 0.5, 0.25, -2.0],
     "g: x": [7.0, -1.5, 0.25, 1.0, 3.0, 2.0],
     "normal:g: Intercept": [0.1, 0.2, -0.7, 0.4, 0.9, -1.1], "normal:g: x": [0.9, -0.4, 0.3, 1.4, 0.7, -0.2]}
)  # fmt: skip
CORNERS = pd.DataFrame(
    {"across": "g: Intercept", "down": "g: x", "x": [1.5, -4.0, 0.0], "y": [7.0, 8.0, -3.0]}
)
TILES = pd.DataFrame(
    {"group": ["g", "g", "a long name of h"], "levels": [2, 2, 4], "against": ["h", "h", "x"],
     "values": [2, 2, 3], "row": [0, 1, 0], "rows": [2, 2, 3],
     "column": [0, 1, 2], "columns": [2, 2, 3], "share": [1.0, 0.5, 0.1]}
)  # fmt: skip
LETTERS = "abcdefghijklmnopqrstu"

#: Branches of pictures that `PICTURES` does not take, and pictures whose bytes are those of another kind.
VARIANTS = {
    "prior_and_posterior": lambda: plots.prior_and_posterior(CURVES),
    "prior_and_posterior of five": lambda: plots.prior_and_posterior(
        pd.concat([CURVES.assign(parameter=name, unit="") for name in ("a", "b", "c", "d", "a name " * 9)])
    ),
    "incidence of two groups": lambda: plots.incidence(TILES),
    "estimates_and_posterior": lambda: plots.estimates_and_posterior(BESIDE, label="Value"),
    "ranks": lambda: plots.ranks(RANKED),
    "predictive": lambda: plots.predictive(DRAWS, label="y (ms)"),
    "profile_zeta": lambda: plots.profile_zeta(ZETA),
    "interval_comparison": lambda: plots.interval_comparison(
        pd.DataFrame({"parameter": ["a", "a", "b"], "method": ["m1", "m2", "m2"], "unit": "ms", **ESTIMATES})
    ),
    "cell_sds": lambda: plots.cell_sds(CELLS, label="SD of y (ms)"),
    "autocorrelation": lambda: plots.autocorrelation(LAGS, label="Distance of visits"),
    "matrices": lambda: plots.matrices({"A": np.array([[8, -1], [0, 1.0]]), "b": np.array([0, 27.0])}),
    "climb": lambda: plots.climb(STEPS),
    "surface": lambda: plots.surface(GRID, STEPS),
    "agreement": lambda: plots.agreement(
        pd.DataFrame({"one": [1.0, 5.0], "other": [2.0, -3.0]}), label="Effect (ms)"
    ),
    "interactions": lambda: plots.interactions(MEETINGS, label="Mean of y (ms)"),
    "structures": lambda: plots.structures(STRUCTURES),
    "specifications": lambda: specifications(SPECIFIED, CHOSEN, label="Effect (ms)"),
    "specifications of many": lambda: specifications(
        many(SPECIFIED, 50), pd.concat([CHOSEN] * 50, ignore_index=True), label="Effect (ms)"
    ),
    "influence away from zero": lambda: plots.influence(
        WITHOUT.assign(estimate=[1.0, 0.5, np.nan], method=["one step", "exact refit", "not estimable"]),
        label="Slope (ms per d)", whole=0.75,
    ),
    "influence of many": lambda: plots.influence(many(WITHOUT, 10), label="Slope", whole=0.5),
    "shrinkage of one effect": lambda: plots.shrinkage(
        pd.concat([OWN, OWN.iloc[:1].assign(x=np.nan)]), (2.0, np.nan), x_label="a (ms)", y_label="Place"
    ),
    "shrinkage of many": lambda: plots.shrinkage(many(OWN, 101), (2.0, 1.0), x_label="a", y_label="b"),
    "dropout of one arm": lambda: plots.dropout(DROPOUT, ["visit 1", "visit 2"], ["subjects, a"]),
    "assumptions of one row": lambda: plots.assumptions(ASSUMED[:2], label="Difference in y (ms)"),
    "envelopes away from zero": lambda: plots.envelopes(
        pd.concat([ENVELOPES[:4].assign(low=1.5, high=[1.75, 2.0, 2.5, 3.0], x=0.5 + np.arange(4)),
                   many(ENVELOPES[4:], 5)])
    ),
    "caterpillar of many": lambda: plots.caterpillar(
        effects([f"g{i}" for i in range(41)]).assign(unit="ms"), label="Effect"
    ),
    "random_pairs with ellipses": lambda: plots.random_pairs(
        PAIRS, ["ms", "ms per d"], label="Effect", ellipses=CORNERS
    ),
    "random_pairs of many": lambda: plots.random_pairs(
        many(PAIRS[["level", "g: x", "normal:g: x"]], 40), label="Effect"
    ),
    "correlations of nine": lambda: plots.correlations(square("g", LETTERS[:9], -0.126)),
    "correlations of thirteen": lambda: plots.correlations(square("g", LETTERS[:13], 0.25)),
    "correlations of many": lambda: plots.correlations(square("g", LETTERS, 0.25)),
    "no correlation": lambda: plots.correlations(square("g", [])),
    "selection_path by a criterion": lambda: plots.selection_path(
        pd.DataFrame({"step": [1, 2, 3, 4], "against": ["", "a", "b", None], "what": ["", "w", "v", "u"],
                      "higher": [np.nan, -1.0, 2.5, 4.0], "p": np.nan,
                      "outcome": ["begins", "not added", "singular", "added"]})
    ),
    "trellis in rows": lambda: plots.trellis(
        points([f"g{i}" for i in range(8)], x=["a long level", "another"]), x_label="x", y_label="y (ms)"
    ),
    "trellis of the population": lambda: plots.trellis(
        points(), points().assign(fitted=np.nan), x_label="x (d)", y_label="y (ms)"
    ),
    "spaghetti of a factor": lambda: plots.spaghetti(
        points(x="ab").drop(columns=["fitted", "population"]), x_label="x", y_label="y (ms)"
    ),
    "effect of the mean": lambda: plots.effect(
        focus().iloc[:3].assign(by=""), points(), x_label="x (d)", y_label="y (ms)"
    ),
    "effect with long names": lambda: plots.effect(
        focus().assign(by=lambda d: d["by"] + " at the second of two"), points(), x_label="x", y_label="y"
    ),
    "blocks of X": lambda: plots.blocks(
        pd.DataFrame({"row": [0, 1], "column": [0, 1], "share": [1.0, 0.1]}),
        pd.DataFrame({"part": ["X"], "start": [0], "stop": [2]}),
    ),
    "residual_panels of many": lambda: plots.residual_panels(
        *(many(table, 20) if len(table) in (6, 30) else table for table in residual_tables()),
        label="y (ms)", group="g",
    ),
    "group_sizes of many": lambda: plots.group_sizes(
        pd.DataFrame({"group": "g", "rows": range(1, 32), "levels": range(40, 9, -1)})
    ),
    "missing with long names": lambda: plots.missing(
        pd.DataFrame({"rows": [1234, 1], "response of all": [0, 1], "g": [0, 0]})
    ),
    "forest of two units": lambda: plots.forest(
        pd.DataFrame({"coefficient": ["x", "a name " * 9, "z"], "unit": ["ms", "d", "ms"], **ESTIMATES}),
        label="Change",
    ),
}  # fmt: skip


@cache
def drawn(name):
    """The axes of a picture, drawn once: not to be changed."""
    return (PICTURES | VARIANTS)[name]()


# What is drawn, in words


def described(axes):
    """What a picture shows, a line for each thing: panels with their axes, then lines, areas, points, words.

    Numbers have five digits. What matplotlib chooses by itself from the size of the paper is left out.
    """
    figure = figure_of(axes)
    width, height = figure.get_size_inches()
    lines = [f"{width:.3g} x {height:.4g} inches"]
    lines += [f"{kind}: {text!r}" for kind, text in
              (("below", figure.get_supxlabel()), ("left", figure.get_supylabel())) if text]  # fmt: skip
    lines += [_legend(legend) for legend in figure.legends]
    for ax in figure.axes:
        if ax.get_visible():
            lines += _panel(ax)
    return lines


def _panel(ax):
    """A panel: its texts, axes, and whatever stands in it."""
    lines = [f"- panel {ax.get_title(loc='left') or ax.get_title()!r}" + ("" if ax.axison else ", no axes")]
    for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
        ends = ax.get_xlim() if name == "x" else ax.get_ylim()
        own = (
            ""
            if isinstance(axis.get_major_locator(), AutoLocator)
            else f"; at {_numbers(axis.get_ticklocs())}"
        )
        labels = axis.get_ticklabels()
        names = [label.get_text() for label in labels] if own else []
        look = axis.get_tick_params()
        extras = [f"{key} {look[key]:g}" for key in ("labelsize", "labelrotation", "length") if look.get(key)]
        extras += [f"rotated {label.get_rotation():g}" for label in labels[:1] if label.get_rotation()]
        extras += ["grid"] * bool(axis.get_gridlines() and axis.get_gridlines()[0].get_visible())
        extras += ["inner"] * (not look.get("labelbottom", True))
        lines.append(f"  {name} {axis.get_label_text()!r}, {axis.get_scale()}, {_numbers(ends)}{own} "
                     f"{'|'.join(names)!r} {', '.join(extras)}".rstrip())  # fmt: skip
    lines += [f"  frame: {' '.join(side for side, spine in ax.spines.items() if spine.get_visible())}"]
    for kind, found in (
        (_line, ax.lines),
        (_collection, ax.collections),
        (_patch, ax.patches),
        (_words, ax.texts),
    ):
        lines += [f"  {kind(one)}" for one in found]
    return [*lines, *([f"  {_legend(ax.get_legend())}"] if ax.get_legend() else [])]


def _numbers(values):
    """So many numbers, or of more than 40 how many, their ends and their mean."""
    values = np.asarray(values, float).ravel()
    told = values if len(values) <= 40 else [len(values), values[0], values[-1], np.nanmean(values)]
    return " ".join(f"{float(f'{value:.5g}') + 0.0:g}" for value in told)


def _look(artist):
    """What any artist has beside its place."""
    label = str(artist.get_label())
    alpha = artist.get_alpha()
    parts = ["" if label.startswith("_") else repr(label), "" if alpha is None else f"alpha {alpha:g}"]
    parts += ["" if artist.get_zorder() in (1, 2) else f"order {artist.get_zorder():g}"]
    parts += ["pixels" if artist.get_rasterized() else ""]
    return " ".join(filter(None, parts))


def _line(line):
    x, y = line.get_data(orig=False)
    marker = line.get_marker()
    at = (
        f" {marker} {line.get_markersize():g} in {_color(line.get_markerfacecolor())}, edge "
        f"{_color(line.get_markeredgecolor())} {line.get_markeredgewidth():g}"
        if marker not in ("None", "")
        else ""
    )
    slope = f" slope {line.get_slope():g}" if hasattr(line, "get_slope") else ""
    return (f"line {line.get_linestyle()} {line.get_linewidth():g} {_color(line.get_color())}{at}{slope} "
            f"{_look(line)}: x {_numbers(x)}; y {_numbers(y)}")  # fmt: skip


def _collection(one):
    one.update_scalarmappable()  # as drawing does: another test may have drawn it already
    faces, edges = ([_hex(color) for color in np.unique(colors, axis=0)][:4]
                    for colors in (one.get_facecolor(), one.get_edgecolor()))  # fmt: skip
    look = (
        f"{'/'.join(faces)} edge {'/'.join(edges)} {_numbers(np.unique(one.get_linewidths()))} {_look(one)}"
    )
    if isinstance(one, LineCollection):
        return (
            f"segments {look}: {_numbers(np.concatenate([np.ravel(s) for s in one.get_segments()] or [[]]))}"
        )
    if isinstance(one, PathCollection):
        shapes = {_numbers(path.vertices) for path in one.get_paths()}
        return (f"points {_numbers(np.unique(one.get_sizes()))} shapes {sorted(shapes)} {look}: "
                f"{_numbers(one.get_offsets().data)}")  # fmt: skip
    if isinstance(one, PolyCollection):
        return f"area {look}: {_numbers(np.concatenate([path.vertices for path in one.get_paths()]))}"
    values = one.get_array()
    if values is None:
        return f"{type(one).__name__} {look}"
    colors = one.get_cmap()
    scale = f"{colors.name} {_numbers([*one.get_clim(), *colors(0.75)])} {type(one.norm).__name__}"
    levels = f" levels {_numbers(one.levels)}" if hasattr(one, "levels") else ""
    places = (
        f" from {_numbers(one.get_coordinates()[[0, -1], [0, -1]])}"
        if hasattr(one, "get_coordinates")
        else ""
    )
    gamma = f" {one.norm.gamma:g}" if hasattr(one.norm, "gamma") else ""
    return f"matrix {scale}{gamma} {look}{levels}{places}: {_numbers(np.ma.filled(values, np.nan))}"


def _patch(patch):
    place = patch.get_bbox().extents if hasattr(patch, "get_bbox") else patch.get_path().vertices
    return (f"patch {_color(patch.get_facecolor())} edge {_color(patch.get_edgecolor())} "
            f"{patch.get_linewidth():g} {_look(patch)}: {_numbers(place)}")  # fmt: skip


def _words(text):
    if hasattr(text, "xyann"):
        arrow = text.arrowprops or {}
        return f"arrow {dict(sorted(arrow.items()))}: {_numbers([*text.xyann, *text.xy])}"
    look = f"{text.get_fontsize():g} {text.get_ha()} {text.get_va()}"
    return f"words {text.get_text()!r} {look}: {_numbers(text.get_position())}"


def _legend(legend):
    signs = []
    for text, sign in zip(legend.get_texts(), legend.legend_handles, strict=True):
        marker = getattr(sign, "get_marker", lambda: "")()
        color = sign.get_color() if hasattr(sign, "get_color") else sign.get_facecolor()
        dash = sign.get_linestyle() if hasattr(sign, "get_marker") else ""
        signs.append(f"{marker} {dash} {_color(color)} {text.get_text()!r}")
    title = legend.get_title().get_text()
    return f"legend at {legend._loc}, {legend._ncols} columns {title!r}: {', '.join(signs)}"


def _color(color):
    if isinstance(color, str) and color in ("none", "None", "auto"):
        return color
    return _hex(np.asarray(color)[0] if np.ndim(color) == 2 else color)


def _hex(color):
    return to_hex(color, keep_alpha=True).removesuffix("ff")


# The file of what is drawn

EXPECTED = Path(__file__).parents[1] / "plots" / "drawn.txt"


@cache
def expected():
    """What was found right: the lines of each picture by its name."""
    parts = EXPECTED.read_text(encoding="utf-8").split("\n# ")
    return {part.splitlines()[0].removeprefix("# "): part.splitlines()[1:] for part in parts}


if __name__ == "__main__":  # writes the file anew
    told = ["\n".join([f"# {name}", *described(drawn(name))]) for name in PICTURES | VARIANTS]
    EXPECTED.write_text("\n".join(told) + "\n", encoding="utf-8")
