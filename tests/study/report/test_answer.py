# ruff: noqa: E501  (a sentence stands as it is printed)
"""The answer of a study: models on the left, the expected words on the right, their numbers from elsewhere."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
from support.answers import files_of, garden, plain, said
from support.report_files import design, report_files, study

import lmmkit
from lmmkit.errors import FitError
from lmmkit.model.means.focus import find_focus
from lmmkit.study.pages.seen_names import Labels
from lmmkit.study.report.answer import answer, method, spread

DATA = garden()
UNITS = {"y": "ms", "x": "d", "z": "a", "rt": "ms", "q": "mm"}
NUMBER = re.compile(r"−?(?<![A-Za-z])\d+(?:,\d{3})*(?:\.\d+)?")


def words(sentences):
    """Sentences with # for each number."""
    return [NUMBER.sub("#", sentence) for sentence in sentences]


def numbers(sentence):
    return [float(text.replace(",", "").replace("−", "-")) for text in NUMBER.findall(sentence)]


CI = "(# % confidence interval # to #; p < #)"
SPREAD = (
    "Standard deviations between levels of g: # ms in the intercept. The residual standard deviation is # ms."
)


@pytest.mark.parametrize(
    ("formula", "focus", "expected"),
    [
        ("y ~ x + (1 | g)", None, [f"y increases with x: the slope is *# ms per d* {CI}."]),
        (
            "y ~ x*z + (1 | g)", None,
            [f"On average over the rows of the data, y increases with x: the average slope is *# ms per d* {CI}.",
             "The slope of y along x runs from # ms per d (# to #) at z = # a to # ms per d (# to #) at z = # a, the ends of z in these data.",
             "Test of the interaction x × z: F(#, #) = #, p < #."],
        ),
        (
            "q ~ x + I(x^2) + (1 | g)", "I(x^2)",
            [f"On average over the rows of the data, q decreases with x: the average slope is *# mm per d* {CI}.",
             "The slope varies with x itself, from # mm per d (# to #) at x = # d to # mm per d (# to #) at x = # d; all terms of x together: F(#, #) = #, p < #."],
        ),
        (
            "y ~ x*h + (1 | g)", "h:x",
            ["The slope of y along x is not shown to differ between the levels of h (F(#, #) = #, p = #).",
             "The difference of slopes (h: lo less hi) is *# ms per d* (# % confidence interval # to #; p = #).",
             "The slope of y along x is # ms per d (# to #) for h hi and # ms per d (# to #) for h lo.",
             "On average over the rows of the data, y increases with x: the average slope is # ms per d (# to #)."],
        ),
        (
            "y ~ h + x:f + (1 | g)", "x:f",
            ["At least one of the slopes of y along x within f differs from zero (F(#, #) = #, p < #).",
             "The largest difference of slopes (f: c less b) is *# ms per d* (# % confidence interval # to #, Tukey's adjustment; p = #).",
             "The slope of y along x is # ms per d (# to #) for f a, # ms per d (# to #) for f b and # ms per d (# to #) for f c.",
             "On average over the rows of the data, y increases with x: the average slope is # ms per d (# to #)."],
        ),
        (
            "y ~ f*h + (1 | g)", None,
            ["Averaged over the levels of h, y differs between the levels of f (F(#, #) = #, p < #).",
             "The largest difference, b less a, is *# ms* (# % confidence interval # to #, Tukey's adjustment; p < #).",
             "Estimated means of y: a # ms (# to #), b # ms (# to #), c # ms (# to #).",
             "For h hi, F(#, #) = #, p < #; the largest difference, c less a, is # ms (# to #, Tukey's adjustment).",
             "For h lo, F(#, #) = #, p = #; the largest difference, b less c, is # ms (# to #, Tukey's adjustment).",
             "Test of the interaction f × h: F(#, #) = #, p < #."],
        ),
        (
            "y ~ f*h + (1 | g)", "f:h",
            ["The effect of f on y depends on h (F(#, #) = #, p < #).",
             "For h hi, F(#, #) = #, p < #; the largest difference, c less a, is # ms (# to #, Tukey's adjustment).",
             "For h lo, F(#, #) = #, p = #; the largest difference, b less c, is # ms (# to #, Tukey's adjustment).",
             "Estimated means of y: a # ms (# to #), b # ms (# to #), c # ms (# to #)."],
        ),
        (
            "y ~ h + f:h + (1 | g)", "f:h",
            ["Within at least one level of h, y differs between the levels of f (F(#, #) = #, p < #).",
             "For h hi, F(#, #) = #, p < #; the largest difference, c less a, is # ms (# to #, Tukey's adjustment).",
             "For h lo, F(#, #) = #, p = #; the largest difference, b less c, is # ms (# to #, Tukey's adjustment)."],
        ),
        (
            "y ~ f*z + (1 | g)", "f",
            ["At z = # a (its mean), y differs between the levels of f (F(#, #) = #, p < #).",
             "The largest difference, b less a, is *# ms* (# % confidence interval # to #, Tukey's adjustment; p < #).",
             "Estimated means of y: a # ms (# to #), b # ms (# to #), c # ms (# to #).",
             "At z = # a, F(#, #) = #, p = #; the largest difference, c less a, is # ms (# to #, Tukey's adjustment).",
             "At z = # a, F(#, #) = #, p = #; the largest difference, b less a, is # ms (# to #, Tukey's adjustment).",
             "Test of the interaction f × z: F(#, #) = #, p = #; the data do not show that the effect varies."],
        ),
    ],
)  # fmt: skip
def test_words_of_slopes_and_means(formula, focus, expected):
    assert words(said(formula, DATA, focus, units=UNITS)) == [
        *expected,
        SPREAD.replace("ms", "mm") if "q ~" in formula else SPREAD,
    ]


