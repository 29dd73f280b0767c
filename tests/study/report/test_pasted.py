# ruff: noqa: E501  (a sentence stands as it is printed)
"""The results that are ready to paste: hand-made tables on the left, the expected words on the right."""

from __future__ import annotations

import pandas as pd
import pytest
from support.answers import plain
from support.report_files import report_files, seen

from lmmkit.study.report.pasted import MOST_COEFFICIENTS, results_in_words

NAN, INF = float("nan"), float("inf")
UNITS = {"y": "ms", "x": "d"}


def coefficient(name, estimate=1.25, p=0.0321, df=17.0, **changes):
    return {"coefficient": name, "estimate": estimate, "se": 0.5, "low": 0.25, "high": 2.25, "df": df, "t": 2.5, "p": p, **changes}  # fmt: skip


def component(group, first, second=None, sdcor=2.0, low=1.0, high=3.0):
    return {"component": f"{group} {first} {second}", "group": group, "var1": first, "var2": second, "sdcor": sdcor, "low": low, "high": high}  # fmt: skip


def results(
    formula, coefficients, components=(), shares=(("R2 marginal", 0.25),), sizes=(), units=UNITS, **options
):
    shown = seen(formula, units, **options)
    anova = [
        {"term": term.name, "num_df": len(term.columns), "den_df": 16.0, "F": 2.5, "p": 0.0004}
        for term in shown.design.fixed_terms
        if term.name != "Intercept"
    ]
    files = report_files(
        coefficients=[coefficient("Intercept"), *coefficients],
        anova=pd.DataFrame(anova, columns=["term", "num_df", "den_df", "F", "p"]),
        components=[*components, component("Residual", None)],
        shares=[{"share": name, "estimate": value} for name, value in shares],
        effect_sizes=pd.DataFrame(sizes, columns=["coefficient", "estimate"]),
    )
    return [plain(each) for each in results_in_words(files, shown)]


LEFT = "Residuals: SD = 2.000 ms, 95 % CI [1.000, 3.000]."


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Effect of x, b = 1.250 ms per d, 95 % CI [0.250, 2.250], t(17.0) = 2.50, p = .032."),
        ({"p": 0.0004}, "Effect of x, b = 1.250 ms per d, 95 % CI [0.250, 2.250], t(17.0) = 2.50, p < .001."),
        ({"p": 1.0}, "Effect of x, b = 1.250 ms per d, 95 % CI [0.250, 2.250], t(17.0) = 2.50, p = 1.000."),
        ({"df": INF}, "Effect of x, b = 1.250 ms per d, 95 % CI [0.250, 2.250], z = 2.50, p = .032."),
        ({"p": NAN}, "Effect of x, b = 1.250 ms per d."),
    ],
)  # fmt: skip
def test_a_term_of_one_coefficient(changes, said):
    assert results("y ~ x + (1 | g)", [coefficient("x", **changes)])[0] == said


def test_a_term_that_was_left_out_is_told():
    assert results("y ~ x + (1 | g)", [])[0] == "Effect of x: not to be estimated from these data."


def test_a_term_of_several_has_its_f_test_and_each_of_them():
    told = results("y ~ f + (1 | g)", [coefficient("f[T.v]"), coefficient("f[T.w]", -0.5, 0.5)])[0]
    assert told == (
        "Effect of f, F(2, 16.0) = 2.50, p < .001. Its coefficients: f: v against u, b = 1.250 ms, 95 % CI [0.250, 2.250], t(17.0) = 2.50, p = .032; "
        "f: w against u, b = −0.500 ms, 95 % CI [0.250, 2.250], t(17.0) = 2.50, p = .500."
    )


@pytest.mark.parametrize(("count", "listed"), [(MOST_COEFFICIENTS, True), (MOST_COEFFICIENTS + 1, False)])
def test_many_coefficients_are_not_told_one_by_one(count, listed):
    names = [f"poly(z, {count})[{i}]" for i in range(1, count + 1)]
    told = results(f"y ~ poly(z, {count}) + (1 | g)", [coefficient(name) for name in names])[0]
    assert told.startswith(f"Effect of poly(z, {count}), F({count}, 16.0) = 2.50, p < .001.")
    assert ("Its coefficients" in told) == listed


