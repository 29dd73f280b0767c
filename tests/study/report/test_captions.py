# ruff: noqa: E501  (a sentence stands as it is printed)
"""Every caption and alt text: numbers of a table on the left, the expected words on the right."""

from __future__ import annotations

import pandas as pd
import pytest

from lmmkit.model.report_tables.fitted_lines import FittedLines, FocusMeans
from lmmkit.model.report_tables.panels import PanelChoice
from lmmkit.study.pages.marks import Name, fill
from lmmkit.study.report import captions
from lmmkit.study.report.numbers import number

Frame = pd.DataFrame
NAN = float("nan")


def check(words, caption, alt):
    assert str(words["caption"]) == caption
    assert str(words["alt"]) == alt


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (2972, 4, "2,972"),
        (0, 4, "0"),
        (-3.0, 4, "−3"),
        (298.5079, 4, "298.5"),
        (298.5079, 3, "299"),
        (9999.4, 4, "9999"),
        (12345.678, 4, "12,346"),
        (-12345.678, 4, "−12,346"),
        (1234.5, 3, "1,234"),
        (0.00001234, 4, "1.234e−05"),
        (0.1, 2, "0.1"),
        (1e15, 4, "1,000,000,000,000,000"),
        (10000.4, 4, "10,000"),
    ],
)
def test_number(value, digits, text):
    assert number(value, digits) == text


@pytest.mark.parametrize(
    ("units", "name", "unit", "label"),
    [
        (["ms", ""], "y", "ms", "y (ms)"),
        (["ms", ""], "x", "", "x"),
        ([None, "d"], "y", "", "y"),
        (["ms", "d"], "x", "d", "x (d)"),
        (["ms", "d"], "z", "", "z"),
    ],
)
def test_units_and_axis_labels(units, name, unit, label):
    columns = Frame({"column": ["y", "x"], "unit": units})
    assert captions.unit_of(columns, name) == unit
    assert captions.label_of(columns, name) == label


@pytest.mark.parametrize(
    ("five", "unit", "caption"),
    [
        (
            (194.3, 255.4, 288.7, 336.8, 466.4),
            "ms",
            "The values of y range from 194.3 to 466.4 ms, with a median of 288.7 ms and the longer tail towards high values; "
            "the middle half of the rows lies between 255.4 and 336.8 ms.",
        ),
        (
            (43.0, 52.42, 61.6, 65.3, 72.1),
            "",
            "The values of y range from 43 to 72.1, with a median of 61.6 and the longer tail towards low values; "
            "the middle half of the rows lies between 52.42 and 65.3.",
        ),
        (
            (0.0, 1.0, 2.0, 3.0, 5.0),
            "",
            "The values of y range from 0 to 5, with a median of 2; the middle half of the rows lies between 1 and 3.",
        ),
        (
            (0.0, 1.0, 2.0, 3.0, 5.01),
            "",
            "The values of y range from 0 to 5.01, with a median of 2 and the longer tail towards high values; "
            "the middle half of the rows lies between 1 and 3.",
        ),
        (
            (-3.01, 1.0, 0.0, 1.5, 2.0),
            "",
            "The values of y range from −3.01 to 2, with a median of 0 and the longer tail towards low values; "
            "the middle half of the rows lies between 1 and 1.5.",
        ),
        (
            (1.0, 1.0, 1.0, 1.0, 1.0),
            "",
            "The values of y range from 1 to 1, with a median of 1; the middle half of the rows lies between 1 and 1.",
        ),
    ],
)
def test_response(five, unit, caption):
    other = dict.fromkeys(("min", "lower", "median", "upper", "max"), 9.0)
    row = dict(zip(("min", "lower", "median", "upper", "max"), five, strict=True))
    columns = Frame([{"column": "x", "unit": "d", **other}, {"column": "y", "unit": unit, **row}])
    alt = "Histogram of y, its median marked by a dashed line and its middle half shaded."
    check(captions.response(columns, "y"), caption, alt)


@pytest.mark.parametrize(
    ("patterns", "caption", "alt"),
    [
        (
            {"rows": [180], "y": [0], "x": [0]},
            "All 180 rows are complete: no value is missing.",
            "Grid of 1 pattern by 2 columns; dark squares mark what is missing.",
        ),
        (
            {"rows": [1], "y": [0]},
            "All 1 row are complete: no value is missing.",
            "Grid of 1 pattern by 1 column; dark squares mark what is missing.",
        ),
        (
            {"rows": [1400, 40, 3, 1], "y": [0, 1, 0, 1], "x": [0, 0, 1, 1]},
            "44 of 1,444 rows lack a value, most often that of y (41 rows).",
            "Grid of 4 patterns by 2 columns; dark squares mark what is missing.",
        ),
        (
            {"rows": [5, 1], "y": [0, 0], "x": [0, 1]},
            "1 of 6 rows lacks a value, most often that of x (1 row).",
            "Grid of 2 patterns by 2 columns; dark squares mark what is missing.",
        ),
        (
            {"rows": [3000, 2000], "y": [1, 0], "x": [0, 0]},
            "3,000 of 5,000 rows lack a value, most often that of y (3,000 rows).",
            "Grid of 2 patterns by 2 columns; dark squares mark what is missing.",
        ),
    ],
)
def test_missing(patterns, caption, alt):
    check(captions.missing(Frame(patterns)), caption, alt)


BALANCE = ("group", "levels", "least", "median", "most", "balanced")


