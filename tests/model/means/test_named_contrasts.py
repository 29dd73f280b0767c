"""Named contrasts, adjustments, weights, nested factors and transformed responses against emmeans."""

from __future__ import annotations

import functools
import json

import numpy as np
import pandas as pd
import pytest
from reference.cases import fitted
from reference.unbalanced import DATA, numbers, unbalanced
from scipy import stats

import lmmkit
from lmmkit.engine.inference.multivariate_t import largest_t
from lmmkit.model.means.contrast_families import FAMILIES, named_contrasts

VERBS = json.loads((DATA / "verbs.json").read_text(encoding="utf-8"))
COLUMNS = {"se": "SE", "df": "df", "t": "t.ratio", "p": "p.value", "low": "lower.CL", "high": "upper.CL"}


def frame(number):
    return pd.read_csv(DATA / f"unbalanced_{number}.csv")


@functools.cache
def crossed(formula="y ~ a * b + c2 + (1 | g) + (1 | h)"):
    return lmmkit.lmm(formula, frame(3).assign(u=lambda d: np.exp(d["y"] / 4)))


def means(specs="b", by=None, **options):
    return crossed().marginal_means(specs, by, "satterthwaite", **options)


def close(found, expected, rtol=1e-4, **more):
    for ours, theirs in ({"estimate": "estimate"} | COLUMNS | more).items():
        if theirs in expected and ours in found:
            np.testing.assert_allclose(found[ours], numbers(expected[theirs]), rtol=rtol, err_msg=ours)


@pytest.mark.parametrize(
    "method", ["pairwise", "revpairwise", "consec", "poly", "eff", "del.eff", "mean_chg", "trt.vs.ctrl"]
)
def test_families_of_contrasts_equal_emmeans(method):
    found, expected = means().contrast(method, "none"), VERBS["contrasts"][method]
    assert found.index.tolist() == expected["contrast"]
    close(found, expected)


def test_several_controls_are_their_mean():
    found, expected = means().contrast("trt.vs.ctrl", "none", ref=["U", "W"]), VERBS["contrasts"]["ref"]
    close(found, {name: [value] for name, value in expected.items()})
    assert found.index.tolist() == ["V - avg(U,W)"]
    last = means().contrast("trt.vs.ctrlk")
    pd.testing.assert_frame_equal(last, means().contrast("trt.vs.ctrl", ref="W"))


@pytest.mark.parametrize("k", range(2, 9))
def test_polynomial_contrasts_are_orthogonal_whole_numbers(k):
    C = named_contrasts("poly", [str(i) for i in range(k)]).C
    np.testing.assert_array_equal(C, np.round(C))
    np.testing.assert_allclose(C @ C.T, np.diag(np.diag(C @ C.T)), atol=1e-9)
    powers = np.vander(np.arange(k), increasing=True)
    for degree, row in enumerate(C, start=1):
        assert np.abs(row @ powers[:, :degree]).max() < 1e-6 * np.abs(row).max() * powers.max()
        assert row @ powers[:, degree] > 0


@pytest.mark.parametrize(
    "adjust", ["tukey", "scheffe", "sidak", "bonferroni", "holm", "hochberg", "hommel", "BH", "BY", "none"]
)
def test_adjustments_within_by_equal_emmeans(adjust):
    found, expected = means("b", "a").contrast("pairwise", adjust), VERBS["adjusted"][adjust]
    assert [label for label, _ in found.index] == expected["contrast"]
    close(found, expected)


@pytest.mark.parametrize("cross", ["sidak", "bonferroni", "holm"])
def test_adjustments_across_by_equal_emmeans(cross):
    table = means("b", "a")
    close(table.pairs(cross_adjust=cross), VERBS["cross"][cross])
    close(table.pairs("holm", family="all"), VERBS["all_holm"])


def test_interaction_contrasts_equal_emmeans():
    found, expected = means(["a", "b"]).contrast(interaction=("pairwise", "consec")), VERBS["interaction"]
    assert found.index.names == ["a_pairwise", "b_consec"]
    pairs = zip(expected["a_pairwise"], expected["b_consec"], strict=True)
    assert found.index.tolist() == list(pairs)
    close(found, expected)
    one = means(["a", "b"]).contrast(interaction="eff")
    assert len(one) == 9
    assert one["estimate"].sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("kind", "one_sided"), [("pairwise", False), ("control", False), ("less", True)])
