"""Every term tested by leaving it out, against lmerTest and lme4."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2
from support.verbs import MODELS, fitted, of_r, table

import lmmkit
from lmmkit.errors import FitError


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("reduce", [True, False])
def test_ranova_has_lmertests_statistics(name, reduce):
    ours = fitted(name).ranova(reduce=reduce)
    theirs = of_r(name, "ranova" if reduce else "ranova_flat")
    for ourname, theirname in (("npar", "npar"), ("llf", "logLik"), ("aic", "AIC"), ("stat", "LRT")):
        assert np.allclose(ours[ourname], theirs[theirname].astype(float), rtol=1e-7, equal_nan=True)
    assert np.array_equal(ours["df"].iloc[1:], theirs["Df"].iloc[1:])
    # lmerTest's p is that of one chi-squared, which a boundary makes too large.
    assert (ours["p"].iloc[1:].to_numpy() < theirs["Pr(>Chisq)"].iloc[1:].to_numpy(float)).all()


def test_ranovas_reference_is_the_mixture():
    row = fitted("machines").ranova().loc["(1 | Worker)"]
    assert row["p"] == pytest.approx(chi2.sf(row["stat"], 1) / 2, rel=1e-12)
    row = fitted("sleep").ranova().loc["Days in (1 + Days | Subject)"]
    assert row["p"] == pytest.approx((chi2.sf(row["stat"], 1) + chi2.sf(row["stat"], 2)) / 2, rel=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_drop1_has_lmertests_f_tests(name):
    ours = fitted(name).drop1(df="satterthwaite")
    theirs = of_r(name, "drop1_satterthwaite")
    assert ours.index[1:].tolist() == theirs.get("term.", pd.Series(dtype=str)).tolist()
    columns = (
        (("stat", "F value"), ("df", "NumDF"), ("den_df", "DenDF"), ("p", "Pr(>F)")) if len(theirs) else ()
    )
    for ourname, theirname in columns:
        assert np.allclose(ours[ourname].iloc[1:], theirs[theirname], rtol=2e-5)


@pytest.mark.parametrize("name", ["sleep", "cake", "machines"])
def test_drop1_has_pbkrtests_f_tests(name):
    ours, theirs = fitted(name).drop1(df="kenward-roger").iloc[1:], of_r(name, "drop1_kr")
    for ourname, theirname in (("stat", "F value"), ("den_df", "DenDF"), ("p", "Pr(>F)")):
        assert np.allclose(ours[ourname], theirs[theirname], rtol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_drop1_has_lme4s_likelihood_ratios(name):
    ours, theirs = fitted(name).drop1(test="lrt"), of_r(name, "drop1_lme4")
    assert np.allclose(ours["aic"], theirs["AIC"], rtol=1e-8)
    for ourname, theirname in (("stat", "LRT"), ("df", "npar"), ("p", "Pr(Chi)")):
        given = theirs.get(theirname, pd.Series(np.nan, theirs.index)).astype(float)
        assert np.allclose(ours[ourname], given, rtol=1e-6, equal_nan=True)


def test_only_terms_that_no_other_contains_are_left_out():
    data = table("cake")
    fit = lmmkit.lmm("angle ~ recipe * temp + I(temp^2) + (1 | replicate)", data)
    assert fit.drop1().index.tolist() == ["<none>", "I(temp^2)", "recipe:temp"]
    assert fit.drop1("temp:recipe").index.tolist() == ["<none>", "recipe:temp"]
    assert fit.drop1("I(temp ** 2)").index.tolist() == ["<none>", "I(temp^2)"]
    with pytest.raises(FitError, match="`recipe` is contained in `recipe:temp`"):
        fit.drop1("recipe")
    with pytest.raises(FitError, match=r"`recipes` is no fixed term of this model; did you mean `recipe`\?"):
        fit.drop1(["recipes"])
    with pytest.raises(FitError, match="test='Chisq' is not known"):
        fit.drop1(test="Chisq")


def test_terms_are_left_out_on_the_rows_of_the_fit_with_its_codings_and_knots():
    data = table("sleepstudy").assign(f=np.tile(list("abc"), 60), w=np.linspace(1, 2, 180))
    data.loc[[3, 50], "Days"] = np.nan
    fit = lmmkit.lmm(
        "log(Reaction) ~ scale(Days) + f + offset(w) + (0 + scale(Days) | Subject) + (1 | Subject)",
        data,
        weights="w",
        contrasts={"f": "sum"},
    )
    found = fit.drop1(test="lrt")
    assert (found["npar"].iloc[0] - found["npar"]).tolist() == [0, 1, 2]
    # The model without Days uses the rows where Days is known, and no others.
    rows = data.dropna()
    less = lmmkit.lmm(
        "log(Reaction) ~ f + offset(w) + (0 + scale(Days) | Subject) + (1 | Subject)",
        rows,
        weights="w",
        reml=False,
    )
    assert found.loc["scale(Days)", "deviance"] == pytest.approx(less.update(reml=False).deviance, abs=1e-7)
    assert fit.ranova().index[1:].tolist() == ["scale(Days) in (0 + scale(Days) | Subject)", "(1 | Subject)"]


def test_parts_of_a_term_are_left_out_one_by_one():
    data = table("Machines")
    fit = lmmkit.lmm("score ~ Machine + (0 + Machine | Worker)", data)
    found = fit.ranova()
    assert found.index[1:].tolist() == ["Machine in (0 + Machine | Worker)"]
    small = lmmkit.lmm("score ~ Machine + (1 | Worker)", data)
    assert found["llf"].iloc[1] == pytest.approx(small.llf, abs=1e-8)
    assert found["p"].iloc[1] == lmmkit.compare(small, fit)["p"].iloc[1]
    split = lmmkit.lmm("score ~ Machine + (1 + Machine || Worker)", data).ranova()
    assert split["df"].iloc[1] == 2


def test_a_singular_fit_says_so_and_a_zero_variance_has_p_of_one():
    frame = pd.DataFrame({"y": [3.0, 1, 2, 2, 3, 1, 1, 2, 3.1], "x": [0, 1, 2] * 3, "g": list("aaabbbccc")})
    fit = lmmkit.lmm("y ~ x + (1 | g)", frame)
    assert fit.is_singular
    row = fit.ranova().iloc[1]
    assert (row["stat"], row["p"]) == (pytest.approx(0.0, abs=1e-8), 1.0)


def test_both_go_by_bootstrap_too():
    fit = fitted("machines")
    found = fit.ranova(method="bootstrap", n=20, seed=3)
    assert found["reference"].iloc[1] == "parametric bootstrap, REML, 20 replicates"
    assert fit.drop1(test="bootstrap", n=20)["p"].iloc[1] == pytest.approx(1 / 21)


def test_ranova_after_refit_goes_by_the_new_response():
    y = fitted("machines").simulate(1, seed=2)[:, 0]
    data = table("Machines").assign(score=y)
    wanted = lmmkit.lmm("score ~ Machine + (1 | Worker) + (1 | Worker:Machine)", data).ranova()
    assert fitted("machines").refit(y).ranova()["llf"].equals(wanted["llf"])