@pytest.mark.parametrize(
    ("formula", "focus", "expected"),
    [
        (
            "log(rt) ~ x*h + (1 | g)", None,
            ["On average over the rows of the data, rt increases with x: it changes by *# % per d* (# % confidence interval # % to # %; p < #).",
             "The change of rt along x is # % per d (# % to # %) for h hi and # % per d (# % to # %) for h lo.",
             "Test of the interaction x × h: F(#, #) = #, p < #."],
        ),
        (
            "log(rt) ~ h + x + (1 | g)", "h",
            ["The data do not show a difference in rt between h lo and hi: the estimated difference, lo against hi, is *# %* (# % confidence interval # % to # %; p = #).",
             "Estimated means, carried back to the scale of rt (geometric means): hi # ms (# to #), lo # ms (# to #)."],
        ),
        ("log1p(n) ~ x + (1 | g)", "x", ["n + # increases with x: it changes by *# % per d* (# % confidence interval # % to # %; p < #)."]),
        (
            "sqrt(n) ~ h + (1 | g)", "h",
            ["The data do not show a difference in sqrt(n) between h lo and hi: the estimated difference, lo less hi, is *#* (# % confidence interval # to #; p = #).",
             "Estimated means, carried back to the scale of n: hi # (# to #), lo # (# to #)."],
        ),
    ],
)  # fmt: skip
def test_words_of_transformed_responses(formula, focus, expected):
    told = words(said(formula, DATA, focus, units=UNITS))
    assert told[:-1] == expected
    assert told[-1] == (
        "Standard deviations between levels of g: # in the intercept. The residual standard deviation is #."
    )


@pytest.mark.parametrize(
    ("formula", "options", "expected"),
    [
        ("y ~ 1 + (1 | g)", {}, "The mean of y is *# ms*"),
        ("y ~ 1 + offset(z) + (1 | g)", {}, "The mean of y, less the offset, is *# ms*"),
        ("y ~ x + f + (1 | g)", {}, "The intercept, the mean of y for f a and where x is zero, is *# ms*"),
        ("y ~ x + f + (1 | g)", {"contrasts": {"f": "sas"}}, "The intercept, the mean of y for f c and where x is zero, is *# ms*"),
        ("y ~ f + (1 | g)", {"contrasts": {"f": "sum"}}, "The intercept, the mean of y averaged over the levels of f with equal weights, is *# ms*"),
        ("y ~ f + (1 | g)", {"contrasts": {"f": "helmert"}}, "The intercept, the mean of y averaged over the levels of f with equal weights, is *# ms*"),
    ],
)  # fmt: skip
def test_the_intercept_is_what_it_is(formula, options, expected):
    assert words(said(formula, DATA, "Intercept", units=UNITS, **options))[0].startswith(expected)