@pytest.mark.parametrize(
    ("rows", "caption", "groups"),
    [
        ([("g", 18, 10, 10.0, 10, True)], "18 levels of g have 10 rows each.", "g"),
        ([("g", 1, 1, 1.0, 1, True)], "1 level of g has 1 row.", "g"),
        ([("g", 18, 3, 8.5, 10, False)], "18 levels of g have 3 to 10 rows, with a median of 8.5.", "g"),
        (
            [("h:g", 2972, 1, 22.0, 9528, False), ("g", 14, 2520, 4567.0, 9528, False)],
            "2,972 levels of h:g have 1 to 9,528 rows, with a median of 22; "
            "14 levels of g have 2,520 to 9,528 rows, with a median of 4,567.",
            "h:g, g",
        ),
        (
            [("a", 24, 6, 6.0, 6, True), ("b", 6, 1, 2.0, 24, False)],
            "24 levels of a have 6 rows each; 6 levels of b have 1 to 24 rows, with a median of 2.",
            "a, b",
        ),
    ],
)
def test_groups(rows, caption, groups):
    alt = f"How many levels have how many rows, one panel for each of {groups}."
    check(captions.groups(Frame(rows, columns=list(BALANCE))), caption, alt)


@pytest.mark.parametrize(
    ("group", "levels", "shown", "which"),
    [
        ("g", 3, 3, "all 3 levels of g"),
        ("g", 2972, 2, "2 of 2,972 levels of g, evenly spaced in their order"),
        ("g", 1, 1, "the 1 level of g"),
        ("", 1, 1, "all rows together"),
        ("g", 4, 3, "3 of 4 levels of g, evenly spaced in their order"),
    ],
)
def test_panels(group, levels, shown, which):
    points = Frame({"panel": [*range(shown), 0], "x": 0, "y": 1})
    choice = PanelChoice("y", "x", group, (group,) if group else ())
    balance = Frame([("other", 7, 1, 1.0, 1, True), ("g", levels, 1, 1.0, 1, True)], columns=list(BALANCE))
    panels = "1 small panel" if shown == 1 else f"{shown} small panels"
    check(
        captions.panels(points, choice, balance),
        f"For {which}, y against x.",
        f"{panels} of y against x, one point per row.",
    )


COLUMNS = Frame({"column": ["y", "x", "z", "f"], "unit": ["ms", "d", "mm", None]})


def lines(response, x, fitted, held, own, group="g"):
    """The lines of three panels, of which so many have one of their own."""
    values = list("abc") if x == "f" else [1.0, 2.0, 3.0]
    points = Frame({"panel": list("pqr"), "x": values, "y": 1.0})
    curves = points.assign(fitted=[1.0] * fitted + [NAN] * (3 - fitted), population=0.0)
    return FittedLines(
        PanelChoice("y", x, group, (group,) if group else ()), response, points, points, curves, held, own
    )


HELD = [{"name": "z", "value": 101.33}, {"name": "f", "cell": "f: b"}]


@pytest.mark.parametrize(
    ("made", "caption"),
    [
        (
            ("y", "x", 3, [], []),
            "For all 3 levels of g, y against x with the model's lines and their 95 % intervals.",
        ),
        (
            ("log(1 + y)", "x", 2, HELD, ["h"]),
            "For all 3 levels of g, log(1 + y) against x with the model's lines and their 95 % intervals; 1 panel "
            "in which x does not vary has the population's line alone; drawn at z = 101.3 mm, f: b; with h as each "
            "level of g has it.",
        ),
        (
            ("y", "f", 0, [], ["z", "h"]),
            "For all 3 levels of g, y against f with the model's means and their 95 % intervals; the means are "
            "those of the population; with z and h as each level of g has them.",
        ),
    ],
)
def test_lines(made, caption):
    balance = Frame([("g", 3, 1, 1.0, 1, True)], columns=list(BALANCE))
    model = lines(*made)
    what = "means" if made[1] == "f" else "lines"
    alt = f"3 small panels of {made[0]} against {made[1]}, one point per row, with the model's {what}."
    check(captions.lines(model, balance, COLUMNS, 0.95), caption, alt)


@pytest.mark.parametrize(
    ("made", "caption"),
    [
        (
            ("x", [], [], []),
            "The model's mean of y along x, with 95 % intervals; it goes from 2.5 ms at 0 d to 7.5 ms at 10 d.",
        ),
        (
            ("x", ["f"], HELD[:1], ["h", "k"]),
            "The model's mean of y along x, by f, with 95 % intervals; drawn at z = 101.3 mm; averaged over h and k "
            "with equal weights.",
        ),
        (("f", [], [], []), "The model's mean of y along f, with 95 % intervals."),
    ],
)
def test_focus_means(made, caption):
    x, by, held, averaged = made
    table = Frame({"x": [0.0, 10.0] if x == "x" else ["a", "b"], "mean": [2.5, 7.5], "low": 0.0, "high": 9.0})
    found = captions.focus_means(FocusMeans(x, "y", table, by, held, averaged), COLUMNS, 0.95)
    by = ", by f" if by else ""
    check(found, caption, f"The model's mean of y along {x}{by}, over one point per row.")


CANDIDATES = ("candidate", "chosen", "singular", "error", "d_aic", "d_bic")