@pytest.mark.parametrize(
    ("formula", "options", "where"),
    [
        ("y ~ x * z + (1 | g)", {}, "p = .032 (where z is zero)."),
        ("y ~ x * k + (1 | g)", {}, "p = .032 (for k p)."),
        ("y ~ x * k + (1 | g)", {"contrasts": {"k": "sum"}}, "p = .032 (averaged over k)."),
        ("y ~ x * z + x * k + (1 | g)", {}, "p = .032 (where z is zero and for k p)."),
    ],
)
def test_a_coefficient_says_where_it_holds(formula, options, where):
    shown = seen(formula, UNITS, **options)
    told = results(formula, [coefficient(name) for name in shown.design.fixed_names[1:]], **options)[0]
    assert where in told.split(" z: ")[0].split(" k: ")[0]


def test_a_transformed_response_and_labels_begin_as_they_should():
    told = results("log(y + 20) ~ x + (1 | g)", [coefficient("x")], units={})[0]
    assert told.startswith("Estimates are on the scale of log(y + 20). Effect of x, b = 1.250 per unit of x,")


def test_deviations_and_correlations():
    rows = [
        component("g", "Intercept"), component("g", "x", sdcor=0.5, low=0.25, high=1.0),
        component("g", "x", "Intercept", -0.25, -0.75, 0.5),
    ]  # fmt: skip
    told = results("y ~ x + (x | g)", [coefficient("x")], rows)[1]
    assert told == (
        "Random effects of g: intercept, SD = 2.000 ms, 95 % CI [1.000, 3.000]; slope of x, SD = 0.5000 ms per d, 95 % CI [0.2500, 1.0000]; "
        f"slope of x with intercept, r = −.250, 95 % CI [−.750, .500]. {LEFT}"
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (component("g", "x", "Intercept", NAN), "slope of x with intercept, no correlation beside a variance of zero."),
        (component("g", "x", "Intercept", 1.0, NAN), "slope of x with intercept, r = 1.000."),
        (component("g", "x", "Intercept", 0.5, 0.25, 1.0), "r = .500, 95 % CI [.250, 1.000]."),
        (component("g", "f[T.v]", low=NAN), "f: v against u, SD = 2.000 ms."),
    ],
)  # fmt: skip
def test_what_has_no_interval_or_no_value(row, said):
    told = results(
        "y ~ x + f + (x + f | g)", [coefficient("x"), coefficient("f[T.v]"), coefficient("f[T.w]")], [row]
    )[1]
    assert said in told


def test_residuals_of_several_deviations():
    rows = [component("Residual", "u"), component("Residual", "v", "u", 0.5)]
    told = results("y ~ x", [coefficient("x")], rows, residual="un(h | g)")[1]
    assert told == f"Residuals: u, SD = 2.000 ms, 95 % CI [1.000, 3.000]; {LEFT.removeprefix('Residuals: ')}"


ALL = (("R2 marginal", 0.25), ("R2 conditional", 0.75), ("ICC adjusted", 0.5))


@pytest.mark.parametrize(
    ("formula", "options", "shares", "said"),
    [
        ("y ~ x + (1 | g)", {}, ALL[:1], "Shares of the variance: marginal R² = .250 (fixed effects)."),
        ("y ~ x + (1 | g)", {}, ALL[:2], "Shares of the variance: marginal R² = .250 (fixed effects) and conditional R² = .750 (fixed and random effects)."),
        ("y ~ x + (1 | g)", {}, ALL, "(fixed and random effects). Of the variance that the fixed effects leave, .500 lies between groups (adjusted intraclass correlation)."),
        ("y ~ x", {"residual": "cs(h | g)"}, ALL[:2], "Shares of the variance: marginal R² = .250 (fixed effects)."),
    ],
)  # fmt: skip
def test_shares_of_the_variance(formula, options, shares, said):
    assert results(formula, [coefficient("x")], (), shares, **options)[2].endswith(said)


def test_standardised_differences_have_their_definition():
    told = results("y ~ f + (1 | g)", [coefficient("f[T.v]")], sizes=[("f[T.v]", 0.256), ("f[T.w]", -1.0)])  # fmt: skip
    assert told[3] == (
        "Standardised differences (the coefficient over the root of the sum of all variances beside that of the fixed effects): "
        "f: v against u, d = 0.26; f: w against u, d = −1.00."
    )
    assert len(results("y ~ x + (1 | g)", [coefficient("x")])) == 3