def test_multivariate_t_equals_mvtnorm(kind, one_sided):
    stored = VERBS["mvt"]
    R = np.array(stored["pairwise" if kind == "pairwise" else "control"])
    largest = largest_t(R, one_sided=one_sided)
    for t, expected in zip(stored["t"], stored[f"p_{kind}"], strict=True):
        assert largest.tail(t, stored["df"]).value == pytest.approx(expected, abs=2e-5)


def test_dunnett_is_the_adjustment_of_comparisons_with_a_control():
    table = means()
    found = table.contrast("trt.vs.ctrl")
    assert found.attrs["adjust"] == "dunnett"
    pd.testing.assert_frame_equal(found[["p", "low"]], table.contrast("trt.vs.ctrl", "mvt")[["p", "low"]])
    assert (found["p_error"] < 1e-4).all()
    plain = table.contrast("trt.vs.ctrl", "none")["p"]
    assert ((plain <= found["p"]) & (found["p"] <= 1 - (1 - plain) ** 2)).all()


def test_a_one_sided_dunnett_test_has_one_bound():
    table = means()
    found = table.contrast("trt.vs.ctrl", side="greater")
    assert (found["high"] == np.inf).all()
    t = found["t"].to_numpy()
    lone = stats.t.sf(t, found["df"].to_numpy())
    assert ((lone <= found["p"]) & (found["p"] <= 2 * lone)).all()


@pytest.mark.parametrize("weights", ["equal", "proportional", "outer", "cells", "flat"])
def test_weights_equal_emmeans(weights):
    fit = crossed("y ~ a * b + a * c2 + z + (1 | g) + (1 | h)")
    found, expected = fit.marginal_means("a", df="satterthwaite", weights=weights), VERBS["weights"][weights]
    close(found, expected, mean="emmean")


@pytest.mark.parametrize("weights", ["equal", "cells", "flat"])
def test_an_empty_cell_is_left_out_by_weights_of_cells(weights):
    found = unbalanced(19).marginal_means("a", df="satterthwaite", weights=weights)
    close(found, VERBS["empty"][weights], mean="emmean")
    assert ("C" in found.attrs["trouble"]) == (weights == "equal")
    if weights == "equal":
        assert "no row of the fit has" in found.attrs["trouble"]


def test_proportional_weights_of_levels_that_at_leaves_out_count_the_others():
    fit, data, lo = crossed(), frame(3), {"c2": ["lo"]}
    asked = {"b": ["U", "V"]} | lo
    found = fit.marginal_means("a", at=asked, weights="proportional", df="residual")["mean"]
    cells = fit.marginal_means(["a", "b"], at=asked, df="residual")["mean"].unstack("b")
    shares = data.loc[data["c2"] == "lo", "b"].value_counts()[["U", "V"]]
    np.testing.assert_allclose(found, cells @ (shares / shares.sum()), rtol=1e-10)


def test_covariates_are_reduced_as_asked():
    fit = lmmkit.lmm("y ~ a * x + I(x^2) + (1 | g)", frame(2))
    x = fit.design.frame["x"]
    close(
        fit.marginal_means("a", df="satterthwaite", cov_reduce="median"),
        VERBS["reduce"]["median"],
        mean="emmean",
    )
    both = fit.marginal_means(["a", "x"], df="satterthwaite", cov_reduce="range")
    close(both, VERBS["reduce"]["range"], mean="emmean")
    asked = {"x": lambda column: column.quantile([0.25, 0.75])}
    found = fit.marginal_means("x", df="residual", cov_reduce=asked)
    assert found.index.tolist() == x.quantile([0.25, 0.75]).tolist()
    assert len(fit.marginal_means("x", df="residual", cov_reduce="unique")) == x.nunique()


@pytest.mark.parametrize(("case", "inner"), [("labels", "inner"), ("formula", "c2")])
def test_nested_factors_are_found_as_in_emmeans(case, inner):
    data = frame(3)
    part = np.where((data["a"] == "B") & (data["k"] == "p"), "p", data["c2"])
    data["inner"] = data["a"] + part
    formula = {"labels": "y ~ a + inner + (1 | g)", "formula": "y ~ a + a:c2 + (1 | g)"}[case]
    fit, expected = lmmkit.lmm(formula, data), VERBS["nested"][case]
    close(fit.marginal_means("a", df="satterthwaite"), expected["outer"], mean="emmean")
    found = fit.marginal_means(inner, df="satterthwaite")
    assert found.index.names == [inner, "a"]
    assert found.index.tolist() == list(zip(expected["inner"][inner], expected["inner"]["a"], strict=True))
    close(found, expected["inner"], mean="emmean")
    every = fit.marginal_means([inner, "a"], df="satterthwaite").pairs("none")
    assert every.index.tolist() == expected["pairs"]["contrast"]
    close(every, expected["pairs"])
    within = found.pairs("none")
    assert len(within) < len(every)


