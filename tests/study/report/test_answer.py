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
             "Estimated means of y at z = # a (its mean): a # ms (# to #), b # ms (# to #), c # ms (# to #).",
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


@pytest.mark.parametrize("coding", ["sas", "sum", "helmert", "poly", "diff"])
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


FACTS = {
    "term": "x", "absent": "", "variable": "x", "kind": "number", "within": [], "contrast": [], "at": [], "moderators": [],
    "curved": False, "scale": "identity", "shift": 0.0, "response": "y", "column": "y", "plain": "y", "nested": False,
    "where": [], "offset": False, "averaged": [], "held": [], "alpha": 0.05,
}  # fmt: skip
COLUMNS = [
    "row", "role", "variable", "level", "base", "moderator", "at", "value", "estimate", "se", "df", "t", "p", "low", "high",
    "num_df", "den_df", "F", "ratio", "ratio_low", "ratio_high", "change", "change_low", "change_high", "original",
    "original_low", "original_high", "clear", "adjusted", "method", "interval",
]  # fmt: skip
TEST = {"role": "F", "num_df": 2.0, "den_df": 30.0, "F": 4.5, "p": 0.01}


def sized(role="slope", estimate=2.0, low=1.0, high=3.0, p=0.01, **more):
    return {
        "role": role,
        "estimate": estimate,
        "se": 0.5,
        "low": low,
        "high": high,
        "p": p,
        "interval": "Wald",
        **more,
    }


def boxed(*rows, formula="y ~ x + f * k + z + (1 | g)", ci="wald", labels=None, units=None, **facts):
    """The answer that a table of these rows makes."""
    table = pd.DataFrame([{"row": f"r{i}", **row} for i, row in enumerate(rows)], columns=COLUMNS)
    texts = ["role", "variable", "level", "base", "moderator", "at", "adjusted", "method", "interval"]
    table[texts] = table[texts].astype(object)
    files = report_files(
        answer=table,
        study=study(ci=ci, **(units or {})),
        certificate={"digits": 9},
        **{"answer.json": {**FACTS, **facts}},
    )
    return [plain(text) for text in answer(files, design(formula), labels or Labels())]


OF_X = "(95 % confidence interval {} to {}; p = 0.010)."


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.0, 3.0, "y increases with x: the slope is *2.000 per unit of x* " + OF_X.format("1.000", "3.000")),
        (0.0, 3.0, "The data do not show whether y increases or decreases with x: the slope is *2.000 per unit of x* " + OF_X.format("0.000", "3.000")),
        (-1.0, 0.0, "The data do not show whether y increases or decreases with x: the slope is *2.000 per unit of x* " + OF_X.format("−1.000", "0.000")),
        (0.001, 3.0, "y increases with x: the slope is *2.000 per unit of x* " + OF_X.format("0.001", "3.000")),
    ],
)  # fmt: skip
def test_an_interval_that_ends_at_zero_shows_nothing(low, high, said):
    assert boxed(sized(low=low, high=high)) == [said]


def test_a_slope_below_zero_decreases():
    assert boxed(sized(estimate=-2.0, low=-3.0, high=-1.0))[0].startswith(
        "y decreases with x: the slope is *−2.000 per"
    )


@pytest.mark.parametrize(
    ("facts", "lead"),
    [
        ({}, "y increases with x: the slope is"),
        ({"curved": True}, "On average over the rows of the data, y increases with x: the average slope is"),
        ({"moderators": ["z"]}, "On average over the rows of the data, y increases with x: the average slope is"),
        ({"at": [{"column": "z", "value": 2.0}]}, "At z = 2, y increases with x: the slope is"),
        ({"at": [{"column": "z", "value": 2.0}, {"column": "k", "value": "p"}]}, "At z = 2 and k p, y increases with x: the slope is"),
    ],
)  # fmt: skip
def test_where_a_slope_holds_leads_its_sentence(facts, lead):
    assert boxed(sized(), **facts)[0].startswith(lead)


@pytest.mark.parametrize(
    ("ci", "interval", "said"),
    [("profile", "Wald", ", by Wald; p"), ("bootstrap", "Wald", ", by Wald; p"), ("wald", "Wald", "3.000; p"), ("auto", "Wald", "3.000; p"),
     ("profile", "profile likelihood", "3.000; p")],
)  # fmt: skip
def test_an_interval_of_another_kind_than_asked_says_so(ci, interval, said):
    assert said in boxed(sized(interval=interval), ci=ci)[0]
    assert (", by Wald" in boxed(sized(interval=interval), ci=ci)[0]) == (", by Wald" in said)


