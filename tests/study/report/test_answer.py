# ruff: noqa: E501  (a sentence stands as it is printed)
"""The answer and how intervals were made: estimates on the left, the expected words on the right."""

from __future__ import annotations

import re

import pytest
from markupsafe import escape
from support.report_files import design, report_files, study

from lmmkit.study.report.answer import answer, method

KEYS = ("coefficient", "estimate", "se", "low", "high", "method")
SPREAD = [
    {"component": "g: Intercept", "var2": None, "sdcor": 24.7412},
    {"component": "g: x", "var2": None, "sdcor": 5.92209},
    {"component": "g: Intercept with x", "var2": "x", "sdcor": 0.5},
    {"component": "Residual", "var2": None, "sdcor": 25.5918},
]


def plain(markup):
    """The words without their marks; what is set strong between asterisks."""
    return re.sub(r"<[^>]*>", "", re.sub(r"</?strong>", "*", str(escape(markup))))


def files(*rows, level=0.95, components=SPREAD, digits=9, **units):
    table = [dict(zip(KEYS, (*row, "kenward-roger"), strict=True)) for row in rows]
    certificate = {"digits": digits}
    return report_files(
        coefficients=table, components=components, study=study(level=level, **units), certificate=certificate
    )


INTERCEPT = ("Intercept", 251.404, 6.8246, 237.01, 265.8)
X = ("x", 10.4673, 1.5458, 7.2059, 13.7287)


@pytest.mark.parametrize(
    ("rows", "focus", "level", "units", "words"),
    [
        (
            [INTERCEPT, X], None, 0.95, {"y": "ms", "x": "d"},
            "Each further d of x changes the mean of y by *10.47 ms* (95 % interval 7.21 to 13.73); "
            "the interval lies above zero.",
        ),
        (
            [INTERCEPT, X], "x", 0.9, {},
            "Each further unit of x changes the mean of y by *10.47* (90 % interval 7.21 to 13.73); "
            "the interval lies above zero.",
        ),
        (
            [INTERCEPT, ("x", -10.4673, 1.5458, -13.7287, -7.2059)], "x", 0.995, {"x": "d"},
            "Each further d of x changes the mean of y by *−10.47* (99.5 % interval −13.73 to −7.21); "
            "the interval lies below zero.",
        ),
        (
            [INTERCEPT, ("x", 1.0, 1.5, -2.0, 4.0)], "nothing", 0.95, {"y": "ms"},
            "Each further unit of x changes the mean of y by *1.00 ms* (95 % interval −2.00 to 4.00); "
            "the interval includes zero.",
        ),
        (
            [INTERCEPT, ("x", 1.0, 15.0, 0.0, 2.0)], None, 0.95, {},
            "Each further unit of x changes the mean of y by *1.0* (95 % interval 0.0 to 2.0); "
            "the interval includes zero.",
        ),
        (
            [INTERCEPT, ("x", -1.0, 150.0, -2.0, 0.0)], None, 0.95, {},
            "Each further unit of x changes the mean of y by *−1* (95 % interval −2 to 0); "
            "the interval includes zero.",
        ),
        (
            [INTERCEPT, X], "Intercept", 0.95, {"y": "ms"},
            "The mean of y over all groups is *251.40 ms* (95 % interval 237.01 to 265.80).",
        ),
    ],
)  # fmt: skip
def test_a_slope_and_a_mean(rows, focus, level, units, words):
    found = answer(files(*rows, level=level, **units), design("y ~ x + (1 | g)"), focus)
    assert plain(found[0]) == words


def test_an_intercept_alone_is_the_mean():
    found = answer(files(INTERCEPT), design("y ~ 1 + (1 | g)"), None)
    assert plain(found[0]) == "The mean of y over all groups is *251.40* (95 % interval 237.01 to 265.80)."


F = [("f[T.v]", 7.97, 2.42, 3.0, 12.94), ("f[T.w]", -13.92, 2.42, -18.9, -8.9)]
INTERACTION = [("f[T.v]:x", 1.5, 0.5, 0.5, 2.5), ("f[T.w]:x", 2.5, 0.5, 1.5, 3.5)]