def test_an_average_slope_is_not_the_coefficient_at_zero():
    """The planted lie: with z in 20 to 40 the coefficient of x is its slope at z = 0."""
    fit = lmmkit.lmm("y ~ x*z + (1 | g)", DATA)
    b = fit.params
    told = numbers(said("y ~ x*z + (1 | g)", DATA, units=UNITS)[0])
    assert told[0] == pytest.approx(b["x"] + b["x:z"] * DATA["z"].mean(), abs=5e-4)
    L = np.array([0.0, 1.0, 0.0, DATA["z"].mean()])
    low, high = fit.contrast(L)[["low", "high"]].iloc[0]
    assert told[2:4] == pytest.approx([low, high], abs=5e-4)
    ends = numbers(said("y ~ x*z + (1 | g)", DATA, units=UNITS)[1])
    assert ends[0] == pytest.approx(b["x"] + b["x:z"] * DATA["z"].min(), abs=5e-4)
    assert ends[4] == pytest.approx(b["x"] + b["x:z"] * DATA["z"].max(), abs=5e-4)


def test_a_parabola_is_told_by_its_average_slope():
    b = lmmkit.lmm("q ~ x + I(x^2) + (1 | g)", DATA).params
    for formula in ("q ~ x + I(x^2) + (1 | g)", "q ~ poly(x, 2) + (1 | g)"):
        told = numbers(said(formula, DATA, "x", units=UNITS)[0])
        assert told[0] == pytest.approx(b["x"] + 2 * b["I(x^2)"] * DATA["x"].mean(), abs=5e-4)


@cache
def plainly_coded():
    return said("y ~ f*h + (1 | g)", DATA, "f", units=UNITS)


@pytest.mark.parametrize("coding", ["treatment", "sas", "sum", "helmert", "poly", "diff"])
def test_the_answer_does_not_depend_on_the_coding(coding):
    plain_words = plainly_coded()
    coded = said("y ~ f*h + (1 | g)", DATA, "f", units=UNITS, contrasts={"f": coding, "h": coding})
    assert coded == plain_words


def test_a_difference_follows_the_reference_of_its_coding():
    one = said("y ~ h + (1 | g)", DATA, "h")[0]
    other = said("y ~ h + (1 | g)", DATA, "h", contrasts={"h": "sas"})[0]
    assert one.startswith("y is lower for h lo than for hi: the difference is *−")
    assert other.startswith("y is higher for h hi than for lo: the difference is *")


def test_a_logarithm_is_told_in_per_cent():
    fit = lmmkit.lmm("log(rt) ~ x + (1 | g)", DATA)
    told = numbers(said("log(rt) ~ x + (1 | g)", DATA, units=UNITS)[0])
    assert told[0] == pytest.approx(100 * (np.exp(fit.params["x"]) - 1), abs=0.05)
    same = said("log10(rt) ~ x + (1 | g)", DATA, units=UNITS)[0]
    assert numbers(same) == told


def test_a_large_change_on_a_log_scale_is_a_ratio():
    data = DATA.assign(big=np.exp(DATA["y"]))
    assert words(said("log(big) ~ x + (1 | g)", data)[:1]) == [
        "big increases with x: it is multiplied by *# per unit of x* (# % confidence interval # to #; p < #)."
    ]


def test_values_and_contrasts_that_the_study_names():
    told = said("y ~ f*h + (1 | g)", DATA, "f", ["c", "a"], {"h": "lo"}, units=UNITS)
    assert told[0].startswith(
        "At h lo, the data do not show a difference in y between f c and a: the estimated difference, c less a, is *−"
    )
    fit = lmmkit.lmm("y ~ f*h + (1 | g)", DATA)
    assert numbers(told[0])[0] == pytest.approx(fit.params["f[T.c]"] + fit.params["f[T.c]:h[T.lo]"], abs=5e-4)
    told = said("y ~ x*z + (1 | g)", DATA, "x", None, {"z": 30}, units=UNITS)
    assert told[0].startswith("At z = 30 a, y increases with x: the slope is *")


def test_a_coefficient_that_is_a_difference_within_levels_names_them():
    found = find_focus(lmmkit.lmm("y ~ h + f:h + (1 | g)", DATA).design, "f[T.b]:h[lo]")
    assert (found.variable, found.contrast, dict(found.at)) == ("f", ("b", "a"), {"h": "lo"})
    told = said("y ~ h + f:h + (1 | g)", DATA, "f[T.b]:h[lo]")
    assert told[0].startswith("At h lo, y is higher for f b than for a: the difference is *")