def logged(ratio, role="slope", **more):
    around = {"ratio": ratio, "ratio_low": ratio / 1.25, "ratio_high": ratio * 1.25}
    changes = {name.replace("ratio", "change"): value - 1.0 for name, value in around.items()}
    return sized(role, np.log(ratio), np.log(ratio / 1.25), np.log(ratio * 1.25), **around, **changes, **more)


@pytest.mark.parametrize(
    ("ratio", "told"),
    [
        (0.5, "it is multiplied by *0.5 per unit of x*"),
        (0.51, "it changes by *−49.0 % per unit of x* (95 % confidence interval −59.2 % to −36.3 %;"),
        (1.99, "it changes by *99.0 % per unit of x* (95 % confidence interval 59.2 % to 149 %;"),
        (2.0, "it is multiplied by *2 per unit of x* (95 % confidence interval 1.6 to 2.5;"),
        (1.6, "it changes by *60.0 % per unit of x* (95 % confidence interval 28.0 % to 100 %;"),
        (3.0, "it is multiplied by *3 per unit of x*"),
        (1.0001, "it changes by *0.01 % per unit of x* (95 % confidence interval −20.0 % to 25.0 %;"),
    ],
)  # fmt: skip
def test_a_change_in_per_cent_between_a_half_and_double(ratio, told):
    assert told in boxed(logged(ratio), scale="log", plain="y")[0]
    difference = logged(ratio, "difference", variable="f", level="v", base="u")
    what = "the ratio is" if "multiplied" in told else "the difference is"
    if abs(np.log(ratio)) > np.log(1.25):
        assert what in boxed(difference, scale="log", kind="factor", variable="f")[0]


@pytest.mark.parametrize(
    ("p", "alpha", "shown"),
    [(0.0499, 0.05, True), (0.05, 0.05, False), (0.07, 0.1, True), (0.02, 0.01, False)],
)
def test_a_test_decides_at_the_level_of_the_study(p, alpha, shown):
    told = boxed({**TEST, "p": p}, kind="factor", variable="f", alpha=alpha)
    assert told[0].startswith("y differs between the levels of f (F(2, 30.0) = 4.50, p = ") == shown
    assert told[0].startswith("The data do not show that y differs between the levels of f (") != shown


@pytest.mark.parametrize(
    ("p", "clear", "agree"),
    [(0.01, True, True), (0.01, False, False), (0.2, True, False), (0.2, False, True)],
)
def test_a_test_and_its_pairs_that_do_not_agree_are_explained(p, clear, agree):
    pair = sized("difference", variable="f", level="v", base="u", adjusted="Tukey", clear=clear)
    told = boxed(pair, {**TEST, "p": p}, kind="factor", variable="f")
    assert told[1].startswith(
        "The largest difference, v less u, is *2.000* (95 % confidence interval 1.000 to 3.000, Tukey's adjustment; p"
    )
    assert (told[2:] == []) == agree
    if not agree:
        assert told[2:] == [
            "The two need not agree: the F test asks whether any combination of the means differs, the comparison of "
            "pairs looks at each pair, with an adjustment for their number."
        ]


@pytest.mark.parametrize(("count", "every"), [(2, False), (3, True)])
def test_all_levels_are_tested_together_where_there_are_more_than_two(count, every):
    means = [sized("mean", level=level) for level in "uvw"[:count]]
    told = boxed(
        sized("difference", variable="f", level="v", base="u"), TEST, *means, kind="factor", variable="f"
    )
    assert told[0].startswith("y is higher for f v than for u: the difference is *2.000* (")
    assert ("All levels of f together: F(2, 30.0) = 4.50, p = 0.010." in told) == every


@pytest.mark.parametrize(
    ("count", "lead"),
    [
        (8, "Estimated means of y: l0 0.000 "),
        (9, "The lowest and the highest estimated mean of y: l0 0.000 "),
    ],
)
def test_eight_means_are_listed_and_of_more_the_ends(count, lead):
    means = [sized("mean", estimate=float((i * 5) % count), level=f"l{i}") for i in range(count)]
    (told,) = (
        text for text in boxed(TEST, *means, kind="factor", variable="f") if "estimated mean" in text.lower()
    )
    assert told.startswith(lead)
    assert told.count(" to ") == (8 if count == 8 else 2)
    if count == 9:
        assert told.endswith(", l7 8.000 (1.000 to 3.000).")