@pytest.mark.parametrize("response", ["log(u)", "log1p(u)", "log2(u)", "log10(u)", "sqrt(u)", "log(u + 1)"])
def test_means_on_the_scale_of_the_response_equal_emmeans(response):
    fit, expected = crossed(f"{response} ~ a + b + (1 | g)"), VERBS["response"][response]
    found = fit.marginal_means("a", df="satterthwaite", type="response")
    assert list(found.columns) == ["response", "se", "df", "low", "high"]
    close(found, expected["means"], response="response")
    biased = fit.marginal_means("a", df="satterthwaite", type="response", bias_adjust=True, sigma=0.5)
    close(biased, expected["biased"], response="response")
    pairs, theirs = found.pairs("none"), expected["pairs"]
    if response == "log1p(u)":  # emmeans leaves it on the scale of the model
        assert pairs["ratio"].tolist() == pytest.approx(np.exp(theirs["estimate"]), rel=1e-5)
        return
    assert pairs.index.tolist() == theirs["contrast"]
    close(pairs, theirs, **({"ratio": "ratio"} if "ratio" in theirs else {}))


def test_the_total_sd_is_what_means_are_adjusted_for():
    fit = crossed("log(u) ~ a + b + (1 | g)")
    v = fit.varcorr.set_index("group")["vcov"].sum()
    plain = fit.marginal_means("a", type="response")["response"]
    found = fit.marginal_means("a", type="response", bias_adjust=True)["response"]
    np.testing.assert_allclose(found, plain * (1 + v / 2), rtol=1e-10)


def test_a_bound_below_zero_of_a_square_root_is_zero():
    data = frame(3).assign(u=lambda d: np.maximum(d["y"], 0) * 0.01)
    fit = lmmkit.lmm("sqrt(u) ~ a * b * c2 + (1 | g)", data)
    inner = fit.marginal_means(["a", "b", "c2"])
    found = fit.marginal_means(["a", "b", "c2"], type="response")
    assert (inner["low"] < 0).any()
    assert (found.loc[inner["low"] < 0, "low"] == 0).all()
    assert (found["low"] <= found["response"]).all()


def test_a_response_as_it_stands_is_its_own_scale():
    plain = means()
    pd.testing.assert_frame_equal(means(type="response"), plain)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: means().contrast("pairwse"), "did you mean `pairwise`"),
        (lambda: means().contrast(), "needs a family of contrasts or numbers"),
        (lambda: means().contrast("trt.vs.ctrl", ref="X"), "ref='X' is none of the means"),
        (lambda: means().contrast("trt.vs.ctrl", ref=["U", "V", "W"]), "at least one other"),
        (lambda: means().contrast("pairwise", ref="U"), "ref is the control of"),
        (lambda: means().contrast("eff", "tukey"), "for all pairs of one set"),
        (lambda: means().contrast("eff", "dunnett"), "comparisons with a control"),
        (lambda: means().contrast("pairwise", "mvtt"), "did you mean `mvt`"),
        (lambda: means("b", "a").pairs(family="all"), "for all pairs of one set"),
        (lambda: means("b", "a").pairs(family="each"), "Choose one of: 'by', 'all'"),
        (lambda: means("b", "a").pairs(cross_adjust="tukey"), "choose sidak"),
        (lambda: means().contrast("pairwise", side="lesss"), "did you mean `less`"),
        (lambda: means().pairs(side="less"), "these are one-sided tests"),
        (lambda: means().contrast("pairwise", null="x"), "a finite number"),
        (lambda: means().contrast("pairwise", interaction="consec"), "leave method and ref out"),
        (lambda: means(["a", "b"]).contrast(interaction=("consec",) * 3), "names 3 families"),
        (lambda: means(["a", "b"]).contrast(interaction=("consec", "x")), "'x' are not known"),
        (lambda: means(["a", "b"]).iloc[1:].contrast(interaction="consec"), "every combination"),
        (lambda: means([]).contrast("consec"), "two means or more"),
        (lambda: means().contrast(interaction=5), "a name is expected"),
        (lambda: means(at={"b": ["U", "U"]}), "the value 'U' 2 times"),
        (lambda: means(weights="prop"), "Choose one of: 'equal', 'proportional', 'outer'"),
        (lambda: means("B"), "did you mean `b`"),
        (lambda: means(cov_reduce={"q": "mean"}), "no variable of the fixed part"),
        (lambda: means(cov_reduce="mode"), "not known: choose one of 'mean'"),
        (lambda: means(type="resp"), "Choose one of: 'model'"),
        (lambda: means(bias_adjust=True), "give type='response'"),
        (lambda: means(sigma=2.0), "give type='response'"),
    ],
)
def test_what_is_not_offered_is_refused(ask, words):
    with pytest.raises(lmmkit.FitError, match=words):
        ask()