@pytest.mark.parametrize(
    ("rows", "criterion", "caption", "count"),
    [
        (
            [("(1 | g)", True, False, "", 3.0, 0.0), ("(x | g)", False, False, "", 0.0, 2.0)],
            "aic",
            "The model taken is (1 | g); (x | g) has the least AIC.",
            "2 candidates",
        ),
        (
            [("(1 | g)", True, False, "", 3.0, 0.0), ("(x | g)", False, False, "", 0.0, 2.0)],
            "bic",
            "The model taken is (1 | g), which has the least BIC.",
            "2 candidates",
        ),
        (
            [
                ("a", False, True, "", 1.0, 1.0),
                ("b", True, False, "", 0.0, 0.0),
                ("c", False, True, "", 2, 2),
            ],
            "aic",
            "The model taken is b, which has the least AIC; 2 candidates of 3 came out singular.",
            "3 candidates",
        ),
        (
            [("a", True, True, None, 0.0, 0.0), ("b", False, False, "too many", NAN, NAN)],
            "aic",
            "The model taken is a, which has the least AIC; 1 candidate of 2 came out singular; "
            "1 candidate could not be fitted.",
            "2 candidates",
        ),
        (
            [
                ("a", False, False, "e", NAN, NAN),
                ("b", False, False, "e", NAN, NAN),
                ("c", True, False, "", 0, 0),
            ],
            "bic",
            "The model taken is c, which has the least BIC; 2 candidates could not be fitted.",
            "3 candidates",
        ),
        ([("a", True, False, "", 0.0, 0.0)], "aic", "The only candidate is a.", "1 candidate"),
        (
            [("a", True, True, "", 0.0, 0.0)],
            "aic",
            "The only candidate is a; it came out singular.",
            "1 candidate",
        ),
    ],
)
def test_candidates(rows, criterion, caption, count):
    alt = f"Deviance, AIC and BIC of {count} as distances from the least."
    check(captions.candidates(Frame(rows, columns=list(CANDIDATES)), criterion), caption, alt)


def test_candidates_by_tests_and_by_the_conditional_aic():
    rows = [("a", True, False, "", 3.0, 0.0, 1.0), ("b", False, False, "", 0.0, 2.0, 0.0)]
    frame = Frame(rows, columns=[*CANDIDATES, "d_caic"])
    alt = "Deviance, AIC and BIC of 2 candidates as distances from the least."
    check(captions.candidates(frame, "lrt"), "The model taken by its tests is a; b has the least AIC.", alt)
    check(captions.candidates(frame, "caic"), "The model taken is a; b has the least cAIC.", alt)


PATH = ("step", "stage", "against", "what", "p", "taken")
BEGINS = (1, "largest model", "", "", NAN, True)
ALL = (2, "without correlations", "a", "all correlations", 0.5, True)
SLOPE = (3, "left out", "b", "the slope of x by g", 0.3, True)
OTHER = (3, "left out", "b", "the slope of z by g", 0.25, False)
AGAIN = (4, "correlations again", "c", "the correlations by g", 0.01, True)


@pytest.mark.parametrize(
    ("rows", "caption"),
    [
        ([BEGINS, ALL], "1 comparison led to 1 change: all correlations left out."),
        (
            [BEGINS, ALL, OTHER, SLOPE],
            "3 comparisons led to 2 changes: all correlations and the slope of x by g left out.",
        ),
        (
            [BEGINS, ALL, AGAIN],
            "2 comparisons led to 2 changes: all correlations left out; the correlations by g added.",
        ),
        ([BEGINS, OTHER], "1 comparison led to 0 changes: nothing left out and nothing added."),
    ],
)
def test_selection_path(rows, caption):
    alt = "p of each comparison, step by step, beside the level 0.2; what was taken is marked by a diamond."
    check(captions.selection_path(Frame(rows, columns=list(PATH)), "lrt", 0.2), caption, alt)
    other = "Difference of AIC in each comparison, step by step, beside zero; a diamond marks what was taken."
    check(captions.selection_path(Frame(rows, columns=list(PATH)), "aic", 0.2), caption, other)


@pytest.mark.parametrize(
    ("rows", "related", "caption", "groups"),
    [
        (
            [("Subject", "Intercept", "within", 18, 18), ("Subject", "Days", "within", 18, 18)],
            [],
            "Within the levels of Subject, Days varies.",
            "Subject",
        ),
        (
            [
                ("s", "a", "within", 40, 40),
                ("s", "b", "within", 40, 40),
                ("s", "z", "between", 40, 0),
                ("s", "a:b", "within", 40, 40),
            ],
            [],
            "Within the levels of s, a and b vary; z is constant.",
            "s",
        ),
        (
            [("s", "x", "mixed", 2972, 2880), ("d", "x", "between", 1128, 0), ("d", "z", "between", 1128, 0)],
            [("s", "d", "partly crossed", 73421, 3352416)],
            "Levels of s and d are partly crossed (73,421 of 3,352,416 cells occur). Within 2,880 of the 2,972 levels of s, x varies. Within the levels of d, x and z are constant.",
            "s, d",
        ),
        (
            [("c:b", "Intercept", "within", 30, 30), ("b", "Intercept", "within", 10, 10)],
            [("c:b", "b", "nested", 30, 300)],
            "Levels of c:b are nested in those of b.",
            "c:b, b",
        ),
        ([("g", "a:b", "within", 9, 9)], [], "Levels of g and the values that they meet.", "g"),
    ],
)
def test_incidence(rows, related, caption, groups):
    audit = Frame(rows, columns=["group", "term", "varies", "levels", "varying"])
    relations = Frame(related, columns=["fine", "coarse", "kind", "cells", "possible"])
    alt = f"Tiles that are dark where a level of {groups} meets a level of another factor or a value of a fixed term."
    check(captions.incidence(audit, relations), caption, alt)


