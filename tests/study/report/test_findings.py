"""Checks of the assumptions, results and methods: planted faults, and what is said of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.answers import files_of, garden, plain, run_of

import lmmkit
from lmmkit.model.report_tables.about_checks import checks, studentised
from lmmkit.study.pages.seen_names import Labels
from lmmkit.study.report import paragraphs
from lmmkit.study.report.findings import checks_in_words, serious
from lmmkit.study.report.pasted import results_in_words
from lmmkit.study.report.references import WORKS, bibliography

DATA = garden()
UNITS = {"y": "ms", "x": "d"}


def clean(seed=5):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"g": np.repeat(np.arange(24), 10), "x": rng.normal(size=240)})
    return frame.assign(y=3 + frame["x"] + rng.normal(size=24)[frame["g"]] + rng.normal(size=240))


def said(formula, data, **more):
    files, seen = run_of(formula, data, units=UNITS, **more)
    return [plain(text) for text in checks_in_words(files, seen)], [
        plain(text) for text in serious(files, seen)
    ]


@pytest.mark.parametrize("weights", [None, "w"])
def test_studentised_residuals_are_those_of_dense_algebra(weights):
    fit = lmmkit.lmm("y ~ x + f + (x | g)", DATA, weights=weights)
    e, n = fit.estimates, len(DATA)
    Z = np.zeros((n, 48))
    Z[np.arange(n), 2 * DATA["g"]], Z[np.arange(n), 2 * DATA["g"] + 1] = 1.0, DATA["x"]
    w = DATA["w"].to_numpy() if weights else np.ones(n)
    V = fit.sigma**2 * np.diag(1 / w) + Z @ np.kron(np.eye(24), e.covariance(0)) @ Z.T
    inverse = np.linalg.inv(V)
    P = inverse - inverse @ e.X @ np.linalg.solve(e.X.T @ inverse @ e.X, e.X.T @ inverse)
    t, df = (P @ DATA["y"].to_numpy()) / np.sqrt(np.diag(P)), n - e.X.shape[1]
    np.testing.assert_allclose(studentised(e).values, t * np.sqrt((df - 1) / (df - t**2)), rtol=1e-9)


def test_a_shifted_row_is_named_with_its_group():
    data = clean()
    data.loc[57, "y"] += 8
    told, grave = said("y ~ x + (1 | g)", data)
    assert grave[0] == told[0]
    assert told[0].startswith("One row is an outlier: row 58 (g 5), ")
    assert "standard deviations from its fitted value (p < 0.001, adjusted for the number of rows)" in told[0]
    words = " ".join(plain(text) for text in paragraphs.methods_in_words(*run_of("y ~ x + (1 | g)", data)))
    assert "row 58 (g 5), " in words


def test_without_a_fault_nothing_is_serious_and_nothing_is_a_fact():
    told, grave = said("y ~ x + (1 | g)", clean())
    assert grave == []
    assert told[0].startswith("No row is an outlier: the largest studentised residual, ")
    assert all(text.startswith(("No ", "Independence was not checked")) for text in told)


def test_a_variance_that_rises_with_the_fitted_values():
    data = clean()
    data["y"] = 3 + data["x"] + np.random.default_rng(2).normal(size=240) * np.exp(0.7 * data["x"])
    _, grave = said("y ~ x + (1 | g)", data)
    assert any(text.startswith("The residual variance rises with the fitted values: ") for text in grave)


def test_a_group_of_another_variance():
    data = clean()
    data["h"] = np.where(np.arange(240) % 2 == 0, "a", "b")
    data["y"] += np.where(data["h"] == "a", 3.0, 0.0) * np.random.default_rng(3).normal(size=240)
    _, grave = said("y ~ x + h + (1 | g)", data)
    found = next(text for text in grave if text.startswith("The residual standard deviation differs"))
    assert "between the levels of h, from " in found
    assert " ms (b) to " in found


def test_skewed_residuals():
    data = clean()
    data["y"] = data["x"] + np.random.default_rng(4).exponential(3, size=240)
    _, grave = said("y ~ x + (1 | g)", data)
    assert any(text.startswith("The residuals are not normal (skewness ") for text in grave)


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


def test_independence_is_told_as_the_residuals_are_assumed():
    data = clean().assign(t=np.tile(np.arange(10), 24), k=np.tile(list("uv"), 120))
    for residual, words in (
        ("ident(k)", "Independence was not checked: "),
        ("car1(t | g)", "Residuals within g are assumed to be correlated; the semivariance of "),
        ("ar1(t | g)", "Residuals within g are assumed to be correlated; the fitted correlations "),
    ):
        told, _ = said("y ~ x", data, residual=residual)
        assert any(text.startswith(words) for text in told), residual


def test_methods_name_the_residuals_that_judge_the_rows():
    data = clean().assign(t=np.tile(np.arange(10), 24))
    for random, residual, kind in ((" + (1 | g)", None, "studentised"), ("", "car1(t | g)", "normalised")):
        files, seen = run_of(f"y ~ x{random}", data, units=UNITS, residual=residual)
        told = " ".join(plain(text) for text in paragraphs.methods_in_words(files, seen))
        assert f"rows are judged by {kind} residuals" in told


def test_results_of_a_transformed_response_say_their_scale():
    files, seen = run_of("log(rt) ~ x + (1 | g)", DATA)
    assert plain(results_in_words(files, seen)[0]).startswith(
        "Estimates are on the scale of log(rt). x: b = "
    )


def test_small_data_are_not_checked():
    table = checks(lmmkit.lmm("y ~ x + (1 | g)", clean().iloc[:12]), list(range(12))).table
    assert (table.loc[table["check"].isin(["normal residuals"]), "verdict"] == "not checked").all()


def test_results_are_told_as_apa_has_them():
    files, seen = run_of("y ~ x + f + (x | g)", DATA, units=UNITS)
    told = [plain(text) for text in results_in_words(files, seen)]
    fit = lmmkit.lmm("y ~ x + f + (x | g)", DATA)
    row = fit.coef_table().loc["x"]
    assert told[0].startswith(
        f"x: b = {row['estimate']:.3f} ms per d, 95 % CI [{row['low']:.3f}, {row['high']:.3f}], "
        f"t({row['df']:.1f}) = {row['t']:.2f}, p < .001. f: F(2, "
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
    files, seen = run_of("y ~ x * z + f * h + (1 | g)", DATA)
    told = plain(results_in_words(files, seen)[0])
    assert "x: b = " in told
    assert "(where z is zero)" in told
    assert "Its coefficients (for h hi): f: b against a, b = " in told
    words = [plain(text) for text in paragraphs.tests_in_words(files, seen)]
    assert any(text.startswith("The test of x is about its effect where z is zero") for text in words)
    assert any(text.startswith("Coefficients of f hold for h hi") for text in words)


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
    files, seen = run_of("log(rt) ~ f + h + offset(o) + (1 | g)", DATA, weights="w", contrasts={"h": "sum"})
    told = " ".join(plain(text) for text in paragraphs.methods_in_words(files, seen))
    assert "The response was analysed as log(rt)." in told
    assert "Factors are coded as differences from a reference level: f (a)." in told
    assert "The coding of h has no reference level" in told
    assert "Rows have prior weights" in told
    assert "An offset" in told


def test_names_read_as_a_person_says_them():
    labels = Labels({"f": "Treatment", "x": "weeks"}, {"f": {"a": "Control", "b": "High"}})
    _, seen = run_of("y ~ x * f + (1 | g)", DATA, labels=labels, units={"y": "points", "x": "week"})
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
    ],
)
def test_a_coefficient_says_what_its_coding_compares(coding, name, words):
    _, fit, _ = files_of("y ~ f + (1 | g)", DATA, contrasts={"f": coding})
    from lmmkit.study.report.seen import Seen

    assert name in fit.design.fixed_names
    assert Seen(fit.design, {}).effect(name) == words
