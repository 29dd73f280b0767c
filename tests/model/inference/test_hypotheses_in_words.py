"""`contrast()` with values, sides, margins, several rows at once; hypotheses as text."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from reference.cases import fitted, table
from reference.unbalanced import DATA, unbalanced

import lmmkit
from lmmkit.model.formula.linear_text import equations

VERBS = json.loads((DATA / "verbs.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rows():
    """The reference's hypotheses: R's coefficients are (Intercept) aB aC x bV bW aB:x aC:x."""
    return ["a[T.B] - a[T.C]", "a[T.C]:x", "x + 2 * b[T.V]"]


@pytest.mark.parametrize(
    ("df", "ddf"), [("satterthwaite", "Satterthwaite"), ("kenward-roger", "Kenward-Roger")]
)
def test_joint_tests_equal_lmertest(rows, df, ddf):
    for kind, null in (("plain", None), ("values", [0.5, -0.2, 0.1])):
        expected = VERBS["contest"][ddf][kind]
        found = unbalanced(2).contrast(rows, df, joint=True, null=null).iloc[0]
        assert found["num_df"] == expected["NumDF"]
        assert found["den_df"] == pytest.approx(expected["DenDF"], rel=1e-4)
        assert found["F"] == pytest.approx(expected["F value"], rel=1e-5)
        assert found["p"] == pytest.approx(expected["Pr(>F)"], rel=1e-5)


@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger", "containment", "residual", "normal"])
def test_rows_that_follow_from_others_are_left_out(rows, df):
    fit, plain = unbalanced(2), ["num_df", "den_df", "F", "p"]
    alone = fit.contrast(rows, df, joint=True)
    twice = fit.contrast([*rows, f"3 * {rows[1]}", "a[T.B] - a[T.C] + a[T.C]:x"], df, joint=True)
    np.testing.assert_allclose(twice[plain].to_numpy(float), alone[plain].to_numpy(float), rtol=1e-10)
    one = fit.contrast("x = 0.1", df, joint=True).iloc[0]
    t = fit.contrast("x = 0.1", df).iloc[0]
    np.testing.assert_allclose([one["F"], one["den_df"], one["p"]], [t["t"] ** 2, t["df"], t["p"]], rtol=1e-8)


def test_a_joint_test_of_a_term_is_its_row_of_the_anova():
    fit = fitted("machines_nested", "REML")
    found = fit.contrast(["Machine[T.B]", "Machine[T.C]"], joint=True).iloc[0]
    np.testing.assert_allclose(
        found[["num_df", "den_df", "F", "p"]].to_numpy(float),
        fit.anova().loc["Machine", ["num_df", "den_df", "F", "p"]].to_numpy(float),
        rtol=1e-10,
    )
    assert found.name == "Machine[T.B] & Machine[T.C]"


@pytest.mark.parametrize("delta", [0, 0.4])
@pytest.mark.parametrize("side", ["two-sided", "<", ">"])
def test_sides_and_margins_equal_emmeans(side, delta):
    """The first three differences of emmeans are these rows at the mean of x."""
    fit, expected = unbalanced(2), VERBS["sides"][f"{side} {delta}"]
    x = fit.design.frame["x"].mean()
    L = {
        "A - B": {"a[T.B]": -1, "a[T.B]:x": -x},
        "A - C": {"a[T.C]": -1, "a[T.C]:x": -x},
        "B - C": {"a[T.B]": 1, "a[T.C]": -1, "a[T.B]:x": x, "a[T.C]:x": -x},
    }
    found = fit.contrast(L, "satterthwaite", 0.9, null=0.1, side=side, delta=delta)
    assert found["null"].tolist() == [0.1] * 3
    for ours, theirs in (("estimate", "estimate"), ("se", "SE"), ("t", "t.ratio"), ("p", "p.value")):
        np.testing.assert_allclose(found[ours], expected[theirs], rtol=2e-5)
    for ours, theirs, none in (("low", "lower.CL", -np.inf), ("high", "upper.CL", np.inf)):
        bounds = [none if value is None else value for value in expected[theirs]]
        np.testing.assert_allclose(found[ours], bounds, rtol=2e-5)


def test_equivalence_at_5_percent_is_the_90_percent_interval_within_the_margin():
    fit = unbalanced(2)
    inner = fit.contrast("a[T.C]", level=0.9)
    edge = float(max(-inner["low"].item(), inner["high"].item()))
    found = fit.contrast("a[T.C]", side="equivalence", delta=edge)
    assert found["p"].item() == pytest.approx(0.05, rel=1e-8)
    lower = fit.contrast("a[T.C]", side="noninferiority", delta=-inner["low"].item())
    assert lower["p"].item() == pytest.approx(0.05, rel=1e-8)
    upper = fit.contrast("a[T.C]", side="nonsuperiority", delta=inner["high"].item())
    assert upper["p"].item() == pytest.approx(0.05, rel=1e-8)


@pytest.mark.parametrize(
    ("text", "estimate_of", "null"),
    [
        ("x = 5", {"x": 1}, 5),
        ("5 == x", {"x": 1}, 5),
        ("x - 5 = 0", {"x": 1}, 5),
        ("2*(a[T.B] - a[T.C])/4 = b[T.V] - 1", {"a[T.B]": 0.5, "a[T.C]": -0.5, "b[T.V]": -1}, -1),
        ("-x = -(3 + 1)/2", {"x": -1}, -2),
        ("a[T.B]:x = a[T.C] : x", {"a[T.B]:x": 1, "a[T.C]:x": -1}, 0),
        ("(Intercept) = 1e1", {"Intercept": 1}, 10),
    ],
)
def test_a_text_is_the_combination_and_value_that_it_states(text, estimate_of, null):
    fit = unbalanced(2)
    found, expected = fit.contrast(text), fit.contrast(estimate_of, null=null)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_several_hypotheses_in_one_text():
    fit = unbalanced(2)
    found = fit.contrast("a[T.B] = a[T.C] = b[T.V], x = 1")
    assert found.index.tolist() == ["a[T.B] = a[T.C]", "a[T.C] = b[T.V]", "x = 1"]
    assert found["null"].tolist() == [0, 0, 1]
    assert list(found.columns) == ["estimate", "se", "df", "null", "t", "p", "low", "high"]


def test_names_with_any_signs_are_read_as_they_stand():
    frame = table("sleep_full").assign(
        **{"dose (mg) = 5": lambda d: d["Days"] ** 0.5, "5": lambda d: d["Days"] ** 2}
    )
    fit = lmmkit.lmm("Reaction ~ `dose (mg) = 5` + `5` + I(Days^2.5) + (1 | Subject)", frame)
    for text in ("`dose (mg) = 5` - `5` = 5", "dose (mg) = 5 - `5` = 5", "`dose (mg) = 5` = `5` + 5"):
        found = fit.contrast(text)
        assert found["estimate"].item() == pytest.approx(fit.params["dose (mg) = 5"] - fit.params["5"])
        assert found["null"].item() == 5
    assert fit.contrast("I(Days ** 2.5) = 1")["null"].item() == 1


@pytest.mark.parametrize(
    "adjust", ["mvt", "scheffe", "sidak", "bonferroni", "holm", "hochberg", "hommel", "BH", "BY"]
)
def test_rows_are_adjusted_as_a_family(adjust):
    fit, L = unbalanced(2), ["a[T.B]", "a[T.C]", "a[T.B] - a[T.C]"]
    plain, found = fit.contrast(L), fit.contrast(L, adjust=adjust)
    assert (found["p"] >= plain["p"]).all()
    assert (found["high"] > plain["high"]).all()
    assert ("p_error" in found) == (adjust == "mvt")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda fit: fit.contrast("x - 5"), "has the number -5 by itself"),
        (lambda fit: fit.contrast("xx = 5"), "did you mean `x`"),
        (lambda fit: fit.contrast("x * a[T.B]"), "multiplies two coefficients"),
        (lambda fit: fit.contrast("3 / x = 1"), "divides by"),
        (lambda fit: fit.contrast("x / 0"), "divides by"),
        (lambda fit: fit.contrast("x > 0"), "side='less' or side='greater'"),
        (lambda fit: fit.contrast("x ="), "cannot be read at `=`"),
        (lambda fit: fit.contrast("(x = 0"), "cannot be read"),
        (lambda fit: fit.contrast("x)"), "cannot be read"),
        (lambda fit: fit.contrast("__import__('os').getcwd()"), "cannot be read"),
        (lambda fit: fit.contrast("-" * 200 + "x"), "deep"),
        (lambda fit: fit.contrast("1e999 x"), "too large"),
        (lambda fit: fit.contrast("x" * 20_000), "at most 10,000"),
        (lambda fit: fit.contrast("5 = 5"), "no weight other than zero"),
        (lambda fit: fit.contrast("x = 5", null=1), "give one of the two"),
        (lambda fit: fit.contrast("x", null=[1, 2]), "one for each of 1"),
        (lambda fit: fit.contrast("x", null="5"), "a finite number"),
        (lambda fit: fit.contrast("x", null=np.nan), "a finite number"),
        (lambda fit: fit.contrast("x", null="five"), "a number is expected"),
        (lambda fit: fit.contrast("x", side="lesser"), "did you mean `less`"),
        (lambda fit: fit.contrast("x", side=1), "side=1 is not known"),
        (lambda fit: fit.contrast("x", side="equivalence"), "needs a margin"),
        (lambda fit: fit.contrast("x", delta=-1), "from 0 up"),
        (lambda fit: fit.contrast("x", delta="1"), "from 0 up"),
        (lambda fit: fit.contrast("x", delta=np.nan), "from 0 up"),
        (lambda fit: fit.contrast(["x", "b[T.V]"], adjust="tukey"), "differences of means; use mvt"),
        (lambda fit: fit.contrast(["x", "b[T.V]"], adjust="bonferoni"), "did you mean `bonferroni`"),
        (lambda fit: fit.contrast(["x", "b[T.V]"], adjust="scheffe", side="less"), "one-sided"),
        (lambda fit: fit.contrast("x = 1, 2 * x = 3", joint=True), "contradict each other"),
        (lambda fit: fit.contrast("x", joint=True, side="less"), "one F test, which has no side"),
    ],
)
def test_what_cannot_be_read_or_tested_is_refused(ask, words):
    with pytest.raises(lmmkit.FitError, match=words):
        ask(unbalanced(2))


def test_a_text_without_names_to_use_is_refused():
    with pytest.raises(lmmkit.FitError, match="no coefficient"):
        equations("x = 0", [])


def test_a_kenward_roger_joint_test_of_a_weighted_crossed_fit_has_its_f():
    """Weights and crossed factors: the F of dense algebra."""
    frame = pd.read_csv(DATA / "unbalanced_3.csv")
    frame["w"] = 1.0 + (np.arange(len(frame)) % 3)
    fit = lmmkit.lmm("y ~ a + b + (1 | g) + (1 | h)", frame, weights="w")
    L = np.zeros((2, len(fit.params)))
    L[0, 1], L[1, 2], L[1, 3] = 1.0, 1.0, -1.0
    null = np.array([0.1, 0.2])
    d, C = L @ fit.params.to_numpy() - null, L @ fit.cov_params().to_numpy() @ L.T
    found = fit.contrast(L, "residual", joint=True, null=null)
    assert found["F"].item() == pytest.approx(d @ np.linalg.solve(C, d) / 2, rel=1e-10)
    assert found["den_df"].item() == fit.nobs - fit.df_model