@pytest.mark.parametrize(
    ("rows", "caption", "parts"),
    [
        (
            [("X", 10, 2, 15), ("g: Intercept", 10, 3, 10)],
            "[X Z] has 5 columns; 50 % of its entries are not zero.",
            "X, g: Intercept",
        ),
        ([("X", 8, 1, 8)], "X has 1 column; 100 % of its entries are not zero.", "X"),
        (
            [("X", 900, 1, 900), ("g", 900, 1999, 900)],
            "[X Z] has 2,000 columns; 0.1 % of its entries are not zero.",
            "X, g",
        ),
        (
            [("X", 3, 1, 3), ("g", 3, 6, 3)],
            "[X Z] has 7 columns; 28.6 % of its entries are not zero.",
            "X, g",
        ),
    ],
)
def test_blocks(rows, caption, parts):
    alt = f"The design matrix, dark where it has entries, in parts: {parts}."
    check(captions.blocks(Frame(rows, columns=["part", "rows", "columns", "entries"])), caption, alt)


@pytest.mark.parametrize(
    ("deviances", "decrements", "caption"),
    [
        (
            [110.0, 97.0, 96.47],
            [10.0, 0.5, 1.84e-20],
            "The search came down by 13.53 deviance units in 2 steps; the last decrement is 1.8e−20.",
        ),
        (
            [-5.5, -7.0],
            [1.0, 0.0012345],
            "The search came down by 1.5 deviance units in 1 step; the last decrement is 0.0012.",
        ),
        (
            [12.0],
            [1.94e-29],
            "The moment estimates that the search starts from are the optimum already; "
            "the last decrement is 1.9e−29.",
        ),
    ],
)
def test_path(deviances, decrements, caption):
    alt = "Two panels on a log scale: deviance above its end, and Newton decrement, by iteration."
    check(captions.path(Frame({"deviance": deviances, "decrement": decrements})), caption, alt)


@pytest.mark.parametrize(
    ("rows", "level", "caption", "panels"),
    [
        (
            [("g: a", 1, 2), ("g: a", -2, -1), ("g: a", -1, 1), ("g: b", -1, 1)],
            0.95,
            "Predicted effects whose 95 % interval excludes zero: 2 of 3 for g: a, 0 of 1 for g: b.",
            2,
        ),
        ([("h: b", 0.5, 1), ("g: a", 1, 2)], 0.9,
         "Predicted effects whose 90 % interval excludes zero: 1 of 1 for h: b, 1 of 1 for g: a.", 2),
        ([("g: a", 0, 1), ("g: a", -1, 0)], 0.999, "Predicted effects whose 99.9 % interval excludes zero: 0 of 2 for g: a.", 1),
        ([("g", -1, 1)] * 1500 + [("g", 1, 2)] * 1200, 0.95,
         "Predicted effects whose 95 % interval excludes zero: 1,200 of 2,700 for g.", 1),
    ],
)  # fmt: skip
def test_effects(rows, level, caption, panels):
    alt = (
        f"Predicted random effects in order of size with their intervals, {panels} panel{'s' * (panels > 1)}."
    )
    check(captions.effects(Frame(rows, columns=["term", "low", "high"]), level), caption, alt)


@pytest.mark.parametrize(
    ("columns", "caption", "alt"),
    [
        (
            {"g: a": [1, 2, 3], "g: b": [1, 3, 2], "normal:g: a": [1, 2, 3], "normal:g: b": [1, 2, 3]},
            "Against normal quantiles the predicted effects have a correlation of 0.5 or more, the least for g: b; "
            "1 is a straight line. An ellipse holds nineteen of twenty effects under the estimated covariance.",
            "Scatter of the predicted effects of 3 levels: g: a, g: b.",
        ),
        (
            {"g: a": [1, 3, 2], "g: b": [1, 2, 4], "normal:g: a": [1, 2, 3], "normal:g: b": [1, 2, 3]},
            "Against normal quantiles the predicted effects have a correlation of 0.5 or more, the least for g: a; "
            "1 is a straight line. An ellipse holds nineteen of twenty effects under the estimated covariance.",
            "Scatter of the predicted effects of 3 levels: g: a, g: b.",
        ),
        (
            {"g: a": [0, 0, 0], "g: b": [1, 2, 4], "normal:g: a": [1, 2, 3], "normal:g: b": [1, 2, 3]},
            "Against normal quantiles the predicted effects have a correlation of 0.982 for g: b; 1 is a straight line. "
            "The predicted effects do not differ between the levels: g: a.",
            "Scatter of the predicted effects of 3 levels: g: a, g: b.",
        ),
        (
            {"g: a": [1, 2, 4], "normal:g: a": [1, 2, 3]},
            "Against normal quantiles the predicted effects have a correlation of 0.982; 1 is a straight line.",
            "Scatter of the predicted effects of 3 levels: g: a.",
        ),
        (
            {"g: a": [0, 0, 0], "normal:g: a": [1, 2, 3]},  # a variance estimated as zero
            "The predicted effects do not differ between the levels: g: a.",
            "Scatter of the predicted effects of 3 levels: g: a.",
        ),
    ],
)
def test_effect_pairs(columns, caption, alt):
    check(captions.effect_pairs(Frame({"level": ["u", "v", "w"], **columns})), caption, alt)