@pytest.mark.parametrize(
    ("shift", "said"), [(0.0, "(geometric means): u 7 ("), (1.0, "the scale of y: u 7 (")]
)
def test_means_carried_back_are_geometric_without_a_shift(shift, said):
    back = sized("mean", level="u", original=7.0, original_low=6.0, original_high=8.0)
    told = boxed(TEST, back, kind="factor", variable="f", scale="log", shift=shift)
    assert said in told[1]


def components(*rows):
    table = pd.DataFrame(rows, columns=["group", "var1", "sdcor"])
    return table.assign(var2=None, component=[f"c{i}" for i in range(len(table))])


LEVELS = "y ~ x + (0 + f | g)"


@pytest.mark.parametrize(
    ("formula", "rows", "said"),
    [
        (LEVELS, [("f[u]", 2.0), ("f[v]", 2.0)], "2 in f: u and 2 in f: v"),
        (LEVELS, [("f[u]", 2.0), ("f[v]", 2.0), ("f[w]", 2.0)], "2 in each of f: u, f: v and f: w"),
        (LEVELS, [("f[u]", 2.0), ("f[v]", 2.0), ("f[w]", 2.00001)], "2 in f: u, 2 in f: v and 2 in f: w"),
        ("y ~ x + (f || g)", [("Intercept", 2.0), ("f[T.v]", 2.0), ("f[T.w]", 2.0)], "2 in the intercept, 2 in f: v against u and 2 in f: w against u"),
        ("y ~ x + (0 + x + z + w || g)", [("x", 2.0), ("z", 2.0), ("w", 2.0)], "2 per unit of x in the slope of x, 2 per unit of z in the slope of z and"),
    ],
)  # fmt: skip
def test_deviations_of_a_group(formula, rows, said):
    table = components(*(("g", *row) for row in rows), ("Residual", None, 3.0))
    told = plain(spread(report_files(components=table, study=study()), design(formula)))
    assert told.startswith(f"Standard deviations between levels of g: {said}")
    assert told.endswith("The residual standard deviation is 3.")


@pytest.mark.parametrize(
    ("options", "said"), [({}, "is 3."), ({"weights": "w"}, "is 3 (of a row of unit weight).")]
)
def test_a_residual_deviation_with_weights_is_that_of_unit_weight(options, said):
    files = report_files(components=components(("Residual", None, 3.0)), study=study())
    assert (
        plain(spread(files, design("y ~ x + (1 | g)", **options)))
        == f"The residual standard deviation {said}"
    )


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ([None], "The residual standard deviation is 2 ms."),
        (["p", "q"], "Standard deviations of the residuals: 2 ms for p and 3 ms for q."),
        (["p", "q", "r"], "Standard deviations of the residuals: 2 ms for p, 3 ms for q and 4 ms for r."),
    ],
)
def test_residuals_of_several_variances_are_told_one_by_one(levels, said):
    rows = components(*(("Residual", level, 2.0 + i) for i, level in enumerate(levels)))
    files = report_files(components=rows, study=study(y="ms"))
    assert plain(spread(files, design("y ~ x", residual="ident(k)"))) == said
    weighted = plain(spread(files, design("y ~ x", residual="ident(k)", weights="w")))
    assert weighted == said.removesuffix(".") + " (of a row of unit weight)."


@pytest.mark.parametrize(
    ("facts", "where"),
    [
        ({}, ""),
        ({"at": [{"column": "k", "value": "p"}]}, " at k p"),
        ({"held": [{"column": "z", "value": 2.0}]}, " at z = 2 (its mean)"),
        ({"at": [{"column": "k", "value": "p"}], "held": [{"column": "z", "value": 2.0}]},
         " at k p and at z = 2 (its mean)"),
    ],
)  # fmt: skip
def test_means_say_at_which_values_they_are_taken(facts, where):
    mean = sized("mean", level="u", original=7.0, original_low=6.0, original_high=8.0)
    told = boxed(TEST, {**mean, "original": None}, kind="factor", variable="f", **facts)
    assert told[1] == f"Estimated means of y{where}: u 2.000 (1.000 to 3.000)."
    back = boxed(TEST, mean, kind="factor", variable="f", scale="log", **facts)
    assert back[1] == (
        f"Estimated means{where}, carried back to the scale of y (geometric means): u 7 (6 to 8)."
    )


