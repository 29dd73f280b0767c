"""statsmodels' words, read by statsmodels' own tools and compared with its own fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.iolib.summary2 import summary_col, summary_params
from support.verbs import fitted, table

import lmmkit
from lmmkit.errors import FitError


@pytest.fixture(scope="module")
def both():
    data = table("Orthodont")
    theirs = smf.mixedlm("distance ~ age", data, groups="Subject").fit(reml=True)
    return lmmkit.lmm("distance ~ age + (1 | Subject)", data), theirs


def test_the_words_say_what_statsmodels_says(both):
    ours, theirs = both
    assert np.allclose(ours.fe_params, theirs.fe_params, rtol=1e-6)
    assert np.allclose(ours.bse_fe, theirs.bse_fe, rtol=1e-4)
    assert np.allclose(ours.cov_re, theirs.cov_re, rtol=1e-3)
    assert ours.df_resid == 106
    effects = ours.random_effects
    assert list(effects) == [str(level) for level in theirs.random_effects]
    for level, row in theirs.random_effects.items():
        assert np.allclose(effects[level], row, atol=1e-3)


def test_tests_are_those_of_the_tables(both):
    fit = both[0]
    row = fit.contrast("age - 0.5 * Intercept").iloc[0]
    test = fit.t_test("age - 0.5 * Intercept")
    assert float(test.pvalue) == pytest.approx(row["p"], rel=1e-12)
    assert test.conf_int()[0].tolist() == pytest.approx([row["low"], row["high"]], rel=1e-10)
    assert float(fit.t_test("age = 0.6").tvalue[0]) == pytest.approx(fit.contrast("age = 0.6")["t"].iloc[0])
    assert fit.pvalues.equals(fit.coef_table()["p"].rename_axis(None).rename("pvalues"))
    assert fit.tvalues.tolist() == fit.coef_table()["t"].tolist()


def test_joint_tests_by_f_and_by_chi_squared():
    fit = fitted("machines")
    rows = ["Machine[T.B]", "Machine[T.C]"]
    found, wanted = fit.f_test(rows), fit.anova(df="satterthwaite").iloc[0]
    assert float(fit.f_test(rows, df="satterthwaite").pvalue) == pytest.approx(wanted["p"], rel=1e-10)
    assert found.df_num == 2
    chi = fit.wald_test(rows, use_f=False)
    V = fit.cov_params().loc[rows, rows]
    assert chi.statistic == pytest.approx(fit.params[rows] @ np.linalg.solve(V, fit.params[rows]), rel=1e-9)
    assert float(fit.wald_test(rows).pvalue) == float(found.pvalue)


def test_summary_col_reads_fits():
    fits = [fitted("sleep"), fitted("sleep").update(reml=False), fitted("cake")]
    text = str(summary_col(fits, stars=True, info_dict={"N": lambda fit: str(fit.nobs)}))
    assert "Reaction II" in text
    assert "10.4673***" in text
    assert "(5.9028)" in text
    params = summary_params(fits[0])
    assert np.allclose(params[["[0.025", "0.975]"]], fits[0].coef_table()[["low", "high"]])


def test_intervals_by_alpha_are_those_of_the_coefficients(both):
    fit = both[0]
    for found in (fit.conf_int(alpha=0.1), fit.conf_int(0.1)):
        assert found.columns.tolist() == [0, 1]
        assert np.array_equal(found, fit.coef_table(level=0.9)[["low", "high"]])
    with pytest.raises(FitError, match="alpha=5"):
        fit.conf_int(alpha=5)
    with pytest.raises(FitError, match="method='walt' is not known"):
        fit.conf_int("walt")


def test_predictions_come_as_statsmodels_hands_them_out(both):
    fit, data = both[0], table("Orthodont").head(5)
    found = fit.get_prediction(data).summary_frame(alpha=0.1)
    mean = fit.predict(data, interval="confidence", coverage=0.9)
    obs = fit.predict(data, interval="prediction", coverage=0.9)
    wanted = pd.concat([mean, obs[["low", "high"]]], axis=1)
    assert np.array_equal(found, wanted)
    assert "obs_ci_upper" in found.columns


def test_several_factors_name_theirs():
    fit = fitted("penicillin")
    assert ("plate", "a") in fit.random_effects
    assert fit.cov_re.index.tolist() == ["plate.Intercept", "sample.Intercept"]
    assert fit.cov_re.iloc[0, 1] == 0.0


def test_summary2_prints_in_three_ways():
    summary = fitted("cake").summary2(alpha=0.1)
    assert "[0.05" in summary.as_text()
    assert "<table" in summary.as_html()
    assert "tabular" in summary.as_latex()


def test_summary2_has_the_facts_the_coefficients_and_the_variance_parameters(both):
    fit = both[0]
    summary = fit.summary2(alpha=0.1)
    facts, coefficients, parameters = summary.tables
    shown = [str(cell).strip() for row in facts.to_numpy() for cell in row]
    assert dict(zip(shown[::2], shown[1::2], strict=True)) == {
        "Model:": "MixedLM",
        "Dependent Variable:": "distance",
        "No. Observations:": "108",
        "Method:": "REML",
        "No. Groups:": "Subject 27",
        "Scale:": f"{fit.scale:.5g}",
        "Log-Likelihood:": f"{fit.llf:.4f}",
        "Converged:": "Yes",
    }
    assert coefficients.columns.tolist() == ["Coef.", "Std.Err.", "df", "t", "P>|t|", "[0.05", "0.95]"]
    wanted = fit.coef_table(level=0.9)[["estimate", "se", "df", "t", "p", "low", "high"]]
    np.testing.assert_allclose(coefficients.astype(float), wanted, atol=6e-4)
    assert parameters.index.tolist() == ["Subject.sd.Intercept", "Residual.sd"]
    np.testing.assert_allclose(parameters["SD, correlation"].astype(float), fit.varcorr["sdcor"], atol=6e-4)
    assert summary.title == "Mixed Linear Model Regression Results"
    assert summary.extra_txt == ["Degrees of freedom: kenward-roger."]
    plain = lmmkit.lmm("distance ~ age", fit.design.frame, residual="cs(1 | Subject)", reml=False).summary2()
    assert plain.title == "GLS Regression Results"
    assert {"GLS", "ML", "Subject 27"} <= {str(cell).strip() for cell in plain.tables[0].to_numpy().ravel()}


def test_the_covariance_of_one_factor_has_plain_names_and_tests_their_options(both):
    fit = both[0]
    assert fit.cov_re.index.tolist() == ["Intercept"]
    with pytest.raises(FitError, match="use_f='yes' is not known"):
        fit.wald_test("age", use_f="yes")
    with pytest.raises(FitError, match="alpha=0"):
        fit.get_prediction().conf_int(alpha=0)
    names = fit.get_prediction().summary_frame().columns.tolist()
    assert names == ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper", "obs_ci_lower", "obs_ci_upper"]