@pytest.mark.parametrize(
    ("rows", "units", "caption", "alt"),
    [
        (
            [("g: Intercept", 24.741), ("g: x", 99.5), ("Residual", 25.592)],
            [" ms", " ms per d", " ms"],
            "of the SDs in ms the largest is that of Residual, 25.59 ms; SD of g: x, 99.5 ms per d",
            "g: Intercept, 24.74 ms; g: x, 99.5 ms per d; Residual, 25.59 ms",
        ),
        (
            [("g: Intercept", 3.5), ("Residual", 1.0)],
            ["", ""],
            "of the SDs the largest is that of g: Intercept, 3.5",
            "g: Intercept, 3.5; Residual, 1",
        ),
        (
            [("g: v1", 3.5), ("g: v2", 3.5 + 1e-14), ("Residual", 1.0)],  # one variance by its structure
            ["", "", ""],
            "of the SDs the largest, 3.5, is the same for g: v1 and g: v2",
            "g: v1, 3.5; g: v2, 3.5; Residual, 1",
        ),
        (
            [
                ("g: v1", 3.5),
                ("g: v2", 3.5 * (1.0 + 1e-7)),
                ("Residual", 1.0),
            ],  # nearly one, and two estimates
            ["", "", ""],
            "of the SDs the largest is that of g: v2, 3.5",
            "g: v1, 3.5; g: v2, 3.5; Residual, 1",
        ),
        (
            [("Residual: v1", 3.5), ("Residual: v2", 3.5)],
            ["", ""],
            "of the SDs every one is 3.5",
            "Residual: v1, 3.5; Residual: v2, 3.5",
        ),
    ],
)
def test_deviations(rows, units, caption, alt):
    pairs = [("g: Intercept with x", "x", 999.0)]  # a covariance is no standard deviation
    table = Frame([*((name, None, sd) for name, sd in rows), *pairs], columns=["component", "var2", "sdcor"])
    told = [fill("{}", Name(unit)) if unit else fill("") for unit in units]
    check(captions.deviations(table, told), f"Standard deviations (SD): {caption}.", alt)


ONES = [("g", "a", "a", 1.0), ("g", "b", "b", 1.0)]
NONE = ("No term has two correlated columns.", "An empty picture.")


@pytest.mark.parametrize(
    ("rows", "caption", "alt"),
    [
        ([], *NONE),
        (ONES, *NONE),
        ([*ONES, ("g", "a", "b", NAN)], *NONE),
        (
            [*ONES, ("g", "a", "b", 0.0656), ("h", "c", "d", -0.1381)],
            "The strongest correlation, −0.138, is that of c with d (h).",
            "Heat maps of correlations: g, h; figures in cells.",
        ),
        (
            [("h", "c", "d", -0.3), *ONES, ("g", "a", "b", 0.5)],
            "The strongest correlation, 0.5, is that of a with b (g).",
            "Heat maps of correlations: h, g; figures in cells.",
        ),
    ],
)
def test_correlations(rows, caption, alt):
    table = Frame(rows, columns=["block", "row", "column", "correlation"])
    check(captions.correlations(table), caption, alt)


@pytest.mark.parametrize(
    ("facts", "groups", "caption"),
    [
        (
            {"rows": 180, "drawn": 180, "outside": 2},
            "Subject 332",
            "The row farthest from its fitted value is row 57 (Subject 332), with a residual of 6.06 standard deviations. "
            "2 of the quantiles drawn leave the band that holds all of them in nineteen of twenty data sets of the model.",
        ),
        (
            {"rows": 180, "drawn": 180, "outside": 0},
            "",
            "The row farthest from its fitted value is row 57, with a residual of 6.06 standard deviations. The quantiles "
            "stay within the band that holds all of them in nineteen of twenty data sets of the model.",
        ),
        (
            {"rows": 73421, "drawn": 4000},
            "",
            "The row farthest from its fitted value is row 57, with a residual of 6.06 standard deviations. 4,000 of 73,421 rows "
            "are drawn, evenly spaced.",
        ),
    ],
)
def test_residuals(facts, groups, caption):
    alt = "Residuals against fitted values, against normal quantiles with an envelope, their spread, and boxes by group."
    table = Frame({"row": [57], "groups": [groups], "studentised": [6.0555]})
    check(captions.residuals(facts, table), caption, alt)


@pytest.mark.parametrize(
    ("rows", "level", "caption", "count"),
    [
        (
            [("a", 1, 2), ("b", -1, 1), ("c", -2, -1)],
            0.95,
            "The 95 % confidence interval excludes zero for a; c.",
            "3 coefficients",
        ),
        ([("a", -1, 1), ("b", 0, 1), ("c", -1, 0)], 0.9,
         "The 90 % confidence interval excludes zero for none of the coefficients.", "3 coefficients"),
        ([("b", 1, 2)], 0.995, "The 99.5 % confidence interval excludes zero for b.", "1 coefficient"),
        ([("b", NAN, NAN), ("a", -3, -2)], 0.5, "The 50 % confidence interval excludes zero for a.", "2 coefficients"),
    ],
)  # fmt: skip
def test_forest(rows, level, caption, count):
    table = Frame(rows, columns=["coefficient", "low", "high"])
    whole = pd.concat([Frame([("Intercept", 8.0, 9.0)], columns=table.columns), table], ignore_index=True)
    check(
        captions.forest(whole, table, level),
        caption,
        f"{count} with intervals, beside the line of no effect.",
    )


@pytest.mark.parametrize(
    ("rows", "caption"),
    [
        (
            [("newton", 0.0, 5, True), ("em", 3.61e-9, 1600, True)],
            "2 algorithms, 5 to 1,600 iterations, one optimum: those that converged end within 3.6e−09 "
            "deviance units of the lowest.",
        ),
        (
            [
                ("newton", 1e-8, 7, True),
                ("em", 0.25, 20, False),
                ("pls", 0.0, 6, True),
                ("direct", 9.0, 30, False),
            ],
            "4 algorithms, 6 to 30 iterations, one optimum: those that converged end within 1e−08 deviance "
            "units of the lowest; em and direct did not converge within their limits.",
        ),
        (
            [("newton", 0.0, 7, True), ("em", 0.25, 20, False)],
            "2 algorithms, 7 to 20 iterations, one optimum: those that converged end at one deviance; "
            "em did not converge within its limit.",
        ),
    ],
)
def test_climb(rows, caption):
    alt = "Deviance above the lowest by iteration, both on a log scale, a line per algorithm."
    table = Frame(rows, columns=["algorithm", "above", "iterations", "converged"])
    check(captions.climb(table), caption, alt)