@pytest.mark.parametrize(
    ("formula", "rows", "focus", "units", "words"),
    [
        (
            "y ~ f + (1 | g)", [INTERCEPT, *F], "f", {"y": "ms"},
            "For f the model estimates, for the mean of y: f[T.v] *7.97 ms* (3.00 to 12.94); "
            "f[T.w] *−13.92 ms* (−18.90 to −8.90) (95 % intervals). Each is a difference from level u.",
        ),
        (
            "y ~ f + (1 | g)", [INTERCEPT, *F], "f[T.w]", {},
            "For f the model estimates, for the mean of y: f[T.w] *−13.92* (−18.90 to −8.90) "
            "(95 % intervals). Each is a difference from level u.",
        ),
        (
            "y ~ f + (1 | g)", [INTERCEPT, *F], None, {},
            "For f the model estimates, for the mean of y: f[T.v] *7.97* (3.00 to 12.94) "
            "(95 % intervals). Each is a difference from level u.",
        ),
        (
            "y ~ f * x + (1 | g)", [INTERCEPT, *F, X, *INTERACTION], "f:x", {},
            "For f:x the model estimates, for the mean of y: f[T.v]:x *1.500* (0.500 to 2.500); "
            "f[T.w]:x *2.500* (1.500 to 3.500) (95 % intervals).",
        ),
        (
            "y ~ f * x + (1 | g)", [INTERCEPT, *F, X, INTERACTION[1]], "f:x", {},
            "For f:x the model estimates, for the mean of y: f[T.w]:x *2.500* (1.500 to 3.500) "
            "(95 % intervals).",
        ),
        (
            "y ~ log(w) + (1 | g)", [INTERCEPT, ("log(w)", 1.5, 0.5, 0.5, 2.5)], None, {},
            "For log(w) the model estimates, for the mean of y: log(w) *1.500* (0.500 to 2.500) "
            "(95 % intervals).",
        ),
        (
            "y ~ 0 + f + (1 | g)", [("f[u]", 1.5, 0.5, 0.5, 2.5), ("f[v]", 2.5, 0.5, 0.5, 4.5)], "f", {},
            "For f the model estimates, for the mean of y: f[u] *1.500* (0.500 to 2.500); "
            "f[v] *2.500* (0.500 to 4.500) (95 % intervals).",
        ),
    ],
)  # fmt: skip
def test_levels_of_a_factor_and_interactions(formula, rows, focus, units, words):
    assert plain(answer(files(*rows, **units), design(formula), focus)[0]) == words


@pytest.mark.parametrize(
    ("error", "digits", "text"),
    [
        (1.5458, 9, "10.47"),
        (1.5458, 2, "10.5"),
        (1.5458, 1, "10"),
        (1.5458, 0, "10"),
        (0.015, 9, "10.4673"),
        (0.0, 9, "10.47"),
    ],
)
def test_digits_follow_the_standard_error_and_the_certificate(error, digits, text):
    row = ("x", 10.4673, error, 7.2, 13.7)
    found = answer(files(INTERCEPT, row, digits=digits), design("y ~ x + (1 | g)"), "x")
    assert f"changes the mean of y by *{text}* " in plain(found[0])


@pytest.mark.parametrize(
    ("units", "components", "words"),
    [
        (
            {"y": "ms"}, SPREAD,
            "Standard deviations between groups, and within them: 24.74 for g: Intercept, 5.922 for g: x, "
            "25.59 for Residual (the response in ms).",
        ),
        (
            {}, SPREAD[:1] + SPREAD[3:],
            "Standard deviations between groups, and within them: 24.74 for g: Intercept, "
            "25.59 for Residual.",
        ),
    ],
)  # fmt: skip
def test_how_much_groups_differ(units, components, words):
    found = answer(files(INTERCEPT, X, components=components, **units), design("y ~ x + (1 | g)"), None)
    assert plain(found[1]) == words


KENWARD = "degrees of freedom and adjusted standard errors by Kenward and Roger"