@pytest.mark.parametrize(
    ("focus", "term", "variable"),
    [
        (None, "x", "x"), ("z", "log(z)", "z"), ("log(z)", "log(z)", "z"), ("w", "poly(w, 2)", "w"),
        ("poly(w, 2)", "poly(w, 2)", "w"), ("f", "f", "f"), ("f[T.b]", "f", "f"), ("h:f", "f:h", "f"), ("f*h", "f:h", "f"),
        ("o", "factor(o)", "o"), ("Intercept", "Intercept", ""),
    ],
)  # fmt: skip
def test_a_focus_finds_its_term(focus, term, variable):
    data = DATA.assign(o=np.arange(len(DATA)) % 3)
    fit = lmmkit.lmm("y ~ x + log(z) + poly(w, 2) + f*h + factor(o) + (1 | g)", data)
    found = find_focus(fit.design, focus)
    assert (found.term, found.variable) == (term, variable)


@pytest.mark.parametrize(
    ("focus", "contrast", "at", "message"),
    [
        ("xx", None, None, "'xx' is no term of the formula.*did you mean `x`"),
        ("y", None, None, "'y' is no term"),
        ("x", ["c", "a"], None, "`x` is a number"),
        ("f", ["c", "d"], None, "two levels of `f` are expected"),
        ("f", "c - d", None, "two levels of `f` are expected"),
        ("f", ["c", "c"], None, "two levels of `f`"),
        ("f", None, {"hh": "lo"}, "no other column.*did you mean `h`"),
        ("f", None, {"h": "low"}, "`h` has no level low"),
        ("f", None, {"x": "lo"}, "`x` is a number"),
        ("Intercept", ["c", "a"], None, "the focus is the intercept"),
    ],
)  # fmt: skip
def test_a_focus_that_names_nothing_is_refused(focus, contrast, at, message):
    with pytest.raises(FitError, match=message):
        find_focus(lmmkit.lmm("y ~ x + f*h + (1 | g)", DATA).design, focus, contrast, at)


def test_two_levels_may_hold_the_sign_between_them():
    data = DATA.assign(f=DATA["f"].map({"a": "a - a", "b": "b", "c": "c - d"}))
    fit = lmmkit.lmm("y ~ f + (1 | g)", data)
    assert find_focus(fit.design, "f", "c - d - b").contrast == ("c - d", "b")


def test_labels_and_units_stand_once():
    labels = Labels(
        {"y": "reaction time", "x": "days awake", "h": "treatment"},
        {"h": {"hi": "high dose", "lo": "control"}},
    )
    told = words(said("y ~ x*h + (1 | g)", DATA, "x:h", labels=labels, units=UNITS))
    assert (
        told[0]
        == "The slope of reaction time along days awake is not shown to differ between the levels of treatment (F(#, #) = #, p = #)."
    )
    assert told[1].startswith("The difference of slopes (treatment: control less high dose) is *# ms per d*")
    assert said("y ~ x + (1 | g)", DATA, labels=labels, units=UNITS)[0].startswith(
        "Reaction time increases with days awake: the slope is *"
    )


def test_a_level_that_holds_the_name_of_its_factor_does_not_need_it_twice():
    labels = Labels({"h": "dose"}, {"h": {"hi": "high dose", "lo": "low dose"}})
    told = said("y ~ h + (1 | g)", DATA, labels=labels, units=UNITS)
    assert not any("dose high dose" in text or "dose low dose" in text for text in told)


def test_means_beside_differences_at_the_ends_say_where_they_are():
    data = DATA.assign(t=np.tile(np.arange(10.0), 24))  # the time of the residuals: what h is compared along
    told = words(said("y ~ h*t", data, "h:t", residual="car1(t | g)", units={"y": "ms", "t": "d"}))
    assert any(text.startswith("At t = # d, ") for text in told)
    assert any(text.startswith("Estimated means of y at t = # d (its mean): ") for text in told)


def test_equal_deviations_of_a_structure_are_told_once():
    data = DATA.assign(t=pd.Categorical(np.tile(list("abcde"), 48)))
    last = said("y ~ x + ar1(0 + t | g)", data, units=UNITS)[-1]
    assert words([last])[0].startswith(
        "Standard deviations between levels of g: # ms in each of t: a, t: b, "
    )


