"""Random effects one by one, and functions of them, against lme4, SAS and dense algebra."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.verbs import MODELS, fitted, of_r, table

import lmmkit
from lmmkit.errors import FitError

# The split plot of SAS/STAT, The MIXED Procedure, example "Split-Plot Design" (Stroup 1989): data and
# standard errors are from memory, not looked up; dense algebra gives the same standard errors.
YIELD = [56, 41, 50, 36, 39, 35, 30, 25, 36, 28, 33, 30, 32, 24, 31, 27, 15, 19, 30, 25, 35, 30, 17, 18]
SPLIT_PLOT = pd.DataFrame(
    {
        "Y": np.array(YIELD, float),
        "Block": np.repeat([1, 2, 3, 4], 6),
        "A": np.tile(np.repeat([1, 2, 3], 2), 4).astype(str),
        "B": np.tile([1, 2], 12).astype(str),
    }
)


def joint_covariance(fit):
    """Of (beta-hat - beta, b-hat - b), by the inverse of Henderson's matrix; where each term's b begins."""
    estimates = fit.estimates
    problem, X = estimates.problem, estimates.X
    blocks, starts = [X], []
    precision = [np.zeros((X.shape[1],) * 2)]
    for term, L in zip(problem.terms, estimates.factors, strict=True):
        starts.append(sum(block.shape[1] for block in blocks))
        k = len(term.columns)
        Z = np.zeros((estimates.nobs, term.levels * k))
        for c, column in enumerate(term.columns):
            Z[np.arange(estimates.nobs), term.codes * k + c] = problem.columns[column]
        blocks.append(Z)
        precision.append(np.kron(np.eye(term.levels), np.linalg.inv(L @ L.T)))
    W = np.hstack(blocks)
    weights = np.ones(len(W)) if problem.weights is None else problem.weights
    H = W.T @ (W * weights[:, None])
    at = 0
    for block in precision:
        H[at : at + len(block), at : at + len(block)] += block
        at += len(block)
    return estimates.sigma**2 * np.linalg.inv(H), starts


@pytest.mark.parametrize("name", MODELS)
def test_ranef_table_has_lme4s_conditional_sds(name):
    theirs = of_r(name, "ran_vals").assign(term=lambda t: t["term"].replace("(Intercept)", "Intercept"))
    ours = fitted(name).ranef_table().set_index(["group", "level", "term"])
    factor = {group: group.split(".")[0] for group in ours.index.levels[0]}
    ours = ours.rename(index=factor, level="group")
    rows = ours.loc[pd.MultiIndex.from_frame(theirs[["group", "level", "term"]])]
    for ourname, theirname in (
        ("estimate", "estimate"),
        ("se", "std.error"),
        ("low", "conf.low"),
        ("high", "conf.high"),
    ):
        assert np.allclose(rows[ourname], theirs[theirname], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_prediction_errors_and_conditional_covariances_equal_dense_algebra(name):
    fit = fitted(name)
    C, starts = joint_covariance(fit)
    p = len(fit.params)
    within = np.linalg.inv(np.linalg.inv(C)[p:, p:])
    table_ = fit.ranef_table(error="prediction")
    for term, start in zip(fit.design.random, starts, strict=True):
        mine = table_[table_["group"] == term.group]
        size = len(mine)
        assert np.allclose(mine["se"] ** 2, np.diag(C)[start : start + size], rtol=1e-8)
        covariances = fit.ranef_cov[term.group]
        k = len(term.names)
        for j in (0, len(term.levels) - 1):
            block = slice(start - p + j * k, start - p + (j + 1) * k)
            assert np.allclose(covariances.loc[term.levels[j]], within[block, block], rtol=1e-8)


def test_split_plot_broad_intermediate_and_narrow_as_sas():
    fit = lmmkit.lmm("Y ~ A * B + (1 | Block) + (1 | A:Block)", SPLIT_PLOT)
    mean = "Intercept + 0.5 * B[T.2]"
    quarter = dict.fromkeys("1234", 0.25)
    plots = {f"1:{block}": 0.25 for block in range(1, 5)}
    parts = [{"Block": quarter, "A:Block": plots}, {"Block": quarter}, {}]
    found = fit.estimate(mean, parts, df="satterthwaite", labels=["narrow", "intermediate", "broad"])
    assert np.allclose(found["estimate"], 32.8750)
    # Printed there to four decimals; its degrees of freedom are containment's.
    assert found["se"].round(4).tolist() == [1.0817, 2.2396, 4.5403]
    alone = fit.contrast(mean, df="satterthwaite").iloc[0]
    assert found.loc["broad", ["se", "df", "p"]].tolist() == alone[["se", "df", "p"]].tolist()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("df", ["satterthwaite", "normal"])
def test_errors_of_functions_equal_dense_algebra(name, df):
    fit = fitted(name)
    C, starts = joint_covariance(fit)
    draw = np.random.default_rng(4)
    functions, rows = [], []
    for _ in range(3):
        row, function = np.zeros(len(C)), {}
        row[: len(fit.params)] = draw.normal(size=len(fit.params))
        for term, start in zip(fit.design.random, starts, strict=True):
            chosen = draw.choice(len(term.levels), 4, replace=False)
            k = len(term.names)
            weights = draw.normal(size=(4, k))
            for j, own in zip(chosen, weights, strict=True):
                row[start + j * k : start + (j + 1) * k] = own
            function[term.group] = {
                term.levels[j]: dict(zip(term.names, own, strict=True))
                for j, own in zip(chosen, weights, strict=True)
            }
        functions.append(function)
        rows.append(row)
    rows = np.array(rows)
    found = fit.estimate(rows[:, : len(fit.params)], functions, df=df)
    assert np.allclose(found["se"] ** 2, np.einsum("rq,qs,rs->r", rows, C, rows), rtol=1e-8)
    b = np.concatenate([fit.params, *(b.ravel() for b in fit.estimates.b)])
    assert np.allclose(found["estimate"], rows @ b)


def test_a_function_of_one_level_is_a_prediction():
    fit, data = fitted("sleep"), table("sleepstudy")
    row = data[(data["Subject"] == 335) & (data["Days"] == 4)]
    wanted = fit.predict(row, interval="confidence").iloc[0]
    found = fit.estimate("Intercept + 4 * Days", {"Subject": {335: {"Intercept": 1, "Days": 4}}}).iloc[0]
    for ours, theirs in (("estimate", "fit"), ("low", "low"), ("high", "high")):
        assert found[ours] == pytest.approx(wanted[theirs], rel=1e-10)


def test_the_uncertainty_of_theta_adds_to_contrasts_of_levels_as_it_does_to_predictions():
    """Two levels of crossed factors meet in one row, so that a prediction is the check."""
    fit, data = fitted("penicillin"), table("Penicillin")
    wanted = fit.predict(data.iloc[[7]], interval="confidence").iloc[0]
    where = {"plate": {data["plate"][7]: 1.0}, "sample": {data["sample"][7]: 1.0}}
    found = fit.estimate("Intercept", where).iloc[0]
    assert found[["low", "high"]].tolist() == pytest.approx(wanted[["low", "high"]].tolist(), rel=1e-9)
    levels = fit.estimate(random={"plate": {"a": 1, "b": -1}})
    plain = fit.estimate(random={"plate": {"a": 1, "b": -1}}, df="normal")
    assert levels["se"].iloc[0] > plain["se"].iloc[0]
    assert "uncertainty of theta" in levels["method"].iloc[0]


@pytest.mark.parametrize(
    ("fixed", "random", "said"),
    [
        (None, None, "no function"),
        (
            None,
            {"Subjekt": {"308": 1}},
            "`Subjekt` is no grouping factor of this fit; did you mean",
        ),
        (None, {"Subject": {"3080": 1}}, "has no level '3080' in the rows used; did you mean `308`?"),
        (None, {"Subject": {"308": {"days": 1}}}, "has no column `days`; did you mean `Days`?"),
        (None, {"Subject": 1}, "weights by level are expected"),
        (None, "Subject", "weights by grouping factor"),
        (None, {"Subject": {"308": "one"}}, "a finite number is expected"),
        ("Day", None, "did you mean `Days`"),
        ("Days = 3", None, "tests zero"),
        (["Days", "Intercept"], [{}, {}, {}], "2 fixed and 3 random parts"),
    ],
)
def test_functions_that_cannot_be_estimated_are_refused(fixed, random, said):
    with pytest.raises(FitError) as caught:
        fitted("sleep").estimate(fixed, random)
    assert said in str(caught.value)


def test_options_that_are_not_offered_are_refused():
    with pytest.raises(FitError, match="error='se' is not known"):
        fitted("sleep").ranef_table(error="se")
    with pytest.raises(FitError, match="df='containment' is not known"):
        fitted("sleep").estimate("Days", df="containment")
    with pytest.raises(FitError, match="labels: 1 are expected"):
        fitted("sleep").estimate("Days", labels=["a", "b"])


def test_where_a_variance_is_estimated_as_zero_nothing_is_reliable():
    frame = pd.DataFrame({"y": [1.0, 3, 1, 3, 1, 3, 1, 3.5], "g": list("aabbccdd")})
    fit = lmmkit.lmm("y ~ 1 + (1 | g)", frame)
    assert fit.is_singular
    assert fit.reliability["g"]["Intercept"].tolist() == [0.0] * 4


def test_reliability_is_one_less_the_prediction_error_variance_over_the_variance():
    frame = SPLIT_PLOT
    fit = lmmkit.lmm("Y ~ A * B + (1 | Block) + (1 | A:Block)", frame)
    table = fit.ranef_table(error="prediction")
    variances = dict(zip(fit.varcorr["group"], fit.varcorr["vcov"], strict=True))
    for group, own in table.groupby("group"):
        expected = 1.0 - own["se"].to_numpy() ** 2 / variances[group]
        np.testing.assert_allclose(fit.reliability[group]["Intercept"], expected, rtol=1e-12)


LEVELS = "308, 309, 310, 330, 331, 332, 333, 334, 335, 337, 349, 350, ..."


@pytest.mark.parametrize(
    ("name", "fixed", "random", "said"),
    [
        ("sleep", None, None, "estimate() was given no function: fixed, random or both are expected."),
        (
            "sleep",
            "Days = 3",
            None,
            "estimate() tests zero: write each function without `=`, or use contrast().",
        ),
        (
            "sleep",
            ["Days", "Intercept"],
            [{}, {}, {}],
            "estimate() was given 2 fixed and 3 random parts; give one for each.",
        ),
        (
            "penicillin",
            None,
            {"tray": {"a": 1}},
            "random: `tray` is no grouping factor of this fit. It has plate, sample.",
        ),
        (
            "penicillin",
            None,
            {"sample": {"Z": 1}},
            "random: `sample` has no level 'Z' in the rows used. Levels: A, B, C, D, E, F.",
        ),
        (
            "sleep",
            None,
            {"Subject": {"none": 1}},
            f"random: `Subject` has no level 'none' in the rows used. Levels: {LEVELS}",
        ),
        (
            "sleep",
            None,
            {"Subject": {"308": {"zzz": 1}}},
            "random: Subject[308] has no column `zzz`. Its columns: Intercept, Days.",
        ),
        (
            "sleep",
            None,
            {"Subject": {"308": True}},
            "random: Subject[308] has the weight True; a finite number is expected.",
        ),
        (
            "sleep",
            None,
            {"Subject": {"308": np.inf}},
            "random: Subject[308] has the weight inf; a finite number is expected.",
        ),
        (
            "sleep",
            None,
            {"Subject": ["308"]},
            "random: weights by level are expected for `Subject`, such as {'308': 1}, not ['308'].",
        ),
        (
            "sleep",
            None,
            "Subject",
            "random: weights by grouping factor and level are expected, such as {'Subject': {'308': 1, "
            "'309': -1}}, "
            "or a list of such, not 'Subject'.",
        ),
    ],
)
def test_each_refusal_says_what_is_expected(name, fixed, random, said):
    with pytest.raises(FitError) as caught:
        fitted(name).estimate(fixed, random)
    assert str(caught.value).rstrip(".") == said.rstrip(".")


def test_effects_of_no_term_or_of_columns_without_an_intercept_are_asked_for_by_name():
    plain = lmmkit.lmm("Reaction ~ Days", table("sleepstudy"), residual="cs(1 | Subject)")
    told = "This model has no random effects: its groups are in the residual structure alone."
    for ask in (plain.ranef_table, lambda: plain.estimate(random={"Subject": {"308": 1}})):
        with pytest.raises(FitError) as caught:
            ask()
        assert str(caught.value) == told
    by = lmmkit.lmm("score ~ Machine + (0 + Machine | Worker)", table("Machines"))
    with pytest.raises(FitError) as caught:
        by.estimate(random={"Worker": {"1": 1}})
    assert str(caught.value) == (
        "random: Worker[1] has the columns Machine[A], Machine[B], Machine[C]; give a weight by column."
    )
    slope = lmmkit.lmm("Reaction ~ Days + (0 + Days | Subject)", table("sleepstudy"))
    found = slope.estimate(random={"Subject": {"308": 2}})
    assert found["estimate"].item() == pytest.approx(2 * slope.ranef["Subject"].loc["308", "Days"])


def test_functions_are_named_by_their_fixed_part_or_counted():
    fit = fitted("sleep")
    one, two = {"Subject": {"308": 1}}, {"Subject": {"309": 1}}
    assert fit.estimate("Days", one).index.tolist() == ["Days"]
    assert fit.estimate("Days", [one, two]).index.tolist() == ["row 1", "row 2"]
    assert fit.estimate(["Days", "Intercept"], one).index.tolist() == ["Days", "Intercept"]
    assert fit.estimate(random=one, labels="first").index.tolist() == ["first"]
    named = fit.estimate(random=[one, two], labels=["a", "b"])
    assert named.index.tolist() == ["a", "b"]
    assert named.index.name == "function"
    intercepts = fit.ranef["Subject"]["Intercept"]
    np.testing.assert_allclose(named["estimate"], intercepts[["308", "309"]])
    mixed = fit.estimate("Days", [{}, one])
    assert mixed["method"].tolist()[0] == fit.contrast("Days").attrs["method"]
    assert mixed["method"].tolist()[1] != mixed["method"].tolist()[0]