@pytest.mark.parametrize(
    ("label", "lead"),
    [("depth of snow", "Depth of snow increases with x"), ("depth", "depth increases with x"), ("follow-up time", "Follow-up time increases"),
     ("depth in 2024", "depth in 2024 increases"), ("log(depth of snow)", "log(depth of snow) increases")],
)  # fmt: skip
def test_a_sentence_begins_with_a_capital_where_a_label_is_words(label, lead):
    assert boxed(sized(), labels=Labels({"y": label}))[0].startswith(lead)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kenward-roger-observed", "degrees of freedom and adjusted standard errors by Kenward and Roger, from observed information"),
        ("satterthwaite", "degrees of freedom by Satterthwaite"),
        ("unbounded: a note", "degrees of freedom and standard errors from variances that may be negative"),
        ("containment", "degrees of freedom by containment"),
        ("inner-outer", "inner-outer degrees of freedom, as nlme has them"),
        ("between-within", "between-within degrees of freedom"),
        ("residual", "residual degrees of freedom, which take no account of the number of groups"),
        ("normal", "normal quantiles, which take no account of the number of groups"),
    ],
)  # fmt: skip
def test_each_kind_of_degrees_of_freedom_has_its_words(name, words):
    told = plain(method(report_files(coefficients=[{"method": name}], study=study("wald"))))
    lead = "Confidence intervals have a coverage of 95 % and are Wald intervals with "
    assert told == f"{lead}{words}, as are the tests."


INTERACTION = {**TEST, "role": "F of interaction"}
OF_F = "(F(2, 30.0) = 4.50, p = {})."


@pytest.mark.parametrize(
    ("nested", "pair", "p", "said"),
    [
        (True, True, 0.01, "At least one of the slopes of y along x within k differs from zero " + OF_F.format("0.010")),
        (True, True, 0.2, "The data do not show that any of the slopes of y along x within k differs from zero " + OF_F.format("0.200")),
        (False, True, 0.01, "The slope of y along x differs between the levels of k " + OF_F.format("0.010")),
        (False, True, 0.2, "The slope of y along x is not shown to differ between the levels of k " + OF_F.format("0.200")),
        (False, False, 0.01, "The slope of y along x changes with k " + OF_F.format("0.010")),
        (False, False, 0.2, "The slope of y along x is not shown to change with k " + OF_F.format("0.200")),
    ],
)  # fmt: skip
def test_how_a_slope_differs(nested, pair, p, said):
    test = {**INTERACTION, "variable": "k:x", "p": p}
    other = {**INTERACTION, "variable": "x:z"}
    pairs = [sized("difference of slopes", moderator="k", level="q", base="p")] * pair
    told = boxed(sized(), other, test, *pairs, within=["k"], term="k:x", nested=nested)
    size = "*2.000 per unit of x* " + OF_X.format("1.000", "3.000")
    slope = "y increases with x: the slope is 2.000 per unit of x (1.000 to 3.000)."
    assert told == [said, *[f"The difference of slopes (k: q less p) is {size}"] * pair, slope]


def test_a_difference_of_slopes_of_a_logarithm_is_told_on_its_own_scale():
    pair = sized("difference of slopes", moderator="k", level="q", base="p")
    told = boxed(sized(), pair, within=["k"], term="k:x", scale="log", plain="n")
    assert told[0] == (
        "The difference of slopes (k: q less p) is 2.000 per unit of x (1.000 to 3.000; p = 0.010) on the scale of y."
    )


@pytest.mark.parametrize(
    ("nested", "p", "said"),
    [
        (False, 0.01, "The effect of f on y depends on k " + OF_F.format("0.010")),
        (False, 0.2, "The effect of f on y is not shown to depend on k " + OF_F.format("0.200")),
        (True, 0.01, "Within at least one level of k, y differs between the levels of f " + OF_F.format("0.010")),
        (True, 0.2, "The data do not show that within any level of k y differs between the levels of f " + OF_F.format("0.200")),
    ],
)  # fmt: skip
def test_how_differences_depend_on_what_the_factor_interacts_with(nested, p, said):
    test = {**INTERACTION, "variable": "f:k", "p": p}
    places = [sized("difference at", variable="f", level="v", base="u", moderator="k", at=at) for at in "pq"]
    told = boxed(test, *places, kind="factor", variable="f", within=["k"], term="f:k", nested=nested)
    form = "For k {}, y is higher for f v than for u: the difference is {}"
    assert told == [
        said,
        form.format("p", "*2.000* " + OF_X.format("1.000", "3.000")),
        form.format("q", "2.000 (1.000 to 3.000)."),
    ]