def test_surface():
    caption = "The deviance over g.Intercept and g.x, with the path of each algorithm to the same minimum."
    alt = "Contours of the deviance with each algorithm's path from the common start to the optimum."
    check(captions.surface(["g.Intercept", "g.x"]), caption, alt)


@pytest.mark.parametrize(
    ("bounds", "caption"),
    [
        ([], "There is one mean, and nothing to compare it with."),
        (
            [(1, 2), (-1, 1), (-2, -1)],
            "Of 3 differences between means 2 have an interval, adjusted by Tukey's method, that excludes zero.",
        ),
        (
            [(1, 2)],
            "The interval of the difference between the two means excludes zero.",
        ),
        (
            [(-1, 2)],
            "The interval of the difference between the two means does not exclude zero.",
        ),
        (
            [(1, 2), (-1, 0)],
            "Of 2 differences between means 1 has an interval, adjusted by Tukey's method, that excludes zero.",
        ),
        (
            [(0, 1), (-1, 0)],
            "Of 2 differences between means none has an interval, adjusted by Tukey's method, that excludes zero.",
        ),
    ],
)
def test_means(bounds, caption):
    table = Frame({"cell": ["f: u", "f: v"]})
    pairs = Frame(bounds, columns=["low", "high"])
    check(captions.means(table, pairs), caption, "Marginal means with intervals: f: u, f: v.")


SDS = [("Visit w1", 80, 3.25, 3.0), ("Visit w2", 71, 4.5, 4.75)]


@pytest.mark.parametrize(
    ("rows", "unit", "caption", "count"),
    [
        (
            SDS, "ms",
            "The fitted standard deviations of the residuals lie between 3.25 and 4.5 ms; the farthest from its empirical "
            "value is 8.3 % off.",
            "2 rows",
        ),
        (
            [(name, n, 4.0, 5.0) for name, n, *_ in SDS], "",
            "The fitted standard deviations of the residuals are 4 everywhere; the farthest from its empirical "
            "value is 25 % off.",
            "2 rows",
        ),
        (
            [("Sex Male", 9, 2.0, 2.0)], "",
            "The fitted standard deviations of the residuals are 2 everywhere; the farthest from its empirical "
            "value is 0 % off.",
            "1 row",
        ),
    ],
)  # fmt: skip
def test_cell_sds(rows, unit, caption, count):
    table = Frame(rows, columns=["cell", "rows", "fitted", "empirical"])
    alt = f"Standard deviations of the residuals, fitted and empirical side by side, {count}."
    check(captions.cell_sds(table, unit), caption, alt)


@pytest.mark.parametrize(
    ("fitted", "empirical", "caption", "count"),
    [
        (
            [0.5, -0.125, 0.75], [0.5, -0.25, 0.7],
            "The fitted correlations of a subject's residuals lie between −0.125 and 0.75; the farthest from its "
            "empirical value is 0.125 off.",
            "3 pairs",
        ),
        (
            [0.5], [0.75],
            "The fitted correlations of a subject's residuals lie between 0.5 and 0.5; the farthest from its "
            "empirical value is 0.25 off.",
            "1 pair",
        ),
    ],
)  # fmt: skip
def test_cell_correlations(fitted, empirical, caption, count):
    pairs = [f"a with {i}" for i in range(len(fitted))]
    table = Frame({"pair": pairs, "fitted": fitted, "empirical": empirical})
    alt = f"Two heat maps of the residuals' correlations, fitted and empirical, {count}; figures in cells."
    check(captions.cell_correlations(table), caption, alt)


@pytest.mark.parametrize(
    ("values", "level", "caption", "count"),
    [
        (
            [0.1, -0.3, 0.25], 0.95,
            "At 2 of 3 distances the autocorrelation of the normalised residuals lies outside the band that holds "
            "95 % of such values where nothing is left.",
            "3 distances",
        ),
        (
            [0.19], 0.9,
            "At none of 1 distance the autocorrelation of the normalised residuals lies outside the band that holds "
            "90 % of such values where nothing is left.",
            "1 distance",
        ),
    ],
)  # fmt: skip
def test_autocorrelation(values, level, caption, count):
    lags = range(1, len(values) + 1)
    table = Frame({"lag": lags, "autocorrelation": values, "low": -0.2, "high": 0.2})
    alt = f"Autocorrelation of the normalised residuals at each of {count}, with a dashed band around zero."
    check(captions.autocorrelation(table, level), caption, alt)


@pytest.mark.parametrize(
    ("values", "level", "caption", "count"),
    [
        (
            [0.7, 1.0, 1.4], 0.95,
            "At 2 of 3 distances the semivariance of the normalised residuals lies outside the band that holds "
            "95 % of what independent noise on the same rows shows.",
            "3 distances",
        ),
        (
            [1.1], 0.9,
            "At none of 1 distance the semivariance of the normalised residuals lies outside the band that holds "
            "90 % of what independent noise on the same rows shows.",
            "1 distance",
        ),
    ],
)  # fmt: skip
def test_variogram(values, level, caption, count):
    table = Frame(
        {"distance": range(1, len(values) + 1), "pairs": 9, "semivariance": values, "low": 0.8, "high": 1.2}
    )
    alt = f"Semivariance of the normalised residuals at {count}, within a shaded band."
    check(captions.variogram(table, level), caption, alt)