def test_reductions_and_scales_that_give_no_number_are_refused():
    fit = lmmkit.lmm("I(u^2) ~ a + x + (1 | g)", frame(2).assign(u=lambda d: d["x"]))
    with pytest.raises(lmmkit.FitError, match=r"the response is `I\(u\^2\)`"):
        fit.marginal_means("a", type="response")
    for bad in (lambda _: "high", lambda _: [], lambda _: np.nan):
        with pytest.raises(lmmkit.FitError, match="a finite number is expected"):
            fit.marginal_means("a", cov_reduce=bad)
    logs = lmmkit.lmm("log(u) ~ a + (1 | g)", frame(2).assign(u=lambda d: np.exp(d["y"])))
    with pytest.raises(lmmkit.FitError, match="from 0 up"):
        logs.marginal_means("a", type="response", bias_adjust=True, sigma=-1)


def test_every_family_has_rows_that_are_named_once():
    names = ["a", "b", "c", "d"]
    for method in FAMILIES:
        made = named_contrasts(method, names)
        assert len(set(made.labels)) == len(made.labels) == len(made.C)
        if method != "identity":
            np.testing.assert_allclose(made.C.sum(axis=1), 0, atol=1e-12)


def test_levels_that_are_numbers_are_controls_too():
    data = frame(3).assign(num=lambda d: 1 + np.arange(len(d)) % 3)
    table = lmmkit.lmm("y ~ C(num) + (1 | g)", data).marginal_means("num", df="residual")
    found = table.contrast("trt.vs.ctrl", "none", ref=2)
    assert found.index.tolist() == ["1 - 2", "3 - 2"]
    pd.testing.assert_frame_equal(found, table.contrast("trt.vs.ctrl", "none", ref="2"))
    with pytest.raises(lmmkit.FitError, match="none of the means"):
        table.contrast("trt.vs.ctrl", ref=4)


def test_covariates_of_two_values_keep_them_in_every_grid():
    data = frame(3).assign(flag=lambda d: np.arange(len(d)) % 2 == 0)
    fit = lmmkit.lmm("y ~ a * flag + (1 | g)", data)
    found = fit.joint_tests("flag", "residual")
    assert found.index.tolist() == [("a", False), ("a", True)]
    assert fit.joint_tests(df="residual").loc["flag", "num_df"] == 1


@pytest.mark.parametrize("specs", [["a", "b", "c2"], ["a", "c2"], ["b", "c2"]])
def test_contrasts_that_the_model_has_not_are_zero_and_not_tested(specs):
    """c2 does not interact: what rounding left of these contrasts had t = 4.7."""
    table = crossed().marginal_means(specs)
    found = table.contrast(interaction=["eff", "poly", "pairwise"][-len(specs) :])
    assert (found["estimate"] == 0).all()
    assert found["t"].isna().all()
    assert found["p"].isna().all()


def test_contrasts_say_why_some_are_nan():
    table = unbalanced(19).marginal_means(["a", "b"])
    assert "no row of the fit has" in table.contrast("consec", "none").attrs["trouble"]


def test_a_fit_with_weights_has_its_families_too():
    table = fitted("machines_nested", "REML").marginal_means("Machine")
    found = table.contrast("trt.vs.ctrl", ref="B")
    assert found.index.tolist() == ["A - B", "C - B"]
    weighted = unbalanced(1).marginal_means("a", "b")
    assert len(weighted.contrast("consec")) == 6