@pytest.mark.parametrize(("facts", "count"), [({}, 2), ({"at": [{"column": "z", "value": 2.0}]}, 1)])
def test_interactions_are_tested_where_the_question_is_not_asked_at_one_place(facts, count):
    told = boxed(sized(), {**INTERACTION, "variable": "f:k", "p": 0.2}, **facts)
    assert len(told) == count
    if count == 2:
        end = "the data do not show that the effect varies."
        assert told[1] == f"Test of the interaction f × k: F(2, 30.0) = 4.50, p = 0.200; {end}"
        shown = boxed(sized(), {**INTERACTION, "variable": "f:k"})[1]
        assert shown == "Test of the interaction f × k: F(2, 30.0) = 4.50, p = 0.010."


NOTHING = {"estimate": None, "low": None, "high": None, "p": None}


@pytest.mark.parametrize(
    ("rows", "facts", "said"),
    [
        ([sized(**NOTHING)], {}, "The slope of y along x is not to be estimated from these data."),
        ([sized(low=None)], {}, "The slope of y along x is *2.000 per unit of x* (without interval: no degrees of freedom)."),
        ([sized()], {"absent": "w"}, "The study asks about w, which this model does not have: this is about its first term."),
        ([], {"kind": "factor", "variable": "f"}, "The means of y at the levels of f cannot be compared from these data."),
        ([{**TEST, "F": None, "p": None}], {"kind": "factor", "variable": "f"},
         "The data do not show that y differs between the levels of f (no F test can be made)."),
        ([{**TEST, "p": None}], {"kind": "factor", "variable": "f"},
         "The data do not show that y differs between the levels of f (no F test can be made)."),
        ([sized("difference", variable="f", level="v", base="u", low=None, high=None), TEST], {"kind": "factor", "variable": "f"},
         "The difference in y between f v and u is *2.000* (without interval: no degrees of freedom)."),
        ([sized("difference", -2.0, -3.0, -1.0, variable="f", level="v", base="u"), TEST], {"kind": "factor", "variable": "f"},
         "y is lower for f v than for u: the difference is *−2.000* (95 % confidence interval −3.000 to −1.000; p = 0.010)."),
        ([TEST, sized("mean", level="u")], {"kind": "factor", "variable": "f", "offset": True},
         "Estimated means of y, with the offset at its mean: u 2.000 (1.000 to 3.000)."),
        ([TEST, sized("mean", level="u"), sized("mean", level="v", **NOTHING)], {"kind": "factor", "variable": "f"},
         "The lowest and the highest estimated mean of y: u 2.000 (1.000 to 3.000)."),
        ([TEST], {"kind": "factor", "variable": "f", "averaged": ["k"], "held": [{"column": "z", "value": 2.0}]},
         "Averaged over the levels of k, at z = 2 (its mean), y differs between the levels of f (F(2, 30.0) = 4.50, p = 0.010)."),
    ],
)  # fmt: skip
def test_what_cannot_be_told_and_where_the_rest_holds(rows, facts, said):
    assert boxed(*rows, **facts)[-1] == said


@pytest.mark.parametrize(
    ("facts", "lead"),
    [
        ({}, "The mean of y is"),
        ({"offset": True}, "The mean of y, less the offset, is"),
        ({"where": [{"kind": "zero", "of": "x"}, {"kind": "zero", "of": "z"}]},
         "The intercept, the mean of y where x and z are zero, is"),
        ({"offset": True, "where": [{"kind": "level", "of": "f", "level": "u"}, {"kind": "mean", "of": "k"}]},
         "The intercept, the mean of y, less the offset, for f u and averaged over the levels of k with equal weights, is"),
    ],
)  # fmt: skip
def test_an_intercept_is_told_with_where_it_holds_and_carried_back(facts, lead):
    back = sized("intercept", original=7.0, original_low=6.0, original_high=8.0)
    told = boxed(back, kind="intercept", column="n", units={"n": "mm"}, **facts)
    assert told == [
        f"{lead} *2.000* (95 % confidence interval 1.000 to 3.000).",
        "Carried back to n: 7 mm (6 to 8).",
    ]
    assert len(boxed(sized("intercept"), kind="intercept", **facts)) == 1
