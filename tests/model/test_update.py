"""A model changed a little: update, model_frame, subset and rows that are kept empty."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import lmmkit
from lmmkit.errors import DataError, FitError, FormulaError
from lmmkit.model.formula.formula import parse_formula, update_formula

draw = np.random.default_rng(5)
N = 120
DATA = pd.DataFrame(
    {
        "g": np.repeat([f"g{i}" for i in range(12)], 10),
        "h": np.tile(list("pqrst"), 24),
        "x": draw.normal(size=N),
        "f": draw.choice(list("abc"), N),
        "w": draw.uniform(0.5, 2.0, N),
    },
    index=[f"row {i}" for i in range(N)],
)
DATA["y"] = np.exp(
    1.0 + 0.2 * DATA["x"] + 0.3 * draw.normal(size=12)[np.arange(N) // 10] + 0.2 * draw.normal(size=N)
)
FORMULA = "y ~ x * f + (x | g) + (1 | h)"


@pytest.fixture(scope="module")
def fit():
    return lmmkit.lmm(FORMULA, DATA, weights="w")


@pytest.mark.parametrize(
    ("change", "made"),
    [
        (". ~ . - x:f", "y ~ 1 + x + f + (1 + x | g) + (1 | h)"),
        ("~ . - (1 | h)", "y ~ 1 + x + f + x:f + (1 + x | g)"),
        (". ~ . - (1 + x | g) + (1 | g)", "y ~ 1 + x + f + x:f + (1 | h) + (1 | g)"),
        ("log(.) ~ x + (1 | g)", "log(y) ~ 1 + x + (1 | g)"),
        (". ~ . - 1", "y ~ 0 + x + f + x:f + (1 + x | g) + (1 | h)"),
    ],
)
def test_a_dot_stands_for_what_was_there(fit, change, made):
    updated = fit.update(change)
    assert updated.formula == made
    again = lmmkit.lmm(made, DATA, weights="w")
    assert updated.deviance == again.deviance
    assert updated.params.equals(again.params)


def test_a_dot_keeps_offsets_and_a_sum_on_the_left_its_brackets():
    old = parse_formula("y + 1 ~ x + offset(z) + (1 | a/b)")
    assert str(update_formula(old, ". * 2 ~ .")) == "(y + 1) * 2 ~ 1 + x + (1 | b:a) + (1 | a) + offset(z)"
    assert (
        str(update_formula(old, "~ . - offset(z) - (1 | a/b) + (x || k)")) == "y + 1 ~ 1 + x + (1 + x || k)"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (". ~ . - X", "takes away `X`, which the formula does not have; did you mean `x`?"),
        ("~ . - (1 | g)", "takes away `(1 | g)`, which the formula does not have"),
        (". ~ . - (1 | h) - (x | g)", "no random-effects term"),
        (". - x", "one `~`"),
        (3, "not int"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(fit, change, said):
    with pytest.raises(FormulaError) as caught:
        fit.update(change)
    assert said in str(caught.value)


def test_arguments_change_by_name_and_the_others_stay(fit):
    plain = fit.update(weights=None, reml=False)
    again = lmmkit.lmm(FORMULA, DATA, reml=False)
    assert (plain.deviance, plain.reml) == (again.deviance, False)
    assert fit.update(subset="f != 'c'").nobs == int((DATA["f"] != "c").sum())
    with pytest.raises(FitError, match=r"no argument `weight`; did you mean `weights`\?"):
        fit.update(weight=None)


def test_a_vector_belongs_to_its_table():
    fit = lmmkit.lmm("y ~ x + (1 | g)", DATA, weights=DATA["w"].to_numpy())
    assert fit.update("~ . + f").design.problem.weights is not None
    with pytest.raises(FitError, match="weights of this fit are a vector"):
        fit.update(data=DATA.iloc[::-1])
    assert fit.update(data=DATA.iloc[::-1], weights="w").deviance == pytest.approx(fit.deviance, abs=1e-9)


def test_update_brings_back_columns_that_the_first_formula_did_not_use():
    for table in (DATA, pl.from_pandas(DATA)):
        fit = lmmkit.lmm("y ~ 1 + (1 | g)", table)
        assert "f[T.b]" in fit.update("~ . + f").params.index


def test_update_after_refit_keeps_the_new_response():
    fit = lmmkit.lmm("y ~ x + f + (1 | g)", DATA)
    y = np.random.default_rng(1).normal(size=N) + np.arange(N) % 7
    found = fit.refit(y).update("~ . - f")
    assert found.deviance == lmmkit.lmm("y ~ x + (1 | g)", DATA.assign(y=y)).deviance
    with pytest.raises(FitError, match="made by refit"):
        fit.refit(y).update("log(.) ~ .")


def test_update_after_loading_keeps_the_codings(tmp_path):
    fit = lmmkit.lmm("y ~ f * x + (1 | g)", DATA, contrasts={"f": "sum"}, weights=DATA["w"].to_numpy())
    loaded = lmmkit.load(fit.save(tmp_path / "fit")).update("~ . - f:x")
    wanted = lmmkit.lmm("y ~ f + x + (1 | g)", DATA, contrasts={"f": "sum"}, weights="w")
    assert loaded.params.index.tolist() == wanted.params.index.tolist()
    assert loaded.deviance == wanted.deviance


def test_subset_is_the_table_without_the_other_rows(fit):
    rows = (DATA["x"] > -1) & (DATA["h"] != "q")
    vector = DATA["w"].to_numpy()
    for condition in ("x > -1 and h != 'q'", "x > -1 & h != 'q'"):
        found = lmmkit.lmm("y ~ poly(x, 2) + (1 | g)", DATA, subset=condition, weights=vector)
        wanted = lmmkit.lmm("y ~ poly(x, 2) + (1 | g)", DATA[rows], weights=vector[rows])
        assert found.params.equals(wanted.params)
        assert found.resid.index.equals(wanted.resid.index)
    assert f"{rows.sum()} rows with `x > -1 & h != 'q'`" in str(found.summary())


def test_a_missing_value_does_not_meet_a_condition():
    data = DATA.assign(k=np.where(np.arange(N) < 7, np.nan, 1.0))
    assert lmmkit.lmm("y ~ x + (1 | g)", data, subset="k < 2").nobs == N - 7


@pytest.mark.parametrize(
    ("subset", "error", "said"),
    [
        ("xx > 1", DataError, "did you mean `x`?"),
        ("x > 100", DataError, "none of the 120 rows meets `x > 100`"),
        ("__import__('os')", FormulaError, "is not a function of the formula language"),
        ("x + 1", FormulaError, "a condition compares columns"),
        (DATA["x"] > 1, FormulaError, "a condition such as"),
    ],
)
def test_a_subset_that_cannot_be_used_is_refused(subset, error, said):
    with pytest.raises(error) as caught:
        lmmkit.lmm("y ~ x + (1 | g)", DATA, subset=subset)
    assert said in str(caught.value)


def test_excluded_rows_stay_as_nan():
    gone = [3, 40, 119]
    data = DATA.assign(x=DATA["x"].where(~np.isin(np.arange(N), gone)))
    kept = lmmkit.lmm("y ~ x + (1 | g)", data, missing="exclude")
    dropped = lmmkit.lmm("y ~ x + (1 | g)", data)
    assert kept.deviance == dropped.deviance
    for name in ("fittedvalues", "resid"):
        whole, part = getattr(kept, name), getattr(dropped, name)
        assert whole.index.equals(data.index)
        assert np.flatnonzero(whole.isna()).tolist() == gone
        assert whole.dropna().equals(part)
    table = kept.predict(interval="confidence")
    assert table.index.equals(data.index)
    assert table.dropna().equals(dropped.predict(interval="confidence"))
    assert table.isna().all(axis=1).sum() == len(gone)


def test_excluded_rows_stay_after_saving(tmp_path):
    data = DATA.assign(x=DATA["x"].where(np.arange(N) != 5))
    fit = lmmkit.lmm("y ~ x + (1 | g)", data, missing="exclude", subset="f != 'b'")
    loaded = lmmkit.load(fit.save(tmp_path / "fit"))
    assert loaded.resid.equals(fit.resid)
    assert "with `f != 'b'`" in str(loaded.summary())
    assert loaded.update("~ . - x").nobs == int((DATA["f"] != "b").sum())


def test_model_frame_holds_what_the_formula_makes():
    fit = lmmkit.lmm("log(y) ~ poly(x, 2) + f + offset(w) + (1 | h:g)", DATA, weights="w")
    table = fit.model_frame()
    names = ["log(y)", "poly(x, 2)[1]", "poly(x, 2)[2]", "f", "h", "g", "(weights)", "(offset)"]
    assert table.columns.tolist() == names
    assert np.allclose(table["log(y)"], np.log(DATA["y"]))
    assert table["f"].cat.categories.tolist() == list("abc")
    assert table.index.equals(DATA.index)
