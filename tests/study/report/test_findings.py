# ruff: noqa: E501  (a sentence stands as it is printed)
"""Checks of the assumptions, results and methods: planted faults, and what is said of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.answers import files_of, garden, plain, run_of

import lmmkit
from lmmkit.study.pages.seen_names import Labels
from lmmkit.study.report import paragraphs
from lmmkit.study.report.findings import checks_in_words, serious
from lmmkit.study.report.pasted import results_in_words
from lmmkit.study.report.references import WORKS, bibliography

DATA = garden()
UNITS = {"y": "ms", "x": "d"}
FEW = 19  # replicates of checks that are not read


def clean(seed=5):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"g": np.repeat(np.arange(24), 10), "x": rng.normal(size=240)})
    return frame.assign(y=3 + frame["x"] + rng.normal(size=24)[frame["g"]] + rng.normal(size=240))


def said(formula, data, **more):
    files, seen = run_of(formula, data, units=UNITS, **more)
    return [plain(text) for text in checks_in_words(files, seen)], [
        plain(text) for text in serious(files, seen)
    ]


def test_a_shifted_row_is_named_with_its_group():
    data = clean()
    data.loc[57, "y"] += 8
    files, seen = run_of("y ~ x + (1 | g)", data, units=UNITS)
    told, grave = ([plain(text) for text in made(files, seen)] for made in (checks_in_words, serious))
    assert grave[0].startswith("Row 58 (g 5) at ")
    assert told[0].startswith(grave[0].removesuffix("."))
    assert "lies far from what the model expects (studentised residual; p < 0.001 among all rows" in grave[0]
    assert "What to do: look the rows up" in told[0]
    words = " ".join(plain(text) for text in paragraphs.methods_in_words(files, seen))
    assert "Row 58 (g 5) at " in words
    assert "What to do" not in words


def test_without_a_fault_nothing_is_serious_and_what_was_checked_is_named():
    told, grave = said("y ~ x + (1 | g)", clean())
    assert grave == []
    assert told[0].startswith("Nothing notable was found in: ")
    assert "outlying rows (residuals)" in told[0]
    assert told[-1] == (
        "Each check is ranked among the same check of 199 data sets simulated from the fit (the model "
        "refitted to each), and p values are adjusted for all checks together; rows are judged by "
        "studentised residuals."
    )


def test_a_variance_that_rises_with_a_predictor_and_its_unit():
    data = clean()
    data["y"] = 3 + data["x"] + np.random.default_rng(2).normal(size=240) * np.exp(0.7 * data["x"])
    told, grave = said("y ~ x + (1 | g)", data)
    found = next(text for text in told if text.startswith("The residual variance rises with x: "))
    assert " ms in the lowest third and " in found
    assert "What to do: model.residual: exp(x) lets the variance follow it." in found
    assert any(text.startswith("The residual variance rises with ") for text in grave)


def test_a_group_of_another_variance():
    data = clean()
    data["h"] = np.where(np.arange(240) % 2 == 0, "a", "b")
    data["y"] += np.where(data["h"] == "a", 3.0, 0.0) * np.random.default_rng(3).normal(size=240)
    told, grave = said("y ~ x + h + (1 | g)", data)
    found = next(text for text in grave if text.startswith("The residual standard deviation differs"))
    assert "between the levels of h, from " in found
    assert " ms (h b) to " in found
    assert any("model.residual: ident(h) gives every level a variance of its own" in text for text in told)


def test_skewed_residuals():
    data = clean()
    data["y"] = data["x"] + np.random.default_rng(4).exponential(3, size=240)
    _, grave = said("y ~ x + (1 | g)", data)
    assert any(
        text.startswith(
            "The residuals are not normal: they are skewed to the right and have heavier tails (skewness "
        )
        for text in grave
    )


def test_a_group_that_stands_apart():
    data = clean()
    data.loc[data["g"] == 7, "y"] += 12
    _, grave = said("y ~ x + (1 | g)", data)
    assert any(text.startswith("g 7 stands apart in its intercept: ") for text in grave)


def test_levels_that_are_numbers_stay_as_they_are_written():
    data = clean().assign(g=lambda d: d["g"] + 300)
    data.loc[data["g"] == 307, "y"] += 12
    _, grave = said("y ~ x + (1 | g)", data)
    assert any(text.startswith("g 307 stands apart") for text in grave)


def test_a_singular_fit_and_labels_used_again_are_serious():
    rng = np.random.default_rng(0)
    data = pd.DataFrame(
        [(s, c) for s in range(8) for c in range(4) for _ in range(6)], columns=["school", "cls"]
    )
    data["y"] = rng.normal(size=len(data))
    data["x"] = rng.normal(size=len(data))
    _, grave = said("y ~ x + (1 | school) + (1 | cls)", data)
    assert any("`cls` has 4 levels, but 32 within `school`" in text for text in grave)
    if lmmkit.lmm("y ~ x + (1 | school) + (1 | cls)", data).is_singular:
        assert grave[0].startswith("The fit is singular")


def test_methods_name_the_residuals_that_judge_the_rows():
    data = clean().assign(t=np.tile(np.arange(10), 24))
    for random, residual, kind in ((" + (1 | g)", None, "studentised"), ("", "car1(t | g)", "normalised")):
        files, seen = run_of(f"y ~ x{random}", data, units=UNITS, residual=residual)
        told = " ".join(plain(text) for text in paragraphs.methods_in_words(files, seen))
        assert f"rows are judged by {kind} residuals" in told


def test_results_of_a_transformed_response_say_their_scale():
    files, seen = run_of("log(rt) ~ x + (1 | g)", DATA, replicates=FEW)
    assert plain(results_in_words(files, seen)[0]).startswith(
        "Estimates are on the scale of log(rt). Effect of x, b = "
    )


def test_small_data_are_not_checked():
    told, _ = said("y ~ x + (1 | g)", clean().iloc[:12])
    unclear = next(
        text for text in told if text.startswith("Not checked, or beyond what these data can tell: ")
    )
    assert "normal residuals (residuals)" in unclear


def test_results_are_told_as_apa_has_them():
    files, seen = run_of("y ~ x + f + (x | g)", DATA, units=UNITS, replicates=FEW)
    told = [plain(text) for text in results_in_words(files, seen)]
    fit = lmmkit.lmm("y ~ x + f + (x | g)", DATA)
    row = fit.coef_table().loc["x"]
    assert told[0].startswith(
        f"Effect of x, b = {row['estimate']:.3f} ms per d, 95 % CI [{row['low']:.3f}, {row['high']:.3f}], "
        f"t({row['df']:.1f}) = {row['t']:.2f}, p < .001. Effect of f, F(2, "
    )
    assert "Its coefficients: f: b against a, b = " in told[0]
    assert told[1].startswith("Random effects of g: intercept, SD = ")
    assert "slope of x, SD = " in told[1]
    assert " ms per d, 95 % CI [" in told[1]
    assert "intercept with slope of x, r = " in told[1]
    assert "marginal R² = ." in told[2]
    assert "Nakagawa & Schielzeth, 2013" in told[2].replace("&amp;", "&")
    assert "f: b against a, d = " in told[3]


def test_a_coefficient_that_holds_somewhere_says_where():
    files, seen = run_of("y ~ x * z + f * h + (1 | g)", DATA, replicates=FEW)
    told = plain(results_in_words(files, seen)[0])
    assert "Effect of x, b = " in told
    assert "(where z is zero)" in told
    assert "Its coefficients (for h hi): f: b against a, b = " in told
    words = [plain(text) for text in paragraphs.tests_in_words(files, seen)]
    where = "; the answer above says where its own numbers hold."
    assert words == [
        f"The test of x is about its effect where z is zero, and so is its coefficient{where}",
        f"The test of z is about its effect where x is zero, and so is its coefficient{where}",
        "The coefficients of f hold for h hi; its F test averages over the levels of h with equal weights.",
        "The coefficient of h holds for f a; its F test averages over the levels of f with equal weights.",
    ]


def test_the_methods_cite_what_the_run_used_and_count_no_evaluations():
    files, seen = run_of("y ~ x + (1 | g)", DATA, units=UNITS)
    told = " ".join(plain(text) for text in paragraphs.methods_in_words(files, seen)).replace("&amp;", "&")
    assert "(Kenward & Roger, 1997)" in told
    assert "(Laird & Ware, 1982)" in told
    assert "(Self & Liang, 1987)" in told
    assert "evaluation" not in told
    assert "Satterthwaite" not in told
    listed = [plain(text) for text in bibliography(files)]
    assert listed == sorted(listed)
    assert all("doi:10." in text for text in listed)
    assert all("(" in work.listed and "doi:10." in work.listed for work in WORKS.values())


def test_codings_weights_offset_and_transformation_stand_in_the_methods():
    files, seen = run_of(
        "log(rt) ~ f + h + offset(o) + (1 | g)", DATA, weights="w", contrasts={"h": "sum"}, replicates=FEW
    )
    told = " ".join(plain(text) for text in paragraphs.methods_in_words(files, seen))
    assert "The response was analysed as log(rt)." in told
    assert "Factors are coded as differences from a reference level: f (a)." in told
    assert "The coding of h has no reference level" in told
    assert "Rows have prior weights" in told
    assert "An offset" in told


def test_names_read_as_a_person_says_them():
    labels = Labels({"f": "Treatment", "x": "weeks"}, {"f": {"a": "Control", "b": "High"}})
    _, seen = run_of(
        "y ~ x * f + (1 | g)", DATA, labels=labels, units={"y": "points", "x": "week"}, replicates=FEW
    )
    assert seen.effect("f[T.b]") == "Treatment: High against Control"
    assert seen.effect("x:f[T.b]") == "weeks × Treatment (High against Control)"
    assert str(seen.of_effect("x:f[T.b]")) == " points per week"
    assert str(seen.of_effect("f[T.b]")) == " points"


@pytest.mark.parametrize(
    ("coding", "name", "words"),
    [
        ("sas", "f[T.a]", "f: a against c"),
        ("sum", "f[S.a]", "f: a against the mean of the levels"),
        ("diff", "f[D.b]", "f: b against a"),
        ("helmert", "f[H.c]", "f: c against the levels before it"),
        ("poly", "f[.L]", "f: linear trend"),
        ("poly", "f[.Q]", "f: quadratic trend"),
    ],
)
def test_a_coefficient_says_what_its_coding_compares(coding, name, words):
    _, fit, _ = files_of("y ~ f + (1 | g)", DATA, contrasts={"f": coding})
    from lmmkit.study.report.seen import Seen

    assert name in fit.design.fixed_names
    assert Seen(fit.design, {}).effect(name) == words


def checked(*rows, how="refitted"):
    """Files in which these are the checks: (check, verdict, remedy, form, facts)."""
    from support.report_files import report_files

    table = pd.DataFrame(rows, columns=["check", "verdict", "remedy", "form", "facts"]).assign(of="x")
    sentences = [
        {"form": form, "facts": facts} for form, facts in zip(table["form"], table["facts"], strict=True)
    ]
    told = {"sentences": sentences, "judged_by": "studentised", "replicates": 999, "how": how, "seed": 1}
    return report_files(
        checks=table, summary={"singular": False, "singular_terms": [], "reused": []},
        influence=pd.DataFrame(columns=["group"]), influences=pd.DataFrame(columns=["group"]), **{"checks.json": told},
    )  # fmt: skip


def fact(kind, value, decimals=None, of=""):
    return {"kind": kind, "value": value, "of": of, "decimals": decimals}


P = [fact("probability", 0.01)]
ROWS = [
    ("fine one", "fine", "", "Fine.", []), ("looked at", "look", "", "Look: {}.", P), ("left", "not checked", "", "Left.", []),
    ("troubled", "trouble", "mend it.", "Trouble: {}.", P), ("fine two", "fine", "", "Fine.", []),
]  # fmt: skip
HOW = (
    "Each check is ranked among the same check of 999 data sets simulated from the fit ({}), and p values are "
    "adjusted for all checks together; rows are judged by studentised residuals."
)


@pytest.mark.parametrize(
    ("method", "terms", "said"),
    [
        ("satterthwaite", ["g"],
         "random effects of g has an estimated variance of zero, and standard errors take that as known."),
        ("unbounded: a note", ["g", "h"],
         "random effects of each of g and h has an estimated variance of zero, and standard errors of coefficients "
         "come from a fit whose variances may be negative."),
    ],
)  # fmt: skip
def test_a_singular_fit_and_what_was_taken_from_elsewhere_are_serious(method, terms, said):
    from support.report_files import seen

    files = checked()
    held = files.csv.__wrapped__.__self__.files
    held["summary.json"] = {"singular": True, "singular_terms": terms, "reused": ["The steps are old."]}
    held["tables/coefficients.csv"] = pd.DataFrame({"method": [method]})
    told = [plain(text) for text in serious(files, seen("y ~ x + (1 | g) + (1 | h)"))]
    assert told == [f"The fit is singular: a combination of the {said}", "The steps are old."]


def test_trouble_comes_first_then_what_to_look_at_then_the_rest():
    from support.report_files import seen

    from lmmkit.study.report.findings import notable_in_words

    files, names = checked(*ROWS), seen("y ~ x + (1 | g)")
    rest = [
        "Nothing notable was found in: fine one (x) and fine two (x).",
        "Not checked, or beyond what these data can tell: left (x).",
    ]
    assert [plain(text) for text in checks_in_words(files, names)] == [
        "Trouble: p = 0.010. What to do: mend it.", "Look: p = 0.010.", *rest, HOW.format("the model refitted to each"),
    ]  # fmt: skip
    assert [plain(text) for text in notable_in_words(files, names)] == [
        HOW.format("the model refitted to each"), "Trouble: p = 0.010.", "Look: p = 0.010.", *rest,
    ]  # fmt: skip
    assert [plain(text) for text in serious(files, names)] == ["Trouble: p = 0.010."]
    told = [plain(text) for text in checks_in_words(checked(*ROWS, how="fitted"), names)]
    assert told[-1] == HOW.format("at the fitted variances, without refits")


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (fact("probability", 0.0009), "p < 0.001"),
        (fact("probability", 0.001), "p = 0.001"),
        (fact("number", -4.8511, 2), "−4.85"),
        (fact("number", 1234.5678, 0), "1,235"),
        (fact("text", "57"), "57"),
        (fact("text", "have heavier tails"), "have heavier tails"),
        (fact("column", "x"), "weeks"),
        (fact("level", "v", of="f"), "High"),
        (fact("effect", "f[T.v]"), "f: High against u"),
        (fact("unit", ""), " ms"),
    ],
)
def test_a_fact_is_told_as_readers_see_it(told, text):
    from support.report_files import design

    from lmmkit.study.report.seen import Seen

    names = Seen(design("y ~ x + f + (1 | g)"), {"y": "ms"}, Labels({"x": "weeks"}, {"f": {"v": "High"}}))
    files = checked(("one", "trouble", "", "It is {}.", [told]))
    assert plain(serious(files, names)[0]) == f"It is {text}."


@pytest.mark.parametrize(
    ("name", "unit"), [("Residual", " ms of a row of unit weight"), ("x", " ms per d"), ("Intercept", " ms")]
)
def test_a_residual_deviation_is_that_of_unit_weight(name, unit):
    from support.report_files import seen

    units = {"y": "ms", "x": "d"}
    assert str(seen("y ~ x + (1 | g)", units, weights="w").units_of([name])[0]) == unit
    assert str(seen("y ~ x + (1 | g)", units).units_of([name])[0]) == unit.partition(" of a")[0]
