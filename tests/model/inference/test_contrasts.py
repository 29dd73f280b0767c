"""Linear combinations of coefficients: every way to write one, and what cannot be read or estimated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference.cases import fitted, table
from reference.unbalanced import unbalanced

import lmmkit

NAMES = ["estimate", "se", "df", "t", "p", "low", "high"]


@pytest.mark.parametrize(
    "L",
    [
        "age + 0.5*age:Sex[T.Male]",
        "age + age:Sex[T.Male] / 2",
        "0.5 age:Sex[T.Male] + 1e0 age",
        {"age": 1, "age:Sex[T.Male]": 0.5},
        pd.Series({"age": 1, "age:Sex[T.Male]": 0.5}),
        [0, 1, 0, 0.5],
        np.array([[0, 1, 0, 0.5]]),
        pd.DataFrame({"age": [1.0], "age:Sex[T.Male]": [0.5]}),
        ["age + 0.5 * age:Sex[T.Male]"],
        {"mean slope": "age + 0.5 * age:Sex[T.Male]"},
        {"mean slope": {"age": 1, "age:Sex[T.Male]": 0.5}},
        {"mean slope": [0, 1, 0, 0.5]},
    ],
)
def test_one_combination_in_many_spellings(L):
    found = fitted("orthodont_slope", "REML").contrast(L)
    assert list(found.columns) == NAMES
    assert found["estimate"].iloc[0] == pytest.approx(0.63196, abs=1e-5)
    assert found["df"].iloc[0] == pytest.approx(25.0, rel=1e-9)
    assert found.attrs["method"] == "kenward-roger"


def test_several_rows_keep_their_labels():
    found = fitted("orthodont_slope", "REML").contrast({"girls": "age", "boys": "age + age:Sex[T.Male]"})
    assert found.index.tolist() == ["girls", "boys"]
    numbers = fitted("orthodont_slope", "REML").contrast([[0, 1, 0, 0], [0, -1, 0, 2]])
    assert numbers.index.tolist() == ["age", "-age + 2 * age:Sex[T.Male]"]


def test_a_coefficient_alone_is_its_row_of_the_coefficient_table():
    fit = unbalanced(2)
    whole = fit.coef_table()
    for name in whole.index:
        found = fit.contrast(name).iloc[0]
        np.testing.assert_allclose(found[NAMES], whole.loc[name, NAMES].to_numpy(float), rtol=1e-10)


@pytest.mark.parametrize(
    ("L", "words"),
    [
        ("agee", "did you mean `age`"),
        ("age + dose", "cannot be read at `\\+ dose`"),
        ("age +", "cannot be read"),
        ("", "no coefficient of this fit"),
        ("2 * ", "cannot be read"),
        ({"dose": 1}, "no coefficient of this fit"),
        ([1, 2], "rows of 2 numbers; this fit has 4 coefficients"),
        (np.ones((2, 3)), "rows of 3 numbers"),
        (np.ones((1, 1, 4)), "rows of 4 numbers"),
        ([0, 0, 0, 0], "no weight other than zero"),
        ([np.nan, 0, 0, 1], "not finite"),
        ([np.inf, 0, 0, 1], "not finite"),
        ({}, "no combination"),
        ([], "rows of 0 numbers"),
        (None, "cannot be read"),
        (object(), "cannot be read"),
        ({"both": [[0, 1, 0, 0], [0, 0, 1, 0]]}, "has 2 rows; one is expected"),
        ([["a", "b"]], "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_words(L, words):
    with pytest.raises(lmmkit.FitError, match=words):
        fitted("orthodont_slope", "REML").contrast(L)


def test_what_the_data_cannot_estimate_is_refused():
    fit = unbalanced(19)
    (gone,) = fit.dropped_columns
    with pytest.raises(lmmkit.FitError, match="cannot be estimated"):
        fit.contrast(gone)
    frame = table("sleep_full").assign(twice=lambda d: 2 * d["Days"])
    aliased = lmmkit.lmm("Reaction ~ Days + twice + (1 | Subject)", frame)
    found = aliased.contrast({"along": {"Days": 1, "twice": 2}})
    assert found["estimate"].iloc[0] == pytest.approx(aliased.params["Days"])
    with pytest.raises(lmmkit.FitError, match="cannot be estimated"):
        aliased.contrast("Days - twice")


@pytest.mark.parametrize("level", [0, 1, -0.5, 95, "0.95", None])
def test_levels_outside_0_and_1_are_refused(level):
    fit = fitted("sleep_int", "REML")
    for ask in (lambda: fit.coef_table(level=level), lambda: fit.contrast("Days", level=level)):
        with pytest.raises(lmmkit.FitError, match="between 0 and 1"):
            ask()


@pytest.mark.parametrize("df", ["satterthwait", "kr", "", None, 17])
def test_other_degrees_of_freedom_are_refused(df):
    with pytest.raises(lmmkit.FitError, match="Choose one of"):
        fitted("sleep_int", "REML").coef_table(df)


def test_infinite_degrees_of_freedom_are_the_normal_distribution():
    found = fitted("sleep_int", "REML").coef_table("normal").loc["Days"]
    assert found["df"] == np.inf
    assert found["high"] - found["estimate"] == pytest.approx(1.959963984540054 * found["se"], rel=1e-12)
    anova = fitted("sleep_int", "REML").anova(df="normal").iloc[0]
    assert anova["p"] == pytest.approx(found["p"], rel=1e-9)
    assert anova["method"] == found["method"] == "normal"


@pytest.mark.parametrize("df", ["auto", "kenward-roger", "satterthwaite", "containment", "residual"])
@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("penicillin", "diameter ~ 0 + (1 | plate) + (1 | sample)"),
        ("sleep_full", "Reaction ~ 0 + (1 | Subject)"),
    ],
)
def test_a_fit_without_fixed_effects_has_empty_tables(name, formula, df):
    fit = lmmkit.lmm(formula, table(name))
    assert fit.coef_table(df).empty
    assert fit.anova(df=df).empty
    with pytest.raises(lmmkit.FitError, match="no mean to estimate"):
        fit.marginal_means([])