def test_units_of_slopes_and_of_their_deviations():
    assert words(said("y ~ x + (x || g)", DATA, units=UNITS))[-1] == (
        "Standard deviations between levels of g: # ms in the intercept and # ms per d in the slope of x. "
        "The residual standard deviation is # ms."
    )
    assert "per unit of x" in said("y ~ x + (1 | g)", DATA)[0]


def test_weights_and_residual_structures():
    assert said("y ~ x + (1 | g)", DATA, weights="w")[-1].endswith("(of a row of unit weight).")
    data = DATA.assign(t=np.tile(np.arange(10), 24))
    told = words(said("y ~ x", data, residual="ar1(t | g)", units=UNITS))
    assert told[0] == f"y increases with x: the slope is *# ms per d* {CI}."


def test_an_interval_that_is_no_profile_says_so():
    assert "by Wald" in said("y ~ f + (1 | g)", DATA, ci="profile")[1]
    assert "by Wald" not in said("y ~ x + (1 | g)", DATA, ci="profile")[0]


def test_what_is_not_shown_is_not_claimed():
    data = DATA.assign(r=np.random.default_rng(3).normal(size=len(DATA)))
    told = words(said("y ~ r + (1 | g)", data))
    assert (
        told[0]
        == "The data do not show whether y increases or decreases with r: the slope is *# per unit of r* (# % confidence interval # to #; p = #)."
    )


def test_f_and_pairs_that_disagree_say_why():
    files, fit, told = files_of("y ~ f + (1 | g)", DATA, "f")
    table = told.table.copy()
    table.loc[table["role"] == "F", "p"] = 0.2
    files.csv.__wrapped__.__self__.files["tables/answer.csv"] = table
    assert any("need not agree" in plain(text) for text in answer(files, fit.design))


def test_how_much_groups_differ_without_random_effects():
    components = pd.DataFrame(
        [{"component": "Residual", "group": "Residual", "var1": None, "var2": None, "sdcor": 25.59}]
    )
    files = report_files(components=components, study=study(y="ms"))
    assert (
        plain(spread(files, design("y ~ x", residual="cs(h | g)")))
        == "The residual standard deviation is 25.59 ms."
    )


@pytest.mark.parametrize(
    ("ci", "level", "degrees", "expected"),
    [
        (
            "wald", 0.95, "kenward-roger",
            "Confidence intervals have a coverage of 95 % and are Wald intervals with degrees of freedom and adjusted "
            "standard errors by Kenward and Roger, as are the tests.",
        ),
        (
            "auto", 0.95, "kenward-roger: no df, its reason",
            "Confidence intervals have a coverage of 95 %. Those of coefficients, slopes and means are Wald intervals with "
            "degrees of freedom and adjusted standard errors by Kenward and Roger, as are their tests; those of variance "
            "components come from the profile likelihood where the table of components says so, otherwise from the Wald method.",
        ),
        (
            "profile", 0.9, "containment",
            "Confidence intervals have a coverage of 90 % and come from the profile likelihood (for coefficients the full, "
            "not the restricted one); slopes and differences of means that are no coefficients have Wald intervals. "
            "Tests use degrees of freedom by containment.",
        ),
        (
            "bootstrap", 0.995, "normal",
            "Confidence intervals have a coverage of 99.5 % and are percentiles of 1,000 refits of a parametric bootstrap; "
            "slopes and differences of means that are no coefficients have Wald intervals. Tests use normal quantiles, "
            "which take no account of the number of groups.",
        ),
    ],
)  # fmt: skip
def test_method(ci, level, degrees, expected):
    files = report_files(
        coefficients=[{"method": degrees}], intervals=[{"refits": 1000}], study=study(ci=ci, level=level)
    )
    assert plain(method(files)) == expected


def test_a_focus_that_a_changed_formula_has_no_more_is_said():
    from lmmkit.model.report_tables import about_answer

    fit = lmmkit.lmm("y ~ z + (1 | g)", DATA)
    found = about_answer.asked(fit, "x", ["c", "a"], {"h": "lo"})
    assert (found.term, found.absent) == ("z", "x")


def test_without_degrees_of_freedom_there_is_no_interval():
    files, fit, told = files_of("y ~ x + (1 | g)", DATA)
    table = told.table.copy()
    table.loc[:, ["df", "t", "p", "low", "high"]] = np.nan
    files.csv.__wrapped__.__self__.files["tables/answer.csv"] = table
    assert plain(answer(files, fit.design)[0]).endswith("(without interval: no degrees of freedom).")