@pytest.mark.parametrize(
    ("fitted", "unit", "caption"),
    [
        (
            [1.0, 2.0, 4.0], "mm",
            "The fitted standard deviation of the residuals goes from 1 to 4 mm along dose; the farthest from its "
            "empirical value is 100 % off.",
        ),
        (
            [4.0, 2.0, 2.0], "",
            "The fitted standard deviation of the residuals goes from 4 to 2 along dose; the farthest from its "
            "empirical value is 100 % off.",
        ),
    ],
)  # fmt: skip
def test_variance_curve(fitted, unit, caption):
    table = Frame({"value": [1, 2, 3], "rows": 5, "fitted": fitted, "empirical": [2.0, 2.0, 2.0]})
    alt = "Fitted and empirical standard deviations of the residuals in 3 slices along dose."
    check(captions.variance_curve(table, "dose", unit), caption, alt)


STRUCTURES = ["structure", "aic", "estimate", "chosen", "quantity"]


@pytest.mark.parametrize(
    ("rows", "caption", "count"),
    [
        (
            [("iid", 30.0, -1.5, False), ("cs(v | g)", 10.0, -2.25, True), ("un(v | g)", 12.0, -2.0, False)],
            "The structure taken is cs(v | g), which has the least AIC; the estimates (slope of x) lie between −2.25 and −1.5.",
            "3 structures",
        ),
        (
            [("cs(v | g)", 10.0, 2.0, True), ("un(v | g)", NAN, NAN, False), ("ar1(v | g)", 9.0, 1.0, False)],
            "The structure taken is cs(v | g); ar1(v | g) has the least AIC; the estimates (slope of x) lie between 1 and 2; "
            "1 structure could not be fitted.",
            "3 structures",
        ),
        (
            [("cs(v | g)", 10.0, -2.0, True), ("un(v | g)", 12.0, -2.00001, False)],
            "The structure taken is cs(v | g), which has the least AIC; the estimates (slope of x) are −2 in each.",
            "2 structures",
        ),
    ],
)
def test_structures(rows, caption, count):
    alt = f"Deviance, AIC and BIC of {count} as distances from the least."
    check(
        captions.structures(Frame([(*row, "slope of x") for row in rows], columns=STRUCTURES)), caption, alt
    )


def test_dropout():
    table = Frame(
        {"pattern": ["1, 2", "1", "none"], "visit 1": [0, 0, 1], "visit 2": [0, 1, 1], "subjects": [9, 2, 1]}
    )
    alt = "Grid of 3 patterns of visits, dark where the response is missing, with a bar of subjects for each arm."
    check(
        captions.dropout(table),
        "9 of 12 subjects have a response at every visit; 3 have none at the last.",
        alt,
    )
    one = "1 of 2 subjects has a response at every visit; 1 has none at the last."
    assert str(captions.dropout(table.iloc[:2].assign(subjects=1))["caption"]) == one


def deleted(group, *levels, turned=0):
    """Rows of the table of influences, the answer turning on the first so many."""
    return Frame(
        {"group": group, "level": list(levels), "cooks": [0.25 / (i + 1) for i in range(len(levels))],
         "answer": [i < turned for i in range(len(levels))]}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("table", "caption", "of"),
    [
        (deleted("g", "308", "7"), "Among the levels of g, 308 has the largest Cook's distance, 0.25; the answer turns on no single level.", "levels of g"),
        (deleted("row", "12", "7"), "Among the rows, row 12 has the largest Cook's distance, 0.25; the answer turns on no single row.", "rows"),
        (deleted("g", "a", "b", turned=1), "Among the levels of g, a has the largest Cook's distance, 0.25; the answer turns on a.", "levels of g"),
        (deleted("g", *"abcd", turned=3), "Among the levels of g, a has the largest Cook's distance, 0.25; the answer turns on each of a, b and c.", "levels of g"),
        (deleted("g", *"abcd", turned=4), "Among the levels of g, a has the largest Cook's distance, 0.25; the answer turns on each of a, b, c and others.", "levels of g"),
    ],
)  # fmt: skip
def test_influence(table, caption, of):
    summary = Frame({"group": ["other", table["group"].iloc[0]], "units": [3, 18]})
    alt = f"Cook's distance of the {of} left out one by one, 18 in all, and the estimate without each."
    check(captions.influence(table, summary), caption, alt)


def test_interactions_name_the_lines_that_are_farthest_and_nearest():
    table = Frame(
        {"family": "f within h", "group": "f", "level": list("uvuv"), "by": ["h: hi", "h: hi", "h: lo", "h: lo"],
         "mean": [1.0, 4.0, 2.0, 2.5], "low": 0.0, "high": 5.0}
    )  # fmt: skip
    check(
        captions.interactions(table, "ms"),
        "Along f the means lie farthest apart for h: hi, by 3 ms, and least for h: lo, by 0.5 ms; parallel lines "
        "would show no interaction.",
        "Marginal means with intervals as 2 lines, along f.",
    )