@pytest.mark.parametrize(
    ("ci", "level", "df", "words"),
    [
        (
            "wald", 0.95, "kenward-roger",
            f"Intervals have a coverage of 95 % and are Wald intervals with {KENWARD}; tests of coefficients "
            "and terms have the same.",
        ),
        (
            "auto", 0.95, "kenward-roger: no df, its reason",
            f"Intervals have a coverage of 95 % and are, of coefficients, Wald intervals with {KENWARD}, which "
            "tests of coefficients and terms have too; of variance components, from the profile likelihood where "
            "the table of components says so, else by Wald.",
        ),
        (
            "wald", 0.995, "satterthwaite",
            "Intervals have a coverage of 99.5 % and are Wald intervals with degrees of freedom by "
            "Satterthwaite; tests of coefficients and terms have the same.",
        ),
        (
            "profile", 0.9, "containment",
            "Intervals have a coverage of 90 % and come from the profile likelihood (of the coefficients: "
            "the full, not the restricted one); tests have degrees of freedom by containment.",
        ),
        (
            "bootstrap", 0.8, "between-within",
            "Intervals have a coverage of 80 % and are percentiles of 1,000 refits of a parametric bootstrap; "
            "tests have between-within degrees of freedom.",
        ),
        (
            "profile", 0.95, "residual",
            "Intervals have a coverage of 95 % and come from the profile likelihood (of the coefficients: "
            "the full, not the restricted one); tests have residual degrees of freedom, which take no "
            "account of the number of groups.",
        ),
        (
            "bootstrap", 0.95, "normal",
            "Intervals have a coverage of 95 % and are percentiles of 1,000 refits of a parametric bootstrap; "
            "tests have normal quantiles, which take no account of the number of groups.",
        ),
    ],
)  # fmt: skip
def test_method(ci, level, df, words):
    table = [{"coefficient": "Intercept", "method": df}, {"coefficient": "x", "method": "another"}]
    refits = 1000.0 if ci == "bootstrap" else None
    intervals = [{"parameter": "Intercept", "refits": refits}]
    found = report_files(coefficients=table, intervals=intervals, study=study(ci, level))
    assert plain(method(found)) == words


def test_without_random_effects_the_residuals_stand_alone():
    components = [
        {"component": "Residual: w1", "var1": "w1", "var2": None, "sdcor": 24.7412},
        {"component": "Residual: w2", "var1": "w2", "var2": None, "sdcor": 5.92209},
        {"component": "Residual: w1 with w2", "var1": "w1", "var2": "w2", "sdcor": 0.5},
    ]
    found = answer(
        files(INTERCEPT, X, components=components, y="ms"), design("y ~ x", residual="un(h | g)"), None
    )
    assert (
        plain(found[1])
        == "Standard deviations of the residuals: 24.74 for w1, 5.922 for w2 (the response in ms)."
    )


@pytest.mark.parametrize(
    ("formula", "coefficient", "words"),
    [
        (
            "y ~ f + k:f", "k[T.q]:f[v]",
            "At f v the mean of y for k q less that for k p is *10.47 ms* (95 % interval 7.21 to 13.73); the interval "
            "lies above zero.",
        ),
        (
            "y ~ k + f:k", "k[p]:f[T.w]",
            "At k p the mean of y for f w less that for f u is *10.47 ms* (95 % interval 7.21 to 13.73); the interval "
            "lies above zero.",
        ),
        # Beside the factor itself it is a difference of differences, beside a slope one at the covariate's zero.
        ("y ~ k * f", "k[T.q]:f[T.v]", "For k:f the model estimates"),
        ("y ~ f + k:f + k:x", "k[T.q]:f[v]", "For k:f the model estimates"),
        ("y ~ k + f:x", "f[v]:x", "For f:x the model estimates"),
    ],
)  # fmt: skip
def test_a_difference_within_levels_of_another_factor(formula, coefficient, words):
    made = design(f"{formula} + (1 | g)")
    row = (
        next(name for name in made.fixed_names if set(name.split(":")) == set(coefficient.split(":"))),
        *X[1:],
    )
    assert plain(answer(files(INTERCEPT, row, y="ms"), made, row[0])[0]).startswith(words)
