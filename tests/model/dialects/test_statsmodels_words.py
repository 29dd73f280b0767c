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