def test_shrinkage():
    table = Frame(
        {"group": "g", "level": list("abc"), "rows": 4, "x": [1.0, 2.0, 3.0], "y": [0.0, 4.0, 8.0],
         "x_model": [1.5, 2.0, 2.5], "y_model": [3.0, 3.0 + 1e-15, 3.0]}
    )  # fmt: skip
    said = (
        "Estimates from own rows and those of the model have standard deviations between levels of 1 and 0.5"
    )
    alt = "Estimates of 3 levels of g from own rows alone, each with an arrow to what the model predicts: {}."
    two = captions.shrinkage(table, ["Intercept", "x1"])
    check(two, f"{said} for Intercept, and of 4 and 0 for x1.", alt.format("Intercept, x1"))
    check(captions.shrinkage(table, ["Intercept"]), f"{said} for Intercept.", alt.format("Intercept"))
    lost = table.assign(x=[1.0, NAN, NAN])
    check(
        captions.shrinkage(lost, ["Intercept"]),
        "Fewer than two levels have estimates of their own. 2 levels have too few rows for own estimates.",
        alt.format("Intercept"),
    )
    one = table.assign(x=[1.0, 2.0, NAN])
    assert str(captions.shrinkage(one, ["a"])["caption"]).endswith(
        ". 1 level has too few rows for own estimates."
    )


def test_the_least_symmetric_interval_and_the_most_unequal_lengths():
    zeta = Frame(
        {"parameter": ["a"] * 3 + ["b"] * 3, "value": [0.0, 1.0, 2.0, 0.0, 1.0, 4.0], "zeta": [-2.0, 0.0, 2.0] * 2,
         "estimate": 1.0, "low": 0.0, "high": [2.0] * 3 + [4.0] * 3}
    )  # fmt: skip
    words = captions.profile_zeta(zeta)
    check(
        words,
        "The least symmetric interval is that of b: one half of it is 3 times as long as the other.",
        "Signed root of the profile deviance over the values of 2 parameters, a panel each, with the interval's ends.",
    )
    both = Frame(
        {"parameter": ["a", "a", "b", "b"], "method": ["x", "y"] * 2, "estimate": 1.0, "low": 0.0,
         "high": [1.0, 2.0, 1.0, 1.5]}
    )  # fmt: skip
    check(
        captions.interval_comparison(both),
        "The lengths differ most for a, where the longest interval is 2 times as long as the shortest.",
        "Intervals of 2 parameters by each method, a panel each: x, y.",
    )


@pytest.mark.parametrize(
    ("highs", "which"),
    [
        ((-1.0, 0.5), "1 of them excludes zero"),
        ((-1.0, -0.5), "all exclude zero"),
        ((1.0, 0.5), "none excludes zero"),
    ],
)
def test_assumptions(highs, which):
    table = Frame(
        {"assumption": "a", "method": ["x", "y"], "estimate": [-2.5, -1.25], "low": -3.0, "high": highs}
    )
    caption = f"The estimates lie between −2.5 and −1.25; of their 2 intervals, {which}."
    check(
        captions.assumptions(table), caption, "Estimates with intervals by assumption and method, 2 in all."
    )


@pytest.mark.parametrize(
    ("turns", "facts", "caption"),
    [
        (
            True,
            {"shifted": 62, "of": ["drug"], "reach": 19.8},
            "The conclusion turns when 62 imputed responses of drug are shifted by −5.71 points, 1.15 standard deviations of a response.",
        ),
        (
            False,
            {"shifted": 1, "of": [], "reach": 19.8},
            "The conclusion does not turn when 1 imputed response is shifted by up to 19.8 points either way.",
        ),
    ],
)
def test_tipping(turns, facts, caption):
    table = Frame({"method": ["x"], "turns": [turns], "tip": [-5.7135], "tip_sds": [1.154]})
    check(
        captions.tipping(table, facts, "points"),
        caption,
        "Estimate with its interval over the shift of imputed responses.",
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.0, 0.0, 0.0], "None of 3 curves leaves its band, which holds the whole curve"),
        ([0.0, 2.0, 0.0], "1 of 3 curves leaves its band, which holds the whole curve"),
        ([-2.0, 2.0, 0.0], "2 of 3 curves leave their bands, each of which holds its whole curve"),
    ],
)  # fmt: skip
def test_check_curves(values, said):
    table = Frame({"panel": ["a", "b", "c"], "value": values, "low": -1.0, "high": 1.0})
    table = pd.concat([table, table.assign(value=0.0)])
    check(
        captions.check_curves(table),
        f"{said} in nineteen of twenty data sets of the model.",
        "3 curves of checks, each in a panel with a band.",
    )


def test_relationships():
    one = {"group": "animal", "pairs": 6, "levels": 4, "related": 5, "closest": 0.5, "diagonal": 1.0625,
           "least": 0.25, "largest": 2.4567}  # fmt: skip
    other = {**one, "group": "herd", "pairs": 3, "levels": 3, "related": 0, "closest": 0.0, "largest": NAN}
    first = "Of 6 pairs of the 4 levels of animal, 5 are related, the closest by 0.5; the mean of the diagonal is 1.06"
    second = "Of 3 pairs of the 3 levels of herd, 0 are related, the closest by 0; the mean of the diagonal is 1.06."
    check(
        captions.relationships(Frame([one, other])),
        f"{first}; the eigenvalues lie between 0.25 and 2.46. {second}",
        "How levels of animal, herd are related: a matrix, dark where they are close, and its eigenvalues by size.",
    )
    check(
        captions.relationships(Frame([other])),
        second,
        "How levels of herd are related: histograms of the relationships of two levels and of each alone.",
    )
    pair = {**other, "related": 1, "closest": 0.25}
    said = str(captions.relationships(Frame([pair]))["caption"])
    assert said.startswith("Of 3 pairs of the 3 levels of herd, 1 is related, the closest by 0.25;")


def test_a_distance_is_told_with_its_columns_and_their_units():
    columns = Frame({"column": ["t", "x"], "unit": ["day", None]})
    assert captions.distance_label(columns, ["t"]) == "Distance in t (day)"
    assert captions.distance_label(columns, ["t", "x"]) == "Distance in t (day), x"
